#include "cli/backup_restore.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <thread>

#include "adapters/backups/blobs.h"
#include "adapters/backups/known_bad.h"
#include "adapters/system/files.h"
#include "cli/backup.h"
#include "cli/backup_source.h"
#include "cli/table.h"
#include "prove/evidence.h"

namespace lifeboat {

namespace {

using backup::Level;
using backup::RestoreOptions;
using backup::RestoreOutcome;

constexpr std::size_t kMostJson = 64U << 20U;

std::atomic<bool> cancelled = false;

/// Ctrl-C and the like, noted while it lives.
class Interruptible {
 public:
  Interruptible() {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) (void)std::signal(signal, [](int) { cancelled = true; });
  }
  ~Interruptible() {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) (void)std::signal(signal, SIG_DFL);
  }
  Interruptible(const Interruptible&) = delete;
  Interruptible& operator=(const Interruptible&) = delete;
};

Result<Json> ReadJson(const std::string& file) {
  const Result<std::string> text = ReadSmallFile(file, kMostJson);
  if (!text) return text.error();
  return ParseJson(*text, "'" + file + "'");
}

/// A list of {"name", "database", "sql", "expect"}.
Result<std::vector<backup::SqlCheck>> ReadChecks(const std::string& file) {
  const Result<Json> json = ReadJson(file);
  if (!json) return json.error();
  if (!json->is_array())
    return Fail("'" + file + "' holds no list of checks", R"([{"name": "…", "database": "…", "sql": "…", "expect": "…"}])");
  std::vector<backup::SqlCheck> checks;
  for (const Json& each : *json) {
    backup::SqlCheck check{TextAt(each, "name"), TextAt(each, "database"), TextAt(each, "sql"), TextAt(each, "expect")};
    if (check.name.empty() || check.sql.empty()) return Fail("a check in '" + file + "' has no name or no sql");
    checks.push_back(std::move(check));
  }
  return checks;
}

/// A line on the terminal; nothing where nobody looks.
class RestoreLine {
 public:
  explicit RestoreLine(bool json) : shown_(!json && isatty(STDERR_FILENO) == 1) {}
  ~RestoreLine() {
    if (shown_) std::fprintf(stderr, "\r\033[K");
  }
  RestoreLine(const RestoreLine&) = delete;
  RestoreLine& operator=(const RestoreLine&) = delete;
  void Show(const backup::RestoreProgress& at) {
    if (!shown_) return;
    const std::lock_guard lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (now - told_ < std::chrono::milliseconds(100)) return;
    if (at.phase != phase_) {
      phase_ = at.phase;
      began_ = now;
    }
    told_ = now;
    if (at.total == 0) {
      const std::string done = at.done == 0           ? ""
                               : at.phase == "replay" ? "  " + std::to_string(at.done) + " segments"
                                                      : "  " + FormatBytes({at.done});
      std::fprintf(stderr, "\r\033[K%s%s  %s", at.phase.c_str(), done.c_str(), at.doing.c_str());
      return;
    }
    const double seconds = std::chrono::duration<double>(now - began_).count();
    const double left =
        at.done > 0 ? seconds * static_cast<double>(at.total - std::min(at.done, at.total)) / static_cast<double>(at.done) : 0;
    std::fprintf(stderr, "\r\033[K%s  %3.0f %%  %s left  %s", at.phase.c_str(),
                 100.0 * static_cast<double>(at.done) / static_cast<double>(at.total),
                 FormatDuration(std::chrono::seconds(std::max<std::int64_t>(1, static_cast<std::int64_t>(left)))).c_str(),
                 at.doing.c_str());
  }

 private:
  bool shown_;
  std::mutex mutex_;
  std::string phase_;
  std::chrono::steady_clock::time_point began_;
  std::chrono::steady_clock::time_point told_;
};

