// The durable executor: a crash at every call that it makes, unknown outcomes, the point of no return, aborts, two steps
// side by side. The plans are the real ones, on fake servers and virtual time.

#include "act/executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fakes/act_world.h"

namespace lifeboat::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// The old primary's region is lost, and its lease has run out.
void LoseEast(ActWorld& world) {
  world.east.Kill();
  world.east.fence = true;
  world.shared.valid = false;
  world.shared.lapsed = true;
}

/// The old primary wrote two rows that nobody received, died, and the other region took over.
void DivergeEast(ActWorld& world) {
  world.west.receiving = false;
  world.east.Commit("row");
  world.east.Commit("row");
  LoseEast(world);
  world.west.timeline = 2;
  world.west.forks[2] = world.west.End();
  world.west.Started(true);
  world.west.Commit("mark", {2}, 0, "uuid-of-epoch-2");
  world.west.Commit("row");
  world.shared.item.epoch = {2};
  world.shared.item.holder = kWest;
  world.shared.item.candidates.clear();
  world.shared.valid = true;
  world.shared.lapsed = false;
  world.names.record = {kWestHost, Epoch{2}, std::chrono::seconds(1)};
}

Execution Plan(ActProcess& process, PlanKind kind) {
  Execution e = process.Draft(kind);
  e.epoch = kind == PlanKind::kFailover ? Next(process.world.shared.item.epoch) : process.world.shared.item.epoch;
  return e;
}

RegionName OwnerOf(PlanKind kind) { return kind == PlanKind::kRejoin ? kEast : kWest; }

void Prepare(ActWorld& world, PlanKind kind) {
  if (kind == PlanKind::kFailover) {
    LoseEast(world);
    world.fence_waits = true;
  }
  if (kind == PlanKind::kRejoin) DivergeEast(world);
}

/// Where an execution may end, and what must be true of the world then.
void ExpectGoodEnd(const ActWorld& world, PlanKind kind, const std::string& story) {
  const auto e = Stored(world);
  ASSERT_TRUE(e) << story;
  EXPECT_FALSE(world.store.ValueOf("orders/current")) << story;
  ASSERT_TRUE(IsEnded(e->state)) << story;
  EXPECT_FALSE(world.east.unsaved_loss || world.west.unsaved_loss) << story;
  EXPECT_LE(world.west.promotions, 1) << story;
  EXPECT_LE(world.east.stops, 1) << story;
  if (e->state != ExecutionState::kDone) {
    // Only a switchover may be taken back, and then the old primary serves again.
    EXPECT_EQ(kind, PlanKind::kSwitchover) << story << ": " << e->reason;
    EXPECT_TRUE(world.east.CanCommit()) << story;
    EXPECT_EQ(world.west.promotions, 0) << story;
    EXPECT_EQ(world.shared.item.holder, kEast) << story;
    EXPECT_FALSE(world.shared.item.released) << story;
    EXPECT_EQ(world.names.record.address, kEastHost) << story;
    return;
  }
  EXPECT_TRUE(world.west.CanCommit()) << story;
  EXPECT_EQ(world.names.record.address, kWestHost) << story;
  EXPECT_TRUE(world.west.fence) << story << ": a restart by anyone would be writable";
  for (const StepRecord& step : e->steps)
    EXPECT_EQ(step.state, StepState::kDone) << story << ": " << step.name << ": " << step.outcome;
  if (kind == PlanKind::kRejoin) {
    EXPECT_GE(world.east.salvages, 1) << story;
    EXPECT_GE(world.east.rewinds, 1) << story;  // a second one finds nothing to rewind
    EXPECT_EQ(world.east.copies, 0) << story;
  } else {
    EXPECT_EQ(world.west.promotions, 1) << story;
    EXPECT_EQ(world.names.record.epoch, world.shared.item.epoch) << story;
    int marks = 0;
    for (const WalEntry& entry : world.west.wal) marks += entry.kind == "mark" && entry.epoch == world.shared.item.epoch ? 1 : 0;
    EXPECT_EQ(marks, 1) << story;
  }
  if (kind != PlanKind::kFailover) {
    EXPECT_TRUE(world.east.Streams()) << story;
    EXPECT_TRUE(world.shared.item.IsCandidate(kEast)) << story;
  }
}

class ExecutorTest : public ::testing::Test {
 protected:
  /// Starts a process that begins a plan and runs it.
  ActProcess& Begin(PlanKind kind) {
    Prepare(world_, kind);
    process_ = std::make_unique<ActProcess>(world_, OwnerOf(kind), "run-1");
    process_->Spawn(process_->BeginAndRun(Plan(*process_, kind)));
    return *process_;
  }
  /// The process is gone; a new one over the same files and servers goes on.
  ActProcess& Restart() {
    const RegionName self = process_->self;
    process_.reset();
    process_ = std::make_unique<ActProcess>(world_, self, "run-2");
    process_->Spawn(process_->AdoptAndRun());
    return *process_;
  }
  bool Ends(Duration limit = 300s) {
    return world_.time.RunUntil([&] { return process_->ended; }, limit);
  }
  const StepRecord& Step(const char* name) {
    shown_ = Stored(world_);
    return *shown_->Find(name);
  }
  bool Is(const char* step, StepState state) {
    const auto e = Stored(world_);
    return e && e->Find(step)->state == state;
  }

  ActWorld world_;
  std::unique_ptr<ActProcess> process_;
  std::optional<Execution> shown_;
};

class EveryPlan : public ::testing::TestWithParam<PlanKind> {};

TEST_P(EveryPlan, RunsToItsEnd) {
  ActWorld world;
  Prepare(world, GetParam());
  ActProcess process(world, OwnerOf(GetParam()), "run-1");
  process.Spawn(process.BeginAndRun(Plan(process, GetParam())));
  ASSERT_TRUE(world.time.RunUntil([&] { return process.ended; }, 300s));
  EXPECT_EQ(Stored(world)->state, ExecutionState::kDone) << Stored(world)->reason;
  ExpectGoodEnd(world, GetParam(), "undisturbed");
}

