#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/load.h"

namespace lifeboat {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kGood = R"(service: orders
objectives: {rto: 10min, rpo: 2min}
policy:
  automation: act
  failover_after: 30s
  loss_limit: {time: 3min}
store: {host: eu-west-1}
regions:
  - name: us-east-1
    agent: 127.77.1.1:7400
    state_directory: /srv/east
  - name: us-west-2
    agent: 127.77.2.1:7400
    state_directory: /srv/west
  - name: eu-west-1
    kind: witness
    agent: 127.77.3.1:7400
    state_directory: /srv/witness
token_file: /etc/lifeboat/token
aws:
  database:
    kind: aurora-global
    global_cluster: orders
    members:
      us-east-1: arn:aws:rds:us-east-1:123456789012:cluster:orders-east
      us-west-2: arn:aws:rds:us-west-2:123456789012:cluster:orders-west
    detach_when_needed: true
  traffic:
    kind: standby-takes-over
    zone: Z0123456789
    name: DB.example.net
    targets: {us-east-1: east.example.net, us-west-2: west.example.net}
    name_servers: ["127.0.0.1:5300"]
    markers: {us-east-1: "s3://e/go", us-west-2: "s3://w/go"}
  compute:
    - name: web
      kind: ecs
      groups: {us-east-1: c/web, us-west-2: c/web}
      target_groups: {us-west-2: "arn:aws:elasticloadbalancing:us-west-2:1:targetgroup/x/1"}
      share: 50
      timeout: 5min
  objects:
    - name: invoices
      buckets: {us-east-1: inv-e, us-west-2: inv-w}
      prefix: pdf/
      canary_every: 1min
  notify:
    - {kind: event-bridge, region: eu-west-1, target: orders}
  alarms:
    - {region: us-west-2, about: us-east-1, alarm: errors}
  hooks:
    - {name: drain, when: before-promote, functions: {us-east-1: d, us-west-2: d}, required: false, timeout: 10s}
  secrets:
    - name: orders/database
)";

Result<Settings> Parse(const std::string& text) {
  return ParseSettings(text, "lifeboat.yaml", [](const std::string&) { return std::optional<std::string>(); });
}

/// What the operator reads for kGood with one piece exchanged.
std::string ErrorOf(const std::string& piece, const std::string& replacement) {
  std::string text = kGood;
  const auto at = text.find(piece);
  EXPECT_NE(at, std::string::npos) << "not in the good file: " << piece;
  const auto settings = Parse(text.replace(at, piece.size(), replacement));
  return settings.ok() ? "loaded" : settings.error().Text();
}

const RegionName kEast("us-east-1");
const RegionName kWest("us-west-2");

TEST(AwsConfig, EveryKeyArrivesInItsPlace) {
  const auto loaded = Parse(kGood);
  ASSERT_TRUE(loaded.ok()) << loaded.error().Text();
  ASSERT_TRUE(loaded->aws && loaded->aws->database && loaded->aws->traffic);
  const AwsSettings& aws = *loaded->aws;
  EXPECT_EQ(aws.database->kind, AwsDatabaseKind::kAuroraGlobal);
  EXPECT_EQ(aws.database->global_cluster, "orders");
  EXPECT_EQ(aws.database->members.at(kWest), "arn:aws:rds:us-west-2:123456789012:cluster:orders-west");
  EXPECT_TRUE(aws.database->detach_when_needed);
  EXPECT_EQ(aws.database->backup_days, 7u);
  EXPECT_EQ(aws.traffic->kind, AwsTrafficKind::kStandbyTakesOver);
  EXPECT_EQ(aws.traffic->name, "db.example.net.");
  EXPECT_EQ(aws.traffic->targets.at(kEast), "east.example.net");
  ASSERT_EQ(aws.traffic->name_servers.size(), 1u);
  EXPECT_EQ(aws.traffic->name_servers[0].port, 5300);
  EXPECT_EQ(aws.traffic->markers.at(kWest), "s3://w/go");
  ASSERT_EQ(aws.compute.size(), 1u);
  EXPECT_EQ(aws.compute[0].kind, AwsComputeKind::kEcs);
  EXPECT_EQ(aws.compute[0].share, 50u);
  EXPECT_EQ(aws.compute[0].timeout, 5min);
  EXPECT_EQ(aws.compute[0].target_groups.size(), 1u);
  ASSERT_EQ(aws.objects.size(), 1u);
  EXPECT_EQ(aws.objects[0].prefix, "pdf/");
  EXPECT_EQ(aws.objects[0].canary_every, 1min);
  ASSERT_EQ(aws.notify.size(), 1u);
  EXPECT_EQ(aws.notify[0].kind, AwsNoticeKind::kEventBridge);
  ASSERT_EQ(aws.alarms.size(), 1u);
  EXPECT_EQ(aws.alarms[0].about, kEast);
  ASSERT_EQ(aws.hooks.size(), 1u);
  EXPECT_FALSE(aws.hooks[0].required);
  EXPECT_EQ(aws.hooks[0].timeout, 10s);
  ASSERT_TRUE(loaded->policy.loss_limit);
  EXPECT_EQ(loaded->policy.loss_limit->time, 3min);
}

