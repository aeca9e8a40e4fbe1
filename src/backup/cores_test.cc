#include <gtest/gtest.h>

#include <cstring>

#include "backup/crc32c.h"
#include "backup/digest.h"
#include "backup/finding.h"
#include "backup/manifest.h"
#include "backup/page.h"
#include "backup/pgbackrest.h"
#include "backup/structure.h"
#include "backup/wal_name.h"
#include "backup/wal_walk.h"
#include "backup/windows.h"

namespace lifeboat::backup {
namespace {

TEST(Crc, KnownAnswersByTheInstructionAndByTables) {
  EXPECT_EQ(Crc32c::Of("123456789", 9), 0xE3069283U);
  EXPECT_EQ(Crc32c::PortableOf("123456789", 9), 0xE3069283U);
  std::string text;
  for (int at = 0; at < 60000; ++at) text += static_cast<char>(at * 31 + (at >> 7));
  for (const std::size_t size : {0U, 1U, 7U, 8U, 4095U, 12287U, 12288U, 12289U, 36864U, 60000U}) {
    EXPECT_EQ(Crc32c::Of(text.data(), size), Crc32c::PortableOf(text.data(), size)) << size;
  }
  Crc32c pieces;
  pieces.Add(text.data(), 13);
  pieces.Add(text.data() + 13, text.size() - 13);
  EXPECT_EQ(pieces.Value(), Crc32c::Of(text.data(), text.size()));
}

TEST(Digests, AreTheOnesThatManifestsName) {
  EXPECT_EQ(HexDigest(DigestKind::kSha1, "abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(HexDigest(DigestKind::kSha256, "abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(HexDigest(DigestKind::kCrc32c, "123456789"), "839206e3");  // as the four bytes lie in memory
  EXPECT_EQ(HexDigest(DigestKind::kNone, "abc"), "");
  EXPECT_EQ(ParseDigestKind("sha512"), DigestKind::kSha512);
  EXPECT_FALSE(ParseDigestKind("MD5"));
  EXPECT_FALSE(FromHex("abc"));
}

struct alignas(8) Page {
  char bytes[8192];
};

Page PatternPage() {
  Page page;
  for (int at = 0; at < 8192; ++at) page.bytes[at] = static_cast<char>(at * 31 + 7 + (at >> 8));
  return page;
}

void Seal(Page& page, std::uint32_t block) {
  const std::uint16_t sum = PageChecksum(page.bytes, sizeof page.bytes, block);
  std::memcpy(page.bytes + 8, &sum, 2);
}

TEST(Pages, TheChecksumIsPostgresqlsOwn) {
  // Both answers are pg_checksum_page's, of PostgreSQL 15, for the same bytes.
  const Page page = PatternPage();
  EXPECT_EQ(PageChecksum(page.bytes, sizeof page.bytes, 0), 0x5c27);
  EXPECT_EQ(PageChecksum(page.bytes, sizeof page.bytes, 131073), 0x5c28);
}

TEST(Pages, ABitAnywhereAndAnotherBlockNumberAreDamage) {
  Page page = PatternPage();
  Seal(page, 5);
  EXPECT_EQ(JudgePage(page.bytes, 8192, 5, Lsn{}), PageState::kGood);
  EXPECT_EQ(JudgePage(page.bytes, 8192, 6, Lsn{}), PageState::kBad);
  for (const std::size_t at : {20U, 4096U, 8191U}) {
    Page flipped = page;
    flipped.bytes[at] = static_cast<char>(flipped.bytes[at] ^ 1);
    EXPECT_EQ(JudgePage(flipped.bytes, 8192, 5, Lsn{}), PageState::kBad) << at;
  }
}

TEST(Pages, EmptyIsNewAndNewerThanTheBackupIsLeftToTheWal) {
  Page page{};
  EXPECT_EQ(JudgePage(page.bytes, 8192, 0, Lsn{}), PageState::kNew);
  page.bytes[8000] = 1;
  EXPECT_EQ(JudgePage(page.bytes, 8192, 0, Lsn{}), PageState::kBadHeader);
  Page hot = PatternPage();
  const std::uint32_t lsn[2] = {0, 0x5000};
  std::memcpy(hot.bytes, lsn, sizeof lsn);
  EXPECT_EQ(JudgePage(hot.bytes, 8192, 0, Lsn{0x5000}), PageState::kHot);
  EXPECT_EQ(JudgePage(hot.bytes, 8192, 0, Lsn{0x5001}), PageState::kBad);
  EXPECT_EQ(JudgePage(hot.bytes, 8192, 0, Lsn{}), PageState::kBad) << "a cluster at rest has no hot pages";
}

TEST(Pages, RelationFilesAreKnownByTheirPaths) {
  const auto heap = ParseRelationPath("base/5/16384.2");
  ASSERT_TRUE(heap);
  EXPECT_EQ(*heap, (RelationFile{1663, 5, 16384, Fork::kMain, 2}));
  EXPECT_EQ(*ParseRelationPath("global/1262_fsm"), (RelationFile{1664, 0, 1262, Fork::kFreeSpace, 0}));
  EXPECT_EQ(*ParseRelationPath("pg_tblspc/16390/PG_15_202209061/5/16392_vm"),
            (RelationFile{16390, 5, 16392, Fork::kVisibility, 0}));
  for (const char* none : {"global/pg_control", "base/5/PG_VERSION", "base/5/pg_filenode.map", "base/5/t3_16384", "pg_xact/0000",
                           "base/5/16384.x", "base/5/deep/16384", "PG_VERSION"}) {
    EXPECT_FALSE(ParseRelationPath(none)) << none;
  }
}

TEST(WalNames, FollowTheSegmentSize) {
  EXPECT_EQ(SegmentName({1, 3}, 16U << 20), "000000010000000000000003");
  EXPECT_EQ(SegmentName({2, 4096}, 1U << 20), "000000020000000100000000");
  EXPECT_EQ(SegmentName({1, 5}, 1U << 30), "000000010000000100000001");
  EXPECT_EQ(ParseSegmentName("000000020000000100000000", 1U << 20), (WalPlace{2, 4096}));
  EXPECT_FALSE(ParseSegmentName("0000000100000001000000FF", 1U << 30)) << "a 1 GiB segment never has that number";
  EXPECT_FALSE(ParseSegmentName("00000000000000010000000F", 16U << 20)) << "there is no timeline 0";
  EXPECT_EQ(SegmentBefore(Lsn{16U << 20}, 16U << 20), 0U) << "an end on a border needs the segment before it";
}

TEST(WalNames, TellWhatAFileOfAnArchiveIs) {
  EXPECT_EQ(ParseArchiveName("000000010000000000000003.gz").kind, ArchiveFileKind::kSegment);
  EXPECT_EQ(ParseArchiveName("000000010000000000000003.partial").kind, ArchiveFileKind::kPartial);
  EXPECT_EQ(ParseArchiveName("000000010000000000000003.00000028.backup").kind, ArchiveFileKind::kLabel);
  EXPECT_EQ(ParseArchiveName("00000002.history").kind, ArchiveFileKind::kHistory);
  EXPECT_EQ(ParseArchiveName("000000010000000000000003.tmp").kind, ArchiveFileKind::kOther);
  const ArchiveName hashed = ParseArchiveName("00000001000000000000000C-4a2d5112377042ad7126c136d96acd993bf71f31.lz4");
  EXPECT_EQ(hashed.kind, ArchiveFileKind::kSegment);
  EXPECT_EQ(hashed.sha1, "4a2d5112377042ad7126c136d96acd993bf71f31");
  EXPECT_EQ(hashed.compression, Compression::kLz4);
}

TEST(Histories, RiseOrAreRefused) {
  const auto history = ParseHistory("1\t0/3000000\tno recovery target specified\n\n2\t0/5000028\tbefore 2026\n");
  ASSERT_TRUE(history.ok());
  EXPECT_EQ(*history, (History{{1, Lsn{0x3000000}}, {2, Lsn{0x5000028}}}));
  EXPECT_FALSE(ParseHistory("2\t0/3000000\tx\n1\t0/5000000\ty\n").ok());
  EXPECT_FALSE(ParseHistory("one\t0/3000000\n").ok());
}

std::string ManifestText(const std::string& files, const char* version = "1") {
  const std::string body =
      std::string("{ \"PostgreSQL-Backup-Manifest-Version\": ") + version + ",\n\"Files\": [\n" + files +
      "\n],\n\"WAL-Ranges\": [\n{ \"Timeline\": 1, \"Start-LSN\": \"0/2000028\", \"End-LSN\": \"0/2000100\" }\n],\n";
  return body + "\"Manifest-Checksum\": \"" + HexDigest(DigestKind::kSha256, body) + "\"}\n";
}

TEST(Manifests, AreReadWithAnyAlgorithmAndNone) {
  ManifestError error;
  const auto manifest = ParseBackupManifest(
      ManifestText(R"({ "Path": "PG_VERSION", "Size": 3, "Last-Modified": "x", "Checksum-Algorithm": "SHA384", "Checksum": "8a74" },
{ "Encoded-Path": "626173652ff1", "Size": 7, "Last-Modified": "x" })"),
      error);
  ASSERT_TRUE(manifest) << error.message;
  ASSERT_EQ(manifest->files.size(), 2U);
  EXPECT_EQ(manifest->files[0].digest, DigestKind::kSha384);
  EXPECT_EQ(manifest->files[1].path, "base/\xf1");
  EXPECT_EQ(manifest->files[1].digest, DigestKind::kNone);
  ASSERT_EQ(manifest->wal.size(), 1U);
  EXPECT_EQ(manifest->wal[0].end, Lsn{0x2000100});
}

TEST(Manifests, TamperedCutOffOrLeavingTheBackupAreRefused) {
  ManifestError error;
  std::string text = ManifestText(R"({ "Path": "PG_VERSION", "Size": 3, "Last-Modified": "x" })");
  text[text.find("3,")] = '4';
  EXPECT_FALSE(ParseBackupManifest(text, error));
  EXPECT_EQ(error.problem, ManifestProblem::kChecksum);
  text = ManifestText(R"({ "Path": "PG_VERSION", "Size": 3, "Last-Modified": "x" })");
  EXPECT_FALSE(ParseBackupManifest(text.substr(0, text.size() / 2), error));
  EXPECT_EQ(error.problem, ManifestProblem::kChecksum);
  EXPECT_FALSE(ParseBackupManifest(ManifestText(R"({ "Path": "a/../../etc/passwd", "Size": 3, "Last-Modified": "x" })"), error));
  EXPECT_EQ(error.problem, ManifestProblem::kUnreadable);
  EXPECT_FALSE(ParseBackupManifest(ManifestText("", "3"), error));
}

constexpr std::uint64_t kSeg = 1U << 20;
BackupSpan Backup(const char* label, std::uint64_t first, std::uint64_t last, Timeline timeline = 1) {
  return {label, {{timeline, Lsn{first * kSeg + 40}, Lsn{last * kSeg + 256}}}, 0};
}
WalCatalog Archived(std::uint64_t first, std::uint64_t last, Timeline timeline = 1, std::set<std::uint64_t> without = {}) {
  WalCatalog catalog(kSeg);
  for (std::uint64_t number = first; number <= last; ++number) {
    if (without.count(number) == 0) catalog.Add({timeline, number});
  }
  return catalog;
}

TEST(Windows, AnUnbrokenArchiveIsOneWindowWithoutFindings) {
  const WalCatalog catalog = Archived(1, 20);
  const auto windows = WindowsOf({Backup("a", 3, 4)}, catalog);
  ASSERT_EQ(windows.size(), 1U);
  EXPECT_TRUE(windows[0].consistent);
  EXPECT_EQ(windows[0].to, Lsn{21 * kSeg});
  EXPECT_TRUE(windows[0].holes.empty());
  EXPECT_TRUE(JudgeArchive({Backup("a", 3, 4)}, catalog).empty());
}

TEST(Windows, TheOnlySegmentThatABackupNeedsIsToldWithItsName) {
  const WalCatalog catalog = Archived(1, 20, 1, {3});
  const auto findings = JudgeArchive({Backup("a", 3, 3), Backup("b", 8, 8)}, catalog);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].Number(), "F12");
  EXPECT_EQ(findings[0].set, "a");
  EXPECT_EQ(findings[0].object, "000000010000000000000003");
  EXPECT_FALSE(WindowsOf({Backup("a", 3, 3)}, catalog)[0].consistent);
}

TEST(Windows, AGapLaterEndsTheWindowsBeforeItAndNotThoseAfter) {
  const WalCatalog catalog = Archived(1, 20, 1, {10, 11});
  const std::vector<BackupSpan> backups = {Backup("a", 3, 3), Backup("b", 15, 15)};
  const auto findings = JudgeArchive(backups, catalog);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].Number(), "F13");
  EXPECT_EQ(findings[0].count, 2U);
  const auto windows = WindowsOf(backups, catalog);
  EXPECT_EQ(windows[0].to, Lsn{10 * kSeg});
  EXPECT_EQ(windows[0].last, Lsn{21 * kSeg});
  EXPECT_EQ(windows[1].to, Lsn{21 * kSeg});
  EXPECT_EQ(DrawWindow(windows[0], catalog, 40), "[#######..#########]");
}

