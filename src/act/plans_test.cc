// The plans as graphs, and what is refused before anything is touched.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "fakes/act_world.h"

namespace lifeboat::testing {
namespace {

using ::testing::HasSubstr;

class EveryGraph : public ::testing::TestWithParam<PlanKind> {};

TEST_P(EveryGraph, IsWellFormed) {
  const Plan& plan = PlanOf(GetParam());
  std::set<std::string> before;
  int points = 0;
  for (const Step& step : plan.steps) {
    EXPECT_FALSE(before.contains(step.name)) << "twice: " << step.name;
    // In the plan's order each step stands after those that it needs: so there is no cycle, and every name exists.
    for (const std::string& name : step.after) EXPECT_TRUE(before.contains(name)) << step.name << " is after " << name;
    before.insert(step.name);
    EXPECT_NE(step.act, nullptr) << step.name;
    EXPECT_FALSE(step.does.empty()) << step.name;
    EXPECT_GT(step.timeout, 0s) << step.name;
    EXPECT_GT(step.attempts, 0) << step.name;
    points += step.point_of_no_return ? 1 : 0;
    // Whoever is waited for without an end names what an operator can do.
    EXPECT_TRUE(step.give_up_after == 0s || !step.unblock.empty()) << step.name;
  }
  EXPECT_EQ(points, GetParam() == PlanKind::kRejoin ? 0 : 1);
  EXPECT_EQ(plan.kind, GetParam());
  std::size_t always = 0;
  for (const Step& step : plan.steps) always += step.optional ? 0 : 1;
  EXPECT_EQ(FreshRecords(GetParam()).size(), always);
}

TEST_P(EveryGraph, HasOneBeginning) {
  int beginnings = 0;
  for (const Step& step : PlanOf(GetParam()).steps) beginnings += step.after.empty() ? 1 : 0;
  EXPECT_EQ(beginnings, 1);
}

INSTANTIATE_TEST_SUITE_P(Plans, EveryGraph, ::testing::Values(PlanKind::kFailover, PlanKind::kSwitchover, PlanKind::kRejoin),
                         [](const auto& plan) { return std::string(ToString(plan.param)); });

/// All steps that must be done before `name`.
std::set<std::string> Before(const Plan& plan, const std::string& name) {
  std::set<std::string> all;
  for (const std::string& one : plan.Find(name)->after) {
    all.insert(one);
    for (const std::string& more : Before(plan, one)) all.insert(more);
  }
  return all;
}

TEST(Plans, AnExternalFenceStandsBetweenTheClaimAndAllThatFollows) {
  const Plan& failover = PlanOf(PlanKind::kFailover);
  EXPECT_EQ(Before(failover, "stop-instance"), std::set<std::string>{"claim"});
  for (const char* step : {"freeze", "compare", "promote", "route"})
    EXPECT_TRUE(Before(failover, step).contains("stop-instance")) << step;
  EXPECT_FALSE(failover.Find("stop-instance")->unblock.empty());
  Execution execution;
  execution.steps = FreshRecords(PlanKind::kFailover);
  EXPECT_FALSE(HasFence(execution));
  AskForFence(execution, kEast, false);
  AskForFence(execution, kWest, true);
  EXPECT_TRUE(HasFence(execution));
  EXPECT_EQ(execution.steps.size(), failover.steps.size());
  EXPECT_EQ(execution.steps[1].name, "stop-instance");
  EXPECT_TRUE(WaitsForFence(execution));
}

TEST(Plans, DivergentWalIsSavedBeforeAnythingIsRewound) {
  const auto before = Before(PlanOf(PlanKind::kRejoin), "rebuild");
  for (const char* step : {"identify", "fence", "checkpoint", "salvage"}) EXPECT_TRUE(before.contains(step)) << step;
  EXPECT_TRUE(Before(PlanOf(PlanKind::kRejoin), "salvage").contains("fence"));
}

TEST(Plans, ASwitchoverPromotesOnlyAfterTheOldPrimaryStoppedAndReleased) {
  const auto before = Before(PlanOf(PlanKind::kSwitchover), "promote");
  for (const char* step : {"preflight", "stop", "caught-up", "release", "claim"}) EXPECT_TRUE(before.contains(step)) << step;
  EXPECT_TRUE(Before(PlanOf(PlanKind::kSwitchover), "release").contains("caught-up"));
}

TEST(Plans, ACopyBecomesACandidateOnlyAfterARowArrivedOnIt) {
  for (const PlanKind kind : {PlanKind::kSwitchover, PlanKind::kRejoin})
    EXPECT_TRUE(Before(PlanOf(kind), "admit").contains("prove"));
}

TEST(Plans, WhatTheServiceNeedsIsNeverGivenUp) {
  for (const PlanKind kind : {PlanKind::kFailover, PlanKind::kSwitchover}) {
    for (const char* name : {"promote", "route", "verify"}) EXPECT_EQ(PlanOf(kind).Find(name)->give_up_after, 0s) << name;
  }
}

TEST(EpochAllows, ItsOwnAndTheOneThatASwitchoverTakes) {
  Execution e;
  e.kind = PlanKind::kSwitchover;
  e.source = kEast;
  e.target = kWest;
  e.epoch = {7};
  LeaseItem item;
  item.holder = kEast;
  const auto allows = [&](std::uint64_t epoch, const RegionName& holder) {
    item.epoch = {epoch};
    item.holder = holder;
    return EpochAllows(e, item);
  };
  EXPECT_TRUE(allows(6, kEast));
  EXPECT_TRUE(allows(7, kEast));
  EXPECT_TRUE(allows(8, kWest));
  EXPECT_FALSE(allows(8, kEast));
  EXPECT_FALSE(allows(9, kWest));
  e.kind = PlanKind::kFailover;
  EXPECT_FALSE(allows(8, kWest));
}

class PreflightTest : public ::testing::Test {
 protected:
  Result<Unit> Switchover() { return world_.time.Await(process_.io, PreflightSwitchover(process_.doors, kEast, kWest)); }
  Result<Json> Rejoin() { return world_.time.Await(process_.io, IdentifyRejoin(process_.doors, kEast, kWest)); }
  void ExpectRefused(const std::string& why) {
    const auto answer = Switchover();
    ASSERT_FALSE(answer.ok()) << why;
    EXPECT_EQ(answer.error().retry, Retry::kRefused);
    EXPECT_THAT(answer.error().message, HasSubstr(why));
    EXPECT_EQ(world_.east.stops, 0);
    EXPECT_TRUE(world_.east.CanCommit());
  }
  /// us-west-2 is the primary of epoch 2; us-east-1 is down.
  void WestTookOver() {
    world_.east.Kill();
    world_.east.fence = true;
    world_.west.timeline = 2;
    world_.west.forks[2] = world_.west.End();
    world_.west.Started(true);
    world_.shared.item.epoch = {2};
    world_.shared.item.holder = kWest;
    process_.lease(kEast).detached = true;
  }

