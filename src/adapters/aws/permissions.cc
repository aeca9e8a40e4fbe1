#include "adapters/aws/permissions.h"

#include <algorithm>
#include <array>
#include <cstdlib>

namespace lifeboat::aws {

namespace {

using enum PermissionPart;

constexpr std::string_view kCluster = "arn:{partition}:rds:{data_region}:{account}:cluster:{cluster}";
constexpr std::string_view kGlobal = "arn:{partition}:rds::{account}:global-cluster:{global_cluster}";
constexpr std::string_view kGlobalAndCluster =
    "arn:{partition}:rds::{account}:global-cluster:{global_cluster} arn:{partition}:rds:{data_region}:{account}:cluster:{cluster}";
constexpr std::string_view kDb = "arn:{partition}:rds:{data_region}:{account}:db:{instance}";
constexpr std::string_view kZone = "arn:{partition}:route53:::hostedzone/{zone}";
constexpr std::string_view kTable = "arn:{partition}:dynamodb:{store_region}:{account}:table/{table}";
constexpr std::string_view kGroup =
    "arn:{partition}:autoscaling:{data_region}:{account}:autoScalingGroup:*:autoScalingGroupName/{group}";
constexpr std::string_view kEcsService = "arn:{partition}:ecs:{data_region}:{account}:service/{ecs_service}";
constexpr std::string_view kNodeGroup = "arn:{partition}:eks:{data_region}:{account}:nodegroup/{node_group}/*";
constexpr std::string_view kTemporaryDb = "arn:{partition}:rds:*:{account}:db:lifeboat-verify-*";
constexpr std::string_view kTemporaryCluster = "arn:{partition}:rds:*:{account}:cluster:lifeboat-verify-*";
constexpr std::string_view kRestoredDb =
    "arn:{partition}:rds:*:{account}:db:lifeboat-verify-* arn:{partition}:rds:*:{account}:snapshot:* "
    "arn:{partition}:rds:*:{account}:subgrp:* "
    "arn:{partition}:rds:*:{account}:pg:* arn:{partition}:rds:*:{account}:og:*";
constexpr std::string_view kRestoredCluster =
    "arn:{partition}:rds:*:{account}:cluster:lifeboat-verify-* arn:{partition}:rds:*:{account}:cluster-snapshot:* "
    "arn:{partition}:rds:*:{account}:subgrp:* arn:{partition}:rds:*:{account}:cluster-pg:* arn:{partition}:rds:*:{account}:og:*";
constexpr std::string_view kOwnLease = R"({"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["{service}"]}})";
constexpr std::string_view kByS3 = R"({"StringLike": {"kms:ViaService": "s3.*.amazonaws.com"}})";
constexpr std::string_view kForRds = R"({"Bool": {"kms:GrantIsForAWSResource": "true"}})";

