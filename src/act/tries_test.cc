// What an execution's record holds of each try of its steps, and the execution that a beginning ends: what traces are made of.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fakes/act_world.h"

namespace lifeboat::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TriesTest : public ::testing::Test {
 protected:
  ActProcess& Failover() {
    world_.east.Kill();
    world_.east.fence = true;
    world_.shared.valid = false;
    world_.shared.lapsed = true;
    process_ = std::make_unique<ActProcess>(world_, kWest, "run-1");
    Execution e = process_->Draft(PlanKind::kFailover);
    e.epoch = Next(world_.shared.item.epoch);
    process_->Spawn(process_->BeginAndRun(std::move(e)));
    return *process_;
  }
  /// The process is gone; a new run goes on.
  void Restart() {
    process_.reset();
    process_ = std::make_unique<ActProcess>(world_, kWest, "run-2");
    process_->Spawn(process_->AdoptAndRun());
  }
  bool Ends() {
    return world_.time.RunUntil([&] { return process_->ended; }, 300s);
  }
  StepRecord Step(const char* name) { return *Stored(world_)->Find(name); }

  ActWorld world_;
  std::unique_ptr<ActProcess> process_;
};

std::vector<std::string> Words(const StepRecord& step) {
  std::vector<std::string> words;
  for (const StepTry& one : step.tries) words.push_back(one.what);
  return words;
}

TEST_F(TriesTest, AStepThatWentWellSaysWhenItWasDoneAndSeen) {
  Failover();
  ASSERT_TRUE(Ends());
  const StepRecord route = Step("route");
  EXPECT_THAT(Words(route), ElementsAre("act", "acted", "verified"));
  for (const StepTry& one : route.tries) {
    EXPECT_GE(one.at, route.began);
    EXPECT_LE(one.at, route.ended);
    EXPECT_EQ(one.agent, AgentId("run-1"));
    EXPECT_EQ(one.region, kWest);
    EXPECT_EQ(one.attempt, 1u);
    EXPECT_TRUE(one.said.empty());
  }
}

TEST_F(TriesTest, AStepThatDidNotGetOnSaysHowOftenAndWhyAndTheListIsBounded) {
  world_.names.up = false;
  Failover();
  ASSERT_TRUE(world_.time.RunUntil([&] { return Stored(world_) && Stored(world_)->state == ExecutionState::kWaiting; }, 60s));
  world_.time.RunFor(3600s);
  world_.names.up = true;
  ASSERT_TRUE(Ends());
  const StepRecord route = Step("route");
  EXPECT_GT(route.attempts, 100u);
  ASSERT_EQ(route.tries.size(), StepRecord::kMostTries);
  EXPECT_GT(route.tries_left_out, 100u);
  EXPECT_EQ(route.tries.front().attempt, route.tries.front().what == "act" ? 1u : 0u) << "the first is kept";
  EXPECT_EQ(route.tries.back().what, "verified");
  const bool told = std::any_of(route.tries.begin(), route.tries.end(), [](const StepTry& one) {
    return one.what == "act failed" && one.said.find("the name server does not answer") != std::string::npos;
  });
  EXPECT_TRUE(told);
}

TEST_F(TriesTest, ARunThatGoesOnWithItSaysSo) {
  world_.names.up = false;
  Failover();
  ASSERT_TRUE(world_.time.RunUntil([&] { return Stored(world_) && Stored(world_)->state == ExecutionState::kWaiting; }, 60s));
  Restart();
  world_.names.up = true;
  ASSERT_TRUE(Ends());
  const StepRecord route = Step("route");
  EXPECT_EQ(route.tries.front().agent, AgentId("run-1"));
  EXPECT_EQ(route.tries.back().agent, AgentId("run-2"));
  EXPECT_EQ(Step("promote").tries.back().agent, AgentId("run-1"));
}

TEST_F(TriesTest, TheIntentIsNotedBeforeTheActIsWritten) {
  Failover();
  bool seen = false;
  process_->store.before_commit = [&](const Transaction& transaction) {
    for (const Transaction::Put& put : transaction.puts) {
      const auto json = ParseJson(put.value, put.key);
      if (!json.ok() || !json->is_object() || !json->contains("steps")) continue;
      const auto e = ExecutionFromJson(*json);
      if (!e.ok() || e->Find("promote")->state != StepState::kIntended) continue;
      seen = true;
      EXPECT_THAT(Words(*e->Find("promote")), ElementsAre("act"));
      EXPECT_EQ(world_.west.promotions, 0);
    }
  };
  ASSERT_TRUE(Ends());
  EXPECT_TRUE(seen);
}

TEST_F(TriesTest, TheExecutionThatABeginningEndsIsToldOnce) {
  // Given one that waits
  world_.names.up = false;
  Failover();
  ASSERT_TRUE(world_.time.RunUntil([&] { return Stored(world_) && Stored(world_)->state == ExecutionState::kWaiting; }, 60s));
  const Execution waits = *Stored(world_);
  Journal& journal = process_->journal;
  // When another is to begin that ends it
  Execution next = process_->Draft(PlanKind::kFailover);
  next.id = ExecutionId("x-2");
  const auto refused = world_.time.Await(process_->io, journal.Beginning(next, false));
  EXPECT_FALSE(refused.ok());
  EXPECT_FALSE(journal.TakeSuperseded()) << "what is refused ends nothing";
  const auto beginning = world_.time.Await(process_->io, journal.Beginning(next, true));
  ASSERT_TRUE(beginning.ok()) << beginning.error().Text();
  // Then
  const auto ended = journal.TakeSuperseded();
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->id, waits.id);
  EXPECT_EQ(ended->state, ExecutionState::kAborted);
  EXPECT_THAT(ended->reason, HasSubstr("ended by failover 'x-2'"));
  EXPECT_FALSE(journal.TakeSuperseded());
  // Nor is one told of a transaction that was not sent, by the one after it.
  ASSERT_TRUE(world_.time.Await(process_->io, journal.Beginning(next, true)).ok());
  EXPECT_FALSE(world_.time.Await(process_->io, journal.Beginning(next, false)).ok());
  EXPECT_FALSE(journal.TakeSuperseded());
}

}  // namespace
}  // namespace lifeboat::testing
