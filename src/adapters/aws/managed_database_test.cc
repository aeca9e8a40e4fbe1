#include "adapters/aws/managed_database.h"

#include <gtest/gtest.h>

#include "adapters/aws/test_support.h"

namespace lifeboat::aws {
namespace {

const RegionName kEast("us-east-1");
const RegionName kWest("us-west-2");
const std::string kEastArn = "arn:aws:rds:us-east-1:1:cluster:orders-e";
const std::string kWestArn = "arn:aws:rds:us-west-2:1:cluster:orders-w";

AwsDatabaseSettings Aurora() {
  AwsDatabaseSettings s;
  s.global_cluster = "orders";
  s.members = {{kEast, kEastArn}, {kWest, kWestArn}};
  return s;
}

rds::GlobalCluster Global() {
  rds::GlobalCluster global;
  global.id = "orders";
  global.status = "available";
  global.members = {{kEastArn, true, {kWestArn}, "connected"}, {kWestArn, false, {}, "connected"}};
  return global;
}

rds::DbCluster Cluster(const std::string& arn) {
  rds::DbCluster cluster;
  cluster.arn = arn;
  cluster.status = "available";
  cluster.engine_version = "16.4";
  cluster.instances = {{"a", true}};
  return cluster;
}

TEST(ManagedView, AGlobalDatabaseIsSeenWithTheStateOfTheRegionThatWasAsked) {
  const ManagedView view = ViewOf(Aurora(), kWest, Global(), Cluster(kWestArn));
  EXPECT_EQ(view.writer, kEast);
  EXPECT_EQ(view.copies.at(kWest).role, ManagedRole::kSecondary);
  EXPECT_EQ(view.copies.at(kWest).follows, kEast);
  EXPECT_TRUE(view.copies.at(kWest).Available());
  EXPECT_EQ(view.copies.at(kWest).instances, std::size_t{1});
  EXPECT_EQ(view.copies.at(kEast).role, ManagedRole::kWriter);
  EXPECT_TRUE(view.copies.at(kEast).status.empty());  // it was not asked: nothing is made up
  EXPECT_FALSE(view.copies.at(kEast).instances);
  EXPECT_TRUE(view.moving_to.empty());
}

TEST(ManagedView, AMoveUnderWaySaysWhereTo) {
  rds::GlobalCluster global = Global();
  global.failover = rds::FailoverState{"failing-over", kEastArn, kWestArn, true};
  const ManagedView view = ViewOf(Aurora(), kWest, global, Cluster(kWestArn));
  EXPECT_EQ(view.moving_to, kWest);
  EXPECT_EQ(view.under_way, "failing-over");
}

TEST(ManagedView, AClusterThatIsNoMemberStandsApartAndOneThatIsNotThereIsAbsent) {
  rds::GlobalCluster global = Global();
  global.members.pop_back();
  ManagedView view = ViewOf(Aurora(), kWest, global, Cluster(kWestArn));
  EXPECT_EQ(view.copies.at(kWest).role, ManagedRole::kApart);
  EXPECT_EQ(view.writer, kEast);  // the global database's own, whatever stands beside it
  view = ViewOf(Aurora(), kWest, rds::GlobalCluster(), Cluster(kWestArn));
  EXPECT_EQ(view.writer, kWest);  // there is no global database: it takes writes of its own
  view = ViewOf(Aurora(), kWest, global, std::nullopt);
  EXPECT_EQ(view.copies.at(kWest).role, ManagedRole::kAbsent);
}

TEST(ManagedView, AReplicaNamesItsSourceAndAnInstanceThatFollowsNobodyIsAWriter) {
  AwsDatabaseSettings settings;
  settings.kind = AwsDatabaseKind::kRdsReplica;
  settings.members = {{kEast, "orders-e"}, {kWest, "orders-w"}};
  rds::DbInstance instance;
  instance.id = "orders-w";
  instance.status = "available";
  instance.replica_of = "arn:aws:rds:us-east-1:1:db:orders-e";
  ManagedView view = ViewOf(settings, kWest, instance);
  EXPECT_EQ(view.writer, kEast);
  EXPECT_EQ(view.copies.at(kWest).role, ManagedRole::kSecondary);
  instance.replica_of = "arn:aws:rds:us-east-1:1:db:somebody-elses";
  view = ViewOf(settings, kWest, instance);
  EXPECT_TRUE(view.writer.empty());
  EXPECT_EQ(view.copies.at(kWest).follows.text, instance.replica_of);  // no region of ours, so that it does not take over
  instance.replica_of.clear();
  EXPECT_EQ(ViewOf(settings, kWest, instance).writer, kWest);
}

/// There are none to be had.
struct NoCredentials final : CredentialSource {
  Task<Result<SharedCredentials>> Get(Duration) override { co_return RetryLater("the metadata service does not answer"); }
};

TEST(ManagedSilence, WhatAwsDidNotWeighSaysNothingOfTheRegion) {
  testing::FakeAws aws;
  const auto client = aws.MakeClient();
  const auto bare = std::make_unique<Client>(std::make_shared<NoCredentials>(), ClientOptions{}, aws.Doors());
  for (const AwsDatabaseKind kind : {AwsDatabaseKind::kAuroraGlobal, AwsDatabaseKind::kRdsReplica}) {
    AwsDatabaseSettings settings = Aurora();
    settings.kind = kind;
    const auto database = OpenManagedDatabase(*client, settings, aws.clock, Log());
    const auto says_nothing = [&](ManagedDatabase& asked, testing::Said said) {
      aws.answer = [said](const testing::Seen&) { return said; };
      const auto view = aws.Run(asked.Look(kEast, 4s));
      EXPECT_FALSE(view.ok());
      return !view.ok() && view.error().not_weighed;
    };
    for (const char* code : {"Throttling", "RequestLimitExceeded", "ExpiredToken", "RequestExpired"})
      EXPECT_TRUE(says_nothing(*database, testing::FakeAws::QueryError(400, code))) << code;
    const auto blind = OpenManagedDatabase(*bare, settings, aws.clock, Log());
    EXPECT_TRUE(says_nothing(*blind, testing::FakeAws::Silence()));
    EXPECT_FALSE(says_nothing(*database, testing::FakeAws::Silence()));
    EXPECT_FALSE(says_nothing(*database, testing::FakeAws::NoConnection()));
    EXPECT_FALSE(says_nothing(*database, testing::FakeAws::QueryError(503, "ServiceUnavailable")));
    EXPECT_FALSE(says_nothing(*database, testing::FakeAws::QueryError(403, "AccessDenied")));
  }
}

}  // namespace
}  // namespace lifeboat::aws