// part, action, operations, step, why, resources, condition
constexpr Permission kPermissions[] = {
    {kAurora, "rds:DescribeGlobalClusters", "DescribeGlobalClusters", "every look",
     "Who the writer is, and how far a move has come.", "*", ""},
    {kAurora, "rds:DescribeDBClusters", "DescribeDBClusters", "every look",
     "State, version and instances of the region's own cluster.", "*", ""},
    {kAurora, "rds:DescribeDBInstances", "DescribeDBInstances", "check",
     "Whether a secondary has an instance: without one it cannot take over.", "*", ""},
    {kAurora, "rds:DescribeEvents", "DescribeEvents", "after a failover", "AWS's word on whether the old writer was fenced.", "*",
     ""},
    {kAurora, "rds:DescribeDBClusterSnapshots", "DescribeDBClusterSnapshots", "after a failover",
     "Finds AWS's snapshot of the writes that were lost.", "*", ""},
    {kAurora, "rds:CopyDBClusterSnapshot", "CopyDBClusterSnapshot", "after a failover",
     "Keeps that snapshot, which goes with the old cluster's retention.",
     "arn:{partition}:rds:{data_region}:{account}:cluster-snapshot:*", ""},
    {kAurora, "rds:AddTagsToResource", "", "after a failover", "Asked for beside the copy, where the snapshot bears tags.",
     "arn:{partition}:rds:{data_region}:{account}:cluster-snapshot:*", ""},
    {kAurora, "rds:SwitchoverGlobalCluster", "SwitchoverGlobalCluster", "switchover, failback", "Moves the writer without loss.",
     kGlobalAndCluster, ""},
    {kAurora, "rds:FailoverGlobalCluster", "FailoverGlobalCluster", "failover", "Moves the writer; what was not received is lost.",
     kGlobalAndCluster, ""},
    {kAurora, "rds:RemoveFromGlobalCluster", "RemoveFromGlobalCluster", "detach",
     "Detach-and-promote, where AWS refuses a failover. Leave it out to forbid that.", kGlobalAndCluster, ""},
    {kAurora, "cloudwatch:GetMetricData", "GetMetricData", "every minute", "Lag of the secondary: what a failover would lose.", "*",
     ""},
    {kAurora, "rds:DescribePendingMaintenanceActions", "DescribePendingMaintenanceActions", "check",
     "Whether patches could drift apart, which forbids moves.", kCluster, ""},
    {kAurora, "kms:DescribeKey", "DescribeKey", "check", "Whether the key of the database could be used.",
     "arn:{partition}:kms:{data_region}:{account}:key/*", ""},

    {kRdsReplica, "rds:DescribeDBInstances", "DescribeDBInstances", "every look",
     "State, source and version of the region's own instance.", "*", ""},
    {kRdsReplica, "rds:PromoteReadReplica", "PromoteReadReplica", "failover",
     "Makes the replica a primary; it cannot be taken back.", kDb, ""},
    {kRdsReplica, "rds:CreateDBInstanceReadReplica", "CreateDBInstanceReadReplica", "rejoin",
     "Builds a replica in the region that was lost.",
     "arn:{partition}:rds:{data_region}:{account}:db:* arn:{partition}:rds:{data_region}:{account}:subgrp:* "
     "arn:{partition}:rds:{data_region}:{account}:pg:* "
     "arn:{partition}:rds:{data_region}:{account}:og:*",
     ""},
    {kRdsReplica, "kms:CreateGrant", "", "rejoin", "RDS asks for it beside a replica of an encrypted source.",
     "arn:{partition}:kms:{data_region}:{account}:key/*", kForRds},
    {kRdsReplica, "rds:DescribeDBInstanceAutomatedBackups", "DescribeDBInstanceAutomatedBackups", "check",
     "Whether another region keeps a copy, and its restore window.", "*", ""},
    {kRdsReplica, "cloudwatch:GetMetricData", "GetMetricData", "every minute", "Lag of the replica.", "*", ""},
    {kRdsReplica, "rds:DescribePendingMaintenanceActions", "DescribePendingMaintenanceActions", "check",
     "Whether patches could drift apart, which forbids moves.", kDb, ""},
    {kRdsReplica, "kms:DescribeKey", "DescribeKey", "check",
     "Whether the keys of the database, and of the copies of its automated backups, could be used.",
     "arn:{partition}:kms:*:{account}:key/*", ""},

    {kStandbyTakesOver, "s3:GetObject", "GetObject", "route, every look",
     "Whether the object that the health check looks at is there.", "arn:{partition}:s3:::{marker}", ""},
    {kStandbyTakesOver, "s3:PutObject", "PutObject", "route", "Writes it, with a condition: it takes over, or rests.",
     "arn:{partition}:s3:::{marker}", ""},
    {kStandbyTakesOver, "s3:ListBucket", "", "route, check",
     "So that an object that is not there is answered as such (404, not 403).", "arn:{partition}:s3:::{marker_bucket}", ""},
    {kStandbyTakesOver, "route53:ListResourceRecordSets", "ListResourceRecordSets", "check",
     "Records, TTL and checks of the name; never on the way of a failover.", kZone, ""},
    {kStandbyTakesOver, "route53:GetHealthCheck", "GetHealthCheck", "check", "Inverted, disabled, interval × threshold.",
     "arn:{partition}:route53:::healthcheck/*", ""},
    {kStandbyTakesOver, "route53:GetHealthCheckStatus", "GetHealthCheckStatus", "check", "What the checkers see now.",
     "arn:{partition}:route53:::healthcheck/*", ""},

    {kRoutingControl, "route53-recovery-cluster:GetRoutingControlState", "GetRoutingControlState", "route, every look",
     "Which region's control is on.", "{routing_control}", ""},
    {kRoutingControl, "route53-recovery-cluster:UpdateRoutingControlStates", "UpdateRoutingControlStates", "route",
     "One on, the others off, in one request; never by overriding a safety rule.", "{routing_control}", ""},
    {kRoutingControl, "route53:ListResourceRecordSets", "ListResourceRecordSets", "check",
     "Records, TTL and checks of the name; never on the way of a failover.", kZone, ""},
    {kRoutingControl, "route53:GetHealthCheck", "GetHealthCheck", "check", "Whether a record's check follows a routing control.",
     "arn:{partition}:route53:::healthcheck/*", ""},

    {kRecords, "route53:ListResourceRecordSets", "ListResourceRecordSets", "route, check",
     "The records as they are: a change says what it replaces.", kZone, ""},
    {kRecords, "route53:ChangeResourceRecordSets", "ChangeResourceRecordSets", "route", "The change; it depends on us-east-1.",
     kZone, R"({"ForAllValues:StringEquals": {"route53:ChangeResourceRecordSetsActions": ["CREATE", "UPSERT", "DELETE"]}})"},
    {kRecords, "route53:GetHealthCheck", "GetHealthCheck", "check", "Checks under the records.",
     "arn:{partition}:route53:::healthcheck/*", ""},
    {kRecords, "route53:GetHealthCheckStatus", "GetHealthCheckStatus", "check", "What the checkers see now.",
     "arn:{partition}:route53:::healthcheck/*", ""},

    {kAutoScaling, "autoscaling:DescribeAutoScalingGroups", "DescribeAutoScalingGroups", "compute, every look",
     "Sizes, and how many are in service.", "*", ""},
    {kAutoScaling, "autoscaling:UpdateAutoScalingGroup", "UpdateAutoScalingGroup", "compute, rejoin",
     "More capacity in the region that takes over; back to what it was in the rejoin.", kGroup, ""},
    {kAutoScaling, "autoscaling:DescribeScalingActivities", "DescribeScalingActivities", "compute", "Why instances do not come.",
     "*", ""},
    {kEcs, "ecs:DescribeServices", "DescribeServices", "compute, every look", "Wanted and running tasks.", kEcsService, ""},
    {kEcs, "ecs:UpdateService", "UpdateService", "compute, rejoin", "More tasks; back to what it was in the rejoin.", kEcsService,
     ""},
    {kEcs, "application-autoscaling:DescribeScalableTargets", "DescribeScalableTargets", "compute",
     "Bounds that would take a change back.", "*", ""},
    {kEcs, "application-autoscaling:RegisterScalableTarget", "RegisterScalableTarget", "compute, rejoin",
     "Raises the lower bound with the tasks; back in the rejoin.",
     "arn:{partition}:application-autoscaling:{data_region}:{account}:scalable-target/*", ""},
    {kEks, "eks:DescribeNodegroup", "DescribeNodegroup", "compute, every look", "Sizes and state.", kNodeGroup, ""},
    {kEks, "eks:UpdateNodegroupConfig", "UpdateNodegroupConfig", "compute, rejoin",
     "More nodes; back to what it was in the rejoin.", kNodeGroup, ""},
    {kEks, "autoscaling:DescribeAutoScalingGroups", "DescribeAutoScalingGroups", "compute, every look",
     "The groups under the node group: how many nodes are in service.", "*", ""},
    {kTargetGroups, "elasticloadbalancing:DescribeTargetHealth", "DescribeTargetHealth", "compute",
     "Whether clients are sent there: the load balancer's word counts, not the scaling call's.", "*", ""},

    {kObjects, "s3:GetReplicationConfiguration", "GetBucketReplication", "check", "Rule on, prefix covered, delete markers.",
     "arn:{partition}:s3:::{bucket}", ""},
    {kObjects, "s3:GetBucketVersioning", "GetBucketVersioning", "check", "Replication needs versions on both sides.",
     "arn:{partition}:s3:::{bucket}", ""},
    {kObjects, "s3:GetEncryptionConfiguration", "GetBucketEncryption", "check",
     "Objects under a KMS key are copied only where the rule says so.", "arn:{partition}:s3:::{bucket}", ""},
    {kObjects, "s3:GetObject", "GetObject HeadObject", "canary", "Status and arrival of the canary object.",
     "arn:{partition}:s3:::{bucket}/*", ""},
    {kObjects, "s3:PutObject", "PutObject", "canary", "Writes it.", "arn:{partition}:s3:::{bucket}/*", ""},
    {kObjects, "s3:ListBucket", "", "canary", "So that an object that is not there is answered as such.",
     "arn:{partition}:s3:::{bucket}", ""},
    {kObjects, "kms:GenerateDataKey", "", "canary", "Asked for beside the put, where the bucket is under a key of KMS.",
     "arn:{partition}:kms:{data_region}:{account}:key/*", kByS3},
    {kObjects, "kms:Decrypt", "", "canary", "The same beside the reading.", "arn:{partition}:kms:{data_region}:{account}:key/*",
     kByS3},
    {kObjects, "cloudwatch:GetMetricData", "GetMetricData", "check", "Pending and failed operations of the rule.", "*", ""},
    {kAccessPoint, "s3:GetMultiRegionAccessPointRoutes", "GetMultiRegionAccessPointRoutes", "route, check",
     "Which regions take requests.", "{access_point}", ""},
    {kAccessPoint, "s3:SubmitMultiRegionAccessPointRoutes", "SubmitMultiRegionAccessPointRoutes", "route",
     "Sends them to the region that takes over.", "{access_point}", ""},

    {kSns, "sns:Publish", "Publish", "notify", "Tells people.", "{topic}", ""},
    {kSns, "sns:GetTopicAttributes", "GetTopicAttributes", "check", "Whether the topic is there and has subscribers.", "{topic}",
     ""},
    {kEventBridge, "events:PutEvents", "PutEvents", "notify", "Tells other systems.",
     "arn:{partition}:events:{notice_region}:{account}:event-bus/{event_bus}", ""},
    {kEventBridge, "events:DescribeEventBus", "DescribeEventBus", "check", "Whether the bus is there.",
     "arn:{partition}:events:{notice_region}:{account}:event-bus/{event_bus}", ""},
    {kEventBridge, "events:ListRules", "ListRules", "check", "Whether anybody listens.", "*", ""},
    {kAlarms, "cloudwatch:DescribeAlarms", "DescribeAlarms", "every look", "The alarms that count as votes.", "*", ""},
    {kHooks, "lambda:InvokeFunction", "Invoke", "hooks", "Calls the function.",
     "arn:{partition}:lambda:{data_region}:{account}:function:{function}", ""},
    {kHooks, "lambda:GetFunctionConfiguration", "GetFunctionConfiguration", "check",
     "Whether it is there, active, and how long it may run.", "arn:{partition}:lambda:{data_region}:{account}:function:{function}",
     ""},

    {kSecrets, "secretsmanager:DescribeSecret", "DescribeSecret", "check",
     "Whether a secret stands in every region, and is current; never what is in it.",
     "arn:{partition}:secretsmanager:{data_region}:{account}:secret:{secret}-*", ""},
    {kSecrets, "kms:DescribeKey", "DescribeKey", "check", "Whether its key could be used.",
     "arn:{partition}:kms:{data_region}:{account}:key/*", ""},

    {kStore, "dynamodb:GetItem", "GetItem", "always", "Reads the lease, strongly consistent.", kTable, kOwnLease},
    {kStore, "dynamodb:PutItem", "PutItem", "always", "Takes and renews it, by conditional writes.", kTable, kOwnLease},
    {kStore, "dynamodb:DeleteItem", "DeleteItem", "always", "Removes what was replaced.", kTable, kOwnLease},
    {kStore, "dynamodb:Query", "Query", "always", "Lists executions.", kTable, kOwnLease},
    {kStore, "dynamodb:DescribeTable", "DescribeTable", "start, check", "Replicas, consistency and identity of the table.", kTable,
     ""},

    {kCheck, "servicequotas:GetServiceQuota", "GetServiceQuota", "check",
     "Whether the standby's quotas hold what the primary runs.", "*", ""},
    {kCheck, "servicequotas:GetAWSDefaultServiceQuota", "GetAWSDefaultServiceQuota", "check",
     "The same, where no quota was ever raised.", "*", ""},
    {kCheck, "iam:SimulatePrincipalPolicy", "SimulatePrincipalPolicy", "check",
     "Whether this very list is allowed. Without it: unknown.", "arn:{partition}:iam::{account}:role/{agent_role}", ""},

    {kBackupsInS3, "s3:ListBucket", "ListObjectsV2", "backup", "Lists the repository.", "arn:{partition}:s3:::{backup_bucket}", ""},
    {kBackupsInS3, "s3:GetObject", "GetObject HeadObject", "backup", "Reads it.", "arn:{partition}:s3:::{backup_bucket}/*", ""},
    {kBackupsInS3, "s3:GetReplicationConfiguration", "GetBucketReplication", "backup", "Whether it is copied to another region.",
     "arn:{partition}:s3:::{backup_bucket}", ""},
    {kBackupsInS3, "s3:GetBucketVersioning", "GetBucketVersioning", "backup", "Whether what is deleted there can come back.",
     "arn:{partition}:s3:::{backup_bucket}", ""},
    {kBackupsInS3, "s3:ListBucketVersions", "ListObjectVersions", "backup", "What a delete marker hides.",
     "arn:{partition}:s3:::{backup_bucket}", ""},
    {kBackupsInS3, "s3:GetBucketObjectLockConfiguration", "GetObjectLockConfiguration", "backup",
     "Whether anybody could delete them, and until when not.", "arn:{partition}:s3:::{backup_bucket}", ""},
    {kBackupsInS3, "s3:GetLifecycleConfiguration", "GetBucketLifecycleConfiguration", "backup",
     "Whether a rule removes what is still needed.", "arn:{partition}:s3:::{backup_bucket}", ""},

    {kSnapshots, "rds:DescribeDBSnapshots", "DescribeDBSnapshots", "backup", "Snapshots of an instance, and their copies.", "*",
     ""},
    {kSnapshots, "rds:DescribeDBClusterSnapshots", "DescribeDBClusterSnapshots", "backup",
     "Snapshots of a cluster, and their copies.", "*", ""},
    {kSnapshots, "rds:DescribeDBInstanceAutomatedBackups", "DescribeDBInstanceAutomatedBackups", "backup",
     "Automated backups of an instance, and their restore window.", "*", ""},
    {kSnapshots, "kms:DescribeKey", "DescribeKey", "backup", "Whether the key of a snapshot could be used in its region.",
     "arn:{partition}:kms:*:{account}:key/*", ""},
    {kSnapshotDrill, "rds:DescribeDBInstances", "DescribeDBInstances", "drill",
     "Waits for the temporary instance; finds what killed runs left.", "*", ""},
    {kSnapshotDrill, "rds:DescribeDBClusters", "DescribeDBClusters", "drill", "The same of temporary clusters.", "*", ""},
    {kSnapshotDrill, "rds:RestoreDBInstanceFromDBSnapshot", "RestoreDBInstanceFromDBSnapshot", "drill",
     "Restores into a name of ours.", kRestoredDb, ""},
    {kSnapshotDrill, "rds:RestoreDBClusterFromSnapshot", "RestoreDBClusterFromSnapshot", "drill", "The same of a cluster.",
     kRestoredCluster, ""},
    {kSnapshotDrill, "rds:CreateDBInstance", "CreateDBInstance", "drill", "Gives the temporary cluster an instance.",
     "arn:{partition}:rds:*:{account}:db:lifeboat-verify-* arn:{partition}:rds:*:{account}:cluster:lifeboat-verify-* "
     "arn:{partition}:rds:*:{account}:subgrp:* "
     "arn:{partition}:rds:*:{account}:pg:* arn:{partition}:rds:*:{account}:og:*",
     ""},
    {kSnapshotDrill, "rds:AddTagsToResource", "", "drill",
     "Asked for beside the three: what is made bears our tag from its beginning.",
     "arn:{partition}:rds:*:{account}:db:lifeboat-verify-* arn:{partition}:rds:*:{account}:cluster:lifeboat-verify-*", ""},
    {kSnapshotDrill, "rds:DeleteDBInstance", "DeleteDBInstance", "drill",
     "Deletes it again: only names of ours, and in the code only with our tag too.", kTemporaryDb, ""},
    {kSnapshotDrill, "rds:DeleteDBCluster", "DeleteDBCluster", "drill", "The same of the temporary cluster.", kTemporaryCluster,
     ""},
    {kSnapshotDrill, "kms:CreateGrant", "", "drill", "RDS asks for it beside the restore of an encrypted snapshot.",
     "arn:{partition}:kms:*:{account}:key/*", kForRds},

    {kInit, "rds:DescribeGlobalClusters", "DescribeGlobalClusters", "init", "The global cluster and its members.", "*", ""},
    {kInit, "rds:DescribeDBClusters", "DescribeDBClusters", "init", "Each member.", "*", ""},
    {kInit, "rds:DescribeEventSubscriptions", "DescribeEventSubscriptions", "init", "Topics that hear of the clusters already.",
     "*", ""},
    {kInit, "autoscaling:DescribeAutoScalingGroups", "DescribeAutoScalingGroups", "init",
     "Groups that are named: sizes and target groups.", "*", ""},
    {kInit, "ecs:DescribeServices", "DescribeServices", "init", "The same of services.",
     "arn:{partition}:ecs:*:{account}:service/*", ""},
    {kInit, "eks:DescribeNodegroup", "DescribeNodegroup", "init", "The same of node groups.",
     "arn:{partition}:eks:*:{account}:nodegroup/*", ""},
    {kInit, "sns:GetTopicAttributes", "GetTopicAttributes", "init", "Whether a topic is there.",
     "arn:{partition}:sns:*:{account}:*", ""},
    {kInit, "cloudwatch:DescribeAlarms", "DescribeAlarms", "init", "Whether an alarm is there.", "*", ""},
    {kInit, "secretsmanager:DescribeSecret", "DescribeSecret", "init", "Whether a secret is there.",
     "arn:{partition}:secretsmanager:*:{account}:secret:*", ""},
    {kInit, "route53-recovery-control-config:DescribeControlPanel", "DescribeControlPanel", "init",
     "Which cluster a routing control belongs to.", "arn:{partition}:route53-recovery-control::{account}:controlpanel/*", ""},
    {kInit, "route53-recovery-control-config:DescribeCluster", "DescribeCluster", "init", "That cluster's five endpoints.",
     "arn:{partition}:route53-recovery-control::{account}:cluster/*", ""},
    {kInit, "route53:ListResourceRecordSets", "ListResourceRecordSets", "init", "The records of the name.",
     "arn:{partition}:route53:::hostedzone/*", ""},
    {kInit, "route53:GetHealthCheck", "GetHealthCheck", "init", "Their health checks.", "arn:{partition}:route53:::healthcheck/*",
     ""},
    {kInit, "s3:ListBucket", "HeadBucket", "init", "The region of a bucket.", "arn:{partition}:s3:::*", ""},
    {kInit, "s3:GetBucketVersioning", "GetBucketVersioning", "init", "Whether it keeps versions.", "arn:{partition}:s3:::*", ""},
    {kInit, "s3:GetReplicationConfiguration", "GetBucketReplication", "init", "Where it is copied to.", "arn:{partition}:s3:::*",
     ""},
};

