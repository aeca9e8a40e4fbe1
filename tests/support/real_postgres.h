#pragma once

// Real PostgreSQL servers for tests: initdb'd in a temporary folder, on free loopback ports, ended and removed with it.
// As root the servers run as user postgres; as an ordinary user they run as that user.
// Life cycle: a PostgresLab per test. Its destructor kills every process that works within its folder, by pid.
// Thread rule: one thread; everything blocks.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "adapters/system/command.h"
#include "base/types.h"
#include "config/settings.h"

namespace lifeboat::testing_support {

/// What a new server is like beyond its defaults.
struct ServerOptions {
  bool data_checksums = true;
  int wal_segment_mib = 1;    ///< PostgreSQL's own default is 16; small ones make small copies
  std::string more_settings;  ///< lines for postgresql.conf
};

class PostgresLab {
 public:
  PostgresLab();
  ~PostgresLab();
  PostgresLab(const PostgresLab&) = delete;
  PostgresLab& operator=(const PostgresLab&) = delete;

  /// Folder, port and socket directory of a server that does not exist yet.
  DatabaseSettings Reserve(const std::string& name);
  /// initdb's a server, of a system of its own; it is not started. Everybody on this machine may log in.
  DatabaseSettings Initialise(const std::string& name, const ServerOptions& options = {});

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  [[nodiscard]] static LoginSettings Login();
  /// A path within the lab that exists and that the server's user may write to.
  std::filesystem::path MakeFolder(const std::string& name);

  /// Runs a program of PostgreSQL as the servers' user and waits for its end.
  CommandOutput Run(std::vector<std::string> argv) const;
  /// Starts a server as a service manager would: whoever does it knows nothing of leases.
  void StartByAnyone(const DatabaseSettings& server) const;

 private:
  std::filesystem::path folder_;
  std::optional<RunAs> run_as_;
};

/// Roles that an operator makes at set-up.
void CreateRoles(const DatabaseSettings& server, const LoginSettings& login);

/// The first column of the first row of `sql`, asked over TCP as `user`. Nothing: refused, or no server.
std::optional<std::string> AskServer(const DatabaseSettings& server, const std::string& sql, const std::string& user = "postgres");

/// The pid in the server's lock file. 0: there is none.
pid_t PostmasterPid(const DatabaseSettings& server);

}  // namespace lifeboat::testing_support
