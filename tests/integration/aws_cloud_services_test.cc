// Objects, notices, alarms and hooks in two emulators of AWS, over a road that misbehaves. Every request is checked against the
// vendor's models.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "adapters/aws/alarms.h"
#include "adapters/aws/hooks.h"
#include "adapters/aws/notices.h"
#include "adapters/aws/objects.h"
#include "adapters/aws/protocol.h"
#include "adapters/aws/quotas.h"
#include "adapters/aws/s3control.h"
#include "adapters/system/clock.h"
#include "support/aws_client.h"
#include "support/real_aws.h"
#include "support/run_task.h"

namespace lifeboat::testing {
namespace {

using aws::AwsObjects;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kFrom = "us-west-2";
const std::string kTo = "eu-west-1";
const RegionName kSource(kFrom);
const RegionName kTarget(kTo);

std::vector<std::string> WordsOf(const Result<std::vector<Readiness>>& lines) {
  if (!lines) return {lines.error().Text()};
  std::vector<std::string> words;
  for (const Readiness& line : *lines) words.push_back(line.level + ": " + line.what);
  return words;
}

class AwsCloudTest : public ::testing::TestWithParam<AwsEmulator> {
 protected:
  AwsCloudTest() : road_(SharedAws(GetParam())) {
    aws::RetryLimits retry;
    retry.base = 10ms;
    client_ = MakeAwsClient(context_, {{"*", road_.Url()}}, retry);
    maker_ = MakeAwsClient(context_, {{"*", SharedAws(GetParam()).Url()}});
  }
  template <typename T>
  T Run(Task<T> task) {
    return Await(context_, std::move(task));
  }
  [[nodiscard]] static bool IsMoto() { return GetParam() == AwsEmulator::kMoto; }
  /// One call past the road that must succeed; its answer.
  std::string Send(aws::Call call) {
    const auto reply = Run(maker_->Send(std::move(call), 30s));
    if (!reply) throw std::runtime_error(reply.error().Text());
    return reply->body;
  }
  std::string Query(const aws::QueryService& service, const std::string& region, const std::string& action,
                    const aws::QueryParameters& parameters) {
    return Send(aws::QueryCall(service, region, action, parameters, aws::Effect::kOnce));
  }
  void Bucket(const std::string& region, const std::string& bucket, const std::string& query, const std::string& body) {
    aws::Call call;
    call.service = "s3";
    call.region = region;
    call.bucket = bucket;
    call.operation = "PutBucket " + query;
    call.method = "PUT";
    call.headers = {{"Content-Type", "application/xml"}};
    if (!query.empty()) call.query = {{query, ""}};
    call.body = body;
    Send(std::move(call));
  }

  boost::asio::io_context context_;
  SystemClock clock_;
  AwsRoad road_;
  std::shared_ptr<aws::Client> client_;
  std::shared_ptr<aws::Client> maker_;
};

class AwsObjectsTest : public AwsCloudTest {
 protected:
  AwsObjectsTest() {
    settings_.name = "invoices";
    settings_.buckets = {{kSource, name_ + "-from"}, {kTarget, name_ + "-to"}};
    settings_.prefix = "invoices/";
    for (const auto& [region, bucket] : settings_.buckets) {
      Bucket(region.text, bucket, "",
             "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>" + region.text +
                 "</LocationConstraint></CreateBucketConfiguration>");
    }
    door_ = std::make_unique<AwsObjects>(*client_, settings_, clock_, Log(), 20ms);
  }
  void TurnVersioningOn() {
    for (const auto& [region, bucket] : settings_.buckets) {
      Bucket(region.text, bucket, "versioning",
             "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>Enabled</Status>"
             "</VersioningConfiguration>");
    }
  }
  void PutRule(const std::string& status, const std::string& prefix) {
    Bucket(kFrom, settings_.buckets[kSource], "replication",
           "<ReplicationConfiguration "
           "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Role>arn:aws:iam::123456789012:role/copies</Role>"
           "<Rule><ID>all</ID><Status>" +
               status + "</Status><Priority>1</Priority><Filter><Prefix>" + prefix +
               "</Prefix></Filter><DeleteMarkerReplication><Status>Enabled</Status></DeleteMarkerReplication><Destination><Bucket>"
               "arn:aws:s3:::" +
               settings_.buckets[kTarget] +
               "</Bucket><Metrics><Status>Enabled</Status></Metrics></Destination></Rule></ReplicationConfiguration>");
  }

