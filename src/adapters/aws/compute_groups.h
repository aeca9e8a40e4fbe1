#pragma once

// The three kinds of things that are scaled, as one: an Auto Scaling group, an ECS service with the bounds that something may scale
// it within, an EKS node group with the Auto Scaling groups under it. compute.h decides; here it is only asked and told. Thread
// rule: as Client.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapters/aws/client.h"
#include "adapters/aws/quotas.h"
#include "config/aws_settings.h"
#include "ports/compute.h"

namespace lifeboat::aws {

struct GroupLook {
  ComputeSizes sizes;
  std::optional<std::uint64_t> running;  ///< nothing: it cannot be seen
  std::vector<std::string> faults;       ///< what keeps it from growing, in words: "launching is suspended"
  std::vector<std::string> target_groups;
  bool fargate = false;
};

class ComputeGroup {
 public:
  virtual ~ComputeGroup() = default;
  /// "auto scaling group 'orders' in 'eu-west-1'".
  [[nodiscard]] virtual std::string words() const = 0;
  /// One instance draws clients by several ports, and counts once.
  [[nodiscard]] virtual bool counts_instances() const = 0;
  /// @error kNotFound: there is no such group
  virtual Task<Result<GroupLook>> Look(Duration timeout) = 0;
  /// Bounds that stand in `sizes` are set, and then the count. Twice is as once.
  /// @error kRefused: its state forbids it now; kUnknownOutcome: look
  virtual Task<Result<Unit>> Set(ComputeSizes sizes, Duration timeout) = 0;
  /// Why it did not grow, in AWS's words; empty: AWS does not say.
  virtual Task<std::string> WhyNot(Duration timeout) = 0;
};

/// @param name  as in the settings: a name; "cluster/service"; "cluster/nodegroup" @error kFail: it is not written so
[[nodiscard]] Result<std::unique_ptr<ComputeGroup>> MakeComputeGroup(Client& client, AwsComputeKind kind, std::string region,
                                                                     const std::string& name, const Clock& clock);

}  // namespace lifeboat::aws
