#include "adapters/aws/rds_restore.h"

#include <algorithm>
#include <charconv>

#include "adapters/aws/http_date.h"
#include "adapters/aws/protocol.h"

namespace lifeboat::aws::rds {

namespace {

constexpr QueryService kService{"rds", "2014-10-31"};
constexpr int kPageSize = 100;
constexpr int kMostPages = 100;

std::uint64_t NumberIn(const XmlNode& node) {
  std::uint64_t value = 0;
  (void)std::from_chars(node.text.data(), node.text.data() + node.text.size(), value);
  return value;
}

Task<Result<XmlNode>> Ask(Client& client, std::string region, std::string action, QueryParameters parameters, Effect effect,
                          Duration timeout) {
  Call call = QueryCall(kService, std::move(region), action, parameters, effect);
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  Result<XmlNode> result = QueryResult(*reply, action);
  if (!result) co_return Unreadable(effect, result.error());
  co_return result;
}

/// The elements of `list` through all pages.
Task<Result<std::vector<XmlNode>>> Collect(Client& client, std::string region, std::string action, QueryParameters parameters,
                                           std::string list, Duration timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  std::vector<XmlNode> found;
  std::string marker;
  for (int page = 0; page < kMostPages; ++page) {
    QueryParameters one = parameters;
    one.Number("MaxRecords", kPageSize).Text("Marker", marker);
    const Duration left = end - std::chrono::steady_clock::now();
    if (left <= 0ns) co_return RetryLater("'" + action + "' was not answered whole within " + FormatDuration(timeout));
    Result<XmlNode> result = co_await Ask(client, region, action, std::move(one), Effect::kReads, left);
    if (!result) co_return result.error();
    const XmlNode& elements = (*result)[list];
    found.insert(found.end(), elements.children.begin(), elements.children.end());
    marker = (*result)["Marker"].text;
    if (marker.empty()) co_return found;
  }
  co_return Fail("'" + action + "' has more pages than can be");
}

StoredSnapshot SnapshotFrom(const XmlNode& node, const std::string& region, bool of_cluster) {
  StoredSnapshot snapshot;
  snapshot.region = region;
  snapshot.of_cluster = of_cluster;
  snapshot.id = node[of_cluster ? "DBClusterSnapshotIdentifier" : "DBSnapshotIdentifier"].text;
  snapshot.arn = node[of_cluster ? "DBClusterSnapshotArn" : "DBSnapshotArn"].text;
  snapshot.of = node[of_cluster ? "DBClusterIdentifier" : "DBInstanceIdentifier"].text;
  snapshot.status = node["Status"].text;
  snapshot.type = node["SnapshotType"].text;
  snapshot.engine = node["Engine"].text;
  snapshot.engine_version = node["EngineVersion"].text;
  snapshot.encrypted = node[of_cluster ? "StorageEncrypted" : "Encrypted"].text == "true";
  snapshot.kms_key = node["KmsKeyId"].text;
  snapshot.copied_from = node[of_cluster ? "SourceDBClusterSnapshotArn" : "SourceDBSnapshotIdentifier"].text;
  // The time at which a copy was made says nothing of the age of its data.
  const std::optional<WallTime> original = ParseTimestamp(node["OriginalSnapshotCreateTime"].text);
  if (original) snapshot.created = original;
  if (!original && snapshot.copied_from.empty()) snapshot.created = ParseTimestamp(node["SnapshotCreateTime"].text);
  snapshot.user = node["MasterUsername"].text;
  snapshot.port = NumberIn(node["Port"]);
  snapshot.gib = NumberIn(node["AllocatedStorage"]);
  return snapshot;
}

Tagged TaggedFrom(const XmlNode& node, bool is_cluster) {
  Tagged one;
  one.is_cluster = is_cluster;
  one.id = node[is_cluster ? "DBClusterIdentifier" : "DBInstanceIdentifier"].text;
  one.status = node[is_cluster ? "Status" : "DBInstanceStatus"].text;
  one.engine = node["Engine"].text;
  one.cluster = is_cluster ? "" : node["DBClusterIdentifier"].text;
  one.address = is_cluster ? node["Endpoint"].text : node["Endpoint"]["Address"].text;
  one.port = NumberIn(is_cluster ? node["Port"] : node["Endpoint"]["Port"]);
  for (const XmlNode& member : node["DBClusterMembers"].children) one.instances.push_back(member["DBInstanceIdentifier"].text);
  one.linked = !node["ReadReplicaSourceDBInstanceIdentifier"].text.empty() ||
               !node["ReadReplicaDBInstanceIdentifiers"].children.empty() || !node["ReplicationSourceIdentifier"].text.empty() ||
               !node["ReadReplicaIdentifiers"].children.empty() || !node["GlobalClusterIdentifier"].text.empty();
  for (const XmlNode& tag : node["TagList"].children) one.tags.push_back({tag["Key"].text, tag["Value"].text});
  return one;
}

bool IsOurName(const std::string& id) {
  return id.starts_with(kTemporaryPrefix) && id.size() > std::string_view(kTemporaryPrefix).size();
}

/// What every temporary thing is made with.
void AddCommon(QueryParameters& parameters, const TemporaryShape& shape) {
  parameters.Flag("DeletionProtection", false)
      .Flag("CopyTagsToSnapshot", false)
      .Text("Tags.Tag.1.Key", kTemporaryTag)
      .Text("Tags.Tag.1.Value", shape.id)
      .Text("Tags.Tag.2.Key", kTemporaryUntil)
      .Text("Tags.Tag.2.Value", std::to_string(shape.until.ns / 1000000000));
}

Task<Result<Unit>> Make(Client& client, std::string region, std::string action, QueryParameters parameters, std::string id,
                        Duration timeout) {
  // SAFETY: under another name it could not be told from somebody's database when it is to be deleted.
  if (!IsOurName(id))
    co_return Fail("'" + id + "' is no name of something temporary", "it begins with '" + std::string(kTemporaryPrefix) + "'");
  Result<XmlNode> result =
      co_await Ask(client, std::move(region), std::move(action), std::move(parameters), Effect::kOnce, timeout);
  if (!result) co_return result.error();
  co_return Done();
}

}  // namespace

std::string Tagged::TagOf(const std::string& key) const {
  for (const Tag& tag : tags) {
    if (tag.key == key) return tag.value;
  }
  return {};
}

Task<Result<std::vector<StoredSnapshot>>> ListStoredSnapshots(Client& client, std::string region, std::string of, bool of_cluster,
                                                              Duration timeout) {
  QueryParameters parameters;
  parameters.Text(of_cluster ? "DBClusterIdentifier" : "DBInstanceIdentifier", of);
  std::string action = of_cluster ? "DescribeDBClusterSnapshots" : "DescribeDBSnapshots";
  std::string list = of_cluster ? "DBClusterSnapshots" : "DBSnapshots";
  Result<std::vector<XmlNode>> nodes =
      co_await Collect(client, region, std::move(action), std::move(parameters), std::move(list), timeout);
  std::vector<StoredSnapshot> snapshots;
  // Some say that there is no such instance, where they mean that it has no snapshot.
  if (!nodes && nodes.error().retry == Retry::kNotFound) co_return snapshots;
  if (!nodes) co_return nodes.error();
  for (const XmlNode& node : *nodes) {
    StoredSnapshot snapshot = SnapshotFrom(node, region, of_cluster);
    if (snapshot.of == of) snapshots.push_back(std::move(snapshot));
  }
  co_return snapshots;
}

Task<Result<Tagged>> LookAt(Client& client, std::string region, std::string id, bool is_cluster, Duration timeout) {
  QueryParameters parameters;
  parameters.Text(is_cluster ? "DBClusterIdentifier" : "DBInstanceIdentifier", id);
  std::string action = is_cluster ? "DescribeDBClusters" : "DescribeDBInstances";
  Result<XmlNode> result =
      co_await Ask(client, std::move(region), std::move(action), std::move(parameters), Effect::kReads, timeout);
  if (!result) co_return result.error();
  for (const XmlNode& node : (*result)[is_cluster ? "DBClusters" : "DBInstances"].children) {
    Tagged one = TaggedFrom(node, is_cluster);
    if (one.id == id) co_return one;
  }
  co_return NotFound("there is no '" + id + "'");
}

Task<Result<std::vector<Tagged>>> ListTagged(Client& client, std::string region, bool clusters, Duration timeout) {
  std::string action = clusters ? "DescribeDBClusters" : "DescribeDBInstances";
  std::string list = clusters ? "DBClusters" : "DBInstances";
  QueryParameters none;
  Result<std::vector<XmlNode>> nodes =
      co_await Collect(client, std::move(region), std::move(action), std::move(none), std::move(list), timeout);
  if (!nodes) co_return nodes.error();
  std::vector<Tagged> all;
  for (const XmlNode& node : *nodes) all.push_back(TaggedFrom(node, clusters));
  co_return all;
}

Task<Result<Unit>> RestoreInstance(Client& client, std::string region, StoredSnapshot snapshot, TemporaryShape shape,
                                   Duration timeout) {
  QueryParameters parameters;
  parameters.Text("DBInstanceIdentifier", shape.id)
      .Text("DBSnapshotIdentifier", snapshot.id)
      .Text("DBInstanceClass", shape.instance_class)
      .Text("DBSubnetGroupName", shape.subnet_group)
      .Text("DBParameterGroupName", shape.parameter_group)
      .List("VpcSecurityGroupIds.VpcSecurityGroupId", shape.security_groups)
      .Flag("MultiAZ", false)
      .Flag("PubliclyAccessible", false);
  AddCommon(parameters, shape);
  co_return co_await Make(client, std::move(region), "RestoreDBInstanceFromDBSnapshot", std::move(parameters), shape.id, timeout);
}

Task<Result<Unit>> RestoreCluster(Client& client, std::string region, StoredSnapshot snapshot, TemporaryShape shape,
                                  Duration timeout) {
  QueryParameters parameters;
  parameters.Text("DBClusterIdentifier", shape.id)
      .Text("SnapshotIdentifier", snapshot.id)
      .Text("Engine", snapshot.engine)
      .Text("EngineVersion", snapshot.engine_version)
      .Text("DBSubnetGroupName", shape.subnet_group)
      .Text("DBClusterParameterGroupName", shape.parameter_group)
      .List("VpcSecurityGroupIds.VpcSecurityGroupId", shape.security_groups);
  AddCommon(parameters, shape);
  co_return co_await Make(client, std::move(region), "RestoreDBClusterFromSnapshot", std::move(parameters), shape.id, timeout);
}

Task<Result<Unit>> MakeInstance(Client& client, std::string region, std::string cluster, std::string engine, TemporaryShape shape,
                                Duration timeout) {
  QueryParameters parameters;
  parameters.Text("DBInstanceIdentifier", shape.id)
      .Text("DBClusterIdentifier", cluster)
      .Text("DBInstanceClass", shape.instance_class)
      .Text("Engine", engine)
      .Flag("PubliclyAccessible", false)
      .Text("Tags.Tag.1.Key", kTemporaryTag)
      .Text("Tags.Tag.1.Value", shape.id)
      .Text("Tags.Tag.2.Key", kTemporaryUntil)
      .Text("Tags.Tag.2.Value", std::to_string(shape.until.ns / 1000000000));
  co_return co_await Make(client, std::move(region), "CreateDBInstance", std::move(parameters), shape.id, timeout);
}

Result<OurOwn> OurOwn::Prove(const Tagged& seen) {
  const std::string what = std::string(seen.is_cluster ? "cluster" : "instance") + " '" + seen.id + "'";
  // SAFETY: name and tag, both: either alone may have come to somebody's database by chance or by a copy.
  if (!IsOurName(seen.id)) return Refused(what + " does not bear a name of ours, and is not deleted");
  if (seen.TagOf(kTemporaryTag) != seen.id) return Refused(what + " does not bear our tag with its own name, and is not deleted");
  if (!seen.cluster.empty() && !IsOurName(seen.cluster))
    return Refused(what + " is part of cluster '" + seen.cluster + "', and is not deleted");
  if (seen.linked) return Refused(what + " replicates, or is replicated: somebody uses it, and it is not deleted");
  return OurOwn(seen.id, seen.is_cluster);
}

Task<Result<Unit>> Delete(Client& client, std::string region, OurOwn what, Duration timeout) {
  QueryParameters parameters;
  // SAFETY: no final snapshot: `what` is proven to be a copy that was made from a snapshot here.
  parameters.Text(what.is_cluster() ? "DBClusterIdentifier" : "DBInstanceIdentifier", what.id())
      .Flag("SkipFinalSnapshot", true)
      .Flag("DeleteAutomatedBackups", true);
  const std::string action = what.is_cluster() ? "DeleteDBCluster" : "DeleteDBInstance";
  Call call = QueryCall(kService, std::move(region), action, parameters, Effect::kRepeatable);
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply && reply.error().retry == Retry::kNotFound) co_return Done();
  if (!reply) co_return reply.error();
  co_return Done();
}

}  // namespace lifeboat::aws::rds
