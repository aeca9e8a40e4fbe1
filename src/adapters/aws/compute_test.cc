#include "adapters/aws/compute.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/aws/test_support.h"

namespace lifeboat::aws {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using testing::FakeAws;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Said;
using testing::Seen;

const RegionName kHere("eu-west-1");
const RegionName kThere("us-east-1");

ComputeSizes Sizes(std::optional<std::uint64_t> least, std::uint64_t desired, std::optional<std::uint64_t> most) {
  return ComputeSizes{least, desired, most};
}

TEST(WantedCount, IsTheShareRoundedUpAndNeverFewerThanThereAre) {
  EXPECT_EQ(WantedCount(100, 4, 1), 4u);
  EXPECT_EQ(WantedCount(50, 3, 1), 2u);
  EXPECT_EQ(WantedCount(1, 1, 0), 1u);
  EXPECT_EQ(WantedCount(50, 3, 9), 9u);
  EXPECT_EQ(WantedCount(200, 3, 0), 6u);
  EXPECT_EQ(WantedCount(100, 0, 2), 2u);
}

TEST(ComputeSizes, OnlyGrow) {
  EXPECT_EQ(Grown(Sizes(1, 2, 3), 5), Sizes(5, 5, 5));
  EXPECT_EQ(Grown(Sizes(1, 2, 10), 5), Sizes(5, 5, 10));
  EXPECT_EQ(Grown(Sizes(1, 8, 10), 5), Sizes(5, 8, 10));  // more run already: they stay, and may go down to what is wanted
  EXPECT_EQ(Grown(Sizes({}, 2, {}), 5), Sizes({}, 5, {}));
  EXPECT_EQ(Grown(Sizes(0, 0, 0), 0), Sizes(0, 0, 0));
  EXPECT_EQ(LargerOf(Sizes(1, 7, 8), Sizes(5, 5, 5)), Sizes(5, 7, 8));
  EXPECT_EQ(LargerOf(Sizes(1, 2, 3), Sizes({}, 9, {})), Sizes(1, 9, 9));
}

TEST(ComputeSizes, ArePutBackOnlyWhereNobodyElseHasChangedThem) {
  ComputeNote note{kHere, Sizes(1, 2, 3), Sizes(5, 5, 5)};
  EXPECT_EQ(*PutBackFrom(Sizes(5, 5, 5), note), Sizes(1, 2, 3));
  EXPECT_EQ(*PutBackFrom(Sizes(1, 2, 3), note), Sizes(1, 2, 3));
  EXPECT_EQ(*PutBackFrom(Sizes(5, 2, 5), note), Sizes(1, 2, 3));  // half of the change was made
  EXPECT_EQ(PutBackFrom(Sizes(5, 5, 9), note).error().retry, Retry::kRefused);
  EXPECT_EQ(PutBackFrom(Sizes(4, 5, 5), note).error().retry, Retry::kRefused);
  // Its own policy has moved the count within the bounds: the count stays, unless the old bound would cut it.
  note.before = Sizes(1, 2, 8);
  note.after = Sizes(5, 5, 8);
  EXPECT_EQ(*PutBackFrom(Sizes(5, 7, 8), note), Sizes(1, 7, 8));
  note.before = Sizes(1, 2, 6);
  EXPECT_EQ(PutBackFrom(Sizes(5, 7, 8), note).error().retry, Retry::kRefused);
  note = ComputeNote{kHere, Sizes({}, 2, {}), Sizes({}, 5, {})};
  EXPECT_EQ(*PutBackFrom(Sizes({}, 5, {}), note), Sizes({}, 2, {}));
  EXPECT_EQ(PutBackFrom(Sizes({}, 6, {}), note).error().retry, Retry::kRefused);
}

TEST(ComputeNote, ComesBackFromTheRecordAsItWasAndHalfOfItDoesNot) {
  const ComputeNote note{kHere, Sizes(1, 2, 3), Sizes({}, 5, {})};
  const auto read = ComputeNoteFrom(ToJson(note));
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(*read, note);
  Json half = ToJson(note);
  half["before"].erase("desired");
  EXPECT_FALSE(ComputeNoteFrom(half).ok());
  EXPECT_FALSE(ComputeNoteFrom(Json("x")).ok());
}

/// An Auto Scaling group of each region, and a target group, as far as their APIs show them.
class AwsComputeTest : public ::testing::Test {
 protected:
  AwsComputeTest() {
    settings_.name = "web";
    settings_.groups = {{kHere, "web"}, {kThere, "web"}};
    settings_.target_groups = {{kHere, "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/web/1"}};
    aws_.answer = [this](const Seen& seen) {
      if (silent.contains(seen.region)) return FakeAws::Silence();
      return Answer(seen);
    };
  }
  Said Answer(const Seen& seen) {
    if (seen.operation == "DescribeAutoScalingGroups") {
      if (on_look) on_look();
      if (gone) return Wrapped(seen, "<AutoScalingGroups/>");
      std::string list;
      for (std::uint64_t at = 0; at < running; ++at) {
        list += "<member><InstanceId>i-" + std::to_string(at) +
                "</InstanceId><LifecycleState>InService</LifecycleState><HealthStatus>Healthy</HealthStatus></member>";
      }
      list += "<member><LifecycleState>Pending</LifecycleState><HealthStatus>Healthy</HealthStatus></member>";
      return Wrapped(seen, "<AutoScalingGroups><member><AutoScalingGroupName>web</AutoScalingGroupName><MinSize>" +
                               std::to_string(*sizes.least) + "</MinSize><MaxSize>" + std::to_string(*sizes.most) +
                               "</MaxSize><DesiredCapacity>" + std::to_string(sizes.desired) + "</DesiredCapacity><Instances>" +
                               list + "</Instances><SuspendedProcesses>" + suspended +
                               "</SuspendedProcesses></member></AutoScalingGroups>");
    }
    if (seen.operation == "UpdateAutoScalingGroup") {
      if (refuse) return FakeAws::QueryError(400, *refuse);
      sizes =
          Sizes(std::stoull(seen.Form("MinSize")), std::stoull(seen.Form("DesiredCapacity")), std::stoull(seen.Form("MaxSize")));
      return Wrapped(seen, "");
    }
    if (seen.operation == "DescribeScalingActivities") {
      return Wrapped(seen,
                     "<Activities><member><StatusCode>InProgress</StatusCode></member><member><StatusCode>Failed</StatusCode>"
                     "<StatusMessage>no capacity in your Availability Zone</StatusMessage></member></Activities>");
    }
    if (seen.operation == "DescribeTargetHealth") {
      std::string list;
      for (const auto& [id, port, state] : targets) {
        list += "<member><Target><Id>" + id + "</Id><Port>" + port + "</Port></Target><TargetHealth><State>" + state +
                "</State></TargetHealth></member>";
      }
      return Wrapped(seen, "<TargetHealthDescriptions>" + list + "</TargetHealthDescriptions>");
    }
    if (seen.operation == "GetServiceQuota") {
      return Said{400, R"({"__type":"NoSuchResourceException","message":"none of its own"})", {}, {}};
    }
    if (seen.operation == "GetAWSDefaultServiceQuota") {
      return Said{200, R"({"Quota":{"Value":)" + std::to_string(quota[seen.region]) + "}}", {}, {}};
    }
    return FakeAws::QueryError(400, "InvalidAction");
  }
  static Said Wrapped(const Seen& seen, const std::string& xml) {
    return Said{200,
                "<" + seen.operation + "Response><" + seen.operation + "Result>" + xml + "</" + seen.operation + "Result></" +
                    seen.operation + "Response>",
                {},
                {}};
  }
  AwsCompute Door() { return AwsCompute(*client_, settings_, aws_.clock, Log()); }
  /// Lines as "level: what".
  std::vector<std::string> Lines(std::optional<std::uint64_t> source_ran) {
    AwsCompute door = Door();
    const auto lines = aws_.Run(door.Check(kHere, source_ran, 30s));
    std::vector<std::string> words;
    if (!lines) return {lines.error().Text()};
    for (const Readiness& line : *lines) {
      words.push_back(line.level + ": " + line.what);
      EXPECT_EQ(line.level == "ok", line.hint.empty()) << line.what;
    }
    return words;
  }