struct PartName {
  PermissionPart part;
  std::string_view name;
  std::string_view title;
  std::string_view file;
};
constexpr std::string_view kAgent = "agent-policy.json";
constexpr std::array kParts{
    PartName{kAurora, "aurora", "Aurora global database", kAgent},
    PartName{kRdsReplica, "rds-replica", "RDS read replica", kAgent},
    PartName{kStandbyTakesOver, "standby-takes-over", "Traffic: standby takes over", kAgent},
    PartName{kRoutingControl, "routing-control", "Traffic: routing controls", kAgent},
    PartName{kRecords, "records", "Traffic: records", kAgent},
    PartName{kAutoScaling, "auto-scaling", "Compute: Auto Scaling", kAgent},
    PartName{kEcs, "ecs", "Compute: ECS", kAgent},
    PartName{kEks, "eks", "Compute: EKS", kAgent},
    PartName{kTargetGroups, "target-groups", "Compute: load balancers", kAgent},
    PartName{kObjects, "objects", "Objects", kAgent},
    PartName{kAccessPoint, "access-point", "Objects: multi-region access point", kAgent},
    PartName{kSns, "sns", "Notices: SNS", kAgent},
    PartName{kEventBridge, "event-bridge", "Notices: EventBridge", kAgent},
    PartName{kAlarms, "alarms", "Alarms", kAgent},
    PartName{kHooks, "hooks", "Hooks", kAgent},
    PartName{kSecrets, "secrets", "Secrets", kAgent},
    PartName{kStore, "store", "The store's table", kAgent},
    PartName{kCheck, "check", "lifeboat check", kAgent},
    PartName{kBackupsInS3, "backups-in-s3", "Backups in S3", "backup-policy.json"},
    PartName{kSnapshots, "snapshots", "Snapshots of RDS, levels 0 and 1", "backup-policy.json"},
    PartName{kSnapshotDrill, "snapshot-drill", "Snapshots of RDS, from level 4 on", "backup-policy.json"},
    PartName{kInit, "init", "lifeboat init --from-aws", "init-policy.json"},
};

