#include "adapters/postgres/wal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/postgres/control_file.h"

namespace lifeboat::postgres {
namespace {

constexpr WalGeometry kGeometry{};

WalRecord RecordAt(std::uint64_t begin, std::uint32_t length) { return {"Heap", "INSERT", Lsn{begin}, length}; }

TEST(SegmentName, CountsWithinTheFourGigabytesOfItsId) {
  EXPECT_EQ(SegmentName(1, 1, kGeometry), "000000010000000000000001");
  EXPECT_EQ(SegmentName(2, 255, kGeometry), "0000000200000000000000FF");
  EXPECT_EQ(SegmentName(0x1A, 256, kGeometry), "0000001A0000000100000000");
  EXPECT_EQ(SegmentName(1, 64, {64U << 20U, 8192}), "000000010000000100000000");
}

TEST(EndOfRecord, IsAlignedToEightBytes) {
  EXPECT_EQ(EndOf(RecordAt(0x17414F8, 114), kGeometry), Lsn{0x1741570});
  EXPECT_EQ(EndOf(RecordAt(0x1741570, 24), kGeometry), Lsn{0x1741588});
}

TEST(EndOfRecord, CountsTheHeadersOfThePagesThatItCrosses) {
  // 16 bytes fit on the first page; the next page has a header of 24 bytes.
  EXPECT_EQ(EndOf(RecordAt(0x2001FF0, 16), kGeometry), Lsn{0x2002000});
  EXPECT_EQ(EndOf(RecordAt(0x2001FF0, 17), kGeometry), Lsn{0x2002000 + 24 + 8});
  EXPECT_EQ(EndOf(RecordAt(0x2001FF0, 16 + 8168), kGeometry), Lsn{0x2004000});
  EXPECT_EQ(EndOf(RecordAt(0x2001FF0, 16 + 8169), kGeometry), Lsn{0x2004000 + 24 + 8});
}

TEST(EndOfRecord, CountsTheLongHeaderOfANewSegment) {
  EXPECT_EQ(EndOf(RecordAt(0x2FFFFF0, 16), kGeometry), Lsn{0x3000000});
  EXPECT_EQ(EndOf(RecordAt(0x2FFFFF0, 24), kGeometry), Lsn{0x3000000 + 40 + 8});
}

TEST(EndOfRecord, OfASwitchIsTheEndOfItsSegment) {
  const WalRecord last{"XLOG", "SWITCH", Lsn{0x1741570}, 24};
  EXPECT_EQ(EndOf(last, kGeometry), Lsn{0x2000000});
  const WalRecord full{"XLOG", "SWITCH", Lsn{0x2000000 - 24}, 24};
  EXPECT_EQ(EndOf(full, kGeometry), Lsn{0x2000000});
}

TEST(RecordAfter, LiesBehindTheHeaderOfThePageThatBeginsThere) {
  EXPECT_EQ(RecordAfter(Lsn{0x17414F8}, kGeometry), Lsn{0x17414F8});
  EXPECT_EQ(RecordAfter(Lsn{0x17414F1}, kGeometry), Lsn{0x17414F8});
  EXPECT_EQ(RecordAfter(Lsn{0x2002000}, kGeometry), Lsn{0x2002000 + 24});
  EXPECT_EQ(RecordAfter(Lsn{0x3000000}, kGeometry), Lsn{0x3000000 + 40});
}

TEST(WalRecord, IsReadFromPgWaldump) {
  const auto record = ParseWalRecord(
      "rmgr: Transaction len (rec/tot):     46/  8046, tx:        739, lsn: 1/017414F8, prev 1/017414B0, desc: COMMIT 2026-11-23 "
      "05:18:44.123456 UTC; inval msgs: catcache 51");
  ASSERT_TRUE(record);
  EXPECT_EQ(record->begin, Lsn{0x1017414F8});
  EXPECT_EQ(record->length, 8046U);
  EXPECT_EQ(CommitTime(*record), "2026-11-23 05:18:44.123456 UTC");
  EXPECT_FALSE(ParseWalRecord("pg_waldump: error: something else"));
  EXPECT_FALSE(ParseWalRecord("rmgr: Heap len (rec/tot): x/y, tx: 1, lsn: 0/1, prev 0/0"));
}

TEST(CommitTime, IsOfCommitsAlone) {
  EXPECT_EQ(CommitTime({"Transaction", "COMMIT_PREPARED 739: 2026-11-23 05:18:44 UTC; gid 'a: b'", {}, 0}),
            "2026-11-23 05:18:44 UTC");
  EXPECT_FALSE(CommitTime({"Transaction", "ABORT 2026-11-23 05:18:44 UTC", {}, 0}));
  EXPECT_FALSE(CommitTime({"Transaction", "PREPARE gid x", {}, 0}));
  EXPECT_FALSE(CommitTime({"Heap", "COMMIT 2026", {}, 0}));
}

TEST(LastRecord, IsReadFromTheFinalComplaint) {
  EXPECT_EQ(
      LastRecordIn("pg_waldump: error: error in WAL record at 0/17414F8: invalid record length at 0/1741570: wanted 24, got 0\n"),
      Lsn{0x17414F8});
  EXPECT_FALSE(LastRecordIn("pg_waldump: error: could not find a valid record after 0/1741570\n"));
  EXPECT_FALSE(LastRecordIn("pg_waldump: error: error in WAL record at 0/0: x"));
}

TEST(History, NamesEachForkInOrder) {
  const auto forks = ParseHistory("1\t0/3000148\tno recovery target specified\n\n# comment\n2\t1/A0\tbefore 2026-11-23\n");
  ASSERT_TRUE(forks);
  EXPECT_THAT(*forks, testing::ElementsAre(TimelineFork{1, Lsn{0x3000148}}, TimelineFork{2, Lsn{0x1000000A0}}));
  EXPECT_FALSE(ParseHistory("one\t0/1\n"));
  EXPECT_FALSE(ParseHistory("1 nowhere\n"));
  EXPECT_FALSE(ParseHistory("1\n"));
}

constexpr const char* kControl =
    "Database system identifier:           7575859374593241\n"
    "Database cluster state:               shut down\n"
    "Latest checkpoint location:           0/17414F8\n"
    "Latest checkpoint's REDO location:    0/17414F0\n"
    "Latest checkpoint's TimeLineID:       1\n"
    "Minimum recovery ending location:     0/0\n"
    "Min recovery ending loc's timeline:   0\n"
    "WAL block size:                       8192\n"
    "Bytes per WAL segment:                16777216\n";

TEST(ControlFile, IsReadFromPgControldata) {
  const auto control = ParseControlFile(kControl);
  ASSERT_TRUE(control);
  EXPECT_EQ(control->data.system_id.text, "7575859374593241");
  EXPECT_EQ(control->data.cluster_state, "shut down");
  EXPECT_EQ(control->data.checkpoint, Lsn{0x17414F8});
  EXPECT_EQ(control->data.redo, Lsn{0x17414F0});
  EXPECT_EQ(control->data.timeline, 1U);
  EXPECT_EQ(control->geometry.segment_bytes, 16U << 20U);
}

TEST(ControlFile, TakesTheNewerTimelineAfterAPromotion) {
  std::string text = kControl;
  const std::string key = "Min recovery ending loc's timeline:   ";
  text.replace(text.find(key) + key.size(), 1, "2");
  EXPECT_EQ(ParseControlFile(text)->data.timeline, 2U);
}

TEST(ControlFile, WithoutANeededLineIsAnError) {
  for (const char* label : {"Database system identifier", "Latest checkpoint location", "Bytes per WAL segment"}) {
    std::string text = kControl;
    text.replace(text.find(label), 3, "xxx");
    EXPECT_FALSE(ParseControlFile(text)) << label;
  }
}

}  // namespace
}  // namespace lifeboat::postgres
