// A machine whose clock is not AWS's: what is signed, and what is asked by time.

#include <gtest/gtest.h>

#include "adapters/aws/managed_database.h"
#include "adapters/aws/test_support.h"

namespace lifeboat::aws {
namespace {

using testing::FakeAws;
using testing::Said;
using testing::Seen;

const RegionName kEast("us-east-1");
const RegionName kWest("us-west-2");

/// The machine says 11:46:22, AWS ten minutes later.
class ClientClockTest : public ::testing::Test {
 protected:
  ClientClockTest() {
    aws_.answer = [this](const Seen& seen) {
      Said said =
          seen.Header("X-Amz-Date").starts_with("20261123T1156") ? Said{} : FakeAws::QueryError(403, "SignatureDoesNotMatch");
      if (answer) said = answer(seen);
      said.headers = {{"date", date}};
      return said;
    };
  }
  static Call Read() {
    Call call;
    call.service = "rds";
    call.region = "us-east-1";
    call.operation = "DescribeGlobalClusters";
    call.effect = Effect::kReads;
    return call;
  }
  std::string date = "Mon, 23 Nov 2026 11:56:22 GMT";
  std::function<Said(const Seen&)> answer;
  FakeAws aws_;
  std::unique_ptr<Client> client_ = aws_.MakeClient();
};

TEST_F(ClientClockTest, CallsThatAreUnderWayAtOnceLearnTheSameTime) {
  // None is answered before all of them were signed.
  const Transport transport = aws_.MakeTransport();
  ClientDoors doors = aws_.Doors();
  doors.transport = [&transport](HttpRequest request, Duration timeout) -> Task<Result<HttpResponse>> {
    for (int turn = 0; turn < 20; ++turn) co_await boost::asio::post(boost::asio::use_awaitable);
    co_return co_await transport(std::move(request), timeout);
  };
  Credentials keys;
  keys.access_key_id = "key";
  keys.secret_key = Secret("secret");
  client_ = std::make_unique<Client>(std::make_shared<FixedCredentials>(std::move(keys)), ClientOptions{}, std::move(doors));
  std::vector<lifeboat::testing::Outcome<Result<Reply>>> calls;
  for (int call = 0; call < 4; ++call) calls.push_back(lifeboat::testing::Start(aws_.context, client_->Send(Read(), 30s)));
  for (const auto& call : calls) {
    const auto reply = lifeboat::testing::Finish(aws_.context, call);
    EXPECT_TRUE(reply.ok()) << reply.error().Text();
  }
  EXPECT_EQ(client_->skew(), 10min);
  EXPECT_EQ(aws_.seen.size(), 8u);
}

TEST_F(ClientClockTest, ADifferenceThatTheDateCannotTellIsNone) {
  answer = [](const Seen&) { return Said{}; };
  for (const char* same : {"Mon, 23 Nov 2026 11:46:21 GMT", "Mon, 23 Nov 2026 11:46:22 GMT"}) {
    date = same;
    ASSERT_TRUE(aws_.Run(client_->Send(Read(), 30s)).ok());
    EXPECT_EQ(client_->ahead(), 0s) << same;
  }
  date = "Mon, 23 Nov 2026 11:46:52 GMT";
  ASSERT_TRUE(aws_.Run(client_->Send(Read(), 30s)).ok());
  EXPECT_EQ(client_->ahead(), 31s);  // at most
  EXPECT_EQ(client_->skew(), 0s);
}

TEST_F(ClientClockTest, TheLagAndTheWordAboutTheOldWriterAreAskedForByAwssTime) {
  answer = [](const Seen& seen) {
    return Said{200, "<" + seen.operation + "Response><" + seen.operation + "Result/></" + seen.operation + "Response>", {}, {}};
  };
  for (const AwsDatabaseKind kind : {AwsDatabaseKind::kAuroraGlobal, AwsDatabaseKind::kRdsReplica}) {
    AwsDatabaseSettings settings;
    settings.kind = kind;
    settings.global_cluster = "orders";
    for (const RegionName& region : {kEast, kWest}) settings.members[region] = "arn:aws:rds:" + region.text + ":1:cluster:orders";
    const auto database = OpenManagedDatabase(*client_, settings, aws_.clock, Log());
    (void)aws_.Run(database->Lag(kWest, 4s));  // the first answer of all tells the difference
    aws_.seen.clear();
    (void)aws_.Run(database->Lag(kWest, 4s));
    ASSERT_EQ(aws_.seen.size(), 1u);
    EXPECT_EQ(aws_.seen[0].Form("EndTime").substr(0, 16), "2026-11-23T11:57");
    EXPECT_EQ(database->CloudAhead(), 601s);
  }
  AwsDatabaseSettings aurora;
  aurora.members = {{kEast, "arn:aws:rds:us-east-1:1:cluster:orders"}, {kWest, "arn:aws:rds:us-west-2:1:cluster:orders"}};
  const auto database = OpenManagedDatabase(*client_, aurora, aws_.clock, Log());
  aws_.seen.clear();
  (void)aws_.Run(database->ReadFencing(kEast, kWest, aws_.clock.Wall(), 4s));
  ASSERT_FALSE(aws_.seen.empty());
  EXPECT_EQ(aws_.seen[0].Form("StartTime").substr(0, 16), "2026-11-23T11:56");
}

}  // namespace
}  // namespace lifeboat::aws
