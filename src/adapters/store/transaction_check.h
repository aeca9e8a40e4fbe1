#pragma once

// What every implementation of the store demands of a transaction before it does anything with it.

#include "base/result.h"
#include "ports/store.h"

namespace lifeboat {

/// Keys are not empty and are changed at most once, and keys and values are UTF-8 (they travel as JSON).
/// @error kFail: names the key
[[nodiscard]] Result<Unit> CheckTransaction(const Transaction& transaction);

}  // namespace lifeboat
