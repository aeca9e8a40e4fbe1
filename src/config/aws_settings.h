#pragma once

// What lifeboat.yaml says of a service whose parts AWS runs: the database, what clients follow, compute, objects, who is told. Only
// names and ids: credentials come from the process's surroundings (adapters/aws/credential_chain.h).
// Thread rule: plain values.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "base/types.h"

namespace lifeboat {

enum class AwsDatabaseKind { kAuroraGlobal, kRdsReplica };

struct AwsDatabaseSettings {
  AwsDatabaseKind kind = AwsDatabaseKind::kAuroraGlobal;
  std::string global_cluster;                 ///< aurora: its identifier
  std::map<RegionName, std::string> members;  ///< aurora: ARN of each region's cluster; rds: identifier of each region's instance
  bool detach_when_needed = false;            ///< aurora: detach-and-promote where a failover is refused, and by itself
  std::uint64_t backup_days = 7;              ///< rds: retention of a promoted replica; never 0
  /// rds: what a replica is made with that is built anew in a region; a region that is not there: as RDS chooses.
  std::map<RegionName, std::string> kms_keys;  ///< needed where the source is encrypted
  std::map<RegionName, std::string> subnet_groups;
  std::map<RegionName, std::string> parameter_groups;
  std::map<RegionName, std::string> security_groups;  ///< ids, with commas between them
  std::vector<std::string> backup_regions;            ///< rds: where a copy of the automated backups is expected
  Duration backup_age = std::chrono::hours(1);        ///< rds: how old the newest moment may be that they restore to
};

enum class AwsTrafficKind {
  kStandbyTakesOver,  ///< an object in the standby's bucket, under an inverted health check
  kRoutingControl,    ///< ARC routing controls through the cluster's five endpoints
  kRecords,           ///< a change of records: depends on us-east-1
};

struct AwsTrafficSettings {
  AwsTrafficKind kind = AwsTrafficKind::kStandbyTakesOver;
  std::string zone;  ///< id of the hosted zone
  std::string name;  ///< fully qualified, with the final dot
  std::string type = "CNAME";
  std::map<RegionName, std::string> targets;   ///< what the name answers when the region serves
  std::vector<Endpoint> name_servers;          ///< of the zone; empty: those that the zone names
  std::map<RegionName, std::string> markers;   ///< standby takes over: s3://bucket/key in that region
  std::vector<std::string> control_endpoints;  ///< routing control: "region=https://…", all five
  std::map<RegionName, std::string> controls;  ///< routing control: ARN of each region's
};

enum class AwsComputeKind { kAutoScaling, kEcs, kEks };

/// Something that runs in each region and is scaled up in the one that takes over. Never scaled down by Lifeboat.
struct AwsComputeSettings {
  std::string name;
  AwsComputeKind kind = AwsComputeKind::kAutoScaling;
  std::map<RegionName, std::string> groups;         ///< group, "cluster/service", or "cluster/nodegroup" of each region
  std::map<RegionName, std::string> target_groups;  ///< ARN of the load balancer's target group; may lack regions
  unsigned share = 100;                             ///< percent of what the source ran
  Duration timeout = std::chrono::minutes(10);
};

struct AwsObjectsSettings {
  std::string name;
  std::map<RegionName, std::string> buckets;
  std::string prefix;        ///< "": the whole bucket
  std::string access_point;  ///< ARN of the multi-region access point whose routes move; "": none
  Duration canary_every{0};  ///< 0: no canary objects
};

enum class AwsNoticeKind { kSns, kEventBridge };
struct AwsNoticeSettings {
  AwsNoticeKind kind = AwsNoticeKind::kSns;
  RegionName region;
  std::string target;  ///< ARN of the topic, or name of the event bus
};

/// A CloudWatch alarm that counts as a sign of trouble of `about`, seen by the agent of `region`.
struct AwsAlarmSettings {
  RegionName region;
  RegionName about;
  std::string alarm;
};

/// A Lambda function that is called at a point of a plan.
struct AwsHookSettings {
  std::string name;
  std::string when;                             ///< "before-promote", "after-promote", "after-route"
  std::map<RegionName, std::string> functions;  ///< name or ARN in the region that takes over
  bool required = true;                         ///< false: a failure is noted and the plan goes on
  Duration timeout = std::chrono::seconds(60);
};

/// A secret of Secrets Manager that the service needs wherever it runs. It is looked at, never read.
struct AwsSecretSettings {
  std::string name;  ///< the same in every region, as replicas have it
};

enum class SqlTls {
  kVerifyFull,  ///< encrypted, the certificate signed by root_cert and made out to the endpoint
  kVerifyCa,    ///< encrypted, signed by root_cert, whoever it is made out to
  kRequire,     ///< encrypted, to whomever
  kDisable,     ///< readable: loopback addresses alone
};

/// Where the database answers SQL: a name or an address. Unlike the agents' own, it may be a name: the cloud gives nothing else.
struct SqlEndpoint {
  std::string host;
  std::uint16_t port = 5432;
  friend bool operator==(const SqlEndpoint&, const SqlEndpoint&) = default;
};

/// How the database is asked by SQL, beside the cloud's own API.
struct AwsSqlSettings {
  std::string user;
  std::string database = "postgres";
  std::optional<std::string> password_file;  ///< libpq passfile (0600)
  SqlTls tls = SqlTls::kVerifyFull;
  std::string root_cert;                       ///< of those who sign the servers' certificates; empty: nothing is verified
  std::map<RegionName, SqlEndpoint> writers;   ///< each data region's: takes writes where the region is the writer's
  std::map<RegionName, SqlEndpoint> readers;   ///< each data region's: answers reads always
  std::optional<std::uint16_t> port;           ///< of the public name; nothing: that of the writer that it leads to
  std::optional<SqlEndpoint> global_endpoint;  ///< what the canary writes through where there is no 'aws.traffic'
};

struct AwsSettings {
  std::optional<AwsDatabaseSettings> database;  ///< in place of the regions' own servers
  std::optional<AwsSqlSettings> sql;            ///< nothing: no SQL is asked, and what only it tells is unknown
  std::optional<AwsTrafficSettings> traffic;    ///< in place of 'dns'
  std::vector<AwsComputeSettings> compute;
  std::vector<AwsObjectsSettings> objects;
  std::vector<AwsNoticeSettings> notify;
  std::vector<AwsAlarmSettings> alarms;
  std::vector<AwsHookSettings> hooks;
  std::vector<AwsSecretSettings> secrets;
};

}  // namespace lifeboat
