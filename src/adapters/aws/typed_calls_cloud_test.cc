// The typed calls around the database: what they send, and what they make of answers in the shape of the services' references.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/aws/application_autoscaling.h"
#include "adapters/aws/autoscaling.h"
#include "adapters/aws/cloudwatch.h"
#include "adapters/aws/ecs.h"
#include "adapters/aws/eks.h"
#include "adapters/aws/elbv2.h"
#include "adapters/aws/eventbridge.h"
#include "adapters/aws/lambda.h"
#include "adapters/aws/quotas.h"
#include "adapters/aws/s3.h"
#include "adapters/aws/s3control.h"
#include "adapters/aws/sns.h"
#include "adapters/aws/test_support.h"

namespace lifeboat::aws {
namespace {

using ::testing::ElementsAre;
using testing::FakeAws;
using ::testing::HasSubstr;
using testing::Said;
using testing::Seen;

const std::string kRegion = "eu-west-1";
const std::string kAccessPoint = "arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap";

Said Wrapped(const Seen& seen, const std::string& xml) {
  return Said{200,
              "<" + seen.operation + "Response><" + seen.operation + "Result>" + xml + "</" + seen.operation + "Result></" +
                  seen.operation + "Response>",
              {},
              {}};
}

class TypedCloudCallsTest : public ::testing::Test {
 protected:
  void Answers(std::string body) {
    aws_.answer = [body = std::move(body)](const Seen&) { return Said{200, body, {}, {}}; };
  }
  FakeAws aws_;
  std::unique_ptr<Client> client_ = aws_.MakeClient();
};

TEST_F(TypedCloudCallsTest, AGroupCountsOnlyHealthyInstancesInServiceAndByTheirWeight) {
  aws_.answer = [](const Seen& seen) {
    return Wrapped(seen, R"(<AutoScalingGroups><member><AutoScalingGroupName>web</AutoScalingGroupName>
      <MinSize>1</MinSize><MaxSize>9</MaxSize><DesiredCapacity>6</DesiredCapacity>
      <Instances><member><LifecycleState>InService</LifecycleState><HealthStatus>Healthy</HealthStatus><WeightedCapacity>4</WeightedCapacity></member>
        <member><LifecycleState>InService</LifecycleState><HealthStatus>Healthy</HealthStatus></member>
        <member><LifecycleState>InService</LifecycleState><HealthStatus>Unhealthy</HealthStatus></member>
        <member><LifecycleState>Pending</LifecycleState><HealthStatus>Healthy</HealthStatus></member></Instances>
      <TargetGroupARNs><member>arn:t</member></TargetGroupARNs>
      <SuspendedProcesses><member><ProcessName>Launch</ProcessName></member></SuspendedProcesses></member></AutoScalingGroups>)");
  };
  const auto group = aws_.Run(autoscaling::DescribeGroup(*client_, kRegion, "web", 10s));
  ASSERT_TRUE(group.ok()) << group.error().Text();
  EXPECT_EQ(group->in_service, 5u);
  EXPECT_EQ(group->sizes.most, 9u);
  EXPECT_THAT(group->suspended, ElementsAre("Launch"));
  EXPECT_THAT(group->target_groups, ElementsAre("arn:t"));
  EXPECT_EQ(aws_.seen[0].Form("AutoScalingGroupNames.member.1"), "web");
  aws_.answer = [](const Seen& seen) { return Wrapped(seen, "<AutoScalingGroups/>"); };
  EXPECT_EQ(aws_.Run(autoscaling::DescribeGroup(*client_, kRegion, "web", 10s)).error().retry, Retry::kNotFound);
}

TEST_F(TypedCloudCallsTest, AServiceIsReadAndItsCountIsSetByItsNameAlone) {
  Answers(R"({"services":[{"serviceName":"web","status":"ACTIVE","desiredCount":4,"runningCount":3,"pendingCount":1,
    "schedulingStrategy":"DAEMON","launchType":"FARGATE","loadBalancers":[{"targetGroupArn":"arn:t"}],
    "events":[{"message":"newest"},{"message":"older"}]}],"failures":[]})");
  const auto service = aws_.Run(ecs::DescribeService(*client_, kRegion, "shop", "web", 10s));
  ASSERT_TRUE(service.ok()) << service.error().Text();
  EXPECT_EQ(service->running, 3u);
  EXPECT_TRUE(service->daemon);
  EXPECT_EQ(service->last_message, "newest");
  EXPECT_THAT(service->target_groups, ElementsAre("arn:t"));
  Answers(R"({"services":[],"failures":[{"reason":"MISSING"}]})");
  EXPECT_EQ(aws_.Run(ecs::DescribeService(*client_, kRegion, "shop", "web", 10s)).error().retry, Retry::kNotFound);
  Answers("{}");
  ASSERT_TRUE(aws_.Run(ecs::SetDesiredCount(*client_, kRegion, "shop", "web", 6, 10s)).ok());
  EXPECT_EQ(aws_.seen.back().json, (Json{{"cluster", "shop"}, {"service", "web"}, {"desiredCount", 6}}));
  EXPECT_EQ(aws_.seen.back().Header("X-Amz-Target"), "AmazonEC2ContainerServiceV20141113.UpdateService");
  aws_.answer = [](const Seen&) { return Said{400, R"({"__type":"ServiceNotActiveException","message":"m"})", {}, {}}; };
  EXPECT_EQ(aws_.Run(ecs::SetDesiredCount(*client_, kRegion, "shop", "web", 6, 10s)).error().retry, Retry::kRefused);
}

