#include "adapters/aws/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <deque>

#include "adapters/aws/http_date.h"
#include "adapters/aws/test_support.h"

namespace lifeboat::aws {
namespace {

namespace asio = boost::asio;
using lifeboat::aws::testing::SteppedClock;
using lifeboat::testing::Await;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

/// Keys that can be renewed: "key-1", "key-2" …
class CountedKeys final : public CredentialSource {
 public:
  int number = 1;
  std::optional<Error> problem;
  Task<Result<SharedCredentials>> Get(Duration /*timeout*/) override {
    if (problem) co_return *problem;
    auto keys = std::make_shared<Credentials>();
    keys->access_key_id = "key-" + std::to_string(number);
    keys->secret_key = Secret("SECRET");
    keys->session_token = Secret("TOKEN");
    co_return SharedCredentials(keys);
  }
  void Reject(const SharedCredentials& /*rejected*/) override { ++number; }
};

class ClientTest : public ::testing::Test {
 protected:
  struct Answer {
    int status = 200;
    std::string body;
    std::vector<std::pair<std::string, std::string>> headers;
    std::optional<Error> silence;
    Duration takes{0};
  };
  ClientTest() {
    options_.retry.base = 100ms;
    client_ = std::make_unique<Client>(keys_, options_, Doors());
  }
  ClientDoors Doors() {
    Transport transport = [this](HttpRequest request, Duration timeout) -> Task<Result<HttpResponse>> {
      sent.push_back(request);
      patience.push_back(timeout);
      Answer answer = answers.empty() ? Answer{} : answers.front();
      if (!answers.empty()) answers.pop_front();
      clock_.passed += answer.takes;
      if (answer.silence) co_return *answer.silence;
      HttpResponse response;
      response.status = answer.status;
      response.body = answer.body;
      response.headers = answer.headers;
      co_return response;
    };
    return ClientDoors{clock_, std::move(transport), [] { return 0.5; }, Log()};
  }
  Call Make(Effect effect) {
    Call call;
    call.service = "rds";
    call.region = "eu-west-1";
    call.operation = "FailoverGlobalCluster";
    call.body = "Action=FailoverGlobalCluster";
    call.effect = effect;
    return call;
  }
  Result<Reply> Send(Call call, Duration timeout = 60s) { return Await(context_, client_->Send(std::move(call), timeout)); }
  static Answer Refusal(int status, const std::string& code) {
    return Answer{
        status, "<ErrorResponse><Error><Code>" + code + "</Code><Message>words</Message></Error></ErrorResponse>", {}, {}, {}};
  }
  static Answer Silence() { return Answer{0, "", {}, UnknownOutcome("no answer within 10 s"), {}}; }
  static Answer NoConnection() { return Answer{0, "", {}, RetryLater("connection refused"), {}}; }
  static std::string HeaderIn(const HttpRequest& request, const std::string& name) {
    for (const std::string& header : request.headers) {
      if (header.starts_with(name + ": ")) return header.substr(name.size() + 2);
    }
    return {};
  }

