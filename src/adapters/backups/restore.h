#pragma once

// The ladder's upper half: restores one backup into a sandbox of its own, brings it to the target, promotes it there, asks it,
// checks its structures (level 5) and its content (level 6), and removes all of it again. What it measured on the way is the
// restore's RTO by phase, and what a restore to now would lose.
//
// SAFETY: the sandbox's processes can write beneath its scratch folder alone (Landlock), reach no network and connect to no server
// (seccomp), never archive, and run no command that the backup brought along. The repository is only read. One that lies in S3 is
// read by `pgbackrest restore` over the network, which alone may use it, and has ended when the server is started.
// Thread rule: one call at a time for a source; it blocks. Its children end with the calling thread, which must not end before.

#include <atomic>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "adapters/backups/source.h"
#include "backup/content.h"
#include "backup/finding.h"
#include "backup/restore_target.h"
#include "base/result.h"

namespace lifeboat::backup {

/// How much amcheck does.
enum class Tier {
  kQuick,  ///< order within each btree index, and the form of each heap page
  kFull,   ///< also across levels, from the root down to each entry, and each row of the heap in its index
};

struct RestoreProgress {
  std::string phase;        ///< "copy", "replay", "amcheck"
  std::uint64_t done = 0;   ///< of `total`; bytes, or objects
  std::uint64_t total = 0;  ///< 0: not known
  std::string doing;        ///< the object; may be empty
};

struct RestoreObjectives {
  std::optional<Duration> rto;  ///< from the start to the first verified query at the target
  std::optional<Duration> rpo;  ///< what a restore to now may lose
};

struct RestoreOptions {
  std::string set = "latest";  ///< a label; "latest": the newest that leads to the target
  RestoreTarget target;
  Level level = Level::kContent;  ///< kRestores, kLogic or kContent
  Tier tier = Tier::kFull;

  std::filesystem::path scratch;                    ///< where the sandbox is made; "": $TMPDIR, else /var/tmp
  std::uint64_t scratch_limit = 0;                  ///< bytes that it may take; 0: what is free
  unsigned threads = 2;                             ///< that copy and check
  unsigned cpus = 0;                                ///< processors that the sandbox may use; 0: all
  std::string run_as;                               ///< as root: PostgreSQL's user; "": postgres
  std::filesystem::path bin_directory;              ///< "": /usr/lib/postgresql/MAJOR/bin
  std::string database_user = "postgres";           ///< a superuser of the cluster
  std::string preload;                              ///< shared_preload_libraries; what the backup names is not loaded
  bool durable = false;                             ///< with fsync, as a real restore: for measured times
  bool allow_unguarded = false;                     ///< also where the kernel has no Landlock
  Duration start_timeout = std::chrono::hours(24);  ///< for recovery to reach its target

  std::vector<SqlCheck> checks;
  std::optional<ContentHistory> history;  ///< of the last run; nothing: no comparison
  double most_shrink = 0.5;
  RestoreObjectives objectives;
  std::optional<WallTime> source_now;  ///< the newest moment that the source is known to hold; nothing: the present
  std::uint64_t content_bytes = 0;     ///< of a dump, unpacked, where a pass has read it; 0: not known
  std::vector<Finding> known;          ///< what lower levels told: not told again

  const std::atomic<bool>* cancel = nullptr;
  std::function<void(const RestoreProgress&)> on_progress;  ///< from the calling thread and its helpers
};

struct Phase {
  std::string
      name;  ///< "prepare", "copy", "start", "replay", "promote", "query"; of a dump "prepare", "initialise", "load", "query"
  Duration took{0};
};

/// An objective, and what was measured.
struct ObjectiveResult {
  std::optional<Duration> objective;
  std::optional<Duration> measured;
  Verdict verdict = Verdict::kNotChecked;  ///< kNotChecked: there is no such objective; kUnknown: it could not be measured
  std::string reason;
};

/// How many of what was looked at.
struct ContentCounts {
  std::uint64_t databases = 0;
  std::uint64_t tables = 0;
  std::uint64_t rows = 0;
  std::uint64_t indexes = 0;           ///< by amcheck
  std::uint64_t heaps = 0;             ///< by amcheck
  std::uint64_t counted_by_index = 0;  ///< tables whose rows were counted by an index too
  std::uint64_t sequences = 0;
  std::uint64_t sql_checks = 0;
};

struct RestoreOutcome {
  std::string source;
  std::string set;
  std::string kind;
  RestoreTarget target;
  Level level = Level::kContent;
  Levels levels;  ///< kRestores to kContent
  std::vector<Finding> findings;
  std::vector<Phase> phases;
  std::uint64_t restored_bytes = 0;
  std::uint64_t replayed_segments = 0;
  Lsn reached;                        ///< end of the WAL that was replayed; 0/0: it did not come so far
  Timeline timeline = 0;              ///< after promotion
  std::optional<WallTime> commit;     ///< the last commit that was replayed
  std::optional<WallTime> heartbeat;  ///< the newest row of lifeboat.heartbeat
  ObjectiveResult rto;
  ObjectiveResult rpo;
  ContentCounts counts;
  ContentHistory content;  ///< to be given to the next run
  Json load;               ///< of a dump: by which tool, as whom, how many statements failed; null: it is none
  Json coverage;           ///< of the check of every index entry against its table (CoverageReport); null: it was not made
  std::uint64_t scratch_needed = 0;
  std::string write_guard;   ///< "landlock", or "none"
  std::string tool_network;  ///< what pgbackrest could reach while it restored out of S3; "": nothing. The server reaches nothing
  WallTime began;
  Duration took{0};
  bool cancelled = false;

  [[nodiscard]] bool HasFault() const;
  /// False: an objective was given and is not known to be met.
  [[nodiscard]] bool MeetsObjectives() const;
};
[[nodiscard]] Json ToJson(const RestoreOutcome& outcome);  ///< format "lifeboat-backup-restore/1"

/// Restores, checks, removes. What is wrong with the backup is a finding; an error is what kept us from trying.
/// @error kFail: the source cannot be looked at, no scratch folder, no guard; kNotFound: no such set, or none leads to the target;
///        any, where TroubleOf(source) says why: its store did not answer
[[nodiscard]] Result<RestoreOutcome> RestoreAndCheck(Source& source, const RestoreOptions& options);

/// Puts levels, findings and figures of a restore into the report of the levels below.
void AddToReport(const RestoreOutcome& outcome, Report& report);

/// Removes scratch folders of runs that were killed, with what still runs in them. Only such that are proven ours: the name, the
/// marker with the folder's own identity in it, and a lock that nobody holds. @return how many were removed
[[nodiscard]] std::size_t RemoveStaleSandboxes(const std::filesystem::path& scratch);

}  // namespace lifeboat::backup
