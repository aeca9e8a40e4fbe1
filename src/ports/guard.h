#pragma once

// The door to the guard process (src/guard): it stops the database at the deadline, also when the agent cannot.

#include "base/result.h"
#include "base/task.h"
#include "base/time.h"
#include "base/types.h"

namespace lifeboat {

/// What stops a region's writes when its lease has run out.
enum class FenceLevel {
  kNone,          ///< nothing
  kGuard,         ///< the guard kills the server
  kGateAndGuard,  ///< the module in PostgreSQL refuses commits at the deadline, and the guard kills the server later
};
[[nodiscard]] const char* ToString(FenceLevel level);

struct GuardState {
  bool reachable = false;
  bool armed = false;     ///< a deadline runs
  bool fired = false;     ///< it killed, and nothing was permitted since
  Duration left{};        ///< until the deadline, when armed
  Duration worst_kill{};  ///< the longest that a kill took, measured by the guard itself
  std::uint64_t kills = 0;
  bool observes = false;   ///< it was started with policy.automation 'observe'
  bool held = false;       ///< nothing is fenced: the server lives, and its gate is open, whatever the lease does
  bool gate = false;       ///< the module is loaded in the server that runs now, enforces, and reads the guard's file
  std::string gate_state;  ///< "open", "closed", "held open", or why there is no gate; for people
};

class Guard {
 public:
  virtual ~Guard() = default;
  /// The database may commit until `deadline` under `epoch`. A lower epoch than before is refused. At the deadline the server is
  /// killed; where a gate is proven to be in force it only closes, and the server is killed a further `length` (of the lease)
  /// later, unless a permission comes before that: then the same epoch goes on, without a restart.
  /// @error kRetry: the guard is not there; the caller must not let the database be writable
  virtual Task<Result<Unit>> Permit(Epoch epoch, Instant deadline, Duration length, Duration timeout) = 0;
  /// The database must not be writable from now on; the guard ends what is, and answers when nothing of it is left.
  virtual Task<Result<Unit>> Forbid(Epoch epoch, Duration timeout) = 0;
  /// Closes the gate for `epoch` and every lower one, for good, and leaves the server running: the first step of a release.
  /// @error kRefused: there is no gate in force; the caller stops the server before it says that it released
  virtual Task<Result<Unit>> Close(Epoch epoch, Duration timeout) = 0;
  /// Nothing is fenced from now on: the gate is held open without a deadline, and nothing is killed, also when this guard is dead.
  /// Ends what was permitted. Only once the store says that the lease of `epoch` fences nothing (LeaseItem::observed).
  /// @error kRefused: the guard was not started with 'observe': it goes on fencing, and is to be fed
  virtual Task<Result<Unit>> Hold(Epoch epoch, Duration timeout) = 0;
  virtual Task<GuardState> Look(Duration timeout) = 0;
};

}  // namespace lifeboat
