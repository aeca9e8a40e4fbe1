#pragma once

// The lab's questions to its agents: what the command line asks, asked from here. Blocking; the witness's agent is asked
// first, since the lab never kills it by itself, then the others.
// Thread rule: any thread; each call opens its own connection.

#include <functional>
#include <optional>
#include <string>

#include "base/json.h"
#include "lab/layout.h"
#include "model/execution.h"

namespace lifeboat::lab {

/// Asks the agent of one region.
/// @error kRetry: not reached; kUnknownOutcome: sent, no answer in time; else the agent's own
[[nodiscard]] Result<Json> AskAgent(const LabInfo& lab, const std::string& region, const std::string& method,
                                    const Json& parameters, Duration timeout);

/// Asks one agent after another until one is reached. An agent's own error is an answer. @error that of the last one
[[nodiscard]] Result<Json> AskAny(const LabInfo& lab, const std::string& method, const Json& parameters, Duration timeout);

/// True when the service is as it should be: a primary that takes writes under a lease, every other data region a
/// candidate that streams, the name pointing to the primary. `why_not` says what is missing, for a person who waits.
[[nodiscard]] bool IsWhole(const Json& status, const LabInfo& lab, std::string& why_not);

/// Region that holds the lease and has not released it; empty: none.
[[nodiscard]] std::string HolderOf(const Json& status);

/// Called about four times a second while something is waited for, with what is missing; false gives up.
using Patience = std::function<bool(const std::string& waiting_for)>;

/// Asks for the status until the service is whole.
/// @error kRetry: not within `timeout`, and what was missing; kFail: patience ended
[[nodiscard]] Result<Json> AwaitWhole(const LabInfo& lab, Duration timeout, const Patience& patience);

/// Newest execution of a kind that began at `since` or later; nothing: there is none yet.
[[nodiscard]] Result<std::optional<Execution>> FindExecution(const LabInfo& lab, PlanKind kind, WallTime since);

/// Follows an execution to its end.
/// @error kFail: it ended failed or aborted, in its own words; kRetry: not ended within `timeout`
[[nodiscard]] Result<Execution> AwaitExecution(const LabInfo& lab, const ExecutionId& id, Duration timeout,
                                               const Patience& patience);

/// Asks for a rejoin of `region` as soon as its agent answers, and follows it until the service is whole again.
[[nodiscard]] Result<Execution> RejoinRegion(const LabInfo& lab, const std::string& region, Duration timeout,
                                             const Patience& patience);

/// Asks for a switchover and follows it to its end.
[[nodiscard]] Result<Execution> SwitchTo(const LabInfo& lab, const std::string& region, Duration timeout, const Patience& patience);

/// Waits for the execution of the automatic failover that began at `since` or later, and follows it to its end.
[[nodiscard]] Result<Execution> AwaitFailover(const LabInfo& lab, WallTime since, Duration timeout, const Patience& patience);

}  // namespace lifeboat::lab