  asio::io_context context_;
  SteppedClock clock_;
  std::shared_ptr<CountedKeys> keys_ = std::make_shared<CountedKeys>();
  ClientOptions options_;
  std::unique_ptr<Client> client_;
  std::deque<Answer> answers;
  std::vector<HttpRequest> sent;
  std::vector<Duration> patience;
};

TEST_F(ClientTest, ACallIsSignedForItsRegionAndItsAnswerHandedOn) {
  answers.push_back({200, "<ok/>", {{"x-amzn-requestid", "R-1"}, {"etag", "e"}}, {}, {}});
  const auto reply = Send(Make(Effect::kOnce));
  ASSERT_TRUE(reply.ok()) << reply.error().Text();
  EXPECT_EQ(reply->request_id, "R-1");
  EXPECT_EQ(reply->Header("etag"), "e");
  EXPECT_EQ(sent[0].url, "https://rds.eu-west-1.amazonaws.com/");
  EXPECT_EQ(HeaderIn(sent[0], "Host"), "rds.eu-west-1.amazonaws.com");
  EXPECT_EQ(HeaderIn(sent[0], "X-Amz-Date"), "20261123T114622Z");
  EXPECT_THAT(
      HeaderIn(sent[0], "Authorization"),
      HasSubstr("Credential=key-1/20261123/eu-west-1/rds/aws4_request, SignedHeaders=host;x-amz-date;x-amz-security-token"));
  EXPECT_TRUE(sent[0].fresh_connection);
}

TEST_F(ClientTest, AChangeWithoutAnAnswerIsNeverSentAgain) {
  answers = {Silence()};
  const auto reply = Send(Make(Effect::kOnce));
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.error().retry, Retry::kUnknownOutcome);
  EXPECT_EQ(sent.size(), 1u);
}

TEST_F(ClientTest, AChangeThatTheServerFailedAtIsNeverSentAgain) {
  for (const int status : {500, 502, 503, 504}) {
    sent.clear();
    answers = {Refusal(status, "InternalFailure")};
    const auto reply = Send(Make(Effect::kOnce));
    ASSERT_FALSE(reply.ok());
    EXPECT_EQ(reply.error().retry, Retry::kUnknownOutcome) << status;
    EXPECT_EQ(sent.size(), 1u);
  }
}

TEST_F(ClientTest, AChangeIsSentAgainWhereNothingWasDone) {
  answers = {NoConnection(), Refusal(400, "Throttling"), Answer{}};
  const auto reply = Send(Make(Effect::kOnce));
  ASSERT_TRUE(reply.ok()) << reply.error().Text();
  EXPECT_EQ(reply->attempts, 3);
  EXPECT_THAT(clock_.sleeps, ElementsAre(50ms, 100ms));  // half of 100 ms, half of 200 ms: the dice say 0.5
}

TEST_F(ClientTest, AReadIsTriedAgainAfterEverythingThatMayPassAndEndsAsOne) {
  answers = {Silence(), Refusal(500, "InternalFailure"), NoConnection(), Silence()};
  const auto reply = Send(Make(Effect::kReads));
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.error().retry, Retry::kRetry);  // it changed nothing, whatever became of it
  EXPECT_EQ(sent.size(), 4u);
}

TEST_F(ClientTest, ANoToASecondAttemptDoesNotHideWhatTheFirstMayHaveDone) {
  // Given a change that was done and whose answer was lost; the second attempt finds the condition gone.
  answers = {Silence(), Refusal(400, "ConditionalCheckFailedException")};
  const auto reply = Send(Make(Effect::kRepeatable));
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.error().retry, Retry::kUnknownOutcome) << reply.error().Text();
  // Nor where the caller would have judged that answer itself.
  answers = {Silence(), Refusal(400, "ConditionalCheckFailedException")};
  Call call = Make(Effect::kRepeatable);
  call.answers = {"ConditionalCheckFailedException"};
  const auto judged = Send(std::move(call));
  ASSERT_FALSE(judged.ok());
  EXPECT_EQ(judged.error().retry, Retry::kUnknownOutcome);
}

TEST_F(ClientTest, ErrorsThatTheCallerJudgesAreAnswers) {
  answers = {Refusal(400, "ConditionalCheckFailedException")};
  Call call = Make(Effect::kOnce);
  call.answers = {"ConditionalCheckFailedException"};
  const auto reply = Send(std::move(call));
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->code, "ConditionalCheckFailedException");
  EXPECT_EQ(reply->message, "words");
  EXPECT_THAT(reply->body, HasSubstr("ErrorResponse"));
}

TEST_F(ClientTest, ExpiredCredentialsAreRenewedOnce) {
  answers = {Refusal(403, "ExpiredToken"), Answer{}};
  ASSERT_TRUE(Send(Make(Effect::kOnce)).ok());
  EXPECT_THAT(HeaderIn(sent[1], "Authorization"), HasSubstr("Credential=key-2/"));
  answers = {Refusal(403, "ExpiredToken"), Refusal(403, "ExpiredToken"), Answer{}};
  const auto reply = Send(Make(Effect::kOnce));
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.error().retry, Retry::kRetry);
  EXPECT_EQ(answers.size(), 1u);
}

TEST_F(ClientTest, AClockThatIsMinutesOffIsCorrectedByAwssDate) {
  Answer refused = Refusal(403, "SignatureDoesNotMatch");
  refused.headers = {{"date", "Mon, 23 Nov 2026 11:56:22 GMT"}};  // ten minutes ahead
  answers = {refused, Answer{}};
  ASSERT_TRUE(Send(Make(Effect::kOnce)).ok());
  EXPECT_EQ(HeaderIn(sent[1], "X-Amz-Date"), "20261123T115622Z");
  EXPECT_EQ(client_->skew(), 10min);
  ASSERT_TRUE(Send(Make(Effect::kOnce)).ok());
  EXPECT_EQ(HeaderIn(sent[2], "X-Amz-Date"), "20261123T115622Z");
}