const PartName& NameOf(PermissionPart part) {
  return *std::find_if(kParts.begin(), kParts.end(), [&](const PartName& each) { return each.part == part; });
}

std::vector<std::string> Split(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const std::size_t blank = std::min(text.find(' '), text.size());
    if (blank > 0) words.emplace_back(text.substr(0, blank));
    text.remove_prefix(std::min(blank + 1, text.size()));
  }
  return words;
}

/// "SnapshotDrill2" of "snapshot-drill".
std::string SidOf(PermissionPart part, int number) {
  std::string sid;
  bool upper = true;
  for (const char c : ToString(part)) {
    if (c == '-') {
      upper = true;
      continue;
    }
    sid += upper ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    upper = false;
  }
  return sid + std::to_string(number);
}

void Add(PermissionScope& scope, const std::string& name, const std::string& value) {
  std::vector<std::string>& values = scope.values[name];
  if (!value.empty() && std::find(values.begin(), values.end(), value) == values.end()) values.push_back(value);
}

std::string AfterLast(const std::string& text, char mark) { return text.substr(text.rfind(mark) + 1); }

void AddDatabase(const AwsDatabaseSettings& database, PermissionScope& scope) {
  const bool aurora = database.kind == AwsDatabaseKind::kAuroraGlobal;
  scope.parts.insert(aurora ? kAurora : kRdsReplica);
  Add(scope, "global_cluster", database.global_cluster);
  for (const auto& [region, member] : database.members) Add(scope, aurora ? "cluster" : "instance", AfterLast(member, ':'));
}

