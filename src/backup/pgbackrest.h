#pragma once

// pgBackRest's own files: backup.info, archive.info and backup.manifest, lines of key=JSON in sections, with a checksum over
// them (repository format 5). What they say becomes a list of backups and a Manifest.
// Thread rule: pure.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backup/manifest.h"
#include "base/json.h"
#include "base/result.h"

namespace lifeboat::backup::pgbackrest {

/// Walks an info file line by line and checks its own checksum at the end.
/// @param on_value  (section, key, JSON text); its error ends the walk
/// @param error  kChecksum: the checksum is missing or wrong; kUnreadable: a line is none
/// @source pgBackRest, src/info/info.c
[[nodiscard]] bool ReadInfo(std::string_view text,
                            const std::function<Result<Unit>(std::string_view, std::string_view, std::string_view)>& on_value,
                            ManifestError& error);

/// One cluster that a repository has served; its number is the "-1" of "15-1".
struct ClusterHistory {
  std::uint64_t system_id = 0;
  std::string version;  ///< "15"
};

/// A backup as backup.info lists it.
struct ListedBackup {
  std::string label;  ///< "20261123-091928F_20261123-091936D"
  std::string type;   ///< full, diff, incr
  std::string prior;  ///< "": full
  std::vector<std::string> references;
  std::uint64_t db_id = 0;
  std::string wal_start;  ///< segment names
  std::string wal_stop;
  Lsn start;
  Lsn stop;
  std::int64_t started = 0;  ///< seconds since 1970
  std::int64_t stopped = 0;
  std::uint64_t size = 0;         ///< of the restored cluster
  std::uint64_t stored_size = 0;  ///< in the repository, with what it refers to
  bool had_errors = false;        ///< bad pages were seen while it was taken
  bool online = true;             ///< false: of a server that was shut down
};

struct BackupInfo {
  std::vector<ListedBackup> backups;  ///< by label
  std::map<std::uint64_t, ClusterHistory> history;
  std::uint64_t current_db_id = 0;
  std::string cipher_pass;  ///< for the manifests; "": not encrypted
};
[[nodiscard]] std::optional<BackupInfo> ParseBackupInfo(std::string_view text, ManifestError& error);

struct ArchiveInfo {
  std::map<std::uint64_t, ClusterHistory> history;
  std::uint64_t current_db_id = 0;
  std::string cipher_pass;  ///< for the WAL
};
[[nodiscard]] std::optional<ArchiveInfo> ParseArchiveInfo(std::string_view text, ManifestError& error);

struct RepoManifest {
  ListedBackup backup;  ///< what the manifest says of itself
  Manifest content;
  std::string compression;  ///< "none", "gz", "lz4", "zst", "bz2"
  bool checksum_pages = false;
  std::vector<std::string> references;  ///< backups that maps of changed blocks name by their place in this list
  bool bare_bundles = false;            ///< what lies in bundles has no headers of its compression and encryption (2.46 and later)
  std::string cipher_pass;              ///< for the files
};
[[nodiscard]] std::optional<RepoManifest> ParseRepoManifest(std::string_view text, ManifestError& error);

}  // namespace lifeboat::backup::pgbackrest