TEST(Windows, ABadSegmentIsAHoleAndNoFindingOfItsOwn) {
  WalCatalog catalog = Archived(1, 9);
  catalog.MarkBad({1, 6});
  EXPECT_TRUE(JudgeArchive({Backup("a", 3, 3)}, catalog).empty());
  EXPECT_EQ(WindowsOf({Backup("a", 3, 3)}, catalog)[0].to, Lsn{6 * kSeg});
}

TEST(Windows, FollowAPromotionAndTellABackupFromAfterTheFork) {
  WalCatalog catalog = Archived(1, 9);
  for (std::uint64_t number = 7; number <= 12; ++number) catalog.Add({2, number});
  catalog.AddHistory(2, {{1, Lsn{7 * kSeg + 512}}});
  const auto windows = WindowsOf({Backup("before", 3, 3)}, catalog);
  ASSERT_EQ(windows.size(), 1U);
  EXPECT_EQ(windows[0].timeline, 2U);
  EXPECT_EQ(windows[0].to, Lsn{13 * kSeg});
  EXPECT_TRUE(JudgeArchive({Backup("before", 3, 3)}, catalog).empty());
  const auto findings = JudgeArchive({Backup("before", 3, 3), Backup("after", 8, 8)}, catalog);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].Number(), "F18");
  EXPECT_EQ(findings[0].set, "after");
}