void AddTraffic(const AwsTrafficSettings& traffic, PermissionScope& scope) {
  scope.parts.insert(traffic.kind == AwsTrafficKind::kRecords          ? kRecords
                     : traffic.kind == AwsTrafficKind::kRoutingControl ? kRoutingControl
                                                                       : kStandbyTakesOver);
  Add(scope, "zone", traffic.zone);
  for (const auto& [region, marker] : traffic.markers) {
    const std::string place = marker.substr(std::min<std::size_t>(marker.size(), 5));  // behind "s3://"
    Add(scope, "marker", place);
    Add(scope, "marker_bucket", place.substr(0, place.find('/')));
  }
  for (const auto& [region, control] : traffic.controls) Add(scope, "routing_control", control);
}

void AddCompute(const AwsComputeSettings& compute, PermissionScope& scope) {
  const bool groups = compute.kind == AwsComputeKind::kAutoScaling;
  const bool ecs = compute.kind == AwsComputeKind::kEcs;
  scope.parts.insert(groups ? kAutoScaling : ecs ? kEcs : kEks);
  if (!compute.target_groups.empty()) scope.parts.insert(kTargetGroups);
  for (const auto& [region, group] : compute.groups) Add(scope, groups ? "group" : ecs ? "ecs_service" : "node_group", group);
}

