#pragma once

// Plans: graphs of steps. A step is check (already so?) → act → verify (look again), with a timeout, and an undo or none.
// The steps' text is what an operator reads; `docs/architecture.md` prints the graphs.

#include <functional>
#include <string>
#include <vector>

#include "act/lease_door.h"
#include "base/log.h"
#include "model/execution.h"
#include "ports/canary.h"
#include "ports/clock.h"
#include "ports/hands.h"
#include "ports/instance_fence.h"
#include "ports/traffic.h"

namespace lifeboat {

/// What steps act through. All of it outlives every execution.
struct ActDoors {
  Clock& clock;
  Hands& hands;
  Traffic& traffic;
  Canary& canary;
  std::map<RegionName, Endpoint> databases;  ///< of all data regions
  /// Whether a region's agent answered lately: a silent one is asked too, but hardly waited for. Empty: all are waited for.
  std::function<bool(const RegionName&)> answers;
  InstanceFence* fence = nullptr;  ///< external fences; nothing: there are none
};

struct StepContext {
  ActDoors& doors;
  Execution& execution;
  StepRecord& record;  ///< of this step; `result` and `outcome` are the step's to fill
  Duration timeout;

  /// Asks a region's hand under the execution's epoch.
  [[nodiscard]] Task<Result<Json>> Ask(RegionName region, std::string verb, Json parameters) const;
};

struct Step {
  std::string name;
  std::string does;                ///< one sentence for people
  std::vector<std::string> after;  ///< steps that must be done first
  Duration timeout;                ///< of one attempt
  int attempts = 3;                ///< before the point of no return; after it there is no limit
  bool point_of_no_return = false;
  /// The service is moved without it: given up after this long (0: never), named in the outcome, the execution still ends done.
  Duration give_up_after{0};
  Duration longest_pause = std::chrono::seconds(1);  ///< between two attempts
  bool optional = false;                             ///< only in executions that were drafted with it; else it counts as done
  /// True: its goal already holds.
  Task<Result<bool>> (*check)(StepContext) = nullptr;
  Task<Result<Unit>> (*act)(StepContext) = nullptr;
  /// Looks again, independently of what act answered.
  Task<Result<Unit>> (*verify)(StepContext) = nullptr;
  Task<Result<Unit>> (*undo)(StepContext) = nullptr;  ///< none: nothing to take back
  std::string unblock;                                ///< what an operator can do when it does not get on
};

struct Plan {
  PlanKind kind;
  std::vector<Step> steps;
  [[nodiscard]] const Step* Find(std::string_view name) const;
};

/// The plan of a kind. @source docs/architecture.md, "Plans"
[[nodiscard]] const Plan& PlanOf(PlanKind kind);

/// Refuses a switchover that could not work, with the number that says so; changes nothing.
[[nodiscard]] Task<Result<Unit>> PreflightSwitchover(ActDoors& doors, RegionName source, RegionName target);
/// Refuses a rejoin whose target is not the server that it should be; changes nothing.
[[nodiscard]] Task<Result<Json>> IdentifyRejoin(ActDoors& doors, RegionName region, RegionName primary);

/// True while the lease item does not stand against going on with `execution` (its epoch, or the one that it takes).
[[nodiscard]] bool EpochAllows(const Execution& execution, const LeaseItem& item);

/// The step records of a fresh execution, in the plan's order, without the optional ones.
[[nodiscard]] std::vector<StepRecord> FreshRecords(PlanKind kind);

}  // namespace lifeboat
