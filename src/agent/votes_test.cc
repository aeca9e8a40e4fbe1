// Gray failure, with whole agents on fakes and virtual time: a primary that renews its lease while its clients fail.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fakes/simulation.h"

namespace lifeboat::testing {
namespace {

using ::testing::HasSubstr;

Settings VotingSettings(DegradedAction action) {
  Settings settings = SimulationSettings();
  settings.policy.degraded_action = action;
  settings.policy.degraded_after = 30s;
  settings.policy.degraded_latency = 750ms;
  settings.policy.degraded_patience = 10s;
  return settings;
}

class VotesTest : public ::testing::Test {
 protected:
  explicit VotesTest(DegradedAction action = DegradedAction::kSwitchover) : sim_(VotingSettings(action)) {}
  void Founded() {
    sim_.StartAll();
    ASSERT_TRUE(sim_.RunUntil([&] { return sim_.Healthy(sim_.east); }, 30s)) << sim_.Picture();
    sim_.time.RunFor(5s);
  }
  FakeServer& East() { return sim_.Server(sim_.east); }
  FakeServer& West() { return sim_.Server(sim_.west); }
  bool Until(const std::function<bool()>& holds, Duration limit) { return sim_.RunUntil(holds, limit); }
  bool Untouched() {
    return sim_.Item()->epoch == Epoch{1} && East().CanCommit() && East().starts_as_primary == 1 && !sim_.LastExecution();
  }
  const Decision& Of(const RegionName& region) { return sim_.AgentOf(region).decision(); }
  Json Status(const RegionName& region) { return *sim_.Ask(region, "status", Json::object()); }

