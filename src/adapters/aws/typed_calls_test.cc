// The typed calls: what they send, and what they make of answers in the shape of the services' references.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/aws/cloudwatch.h"
#include "adapters/aws/dynamodb.h"
#include "adapters/aws/http_date.h"
#include "adapters/aws/rds.h"
#include "adapters/aws/route53.h"
#include "adapters/aws/routing_control.h"
#include "adapters/aws/s3.h"
#include "adapters/aws/test_support.h"

namespace lifeboat::aws {
namespace {

using ::testing::ElementsAre;
using testing::FakeAws;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Said;
using testing::Seen;

class TypedCallsTest : public ::testing::Test {
 protected:
  FakeAws aws_;
  std::unique_ptr<Client> client_ = aws_.MakeClient();
};

// ---- RDS ----

TEST_F(TypedCallsTest, AGlobalClusterIsReadWithItsMembersAndItsMove) {
  aws_.answer = [](const Seen&) {
    return Said{200,
                R"(<DescribeGlobalClustersResponse xmlns="http://rds.amazonaws.com/doc/2014-10-31/"><DescribeGlobalClustersResult>
      <GlobalClusters><GlobalClusterMember><GlobalClusterIdentifier>orders</GlobalClusterIdentifier><Status>failing-over</Status>
      <Engine>aurora-postgresql</Engine><EngineVersion>16.4</EngineVersion><Endpoint>orders.global-x.global.rds.amazonaws.com</Endpoint>
      <GlobalClusterMembers>
        <GlobalClusterMember><DBClusterArn>arn:aws:rds:us-east-1:1:cluster:orders-1</DBClusterArn><IsWriter>true</IsWriter>
          <Readers><member>arn:aws:rds:eu-west-1:1:cluster:orders-2</member></Readers></GlobalClusterMember>
        <GlobalClusterMember><DBClusterArn>arn:aws:rds:eu-west-1:1:cluster:orders-2</DBClusterArn><IsWriter>false</IsWriter><Readers/>
          <SynchronizationStatus>connected</SynchronizationStatus></GlobalClusterMember>
      </GlobalClusterMembers>
      <FailoverState><Status>failing-over</Status><FromDbClusterArn>arn:aws:rds:us-east-1:1:cluster:orders-1</FromDbClusterArn>
        <ToDbClusterArn>arn:aws:rds:eu-west-1:1:cluster:orders-2</ToDbClusterArn><IsDataLossAllowed>true</IsDataLossAllowed></FailoverState>
      </GlobalClusterMember></GlobalClusters></DescribeGlobalClustersResult></DescribeGlobalClustersResponse>)",
                {},
                {}};
  };
  const auto global = aws_.Run(rds::DescribeGlobalCluster(*client_, "eu-west-1", "orders", 10s));
  ASSERT_TRUE(global.ok()) << global.error().Text();
  ASSERT_EQ(global->members.size(), 2u);
  EXPECT_TRUE(global->members[0].is_writer);
  EXPECT_THAT(global->members[0].reader_arns, ElementsAre("arn:aws:rds:eu-west-1:1:cluster:orders-2"));
  EXPECT_EQ(global->members[1].synchronization, "connected");
  ASSERT_TRUE(global->failover.has_value());
  EXPECT_TRUE(global->failover->data_loss_allowed);
  EXPECT_EQ(aws_.seen[0].Form("Version"), "2014-10-31");
  EXPECT_EQ(rds::RegionOfArn(global->members[1].cluster_arn), "eu-west-1");
  EXPECT_EQ(rds::NameOfArn(global->members[1].cluster_arn), "orders-2");
}

TEST_F(TypedCallsTest, TheSwitchoversRequestHasNoWordOfLossAndTheFailoversHas) {
  aws_.answer = [](const Seen& seen) {
    return Said{200,
                "<" + seen.operation + "Response><" + seen.operation +
                    "Result><GlobalCluster><Status>x</Status></GlobalCluster></" + seen.operation + "Result></" + seen.operation +
                    "Response>",
                {},
                {}};
  };
  ASSERT_TRUE(aws_.Run(rds::SwitchoverGlobalCluster(*client_, "us-east-1", "orders", "arn:t", 10s)).ok());
  EXPECT_EQ(aws_.seen[0].form, (Pairs{{"Action", "SwitchoverGlobalCluster"},
                                      {"Version", "2014-10-31"},
                                      {"GlobalClusterIdentifier", "orders"},
                                      {"TargetDbClusterIdentifier", "arn:t"}}));
  ASSERT_TRUE(aws_.Run(rds::FailoverGlobalClusterAllowDataLoss(*client_, "eu-west-1", "orders", "arn:t", 10s)).ok());
  EXPECT_EQ(aws_.seen[1].Form("AllowDataLoss"), "true");
  EXPECT_EQ(aws_.seen[1].Form("Switchover"), "");
}

TEST_F(TypedCallsTest, AChangeWithAnAnswerThatCannotBeReadIsAnUnknownOutcome) {
  aws_.answer = [](const Seen&) { return Said{200, "<html>a captive portal</html>", {}, {}}; };
  const auto failover = aws_.Run(rds::FailoverGlobalClusterAllowDataLoss(*client_, "eu-west-1", "orders", "arn:t", 10s));
  ASSERT_FALSE(failover.ok());
  EXPECT_EQ(failover.error().retry, Retry::kUnknownOutcome);
  const auto look = aws_.Run(rds::DescribeGlobalCluster(*client_, "eu-west-1", "orders", 10s));
  ASSERT_FALSE(look.ok());
  EXPECT_EQ(look.error().retry, Retry::kFail);
}

TEST_F(TypedCallsTest, ListsAreReadThroughAllTheirPages) {
  aws_.answer = [](const Seen& seen) {
    const bool first = seen.Form("Marker").empty();
    return Said{200,
                std::string("<DescribeEventsResponse><DescribeEventsResult>") + (first ? "<Marker>m</Marker>" : "") +
                    "<Events><Event><Message>" + (first ? "late" : "early") + "</Message><Date>2026-11-23T11:0" +
                    (first ? "2" : "1") +
                    ":00.000Z</Date><EventCategories><EventCategory>failover</EventCategory></EventCategories>" +
                    "</Event></Events></DescribeEventsResult></DescribeEventsResponse>",
                {},
                {}};
  };
  const auto events = aws_.Run(rds::DescribeEvents(*client_, "eu-west-1", "db-instance", aws_.clock.Wall(), 10s));
  ASSERT_TRUE(events.ok());
  ASSERT_EQ(events->size(), 2u);
  EXPECT_EQ((*events)[0].message, "early");
  EXPECT_THAT((*events)[1].categories, ElementsAre("failover"));
  EXPECT_EQ(aws_.seen[0].Form("StartTime"), "2026-11-23T11:46:22Z");
  EXPECT_EQ(aws_.seen[1].Form("Marker"), "m");
}

TEST_F(TypedCallsTest, AReplicaIsAskedForWithAllThatItNeeds) {
  aws_.answer = [](const Seen&) {
    return Said{200,
                R"(<CreateDBInstanceReadReplicaResponse><CreateDBInstanceReadReplicaResult><DBInstance>
      <DBInstanceIdentifier>orders-3</DBInstanceIdentifier><DBInstanceStatus>creating</DBInstanceStatus><MultiAZ>true</MultiAZ>
      <Endpoint><Address>a.example</Address><Port>5432</Port></Endpoint><ReadReplicaSourceDBInstanceIdentifier>arn:s</ReadReplicaSourceDBInstanceIdentifier>
      <VpcSecurityGroups><VpcSecurityGroupMembership><VpcSecurityGroupId>sg-1</VpcSecurityGroupId></VpcSecurityGroupMembership></VpcSecurityGroups>
      </DBInstance></CreateDBInstanceReadReplicaResult></CreateDBInstanceReadReplicaResponse>)",
                {},
                {}};
  };
  rds::ReadReplica wanted;
  wanted.id = "orders-3";
  wanted.source_arn = "arn:s";
  wanted.security_groups = {"sg-1", "sg-2"};
  const auto instance = aws_.Run(rds::CreateReadReplica(*client_, "us-east-1", wanted, 10s));
  ASSERT_TRUE(instance.ok());
  EXPECT_EQ(instance->port, 5432u);
  EXPECT_TRUE(instance->multi_az);
  EXPECT_EQ(instance->replica_of, "arn:s");
  EXPECT_THAT(instance->security_groups, ElementsAre("sg-1"));
  EXPECT_EQ(aws_.seen[0].Form("VpcSecurityGroupIds.VpcSecurityGroupId.2"), "sg-2");
  EXPECT_EQ(aws_.seen[0].Form("KmsKeyId"), "");
}