// Before the intent, between intent and act, between act and outcome, after the outcome: of each step, since every call to a
// door is one of these. What was done is not done again wrongly, and the end has a name.
TEST_P(EveryPlan, EndsWellAfterACrashAtAnyCall) {
  int crashes = 0;
  for (int at = 1; at < 500; ++at) {
    ActWorld world;
    Prepare(world, GetParam());
    auto process = std::make_unique<ActProcess>(world, OwnerOf(GetParam()), "run-1");
    process->crash_at = at;
    process->Spawn(process->BeginAndRun(Plan(*process, GetParam())));
    ASSERT_TRUE(world.time.RunUntil([&] { return process->ended || !process->crashed.empty(); }, 300s)) << at;
    if (process->crashed.empty()) break;
    ++crashes;
    const std::string story = "crash " + std::to_string(at) + ", " + process->crashed;
    process.reset();
    if (!Stored(world)) continue;  // it had not begun
    world.time.RunFor(1s);         // the supervisor's pause; servers go on meanwhile
    process = std::make_unique<ActProcess>(world, OwnerOf(GetParam()), "run-2");
    process->Spawn(process->AdoptAndRun());
    ASSERT_TRUE(world.time.RunUntil([&] { return process->ended; }, 600s))
        << story << "; waits for: " << Stored(world)->waiting_for;
    ExpectGoodEnd(world, GetParam(), story);
  }
  EXPECT_GT(crashes, 20);
}

TEST_P(EveryPlan, EndsWellAfterTwoCrashes) {
  for (int first = 2; first < 60; first += 5) {
    for (int second = 1; second < 30; second += 4) {
      ActWorld world;
      Prepare(world, GetParam());
      auto process = std::make_unique<ActProcess>(world, OwnerOf(GetParam()), "run-1");
      process->crash_at = first;
      process->Spawn(process->BeginAndRun(Plan(*process, GetParam())));
      ASSERT_TRUE(world.time.RunUntil([&] { return process->ended || !process->crashed.empty(); }, 300s));
      if (!Stored(world)) continue;
      std::string story = "crash " + std::to_string(first) + ", " + process->crashed;
      process.reset();
      process = std::make_unique<ActProcess>(world, OwnerOf(GetParam()), "run-2");
      process->crash_at = second;
      process->Spawn(process->AdoptAndRun());
      ASSERT_TRUE(world.time.RunUntil([&] { return process->ended || !process->crashed.empty(); }, 600s)) << story;
      story += "; crash " + std::to_string(second) + ", " + process->crashed;
      process.reset();
      process = std::make_unique<ActProcess>(world, OwnerOf(GetParam()), "run-3");
      process->Spawn(process->AdoptAndRun());
      ASSERT_TRUE(world.time.RunUntil([&] { return process->ended; }, 600s))
          << story << "; waits for: " << Stored(world)->waiting_for;
      ExpectGoodEnd(world, GetParam(), story);
    }
  }
}

// The answer of every commit in turn is lost, and every request.
TEST_P(EveryPlan, EndsWellWhateverAnswerOfTheStoreIsLost) {
  for (const bool answer : {true, false}) {
    for (std::size_t at = 2; at < 40; ++at) {  // the beginning itself: journal_test
      ActWorld world;
      Prepare(world, GetParam());
      ActProcess process(world, OwnerOf(GetParam()), "run-1");
      const auto count = process.store.before_commit;
      process.store.before_commit = [&](const Transaction& t) {
        count(t);
        if (process.commits.size() == at) (answer ? process.store.lose_answers : process.store.lose_requests) = 1;
      };
      process.Spawn(process.BeginAndRun(Plan(process, GetParam())));
      const std::string story = std::string(answer ? "answer" : "request") + " of commit " + std::to_string(at) + " lost";
      ASSERT_TRUE(world.time.RunUntil([&] { return process.ended; }, 600s))
          << story << "; waits for: " << Stored(world)->waiting_for;
      if (!Stored(world)) continue;
      ExpectGoodEnd(world, GetParam(), story);
    }
  }
}

TEST_P(EveryPlan, NothingHappensTwiceAtOnce) {
  ActWorld world;
  Prepare(world, GetParam());
  ActProcess process(world, OwnerOf(GetParam()), "run-1");
  process.Spawn(process.BeginAndRun(Plan(process, GetParam())));
  ASSERT_TRUE(world.time.RunUntil([&] { return process.ended; }, 300s));
  for (const auto& [call, most] : process.most_at_once) {
    if (call.starts_with("look")) continue;
    EXPECT_EQ(most, 1) << call;
  }
}

