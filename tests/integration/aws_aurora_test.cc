// An Aurora global database in two emulators of AWS, over a road that misbehaves. Every request is checked against the vendor's
// models.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "adapters/aws/aurora_global.h"
#include "adapters/aws/protocol.h"
#include "adapters/aws/s3.h"
#include "adapters/aws/sts.h"
#include "adapters/system/clock.h"
#include "support/aws_aurora_world.h"
#include "support/aws_client.h"
#include "support/real_aws.h"
#include "support/run_task.h"

namespace lifeboat::testing {
namespace {

using aws::AuroraGlobal;
using ::testing::HasSubstr;

class AwsAuroraTest : public ::testing::Test {
 protected:
  explicit AwsAuroraTest(AwsEmulator emulator = AwsEmulator::kMinistack) : world_(emulator), road_(SharedAws(emulator)) {
    aws::RetryLimits retry;
    retry.base = 10ms;
    client_ = MakeAwsClient(world_.context, {{"*", road_.Url()}}, retry);
    aurora_ = std::make_unique<AuroraGlobal>(*client_, world_.database, clock_, Log(), 20ms);
  }
  template <typename T>
  T Run(Task<T> task) {
    return Await(world_.context, std::move(task));
  }

  SystemClock clock_;
  AuroraWorld world_;
  AwsRoad road_;
  std::shared_ptr<aws::Client> client_;
  std::unique_ptr<AuroraGlobal> aurora_;
  const std::string one = world_.one;
  const std::string two = world_.two;
  const RegionName one_{one};
  const RegionName two_{two};
  const aws::LossConsent consent_{ExecutionId("x-1"), "operator ann"};
};

TEST_F(AwsAuroraTest, ASwitchoverMovesTheWriterThereAndBackAndNeverAllowsLoss) {
  ASSERT_EQ(world_.Writer(), one);
  for (const RegionName& target : {two_, one_}) {
    const auto sent = Run(aurora_->SwitchOver(target, 30s));
    ASSERT_TRUE(sent.ok()) << sent.error().Text();
    EXPECT_TRUE(*sent);
    const auto done = Run(aurora_->Await(target, 30s));
    ASSERT_TRUE(done.ok()) << done.error().Text();
    EXPECT_EQ(world_.Writer(), target.text);
    EXPECT_FALSE(*Run(aurora_->SwitchOver(target, 30s)));
  }
  EXPECT_EQ(road_.CountOf("rds", "SwitchoverGlobalCluster"), 2u);
  EXPECT_EQ(road_.CountOf("rds", "FailoverGlobalCluster"), 0u);
  EXPECT_EQ(road_.Invalid(), "");
}

TEST_F(AwsAuroraTest, AFailoverWaitsForNothingOfTheRegionThatIsSilent) {
  road_.Faults({{{"do", "silent"}, {"region", one}}});
  const auto sent = Run(aurora_->FailOver(two_, consent_, 30s));
  ASSERT_TRUE(sent.ok()) << sent.error().Text();
  const auto done = Run(aurora_->Await(two_, 30s));
  ASSERT_TRUE(done.ok()) << done.error().Text();
  EXPECT_EQ(world_.Writer(), two);
  EXPECT_EQ(road_.HeldIn(one), 0u);
  for (const Json& request : road_.Requests()) EXPECT_EQ(TextAt(request, "region"), two);
  // Nobody here has blocked the old writer, and nobody says so.
  const WallTime from{clock_.Wall().ns - Duration(10min).count()};
  const auto word = Run(aurora_->ReadFencing(one_, {two_}, from, 30s));
  ASSERT_TRUE(word.ok()) << word.error().Text();
  EXPECT_EQ(word->fencing, aws::Fencing::kNoWord);
  EXPECT_EQ(road_.Invalid(), "");
}

TEST_F(AwsAuroraTest, AFailoverWhoseAnswerIsLostIsAskedForOnce) {
  road_.Faults({{{"do", "lose_answer"}, {"operation", "FailoverGlobalCluster"}, {"times", 1}}});
  const auto lost = Run(aurora_->FailOver(two_, consent_, 30s));
  ASSERT_FALSE(lost.ok());
  EXPECT_EQ(lost.error().retry, Retry::kUnknownOutcome) << lost.error().Text();
  const auto again = Run(aurora_->FailOver(two_, consent_, 30s));
  ASSERT_TRUE(again.ok()) << again.error().Text();
  EXPECT_FALSE(*again);
  EXPECT_EQ(world_.Writer(), two);
  EXPECT_EQ(road_.CountOf("rds", "FailoverGlobalCluster"), 1u);
}

TEST_F(AwsAuroraTest, AServerErrorOnAChangeIsNotAskedAgainAndIsNotTakenForANo) {
  road_.Faults({{{"do", "error"}, {"operation", "FailoverGlobalCluster"}, {"status", 503}, {"code", "ServiceUnavailable"}}});
  const auto failed = Run(aurora_->FailOver(two_, consent_, 30s));
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().retry, Retry::kUnknownOutcome) << failed.error().Text();
  EXPECT_THAT(failed.error().message, HasSubstr("request 'proxy-"));
  EXPECT_EQ(road_.CountOf("rds", "FailoverGlobalCluster"), 1u);
  EXPECT_EQ(world_.Writer(), one);
}

TEST_F(AwsAuroraTest, ThrottlingResetsAndAClockTenMinutesOffAreGotOver) {
  road_.ShiftClock(600);
  road_.Faults({{{"do", "throttle"}, {"operation", "DescribeGlobalClusters"}, {"skip", 1}, {"times", 1}},
                {{"do", "reset"}, {"operation", "DescribeDBClusters"}, {"times", 1}},
                {{"do", "throttle"}, {"operation", "FailoverGlobalCluster"}, {"times", 2}}});
  const auto sent = Run(aurora_->FailOver(two_, consent_, 30s));
  ASSERT_TRUE(sent.ok()) << sent.error().Text();
  ASSERT_TRUE(Run(aurora_->Await(two_, 30s)).ok());
  EXPECT_EQ(world_.Writer(), two);
  EXPECT_GT(client_->skew(), 9min);
  EXPECT_EQ(road_.CountOf("rds", "FailoverGlobalCluster"), 3u);
}

TEST_F(AwsAuroraTest, ASwitchoverWithTheWritersRegionSilentEndsByNameAndNeverAsAFailover) {
  road_.Faults({{{"do", "silent"}, {"region", one}}});
  const auto sent = Run(aurora_->SwitchOver(two_, 1s));
  ASSERT_FALSE(sent.ok());
  EXPECT_EQ(sent.error().retry, Retry::kRetry) << sent.error().Text();
  EXPECT_EQ(road_.CountOf("rds", "FailoverGlobalCluster"), 0u);
  EXPECT_EQ(world_.Writer(), one);
}

TEST_F(AwsAuroraTest, LagIsReadWhereItIs) {
  // AWS refuses its own namespace; the emulator takes it, and so stands in for Aurora's own reporting.
  aws::QueryParameters datum = {{"Namespace", "AWS/RDS"},
                                {"MetricData.member.1.MetricName", "AuroraGlobalDBRPOLag"},
                                {"MetricData.member.1.Dimensions.member.1.Name", "DBClusterIdentifier"},
                                {"MetricData.member.1.Dimensions.member.1.Value", world_.ClusterOf(two)},
                                {"MetricData.member.1.Value", "850"}};
  aws::Call call = aws::QueryCall({"monitoring", "2010-08-01"}, two, "PutMetricData", datum, aws::Effect::kOnce);
  ASSERT_TRUE(Run(client_->Send(std::move(call), 30s)).ok());
  const auto lag = Run(aurora_->Lag(two_, 30s));
  ASSERT_TRUE(lag.ok()) << lag.error().Text();
  ASSERT_TRUE(lag->rpo.has_value());
  EXPECT_EQ(*lag->rpo, 850ms);
  EXPECT_FALSE(lag->replication.has_value());
  EXPECT_FALSE(Run(aurora_->Lag(one_, 30s))->rpo.has_value());  // the other region does not have it
  EXPECT_EQ(road_.Invalid(), "");
}

TEST_F(AwsAuroraTest, AHostIsFoundByNameAndOnTheAddressThatAnswers) {
  std::string url = road_.Url();
  url.replace(url.find("127.0.0.1"), 9, "localhost");  // ::1 too on most machines, where nobody listens
  const auto by_name = MakeAwsClient(world_.context, {{"*", url}});
  const auto who = Run(aws::sts::GetCallerIdentity(*by_name, two, 30s));
  ASSERT_TRUE(who.ok()) << who.error().Text();
  EXPECT_FALSE(who->account.empty());
  const auto nobody = MakeAwsClient(world_.context, {{"*", "http://nobody.invalid:1"}});
  const auto none = Run(aws::sts::GetCallerIdentity(*nobody, two, 20s));
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().retry, Retry::kRetry);
}

