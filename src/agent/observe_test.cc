// policy.automation 'observe', and the ways into it and out of it: nothing is fenced then, nobody takes over on the end of such a
// lease, and no order in which guards and agents are restarted refuses or kills a healthy primary. Whole agents on virtual time.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fakes/simulation.h"

namespace lifeboat::testing {
namespace {

using ::testing::HasSubstr;

enum class First { kGuard, kAgent };

class ObserveTest : public ::testing::TestWithParam<First> {
 protected:
  /// us-east-1 serves behind its gate, us-west-2 is its candidate; automation is 'act'.
  void Founded() {
    for (const RegionName& region : {sim_.east, sim_.west}) {
      Simulation::Machine& machine = sim_.machines.at(region);
      machine.guard->gate = true;
      machine.server->gate_is_open = [&machine] { return machine.guard->GateIsOpen(machine.clock->Now()); };
    }
    sim_.StartAll();
    ASSERT_TRUE(sim_.RunUntil([&] { return sim_.Healthy(sim_.east); }, 30s)) << sim_.Picture();
    sim_.time.RunFor(5s);
  }
  void RestartGuard(const RegionName& region) {
    FakeGuardProcess& guard = *sim_.machines.at(region).guard;
    guard.Die();
    guard.observe = sim_.settings.policy.automation == Automation::kObserve;
    guard.Live();
  }
  void RestartAgent(const RegionName& region) {
    sim_.KillAgent(region);
    sim_.StartAgent(region);
  }
  /// The configuration says `automation` from now on; the primary's region is told first, as the runbook has it.
  void Switch(Automation automation, First first, Duration between = 1s) {
    sim_.settings.policy.automation = automation;
    for (const RegionName& region : {sim_.east, sim_.west}) {
      first == First::kGuard ? RestartGuard(region) : RestartAgent(region);
      Served(between);
      first == First::kGuard ? RestartAgent(region) : RestartGuard(region);
      Served(between);
    }
    RestartAgent(sim_.witness);
    Served(10s);
  }
  /// Not one commit was refused meanwhile.
  void Served(Duration meanwhile) {
    EXPECT_FALSE(sim_.RunUntil([&] { return !East().CanCommit(); }, meanwhile)) << sim_.Picture();
  }
  FakeServer& East() { return sim_.Server(sim_.east); }
  GuardState Guard(const RegionName& region) {
    return sim_.machines.at(region).guard->core().State(sim_.machines.at(region).clock->Now());
  }
  std::string CheckText(const RegionName& region) { return sim_.Ask(region, "check", Json::object())->dump(); }

