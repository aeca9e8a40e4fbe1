// The rule table: well-formed, every rule reachable, thresholds at n-1, n and n+1, and unknown never taken for good.

#include "decide/rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

namespace lifeboat {
namespace {

using ::testing::HasSubstr;

const RegionName kEast("us-east-1");
const RegionName kWest("us-west-2");
const RegionName kWitness("eu-west-1");
const RegionName kSouth("ap-south-1");

DatabaseState Primary() {
  DatabaseState state;
  state.process_alive = state.accepting = true;
  state.in_recovery = false;
  state.system_id = SystemId("7001");
  state.timeline = 1;
  state.flushed = Lsn{0x5000};
  return state;
}
DatabaseState Standby() {
  DatabaseState state = Primary();
  state.in_recovery = true;
  state.replayed = state.flushed;
  state.upstream = "127.0.1.1";
  return state;
}
DatabaseState Dead() {
  DatabaseState state;
  state.problem = "connection refused";
  return state;
}
PeerFacts Peer(RegionKind kind, std::optional<DatabaseState> database = std::nullopt) {
  PeerFacts peer;
  peer.kind = kind;
  peer.answers = true;
  peer.age = 100ms;
  peer.database = std::move(database);
  peer.agent = AgentId("peer");
  peer.heartbeat_seen = 100;
  return peer;
}
LossEstimate Bounded(Duration time, std::uint64_t bytes) {
  LossEstimate loss;
  loss.kind = LossEstimate::Kind::kBounded;
  loss.time = time;
  loss.bytes = {bytes};
  return loss;
}
LossEstimate Zero() {
  LossEstimate loss;
  loss.kind = LossEstimate::Kind::kProvenZero;
  return loss;
}
Execution Some(PlanKind kind, const RegionName& source, const RegionName& target, const RegionName& owner) {
  Execution e;
  e.id = ExecutionId("x-1");
  e.kind = kind;
  e.source = source;
  e.target = target;
  e.owner = owner;
  e.owner_agent = AgentId("another-run");
  return e;
}

/// us-east-1 holds epoch 7 and serves; us-west-2 is its candidate; all is well. As `self` sees it.
Snapshot Healthy(const RegionName& self) {
  Snapshot s;
  s.now = Instant{1000s, 1000s};
  s.wall = {1'800'000'000'000'000'000};
  s.self = self;
  s.kind = self == kWitness ? RegionKind::kWitness : RegionKind::kData;
  s.first_primary = kEast;
  s.policy.automation = Automation::kAct;
  s.policy.loss_limit = LossLimit{10s, {1 << 20}};
  LeaseItem item;
  item.epoch = {7};
  item.holder = kEast;
  item.holder_agent = AgentId("east-run");
  item.candidates = {kWest};
  item.length = 3s;
  s.lease.store_answers = true;
  s.lease.item = item;
  s.lease.counter_age = 200ms;
  s.lease.takeover_bar = "lease not yet run out";
  s.guard_answers = true;
  s.journal_read = true;
  s.heartbeat_written = 100;
  if (self == kEast) {
    s.lease.held_here = s.lease.held_by_this_run = s.lease.valid = true;
    s.lease.left = 2s;
    s.lease.takeover_bar = "holds the lease itself";
    s.database = Primary();
  }
  if (self == kWest) s.database = Standby();
  if (self != kEast) s.peers[kEast] = Peer(RegionKind::kData, Primary());
  if (self != kWest) s.peers[kWest] = Peer(RegionKind::kData, Standby());
  if (self != kWitness) s.peers[kWitness] = Peer(RegionKind::kWitness);
  return s;
}

/// us-east-1 is silent, its lease has run out; as us-west-2 sees it, which may take over.
Snapshot Lost() {
  Snapshot s = Healthy(kWest);
  s.peers[kEast].answers = false;
  s.peers[kEast].age = 4s;
  s.database->upstream.clear();
  s.lease.counter_age = 3100ms;
  s.lease.may_take_over = true;
  s.lease.takeover_bar = "none";
  s.loss = Bounded(3s, 1000);
  return s;
}

/// us-east-1 holds the lease and its database is dead.
Snapshot DeadDatabase() {
  Snapshot s = Healthy(kEast);
  s.database = Dead();
  s.database_down = 500ms;
  return s;
}

/// The epoch was ended by its holder in favour of us-west-2.
Snapshot Released() {
  Snapshot s = Lost();
  s.lease.item->released = Release{kWest, "{}"};
  s.loss = Zero();
  return s;
}

/// A third data region, which follows and is a candidate too; it holds as much as us-west-2 and stands after it.
void AddSouth(Snapshot& s, std::uint64_t flushed = 0x5000) {
  DatabaseState standby = Standby();
  standby.flushed = standby.replayed = Lsn{flushed};
  PeerFacts south = Peer(RegionKind::kData, standby);
  south.guard_answers = true;
  south.order = 3;
  s.order = 1;
  s.peers[kSouth] = south;
  s.lease.item->candidates = {kSouth, kWest};
}

/// A majority has called the primary degraded for long enough; as us-west-2 sees it.
Snapshot DegradedPrimary(DegradedAction action) {
  Snapshot s = Healthy(kWest);
  s.policy.degraded_action = action;
  s.policy.degraded_after = 30s;
  s.cool_down_read = true;
  s.votes.agents = 3;
  s.votes.degraded = 2;
  s.votes.majority_for = 30s;
  s.votes.why = "us-west-2: connection refused; eu-west-1: connection refused";
  return s;
}

/// us-west-2 had claimed epoch 8 and gave it to ap-south-1, which held more; as us-west-2 sees it.
Snapshot Yielded() {
  Snapshot s = Healthy(kWest);
  AddSouth(s);
  s.lease.item->epoch = {8};
  s.lease.item->holder = kWest;
  s.lease.item->candidates = {kSouth};
  s.lease.item->released = Release{kSouth, R"({"reason": "yielded", "source": "us-east-1", "epoch": 7})"};
  s.lease.released_here = true;
  s.lease.counter_age = 7s;
  s.lease.takeover_bar = "holds the lease itself";
  s.peers[kEast].answers = false;
  s.loss = Bounded(1s, 100);
  return s;
}

struct RuleCase {
  int rule;
  const char* story;
  Proposal proposal;
  bool withheld;
  std::function<Snapshot()> snapshot;
};
void PrintTo(const RuleCase& c, std::ostream* out) { *out << c.rule << ": " << c.story; }

const RuleCase kCases[] = {
    {50, "writable without a lease", Proposal::kStopDatabase, false,
     [] {
       Snapshot s = Healthy(kWest);
       s.database = Primary();
       return s;
     }},
    {60, "an execution of an earlier run", Proposal::kAdoptExecution, false,
     [] {
       Snapshot s = Healthy(kWest);
       s.execution = Some(PlanKind::kSwitchover, kEast, kWest, kWest);
       return s;
     }},
    {65, "the heir that ran the switchover is gone", Proposal::kAdoptExecution, false,
     [] {
       Snapshot s = Healthy(kEast);
       s.execution = Some(PlanKind::kSwitchover, kEast, kWest, kWest);
       s.execution_owner_silent = 7s;
       return s;
     }},
    {70, "nothing read from the store", Proposal::kNothing, true,
     [] {
       Snapshot s = Healthy(kWest);
       s.lease = LeaseFacts{};
       return s;
     }},
    {80, "an empty store, on the first primary", Proposal::kFoundService, false,
     [] {
       Snapshot s = Healthy(kEast);
       s.lease = LeaseFacts{};
       s.lease.store_empty = s.lease.store_answers = true;
       s.database = Dead();
       return s;
     }},
    {85, "an empty store, elsewhere", Proposal::kNothing, true,
     [] {
       Snapshot s = Healthy(kWest);
       s.lease = LeaseFacts{};
       s.lease.store_empty = s.lease.store_answers = true;
       return s;
     }},
    {200, "a switchover that runs", Proposal::kNothing, false,
     [] {
       Snapshot s = Healthy(kEast);
       s.execution = Some(PlanKind::kSwitchover, kEast, kWest, kWest);
       s.execution_owner_silent = 1s;
       return s;
     }},
    {202, "restarted, and the store is an old copy", Proposal::kNothing, true,
     [] {
       Snapshot s = Healthy(kEast);
       s.lease.held_by_this_run = s.lease.valid = false;
       s.peers.begin()->second.highest = Next(s.lease.item->epoch);
       return s;
     }},
    {205, "the agent was restarted in time", Proposal::kAdoptLease, false,
     [] {
       Snapshot s = Healthy(kEast);
       s.lease.held_by_this_run = s.lease.valid = false;
       return s;
     }},
    {210, "the lease ran out and nobody took over", Proposal::kNothing, true,
     [] {
       Snapshot s = Healthy(kEast);
       s.lease.valid = false;
       s.database = Dead();
       return s;
     }},
    {220, "no guard", Proposal::kNothing, true,
     [] {
       Snapshot s = DeadDatabase();
       s.guard_answers = false;
       return s;
     }},
    {225, "the journal has not been read", Proposal::kNothing, true,
     [] {
       Snapshot s = DeadDatabase();
       s.journal_read = false;
       return s;
     }},
    {230, "dead, an heir with everything, policy failover", Proposal::kReleaseDead, false,
     [] {
       Snapshot s = DeadDatabase();
       s.policy.database_failure = DatabaseFailure::kFailover;
       s.ready_heir = kWest;
       s.loss = Zero();
       return s;
     }},
    {235, "dead, not yet assessed, policy failover", Proposal::kNothing, false,
     [] {
       Snapshot s = DeadDatabase();
       s.policy.database_failure = DatabaseFailure::kFailover;
       return s;
     }},
    {240, "the restart budget is spent", Proposal::kReleaseDead, false,
     [] {
       Snapshot s = DeadDatabase();
       s.database_down = 11s;
       s.ready_heir = kWest;
       s.loss = Bounded(1s, 100);
       return s;
     }},
    {250, "dead, policy restart", Proposal::kStartPrimary, false, [] { return DeadDatabase(); }},
    {255, "serving, and the name leads elsewhere", Proposal::kRoute, false,
     [] {
       Snapshot s = Healthy(kEast);
       s.traffic = TrafficFacts{"10.0.2.1", false, Epoch{7}};
       return s;
     }},
    {260, "a proven standby", Proposal::kAdmitStandby, false,
     [] {
       Snapshot s = Healthy(kEast);
       s.lease.item->candidates.clear();
       return s;
     }},
    {265, "a candidate that is ahead of the fork", Proposal::kDropCandidate, false,
     [] {
       Snapshot s = Healthy(kEast);
       s.peers[kWest].detached = true;
       s.peers[kWest].candidate_for = 10s;
       return s;
     }},
    {270, "serving, and called degraded by the others", Proposal::kNothing, false,
     [] {
       Snapshot s = Healthy(kEast);
       s.votes = DegradedPrimary(DegradedAction::kTell).votes;
       return s;
     }},
    {285, "serving, and a higher epoch stands beside the name", Proposal::kNothing, true,
     [] {
       Snapshot s = Healthy(kEast);
       s.traffic = TrafficFacts{"10.0.2.1", false, Epoch{8}};
       return s;
     }},
    {290, "all is well", Proposal::kNothing, false, [] { return Healthy(kEast); }},
    {295, "the heir did not come", Proposal::kReclaim, false,
     [] {
       Snapshot s = Healthy(kEast);
       s.lease.item->released = Release{kWest, "{}"};
       s.lease.held_here = s.lease.held_by_this_run = s.lease.valid = false;
       s.lease.released_here = true;
       s.lease.counter_age = 7s;
       s.database = Dead();
       return s;
     }},
    {296, "given to a region that was lost as well", Proposal::kReclaim, false,
     [] {
       Snapshot s = Yielded();
       s.peers[kSouth].answers = false;
       return s;
     }},
    {298, "the heir may still come", Proposal::kNothing, false,
     [] {
       Snapshot s = Healthy(kEast);
       s.lease.item->released = Release{kWest, "{}"};
       s.lease.held_here = s.lease.held_by_this_run = s.lease.valid = false;
       s.lease.released_here = true;
       s.lease.counter_age = 1s;
       s.database = Dead();
       return s;
     }},
    {310, "an old primary came back", Proposal::kNothing, true,
     [] {
       Snapshot s = Healthy(kWest);
       s.lease.item->candidates.clear();
       s.detached = true;
       s.database = Dead();
       return s;
     }},
    {312, "ahead of the primary's history", Proposal::kNothing, true,
     [] {
       Snapshot s = Healthy(kWest);
       s.ahead = "the copy here holds WAL up to 0/6000, and 'us-east-1' left its timeline at 0/5000";
       return s;
     }},
    {320, "a standby that does not run", Proposal::kStartStandby, false,
     [] {
       Snapshot s = Healthy(kWest);
       s.database = Dead();
       return s;
     }},
    {322, "another primary serves, and this standby streams from nobody", Proposal::kFollow, false,
     [] {
       Snapshot s = Healthy(kWest);
       s.database->upstream.clear();
       s.not_following = 0s;
       return s;
     }},
    {330, "the holder is silent and this is no candidate", Proposal::kNothing, true,
     [] {
       Snapshot s = Lost();
       s.lease.item->candidates.clear();
       s.lease.may_take_over = false;
       return s;
     }},
    {340, "lost, but automation only observes", Proposal::kNothing, true,
     [] {
       Snapshot s = Lost();
       s.policy.automation = Automation::kObserve;
       return s;
     }},
    {343, "lost, but the store is silent", Proposal::kNothing, true,
     [] {
       Snapshot s = Lost();
       s.lease.store_answers = false;
       s.lease.store_problem = "the agent of 'eu-west-1' does not answer";
       return s;
     }},
    {345, "lost, but the standby does not answer", Proposal::kNothing, true,
     [] {
       Snapshot s = Lost();
       s.database->accepting = false;
       return s;
     }},
    {347, "lost, but there is no guard here", Proposal::kNothing, true,
     [] {
       Snapshot s = Lost();
       s.guard_answers = false;
       return s;
     }},
    {350, "lost again, soon after a takeover", Proposal::kNothing, true,
     [] {
       Snapshot s = Lost();
       s.since_takeover = 10min;
       return s;
     }},
    {360, "lost, above the loss limit", Proposal::kNothing, true,
     [] {
       Snapshot s = Lost();
       s.loss = Bounded(11s, 100);
       return s;
     }},
    {370, "released to this region", Proposal::kFailover, false, [] { return Released(); }},
    {375, "lost, and another standby holds more", Proposal::kNothing, false,
     [] {
       Snapshot s = Lost();
       AddSouth(s, 0x5001);
       s.takeover_open = 999ms;
       return s;
     }},
    {380, "lost", Proposal::kFailover, false, [] { return Lost(); }},
    {381, "degraded, and the policy tells", Proposal::kNothing, false, [] { return DegradedPrimary(DegradedAction::kTell); }},
    {382, "degraded, and this region could not take over", Proposal::kNothing, true,
     [] {
       Snapshot s = DegradedPrimary(DegradedAction::kSwitchover);
       s.guard_answers = false;
       return s;
     }},
    {383, "degraded, and another standby holds more", Proposal::kNothing, false,
     [] {
       Snapshot s = DegradedPrimary(DegradedAction::kSwitchover);
       AddSouth(s, 0x5001);
       return s;
     }},
    {384, "degraded, and the policy asks", Proposal::kNothing, true, [] { return DegradedPrimary(DegradedAction::kAsk); }},
    {385, "silent, and its lease still runs", Proposal::kNothing, false,
     [] {
       Snapshot s = Lost();
       s.lease.may_take_over = false;
       s.lease.counter_age = 1500ms;
       s.lease.takeover_bar = "lease not yet run out";
       s.lease.takeover_left = 1515ms;
       return s;
     }},
    {386, "degraded, and the policy moves", Proposal::kMove, false, [] { return DegradedPrimary(DegradedAction::kSwitchover); }},
    {390, "all is well", Proposal::kNothing, false, [] { return Healthy(kWest); }},
    {490, "all is well", Proposal::kNothing, false, [] { return Healthy(kWitness); }},
    {990, "held by name only, and nothing known", Proposal::kNothing, true,
     [] {
       // The item names this region, which neither holds it nor has ended it: no such state is known.
       Snapshot s = Healthy(kEast);
       s.lease.held_here = s.lease.held_by_this_run = s.lease.valid = false;
       s.database = Dead();
       return s;
     }},
};

class EveryRule : public ::testing::TestWithParam<RuleCase> {};

TEST_P(EveryRule, DecidesInItsOwnStory) {
  const RuleCase& c = GetParam();
  const Decision d = Decide(c.snapshot());
  EXPECT_EQ(d.rule, c.rule) << d.sentence << ": " << d.reason;
  EXPECT_EQ(d.proposal, c.proposal) << ToString(d.proposal);
  EXPECT_EQ(d.withheld, c.withheld);
  EXPECT_FALSE(d.sentence.empty());
  EXPECT_FALSE(d.reason.empty());
  // What is withheld says what would change that.
  EXPECT_EQ(d.withheld, !d.unblock.empty());
}

TEST_P(EveryRule, ProposesNoChangeWhereAutomationOnlyObserves) {
  Snapshot s = GetParam().snapshot();
  s.policy.automation = Automation::kObserve;
  const Decision d = Decide(s);
  const std::set<Proposal> harmless = {Proposal::kNothing, Proposal::kAdoptLease, Proposal::kAdoptExecution};
  EXPECT_TRUE(harmless.contains(d.proposal)) << d.rule << " proposes to " << ToString(d.proposal);
}

INSTANTIATE_TEST_SUITE_P(Rules, EveryRule, ::testing::ValuesIn(kCases),
                         [](const auto& one) { return "Rule" + std::to_string(one.param.rule); });

TEST(Rules, ARunThatHasNotReadTheJournalReplacesNobodySinceItMayOwnTheSwitchover) {
  Snapshot s = Lost();
  ASSERT_EQ(Decide(s).proposal, Proposal::kFailover);
  s.journal_read = false;
  EXPECT_EQ(Decide(s).proposal, Proposal::kNothing);
}

TEST(Rules, WhatACandidatesAgentSaidBeforeItBecameOneDropsItNot) {
  Snapshot s = Healthy(kEast);
  PeerFacts& west = s.peers[kWest];
  west.detached = true;  // the answer to a question of before its rejoin was done
  west.age = 250ms;
  west.candidate_for = std::nullopt;
  EXPECT_NE(Decide(s).rule, 265) << "not known since when it is one";
  for (const auto& [candidate_for, dropped] : {std::pair(100ms, false), std::pair(250ms, false), std::pair(251ms, true)}) {
    west.candidate_for = candidate_for;
    EXPECT_EQ(Decide(s).rule == 265, dropped) << candidate_for.count() << " ms";
  }
  west.age.reset();
  EXPECT_NE(Decide(s).rule, 265);
}

TEST(Rules, ALeaseThatFencesNothingIsTakenOverByNobodyWithoutAPersonsWord) {
  Snapshot s = Lost();
  ASSERT_EQ(Decide(s).proposal, Proposal::kFailover);
  s.lease.item->observed = true;
  const Decision d = Decide(s);
  EXPECT_EQ(d.rule, 340);
  EXPECT_TRUE(d.withheld);
  EXPECT_THAT(d.reason, HasSubstr("fences nothing"));
  EXPECT_THAT(d.unblock, HasSubstr("--attest"));
  // Released means stopped, whoever observed.
  s.lease.item->released = Release{kWest, {}};
  s.loss = Zero();
  EXPECT_EQ(Decide(s).rule, 370);
}

TEST(Rules, AHolderWhoseLeaseFencesNothingYetIsNotStoppedOverIt) {
  Snapshot s = Healthy(kEast);
  s.lease.valid = false;
  ASSERT_EQ(Decide(s).rule, 50);
  s.lease.item->observed = true;
  EXPECT_NE(Decide(s).rule, 50) << "nobody can have taken over";
  s.peers[kWest].highest = Epoch{8};
  EXPECT_EQ(Decide(s).rule, 50) << "but by a person's word";
}

TEST(Rules, AServerThatWasAPrimaryAndSaysNothingIsEndedWhereNoGuardWouldEndIt) {
  // Its connection slots may be used up: it answers no agent, and may serve clients still.
  Snapshot s = Healthy(kWest);
  s.detached = true;
  s.guard_answers = false;
  s.database = Dead();
  s.database->process_alive = true;
  s.lease.item->candidates.clear();
  ASSERT_EQ(Decide(s).rule, 50);
  EXPECT_EQ(Decide(s).proposal, Proposal::kStopDatabase);
  Snapshot guarded = s;
  guarded.guard_answers = true;
  EXPECT_NE(Decide(guarded).rule, 50) << "the guard sees it and ends it";
  Snapshot never = s;
  never.detached = false;
  EXPECT_NE(Decide(never).rule, 50) << "a standby that is starting says nothing either";
  Snapshot none = s;
  none.database->process_alive = false;
  EXPECT_NE(Decide(none).rule, 50);
  Snapshot says = s;
  says.database = Standby();
  EXPECT_NE(Decide(says).rule, 50);
}

TEST(Rules, NumbersGrowAndSentencesAreSentences) {
  int last = 0;
  std::set<std::string> sentences;
  for (const Rule& rule : AllRules()) {
    EXPECT_GT(rule.number, last);
    last = rule.number;
    const std::string text = rule.sentence;
    EXPECT_TRUE(sentences.insert(text).second) << "twice: " << text;
    EXPECT_GT(text.size(), 10u) << rule.number;
    EXPECT_FALSE(text.ends_with('.')) << rule.number;
  }
}

TEST(Rules, EveryRuleHasAStory) {
  std::set<int> told;
  for (const RuleCase& c : kCases) told.insert(c.rule);
  for (const Rule& rule : AllRules()) EXPECT_TRUE(told.contains(rule.number)) << "no snapshot reaches rule " << rule.number;
  EXPECT_EQ(told.size(), AllRules().size());
}

TEST(Rules, TheDocumentHoldsTheTable) {
  std::ifstream file(std::string(LIFEBOAT_SOURCE_DIR) + "/docs/failure-detection.md");
  ASSERT_TRUE(file) << "docs/failure-detection.md is not there";
  std::stringstream text;
  text << file.rdbuf();
  std::set<std::string> lines;
  for (std::string line; std::getline(text, line);) lines.insert(line);
  for (const Rule& rule : AllRules()) {
    const std::string line = "| " + std::to_string(rule.number) + " | " + rule.sentence + " |";
    EXPECT_TRUE(lines.contains(line)) << "missing: " << line;
  }
}

// ---- the service's name ----

TEST(ServiceName, IsPointedWhereItLeadsElsewhereOrCarriesAnEarlierEpochAndOnlyThere) {
  Snapshot s = Healthy(kEast);
  const auto rule_with = [&s](std::optional<TrafficFacts> traffic) {
    s.traffic = std::move(traffic);
    return Decide(s).rule;
  };
  EXPECT_EQ(rule_with(TrafficFacts{"10.0.1.1", true, Epoch{7}}), 290);
  EXPECT_EQ(rule_with(std::nullopt), 290) << "what was not read is no reason to write";
  EXPECT_EQ(rule_with(TrafficFacts{"10.0.2.1", false, Epoch{7}}), 255);
  EXPECT_EQ(rule_with(TrafficFacts{"10.0.2.1", false, Epoch{6}}), 255);
  EXPECT_EQ(rule_with(TrafficFacts{"10.0.1.1", true, Epoch{6}}), 255) << "a writer of epoch 6 could still come through";
  EXPECT_EQ(rule_with(TrafficFacts{"10.0.1.1", true, std::nullopt}), 255);
  EXPECT_EQ(rule_with(TrafficFacts{}), 255) << "there is no such name";
  EXPECT_EQ(rule_with(TrafficFacts{"10.0.2.1", false, Epoch{8}}), 285);
  EXPECT_EQ(rule_with(TrafficFacts{"10.0.1.1", true, Epoch{8}}), 285);
}

TEST(ServiceName, IsLeftToAnExecutionThatMovesTheServiceAndNotToOneThatRejoinsARegion) {
  Snapshot s = Healthy(kEast);
  s.traffic = TrafficFacts{"10.0.2.1", false, Epoch{7}};
  s.execution = Some(PlanKind::kRejoin, kWest, kEast, kWest);
  EXPECT_EQ(Decide(s).rule, 255);
  // A failover to here that has promoted: its own next step is to route.
  s.execution = Some(PlanKind::kFailover, kWest, kEast, kEast);
  s.execution_runs_here = true;
  s.execution->steps = {StepRecord{}};
  s.execution->steps[0].name = "promote";
  s.execution->steps[0].state = StepState::kDone;
  EXPECT_EQ(Decide(s).rule, 290);
}

TEST(ServiceName, IsPointedByNobodyWhoDoesNotServe) {
  Snapshot s = Healthy(kEast);
  s.traffic = TrafficFacts{"10.0.2.1", false, Epoch{6}};
  Snapshot dead = s;
  dead.database = Dead();
  Snapshot lapsed = s;
  lapsed.lease.valid = false;
  Snapshot unread = s;
  unread.journal_read = false;
  Snapshot standby = Healthy(kWest);
  standby.traffic = s.traffic;
  for (const Snapshot& each : {dead, lapsed, unread, standby}) EXPECT_NE(Decide(each).proposal, Proposal::kRoute);
}

// ---- votes ----

TEST(Votes, MoveThePrimaryAtTheStatedTimeAndNotBefore) {
  Snapshot s = DegradedPrimary(DegradedAction::kSwitchover);
  ASSERT_EQ(Decide(s).rule, 386);
  s.votes.majority_for = 29999ms;
  EXPECT_EQ(Decide(s).rule, 390);
  s.votes.majority_for.reset();
  EXPECT_EQ(Decide(s).rule, 390);
}

TEST(Votes, MakeTheVerdictDegradedAndNeverLost) {
  for (const RegionName& self : {kEast, kWest, kWitness}) {
    Snapshot s = Healthy(self);
    EXPECT_EQ(Decide(s).verdicts.at(kEast), Verdict::kHealthy);
    s.votes = DegradedPrimary(DegradedAction::kTell).votes;
    EXPECT_EQ(Decide(s).verdicts.at(kEast), Verdict::kDegraded) << self.text;
  }
}

TEST(Votes, DoNotMoveTwiceBeforeAPersonHasClearedTheCoolDown) {
  Snapshot s = DegradedPrimary(DegradedAction::kSwitchover);
  s.cool_down = CoolDown{{1'800'000'000'000'000'000}, "rule 386", "disk", kWest, kEast, "x-1"};
  const Decision d = Decide(s);
  EXPECT_EQ(d.rule, 384);
  EXPECT_TRUE(d.withheld);
  EXPECT_THAT(d.unblock, HasSubstr("lifeboat cool-down clear"));
  s.cool_down.reset();
  s.cool_down_read = false;
  EXPECT_EQ(Decide(s).rule, 382) << "not known is not clear";
}

TEST(Votes, DoNotMoveSoonAfterATakeoverByLease) {
  Snapshot s = DegradedPrimary(DegradedAction::kSwitchover);
  s.since_takeover = 59min;
  EXPECT_EQ(Decide(s).rule, 384);
  s.since_takeover = 61min;
  EXPECT_EQ(Decide(s).rule, 386);
}

TEST(Votes, LeaveASuspectHolderToTheLease) {
  Snapshot s = DegradedPrimary(DegradedAction::kSwitchover);
  s.lease.counter_age = 1500ms;
  EXPECT_EQ(Decide(s).rule, 385);
  s.execution = Some(PlanKind::kRejoin, kEast, kWest, kEast);
  EXPECT_EQ(Decide(s).rule, 385);
}

// ---- several standbys ----

TEST(SeveralStandbys, TheOneWithMoreGoesFirstForABoundedTime) {
  Snapshot s = Lost();
  AddSouth(s, 0x5001);
  EXPECT_EQ(Decide(s).rule, 375);
  EXPECT_EQ(Decide(s).subject, kSouth);
  s.takeover_open = 999ms;
  EXPECT_EQ(Decide(s).rule, 375);
  s.takeover_open = 1s;
  EXPECT_EQ(Decide(s).rule, 380);
}

TEST(SeveralStandbys, OfTwoThatHoldTheSameTheFirstInTheFileGoesFirst) {
  Snapshot s = Lost();
  AddSouth(s, 0x5000);
  EXPECT_EQ(Decide(s).rule, 380);
  s.order = 4;
  EXPECT_EQ(Decide(s).rule, 375);
}

TEST(SeveralStandbys, OneThatCouldNotTakeOverIsNotWaitedFor) {
  const auto rule = [](const std::function<void(PeerFacts&)>& change) {
    Snapshot s = Lost();
    AddSouth(s, 0x9000);
    change(s.peers[kSouth]);
    return Decide(s).rule;
  };
  EXPECT_EQ(rule([](PeerFacts&) {}), 375);
  EXPECT_EQ(rule([](PeerFacts& p) { p.answers = false; }), 380);
  EXPECT_EQ(rule([](PeerFacts& p) { p.age = 1001ms; }), 380) << "what it said is old";
  EXPECT_EQ(rule([](PeerFacts& p) { p.guard_answers = false; }), 380);
  EXPECT_EQ(rule([](PeerFacts& p) { p.detached = true; }), 380);
  EXPECT_EQ(rule([](PeerFacts& p) { p.database->timeline = 2; }), 380) << "positions of two histories are not compared";
  EXPECT_EQ(rule([](PeerFacts& p) { p.database->accepting = false; }), 380);
}

TEST(SeveralStandbys, AnEpochThatWasGivenAwayIsTakenUpAgainOnlyWhereItsHeirIsSilentAndTheLossAllows) {
  Snapshot s = Yielded();
  EXPECT_EQ(Decide(s).rule, 298) << "the heir answers: it may wait for a person";
  s.peers[kSouth].answers = false;
  EXPECT_EQ(Decide(s).rule, 296);
  s.loss = Bounded(11s, 100);
  EXPECT_EQ(Decide(s).rule, 298);
  s.loss.reset();
  EXPECT_EQ(Decide(s).rule, 298) << "unknown is never good";
}

TEST(SeveralStandbys, AStandbyThatWasPointedIsLeftToReconnectForAWhile) {
  Snapshot s = Healthy(kWest);
  s.database->upstream.clear();
  s.not_following = 5s;
  EXPECT_EQ(Decide(s).proposal, Proposal::kFollow);
  s.pointed = true;
  EXPECT_EQ(Decide(s).rule, 390);
  s.not_following = 5001ms;
  EXPECT_EQ(Decide(s).proposal, Proposal::kFollow);
}

// ---- the loss limit ----

TEST(LossLimit, HoldsAtItsNumberAndNotOneAbove) {
  Policy policy;
  policy.loss_limit = LossLimit{10s, {1000}};
  EXPECT_EQ(LossLimitObjection(Bounded(10s - 1ns, 999), policy), "");
  EXPECT_EQ(LossLimitObjection(Bounded(10s, 1000), policy), "");
  EXPECT_THAT(LossLimitObjection(Bounded(10s + 1ns, 1000), policy), HasSubstr("loss_limit.time"));
  EXPECT_THAT(LossLimitObjection(Bounded(10s, 1001), policy), HasSubstr("loss_limit.bytes"));
}

TEST(LossLimit, UnknownIsNeverGood) {
  Policy policy;
  policy.loss_limit = LossLimit{std::chrono::hours(1000), {~0ull}};
  EXPECT_THAT(LossLimitObjection(std::nullopt, policy), HasSubstr("unknown"));
  EXPECT_THAT(LossLimitObjection(LossEstimate{}, policy), HasSubstr("unknown"));
}

TEST(LossLimit, ProvenZeroNeedsNoLimitAndAnythingElseDoes) {
  const Policy none;
  EXPECT_EQ(LossLimitObjection(Zero(), none), "");
  EXPECT_THAT(LossLimitObjection(Bounded(1ns, 0), none), HasSubstr("no loss_limit"));
}

TEST(LossLimit, AFailoverWithALossThatIsUnknownIsWithheld) {
  Snapshot s = Lost();
  s.loss.reset();
  EXPECT_EQ(Decide(s).rule, 360);
  s.loss = LossEstimate{};
  EXPECT_EQ(Decide(s).rule, 360);
  EXPECT_THAT(Decide(s).unblock, HasSubstr("--accept-loss"));
}

TEST(LossLimit, AlsoBindsTheHeirOfARelease) {
  Snapshot s = Released();
  s.loss = LossEstimate{};
  EXPECT_EQ(Decide(s).rule, 360);
}

// ---- thresholds ----

TEST(CoolDown, EndsAtItsNumber) {
  Snapshot s = Lost();
  s.policy.cool_down = 1h;
  s.since_takeover = 1h - 1ns;
  EXPECT_EQ(Decide(s).rule, 350);
  s.since_takeover = 1h;
  EXPECT_EQ(Decide(s).rule, 380);
  s.since_takeover = 1h + 1ns;
  EXPECT_EQ(Decide(s).rule, 380);
}

TEST(CoolDown, DoesNotHoldBackTheHeirOfARelease) {
  Snapshot s = Released();
  s.since_takeover = 1s;
  EXPECT_EQ(Decide(s).rule, 370);
}

TEST(RestartBudget, IsSpentOnlyBeyondItsNumber) {
  Snapshot s = DeadDatabase();
  s.policy.restart_budget = 10s;
  s.ready_heir = kWest;
  s.loss = Zero();
  s.database_down = 10s - 1ns;
  EXPECT_EQ(Decide(s).rule, 250);
  s.database_down = 10s;
  EXPECT_EQ(Decide(s).rule, 250);
  s.database_down = 10s + 1ns;
  EXPECT_EQ(Decide(s).rule, 240);
}

TEST(RestartBudget, WithoutAnHeirTheDatabaseIsStartedForEver) {
  Snapshot s = DeadDatabase();
  s.database_down = std::chrono::hours(5);
  EXPECT_EQ(Decide(s).rule, 250);
  EXPECT_THAT(Decide(s).reason, HasSubstr("no candidate says that it can"));
  s.ready_heir = kWest;
  s.loss = Bounded(11s, 1);
  EXPECT_EQ(Decide(s).rule, 250);
  EXPECT_THAT(Decide(s).reason, HasSubstr("loss_limit.time"));
}

TEST(DatabaseFailure, WithPolicyFailoverOnlyAProvenZeroIsReleasedAtOnce) {
  Snapshot s = DeadDatabase();
  s.policy.database_failure = lifeboat::DatabaseFailure::kFailover;
  s.ready_heir = kWest;
  s.loss = Bounded(1ns, 1);
  EXPECT_EQ(Decide(s).rule, 250);
  s.loss = Zero();
  EXPECT_EQ(Decide(s).rule, 230);
  // A backend that lives can still commit.
  s.database->process_alive = true;
  EXPECT_NE(Decide(s).rule, 230);
}

TEST(SwitchoverOwner, IsGivenUpOnlyBeyondTwoLengthsOfTheLease) {
  Snapshot s = Healthy(kEast);
  s.execution = Some(PlanKind::kSwitchover, kEast, kWest, kWest);
  s.execution_owner_silent = 6s;
  EXPECT_EQ(Decide(s).rule, 200);
  s.execution_owner_silent = 6s + 1ns;
  EXPECT_EQ(Decide(s).rule, 65);
}

TEST(ExecutionOwner, ThatFellSilentIsNamedWhereNobodyMayGoOnInItsPlace) {
  // Given a switchover that the heir has claimed already: the old primary's region can neither finish it nor take it back.
  Snapshot s = Healthy(kEast);
  s.execution = Some(PlanKind::kSwitchover, kEast, kWest, kWest);
  s.lease.item->epoch = {2};
  s.lease.item->holder = kWest;
  s.lease.held_here = s.lease.held_by_this_run = s.lease.valid = false;
  s.execution_owner_silent = 6s;
  EXPECT_EQ(WaitsForOwner(s), "");
  s.execution_owner_silent = 7s;
  EXPECT_EQ(WaitsForOwner(s), "its agent in 'us-west-2' has been silent for 7 s; to unblock: start the agent of 'us-west-2'");
  s.database = DatabaseState{};
  const Decision decision = Decide(s);
  EXPECT_EQ(decision.rule, 200);
  EXPECT_TRUE(decision.withheld);
  EXPECT_EQ(decision.unblock, "start the agent of 'us-west-2'");
  s.execution_runs_here = true;
  EXPECT_EQ(WaitsForOwner(s), "");
}

TEST(Heir, IsWaitedForTwoLengthsOfTheLease) {
  Snapshot s = Healthy(kEast);
  s.lease.item->released = Release{kWest, "{}"};
  s.lease.held_here = s.lease.held_by_this_run = s.lease.valid = false;
  s.lease.released_here = true;
  s.database = Dead();
  s.lease.counter_age = 6s;
  EXPECT_EQ(Decide(s).rule, 298);
  s.lease.counter_age = 6s + 1ns;
  EXPECT_EQ(Decide(s).rule, 295);
}

// ---- safety ----

TEST(Heir, OfAnEpochThatWasNeverOpenedIsNotForestalledWhileItAnswers) {
  Snapshot s = Healthy(kEast);
  s.lease.item->released =
      Release{kWest, R"({"reason":"database-dead","end":"0/3000148","loss":{"state":"bounded","seconds":2,"bytes":100}})"};
  s.lease.held_here = s.lease.held_by_this_run = s.lease.valid = false;
  s.lease.released_here = true;
  s.lease.counter_age = 60s;
  s.database = Dead();
  s.loss = Bounded(2s, 100);
  EXPECT_EQ(Decide(s).rule, 298) << "it may hold rows that are not here";
  s.peers[kWest].answers = false;
  EXPECT_EQ(Decide(s).rule, 296);
  s.loss.reset();
  EXPECT_EQ(Decide(s).rule, 298) << "an unknown loss is nobody's to take on by itself";
}

TEST(CutOffStandby, DoesNotReplaceAHealthyPrimaryWhileItsCounterMoves) {
  // Given a standby that sees nothing of the primary but its counter in the store: no agent, no stream, no canary.
  Snapshot s = Lost();
  s.lease.may_take_over = false;
  s.lease.takeover_bar = "lease not yet run out";
  for (const Duration age : {0ms, 500ms, 2900ms, 3014ms}) {
    s.lease.counter_age = age;
    const Decision d = Decide(s);
    EXPECT_EQ(d.proposal, Proposal::kNothing) << Millis(age);
    EXPECT_EQ(d.rule, 385);
  }
}

TEST(Rule50, NeverFiresOnTheLeaseOfAnEarlierRunOfThisRegion) {
  // Given an agent that was restarted: the database is writable under the guard's deadline, this run has none yet.
  Snapshot s = Healthy(kEast);
  s.lease.held_by_this_run = s.lease.valid = false;
  for (const bool store : {true, false}) {
    s.lease.store_answers = store;
    EXPECT_NE(Decide(s).rule, 50);
    EXPECT_NE(Decide(s).proposal, Proposal::kStopDatabase);
  }
}

TEST(Rule50, LeavesAPrimaryBehindAClosedGateToTheGuardUntilAnotherEpochIsKnown) {
  // Given a primary whose lease has run out, and a gate that is proven to refuse its commits.
  Snapshot s = Healthy(kEast);
  s.lease.valid = false;
  s.gate = true;
  // Then nothing is killed: the guard waits a further length of the lease for a renewal.
  EXPECT_EQ(Decide(s).rule, 210);
  EXPECT_EQ(Decide(s).proposal, Proposal::kNothing);
  EXPECT_EQ(Decide(s).verdicts.at(kEast), Verdict::kFenced);
  // When the lease is renewed, then it serves again without a restart.
  s.lease.valid = true;
  EXPECT_EQ(Decide(s).proposal, Proposal::kNothing);
  EXPECT_EQ(Decide(s).verdicts.at(kEast), Verdict::kHealthy);
  // When somebody has gone on under a higher epoch, or this region ended its own, then it is stopped at once.
  s.lease.valid = false;
  Snapshot elsewhere = s;
  elsewhere.peers[kWest].highest = Next(s.lease.item->epoch);
  EXPECT_EQ(Decide(elsewhere).rule, 50);
  s.lease.held_here = s.lease.held_by_this_run = false;
  EXPECT_EQ(Decide(s).rule, 50);
}

TEST(Rule50, FiresOnEveryOtherWritableDatabaseWithoutAValidLease) {
  Snapshot s = Healthy(kEast);
  s.lease.valid = false;
  EXPECT_EQ(Decide(s).rule, 50);
  // Released, and writable again by somebody's doing.
  s.lease.held_here = s.lease.held_by_this_run = false;
  s.lease.released_here = true;
  EXPECT_EQ(Decide(s).rule, 50);
  // Also in the middle of an execution.
  s.execution = Some(PlanKind::kSwitchover, kEast, kWest, kWest);
  s.execution_owner_silent = 0s;
  EXPECT_EQ(Decide(s).rule, 50);
}

TEST(Unknown, IsNeverGood) {
  // A database that was not looked at is no standby, no primary, and healthy to nobody.
  Snapshot s = Lost();
  s.database.reset();
  EXPECT_EQ(Decide(s).proposal, Proposal::kNothing);
  EXPECT_EQ(Decide(s).verdicts.at(kWest), Verdict::kUnknown);
  // A peer that never answered is unknown, one that fell silent is lost; neither is healthy.
  Snapshot w = Healthy(kWitness);
  w.peers[kWest].answers = false;
  w.peers[kWest].age.reset();
  EXPECT_EQ(Decide(w).verdicts.at(kWest), Verdict::kUnknown);
  w.peers[kWest].age = 10s;
  EXPECT_EQ(Decide(w).verdicts.at(kWest), Verdict::kLost);
  // An answer without a look at the database says nothing about the database.
  w.peers[kWest].answers = true;
  w.peers[kWest].database.reset();
  EXPECT_EQ(Decide(w).verdicts.at(kWest), Verdict::kUnknown);
  // While the store is silent nobody can tell whether the holder is lost.
  w = Healthy(kWitness);
  w.lease.store_answers = false;
  w.lease.counter_age = 60s;
  w.peers[kEast].answers = false;
  EXPECT_EQ(Decide(w).verdicts.at(kEast), Verdict::kUnknown);
}

TEST(Admission, NeedsARowWrittenSinceOnTheSameSystemAndTimeline) {
  const auto decide = [](const std::function<void(PeerFacts&)>& change) {
    Snapshot s = Healthy(kEast);
    s.lease.item->candidates.clear();
    change(s.peers[kWest]);
    return Decide(s).rule;
  };
  EXPECT_EQ(decide([](PeerFacts&) {}), 260);
  EXPECT_EQ(decide([](PeerFacts& p) { p.heartbeat_seen = 92; }), 260);
  EXPECT_EQ(decide([](PeerFacts& p) { p.heartbeat_seen = 91; }), 290);  // "streaming, lag 0" is no proof
  EXPECT_EQ(decide([](PeerFacts& p) { p.heartbeat_seen = 0; }), 290);
  EXPECT_EQ(decide([](PeerFacts& p) { p.database->system_id = SystemId("8"); }), 290);
  EXPECT_EQ(decide([](PeerFacts& p) { p.database->timeline = 2; }), 290);
  EXPECT_EQ(decide([](PeerFacts& p) { p.database->upstream.clear(); }), 290);
  EXPECT_EQ(decide([](PeerFacts& p) { p.detached = true; }), 290);
  EXPECT_EQ(decide([](PeerFacts& p) { p.answers = false; }), 290);
  EXPECT_EQ(decide([](PeerFacts& p) { p.database.reset(); }), 290);
}

TEST(Standby, AnOldPrimaryIsNeverStartedBeforeItWasRejoined) {
  Snapshot s = Healthy(kWest);
  s.detached = true;
  s.lease.item->candidates.clear();
  s.database = Dead();
  EXPECT_EQ(Decide(s).rule, 310);
  EXPECT_EQ(Decide(s).proposal, Proposal::kNothing);
  EXPECT_EQ(Decide(s).verdicts.at(kWest), Verdict::kDetached);
  EXPECT_THAT(Decide(s).unblock, HasSubstr("lifeboat rejoin us-west-2"));
}

TEST(DecisionJson, HoldsWhatExplainShows) {
  const Json json = ToJson(Decide(Lost()));
  EXPECT_EQ(json["rule"], 380);
  EXPECT_EQ(json["proposal"], "fail over");
  EXPECT_EQ(json["verdicts"]["us-east-1"], "lost");
  EXPECT_THAT(json["reason"].get<std::string>(), HasSubstr("was last renewed 3.1 s ago"));
}

}  // namespace
}  // namespace lifeboat
