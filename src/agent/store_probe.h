#pragma once

// Whether the store takes a durable write now. A store whose disk is full still answers, and carries renewals, which are volatile;
// but a takeover is a durable transaction. Asked by `lifeboat check`, on a key of its own that nothing reads. Thread rule: the
// executor of the awaiting coroutine.

#include <string>

#include "base/json.h"
#include "base/time.h"
#include "ports/store.h"

namespace lifeboat {

/// Overwrites the one record at `key` (<service>/check/<region>), whatever stands there. Harmless: no other record is compared or
/// changed.
/// @error as Store::Commit: kFail: the store cannot write; kUnknownOutcome, kRetry: it did not say so in time
[[nodiscard]] Task<Result<Unit>> ProbeDurableWrite(Store& store, std::string key, WallTime now, Duration timeout);

/// The line of `lifeboat check`: {level, what, hint}.
[[nodiscard]] Json StoreWriteFinding(const Result<Unit>& wrote, Duration took, Duration timeout);

}  // namespace lifeboat
