#pragma once

// Backups are verified as a standing thing: the agent of a source's region runs the verification when it is due, one at a time,
// keeps the last result of each kind in <state_directory>/backups/<source>.json, records it as evidence and shows it.
// When is due is a function of the last start and of the configuration alone: it survives a restart, and never drifts by a draw.
// Thread rule: the agent's executor; nothing here blocks, and the lease never waits for it.

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "config/settings.h"
#include "ports/backup_runner.h"
#include "ports/clock.h"
#include "ports/evidence.h"
#include "ports/files.h"

namespace lifeboat {

/// The two things that are done to a source.
enum class BackupWork { kVerify, kRestore };
[[nodiscard]] const char* ToString(BackupWork work);  ///< "verify", "restore"

/// What is known of one kind of work on one source.
struct BackupRecord {
  std::int64_t started = 0;  ///< of the last run, seconds since 1970; 0: never
  std::int64_t ended = 0;    ///< 0: it is under way, or was broken off
  int exit_code = 0;
  std::string problem;        ///< why the last run gave no report; empty: it gave one
  Json report;                ///< of the last run that gave one; null: none ever did
  std::int64_t reported = 0;  ///< when that one ended
};

/// When the next run of `work` is due, in seconds since 1970; nothing: never.
[[nodiscard]] std::optional<std::int64_t> DueAt(const BackupSourceSettings& source, BackupWork work, const BackupRecord& record,
                                                std::int64_t now);

/// The parts of a report that are kept: everything but the long tails of its lists.
[[nodiscard]] Json Shortened(Json report);

/// What `check`, other regions and metrics need of a source, in a few hundred bytes; part of the gossip.
[[nodiscard]] Json BackupBrief(const BackupSourceSettings& source, const BackupRecord& verify, const BackupRecord& restore);

/// The line of `lifeboat check` for a source. @param brief  null: its region's agent does not answer, or has said nothing of it
[[nodiscard]] Json BackupCheckLine(const BackupSourceSettings& source, const Json& brief, std::int64_t now);

/// Why a planned switchover into the source's region should wait: the source is a gate, and `check` calls it a fault; empty: it
/// need not. SAFETY: it says nothing of an unplanned failover, which must not depend on a backup.
[[nodiscard]] std::string BackupGateObjection(const BackupSourceSettings& source, const Json& brief, std::int64_t now);

/// One run of work on a source, when it has ended.
struct BackupRun {
  std::string source;
  BackupWork work = BackupWork::kVerify;
  int level = 0;  ///< that was asked for
  WallTime began;
  WallTime ended;
  int exit_code = 0;
  std::string problem;  ///< why it gave no report; empty: it gave one
  Json report;          ///< null: none
};

class BackupWatch {
 public:
  struct Doors {
    Clock& clock;
    Files& files;  ///< not the one that the lease's record is written by
    Evidence& evidence;
    BackupRunner& runner;
    std::function<bool()> busy;  ///< the service moves: nothing is begun; may be empty
  };
  /// @param folder  where results are kept; it is there
  BackupWatch(boost::asio::any_io_executor io, const Settings& settings, RegionName self, std::string folder, Doors doors, Log log);

  /// Starts the loop, where a source names this region; it ends with the executor's context.
  void Start();
  /// Whether any source is this region's.
  [[nodiscard]] bool HasWork() const { return !sources_.empty(); }

  /// A brief a source.
  [[nodiscard]] Json Briefs() const { return briefs_; }
  /// Everything that is kept, a source an item: {source, verify, restore}.
  [[nodiscard]] Json Results() const;
  /// After each change of a record.
  std::function<void()> on_change;
  /// After each run.
  std::function<void(const BackupRun&)> on_run;

 private:
  struct Source {
    const BackupSourceSettings* settings = nullptr;
    std::map<BackupWork, BackupRecord> records;
  };
  struct Due {
    std::size_t source = 0;
    BackupWork work = BackupWork::kVerify;
    std::int64_t at = 0;
  };

  Task<> Loop();
  Task<> ReadRecords();
  [[nodiscard]] std::optional<Due> NextDue() const;
  Task<> Work(Due due);
  Task<> Keep(std::size_t source);
  Task<> Record(std::size_t source, BackupWork work);
  [[nodiscard]] std::int64_t Now() const { return doors_.clock.Wall().ns / 1000000000; }
  [[nodiscard]] std::string FileOf(const Source& source) const { return folder_ + "/" + source.settings->name + ".json"; }
  void Changed();

  boost::asio::any_io_executor io_;
  std::string folder_;
  Doors doors_;
  Log log_;
  std::vector<Source> sources_;
  Json briefs_ = Json::array();
};

}  // namespace lifeboat