TEST_P(EveryPlan, AnActIsBegunOnlyWhenItsIntentStandsInTheStore) {
  ActWorld world;
  Prepare(world, GetParam());
  ActProcess process(world, OwnerOf(GetParam()), "run-1");
  const std::map<std::string, std::string> step_of = {{"stop@us-east-1", "stop"},       {"release@us-east-1", "release"},
                                                      {"claim@us-west-2", "claim"},     {"promote@us-west-2", "promote"},
                                                      {"freeze@us-west-2", "freeze"},   {"fence@us-east-1", "fence"},
                                                      {"salvage@us-east-1", "salvage"}, {"rewind@us-east-1", "rebuild"},
                                                      {"follow@us-east-1", "follow"},   {"admit@us-west-2", "admit"}};
  int judged = 0;
  for (const auto& [call, step] : step_of) {
    process.scripts[call] = [&world, &judged, step = step](const Json&) -> std::optional<Error> {
      const auto e = Stored(world);
      EXPECT_TRUE(e && e->Find(step) && e->Find(step)->state == StepState::kIntended) << step;
      ++judged;
      return std::nullopt;
    };
  }
  process.Spawn(process.BeginAndRun(Plan(process, GetParam())));
  ASSERT_TRUE(world.time.RunUntil([&] { return process.ended; }, 300s));
  EXPECT_GE(judged, 2);
  // And each step's outcome stands there at the end, after its intent.
  const auto stored = Stored(world);
  for (const StepRecord& step : stored->steps) {
    EXPECT_EQ(step.state, StepState::kDone) << step.name;
    EXPECT_FALSE(step.outcome.empty()) << step.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Plans, EveryPlan, ::testing::Values(PlanKind::kFailover, PlanKind::kSwitchover, PlanKind::kRejoin),
                         [](const auto& plan) { return std::string(ToString(plan.param)); });

// ---- unknown outcomes ----

TEST_F(ExecutorTest, AReleaseWhoseAnswerWasLostIsLookedAtBeforeItIsAskedForAgain) {
  ActProcess& process = Begin(PlanKind::kSwitchover);
  process.lose_answer.insert("release@us-east-1");
  ASSERT_TRUE(Ends());
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kDone);
  EXPECT_EQ(process.Count("release@us-east-1"), 1);
}

TEST_F(ExecutorTest, AClaimWhoseAnswerWasLostIsLookedAtBeforeItIsAskedForAgain) {
  ActProcess& process = Begin(PlanKind::kSwitchover);
  process.lose_answer.insert("claim@us-west-2");
  ASSERT_TRUE(Ends());
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kDone);
  EXPECT_EQ(Stored(world_)->epoch, Epoch{2});
  EXPECT_EQ(process.Count("claim@us-west-2"), 1);
}

TEST_F(ExecutorTest, APromotionWhoseAnswerWasLostHappensOnce) {
  Begin(PlanKind::kFailover).lose_answer.insert("promote@us-west-2");
  ASSERT_TRUE(Ends());
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kDone);
  EXPECT_EQ(world_.west.promotions, 1);
  EXPECT_EQ(world_.west.timeline, 2u);
}

TEST_F(ExecutorTest, AnUpdateOfTheNameWhoseAnswerWasLostIsMadeOnce) {
  Begin(PlanKind::kFailover).traffic.lose_answers = 1;
  ASSERT_TRUE(Ends());
  EXPECT_EQ(world_.names.changes, 1);
  EXPECT_EQ(Step("route").state, StepState::kDone);
}

TEST_F(ExecutorTest, AStopWhoseAnswerWasLostIsTriedAgainAndEndsTheSame) {
  Begin(PlanKind::kSwitchover).lose_answer.insert("stop@us-east-1");
  ASSERT_TRUE(Ends());
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kDone) << Stored(world_)->reason;
  EXPECT_EQ(world_.east.stops, 1);
}

// ---- the external fence ----

TEST_F(ExecutorTest, AnExternalFenceIsRunAfterTheClaimAndBeforeAnythingElse) {
  ActProcess& process = Begin(PlanKind::kFailover);
  world_.fences.on_order = [&](const FenceOrder& order) {
    EXPECT_EQ(order.region, kEast);
    EXPECT_EQ(order.epoch, Epoch{2});
    EXPECT_EQ(world_.shared.item.holder, kWest);
    EXPECT_EQ(process.Count("freeze@us-west-2") + process.Count("promote@us-west-2"), 0);
  };
  ASSERT_TRUE(Ends());
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kDone);
  EXPECT_EQ(world_.fences.orders.size(), 1u);
  EXPECT_EQ(Step("stop-instance").outcome, "'us-east-1' is proven to be stopped: the instance is stopped");
  EXPECT_EQ(TextAt(Stored(world_)->facts["external_fence"]["us-east-1"], "state"), "proven");
}

TEST_F(ExecutorTest, WithoutAnExternalFenceAFailoverHasNoSuchStep) {
  LoseEast(world_);
  process_ = std::make_unique<ActProcess>(world_, kWest, "run-1");
  process_->Spawn(process_->BeginAndRun(Plan(*process_, PlanKind::kFailover)));
  ASSERT_TRUE(Ends());
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kDone);
  EXPECT_FALSE(Stored(world_)->Find("stop-instance"));
  EXPECT_TRUE(world_.fences.orders.empty());
}

TEST_F(ExecutorTest, AFailoverWithoutAnExternalFenceIsAbortedLikeAnyOther) {
  LoseEast(world_);
  process_ = std::make_unique<ActProcess>(world_, kWest, "run-1");
  process_->scripts["freeze@us-west-2"] = [](const Json&) -> std::optional<Error> {
    return RetryLater("the standby does not answer");
  };
  process_->Spawn(process_->BeginAndRun(Plan(*process_, PlanKind::kFailover)));
  ASSERT_FALSE(Ends(3s));
  ASSERT_TRUE(process_->executor.RequestAbort(ExecutionId("x-1")).ok());
  ASSERT_TRUE(Ends(60s));
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kAborted);
}

TEST_F(ExecutorTest, AFenceThatGivesNoProofIsSaidAndNotWaitedForWhereThePolicySaysSo) {
  world_.fences.proves = false;
  world_.fence_waits = false;
  LoseEast(world_);
  process_ = std::make_unique<ActProcess>(world_, kWest, "run-1");
  process_->Spawn(process_->BeginAndRun(Plan(*process_, PlanKind::kFailover)));
  ASSERT_TRUE(Ends());
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kDone);
  EXPECT_EQ(world_.fences.orders.size(), 1u);
  EXPECT_EQ(world_.west.promotions, 1);
  EXPECT_THAT(Step("stop-instance").outcome,
              HasSubstr("is not proven to be stopped (its fence command ended with 1: the cloud does not answer)"));
  EXPECT_EQ(TextAt(Stored(world_)->facts["external_fence"]["us-east-1"], "state"), "not proven");
}

