#pragma once

// The door to time. Production reads the machine; the simulation owns a virtual one.

#include "base/task.h"
#include "base/time.h"

namespace lifeboat {

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual Instant Now() const = 0;
  [[nodiscard]] virtual WallTime Wall() const = 0;
  /// Resumes after `d` or later; at once when `d` is not positive. Cancellation ends the wait (operation_aborted).
  /// @thread the executor of the awaiting coroutine
  virtual Task<> Sleep(Duration d) = 0;
};

}  // namespace lifeboat