void AddRest(const AwsSettings& aws, PermissionScope& scope) {
  for (const AwsObjectsSettings& each : aws.objects) {
    scope.parts.insert(kObjects);
    if (!each.access_point.empty()) scope.parts.insert(kAccessPoint);
    Add(scope, "access_point", each.access_point);
    for (const auto& [region, bucket] : each.buckets) Add(scope, "bucket", bucket);
  }
  for (const AwsNoticeSettings& each : aws.notify) {
    const bool sns = each.kind == AwsNoticeKind::kSns;
    scope.parts.insert(sns ? kSns : kEventBridge);
    Add(scope, sns ? "topic" : "event_bus", each.target);
    Add(scope, "notice_region", each.region.text);
  }
  if (!aws.alarms.empty()) scope.parts.insert(kAlarms);
  for (const AwsHookSettings& each : aws.hooks) {
    scope.parts.insert(kHooks);
    for (const auto& [region, function] : each.functions) Add(scope, "function", AfterLast(function, ':'));
  }
  for (const AwsSecretSettings& each : aws.secrets) {
    scope.parts.insert(kSecrets);
    Add(scope, "secret", each.name);
  }
}

}  // namespace

std::string_view ToString(PermissionPart part) { return NameOf(part).name; }
std::string_view TitleOf(PermissionPart part) { return NameOf(part).title; }
std::span<const Permission> AllPermissions() { return kPermissions; }

