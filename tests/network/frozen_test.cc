// Processes that stand still, and orders that are carried out across a real network.

#include <gtest/gtest.h>

#include "support/lab_fixture.h"
#include "support/write_probe.h"

namespace lifeboat::testing_support {
namespace {

class OnTheNetwork : public NetworkLab {
 protected:
  void Begin(lab::LabKnobs knobs) {
    ASSERT_NO_FATAL_FAILURE(BringUp(knobs));
    ASSERT_NO_FATAL_FAILURE(StartClients());
    const auto probing = probe_.Start(lab(), kEast);
    ASSERT_TRUE(probing) << probing.error().Text();
  }
  void End() {
    ASSERT_NO_FATAL_FAILURE(Conclude());
    probe_.Stop();
    EXPECT_EQ(FindOverlaps(probe_.Reigns()), std::vector<std::string>());
  }
  WriteProbe probe_;
};

TEST_F(OnTheNetwork, AnAgentThatStandsStillLosesItsDatabaseToTheGuardAndTheLeaseToTheStandby) {
  ASSERT_NO_FATAL_FAILURE(Begin(Quick()));
  const WallTime since = ReadWallClock();

  // when: nobody kills it, so nobody starts another
  NoteFault(kEast);
  const lab::KillReport frozen = Freeze(kEast, "agent");

  // then: fenced by its guard before another region takes writes
  const auto failover = lab::AwaitFailover(lab(), since, 30s, [](const std::string&) { return true; });
  ASSERT_TRUE(failover) << failover.error().Text();
  ASSERT_NO_FATAL_FAILURE(AwaitRowsOn(kWest));
  EXPECT_LT(probe_.LastCommitNs(kEast), probe_.FirstCommitNs(kWest, frozen.monotonic_ns));

  // when: it goes on as if nothing had been
  Thaw();

  // then
  ASSERT_TRUE(Eventually([&] { return RuleAt(kEast) == 310; })) << StatusOf(kEast).dump();
  EXPECT_FALSE(TakesWrites(kEast));
  Rejoin(kEast);
  ASSERT_NO_FATAL_FAILURE(End());
}

TEST_F(OnTheNetwork, ASwitchoverAndTheWayBackLoseNothing) {
  ASSERT_NO_FATAL_FAILURE(Begin(Quick()));
  SwitchOver(kWest);
  ASSERT_NO_FATAL_FAILURE(AwaitRowsOn(kWest));
  AwaitWhole();
  SwitchOver(kEast);
  ASSERT_NO_FATAL_FAILURE(AwaitRowsOn(kEast));
  ASSERT_NO_FATAL_FAILURE(End());
}

}  // namespace
}  // namespace lifeboat::testing_support
