// Who is told, which alarms are read, which programs are called: notices.h, alarms.h, hooks.h.

#include "adapters/aws/notices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/aws/alarms.h"
#include "adapters/aws/hooks.h"
#include "adapters/aws/test_support.h"

namespace lifeboat::aws {
namespace {

using ::testing::ElementsAre;
using testing::FakeAws;
using ::testing::HasSubstr;
using testing::Said;
using testing::Seen;

const RegionName kRegion("eu-west-1");

Said Wrapped(const Seen& seen, const std::string& xml) {
  return Said{200,
              "<" + seen.operation + "Response><" + seen.operation + "Result>" + xml + "</" + seen.operation + "Result></" +
                  seen.operation + "Response>",
              {},
              {}};
}

std::vector<std::string> WordsOf(const Result<std::vector<Readiness>>& lines) {
  if (!lines) return {lines.error().Text()};
  std::vector<std::string> words;
  for (const Readiness& line : *lines) words.push_back(line.level + ": " + line.what);
  return words;
}

class AwsNoticesTest : public ::testing::Test {
 protected:
  FakeAws aws_;
  std::unique_ptr<Client> client_ = aws_.MakeClient();
};

TEST_F(AwsNoticesTest, ATopicIsToldWithAnIdAndASubjectThatSnsTakes) {
  aws_.answer = [](const Seen& seen) { return Wrapped(seen, "<MessageId>m</MessageId>"); };
  AwsNotifier door(*client_, AwsNoticeSettings{AwsNoticeKind::kSns, kRegion, "arn:aws:sns:eu-west-1:1:ops"});
  const Json body = {{"event", "failover"}};
  ASSERT_TRUE(aws_.Run(door.Tell("  a → b\nfailed over", body, 10s)).ok());
  EXPECT_EQ(aws_.seen[0].Form("Subject"), "a ??? b?failed over");
  const Json sent = Json::parse(aws_.seen[0].Form("Message"));
  EXPECT_EQ(TextAt(sent, "event"), "failover");
  EXPECT_FALSE(TextAt(sent, "id").empty());
  EXPECT_EQ(aws_.Run(door.Tell("s", Json("text"), 10s)).error().retry, Retry::kFail);
  const Json huge = {{"x", std::string(300 << 10, 'x')}};
  EXPECT_EQ(aws_.Run(door.Tell("s", huge, 10s)).error().retry, Retry::kFail);
  EXPECT_EQ(aws_.seen.size(), 1u);
  EXPECT_EQ(SubjectOf(std::string(300, 'a')).size(), 100u);
  EXPECT_EQ(SubjectOf("\n "), "Lifeboat");
  // After silence it is sent once more: the id tells the receiver.
  aws_.seen.clear();
  int number = 0;
  aws_.answer = [&number](const Seen& seen) {
    return ++number == 1 ? FakeAws::Silence() : Wrapped(seen, "<MessageId>m</MessageId>");
  };
  ASSERT_TRUE(aws_.Run(door.Tell("s", body, 30s)).ok());
  ASSERT_EQ(aws_.seen.size(), 2u);
  EXPECT_EQ(aws_.seen[0].Form("Message"), aws_.seen[1].Form("Message"));
}

TEST_F(AwsNoticesTest, CheckSaysWhetherAnybodyListensAndWhetherAllWouldBeDeafAtOnce) {
  const AwsNoticeSettings topic{AwsNoticeKind::kSns, kRegion, "arn:t"};
  const AwsNoticeSettings bus{AwsNoticeKind::kEventBridge, RegionName("us-east-1"), "orders"};
  AwsNotifier door(*client_, topic);
  std::string confirmed = "0";
  aws_.answer = [&](const Seen& seen) {
    if (seen.service == "events") return Said{200, "{}", {}, {}};
    return Wrapped(seen, "<Attributes><entry><key>SubscriptionsConfirmed</key><value>" + confirmed +
                             "</value></entry><entry><key>SubscriptionsPending</key><value>2</value></entry></Attributes>");
  };
  EXPECT_THAT(WordsOf(aws_.Run(door.Check(10s))), ElementsAre(HasSubstr("fault: topic 'arn:t' in 'eu-west-1' has no confirmed "
                                                                        "subscriptions (2 wait to be confirmed)")));
  confirmed = "3";
  EXPECT_THAT(WordsOf(aws_.Run(door.Check(10s))), ElementsAre("ok: topic 'arn:t' in 'eu-west-1' has 3 confirmed subscriptions"));
  AwsNotifier other(*client_, bus);
  EXPECT_THAT(WordsOf(aws_.Run(other.Check(10s))), ElementsAre(HasSubstr("fault: event bus 'orders' in 'us-east-1' has no rules")));
  aws_.answer = [](const Seen&) { return FakeAws::QueryError(404, "NotFound"); };
  EXPECT_THAT(WordsOf(aws_.Run(door.Check(10s))), ElementsAre("fault: topic 'arn:t' in 'eu-west-1' does not exist"));
  aws_.answer = [](const Seen&) { return FakeAws::Silence(); };
  EXPECT_THAT(WordsOf(aws_.Run(door.Check(10s))),
              ElementsAre(HasSubstr("unknown: topic 'arn:t' in 'eu-west-1' cannot be looked at")));

  EXPECT_EQ(CheckNoticeRegions({topic}).at(0).level, "fault");
  EXPECT_EQ(CheckNoticeRegions({topic, bus}).at(0).level, "ok");
  EXPECT_TRUE(CheckNoticeRegions({}).empty());
}

TEST_F(AwsNoticesTest, AnAlarmWithoutDataIsNoSignOfHealth) {
  aws_.answer = [](const Seen& seen) {
    return Wrapped(
        seen,
        "<MetricAlarms><member><AlarmName>a</AlarmName><StateValue>ALARM</StateValue><StateReason>r</StateReason></member>"
        "<member><AlarmName>b</AlarmName><StateValue>OK</StateValue></member>"
        "<member><AlarmName>c</AlarmName><StateValue>INSUFFICIENT_DATA</StateValue></member></MetricAlarms>");
  };
  AwsAlarms door(*client_);
  const std::vector<std::string> names{"a", "b", "c", "nobody"};
  const auto states = aws_.Run(door.States(kRegion, names, 10s));
  ASSERT_TRUE(states.ok());
  EXPECT_EQ(states->size(), 3u);
  EXPECT_EQ(states->at("a").sign, AlarmSign::kAlarm);
  EXPECT_EQ(states->at("c").sign, AlarmSign::kNoData);
  EXPECT_EQ(aws_.Run(door.State(kRegion, "nobody", 10s)).error().retry, Retry::kNotFound);
  EXPECT_THAT(WordsOf(aws_.Run(door.Check(kRegion, names, 10s))),
              ElementsAre(HasSubstr("fault: alarm 'a' in 'eu-west-1' is in alarm: r"), "ok: alarm 'b' in 'eu-west-1' is ok",
                          HasSubstr("unknown: alarm 'c' in 'eu-west-1' has no data"),
                          "fault: alarm 'nobody' in 'eu-west-1' does not exist"));
  aws_.answer = [](const Seen&) { return FakeAws::Silence(); };
  EXPECT_EQ(aws_.Run(door.States(kRegion, names, 10s)).error().retry, Retry::kRetry);
  EXPECT_THAT(WordsOf(aws_.Run(door.Check(kRegion, {"a"}, 10s))), ElementsAre(HasSubstr("unknown: alarm 'a'")));
}

TEST_F(AwsNoticesTest, AHookThatFailedIsAFailureAndOneThatIsSilentMayHaveRun) {
  AwsHookSettings settings;
  settings.name = "warm";
  settings.functions = {{kRegion, "warm-caches"}};
  AwsHook door(*client_, settings);
  const Json payload = {{"execution", "x-1"}};
  aws_.answer = [](const Seen&) { return Said{200, R"({"warmed":7})", {}, {}}; };
  const auto answer = aws_.Run(door.Call(kRegion, payload, 60s));
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(NumberAt(*answer, "warmed"), 7u);
  EXPECT_EQ(aws_.seen[0].request.body, R"({"execution":"x-1"})");
  aws_.answer = [](const Seen&) { return Said{200, "", {}, {}}; };
  EXPECT_TRUE(aws_.Run(door.Call(kRegion, payload, 60s))->is_null());
  aws_.answer = [](const Seen&) {
    return Said{
        200, R"({"errorType":"KeyError","errorMessage":"no tenant\nat line 3"})", {{"x-amz-function-error", "Unhandled"}}, {}};
  };
  const auto failed = aws_.Run(door.Call(kRegion, payload, 60s));
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().retry, Retry::kFail);
  EXPECT_THAT(failed.error().message, ::testing::EndsWith("failed: KeyError: no tenant"));
  aws_.seen.clear();
  aws_.answer = [](const Seen&) { return FakeAws::Silence(); };
  EXPECT_EQ(aws_.Run(door.Call(kRegion, payload, 60s)).error().retry, Retry::kUnknownOutcome);
  EXPECT_EQ(aws_.seen.size(), 1u);
  aws_.answer = [](const Seen&) { return FakeAws::NoConnection(); };
  EXPECT_EQ(aws_.Run(door.Call(kRegion, payload, 60s)).error().retry, Retry::kRetry);
  EXPECT_EQ(aws_.Run(door.Call(RegionName("sa-east-1"), payload, 60s)).error().retry, Retry::kFail);
}

TEST_F(AwsNoticesTest, CheckSaysWhetherAHookCouldBeCalledAndFinishInTime) {
  AwsHookSettings settings;
  settings.name = "warm";
  settings.functions = {{kRegion, "warm-caches"}};
  settings.timeout = 60s;
  AwsHook door(*client_, settings);
  std::string answer = R"({"FunctionArn":"arn:f","State":"Inactive","LastUpdateStatus":"Successful","Timeout":30})";
  aws_.answer = [&](const Seen&) { return Said{200, answer, {}, {}}; };
  const std::string words = "function 'warm-caches' of hook 'warm' in 'eu-west-1'";
  EXPECT_THAT(WordsOf(aws_.Run(door.Check(kRegion, 10s))), ElementsAre("ok: " + words + " is there and may run for 30 s"));
  answer = R"({"FunctionArn":"arn:f","State":"Failed","StateReason":"no such image","LastUpdateStatus":"Failed","Timeout":900})";
  EXPECT_THAT(WordsOf(aws_.Run(door.Check(kRegion, 10s))),
              ElementsAre("fault: " + words + " is 'Failed': no such image",
                          "fault: " + words + " still runs what was before its last update, which failed",
                          "fault: " + words + " may run for 15 min 0 s, and the plan waits 1 min 0 s"));
  aws_.answer = [](const Seen&) {
    return Said{404, R"({"Message":"m"})", {{"x-amzn-errortype", "ResourceNotFoundException"}}, {}};
  };
  EXPECT_THAT(WordsOf(aws_.Run(door.Check(kRegion, 10s))), ElementsAre("fault: " + words + " does not exist"));
  aws_.answer = [](const Seen&) { return FakeAws::Silence(); };
  EXPECT_THAT(WordsOf(aws_.Run(door.Check(kRegion, 10s))), ElementsAre(HasSubstr("unknown: " + words + " cannot be looked at")));
}

}  // namespace
}  // namespace lifeboat::aws