/// What the source's settings say, where the command line says nothing.
void TakeSettings(const BackupSourceSettings& settings, RestoreOptions& restore) {
  if (restore.scratch.empty()) restore.scratch = settings.scratch_folder;
  if (restore.scratch_limit == 0) restore.scratch_limit = settings.scratch_limit.bytes;
  if (restore.bin_directory.empty()) restore.bin_directory = settings.bin_directory;
  if (!restore.objectives.rto && settings.objectives.rto.count() > 0) restore.objectives.rto = settings.objectives.rto;
  if (!restore.objectives.rpo && settings.objectives.rpo.count() > 0) restore.objectives.rpo = settings.objectives.rpo;
  for (const BackupSqlCheck& each : settings.checks) restore.checks.push_back({each.name, each.database, each.sql, each.expect});
}

Result<RestoreOptions> OptionsOf(const BackupOptions& options, Level level) {
  const RestoreFlags& flags = options.restore;
  RestoreOptions restore;
  restore.level = level;
  const Result<backup::RestoreTarget> target = backup::ParseRestoreTarget(flags.to);
  if (!target) return target.error();
  restore.target = *target;
  restore.set = options.set.empty() || options.set == "all" ? "latest" : options.set;
  restore.tier = flags.amcheck == "quick" ? backup::Tier::kQuick : backup::Tier::kFull;
  restore.scratch = flags.scratch;
  restore.scratch_limit = flags.scratch_limit;
  restore.threads = options.threads != 0 ? options.threads : std::max(1U, std::thread::hardware_concurrency());
  restore.cpus = flags.cpus;
  restore.run_as = flags.run_as;
  restore.bin_directory = flags.bin;
  restore.database_user = flags.user;
  restore.preload = flags.preload;
  restore.allow_unguarded = flags.allow_unguarded;
  const Result<std::optional<Duration>> timeout = ParseObjective("start-timeout", flags.start_timeout);
  if (!timeout) return timeout.error();
  if (*timeout) restore.start_timeout = **timeout;
  for (const auto& [name, text, into] :
       {std::tuple("rto", &flags.rto, &restore.objectives.rto), std::tuple("rpo", &flags.rpo, &restore.objectives.rpo)}) {
    const Result<std::optional<Duration>> objective = ParseObjective(name, *text);
    if (!objective) return objective.error();
    *into = *objective;
  }
  if (!flags.checks.empty()) {
    Result<std::vector<backup::SqlCheck>> checks = ReadChecks(flags.checks);
    if (!checks) return checks.error();
    restore.checks = std::move(*checks);
  }
  if (!flags.history.empty()) {
    const Result<Json> json = ReadJson(flags.history);
    if (!json && json.error().retry != Retry::kNotFound) return json.error();
    if (json) {
      Result<backup::ContentHistory> history = backup::ContentHistoryFromJson(*json);
      if (!history) return history.error().Within("'" + flags.history + "'");
      restore.history = std::move(*history);
    }
  }
  if (options.settings) TakeSettings(*options.settings, restore);
  return restore;
}

/// The figures of a run that saw everything are what the next one is compared with.
Result<Unit> KeepHistory(const RestoreFlags& flags, const RestoreOutcome& outcome) {
  const backup::Verdict content = outcome.levels[static_cast<std::size_t>(Level::kContent)].verdict;
  if (flags.history.empty() || outcome.cancelled || content == backup::Verdict::kNotChecked) return Done();
  return WriteFileDurably(flags.history, backup::ToJson(outcome.content).dump(1) + "\n");
}

std::string ObjectiveText(const backup::ObjectiveResult& result) {
  std::string text = result.measured ? FormatDuration(*result.measured) : "not measured";
  if (!result.objective) return text + ", no objective";
  text += ", objective " + FormatDuration(*result.objective) + ": " +
          (result.verdict == backup::Verdict::kPass   ? "met"
           : result.verdict == backup::Verdict::kFail ? "MISSED"
                                                      : "UNKNOWN");
  return result.reason.empty() ? text : text + " (" + result.reason + ")";
}

