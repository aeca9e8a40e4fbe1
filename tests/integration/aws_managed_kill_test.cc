// The agent that acts is killed in the midst of a failover of a database that AWS runs: at every write of the journal, before it
// was made and after, and with a request on the road. Its next run, or another agent, goes on; it ends done, and the writer is
// moved by one request.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "support/aws_managed_agents.h"
#include "support/aws_things.h"

namespace lifeboat::testing {
namespace {

using ::testing::HasSubstr;

class AwsManagedKillTest : public ::testing::Test {
 protected:
  void AddNeighbours() {
    AwsComputeSettings web;
    web.name = "web";
    AwsHookSettings hook;
    hook.name = "freeze";
    hook.when = "before-promote";
    for (const RegionName& region : {one_, two_}) {
      things_.MakeGroup(region.text, group_, region == one_ ? ComputeSizes{2, 4, 8} : ComputeSizes{1, 1, 3});
      web.groups[region] = group_;
      hook.functions[region] = "freeze-" + group_;
      things_.MakeFunction(region.text, hook.functions[region]);
    }
    AwsSettings& aws = *agents_.settings.aws;
    aws.compute = {web};
    aws.hooks = {hook};
    topic_ = things_.MakeTopic(two_.text, "ops-" + RandomHex(4));
    aws.notify = {AwsNoticeSettings{AwsNoticeKind::kSns, two_, topic_.arn}};
  }
  ::testing::AssertionResult Begin() {
    agents_.StartAll();
    auto ready = agents_.Ready();
    if (!ready) return ready;
    const std::size_t groups = agents_.settings.aws->compute.size();
    if (agents_.Until([&] { return agents_.Agent(agents_.witness).world().RanIn(one_).size() == groups; })) return ready;
    return ::testing::AssertionFailure() << "what runs in the source is not known";
  }
  /// Kills the agent at the first write that brings a step to a state, each time, and starts its next run. @return how often
  int KillAtEachWrite(bool after) {
    std::set<std::string> seen;
    agents_.kills_at = [this, after, &seen](const RegionName& region, const Transaction& transaction, bool done) {
      if (region != two_ || done != after) return false;
      bool news = false;
      for (const Transaction::Put& put : transaction.puts) {
        if (!put.key.starts_with("orders/executions/")) continue;
        const auto execution = ExecutionFromJson(*ParseJson(put.value, put.key));
        if (!execution.ok()) continue;
        for (const StepRecord& step : execution->steps) {
          if (step.state != StepState::kPending) news = seen.insert(step.name + " " + ToString(step.state)).second || news;
        }
        news = seen.insert(ToString(execution->state)).second || news;
      }
      return news;
    };
    int kills = 0;
    const auto end = std::chrono::steady_clock::now() + 100s;
    while (std::chrono::steady_clock::now() < end) {
      if (agents_.Running(two_) == nullptr) {
        ++kills;
        agents_.Start(two_);
      }
      const auto all = agents_.Executions();
      if (!all.empty() && IsEnded(all.back().state)) break;
      agents_.Until([&] { return agents_.Running(two_) == nullptr; }, 100ms);
    }
    agents_.kills_at = nullptr;
    return kills;
  }
  void ExpectDoneByOneRequest() {
    const auto all = agents_.Executions();
    ASSERT_EQ(all.size(), 1u);
    EXPECT_EQ(all[0].state, ExecutionState::kDone) << ToJson(all[0]).dump(1);
    EXPECT_EQ(agents_.world.Writer(), two_.text);
    EXPECT_EQ(agents_.Arrived("rds", "FailoverGlobalCluster"), 1u);
    EXPECT_EQ(agents_.Arrived("rds", "SwitchoverGlobalCluster"), 0u);
    EXPECT_EQ(agents_.Agent(agents_.witness).keeper().item()->writer, two_);
  }
  std::set<std::string> IdsHeard() {
    std::set<std::string> ids;
    for (const Json& notice : things_.Heard(topic_)) ids.insert(TextAt(notice, "id"));
    return ids;
  }

