#include "cli/backup.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "adapters/backups/blobs.h"
#include "adapters/backups/known_bad.h"
#include "adapters/backups/read_budget.h"
#include "adapters/backups/read_wal.h"
#include "adapters/backups/verify.h"
#include "cli/backup_live.h"
#include "cli/backup_s3.h"
#include "cli/backup_source.h"
#include "cli/backup_store.h"
#include "cli/table.h"

namespace lifeboat {

namespace {

using backup::Finding;
using backup::Level;
using backup::Severity;
using backup::Verdict;

std::atomic<bool> cancelled = false;

/// The secret of a pass file: its first line. @error kFail: others may read it, or it is empty
Result<std::shared_ptr<Secret>> ReadPass(const std::string& file) {
  if (file.empty()) return std::shared_ptr<Secret>();
  struct stat about {};
  if (stat(file.c_str(), &about) == 0 && (about.st_mode & 077U) != 0) {
    return Fail("others than its owner may read '" + file + "'", "chmod 600 '" + file + "'");
  }
  backup::ReadError error;
  const backup::StreamPtr stream = backup::OpenFile(file);
  std::optional<std::string> text = backup::ReadAll(*stream, 64U << 10, error);
  if (!text) return Fail("cannot read the pass file: " + error.message);
  text->resize(std::min(text->find('\n'), text->size()));
  if (text->empty()) return Fail("the pass file '" + file + "' is empty", "write repo1-cipher-pass into it, one line");
  return std::make_shared<Secret>(std::move(*text));
}

unsigned ThreadsOf(const BackupOptions& options) {
  return options.threads != 0 ? options.threads : std::max(1U, std::thread::hardware_concurrency());
}

Result<std::unique_ptr<backup::Source>> Open(const BackupOptions& options) {
  Result<std::shared_ptr<Secret>> pass = ReadPass(options.cipher_pass_file);
  if (!pass) return pass.error();
  backup::SourceOptions source{options.repository, options.wal, options.stanza, std::move(*pass)};
  for (const auto& [url, store] : {std::pair(&options.repository, &source.store), std::pair(&options.wal, &source.wal_store)}) {
    if (!IsS3(*url)) continue;
    Result<std::shared_ptr<S3Store>> blobs =
        OpenS3({*url, options.s3_region, options.s3_endpoint, options.s3_ca_file, options.s3_profile, ThreadsOf(options)});
    if (!blobs) return blobs.error();
    *store = std::move(*blobs);
  }
  switch (options.settings ? options.settings->kind : BackupKind::kAuto) {
    case BackupKind::kAuto: break;
    case BackupKind::kPgBackRest: return backup::OpenPgBackRest(source);
    case BackupKind::kBaseBackup: return backup::OpenBaseBackups(source);
    case BackupKind::kWal: return backup::OpenWalFolder(source);
    case BackupKind::kDump: return backup::OpenDumps(source);
    case BackupKind::kRds: break;  // never opened: it shows no files
  }
  return backup::OpenSource(source);
}

std::string TimeText(std::int64_t seconds) {
  if (seconds == 0) return "unknown";
  std::string text = FormatWallTime(WallTime{seconds * 1000000000});
  return text.substr(0, 19) + "Z";
}

std::string AgeText(std::int64_t seconds) {
  if (seconds == 0) return "unknown";
  return FormatDuration(std::chrono::seconds(std::max<std::int64_t>(0, ReadWallClock().ns / 1000000000 - seconds)));
}

/// A line on the terminal that says how far it is; nothing where nobody looks.
class ProgressLine {
 public:
  explicit ProgressLine(bool json) : shown_(!json && isatty(STDERR_FILENO) == 1) {}
  ~ProgressLine() {
    if (shown_) std::fprintf(stderr, "\r\033[K");
  }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void Show(const backup::Progress& at) const {
    if (!shown_ || at.total == 0) return;
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
    const double rate = seconds > 0 ? static_cast<double>(at.done) / seconds : 0;
    const bool known = seconds > 1 || at.done > at.total / 50;  // the first bytes say nothing of the rest
    const double left = rate > 0 ? static_cast<double>(at.total - std::min(at.done, at.total)) / rate : 0;
    const std::string wait =
        known ? FormatDuration(std::chrono::seconds(std::max<std::int64_t>(1, static_cast<std::int64_t>(left)))) + " left  " : "";
    std::fprintf(stderr, "\r\033[K%3.0f %%  %s of %s  %s/s  %s%s",
                 100.0 * static_cast<double>(at.done) / static_cast<double>(at.total), FormatBytes({at.done}).c_str(),
                 FormatBytes({at.total}).c_str(), FormatBytes({static_cast<std::uint64_t>(rate)}).c_str(), wait.c_str(),
                 at.doing.c_str());
  }