std::string PermissionTable() {
  std::string out = "| part | action | sent as | step | why |\n| --- | --- | --- | --- | --- |\n";
  for (const Permission& each : kPermissions) {
    std::string sent;
    for (const std::string& operation : Split(each.operations)) sent += (sent.empty() ? "`" : ", `") + operation + "`";
    out += "| " + std::string(TitleOf(each.part)) + " | `" + std::string(each.action) + "` | " +
           (sent.empty() ? "beside others" : sent) + " | " + std::string(each.step) + " | " + std::string(each.why) + " |\n";
  }
  return out;
}

Json PolicyOf(const std::set<PermissionPart>& parts) {
  Json statements = Json::array();
  for (const PermissionPart part : parts) {
    int number = 0;
    std::map<std::pair<std::string_view, std::string_view>, std::size_t> known;  // resources and condition → statement
    for (const Permission& each : kPermissions) {
      if (each.part != part) continue;
      const auto [at, is_new] = known.emplace(std::pair(each.resources, each.condition), statements.size());
      if (is_new) {
        Json statement = {
            {"Sid", SidOf(part, ++number)}, {"Effect", "Allow"}, {"Action", Json::array()}, {"Resource", Split(each.resources)}};
        if (!each.condition.empty()) statement["Condition"] = Json::parse(each.condition);
        statements.push_back(std::move(statement));
      }
      statements[at->second]["Action"].push_back(each.action);
    }
  }
  return {{"Version", "2012-10-17"}, {"Statement", statements}};
}

