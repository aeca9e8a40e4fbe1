#pragma once

// The agent's side of the guard: the door ports/guard.h over its unix socket. Each call has a connection of its own, so
// that nothing is to be reconnected, a late answer meets nobody, and a slow Forbid holds up no Permit.
// Thread rule: the executor of the awaiting coroutine.

#include <string>

#include "guard/guard_core.h"
#include "guard/guard_protocol.h"
#include "ports/guard.h"

namespace lifeboat {

class GuardClient final : public Guard {
 public:
  /// @param socket_path  GuardSocketPath() of the region's state directory
  explicit GuardClient(std::string socket_path);

  /// @error kRetry: it is not there, did not answer in time, or is still killing; asking again is always safe
  /// @error kRefused: a lower epoch, or a deadline that has passed, is too far, or is of another boot
  /// @error kFail: it cannot write its record
  Task<Result<Unit>> Permit(Epoch epoch, Instant deadline, Duration length, Duration timeout) override;
  /// @error kRetry: not there, or some are left after `timeout` (it goes on killing); kRefused: a lower epoch;
  ///        kFail: nothing is left, but the fence or the record could not be written
  Task<Result<Unit>> Forbid(Epoch epoch, Duration timeout) override;
  Task<Result<Unit>> Close(Epoch epoch, Duration timeout) override;
  /// @error kRefused: it acts, or has heard of a higher epoch; kRetry: not there, or still killing
  Task<Result<Unit>> Hold(Epoch epoch, Duration timeout) override;
  Task<GuardState> Look(Duration timeout) override;

 private:
  Task<Result<guard_protocol::Answer>> Ask(guard_protocol::Question question, Duration timeout);

  std::string socket_path_;
  std::string boot_id_;
  std::uint64_t last_number_ = 0;
};

}  // namespace lifeboat
