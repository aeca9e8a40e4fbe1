#pragma once

// From what `lifeboat demo --aws` saw to the document "lifeboat-report/1". The figures of outages and losses are the clients' own,
// and stand beside what the agents stated: a loss that exceeds the stated bound is a broken promise, which makes the verdict
// "missed". Thread rule: pure functions.

#include "lab/demo_report.h"

namespace lifeboat::lab {

/// What the clients lost, held against what the agents stated: when they decided, and afterwards by the heartbeat that survived.
struct AwsLoss {
  LossAccount account;            ///< a row that is older than the bound is unaccounted for
  std::optional<Duration> bound;  ///< the lowest that was stated: no more before the writer's region fell silent; nothing: none was
  std::uint64_t beyond = 0;       ///< lost rows that are older than the bound, or for which there is none
};

[[nodiscard]] AwsLoss AwsLossOf(const Story& story);

/// What the agents stated of the failover, for the entry of "runs": {"rto_s", "ends_with", "loss_bound_s", "basis",
/// "loss_measured_s", "measured_by"}, null where nothing was stated. "ends_with" names the last phase: "first good write" (a row of
/// the agents' own) or "seen serving".
[[nodiscard]] Json StatedByAgents(const Story& story);

/// As BuildReport, for a database that AWS runs: nobody rejoins it and there is no ledger.
/// @param settings  what bears on the figures
[[nodiscard]] Json BuildAwsReport(const Story& story, const Json& settings);

}  // namespace lifeboat::lab
