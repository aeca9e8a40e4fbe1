#pragma once

// What a verification asks of the bucket beyond its objects: the copy in another region, the rules that delete, the lock that is
// promised, markers that hide what is missing (F40 to F44).
// Thread rule: the main thread.

#include "adapters/backups/verify.h"
#include "cli/backup.h"

namespace lifeboat {

/// Findings go to the verification's report, or take the place of those that they explain.
/// @param told  what was seen, for the report: {"versions", "lock", "expiry_rules", "unseen", "replica"}; null: it is no bucket
/// @return false: a promise (replica, locked) cannot be shown to be kept
[[nodiscard]] bool JudgeStore(const BackupOptions& options, const backup::Source& source, backup::Verified& verified, Json& told);

/// What could not be seen, on the terminal.
void PrintStore(const Json& told);

}  // namespace lifeboat
