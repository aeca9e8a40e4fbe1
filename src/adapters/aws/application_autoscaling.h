#pragma once

// Application Auto Scaling, as far as the bounds of an ECS service go: what stands outside of them is scaled back into them.
// Thread rule: as Client.
// @source Application Auto Scaling API reference, 2016-02-06
// @iam application-autoscaling:DescribeScalableTargets
// @iam application-autoscaling:RegisterScalableTarget

#include <cstdint>
#include <optional>
#include <string>

#include "adapters/aws/client.h"

namespace lifeboat::aws::application_autoscaling {

struct Bounds {
  std::uint64_t least = 0;
  std::uint64_t most = 0;
};

/// Of an ECS service; nothing: nothing scales it by itself.
Task<Result<std::optional<Bounds>>> DescribeBounds(Client& client, std::string region, std::string cluster, std::string service,
                                                   Duration timeout);
/// Sets them; policies, role and schedule stay as they are. Twice is as once. @error kRetry: another change is under way
Task<Result<Unit>> SetBounds(Client& client, std::string region, std::string cluster, std::string service, Bounds bounds,
                             Duration timeout);

}  // namespace lifeboat::aws::application_autoscaling
