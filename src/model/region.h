#pragma once

// Regions, their roles, and what is concluded about them.

#include <optional>
#include <string_view>

#include "base/types.h"

namespace lifeboat {

/// What a region is for, as configured. Which data region is primary NOW stands in the lease item, not here.
enum class RegionKind { kData, kWitness };
[[nodiscard]] const char* ToString(RegionKind kind);

/// The role of a region at a moment.
enum class Role { kPrimary, kStandby, kWitness, kNone };
[[nodiscard]] const char* ToString(Role role);
[[nodiscard]] std::optional<Role> ParseRole(std::string_view text);

/// What is concluded about a region.
enum class Verdict {
  kUnknown,  ///< nothing recent is known; never taken for good
  kHealthy,
  kSuspect,    ///< signs of loss, the lease not yet run out
  kDegraded,   ///< it serves, but not as it should
  kLost,       ///< its lease ran out, or it released because its database is dead
  kFenced,     ///< it stopped accepting writes by itself
  kRejoining,  ///< it was primary and is being made a standby
  kDetached,   ///< it holds a copy that is no candidate: it must be rejoined first
};
[[nodiscard]] const char* ToString(Verdict verdict);

}  // namespace lifeboat