TEST_F(TypedCloudCallsTest, BoundsAreReadSetAndMayBeAbsent) {
  Answers(R"({"ScalableTargets":[{"MinCapacity":2,"MaxCapacity":8}]})");
  const auto bounds = aws_.Run(application_autoscaling::DescribeBounds(*client_, kRegion, "shop", "web", 10s));
  ASSERT_TRUE(bounds.ok() && bounds->has_value());
  EXPECT_EQ((*bounds)->most, 8u);
  Answers(R"({"ScalableTargets":[]})");
  EXPECT_FALSE(aws_.Run(application_autoscaling::DescribeBounds(*client_, kRegion, "shop", "web", 10s))->has_value());
  Answers("{}");
  const application_autoscaling::Bounds wider{4, 9};
  ASSERT_TRUE(aws_.Run(application_autoscaling::SetBounds(*client_, kRegion, "shop", "web", wider, 10s)).ok());
  EXPECT_EQ(TextAt(aws_.seen.back().json, "ResourceId"), "service/shop/web");
  EXPECT_FALSE(aws_.seen.back().json.contains("RoleARN"));
  EXPECT_FALSE(aws_.seen.back().json.contains("SuspendedState"));
  aws_.answer = [](const Seen&) { return Said{400, R"({"__type":"ConcurrentUpdateException","message":"m"})", {}, {}}; };
  EXPECT_EQ(aws_.Run(application_autoscaling::SetBounds(*client_, kRegion, "shop", "web", wider, 10s)).error().retry,
            Retry::kRetry);
}

TEST_F(TypedCloudCallsTest, ANodeGroupIsReadAndAnUpdateUnderWayIsARefusal) {
  Answers(R"({"nodegroup":{"nodegroupName":"n","status":"DEGRADED","scalingConfig":{"minSize":1,"desiredSize":2,"maxSize":3},
    "resources":{"autoScalingGroups":[{"name":"eks-n"}]},"health":{"issues":[{"code":"AsgInstanceLaunchFailures","message":"m"}]}}})");
  const auto group = aws_.Run(eks::DescribeNodegroup(*client_, kRegion, "k", "n", 10s));
  ASSERT_TRUE(group.ok()) << group.error().Text();
  EXPECT_EQ(group->sizes.desired, 2u);
  EXPECT_THAT(group->groups, ElementsAre("eks-n"));
  EXPECT_THAT(group->issues, ElementsAre("AsgInstanceLaunchFailures: m"));
  Answers(R"({"nodegroup":{"nodegroupName":"n"}})");
  EXPECT_EQ(aws_.Run(eks::DescribeNodegroup(*client_, kRegion, "k", "n", 10s)).error().retry, Retry::kFail);
  aws_.answer = [](const Seen&) { return Said{409, R"({"message":"m"})", {{"x-amzn-errortype", "ResourceInUseException"}}, {}}; };
  const eks::NodegroupSizes sizes{1, 2, 3};
  EXPECT_EQ(aws_.Run(eks::ResizeNodegroup(*client_, kRegion, "k", "n", sizes, 10s)).error().retry, Retry::kRefused);
  Answers(R"({"update":{"status":"Failed","errors":[{"errorMessage":"no such subnet"}]}})");
  EXPECT_THAT(aws_.Run(eks::ResizeNodegroup(*client_, kRegion, "k", "n", sizes, 10s)).error().message, HasSubstr("no such subnet"));
}

