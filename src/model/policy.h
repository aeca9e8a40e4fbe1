#pragma once

// What the operator wants: objectives and policy, as decide reads them. The defaults are the careful ones.

#include <optional>

#include "base/time.h"
#include "base/types.h"

namespace lifeboat {

/// The stated recovery objectives: how long the service may be away, and how much may be lost.
struct Objectives {
  Duration rto{};
  Duration rpo{};
};

/// The most that an automatic failover may lose. Both hold.
struct LossLimit {
  Duration time{};
  ByteCount bytes;
};

enum class Automation {
  kObserve,  ///< decide and say so, change nothing
  kAct,
};
[[nodiscard]] const char* ToString(Automation automation);

enum class DatabaseFailure {
  kRestart,   ///< restart locally first; release when the budget is spent
  kFailover,  ///< release at once when the loss is proven zero
};
[[nodiscard]] const char* ToString(DatabaseFailure policy);

/// What is done about a region that serves, but badly, when a majority has seen so for long enough.
enum class DegradedAction {
  kTell,        ///< say so
  kAsk,         ///< name the one command
  kSwitchover,  ///< move the service, gracefully first
};
[[nodiscard]] const char* ToString(DegradedAction action);

struct Policy {
  Automation automation = Automation::kObserve;
  std::optional<LossLimit> loss_limit;         ///< required where automation is act
  Duration cool_down = std::chrono::hours(1);  ///< after a takeover, before another automatic one
  Duration failover_after{0};                  ///< how long a region must stay lost beyond the lease
  DatabaseFailure database_failure = DatabaseFailure::kRestart;
  Duration restart_budget = std::chrono::seconds(10);
  DegradedAction degraded_action = DegradedAction::kTell;
  Duration degraded_after = std::chrono::seconds(30);          ///< how long a majority must see it degraded, without a break
  Duration degraded_latency = std::chrono::milliseconds(750);  ///< a canary row that takes longer is a sign of it
  Duration degraded_patience = std::chrono::seconds(30);       ///< for the graceful move; after it the ungraceful one
};

/// Timings of the lease (docs/lease.md). `margin` covers the guard's worst time to kill.
struct LeaseSettings {
  Duration length = std::chrono::seconds(3);  ///< L
  Duration margin = std::chrono::milliseconds(150);
  static constexpr double kRho = 0.005;  ///< the most by which two clocks' rates may differ
  static constexpr Duration kShortest = std::chrono::milliseconds(500);
  static constexpr Duration kLongest = std::chrono::seconds(30);  ///< the guard refuses a deadline farther away
};

}  // namespace lifeboat
