#pragma once

// EC2 Auto Scaling: how large a group is, and making it so. Its answers say that a size was taken on, never that anything runs.
// Thread rule: as Client.
// @source Auto Scaling API reference, 2011-01-01
// @iam autoscaling:DescribeAutoScalingGroups
// @iam autoscaling:DescribeScalingActivities
// @iam autoscaling:UpdateAutoScalingGroup

#include <cstdint>
#include <string>
#include <vector>

#include "adapters/aws/client.h"

namespace lifeboat::aws::autoscaling {

struct Sizes {
  std::uint64_t least = 0;
  std::uint64_t desired = 0;
  std::uint64_t most = 0;
};

struct Group {
  std::string name;
  Sizes sizes;
  std::uint64_t in_service = 0;  ///< in service and healthy, by weight where instances have one: the unit that sizes are in
  std::vector<std::string> target_groups;
  std::vector<std::string> suspended;  ///< processes that stand still: "Launch"
  std::string status;                  ///< empty; "Delete in progress"
};

/// @error kNotFound: there is no group of that name
Task<Result<Group>> DescribeGroup(Client& client, std::string region, std::string name, Duration timeout);
/// Absolute numbers: twice is as once. @error kRefused: a scaling activity is in progress
Task<Result<Unit>> Resize(Client& client, std::string region, std::string name, Sizes sizes, Duration timeout);
/// Why the newest activity that did not succeed failed, in AWS's words; empty: none of the last ten did.
Task<Result<std::string>> LastFailure(Client& client, std::string region, std::string name, Duration timeout);

}  // namespace lifeboat::aws::autoscaling