  Simulation sim_;
};

class VotesThatTell : public VotesTest {
 protected:
  VotesThatTell() : VotesTest(DegradedAction::kTell) {}
};
class VotesThatAsk : public VotesTest {
 protected:
  VotesThatAsk() : VotesTest(DegradedAction::kAsk) {}
};

TEST_F(VotesTest, APrimaryThatRefusesItsClientsIsMovedOnceAMajorityHasSeenItForLongEnough) {
  Founded();
  East().refuses_clients = true;
  const Duration began = sim_.time.now();
  ASSERT_TRUE(Until([&] { return sim_.LastExecution().has_value(); }, 60s)) << sim_.Picture();
  EXPECT_GE(sim_.time.now() - began, 30s);
  EXPECT_LE(sim_.time.now() - began, 32s);
  ASSERT_TRUE(Until([&] { return sim_.Healthy(sim_.west) && !sim_.store.ValueOf("orders/current"); }, 60s)) << sim_.Picture();
  const Execution e = *sim_.LastExecution();
  EXPECT_EQ(e.kind, PlanKind::kSwitchover);
  EXPECT_EQ(e.state, ExecutionState::kDone) << sim_.Picture();
  EXPECT_EQ(e.requested_by, "rule 386");
  EXPECT_TRUE(TextAt(e.facts, "stalled").empty());
  EXPECT_EQ(sim_.Item()->epoch, Epoch{2});
  EXPECT_TRUE(East().Streams());
}

TEST_F(VotesTest, SlowCommitsAreDegradedAndNeverLost) {
  Founded();
  East().client_delay = 900ms;
  sim_.time.RunFor(20s);
  EXPECT_TRUE(Untouched()) << sim_.Picture();
  EXPECT_EQ(Of(sim_.west).verdicts.at(sim_.east), Verdict::kHealthy) << "not for long enough yet";
  ASSERT_TRUE(Until([&] { return sim_.Item()->holder == sim_.west; }, 60s)) << sim_.Picture();
  EXPECT_THAT(sim_.LastExecution()->reason, HasSubstr("the bound is 750 ms"));
  EXPECT_EQ(sim_.LastExecution()->kind, PlanKind::kSwitchover) << "slow is not dead";
}

TEST_F(VotesTest, SlowWithinTheBoundIsNothing) {
  Founded();
  East().client_delay = 700ms;
  sim_.time.RunFor(3min);
  EXPECT_TRUE(Untouched()) << sim_.Picture();
  EXPECT_EQ(NumberAt(MemberAt(Status(sim_.west), "votes"), "ok"), 3u);
}

TEST_F(VotesTest, TheStandbysOwnFailingCanaryAloneMovesNothing) {
  Founded();
  // A–B cut, both see W.
  sim_.network.cut_links.insert({sim_.east, sim_.west});
  sim_.time.RunFor(5min);
  EXPECT_TRUE(Untouched()) << sim_.Picture();
  const Json votes = MemberAt(Status(sim_.west), "votes");
  EXPECT_EQ(NumberAt(votes, "degraded"), 1u);
  EXPECT_TRUE(MemberAt(votes, "majority_ms").is_null());
}

TEST_F(VotesTest, ANonTransitiveCutMovesNothingWhicheverLinkItIs) {
  Founded();
  for (const auto& link : {std::pair(sim_.east, sim_.west), std::pair(sim_.west, sim_.witness)}) {
    sim_.network.cut_links = {link};
    sim_.time.RunFor(2min);
    EXPECT_TRUE(Untouched()) << link.first.text << sim_.Picture();
  }
}

TEST_F(VotesTest, AMajorityOfThoseThatAnswerIsNoneOfAll) {
  Founded();
  // The witness's agent, and the store with it, are away: one that calls it degraded and one that calls it well are left; then one.
  East().refuses_clients = true;
  sim_.time.RunFor(10s);
  sim_.KillAgent(sim_.witness);
  sim_.hub.processes.erase(sim_.east);  // nor does the primary's agent answer questions
  sim_.time.RunFor(1s);
  const VoteCount& votes = sim_.AgentOf(sim_.west).snapshot().votes;
  sim_.time.RunFor(3s);
  EXPECT_EQ(votes.agents, 3u);
  EXPECT_EQ(votes.degraded, 1u);
  EXPECT_EQ(votes.Unknown(), 2u);
  EXPECT_FALSE(votes.majority_for);
}

TEST_F(VotesTest, ANameServerThatIsAwayIsNoFaultOfThePrimary) {
  Founded();
  sim_.names.up = false;
  sim_.time.RunFor(3min);
  EXPECT_TRUE(Untouched()) << sim_.Picture();
  EXPECT_EQ(NumberAt(MemberAt(Status(sim_.west), "votes"), "unknown"), 3u);
}

TEST_F(VotesTest, TroubleThatPassesBeforeItsTimeMovesNothingHoweverOftenItComes) {
  Founded();
  for (int times = 0; times < 8; ++times) {
    East().refuses_clients = true;
    sim_.time.RunFor(18s);
    East().refuses_clients = false;
    sim_.time.RunFor(12s);
  }
  EXPECT_TRUE(Untouched()) << sim_.Picture();
}

TEST_F(VotesTest, TroubleWithoutAGoodStretchBetweenIsOneTrouble) {
  Founded();
  for (int times = 0; times < 12 && !sim_.LastExecution(); ++times) {
    East().refuses_clients = true;
    sim_.time.RunFor(2s);
    East().refuses_clients = false;
    sim_.time.RunFor(5s);
  }
  ASSERT_TRUE(sim_.LastExecution()) << sim_.Picture();
}

TEST_F(VotesTest, FlappingMovesTheServiceOnceAndACoolDownHoldsUntilAPersonClearsIt) {
  Founded();
  East().refuses_clients = true;
  ASSERT_TRUE(Until([&] { return sim_.Healthy(sim_.west) && !sim_.store.ValueOf("orders/current"); }, 90s)) << sim_.Picture();
  // The trouble moves with the service: whatever serves fails its clients.
  East().refuses_clients = false;
  West().refuses_clients = true;
  sim_.time.RunFor(30min);
  EXPECT_EQ(sim_.Item()->epoch, Epoch{2}) << sim_.Picture();
  EXPECT_EQ(Of(sim_.east).rule, 384);
  EXPECT_THAT(Of(sim_.east).unblock, HasSubstr("lifeboat cool-down clear"));
  const Json latch = MemberAt(Status(sim_.east), "cool_down");
  EXPECT_EQ(TextAt(latch, "by"), "rule 386");
  EXPECT_EQ(TextAt(latch, "from"), "us-east-1");
  EXPECT_THAT(TextAt(latch, "why"), HasSubstr("No space left"));
  // Also for an agent that has just begun, and after the store's host was away.
  sim_.KillAgent(sim_.east);
  sim_.KillAgent(sim_.witness);
  sim_.StartAgent(sim_.witness);
  sim_.StartAgent(sim_.east);
  sim_.time.RunFor(10min);
  EXPECT_EQ(sim_.Item()->holder, sim_.west) << sim_.Picture();
  // A person clears it: without a reason it is refused, with one it is on record.
  EXPECT_FALSE(sim_.Ask(sim_.witness, "cool-down.clear", Json{{"by", "jane"}}).ok());
  ASSERT_TRUE(sim_.Ask(sim_.witness, "cool-down.clear", Json{{"by", "jane"}, {"reason", "disk replaced"}}).ok());
  EXPECT_FALSE(sim_.Ask(sim_.witness, "cool-down.clear", Json{{"by", "jane"}, {"reason", "again"}}).ok());
  const auto& row = sim_.machines.at(sim_.witness).evidence.back();
  EXPECT_EQ(row.kind, "cool-down cleared");
  ASSERT_TRUE(Until([&] { return sim_.Healthy(sim_.east) && !sim_.store.ValueOf("orders/current"); }, 90s)) << sim_.Picture();
  EXPECT_EQ(sim_.Item()->epoch, Epoch{3});
}

TEST_F(VotesTest, ALostRegionIsReplacedWhateverCoolDownIsLatched) {
  Founded();
  East().refuses_clients = true;
  ASSERT_TRUE(Until([&] { return sim_.Healthy(sim_.west) && !sim_.store.ValueOf("orders/current"); }, 90s)) << sim_.Picture();
  sim_.time.RunFor(5s);
  sim_.KillRegion(sim_.west);
  ASSERT_TRUE(Until([&] { return East().AcceptsCommits() && sim_.Item()->holder == sim_.east; }, 30s)) << sim_.Picture();
}

TEST_F(VotesTest, AGracefulMoveThatStallsGoesOnUngracefullyByTheOldPrimarysOwnWord) {
  Founded();
  East().refuses_clients = true;
  East().times.stop = std::chrono::hours(2);  // its disk hangs: a clean shutdown never ends
  ASSERT_TRUE(Until([&] { return West().CanCommit(); }, 90s)) << sim_.Picture();
  ASSERT_TRUE(Until([&] { return !sim_.store.ValueOf("orders/current"); }, 30s)) << sim_.Picture();
  const Execution e = *sim_.LastExecution();
  EXPECT_EQ(e.kind, PlanKind::kFailover);
  EXPECT_EQ(e.state, ExecutionState::kDone);
  EXPECT_EQ(e.requested_by, "rule 370");
  EXPECT_EQ(TextAt(MemberAt(e.facts, "loss_estimate"), "state"), "proven zero") << ToJson(e).dump(1);
  EXPECT_EQ(sim_.Item()->epoch, Epoch{2});
  EXPECT_FALSE(East().ProcessesLive());
  // The switchover ended in favour of it, and the old primary's copy waits for its rejoin.
  sim_.time.RunFor(30s);
  EXPECT_EQ(Of(sim_.east).rule, 310) << sim_.Picture();
  EXPECT_TRUE(sim_.store.ValueOf("orders/cool_down"));
}

TEST_F(VotesTest, AMoveWhoseStandbyHangsGoesBackUnderTheLossLimit) {
  sim_.settings.policy.loss_limit = LossLimit{4s, {64 << 20}};
  Founded();
  East().refuses_clients = true;
  ASSERT_TRUE(Until([&] { return sim_.AgentOf(sim_.west).snapshot().votes.majority_for > 20s; }, 60s));
  // The link between the servers hangs, and rows go on being written: what would be lost grows beyond the limit.
  sim_.servers.reachable = [](const RegionName& a, const RegionName& b) {
    return a == b || b.text == "eu-west-1" || a.text == "eu-west-1";
  };
  ASSERT_TRUE(Until([&] { return sim_.LastExecution() && IsEnded(sim_.LastExecution()->state); }, 90s)) << sim_.Picture();
  EXPECT_EQ(sim_.LastExecution()->state, ExecutionState::kFailed);
  EXPECT_THAT(sim_.LastExecution()->reason, HasSubstr("loss_limit.time"));
  EXPECT_TRUE(East().AcceptsCommits()) << sim_.Picture();
  EXPECT_EQ(sim_.Item()->holder, sim_.east);
}

TEST_F(VotesTest, AnOldPrimaryThatIsLostInTheMiddleOfTheMoveIsReplacedByItsLease) {
  Founded();
  East().refuses_clients = true;
  East().times.stop = std::chrono::hours(2);
  ASSERT_TRUE(Until([&] { return East().stopping || East().stops > 0; }, 60s)) << sim_.Picture();
  sim_.KillRegion(sim_.east);
  ASSERT_TRUE(Until([&] { return West().CanCommit(); }, 30s)) << sim_.Picture();
  EXPECT_EQ(sim_.Item()->epoch, Epoch{2});
}

TEST_F(VotesTest, AnAgentThatDiesRightAfterItBeganTheMoveLeavesNoSecondOne) {
  Founded();
  East().refuses_clients = true;
  ASSERT_TRUE(Until([&] { return sim_.LastExecution().has_value(); }, 60s));
  sim_.KillAgent(sim_.west);
  sim_.time.RunFor(1s);
  sim_.StartAgent(sim_.west);
  ASSERT_TRUE(Until([&] { return !sim_.store.ValueOf("orders/current"); }, 120s)) << sim_.Picture();
  sim_.time.RunFor(10min);
  std::size_t moves = sim_.store.Read("orders/executions/").records.size();
  EXPECT_EQ(moves, 1u) << sim_.Picture();
}

TEST_F(VotesThatTell, TheVerdictIsDegradedAndNothingIsMoved) {
  Founded();
  East().refuses_clients = true;
  sim_.time.RunFor(5min);
  EXPECT_TRUE(sim_.Item()->epoch == Epoch{1} && !sim_.LastExecution()) << sim_.Picture();
  EXPECT_EQ(Of(sim_.east).rule, 270);
  EXPECT_EQ(Of(sim_.west).rule, 381);
  EXPECT_EQ(Of(sim_.witness).verdicts.at(sim_.east), Verdict::kDegraded);
  EXPECT_EQ(TextAt(Status(sim_.west), "verdict"), "degraded");
  EXPECT_FALSE(Of(sim_.west).withheld);
  // It recovers: the verdict ends after a good stretch.
  East().refuses_clients = false;
  sim_.time.RunFor(9s);
  EXPECT_EQ(Of(sim_.west).rule, 381);
  sim_.time.RunFor(5s);
  EXPECT_EQ(Of(sim_.west).rule, 390) << sim_.Picture();
}

TEST_F(VotesThatAsk, TheOneCommandIsNamed) {
  Founded();
  East().refuses_clients = true;
  sim_.time.RunFor(5min);
  EXPECT_FALSE(sim_.LastExecution()) << sim_.Picture();
  EXPECT_EQ(Of(sim_.west).rule, 384);
  EXPECT_TRUE(Of(sim_.west).withheld);
  EXPECT_EQ(Of(sim_.west).unblock, "lifeboat switchover --to us-west-2");
  const auto ordered = sim_.Ask(sim_.west, "switchover", Json{{"to", "us-west-2"}, {"by", "jane"}});
  ASSERT_TRUE(ordered.ok()) << ordered.error().Text();
  ASSERT_TRUE(Until([&] { return sim_.Healthy(sim_.west) && !sim_.store.ValueOf("orders/current"); }, 60s)) << sim_.Picture();
  EXPECT_FALSE(sim_.store.ValueOf("orders/cool_down")) << "a person's move latches nothing";
}

}  // namespace
}  // namespace lifeboat::testing
