#pragma once

// PostgreSQL's pages: their checksum, and what a page of a relation file in a backup is judged by. The checksum holds the
// block's number within the whole relation, so a file's segment counts.
// Thread rule: any thread; plain values.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/types.h"

namespace lifeboat::backup {

/// What pd_checksum of this page must say. `page` is aligned to 4 bytes.
/// @param size  of the page: a power of two, 1024 to 32768
/// @source PostgreSQL, src/include/storage/checksum_impl.h: 32 columns of FNV-1a with a shift, folded by xor
[[nodiscard]] std::uint16_t PageChecksum(const void* page, std::size_t size, std::uint32_t block);

enum class PageState {
  kGood,
  kNew,        ///< all zeros: extended, never written
  kHot,        ///< written after the backup began: WAL replay replaces it, so the copy is not judged
  kBad,        ///< the checksum is another's, and the page is older than the backup
  kBadHeader,  ///< it says that it is new, and is not empty
};

/// Judges one page of a backup that began at `start` (0/0: a cluster that was at rest, where nothing is hot).
[[nodiscard]] PageState JudgePage(const void* page, std::size_t size, std::uint32_t block, Lsn start);

/// pd_lsn: the end of the last record that changed the page.
[[nodiscard]] Lsn PageLsn(const void* page);

enum class Fork : std::uint8_t { kMain = 0, kFreeSpace = 1, kVisibility = 2, kInit = 3 };

/// A relation's file, as its path within the data directory names it.
struct RelationFile {
  std::uint32_t tablespace = 0;  ///< 1663 pg_default, 1664 pg_global, or the tablespace's oid
  std::uint32_t database = 0;    ///< 0: shared
  std::uint32_t relation = 0;    ///< its file number
  Fork fork = Fork::kMain;
  std::uint32_t segment = 0;
  friend auto operator<=>(const RelationFile&, const RelationFile&) = default;
};

/// "base/5/16384_fsm.2", "global/1262", "pg_tblspc/16384/PG_15_202209061/5/16392". Nothing: no relation file (temporary ones,
/// pg_control, pg_filenode.map and PG_VERSION are none).
/// @source PostgreSQL, src/common/relpath.c; basebackup.c, noChecksumFiles
[[nodiscard]] std::optional<RelationFile> ParseRelationPath(std::string_view path);

/// True for a file of changed blocks in an incremental backup of PostgreSQL 17: "base/5/INCREMENTAL.16384". @source
/// PostgreSQL, src/include/backup/basebackup_incremental.h
[[nodiscard]] bool IsIncrementalFile(std::string_view path);

/// "base/5/16384.1 block 131073": how messages call a place.
[[nodiscard]] std::string BlockPlace(std::string_view path, std::uint32_t block);

}  // namespace lifeboat::backup
