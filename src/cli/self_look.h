#pragma once

// What an agent asks itself now and then, so that monitoring shows what `lifeboat status`, `check`, `evidence verify` and
// `report` would say: pure translations from their JSON into metrics, and the loop that asks.
// Thread rule: the agent's executor.

#include "config/settings.h"
#include "ports/clock.h"
#include "serve/http_server.h"
#include "serve/metrics.h"

namespace lifeboat {

/// Of the agent's status: who answers, who could take over, what would fence, what runs, what waits for a person.
void ShowStatus(const Json& status, Metrics& metrics);
/// Of the answer to "check". @param at  when it was asked
void ShowCheck(const Json& check, WallTime at, Metrics& metrics);
/// Of the answer to "evidence.verify" of this region alone; an error: not known whether it is whole.
void ShowEvidence(const Result<Json>& report, WallTime at, Metrics& metrics);
/// Of the answer to "evidence.list": the newest execution of each plan.
void ShowRuns(const Json& evidence, Metrics& metrics);

struct SelfLookTimes {
  Duration check = 30s;       ///< a durable write in the store, and a question to each agent
  Duration evidence = 10min;  ///< the whole chain is read
};
/// A check of a database that AWS runs asks IAM and the quotas, which are throttled by account.
[[nodiscard]] SelfLookTimes SelfLookTimesOf(const Settings& settings);

/// Asks `ask` for ever; what is silent leaves the metrics as they are, and their timestamps tell their age.
Task<> LookAtOneself(CallHandler ask, Clock& clock, Metrics& metrics, SelfLookTimes times);

}  // namespace lifeboat
