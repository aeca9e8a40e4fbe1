#include "lab/databases.h"

#include <cstdio>

#include "lab/sql.h"
#include "lab/tools.h"

namespace lifeboat::lab {

namespace fs = std::filesystem;

namespace {

constexpr Duration kToolTimeout = 60s;

// The same text in all regions, since pg_rewind and base backups carry it from one to another: what is the region's own
// (address, socket folder) stands in region.conf outside the data directory.
std::string ServerConfig(const LabInfo& lab) {
  return "# Written by 'lifeboat lab up'.\n"
         "include_if_exists = '../region.conf'\n"
         "port = " +
         std::to_string(lab.postgres_port) + "\n" +
         "max_connections = 60\n"
         "shared_buffers = 32MB\n"
         "dynamic_shared_memory_type = mmap\n"  // leaves nothing in /dev/shm when every process is killed
         "wal_level = logical\n"
         "max_wal_senders = 10\n"
         "max_replication_slots = 10\n"
         "wal_keep_size = 256MB\n"
         "max_wal_size = 256MB\n"
         "wal_log_hints = on\n"
         "hot_standby = on\n"
         "wal_retrieve_retry_interval = 100ms\n"
         "wal_receiver_status_interval = 1s\n"
         "password_encryption = 'scram-sha-256'\n"
         "log_line_prefix = '%m [%p] %q%u@%d '\n"
         "log_timezone = 'UTC'\n"
         "timezone = 'UTC'\n"
         "log_checkpoints = on\n"
         "log_replication_commands = on\n"
         "cluster_name = 'lifeboat lab'\n"
         "track_commit_timestamp = on\n"  // a checker compares them with the ends of leases (docs/formats/gate.md)
         "include_if_exists = 'lifeboat.conf'\n";
}

std::string HostRules(const LabInfo& lab) {
  const std::string network = lab.network ? lab.network->subnet + ".0/24" : "127.0.0.0/8";
  return "# Written by 'lifeboat lab up'. The socket lies in a folder of mode 0700.\n"
         "local all all trust\n"
         "local replication all trust\n"
         "host all all " +
         network + " scram-sha-256\nhost replication all " + network + " scram-sha-256\n";
}

std::string RegionConfig(const LabInfo& lab, const LabRegion& region) {
  std::string text = "# Of this region alone. Written by 'lifeboat lab up'.\nlisten_addresses = '" + region.address +
                     "'\nunix_socket_directories = '" + (lab.FolderOf(region.name.text) / "socket").string() + "'\n";
  if (lab.knobs.gate) {
    text += "shared_preload_libraries = '" + lab.GateModule().string() + "'\nlifeboat.gate_file = '" +
            lab.GateFile(region.name.text).string() + "'\n";
  }
  return text;
}

std::string RoleStatements(const Passwords& passwords) {
  const auto quoted = [&](const char* role) { return "'" + passwords.at(role) + "'"; };  // hex: nothing to escape
  return "SET log_statement = 'none';"
         "ALTER ROLE postgres PASSWORD " +
         quoted("postgres") + ";" + "CREATE ROLE lifeboat_replication LOGIN REPLICATION PASSWORD " +
         quoted("lifeboat_replication") + ";" + "CREATE ROLE lifeboat_canary LOGIN PASSWORD " + quoted("lifeboat_canary") + ";" +
         "CREATE ROLE clients LOGIN PASSWORD " + quoted("clients") + ";";
}

constexpr const char* kTableStatements =
    "CREATE TABLE ledger_rows(client int, n bigint, at timestamptz DEFAULT clock_timestamp(), pad text, PRIMARY KEY (client, n));"
    "GRANT SELECT, INSERT ON ledger_rows TO clients;";

Result<Unit> RunStatements(const std::string& conninfo, const std::string& database, const std::string& statements) {
  const auto connection = ConnectTo(conninfo + " dbname=" + database);
  if (!connection) return connection.error();
  const auto ran = Query(*connection, statements);
  if (!ran) return ran.error();
  return Done();
}

// A server without TCP, for the time in which roles and table are made.
Result<Unit> FillServer(const LabInfo& lab, const std::string& region, const Passwords& passwords,
                        const std::optional<RunAs>& owner) {
  const fs::path folder = lab.FolderOf(region);
  const std::string control = lab.bin_directory + "/pg_ctl";
  const std::string data = (folder / "data").string();
  const std::string run = (folder / "run").string();
  const auto started = RunTool({control, "start", "-w", "-D", data, "-l", (folder / "log" / "postgresql.log").string(), "-o",
                                "-c listen_addresses='' -c fsync=off -c shared_preload_libraries=''"},
                               run, owner, kToolTimeout);
  if (!started) return started.error();
  const std::string conninfo = "host=" + QuoteConninfo((folder / "socket").string()) +
                               " port=" + std::to_string(lab.postgres_port) + " user=postgres connect_timeout=10";
  Result<Unit> filled = RunStatements(conninfo, "postgres", RoleStatements(passwords));
  if (filled) filled = RunStatements(conninfo, "postgres", std::string("CREATE DATABASE ") + kDatabase);
  if (filled) filled = RunStatements(conninfo, kDatabase, kTableStatements);
  const auto stopped = RunTool({control, "stop", "-w", "-m", "fast", "-D", data}, run, owner, kToolTimeout);
  if (!filled) return filled.error();
  return stopped ? Done() : Result<Unit>(stopped.error());
}

}  // namespace

Passwords MakePasswords() {
  Passwords passwords;
  for (const char* role : {"postgres", "lifeboat_replication", "lifeboat_canary", kClientUser}) passwords[role] = RandomHex(16);
  return passwords;
}

std::string PasswordFileText(const Passwords& passwords) {
  std::string text;
  for (const auto& [role, password] : passwords) text += "*:*:*:" + role + ":" + password + "\n";
  return text;
}

Result<Unit> BuildDatabases(const LabInfo& lab, const Passwords& passwords, const std::optional<RunAs>& owner) {
  const LabRegion& first = lab.FirstPrimary();
  const fs::path folder = lab.FolderOf(first.name.text);
  const fs::path data = folder / "data";
  for (const LabRegion& region : lab.regions) {
    if (region.kind != RegionKind::kData) continue;
    const fs::path file = lab.FolderOf(region.name.text) / "region.conf";
    if (auto written = WriteOwned(file, RegionConfig(lab, region), 0644, owner); !written) return written;
  }
  const auto made = RunTool({lab.bin_directory + "/initdb", "-D", data.string(), "-U", "postgres", "-k", "--no-sync", "-E", "UTF8",
                             "--locale=C", "-A", "trust"},  // pg_hba.conf is replaced below
                            (folder / "run").string(), owner, kToolTimeout);
  if (!made) return made.error();
  for (const auto& [name, text] : {std::pair{"postgresql.conf", ServerConfig(lab)}, std::pair{"pg_hba.conf", HostRules(lab)}}) {
    if (auto written = WriteOwned(data / name, text, 0600, owner); !written) return written;
  }
  if (auto filled = FillServer(lab, first.name.text, passwords, owner); !filled) return filled;
  // SAFETY: the fence stands before anybody can start either server: a start without a lease gives a standby.
  if (auto fenced = WriteOwned(data / "standby.signal", "", 0600, owner); !fenced) return fenced;
  for (const LabRegion& region : lab.regions) {
    if (region.kind != RegionKind::kData || region.name == first.name) continue;
    // A cleanly stopped server is its own base backup. @source PostgreSQL manual, File System Level Backup
    const fs::path copy = lab.FolderOf(region.name.text) / "data";
    const auto copied = RunTool({"cp", "-a", (data / ".").string(), copy.string()}, (folder / "run").string(), owner, kToolTimeout);
    if (!copied) return copied.error();
  }
  return Done();
}

}  // namespace lifeboat::lab