TEST_F(ExecutorTest, AFenceThatIsWaitedForHoldsEverythingUntilItGivesProof) {
  world_.fences.proves = false;
  ActProcess& process = Begin(PlanKind::kFailover);
  ASSERT_FALSE(Ends(10min));
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kWaiting);
  EXPECT_THAT(Stored(world_)->waiting_for,
              HasSubstr("step 'stop-instance': 'us-east-1' is not proven to be stopped: its fence command ended with 1"));
  EXPECT_THAT(Stored(world_)->waiting_for, HasSubstr("lifeboat executions resume"));
  EXPECT_EQ(world_.west.promotions, 0);
  EXPECT_EQ(process.Count("freeze@us-west-2"), 0);
  // Tried again and again, but not all the time.
  EXPECT_GE(world_.fences.orders.size(), 50u);
  EXPECT_LE(world_.fences.orders.size(), 70u);
  world_.fences.proves = true;
  ASSERT_TRUE(Ends(30s));
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kDone);
  EXPECT_EQ(world_.west.promotions, 1);
}

TEST_F(ExecutorTest, APersonsWordStandsInForTheProofAndIsOnRecord) {
  world_.fences.proves = false;
  ActProcess& process = Begin(PlanKind::kFailover);
  ASSERT_FALSE(Ends(30s));
  EXPECT_EQ(process.executor.Attest(ExecutionId("x-2"), "ops").error().retry, Retry::kNotFound);
  ASSERT_TRUE(process.executor.Attest(ExecutionId("x-1"), "ops: I pulled the plug").ok());
  ASSERT_TRUE(Ends(30s));
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kDone);
  EXPECT_EQ(Step("stop-instance").outcome, "'us-east-1' is stopped by the word of ops: I pulled the plug");
  EXPECT_EQ(TextAt(Stored(world_)->facts, "attested_by"), "ops: I pulled the plug");
}

TEST_F(ExecutorTest, AWordThatComesWhileTheFenceIsRunIsKept) {
  world_.fences.proves = false;
  world_.fences.takes = 20s;
  ActProcess& process = Begin(PlanKind::kFailover);
  ASSERT_FALSE(Ends(10s));
  ASSERT_TRUE(process.executor.Attest(ExecutionId("x-1"), "ops").ok());
  ASSERT_TRUE(Ends(30s));
  EXPECT_EQ(world_.fences.orders.size(), 1u);
  EXPECT_EQ(TextAt(Stored(world_)->facts["external_fence"]["us-east-1"], "state"), "attested");
}

TEST_F(ExecutorTest, WhatWaitsForAFenceIsNotAbortedSinceTheDatabaseWouldBeOpenedWithoutIt) {
  world_.fences.proves = false;
  ActProcess& process = Begin(PlanKind::kFailover);
  ASSERT_FALSE(Ends(30s));
  const auto aborted = process.executor.RequestAbort(ExecutionId("x-1"));
  ASSERT_FALSE(aborted.ok());
  EXPECT_EQ(aborted.error().retry, Retry::kRefused);
  EXPECT_THAT(aborted.error().message, HasSubstr("waits for proof that the old primary's instance is stopped"));
  EXPECT_THAT(aborted.error().hint, HasSubstr("--attest"));
  EXPECT_FALSE(Ends(30s));
}

TEST_F(ExecutorTest, AWordIsRefusedWhereNoFenceIsWaitedFor) {
  ActProcess& process = Begin(PlanKind::kSwitchover);
  process.scripts["ready@us-west-2"] = [](const Json&) -> std::optional<Error> { return RetryLater("holds WAL up to 0/1 of 0/2"); };
  ASSERT_TRUE(world_.time.RunUntil([&] { return process.executor.current().has_value(); }, 1s));
  const auto attested = process.executor.Attest(ExecutionId("x-1"), "ops");
  ASSERT_FALSE(attested.ok());
  EXPECT_EQ(attested.error().retry, Retry::kRefused);
  ASSERT_TRUE(Ends());
}

TEST_F(ExecutorTest, AHigherEpochEndsAFailoverThatWaitsForItsFence) {
  world_.fences.proves = false;
  Begin(PlanKind::kFailover);
  ASSERT_FALSE(Ends(30s));
  world_.shared.item.epoch = {3};
  world_.shared.item.holder = kEast;
  world_.fences.proves = true;
  ASSERT_TRUE(Ends(60s));
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kFailed);
  EXPECT_EQ(world_.west.promotions, 0);
}

// ---- before the point of no return ----

TEST_F(ExecutorTest, AnHeirThatDoesNotCatchUpIsGivenUpAndTheOldPrimaryServesAgain) {
  ActProcess& process = Begin(PlanKind::kSwitchover);
  process.scripts["ready@us-west-2"] = [](const Json&) -> std::optional<Error> { return RetryLater("holds WAL up to 0/1 of 0/2"); };
  ASSERT_TRUE(Ends());
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kFailed);
  EXPECT_THAT(Stored(world_)->reason, HasSubstr("caught-up"));
  EXPECT_EQ(Step("stop").state, StepState::kUndone);
  EXPECT_TRUE(world_.east.CanCommit());
  EXPECT_EQ(world_.shared.item.holder, kEast);
  EXPECT_EQ(world_.west.promotions, 0);
}

