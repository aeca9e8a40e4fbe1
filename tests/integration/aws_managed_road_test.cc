// The road between whole agents and AWS is bad: throttled, failing, reset, answers lost, credentials expired, a clock ten minutes
// off, a region that does not answer at all. Nothing is concluded from what was not weighed, nothing is asked twice that may not
// be, and what has begun ends done or says what it waits for. Adapters alone: aws_aurora_test.cc; the road itself:
// aws_road_test.cc.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/aws_managed_agents.h"

namespace lifeboat::testing {
namespace {

using ::testing::HasSubstr;

class AwsManagedRoadTest : public ::testing::Test {
 protected:
  /// These faults stand from the moment at which an execution begins, beside the silence of the region that was lost.
  void FromTheBeginning(const Json& faults) {
    agents_.kills_at = [this, faults, set = false](const RegionName&, const Transaction& transaction, bool done) mutable {
      const bool begins = std::any_of(transaction.puts.begin(), transaction.puts.end(),
                                      [](const Transaction::Put& put) { return put.key == "orders/current"; });
      if (begins && done && !set) {
        set = true;
        Json all = faults;
        all.push_back({{"do", "silent"}, {"region", one_.text}});
        agents_.Faults(all);
      }
      return false;
    };
  }
  ::testing::AssertionResult Begin() {
    agents_.StartAll();
    return agents_.Ready();
  }
  /// A failover over that road ends done. @return its requests
  std::size_t FailOverDone() {
    EXPECT_TRUE(Begin());
    agents_.Lose(one_);
    EXPECT_TRUE(agents_.Ended(1));
    EXPECT_EQ(agents_.Newest().state, ExecutionState::kDone) << ToJson(agents_.Newest()).dump(1);
    EXPECT_EQ(agents_.world.Writer(), two_.text);
    EXPECT_EQ(agents_.Arrived("rds", "FailoverGlobalCluster"), 1u);
    EXPECT_EQ(agents_.CountOf("rds", "SwitchoverGlobalCluster"), 0u);
    return agents_.CountOf("rds", "FailoverGlobalCluster");
  }
  /// Requests of the agent that takes over that met with it.
  std::size_t Spoiled(const std::string& fault) {
    std::size_t count = 0;
    for (const Json& request : agents_.road.Requests()) count += TextAt(request, "fault") == fault ? 1U : 0U;
    return count;
  }

  ManagedAgents agents_{AwsEmulator::kMinistack, {}};
  const RegionName one_ = agents_.one;
  const RegionName two_ = agents_.two;
};

TEST_F(AwsManagedRoadTest, NobodyCallsAnApiSilentThatSaysThatItIsAskedTooOften) {
  ASSERT_TRUE(Begin());
  agents_.Kill(one_);
  agents_.Faults({{{"do", "throttle"}}});
  // Far beyond what makes a region silent, and a silent one lost.
  ASSERT_TRUE(agents_.UntilSeen([&] { return Spoiled("throttle") > 60; }));
  EXPECT_EQ(agents_.Agent(two_).snapshot().silence.degraded, 0u);
  EXPECT_TRUE(agents_.Executions().empty());
  agents_.Faults(Json::array());
  EXPECT_TRUE(agents_.Until([&] { return agents_.Agent(two_).decision().rule == 680; })) << agents_.Agent(two_).decision().rule;
}

TEST_F(AwsManagedRoadTest, AFailoverThatIsThrottledForAWhileIsDoneAfterwards) {
  FromTheBeginning({{{"do", "throttle"}, {"region", two_.text}, {"times", 40}}});
  FailOverDone();
  EXPECT_EQ(Spoiled("throttle"), 40u);
}

TEST_F(AwsManagedRoadTest, AServerErrorIsLookedAtAndAskedAgainWhileNothingHasMoved) {
  FromTheBeginning(
      {{{"do", "error"}, {"operation", "FailoverGlobalCluster"}, {"status", 503}, {"code", "ServiceUnavailable"}, {"times", 2}},
       {{"do", "error"}, {"operation", "DescribeGlobalClusters"}, {"status", 500}, {"code", "InternalFailure"}, {"times", 5}}});
  EXPECT_EQ(FailOverDone(), 3u);
}

TEST_F(AwsManagedRoadTest, AResetBeforeItArrivesIsAskedExactlyOnceMore) {
  FromTheBeginning({{{"do", "reset"}, {"operation", "FailoverGlobalCluster"}, {"times", 1}},
                    {{"do", "reset"}, {"region", two_.text}, {"times", 3}}});
  EXPECT_EQ(FailOverDone(), 2u);
}

TEST_F(AwsManagedRoadTest, AnAnswerThatIsLostIsLookedAtAndNotAskedForAgain) {
  FromTheBeginning({{{"do", "lose_answer"}, {"operation", "FailoverGlobalCluster"}, {"times", 1}}});
  EXPECT_EQ(FailOverDone(), 1u);
  EXPECT_EQ(agents_.road.Invalid(), "");
}

TEST_F(AwsManagedRoadTest, AnAnswerThatBreaksOffIsLookedAtAndNotAskedForAgain) {
  FromTheBeginning({{{"do", "truncate"}, {"operation", "FailoverGlobalCluster"}, {"times", 1}}});
  EXPECT_EQ(FailOverDone(), 1u);
}

TEST_F(AwsManagedRoadTest, TheRegionThatIsLostIsWaitedForByNothingOnTheWay) {
  std::optional<std::size_t> held_at_beginning;
  std::optional<std::size_t> held_at_end;
  agents_.kills_at = [&](const RegionName& region, const Transaction& transaction, bool done) {
    for (const Transaction::Put& put : transaction.puts) {
      if (!put.key.starts_with("orders/executions/") || region != two_ || !done) continue;
      const auto execution = ExecutionFromJson(*ParseJson(put.value, put.key));
      if (!held_at_beginning) held_at_beginning = agents_.road.HeldIn(one_.text);
      if (!held_at_end && execution.ok() && execution->Find("verify")->state == StepState::kDone)
        held_at_end = agents_.road.HeldIn(one_.text);
    }
    return false;
  };
  FailOverDone();
  ASSERT_TRUE(held_at_beginning && held_at_end);
  EXPECT_GT(*held_at_beginning, 0u);  // it was looked at before, or nobody would have found it silent
  EXPECT_EQ(*held_at_end, *held_at_beginning);
}

TEST_F(AwsManagedRoadTest, AClockTenMinutesBehindAwssAsksForTheLagAndFailsOverAllTheSame) {
  for (AwsRoad* road : {&agents_.road, &agents_.others_road}) road->ShiftClock(600);
  // As AWS says it: measured a minute ago by its own clock, which is in nine minutes by ours.
  agents_.emulator_reports_lag = false;
  agents_.world.ReportLag(two_.text, 850, WallTime{SystemClock().Wall().ns + Duration(9min).count()});
  FailOverDone();
  const Execution e = agents_.Newest();
  EXPECT_EQ(e.requested_by, "rule 650");
  EXPECT_EQ(TextAt(MemberAt(e.facts, "loss_estimate"), "state"), "bounded");
  EXPECT_GT(agents_.Running(two_)->client->skew(), 9min);
  // It is as old as it is, not as it would be by this machine's clock.
  const Json& lost = MemberAt(MemberAt(e.facts, "loss_estimate"), "seconds");
  ASSERT_TRUE(lost.is_number()) << MemberAt(e.facts, "loss_estimate").dump();
  EXPECT_GT(lost.get<double>(), 30);
  EXPECT_LT(lost.get<double>(), 300);
}

/// Keys that expire, and can be renewed.
class RenewedKeys final : public aws::CredentialSource {
 public:
  explicit RenewedKeys(const std::string& key) : key_(key) {}
  Task<Result<aws::SharedCredentials>> Get(Duration) override {
    auto keys = std::make_shared<aws::Credentials>();
    keys->access_key_id = key_;
    keys->secret_key = Secret(kAwsSecretKey);
    co_return aws::SharedCredentials(keys);
  }

