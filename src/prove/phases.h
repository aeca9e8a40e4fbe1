#pragma once

// From the times that an execution recorded to what an outage consisted of: detect, decide, fence, promote, route, first good
// write, and the RTO. What was not measured stays unknown. Pure; between act (which records) and the report.
// Thread rule: pure functions.

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/time.h"
#include "model/execution.h"
#include "model/policy.h"

namespace lifeboat {

struct Phase {
  std::string name;
  std::optional<WallTime> began;  ///< empty: not measured
  std::optional<WallTime> ended;
  /// Empty unless both ends were measured.
  [[nodiscard]] std::optional<Duration> Length() const;
};

struct PhaseReport {
  std::vector<Phase> phases;
  std::optional<WallTime> fault;  ///< where the outage is counted from
  std::optional<WallTime> first_good_write;
  std::optional<Duration> rto;  ///< fault → first good write; when every phase is known, their sum
};

/// Reads wall-clock times from `execution.facts`: "fault_ns" or, where absent, "last_good_write_ns"; "suspected_ns", "decided_ns",
/// "claimed_ns", "promoted_ns", "routed_ns", "first_good_write_ns".
///  - failover: detect (fault → suspected), decide, fence (→ claimed), promote, route, first good write
///  - switchover: nothing is detected; fence (last good write, or where unknown "outage_began_ns" → claimed), promote, route, first
///    good write
///  - rejoin: no outage, so no phases and no RTO
/// Without "first_good_write_ns", "seen_serving_ns" ends the last phase, which is then called "seen serving": nobody wrote a row.
/// Times out of order (the first write may come before the route is verified): no phase begins before the one before it has
/// ended, and none outlasts the first good write, so that lengths are never negative and add up to the RTO.
[[nodiscard]] PhaseReport ComputePhases(const Execution& execution);

/// Member of "runs" in a report (docs/formats/report.md). `loss` as there, or null.
[[nodiscard]] Json ReportRun(const Execution& execution, const Objectives& objectives, const Json& loss);

/// Whether a loss keeps the RPO. Empty: unknown, also for a bounded loss whose bound exceeds the objective.
[[nodiscard]] std::optional<bool> MeetsRpo(const Json& loss, Duration rpo);

}  // namespace lifeboat