TEST_F(ExecutorTest, ARefusalAbortsAtOnceAndChangesNothingMore) {
  ActProcess& process = Begin(PlanKind::kSwitchover);
  process.scripts["stop@us-east-1"] = [](const Json&) -> std::optional<Error> {
    return Refused("'us-east-1' does not hold a valid lease");
  };
  ASSERT_TRUE(Ends());
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kFailed);
  EXPECT_EQ(process.Count("stop@us-east-1"), 1);
  EXPECT_EQ(process.Count("release@us-east-1"), 0);
  EXPECT_EQ(process.Count("promote@us-west-2"), 0);
  EXPECT_TRUE(world_.east.CanCommit());
}

TEST_F(ExecutorTest, AReleasedEpochIsReclaimedWhenTheHeirDoesNotTakeIt) {
  ActProcess& process = Begin(PlanKind::kSwitchover);
  process.scripts["claim@us-west-2"] = [](const Json&) -> std::optional<Error> {
    return RetryLater("the agent of 'us-west-2' does not answer");
  };
  ASSERT_TRUE(Ends());
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kFailed);
  EXPECT_TRUE(world_.east.CanCommit());
  EXPECT_EQ(world_.shared.item.epoch, Epoch{2});  // the aborted switchover goes on under e+1
  EXPECT_EQ(world_.shared.item.holder, kEast);
}

TEST_F(ExecutorTest, ARefusedPromotionCanStillBeTakenBack) {
  ActProcess& process = Begin(PlanKind::kSwitchover);
  process.scripts["promote@us-west-2"] = [](const Json&) -> std::optional<Error> {
    return Refused("'us-west-2' holds WAL up to 0/1, the old primary stopped at 0/2");
  };
  ASSERT_TRUE(Ends()) << Stored(world_)->waiting_for;
  EXPECT_NE(Stored(world_)->state, ExecutionState::kDone);
  EXPECT_EQ(world_.west.promotions, 0);
}

TEST_F(ExecutorTest, AnUndoThatDoesNotGetOnIsSaidAndTriedUntilItDoes) {
  ActProcess& process = Begin(PlanKind::kSwitchover);
  process.scripts["ready@us-west-2"] = [](const Json&) -> std::optional<Error> { return Refused("it is not a candidate"); };
  int refusals = 5;
  process.scripts["reopen@us-east-1"] = [&](const Json&) -> std::optional<Error> {
    return refusals-- > 0 ? std::optional(RetryLater("the agent of 'us-east-1' does not answer")) : std::nullopt;
  };
  ASSERT_TRUE(world_.time.RunUntil([&] { return Stored(world_) && !Stored(world_)->waiting_for.empty(); }, 60s));
  EXPECT_THAT(Stored(world_)->waiting_for, HasSubstr("undo of step 'stop': the agent of 'us-east-1' does not answer"));
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kAborting);
  ASSERT_TRUE(Ends());
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kFailed);
  EXPECT_TRUE(Stored(world_)->waiting_for.empty());
  EXPECT_TRUE(world_.east.CanCommit());
}

TEST_F(ExecutorTest, AnAbortBeforeThePointOfNoReturnIsHeeded) {
  ActProcess& process = Begin(PlanKind::kSwitchover);
  process.scripts["ready@us-west-2"] = [](const Json&) -> std::optional<Error> { return RetryLater("not yet"); };
  ASSERT_TRUE(world_.time.RunUntil([&] { return Is("stop", StepState::kDone); }, 60s));
  ASSERT_TRUE(process.executor.RequestAbort(ExecutionId("x-1")).ok());
  ASSERT_TRUE(Ends());
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kAborted);
  EXPECT_TRUE(world_.east.CanCommit());
}

TEST_F(ExecutorTest, AnAbortOfAnotherExecutionIsNotFound) {
  ActProcess& process = Begin(PlanKind::kSwitchover);
  ASSERT_TRUE(world_.time.RunUntil([&] { return process.executor.current().has_value(); }, 10s));
  const auto asked = process.executor.RequestAbort(ExecutionId("x-2"));
  ASSERT_FALSE(asked.ok());
  EXPECT_EQ(asked.error().retry, Retry::kNotFound);
  ASSERT_TRUE(Ends());
}

TEST_F(ExecutorTest, AnExecutionThatWasAbortingGoesOnAbortingAfterACrash) {
  ActProcess& process = Begin(PlanKind::kSwitchover);
  process.scripts["ready@us-west-2"] = [](const Json&) -> std::optional<Error> { return Refused("it is not a candidate"); };
  process.scripts["reopen@us-east-1"] = [](const Json&) -> std::optional<Error> { return RetryLater("not now"); };
  ASSERT_TRUE(world_.time.RunUntil([&] { return Stored(world_) && Stored(world_)->state == ExecutionState::kAborting; }, 60s));
  Restart();
  ASSERT_TRUE(Ends());
  EXPECT_TRUE(IsEnded(Stored(world_)->state));
  EXPECT_NE(Stored(world_)->state, ExecutionState::kDone);
  EXPECT_TRUE(world_.east.CanCommit());
  EXPECT_EQ(world_.west.promotions, 0);
}

TEST_F(ExecutorTest, NothingIsDoneWhileTheJournalTakesNoIntent) {
  ActProcess& process = Begin(PlanKind::kSwitchover);
  ASSERT_TRUE(world_.time.RunUntil([&] { return Is("checkpoint", StepState::kIntended); }, 10s));
  process.store.silent = true;
  world_.time.RunFor(10s);
  EXPECT_EQ(process.Count("stop@us-east-1"), 0);
  EXPECT_TRUE(world_.east.CanCommit());
  process.store.silent = false;
  ASSERT_TRUE(Ends());
  EXPECT_TRUE(world_.east.CanCommit() || world_.west.CanCommit());
}

// ---- after the point of no return ----