  struct Target {
    std::string id, port, state;
  };
  FakeAws aws_;
  std::unique_ptr<Client> client_ = aws_.MakeClient();
  AwsComputeSettings settings_;
  ComputeSizes sizes = Sizes(1, 1, 3);
  std::uint64_t running = 1;
  std::vector<Target> targets = {{"i-0", "80", "healthy"}};
  std::string suspended;
  std::map<std::string, int> quota = {{"eu-west-1", 64}, {"us-east-1", 64}};
  std::set<std::string> silent;
  std::optional<std::string> refuse;
  bool gone = false;
  std::function<void()> on_look;
};

TEST_F(AwsComputeTest, ScalesUpAskingTheTargetsRegionAloneAndPutsBack) {
  silent.insert("us-east-1");
  AwsCompute door = Door();
  const auto note = aws_.Run(door.Prepare(kHere, 5, 30s));
  ASSERT_TRUE(note.ok()) << note.error().Text();
  EXPECT_TRUE(note->Changes());
  EXPECT_EQ(aws_.CountOf("UpdateAutoScalingGroup"), 0u);
  ASSERT_TRUE(aws_.Run(door.ScaleUp(*note, 30s)).ok());
  EXPECT_EQ(sizes, Sizes(5, 5, 5));
  ASSERT_TRUE(aws_.Run(door.ScaleUp(*note, 30s)).ok());
  EXPECT_EQ(aws_.CountOf("UpdateAutoScalingGroup"), 1u);  // so already: nothing is sent
  ASSERT_TRUE(aws_.Run(door.PutBack(*note, 30s)).ok());
  EXPECT_EQ(sizes, Sizes(1, 1, 3));
  for (const Seen& seen : aws_.seen) EXPECT_EQ(seen.region, "eu-west-1");
}

TEST_F(AwsComputeTest, WhatHasGrownSinceTheNoteWasWrittenIsNotCut) {
  AwsCompute door = Door();
  const auto note = aws_.Run(door.Prepare(kHere, 5, 30s));
  sizes = Sizes(2, 9, 12);
  ASSERT_TRUE(aws_.Run(door.ScaleUp(*note, 30s)).ok());
  EXPECT_EQ(sizes, Sizes(5, 9, 12));
  EXPECT_EQ(aws_.Run(door.PutBack(*note, 30s)).error().retry, Retry::kRefused);
  EXPECT_EQ(sizes, Sizes(5, 9, 12));
}

TEST_F(AwsComputeTest, TheLoadBalancersWordCountsAndNotTheGroups) {
  running = 4;
  sizes = Sizes(4, 4, 4);
  targets = {{"i-0", "80", "healthy"}, {"i-0", "81", "healthy"}, {"i-1", "80", "initial"}, {"i-2", "80", "unused"}};
  AwsCompute door = Door();
  const auto late = aws_.Run(door.Await(kHere, 2, 1min));
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().retry, Retry::kRetry);
  EXPECT_THAT(late.error().message, HasSubstr("4 in service, targets: 2 healthy, 1 initial, 1 unused"));
  EXPECT_THAT(late.error().message, HasSubstr("AWS says 'no capacity in your Availability Zone'"));
  // By and by the load balancer sees them.
  int looks = 0;
  on_look = [this, &looks] {
    if (++looks == 3) targets[2].state = "healthy";
  };
  const auto there = aws_.Run(door.Await(kHere, 2, 1min));
  ASSERT_TRUE(there.ok()) << there.error().Text();
  EXPECT_EQ(there->healthy, 2u);
  EXPECT_EQ(looks, 3);
  // Without a target group the group's own word is all there is.
  settings_.target_groups.clear();
  AwsCompute blind = Door();
  EXPECT_TRUE(aws_.Run(blind.Await(kHere, 4, 1min)).ok());
}