 private:
  bool shown_;
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

/// SAFETY: what a store did not answer is no verdict.
std::optional<Error> TroubleWith(const backup::Source& source) {
  const std::optional<Error> trouble = backup::TroubleOf(source);
  return trouble ? std::optional(trouble->Within("nothing can be said of '" + source.name() + "'")) : std::nullopt;
}

/// Self-test, then the run. Ctrl-C or a deadline ends it between two blocks: it only reads, so nothing is left behind.
Result<backup::Verified> Run(backup::Source& source, backup::VerifyOptions run, const BackupOptions& options, bool json) {
  const Result<Unit> proven = backup::ProveThatChecksCanFail();
  if (!proven) return proven.error();
  run.set = options.set == "all" ? "" : options.set;
  run.threads = ThreadsOf(options);
  run.cancel = &cancelled;
  backup::ReadBudget::OfProcess().Limit(options.read_rate);
  const ProgressLine line(json);
  run.on_progress = [&line](const backup::Progress& at) { line.Show(at); };
  Result<backup::Verified> verified = backup::Verify(source, run);
  if (const std::optional<Error> trouble = TroubleWith(source)) return *trouble;
  return verified;
}

/// Ctrl-C, a terminal that is closed and a deadline end what goes on while it lives; what was done until then is reported, and
/// remembered, and a sandbox is removed.
class Interruptible {
 public:
  explicit Interruptible(std::uint64_t deadline) {
    for (const int signal : kSignals) (void)std::signal(signal, [](int) { cancelled = true; });
    (void)alarm(static_cast<unsigned>(deadline));
  }
  ~Interruptible() {
    (void)alarm(0);
    for (const int signal : kSignals) (void)std::signal(signal, SIG_DFL);
  }
  Interruptible(const Interruptible&) = delete;
  Interruptible& operator=(const Interruptible&) = delete;

