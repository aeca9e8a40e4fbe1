#pragma once

// The door to the external fence: something of the operator's own that stops the instance of another region from outside, and
// proves it (docs/guarantees.md, "Deployments"). It comes on top of the lease's wait and never in its place (docs/lease.md,
// "Takeover").

#include <map>
#include <string>

#include "base/result.h"
#include "base/task.h"
#include "base/types.h"

namespace lifeboat {

/// Whose instance is to be stopped, and on whose word.
struct FenceOrder {
  RegionName region;      ///< the lost holder's
  Epoch epoch;            ///< that was claimed after it
  ExecutionId execution;  ///< the failover that asks
};

class InstanceFence {
 public:
  virtual ~InstanceFence() = default;

  /// Stops the instance of `order.region`; one that is stopped already is proof at once. May come twice for one order, also side by
  /// side: an agent that was killed in the middle asks again. Ends within the timeout that the region's settings state.
  /// @return what the proof said, one line for people
  /// @error kRetry, kUnknownOutcome: no proof: it failed, took too long, or cannot be run; it may have stopped the instance all the
  /// same
  virtual Task<Result<std::string>> Stop(FenceOrder order) = 0;

  /// Whether it could be run from here, by region: empty, or what is in the way. Regions without an external fence are absent.
  /// Nothing is stopped, and whether it would succeed is not known.
  virtual Task<std::map<RegionName, std::string>> Look() = 0;
};

}  // namespace lifeboat