TEST_F(AwsComputeTest, ABusyGroupIsARefusalAndSilenceIsAnUnknownOutcome) {
  AwsCompute door = Door();
  const auto note = aws_.Run(door.Prepare(kHere, 2, 30s));
  refuse = "ScalingActivityInProgress";
  EXPECT_EQ(aws_.Run(door.ScaleUp(*note, 30s)).error().retry, Retry::kRefused);
  refuse.reset();
  aws_.answer = [this](const Seen& seen) { return seen.operation == "UpdateAutoScalingGroup" ? FakeAws::Silence() : Answer(seen); };
  EXPECT_EQ(aws_.Run(door.ScaleUp(*note, 30s)).error().retry, Retry::kUnknownOutcome);
}

TEST_F(AwsComputeTest, CheckSaysWhatAFailoverWouldWant) {
  EXPECT_THAT(Lines(2), ElementsAre("ok: auto scaling group 'web' in 'eu-west-1' wants 1 (of 1 to 3), and a failover would want 2 "
                                    "(100 % of the 2 that the serving region ran)",
                                    "ok: targets of auto scaling group 'web' in 'eu-west-1': 1 healthy",
                                    HasSubstr("ok: quota 'L-1216C47A'")));
  EXPECT_THAT(Lines(4),
              Contains(HasSubstr("fault: auto scaling group 'web' in 'eu-west-1' may grow to 3, and a failover wants 4")));
  EXPECT_THAT(Lines({}), Contains(HasSubstr("unknown: what auto scaling group 'web'")));
  suspended = "<member><ProcessName>Launch</ProcessName></member><member><ProcessName>AZRebalance</ProcessName></member>";
  EXPECT_THAT(Lines(2), Contains(HasSubstr("fault: auto scaling group 'web' in 'eu-west-1': its process 'Launch' is suspended")));
  EXPECT_THAT(Lines(2), Not(Contains(HasSubstr("AZRebalance"))));
  running = 0;
  EXPECT_THAT(Lines(2), Contains(HasSubstr("fault: auto scaling group 'web' in 'eu-west-1' runs 0 of the 1 that it wants")));
}

