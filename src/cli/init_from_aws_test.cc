#include "cli/init_from_aws.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/load.h"

namespace lifeboat {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

SurveyedCluster Cluster(const std::string& region, bool writer) {
  SurveyedCluster one;
  one.region = RegionName(region);
  one.arn = "arn:aws:rds:" + region + ":123456789012:cluster:orders-" + region;
  one.is_writer = writer;
  aws::rds::DbCluster cluster;
  cluster.id = "orders-" + region;
  cluster.status = "available";
  cluster.engine = "aurora-postgresql";
  cluster.engine_version = "16.4";
  cluster.endpoint = cluster.id + ".cluster-abc." + region + ".rds.amazonaws.com";
  cluster.instances = {{"a", true}};
  one.cluster = cluster;
  return one;
}

AwsSurvey TwoRegions() {
  AwsSurvey survey;
  survey.global.id = "Orders";
  survey.clusters = {Cluster("eu-west-1", true), Cluster("eu-central-1", false)};
  survey.others = {RegionName("eu-west-2")};
  return survey;
}

aws::route53::RecordSet FailoverRecord(const AwsSurvey& survey, std::size_t at, const std::string& check) {
  aws::route53::RecordSet record;
  record.name = survey.name;
  record.type = "CNAME";
  record.set_id = at == 0 ? "one" : "two";
  record.failover = at == 0 ? "PRIMARY" : "SECONDARY";
  record.ttl = 10;
  record.values = {survey.clusters[at].cluster->endpoint};
  record.health_check = check;
  return record;
}

aws::route53::HealthCheck InvertedCheck(const std::string& id, const std::string& host, const std::string& path) {
  aws::route53::HealthCheck check;
  check.id = id;
  check.type = "HTTPS";
  check.host = host;
  check.path = path;
  check.inverted = true;
  return check;
}

AwsSurvey StandbyTakesOver() {
  AwsSurvey survey = TwoRegions();
  survey.zone = "Z0123";
  survey.name = "orders.example.net.";
  survey.records = {FailoverRecord(survey, 0, "hc-1"), FailoverRecord(survey, 1, "hc-2")};
  survey.checks["hc-1"] = InvertedCheck("hc-1", "orders-two.s3.eu-central-1.amazonaws.com", "/marker");
  survey.checks["hc-2"] = InvertedCheck("hc-2", "s3.eu-west-1.amazonaws.com", "/orders-one/marker");
  return survey;
}

std::string TextOf(const AwsSurvey& survey) {
  const Result<std::string> text = FirstSettings(survey);
  EXPECT_TRUE(text.ok()) << text.error().Text();
  return text.ok() ? *text : "";
}

Result<Settings> Load(const std::string& text) {
  return ParseSettings(text, "lifeboat.yaml", [](const std::string&) { return std::nullopt; });
}

TEST(InitFromAws, TheFileLoadsAsItStandsAndOnlyObserves) {
  const std::string text = TextOf(StandbyTakesOver());
  const Result<Settings> settings = Load(text);
  ASSERT_TRUE(settings.ok()) << settings.error().Text() << "\n" << text;
  EXPECT_EQ(settings->service, "orders");
  EXPECT_EQ(settings->policy.automation, Automation::kObserve);
  ASSERT_EQ(settings->regions.size(), 3u);
  EXPECT_EQ(settings->regions[2].kind, RegionKind::kWitness);
  ASSERT_TRUE(settings->aws && settings->aws->database);
  EXPECT_EQ(settings->aws->database->kind, AwsDatabaseKind::kAuroraGlobal);
  EXPECT_EQ(settings->aws->database->global_cluster, "Orders");
  EXPECT_EQ(settings->aws->database->members.at(RegionName("eu-central-1")),
            "arn:aws:rds:eu-central-1:123456789012:cluster:orders-eu-central-1");
  EXPECT_FALSE(settings->aws->database->detach_when_needed);
}

TEST(InitFromAws, FailoverRecordsUnderInvertedChecksAreStandbyTakesOver) {
  const Result<Settings> settings = Load(TextOf(StandbyTakesOver()));
  ASSERT_TRUE(settings.ok()) << settings.error().Text();
  ASSERT_TRUE(settings->aws && settings->aws->traffic);
  const AwsTrafficSettings& traffic = *settings->aws->traffic;
  EXPECT_EQ(traffic.kind, AwsTrafficKind::kStandbyTakesOver);
  EXPECT_EQ(traffic.zone, "Z0123");
  EXPECT_EQ(traffic.name, "orders.example.net.");
  EXPECT_EQ(traffic.markers.at(RegionName("eu-central-1")), "s3://orders-two/marker");
  EXPECT_EQ(traffic.markers.at(RegionName("eu-west-1")), "s3://orders-one/marker");
  EXPECT_EQ(traffic.targets.at(RegionName("eu-west-1")), "orders-eu-west-1.cluster-abc.eu-west-1.rds.amazonaws.com");
}

TEST(InitFromAws, APlainRecordIsAChangeOfRecordsAndSaysWhatThatNeeds) {
  AwsSurvey survey = StandbyTakesOver();
  survey.records.resize(1);
  survey.records[0].failover.clear();
  survey.records[0].health_check.clear();
  const std::string text = TextOf(survey);
  const Result<Settings> settings = Load(text);
  ASSERT_TRUE(settings.ok()) << settings.error().Text() << "\n" << text;
  EXPECT_EQ(settings->aws->traffic->kind, AwsTrafficKind::kRecords);
  EXPECT_EQ(settings->aws->traffic->targets.size(), 2u);
  EXPECT_THAT(text, HasSubstr("us-east-1"));
}

TEST(InitFromAws, RoutingControlsAreShownWithWhatIsMissingAndTheFileStillLoads) {
  AwsSurvey survey = StandbyTakesOver();
  for (auto& [id, check] : survey.checks) {
    check.type = "RECOVERY_CONTROL";
    check.host.clear();
    check.inverted = false;
    check.routing_control = "arn:aws:route53-recovery-control::123456789012:controlpanel/abc/routingcontrol/" + id;
  }
  const std::string text = TextOf(survey);
  EXPECT_THAT(text, HasSubstr("#     kind: routing-control"));
  EXPECT_THAT(text, HasSubstr("routingcontrol/hc-2"));
  EXPECT_THAT(text, HasSubstr("Missing: the five endpoints"));
  const Result<Settings> settings = Load(text);
  EXPECT_TRUE(settings.ok()) << settings.error().Text() << "\n" << text;
}

TEST(InitFromAws, RoutingControlsWithTheirClustersEndpointsAreWholeAndLoad) {
  AwsSurvey survey = StandbyTakesOver();
  for (auto& [id, check] : survey.checks) {
    check.type = "RECOVERY_CONTROL";
    check.host.clear();
    check.inverted = false;
    check.routing_control = "arn:aws:route53-recovery-control::123456789012:controlpanel/abc/routingcontrol/" + id;
  }
  for (const char* region : {"us-east-1", "us-west-2", "eu-west-1", "ap-northeast-1", "ap-southeast-2"})
    survey.control_endpoints[region] = std::string("https://x.route53-recovery-cluster.") + region + ".amazonaws.com/v1";
  const std::string text = TextOf(survey);
  const Result<Settings> settings = Load(text);
  ASSERT_TRUE(settings.ok()) << settings.error().Text() << "\n" << text;
  ASSERT_TRUE(settings->aws->traffic) << text;
  EXPECT_EQ(settings->aws->traffic->kind, AwsTrafficKind::kRoutingControl);
  EXPECT_EQ(settings->aws->traffic->control_endpoints.size(), 5u);
  EXPECT_EQ(settings->aws->traffic->controls.size(), 2u);
  EXPECT_THAT(text, Not(HasSubstr("Missing")));
}

SurveyedGroup Group(AwsComputeKind kind, const std::string& region, const std::string& name) {
  SurveyedGroup group;
  group.group = {kind, RegionName(region), name};
  group.seen = "wants 4, of 2 to 10";
  return group;
}

TEST(InitFromAws, WhatRunsBesideTheDatabaseIsWrittenWhereItIsWholeAndShownWhereItIsNot) {
  AwsSurvey survey = TwoRegions();
  survey.groups = {Group(AwsComputeKind::kAutoScaling, "eu-west-1", "Web group"),
                   Group(AwsComputeKind::kEcs, "eu-west-1", "main/api"),
                   Group(AwsComputeKind::kAutoScaling, "eu-central-1", "web-2"),
                   Group(AwsComputeKind::kEks, "eu-west-1", "k/nodes"), Group(AwsComputeKind::kEks, "eu-central-1", "k/nodes")};
  survey.groups[2].target_groups = {"arn:aws:elasticloadbalancing:eu-central-1:1:targetgroup/web/1"};
  SurveyedTopic ops;
  ops.arn = "arn:aws:sns:eu-west-2:1:ops";
  ops.subscribers = 2;
  SurveyedTopic found;
  found.arn = "arn:aws:sns:eu-west-1:1:database";
  found.hears = "orders-events";
  survey.topics = {ops, found};
  SurveyedAlarm alarm;
  alarm.region = RegionName("eu-west-2");
  alarm.name = "errors of orders: many";
  alarm.state = "OK";
  SurveyedAlarm elsewhere;
  elsewhere.region = RegionName("us-east-1");
  elsewhere.name = "x";
  survey.alarms = {alarm, elsewhere};
  survey.secrets = {{"orders/db", {{RegionName("eu-central-1"), "not there"}}}};
  const std::string text = TextOf(survey);
  const Result<Settings> settings = Load(text);
  ASSERT_TRUE(settings.ok()) << settings.error().Text() << "\n" << text;
  const AwsSettings& aws = *settings->aws;
  ASSERT_EQ(aws.compute.size(), 2u) << text;
  EXPECT_EQ(aws.compute[0].groups.at(RegionName("eu-west-1")), "Web group");
  EXPECT_EQ(aws.compute[0].groups.at(RegionName("eu-central-1")), "web-2");
  EXPECT_EQ(aws.compute[0].target_groups.size(), 1u);
  EXPECT_EQ(aws.compute[1].kind, AwsComputeKind::kEks);
  EXPECT_THAT(text, HasSubstr("# Missing: its group in every other region."));
  EXPECT_THAT(text, HasSubstr("'Web group' in eu-west-1 wants 4, of 2 to 10"));
  ASSERT_EQ(aws.notify.size(), 1u) << text;  // what was found is shown, and not taken
  EXPECT_EQ(aws.notify[0].region.text, "eu-west-2");
  EXPECT_THAT(text, HasSubstr("subscription 'orders-events'"));
  ASSERT_EQ(aws.alarms.size(), 1u);
  EXPECT_EQ(aws.alarms[0].alarm, "errors of orders: many");
  EXPECT_EQ(aws.alarms[0].about.text, "eu-west-1");
  ASSERT_EQ(aws.secrets.size(), 1u);
  EXPECT_EQ(aws.secrets[0].name, "orders/db");
  EXPECT_THAT(text, HasSubstr("Missing: 'orders/db' in eu-central-1: not there"));
}

TEST(InitFromAws, ANameInARegionIsWrittenWithItsRegion) {
  EXPECT_EQ(ParseInRegion("eu-west-1=a=b")->second, "a=b");
  for (const char* bad : {"web", "=web", "eu-west-1=", "EU WEST=web"}) EXPECT_FALSE(ParseInRegion(bad).ok()) << bad;
}

TEST(InitFromAws, WhatCouldNotBeReadStandsAsACommentWithItsReason) {
  AwsSurvey survey = StandbyTakesOver();
  survey.records.clear();
  survey.zone_problem = "'ListResourceRecordSets' of 'route53' in 'eu-west-1': not authorised";
  survey.clusters[1].cluster.reset();
  survey.clusters[1].problem = "no answer within 15 s";
  survey.problems = {"region 'eu-west-1' did not tell"};
  const std::string text = TextOf(survey);
  EXPECT_THAT(text, HasSubstr("# Not read: no answer within 15 s"));
  EXPECT_THAT(text, HasSubstr("# Missing: 'ListResourceRecordSets' of 'route53' in 'eu-west-1': not authorised"));
  EXPECT_THAT(text, HasSubstr("# Not read: region 'eu-west-1' did not tell"));
  const Result<Settings> settings = Load(text);
  ASSERT_TRUE(settings.ok()) << settings.error().Text() << "\n" << text;
  EXPECT_FALSE(settings->aws->traffic.has_value());
}

TEST(InitFromAws, NothingThatAwsAnswersBecomesAKeyOfTheFile) {
  AwsSurvey survey = StandbyTakesOver();
  survey.problems = {"words\npolicy:\n  automation: act"};
  survey.clusters[0].cluster->status = "available\nservice: other";
  survey.records[0].values = {"x.eu-west-1.y'\nservice: other ${HOME}"};
  const std::string text = TextOf(survey);
  EXPECT_THAT(text, Not(HasSubstr("\nservice: other")));
  const Result<Settings> settings = Load(text);
  ASSERT_TRUE(settings.ok()) << settings.error().Text() << "\n" << text;
  EXPECT_EQ(settings->service, "orders");
  EXPECT_EQ(settings->policy.automation, Automation::kObserve);
  EXPECT_THAT(settings->aws->traffic->targets.at(RegionName("eu-west-1")), HasSubstr("${HOME}"));
}

TEST(InitFromAws, BucketsThatAreCopiedAreOneItemAndOneAloneIsOnlyShown) {
  AwsSurvey survey = TwoRegions();
  SurveyedBucket one{"files-one", RegionName("eu-west-1"), true, {}, ""};
  aws::s3::ReplicationRule rule;
  rule.id = "all";
  rule.enabled = true;
  rule.prefix = "orders/";
  rule.destination = "arn:aws:s3:::files-two";
  one.rules = {rule};
  const SurveyedBucket two{"files-two", RegionName("eu-central-1"), true, {}, ""};
  const SurveyedBucket alone{"Lonely.bucket", RegionName("eu-west-1"), false, {}, ""};
  survey.buckets = {one, two, alone};
  const std::string text = TextOf(survey);
  const Result<Settings> settings = Load(text);
  ASSERT_TRUE(settings.ok()) << settings.error().Text() << "\n" << text;
  ASSERT_EQ(settings->aws->objects.size(), 1u) << text;
  EXPECT_EQ(settings->aws->objects[0].buckets.at(RegionName("eu-central-1")), "files-two");
  EXPECT_EQ(settings->aws->objects[0].prefix, "orders/");
  EXPECT_THAT(text, HasSubstr("'Lonely.bucket' keeps no versions"));
  EXPECT_THAT(text, HasSubstr("does not copy delete markers"));
}

TEST(InitFromAws, OneClusterAloneIsRefused) {
  AwsSurvey survey = TwoRegions();
  survey.clusters.resize(1);
  const Result<std::string> text = FirstSettings(survey);
  ASSERT_FALSE(text.ok());
  EXPECT_EQ(text.error().retry, Retry::kRefused);
}

}  // namespace
}  // namespace lifeboat