TEST_F(ExecutorTest, ANameServerThatIsDownIsWaitedForAndTheWaitHasAName) {
  world_.names.up = false;
  ActProcess& process = Begin(PlanKind::kFailover);
  ASSERT_TRUE(world_.time.RunUntil([&] { return Stored(world_) && Stored(world_)->state == ExecutionState::kWaiting; }, 60s));
  EXPECT_THAT(Stored(world_)->waiting_for, HasSubstr("step 'route': the name server does not answer"));
  EXPECT_THAT(Stored(world_)->waiting_for, HasSubstr("to unblock: bring the name server back"));
  // It cannot be aborted any more, and says so.
  const auto abort = process.executor.RequestAbort(ExecutionId("x-1"));
  ASSERT_FALSE(abort.ok());
  EXPECT_EQ(abort.error().retry, Retry::kRefused);
  EXPECT_THAT(abort.error().message, HasSubstr("point of no return"));
  world_.time.RunFor(3600s);
  EXPECT_TRUE(world_.west.CanCommit());
  EXPECT_EQ(world_.west.promotions, 1);
  world_.names.up = true;
  ASSERT_TRUE(Ends(10s));
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kDone);
  EXPECT_TRUE(Stored(world_)->waiting_for.empty());
}

TEST_F(ExecutorTest, APersonCanMakeItTryAgainNow) {
  world_.names.up = false;
  ActProcess& process = Begin(PlanKind::kFailover);
  ASSERT_TRUE(world_.time.RunUntil([&] { return Stored(world_) && Stored(world_)->state == ExecutionState::kWaiting; }, 60s));
  world_.time.RunFor(60s);
  // Just after an attempt the next one is a second away.
  const std::uint32_t before = process.executor.current()->Find("route")->attempts;
  ASSERT_TRUE(world_.time.RunUntil([&] { return process.executor.current()->Find("route")->attempts > before; }, 10s));
  world_.names.up = true;
  world_.time.RunFor(2010ms);
  ASSERT_TRUE(process.executor.Nudge(ExecutionId("x-1")).ok() || process.ended);
  ASSERT_TRUE(Ends(200ms));
}

TEST_F(ExecutorTest, AStoreThatFallsSilentAfterThePromotionDoesNotStopIt) {
  ActProcess& process = Begin(PlanKind::kFailover);
  ASSERT_TRUE(world_.time.RunUntil([&] { return world_.west.promotions == 1; }, 60s));
  process.store.silent = true;
  ASSERT_TRUE(world_.time.RunUntil([&] { return world_.names.record.address == kWestHost; }, 30s))
      << "promoted but unrouted is the worst place to stop";
  ASSERT_TRUE(world_.time.RunUntil([&] { return !process.executor.current(); }, 60s));
  EXPECT_NE(Stored(world_)->state, ExecutionState::kDone);
  EXPECT_EQ(world_.files[kWest].content.size(), 1u);
  // The store answers again; the next run of the agent merges what stands in the own file.
  ActProcess& next = Restart();
  ASSERT_TRUE(world_.time.RunUntil([&] { return !world_.store.ValueOf("orders/current"); }, 30s));
  ASSERT_TRUE(Ends(10s));
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kDone);
  EXPECT_TRUE(world_.files[kWest].content.empty());
  EXPECT_EQ(next.Count("promote@us-west-2"), 0);
}

TEST_F(ExecutorTest, ACrashWhileTheStoreIsSilentGoesOnFromTheOwnFile) {
  world_.names.up = false;
  ActProcess& process = Begin(PlanKind::kFailover);
  ASSERT_TRUE(world_.time.RunUntil([&] { return world_.west.promotions == 1; }, 60s));
  process.store.silent = true;
  world_.time.RunFor(20s);
  ASSERT_EQ(world_.files[kWest].content.size(), 1u);
  world_.names.up = true;
  Restart();
  ASSERT_TRUE(Ends());
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kDone);
  EXPECT_EQ(world_.west.promotions, 1);
  EXPECT_EQ(Step("promote").state, StepState::kDone);
}

TEST_F(ExecutorTest, AStepThatTheServiceDoesNotNeedIsGivenUpAndNamed) {
  ActProcess& process = Begin(PlanKind::kSwitchover);
  process.scripts["follow@us-east-1"] = [](const Json&) -> std::optional<Error> {
    return RetryLater("the agent of 'us-east-1' does not answer");
  };
  ASSERT_TRUE(Ends(200s));
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kDone);
  EXPECT_EQ(Step("verify").state, StepState::kDone);
  EXPECT_EQ(Step("follow").state, StepState::kFailed);
  EXPECT_THAT(Step("follow").outcome, HasSubstr("given up after 1 min"));
  EXPECT_THAT(Step("follow").outcome, HasSubstr("lifeboat rejoin"));
  for (const char* rest : {"prove", "admit"}) {
    EXPECT_EQ(Step(rest).state, StepState::kFailed) << rest;
    EXPECT_THAT(Step(rest).outcome, HasSubstr("not tried: step")) << rest;
  }
  EXPECT_FALSE(world_.shared.item.IsCandidate(kEast));
  EXPECT_EQ(process.Count("admit@us-west-2"), 0);
}

TEST_F(ExecutorTest, StepsThatDoNotNeedEachOtherRunSideBySide) {
  world_.names.up = false;
  Begin(PlanKind::kSwitchover);
  // The old primary follows, is proven and admitted while the name is still waited for.
  ASSERT_TRUE(world_.time.RunUntil([&] { return Is("admit", StepState::kDone); }, 60s));
  EXPECT_NE(Step("route").state, StepState::kDone);
  world_.names.up = true;
  ASSERT_TRUE(Ends());
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kDone);
}

