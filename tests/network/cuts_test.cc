// Cuts that drop packets without a word, between regions that are network namespaces.

#include <gtest/gtest.h>

#include <filesystem>

#include "support/lab_fixture.h"
#include "support/write_probe.h"

namespace lifeboat::testing_support {
namespace {

class Cuts : public NetworkLab {
 protected:
  void Begin(lab::LabKnobs knobs) {
    ASSERT_NO_FATAL_FAILURE(BringUp(knobs));
    ASSERT_NO_FATAL_FAILURE(StartClients());
    const auto probing = probe_.Start(lab(), kEast);
    ASSERT_TRUE(probing) << probing.error().Text();
    ASSERT_TRUE(Eventually([&] { return probe_.LastCommitNs(kEast) != 0; }));
  }
  void End() {
    ASSERT_NO_FATAL_FAILURE(Conclude());
    probe_.Stop();
    EXPECT_EQ(FindOverlaps(probe_.Reigns()), std::vector<std::string>());
  }
  /// The primary and its epoch stay as they are for `leases`, and no client waits for long.
  void ExpectUndisturbed(int leases, std::int64_t since_ns) {
    const std::int64_t until_ns = lab::MonotonicNs() + leases * lab().knobs.lease.count();
    EXPECT_FALSE(
        Eventually([&] { return EpochSeenBy(kWitness) > 1 || PidOf(kEast, "postmaster") == 0; }, leases * lab().knobs.lease));
    ASSERT_NO_FATAL_FAILURE(AwaitRowsOn(kEast));
    EXPECT_GE(lab::MonotonicNs(), until_ns);
    EXPECT_EQ(EpochSeenBy(kEast), 1U);
    EXPECT_LT(LongestGap(since_ns), 1s);
  }

  WriteProbe probe_;
};

TEST_F(Cuts, APrimaryRegionThatIsCutOffIsReplacedInFourSecondsAndNeverWritesBesideItsSuccessor) {
  // given: the default lease
  lab::LabKnobs knobs;
  ASSERT_NO_FATAL_FAILURE(Begin(knobs));
  const WallTime since = ReadWallClock();

  // when: no packet of it passes any more, and nobody is told
  NoteFault(kEast);
  const lab::CutReport cut = Cut(kEast);
  EXPECT_EQ(cut.links.size(), 6U) << "three others, both ways";
  const auto failover = lab::AwaitFailover(lab(), since, 30s, [](const std::string&) { return true; });

  // then
  ASSERT_TRUE(failover) << failover.error().Text();
  ASSERT_NO_FATAL_FAILURE(AwaitRowsOn(kWest));
  EXPECT_LT(LongestGap(cut.begun_ns), 4s);
  const std::int64_t first_of_new_ns = probe_.FirstCommitNs(kWest, cut.begun_ns);
  ASSERT_NE(first_of_new_ns, 0);
  EXPECT_LT(probe_.LastCommitNs(kEast), first_of_new_ns) << "the old primary committed for those on its side of the cut";
  // Its gate has closed; the server itself is ended a further lease later.
  EXPECT_TRUE(Eventually([&] { return PidOf(kEast, "postmaster") == 0; }, 2 * lab().knobs.lease));

  // when
  Heal();

  // then: it learns that its time is over, and waits until somebody rejoins it
  ASSERT_TRUE(Eventually([&] { return RuleAt(kEast) == 310; })) << StatusOf(kEast).dump();
  EXPECT_TRUE(std::filesystem::exists(lab().FolderOf(kEast) / "data" / "standby.signal"));
  Rejoin(kEast);
  ASSERT_NO_FATAL_FAILURE(End());
}

TEST_F(Cuts, ThatLeaveAHealthyPrimaryOneOfItsTwoPathsNeverMoveIt) {
  ASSERT_NO_FATAL_FAILURE(Begin(Quick()));
  struct Case {
    const char* from;
    const char* to;  // empty: from everybody
    bool one_way;
  };
  for (const Case& cut : {Case{kEast, kWest, false},     // both see the witness: the candidate must not act on its own view
                          Case{kEast, kWest, true},      //
                          Case{kWest, kEast, true},      //
                          Case{kEast, kWitness, false},  // the candidate's promises carry the lease
                          Case{kEast, kWitness, true},   //
                          Case{kWitness, kEast, true},   //
                          Case{kWest, "", false},        // the store carries it
                          Case{kWitness, "", false}}) {
    SCOPED_TRACE(std::string(cut.from) + (cut.one_way ? " > " : " <> ") + cut.to);
    const std::int64_t since_ns = lab::MonotonicNs();

    // when
    Cut(cut.from, cut.to, cut.one_way);

    // then: not while it lasts, and not when it is over
    ASSERT_NO_FATAL_FAILURE(ExpectUndisturbed(3, since_ns));
    Heal();
    ASSERT_NO_FATAL_FAILURE(AwaitWhole());
    ASSERT_NO_FATAL_FAILURE(ExpectUndisturbed(1, since_ns));
  }
  ASSERT_NO_FATAL_FAILURE(End());
}

}  // namespace
}  // namespace lifeboat::testing_support