  /// Killed at each write, it ends done. What may be asked again came to the same: sizes, and calls that bear the execution's id.
  void ExpectDoneWhereverItIsKilled(bool after) {
    AddNeighbours();
    ASSERT_TRUE(Begin());
    agents_.Lose(one_);
    const int kills = KillAtEachWrite(after);
    EXPECT_GE(kills, 20);
    RecordProperty("kills", kills);
    ExpectDoneByOneRequest();
    EXPECT_EQ(things_.SizesOfGroup(two_.text, group_), (ComputeSizes{4, 4, 4}));
    EXPECT_GE(agents_.Arrived("lambda", "/invocations"), 1u);
    const std::string id = agents_.Newest().id.text;
    EXPECT_EQ(IdsHeard(), (std::set<std::string>{id + "/begins", id + "/serves"}));
  }

  ManagedAgents agents_{AwsEmulator::kMinistack, {}};
  AwsThings things_{agents_.world.context, {{"*", SharedAws(AwsEmulator::kMinistack).Url()}}};
  const RegionName one_ = agents_.one;
  const RegionName two_ = agents_.two;
  const std::string group_ = "web-" + RandomHex(4);
  AwsThings::Topic topic_;
};

TEST_F(AwsManagedKillTest, AtEachWriteOfTheJournalAfterItWasMade) { ExpectDoneWhereverItIsKilled(true); }

TEST_F(AwsManagedKillTest, AtEachWriteOfTheJournalBeforeItWasMade) { ExpectDoneWhereverItIsKilled(false); }

TEST_F(AwsManagedKillTest, WithTheRequestOnTheRoadThatArrivedAndIsNotAskedAgain) {
  ASSERT_TRUE(Begin());
  agents_.Lose(one_, Json::array({{{"do", "silent_after"}, {"operation", "FailoverGlobalCluster"}}}));
  ASSERT_TRUE(agents_.UntilSeen([&] { return agents_.world.Writer() == two_.text; }));
  agents_.Kill(two_);
  agents_.Start(two_);
  ASSERT_TRUE(agents_.Ended(1));
  ExpectDoneByOneRequest();
  EXPECT_EQ(agents_.CountOf("rds", "FailoverGlobalCluster"), 1u);
}

TEST_F(AwsManagedKillTest, WithTheRequestOnTheRoadThatNeverArrivedAndIsAskedOnceMore) {
  ASSERT_TRUE(Begin());
  agents_.Lose(one_, Json::array({{{"do", "silent"}, {"operation", "FailoverGlobalCluster"}}}));
  ASSERT_TRUE(agents_.UntilSeen([&] { return agents_.CountOf("rds", "FailoverGlobalCluster") == 1; }));
  agents_.Kill(two_);
  agents_.Faults({{{"do", "silent"}, {"region", one_.text}}});
  agents_.Start(two_);
  ASSERT_TRUE(agents_.Ended(1));
  ExpectDoneByOneRequest();
  EXPECT_EQ(agents_.CountOf("rds", "FailoverGlobalCluster"), 2u);
}

TEST_F(AwsManagedKillTest, AndNeverComesBackAndTheWitnessGoesOnInItsPlace) {
  AddNeighbours();
  ASSERT_TRUE(Begin());
  agents_.Lose(one_);
  agents_.kills_at = [this](const RegionName& region, const Transaction& transaction, bool done) {
    if (region != two_ || !done) return false;
    for (const Transaction::Put& put : transaction.puts) {
      if (!put.key.starts_with("orders/executions/")) continue;
      const auto execution = ExecutionFromJson(*ParseJson(put.value, put.key));
      if (execution.ok() && execution->Find("scale-up")->state == StepState::kDone) return true;
    }
    return false;
  };
  ASSERT_TRUE(agents_.Until([&] { return agents_.Running(two_) == nullptr; }));
  agents_.kills_at = nullptr;
  // Half a minute later, for whom that counts.
  ASSERT_TRUE(agents_.Until([&] { return agents_.Agent(agents_.witness).snapshot().execution.has_value(); }));
  agents_.Running(agents_.witness)->clock.ahead += 31s;
  ASSERT_TRUE(agents_.Ended(1));
  ExpectDoneByOneRequest();
  EXPECT_EQ(agents_.Newest().owner, agents_.witness);
  EXPECT_EQ(agents_.Arrived("autoscaling", "UpdateAutoScalingGroup"), 1u);
}

}  // namespace
}  // namespace lifeboat::testing
