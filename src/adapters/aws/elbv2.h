#pragma once

// Load balancers of the second generation: which targets of a group they send clients to.
// Thread rule: as Client.
// @source Elastic Load Balancing API reference, 2015-12-01
// @iam elasticloadbalancing:DescribeTargetHealth

#include <cstdint>
#include <string>
#include <vector>

#include "adapters/aws/client.h"

namespace lifeboat::aws::elbv2 {

struct Target {
  std::string id;  ///< of an instance; an address; an ARN
  std::string port;
  std::string state;   ///< "healthy", "initial", "unhealthy", "unused", "draining", "unavailable"
  std::string reason;  ///< "Target.FailedHealthChecks"; empty when healthy
};

/// @param group  its ARN @error kNotFound: there is no such target group
Task<Result<std::vector<Target>>> DescribeTargetHealth(Client& client, std::string region, std::string group, Duration timeout);

/// How many get clients. One that draws them by several ports counts once where `by_id`: an instance, not a task.
[[nodiscard]] std::uint64_t HealthyOf(const std::vector<Target>& targets, bool by_id);
/// "2 healthy, 1 initial (Elb.InitialHealthChecking)", for people.
[[nodiscard]] std::string WordsOf(const std::vector<Target>& targets);

}  // namespace lifeboat::aws::elbv2