/// How a dump was loaded.
void PrintLoad(const Json& load) {
  const std::string globals = TextAt(load, "globals");
  const std::string database = TextAt(load, "database");
  const std::string why = TextAt(load, "why_superuser");
  std::printf("  loaded by %s%s%s, as %s%s: %lld %s failed\n", TextAt(load, "by").c_str(),
              database.empty() ? "" : (" into database '" + database + "'").c_str(),
              globals.empty() ? "" : (", after '" + globals + "'").c_str(),
              TextAt(load, "as") == "owner" ? "a role that owns the database" : "the sandbox's superuser",
              why.empty() ? "" : (", which " + why + " needs").c_str(), static_cast<long long>(SignedAt(load, "errors")),
              SignedAt(load, "errors") == 1 ? "statement" : "statements");
}

void PrintRestore(const RestoreOutcome& outcome) {
  if (outcome.load.is_object()) {
    std::printf("%s: %s\n", outcome.set.c_str(), outcome.kind.c_str());
    PrintLoad(outcome.load);
  } else {
    std::printf("%s: %s restored to %s\n", outcome.set.c_str(), outcome.kind.c_str(), outcome.target.Text().c_str());
  }
  if (outcome.reached.bytes != 0) {
    std::printf("  reached %s, now timeline %u; last commit %s, newest heartbeat %s\n", outcome.reached.Text().c_str(),
                outcome.timeline, outcome.commit ? FormatWallTime(*outcome.commit).c_str() : "none replayed",
                outcome.heartbeat ? FormatWallTime(*outcome.heartbeat).c_str() : "none");
  }
  Table phases({"phase", "seconds"});
  for (const backup::Phase& each : outcome.phases) phases.Add({each.name, FormatSeconds(each.took)});
  std::printf("%s", phases.Text(4).c_str());
  std::printf("  RTO %s\n  RPO %s\n", ObjectiveText(outcome.rto).c_str(), ObjectiveText(outcome.rpo).c_str());
  for (int level = static_cast<int>(Level::kRestores); level <= static_cast<int>(outcome.level); ++level) {
    const backup::LevelResult& each = outcome.levels[static_cast<std::size_t>(level)];
    std::printf("  %s: %s%s%s\n", backup::ToString(static_cast<Level>(level)), backup::ToString(each.verdict),
                each.reason.empty() ? "" : ": ", each.reason.c_str());
  }
  if (outcome.counts.heaps + outcome.counts.tables > 0) {
    std::printf(
        "  by amcheck: %llu tables, %llu indexes; read: %llu tables with %llu rows, %llu of the tables counted by an index too; "
        "sequences: %llu, questions: %llu\n",
        static_cast<unsigned long long>(outcome.counts.heaps), static_cast<unsigned long long>(outcome.counts.indexes),
        static_cast<unsigned long long>(outcome.counts.tables), static_cast<unsigned long long>(outcome.counts.rows),
        static_cast<unsigned long long>(outcome.counts.counted_by_index), static_cast<unsigned long long>(outcome.counts.sequences),
        static_cast<unsigned long long>(outcome.counts.sql_checks));
  }
}

}  // namespace

namespace {

/// SAFETY: not checked and unknown are no pass, for whoever reads the exit code alone too.
bool WasLookedAt(const RestoreOutcome& outcome) {
  for (int level = static_cast<int>(Level::kRestores); level <= static_cast<int>(outcome.level); ++level) {
    const backup::Verdict verdict = outcome.levels[static_cast<std::size_t>(level)].verdict;
    if (verdict != backup::Verdict::kPass && verdict != backup::Verdict::kFail) return false;
  }
  return true;
}

/// A restore that could not be tried: not checked, which is no pass.
void SayWhyNot(const std::string& label, const RestoreOptions& restore, const Error& error, backup::Report& report) {
  if (error.retry == Retry::kNotFound && restore.target.kind != backup::RestoreTarget::Kind::kLatest) {
    report.findings.push_back(backup::MakeFinding(32, "", "", restore.target.Text(), error.message));
  }
  for (backup::SetReport& set : report.sets) {
    if (set.label != label && (label != "latest" || &set != &report.sets.back())) continue;
    for (int level = static_cast<int>(Level::kRestores); level <= static_cast<int>(restore.level); ++level) {
      set.levels[static_cast<std::size_t>(level)] = {backup::Verdict::kNotChecked, error.message};
    }
    set.restore = {{"error", error.Text()}};
  }
}

}  // namespace