std::map<std::string, std::string> PolicyFiles() {
  std::map<std::string, std::set<PermissionPart>> parts;
  for (const PartName& each : kParts) parts[std::string(each.file)].insert(each.part);
  std::map<std::string, std::string> files;
  for (const auto& [file, of] : parts) files[file] = PolicyOf(of).dump(2) + "\n";
  return files;
}

PermissionScope ScopeOf(const Settings& settings, const std::string& account) {
  PermissionScope scope;
  Add(scope, "account", account);
  Add(scope, "service", settings.service);
  if (!settings.aws) return scope;
  scope.parts.insert(kCheck);
  for (const RegionSettings& each : settings.regions) {
    if (each.kind == RegionKind::kData) Add(scope, "data_region", each.name.text);
  }
  if (settings.aws->database) AddDatabase(*settings.aws->database, scope);
  if (settings.aws->traffic) AddTraffic(*settings.aws->traffic, scope);
  for (const AwsComputeSettings& each : settings.aws->compute) AddCompute(each, scope);
  AddRest(*settings.aws, scope);
  if (settings.store.kind == StoreKind::kDynamoDb) {
    scope.parts.insert(kStore);
    Add(scope, "table", settings.store.table);
    for (const std::string& region : settings.store.aws_regions) Add(scope, "store_region", region);
  }
  return scope;
}

std::vector<std::string> ResourcesOf(const Permission& permission, const PermissionScope& scope) {
  std::vector<std::string> whole;
  for (std::vector<std::string> open = Split(permission.resources); !open.empty();) {
    const std::string text = std::move(open.back());
    open.pop_back();
    const std::size_t begin = text.find('{');
    if (begin == std::string::npos) {
      whole.push_back(text);
      continue;
    }
    const std::size_t end = text.find('}', begin);
    const auto values = scope.values.find(text.substr(begin + 1, end - begin - 1));
    if (values == scope.values.end() || values->second.empty()) return {};
    for (const std::string& value : values->second) open.push_back(text.substr(0, begin) + value + text.substr(end + 1));
  }
  std::sort(whole.begin(), whole.end());
  return whole;
}

}  // namespace lifeboat::aws
