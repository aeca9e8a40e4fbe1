#include "adapters/aws/aurora_global.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/aws/test_support.h"

namespace lifeboat::aws {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using testing::FakeAws;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Said;
using testing::Seen;

const std::string kOne = "arn:aws:rds:us-east-1:123456789012:cluster:orders-1";
const std::string kTwo = "arn:aws:rds:eu-west-1:123456789012:cluster:orders-2";

/// A global database of two regions, as far as its API shows it.
class AuroraGlobalTest : public ::testing::Test {
 protected:
  AuroraGlobalTest() {
    aws_.answer = [this](const Seen& seen) {
      if (silent.contains(seen.region)) return FakeAws::Silence();
      return Answer(seen);
    };
  }
  Said Answer(const Seen& seen) {
    if (seen.operation == "DescribeGlobalClusters") {
      if (on_look) on_look();
      return Wrapped(seen.operation,
                     "<GlobalClusters><GlobalClusterMember>" + Global() + "</GlobalClusterMember></GlobalClusters>");
    }
    if (seen.operation == "DescribeDBClusters") {
      const std::string id = seen.Form("DBClusterIdentifier");
      return Wrapped(seen.operation, "<DBClusters><DBCluster>" + Cluster(id) + "</DBCluster></DBClusters>");
    }
    if (seen.operation == "DescribeEvents") {
      std::string events;
      for (const auto& [region, message] : messages) {
        if (region != seen.region) continue;
        events += "<Event><Message>" + message + "</Message><Date>2026-11-23T11:47:00Z</Date></Event>";
      }
      return Wrapped(seen.operation, "<Events>" + events + "</Events>");
    }
    if (seen.operation == "DescribeDBClusterSnapshots") {
      std::string list;
      for (const auto& [id, state] : snapshots) {
        list += "<DBClusterSnapshot><DBClusterSnapshotIdentifier>" + id +
                "</DBClusterSnapshotIdentifier><DBClusterIdentifier>orders-1"
                "</DBClusterIdentifier><Status>" +
                state + "</Status><SnapshotCreateTime>" + taken + "</SnapshotCreateTime><DBClusterSnapshotArn>arn:" + id +
                "</DBClusterSnapshotArn></DBClusterSnapshot>";
      }
      return Wrapped(seen.operation, "<DBClusterSnapshots>" + list + "</DBClusterSnapshots>");
    }
    if (seen.operation == "CopyDBClusterSnapshot") {
      const std::string id = seen.Form("TargetDBClusterSnapshotIdentifier");
      snapshots.emplace_back(id, "creating");
      return Wrapped(seen.operation, "<DBClusterSnapshot><DBClusterSnapshotIdentifier>" + id +
                                         "</DBClusterSnapshotIdentifier>"
                                         "<DBClusterSnapshotArn>arn:" +
                                         id + "</DBClusterSnapshotArn></DBClusterSnapshot>");
    }
    if (seen.operation == "RemoveFromGlobalCluster") {
      two_is_member = false;
      return Wrapped(seen.operation, "<GlobalCluster>" + Global() + "</GlobalCluster>");
    }
    if (seen.operation == "SwitchoverGlobalCluster" || seen.operation == "FailoverGlobalCluster") {
      if (refuse) {
        return Said{
            400,
            "<ErrorResponse><Error><Code>" + *refuse + "</Code><Message>" + refuse_words + "</Message></Error></ErrorResponse>",
            {},
            {}};
      }
      status = seen.operation[0] == 'S' ? "switching-over" : "failing-over";
      moving = status;
      if (lose_answer) return FakeAws::Silence();
      return Wrapped(seen.operation, "<GlobalCluster>" + Global() + "</GlobalCluster>");
    }
    return FakeAws::QueryError(400, "InvalidAction");
  }
  static Said Wrapped(const std::string& operation, const std::string& xml) {
    return Said{
        200,
        "<" + operation + "Response><" + operation + "Result>" + xml + "</" + operation + "Result></" + operation + "Response>",
        {},
        {}};
  }
  [[nodiscard]] std::string Global() const {
    const auto member = [&](const std::string& arn) {
      return "<GlobalClusterMember><DBClusterArn>" + arn + "</DBClusterArn><IsWriter>" + (arn == writer ? "true" : "false") +
             "</IsWriter><SynchronizationStatus>" + (arn == writer ? "" : synchronization) +
             "</SynchronizationStatus></GlobalClusterMember>";
    };
    std::string xml = "<GlobalClusterIdentifier>orders</GlobalClusterIdentifier><Status>" + status + "</Status><EngineVersion>" +
                      version_one + "</EngineVersion><GlobalClusterMembers>" + member(kOne) + (two_is_member ? member(kTwo) : "") +
                      "</GlobalClusterMembers>";
    if (!moving.empty()) {
      xml += "<FailoverState><Status>" + moving + "</Status><FromDbClusterArn>" + kOne + "</FromDbClusterArn><ToDbClusterArn>" +
             moving_to + "</ToDbClusterArn><IsDataLossAllowed>" + (moving == "failing-over" ? "true" : "false") +
             "</IsDataLossAllowed></FailoverState>";
    }
    return xml;
  }
  [[nodiscard]] std::string Cluster(const std::string& id) const {
    const bool two = id == "orders-2";
    const bool is_writer = (two ? kTwo : kOne) == writer || (two && !two_is_member);
    std::string members;
    if (!two || !headless) {
      members = "<DBClusterMember><DBInstanceIdentifier>" + id + "-a</DBInstanceIdentifier><IsClusterWriter>" +
                (is_writer ? "true" : "false") + "</IsClusterWriter></DBClusterMember>";
    }
    return "<DBClusterIdentifier>" + id + "</DBClusterIdentifier><DBClusterArn>" + (two ? kTwo : kOne) + "</DBClusterArn><Status>" +
           cluster_status + "</Status><EngineVersion>" + (two ? version_two : version_one) + "</EngineVersion><DBClusterMembers>" +
           members + "</DBClusterMembers>";
  }
  Result<bool> SwitchOver() { return aws_.Run(aurora_.SwitchOver(region_two, 60s)); }
  Result<bool> FailOver() { return aws_.Run(aurora_.FailOver(region_two, consent, 60s)); }