Result<bool> RestoreForReport(backup::Source& source, const BackupOptions& options, const CommonOptions& common,
                              backup::Report& report, std::vector<RestoreOutcome>& restored, const std::atomic<bool>& cancel) {
  Result<RestoreOptions> restore = OptionsOf(options, static_cast<Level>(options.level));
  if (!restore) return restore.error();
  restore->cancel = &cancel;
  restore->known = report.findings;
  // A time that is judged is that of a restore as it would be made: with every write on the disk.
  restore->durable = restore->objectives.rto.has_value();
  std::vector<std::string> labels = {restore->set};
  if (options.set == "all") {
    labels.clear();
    for (const backup::SetReport& set : report.sets) labels.push_back(set.label);
  }
  bool met = true;
  for (const std::string& label : labels) {
    restore->set = label;
    restore->content_bytes = 0;
    for (const backup::SetReport& set : report.sets) {
      if (set.label == label || (label == "latest" && report.sets.size() == 1)) restore->content_bytes = set.counts.bytes;
    }
    Result<RestoreOutcome> outcome = Fail("nothing was done");
    {
      RestoreLine line(common.json);
      restore->on_progress = [&line](const backup::RestoreProgress& at) { line.Show(at); };
      outcome = backup::RestoreAndCheck(source, *restore);
    }
    // SAFETY: trouble with a store is an error of the run, never "not checked" beside verdicts that stand.
    if (backup::TroubleOf(source) && !outcome) return outcome.error();
    if (!outcome) {
      met = false;
      SayWhyNot(label, *restore, outcome.error(), report);
      continue;
    }
    met = met && outcome->MeetsObjectives() && WasLookedAt(*outcome);
    backup::AddToReport(*outcome, report);
    if (const Result<Unit> kept = KeepHistory(options.restore, *outcome); !kept) return kept.error();
    restored.push_back(*std::move(outcome));
    if (restored.back().cancelled) break;
  }
  for (backup::SetReport& set : report.sets) {
    if (!set.restore.is_null()) continue;
    for (int level = static_cast<int>(Level::kRestores); level <= options.level; ++level) {
      set.levels[static_cast<std::size_t>(level)].reason = "only the newest was restored (--set all: each)";
    }
  }
  return met;
}

Result<std::optional<Duration>> ParseObjective(const std::string& name, const std::string& text) {
  if (text.empty()) return std::optional<Duration>();
  double number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string unit = parsed.ec == std::errc() ? std::string(parsed.ptr, text.data() + text.size()) : "?";
  for (const auto& [known, seconds] :
       {std::pair("ms", 0.001), std::pair("s", 1.0), std::pair("m", 60.0), std::pair("h", 3600.0), std::pair("d", 86400.0)}) {
    if (unit == known && number >= 0)
      return std::optional<Duration>(std::chrono::duration_cast<Duration>(std::chrono::duration<double>(number * seconds)));
  }
  return Fail("'" + text + "' is no time for --" + name, "a number and its unit: 500ms, 90s, 15m, 2h, 1d");
}

void PrintBackupRestore(const RestoreOutcome& outcome) { PrintRestore(outcome); }

