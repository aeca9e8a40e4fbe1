#include "adapters/backups/memory.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <set>

namespace lifeboat::backup {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kNow = 1'800'000'000;

class Memory : public testing::Test {
 protected:
  Memory() {
    char name[] = "/tmp/lifeboat-memory-XXXXXX";
    folder_ = mkdtemp(name);
  }
  ~Memory() override { fs::remove_all(folder_); }

  [[nodiscard]] fs::path File() const { return folder_ / "memory.sqlite"; }
  [[nodiscard]] std::unique_ptr<VerifiedMemory> Open(const std::string& source = "nightly") const {
    auto memory = VerifiedMemory::Open(File(), source);
    EXPECT_TRUE(memory.ok()) << (memory.ok() ? "" : memory.error().Text());
    return memory.ok() ? std::move(*memory) : nullptr;
  }
  static StoredIdentity Thing(const std::string& key) { return {key, 100, 1000, 2000, "SHA1 ab"}; }
  /// A share of which nothing is due.
  static VerifiedMemory::RunOptions NothingDue(const std::string& key, std::int64_t now = kNow) {
    VerifiedMemory::RunOptions run{"", false, {1, 1000}, now};
    EXPECT_FALSE(IsDue(key, 0, run.share)) << "choose another key";
    return run;
  }