class AwsDetachTest : public AwsAuroraTest, public ::testing::WithParamInterface<AwsEmulator> {
 protected:
  AwsDetachTest() : AwsAuroraTest(GetParam()) {}
};

TEST_P(AwsDetachTest, ASecondaryIsCutLooseWithTheOtherRegionSilent) {
  road_.Faults({{{"do", "silent"}, {"region", one}}});
  const auto sent = Run(aurora_->Detach(two_, consent_, 30s));
  ASSERT_TRUE(sent.ok()) << sent.error().Text();
  EXPECT_TRUE(*sent);
  const auto alone = Run(aurora_->AwaitDetached(two_, 30s));
  ASSERT_TRUE(alone.ok()) << alone.error().Text();
  EXPECT_FALSE(*Run(aurora_->Detach(two_, consent_, 30s)));
  EXPECT_EQ(road_.HeldIn(one), 0u);
  EXPECT_EQ(road_.Invalid(), "");
}

TEST_P(AwsDetachTest, AnObjectsConditionsAndNamesMeanTheSameThereAsHere) {
  const aws::s3::Bucket bucket{"eu-west-1", "lifeboat-" + RandomHex(6)};
  aws::Call make;
  make.service = "s3";
  make.region = bucket.region;
  make.bucket = bucket.name;
  make.operation = "CreateBucket";
  make.method = "PUT";
  make.headers = {{"Content-Type", "application/xml"}};
  make.body =
      "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>eu-west-1"
      "</LocationConstraint></CreateBucketConfiguration>";
  ASSERT_TRUE(Run(client_->Send(make, 30s)).ok());
  const std::string key = "canary/a b+c&d=e";
  aws::s3::OnlyIf absent;
  absent.absent = true;
  const auto put = Run(aws::s3::PutObject(*client_, bucket, key, "one", "text/plain", absent, 30s));
  ASSERT_TRUE(put.ok()) << put.error().Text();
  const auto second = Run(aws::s3::PutObject(*client_, bucket, key, "two", "text/plain", absent, 30s));
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().retry, Retry::kRefused) << second.error().Text();
  const auto got = Run(aws::s3::GetObject(*client_, bucket, key, 30s));
  ASSERT_TRUE(got.ok()) << got.error().Text();
  EXPECT_EQ(got->body, "one");
  const auto head = Run(aws::s3::HeadObject(*client_, bucket, key, 30s));
  ASSERT_TRUE(head.ok()) << head.error().Text();
  EXPECT_EQ(head->etag, put->etag);
  const auto rules = Run(aws::s3::GetBucketReplication(*client_, bucket, 30s));
  ASSERT_TRUE(rules.ok()) << rules.error().Text();
  EXPECT_TRUE(rules->empty());
  const auto versions = Run(aws::s3::GetBucketVersioning(*client_, bucket, 30s));
  ASSERT_TRUE(versions.ok()) << versions.error().Text();
  EXPECT_FALSE(*versions);
  ASSERT_TRUE(Run(aws::s3::DeleteObject(*client_, bucket, key, 30s)).ok());
  EXPECT_EQ(Run(aws::s3::HeadObject(*client_, bucket, key, 30s)).error().retry, Retry::kNotFound);
  EXPECT_EQ(road_.Invalid(), "");
}

INSTANTIATE_TEST_SUITE_P(Aws, AwsDetachTest, ::testing::Values(AwsEmulator::kMinistack, AwsEmulator::kMoto),
                         [](const auto& kind) { return std::string(NameOf(kind.param)); });

}  // namespace
}  // namespace lifeboat::testing
