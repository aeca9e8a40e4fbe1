#pragma once

// Arithmetic on estimates of loss that pass from one takeover to the next: an epoch that was claimed and perhaps never opened gives
// what its takeover would have lost to whoever takes over after it.
// Thread rule: pure.

#include "model/snapshot.h"

namespace lifeboat {

/// As ToJson wrote it; what cannot be read is unknown.
[[nodiscard]] LossEstimate LossFromJson(const Json& json);
/// Both together: unknown where either is (G8).
[[nodiscard]] LossEstimate Sum(const LossEstimate& a, const LossEstimate& b);

}  // namespace lifeboat
