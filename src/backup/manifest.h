#pragma once

// What a backup says that it holds: the files with sizes and hashes, the WAL that it needs, whose it is. Read from PostgreSQL's
// backup_manifest (versions 1 and 2) or pgBackRest's backup.manifest; the rest of the code knows only this.
// Thread rule: plain values; the parsers are pure. Memory: about 150 bytes a file.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backup/digest.h"
#include "base/result.h"
#include "base/types.h"

namespace lifeboat::backup {

/// One file of a backup.
struct FileEntry {
  std::string path;  ///< within the data directory: "base/5/16384.1", "pg_tblspc/16384/PG_15_202209061/5/16392"
  std::uint64_t size = 0;
  DigestKind digest = DigestKind::kNone;
  std::string digest_hex;  ///< of the content; "": the source states none
  // Where a repository keeps it; a plain backup keeps it under its path.
  std::string holder;             ///< the backup set whose folder holds the bytes; "": the backup itself
  std::uint64_t stored_size = 0;  ///< as stored: compressed, encrypted
  std::string stored_sha1;        ///< of the bytes as stored; "": not stated
  std::uint32_t bundle = 0;       ///< number of the bundle file; 0: a file of its own
  std::uint64_t bundle_offset = 0;
  bool block_incremental = false;          ///< stored as changed blocks and a map
  std::uint32_t block_bytes = 0;           ///< of such a block
  std::uint32_t block_map_bytes = 0;       ///< of the map at the end of what is stored; 0: not stated
  std::uint32_t block_checksum_bytes = 0;  ///< of each block's own checksum in the map
  bool page_errors = false;                ///< the tool saw bad pages when it copied them
};

/// A stretch of WAL that a restore needs.
struct WalRange {
  Timeline timeline = 0;
  Lsn start;
  Lsn end;
};

struct Manifest {
  int version = 0;
  std::optional<std::uint64_t> system_id;
  std::vector<FileEntry> files;
  std::vector<WalRange> wal;
  std::map<std::string, std::string> tablespaces;  ///< oid → path on the source, where the manifest says so
  std::string bytes_digest;                        ///< SHA-256 of the text that was parsed
  std::string newest_change;  ///< "2026-11-23 09:19:43 GMT": of its files the latest change, where the manifest says so
};

/// What is wrong with a manifest: the two call for different moves.
enum class ManifestProblem { kUnreadable, kChecksum };
struct ManifestError {
  ManifestProblem problem = ManifestProblem::kUnreadable;
  std::string message;
};

/// Parses a whole backup_manifest and checks its own checksum first.
/// @param error  filled where nothing is returned
/// @source PostgreSQL manual, "Backup Manifest Format"
[[nodiscard]] std::optional<Manifest> ParseBackupManifest(std::string_view text, ManifestError& error);

}  // namespace lifeboat::backup
