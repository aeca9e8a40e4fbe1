#include "adapters/backups/restore_settings.h"

#include <algorithm>
#include <charconv>
#include <fstream>

namespace lifeboat::backup {

namespace {

namespace fs = std::filesystem;

std::string Trimmed(std::string text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!text.empty() && blank(text.back())) text.pop_back();
  text.erase(0, static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), blank) - text.begin()));
  return text;
}

/// The last value of each setting of a file, without its quotes. @source PostgreSQL manual, Parameter Interaction via the
/// Configuration File
std::map<std::string, std::string> SettingsIn(const fs::path& file) {
  std::map<std::string, std::string> settings;
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    line = Trimmed(line);
    const std::size_t end = line.find_first_of(" \t=");
    if (line.empty() || line[0] == '#' || end == std::string::npos) continue;
    std::string name = line.substr(0, end);
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    std::string value = Trimmed(line.substr(end));
    if (!value.empty() && value[0] == '=') value = Trimmed(value.substr(1));
    if (!value.empty() && value[0] == '\'') {
      value = value.substr(1, value.find('\'', 1) - 1);
    } else {
      value = Trimmed(value.substr(0, value.find('#')));
    }
    settings[name] = value;
  }
  return settings;
}

bool IsTarget(const std::string& name, const std::string& value) {
  if (value.empty()) return false;
  if (name == "recovery_target_timeline") return value != "latest";
  return name == "recovery_target" || name == "recovery_target_time" || name == "recovery_target_xid" ||
         name == "recovery_target_name" || name == "recovery_target_lsn";
}

std::uint64_t NumberAfter(const std::string& words, const std::string& label, std::uint64_t fallback) {
  const std::size_t at = words.find(label);
  if (at == std::string::npos) return fallback;
  const std::size_t begin = words.find_first_not_of(" \t", at + label.size());
  std::uint64_t number = fallback;
  if (begin != std::string::npos) (void)std::from_chars(words.data() + begin, words.data() + words.size(), number);
  return number;
}

std::string Line(const std::string& name, const std::string& value) {
  std::string quoted;
  for (const char c : value) quoted += c == '\'' ? "''" : std::string(1, c);
  return name + " = '" + quoted + "'\n";
}

}  // namespace

ControlSettings ParseControlData(const std::string& words) {
  ControlSettings control;
  control.max_prepared_transactions = NumberAfter(words, "max_prepared_xacts setting:", 0);
  control.max_locks_per_transaction = NumberAfter(words, "max_locks_per_xact setting:", 64);
  control.wal_segment_bytes = NumberAfter(words, "Bytes per WAL segment:", 16U << 20U);
  const std::size_t commit = words.find("track_commit_timestamp setting:");
  control.track_commit_timestamp =
      commit != std::string::npos && words.substr(commit, words.find('\n', commit) - commit).ends_with("on");
  return control;
}

std::vector<Finding> FindLeftOvers(const std::string& set, const fs::path& data) {
  std::vector<Finding> findings;
  for (const char* file : {"postgresql.conf", "postgresql.auto.conf"}) {
    for (const auto& [name, value] : SettingsIn(data / file)) {
      if (!IsTarget(name, value)) continue;
      findings.push_back(MakeFinding(33, set, file, name, "it sets " + name + " to '" + value + "'"));
    }
  }
  std::error_code problem;
  if (fs::exists(data / "standby.signal", problem)) {
    Finding note = MakeFinding(33, set, "standby.signal", "", "the backup is of a server that starts as a standby");
    note.severity = Severity::kNote;
    note.means = "a restored server stays a standby until it is promoted";
    note.todo = "nothing, where that is meant; else remove the file after a restore";
    findings.push_back(std::move(note));
  }
  return findings;
}

std::string ServerSettings(const Sandbox& sandbox, const RestoreOptions& options, const ControlSettings& control,
                           const std::string& restore_command) {
  const std::uint64_t segment_mib = std::max<std::uint64_t>(control.wal_segment_bytes >> 20U, 1);
  const char* durable = options.durable ? "on" : "off";
  std::string text = "# Written for one restore; nothing of the backup's own configuration counts.\n";
  text += Line("data_directory", sandbox.data().string()) + Line("hba_file", (sandbox.tool() / "pg_hba.conf").string()) +
          Line("ident_file", (sandbox.tool() / "pg_ident.conf").string());
  // SAFETY: reached through this socket alone, by our user alone; reaches nobody.
  text += "listen_addresses = ''\nport = 5432\nunix_socket_permissions = 0700\nssl = off\n" +
          Line("unix_socket_directories", sandbox.socket().string());
  // SAFETY: a restored server that archives puts a second history into the repository. No command of the backup runs
  // (archive_cleanup_command would remove WAL from the archive), and no primary is followed.
  text +=
      "archive_mode = off\narchive_command = ''\narchive_cleanup_command = ''\nrecovery_end_command = ''\nprimary_conninfo = ''\n"
      "primary_slot_name = ''\nmax_logical_replication_workers = 0\nautovacuum = off\nrestart_after_crash = off\n";
  text += Line("restore_command", restore_command) + RecoverySettings(options.target) + "hot_standby = off\n";
  text += Line("shared_preload_libraries", options.preload);
  text += "max_connections = 40\nmax_worker_processes = 8\nwal_level = replica\nmax_wal_senders = 0\nmax_prepared_transactions = " +
          std::to_string(control.max_prepared_transactions) +
          "\nmax_locks_per_transaction = " + std::to_string(std::max<std::uint64_t>(control.max_locks_per_transaction, 256)) + "\n";
  text += std::string("track_commit_timestamp = ") + (control.track_commit_timestamp ? "on\n" : "off\n");
  text += std::string("fsync = ") + durable + "\nfull_page_writes = " + durable + "\nsynchronous_commit = " + durable + "\n";
  text +=
      "shared_buffers = '128MB'\nshared_memory_type = mmap\ndynamic_shared_memory_type = sysv\njit = off\ncheckpoint_timeout = "
      "'30min'\n"
      "min_wal_size = '" +
      std::to_string(std::max<std::uint64_t>(80, 2 * segment_mib)) + "MB'\nmax_wal_size = '" +
      std::to_string(std::max<std::uint64_t>(1024, 4 * segment_mib)) + "MB'\n";
  text +=
      "log_destination = 'stderr'\nlogging_collector = off\nlog_min_messages = warning\nlog_checkpoints = off\nlc_messages = 'C'\n"
      "timezone = 'UTC'\nlog_timezone = 'UTC'\n" +
      Line("log_line_prefix", kServerLinePrefix);
  return text;
}

}  // namespace lifeboat::backup
