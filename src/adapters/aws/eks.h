#pragma once

// EKS: the sizes of a managed node group. How many of its nodes run, EKS does not say: the Auto Scaling groups under it do.
// Thread rule: as Client.
// @source EKS API reference, 2017-11-01
// @iam eks:DescribeNodegroup
// @iam eks:UpdateNodegroupConfig

#include <cstdint>
#include <string>
#include <vector>

#include "adapters/aws/client.h"

namespace lifeboat::aws::eks {

struct NodegroupSizes {
  std::uint64_t least = 0;
  std::uint64_t desired = 0;
  std::uint64_t most = 0;
};

struct Nodegroup {
  std::string name;
  std::string status;  ///< "ACTIVE", "UPDATING", "DEGRADED", …
  NodegroupSizes sizes;
  std::vector<std::string> groups;  ///< names of the Auto Scaling groups under it
  std::vector<std::string> issues;  ///< in AWS's words
};

/// @error kNotFound: there is no such node group, or no such cluster
Task<Result<Nodegroup>> DescribeNodegroup(Client& client, std::string region, std::string cluster, std::string name,
                                          Duration timeout);
/// Absolute numbers under a token: twice is as once. @error kRefused: another update is under way
Task<Result<Unit>> ResizeNodegroup(Client& client, std::string region, std::string cluster, std::string name, NodegroupSizes sizes,
                                   Duration timeout);

}  // namespace lifeboat::aws::eks