TEST_F(ClientTest, ASignatureThatIsRefusedAtTheRightTimeIsNotTriedAgain) {
  Answer refused = Refusal(403, "SignatureDoesNotMatch");
  refused.headers = {{"date", "Mon, 23 Nov 2026 11:47:00 GMT"}};
  answers = {refused, Answer{}};
  const auto reply = Send(Make(Effect::kReads));
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.error().retry, Retry::kFail);
  EXPECT_EQ(sent.size(), 1u);
}

TEST_F(ClientTest, NoCredentialsIsNotANotFoundAndNothingIsSent) {
  keys_->problem = NotFound("no source has credentials");
  const auto reply = Send(Make(Effect::kOnce));
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.error().retry, Retry::kFail);
  EXPECT_TRUE(sent.empty());
}

TEST_F(ClientTest, TheWholeCallEndsWithinItsTime) {
  for (int i = 0; i < 4; ++i) {
    Answer slow = Silence();
    slow.takes = 10s;
    answers.push_back(slow);
  }
  const auto reply = Send(Make(Effect::kReads), 15s);
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(sent.size(), 2u);
  EXPECT_EQ(patience[0], 10s);
  EXPECT_LT(patience[1], 5s);
  // A change has no second attempt after silence: its one attempt has all the time.
  answers = {Silence()};
  patience.clear();
  (void)Send(Make(Effect::kOnce), 45s);
  EXPECT_THAT(patience, ElementsAre(45s));
}

TEST_F(ClientTest, AServiceThatFailsUsesUpItsBudgetAndIsThenAskedOnceACall) {
  options_.retry.budget = 50;
  client_ = std::make_unique<Client>(keys_, options_, Doors());
  for (int call = 0; call < 10; ++call) {
    answers.assign(4, Refusal(500, "InternalFailure"));
    (void)Send(Make(Effect::kReads));
  }
  EXPECT_EQ(sent.size(), 10u + 50u / 5u);
  // Other regions have their own.
  sent.clear();
  answers.assign(4, Refusal(500, "InternalFailure"));
  Call elsewhere = Make(Effect::kReads);
  elsewhere.region = "us-east-1";
  (void)Send(std::move(elsewhere));
  EXPECT_EQ(sent.size(), 4u);
}

TEST_F(ClientTest, WhatAwsAsksToWaitIsWaited) {
  Answer busy = Refusal(429, "TooManyRequestsException");
  busy.headers = {{"retry-after", "3"}};
  answers = {busy, Answer{}};
  ASSERT_TRUE(Send(Make(Effect::kOnce)).ok());
  EXPECT_THAT(clock_.sleeps, ElementsAre(3s));
}

TEST_F(ClientTest, SecretsAreInNoError) {
  answers = {Refusal(403, "AccessDenied")};
  const auto reply = Send(Make(Effect::kOnce));
  ASSERT_FALSE(reply.ok());
  EXPECT_THAT(reply.error().Text(), Not(HasSubstr("SECRET")));
  EXPECT_THAT(reply.error().Text(), Not(HasSubstr("TOKEN")));
  EXPECT_THAT(reply.error().Text(), HasSubstr("'FailoverGlobalCluster' of 'rds' in 'eu-west-1': 'AccessDenied'"));
}

TEST_F(ClientTest, ABucketStandsInTheHostOrWhereThatCannotBeInThePath) {
  Call call;
  call.service = "s3";
  call.region = "eu-west-1";
  call.method = "PUT";
  call.bucket = "orders";
  call.path = "/a%20b";
  ASSERT_TRUE(Send(call).ok());
  EXPECT_EQ(sent[0].url, "https://orders.s3.eu-west-1.amazonaws.com/a%20b");
  EXPECT_EQ(HeaderIn(sent[0], "X-Amz-Content-Sha256"), Sha256Hex(""));
  call.bucket = "orders.example.com";
  ASSERT_TRUE(Send(call).ok());
  EXPECT_EQ(sent[1].url, "https://s3.eu-west-1.amazonaws.com/orders.example.com/a%20b");
  options_.endpoints.set["s3"] = "http://127.0.0.1:4566/";
  client_ = std::make_unique<Client>(keys_, options_, Doors());
  call.bucket = "orders";
  ASSERT_TRUE(Send(call).ok());
  EXPECT_EQ(sent[2].url, "http://127.0.0.1:4566/orders/a%20b");
  EXPECT_EQ(HeaderIn(sent[2], "Host"), "127.0.0.1:4566");
}

