#include "decide/managed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

namespace lifeboat {
namespace {

using testing::HasSubstr;

const RegionName kEast("us-east-1");
const RegionName kWest("us-west-2");
const RegionName kNorth("ca-central-1");
const RegionName kWitness("eu-west-1");

ManagedCopy Copy(ManagedRole role) {
  ManagedCopy copy;
  copy.role = role;
  copy.id = "orders";
  copy.status = "available";
  copy.instances = 1;
  return copy;
}

/// East writes, west follows 400 ms behind as measured 40 s ago, the witness sees; seen from west.
ManagedSnapshot Quiet() {
  ManagedSnapshot s;
  s.self = kWest;
  s.policy.automation = Automation::kAct;
  s.policy.loss_limit = LossLimit{3min, {UINT64_MAX}};
  s.policy.failover_after = 30s;
  s.store_answers = true;
  s.journal_read = true;
  s.cool_down_read = true;
  s.takeover_read = true;
  s.item = WriterItem{{4}, kEast, {}, {}, {}};
  std::size_t order = 0;
  for (const RegionName& region : {kEast, kWest, kWitness}) {
    ManagedFacts& facts = s.regions[region];
    facts.order = order++;
    facts.seen_writer = kEast;
    if (region == kWitness) {
      facts.kind = RegionKind::kWitness;
      continue;
    }
    facts.copy = Copy(region == kEast ? ManagedRole::kWriter : ManagedRole::kSecondary);
    facts.copy_age = 5s;
  }
  s.regions[kWest].loss = LossByLag(400ms, 40s, std::nullopt);
  s.silence.agents = 3;
  s.votes.agents = 3;
  return s;
}

/// Two of three agents have found east silent for `d`.
ManagedSnapshot Silent(Duration d) {
  ManagedSnapshot s = Quiet();
  s.regions[kEast].agent_answers = false;
  s.regions[kEast].seen_writer = {};
  s.silence.degraded = 2;
  s.silence.majority_for = d;
  s.silence.why = "us-west-2: its agent has not answered for 40 s";
  s.own_silence.opinion = Opinion::kDegraded;
  s.regions[kWest].loss = LossByLag(400ms, 70s, 35s);
  return s;
}

Execution Running(PlanKind kind, RegionName owner) {
  Execution e;
  e.id = ExecutionId("x-1");
  e.kind = kind;
  e.source = kEast;
  e.target = kWest;
  e.owner = std::move(owner);
  return e;
}

TEST(ManagedRules, ALostWriterIsReplacedByItsSecondaryWithinTheLimit) {
  const ManagedDecision d = Decide(Silent(31s));
  EXPECT_EQ(d.rule, 650);
  EXPECT_EQ(d.proposal, ManagedProposal::kFailover);
  EXPECT_THAT(d.reason, HasSubstr("2 of 3 agents"));
  EXPECT_THAT(d.reason, HasSubstr("at most 35.4 s"));
  EXPECT_EQ(d.verdicts.at(kEast), Verdict::kLost);
}

TEST(ManagedRules, ASilenceThatHasNotLastedIsWaitedFor) {
  const ManagedDecision d = Decide(Silent(29s));
  EXPECT_EQ(d.rule, 654);
  EXPECT_EQ(d.proposal, ManagedProposal::kNothing);
  EXPECT_EQ(d.verdicts.at(kEast), Verdict::kSuspect);
}

TEST(ManagedRules, OneAgentsSilenceIsNeverALoss) {
  ManagedSnapshot s = Silent(1h);
  s.silence.degraded = 1;
  s.silence.majority_for.reset();
  const ManagedDecision d = Decide(s);
  EXPECT_EQ(d.rule, 656);
  EXPECT_EQ(d.proposal, ManagedProposal::kNothing);
}

TEST(ManagedRules, AnUnknownLossAsksAPersonAndNamesTheOneCommand) {
  ManagedSnapshot s = Silent(31s);
  s.regions[kWest].loss = LossByLag(std::nullopt, 0s, 35s);
  const ManagedDecision d = Decide(s);
  EXPECT_EQ(d.rule, 640);
  EXPECT_TRUE(d.withheld);
  EXPECT_THAT(d.reason, HasSubstr("the loss is unknown"));
  EXPECT_EQ(d.unblock, "lifeboat failover --to us-west-2 --accept-loss");
  s.regions[kWest].loss.reset();
  EXPECT_EQ(Decide(s).rule, 640);
}

TEST(ManagedRules, ALossAboveTheLimitAsksAPerson) {
  ManagedSnapshot s = Silent(31s);
  s.regions[kWest].loss = LossByLag(2min, 100s, 35s);
  const ManagedDecision d = Decide(s);
  EXPECT_EQ(d.rule, 640);
  EXPECT_THAT(d.reason, HasSubstr("loss_limit.time is 3 min"));
}

TEST(ManagedRules, ObserveAndASilentStoreBeginNothing) {
  ManagedSnapshot s = Silent(31s);
  s.store_answers = false;
  EXPECT_EQ(Decide(s).rule, 632);
  s.policy.automation = Automation::kObserve;
  const ManagedDecision d = Decide(s);
  EXPECT_EQ(d.rule, 630);
  EXPECT_EQ(d.unblock, "lifeboat failover --to us-west-2");
}

TEST(ManagedRules, ACopyThatNobodyCouldConnectToDoesNotTakeOver) {
  ManagedSnapshot s = Silent(31s);
  s.regions[kWest].copy->instances = 0;
  EXPECT_EQ(Decide(s).rule, 634);
  EXPECT_THAT(Decide(s).reason, HasSubstr("has no instance"));
  s = Silent(31s);
  s.regions[kWest].copy_age = 1min;
  EXPECT_EQ(Decide(s).rule, 634);
  s = Silent(31s);
  s.regions[kWest].copy->role = ManagedRole::kApart;
  EXPECT_EQ(Decide(s).rule, 634);
}

TEST(ManagedRules, OfTwoSecondariesTheOneThatLosesLessTakesOver) {
  ManagedSnapshot s = Silent(31s);
  ManagedFacts north;
  north.order = 3;
  north.copy = Copy(ManagedRole::kSecondary);
  north.copy_age = 1s;
  north.loss = LossByLag(100ms, 50s, 35s);
  s.regions[kNorth] = north;
  EXPECT_EQ(BestCandidate(s), kNorth);
  EXPECT_EQ(Decide(s).rule, 636);
  s.regions[kNorth].agent_answers = false;  // nobody there could act
  EXPECT_EQ(Decide(s).rule, 650);
  s.regions[kNorth].agent_answers = true;
  s.regions[kNorth].loss.reset();
  EXPECT_EQ(BestCandidate(s), kWest);
}

TEST(ManagedRules, ASecondFailoverWaitsForTheCoolDown) {
  ManagedSnapshot s = Silent(31s);
  s.since_takeover = 10min;
  const ManagedDecision d = Decide(s);
  EXPECT_EQ(d.rule, 638);
  EXPECT_TRUE(d.withheld);
  s.since_takeover = 2h;
  EXPECT_EQ(Decide(s).rule, 650);
  // Nobody could read when the last one was: that is not "long ago".
  s.since_takeover.reset();
  s.takeover_read = false;
  EXPECT_EQ(Decide(s).rule, 638);
  EXPECT_TRUE(Decide(s).withheld);
}

TEST(ManagedRules, ASwitchoverThatWaitsForALostRegionIsOvertakenAndAFailoverIsNot) {
  ManagedSnapshot s = Silent(31s);
  s.execution = Running(PlanKind::kSwitchover, kWest);
  s.execution_runs_here = true;
  EXPECT_EQ(Decide(s).rule, 650);
  s.execution = Running(PlanKind::kFailover, kWest);
  EXPECT_EQ(Decide(s).rule, 615);
}

TEST(ManagedRules, ARejoinBehindALostWriterIsOvertakenAndOneBehindAnotherIsNot) {
  ManagedSnapshot s = Silent(31s);
  s.execution = Running(PlanKind::kRejoin, kNorth);
  s.execution->source = kNorth;
  s.execution->target = kEast;
  EXPECT_EQ(Decide(s).rule, 650);
  s.execution->target = kWest;
  EXPECT_EQ(Decide(s).rule, 615);
  s = Quiet();
  s.execution = Running(PlanKind::kRejoin, kNorth);
  s.execution->target = kEast;
  EXPECT_EQ(Decide(s).rule, 615);
}

TEST(ManagedRules, AWriterWhoseCopyFollowsAnotherIsNotCalledHealthy) {
  ManagedSnapshot s = Quiet();
  EXPECT_EQ(Decide(s).verdicts.at(kEast), Verdict::kHealthy);
  s.regions[kEast].copy = Copy(ManagedRole::kSecondary);
  EXPECT_EQ(Decide(s).verdicts.at(kEast), Verdict::kDegraded);
}

TEST(ManagedRules, AnExecutionIsAdoptedFromAnOwnerThatFellSilentByOneAgentAlone) {
  ManagedSnapshot s = Quiet();
  s.execution = Running(PlanKind::kFailover, kEast);
  s.execution_owner_silent = 20s;
  EXPECT_EQ(Decide(s).rule, 615);
  s.execution_owner_silent = 31s;
  EXPECT_EQ(Decide(s).rule, 610);
  s.self = kWitness;
  EXPECT_EQ(Decide(s).rule, 615);  // the target's agent does it
  s.regions[kWest].agent_answers = false;
  EXPECT_EQ(Decide(s).rule, 610);
  s.execution->owner = kWitness;
  EXPECT_EQ(Decide(s).rule, 605);
}

TEST(ManagedRules, TheFirstWriterIsNotedOnlyWhenAMajoritySeesIt) {
  ManagedSnapshot s = Quiet();
  s.item.reset();
  s.store_empty = true;
  EXPECT_EQ(Decide(s).rule, 620);
  EXPECT_EQ(Decide(s).subject, kEast);
  s.regions[kEast].seen_writer = {};
  s.regions[kWitness].seen_writer = kWest;
  EXPECT_EQ(Decide(s).rule, 622);
  s.store_answers = false;
  s.journal_read = false;
  EXPECT_EQ(Decide(s).rule, 600);
}

TEST(ManagedRules, AWriterThatSomebodyMovedIsNotedAndNothingElseIsDone) {
  ManagedSnapshot s = Quiet();
  s.regions[kWest].seen_writer = kWest;
  EXPECT_EQ(Decide(s).rule, 680);  // one agent's view
  s.regions[kWitness].seen_writer = kWest;
  const ManagedDecision d = Decide(s);
  EXPECT_EQ(d.rule, 625);
  EXPECT_EQ(d.proposal, ManagedProposal::kNoteWriter);
  EXPECT_EQ(d.subject, kWest);
}

TEST(ManagedRules, TheOldDatabaseIsNotFollowedBackAfterADetachment) {
  ManagedSnapshot s = Quiet();
  s.item->writer = kWest;
  s.item->apart = true;
  s.regions[kWest].copy = Copy(ManagedRole::kApart);
  EXPECT_EQ(Decide(s).rule, 684);
  EXPECT_EQ(Decide(s).verdicts.at(kWest), Verdict::kHealthy);
  s.self = kEast;
  EXPECT_EQ(Decide(s).rule, 670);
  EXPECT_EQ(Decide(s).verdicts.at(kEast), Verdict::kDetached);
  s.item->apart = false;
  EXPECT_EQ(Decide(s).rule, 625);
}

TEST(ManagedRules, ADegradedWriterIsToldAskedOrMovedAsThePolicySays) {
  ManagedSnapshot s = Quiet();
  s.votes.degraded = 2;
  s.votes.majority_for = 10s;
  s.votes.why = "alarm";
  EXPECT_EQ(Decide(s).rule, 666);
  s.votes.majority_for = 31s;
  EXPECT_EQ(Decide(s).rule, 666);
  s.policy.degraded_action = DegradedAction::kAsk;
  EXPECT_EQ(Decide(s).rule, 664);
  EXPECT_EQ(Decide(s).unblock, "lifeboat switchover --to us-west-2");
  s.policy.degraded_action = DegradedAction::kSwitchover;
  EXPECT_EQ(Decide(s).rule, 662);
  s.cool_down = CoolDown{};
  EXPECT_EQ(Decide(s).rule, 660);
  EXPECT_TRUE(Decide(s).withheld);
}

/// A majority calls east degraded, votes may move it, and the switchover that they drove was begun in west.
ManagedSnapshot MovedByVotes(ExecutionState state) {
  ManagedSnapshot s = Quiet();
  s.votes.degraded = 2;
  s.votes.majority_for = 31s;
  s.votes.why = "alarm";
  s.policy.degraded_action = DegradedAction::kSwitchover;
  s.policy.degraded_patience = 30s;
  Execution move = Running(PlanKind::kSwitchover, kWest);
  move.facts["by_votes"] = true;
  move.state = state;
  s.cool_down = CoolDown{{}, "rule 662", "alarm", kEast, kWest, move.id.text};
  s.latched = move;
  s.wall = WallTime{3'600'000'000'000};
  return s;
}

TEST(ManagedRules, AMoveByVotesThatWasRefusedGoesOnAsAFailoverOnlyWithinTheLossLimitAndOnce) {
  ManagedSnapshot s = MovedByVotes(ExecutionState::kFailed);
  EXPECT_EQ(Decide(s).rule, 658);
  EXPECT_EQ(Decide(s).proposal, ManagedProposal::kForceMove);
  // Above the limit, unknown, or without one: the writer that serves badly is left where it is, and a person is asked.
  for (const auto& loss : {LossByLag(400ms, 5min, std::nullopt), LossByLag(std::nullopt, 0s, std::nullopt)}) {
    s.regions[kWest].loss = loss;
    EXPECT_EQ(Decide(s).rule, 658);
    EXPECT_TRUE(Decide(s).withheld);
    EXPECT_EQ(Decide(s).proposal, ManagedProposal::kNothing);
    EXPECT_EQ(Decide(s).unblock, "lifeboat failover --to us-west-2 --accept-loss");
  }
  s = MovedByVotes(ExecutionState::kFailed);
  s.policy.loss_limit.reset();
  EXPECT_EQ(Decide(s).proposal, ManagedProposal::kNothing);
  // Not where somebody stopped it, it went on, the writer is well again, or the latch is already that of the second half.
  s = MovedByVotes(ExecutionState::kAborted);
  EXPECT_EQ(Decide(s).rule, 660);
  s = MovedByVotes(ExecutionState::kDone);
  EXPECT_EQ(Decide(s).rule, 660);
  s = MovedByVotes(ExecutionState::kFailed);
  s.votes.majority_for = 10s;
  EXPECT_EQ(Decide(s).rule, 666);
  s = MovedByVotes(ExecutionState::kFailed);
  s.latched->kind = PlanKind::kFailover;
  EXPECT_EQ(Decide(s).rule, 660);
  // Nor in a region that was not its target, nor of a switchover that a person ordered, nor where votes only tell.
  s = MovedByVotes(ExecutionState::kFailed);
  s.latched->target = kNorth;
  EXPECT_EQ(Decide(s).rule, 660);
  s = MovedByVotes(ExecutionState::kFailed);
  s.latched->facts.erase("by_votes");
  EXPECT_EQ(Decide(s).rule, 660);
  s = MovedByVotes(ExecutionState::kFailed);
  s.policy.degraded_action = DegradedAction::kAsk;
  EXPECT_EQ(Decide(s).proposal, ManagedProposal::kNothing);
  s = MovedByVotes(ExecutionState::kFailed);
  s.store_answers = false;
  EXPECT_EQ(Decide(s).proposal, ManagedProposal::kNothing);
}

TEST(ManagedRules, AMoveByVotesThatTheCloudDoesNotEndGoesOnAsAFailover) {
  ManagedSnapshot s = MovedByVotes(ExecutionState::kWaiting);
  s.votes = VoteCount{};  // nothing is counted while it moves
  s.execution = s.latched;
  s.execution_runs_here = true;
  StepRecord asked;
  asked.name = "switch-over";
  asked.state = StepState::kDone;
  asked.ended = WallTime{s.wall.ns - Duration(4min).count()};
  StepRecord awaited;
  awaited.name = "await";
  awaited.state = StepState::kIntended;
  s.execution->steps = {asked, awaited};
  EXPECT_EQ(Decide(s).rule, 615);  // a switchover of a cloud takes minutes
  s.execution->steps[0].ended = WallTime{s.wall.ns - Duration(6min).count()};
  EXPECT_EQ(Decide(s).rule, 612);
  EXPECT_EQ(Decide(s).proposal, ManagedProposal::kForceMove);
  s.regions[kWest].loss.reset();
  EXPECT_EQ(Decide(s).rule, 615);  // never where the loss is unknown
  s.regions[kWest].loss = LossByLag(400ms, 40s, std::nullopt);
  s.execution->steps[1].state = StepState::kDone;
  EXPECT_EQ(Decide(s).rule, 615);  // it has moved
  s.execution->steps[1].state = StepState::kIntended;
  s.execution->steps[0].ended = s.wall;
  s.execution->facts["stalled"] = "the cloud took it back";
  EXPECT_EQ(Decide(s).rule, 612);
  s.execution->facts.erase("by_votes");
  EXPECT_EQ(Decide(s).rule, 615);  // what a person ordered is never turned into a failover
}

TEST(ManagedRules, VotesMoveNothingSoonAfterAFailover) {
  ManagedSnapshot s = MovedByVotes(ExecutionState::kFailed);
  s.cool_down.reset();
  s.latched.reset();
  EXPECT_EQ(Decide(s).rule, 662);
  s.policy.cool_down = 1h;
  s.since_takeover = 10min;
  EXPECT_EQ(Decide(s).rule, 664);
  EXPECT_THAT(Decide(s).reason, HasSubstr("the last failover was 10 min 0 s ago"));
}

TEST(ManagedRules, QuietTimesSayWhatWouldHappen) {
  ManagedSnapshot s = Quiet();
  EXPECT_EQ(Decide(s).rule, 680);
  s.regions[kWest].loss.reset();
  EXPECT_EQ(Decide(s).rule, 674);
  s.regions[kWest].copy->instances = 0;
  EXPECT_EQ(Decide(s).rule, 672);
  s.regions[kWest].copy = Copy(ManagedRole::kApart);
  EXPECT_EQ(Decide(s).rule, 670);
  EXPECT_EQ(Decide(s).unblock, "lifeboat rejoin us-west-2");
  EXPECT_EQ(Decide(s).verdicts.at(kWest), Verdict::kDetached);
  s.self = kEast;
  EXPECT_EQ(Decide(s).rule, 684);
  s.self = kWitness;
  EXPECT_EQ(Decide(s).rule, 690);
}

TEST(ManagedLoss, AllTimeBetweenTheMeasurementAndTheSilenceCounts) {
  EXPECT_EQ(LossByLag(400ms, 70s, 35s).time, 35s + 400ms);
  EXPECT_EQ(LossByLag(400ms, 70s, std::nullopt).time, 70s + 400ms);
  EXPECT_EQ(LossByLag(400ms, 10s, 35s).time, 400ms);  // measured after it fell silent: nothing unseen
  EXPECT_EQ(LossByLag(std::nullopt, 0s, 35s).kind, LossEstimate::Kind::kUnknown);
  EXPECT_THAT(LossByLag(400ms, 70s, 35s).basis, HasSubstr("not bounded is what a writer that is only cut off takes"));
}

TEST(ManagedLoss, ByAHeartbeatTheCopyLacksWhatCameAfterItUntilTheSilence) {
  // The row was written 9 s ago, and the region fell silent 6 s ago: 3 s of writes, however often the row is read after that.
  const LossEstimate loss = LossByHeartbeat(9s, 6s);
  EXPECT_EQ(loss.kind, LossEstimate::Kind::kBounded);
  EXPECT_EQ(loss.time, 3s);
  EXPECT_EQ(LossByHeartbeat(9s, std::nullopt).time, 9s);
  // A row that was written after the first unanswered question.
  EXPECT_EQ(LossByHeartbeat(5s, 6s).time, 0s);
  EXPECT_NE(LossByHeartbeat(9s, 6s).basis.find("not bounded"), std::string::npos);
}

TEST(ManagedRules, NumbersAreUniqueSparseAndInTheirHundred) {
  std::set<int> seen;
  int last = 599;
  for (const Rule& rule : AllManagedRules()) {
    EXPECT_TRUE(seen.insert(rule.number).second);
    EXPECT_GT(rule.number, last);
    EXPECT_LT(rule.number, 700);
    last = rule.number;
  }
}

TEST(ManagedRules, TheDocumentPrintsThisTable) {
  std::ostringstream text;
  text << std::ifstream(LIFEBOAT_SOURCE_DIR "/docs/managed.md").rdbuf();
  for (const Rule& rule : AllManagedRules()) {
    EXPECT_THAT(text.str(), HasSubstr("| " + std::to_string(rule.number) + " | " + rule.sentence + " |\n"));
  }
}

TEST(ManagedRules, ACopyThatFollowsAnotherThanTheWriterDoesNotTakeOver) {
  // After a promotion in north nobody has made west follow it: it goes on following east, the old database.
  ManagedSnapshot s = Silent(60s);
  ASSERT_EQ(Decide(s).rule, 650);
  s.regions[kWest].noted_writer = kEast;
  s.regions[kWest].copy->follows = kEast;
  EXPECT_EQ(Decide(s).rule, 650);
  s.regions[kWest].copy->follows = kNorth;
  EXPECT_EQ(Decide(s).rule, 634);
  EXPECT_THAT(Decide(s).reason, HasSubstr("'orders' follows the database in 'ca-central-1', not the writer in 'us-east-1'"));
  EXPECT_TRUE(BestCandidate(s).empty());
}

TEST(ManagedVerdicts, AWriterThatIsBackedUpServesAndAReplicaThatIsBackedUpCannotBePromoted) {
  ManagedSnapshot s = Quiet();
  s.regions[kEast].copy->status = "backing-up";
  s.regions[kWest].copy->status = "backing-up";
  EXPECT_EQ(Decide(s).verdicts.at(kEast), Verdict::kHealthy);
  EXPECT_EQ(Decide(s).verdicts.at(kWest), Verdict::kDegraded);
  EXPECT_THAT(TakeoverObjection(s.regions[kWest]), HasSubstr("'backing-up', not available"));
}

}  // namespace
}  // namespace lifeboat