  ActWorld world_;
  ActProcess process_{world_, kWest, "run-1"};
};

TEST_F(PreflightTest, AHealthyPairMaySwitch) { EXPECT_TRUE(Switchover().ok()); }

TEST_F(PreflightTest, AStandbyThatLagsIsRefusedWithTheNumber) {
  world_.west.receiving = true;
  world_.servers.replication_delay = std::chrono::hours(1);
  world_.east.Commit("row");
  world_.east.wal.back().end.bytes += 40ull << 20;
  ExpectRefused("lags by 40.0 MiB");
}

TEST_F(PreflightTest, ALinkThatHangsIsRefused) {
  world_.servers.replication_delay = std::chrono::hours(1);
  ExpectRefused("has not arrived within 2 s");
}

TEST_F(PreflightTest, ACopyOfAnotherClusterIsRefused) {
  world_.west.system_id = SystemId("4711");
  ExpectRefused("has system id 4711, the primary has 7001");
}

TEST_F(PreflightTest, AStandbyThatDoesNotStreamIsRefused) {
  world_.west.receiving = false;
  ExpectRefused("does not stream from 'us-east-1'");
}

TEST_F(PreflightTest, AStandbyThatIsNoCandidateIsRefused) {
  world_.shared.item.candidates.clear();
  ExpectRefused("'us-west-2' is not a candidate");
}

TEST_F(PreflightTest, AStandbyThatDoesNotRunIsRefused) {
  world_.west.Kill();
  ExpectRefused("is not a running standby (connection refused)");
}

TEST_F(PreflightTest, APrimaryWhoseLeaseIsNotValidIsRefused) {
  world_.shared.valid = false;
  ExpectRefused("does not hold a valid lease");
}

TEST_F(PreflightTest, ARegionThatCannotBeAskedIsRefused) {
  process_.unreachable.insert(kEast);
  ExpectRefused("the primary's region cannot be asked");
  process_.unreachable = {kWest};
  ExpectRefused("the standby's region cannot be asked");
}

TEST_F(PreflightTest, AReplayThatIsPausedIsRefused) {
  world_.west.replay_paused = true;
  world_.east.Commit("row");
  world_.east.wal.back().end.bytes += 20ull << 20;
  world_.servers.Replicate();
  ExpectRefused("has replayed up to");
}

TEST_F(PreflightTest, TheServerThatItShouldBeIsIdentified) {
  WestTookOver();
  const auto identity = Rejoin();
  ASSERT_TRUE(identity.ok()) << identity.error().Text();
  EXPECT_TRUE(FlagAt(*identity, "has_data"));
  EXPECT_FALSE(FlagAt(*identity, "follows"));
  EXPECT_EQ(NumberAt(*identity, "timeline"), 1u);
  EXPECT_EQ(NumberAt(*identity, "primary_timeline"), 2u);
}

TEST_F(PreflightTest, ARejoinOfAnotherClusterIsRefusedAndNothingIsTouched) {
  WestTookOver();
  world_.east.system_id = SystemId("4711");
  const auto identity = Rejoin();
  ASSERT_FALSE(identity.ok());
  EXPECT_EQ(identity.error().retry, Retry::kRefused);
  EXPECT_THAT(identity.error().message, HasSubstr("has system id 4711, the service has 7001"));
  EXPECT_THAT(identity.error().hint, HasSubstr("nothing was touched"));
}

TEST_F(PreflightTest, ARejoinOfAServerOnALaterTimelineIsRefused) {
  WestTookOver();
  world_.east.timeline = world_.east.control_timeline = 3;
  const auto identity = Rejoin();
  ASSERT_FALSE(identity.ok());
  EXPECT_THAT(identity.error().message, HasSubstr("is on timeline 3, the primary on 2"));
}

TEST_F(PreflightTest, ARejoinOfACopyThatThisRegionItselfPromotedToALaterTimelineIsAllowed) {
  WestTookOver();
  world_.east.timeline = world_.east.control_timeline = 3;
  process_.lease(kEast).detached = true;
  process_.lease(kEast).held = {2};
  EXPECT_TRUE(Rejoin().ok()) << Rejoin().error().Text();
}

TEST_F(PreflightTest, ARejoinWithoutADataDirectoryIsACopy) {
  WestTookOver();
  world_.east.has_data = false;
  const auto identity = Rejoin();
  ASSERT_TRUE(identity.ok());
  EXPECT_FALSE(FlagAt(*identity, "has_data"));
}

TEST_F(PreflightTest, ARejoinOfADirectoryThatCannotBeReadIsNotTakenForOneWithoutData) {
  WestTookOver();
  world_.east.control_unreadable = true;
  const auto identity = Rejoin();
  ASSERT_FALSE(identity.ok());
  EXPECT_EQ(identity.error().retry, Retry::kRetry);
  EXPECT_THAT(identity.error().message, ::testing::HasSubstr("pg_controldata did not end in time"));
}

TEST_F(PreflightTest, ARejoinWaitsForAPrimaryThatServes) {
  WestTookOver();
  world_.shared.valid = false;
  ASSERT_FALSE(Rejoin().ok());
  EXPECT_EQ(Rejoin().error().retry, Retry::kRetry);
}

TEST_F(PreflightTest, ADetachedCopyIsNeverTakenAtItsWord) {
  WestTookOver();
  world_.east.upstream = kWestHost;
  world_.east.Started(false);
  ASSERT_TRUE(world_.east.Streams());
  EXPECT_FALSE(FlagAt(*Rejoin(), "follows"));
  process_.lease(kEast).detached = false;
  EXPECT_TRUE(FlagAt(*Rejoin(), "follows"));
}

}  // namespace
}  // namespace lifeboat::testing