// ---- CloudWatch ----

TEST_F(TypedCallsTest, TheNewestDatumOfEachMetricIsFound) {
  aws_.answer = [](const Seen&) {
    return Said{200,
                R"(<GetMetricDataResponse><GetMetricDataResult><MetricDataResults>
      <member><Id>m0</Id><StatusCode>Complete</StatusCode><Timestamps><member>2026-11-23T11:45:00Z</member><member>2026-11-23T11:44:00Z</member></Timestamps>
        <Values><member>850.5</member><member>9999.0</member></Values></member>
      <member><Id>m1</Id><StatusCode>Complete</StatusCode><Timestamps/><Values/></member>
      </MetricDataResults></GetMetricDataResult></GetMetricDataResponse>)",
                {},
                {}};
  };
  cloudwatch::Metric metric;
  metric.space = "AWS/RDS";
  metric.name = "AuroraGlobalDBRPOLag";
  metric.dimensions = {{"DBClusterIdentifier", "orders-2"}};
  const std::vector<cloudwatch::Metric> metrics = {metric, metric};
  const WallTime now = aws_.clock.Wall();
  const auto data = aws_.Run(cloudwatch::Newest(*client_, "eu-west-1", metrics, WallTime{now.ns - 1}, now, 10s));
  ASSERT_TRUE(data.ok()) << data.error().Text();
  ASSERT_TRUE((*data)[0].has_value());
  EXPECT_DOUBLE_EQ((*data)[0]->value, 850.5);
  EXPECT_FALSE((*data)[1].has_value());
  EXPECT_EQ(aws_.seen[0].Form("MetricDataQueries.member.2.MetricStat.Metric.Dimensions.member.1.Value"), "orders-2");
  EXPECT_EQ(aws_.seen[0].service, "monitoring");
}

