#pragma once

// The plans for a database that a cloud runs, beside those of plans.cc, for the same executor and journal. The cloud decides who
// writes: steps ask it, look until it has done so, and say what it said about the old writer. docs/managed.md prints the graphs.
// Thread rule: the agent's executor.

#include <functional>
#include <map>
#include <vector>

#include "act/plan.h"
#include "model/managed.h"
#include "ports/compute.h"
#include "ports/hook.h"
#include "ports/managed_database.h"
#include "ports/managed_sql.h"
#include "ports/notifier.h"
#include "ports/objects.h"

namespace lifeboat {

/// The item in the store that says where the writer is, as the plans change it.
class WriterDoor {
 public:
  virtual ~WriterDoor() = default;
  /// Ends the move of `epoch`: the writer is in `writer` now. `apart`: as WriterItem's. Already so, or a later epoch has begun:
  /// done.
  /// @error kRetry, kUnknownOutcome: the store did not answer
  virtual Task<Result<Unit>> Record(Epoch epoch, RegionName writer, bool apart) = 0;
  /// Whether the noted writer is a database of its own.
  [[nodiscard]] virtual bool Apart() const = 0;
};

/// What these steps act through; handed to the executor as its ActDoors. All of it outlives every execution.
struct ManagedDoors : ActDoors {
  ManagedDoors(ActDoors base, ManagedDatabase& d, WriterDoor& w) : ActDoors(std::move(base)), database(d), writer(w) {}

  ManagedDatabase& database;
  WriterDoor& writer;
  bool has_traffic = false;                            ///< else the database's own endpoint follows, and `traffic` is not asked
  bool has_canary = false;                             ///< else no row is written, and what was seen is named as seen
  std::map<RegionName, std::string> targets;           ///< what the name answers when the region serves
  std::map<RegionName, std::string> canary_targets;    ///< what the canary returns when its row went to the region
  Duration canary_patience = std::chrono::minutes(2);  ///< for its first good row, before what was seen has to do
  ManagedSql* sql = nullptr;                           ///< none: what a failover lost stays an estimate
  std::vector<Compute*> compute;
  std::vector<Objects*> objects;
  std::vector<Hook*> hooks;
  std::vector<Notifier*> notifiers;
  bool detach_when_needed = false;
  std::function<bool()> stopping = [] { return false; };  ///< whether the execution that runs is about to end without its goal
  Duration word_patience = std::chrono::minutes(2);  ///< for the word about the old writer, and for the snapshot of the lost writes
  Duration word_call = std::chrono::seconds(20);     ///< for one question about them: the old region may be silent
  Duration word_pause = std::chrono::seconds(10);    ///< between two questions about them
};

[[nodiscard]] const Plan& ManagedPlanOf(PlanKind kind);
[[nodiscard]] std::vector<StepRecord> FreshManagedRecords(PlanKind kind);

}  // namespace lifeboat