 private:
  const std::string& key_;
};

TEST_F(AwsManagedRoadTest, ExpiredCredentialsAreNamedAreNoSilenceAndAreGotOver) {
  std::string key = "AKIALIFEBOATEXPIRES0";
  agents_.credentials = [&](ManagedRun&) { return std::make_shared<RenewedKeys>(key); };
  ASSERT_TRUE(Begin());
  const Json expired = {{"do", "error"},
                        {"access_key", key},
                        {"status", 403},
                        {"code", "ExpiredToken"},
                        {"message", "The security token is expired"}};
  agents_.Faults(Json::array({expired}));
  agents_.Kill(one_);
  ASSERT_TRUE(agents_.UntilSeen([&] { return Spoiled("error") > 30; }));
  EXPECT_TRUE(agents_.Executions().empty());
  EXPECT_EQ(agents_.Agent(two_).snapshot().silence.degraded, 0u);
  const auto check = agents_.Ask(two_, "check", Json::object());
  ASSERT_TRUE(check.ok());
  EXPECT_THAT(check->dump(), HasSubstr("'ExpiredToken'"));
  EXPECT_THAT(check->dump(), HasSubstr("the credentials have expired, and no newer ones were found"));
  // What was seen grows old, and what keeps it from being seen anew is said.
  agents_.Running(two_)->clock.ahead += 50s;
  ASSERT_TRUE(agents_.Until([&] { return agents_.Agent(two_).decision().rule == 672; })) << agents_.Agent(two_).decision().rule;
  EXPECT_THAT(agents_.Agent(two_).decision().reason, HasSubstr("'ExpiredToken'"));
  key = kAwsAccessKey;
  agents_.world.ReportLag(two_.text, 850);
  ASSERT_TRUE(agents_.Until([&] { return agents_.Agent(two_).decision().rule == 680; })) << agents_.Agent(two_).decision().reason;
  // In the midst of a failover too.
  FromTheBeginning({{{"do", "error"}, {"region", two_.text}, {"status", 403}, {"code", "ExpiredToken"}, {"times", 20}}});
  agents_.Lose(one_);
  ASSERT_TRUE(agents_.Ended(1));
  EXPECT_EQ(agents_.Newest().state, ExecutionState::kDone) << ToJson(agents_.Newest()).dump(1);
  EXPECT_EQ(agents_.Arrived("rds", "FailoverGlobalCluster"), 1u);
}

}  // namespace
}  // namespace lifeboat::testing
