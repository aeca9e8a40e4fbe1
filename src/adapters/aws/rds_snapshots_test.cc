#include "adapters/aws/rds_snapshots.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "adapters/aws/test_support.h"

namespace lifeboat::aws {
namespace {

using ::testing::ElementsAre;
using testing::FakeAws;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Said;
using testing::Seen;

struct Thing {
  std::string status = "creating";
  std::string cluster;
  std::map<std::string, std::string> tags;
  std::string extra;
};

/// RDS of one region, as far as temporary restores need it: what is made becomes available at the second look, and what is deleted
/// is 'deleting'.
class FakeRds {
 public:
  FakeAws aws;
  std::map<std::string, Thing> instances;
  std::map<std::string, Thing> clusters;
  std::string ends_as = "available";
  std::unique_ptr<Client> client;

  FakeRds() {
    aws.answer = [this](const Seen& seen) { return Answer(seen); };
    client = aws.MakeClient();
  }
  TemporaryRestores Restores(const std::atomic<bool>* cancel = nullptr) {
    TemporaryOptions options;
    options.cancel = cancel;
    return TemporaryRestores(*client, aws.clock, Log(), options);
  }

 private:
  static Said Ok(const std::string& action, const std::string& result) {
    return Said{200,
                "<" + action + "Response><" + action + "Result>" + result + "</" + action + "Result></" + action + "Response>",
                {},
                {}};
  }
  static std::map<std::string, std::string> TagsOf(const Seen& seen) {
    std::map<std::string, std::string> tags;
    for (const char* at : {"1", "2"}) {
      const std::string tag = std::string("Tags.Tag.") + at;
      if (!seen.Form(tag + ".Key").empty()) tags[seen.Form(tag + ".Key")] = seen.Form(tag + ".Value");
    }
    return tags;
  }
  static std::string XmlOf(const std::string& id, const Thing& thing, bool cluster) {
    std::string tags;
    for (const auto& [key, value] : thing.tags) tags += "<Tag><Key>" + key + "</Key><Value>" + value + "</Value></Tag>";
    if (cluster)
      return "<DBCluster><DBClusterIdentifier>" + id + "</DBClusterIdentifier><Status>" + thing.status +
             "</Status><Endpoint>c.example</Endpoint><Port>5432</Port><TagList>" + tags + "</TagList>" + thing.extra +
             "</DBCluster>";
    return "<DBInstance><DBInstanceIdentifier>" + id + "</DBInstanceIdentifier><DBInstanceStatus>" + thing.status +
           "</DBInstanceStatus><DBClusterIdentifier>" + thing.cluster +
           "</DBClusterIdentifier><Endpoint><Address>i.example</Address><Port>5433</Port></Endpoint><TagList>" + tags +
           "</TagList>" + thing.extra + "</DBInstance>";
  }
  Said Describe(const std::string& action, const std::string& id, std::map<std::string, Thing>& all, bool cluster) {
    std::string list;
    for (auto& [name, thing] : all) {
      if (!id.empty() && name != id) continue;
      list += XmlOf(name, thing, cluster);
      if (thing.status == "creating") thing.status = ends_as;
    }
    if (!id.empty() && list.empty()) return FakeAws::QueryError(404, cluster ? "DBClusterNotFoundFault" : "DBInstanceNotFound");
    const std::string name = cluster ? "DBClusters" : "DBInstances";
    return Ok(action, "<" + name + ">" + list + "</" + name + ">");
  }
  Said Answer(const Seen& seen) {
    const std::string& action = seen.operation;
    const std::string instance = seen.Form("DBInstanceIdentifier");
    const std::string cluster = seen.Form("DBClusterIdentifier");
    if (action == "RestoreDBInstanceFromDBSnapshot") instances[instance] = {"creating", "", TagsOf(seen), ""};
    if (action == "RestoreDBClusterFromSnapshot") clusters[cluster] = {"creating", "", TagsOf(seen), ""};
    if (action == "CreateDBInstance") instances[instance] = {"creating", cluster, TagsOf(seen), ""};
    if (action == "DescribeDBInstances") return Describe(action, instance, instances, false);
    if (action == "DescribeDBClusters") return Describe(action, cluster, clusters, true);
    if (action == "DeleteDBInstance") instances.at(instance).status = "deleting";
    if (action == "DeleteDBCluster") clusters.at(cluster).status = "deleting";
    return Ok(action, "");
  }
};

rds::StoredSnapshot Stored(bool of_cluster) {
  rds::StoredSnapshot snapshot;
  snapshot.region = "eu-central-1";
  snapshot.id = "monday";
  snapshot.of = "orders";
  snapshot.of_cluster = of_cluster;
  snapshot.status = "available";
  snapshot.engine = of_cluster ? "aurora-postgresql" : "postgres";
  return snapshot;
}

rds::TemporaryShape Shape() {
  rds::TemporaryShape shape;
  shape.id = "lifeboat-verify-0123456789ab";
  shape.instance_class = "db.t4g.medium";
  return shape;
}

const Seen* Find(const FakeAws& aws, const std::string& operation) {
  for (const Seen& each : aws.seen) {
    if (each.operation == operation) return &each;
  }
  return nullptr;
}

TEST(RdsSnapshots, ARestoreBearsOurNameAndTagIsWaitedForAndIsDeletedWithoutAFinalSnapshot) {
  FakeRds rds;
  auto restores = rds.Restores();
  const auto made = rds.aws.Run(restores.Make(Stored(false), Shape()));
  ASSERT_TRUE(made.ok()) << made.error().Text();
  EXPECT_TRUE(made->available);
  EXPECT_EQ(made->address, "i.example");
  EXPECT_EQ(made->port, 5433u);
  const Seen* restore = Find(rds.aws, "RestoreDBInstanceFromDBSnapshot");
  ASSERT_NE(restore, nullptr);
  EXPECT_EQ(restore->Form("DBSnapshotIdentifier"), "monday");
  EXPECT_EQ(restore->Form("Tags.Tag.1.Key"), rds::kTemporaryTag);
  EXPECT_EQ(restore->Form("Tags.Tag.1.Value"), Shape().id);
  EXPECT_EQ(restore->Form("PubliclyAccessible"), "false");
  EXPECT_EQ(restore->Form("DeletionProtection"), "false");
  const auto removed = rds.aws.Run(restores.Remove("eu-central-1", Shape().id, false));
  ASSERT_TRUE(removed.ok()) << removed.error().Text();
  const Seen* deletion = Find(rds.aws, "DeleteDBInstance");
  ASSERT_NE(deletion, nullptr);
  EXPECT_EQ(deletion->Form("DBInstanceIdentifier"), Shape().id);
  EXPECT_EQ(deletion->Form("SkipFinalSnapshot"), "true");
  EXPECT_EQ(rds.instances.at(Shape().id).status, "deleting");
}

TEST(RdsSnapshots, AClusterGetsAnInstanceAndBothGoAgain) {
  FakeRds rds;
  auto restores = rds.Restores();
  const auto made = rds.aws.Run(restores.Make(Stored(true), Shape()));
  ASSERT_TRUE(made.ok()) << made.error().Text();
  EXPECT_TRUE(made->available);
  EXPECT_EQ(made->address, "c.example");
  EXPECT_EQ(rds.instances.at(Shape().id + "-1").cluster, Shape().id);
  ASSERT_TRUE(rds.aws.Run(restores.Remove("eu-central-1", Shape().id, true)).ok());
  EXPECT_EQ(rds.instances.at(Shape().id + "-1").status, "deleting");
  EXPECT_EQ(rds.clusters.at(Shape().id).status, "deleting");
}

TEST(RdsSnapshots, WhatRdsGivesUpIsNotWaitedForAnyLonger) {
  FakeRds rds;
  rds.ends_as = "incompatible-restore";
  const auto made = rds.aws.Run(rds.Restores().Make(Stored(false), Shape()));
  ASSERT_TRUE(made.ok()) << made.error().Text();
  EXPECT_FALSE(made->available);
  EXPECT_EQ(made->status, "incompatible-restore");
}

TEST(RdsSnapshots, WhatNeverBecomesAvailableIsGivenUpInTimeAndCtrlCEndsTheWaitingAlone) {
  FakeRds slow;
  slow.ends_as = "creating";
  const auto late = slow.aws.Run(slow.Restores().Make(Stored(false), Shape()));
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().retry, Retry::kRetry);
  EXPECT_THAT(late.error().message, HasSubstr("is not available after 2 h 0 min"));

