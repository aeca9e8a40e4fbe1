#pragma once

// Service Quotas: what an account may run in a region.
// Thread rule: as Client.
// @source Service Quotas API reference, 2019-06-24
// @iam servicequotas:GetServiceQuota
// @iam servicequotas:GetAWSDefaultServiceQuota

#include <string>

#include "adapters/aws/client.h"

namespace lifeboat::aws::quotas {

struct Quota {
  const char* service;
  const char* code;
  const char* words;
};
inline constexpr Quota kStandardInstances{"ec2", "L-1216C47A", "vCPUs of running on-demand standard instances"};
inline constexpr Quota kDbInstances{"rds", "L-7B6409FD", "DB instances"};
inline constexpr Quota kDbClusters{"rds", "L-952B80B8", "DB clusters"};
inline constexpr Quota kFargate{"fargate", "L-3032A538", "vCPUs of Fargate on demand"};

/// What applies to this account: its own value, or AWS's default where it has none. @error kNotFound: there is no such quota there
Task<Result<double>> ValueOf(Client& client, std::string region, Quota quota, Duration timeout);

}  // namespace lifeboat::aws::quotas