TEST_F(TypedCloudCallsTest, TargetsAreCountedByMachineOrByPort) {
  aws_.answer = [](const Seen& seen) {
    return Wrapped(seen, R"(<TargetHealthDescriptions>
      <member><Target><Id>i-1</Id><Port>80</Port></Target><TargetHealth><State>healthy</State></TargetHealth></member>
      <member><Target><Id>i-1</Id><Port>81</Port></Target><TargetHealth><State>healthy</State></TargetHealth></member>
      <member><Target><Id>i-2</Id><Port>80</Port></Target><TargetHealth><State>initial</State><Reason>Elb.InitialHealthChecking</Reason></TargetHealth></member>
      </TargetHealthDescriptions>)");
  };
  const auto targets = aws_.Run(elbv2::DescribeTargetHealth(*client_, kRegion, "arn:t", 10s));
  ASSERT_TRUE(targets.ok());
  EXPECT_EQ(elbv2::HealthyOf(*targets, true), 1u);
  EXPECT_EQ(elbv2::HealthyOf(*targets, false), 2u);
  EXPECT_EQ(elbv2::WordsOf(*targets), "2 healthy, 1 initial (Elb.InitialHealthChecking)");
  EXPECT_EQ(aws_.seen[0].Form("Version"), "2015-12-01");
}

TEST_F(TypedCloudCallsTest, AQuotaIsTheAccountsOrTheDefault) {
  aws_.answer = [](const Seen& seen) {
    if (seen.operation == "GetServiceQuota") return Said{400, R"({"__type":"NoSuchResourceException"})", {}, {}};
    return Said{200, R"({"Quota":{"Value":32.0}})", {}, {}};
  };
  const auto value = aws_.Run(quotas::ValueOf(*client_, kRegion, quotas::kStandardInstances, 10s));
  ASSERT_TRUE(value.ok());
  EXPECT_DOUBLE_EQ(*value, 32);
  EXPECT_THAT(aws_.Calls(),
              ElementsAre("servicequotas GetServiceQuota eu-west-1", "servicequotas GetAWSDefaultServiceQuota eu-west-1"));
}

TEST_F(TypedCloudCallsTest, AFunctionIsCalledOnceAndItsFailureIsSeenBesideTheStatus) {
  aws_.answer = [](const Seen&) {
    return Said{200, R"({"errorMessage":"no","errorType":"E"})", {{"x-amz-function-error", "Unhandled"}}, {}};
  };
  const std::string arn = "arn:aws:lambda:eu-west-1:123456789012:function:warm:live";
  const auto answer = aws_.Run(lambda::Invoke(*client_, kRegion, arn, "{}", 60s));
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->error, "Unhandled");
  EXPECT_EQ(aws_.seen[0].request.url,
            "https://lambda.eu-west-1.amazonaws.com/2015-03-31/functions/"
            "arn%3Aaws%3Alambda%3Aeu-west-1%3A123456789012%3Afunction%3Awarm%3Alive/invocations");
  EXPECT_EQ(aws_.seen[0].Header("X-Amz-Invocation-Type"), "RequestResponse");
  EXPECT_TRUE(aws_.seen[0].request.fresh_connection);
  aws_.seen.clear();
  aws_.answer = [](const Seen&) { return FakeAws::Silence(); };
  EXPECT_EQ(aws_.Run(lambda::Invoke(*client_, kRegion, "warm", "{}", 60s)).error().retry, Retry::kUnknownOutcome);
  EXPECT_EQ(aws_.seen.size(), 1u);
}

TEST_F(TypedCloudCallsTest, ATopicWithAnOrderGetsItsGroupAndItsId) {
  aws_.answer = [](const Seen& seen) { return Wrapped(seen, "<MessageId>m-1</MessageId>"); };
  EXPECT_EQ(*aws_.Run(sns::Publish(*client_, kRegion, sns::Message{"arn:plain", "s", "b", "id"}, 10s)), "m-1");
  EXPECT_EQ(aws_.seen[0].Form("MessageGroupId"), "");
  ASSERT_TRUE(aws_.Run(sns::Publish(*client_, kRegion, sns::Message{"arn:t.fifo", "s", "b", "id"}, 10s)).ok());
  EXPECT_EQ(aws_.seen[1].Form("MessageGroupId"), "lifeboat");
  EXPECT_EQ(aws_.seen[1].Form("MessageDeduplicationId"), "id");
  aws_.answer = [](const Seen& seen) {
    return Wrapped(seen,
                   "<Attributes><entry><key>SubscriptionsConfirmed</key><value>2</value></entry>"
                   "<entry><key>SubscriptionsPending</key><value>1</value></entry></Attributes>");
  };
  const auto topic = aws_.Run(sns::GetTopic(*client_, kRegion, "arn:plain", 10s));
  ASSERT_TRUE(topic.ok());
  EXPECT_EQ(topic->subscribers, 2u);
  EXPECT_EQ(topic->pending, 1u);
}