TEST_F(AwsComputeTest, CheckSeesUnhealthyTargetsSmallerQuotasAndWhatIsNotThere) {
  targets[0].state = "unhealthy";
  EXPECT_THAT(Lines(1), Contains(HasSubstr("fault: the load balancer sends clients to 0 of the 1 that run")));
  settings_.target_groups.clear();
  EXPECT_THAT(Lines(1), Contains(HasSubstr("unknown: no target group is named")));
  quota["eu-west-1"] = 32;
  EXPECT_THAT(Lines(1), Contains(HasSubstr("is 32 in 'eu-west-1' and 64 in 'us-east-1'")));
  silent.insert("us-east-1");
  EXPECT_THAT(Lines(1), Contains(HasSubstr("could not be compared between the regions: here it is 32")));
  gone = true;
  EXPECT_THAT(Lines(1), ElementsAre("fault: auto scaling group 'web' in 'eu-west-1' does not exist"));
  silent.insert("eu-west-1");
  EXPECT_THAT(Lines(1), ElementsAre(HasSubstr("unknown: auto scaling group 'web' in 'eu-west-1' cannot be looked at")));
}

// ---- ECS and EKS ----

TEST_F(AwsComputeTest, AnEcsServicesBoundsAreWidenedBeforeItsCount) {
  settings_.kind = AwsComputeKind::kEcs;
  settings_.groups = {{kHere, "shop/web"}};
  settings_.target_groups.clear();
  Json bounds = {{"MinCapacity", 1}, {"MaxCapacity", 2}};
  std::uint64_t desired = 1;
  aws_.answer = [&](const Seen& seen) {
    Json body = Json::object();
    if (seen.operation == "DescribeServices") {
      body["services"] = {{{"serviceName", "web"}, {"status", "ACTIVE"}, {"desiredCount", desired}, {"runningCount", desired}}};
    } else if (seen.operation == "DescribeScalableTargets") {
      body["ScalableTargets"] = bounds.is_null() ? Json::array() : Json::array({bounds});
    } else if (seen.operation == "RegisterScalableTarget") {
      bounds = {{"MinCapacity", seen.json["MinCapacity"]}, {"MaxCapacity", seen.json["MaxCapacity"]}};
    } else if (seen.operation == "UpdateService") {
      desired = NumberAt(seen.json, "desiredCount");
    }
    return Said{200, body.dump(), {}, {}};
  };
  AwsCompute door = Door();
  const auto note = aws_.Run(door.Prepare(kHere, 4, 30s));
  ASSERT_TRUE(note.ok()) << note.error().Text();
  ASSERT_TRUE(aws_.Run(door.ScaleUp(*note, 30s)).ok());
  const std::vector<std::string> calls = aws_.Calls();
  EXPECT_EQ(calls.at(calls.size() - 2), "application-autoscaling RegisterScalableTarget eu-west-1");
  EXPECT_EQ(calls.back(), "ecs UpdateService eu-west-1");
  EXPECT_EQ(desired, 4u);
  EXPECT_EQ(bounds["MaxCapacity"], 4);
  EXPECT_EQ(aws_.seen[1].json["ResourceIds"][0], "service/shop/web");
  EXPECT_TRUE(aws_.Run(door.Await(kHere, 4, 1min)).ok());
  ASSERT_TRUE(aws_.Run(door.PutBack(*note, 30s)).ok());
  EXPECT_EQ(desired, 1u);
  EXPECT_EQ(bounds["MaxCapacity"], 2);
  // Nothing scales it: there are no bounds to touch.
  bounds = nullptr;
  aws_.seen.clear();
  const auto plain = aws_.Run(door.Prepare(kHere, 3, 30s));
  ASSERT_TRUE(aws_.Run(door.ScaleUp(*plain, 30s)).ok());
  EXPECT_EQ(aws_.CountOf("RegisterScalableTarget"), 0u);
  EXPECT_EQ(desired, 3u);
}