// ---- Route 53 ----

TEST_F(TypedCallsTest, RecordsOfOneNameAreReadAndSignedForUsEast1) {
  aws_.answer = [](const Seen&) {
    return Said{200,
                R"(<ListResourceRecordSetsResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><ResourceRecordSets>
      <ResourceRecordSet><Name>db.example.com.</Name><Type>CNAME</Type><SetIdentifier>one</SetIdentifier><Failover>PRIMARY</Failover><TTL>60</TTL>
        <ResourceRecords><ResourceRecord><Value>a.example.net</Value></ResourceRecord></ResourceRecords><HealthCheckId>h-1</HealthCheckId></ResourceRecordSet>
      <ResourceRecordSet><Name>db.example.com.</Name><Type>A</Type><SetIdentifier>two</SetIdentifier><GeoLocation><CountryCode>DE</CountryCode></GeoLocation>
        <AliasTarget><HostedZoneId>Z2</HostedZoneId><DNSName>lb.example.net.</DNSName><EvaluateTargetHealth>true</EvaluateTargetHealth></AliasTarget></ResourceRecordSet>
      <ResourceRecordSet><Name>later.example.com.</Name><Type>A</Type></ResourceRecordSet>
      </ResourceRecordSets><IsTruncated>false</IsTruncated></ListResourceRecordSetsResponse>)",
                {},
                {}};
  };
  const auto records = aws_.Run(route53::ListRecordSets(*client_, "eu-west-1", "/hostedzone/Z1", "db.example.com", 10s));
  ASSERT_TRUE(records.ok()) << records.error().Text();
  ASSERT_EQ(records->size(), 2u);
  EXPECT_EQ((*records)[0].failover, "PRIMARY");
  EXPECT_EQ((*records)[0].ttl, 60u);
  EXPECT_EQ((*records)[1].unknown, "GeoLocation");
  EXPECT_TRUE((*records)[1].alias_evaluates_health);
  EXPECT_EQ(aws_.seen[0].region, "us-east-1");
  EXPECT_EQ(aws_.seen[0].request.url, "https://route53.amazonaws.com/2013-04-01/hostedzone/Z1/rrset?name=db.example.com.");
}