TEST_F(TypedCloudCallsTest, AnEventThatWasReadIsNotYetOneThatWasTaken) {
  const eventbridge::Event event{"orders", "lifeboat", "failover", {{"a", 1}}};
  Answers(R"({"FailedEntryCount":0,"Entries":[{"EventId":"e-1"}]})");
  EXPECT_EQ(*aws_.Run(eventbridge::PutEvent(*client_, kRegion, event, 10s)), "e-1");
  EXPECT_EQ(TextAt(aws_.seen[0].json["Entries"][0], "Detail"), R"({"a":1})");
  Answers(R"({"FailedEntryCount":1,"Entries":[{"ErrorCode":"MalformedDetail","ErrorMessage":"m"}]})");
  EXPECT_EQ(aws_.Run(eventbridge::PutEvent(*client_, kRegion, event, 10s)).error().retry, Retry::kFail);
  Answers(R"({"FailedEntryCount":1,"Entries":[{"ErrorCode":"InternalFailure"}]})");
  EXPECT_EQ(aws_.Run(eventbridge::PutEvent(*client_, kRegion, event, 10s)).error().retry, Retry::kRetry);
  Answers("{}");
  EXPECT_EQ(aws_.Run(eventbridge::PutEvent(*client_, kRegion, event, 10s)).error().retry, Retry::kUnknownOutcome);
  aws_.answer = [](const Seen& seen) {
    if (seen.operation != "ListRules") return Said{200, "{}", {}, {}};
    // The one that listens is on the second page.
    if (TextAt(seen.json, "NextToken").empty()) {
      return Said{
          200,
          R"({"Rules":[{"State":"ENABLED","EventPattern":"{\"source\":[\"aws.health\"]}"},{"State":"ENABLED","ScheduleExpression":"daily"},)"
          R"({"State":"DISABLED","EventPattern":"{\"source\":[\"lifeboat\"]}"}],"NextToken":"t"})",
          {},
          {}};
    }
    return Said{200, R"({"Rules":[{"State":"ENABLED","EventPattern":"{\"source\":[{\"prefix\":\"life\"}]}"}]})", {}, {}};
  };
  EXPECT_EQ(*aws_.Run(eventbridge::RulesOf(*client_, kRegion, "orders", "lifeboat", 10s)), 1u);
  EXPECT_EQ(*aws_.Run(eventbridge::RulesOf(*client_, kRegion, "orders", "other", 10s)), 0u);
  EXPECT_TRUE(eventbridge::WouldTake(R"({"detail-type":["x"]})", "lifeboat"));
  EXPECT_TRUE(eventbridge::WouldTake(R"({"source":[{"anything-but":["aws.ec2"]}]})", "lifeboat"));
  EXPECT_FALSE(eventbridge::WouldTake("", "lifeboat"));
}

TEST_F(TypedCloudCallsTest, AlarmsOfBothKindsAreReadAndNoNamesAreNotAllOfThem) {
  EXPECT_TRUE(aws_.Run(cloudwatch::DescribeAlarms(*client_, kRegion, {}, 10s))->empty());
  EXPECT_TRUE(aws_.seen.empty());
  aws_.answer = [](const Seen& seen) {
    return Wrapped(seen,
                   "<MetricAlarms><member><AlarmName>a</AlarmName><StateValue>ALARM</StateValue><StateReason>r</StateReason>"
                   "<StateUpdatedTimestamp>2026-11-23T11:46:22Z</StateUpdatedTimestamp></member></MetricAlarms>"
                   "<CompositeAlarms><member><AlarmName>b</AlarmName><StateValue>OK</StateValue></member></CompositeAlarms>");
  };
  const auto alarms = aws_.Run(cloudwatch::DescribeAlarms(*client_, kRegion, {"a", "b"}, 10s));
  ASSERT_TRUE(alarms.ok());
  ASSERT_EQ(alarms->size(), 2u);
  EXPECT_EQ((*alarms)[0].since, aws_.clock.Wall());
  EXPECT_EQ((*alarms)[1].name, "b");
  EXPECT_EQ(aws_.seen[0].Form("AlarmTypes.member.2"), "CompositeAlarm");
}

