#pragma once

// What `lifeboat init --from-aws` reads: a global cluster with its clusters, the records of a name with their health checks, and
// buckets, each by its id. It only reads. What does not answer is noted with the reason, and the rest goes on.
// Data flow: ReadAws → AwsSurvey → FirstSettings (cli/init_from_aws.h).
// Thread rule: as aws::Client.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "adapters/aws/rds.h"
#include "adapters/aws/route53.h"
#include "adapters/aws/s3.h"
#include "base/types.h"
#include "config/aws_settings.h"

namespace lifeboat {

struct AwsSurveyRequest {
  std::string global_cluster;
  std::vector<std::string> regions;  ///< asked in turn for the global cluster; one that holds no cluster of it becomes a witness
  std::string zone;                  ///< id of a hosted zone; "": none is looked at
  std::string name;                  ///< in that zone
  std::vector<std::string> buckets;
  struct Group {
    AwsComputeKind kind = AwsComputeKind::kAutoScaling;
    RegionName region;
    std::string name;  ///< a group, "cluster/service" or "cluster/nodegroup"
  };
  std::vector<Group> groups;
  std::vector<std::string> topics;  ///< ARNs
  std::vector<std::pair<RegionName, std::string>> alarms;
  std::vector<std::string> secrets;
};

/// "eu-west-1=web" of the command line. @error kFail: it is not written so
[[nodiscard]] Result<std::pair<RegionName, std::string>> ParseInRegion(const std::string& text);

struct SurveyedCluster {
  RegionName region;
  std::string arn;
  bool is_writer = false;
  std::optional<aws::rds::DbCluster> cluster;  ///< nothing: its region did not say; `problem`
  std::string problem;
};

struct SurveyedBucket {
  std::string name;
  RegionName region;
  std::optional<bool> versioned;
  std::vector<aws::s3::ReplicationRule> rules;
  std::string problem;  ///< what of it could not be read, and why; "": nothing
};

struct SurveyedGroup {
  AwsSurveyRequest::Group group;
  std::string seen;                        ///< its sizes in words
  std::vector<std::string> target_groups;  ///< ARNs
  std::string problem;                     ///< why it could not be looked at; "": it could
};

struct SurveyedTopic {
  std::string arn;
  std::string hears;  ///< the subscription to events of RDS by which it was found; "": it was named
  std::optional<std::uint64_t> subscribers;
  std::string problem;
};

struct SurveyedAlarm {
  RegionName region;
  std::string name;
  std::string state;  ///< "": its region did not say, or there is none; `problem`
  std::string problem;
};

struct SurveyedSecret {
  std::string name;
  std::map<RegionName, std::string> problems;  ///< of data regions in which it is not as it should be
};

struct AwsSurvey {
  aws::rds::GlobalCluster global;
  std::vector<SurveyedCluster> clusters;  ///< the writer first
  std::vector<RegionName> others;         ///< asked, and without a cluster of it
  std::string zone;
  std::string name;  ///< with the final dot
  std::vector<aws::route53::RecordSet> records;
  std::map<std::string, aws::route53::HealthCheck> checks;  ///< by their ids
  std::string zone_problem;
  std::map<std::string, std::string> control_endpoints;  ///< of the routing controls' cluster: region → URL
  std::string control_problem;                           ///< why they could not be read
  std::vector<SurveyedBucket> buckets;
  std::vector<SurveyedGroup> groups;
  std::vector<SurveyedTopic> topics;  ///< those that were named, then those that were found
  std::vector<SurveyedAlarm> alarms;
  std::vector<SurveyedSecret> secrets;
  std::vector<std::string> problems;  ///< of what stands nowhere else
};

/// @param timeout  of each call
/// @error kNotFound, kRetry, kFail: no region told of the global cluster: without it there is nothing to write
Task<Result<AwsSurvey>> ReadAws(aws::Client& client, AwsSurveyRequest request, Duration timeout);

}  // namespace lifeboat
