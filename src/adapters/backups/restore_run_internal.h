#pragma once

// One restore, from the look at the source to the verdicts: what its parts share. Choosing, room and objectives stand in
// restore.cc, a server brought up from files in restore_physical.cc, what it reached in restore_reached.cc, a dump loaded in
// restore_load.cc, levels 5 and 6 in restore_checks.cc. Thread rule: one thread; progress is told from helpers too.

#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "adapters/backups/checks.h"
#include "adapters/backups/folder.h"
#include "adapters/backups/restore.h"
#include "adapters/backups/restore_dump.h"
#include "adapters/backups/sandbox.h"
#include "adapters/backups/wal_server.h"
#include "backup/server_words.h"
#include "backup/windows.h"

namespace lifeboat::backup {

class Restore {
 public:
  Restore(Source& source, const RestoreOptions& options);
  Result<RestoreOutcome> Do();

 private:
  using Clock = std::chrono::steady_clock;

  [[nodiscard]] LevelResult& At(Level level) { return outcome_.levels[static_cast<std::size_t>(level)]; }
  static Duration Since(Clock::time_point began) { return std::chrono::duration_cast<Duration>(Clock::now() - began); }

  // ---- before, and around it all (restore.cc) ----
  Result<Unit> Choose();
  /// Files of pg_dumpall that hold roles and tablespaces alone, where dumps lie beside them: the newest is loaded before each dump.
  std::set<const SetInfo*> LookForRoles();
  /// Bytes beneath the scratch folder.
  [[nodiscard]] std::uint64_t Needed() const;
  /// Whoever cancels, also in the midst of a question, learns nothing of the backup by that.
  bool WasCancelled(LevelResult& level);
  /// What stops a restore and says something of the backup or the host; false: it says something of the call.
  bool Understood(const Error& error);
  /// A finding of level 4, unless a lower level told why already.
  void Tell(int fault, const std::string& object, const std::string& what, const std::string& todo = {});
  void EndPhase(const char* name);
  void Say(const char* phase, std::uint64_t done, std::uint64_t total, std::string doing = {}) const;
  Result<Unit> RestoreIt();
  /// What opens the files of the set.
  [[nodiscard]] std::shared_ptr<const Folder> PlaceIn() const;
  static void Judge(ObjectiveResult& result, const std::string& unmeasured);
  void JudgeObjectives();
  [[nodiscard]] SessionPlace Place() const {
    return {sandbox_->socket(), user_, "", options_.cancel, "", 5432, sandbox_->server_pid()};
  }

  // ---- a server from files (restore_physical.cc) ----
  /// Files, configuration, WAL, a server at its target, and its first query.
  Result<Unit> BringUp();
  /// False: it refused, and that is told.
  Result<bool> RunPgBackRest();
  Result<bool> Refuse(const ToolEnd& ended, bool in_s3);
  Result<bool> ServeWal();
  Result<bool> CopyFiles();
  /// Finds the programs of the backup's version and writes the configuration. False: this host has none.
  Result<bool> Configure();
  [[nodiscard]] std::string Unreadable() const;

  // ---- what it reached (restore_reached.cc) ----
  /// The server's start in three phases, by its own log; it tells milliseconds of the same clock.
  void TakeTimes(const ServerWords& words);
  /// The first verified query at the target: here RTO ends.
  Result<Unit> FirstQuery(const ServerWords& words);
  /// PostgreSQL itself dies when it cannot come to a target; without one it promotes wherever the WAL ends.
  void JudgeReached(const ServerWords& words);
  /// Within the last segment names say nothing: newer backups do, which ended there, and the records themselves.
  void JudgeLastSegment(const WalCatalog& catalog, Timeline timeline, Lsn end, const std::string& said);

  // ---- a dump (restore_load.cc) ----
  [[nodiscard]] DumpPlace PlaceOfDump() const;
  /// A dump in a store comes into the sandbox first, with what is loaded before it: the tools that load it read files.
  Result<Unit> FetchDump(DumpPlace& place);
  Result<Unit> LoadDump();
  void FirstQueryOfDump(Duration wasted);
  void TellTrouble(const DumpTrouble& trouble);

  // ---- levels 5 and 6 (restore_checks.cc) ----
  void CheckIt();
  void JudgeTimeAndHistory(CheckState& state, LevelResult& content);
  void ProveChecks(const CheckOptions& checks, LevelResult& logic, LevelResult& content);

  Source& source_;
  const RestoreOptions& options_;
  RestoreOutcome outcome_;
  Clock::time_point began_ = Clock::now();
  Clock::time_point phase_began_ = began_;
  Inventory inventory_;
  const SetInfo* set_ = nullptr;
  std::vector<const Archive*> archives_;
  std::unique_ptr<Sandbox> sandbox_;
  std::unique_ptr<WalServer> wal_;
  std::string restore_command_;
  std::filesystem::path bin_;
  std::vector<std::string> databases_;
  std::string user_ = options_.database_user;
  std::int64_t newest_stop_ = 0;  ///< of the backups whose end was replayed, seconds since 1970
  std::filesystem::path roles_;   ///< a file of pg_dumpall that holds roles alone; "": there is none
  std::string dump_database_;     ///< that a dump was loaded into
  bool answered_ = false;         ///< the first query was
};

}  // namespace lifeboat::backup
