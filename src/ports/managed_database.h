#pragma once

// The door to a database that a cloud runs: an Aurora global database, or an RDS primary with replicas in other regions. The cloud
// decides who writes; Lifeboat asks it to move the writer and looks until it has. Nothing here fences by itself: what the cloud
// says about the old writer is read and passed on, and no word is no fence.
//
//   verb         asked of              may lose writes
//   SwitchOver   the writer's region   never: it cannot even say so
//   FailOver     the target's region   what the target has not received
//   Detach       the target's region   the same, and nothing stops the old writer
//
// With the writer's region silent only SwitchOver, and looks at that region itself, wait for it. Every verb looks first: where its
// goal holds, or the cloud works on it, nothing is sent. Behind it: adapters/aws/managed_*; before it: act/managed_plans, the
// agent. Thread rule: the agent's executor.

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "base/time.h"
#include "base/types.h"
#include "model/managed.h"
#include "ports/readiness.h"

namespace lifeboat {

/// How far a secondary is behind: what would be lost if the writer had gone at `at`.
struct ManagedLag {
  std::optional<Duration> time;  ///< empty: nobody knows
  std::optional<WallTime> at;    ///< when it was measured, by the cloud's clock
};

/// That writes may be lost was decided: by whom. No call loses any without one.
struct ManagedConsent {
  ExecutionId execution;
  std::string by;  ///< "rule 640", "operator ann"
};

/// What the cloud said about blocking the old writer.
enum class ManagedFence {
  kNoWord,     ///< nothing is known, which is not "fenced"
  kSucceeded,  ///< writes are blocked at its storage, as the cloud says
  kTimedOut,   ///< it tried, and gave up: the old writer may have taken writes that are lost
  kNone,       ///< this way of moving has none
};
[[nodiscard]] inline const char* ToString(ManagedFence fence) {
  switch (fence) {
    case ManagedFence::kNoWord: return "no word";
    case ManagedFence::kSucceeded: return "succeeded";
    case ManagedFence::kTimedOut: return "timed out";
    case ManagedFence::kNone: return "none";
  }
  return "no word";
}
struct ManagedFenceWord {
  ManagedFence fence = ManagedFence::kNoWord;
  std::string message;  ///< the cloud's own
  std::optional<WallTime> at;
};

/// How far the way back of a region has come.
struct ManagedReturn {
  bool done = false;
  bool by_person = false;  ///< what is left only a person does; `what` names it
  std::string what;        ///< what was seen, or is to be done
};

class ManagedDatabase {
 public:
  virtual ~ManagedDatabase() = default;

  // ---- looking: changes nothing ----

  /// As the API of `asked` shows it now. @error kNotFound: no such database; kRetry, kUnknownOutcome: no answer, and unless it is
  /// `not_weighed` a silence of the region
  virtual Task<Result<ManagedView>> Look(RegionName asked, Duration timeout) = 0;
  /// How far the cloud's clock is ahead of this machine's, as far as it has been heard; 0: no difference that counts. Times that it
  /// tells are by its own clock, those that it is asked about by this machine's.
  [[nodiscard]] virtual Duration CloudAhead() const { return Duration{0}; }
  /// Asked of the secondary's own region, which alone knows. @error kRetry: no answer
  virtual Task<Result<ManagedLag>> Lag(RegionName secondary, Duration timeout) = 0;
  /// What `lifeboat check` says of it: versions, headless secondaries, lag, fencing, backups, quotas.
  virtual Task<Result<std::vector<Readiness>>> Check(Duration timeout) = 0;
  /// Refuses a switchover that could not end well, with what speaks against it. Changes nothing. @error kRefused
  virtual Task<Result<std::string>> Preflight(RegionName target, Duration timeout) = 0;

  // ---- moving the writer ----

  /// FailOver makes the target a database of its own, beside the old one, as Detach does.
  [[nodiscard]] virtual bool FailOverSplits() const { return false; }

  /// Without loss. @return true: a request was sent; false: it is so, or under way
  /// @error kRefused: it could not end well; kRetry: nothing was sent; kUnknownOutcome: look
  virtual Task<Result<bool>> SwitchOver(RegionName target, Duration timeout) = 0;
  /// What `target` has not received is lost. @return, @error as SwitchOver; kRefused with a hint that names 'detach' where that is
  /// what is left
  virtual Task<Result<bool>> FailOver(RegionName target, ManagedConsent consent, Duration timeout) = 0;
  /// Cuts `target` loose as a database of its own. @return, @error as SwitchOver
  virtual Task<Result<bool>> Detach(RegionName target, ManagedConsent consent, Duration timeout) = 0;
  /// Looks from the target's region until it takes writes. `detached`: as a database of its own.
  /// @error kRefused: the cloud takes it back; kRetry: not done in time, with how far it is
  virtual Task<Result<Unit>> Await(RegionName target, bool detached, Duration timeout) = 0;

  // ---- after a move with loss ----

  /// What the cloud said since `from` about blocking the writes of `source`. Regions that do not answer are passed over.
  virtual Task<Result<ManagedFenceWord>> ReadFencing(RegionName source, RegionName target, WallTime from, Duration timeout) = 0;
  /// Copies the cloud's snapshot of the lost writes, one that was taken since `from`, to one that nobody removes.
  /// @return its id; empty: there is none (yet)
  virtual Task<Result<std::string>> KeepLostWrites(RegionName source, WallTime from, Duration timeout) = 0;

  // ---- the way back ----

  /// Brings the copy of `region` back behind the writer in `primary` where the cloud can, else says what a person has to do.
  /// A copy that went its own way is never deleted. @error kRefused, kRetry, kUnknownOutcome
  virtual Task<Result<ManagedReturn>> Rejoin(RegionName region, RegionName primary, Duration timeout) = 0;
};

}  // namespace lifeboat
