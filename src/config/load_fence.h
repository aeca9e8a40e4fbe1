#pragma once

// The part of loading that concerns external fences: regions[].fence (fence_settings.h).
// Thread rule: pure functions.

#include "config/document.h"
#include "config/settings.h"

namespace lifeboat {

/// Nothing where the region, by its place in the file, has none.
[[nodiscard]] std::optional<FenceSettings> BuildFence(const Document& document, std::size_t region);
/// Rules across keys. Each judges only values that were themselves good.
void CheckFences(const Document& document, const Settings& settings, Problems& problems);

}  // namespace lifeboat