TEST_F(TypedCallsTest, NeitherAnEmptySetNorHalfARecordIsWritten) {
  route53::RecordSet record;
  record.name = "db.example.com.";
  record.type = "CNAME";
  record.ttl = 60;
  const auto change = [&] {
    return aws_.Run(route53::ChangeRecordSets(*client_, "eu-west-1", "Z1", {route53::Change{"UPSERT", record}}, "c", 10s));
  };
  EXPECT_EQ(change().error().retry, Retry::kFail);
  record.values = {"a.example.net"};
  record.unknown = "GeoLocation";
  EXPECT_EQ(change().error().retry, Retry::kFail);
  EXPECT_TRUE(aws_.seen.empty());
  record.unknown.clear();
  aws_.answer = [](const Seen&) {
    return Said{200,
                "<ChangeResourceRecordSetsResponse><ChangeInfo><Id>/change/C1</Id><Status>PENDING</Status></ChangeInfo>"
                "</ChangeResourceRecordSetsResponse>",
                {},
                {}};
  };
  const auto done = change();
  ASSERT_TRUE(done.ok());
  EXPECT_EQ(done->id, "C1");
  EXPECT_FALSE(done->in_sync);
  EXPECT_THAT(
      aws_.seen[0].request.body,
      HasSubstr("<Change><Action>UPSERT</Action><ResourceRecordSet><Name>db.example.com.</Name><Type>CNAME</Type><TTL>60</TTL>"
                "<ResourceRecords><ResourceRecord><Value>a.example.net</Value></ResourceRecord></ResourceRecords>"));
}

TEST(Route53Health, MoreThanEighteenPercentOfTheCheckersMustSeeIt) {
  const auto seen = [](int good, int bad) {
    std::vector<route53::Observation> list(static_cast<std::size_t>(good), {"eu-west-1", "Success: HTTP Status Code 200, OK", {}});
    list.resize(static_cast<std::size_t>(good + bad), {"eu-west-1", "Failure: HTTP Status Code 404", {}});
    return list;
  };
  route53::HealthCheck check;
  EXPECT_TRUE(route53::IsHealthy(check, seen(19, 81)));
  EXPECT_FALSE(route53::IsHealthy(check, seen(18, 82)));
  check.inverted = true;
  EXPECT_TRUE(route53::IsHealthy(check, seen(18, 82)));
  check.disabled = true;
  EXPECT_FALSE(route53::IsHealthy(check, seen(0, 100)));
  check.inverted = false;
  EXPECT_TRUE(route53::IsHealthy(check, seen(0, 100)));
}

// ---- routing control ----

TEST_F(TypedCallsTest, ARoutingControlIsSetAtAnotherEndpointWhenOneIsSilent) {
  routing_control::Cluster cluster;
  for (const char* region : {"us-east-1", "us-west-2", "eu-west-1", "ap-northeast-1", "ap-southeast-2"}) {
    cluster.endpoints.push_back({region, std::string("https://host.") + region + ".example/v1"});
  }
  cluster.dice = [] { return 0.99; };  // the order as it stands
  aws_.answer = [&](const Seen& seen) { return seen.region == "us-east-1" ? FakeAws::Silence() : Said{200, "{}", {}, {}}; };
  ASSERT_TRUE(aws_.Run(routing_control::UpdateStates(*client_, cluster, {{"arn:c", true}}, 10s)).ok());
  ASSERT_EQ(aws_.seen.size(), 2u);
  EXPECT_EQ(aws_.seen[1].request.url, "https://host.us-west-2.example/v1");
  EXPECT_EQ(aws_.seen[1].region, "us-west-2");
  EXPECT_EQ(aws_.seen[1].Header("X-Amz-Target"), "ToggleCustomerAPI.UpdateRoutingControlStates");
  EXPECT_FALSE(aws_.seen[1].json.contains("SafetyRulesToOverride"));

  // A safety rule's no is a no everywhere; after silence it does not say what the silent one did.
  aws_.seen.clear();
  aws_.answer = [&](const Seen&) { return Said{409, R"({"__type":"ConflictException","message":"assertion rule"})", {}, {}}; };
  EXPECT_EQ(aws_.Run(routing_control::UpdateStates(*client_, cluster, {{"arn:c", false}}, 10s)).error().retry, Retry::kRefused);
  EXPECT_EQ(aws_.seen.size(), 1u);
  aws_.answer = [&](const Seen& seen) {
    return seen.region == "us-east-1" ? FakeAws::Silence() : Said{409, R"({"__type":"ConflictException"})", {}, {}};
  };
  EXPECT_EQ(aws_.Run(routing_control::UpdateStates(*client_, cluster, {{"arn:c", false}}, 10s)).error().retry,
            Retry::kUnknownOutcome);
}