  Simulation sim_;
};

TEST_P(ObserveTest, ASwitchToObserveRefusesNothingAndFromThenOnNothingIsFenced) {
  Founded();
  Switch(Automation::kObserve, GetParam());
  EXPECT_TRUE(sim_.Item()->observed);
  EXPECT_TRUE(Guard(sim_.east).held);
  EXPECT_EQ(sim_.Item()->epoch, Epoch{1});
  EXPECT_THAT(CheckText(sim_.east), HasSubstr("fence level in force: none; the gates are held open"));
  // Its agent, its guard, and both: the database serves.
  sim_.KillAgent(sim_.east);
  Served(1min);
  sim_.machines.at(sim_.east).guard->Die();
  Served(1min);
  EXPECT_EQ(East().starts_as_primary, 1);
  EXPECT_EQ(sim_.Item()->epoch, Epoch{1}) << "nobody replaces it";
  EXPECT_EQ(sim_.AgentOf(sim_.west).decision().rule, 340) << sim_.Picture();
}

TEST_P(ObserveTest, ASwitchToActKillsAndRefusesNothingAndFencesOnceTheLeaseIsHeld) {
  Founded();
  Switch(Automation::kObserve, First::kGuard);
  Switch(Automation::kAct, GetParam());
  EXPECT_FALSE(sim_.Item()->observed);
  EXPECT_TRUE(Guard(sim_.east).armed);
  EXPECT_FALSE(Guard(sim_.west).held) << "a standby is fenced again at once";
  EXPECT_EQ(East().starts_as_primary, 1);
  EXPECT_THAT(CheckText(sim_.east), HasSubstr("fence level in force in 'us-east-1': gate and guard"));
  // And it is one: without its agent it is fenced, and replaced.
  sim_.KillAgent(sim_.east);
  ASSERT_TRUE(sim_.RunUntil([&] { return !East().CanCommit(); }, 3s)) << sim_.Picture();
  ASSERT_TRUE(sim_.RunUntil([&] { return sim_.Server(sim_.west).CanCommit(); }, 10s)) << sim_.Picture();
}

TEST_P(ObserveTest, ThereAndBackAgainAndAgain) {
  Founded();
  for (int turn = 0; turn < 3; ++turn) {
    Switch(Automation::kObserve, GetParam(), 200ms);
    EXPECT_TRUE(Guard(sim_.east).held) << sim_.Picture();
    Switch(Automation::kAct, GetParam(), 200ms);
    EXPECT_TRUE(Guard(sim_.east).armed) << sim_.Picture();
  }
  EXPECT_EQ(East().starts_as_primary, 1);
  EXPECT_EQ(sim_.Item()->epoch, Epoch{1});
}

INSTANTIATE_TEST_SUITE_P(Order, ObserveTest, ::testing::Values(First::kGuard, First::kAgent),
                         [](const auto& one) { return one.param == First::kGuard ? "GuardFirst" : "AgentFirst"; });

class ObserveMixed : public ObserveTest {};

TEST_F(ObserveMixed, APrimaryThatOnlyObservedIsReplacedByNobodyWithoutAPersonsWord) {
  Founded();
  Switch(Automation::kObserve, First::kGuard);
  // Only the other region acts already when the primary's agent is lost; its database serves on, unfenced.
  sim_.KillAgent(sim_.east);
  sim_.settings.policy.automation = Automation::kAct;
  RestartGuard(sim_.west);
  RestartAgent(sim_.west);
  RestartAgent(sim_.witness);
  Served(5min);  // the world itself throws where two can commit
  EXPECT_EQ(sim_.Item()->epoch, Epoch{1});
  const Decision& decision = sim_.AgentOf(sim_.west).decision();
  EXPECT_EQ(decision.rule, 340) << sim_.Picture();
  EXPECT_THAT(decision.reason, HasSubstr("fences nothing"));
  const auto refused = sim_.Ask(sim_.west, "failover", Json{{"to", "us-west-2"}, {"by", "jane"}, {"accept_loss", true}});
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, HasSubstr("not fenced by its lease"));
  // Somebody has seen to it.
  sim_.KillRegion(sim_.east);
  const auto attested = sim_.Ask(sim_.west, "failover",
                                 Json{{"to", "us-west-2"}, {"by", "jane"}, {"accept_loss", true}, {"attest", "jane: power cut"}});
  ASSERT_TRUE(attested.ok()) << attested.error().Text();
  ASSERT_TRUE(sim_.RunUntil([&] { return sim_.Server(sim_.west).CanCommit(); }, 30s)) << sim_.Picture();
  EXPECT_FALSE(sim_.Item()->observed) << "the new primary is fenced";
}

TEST_F(ObserveMixed, WhatWasPermittedIsFencedOnUntilTheStoreSaysThatItIsNotAnyMore) {
  Founded();
  // The guard only observes by now; the agent still acts, and is lost before the store could be told anything.
  sim_.settings.policy.automation = Automation::kObserve;
  RestartGuard(sim_.east);
  sim_.settings.policy.automation = Automation::kAct;
  Served(10s);
  EXPECT_TRUE(Guard(sim_.east).armed) << "it goes on fencing, and is fed";
  sim_.KillAgent(sim_.east);
  ASSERT_TRUE(sim_.RunUntil([&] { return !East().CanCommit(); }, 3s)) << sim_.Picture();
  ASSERT_TRUE(sim_.RunUntil([&] { return sim_.Server(sim_.west).CanCommit(); }, 10s)) << sim_.Picture();
  EXPECT_EQ(sim_.Item()->epoch, Epoch{2});
}

TEST_F(ObserveMixed, AnAgentThatActsBesideAGuardThatObservesSaysSoAndRefusesNothing) {
  Founded();
  Switch(Automation::kObserve, First::kGuard);
  sim_.settings.policy.automation = Automation::kAct;
  for (const RegionName& region : {sim_.east, sim_.west, sim_.witness}) RestartAgent(region);
  Served(30s);
  EXPECT_TRUE(sim_.Item()->observed) << "nothing would stop it at the deadline";
  EXPECT_THAT(CheckText(sim_.east), HasSubstr("since its guard was started with 'observe'"));
  // Nor is anything opened beside such a guard.
  sim_.KillRegion(sim_.east);
  sim_.time.RunFor(1min);
  EXPECT_EQ(sim_.Item()->epoch, Epoch{1});
}

}  // namespace
}  // namespace lifeboat::testing
