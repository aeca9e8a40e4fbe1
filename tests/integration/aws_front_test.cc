// What stands before and beside the plans on AWS, against two emulators over a recording road: a first lifeboat.yaml, snapshots as
// backups, questions to a restored server. Every request is checked against the vendor's models.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <cstdlib>

#include "adapters/aws/control_config.h"
#include "adapters/aws/database_check.h"
#include "adapters/aws/iam.h"
#include "adapters/aws/kms.h"
#include "adapters/aws/permission_check.h"
#include "adapters/aws/protocol.h"
#include "adapters/aws/quotas.h"
#include "adapters/aws/rds_snapshots.h"
#include "adapters/aws/rds_watch.h"
#include "adapters/aws/secret_check.h"
#include "adapters/system/clock.h"
#include "cli/init_from_aws.h"
#include "cli/rds_content.h"
#include "cli/rds_report.h"
#include "config/load.h"
#include "support/aws_client.h"
#include "support/real_aws.h"
#include "support/real_postgres.h"
#include "support/run_task.h"

namespace lifeboat::testing {
namespace {

using ::testing::HasSubstr;

constexpr const char* kOne = "us-east-1";
constexpr const char* kTwo = "eu-west-1";

class AwsFrontTest : public ::testing::TestWithParam<AwsEmulator> {
 protected:
  AwsFrontTest() : road_(SharedAws(GetParam())) {
    maker_ = MakeAwsClient(context_, {{"*", SharedAws(GetParam()).Url()}});
    aws::RetryLimits retry;
    retry.base = 10ms;
    client_ = MakeAwsClient(context_, {{"*", road_.Url()}}, retry);
  }
  template <typename T>
  T Run(Task<T> task) {
    return Await(context_, std::move(task));
  }
  /// Past the road: what stands before the test begins.
  void Make(const std::string& region, const std::string& action, const aws::QueryParameters& parameters) {
    aws::Call call = aws::QueryCall({"rds", "2014-10-31"}, region, action, parameters, aws::Effect::kOnce);
    const auto reply = Run(maker_->Send(std::move(call), 30s));
    if (!reply) throw std::runtime_error(reply.error().Text());
  }
  void MakeInstanceWithSnapshot() {
    Make(kOne, "CreateDBInstance",
         {{"DBInstanceIdentifier", name_},
          {"Engine", "postgres"},
          {"EngineVersion", "16.3"},
          {"DBInstanceClass", "db.t3.micro"},
          {"AllocatedStorage", "20"},
          {"MasterUsername", "ann"},
          {"MasterUserPassword", "not-a-secret-1"}});
    Make(kOne, "CreateDBSnapshot", {{"DBInstanceIdentifier", name_}, {"DBSnapshotIdentifier", name_ + "-monday"}});
  }
  void MakeGlobalCluster() {
    Make(kOne, "CreateGlobalCluster",
         {{"GlobalClusterIdentifier", name_}, {"Engine", "aurora-postgresql"}, {"EngineVersion", "17.7"}});
    for (const std::string region : {kOne, kTwo}) {
      aws::QueryParameters parameters = {{"DBClusterIdentifier", name_ + "-" + region},
                                         {"Engine", "aurora-postgresql"},
                                         {"EngineVersion", "17.7"},
                                         {"GlobalClusterIdentifier", name_}};
      if (region == kOne) parameters.Text("MasterUsername", "ann").Text("MasterUserPassword", "not-a-secret-1");
      Make(region, "CreateDBCluster", parameters);
    }
  }
  /// One emulator drops the tags of a restore. Without them nothing is ours, and nothing is deleted; so they are put on afterwards.
  void PutTagsOn(const aws::rds::TemporaryShape& shape) {
    const auto seen = Run(aws::rds::LookAt(*maker_, kOne, shape.id, false, 30s));
    if (!seen.ok() || !seen->TagOf(aws::rds::kTemporaryTag).empty()) return;
    EXPECT_EQ(GetParam(), AwsEmulator::kMinistack) << "it keeps tags now: tell docs/aws.md";
    const auto refused = Run(Restores().Remove(kOne, shape.id, false));
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().retry, Retry::kRefused) << refused.error().Text();
    Make(kOne, "AddTagsToResource",
         {{"ResourceName", "arn:aws:rds:us-east-1:000000000000:db:" + shape.id},
          {"Tags.Tag.1.Key", aws::rds::kTemporaryTag},
          {"Tags.Tag.1.Value", shape.id},
          {"Tags.Tag.2.Key", aws::rds::kTemporaryUntil},
          {"Tags.Tag.2.Value", std::to_string(shape.until.ns / 1'000'000'000)}});
  }
  [[nodiscard]] aws::TemporaryRestores Restores() {
    aws::TemporaryOptions options;
    options.poll = 20ms;
    options.patience = 20s;
    options.remove_patience = 20s;
    return {*client_, clock_, Log(), options};
  }

  SystemClock clock_;
  boost::asio::io_context context_;
  const std::string name_ = "orders-" + RandomHex(4);
  AwsRoad road_;
  std::shared_ptr<aws::Client> maker_;
  std::shared_ptr<aws::Client> client_;
};

INSTANTIATE_TEST_SUITE_P(Emulators, AwsFrontTest, ::testing::Values(AwsEmulator::kMinistack, AwsEmulator::kMoto),
                         [](const auto& emulator) { return std::string(NameOf(emulator.param)); });

TEST_P(AwsFrontTest, AFirstConfigurationIsReadFromAGlobalClusterAndLoads) {
  MakeGlobalCluster();
  AwsSurveyRequest request;
  request.global_cluster = name_;
  request.regions = {kOne, kTwo, "us-west-2"};
  request.zone = "Z0NOTTHERE";
  request.name = "orders.example.net";
  request.buckets = {name_ + "-missing"};
  const auto survey = Run(ReadAws(*client_, request, 30s));
  ASSERT_TRUE(survey.ok()) << survey.error().Text();
  const Result<std::string> text = FirstSettings(*survey);
  ASSERT_TRUE(text.ok()) << text.error().Text();
  const Result<Settings> settings = ParseSettings(*text, "lifeboat.yaml", [](const std::string&) { return std::nullopt; });
  ASSERT_TRUE(settings.ok()) << settings.error().Text() << "\n" << *text;
  EXPECT_EQ(settings->aws->database->members.size(), 2u);
  EXPECT_EQ(settings->regions.size(), 3u);
  EXPECT_FALSE(settings->aws->traffic.has_value());
  EXPECT_THAT(*text, HasSubstr("# Missing: "));
  EXPECT_THAT(*text, HasSubstr(name_ + "-missing"));
  EXPECT_EQ(road_.Invalid(), "");
}

TEST_P(AwsFrontTest, WhatRunsBesideTheDatabaseIsReadByItsNameAndTheFileIsChecked) {
  MakeGlobalCluster();
  for (const std::string region : {kOne, kTwo}) {
    Make(region, "CreateDBInstance",
         {{"DBInstanceIdentifier", name_ + "-" + region + "-a"},
          {"DBClusterIdentifier", name_ + "-" + region},
          {"Engine", "aurora-postgresql"},
          {"DBInstanceClass", std::string(region) == kOne ? "db.r6g.2xlarge" : "db.r6g.large"}});
    aws::Call topic = aws::QueryCall({"sns", "2010-03-31"}, region, "CreateTopic", {{"Name", name_}}, aws::Effect::kOnce);
    ASSERT_TRUE(Run(maker_->Send(std::move(topic), 30s)).ok());
    aws::Call secret = aws::JsonCall({"secretsmanager", "secretsmanager", "1.1"}, region, "CreateSecret",
                                     {{"Name", name_ + "/db"}, {"SecretString", "not told"}, {"ClientRequestToken", RandomUuid()}},
                                     aws::Effect::kOnce);
    ASSERT_TRUE(Run(maker_->Send(std::move(secret), 30s)).ok());
  }
  AwsSurveyRequest request;
  request.global_cluster = name_;
  request.regions = {kOne, kTwo, "us-west-2"};
  request.groups = {{AwsComputeKind::kAutoScaling, RegionName(kOne), "gone-" + name_},
                    {AwsComputeKind::kAutoScaling, RegionName(kTwo), "gone-" + name_}};
  request.topics = {"arn:aws:sns:eu-west-1:" + std::string(GetParam() == AwsEmulator::kMoto ? "123456789012" : "000000000000") +
                    ":" + name_};
  request.alarms = {{RegionName("us-west-2"), "gone " + name_}};
  request.secrets = {name_ + "/db"};
  const auto survey = Run(ReadAws(*client_, request, 30s));
  ASSERT_TRUE(survey.ok()) << survey.error().Text();
  const Result<std::string> text = FirstSettings(*survey);
  ASSERT_TRUE(text.ok()) << text.error().Text();
  EXPECT_THAT(*text, HasSubstr("confirmed subscriptions"));
  EXPECT_THAT(*text, HasSubstr("there is no such alarm"));
  EXPECT_THAT(*text, HasSubstr("there is no auto scaling group"));
  EXPECT_THAT(*text, HasSubstr("it is replicated with no other region"));
  EXPECT_THAT(*text, ::testing::Not(HasSubstr("not told")));
  const Result<Settings> settings = ParseSettings(*text, "lifeboat.yaml", [](const std::string&) { return std::nullopt; });
  ASSERT_TRUE(settings.ok()) << settings.error().Text() << "\n" << *text;
  EXPECT_EQ(settings->aws->notify.size(), 1u);
  EXPECT_EQ(settings->aws->compute.size(), 1u);
  // What check says of the file that was written: numbers of what stands there.
  std::string words;
  for (const Readiness& line : Run(aws::CheckManagedDatabase(*client_, *settings->aws->database, RegionName(kOne), clock_, 30s)))
    words += line.level + ": " + line.what + "\n";
  EXPECT_THAT(words, HasSubstr("fault: the largest of 1 instance(s) of '" + name_ +
                               "-eu-west-1' in 'eu-west-1' is 'db.r6g.large', the writer's 'db.r6g.2xlarge'"))
      << words;
  words.clear();
  std::vector<RegionName> data{RegionName(kOne), RegionName(kTwo)};
  for (const Readiness& line : Run(aws::CheckSecrets(*client_, settings->aws->secrets, data, clock_, 30s)))
    words += line.level + ": " + line.what + "\n";
  EXPECT_THAT(words, HasSubstr("is replicated with no other region")) << words;
  // Also what this emulator does not know is asked as the vendor's models demand.
  (void)Run(aws::control_config::ClusterOfPanel(*client_, "arn:aws:route53-recovery-control::123456789012:controlpanel/abc", 10s));
  (void)Run(aws::control_config::EndpointsOf(*client_, "arn:aws:route53-recovery-control::123456789012:cluster/abc", 10s));
  (void)Run(aws::rds::DescribeEventSubscriptions(*client_, kOne, 10s));
  EXPECT_EQ(road_.CountOf("secretsmanager", "GetSecretValue"), 0u);
  EXPECT_EQ(road_.Invalid(), "");
}

TEST(RoutingControlConfig, TheEndpointsOfAControlsClusterAreReadOfItsPanel) {
  const std::string control = "arn:aws:route53-recovery-control::123456789012:controlpanel/abc/routingcontrol/one";
  AwsProgram cluster({AwsScript("routing_control.py"), control});
  boost::asio::io_context context;
  const auto client =
      MakeAwsClient(context, {{"route53-recovery-control-config", "http://127.0.0.1:" + std::to_string(cluster.port(5))}});
  const std::string panel = aws::control_config::PanelOfControl(control);
  EXPECT_EQ(panel, "arn:aws:route53-recovery-control::123456789012:controlpanel/abc");
  const auto found = Await(context, aws::control_config::ClusterOfPanel(*client, panel, 10s));
  ASSERT_TRUE(found.ok()) << found.error().Text();
  const auto endpoints = Await(context, aws::control_config::EndpointsOf(*client, *found, 10s));
  ASSERT_TRUE(endpoints.ok()) << endpoints.error().Text();
  EXPECT_EQ(endpoints->size(), 5u);
  EXPECT_EQ(endpoints->at("eu-west-1"), "http://127.0.0.1:" + std::to_string(cluster.port(2)));
  const auto none = Await(context, aws::control_config::ClusterOfPanel(*client, "arn:other", 10s));
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().retry, Retry::kNotFound);
}

TEST_P(AwsFrontTest, AGlobalClusterThatIsNotThereIsSaid) {
  AwsSurveyRequest request;
  request.global_cluster = name_;
  request.regions = {kOne};
  const auto survey = Run(ReadAws(*client_, request, 30s));
  ASSERT_FALSE(survey.ok());
  EXPECT_THAT(survey.error().message, HasSubstr(name_));
}

TEST_P(AwsFrontTest, ASnapshotIsListedRestoredAndLeavesNothing) {
  MakeInstanceWithSnapshot();
  const auto listed = Run(aws::rds::ListStoredSnapshots(*client_, kOne, name_, false, 30s));
  ASSERT_TRUE(listed.ok()) << listed.error().Text();
  const auto found = std::find_if(listed->begin(), listed->end(), [&](const auto& each) { return each.id == name_ + "-monday"; });
  ASSERT_NE(found, listed->end());
  EXPECT_EQ(found->status, "available");
  EXPECT_TRUE(found->created.has_value());

  aws::rds::TemporaryShape shape;
  shape.id = aws::TemporaryRestores::NewName();
  shape.instance_class = "db.t3.micro";
  aws::TemporaryRestores restores = Restores();
  const auto made = Run(restores.Make(*found, shape));
  EXPECT_TRUE(made.ok()) << made.error().Text();
  EXPECT_TRUE(made.ok() && made->available);
  shape.until = WallTime{clock_.Wall().ns + 3'600'000'000'000};
  PutTagsOn(shape);
  // Another run's sweep leaves it alone: its time is not over.
  const auto swept = Run(restores.Sweep(kOne));
  EXPECT_TRUE(swept.ok() && swept->removed.empty() && swept->problems.empty());
  const auto removed = Run(restores.Remove(kOne, shape.id, false));
  ASSERT_TRUE(removed.ok()) << removed.error().Text();
  const auto gone = Run(aws::rds::LookAt(*client_, kOne, shape.id, false, 30s));
  EXPECT_TRUE(!gone.ok() || gone->status == "deleting");
  EXPECT_TRUE(Run(aws::rds::LookAt(*client_, kOne, name_, false, 30s)).ok()) << "the source stands";
  EXPECT_EQ(road_.CountOf("rds", "DeleteDBInstance"), 1u);
  EXPECT_EQ(road_.Invalid(), "");
}

TEST_P(AwsFrontTest, WhatAKilledRunLeftIsSweptAndADatabaseIsNot) {
  MakeInstanceWithSnapshot();
  aws::rds::StoredSnapshot snapshot;
  snapshot.region = kOne;
  snapshot.id = name_ + "-monday";
  aws::rds::TemporaryShape shape;
  shape.id = aws::TemporaryRestores::NewName();
  shape.instance_class = "db.t3.micro";
  shape.until = WallTime{clock_.Wall().ns - 1'000'000'000};
  ASSERT_TRUE(Run(aws::rds::RestoreInstance(*client_, kOne, snapshot, shape, 30s)).ok());
  PutTagsOn(shape);
  const auto swept = Run(Restores().Sweep(kOne));
  ASSERT_TRUE(swept.ok()) << swept.error().Text();
  EXPECT_THAT(swept->removed, ::testing::ElementsAre(shape.id));
  EXPECT_TRUE(Run(aws::rds::LookAt(*client_, kOne, name_, false, 30s)).ok());
  EXPECT_FALSE(Run(Restores().Remove(kOne, name_, false)).ok()) << "somebody's database was removed";
  EXPECT_TRUE(Run(aws::rds::LookAt(*client_, kOne, name_, false, 30s)).ok());
  EXPECT_EQ(road_.Invalid(), "");
}

TEST_P(AwsFrontTest, ARestoreWhoseAnswerIsLostIsRemovedAllTheSame) {
  MakeInstanceWithSnapshot();
  aws::rds::StoredSnapshot snapshot;
  snapshot.region = kOne;
  snapshot.id = name_ + "-monday";
  aws::rds::TemporaryShape shape;
  shape.id = aws::TemporaryRestores::NewName();
  shape.instance_class = "db.t3.micro";
  road_.Faults({{{"do", "lose_answer"}, {"operation", "RestoreDBInstanceFromDBSnapshot"}, {"times", 1}}});
  aws::TemporaryRestores restores = Restores();
  const auto made = Run(restores.Make(snapshot, shape));
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().retry, Retry::kUnknownOutcome) << made.error().Text();
  PutTagsOn(shape);
  ASSERT_TRUE(Run(restores.Remove(kOne, shape.id, false)).ok());
  const auto gone = Run(aws::rds::LookAt(*client_, kOne, shape.id, false, 30s));
  EXPECT_TRUE(!gone.ok() || gone->status == "deleting");
  EXPECT_EQ(road_.CountOf("rds", "RestoreDBInstanceFromDBSnapshot"), 1u);
}

TEST_P(AwsFrontTest, AClusterIsRestoredWithAnInstanceAndBothGoAgain) {
  if (GetParam() == AwsEmulator::kMinistack) {
    // It has no such action: that it still has none is what is left to look at.
    aws::rds::StoredSnapshot none;
    none.region = kOne;
    none.id = "none";
    none.of_cluster = true;
    none.engine = "aurora-postgresql";
    aws::rds::TemporaryShape shape;
    shape.id = aws::TemporaryRestores::NewName();
    EXPECT_FALSE(Run(Restores().Make(none, shape)).ok());
    EXPECT_TRUE(Run(Restores().Remove(kOne, shape.id, true)).ok());
    return;
  }
  const std::string cluster = name_;  // a member of a global cluster is restored by AWS, and by no emulator
  Make(kOne, "CreateDBCluster",
       {{"DBClusterIdentifier", cluster},
        {"Engine", "aurora-postgresql"},
        {"EngineVersion", "17.7"},
        {"MasterUsername", "ann"},
        {"MasterUserPassword", "not-a-secret-1"}});
  Make(kOne, "CreateDBClusterSnapshot", {{"DBClusterIdentifier", cluster}, {"DBClusterSnapshotIdentifier", name_ + "-monday"}});
  const auto listed = Run(aws::rds::ListStoredSnapshots(*client_, kOne, cluster, true, 30s));
  ASSERT_TRUE(listed.ok()) << listed.error().Text();
  const auto found = std::find_if(listed->begin(), listed->end(), [&](const auto& each) { return each.id == name_ + "-monday"; });
  ASSERT_NE(found, listed->end());
  aws::rds::TemporaryShape shape;
  shape.id = aws::TemporaryRestores::NewName();
  shape.instance_class = "db.t4g.medium";
  aws::TemporaryRestores restores = Restores();
  const auto made = Run(restores.Make(*found, shape));
  EXPECT_TRUE(made.ok() && made->available) << (made.ok() ? made->status : made.error().Text());
  const auto removed = Run(restores.Remove(kOne, shape.id, true));
  ASSERT_TRUE(removed.ok()) << removed.error().Text();
  const auto gone = Run(aws::rds::LookAt(*client_, kOne, shape.id, true, 30s));
  EXPECT_TRUE(!gone.ok() || gone->status == "deleting");
  EXPECT_TRUE(Run(aws::rds::LookAt(*client_, kOne, cluster, true, 30s)).ok());
  EXPECT_EQ(road_.Invalid(), "");
}

TEST_P(AwsFrontTest, ThePolicyThatIsShippedAllowsWhatItSaysAndNothingElse) {
  if (GetParam() == AwsEmulator::kMoto) return;  // it has no simulation: see docs/aws.md
  const auto iam = [&](const std::string& action, const aws::QueryParameters& parameters) {
    aws::Call call = aws::QueryCall({"iam", "2010-05-08"}, kOne, action, parameters, aws::Effect::kOnce);
    const auto reply = Run(maker_->Send(std::move(call), 30s));
    ASSERT_TRUE(reply.ok()) << reply.error().Text();
  };
  std::string policy = aws::PolicyOf({aws::PermissionPart::kAurora}).dump();
  for (std::size_t begin = 0; (begin = policy.find("{", begin)) != std::string::npos;) {
    const std::size_t end = policy.find_first_not_of("abcdefghijklmnopqrstuvwxyz_", begin + 1);
    if (end > begin + 1 && policy[end] == '}') {
      policy.replace(begin, end - begin + 1, "*");
    } else {
      ++begin;
    }
  }
  iam("CreateRole", {{"RoleName", name_}, {"AssumeRolePolicyDocument", R"({"Version":"2012-10-17","Statement":[]})"}});
  iam("PutRolePolicy", {{"RoleName", name_}, {"PolicyName", "agent"}, {"PolicyDocument", policy}});
  const std::string role = "arn:aws:iam::000000000000:role/" + name_;
  const auto simulated = Run(aws::iam::SimulatePrincipalPolicy(
      *client_, kOne, role, {"rds:FailoverGlobalCluster", "rds:DeleteDBCluster", "rds:ModifyDBCluster"},
      {"arn:aws:rds:eu-west-1:000000000000:cluster:orders"}, 30s));
  ASSERT_TRUE(simulated.ok()) << simulated.error().Text();
  ASSERT_EQ(simulated->size(), 3u);
  for (const aws::iam::Simulated& each : *simulated) {
    EXPECT_EQ(each.decision == "allowed", each.action == "rds:FailoverGlobalCluster") << each.action << ": " << each.decision;
  }
  EXPECT_EQ(road_.Invalid(), "");
}

TEST_P(AwsFrontTest, WhereIamCannotBeAskedPermissionsAreUnknownAndNeverRefused) {
  Settings settings;
  settings.service = "orders";
  settings.aws.emplace();
  const std::vector<Readiness> lines = Run(aws::CheckPermissions(*client_, kOne, settings, 30s));
  ASSERT_FALSE(lines.empty());
  EXPECT_THAT(lines.front().what, HasSubstr("arn:aws:"));
  for (const Readiness& each : lines) EXPECT_NE(each.level, "fault") << each.what;
  EXPECT_EQ(road_.Invalid(), "");
}

TEST_P(AwsFrontTest, AKeyTellsWhetherItCouldBeUsed) {
  Json created = AwsJson(context_, *maker_, "kms", "TrentService.CreateKey", kTwo, Json::object());
  const std::string id = TextAt(MemberAt(created, "KeyMetadata"), "KeyId");
  EXPECT_TRUE(Run(aws::kms::DescribeKey(*client_, kTwo, id, 30s))->Usable());
  AwsJson(context_, *maker_, "kms", "TrentService.DisableKey", kTwo, {{"KeyId", id}});
  EXPECT_FALSE(Run(aws::kms::DescribeKey(*client_, kTwo, id, 30s))->Usable());
  const auto missing = Run(aws::kms::DescribeKey(*client_, kTwo, "00000000-0000-0000-0000-000000000000", 30s));
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().retry, Retry::kNotFound) << missing.error().Text();
  EXPECT_EQ(road_.Invalid(), "");
}

/// A server on this machine, asked as a restored instance would be: over TCP, by somebody who is no superuser.
class RestoredContent : public ::testing::Test {
 protected:
  RestoredContent() {
    ::setenv("PGSSLMODE", "disable", 1);  // this server has no TLS
    server_ = lab_.Initialise("restored");
    lab_.StartByAnyone(server_);
    Sql("CREATE ROLE ann LOGIN");
    Sql("GRANT pg_read_all_data TO ann");
    Sql("CREATE TABLE orders AS SELECT g AS id FROM generate_series(1, 500) g");
  }
  ~RestoredContent() override { ::unsetenv("PGSSLMODE"); }
  void Sql(const std::string& sql) {
    if (!testing_support::AskServer(server_, sql)) throw std::runtime_error("the server refuses: " + sql);
  }
  [[nodiscard]] RdsContentQuestion Question() const {
    RdsContentQuestion question;
    question.place.address = server_.address.host;
    question.place.port = server_.address.port;
    question.place.user = "ann";
    question.set = "eu-west-1/monday";
    return question;
  }