// ---- S3 ----

TEST_F(TypedCallsTest, ObjectsArePutUnderAConditionAndTheirReplicationIsRead) {
  aws_.answer = [](const Seen& seen) {
    if (seen.request.method == "PUT") return Said{412, "<Error><Code>PreconditionFailed</Code></Error>", {}, {}};
    return Said{200,
                "",
                {{"etag", "\"e\""}, {"x-amz-replication-status", "PENDING"}, {"last-modified", "Mon, 23 Nov 2026 11:46:22 GMT"}},
                {}};
  };
  const s3::Bucket bucket{"eu-west-1", "canaries"};
  s3::OnlyIf absent;
  absent.absent = true;
  const auto put = aws_.Run(s3::PutObject(*client_, bucket, "a b/../c", "x", "text/plain", absent, 10s));
  ASSERT_FALSE(put.ok());
  EXPECT_EQ(put.error().retry, Retry::kRefused);
  EXPECT_EQ(aws_.seen[0].request.url, "https://canaries.s3.eu-west-1.amazonaws.com/a%20b/../c");
  EXPECT_EQ(aws_.seen[0].Header("If-None-Match"), "*");
  const auto head = aws_.Run(s3::HeadObject(*client_, bucket, "k", 10s));
  ASSERT_TRUE(head.ok());
  EXPECT_EQ(head->replication, "PENDING");
  EXPECT_EQ(head->modified, aws_.clock.Wall());
}

TEST_F(TypedCallsTest, ReplicationRulesAreReadInBothVersions) {
  aws_.answer = [](const Seen& seen) {
    EXPECT_THAT(seen.request.url, ::testing::EndsWith("/?replication="));
    return Said{200,
                R"(<ReplicationConfiguration><Role>r</Role>
      <Rule><ID>old</ID><Status>Enabled</Status><Prefix>orders/</Prefix><Destination><Bucket>arn:aws:s3:::b</Bucket></Destination></Rule>
      <Rule><ID>new</ID><Status>Disabled</Status><Filter><And><Prefix>x/</Prefix><Tag><Key>k</Key><Value>v</Value></Tag></And></Filter>
        <DeleteMarkerReplication><Status>Enabled</Status></DeleteMarkerReplication></Rule></ReplicationConfiguration>)",
                {},
                {}};
  };
  const auto rules = aws_.Run(s3::GetBucketReplication(*client_, s3::Bucket{"eu-west-1", "b"}, 10s));
  ASSERT_TRUE(rules.ok());
  ASSERT_EQ(rules->size(), 2u);
  EXPECT_EQ((*rules)[0].prefix, "orders/");
  EXPECT_TRUE((*rules)[1].by_tags);
  EXPECT_TRUE((*rules)[1].delete_markers);
  aws_.answer = [](const Seen&) { return Said{404, "<Error><Code>ReplicationConfigurationNotFoundError</Code></Error>", {}, {}}; };
  EXPECT_TRUE(aws_.Run(s3::GetBucketReplication(*client_, s3::Bucket{"eu-west-1", "b"}, 10s))->empty());
  aws_.answer = [](const Seen&) { return Said{404, "<Error><Code>NoSuchBucket</Code></Error>", {}, {}}; };
  EXPECT_EQ(aws_.Run(s3::GetBucketReplication(*client_, s3::Bucket{"eu-west-1", "b"}, 10s)).error().retry, Retry::kNotFound);
}