  FakeAws aws_;
  std::unique_ptr<Client> client_ = aws_.MakeClient();
  const RegionName region_one{"us-east-1"};
  const RegionName region_two{"eu-west-1"};
  AuroraGlobal aurora_{*client_, GlobalDatabase{"orders", {{region_one, kOne}, {region_two, kTwo}}}, aws_.clock, Log()};
  LossConsent consent{ExecutionId("x-1"), "operator ann"};

  std::string writer = kOne;
  std::string status = "available";
  std::string moving;
  std::string moving_to = kTwo;
  std::string synchronization = "connected";
  std::string cluster_status = "available";
  std::string version_one = "16.4";
  std::string version_two = "16.4";
  bool headless = false;
  bool two_is_member = true;
  bool lose_answer = false;
  std::optional<std::string> refuse;
  std::string refuse_words = "words";
  std::set<std::string> silent;
  Pairs messages;   // region, event
  Pairs snapshots;  // id, status
  std::string taken = "2026-11-23T11:40:00Z";
  std::function<void()> on_look;
};

TEST_F(AuroraGlobalTest, ASwitchoverIsAskedOfTheWritersRegionAndNeverAllowsLoss) {
  const auto sent = SwitchOver();
  ASSERT_TRUE(sent.ok()) << sent.error().Text();
  EXPECT_TRUE(*sent);
  EXPECT_EQ(aws_.Calls().back(), "rds SwitchoverGlobalCluster us-east-1");
  EXPECT_EQ(aws_.CountOf("FailoverGlobalCluster"), 0u);
  for (const Seen& seen : aws_.seen) EXPECT_THAT(seen.request.body, Not(HasSubstr("AllowDataLoss")));
}

TEST_F(AuroraGlobalTest, ASwitchoverThatCannotEndWellNeverTurnsIntoAFailover) {
  const auto expect_refused = [this](const char* words) {
    const auto sent = SwitchOver();
    ASSERT_FALSE(sent.ok()) << words;
    EXPECT_EQ(sent.error().retry, Retry::kRefused) << sent.error().Text();
    EXPECT_THAT(sent.error().message, HasSubstr(words));
  };
  headless = true;
  expect_refused("has no instance");
  headless = false;
  version_two = "16.3";
  expect_refused("runs version");
  version_two = "16.4";
  synchronization = "pending-resync";
  expect_refused("not in step");
  synchronization = "connected";
  cluster_status = "upgrading";
  expect_refused("not available");
  cluster_status = "available";
  moving = "failing-over";
  moving_to = "arn:aws:rds:ap-south-1:1:cluster:orders-3";
  expect_refused("busy");
  moving.clear();
  refuse = "InvalidGlobalClusterStateFault";
  expect_refused("InvalidGlobalClusterStateFault");
  EXPECT_EQ(aws_.CountOf("SwitchoverGlobalCluster"), 1u);
  EXPECT_EQ(aws_.CountOf("FailoverGlobalCluster"), 0u);
  // With the writer's region silent, neither.
  refuse.reset();
  silent = {"us-east-1"};
  EXPECT_FALSE(SwitchOver().ok());
  EXPECT_EQ(aws_.CountOf("FailoverGlobalCluster"), 0u);
}

TEST_F(AuroraGlobalTest, OnlyANoForTheVersionsLeavesDetaching) {
  refuse = "InvalidDBClusterStateFault";
  refuse_words = "The target cluster orders-2 must have the same engine version as the current primary cluster";
  const auto drifted = FailOver();  // patches that no version shows
  ASSERT_FALSE(drifted.ok());
  EXPECT_EQ(drifted.error().retry, Retry::kRefused);
  EXPECT_THAT(drifted.error().hint, HasSubstr("detach"));
  refuse = "InvalidParameterCombination";
  EXPECT_THAT(FailOver().error().hint, HasSubstr("detach"));
  // A state that passes by itself is not what ends a global database, and neither is a permission.
  for (const char* code : {"InvalidGlobalClusterStateFault", "AccessDenied"}) {
    refuse = code;
    refuse_words = "not now";
    EXPECT_THAT(FailOver().error().hint, Not(HasSubstr("detach"))) << code;
  }
}

TEST_F(AuroraGlobalTest, AFailoverAsksNothingOfTheLostRegion) {
  silent = {"us-east-1"};
  const auto sent = FailOver();
  ASSERT_TRUE(sent.ok()) << sent.error().Text();
  EXPECT_TRUE(*sent);
  EXPECT_THAT(aws_.Calls(), Each(HasSubstr(" eu-west-1")));
  EXPECT_EQ(aws_.seen.back().Form("AllowDataLoss"), "true");
  EXPECT_EQ(aws_.seen.back().Form("TargetDbClusterIdentifier"), kTwo);
}

TEST_F(AuroraGlobalTest, NothingIsLostWithoutSomebodysWord) {
  consent.by.clear();
  EXPECT_EQ(FailOver().error().retry, Retry::kRefused);
  EXPECT_EQ(aws_.Run(aurora_.Detach(region_two, consent, 60s)).error().retry, Retry::kRefused);
  EXPECT_TRUE(aws_.seen.empty());
}

TEST_F(AuroraGlobalTest, WhatIsSoOrUnderWayIsNotAskedForAgain) {
  lose_answer = true;
  const auto lost = FailOver();
  ASSERT_FALSE(lost.ok());
  EXPECT_EQ(lost.error().retry, Retry::kUnknownOutcome);
  // The second look sees that AWS works on it.
  const auto again = FailOver();
  ASSERT_TRUE(again.ok()) << again.error().Text();
  EXPECT_FALSE(*again);
  EXPECT_EQ(aws_.CountOf("FailoverGlobalCluster"), 1u);
  moving.clear();
  status = "available";
  writer = kTwo;
  EXPECT_FALSE(*FailOver());
  EXPECT_FALSE(*SwitchOver());
}

TEST_F(AuroraGlobalTest, ASwitchoverThatWaitsForTheLostRegionDoesNotHoldAFailoverUp) {
  moving = "switching-over";
  status = "switching-over";
  const auto sent = FailOver();
  ASSERT_TRUE(sent.ok()) << sent.error().Text();
  EXPECT_TRUE(*sent);
}

TEST_F(AuroraGlobalTest, ASwitchoverThatShowsNoMoreThanItsStatusDoesNotHoldAFailoverUpUntilTheRolesHaveChanged) {
  status = "switching-over";
  writer = kTwo;
  const auto ends = FailOver();
  ASSERT_TRUE(ends.ok()) << ends.error().Text();
  EXPECT_FALSE(*ends);
  writer = kOne;
  const auto sent = FailOver();
  ASSERT_TRUE(sent.ok()) << sent.error().Text();
  EXPECT_TRUE(*sent);
}

TEST_F(AuroraGlobalTest, AFailoverToAClusterThatNobodyCouldConnectToIsRefused) {
  headless = true;
  const auto sent = FailOver();
  ASSERT_FALSE(sent.ok());
  EXPECT_THAT(sent.error().message, HasSubstr("has no instance"));
  headless = false;
  version_two = "15.9";
  const auto drifted = FailOver();
  ASSERT_FALSE(drifted.ok());
  EXPECT_THAT(drifted.error().hint, HasSubstr("detach-and-promote"));
  EXPECT_EQ(aws_.CountOf("FailoverGlobalCluster"), 0u);
}

TEST_F(AuroraGlobalTest, AMoveIsWaitedForUntilTheTargetHasAWriter) {
  moving = "failing-over";
  status = "failing-over";
  int looks = 0;
  on_look = [&] {
    if (++looks == 3) {
      moving.clear();
      status = "available";
      writer = kTwo;
    }
  };
  silent = {"us-east-1"};
  const auto done = aws_.Run(aurora_.Await(region_two, 10min));
  ASSERT_TRUE(done.ok()) << done.error().Text();
  EXPECT_EQ(looks, 3);
  EXPECT_THAT(aws_.Calls(), Each(HasSubstr(" eu-west-1")));
}

TEST_F(AuroraGlobalTest, AMoveThatDoesNotEndOrIsTakenBackIsSaidSo) {
  moving = "pending";
  const auto late = aws_.Run(aurora_.Await(region_two, 30s));
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().retry, Retry::kRetry);
  EXPECT_THAT(late.error().message, HasSubstr("under way"));
  moving = "cancelling";
  EXPECT_EQ(aws_.Run(aurora_.Await(region_two, 30s)).error().retry, Retry::kRefused);
}

