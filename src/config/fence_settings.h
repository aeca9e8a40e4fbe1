#pragma once

// The external fence of a data region, as lifeboat.yaml gives it (docs/guarantees.md, "Deployments"): a command of the operator's
// own that stops the region's instance from outside, by a hook or a call to the cloud. Run by the region that takes over.

#include <chrono>
#include <string>
#include <vector>

#include "base/time.h"

namespace lifeboat {

/// What a takeover does when the external fence gave no proof.
enum class FenceFailure {
  kGoOn,  ///< says so and goes on: the lease protocol is safe by itself
  kWait,  ///< tries again, and waits for the proof or for a person's word
};
[[nodiscard]] inline const char* ToString(FenceFailure failure) { return failure == FenceFailure::kWait ? "wait" : "go-on"; }

struct FenceSettings {
  std::vector<std::string> command;  ///< program (absolute) and arguments, run without a shell; 0 means: proven to be stopped
  Duration timeout = std::chrono::seconds(30);  ///< of one run
  FenceFailure on_failure = FenceFailure::kGoOn;
};

}  // namespace lifeboat
