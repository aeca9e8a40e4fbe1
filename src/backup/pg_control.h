#pragma once

// global/pg_control as it lies in a backup, of PostgreSQL 13 to 18, little-endian: identity, geometry, checksums, checkpoint.
// Thread rule: pure.

#include <cstdint>
#include <span>

#include "base/result.h"
#include "base/types.h"

namespace lifeboat::backup {

struct PgControl {
  std::uint64_t system_id = 0;
  std::uint32_t control_version = 0;  ///< 1300: PostgreSQL 13 to 17; 1800: 18
  std::uint32_t catalog_version = 0;
  int major = 0;  ///< by the catalog version; 0: none that is known here
  std::uint32_t state = 0;
  std::int64_t time = 0;  ///< seconds since 1970
  Lsn checkpoint;
  Lsn redo;
  Timeline timeline = 0;
  Lsn min_recovery_end;
  Timeline min_recovery_timeline = 0;
  std::uint32_t block_bytes = 0;
  std::uint32_t relation_segment_blocks = 0;
  std::uint32_t wal_page_bytes = 0;
  std::uint32_t wal_segment_bytes = 0;
  bool data_checksums = false;
};

/// @error kFail: too short, or its CRC is wrong: PostgreSQL does not start on it; kRefused: of a version that is unknown here
/// @source PostgreSQL, src/include/catalog/pg_control.h of each release
[[nodiscard]] Result<PgControl> ParsePgControl(std::span<const char> bytes);

/// PostgreSQL's major version by its catalog version number; 0: unknown.
[[nodiscard]] int MajorOfCatalog(std::uint32_t catalog_version);

}  // namespace lifeboat::backup