  testing_support::PostgresLab lab_;
  DatabaseSettings server_;
};

TEST_F(RestoredContent, QuestionsAreAskedAndAWrongAnswerFails) {
  RdsContentQuestion question = Question();
  question.checks = {{"enough-orders", "postgres", "SELECT count(*) >= 500 FROM orders", "t"}};
  const RdsContent good = CheckRdsContent(question);
  EXPECT_EQ(good.level.verdict, backup::Verdict::kPass) << good.level.reason;
  EXPECT_EQ(good.figures["questions"], 1);
  EXPECT_GE(good.figures["rows"].get<std::uint64_t>(), 500u);

  question.checks = {{"enough-orders", "postgres", "SELECT count(*) >= 501 FROM orders", "t"}};
  const RdsContent bad = CheckRdsContent(question);
  EXPECT_EQ(bad.level.verdict, backup::Verdict::kFail);
  ASSERT_EQ(bad.findings.size(), 1u);
  EXPECT_EQ(bad.findings[0].fault, 35);
}

TEST_F(RestoredContent, AServerThatCannotBeReachedIsNotCheckedAndNeverPasses) {
  RdsContentQuestion question = Question();
  question.place.port = lab_.Reserve("nobody").address.port;
  const RdsContent nothing = CheckRdsContent(question);
  EXPECT_EQ(nothing.level.verdict, backup::Verdict::kNotChecked);
  EXPECT_THAT(nothing.level.reason, HasSubstr("cannot be asked by SQL from here"));
  EXPECT_TRUE(nothing.findings.empty());
}

}  // namespace
}  // namespace lifeboat::testing
