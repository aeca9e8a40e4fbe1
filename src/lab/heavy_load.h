#pragma once

// A machine with no time left: pgbench against the primary, every core spinning, and writes with fsync. For the figure that counts
// how often a healthy primary is fenced without need.
// Thread rule: one thread; Run blocks.

#include <cstdint>
#include <functional>
#include <string>

#include "base/json.h"
#include "base/result.h"
#include "base/time.h"
#include "lab/layout.h"

namespace lifeboat::lab {

struct FenceCount {
  std::uint64_t epochs = 0;    ///< by which the lease moved
  std::uint64_t kills = 0;     ///< of the primary's guard
  std::uint64_t closings = 0;  ///< times that the gate closed: runs of rows refused with 25006
  double longest_gap_s = 0;    ///< between two acknowledged rows of the client
  double pgbench_tps = 0;
  double load = 0;  ///< one minute's load average at the end
  [[nodiscard]] std::uint64_t Fences() const { return epochs + kills + closings; }
};

/// Keeps the machine busy for `length` while one `fresh` client writes. `go_on` is asked about four times a second.
/// @error kRetry: no agent answers, or pgbench does not run; kFail: `go_on` ended it
[[nodiscard]] Result<FenceCount> CountFencesUnderLoad(const LabInfo& lab, Duration length, const std::function<bool()>& go_on);

}  // namespace lifeboat::lab