TEST_F(AwsComputeTest, ANodeGroupIsCountedByTheGroupsUnderItAndNeverGuessed) {
  settings_.kind = AwsComputeKind::kEks;
  settings_.groups = {{kHere, "shop/nodes"}};
  settings_.target_groups.clear();
  Json scaling = {{"minSize", 1}, {"desiredSize", 1}, {"maxSize", 2}};
  Json asked;
  aws_.answer = [&](const Seen& seen) {
    if (seen.service != "eks") return Answer(seen);
    if (seen.request.method == "POST") {
      asked = Json::parse(seen.request.body);
      scaling = asked["scalingConfig"];
      return Said{200, R"({"update":{"id":"u","status":"InProgress"}})", {}, {}};
    }
    const Json group = {{"nodegroup",
                         {{"nodegroupName", "nodes"},
                          {"status", "ACTIVE"},
                          {"scalingConfig", scaling},
                          {"resources", {{"autoScalingGroups", {{{"name", "eks-nodes-1"}}}}}}}}};
    return Said{200, group.dump(), {}, {}};
  };
  AwsCompute door = Door();
  const auto note = aws_.Run(door.Prepare(kHere, 3, 30s));
  ASSERT_TRUE(note.ok()) << note.error().Text();
  ASSERT_TRUE(aws_.Run(door.ScaleUp(*note, 30s)).ok());
  EXPECT_EQ(scaling, (Json{{"minSize", 3}, {"desiredSize", 3}, {"maxSize", 3}}));
  EXPECT_FALSE(TextAt(asked, "clientRequestToken").empty());
  EXPECT_EQ(aws_.seen.back().request.url, "https://eks.eu-west-1.amazonaws.com/clusters/shop/node-groups/nodes/update-config");
  running = 3;
  EXPECT_TRUE(aws_.Run(door.Await(kHere, 3, 1min)).ok());
  gone = true;
  EXPECT_EQ(aws_.Run(door.Await(kHere, 3, 1min)).error().retry, Retry::kFail);
  settings_.groups = {{kHere, "shop"}};
  AwsCompute wrong = Door();
  EXPECT_THAT(aws_.Run(wrong.Look(kHere, 1min)).error().message, HasSubstr("'cluster/nodegroup'"));
}

}  // namespace
}  // namespace lifeboat::aws