Result<std::vector<backup::SqlCheck>> ReadSqlChecks(const std::string& file) {
  if (file.empty()) return std::vector<backup::SqlCheck>();
  return ReadChecks(file);
}

Result<std::uint64_t> RecordDrill(const CommonOptions& common, const BackupOptions& options, const Json& outcome) {
  const std::string named = !common.region.empty() ? common.region : options.settings ? options.settings->region.text : "";
  if (named.empty()) return std::uint64_t{0};
  const Result<Settings> settings = SettingsFor(common);
  if (!settings) return settings.error();
  const RegionSettings* region = settings->Find(RegionName(named));
  if (region == nullptr) return NotFound("there is no region '" + named + "' in '" + settings->file.string() + "'");
  Result<EvidenceLog> log = EvidenceLog::Open(region->state_directory + "/evidence.sqlite", region->name);
  if (!log) return log.error();
  const Result<EvidenceRow> row = log->Append("backup drill", ExecutionId(), outcome, ReadWallClock());
  if (!row) return row.error();
  return row->sequence;
}

Result<Unit> CheckRestoreFlags(const BackupOptions& options) {
  if (options.level < static_cast<int>(Level::kRestores)) return Done();
  const Result<RestoreOptions> restore = OptionsOf(options, static_cast<Level>(options.level));
  return restore ? Done() : Result<Unit>(restore.error());
}

int DrillBackup(const CommonOptions& common, const BackupOptions& given) {
  BackupOptions options = given;
  if (const Result<Unit> applied = ApplySource(common, options); !applied) return EndWith(applied.error(), common);
  if (IsRds(options.repository)) return VerifyRds(common, options, true);
  const auto lock = LockSource(options);
  if (!lock) return EndWith(lock.error(), common);
  Result<std::unique_ptr<backup::Source>> source = OpenBackups(options);
  if (!source) return EndWith(source.error(), common);
  Result<RestoreOptions> restore = OptionsOf(options, static_cast<Level>(options.level));
  if (!restore) return EndWith(restore.error(), common);
  restore->durable = true;
  restore->cancel = &cancelled;
  Result<RestoreOutcome> outcome = Fail("nothing was done");
  {
    const Interruptible interruptible;
    RestoreLine line(common.json);
    restore->on_progress = [&line](const backup::RestoreProgress& at) { line.Show(at); };
    outcome = backup::RestoreAndCheck(**source, *restore);
  }
  if (!outcome) return EndWith(outcome.error(), common);
  const Result<Unit> kept = KeepHistory(options.restore, *outcome);
  const Result<std::uint64_t> recorded = RecordDrill(common, options, backup::ToJson(*outcome));
  if (common.json) {
    Json json = backup::ToJson(*outcome);
    json["evidence"] = recorded && *recorded > 0 ? Json(*recorded) : Json(nullptr);
    std::printf("%s\n", json.dump(2).c_str());
  } else {
    std::printf("%s\n", outcome->source.c_str());
    PrintRestore(*outcome);
    PrintBackupFindings(outcome->findings);
    if (recorded && *recorded > 0) std::printf("evidence: record %llu\n", static_cast<unsigned long long>(*recorded));
    if (outcome->cancelled) std::printf("cancelled: what was not reached is not checked\n");
  }
  if (!kept) return EndWith(kept.error().Within("the figures for the next run were not kept"), common);
  // A drill without its record is no evidence: it failed, whatever it found.
  if (!recorded) return EndWith(recorded.error().Within("the drill was not recorded"), common);
  if (outcome->HasFault() || outcome->cancelled) return static_cast<int>(Exit::kFailed);
  const bool unknown = outcome->levels[static_cast<std::size_t>(Level::kRestores)].verdict != backup::Verdict::kPass;
  return static_cast<int>(unknown                                               ? Exit::kFailed
                          : outcome->MeetsObjectives() && WasLookedAt(*outcome) ? Exit::kDone
                                                                                : Exit::kNotMet);
}

}  // namespace lifeboat
