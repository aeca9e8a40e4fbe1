#pragma once

// The journal of executions: one record each in the store, written by compare-and-set so that a lost owner cannot write;
// past the point of no return also in this agent's own synced file while the store is silent, merged later.
//
//   <service>/executions/<id>   the execution
//   <service>/current           the id of the one that is not ended; its absence lets a new one begin
//
// Thread rule: the agent's executor; writes of one execution are serialised by their executor.

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/log.h"
#include "model/execution.h"
#include "ports/clock.h"
#include "ports/files.h"
#include "ports/store.h"

namespace lifeboat {

class Journal {
 public:
  /// @param folder  own synced files stand here; must exist
  Journal(Clock& clock, Store& store, Files& files, std::string service, std::string folder, Log log);

  /// The compares and puts that begin `execution`, to be sent alone or together with a claim. `superseded`: an
  /// execution that this one ends. Both pointers and records change in one transaction.
  [[nodiscard]] Task<Result<Transaction>> Beginning(Execution execution, bool supersede);
  /// Sends Beginning alone. @error kRefused: another execution is running, named in the message
  Task<Result<Unit>> Begin(Execution execution);
  /// After a transaction that held Beginning was committed elsewhere (a claim).
  void Began(const Execution& execution, Version version);

  /// The execution that the newest Beginning ends, as that leaves it: to be told once its transaction was committed. Empty
  /// afterwards.
  [[nodiscard]] std::optional<Execution> TakeSuperseded() { return std::exchange(superseded_, std::nullopt); }

  enum class Written {
    kInStore,
    kInFile,   ///< the store is silent; it stands in the own file and must be merged
    kLost,     ///< somebody else owns the execution now: stop at once
    kNowhere,  ///< neither took it; nothing may be done that rests on it
  };
  /// Writes the next revision. `forward_only`: past the point of no return, where the own file is enough.
  /// Ended executions also free the pointer.
  Task<Written> Write(Execution& execution, bool forward_only);

  /// The execution that is not ended, as the store has it (or as the own file has it, where that is newer).
  Task<Result<std::optional<Execution>>> Current(Duration timeout);
  Task<Result<Execution>> Find(ExecutionId id, Duration timeout);
  /// Newest first.
  Task<Result<std::vector<Execution>>> List(Duration timeout);
  /// Takes ownership of a running execution. @error kRefused: somebody else was faster
  Task<Result<Execution>> Adopt(ExecutionId id, RegionName region, AgentId agent);

 private:
  [[nodiscard]] std::string KeyOf(const ExecutionId& id) const { return service_ + "/executions/" + id.text; }
  [[nodiscard]] std::string CurrentKey() const { return service_ + "/current"; }
  [[nodiscard]] std::string FileOf(const ExecutionId& id) const { return folder_ + "/" + id.text + ".json"; }
  Task<std::optional<Execution>> ReadOwn(ExecutionId id);

  Clock& clock_;
  Store& store_;
  Files& files_;
  const std::string service_;
  const std::string folder_;
  Log log_;
  std::map<ExecutionId, Version> versions_;  ///< of the records that this run wrote last
  std::map<ExecutionId, bool> own_file_;     ///< an own file may stand
  std::optional<Execution> superseded_;
};

}  // namespace lifeboat
