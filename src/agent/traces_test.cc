// When agents say that an execution has ended: what traces, and whoever else wants to know, rest on.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fakes/simulation.h"

namespace lifeboat::testing {
namespace {

class EndedTest : public ::testing::Test {
 protected:
  void Founded() {
    sim_.StartAll();
    Listen();
    ASSERT_TRUE(sim_.RunUntil([&] { return sim_.Healthy(sim_.east); }, 30s)) << sim_.Picture();
    sim_.time.RunFor(5s);
  }
  /// Hears every agent that runs now.
  void Listen() {
    for (const RegionName& name : {sim_.east, sim_.west, sim_.witness}) {
      if (!sim_.machines.at(name).run) continue;
      sim_.AgentOf(name).on_ended = [this, name](const Execution& e) { heard_.emplace_back(name, e); };
    }
  }

  Simulation sim_;
  std::vector<std::pair<RegionName, Execution>> heard_;
};

TEST_F(EndedTest, AFailoverIsSaidOnceByWhoCarriedItOutWithItsLastRecord) {
  Founded();
  sim_.KillRegion(sim_.east);
  ASSERT_TRUE(sim_.RunUntil([&] { return sim_.LastExecution() && sim_.LastExecution()->state == ExecutionState::kDone; }, 60s))
      << sim_.Picture();
  sim_.time.RunFor(1min);
  ASSERT_EQ(heard_.size(), 1u);
  EXPECT_EQ(heard_[0].first, sim_.west);
  EXPECT_EQ(ToJson(heard_[0].second), ToJson(*sim_.LastExecution()));
}

TEST_F(EndedTest, AnEndThatNobodyTakesIsSaidOnceHoweverOftenItIsWritten) {
  // Given a failover that has promoted, and a store that falls silent before its end
  Founded();
  sim_.names.up = false;
  sim_.KillRegion(sim_.east);
  ASSERT_TRUE(sim_.RunUntil([&] { return sim_.Server(sim_.west).promotions == 1; }, 60s)) << sim_.Picture();
  sim_.KillAgent(sim_.witness);
  sim_.names.up = true;
  // When it ends without the store, which comes back a while later
  ASSERT_TRUE(sim_.RunUntil([&] { return !heard_.empty(); }, 60s)) << sim_.Picture();
  sim_.time.RunFor(30s);
  sim_.StartAgent(sim_.witness);
  sim_.time.RunFor(1min);
  // Then
  ASSERT_EQ(heard_.size(), 1u);
  EXPECT_EQ(heard_[0].second.state, ExecutionState::kDone);
}

}  // namespace
}  // namespace lifeboat::testing
