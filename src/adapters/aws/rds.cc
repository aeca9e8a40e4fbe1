#include "adapters/aws/rds.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

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

std::vector<std::string> TextsIn(const XmlNode& list) {
  std::vector<std::string> texts;
  for (const XmlNode& node : list.children) texts.push_back(node.text);
  return texts;
}

GlobalCluster GlobalClusterFrom(const XmlNode& node) {
  GlobalCluster cluster;
  cluster.id = node["GlobalClusterIdentifier"].text;
  cluster.arn = node["GlobalClusterArn"].text;
  cluster.status = node["Status"].text;
  cluster.engine = node["Engine"].text;
  cluster.engine_version = node["EngineVersion"].text;
  cluster.endpoint = node["Endpoint"].text;
  for (const XmlNode& member : node["GlobalClusterMembers"].children) {
    GlobalMember one;
    one.cluster_arn = member["DBClusterArn"].text;
    one.is_writer = member["IsWriter"].text == "true";
    one.reader_arns = TextsIn(member["Readers"]);
    one.synchronization = member["SynchronizationStatus"].text;
    cluster.members.push_back(std::move(one));
  }
  const XmlNode& failover = node["FailoverState"];
  if (!failover["Status"].text.empty()) {
    cluster.failover = FailoverState{failover["Status"].text, failover["FromDbClusterArn"].text, failover["ToDbClusterArn"].text,
                                     failover["IsDataLossAllowed"].text == "true"};
  }
  return cluster;
}

DbCluster DbClusterFrom(const XmlNode& node) {
  DbCluster cluster;
  cluster.id = node["DBClusterIdentifier"].text;
  cluster.arn = node["DBClusterArn"].text;
  cluster.status = node["Status"].text;
  cluster.engine = node["Engine"].text;
  cluster.engine_version = node["EngineVersion"].text;
  cluster.endpoint = node["Endpoint"].text;
  cluster.reader_endpoint = node["ReaderEndpoint"].text;
  cluster.port = NumberIn(node["Port"]);
  cluster.kms_key = node["KmsKeyId"].text;
  cluster.parameter_group = node["DBClusterParameterGroup"].text;
  cluster.serverless_most = std::strtod(node["ServerlessV2ScalingConfiguration"]["MaxCapacity"].text.c_str(), nullptr);
  for (const XmlNode& member : node["DBClusterMembers"].children) {
    cluster.instances.push_back(ClusterInstance{member["DBInstanceIdentifier"].text, member["IsClusterWriter"].text == "true"});
  }
  return cluster;
}

DbInstance DbInstanceFrom(const XmlNode& node) {
  DbInstance instance;
  instance.id = node["DBInstanceIdentifier"].text;
  instance.arn = node["DBInstanceArn"].text;
  instance.status = node["DBInstanceStatus"].text;
  instance.instance_class = node["DBInstanceClass"].text;
  instance.engine = node["Engine"].text;
  instance.engine_version = node["EngineVersion"].text;
  instance.cluster_id = node["DBClusterIdentifier"].text;
  instance.address = node["Endpoint"]["Address"].text;
  instance.port = NumberIn(node["Endpoint"]["Port"]);
  instance.replica_of = node["ReadReplicaSourceDBInstanceIdentifier"].text;
  instance.replicas = TextsIn(node["ReadReplicaDBInstanceIdentifiers"]);
  instance.backup_days = NumberIn(node["BackupRetentionPeriod"]);
  instance.multi_az = node["MultiAZ"].text == "true";
  instance.kms_key = node["KmsKeyId"].text;
  instance.subnet_group = node["DBSubnetGroup"]["DBSubnetGroupName"].text;
  for (const XmlNode& group : node["DBParameterGroups"].children) instance.parameter_group = group["DBParameterGroupName"].text;
  for (const XmlNode& group : node["VpcSecurityGroups"].children) {
    instance.security_groups.push_back(group["VpcSecurityGroupId"].text);
  }
  return instance;
}

Snapshot SnapshotFrom(const XmlNode& node) {
  const bool of_cluster = node.Has("DBClusterSnapshotIdentifier");
  Snapshot snapshot;
  snapshot.id = node[of_cluster ? "DBClusterSnapshotIdentifier" : "DBSnapshotIdentifier"].text;
  snapshot.arn = node[of_cluster ? "DBClusterSnapshotArn" : "DBSnapshotArn"].text;
  snapshot.of = node[of_cluster ? "DBClusterIdentifier" : "DBInstanceIdentifier"].text;
  snapshot.status = node["Status"].text;
  snapshot.type = node["SnapshotType"].text;
  snapshot.engine_version = node["EngineVersion"].text;
  snapshot.kms_key = node["KmsKeyId"].text;
  snapshot.created = ParseTimestamp(node["SnapshotCreateTime"].text);
  snapshot.progress = NumberIn(node["PercentProgress"]);
  return snapshot;
}

