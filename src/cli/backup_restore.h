#pragma once

// lifeboat backup drill, and the upper half of verify: restores into a sandbox, judged by objectives.
// Thread rule: the main thread, which must live as long as the restore.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "adapters/backups/restore.h"
#include "adapters/backups/source.h"
#include "cli/ask.h"

namespace lifeboat {

struct BackupOptions;

/// What the command line says of a restore; empty or 0: the default, or what the source's settings say.
struct RestoreFlags {
  std::string to;  ///< latest, immediate, LSN, time
  std::string scratch;
  std::uint64_t scratch_limit = 0;
  unsigned cpus = 0;
  std::string run_as;
  std::string bin;
  std::string user = "postgres";  ///< of the database
  std::string preload;
  std::string amcheck = "full";
  bool allow_unguarded = false;
  std::string start_timeout;  ///< "2h": what is not usable by then fails; "": a day
  std::string checks;         ///< file of SQL checks
  std::string history;        ///< file of the last run's figures
  std::string rto;            ///< "15m"
  std::string rpo;
};

/// Whether levels 4 to 6, where they are asked for, could begin with these flags: said before anything is read. @error kFail: they
/// could not
[[nodiscard]] Result<Unit> CheckRestoreFlags(const BackupOptions& options);

[[nodiscard]] int DrillBackup(const CommonOptions& common, const BackupOptions& options);

/// Levels 4 to 6 of the newest set, of the one that --set names, or of each (--set all), into `report`.
/// @param restored  takes what each showed
/// @return whether every objective is met, and every level that was asked for was looked at
/// @error what kept it from trying
[[nodiscard]] Result<bool> RestoreForReport(backup::Source& source, const BackupOptions& options, const CommonOptions& common,
                                            backup::Report& report, std::vector<backup::RestoreOutcome>& restored,
                                            const std::atomic<bool>& cancel);
/// How a restore went, as a terminal shows it.
void PrintBackupRestore(const backup::RestoreOutcome& outcome);

/// "15m", "90s", "2h", "500ms"; "" is none. @param name  the option's, for the message. @error kFail: none of them
[[nodiscard]] Result<std::optional<Duration>> ParseObjective(const std::string& name, const std::string& text);

/// The questions in a file: a list of {"name", "database", "sql", "expect"}. "" is none. @error kFail: not such a file
[[nodiscard]] Result<std::vector<backup::SqlCheck>> ReadSqlChecks(const std::string& file);

/// Adds a drill to the evidence chain of the region, where the command line or the source names one.
/// @return the record's number; 0: no region is named
[[nodiscard]] Result<std::uint64_t> RecordDrill(const CommonOptions& common, const BackupOptions& options, const Json& outcome);

// ---- of backup.cc ----
void PrintBackupReport(const backup::Report& report);
void PrintBackupFindings(const std::vector<backup::Finding>& findings);
[[nodiscard]] Result<std::unique_ptr<backup::Source>> OpenBackups(const BackupOptions& options);

}  // namespace lifeboat
