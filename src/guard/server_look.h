#pragma once

// A look at a PostgreSQL server by its files alone, without asking it and without an allocation: is it writable, or on
// its way there? It is what the guard does while nothing is permitted.
// Thread rule: one owner (ServerFiles keeps its paths); Judge is pure.

#include <sys/types.h>

#include <array>
#include <climits>
#include <cstdint>
#include <optional>
#include <string>

#include "adapters/system/process_scan.h"
#include "base/result.h"
#include "guard/guard_core.h"

namespace lifeboat {

/// DBState of pg_control. @source PostgreSQL src/include/catalog/pg_control.h
enum class ClusterState : std::uint32_t {
  kStartup = 0,
  kShutDown = 1,
  kShutDownInRecovery = 2,
  kShuttingDown = 3,
  kCrashRecovery = 4,
  kArchiveRecovery = 5,
  kInProduction = 6,
};

/// What the postmaster says of itself in line 8 of postmaster.pid. @source PostgreSQL src/include/utils/pidfile.h
enum class PostmasterStatus { kStarting, kStopping, kUp };

struct ServerLook {
  bool postmaster_alive = false;
  bool single_user = false;  ///< postgres --single or --boot: it serves no client
  PostmasterStatus status = PostmasterStatus::kStarting;
  std::optional<ClusterState> cluster;  ///< nothing: not readable
  bool fence = false;                   ///< standby.signal is there
  pid_t postmaster = 0;                 ///< of the lock file, alive or not; 0: there is none
  std::uint64_t system_id = 0;          ///< of pg_control; 0: not readable
};

/// Judges a server that has no permission. @return kStrays: only if processes are found in the data directory after all
[[nodiscard]] ServerVerdict Judge(const ServerLook& look);

class ServerFiles {
 public:
  /// @error kFail: the path is too long
  [[nodiscard]] static Result<ServerFiles> Make(const std::string& data_directory);

  /// Reads postmaster.pid, then pg_control, then the fence: a server that says it is up has told pg_control before.
  [[nodiscard]] ServerLook Look();

 private:
  ServerFiles() = default;
  using Path = std::array<char, PATH_MAX>;
  void ReadLockFile(ServerLook& look) const;
  void ReadControl(ServerLook& look) const;
  [[nodiscard]] bool IsOurPostmaster(pid_t pid) const;

  Path folder_{};
  Path lock_file_{};
  Path control_{};
  Path fence_{};
};

/// Places standby.signal, synced together with its folder; a later start by anyone comes up as a standby.
/// Blocks on the disk. Done when there is no data directory: then there is nothing to start.
[[nodiscard]] Result<Unit> PlaceFence(const std::string& data_directory);

}  // namespace lifeboat
