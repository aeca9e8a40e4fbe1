#pragma once

// The end of a time budget. It is handed down to every part of a call, so that the parts share one budget.
// Thread rule: a plain value.

#include <algorithm>
#include <chrono>

#include "base/time.h"

namespace lifeboat::postgres {

class Deadline {
 public:
  explicit Deadline(Duration budget) : at_(std::chrono::steady_clock::now() + budget) {}

  [[nodiscard]] std::chrono::steady_clock::time_point at() const { return at_; }
  [[nodiscard]] bool HasPassed() const { return std::chrono::steady_clock::now() >= at_; }
  /// What is left of the budget; never negative.
  [[nodiscard]] Duration Left() const { return std::max<Duration>(at_ - std::chrono::steady_clock::now(), 0ns); }

 private:
  std::chrono::steady_clock::time_point at_;
};

}  // namespace lifeboat::postgres