TEST(Windows, TheForksSegmentOfTheNewTimelineHoldsWhatABackupOfTheOldOneNeeds) {
  // A backup of a standby ends in a segment that nobody switched; the standby is promoted, and archives that segment as timeline
  // 2's.
  WalCatalog catalog = Archived(1, 4);
  for (std::uint64_t number = 5; number <= 9; ++number) catalog.Add({2, number});
  catalog.AddHistory(2, {{1, Lsn{5 * kSeg + 4096}}});
  const BackupSpan backup = Backup("of a standby", 3, 5);
  EXPECT_TRUE(JudgeArchive({backup}, catalog).empty());
  const auto windows = WindowsOf({backup}, catalog);
  ASSERT_EQ(windows.size(), 1U);
  EXPECT_TRUE(windows[0].consistent);
  EXPECT_EQ(windows[0].to, Lsn{10 * kSeg});
  // One that ended after the fork has nothing of it.
  BackupSpan late = backup;
  late.wal[0].end = Lsn{5 * kSeg + 8192};
  const auto findings = JudgeArchive({late}, catalog);
  ASSERT_FALSE(findings.empty());
  EXPECT_EQ(findings[0].Number(), "F12");
}

TEST(Windows, WithoutABackupWhatWasCleanedAwayBeforeTheOldestWalIsNoGap) {
  WalCatalog catalog(kSeg);
  for (std::uint64_t number = 12; number <= 20; ++number) catalog.Add({2, number});
  catalog.AddHistory(2, {{1, Lsn{5 * kSeg + 4096}}});
  EXPECT_TRUE(JudgeArchive({}, catalog).empty()) << "a history file outlives the WAL of its fork";
  // Where older WAL is there, it leads nowhere.
  catalog.Add({1, 3});
  const auto findings = JudgeArchive({}, catalog);
  ASSERT_FALSE(findings.empty());
  EXPECT_EQ(findings[0].Number(), "F13");
}