 private:
  static constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP, SIGALRM};
};

std::vector<const backup::Archive*> ArchivesOf(const backup::Verified& verified, const std::string& label) {
  std::vector<const backup::Archive*> archives;
  for (const backup::SetInfo& set : verified.inventory.sets) {
    if (set.label != label) continue;
    for (const std::size_t at : {set.own, set.archive}) {
      if (at != backup::kNowhere) archives.push_back(&verified.inventory.archives[at]);
    }
  }
  return archives;
}

void PrintFindings(std::vector<Finding> findings) {
  std::stable_sort(findings.begin(), findings.end(), [](const Finding& a, const Finding& b) { return a.fault < b.fault; });
  for (std::size_t at = 0; at < findings.size(); ++at) {
    const Finding& each = findings[at];
    std::printf("%s %s  %s%s%s%s%s: %s\n", each.Number().c_str(), each.severity == Severity::kFault ? "fault" : "note ",
                each.set.c_str(), each.set.empty() || each.object.empty() ? "" : " ", each.object.c_str(),
                each.position.empty() ? "" : " at ", each.position.c_str(), each.what.c_str());
    if (at + 1 < findings.size() && findings[at + 1].fault == each.fault && findings[at + 1].means == each.means) continue;
    std::printf("      restore: %s\n      do: %s\n", each.means.c_str(), each.todo.c_str());
  }
}

std::string LevelText(const backup::LevelResult& result) { return backup::ToString(result.verdict); }

std::string Count(std::uint64_t count, const char* one, const char* many) {
  return std::to_string(count) + " " + (count == 1 ? one : many);
}

/// What is so of many backups is said once.
void PrintReasons(const backup::Report& report) {
  constexpr std::size_t kNamed = 2;
  std::vector<std::pair<std::string, std::vector<std::string>>> told;  // what, of which: in the table's order
  const auto add = [&](const std::string& label, int level, const backup::LevelResult& each) {
    if (each.reason.empty() || each.reason == "not asked for") return;
    const std::string what =
        std::string(backup::ToString(static_cast<Level>(level))) + ": " + backup::ToString(each.verdict) + ": " + each.reason;
    const auto known = std::find_if(told.begin(), told.end(), [&](const auto& one) { return one.first == what; });
    if (known == told.end()) {
      told.push_back({what, {label}});
    } else {
      known->second.push_back(label);
    }
  };
  for (const backup::SetReport& set : report.sets) {
    for (int level = 0; level < backup::kLevels; ++level) add(set.label, level, set.levels[static_cast<std::size_t>(level)]);
  }
  for (int level = 0; level <= static_cast<int>(Level::kBytes); ++level)
    add("WAL", level, report.wal_levels[static_cast<std::size_t>(level)]);
  for (const auto& [what, labels] : told) {
    std::string whose = std::to_string(labels.size()) + " backups";
    if (labels.size() <= kNamed) whose = labels.size() == 1 ? labels[0] : labels[0] + " and " + labels[1];
    std::printf("  %s, %s\n", whose.c_str(), what.c_str());
  }
}

void PrintReport(const backup::Report& report) {
  std::printf("%s\n", report.source.c_str());
  Table table({"backup", "kind", "exists", "structure", "bytes", "pages", "restores", "logic", "content"});
  const auto add = [&](const std::string& label, const std::string& kind, const backup::Levels& levels) {
    std::vector<std::string> row = {label, kind};
    for (const backup::LevelResult& each : levels) row.push_back(LevelText(each));
    table.Add(std::move(row));
  };
  for (const backup::SetReport& set : report.sets) add(set.label, set.kind, set.levels);
  // A source of dumps has none.
  const bool wal = std::any_of(report.wal_levels.begin(), report.wal_levels.end(),
                               [](const auto& each) { return each.verdict != Verdict::kNotChecked; });
  if (wal || report.sets.empty()) add("WAL", "", report.wal_levels);
  std::printf("%s", table.Text().c_str());
  PrintReasons(report);
  PrintFindings(report.findings);
  backup::Counts all = report.wal_counts;
  for (const backup::SetReport& set : report.sets) all.Add(set.counts);
  if (all.files == 0 && all.bytes == 0) {
    const std::string headers =
        all.wal_segments > 0 ? ", the headers of " + Count(all.wal_segments, "WAL segment", "WAL segments") : "";
    std::printf("looked at: lists%s, in %s\n", headers.c_str(), FormatDuration(report.took).c_str());
    if (report.cancelled) std::printf("cancelled: what was not reached is not checked\n");
    return;
  }
  std::string read = Count(all.files, "file", "files") + ", " + FormatBytes({all.bytes});
  if (all.pages > 0) read += ", " + Count(all.pages, "page", "pages");
  if (all.hot_pages > 0) read += " (" + std::to_string(all.hot_pages) + " replaced by WAL)";
  if (all.wal_segments > 0)
    read += ", " + Count(all.wal_segments, "WAL segment", "WAL segments") + ", " + Count(all.wal_records, "record", "records");
  std::printf("read: %s, in %s\n", read.c_str(), FormatDuration(report.took).c_str());
  if (all.standing_files > 0) {
    std::printf(
        "not read now, as they are unchanged since they were found good: %llu files and segments, %s stored, the oldest read %s "
        "ago\n",
        static_cast<unsigned long long>(all.standing_files), FormatBytes({all.standing_bytes}).c_str(),
        AgeText(all.oldest_reading).c_str());
  }
  if (report.cancelled) std::printf("cancelled: what was not reached is not checked\n");
}

/// A fault weighs more than a promise that is not kept (F01).
int CodeOf(const std::vector<Finding>& findings, bool cancelled_early, bool missed) {
  bool fault = false;
  for (const Finding& each : findings) {
    if (each.severity == Severity::kFault) (each.fault == 1 ? missed : fault) = true;
  }
  return static_cast<int>(fault || cancelled_early ? Exit::kFailed : missed ? Exit::kNotMet : Exit::kDone);
}

/// SAFETY: what was asked for and could not be told must not look like a success to whoever reads the exit code alone.
bool AnyUnknown(const backup::Report& report, int level) {
  for (const backup::SetReport& set : report.sets) {
    for (int at = 0; at <= std::min(level, static_cast<int>(Level::kPages)); ++at) {
      if (set.levels[static_cast<std::size_t>(at)].verdict == Verdict::kUnknown) return true;
    }
  }
  return false;
}

/// SAFETY: a place for backups that holds none is no success, promised or not.
void TellEmpty(const backup::Source& source, const std::vector<backup::SetInfo>& sets, std::vector<Finding>& findings) {
  const bool told = std::any_of(findings.begin(), findings.end(), [](const Finding& each) { return each.fault == 1; });
  // Where a list cannot be read, that is told, and nobody knows.
  const bool unread = std::any_of(findings.begin(), findings.end(),
                                  [](const Finding& each) { return each.set.empty() && each.severity == Severity::kFault; });
  if (!source.holds_backups() || !sets.empty() || told || unread) return;
  findings.push_back(backup::MakeFinding(1, "", source.name(), "", "there is no backup in it"));
}

/// The true windows with their holes, by position and as text.
Json WindowsJson(backup::Source& source, const backup::Verified& verified) {
  Json windows = Json::array();
  for (std::size_t at = 0; at < verified.windows.size(); ++at) {
    const backup::Window& window = verified.windows[at];
    const std::uint64_t segment = verified.catalogs[at].segment_bytes();
    Json holes = Json::array();
    for (const backup::Hole& hole : window.holes) {
      holes.push_back({{"first", backup::SegmentName(hole.first, segment)},
                       {"segments", hole.count},
                       {"missing", hole.missing},
                       {"first_bytes", hole.first.number * segment},
                       {"bytes", hole.count * segment}});
    }
    Json json = {{"backup", window.label},
                 {"restores", window.consistent},
                 {"timeline", window.timeline},
                 {"from", window.from.Text()},
                 {"to", window.to.Text()},
                 {"newest_wal", window.last.Text()},
                 {"last_commit", nullptr},
                 {"last_commit_s", nullptr},
                 {"from_bytes", window.from.bytes},
                 {"to_bytes", window.to.bytes},
                 {"newest_wal_bytes", window.last.bytes},
                 {"holes", std::move(holes)}};
    if (window.consistent) {
      if (const auto commit = backup::LastCommitBefore(source, ArchivesOf(verified, window.label), window.timeline, window.to)) {
        json["last_commit"] = TimeText(*commit / 1000000);
        json["last_commit_s"] = *commit / 1000000;
      }
    }
    windows.push_back(std::move(json));
  }
  return windows;
}

backup::VerifiedMemory::RunOptions MemoryRunOf(const BackupOptions& options) {
  backup::VerifiedMemory::RunOptions run;
  run.scope = options.set;
  run.full = options.full;
  if (options.settings) run.share = {options.settings->rolling_part, options.settings->rolling_of};
  run.now = ReadWallClock().ns / 1000000000;
  return run;
}

}  // namespace

void PrintBackupReport(const backup::Report& report) { PrintReport(report); }

void PrintBackupFindings(const std::vector<Finding>& findings) { PrintFindings(findings); }

Result<std::unique_ptr<backup::Source>> OpenBackups(const BackupOptions& options) { return Open(options); }

int ListBackups(const CommonOptions& common, const BackupOptions& given) {
  BackupOptions options = given;
  if (const Result<Unit> applied = ApplySource(common, options); !applied) return EndWith(applied.error(), common);
  if (IsRds(options.repository)) {
    options.level = 0;
    return VerifyRds(common, options);
  }
  Result<std::unique_ptr<backup::Source>> source = Open(options);
  if (!source) return EndWith(source.error(), common);
  const Result<backup::Inventory> inventory = (*source)->Look();
  if (!inventory) return EndWith(inventory.error(), common);
  Json sets = Json::array();
  Table table({"backup", "kind", "ended", "age", "size", "stored", "needs WAL", "after"});
  for (const backup::SetInfo& set : inventory->sets) {
    const std::string wal = set.logical            ? "none"
                            : set.span.wal.empty() ? "unknown"
                                                   : set.span.wal.front().start.Text() + " to " + set.span.wal.back().end.Text();
    table.Add({set.label, set.present ? set.kind : set.kind + " (gone)", TimeText(set.stopped), AgeText(set.stopped),
               FormatBytes({set.size}), FormatBytes({set.stored_size}), wal, set.prior});
    sets.push_back({{"label", set.label},
                    {"kind", set.kind},
                    {"present", set.present},
                    {"started", set.started},
                    {"stopped", set.stopped},
                    {"size", set.size},
                    {"stored_size", set.stored_size},
                    {"version", set.version},
                    {"prior", set.prior},
                    {"wal_start", set.span.wal.empty() ? "" : set.span.wal.front().start.Text()},
                    {"wal_stop", set.span.wal.empty() ? "" : set.span.wal.back().end.Text()}});
  }
  std::string problem;
  std::error_code missing;
  const auto memory = std::filesystem::exists(options.memory, missing) ? OpenMemory(options, problem) : nullptr;
  std::vector<Finding> findings = inventory->findings;
  const Freshness fresh = JudgeSource(options, inventory->sets, nullptr, memory.get(), findings);
  TellEmpty(**source, inventory->sets, findings);
  const int code = CodeOf(findings, false, backup::AnyMissed(fresh.lines));
  if (common.json) {
    Json archives = Json::array();
    for (const backup::Archive& each : inventory->archives)
      archives.push_back({{"name", each.name}, {"segments", each.wal.size()}, {"segment_bytes", each.segment_bytes}});
    Json told = Json::array();
    for (const Finding& each : findings) told.push_back(backup::ToJson(each));
    std::printf("%s\n", Json{{"format", "lifeboat-backup-list/1"},
                             {"source", (*source)->name()},
                             {"sets", sets},
                             {"archives", archives},
                             {"freshness", ToJson(fresh)},
                             {"findings", told}}
                            .dump(2)
                            .c_str());
    return code;
  }
  std::printf("%s\n%s", (*source)->name().c_str(), table.Text().c_str());
  for (const backup::Archive& each : inventory->archives) {
    std::printf("  WAL %s: %zu segments of %s\n", each.name.c_str(), each.wal.size(),
                each.segment_bytes == 0 ? "unknown size" : FormatBytes({each.segment_bytes}).c_str());
  }
  if (options.settings) PrintFreshness(fresh);
  PrintFindings(findings);
  return code;
}

int VerifyBackups(const CommonOptions& common, const BackupOptions& given) {
  BackupOptions options = given;
  if (const Result<Unit> applied = ApplySource(common, options); !applied) return EndWith(applied.error(), common);
  if (IsRds(options.repository)) return VerifyRds(common, options);
  if (const Result<Unit> good = CheckRestoreFlags(options); !good) return EndWith(good.error(), common);
  const Interruptible interruptible(options.deadline);
  Result<std::unique_ptr<backup::Source>> source = Open(options);
  if (!source) return EndWith(source.error(), common);
  const auto lock = LockSource(options);
  if (!lock) return EndWith(lock.error(), common);
  backup::VerifyOptions run;
  run.level = std::min(static_cast<Level>(options.level), Level::kPages);
  std::string memory_problem;
  const auto memory = OpenMemory(options, memory_problem);
  const backup::VerifiedMemory::RunOptions now = MemoryRunOf(options);
  if (memory) memory->Begin(now);
  run.memory = memory.get();
  const LiveAnswer live = AskSource(options.live);
  Result<backup::Verified> verified = Run(**source, run, options, common.json);
  if (!verified) return EndWith(verified.error(), common);
  backup::Report& report = verified->report;
  TellLive(live, verified->inventory, report);
  if (memory) {
    const Result<Unit> ended = memory->End(!report.cancelled && run.level >= Level::kBytes);
    if (!ended) memory_problem = ended.error().Text();
  }
  Json store;
  std::vector<backup::RestoreOutcome> restored;
  bool objectives_met = run.level == Level::kExists || report.cancelled || JudgeStore(options, **source, *verified, store);
  if (static_cast<Level>(options.level) > Level::kPages && !report.cancelled) {
    const Result<bool> met = RestoreForReport(**source, options, common, report, restored, cancelled);
    if (!met) return EndWith(met.error(), common);
    objectives_met = *met && objectives_met;
  }
  const Json windows = common.json ? WindowsJson(**source, *verified) : Json();
  if (const std::optional<Error> trouble = TroubleWith(**source)) return EndWith(*trouble, common);
  if (memory) NoteVerified(*memory, *verified, now.now);
  const Freshness fresh = JudgeSource(options, verified->inventory.sets, &report, memory.get(), report.findings);
  TellEmpty(**source, verified->inventory.sets, report.findings);
  if (common.json) {
    Json json = backup::ToJson(report);
    json["level"] = options.level;
    json["full"] = options.full;
    json["name"] = options.source;
    json["at"] = now.now;
    json["freshness"] = ToJson(fresh);
    json["windows"] = windows;
    json["store"] = store;
    json["live"] = ToJson(live);
    json["memory"] = {{"file", options.memory}, {"problem", memory_problem}};
    std::printf("%s\n", json.dump(2).c_str());
  } else {
    PrintReport(report);
    for (const backup::RestoreOutcome& each : restored) PrintBackupRestore(each);
    if (options.settings) PrintFreshness(fresh);
    if (!live.problem.empty()) std::printf("archiver and slots are not checked: %s\n", live.problem.c_str());
    PrintStore(store);
    if (!memory_problem.empty()) std::printf("everything was read: %s\n", memory_problem.c_str());
  }
  // What was asked for by name and did not answer was not looked at.
  const bool silent = !given.live.empty() && !live.problem.empty();
  const bool missed = backup::AnyMissed(fresh.lines) || !objectives_met || silent || AnyUnknown(report, options.level);
  return CodeOf(report.findings, report.cancelled, missed);
}

int ShowWindows(const CommonOptions& common, const BackupOptions& given) {
  BackupOptions options = given;
  if (const Result<Unit> applied = ApplySource(common, options); !applied) return EndWith(applied.error(), common);
  if (IsRds(options.repository))
    return EndWith(Refused("RDS shows no WAL, so there are no windows to draw", "lifeboat backup verify looks at its snapshots"),
                   common);
  Result<std::unique_ptr<backup::Source>> source = Open(options);
  if (!source) return EndWith(source.error(), common);
  backup::VerifyOptions run;
  run.level = Level::kStructure;
  run.scope = backup::Scope::kWalOnly;
  const Interruptible interruptible(options.deadline);
  const Result<backup::Verified> verified = Run(**source, run, options, common.json);
  if (!verified) return EndWith(verified.error(), common);
  const Json windows = WindowsJson(**source, *verified);
  if (const std::optional<Error> trouble = TroubleWith(**source)) return EndWith(*trouble, common);
  if (!common.json) std::printf("%s\n", (*source)->name().c_str());
  Table table({"backup", "timeline", "from", "to", "last commit", "holes", "window ('.' missing, 'x' bad)"});
  for (std::size_t at = 0; at < verified->windows.size(); ++at) {
    const backup::Window& window = verified->windows[at];
    const std::string picture = backup::DrawWindow(window, verified->catalogs[at], 40);
    const std::string last = TextAt(windows[at], "last_commit", "unknown");
    table.Add({window.label, std::to_string(window.timeline), window.consistent ? window.from.Text() : "does not restore",
               window.consistent ? window.to.Text() : "", window.consistent ? last : "", std::to_string(window.holes.size()),
               picture});
  }
  if (common.json) {
    Json findings = Json::array();
    for (const Finding& each : verified->report.findings) findings.push_back(backup::ToJson(each));
    std::printf("%s\n",
                Json{{"format", "lifeboat-backup-windows/1"}, {"windows", windows}, {"findings", findings}}.dump(2).c_str());
  } else {
    std::printf("%s", table.Text().c_str());
    PrintFindings(verified->report.findings);
  }
  return CodeOf(verified->report.findings, verified->report.cancelled, false);
}

}  // namespace lifeboat
