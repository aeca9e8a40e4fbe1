#pragma once

// RDS and Aurora: what a failover looks at and asks for. Every call names the region that it is sent to: that is what matters
// most here (a switchover goes to the primary's region, a failover to the target's). RDS's changes are asynchronous: an answer
// says that the work was taken on, never that it is done.
// Thread rule: as Client.
// @source RDS API reference, 2014-10-31

#include <optional>
#include <string>
#include <vector>

#include "adapters/aws/client.h"

namespace lifeboat::aws::rds {

struct GlobalMember {
  std::string cluster_arn;
  bool is_writer = false;
  std::vector<std::string> reader_arns;  ///< of a writer: the clusters that follow it
  std::string synchronization;           ///< "connected", "pending-resync"
};

/// What goes on with a global cluster; absent when nothing does.
struct FailoverState {
  std::string status;  ///< "pending", "switching-over", "failing-over", "cancelling"
  std::string from_arn;
  std::string to_arn;
  bool data_loss_allowed = false;
};

struct GlobalCluster {
  std::string id;
  std::string arn;
  std::string status;  ///< "available", "switching-over", "failing-over", …
  std::string engine;
  std::string engine_version;
  std::string endpoint;  ///< the writer's, of the whole; empty: it has none
  std::vector<GlobalMember> members;
  std::optional<FailoverState> failover;
};

struct ClusterInstance {
  std::string id;
  bool is_writer = false;
};

struct DbCluster {
  std::string id;
  std::string arn;
  std::string status;
  std::string engine;
  std::string engine_version;
  std::string endpoint;
  std::string reader_endpoint;
  std::uint64_t port = 0;
  std::string kms_key;
  std::string parameter_group;
  std::vector<ClusterInstance> instances;  ///< empty: headless, it cannot be promoted
  double serverless_most = 0;              ///< capacity units that a serverless instance may grow to; 0: none is set
};

struct DbInstance {
  std::string id;
  std::string arn;
  std::string status;
  std::string instance_class;
  std::string engine;
  std::string engine_version;
  std::string cluster_id;
  std::string address;
  std::uint64_t port = 0;
  std::string replica_of;             ///< id or ARN of its source; empty: it is no replica
  std::vector<std::string> replicas;  ///< ids, or ARNs in other regions
  std::uint64_t backup_days = 0;
  bool multi_az = false;
  std::string kms_key;
  std::string subnet_group;
  std::string parameter_group;
  std::vector<std::string> security_groups;
};

struct Snapshot {
  std::string id;
  std::string arn;
  std::string of;  ///< the instance or cluster
  std::string status;
  std::string type;  ///< "automated", "manual", …
  std::string engine_version;
  std::string kms_key;
  std::optional<WallTime> created;
  std::uint64_t progress = 0;  ///< percent
};

struct Event {
  std::string source;
  std::string source_type;
  std::string message;
  std::vector<std::string> categories;
  std::optional<WallTime> at;
};

/// @error kNotFound
Task<Result<GlobalCluster>> DescribeGlobalCluster(Client& client, std::string region, std::string id, Duration timeout);
/// `id`: an id, or an ARN of that region. @error kNotFound
Task<Result<DbCluster>> DescribeDbCluster(Client& client, std::string region, std::string id, Duration timeout);
Task<Result<DbInstance>> DescribeDbInstance(Client& client, std::string region, std::string id, Duration timeout);
/// All instances of a cluster.
Task<Result<std::vector<DbInstance>>> DescribeInstancesOf(Client& client, std::string region, std::string cluster_id,
                                                          Duration timeout);

/// Without loss, or not at all: there is no parameter in this request that allows any.
/// @param region the PRIMARY's @error kRefused: its state forbids it; kUnknownOutcome: look at the global cluster
Task<Result<GlobalCluster>> SwitchoverGlobalCluster(Client& client, std::string region, std::string id, std::string target_arn,
                                                    Duration timeout);
/// Loses what the target has not received. @param region the TARGET's
Task<Result<GlobalCluster>> FailoverGlobalClusterAllowDataLoss(Client& client, std::string region, std::string id,
                                                               std::string target_arn, Duration timeout);
/// Detaches a member: a secondary becomes a cluster of its own that takes writes, and nothing stops the old primary.
Task<Result<Unit>> RemoveFromGlobalCluster(Client& client, std::string region, std::string id, std::string cluster_arn,
                                           Duration timeout);

/// Irreversible. @param region the replica's
Task<Result<DbInstance>> PromoteReadReplica(Client& client, std::string region, std::string id, std::uint64_t backup_days,
                                            Duration timeout);

struct ReadReplica {
  std::string id;
  std::string source_arn;  ///< of another region's: an ARN
  std::string instance_class;
  std::string subnet_group;
  std::string parameter_group;
  std::string kms_key;  ///< of this region; needed when the source is encrypted
  std::vector<std::string> security_groups;
  bool multi_az = false;
};
/// @param region where the replica is to be. Not between the regions of GovCloud or China: those want a presigned URL besides
Task<Result<DbInstance>> CreateReadReplica(Client& client, std::string region, ReadReplica replica, Duration timeout);

/// @param of an instance, or empty for all
Task<Result<std::vector<Snapshot>>> DescribeDbSnapshots(Client& client, std::string region, std::string of, Duration timeout);
/// @param of a cluster, or empty for all
Task<Result<std::vector<Snapshot>>> DescribeClusterSnapshots(Client& client, std::string region, std::string of, Duration timeout);
/// Within one region. @error kRefused: the target's name is taken, or the source is not whole yet
Task<Result<Snapshot>> CopyClusterSnapshot(Client& client, std::string region, std::string source, std::string target,
                                           Duration timeout);

/// All events of a kind ("db-cluster", "db-instance") since `from`, oldest first; at most 14 days back.
Task<Result<std::vector<Event>>> DescribeEvents(Client& client, std::string region, std::string source_type, WallTime from,
                                                Duration timeout);

/// "eu-west-1" of "arn:aws:rds:eu-west-1:123456789012:cluster:orders"; empty: it is no ARN.
[[nodiscard]] std::string RegionOfArn(const std::string& arn);
/// "orders" of the same.
[[nodiscard]] std::string NameOfArn(const std::string& arn);

}  // namespace lifeboat::aws::rds
