// Compute in two emulators of AWS, over a road that misbehaves: scaled up, awaited by the load balancer's word, put back. Every
// request is checked against the vendor's models.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "adapters/aws/autoscaling.h"
#include "adapters/aws/compute.h"
#include "adapters/aws/protocol.h"
#include "adapters/system/clock.h"
#include "support/aws_client.h"
#include "support/real_aws.h"
#include "support/run_task.h"

namespace lifeboat::testing {
namespace {

using aws::AwsCompute;
using ::testing::Contains;
using ::testing::HasSubstr;

const std::string kRegion = "eu-west-1";
const RegionName kHere(kRegion);
const RegionName kLost("us-east-1");
constexpr aws::QueryService kAutoScaling{"autoscaling", "2011-01-01"};
constexpr aws::QueryService kBalancing{"elasticloadbalancing", "2015-12-01"};
constexpr aws::QueryService kEc2{"ec2", "2016-11-15"};

/// The text between <name> and </name>, each time that it stands there.
std::vector<std::string> TextsOf(const std::string& xml, const std::string& name) {
  std::vector<std::string> texts;
  const std::string open = "<" + name + ">";
  for (std::size_t at = xml.find(open); at != std::string::npos; at = xml.find(open, at + 1)) {
    const std::size_t begin = at + open.size();
    texts.push_back(xml.substr(begin, xml.find('<', begin) - begin));
  }
  return texts;
}

class AwsComputeTest : public ::testing::TestWithParam<AwsEmulator> {
 protected:
  AwsComputeTest() : road_(SharedAws(GetParam())) {
    aws::RetryLimits retry;
    retry.base = 10ms;
    client_ = MakeAwsClient(context_, {{"*", road_.Url()}}, retry);
    maker_ = MakeAwsClient(context_, {{"*", SharedAws(GetParam()).Url()}});
    settings_.name = "web";
  }
  template <typename T>
  T Run(Task<T> task) {
    return Await(context_, std::move(task));
  }
  /// One call past the road that must succeed; its answer.
  std::string Make(const aws::QueryService& service, const std::string& action, const aws::QueryParameters& parameters) {
    aws::Call call = aws::QueryCall(service, kRegion, action, parameters, aws::Effect::kOnce);
    const auto reply = Run(maker_->Send(std::move(call), 30s));
    if (!reply) throw std::runtime_error(reply.error().Text());
    return reply->body;
  }
  Json MakeRest(const std::string& service, const std::string& method, const std::string& path, const Json& body) {
    aws::Call call;
    call.service = service;
    call.region = kRegion;
    call.operation = method + " " + path;
    call.method = method;
    call.path = path;
    call.headers = {{"Content-Type", "application/json"}};
    if (!body.is_null()) call.body = body.dump();
    const auto reply = Run(maker_->Send(std::move(call), 30s));
    if (!reply) throw std::runtime_error(reply.error().Text());
    return *ParseJson(reply->body, path);
  }
  /// An Auto Scaling group of one to three machines.
  void MakeGroup(const std::string& group) {
    Make(kAutoScaling, "CreateLaunchConfiguration",
         {{"LaunchConfigurationName", group}, {"ImageId", "ami-12c6146b"}, {"InstanceType", "t2.micro"}});
    Make(kAutoScaling, "CreateAutoScalingGroup",
         {{"AutoScalingGroupName", group},
          {"LaunchConfigurationName", group},
          {"MinSize", "1"},
          {"MaxSize", "3"},
          {"DesiredCapacity", "1"},
          {"AvailabilityZones.member.1", kRegion + "a"}});
  }
  std::string MakeTargetGroup() {
    const std::string vpc = TextsOf(Make(kEc2, "CreateVpc", {{"CidrBlock", "10.9.0.0/16"}}), "vpcId").at(0);
    return TextsOf(Make(kBalancing, "CreateTargetGroup",
                        {{"Name", "web-" + RandomHex(4)}, {"Protocol", "HTTP"}, {"Port", "80"}, {"VpcId", vpc}}),
                   "TargetGroupArn")
        .at(0);
  }
  /// As the machines' own start would do it.
  void Register(const std::string& target_group, const std::string& group) {
    const std::string answer = Make(kAutoScaling, "DescribeAutoScalingGroups", {{"AutoScalingGroupNames.member.1", group}});
    aws::QueryParameters targets = {{"TargetGroupArn", target_group}};
    std::size_t at = 0;
    for (const std::string& id : TextsOf(answer, "InstanceId")) targets.Text("Targets.member." + std::to_string(++at) + ".Id", id);
    Make(kBalancing, "RegisterTargets", targets);
  }
  [[nodiscard]] std::unique_ptr<AwsCompute> Door() {
    return std::make_unique<AwsCompute>(*client_, settings_, clock_, Log(), 20ms);
  }

