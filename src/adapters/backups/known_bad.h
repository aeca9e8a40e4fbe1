#pragma once

// The check of the checker (F50): before every run the whole verifier runs over a small source in memory with known damage, and
// over the same source without it. It must tell each fault at its place, and nothing else, or no verdict of it counts.
// Thread rule: any thread; takes a few milliseconds.

#include "base/result.h"

namespace lifeboat::backup {

/// @error kFail: what was told and what should have been
[[nodiscard]] Result<Unit> ProveThatChecksCanFail();

}  // namespace lifeboat::backup