Event EventFrom(const XmlNode& node) {
  return Event{node["SourceIdentifier"].text, node["SourceType"].text, node["Message"].text, TextsIn(node["EventCategories"]),
               ParseTimestamp(node["Date"].text)};
}

/// One call and its result element.
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

template <typename T>
Task<Result<std::vector<T>>> CollectAs(Client& client, std::string region, std::string action, QueryParameters parameters,
                                       std::string list, T (*read)(const XmlNode&), Duration timeout) {
  Result<std::vector<XmlNode>> nodes =
      co_await Collect(client, std::move(region), std::move(action), std::move(parameters), std::move(list), timeout);
  if (!nodes) co_return nodes.error();
  std::vector<T> found;
  for (const XmlNode& node : *nodes) found.push_back(read(node));
  co_return found;
}

/// The one element that an id names.
template <typename T>
Task<Result<T>> TheOne(Client& client, std::string region, std::string action, QueryParameters parameters, std::string list,
                       T (*read)(const XmlNode&), Duration timeout) {
  Result<XmlNode> result = co_await Ask(client, std::move(region), action, std::move(parameters), Effect::kReads, timeout);
  if (!result) co_return result.error();
  const XmlNode& elements = (*result)[list];
  if (elements.children.empty()) co_return NotFound("'" + action + "' found nothing of that name");
  if (elements.children.size() > 1) co_return Fail("'" + action + "' found more than one of that name");
  co_return read(elements.children.front());
}

/// A change that answers with what it works on, in the element `name`.
template <typename T>
Task<Result<T>> Change(Client& client, std::string region, std::string action, QueryParameters parameters, std::string name,
                       T (*read)(const XmlNode&), Duration timeout) {
  Result<XmlNode> result = co_await Ask(client, std::move(region), action, std::move(parameters), Effect::kOnce, timeout);
  if (!result) co_return result.error();
  co_return read((*result)[name]);
}

std::string PartOfArn(const std::string& arn, int part) {
  if (!arn.starts_with("arn:")) return {};
  std::size_t at = 0;
  for (int i = 0; i < part; ++i) {
    at = arn.find(':', at);
    if (at == std::string::npos) return {};
    ++at;
  }
  return part == 6 ? arn.substr(at) : arn.substr(at, arn.find(':', at) - at);
}

std::string IsoTime(WallTime at) {
  const std::string text = FormatWallTime(at);
  return text.substr(0, 19) + "Z";
}

}  // namespace

std::string RegionOfArn(const std::string& arn) { return PartOfArn(arn, 3); }
std::string NameOfArn(const std::string& arn) { return PartOfArn(arn, 6); }

Task<Result<GlobalCluster>> DescribeGlobalCluster(Client& client, std::string region, std::string id, Duration timeout) {
  QueryParameters parameters;
  parameters.Text("GlobalClusterIdentifier", id);
  Result<XmlNode> result =
      co_await Ask(client, std::move(region), "DescribeGlobalClusters", std::move(parameters), Effect::kReads, timeout);
  if (!result) co_return result.error();
  for (const XmlNode& node : (*result)["GlobalClusters"].children) {
    if (Lower(node["GlobalClusterIdentifier"].text) == Lower(id)) co_return GlobalClusterFrom(node);
  }
  co_return NotFound("there is no global cluster '" + id + "'");
}

Task<Result<DbCluster>> DescribeDbCluster(Client& client, std::string region, std::string id, Duration timeout) {
  QueryParameters parameters;
  parameters.Text("DBClusterIdentifier", id);
  co_return co_await TheOne(client, std::move(region), "DescribeDBClusters", std::move(parameters), "DBClusters", &DbClusterFrom,
                            timeout);
}

Task<Result<DbInstance>> DescribeDbInstance(Client& client, std::string region, std::string id, Duration timeout) {
  QueryParameters parameters;
  parameters.Text("DBInstanceIdentifier", id);
  co_return co_await TheOne(client, std::move(region), "DescribeDBInstances", std::move(parameters), "DBInstances", &DbInstanceFrom,
                            timeout);
}

Task<Result<std::vector<DbInstance>>> DescribeInstancesOf(Client& client, std::string region, std::string cluster_id,
                                                          Duration timeout) {
  QueryParameters parameters;
  parameters.Text("Filters.Filter.1.Name", "db-cluster-id").Text("Filters.Filter.1.Values.Value.1", cluster_id);
  co_return co_await CollectAs(client, std::move(region), "DescribeDBInstances", std::move(parameters), "DBInstances",
                               &DbInstanceFrom, timeout);
}