TEST_F(AuroraGlobalTest, ASecondaryIsCutLooseOnceAndTheWriterNever) {
  const auto sent = aws_.Run(aurora_.Detach(region_two, consent, 60s));
  ASSERT_TRUE(sent.ok()) << sent.error().Text();
  EXPECT_TRUE(*sent);
  EXPECT_TRUE(aws_.Run(aurora_.AwaitDetached(region_two, 60s)).ok());
  EXPECT_FALSE(*aws_.Run(aurora_.Detach(region_two, consent, 60s)));
  EXPECT_EQ(aws_.CountOf("RemoveFromGlobalCluster"), 1u);
  EXPECT_EQ(aws_.Run(aurora_.Detach(region_one, consent, 60s)).error().retry, Retry::kRefused);
}

TEST_F(AuroraGlobalTest, TheOldWriterCountsAsFencedOnlyOnAwssWord) {
  const WallTime from = aws_.clock.Wall();
  const std::vector<RegionName> both = {region_two, region_one};
  const auto read = [&] { return aws_.Run(aurora_.ReadFencing(region_one, both, from, 60s)); };
  EXPECT_EQ(read()->fencing, Fencing::kNoWord);
  messages = {{"eu-west-1", "Attempt to block writes for DB cluster orders-1 in Region us-east-1 was begun."}};
  EXPECT_EQ(read()->fencing, Fencing::kNoWord);
  messages = {{"eu-west-1", "Attempt to block writes for DB cluster orders-1 in Region us-east-1 succeeded."}};
  EXPECT_EQ(read()->fencing, Fencing::kSucceeded);
  messages.emplace_back("us-east-1", "Attempt to block writes for DB cluster orders-1 in Region us-east-1 timed out.");
  EXPECT_EQ(read()->fencing, Fencing::kTimedOut);
  std::swap(messages[0].first, messages[1].first);  // whoever is asked first
  EXPECT_EQ(read()->fencing, Fencing::kTimedOut);
  for (const char* other : {"other", "orders-10", "new-orders-1"}) {
    messages = {{"eu-west-1", std::string("Attempt to block writes for DB cluster ") + other + " in Region us-east-1 succeeded."}};
    EXPECT_EQ(read()->fencing, Fencing::kNoWord) << other;
  }
  // No word, and one region did not answer: that is not "no word", it is not known.
  silent = {"us-east-1"};
  EXPECT_FALSE(read().ok());
  messages = {{"eu-west-1", "Attempt to block writes for DB cluster orders-1 in Region us-east-1 succeeded."}};
  EXPECT_EQ(read()->fencing, Fencing::kSucceeded);
}

