#pragma once

// ECS: how many tasks of a service run, and how many shall.
// Thread rule: as Client.
// @source ECS API reference, 2014-11-13
// @iam ecs:DescribeServices
// @iam ecs:UpdateService

#include <cstdint>
#include <string>
#include <vector>

#include "adapters/aws/client.h"

namespace lifeboat::aws::ecs {

struct Service {
  std::string name;
  std::string status;  ///< "ACTIVE", "DRAINING", "INACTIVE"
  std::uint64_t desired = 0;
  std::uint64_t running = 0;
  std::uint64_t pending = 0;
  bool daemon = false;       ///< one task a machine: it has no count that could be set
  std::string launch_type;   ///< "FARGATE", "EC2"; empty: by capacity providers
  std::string last_message;  ///< the newest event, in AWS's words
  std::vector<std::string> target_groups;
};

/// @error kNotFound: there is no such service, or no such cluster
Task<Result<Service>> DescribeService(Client& client, std::string region, std::string cluster, std::string service,
                                      Duration timeout);
/// An absolute number: twice is as once. @error kRefused: the service is not active
Task<Result<Unit>> SetDesiredCount(Client& client, std::string region, std::string cluster, std::string service,
                                   std::uint64_t desired, Duration timeout);

}  // namespace lifeboat::aws::ecs
