// The way back of a region whose RDS primary was lost, and what a promotion looks like until it is done.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/aws/managed_database.h"
#include "adapters/aws/test_support.h"

namespace lifeboat::aws {
namespace {

using testing::FakeAws;
using ::testing::HasSubstr;
using testing::Said;
using testing::Seen;

const RegionName kEast("us-east-1");
const RegionName kWest("us-west-2");
constexpr const char* kWestArn = "arn:aws:rds:us-west-2:1:db:orders-w";

/// An instance as RDS shows it.
struct Instance {
  bool exists = true;
  std::string status = "available";
  std::string source;
  std::string key;
};

class ManagedReplicaTest : public ::testing::Test {
 protected:
  ManagedReplicaTest() {
    settings_.kind = AwsDatabaseKind::kRdsReplica;
    settings_.members = {{kEast, "orders-e"}, {kWest, "orders-w"}};
    east_.exists = false;
    aws_.answer = [this](const Seen& seen) { return Answer(seen); };
  }
  Said Answer(const Seen& seen) {
    const bool east = seen.region == kEast.text;
    if (seen.operation != "DescribeDBInstances")
      return Wrapped(seen.operation, "<DBInstance><DBInstanceIdentifier>orders-e</DBInstanceIdentifier></DBInstance>");
    const Instance& shown = east ? east_ : west_;
    if (!shown.exists) return FakeAws::QueryError(404, "DBInstanceNotFound");
    return Wrapped(seen.operation,
                   "<DBInstances><DBInstance><DBInstanceIdentifier>" + std::string(east ? "orders-e" : "orders-w") +
                       "</DBInstanceIdentifier><DBInstanceArn>" + (east ? "arn:aws:rds:us-east-1:1:db:orders-e" : kWestArn) +
                       "</DBInstanceArn><DBInstanceClass>db.r6g.large</DBInstanceClass><MultiAZ>true</MultiAZ><DBInstanceStatus>" +
                       shown.status + "</DBInstanceStatus><ReadReplicaSourceDBInstanceIdentifier>" + shown.source +
                       "</ReadReplicaSourceDBInstanceIdentifier><KmsKeyId>" + shown.key + "</KmsKeyId></DBInstance></DBInstances>");
  }
  static Said Wrapped(const std::string& operation, const std::string& xml) {
    const std::string result = "<" + operation + "Result>" + xml + "</" + operation + "Result>";
    return Said{200, "<" + operation + "Response>" + result + "</" + operation + "Response>", {}, {}};
  }
  Result<ManagedReturn> Rejoin() {
    const auto database = OpenManagedDatabase(*client_, settings_, aws_.clock, Log());
    return aws_.Run(database->Rejoin(kEast, kWest, 30s));
  }
  [[nodiscard]] std::size_t Made() const { return aws_.CountOf("CreateDBInstanceReadReplica"); }

