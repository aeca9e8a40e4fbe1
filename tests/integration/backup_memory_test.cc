// What was verified before, on a real base backup with a real archive: what is unchanged stands, what changed is read, nothing stays
// unread for ever, and a fault is never remembered as good.

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <atomic>
#include <filesystem>

#include "adapters/backups/memory.h"
#include "support/backup_files.h"
#include "support/backup_world.h"

namespace lifeboat {
namespace {

namespace fs = std::filesystem;
using backup::Level;
using backup::RollingShare;
using backup::Verdict;
using backup::VerifiedMemory;
using testing_support::BackupWorld;
using testing_support::FilesOf;
using testing_support::FlipBit;
using testing_support::NumbersOf;
using testing_support::ReplaceFile;
using testing_support::Slurp;
using testing_support::Told;
using testing_support::VerifyAt;

constexpr RollingShare kHardlyAny{1, 1000};

BackupWorld& World() {
  static BackupWorld world;
  return world;
}

class BackupMemory : public testing::Test {
 protected:
  BackupMemory() : folder_(World().lab.folder() / ("memory-" + RandomHex(6))) {
    fs::create_directory(folder_);
    // Copies, not links: the identity of a link's file is shared with every other test's.
    fs::copy(World().monday, folder_ / "sets", fs::copy_options::recursive | fs::copy_options::copy_symlinks);
    fs::copy(World().early, folder_ / "archive", fs::copy_options::recursive);
  }
  ~BackupMemory() override { fs::remove_all(folder_); }

  [[nodiscard]] backup::Verified Run(RollingShare share, bool full = false, const std::atomic<bool>* cancel = nullptr) const {
    auto memory = VerifiedMemory::Open(folder_ / "memory.sqlite", "nightly");
    EXPECT_TRUE(memory.ok());
    (*memory)->Begin({"", full, share, ReadWallClock().ns / 1000000000});
    testing_support::VerifyQuestion question{folder_ / "sets", nullptr, folder_ / "archive", {}};
    question.options.memory = memory->get();
    question.options.cancel = cancel;
    backup::Verified verified = VerifyAt(question);
    EXPECT_TRUE((*memory)->End(!verified.report.cancelled).ok());
    return verified;
  }
  /// Of sets and WAL.
  static backup::Counts CountsOf(const backup::Verified& verified) {
    backup::Counts all = verified.report.wal_counts;
    for (const auto& set : verified.report.sets) all.Add(set.counts);
    return all;
  }
  static std::uint64_t ReadNow(const backup::Verified& verified) { return CountsOf(verified).files + CountsOf(verified).wal_segments; }
  [[nodiscard]] fs::path Heap() const { return folder_ / "sets/monday" / World().heap; }
  [[nodiscard]] fs::path Segment() const {
    const auto segments = FilesOf(folder_ / "archive", [](const std::string& path) { return fs::path(path).filename().string().size() == 24; });
    EXPECT_GE(segments.size(), 2u);
    return segments[segments.size() / 2];
  }
  /// As if the bytes had rotted under an unchanged name, size and time: the memory is told that this is the file it knew.
  void PretendUnchanged(const fs::path& file) const {
    const auto identity = backup::IdentityOf(file, 0, "");
    ASSERT_TRUE(identity);
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open((folder_ / "memory.sqlite").c_str(), &database), SQLITE_OK);
    const std::string sql = "UPDATE reading SET changed_ns = " + std::to_string(identity->changed_ns) + ", touched_ns = " +
                            std::to_string(identity->touched_ns) + " WHERE key = '" + identity->key + "'";
    EXPECT_EQ(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
    EXPECT_EQ(sqlite3_changes(database), 1) << identity->key;
    sqlite3_close(database);
  }

