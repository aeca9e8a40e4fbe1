// The store's content is lost, and an operator begins it anew: `lifeboat store reseed` (docs/runbooks/store-lost.md).

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "support/lab_fixture.h"

namespace lifeboat::testing_support {
namespace {

namespace fs = std::filesystem;

class StoreReseed : public LabFixture {
 protected:
  void StopStore() {
    KillPart(kWitness, "supervisor");
    KillPart(kWitness, "agent");
  }
  [[nodiscard]] fs::path StoreFile() const { return lab().FolderOf(kWitness) / "state" / "store.sqlite"; }
  void RemoveStore() const {
    ASSERT_TRUE(fs::exists(StoreFile())) << StoreFile();
    for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(StoreFile().string() + suffix);
  }
  bool AwaitRefusal(const std::string& region, const std::string& words) const {
    return Eventually([&] {
      const std::string problem = TextAt(MemberAt(StatusOf(region), "lease"), "store_problem");
      return problem.find(words) != std::string::npos && problem.find("lifeboat store reseed") != std::string::npos;
    });
  }
  [[nodiscard]] bool IsInEvidence(const std::string& region, const std::string& words) const {
    return Ask(region, "evidence.list").dump().find(words) != std::string::npos;
  }
};

TEST_F(StoreReseed, AnEmptyStoreIsRefusedAndAfterAReseedTheSamePrimaryGoesOn) {
  ASSERT_NO_FATAL_FAILURE(BringUp());
  ASSERT_NO_FATAL_FAILURE(StartClients());
  const int postmaster = PidOf(kEast, "postmaster");
  const CliAnswer whole = Cli({"store", "reseed", "--holder", kEast});
  EXPECT_EQ(whole.exit_code, 3) << whole.out << whole.err;
  EXPECT_NE(whole.err.find("the store is not lost"), std::string::npos) << whole.err;

  // when: the store comes back with nothing in it
  StopStore();
  ASSERT_NO_FATAL_FAILURE(RemoveStore());
  StartRegion(kWitness);

  // then: everybody refuses it and names the command, and the primary lives on the candidate's promises
  for (const char* region : {kEast, kWest, kWitness}) EXPECT_TRUE(AwaitRefusal(region, "below 1")) << region;
  EXPECT_TRUE(TakesWrites(kEast));
  const CliAnswer wrong = Cli({"store", "reseed", "--holder", kWest});
  EXPECT_EQ(wrong.exit_code, 3) << wrong.out << wrong.err;
  EXPECT_NE(wrong.err.find("accepts writes at this moment"), std::string::npos) << wrong.err;

  // when
  const CliAnswer reseeded = Cli({"store", "reseed", "--holder", kEast});

  // then: two epochs on, the same server
  EXPECT_EQ(reseeded.exit_code, 0) << reseeded.out << reseeded.err;
  EXPECT_TRUE(Eventually([&] { return TextAt(MemberAt(StatusOf(kEast), "lease"), "path") == "store and promises"; }));
  EXPECT_EQ(EpochSeenBy(kEast), 3U);
  ASSERT_NO_FATAL_FAILURE(AwaitRowsOn(kEast));
  EXPECT_EQ(PidOf(kEast, "postmaster"), postmaster);
  EXPECT_TRUE(IsInEvidence(kWitness, "store_reseeded"));
  ASSERT_NO_FATAL_FAILURE(Conclude());
}

TEST_F(StoreReseed, AnOldCopyIsRefusedAndALostPrimaryIsAttestedReplacedAndFencedWhenItReturns) {
  // given: a copy of the store from before a switchover
  ASSERT_NO_FATAL_FAILURE(BringUp());
  StopStore();
  const fs::path copy = lab().folder / "copy";
  fs::create_directory(copy);
  for (const char* suffix : {"", "-wal"}) {
    if (fs::exists(StoreFile().string() + suffix))
      fs::copy_file(StoreFile().string() + suffix, copy / (std::string("store") + suffix));
  }
  StartRegion(kWitness);
  AwaitWhole();
  SwitchOver(kWest);
  AwaitWhole();
  SwitchOver(kEast);
  AwaitWhole();
  ASSERT_NO_FATAL_FAILURE(StartClients());  // only now: the reseed forgets the journal, by which Conclude counts moves

  // when: it is put back, and the primary's region is lost with it
  StopStore();
  KillRegion(kEast);
  ASSERT_NO_FATAL_FAILURE(RemoveStore());
  for (const char* suffix : {"", "-wal"}) {
    const fs::path from = copy / (std::string("store") + suffix);
    if (fs::exists(from)) fs::copy_file(from, StoreFile().string() + suffix);
  }
  struct ::stat folder {};  // whose everything in it is
  ASSERT_EQ(::stat(StoreFile().parent_path().c_str(), &folder), 0);
  for (const char* suffix : {"", "-wal"}) {
    const std::string file = StoreFile().string() + suffix;
    if (!fs::exists(file)) continue;
    ASSERT_EQ(::chown(file.c_str(), folder.st_uid, folder.st_gid), 0);
  }
  StartRegion(kWitness);
  EXPECT_TRUE(AwaitRefusal(kWest, "is "));
  EXPECT_FALSE(Eventually([&] { return TakesWrites(kWest); }, 3s)) << "it took over by an old copy of the store";

  // then: the lost primary must be named, and be attested as down
  const CliAnswer other = Cli({"store", "reseed", "--holder", kWest, "--attest", std::string(kEast) + "=jane saw it dark"});
  EXPECT_EQ(other.exit_code, 3) << other.out << other.err;
  EXPECT_NE(other.err.find("'us-east-1' was the last primary"), std::string::npos) << other.err;
  const CliAnswer silent = Cli({"store", "reseed", "--holder", kEast});
  EXPECT_EQ(silent.exit_code, 3) << silent.out << silent.err;
  EXPECT_NE(silent.err.find("neither records the new epoch nor is attested as down"), std::string::npos) << silent.err;

  const std::uint64_t before = EpochSeenBy(kWest);
  const CliAnswer reseeded = Cli({"store", "reseed", "--holder", kEast, "--attest", std::string(kEast) + "=jane saw it dark"});
  EXPECT_EQ(reseeded.exit_code, 5) << reseeded.out << reseeded.err;

  // and: the standby takes over from it by the ordinary way, with the word on record
  ASSERT_NO_FATAL_FAILURE(AwaitRowsOn(kWest));
  EXPECT_EQ(EpochSeenBy(kWest), before + 3);
  EXPECT_TRUE(IsInEvidence(kWitness, "jane saw it dark"));

  // and: the old primary, back with its old word, stays closed until it is rejoined
  StartRegion(kEast);
  EXPECT_TRUE(Eventually([&] { return EpochSeenBy(kEast) == before + 3; }));
  EXPECT_FALSE(Eventually([&] { return TakesWrites(kEast); }, 2s));
  Rejoin(kEast);
  ASSERT_NO_FATAL_FAILURE(Conclude());
}

}  // namespace
}  // namespace lifeboat::testing_support
