#pragma once

// The line of `lifeboat check` that says which fence level is in force in a region: gate and guard, guard, external, none.
// Thread rule: pure.

#include "base/json.h"
#include "config/settings.h"

namespace lifeboat {

/// @param guard     what the region's agent says of its guard: {fence, gate, held, observes, …}; null: nothing is known
/// @param external  what the other data regions' agents say of this region's external fence, {by: problem}; null: it has none
/// @return {level, what, hint}
[[nodiscard]] Json FenceFinding(const RegionSettings& region, const Json& guard, const Json& external);

}  // namespace lifeboat
