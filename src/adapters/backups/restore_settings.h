#pragma once

// The configuration that a restored server starts with, and what the backup brought along in its place.
// Thread rule: pure but for reading the sandbox's files.

#include <map>
#include <string>
#include <vector>

#include "adapters/backups/restore.h"
#include "adapters/backups/sandbox.h"

namespace lifeboat::backup {

/// Settings of the source that recovery must follow. @source pg_controldata
struct ControlSettings {
  std::uint64_t max_prepared_transactions = 0;
  std::uint64_t max_locks_per_transaction = 64;
  std::uint64_t wal_segment_bytes = 16U << 20U;
  bool track_commit_timestamp = false;
};
[[nodiscard]] ControlSettings ParseControlData(const std::string& words);

/// F33 for each recovery target that the backup's own configuration sets; a note for standby.signal. To be asked before anything of
/// the data directory is replaced.
[[nodiscard]] std::vector<Finding> FindLeftOvers(const std::string& set, const std::filesystem::path& data);

/// All of postgresql.conf.
[[nodiscard]] std::string ServerSettings(const Sandbox& sandbox, const RestoreOptions& options, const ControlSettings& control,
                                         const std::string& restore_command);

}  // namespace lifeboat::backup
