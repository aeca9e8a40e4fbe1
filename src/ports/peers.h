#pragma once

// The door to the other agents: one question, one answer, over kept-open connections (docs/formats/peer.md).

#include <functional>
#include <string>

#include "base/json.h"
#include "base/result.h"
#include "base/task.h"
#include "base/time.h"
#include "base/types.h"

namespace lifeboat {

/// Questions of the lease path never stand behind long ones, and renewals never behind each other.
enum class Lane {
  kLease,
  kWork,
  /// One datagram each way, never sent again by the door: rounds overlap instead. A question may be delivered twice, or late:
  /// handlers of this lane are idempotent, and answer only the methods that were registered for it.
  kDatagram,
};
/// Most bytes of a datagram's parameters as JSON text. More than that is refused (kFail) when the whole does not fit.
inline constexpr std::size_t kMostDatagramBytes = 1000;

class Peers {
 public:
  virtual ~Peers() = default;
  /// @error kRetry: not sent (not connected); kUnknownOutcome: sent, no answer in time; else the peer's own error
  virtual Task<Result<Json>> Call(RegionName region, std::string method, Json parameters, Duration timeout, Lane lane) = 0;
};

/// Answers the questions of other agents and of the command line.
using CallHandler = std::function<Task<Result<Json>>(std::string method, Json parameters)>;

}  // namespace lifeboat