// ---- DynamoDB ----

TEST_F(TypedCallsTest, AConditionThatDoesNotHoldShowsWhatStands) {
  aws_.answer = [](const Seen&) {
    return Said{400,
                R"({"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"m",
                         "Item":{"key":{"S":"a"},"version":{"N":"18446744073709551615"},"value":{"B":"AQI="}}})",
                {},
                {}};
  };
  dynamodb::Condition condition;
  condition.expression = "attribute_not_exists(#k)";
  condition.names = {{"#k", "key"}};
  Json item = {{"key", dynamodb::Text("a")}};
  const auto written =
      aws_.Run(dynamodb::PutItem(*client_, dynamodb::Table{"eu-west-1", "t"}, item, condition, Effect::kOnce, 10s));
  ASSERT_TRUE(written.ok());
  EXPECT_FALSE(written->done);
  ASSERT_TRUE(written->stands.has_value());
  EXPECT_EQ(dynamodb::NumberOf(*written->stands, "version"), 18446744073709551615U);
  EXPECT_EQ(dynamodb::BytesOf(*written->stands, "value"), std::string("\x01\x02"));
  EXPECT_FALSE(dynamodb::TextOf(*written->stands, "version").has_value());
  EXPECT_EQ(TextAt(aws_.seen[0].json, "ReturnValuesOnConditionCheckFailure"), "ALL_OLD");
}

TEST_F(TypedCallsTest, ReadsAreConsistentAndGoThroughAllPages) {
  aws_.answer = [](const Seen& seen) {
    EXPECT_TRUE(FlagAt(seen.json, "ConsistentRead"));
    const bool first = !seen.json.contains("ExclusiveStartKey");
    return Said{
        200,
        first ? R"({"Items":[{"key":{"S":"a"}}],"LastEvaluatedKey":{"key":{"S":"a"}}})" : R"({"Items":[{"key":{"S":"b"}}]})",
        {},
        {}};
  };
  dynamodb::Condition condition;
  condition.expression = "#p = :p";
  const auto items = aws_.Run(dynamodb::Query(*client_, dynamodb::Table{"eu-west-1", "t"}, condition, 10s));
  ASSERT_TRUE(items.ok());
  EXPECT_EQ(items->size(), 2u);
  aws_.answer = [](const Seen&) { return Said{200, "{}", {}, {}}; };
  const auto none = aws_.Run(dynamodb::GetItem(*client_, dynamodb::Table{"eu-west-1", "t"}, Json::object(), 10s));
  ASSERT_TRUE(none.ok());
  EXPECT_FALSE(none->has_value());
}

TEST_F(TypedCallsTest, ATransactionThatWasCancelledSaysWhy) {
  aws_.answer = [](const Seen&) {
    return Said{
        400,
        R"({"__type":"TransactionCanceledException","CancellationReasons":[{"Code":"None"},{"Code":"ConditionalCheckFailed"}]})",
        {},
        {}};
  };
  const auto answer = aws_.Run(dynamodb::TransactWriteItems(*client_, "eu-west-1", Json::array(), "token", 10s));
  ASSERT_TRUE(answer.ok());
  EXPECT_FALSE(answer->done);
  ASSERT_EQ(answer->reasons.size(), 2u);
  EXPECT_EQ(TextAt(answer->reasons[1], "Code"), "ConditionalCheckFailed");
  // After silence the same answer does not say that nothing was done.
  int number = 0;
  aws_.answer = [&number](const Seen&) {
    return ++number == 1 ? FakeAws::Silence() : Said{400, R"({"__type":"TransactionCanceledException"})", {}, {}};
  };
  EXPECT_EQ(aws_.Run(dynamodb::TransactWriteItems(*client_, "eu-west-1", Json::array(), "token", 10s)).error().retry,
            Retry::kUnknownOutcome);
}

}  // namespace
}  // namespace lifeboat::aws
