// A region is lost with everything in it, and comes back.

#include <gtest/gtest.h>

#include <filesystem>

#include "model/database_state.h"
#include "support/lab_fixture.h"

namespace lifeboat::testing_support {
namespace {

namespace fs = std::filesystem;

class RegionLost : public LabFixture {};

TEST_F(RegionLost, IsReplacedWithinItsObjectivesAndComesBackFencedUntilItIsRejoined) {
  // given
  ASSERT_NO_FATAL_FAILURE(BringUp());
  ASSERT_NO_FATAL_FAILURE(StartClients());
  const WallTime since = ReadWallClock();

  // when: all of it dies at one instant, and nobody does anything
  const lab::KillReport fault = KillRegion(kEast);
  const auto failover = lab::AwaitFailover(lab(), since, 30s, [](const std::string&) { return true; });

  // then: moved, within the objectives
  ASSERT_TRUE(failover) << failover.error().Text();
  EXPECT_EQ(failover->target.text, kWest);
  ASSERT_NO_FATAL_FAILURE(AwaitRowsOn(kWest));
  EXPECT_LT(LongestGap(fault.monotonic_ns), lab().knobs.rto);
  EXPECT_EQ(TextAt(MemberAt(failover->facts, "loss_estimate"), "state"), "bounded") << failover->facts.dump();

  // when: it comes back, and its clients and agents are the only ones who say so
  StartRegion(kEast);
  ASSERT_TRUE(Eventually([&] { return RuleAt(kEast) == 310; })) << StatusOf(kEast).dump();

  // then: down and fenced, for as long as nobody rejoins it
  ASSERT_NO_FATAL_FAILURE(AwaitRows(100));
  EXPECT_EQ(PidOf(kEast, "postmaster"), 0);
  EXPECT_TRUE(fs::exists(lab().FolderOf(kEast) / "data" / "standby.signal"));
  EXPECT_FALSE(TakesWrites(kEast));
  EXPECT_EQ(lab::HolderOf(StatusOf(kEast)), kWest);

  // when
  const Execution rejoin = Rejoin(kEast);

  // then: what it alone held was saved before anything was rewound, and a row written since has arrived on it
  ASSERT_EQ(rejoin.state, ExecutionState::kDone);
  const StepRecord* salvage = rejoin.Find("salvage");
  const StepRecord* rebuild = rejoin.Find("rebuild");
  ASSERT_TRUE(salvage != nullptr && rebuild != nullptr);
  EXPECT_LE(salvage->ended.ns, rebuild->began.ns);
  const Divergence divergence = DivergenceFromJson(MemberAt(rejoin.facts, "divergence"));
  if (divergence.Diverged()) {
    ASSERT_FALSE(divergence.saved_in.empty());
    EXPECT_FALSE(fs::is_empty(divergence.saved_in)) << divergence.saved_in;
  }
  EXPECT_GT(NumberAt(rejoin.Find("prove")->result, "sequence"), 0U);
  EXPECT_FALSE(TakesWrites(kEast));
  ASSERT_NO_FATAL_FAILURE(Conclude());
}

}  // namespace
}  // namespace lifeboat::testing_support