TEST_F(ExecutorTest, TwoStepsThatWaitSideBySideDoNotDriveEachOther) {
  world_.names.up = false;
  ActProcess& process = Begin(PlanKind::kSwitchover);
  process.scripts["follow@us-east-1"] = [](const Json&) -> std::optional<Error> { return RetryLater("does not answer"); };
  ASSERT_TRUE(world_.time.RunUntil([&] { return world_.west.promotions == 1; }, 60s));
  const auto before = process.calls.size();
  const auto commits = process.commits.size();
  world_.time.RunFor(20s);
  // Pauses double up to a second: about 25 attempts, each a look, slots and follow.
  EXPECT_EQ(process.Count("follow@us-east-1") < 40, true) << process.Count("follow@us-east-1");
  EXPECT_LT(process.calls.size() - before, 200u);
  EXPECT_LT(process.commits.size() - commits, 150u);
}

// ---- others ----

TEST_F(ExecutorTest, AnOwnerThatLostItsExecutionStopsAtOnce) {
  world_.names.up = false;
  ActProcess& old = Begin(PlanKind::kFailover);
  ASSERT_TRUE(world_.time.RunUntil([&] { return Stored(world_) && Stored(world_)->state == ExecutionState::kWaiting; }, 60s));
  // The same region's next run adopts it while the old one still lives (a frozen process that wakes up).
  ActProcess next(world_, kWest, "run-2");
  next.Spawn(next.AdoptAndRun());
  ASSERT_TRUE(world_.time.RunUntil([&] { return !old.executor.current(); }, 30s));
  EXPECT_EQ(Stored(world_)->owner_agent, AgentId("run-2"));
  world_.names.up = true;
  const int points = old.points;
  ASSERT_TRUE(world_.time.RunUntil([&] { return next.ended; }, 60s));
  world_.time.RunFor(30s);
  EXPECT_EQ(old.points, points) << "it did something after it had lost the execution";
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kDone);
  EXPECT_EQ(world_.names.changes, 1);
}

TEST_F(ExecutorTest, AHigherEpochStopsItBeforeThePromotion) {
  ActProcess& process = Begin(PlanKind::kFailover);
  ASSERT_TRUE(world_.time.RunUntil([&] { return Is("freeze", StepState::kIntended); }, 60s));
  world_.shared.item.epoch = {9};
  world_.shared.item.holder = kEast;
  ASSERT_TRUE(Ends());
  EXPECT_EQ(world_.west.promotions, 0);
  EXPECT_EQ(process.Count("promote@us-west-2"), 0);
  EXPECT_TRUE(IsEnded(Stored(world_)->state));
  EXPECT_NE(Stored(world_)->state, ExecutionState::kDone);
  EXPECT_FALSE(world_.store.ValueOf("orders/current"));
}

TEST_F(ExecutorTest, AHigherEpochStopsItAfterThePromotionToo) {
  world_.names.up = false;
  Begin(PlanKind::kFailover);
  ASSERT_TRUE(world_.time.RunUntil([&] { return Stored(world_) && Stored(world_)->state == ExecutionState::kWaiting; }, 60s));
  world_.shared.item.epoch = {9};
  world_.shared.item.holder = kEast;
  world_.names.record = {kEastHost, Epoch{9}, std::chrono::seconds(1)};
  world_.names.up = true;
  ASSERT_TRUE(Ends());
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kFailed);
  EXPECT_THAT(Stored(world_)->reason, HasSubstr("superseded: epoch 9 has begun"));
  EXPECT_EQ(world_.names.record.address, kEastHost);
  EXPECT_FALSE(world_.store.ValueOf("orders/current"));
}

TEST_F(ExecutorTest, EveryChangeIsPublished) {
  ActProcess& process = Begin(PlanKind::kFailover);
  ASSERT_TRUE(Ends());
  ASSERT_GT(process.seen.size(), 6u);
  EXPECT_EQ(process.seen.back().state, ExecutionState::kDone);
  for (std::size_t at = 1; at < process.seen.size(); ++at) EXPECT_GE(process.seen[at].revision, process.seen[at - 1].revision);
  EXPECT_FALSE(process.executor.current());
}

TEST_F(ExecutorTest, ADivergedCopyThatCannotBeRewoundIsCopiedAfreshAfterItWasSaved) {
  world_.east.rewind_fails = true;
  Begin(PlanKind::kRejoin);
  ASSERT_TRUE(Ends());
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kDone);
  EXPECT_EQ(world_.east.copies, 1);
  EXPECT_EQ(world_.east.saved_ids.size(), 2u);
  EXPECT_FALSE(world_.east.unsaved_loss);
  EXPECT_EQ(NumberAt(Stored(world_)->facts["divergence"], "commits"), 2u);
}

TEST_F(ExecutorTest, ARejoinAfterARewindThatWasCutShortFindsWhatWasSavedAndTakesAFreshCopy) {
  Begin(PlanKind::kRejoin);
  // Given a data directory that an earlier rejoin's pg_rewind left half-way: it holds history files of the primary's.
  FakeServer& east = world_.east;
  east.last_saved.emplace();
  east.last_saved->commits = 2;
  east.last_saved->saved_in = "/ledger/x-before";
  for (const WalEntry& entry : east.wal) east.saved_ids.insert(entry.id);
  east.cluster_state = kHalfRewound;
  east.forks = world_.west.forks;
  east.control_timeline = world_.west.timeline;
  // When
  ASSERT_TRUE(Ends());
  // Then it does not take the half of the new history for its own.
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kDone) << Stored(world_)->reason;
  EXPECT_EQ(east.copies, 1);
  EXPECT_EQ(TextAt(Stored(world_)->facts["divergence"], "saved_in"), "/ledger/x-before");
  EXPECT_THAT(Step("rebuild").outcome, HasSubstr("an earlier rewind of it was interrupted"));
}

