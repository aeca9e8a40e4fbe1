#pragma once

// When a call is tried again: full jitter between attempts, and a budget that a failing service uses up, so that a thousand
// callers do not become three thousand requests exactly when it can bear them least.
// Thread rule: plain values.
// @source AWS Architecture Blog, "Exponential Backoff And Jitter"; AWS SDKs, "standard" retry mode

#include <algorithm>

#include "base/time.h"

namespace lifeboat::aws {

struct RetryLimits {
  int attempts = 4;          ///< the first one included
  Duration base = 100ms;     ///< the first wait is uniform in [0, base)
  Duration longest = 5s;     ///< no wait is drawn from more
  int budget = 500;          ///< of one endpoint
  int price = 5;             ///< of a second attempt
  int price_no_answer = 10;  ///< of one after silence or a lost connection
  int earned = 1;            ///< by a call that needed no second attempt
};

/// The wait before attempt `next` (2 and up): uniform in [0, base · 2^(next-2)), capped.
[[nodiscard]] inline Duration BackOff(const RetryLimits& limits, int next, double dice) {
  Duration most = limits.base;
  for (int doubled = 2; doubled < next && most < limits.longest; ++doubled) most *= 2;
  most = std::min(most, limits.longest);
  return Duration(static_cast<Duration::rep>(dice * static_cast<double>(most.count())));
}

class RetryBudget {
 public:
  explicit RetryBudget(int most) : most_(most), left_(most) {}
  /// False: it is used up, nothing was taken.
  [[nodiscard]] bool Take(int price) {
    if (left_ < price) return false;
    left_ -= price;
    return true;
  }
  void Give(int amount) { left_ = std::min(most_, left_ + amount); }
  [[nodiscard]] int left() const { return left_; }

 private:
  int most_;
  int left_;
};

}  // namespace lifeboat::aws
