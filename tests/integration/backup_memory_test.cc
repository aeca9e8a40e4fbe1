// What was verified before, on a real base backup with a real archive: what is unchanged stands, what changed is read, nothing
// stays unread for ever, and a fault is never remembered as good.

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <atomic>
#include <cstring>
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
  static std::uint64_t ReadNow(const backup::Verified& verified) {
    return CountsOf(verified).files + CountsOf(verified).wal_segments;
  }
  [[nodiscard]] fs::path Heap() const { return folder_ / "sets/monday" / World().heap; }
  [[nodiscard]] fs::path Segment() const {
    const auto segments =
        FilesOf(folder_ / "archive", [](const std::string& path) { return fs::path(path).filename().string().size() == 24; });
    EXPECT_GE(segments.size(), 2u);
    return segments[segments.size() / 2];
  }
  /// As if the bytes had rotted under an unchanged name, size and time: the memory is told that this is the file it knew.
  void PretendUnchanged(const fs::path& file) const {
    const auto identity = backup::IdentityOf(file, 0, "");
    ASSERT_TRUE(identity);
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open((folder_ / "memory.sqlite").c_str(), &database), SQLITE_OK);
    const std::string sql = "UPDATE reading SET changed_ns = " + std::to_string(identity->changed_ns) +
                            ", touched_ns = " + std::to_string(identity->touched_ns) + " WHERE key = '" + identity->key + "'";
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

/// A record that leads from one segment into the next: damage to either half shows only where both are read.
class BackupMemoryOfWal : public BackupMemory {
 protected:
  /// The first segment that begins with the rest of a record, of at least `kHalf` bytes. @source PostgreSQL, xlog_internal.h
  [[nodiscard]] std::vector<fs::path> PairWithARecordAcross() const {
    const auto segments =
        FilesOf(folder_ / "archive", [](const std::string& path) { return fs::path(path).filename().string().size() == 24; });
    for (std::size_t at = 1; at < segments.size(); ++at) {
      const std::string bytes = Slurp(segments[at]);
      std::uint16_t info = 0;
      std::uint32_t rest = 0;
      std::memcpy(&info, bytes.data() + 2, sizeof info);
      std::memcpy(&rest, bytes.data() + 16, sizeof rest);
      if ((info & 1U) != 0 && rest >= kHalf) return {segments[at - 1], segments[at]};
    }
    return {};
  }
  [[nodiscard]] std::set<std::string> WalRun(RollingShare share) const {
    auto memory = VerifiedMemory::Open(folder_ / "memory.sqlite", "wal");
    EXPECT_TRUE(memory.ok());
    (*memory)->Begin({"", false, share, ReadWallClock().ns / 1000000000});
    testing_support::VerifyQuestion question{folder_ / "archive", nullptr, {}, {}};
    question.options.memory = memory->get();
    const backup::Verified verified = VerifyAt(question);
    EXPECT_TRUE((*memory)->End(true).ok());
    std::set<std::string> faults;
    for (const auto& finding : verified.report.findings) {
      if (finding.severity == backup::Severity::kFault) faults.insert(finding.Number());
    }
    return faults;
  }
  /// Turns a bit around that lies `at` bytes from the begin, or from the end.
  static void FlipAt(const fs::path& file, std::int64_t at) {
    std::string bytes = Slurp(file);
    const auto place = static_cast<std::size_t>(at < 0 ? static_cast<std::int64_t>(bytes.size()) + at : at);
    bytes[place] = static_cast<char>(bytes[place] ^ 4);
    ReplaceFile(file, bytes);
  }
  static constexpr std::uint32_t kHalf = 48;
};

TEST_F(BackupMemoryOfWal, TheRestOfARecordIsJudgedWithItsBeginningThatStands) {
  ASSERT_EQ(WalRun(kHardlyAny), std::set<std::string>());
  const auto pair = PairWithARecordAcross();
  ASSERT_EQ(pair.size(), 2u) << "the world has no record that leads across";
  FlipAt(pair[1], 40 + 24);  // behind the page header
  EXPECT_EQ(WalRun(kHardlyAny), (std::set<std::string>{"F15"}));
  EXPECT_EQ(WalRun(kHardlyAny), (std::set<std::string>{"F15"})) << "and not once alone";
}

TEST_F(BackupMemoryOfWal, TheBeginningOfARecordIsJudgedWithItsRestThatStands) {
  ASSERT_EQ(WalRun(kHardlyAny), std::set<std::string>());
  const auto pair = PairWithARecordAcross();
  ASSERT_EQ(pair.size(), 2u) << "the world has no record that leads across";
  FlipAt(pair[0], -2);
  EXPECT_EQ(WalRun(kHardlyAny), (std::set<std::string>{"F15"}));
  EXPECT_EQ(WalRun(kHardlyAny), (std::set<std::string>{"F15"})) << "and not once alone";
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