TEST(AwsConfig, TheExampleLoads) {
  const auto loaded = LoadSettings(LIFEBOAT_SOURCE_DIR "/examples/lifeboat-aws.yaml");
  ASSERT_TRUE(loaded.ok()) << loaded.error().Text();
  EXPECT_TRUE(loaded->aws && loaded->aws->traffic);
  EXPECT_EQ(loaded->store.kind, StoreKind::kDynamoDb);
}

TEST(AwsConfig, AReplicasTrafficByRoutingControlIsRead) {
  const std::string text = std::string(kGood, std::string(kGood).find("aws:\n")) + R"(aws:
  database:
    kind: rds-replica
    members: {us-east-1: orders-e, us-west-2: orders-w}
    backup_days: 14
    kms_keys: {us-east-1: "arn:k1", us-west-2: "arn:k2"}
    security_groups: {us-west-2: "sg-1, sg-2"}
    backup_regions: [eu-central-1, us-west-2]
    backup_age: 30min
  traffic:
    kind: routing-control
    zone: Z1
    name: db.example.net.
    targets: {us-east-1: e.example.net, us-west-2: w.example.net}
    controls: {us-east-1: "arn:c1", us-west-2: "arn:c2"}
    control_endpoints: {us-east-1: "https://a/v1", us-west-2: "https://b/v1", eu-west-1: "https://c/v1", ap-northeast-1: "https://d/v1", ap-southeast-2: "https://e/v1"}
)";
  const auto loaded = Parse(text);
  ASSERT_TRUE(loaded.ok()) << loaded.error().Text();
  EXPECT_EQ(loaded->aws->database->backup_days, 14u);
  EXPECT_EQ(loaded->aws->database->kms_keys.at(kWest), "arn:k2");
  EXPECT_EQ(loaded->aws->database->security_groups.at(kWest), "sg-1, sg-2");
  EXPECT_TRUE(loaded->aws->database->subnet_groups.empty());
  EXPECT_EQ(loaded->aws->database->backup_regions, (std::vector<std::string>{"eu-central-1", "us-west-2"}));
  EXPECT_EQ(loaded->aws->database->backup_age, 30min);
  EXPECT_EQ(loaded->aws->traffic->control_endpoints.size(), 5u);
  EXPECT_THAT(loaded->aws->traffic->control_endpoints, testing::Contains("us-east-1=https://a/v1"));
}

TEST(AwsConfig, WhatOnlyReplicasHaveIsRefusedElsewhere) {
  for (const char* key : {"kms_keys: {us-east-1: k}", "subnet_groups: {us-east-1: s}", "backup_regions: [eu-central-1]"}) {
    EXPECT_THAT(ErrorOf("    global_cluster: orders\n", "    global_cluster: orders\n    " + std::string(key) + "\n"),
                HasSubstr("is a key of 'kind: rds-replica'"));
  }
  EXPECT_THAT(ErrorOf("    global_cluster: orders\n", "    global_cluster: orders\n    backup_age: 5min\n"),
              HasSubstr("must be at least 10min"));
  EXPECT_THAT(ErrorOf("    global_cluster: orders\n", "    global_cluster: orders\n    subnet_groups: {mars: s}\n"),
              HasSubstr("names 'mars', which is no data region"));
}

TEST(AwsConfig, WhatWouldSayNothingIsRefused) {
  for (const char* extra : {"lease: {length: 3s}\n", "login: {database: x}\n", "first_primary: us-east-1\n"}) {
    EXPECT_THAT(ErrorOf("token_file", std::string(extra) + "token_file"), HasSubstr("says nothing where AWS runs the database"));
  }
  EXPECT_THAT(ErrorOf("{time: 3min}", "{time: 3min, bytes: 1MiB}"), HasSubstr("'policy.loss_limit.bytes' says nothing"));
  EXPECT_THAT(ErrorOf("    state_directory: /srv/east\n",
                      "    state_directory: /srv/east\n    database: {address: \"127.77.1.1:5432\", data_directory: /pg, "
                      "socket_directory: /run}\n"),
              HasSubstr("stands beside 'aws.database'"));
}

TEST(AwsConfig, UnknownKeysAreErrorsWithHints) {
  EXPECT_THAT(ErrorOf("global_cluster:", "global_clustre:"), HasSubstr("did you mean 'global_cluster'?"));
  EXPECT_THAT(ErrorOf("    - name: web\n", "    - name: web\n      shar: 5\n"), HasSubstr("did you mean 'share'?"));
}

