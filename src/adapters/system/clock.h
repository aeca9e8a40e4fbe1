#pragma once

// The machine's clocks behind the door ports/clock.h: the real time of production.
// Thread rule: Now and Wall from any thread; Sleep on the executor of the awaiting coroutine.

#include "ports/clock.h"

namespace lifeboat {

class SystemClock final : public Clock {
 public:
  [[nodiscard]] Instant Now() const override { return ReadClocks(); }
  [[nodiscard]] WallTime Wall() const override { return ReadWallClock(); }
  /// Resumes after `d` or later by an Asio timer of the awaiting coroutine's own executor.
  /// A suspend of the machine is not counted by the timer: look at Now() again after it, as every lease rule does.
  Task<> Sleep(Duration d) override;
};

}  // namespace lifeboat