TEST_F(TypedCloudCallsTest, ABucketsEncryptionAndARulesMetricsAreRead) {
  Answers(R"(<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm>
    <KMSMasterKeyID>arn:k</KMSMasterKeyID></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>)");
  const s3::Bucket bucket{kRegion, "b"};
  EXPECT_EQ(aws_.Run(s3::GetBucketEncryption(*client_, bucket, 10s))->kms_key, "arn:k");
  EXPECT_THAT(aws_.seen[0].request.url, ::testing::EndsWith("/?encryption="));
  aws_.answer = [](const Seen&) {
    return Said{404, "<Error><Code>ServerSideEncryptionConfigurationNotFoundError</Code></Error>", {}, {}};
  };
  EXPECT_EQ(aws_.Run(s3::GetBucketEncryption(*client_, bucket, 10s))->algorithm, "");
  Answers(R"(<ReplicationConfiguration><Rule><ID>r</ID><Status>Enabled</Status><Filter/><Destination><Bucket>arn:aws:s3:::b</Bucket>
    <Metrics><Status>Enabled</Status></Metrics></Destination></Rule></ReplicationConfiguration>)");
  EXPECT_TRUE(aws_.Run(s3::GetBucketReplication(*client_, bucket, 10s))->at(0).metrics);
}

TEST_F(TypedCloudCallsTest, AnAccessPointsRoutesAreMovedAtAnotherRegionWhenOneIsSilent) {
  aws_.answer = [](const Seen& seen) {
    if (seen.region == "us-east-1") return FakeAws::Silence();
    if (seen.request.method == "PATCH") return Said{};
    return Said{
        200,
        R"(<GetMultiRegionAccessPointRoutesResult xmlns="http://awss3control.amazonaws.com/doc/2018-08-20/"><Mrap>a</Mrap><Routes>
      <Route><Bucket>one</Bucket><Region>us-east-1</Region><TrafficDialPercentage>100</TrafficDialPercentage></Route>
      <Route><Bucket>two</Bucket><Region>eu-west-1</Region><TrafficDialPercentage>0</TrafficDialPercentage></Route>
      </Routes></GetMultiRegionAccessPointRoutesResult>)",
        {},
        {}};
  };
  const std::vector<std::string> regions{"us-east-1", "us-west-2"};
  const auto routes = aws_.Run(s3control::GetRoutes(*client_, regions, kAccessPoint, 30s));
  ASSERT_TRUE(routes.ok()) << routes.error().Text();
  ASSERT_EQ(routes->size(), 2u);
  EXPECT_EQ((*routes)[0].percent, 100u);
  EXPECT_EQ(aws_.seen[1].request.url,
            "https://123456789012.s3-control.us-west-2.amazonaws.com/v20180820/mrap/instances/"
            "arn%3Aaws%3As3%3A%3A123456789012%3Aaccesspoint/mfzwi23gnjvgw.mrap/routes");
  EXPECT_EQ(aws_.seen[1].service, "s3");
  EXPECT_EQ(aws_.seen[1].Header("X-Amz-Account-Id"), "123456789012");

  std::vector<s3control::Route> moved = *routes;
  moved[0].percent = 0;
  EXPECT_EQ(aws_.Run(s3control::SubmitRoutes(*client_, regions, kAccessPoint, moved, 30s)).error().retry, Retry::kFail);
  moved[1].percent = 100;
  ASSERT_TRUE(aws_.Run(s3control::SubmitRoutes(*client_, regions, kAccessPoint, moved, 30s)).ok());
  EXPECT_THAT(aws_.seen.back().request.body, HasSubstr("<Region>eu-west-1</Region><TrafficDialPercentage>100<"));
  // After silence a refusal elsewhere does not say what the silent region did.
  aws_.answer = [](const Seen& seen) {
    return seen.region == "us-east-1" ? FakeAws::Silence() : Said{403, "<Error><Code>AccessDenied</Code></Error>", {}, {}};
  };
  EXPECT_EQ(aws_.Run(s3control::SubmitRoutes(*client_, regions, kAccessPoint, moved, 30s)).error().retry, Retry::kUnknownOutcome);
}

TEST(AccessPoint, OnlyAnArnOfOneHasAnAccount) {
  EXPECT_EQ(*s3control::AccountOf(kAccessPoint), "123456789012");
  EXPECT_FALSE(s3control::AccountOf("mfzwi23gnjvgw.mrap").ok());
  EXPECT_FALSE(s3control::AccountOf("arn:aws:s3:eu-west-1:123456789012:accesspoint/orders").ok());
  EXPECT_FALSE(s3control::AccountOf("arn:aws:s3::12345:accesspoint/mfzwi23gnjvgw.mrap").ok());
}

}  // namespace
}  // namespace lifeboat::aws
