#include "adapters/aws/rds_replica.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/aws/test_support.h"

namespace lifeboat::aws {
namespace {

using testing::FakeAws;
using ::testing::HasSubstr;
using testing::Said;
using testing::Seen;

class RdsReplicaTest : public ::testing::Test {
 protected:
  RdsReplicaTest() {
    aws_.answer = [this](const Seen& seen) { return Answer(seen); };
  }
  Said Answer(const Seen& seen) {
    if (seen.operation == "GetMetricData") {
      return Wrapped(
          seen.operation,
          "<MetricDataResults><member><Id>m0</Id><StatusCode>Complete</StatusCode><Timestamps><member>2026-11-23T11:46:00Z"
          "</member></Timestamps><Values><member>" +
              lag + "</member></Values></member></MetricDataResults>");
    }
    if (seen.operation == "DescribeDBInstances") {
      if (!exists) return FakeAws::QueryError(404, "DBInstanceNotFound");
      if (--looks_until_done == 0) source.clear();
      return Wrapped(seen.operation,
                     "<DBInstances><DBInstance><DBInstanceIdentifier>orders-2</DBInstanceIdentifier><DBInstanceStatus>" + status +
                         "</DBInstanceStatus><ReadReplicaSourceDBInstanceIdentifier>" + source +
                         "</ReadReplicaSourceDBInstanceIdentifier></DBInstance></DBInstances>");
    }
    return Wrapped(seen.operation, "<DBInstance><DBInstanceIdentifier>orders-2</DBInstanceIdentifier></DBInstance>");
  }
  static Said Wrapped(const std::string& operation, const std::string& xml) {
    const std::string result = "<" + operation + "Result>" + xml + "</" + operation + "Result>";
    return Said{200, "<" + operation + "Response>" + result + "</" + operation + "Response>", {}, {}};
  }
  Result<bool> Promote() { return aws_.Run(replica_.Promote(region, "orders-2", days, consent, 60s)); }

  FakeAws aws_;
  std::unique_ptr<Client> client_ = aws_.MakeClient();
  RdsReplica replica_{*client_, aws_.clock, Log()};
  const RegionName region{"eu-west-1"};
  LossConsent consent{ExecutionId("x-1"), "operator ann"};
  std::uint64_t days = 7;
  std::string status = "available";
  std::string source = "arn:aws:rds:us-east-1:1:db:orders-1";
  std::string lag = "1.5";
  bool exists = true;
  int looks_until_done = 0;
};

TEST_F(RdsReplicaTest, IsPromotedOnceAndWithBackups) {
  const auto sent = Promote();
  ASSERT_TRUE(sent.ok()) << sent.error().Text();
  EXPECT_TRUE(*sent);
  EXPECT_EQ(aws_.seen.back().Form("BackupRetentionPeriod"), "7");
  EXPECT_EQ(aws_.seen.back().region, "eu-west-1");
  source.clear();
  EXPECT_FALSE(*Promote());
  EXPECT_EQ(aws_.CountOf("PromoteReadReplica"), 1u);
}

TEST_F(RdsReplicaTest, IsNotPromotedWithoutAWordWithoutBackupsOrWhileItIsBusy) {
  days = 0;
  EXPECT_EQ(Promote().error().retry, Retry::kRefused);
  days = 7;
  status = "backing-up";
  EXPECT_EQ(Promote().error().retry, Retry::kRefused);
  status = "available";
  consent.by.clear();
  EXPECT_EQ(Promote().error().retry, Retry::kRefused);
  EXPECT_EQ(aws_.CountOf("PromoteReadReplica"), 0u);
}

TEST_F(RdsReplicaTest, ItsPromotionIsWaitedFor) {
  looks_until_done = 3;
  EXPECT_TRUE(aws_.Run(replica_.AwaitPromoted(region, "orders-2", 10min)).ok());
  EXPECT_EQ(aws_.CountOf("DescribeDBInstances"), 3u);
  source = "arn:aws:rds:us-east-1:1:db:orders-1";
  const auto late = aws_.Run(replica_.AwaitPromoted(region, "orders-2", 30s));
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().retry, Retry::kRetry);
  EXPECT_THAT(late.error().message, HasSubstr("still a replica"));
}

TEST_F(RdsReplicaTest, ReplicationThatDoesNotRunHasNoLag) {
  EXPECT_EQ(aws_.Run(replica_.Lag(region, "orders-2", 10s))->lag, 1500ms);
  lag = "-1";
  EXPECT_FALSE(aws_.Run(replica_.Lag(region, "orders-2", 10s))->lag.has_value());
}

TEST_F(RdsReplicaTest, IsRebuiltUnderAFreeNameOnly) {
  rds::ReadReplica wanted;
  wanted.id = "orders-2";
  wanted.source_arn = source;
  EXPECT_FALSE(*aws_.Run(replica_.Rebuild(region, wanted, 10s)));
  source.clear();  // the old primary, which may hold lost writes
  EXPECT_EQ(aws_.Run(replica_.Rebuild(region, wanted, 10s)).error().retry, Retry::kRefused);
  EXPECT_EQ(aws_.CountOf("CreateDBInstanceReadReplica"), 0u);
  exists = false;
  EXPECT_TRUE(*aws_.Run(replica_.Rebuild(region, wanted, 10s)));
  EXPECT_EQ(aws_.CountOf("CreateDBInstanceReadReplica"), 1u);
}

}  // namespace
}  // namespace lifeboat::aws