Task<Result<GlobalCluster>> SwitchoverGlobalCluster(Client& client, std::string region, std::string id, std::string target_arn,
                                                    Duration timeout) {
  QueryParameters parameters;
  parameters.Text("GlobalClusterIdentifier", id).Text("TargetDbClusterIdentifier", target_arn);
  // SAFETY: this operation has no member that allows loss; FailoverGlobalCluster, which has, is never sent from here.
  co_return co_await Change(client, std::move(region), "SwitchoverGlobalCluster", std::move(parameters), "GlobalCluster",
                            &GlobalClusterFrom, timeout);
}

Task<Result<GlobalCluster>> FailoverGlobalClusterAllowDataLoss(Client& client, std::string region, std::string id,
                                                               std::string target_arn, Duration timeout) {
  QueryParameters parameters;
  parameters.Text("GlobalClusterIdentifier", id).Text("TargetDbClusterIdentifier", target_arn).Flag("AllowDataLoss", true);
  co_return co_await Change(client, std::move(region), "FailoverGlobalCluster", std::move(parameters), "GlobalCluster",
                            &GlobalClusterFrom, timeout);
}

Task<Result<Unit>> RemoveFromGlobalCluster(Client& client, std::string region, std::string id, std::string cluster_arn,
                                           Duration timeout) {
  QueryParameters parameters;
  parameters.Text("GlobalClusterIdentifier", id).Text("DbClusterIdentifier", cluster_arn);
  Result<XmlNode> result =
      co_await Ask(client, std::move(region), "RemoveFromGlobalCluster", std::move(parameters), Effect::kOnce, timeout);
  if (!result) co_return result.error();
  co_return Done();
}

Task<Result<DbInstance>> PromoteReadReplica(Client& client, std::string region, std::string id, std::uint64_t backup_days,
                                            Duration timeout) {
  QueryParameters parameters;
  parameters.Text("DBInstanceIdentifier", id).Number("BackupRetentionPeriod", static_cast<std::int64_t>(backup_days));
  co_return co_await Change(client, std::move(region), "PromoteReadReplica", std::move(parameters), "DBInstance", &DbInstanceFrom,
                            timeout);
}

Task<Result<DbInstance>> CreateReadReplica(Client& client, std::string region, ReadReplica replica, Duration timeout) {
  QueryParameters parameters;
  parameters.Text("DBInstanceIdentifier", replica.id)
      .Text("SourceDBInstanceIdentifier", replica.source_arn)
      .Text("DBInstanceClass", replica.instance_class)
      .Text("DBSubnetGroupName", replica.subnet_group)
      .Text("DBParameterGroupName", replica.parameter_group)
      .Text("KmsKeyId", replica.kms_key)
      .List("VpcSecurityGroupIds.VpcSecurityGroupId", replica.security_groups)
      .Flag("MultiAZ", replica.multi_az);
  co_return co_await Change(client, std::move(region), "CreateDBInstanceReadReplica", std::move(parameters), "DBInstance",
                            &DbInstanceFrom, timeout);
}

Task<Result<std::vector<Snapshot>>> DescribeDbSnapshots(Client& client, std::string region, std::string of, Duration timeout) {
  QueryParameters parameters;
  parameters.Text("DBInstanceIdentifier", of);
  co_return co_await CollectAs(client, std::move(region), "DescribeDBSnapshots", std::move(parameters), "DBSnapshots",
                               &SnapshotFrom, timeout);
}

Task<Result<std::vector<Snapshot>>> DescribeClusterSnapshots(Client& client, std::string region, std::string of, Duration timeout) {
  QueryParameters parameters;
  parameters.Text("DBClusterIdentifier", of);
  co_return co_await CollectAs(client, std::move(region), "DescribeDBClusterSnapshots", std::move(parameters), "DBClusterSnapshots",
                               &SnapshotFrom, timeout);
}

Task<Result<Snapshot>> CopyClusterSnapshot(Client& client, std::string region, std::string source, std::string target,
                                           Duration timeout) {
  QueryParameters parameters;
  parameters.Text("SourceDBClusterSnapshotIdentifier", source).Text("TargetDBClusterSnapshotIdentifier", target);
  co_return co_await Change(client, std::move(region), "CopyDBClusterSnapshot", std::move(parameters), "DBClusterSnapshot",
                            &SnapshotFrom, timeout);
}

Task<Result<std::vector<Event>>> DescribeEvents(Client& client, std::string region, std::string source_type, WallTime from,
                                                Duration timeout) {
  QueryParameters parameters;
  parameters.Text("SourceType", source_type).Text("StartTime", IsoTime(from));
  Result<std::vector<Event>> events =
      co_await CollectAs(client, std::move(region), "DescribeEvents", std::move(parameters), "Events", &EventFrom, timeout);
  if (events.ok()) {
    std::stable_sort(events->begin(), events->end(),
                     [](const Event& a, const Event& b) { return a.at.value_or(WallTime{}) < b.at.value_or(WallTime{}); });
  }
  co_return events;
}

}  // namespace lifeboat::aws::rds