/// Two promotions at one position, neither of which knew of the other: east's, and west's, which was promoted once more since.
void NamesakesAtOnePosition(ActWorld& world) {
  world.west.receiving = false;
  for (FakeServer* server : {&world.east, &world.west}) {
    server->forks[2] = server->End();
    server->timeline = 2;
  }
  ASSERT_EQ(world.east.forks[2], world.west.forks[2]);
  world.east.Commit("mark", {2}, 0, "uuid-of-east us-east-1");
  world.east.Commit("row");
  world.east.Commit("row");
  LoseEast(world);
  world.west.Started(true);
  world.west.Commit("mark", {3}, 0, "uuid-of-west us-west-2");
  for (int row = 0; row < 9; ++row) world.west.Commit("row");
  world.west.timeline = 3;
  world.west.forks[3] = world.west.End();
  world.west.Commit("row");
  world.shared.item.epoch = {3};
  world.shared.item.holder = kWest;
  world.shared.item.candidates.clear();
  world.shared.valid = true;
  world.shared.lapsed = false;
  world.names.record = {kWestHost, Epoch{3}, std::chrono::seconds(1)};
}

TEST_F(ExecutorTest, ACopyWhoseTimelineOnlyHasTheNumberAndTheForkOfThePrimarysIsSavedFromThereAndNeverRewound) {
  NamesakesAtOnePosition(world_);
  process_ = std::make_unique<ActProcess>(world_, kEast, "run-1");
  process_->Spawn(process_->BeginAndRun(Plan(*process_, PlanKind::kRejoin)));
  ASSERT_TRUE(Ends());
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kDone) << Stored(world_)->reason;
  EXPECT_FALSE(world_.east.unsaved_loss);
  EXPECT_EQ(world_.east.saved_ids.size(), 3u);
  EXPECT_EQ(world_.east.rewinds, 0) << "pg_rewind goes by the number and the position";
  EXPECT_EQ(world_.east.copies, 1);
  EXPECT_TRUE(world_.east.FollowsHistoryOf(world_.west));
}

TEST_F(ExecutorTest, WhereTheWalThatTellsTimelinesApartIsGoneTheOldPrimarysOwnPromotionMustBeKnownToTheNewOne) {
  NamesakesAtOnePosition(world_);
  world_.west.forgets_signs = true;
  process_ = std::make_unique<ActProcess>(world_, kEast, "run-1");
  process_->lease(kEast).held = {2};
  process_->Spawn(process_->BeginAndRun(Plan(*process_, PlanKind::kRejoin)));
  ASSERT_TRUE(Ends());
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kDone) << Stored(world_)->reason;
  EXPECT_FALSE(world_.east.unsaved_loss);
  EXPECT_EQ(world_.east.copies, 1);
}

TEST_F(ExecutorTest, ACopyThatWentFurtherInTimelinesThanThePrimaryIsSavedFromWhereItLeftItsAndNeverRewound) {
  NamesakesAtOnePosition(world_);
  for (std::size_t at = world_.east.wal.size() - 3; at < world_.east.wal.size(); ++at) world_.east.wal[at].timeline = 5;
  world_.east.timeline = world_.east.control_timeline = 5;
  for (Timeline timeline = 3; timeline <= 5; ++timeline) world_.east.forks[timeline] = world_.east.forks[2];
  process_ = std::make_unique<ActProcess>(world_, kEast, "run-1");
  process_->lease(kEast).held = {2};
  process_->lease(kEast).detached = true;
  process_->Spawn(process_->BeginAndRun(Plan(*process_, PlanKind::kRejoin)));
  ASSERT_TRUE(Ends());
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kDone) << Stored(world_)->reason;
  EXPECT_FALSE(world_.east.unsaved_loss);
  EXPECT_EQ(world_.east.saved_ids.size(), 3u);
  EXPECT_EQ(world_.east.rewinds, 0);
  EXPECT_EQ(world_.east.copies, 1);
}

TEST_F(ExecutorTest, ASharedTimelineWhoseBeginningIsGoneIsStillRewound) {
  // Given: east's own promotion of epoch 2 is in west's history, and only the last rows are not.
  world_.east.forks[2] = world_.east.End();
  world_.east.timeline = 2;
  world_.east.Commit("mark", {2}, 0, "uuid-of-east us-east-1");
  world_.servers.Replicate();
  world_.shared.item.epoch = {2};
  DivergeEast(world_);
  world_.west.timeline = 3;
  world_.west.forks[3] = world_.west.forks[2];
  world_.west.forks[2] = world_.east.forks[2];
  for (std::size_t at = world_.west.wal.size() - 2; at < world_.west.wal.size(); ++at) world_.west.wal[at].timeline = 3;
  world_.shared.item.epoch = {3};
  world_.names.record.epoch = Epoch{3};
  world_.west.forgets_signs = true;
  process_ = std::make_unique<ActProcess>(world_, kEast, "run-1");
  process_->lease(kEast).held = {2};
  process_->Spawn(process_->BeginAndRun(Plan(*process_, PlanKind::kRejoin)));
  ASSERT_TRUE(Ends());
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kDone) << Stored(world_)->reason;
  EXPECT_FALSE(world_.east.unsaved_loss);
  EXPECT_EQ(world_.east.saved_ids.size(), 2u);
  EXPECT_EQ(world_.east.rewinds, 1);
}

TEST_F(ExecutorTest, ADiskThatIsFullAtTheLedgerStopsARejoinBeforeAnythingIsRewound) {
  ActProcess& process = Begin(PlanKind::kRejoin);
  process.scripts["salvage@us-east-1"] = [](const Json&) -> std::optional<Error> {
    return Fail("cannot write: no space left on device");
  };
  ASSERT_TRUE(Ends());
  EXPECT_EQ(Stored(world_)->state, ExecutionState::kFailed);
  EXPECT_EQ(world_.east.rewinds + world_.east.copies, 0);
  EXPECT_EQ(world_.east.wal.back().kind, "row");
  EXPECT_FALSE(world_.east.unsaved_loss);
}

}  // namespace
}  // namespace lifeboat::testing