  fs::path folder_;
};

TEST_F(BackupMemory, WhatIsUnchangedStandsAndTheReportSaysSo) {
  const backup::Verified first = Run(kHardlyAny);
  ASSERT_FALSE(first.report.HasFault()) << Told(first);
  EXPECT_EQ(CountsOf(first).standing_files, 0u);
  const std::uint64_t all = ReadNow(first);
  ASSERT_GT(all, 100u);

  const backup::Verified second = Run(kHardlyAny);
  EXPECT_FALSE(second.report.HasFault()) << Told(second);
  const backup::Counts counts = CountsOf(second);
  EXPECT_LT(ReadNow(second), all / 10) << "a thousandth is due, and what leads into new WAL";
  EXPECT_GT(counts.standing_files, all * 9 / 10);
  EXPECT_GT(counts.standing_bytes, 0u);
  EXPECT_GT(counts.oldest_reading, 0);
  ASSERT_EQ(second.report.sets.size(), 1u);
  const backup::LevelResult& bytes = second.report.sets[0].levels[static_cast<std::size_t>(Level::kBytes)];
  EXPECT_EQ(bytes.verdict, Verdict::kPass);
  EXPECT_NE(bytes.reason.find("stand from earlier runs"), std::string::npos) << bytes.reason;

  const backup::Verified full = Run(kHardlyAny, true);
  EXPECT_EQ(ReadNow(full), all) << "--full reads all";
  EXPECT_EQ(CountsOf(full).standing_files, 0u);
}

TEST_F(BackupMemory, AChangedFileIsReadAndItsFaultToldByEveryRunUntilItIsGone) {
  (void)Run(kHardlyAny);
  const std::string good = Slurp(Heap());
  FlipBit(Heap());
  EXPECT_EQ(NumbersOf(Run(kHardlyAny)), (std::set<std::string>{"F09"}));
  EXPECT_EQ(NumbersOf(Run(kHardlyAny)), (std::set<std::string>{"F09"})) << "a fault is never remembered as good";
  ReplaceFile(Heap(), good);
  const backup::Verified mended = Run(kHardlyAny);
  EXPECT_FALSE(mended.report.HasFault()) << Told(mended);
}

TEST_F(BackupMemory, AChangedSegmentIsReadAndItsFaultToldByEveryRun) {
  (void)Run(kHardlyAny);
  FlipBit(Segment(), 0.0002);  // within its first records
  const std::set<std::string> told = NumbersOf(Run(kHardlyAny));
  EXPECT_TRUE(told.count("F15")) << "of all that was told";
  EXPECT_EQ(NumbersOf(Run(kHardlyAny)), told);
}

TEST_F(BackupMemory, BytesThatRotInSilenceAreFoundWithinTheWholeOfTheShare) {
  (void)Run(kHardlyAny);
  FlipBit(Heap());
  ASSERT_NO_FATAL_FAILURE(PretendUnchanged(Heap()));
  bool found = false;
  for (int run = 0; run < 4 && !found; ++run) found = NumbersOf(Run({1, 4})).count("F09") > 0;
  EXPECT_TRUE(found) << "nothing stays unread for ever";
  EXPECT_EQ(NumbersOf(Run(kHardlyAny)), (std::set<std::string>{"F09"})) << "and from then on every run tells";
}

TEST_F(BackupMemory, ALowerLevelStandsForNoHigherOne) {
  auto memory = VerifiedMemory::Open(folder_ / "memory.sqlite", "nightly");
  ASSERT_TRUE(memory.ok());
  (*memory)->Begin({"", false, kHardlyAny, ReadWallClock().ns / 1000000000});
  testing_support::VerifyQuestion question{folder_ / "sets", nullptr, folder_ / "archive", {}};
  question.options.memory = memory->get();
  question.options.level = Level::kBytes;
  (void)VerifyAt(question);
  ASSERT_TRUE((*memory)->End(true).ok());
  const backup::Verified pages = Run(kHardlyAny);
  ASSERT_EQ(pages.report.sets.size(), 1u);
  EXPECT_EQ(pages.report.sets[0].counts.standing_files, 0u) << "their pages were never looked at";
  EXPECT_GT(pages.report.sets[0].counts.pages, 0u);
}

TEST_F(BackupMemory, WhatACancelledRunDidNotReachStandsForNothing) {
  const std::atomic<bool> cancelled = true;
  const backup::Verified none = Run(kHardlyAny, false, &cancelled);
  EXPECT_TRUE(none.report.cancelled);
  const backup::Verified next = Run(kHardlyAny);
  EXPECT_EQ(CountsOf(next).standing_files, 0u);
  EXPECT_FALSE(next.report.HasFault()) << Told(next);
}

}  // namespace
}  // namespace lifeboat
