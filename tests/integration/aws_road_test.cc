// The tests' own road to AWS: what it is told to do, it does, and what passes it is recorded.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "adapters/http/http_client.h"
#include "support/real_aws.h"
#include "support/run_task.h"

namespace lifeboat::testing {
namespace {

using ::testing::HasSubstr;

class AwsRoadTest : public ::testing::TestWithParam<AwsEmulator> {
 protected:
  /// Asks for the list of tables. The signature's scope says the region; nobody here checks the signature itself.
  Result<HttpResponse> ListTables(const std::string& region, Duration timeout = 20s, const std::string& operation = "ListTables") {
    HttpRequest request;
    request.method = "POST";
    request.url = road_.Url() + "/";
    request.headers = {"Content-Type: application/x-amz-json-1.0", "X-Amz-Target: DynamoDB_20120810." + operation,
                       "X-Amz-Date: 20260101T000000Z",
                       "Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/" + region +
                           "/dynamodb/aws4_request, SignedHeaders=host;x-amz-date, Signature=" + std::string(64, '0')};
    request.body = "{}";
    return Await(context_, http_.Send(std::move(request), timeout));
  }

  AwsRoad road_{SharedAws(GetParam())};
  boost::asio::io_context context_;
  HttpClient http_{context_.get_executor(), {}};
};

TEST_P(AwsRoadTest, PassesWhatItIsNotToldToSpoilAndRecordsIt) {
  const auto answer = ListTables("eu-west-1");
  ASSERT_TRUE(answer.ok()) << answer.error().Text();
  EXPECT_EQ(answer->status, 200);
  EXPECT_THAT(answer->body, HasSubstr("TableNames"));
  EXPECT_EQ(road_.CountOf("dynamodb", "ListTables"), 1u);
  EXPECT_EQ(road_.Invalid(), "");
  EXPECT_TRUE(ListTables("eu-west-1", 20s, "ListAllTables").ok());
  EXPECT_THAT(road_.Invalid(), HasSubstr("ListAllTables"));
}

TEST_P(AwsRoadTest, ThrottlesAndRefusesAsAwsDoes) {
  road_.Faults({{{"do", "throttle"}, {"region", "eu-west-1"}, {"skip", 1}, {"times", 1}},
                {{"do", "error"}, {"region", "us-east-1"}, {"status", 503}, {"code", "ServiceUnavailable"}}});
  EXPECT_EQ(ListTables("eu-west-1")->status, 200);
  const auto throttled = ListTables("eu-west-1");
  EXPECT_EQ(throttled->status, 400);
  EXPECT_THAT(throttled->body, HasSubstr("ProvisionedThroughputExceededException"));
  EXPECT_EQ(ListTables("eu-west-1")->status, 200);
  EXPECT_EQ(ListTables("us-east-1")->status, 503);
}

TEST_P(AwsRoadTest, LosesAnAnswerOnlyAfterTheAct) {
  road_.Faults({{{"do", "lose_answer"}, {"times", 1}}, {{"do", "reset"}, {"times", 1}}, {{"do", "truncate"}, {"times", 1}}});
  for (int request = 0; request < 3; ++request) EXPECT_FALSE(ListTables("eu-west-1").ok());
  EXPECT_TRUE(ListTables("eu-west-1").ok());
  const Json requests = road_.Requests();
  EXPECT_EQ(TextAt(requests[0], "fault"), "lose_answer");
  EXPECT_TRUE(FlagAt(requests[0], "forwarded"));
  EXPECT_EQ(TextAt(requests[1], "fault"), "reset");
  EXPECT_FALSE(FlagAt(requests[1], "forwarded"));
  EXPECT_TRUE(FlagAt(requests[2], "forwarded"));
}

TEST_P(AwsRoadTest, CountsWhoWaitsForARegionThatIsSilent) {
  road_.Faults({{{"do", "silent"}, {"region", "us-east-1"}}});
  EXPECT_TRUE(ListTables("eu-west-1").ok());
  EXPECT_FALSE(ListTables("us-east-1", 300ms).ok());
  EXPECT_EQ(road_.HeldIn("us-east-1"), 1u);
  EXPECT_EQ(road_.HeldIn("eu-west-1"), 0u);
  road_.Clear();
  EXPECT_TRUE(ListTables("us-east-1").ok());
}

TEST_P(AwsRoadTest, RefusesWhatIsSignedByAClockTenMinutesOff) {
  road_.ShiftClock(600);
  const auto refused = ListTables("eu-west-1");
  EXPECT_EQ(refused->status, 400);
  EXPECT_THAT(refused->body, HasSubstr("InvalidSignatureException"));
}

TEST_P(AwsRoadTest, AGlobalTableRefusesTransactions) {
  road_.MakeGlobal({"eu-west-1", "eu-central-1"});
  EXPECT_EQ(ListTables("eu-central-1")->status, 200);
  const auto refused = ListTables("eu-central-1", 20s, "TransactWriteItems");
  EXPECT_EQ(refused->status, 400);
  EXPECT_THAT(refused->body, HasSubstr("Transactions are not supported"));
}

INSTANTIATE_TEST_SUITE_P(Aws, AwsRoadTest, ::testing::Values(AwsEmulator::kMinistack, AwsEmulator::kMoto),
                         [](const auto& kind) { return std::string(NameOf(kind.param)); });

}  // namespace
}  // namespace lifeboat::testing