  FakeRds rds;
  rds.ends_as = "creating";
  const std::atomic<bool> cancel = true;
  auto restores = rds.Restores(&cancel);
  EXPECT_EQ(rds.aws.Run(restores.Make(Stored(false), Shape())).error().retry, Retry::kRetry);
  ASSERT_TRUE(rds.aws.Run(restores.Remove("eu-central-1", Shape().id, false)).ok());
  EXPECT_EQ(rds.instances.at(Shape().id).status, "deleting");
}

TEST(RdsSnapshots, ANameThatIsNotOursIsNeverRestoredInto) {
  FakeRds rds;
  rds::TemporaryShape shape = Shape();
  for (const char* name : {"orders", "lifeboat-verify-", ""}) {
    shape.id = name;
    EXPECT_FALSE(rds.aws.Run(rds.Restores().Make(Stored(false), shape)).ok()) << name;
  }
  EXPECT_THAT(rds.aws.seen, IsEmpty());
}

TEST(RdsSnapshots, NothingIsDeletedWithoutNameAndTagTogether) {
  // given databases that come near: by name, by tag, by a copied tag, by use
  const std::string mine = Shape().id;
  std::map<std::string, Thing> near;
  near["orders"] = {"available", "", {{rds::kTemporaryTag, "orders"}}, ""};
  near["lifeboat-verify-untagged"] = {"available", "", {}, ""};
  near["lifeboat-verify-copied"] = {"available", "", {{rds::kTemporaryTag, mine}}, ""};
  near["lifeboat-verify-member"] = {"available", "orders-cluster", {{rds::kTemporaryTag, "lifeboat-verify-member"}}, ""};
  near["lifeboat-verify-source"] = {"available",
                                    "",
                                    {{rds::kTemporaryTag, "lifeboat-verify-source"}},
                                    "<ReadReplicaDBInstanceIdentifiers><R>x</R></ReadReplicaDBInstanceIdentifiers>"};
  for (const auto& [id, thing] : near) {
    FakeRds rds;
    rds.instances[id] = thing;
    const auto removed = rds.aws.Run(rds.Restores().Remove("eu-central-1", id, false));
    ASSERT_FALSE(removed.ok()) << id;
    EXPECT_EQ(removed.error().retry, Retry::kRefused) << id;
    EXPECT_EQ(rds.aws.CountOf("DeleteDBInstance"), 0u) << id;
  }
}

TEST(RdsSnapshots, ASweepRemovesWhatIsOursAndOverAndNothingElse) {
  FakeRds rds;
  const std::int64_t now = rds.aws.clock.Wall().ns / 1000000000;
  const auto ours = [&](const std::string& id, const std::string& until, const std::string& cluster) {
    return Thing{"available", cluster, {{rds::kTemporaryTag, id}, {rds::kTemporaryUntil, until}}, ""};
  };
  rds.instances["lifeboat-verify-over"] = ours("lifeboat-verify-over", std::to_string(now - 1), "");
  rds.instances["lifeboat-verify-inuse"] = ours("lifeboat-verify-inuse", std::to_string(now + 600), "");
  rds.instances["lifeboat-verify-dateless"] = ours("lifeboat-verify-dateless", "tomorrow", "");
  rds.instances["lifeboat-verify-foreign"] = {"available", "", {{rds::kTemporaryUntil, "1"}}, ""};
  rds.instances["orders"] = {"available", "", {{rds::kTemporaryTag, "orders"}, {rds::kTemporaryUntil, "1"}}, ""};
  rds.instances["lifeboat-verify-c-1"] = ours("lifeboat-verify-c-1", "1", "lifeboat-verify-c");
  rds.clusters["lifeboat-verify-c"] = ours("lifeboat-verify-c", "1", "");
  const auto swept = rds.aws.Run(rds.Restores().Sweep("eu-central-1"));
  ASSERT_TRUE(swept.ok()) << swept.error().Text();
  EXPECT_THAT(swept->removed, ElementsAre("lifeboat-verify-c-1", "lifeboat-verify-over", "lifeboat-verify-c"));
  EXPECT_THAT(swept->problems, ElementsAre(HasSubstr("lifeboat-verify-foreign")));
  EXPECT_EQ(rds.instances.at("orders").status, "available");
  EXPECT_EQ(rds.instances.at("lifeboat-verify-inuse").status, "available");
  EXPECT_EQ(rds.instances.at("lifeboat-verify-dateless").status, "available");
}

TEST(RdsSnapshots, TheTimeOfACopyIsThatOfItsData) {
  FakeAws aws;
  aws.answer = [](const Seen& seen) {
    EXPECT_EQ(seen.Form("DBInstanceIdentifier"), "orders");
    return Said{200,
                "<DescribeDBSnapshotsResponse><DescribeDBSnapshotsResult><DBSnapshots><DBSnapshot><DBSnapshotIdentifier>copy</"
                "DBSnapshotIdentifier>"
                "<DBInstanceIdentifier>orders</DBInstanceIdentifier><Status>available</Status><SnapshotType>manual</"
                "SnapshotType><Encrypted>true</Encrypted>"
                "<KmsKeyId>k</KmsKeyId><SnapshotCreateTime>2026-11-23T10:00:00Z</SnapshotCreateTime>"
                "<OriginalSnapshotCreateTime>2026-11-20T10:00:00Z</OriginalSnapshotCreateTime></DBSnapshot></DBSnapshots></"
                "DescribeDBSnapshotsResult></DescribeDBSnapshotsResponse>",
                {},
                {}};
  };
  const auto client = aws.MakeClient();
  const auto listed = aws.Run(rds::ListStoredSnapshots(*client, "eu-central-1", "orders", false, 30s));
  ASSERT_TRUE(listed.ok()) << listed.error().Text();
  ASSERT_EQ(listed->size(), 1u);
  ASSERT_TRUE(listed->front().created);
  EXPECT_THAT(FormatWallTime(*listed->front().created), HasSubstr("2026-11-20T10:00:00"));
  EXPECT_TRUE(listed->front().encrypted);
}

}  // namespace
}  // namespace lifeboat::aws
