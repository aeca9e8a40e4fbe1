#pragma once

// The door to what clients follow: the service's name. Every change carries the epoch and is conditional on the one
// that was read, so that a late writer cannot undo a newer one.

#include <optional>
#include <string>

#include "base/result.h"
#include "base/task.h"
#include "base/time.h"
#include "base/types.h"

namespace lifeboat {

struct TrafficRecord {
  std::string address;         ///< what the name points to now; empty: nothing
  std::optional<Epoch> epoch;  ///< the epoch written beside it; nothing: never written
  std::chrono::seconds ttl{0};
};

class Traffic {
 public:
  virtual ~Traffic() = default;
  /// Asks the authoritative primary. @error kRetry: no answer; kNotFound: the name does not exist
  virtual Task<Result<TrafficRecord>> Read(Duration timeout) = 0;
  /// Points the name to `address` under `epoch`. Already so under this epoch: done.
  /// @error kRefused: a higher epoch stands there; kRetry: not sent; kUnknownOutcome: read again first
  virtual Task<Result<Unit>> Point(std::string address, Epoch epoch, Duration timeout) = 0;
};

}  // namespace lifeboat