  boost::asio::io_context context_;
  SystemClock clock_;
  AwsRoad road_;
  std::shared_ptr<aws::Client> client_;
  std::shared_ptr<aws::Client> maker_;
  AwsComputeSettings settings_;
};

TEST_P(AwsComputeTest, AGroupIsScaledUpAwaitedByTheLoadBalancersWordAndPutBackWithTheOtherRegionSilent) {
  const std::string group = "web-" + RandomHex(4);
  MakeGroup(group);
  settings_.groups = {{kHere, group}, {kLost, group}};
  settings_.target_groups[kHere] = MakeTargetGroup();
  road_.Faults({{{"do", "silent"}, {"region", kLost.text}}});
  const auto door = Door();

  const auto note = Run(door->Prepare(kHere, WantedCount(100, 4, 1), 30s));
  ASSERT_TRUE(note.ok()) << note.error().Text();
  ASSERT_TRUE(Run(door->ScaleUp(*note, 30s)).ok());
  ASSERT_TRUE(Run(door->ScaleUp(*note, 30s)).ok());
  EXPECT_EQ(road_.CountOf("autoscaling", "UpdateAutoScalingGroup"), 1u);
  const auto look = Run(door->Look(kHere, 30s));
  ASSERT_TRUE(look.ok()) << look.error().Text();
  EXPECT_EQ(look->sizes, (ComputeSizes{4, 4, 4}));
  EXPECT_EQ(look->running, 4u);
  EXPECT_EQ(look->healthy, 0u);

  // The group says that four run; the load balancer knows of none.
  const auto late = Run(door->Await(kHere, 4, 1500ms));
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().retry, Retry::kRetry);
  EXPECT_THAT(late.error().message, HasSubstr("4 in service, targets: no targets"));
  Register(settings_.target_groups[kHere], group);
  const auto there = Run(door->Await(kHere, 4, 30s));
  ASSERT_TRUE(there.ok()) << there.error().Text();
  EXPECT_EQ(there->healthy, 4u);

