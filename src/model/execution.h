#pragma once

// An execution: one durable run of a plan. Life cycle:
//  1. created in one store transaction together with the pointer "executions/current": a second one is refused;
//  2. owned by one agent run; each journal write compares the record's version, so a lost owner cannot write;
//  3. per step: the intent is journaled before the act, the outcome after it; an intent without an outcome means
//     look again (check) before acting again;
//  4. adopted by another agent run when the owner is gone: the owner field changes by the same compare-and-set;
//  5. after the point of no return it only goes forward, also while the store is silent (own synced file);
//  6. ended: done, failed or aborted; the pointer is removed in the same transaction.

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/time.h"
#include "base/types.h"

namespace lifeboat {

enum class PlanKind { kFailover, kSwitchover, kRejoin };
[[nodiscard]] const char* ToString(PlanKind kind);
[[nodiscard]] std::optional<PlanKind> ParsePlanKind(std::string_view text);

enum class ExecutionState { kRunning, kWaiting, kAborting, kDone, kFailed, kAborted };
[[nodiscard]] const char* ToString(ExecutionState state);
[[nodiscard]] inline bool IsEnded(ExecutionState s) {
  return s == ExecutionState::kDone || s == ExecutionState::kFailed || s == ExecutionState::kAborted;
}

enum class StepState {
  kPending,
  kIntended,  ///< the act may have happened
  kDone,
  kFailed,
  kUndone,
};
[[nodiscard]] const char* ToString(StepState state);

/// One attempt at a step, or the word about it: what a trace shows between a step's beginning and its end.
struct StepTry {
  WallTime at;                ///< by the clock of the agent that made it
  std::uint32_t attempt = 0;  ///< as counted in StepRecord::attempts; 0: before any act
  std::string what;  ///< "already so", "check failed", "act" (begun), "acted", "act failed", "verified", "verify failed", "undone",
                     ///< "undo failed"
  std::string said;  ///< why it did not get on; empty: it did
  AgentId agent;     ///< the run that made it
  RegionName region;  ///< where that run was
};

struct StepRecord {
  /// Of the list of tries so many are kept: the first, and the newest.
  static constexpr std::size_t kMostTries = 16;

  std::string name;
  StepState state = StepState::kPending;
  std::uint32_t attempts = 0;
  WallTime began;                ///< 0: not yet
  WallTime ended;                ///< 0: not yet
  std::string outcome;           ///< what was seen, or what went wrong
  Json result = Json::object();  ///< facts that later steps and the report need
  std::vector<StepTry> tries;    ///< in their order
  std::uint32_t tries_left_out = 0;

  /// Adds one; the second of the list goes where it would grow beyond kMostTries.
  void Note(StepTry one);
};

struct Execution {
  ExecutionId id;
  PlanKind kind = PlanKind::kFailover;
  ExecutionState state = ExecutionState::kRunning;
  RegionName source;  ///< the old primary's region (rejoin: the region that is rejoined)
  RegionName target;  ///< the new primary's region (rejoin: the primary)
  Epoch epoch;        ///< under which its changes are made
  RegionName owner;   ///< region of the agent that runs it
  AgentId owner_agent;
  std::uint64_t revision = 0;  ///< one more with each journal write: the higher of two copies is the newer
  bool accept_loss = false;
  std::string requested_by;  ///< "rule 210" or "operator <name>"
  std::string reason;
  WallTime began;
  WallTime ended;
  std::string waiting_for;  ///< why it waits, and the one command that unblocks it; empty: it does not
  std::vector<StepRecord> steps;
  Json facts = Json::object();  ///< times of the phases, loss, tokens: what the report is made of

  [[nodiscard]] StepRecord* Find(std::string_view step);
  [[nodiscard]] const StepRecord* Find(std::string_view step) const;
};

[[nodiscard]] Json ToJson(const Execution& execution);
[[nodiscard]] Result<Execution> ExecutionFromJson(const Json& json);

}  // namespace lifeboat