  fs::path folder_;
};

TEST_F(Memory, NothingStandsThatWasNeverRead) {
  const auto memory = Open();
  memory->Begin(NothingDue("a"));
  EXPECT_FALSE(memory->Stands(Thing("a"), Level::kBytes));
}

TEST_F(Memory, AGoodReadingStandsForLaterRunsAndLowerLevels) {
  {
    const auto memory = Open();
    memory->Begin(NothingDue("a"));
    memory->Remember(Thing("a"), Level::kBytes);
    ASSERT_TRUE(memory->End(false).ok());
  }
  const auto memory = Open();
  memory->Begin(NothingDue("a", kNow + 50));
  EXPECT_EQ(memory->Stands(Thing("a"), Level::kBytes), kNow);
  EXPECT_FALSE(memory->Stands(Thing("a"), Level::kPages)) << "its pages were not looked at";
}

TEST_F(Memory, WhatChangedInAnyWayIsReadAgain) {
  const auto memory = Open();
  memory->Begin(NothingDue("a"));
  memory->Remember(Thing("a"), Level::kPages);
  ASSERT_TRUE(memory->End(false).ok());
  memory->Begin(NothingDue("a"));
  ASSERT_TRUE(memory->Stands(Thing("a"), Level::kPages));
  for (int what = 0; what < 5; ++what) {
    StoredIdentity changed = Thing("a");
    if (what == 0) ++changed.size;
    if (what == 1) ++changed.changed_ns;
    if (what == 2) ++changed.touched_ns;
    if (what == 3) changed.expected = "SHA1 ac";
    if (what == 4) changed.key = "b";
    EXPECT_FALSE(memory->Stands(changed, Level::kPages)) << what;
  }
}

TEST_F(Memory, ABadReadingIsForgottenAtOnce) {
  const auto memory = Open();
  memory->Begin(NothingDue("a"));
  memory->Remember(Thing("a"), Level::kPages);
  memory->Forget(Thing("a"));
  ASSERT_TRUE(memory->End(true).ok());
  memory->Begin(NothingDue("a"));
  EXPECT_FALSE(memory->Stands(Thing("a"), Level::kBytes));
}

TEST_F(Memory, AReadingFromTheFutureIsByAClockThatWasWrong) {
  const auto memory = Open();
  memory->Begin(NothingDue("a", kNow + 1000));
  memory->Remember(Thing("a"), Level::kPages);
  ASSERT_TRUE(memory->End(false).ok());
  memory->Begin(NothingDue("a", kNow));
  EXPECT_FALSE(memory->Stands(Thing("a"), Level::kPages));
}

TEST_F(Memory, FullMeansThatNothingStands) {
  const auto memory = Open();
  memory->Begin(NothingDue("a"));
  memory->Remember(Thing("a"), Level::kPages);
  ASSERT_TRUE(memory->End(false).ok());
  VerifiedMemory::RunOptions full = NothingDue("a");
  full.full = true;
  memory->Begin(full);
  EXPECT_FALSE(memory->Stands(Thing("a"), Level::kBytes));
}

TEST_F(Memory, SourcesDoNotStandForEachOther) {
  {
    const auto memory = Open("one");
    memory->Begin(NothingDue("a"));
    memory->Remember(Thing("a"), Level::kPages);
    ASSERT_TRUE(memory->End(true).ok());
  }
  const auto memory = Open("other");
  memory->Begin(NothingDue("a"));
  EXPECT_FALSE(memory->Stands(Thing("a"), Level::kBytes));
}

TEST_F(Memory, EverythingIsReadAgainWithinTheWholeOfItsShare) {
  for (const RollingShare share :
       {RollingShare{1, 7}, RollingShare{2, 7}, RollingShare{3, 7}, RollingShare{1, 1}, RollingShare{2, 4}}) {
    std::set<int> due_ever;
    std::uint64_t most = 0;
    for (std::uint64_t run = 0; run < share.whole; ++run) {
      std::uint64_t due = 0;
      for (int file = 0; file < 2000; ++file) {
        if (!IsDue("file " + std::to_string(file), run, share)) continue;
        ++due;
        due_ever.insert(file);
      }
      most = std::max(most, due);
    }
    EXPECT_EQ(due_ever.size(), 2000u) << share.part << "/" << share.whole;
    EXPECT_LT(most, 2000u * share.part / share.whole * 5 / 4 + 1) << "no run reads much more than its share";
  }
}

TEST_F(Memory, TheNextShareComesOnlyAfterARunThatReachedEverything) {
  constexpr RollingShare kHalf{1, 2};
  std::string first = "a";  // due in run 0, not in run 1
  for (char c = 'a'; !IsDue(first, 0, kHalf); ++c) first = std::string(1, c);
  const auto memory = Open();
  const VerifiedMemory::RunOptions run{"", false, kHalf, kNow};
  memory->Begin(run);
  memory->Remember(Thing(first), Level::kPages);
  ASSERT_TRUE(memory->End(false).ok());  // cancelled
  memory->Begin(run);
  EXPECT_FALSE(memory->Stands(Thing(first), Level::kPages)) << "still its turn";
  ASSERT_TRUE(memory->End(true).ok());
}

TEST_F(Memory, WhatAWholeRunDidNotMeetIsDropped) {
  const auto memory = Open();
  memory->Begin(NothingDue("a"));
  memory->Remember(Thing("a"), Level::kPages);
  memory->Remember(Thing("gone"), Level::kPages);
  ASSERT_TRUE(memory->End(true).ok());
  VerifiedMemory::RunOptions next = NothingDue("a");
  memory->Begin(next);
  (void)memory->Stands(Thing("a"), Level::kPages);
  ASSERT_TRUE(memory->End(true).ok());
  memory->Begin(next);
  EXPECT_TRUE(memory->Stands(Thing("a"), Level::kPages));
  EXPECT_FALSE(memory->Stands(Thing("gone"), Level::kPages));
}

TEST_F(Memory, ADamagedFileIsPutAsideAndBegunAnew) {
  { std::ofstream(File()) << "this is no database, and never was one, however long the text of it may be made to be"; }
  const auto memory = Open();
  ASSERT_NE(memory, nullptr);
  EXPECT_TRUE(fs::exists(File().string() + ".damaged"));
  memory->Begin(NothingDue("a"));
  EXPECT_FALSE(memory->Stands(Thing("a"), Level::kBytes));
  memory->Remember(Thing("a"), Level::kBytes);
  EXPECT_TRUE(memory->End(true).ok());
}

TEST_F(Memory, OnlyItsOwnerMayTouchIt) {
  (void)Open();
  struct stat about {};
  ASSERT_EQ(stat(File().c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600u);
}

TEST_F(Memory, VerifiedSetsAreKeptByTheirAge) {
  {
    const auto memory = Open();
    memory->NoteSet({"monday", 200, 3, kNow});
    memory->NoteSet({"sunday", 100, 2, kNow});
    memory->NoteSet({"monday", 200, 6, kNow + 1});
    memory->NoteSet({"saturday", 50, 3, kNow});
    memory->ForgetSet("saturday");
  }
  const auto sets = Open()->Sets();
  ASSERT_TRUE(sets.ok());
  ASSERT_EQ(sets->size(), 2u);
  EXPECT_EQ((*sets)[0].label, "sunday");
  EXPECT_EQ((*sets)[1].label, "monday");
  EXPECT_EQ((*sets)[1].level, 6);
}

TEST_F(Memory, AnIdentityIsOfTheFileAsItIs) {
  const fs::path file = folder_ / "f";
  EXPECT_FALSE(IdentityOf(file, 0, "x"));
  { std::ofstream(file) << "1234"; }
  const auto before = IdentityOf(file, 0, "x");
  ASSERT_TRUE(before);
  EXPECT_EQ(before->size, 4u);
  EXPECT_NE(IdentityOf(file, 9, "x")->key, before->key);
  // Its content changed and its time set back, as a careless copy does.
  { std::ofstream(file) << "1235"; }
  fs::last_write_time(file, fs::file_time_type::clock::now() - std::chrono::hours(1));
  const auto after = IdentityOf(file, 0, "x");
  EXPECT_NE(after->touched_ns, before->touched_ns);
}

}  // namespace
}  // namespace lifeboat::backup
