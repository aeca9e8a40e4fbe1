#pragma once

// How far a restore goes: to the latest moment, to the backup's own end, to a position or to a time; and which backup leads there.
// Thread rule: pure.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backup/windows.h"
#include "base/result.h"
#include "base/time.h"
#include "base/types.h"

namespace lifeboat::backup {

struct RestoreTarget {
  enum class Kind {
    kLatest,     ///< to the end of the WAL that there is, on the newest timeline
    kImmediate,  ///< to where the backup is consistent
    kLsn,
    kTime,
  };
  Kind kind = Kind::kLatest;
  Lsn lsn;        ///< kLsn: the record that ends here is still replayed
  WallTime time;  ///< kTime: commits up to here are still replayed

  /// "latest", "immediate", "0/3000148", "2026-11-23T05:18:44.123Z".
  [[nodiscard]] std::string Text() const;
};

/// "latest", "immediate", a position, or a time in UTC ("2026-11-23 05:18:44", "2026-11-23T05:18:44.5Z"). @error kFail: none of
/// them
[[nodiscard]] Result<RestoreTarget> ParseRestoreTarget(std::string_view text);

/// The lines of postgresql.conf that bring recovery to `target` and promote there. @source PostgreSQL manual, Recovery Target
[[nodiscard]] std::string RecoverySettings(const RestoreTarget& target);

/// The newest of `spans` from which the target can be reached at all: it ended at or before it. kLatest and kImmediate: the newest.
/// @return its index; nothing: every backup ended after the target, or there is none
[[nodiscard]] std::optional<std::size_t> NewestLeadingTo(const RestoreTarget& target, std::span<const BackupSpan> spans);

}  // namespace lifeboat::backup