TEST(Windows, WalOfATimelineWithoutItsHistoryIsTold) {
  WalCatalog catalog = Archived(1, 7);
  catalog.Add({2, 7});
  const auto findings = JudgeArchive({Backup("a", 3, 3)}, catalog);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].Number(), "F18");
  EXPECT_EQ(findings[0].object, "00000002.history");
}

TEST(Listings, DifferByWhatIsMissingStrayOrOfAnotherSize) {
  std::vector<Finding> findings;
  CompareListing("a", {{"base/1", 8}, {"base/2", 8}, {"base/3", 8}}, {{"base/1", 8}, {"base/3", 9}, {"base/4", 1}}, findings);
  ASSERT_EQ(findings.size(), 3U);
  EXPECT_EQ(findings[0].Number() + findings[0].object, "F07base/2");
  EXPECT_EQ(findings[1].Number() + findings[1].object, "F08base/3");
  EXPECT_EQ(findings[2].Number() + findings[2].object, "F07base/4");
}

TEST(Listings, ATablespaceWithoutAnyFileIsOneFault) {
  std::vector<Finding> findings;
  CompareListing("a", {{"pg_tblspc/9/v/1", 8}, {"pg_tblspc/9/v/2", 8}}, {}, findings);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].Number(), "F21");
}

TEST(Verdicts, NotCheckedIsNeverAPass) {
  EXPECT_EQ(LevelResult().verdict, Verdict::kNotChecked);
  EXPECT_EQ(Both(Verdict::kPass, Verdict::kNotChecked), Verdict::kNotChecked);
  EXPECT_EQ(Both(Verdict::kPass, Verdict::kUnknown), Verdict::kUnknown);
  EXPECT_EQ(Both(Verdict::kNotChecked, Verdict::kFail), Verdict::kFail);
  EXPECT_EQ(Both(Verdict::kPass, Verdict::kPass), Verdict::kPass);
}

}  // namespace
}  // namespace lifeboat::backup