  ASSERT_TRUE(Run(door->PutBack(*note, 30s)).ok());
  EXPECT_EQ(Run(door->Look(kHere, 30s))->sizes, (ComputeSizes{1, 1, 3}));
  EXPECT_EQ(road_.HeldIn(kLost.text), 0u);
  EXPECT_EQ(road_.Invalid(), "");
}

TEST_P(AwsComputeTest, AScalingUpWhoseAnswerIsLostIsAskedForAgainAndComesToTheSame) {
  const std::string group = "web-" + RandomHex(4);
  MakeGroup(group);
  settings_.groups = {{kHere, group}};
  const auto door = Door();
  const auto note = Run(door->Prepare(kHere, 3, 30s));
  ASSERT_TRUE(note.ok()) << note.error().Text();
  road_.Faults({{{"do", "lose_answer"}, {"operation", "UpdateAutoScalingGroup"}, {"times", 1}},
                {{"do", "throttle"}, {"operation", "DescribeAutoScalingGroups"}, {"times", 1}}});
  const auto up = Run(door->ScaleUp(*note, 30s));
  ASSERT_TRUE(up.ok()) << up.error().Text();
  EXPECT_EQ(road_.CountOf("autoscaling", "UpdateAutoScalingGroup"), 2u);
  EXPECT_TRUE(Run(door->Await(kHere, 3, 30s)).ok());
  // A server that fails every time: it is not known, and not taken for done.
  const auto more = Run(door->Prepare(kHere, 5, 30s));
  road_.Faults({{{"do", "error"}, {"operation", "UpdateAutoScalingGroup"}, {"status", 503}, {"code", "ServiceUnavailable"}}});
  EXPECT_EQ(Run(door->ScaleUp(*more, 30s)).error().retry, Retry::kUnknownOutcome);
}

TEST_P(AwsComputeTest, CheckSaysWhatIsMissing) {
  const std::string group = "web-" + RandomHex(4);
  MakeGroup(group);
  settings_.groups = {{kHere, group}};
  // Neither emulator has quotas, and one of them needs seconds to say so.
  road_.Faults({{{"do", "error"}, {"service", "servicequotas"}, {"status", 400}, {"code", "NoSuchResourceException"}}});
  const auto lines = Run(Door()->Check(kHere, 5, 30s));
  ASSERT_TRUE(lines.ok()) << lines.error().Text();
  std::vector<std::string> words;
  for (const Readiness& line : *lines) words.push_back(line.level + ": " + line.what);
  EXPECT_THAT(words, Contains(HasSubstr("fault: auto scaling group '" + group + "' in 'eu-west-1' may grow to 3")));
  EXPECT_THAT(words, Contains(HasSubstr("unknown: no target group is named")));
  EXPECT_THAT(words, Contains(HasSubstr("unknown: quota")));
  settings_.groups = {{kHere, "nobody"}};
  const auto none = Run(Door()->Check(kHere, 5, 30s));
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(none->front().level, "fault");
  settings_.groups = {{kHere, group}};
  settings_.target_groups[kHere] = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/nobody/0123456789abcdef";
  const auto no_targets = Run(Door()->Check(kHere, 1, 30s));
  ASSERT_TRUE(no_targets.ok());
  words.clear();
  for (const Readiness& line : *no_targets) words.push_back(line.level + ": " + line.what);
  EXPECT_THAT(words, Contains(HasSubstr("fault: target group 'arn:")));
  EXPECT_EQ(road_.Invalid(), "");
}

INSTANTIATE_TEST_SUITE_P(Aws, AwsComputeTest, ::testing::Values(AwsEmulator::kMinistack, AwsEmulator::kMoto),
                         [](const auto& kind) { return std::string(NameOf(kind.param)); });

/// ministack has no Application Auto Scaling, and does not scale node groups.
class AwsContainersTest : public AwsComputeTest {};

TEST_P(AwsContainersTest, AnEcsServiceIsScaledUpWithItsBoundsAndPutBack) {
  const std::string cluster = "shop-" + RandomHex(4);
  const auto make = [&](const std::string& action, const Json& body) {
    AwsJson(context_, *maker_, "ecs", "AmazonEC2ContainerServiceV20141113." + action, kRegion, body);
  };
  make("CreateCluster", {{"clusterName", cluster}});
  make("RegisterTaskDefinition",
       {{"family", "web"}, {"containerDefinitions", {{{"name", "web"}, {"image", "web"}, {"memory", 128}}}}});
  make("CreateService", {{"cluster", cluster}, {"serviceName", "web"}, {"taskDefinition", "web"}, {"desiredCount", 1}});
  AwsJson(context_, *maker_, "application-autoscaling", "AnyScaleFrontendService.RegisterScalableTarget", kRegion,
          {{"ServiceNamespace", "ecs"},
           {"ResourceId", "service/" + cluster + "/web"},
           {"ScalableDimension", "ecs:service:DesiredCount"},
           {"MinCapacity", 1},
           {"MaxCapacity", 2}});
  settings_.kind = AwsComputeKind::kEcs;
  settings_.groups = {{kHere, cluster + "/web"}};
  const auto door = Door();
  const auto note = Run(door->Prepare(kHere, 4, 30s));
  ASSERT_TRUE(note.ok()) << note.error().Text();
  EXPECT_EQ(note->before, (ComputeSizes{1, 1, 2}));
  ASSERT_TRUE(Run(door->ScaleUp(*note, 30s)).ok());
  const auto there = Run(door->Await(kHere, 4, 30s));
  ASSERT_TRUE(there.ok()) << there.error().Text();
  EXPECT_EQ(there->sizes, (ComputeSizes{4, 4, 4}));
  const auto back = Run(door->PutBack(*note, 30s));
  ASSERT_TRUE(back.ok()) << back.error().Text();
  EXPECT_EQ(Run(door->Look(kHere, 30s))->sizes, (ComputeSizes{1, 1, 2}));
  settings_.groups = {{kHere, cluster + "/nobody"}};
  EXPECT_EQ(Run(Door()->Look(kHere, 30s)).error().retry, Retry::kNotFound);
  EXPECT_EQ(road_.Invalid(), "");
}

TEST_P(AwsContainersTest, ANodeGroupIsScaledUpAndCountedByTheGroupUnderIt) {
  const std::string cluster = "shop-" + RandomHex(4);
  const std::string role = "arn:aws:iam::123456789012:role/nodes";
  MakeRest("eks", "POST", "/clusters",
           {{"name", cluster}, {"roleArn", role}, {"resourcesVpcConfig", {{"subnetIds", Json::array({"subnet-1"})}}}});
  MakeRest("eks", "POST", "/clusters/" + cluster + "/node-groups",
           {{"nodegroupName", "nodes"},
            {"nodeRole", role},
            {"subnets", Json::array({"subnet-1"})},
            {"scalingConfig", {{"minSize", 1}, {"maxSize", 2}, {"desiredSize", 1}}}});
  const Json made = MakeRest("eks", "GET", "/clusters/" + cluster + "/node-groups/nodes", nullptr);
  settings_.kind = AwsComputeKind::kEks;
  settings_.groups = {{kHere, cluster + "/nodes"}};
  const auto door = Door();
  const auto note = Run(door->Prepare(kHere, 3, 30s));
  ASSERT_TRUE(note.ok()) << note.error().Text();
  ASSERT_TRUE(Run(door->ScaleUp(*note, 30s)).ok());
  EXPECT_EQ(Run(door->Look(kHere, 30s))->sizes, (ComputeSizes{3, 3, 3}));
  // The emulator names a group under it that is not there: how many run is not known, and is not made up.
  EXPECT_EQ(Run(door->Await(kHere, 3, 1s)).error().retry, Retry::kFail);
  const std::string under = made["nodegroup"]["resources"]["autoScalingGroups"][0]["name"];
  MakeGroup(under);
  const auto resized = Run(aws::autoscaling::Resize(*maker_, kRegion, under, aws::autoscaling::Sizes{3, 3, 3}, 30s));
  ASSERT_TRUE(resized.ok()) << resized.error().Text();
  const auto there = Run(door->Await(kHere, 3, 30s));
  ASSERT_TRUE(there.ok()) << there.error().Text();
  EXPECT_EQ(there->running, 3u);
  ASSERT_TRUE(Run(door->PutBack(*note, 30s)).ok());
  EXPECT_EQ(Run(door->Look(kHere, 30s))->sizes, (ComputeSizes{1, 1, 2}));
  EXPECT_EQ(road_.Invalid(), "");
}

INSTANTIATE_TEST_SUITE_P(Aws, AwsContainersTest, ::testing::Values(AwsEmulator::kMoto),
                         [](const auto& kind) { return std::string(NameOf(kind.param)); });

}  // namespace
}  // namespace lifeboat::testing