TEST_F(AuroraGlobalTest, TheSnapshotOfTheLostWritesIsKeptOnce) {
  const WallTime from{aws_.clock.Wall().ns - Duration(10min).count()};  // 11:36:22
  EXPECT_FALSE(aws_.Run(aurora_.KeepLostWrites(region_one, from, 60s))->has_value());
  snapshots = {{"rds:orders-1-2026-11-23", "available"}, {"rds:unplanned-global-failover-orders-1-2026-11-23-11-40", "creating"}};
  EXPECT_EQ(aws_.Run(aurora_.KeepLostWrites(region_one, from, 60s)).error().retry, Retry::kRetry);
  snapshots[1].second = "available";
  const auto kept = aws_.Run(aurora_.KeepLostWrites(region_one, from, 60s));
  ASSERT_TRUE(kept.ok()) << kept.error().Text();
  EXPECT_EQ(**kept, "arn:lifeboat-lost-writes-orders-1-2026-11-23-11-40");
  EXPECT_EQ(*aws_.Run(aurora_.KeepLostWrites(region_one, from, 60s)), *kept);
  EXPECT_EQ(aws_.CountOf("CopyDBClusterSnapshot"), 1u);
}

TEST_F(AuroraGlobalTest, ASnapshotOfAnEarlierFailoverOrOfUnknownAgeIsNotKeptAsThisOnes) {
  const WallTime from{aws_.clock.Wall().ns - Duration(5min).count()};  // 11:41:22
  snapshots = {{"rds:unplanned-global-failover-orders-1-2026-11-23-11-40", "available"}};
  for (const char* when : {"2026-11-23T11:40:00Z", "2026-11-22T11:45:00Z", ""}) {
    taken = when;
    const auto kept = aws_.Run(aurora_.KeepLostWrites(region_one, from, 60s));
    ASSERT_TRUE(kept.ok()) << kept.error().Text();
    EXPECT_FALSE(kept->has_value()) << when;
  }
  EXPECT_EQ(aws_.CountOf("CopyDBClusterSnapshot"), 0u);
  taken = "2026-11-23T11:42:00Z";
  EXPECT_TRUE(aws_.Run(aurora_.KeepLostWrites(region_one, from, 60s))->has_value());
}

TEST(AuroraRules, WhatIsWrongBeforeADisasterIsFound) {
  rds::GlobalCluster global;
  global.id = "orders";
  global.engine_version = "16.4";
  global.members = {{kOne, true, {}, ""}, {kTwo, false, {}, "pending-resync"}};
  rds::DbCluster one;
  one.id = "orders-1";
  one.arn = kOne;
  one.status = "available";
  one.engine_version = "16.4";
  one.instances = {{"a", true}};
  rds::DbCluster two = one;
  two.id = "orders-2";
  two.arn = kTwo;
  two.engine_version = "16.3";
  two.instances.clear();
  rds::DbCluster stranger = one;
  stranger.arn = "arn:aws:rds:ap-south-1:1:cluster:x";
  std::vector<std::string> ids;
  for (const AuroraFinding& finding : FindingsOf(global, {one, two, stranger})) ids.push_back(finding.id);
  EXPECT_THAT(ids, ElementsAre("aurora-headless", "aurora-version-minor", "aurora-pending-resync", "aurora-not-member"));
}

}  // namespace
}  // namespace lifeboat::aws