  FakeAws aws_;
  std::unique_ptr<Client> client_ = aws_.MakeClient();
  AwsDatabaseSettings settings_;
  Instance east_;
  Instance west_;
};

TEST_F(ManagedReplicaTest, AReplicaIsMadeWithWhatTheFileSaysOfItsRegion) {
  west_.key = "arn:aws:kms:us-west-2:1:key/w";
  settings_.kms_keys = {{kEast, "arn:aws:kms:us-east-1:1:key/e"}, {kWest, "arn:aws:kms:us-west-2:1:key/w"}};
  settings_.subnet_groups = {{kEast, "orders-east"}, {kWest, "orders-west"}};
  settings_.parameter_groups = {{kEast, "orders-15"}};
  settings_.security_groups = {{kEast, "sg-1, sg-2"}, {kWest, "sg-3"}};
  const auto back = Rejoin();
  ASSERT_TRUE(back.ok()) << back.error().Text();
  EXPECT_FALSE(back->done);
  EXPECT_FALSE(back->by_person);
  ASSERT_EQ(Made(), 1u);
  const Seen& sent = aws_.seen.back();
  EXPECT_EQ(sent.region, "us-east-1");
  EXPECT_EQ(sent.Form("DBInstanceIdentifier"), "orders-e");
  EXPECT_EQ(sent.Form("SourceDBInstanceIdentifier"), kWestArn);
  EXPECT_EQ(sent.Form("KmsKeyId"), "arn:aws:kms:us-east-1:1:key/e");
  EXPECT_EQ(sent.Form("DBSubnetGroupName"), "orders-east");
  EXPECT_EQ(sent.Form("DBParameterGroupName"), "orders-15");
  EXPECT_EQ(sent.Form("DBInstanceClass"), "db.r6g.large");
  EXPECT_EQ(sent.Form("MultiAZ"), "true");
  EXPECT_EQ(sent.Form("VpcSecurityGroupIds.VpcSecurityGroupId.1"), "sg-1");
  EXPECT_EQ(sent.Form("VpcSecurityGroupIds.VpcSecurityGroupId.2"), "sg-2");
}

TEST_F(ManagedReplicaTest, AnEncryptedPrimaryWithoutAKeyOfTheRegionIsAPersonsMatter) {
  west_.key = "arn:aws:kms:us-west-2:1:key/w";
  const auto back = Rejoin();
  ASSERT_TRUE(back.ok()) << back.error().Text();
  EXPECT_TRUE(back->by_person);
  EXPECT_THAT(back->what, HasSubstr("'aws.database.kms_keys' names no key of 'us-east-1'"));
  EXPECT_EQ(Made(), 0u);
  // A key says nothing of a primary that is not encrypted: RDS would refuse it.
  west_.key.clear();
  settings_.kms_keys = {{kEast, "arn:aws:kms:us-east-1:1:key/e"}};
  ASSERT_TRUE(Rejoin().ok());
  EXPECT_EQ(aws_.seen.back().Form("KmsKeyId"), "");
}

TEST_F(ManagedReplicaTest, WhatIsThereAndFollowsNobodyIsLeftAloneAndWhatIsBeingDeletedIsWaitedFor) {
  east_ = {true, "available", "", ""};
  auto back = Rejoin();
  ASSERT_TRUE(back.ok()) << back.error().Text();
  EXPECT_TRUE(back->by_person);
  EXPECT_THAT(back->what, HasSubstr("may hold writes that were lost"));
  east_.status = "deleting";
  EXPECT_EQ(Rejoin().error().retry, Retry::kRetry);
  east_ = {true, "creating", kWestArn, ""};
  back = Rejoin();
  ASSERT_TRUE(back.ok()) << back.error().Text();
  EXPECT_FALSE(back->done);
  east_.status = "backing-up";
  EXPECT_TRUE(Rejoin()->done);
  EXPECT_EQ(Made(), 0u);
}

TEST_F(ManagedReplicaTest, APrimaryThatIsAtWorkIsWaitedFor) {
  west_.status = "backing-up";  // after a promotion
  EXPECT_EQ(Rejoin().error().retry, Retry::kRetry);
  EXPECT_EQ(Made(), 0u);
}

TEST_F(ManagedReplicaTest, APromotionIsDoneOnceItTakesWritesAndItsFirstBackupIsNotWaitedFor) {
  const auto database = OpenManagedDatabase(*client_, settings_, aws_.clock, Log(), 5s);
  east_ = {true, "modifying", kWestArn, ""};
  EXPECT_EQ(aws_.Run(database->Await(kEast, false, 30s)).error().retry, Retry::kRetry);
  east_ = {true, "rebooting", "", ""};
  EXPECT_EQ(aws_.Run(database->Await(kEast, false, 30s)).error().retry, Retry::kRetry);
  east_.status = "backing-up";
  EXPECT_TRUE(aws_.Run(database->Await(kEast, false, 30s)).ok());
}

TEST_F(ManagedReplicaTest, ANightlyBackupHindersNobodyAndPromotesNobody) {
  ManagedCopy copy;
  copy.status = "backing-up";
  EXPECT_TRUE(copy.Serves());      // a writer that is backed up serves: no vote calls it degraded
  EXPECT_FALSE(copy.Available());  // RDS promotes no replica while it is backed up
  for (const char* status : {"stopped", "failed", "modifying", "rebooting", "creating", "storage-full", ""})
    EXPECT_FALSE(TakesConnections(status)) << status;
}

}  // namespace
}  // namespace lifeboat::aws