TEST(Endpoints, AreFoundByPartitionAndServiceAndByHand) {
  Endpoints none;
  EXPECT_EQ(none.Of("dynamodb", "cn-north-1")->url, "https://dynamodb.cn-north-1.amazonaws.com.cn");
  EXPECT_EQ(none.Of("route53", "eu-west-1")->url, "https://route53.amazonaws.com");
  EXPECT_EQ(none.Of("route53", "eu-west-1")->sign_region, "us-east-1");
  EXPECT_EQ(none.Of("route53", "cn-north-1")->sign_region, "cn-northwest-1");
  EXPECT_EQ(none.Of("sts", "ap-southeast-2")->url, "https://sts.ap-southeast-2.amazonaws.com");
  EXPECT_FALSE(none.Of("rds", "evil.example.com/").ok());
  EXPECT_FALSE(none.Of("rds", "").ok());

  Endpoints some;
  some.set["rds/eu-west-1"] = "http://127.0.0.1:1";
  some.set["*/us-east-1"] = "http://127.0.0.1:2";
  some.Add([](const std::string& name) -> std::optional<std::string> {
    if (name == "AWS_ENDPOINT_URL") return "http://127.0.0.1:3/";
    if (name == "AWS_ENDPOINT_URL_RDS") return "http://127.0.0.1:4";
    if (name == "AWS_ENDPOINT_URL_ROUTE_53") return "nonsense";
    return std::nullopt;
  });
  EXPECT_EQ(some.Of("rds", "eu-west-1")->url, "http://127.0.0.1:1");
  EXPECT_EQ(some.Of("rds", "eu-west-2")->url, "http://127.0.0.1:4");
  EXPECT_EQ(some.Of("sns", "us-east-1")->url, "http://127.0.0.1:2");
  EXPECT_EQ(some.Of("sns", "eu-west-2")->url, "http://127.0.0.1:3");
  EXPECT_FALSE(some.Of("route53", "eu-west-2").ok());
  Endpoints ignored;
  ignored.Add([](const std::string& name) -> std::optional<std::string> {
    return name == "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS" ? "true" : "http://127.0.0.1:3";
  });
  EXPECT_TRUE(ignored.set.empty());
}

TEST(RetryLimits, WaitsAreDrawnFromAWindowThatDoublesAndIsCapped) {
  const RetryLimits limits;
  EXPECT_EQ(BackOff(limits, 2, 1.0), 100ms);
  EXPECT_EQ(BackOff(limits, 3, 1.0), 200ms);
  EXPECT_EQ(BackOff(limits, 4, 0.25), 100ms);
  EXPECT_EQ(BackOff(limits, 60, 1.0), 5s);
  EXPECT_EQ(BackOff(limits, 3, 0.0), 0ns);
}

TEST(AwsTimes, AreReadAsAwsWritesThem) {
  EXPECT_EQ(ParseHttpDate("Sun, 06 Nov 1994 08:49:37 GMT")->ns, 784111777'000'000'000);
  EXPECT_FALSE(ParseHttpDate("Sun, 06 Nov 1994 08:49:37 CET").has_value());
  EXPECT_FALSE(ParseHttpDate("Sun, 31 Feb 1994 08:49:37 GMT").has_value());
  EXPECT_EQ(ParseTimestamp("1994-11-06T08:49:37Z")->ns, 784111777'000'000'000);
  EXPECT_EQ(ParseTimestamp("1994-11-06T08:49:37.250Z")->ns, 784111777'250'000'000);
  EXPECT_EQ(ParseTimestamp("1994-11-06T08:49:37+00:00")->ns, 784111777'000'000'000);
  EXPECT_FALSE(ParseTimestamp("1994-11-06").has_value());
  EXPECT_FALSE(ParseTimestamp("1994-13-06T08:49:37Z").has_value());
}

}  // namespace
}  // namespace lifeboat::aws