TEST(AwsConfig, ALimitThatCouldNeverHoldIsRefused) {
  EXPECT_THAT(ErrorOf("{time: 3min}", "{time: 30s}"), HasSubstr("'policy.loss_limit.time' is shorter than 1min"));
  EXPECT_THAT(ErrorOf("failover_after: 30s", "failover_after: 5s"), HasSubstr("must be at least 10s where AWS runs the database"));
  EXPECT_THAT(ErrorOf("  loss_limit: {time: 3min}\n", ""), HasSubstr("'policy.loss_limit' is missing"));
}

TEST(AwsConfig, MembersAreTheDataRegionsOwnClusters) {
  EXPECT_THAT(ErrorOf("      us-west-2: arn:aws:rds:us-west-2:123456789012:cluster:orders-west\n", ""),
              HasSubstr("lacks the data region 'us-west-2'"));
  EXPECT_THAT(ErrorOf("arn:aws:rds:us-west-2:1", "arn:aws:rds:eu-west-1:1"),
              HasSubstr("names a cluster of 'eu-west-1' for region 'us-west-2'"));
  EXPECT_THAT(ErrorOf("arn:aws:rds:us-west-2:123456789012:cluster:orders-west", "orders-west"), HasSubstr("no ARN of a cluster"));
  EXPECT_THAT(ErrorOf("      us-east-1: arn", "      eu-west-1: arn:aws:rds:eu-west-1:1:cluster:x\n      us-east-1: arn"),
              HasSubstr("names 'eu-west-1', which is no data region"));
  EXPECT_THAT(ErrorOf("    global_cluster: orders\n", ""), HasSubstr("'aws.database.global_cluster' is missing"));
}

TEST(AwsConfig, KeysOfAnotherKindAreRefused) {
  EXPECT_THAT(ErrorOf("kind: aurora-global", "kind: rds-replica"), HasSubstr("is a key of 'kind: aurora-global'"));
  EXPECT_THAT(ErrorOf("kind: standby-takes-over", "kind: records"),
              HasSubstr("'aws.traffic.markers' is a key of 'kind: standby-takes-over'"));
  EXPECT_THAT(ErrorOf("kind: standby-takes-over", "kind: routing-control"), HasSubstr("'aws.traffic.controls' is missing"));
  EXPECT_THAT(ErrorOf("\"s3://w/go\"", "\"s3://w\""), HasSubstr("which is no object"));
  EXPECT_THAT(ErrorOf("us-west-2: west.example.net", "us-west-2: east.example.net"), HasSubstr("sends two regions to"));
  EXPECT_THAT(ErrorOf("c/web, us-west-2: c/web", "web, us-west-2: c/web"), HasSubstr("write 'cluster/service'"));
}

TEST(AwsConfig, AMapSaysWhatIsWrongInIt) {
  EXPECT_THAT(ErrorOf("{us-east-1: inv-e, us-west-2: inv-w}", "[a, b]"),
              HasSubstr("must be a section of texts by region, not a list"));
  EXPECT_THAT(ErrorOf("{us-east-1: inv-e, us-west-2: inv-w}", "{us-east-1: inv-e, us-west-2: [x]}"),
              HasSubstr("holds something other than 'region: text'"));
  EXPECT_THAT(ErrorOf("{us-east-1: inv-e, us-west-2: inv-w}", "{us-east-1: inv-e, us-east-1: inv-w}"), HasSubstr("twice"));
}

TEST(AwsConfig, NamesAndPlacesOfTheSmallPartsAreJudged) {
  EXPECT_EQ(Parse(kGood)->aws->secrets.at(0).name, "orders/database");
  EXPECT_THAT(ErrorOf("- name: orders/database", "- name: arn:aws:secretsmanager:us-east-1:1:secret:orders-abc"),
              HasSubstr("write the name"));
  EXPECT_THAT(ErrorOf("- name: orders/database", "- name: a\n    - name: a"), HasSubstr("is given twice"));
  EXPECT_THAT(ErrorOf("{kind: event-bridge, region", "{kind: sns, region"), HasSubstr("is no ARN of a topic"));
  EXPECT_THAT(ErrorOf("about: us-east-1", "about: eu-west-1"), HasSubstr("which is no data region"));
  EXPECT_THAT(ErrorOf("when: before-promote", "when: before"), HasSubstr("must be one of"));
  EXPECT_THAT(ErrorOf("timeout: 10s}", "timeout: 20min}"), HasSubstr("must lie between 1s and 15min"));
  EXPECT_THAT(ErrorOf("aws:\n  database:", "aws:\n  databse:"), HasSubstr("did you mean 'database'?"));
}

}  // namespace
}  // namespace lifeboat