  const std::string name_ = "lifeboat-" + RandomHex(6);
  AwsObjectsSettings settings_;
  std::unique_ptr<AwsObjects> door_;
};

TEST_P(AwsObjectsTest, HowTheCopyingIsSetUpIsSeenStepByStep) {
  const auto bare = Run(door_->Look(kSource, kTarget, 30s));
  ASSERT_TRUE(bare.ok()) << bare.error().Text();
  EXPECT_EQ(bare->versioned_from, false);
  EXPECT_EQ(bare->has_rule, false);
  EXPECT_TRUE(bare->unseen.empty());
  TurnVersioningOn();
  PutRule("Disabled", "other/");
  const auto wrong = Run(door_->Look(kSource, kTarget, 30s));
  EXPECT_EQ(wrong->has_rule, true);
  EXPECT_FALSE(wrong->enabled);
  EXPECT_EQ(wrong->covers_prefix, IsMoto());  // moto forgets the prefix
  EXPECT_THAT(WordsOf(Run(door_->Check(kSource, kTarget, 0s, 30s))),
              Contains(HasSubstr("fault: rule 'all' of objects 'invoices'")));
  PutRule("Enabled", "invoices/");
  const auto right = Run(door_->Look(kSource, kTarget, 30s));
  EXPECT_EQ(right->versioned_from, true);
  EXPECT_EQ(right->versioned_to, true);
  EXPECT_TRUE(right->enabled);
  EXPECT_TRUE(right->covers_prefix);
  EXPECT_TRUE(right->metrics);
  EXPECT_EQ(right->delete_markers, !IsMoto());  // moto forgets it
  Bucket(kFrom, settings_.buckets[kSource], "encryption",
         "<ServerSideEncryptionConfiguration "
         "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Rule><ApplyServerSideEncryptionByDefault>"
         "<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>arn:aws:kms:us-west-2:123456789012:key/k</KMSMasterKeyID>"
         "</ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>");
  EXPECT_THAT(WordsOf(Run(door_->Check(kSource, kTarget, 0s, 30s))), Contains(HasSubstr("does not copy such objects")));
  EXPECT_EQ(road_.Invalid(), "");
}

TEST_P(AwsObjectsTest, ACanaryArrivesWhereObjectsAreCopiedAndDoesNotWhereTheyAreNot) {
  TurnVersioningOn();
  PutRule("Enabled", "invoices/");
  const auto canary = Run(door_->PutCanary(kSource, 30s));
  ASSERT_TRUE(canary.ok()) << canary.error().Text();
  const bool copies = !IsMoto();  // moto copies nothing
  const auto arrival = Run(door_->AwaitCanary(*canary, kTarget, copies ? 30s : Duration(2s)));
  ASSERT_TRUE(arrival.ok()) << arrival.error().Text();
  EXPECT_EQ(arrival->arrived, copies);
  EXPECT_EQ(arrival->status, copies ? "COMPLETED" : "");
  // With the source's region silent its last sign of life is still there.
  road_.Faults({{{"do", "silent"}, {"region", kFrom}}});
  const auto newest = Run(door_->NewestArrival(kSource, kTarget, 30s));
  ASSERT_TRUE(newest.ok()) << newest.error().Text();
  EXPECT_EQ(newest->has_value(), copies);
  if (copies) {
    EXPECT_EQ(**newest, canary->put);
  }
  EXPECT_EQ(road_.HeldIn(kFrom), 0u);
  const auto look = Run(door_->Look(kSource, kTarget, 4s));
  ASSERT_TRUE(look.ok());
  EXPECT_EQ(look->versioned_to, true);
  EXPECT_FALSE(look->has_rule.has_value());
  EXPECT_EQ(look->unseen.size(), 1u);
  EXPECT_EQ(road_.Invalid(), "");
}

TEST_P(AwsObjectsTest, PendingOperationsAreReadInTheTargetsRegionAlsoWhenTheSourceIsLost) {
  TurnVersioningOn();
  PutRule("Enabled", "");
  const auto none = Run(door_->Backlog(kSource, kTarget, 30s));
  ASSERT_TRUE(none.ok()) << none.error().Text();
  EXPECT_FALSE(none->pending_operations.has_value());
  // AWS refuses its own namespace; the emulator takes it, and so stands in for S3's own reporting.
  const auto report = [&](const std::string& region, const std::string& metric, const std::string& value) {
    aws::QueryParameters datum = {
        {"Namespace", "AWS/S3"}, {"MetricData.member.1.MetricName", metric}, {"MetricData.member.1.Value", value}};
    int at = 0;
    for (const auto& [dimension, of] : {std::pair<std::string, std::string>{"SourceBucket", settings_.buckets[kSource]},
                                        std::pair<std::string, std::string>{"DestinationBucket", settings_.buckets[kTarget]},
                                        std::pair<std::string, std::string>{"RuleId", "all"}}) {
      const std::string prefix = "MetricData.member.1.Dimensions.member." + std::to_string(++at) + ".";
      datum.Text(prefix + "Name", dimension).Text(prefix + "Value", of);
    }
    Query({"monitoring", "2010-08-01"}, region, "PutMetricData", datum);
  };
  report(kTo, "OperationsPendingReplication", "7");
  report(kTo, "ReplicationLatency", "12");
  report(kFrom, "OperationsFailedReplication", "2");
  const auto whole = Run(door_->Backlog(kSource, kTarget, 30s));
  ASSERT_TRUE(whole.ok()) << whole.error().Text();
  EXPECT_EQ(whole->pending_operations, 7u);
  EXPECT_EQ(whole->latency, 12s);
  EXPECT_EQ(whole->failed_operations, 2u);
  road_.Faults({{{"do", "silent"}, {"region", kFrom}}});
  const auto lost = Run(door_->Backlog(kSource, kTarget, 6s));
  ASSERT_TRUE(lost.ok()) << lost.error().Text();
  EXPECT_EQ(lost->pending_operations, 7u);
  EXPECT_FALSE(lost->failed_operations.has_value());
  EXPECT_EQ(road_.Invalid(), "");
}

TEST_P(AwsObjectsTest, TheAccessPointsRequestsAreAsTheModelsDemand) {
  // Neither emulator has access points: the answer is a refusal, and what is looked at is what was sent.
  road_.Faults({{{"do", "error"}, {"path", "/v20180820/"}, {"status", 404}, {"code", "NoSuchMultiRegionAccessPoint"}},
                {{"do", "error"}, {"service", "servicequotas"}, {"status", 400}, {"code", "NoSuchResourceException"}}});
  const std::string arn = "arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap";
  EXPECT_EQ(Run(aws::s3control::GetRoutes(*client_, {"us-east-1"}, arn, 30s)).error().retry, Retry::kNotFound);
  const std::vector<aws::s3control::Route> routes = {{"one", kFrom, 0}, {"two", kTo, 100}};
  EXPECT_EQ(Run(aws::s3control::SubmitRoutes(*client_, {"us-east-1"}, arn, routes, 30s)).error().retry, Retry::kNotFound);
  // Nor quotas.
  EXPECT_EQ(Run(aws::quotas::ValueOf(*client_, kTo, aws::quotas::kFargate, 30s)).error().retry, Retry::kNotFound);
  EXPECT_EQ(road_.CountOf("servicequotas", "GetAWSDefaultServiceQuota"), 1u);
  EXPECT_EQ(road_.Invalid(), "");
}

INSTANTIATE_TEST_SUITE_P(Aws, AwsObjectsTest, ::testing::Values(AwsEmulator::kMinistack, AwsEmulator::kMoto),
                         [](const auto& kind) { return std::string(NameOf(kind.param)); });

class AwsNoticesTest : public AwsCloudTest {};

TEST_P(AwsNoticesTest, WhatATopicIsToldArrivesAtItsSubscriberAlsoWhenTheFirstAnswerIsLost) {
  constexpr aws::QueryService kSns{"sns", "2010-03-31"};
  const std::string name = "ops-" + RandomHex(4);
  const std::string created = Query(kSns, kTo, "CreateTopic", {{"Name", name}});
  const std::size_t begin = created.find("<TopicArn>") + 10;
  const std::string topic = created.substr(begin, created.find('<', begin) - begin);
  aws::AwsNotifier door(*client_, AwsNoticeSettings{AwsNoticeKind::kSns, kTarget, topic});
  EXPECT_THAT(WordsOf(Run(door.Check(30s))), Contains(HasSubstr("has no confirmed subscriptions")));

  const auto sqs = [&](const std::string& action, const Json& body) {
    return AwsJson(context_, *maker_, "sqs", "AmazonSQS." + action, kTo, body);
  };
  const std::string queue = TextAt(sqs("CreateQueue", {{"QueueName", name}}), "QueueUrl");
  const std::string account = topic.substr(topic.find(kTo) + kTo.size() + 1, 12);
  Query(kSns, kTo, "Subscribe",
        {{"TopicArn", topic}, {"Protocol", "sqs"}, {"Endpoint", "arn:aws:sqs:" + kTo + ":" + account + ":" + name}});
  if (!IsMoto()) {  // which counts none
    EXPECT_THAT(WordsOf(Run(door.Check(30s))), Contains(HasSubstr("has 1 confirmed subscriptions")));
  }

  road_.Faults({{{"do", "lose_answer"}, {"operation", "Publish"}, {"times", 1}}});
  const Json body = {{"event", "failover"}, {"id", "x-1/routed"}};
  const auto told = Run(door.Tell("orders: failed over", body, 30s));
  ASSERT_TRUE(told.ok()) << told.error().Text();
  EXPECT_EQ(road_.CountOf("sns", "Publish"), 2u);
  const Json received = sqs("ReceiveMessage", {{"QueueUrl", queue}, {"MaxNumberOfMessages", 10}, {"WaitTimeSeconds", 5}});
  const Result<Json> message = ParseJson(TextAt(received["Messages"].at(0), "Body"), "a message");
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(TextAt(*message, "Subject"), "orders: failed over");
  EXPECT_EQ(TextAt(*ParseJson(TextAt(*message, "Message"), "what was told"), "id"), "x-1/routed");

  aws::AwsNotifier nobody(*client_, AwsNoticeSettings{AwsNoticeKind::kSns, kTarget, topic + "-nobody"});
  EXPECT_EQ(Run(nobody.Tell("s", body, 30s)).error().retry, Retry::kNotFound);
  EXPECT_THAT(WordsOf(Run(nobody.Check(30s))), Contains(HasSubstr("does not exist")));
  EXPECT_EQ(road_.Invalid(), "");
}

TEST_P(AwsNoticesTest, ABusIsToldAndCheckSeesWhetherARuleWouldTakeIt) {
  const std::string bus = "orders-" + RandomHex(4);
  const auto make = [&](const std::string& action, const Json& body) {
    aws::Call call = aws::JsonCall({"events", "AWSEvents", "1.1"}, kTo, action, body, aws::Effect::kOnce);
    Send(std::move(call));
  };
  make("CreateEventBus", {{"Name", bus}});
  aws::AwsNotifier door(*client_, AwsNoticeSettings{AwsNoticeKind::kEventBridge, kTarget, bus});
  EXPECT_THAT(WordsOf(Run(door.Check(30s))), Contains(HasSubstr("has no rules that are on and take events of 'lifeboat'")));
  make("PutRule", {{"Name", bus}, {"EventBusName", bus}, {"EventPattern", R"({"source":["lifeboat"]})"}, {"State", "ENABLED"}});
  EXPECT_THAT(WordsOf(Run(door.Check(30s))), Contains(HasSubstr("ok: event bus '" + bus + "' in 'eu-west-1' has 1 rules")));
  const Json body = {{"event", "failover"}};
  const auto told = Run(door.Tell("failed over", body, 30s));
  EXPECT_TRUE(told.ok()) << told.error().Text();
  aws::AwsNotifier nobody(*client_, AwsNoticeSettings{AwsNoticeKind::kEventBridge, kTarget, "nobody"});
  EXPECT_THAT(WordsOf(Run(nobody.Check(30s))), Contains(HasSubstr("does not exist")));
  EXPECT_EQ(road_.Invalid(), "");
}

TEST_P(AwsNoticesTest, AnAlarmIsReadWhereItIs) {
  constexpr aws::QueryService kCloudWatch{"monitoring", "2010-08-01"};
  const std::string name = "errors of orders " + RandomHex(4);
  Query(kCloudWatch, kTo, "PutMetricAlarm",
        {{"AlarmName", name},
         {"Namespace", "orders"},
         {"MetricName", "errors"},
         {"Statistic", "Sum"},
         {"Period", "60"},
         {"EvaluationPeriods", "1"},
         {"Threshold", "1"},
         {"ComparisonOperator", "GreaterThanThreshold"}});
  Query(kCloudWatch, kTo, "SetAlarmState", {{"AlarmName", name}, {"StateValue", "ALARM"}, {"StateReason", "too many errors"}});
  aws::AwsAlarms door(*client_);
  const auto state = Run(door.State(kTarget, name, 30s));
  ASSERT_TRUE(state.ok()) << state.error().Text();
  EXPECT_EQ(state->sign, AlarmSign::kAlarm);
  EXPECT_EQ(state->reason, "too many errors");
  EXPECT_EQ(state->since.has_value(), IsMoto());  // ministack does not say it
  EXPECT_EQ(Run(door.State(kSource, name, 30s)).error().retry, Retry::kNotFound);
  Query(kCloudWatch, kTo, "SetAlarmState", {{"AlarmName", name}, {"StateValue", "OK"}, {"StateReason", "none"}});
  const std::vector<std::string> names{name, "nobody"};
  const auto both = Run(door.States(kTarget, names, 30s));
  ASSERT_TRUE(both.ok());
  EXPECT_EQ(both->size(), 1u);
  EXPECT_EQ(both->at(name).sign, AlarmSign::kOk);
  EXPECT_THAT(WordsOf(Run(door.Check(kTarget, names, 30s))), Contains("fault: alarm 'nobody' in 'eu-west-1' does not exist"));
  road_.Faults({{{"do", "silent"}, {"region", kTo}}});
  EXPECT_EQ(Run(door.States(kTarget, names, 500ms)).error().retry, Retry::kRetry);
  EXPECT_EQ(road_.Invalid(), "");
}

INSTANTIATE_TEST_SUITE_P(Aws, AwsNoticesTest, ::testing::Values(AwsEmulator::kMinistack, AwsEmulator::kMoto),
                         [](const auto& kind) { return std::string(NameOf(kind.param)); });

/// hook.py, zipped: fails when it is told to, and answers {"warmed": count} else.
constexpr const char* kHookZip =
    "UEsDBBQAAAAAAAAAIVxuwtU8hwAAAIcAAAAHAAAAaG9vay5weWRlZiBjYWxsKGV2ZW50LCBjb250ZXh0KToKICAgIGlmIGV2ZW50LmdldCgiZm"
    "FpbCIpOgogICAgICAgIHJhaXNlIFJ1bnRpbWVFcnJvcigibm8gc3VjaCB0ZW5hbnQiKQogICAgcmV0dXJuIHsid2FybWVkIjogZXZlbnRbImNv"
    "dW50Il19ClBLAQIUAxQAAAAAAAAAIVxuwtU8hwAAAIcAAAAHAAAAAAAAAAAAAACkAQAAAABob29rLnB5UEsFBgAAAAABAAEANQAAAKwAAAAAAA"
    "==";

class AwsHooksTest : public AwsCloudTest {
 protected:
  AwsHooksTest() {
    const Json body = {{"FunctionName", function_}, {"Runtime", "python3.11"}, {"Role", "arn:aws:iam::123456789012:role/hooks"},
                       {"Handler", "hook.call"},    {"Timeout", 20},           {"Code", {{"ZipFile", kHookZip}}}};
    if (IsMoto()) {  // it looks whether the role exists
      const auto made =
          Run(maker_->Send(aws::QueryCall({"iam", "2010-05-08"}, "us-east-1", "CreateRole",
                                          {{"RoleName", "hooks"}, {"AssumeRolePolicyDocument", "{}"}}, aws::Effect::kOnce),
                           30s));
      EXPECT_TRUE(made.ok() || made.error().retry == Retry::kRefused) << made.error().Text();
    }
    aws::Call call;
    call.service = "lambda";
    call.region = kTo;
    call.operation = "CreateFunction";
    call.path = "/2015-03-31/functions";
    call.headers = {{"Content-Type", "application/json"}};
    call.body = body.dump();
    Send(std::move(call));
    settings_.name = "warm";
    settings_.functions = {{kTarget, function_}};
    door_ = std::make_unique<aws::AwsHook>(*client_, settings_);
  }
  const std::string function_ = "warm-" + RandomHex(4);
  AwsHookSettings settings_;
  std::unique_ptr<aws::AwsHook> door_;
};

TEST_P(AwsHooksTest, CheckSeesWhetherTheFunctionIsThere) {
  const auto lines = WordsOf(Run(door_->Check(kTarget, 30s)));
  EXPECT_THAT(lines, Not(Contains(HasSubstr("does not exist"))));
  settings_.functions = {{kTarget, "nobody"}};
  aws::AwsHook nobody(*client_, settings_);
  EXPECT_THAT(WordsOf(Run(nobody.Check(kTarget, 30s))), Contains(HasSubstr("does not exist")));
  EXPECT_EQ(road_.Invalid(), "");
}

INSTANTIATE_TEST_SUITE_P(Aws, AwsHooksTest, ::testing::Values(AwsEmulator::kMinistack, AwsEmulator::kMoto),
                         [](const auto& kind) { return std::string(NameOf(kind.param)); });

/// Of the two, only ministack runs functions without containers.
class AwsHookCallsTest : public AwsHooksTest {};

TEST_P(AwsHookCallsTest, AHookIsCalledOnceWhateverBecomesOfItsAnswer) {
  const Json payload = {{"execution", "x-1"}, {"count", 7}};
  const auto answer = Run(door_->Call(kTarget, payload, 60s));
  ASSERT_TRUE(answer.ok()) << answer.error().Text();
  EXPECT_EQ(NumberAt(*answer, "warmed"), 7u);
  const Json bad = {{"fail", true}};
  const auto failed = Run(door_->Call(kTarget, bad, 60s));
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().retry, Retry::kFail);
  EXPECT_THAT(failed.error().message, HasSubstr("no such tenant"));
  const auto calls = [&] {
    std::size_t count = 0;
    for (const Json& request : road_.Requests()) count += TextAt(request, "operation").ends_with("/invocations") ? 1U : 0U;
    return count;
  };
  const std::size_t before = calls();
  road_.Faults({{{"do", "lose_answer"}, {"path", "/invocations"}}});
  const auto lost = Run(door_->Call(kTarget, payload, 60s));
  ASSERT_FALSE(lost.ok());
  EXPECT_EQ(lost.error().retry, Retry::kUnknownOutcome) << lost.error().Text();
  EXPECT_EQ(calls(), before + 1);
  road_.Clear();
  settings_.functions = {{kTarget, "nobody"}};
  aws::AwsHook nobody(*client_, settings_);
  EXPECT_EQ(Run(nobody.Call(kTarget, payload, 30s)).error().retry, Retry::kNotFound);
  EXPECT_EQ(road_.Invalid(), "");
}

INSTANTIATE_TEST_SUITE_P(Aws, AwsHookCallsTest, ::testing::Values(AwsEmulator::kMinistack),
                         [](const auto& kind) { return std::string(NameOf(kind.param)); });

}  // namespace
}  // namespace lifeboat::testing
