#include "cli/backup.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <thread>

#include "adapters/backups/read_wal.h"
#include "adapters/backups/known_bad.h"
#include "adapters/backups/verify.h"
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

Result<std::unique_ptr<backup::Source>> Open(const BackupOptions& options) {
  Result<std::shared_ptr<Secret>> pass = ReadPass(options.cipher_pass_file);
  if (!pass) return pass.error();
  return backup::OpenSource({options.repository, options.wal, options.stanza, std::move(*pass)});
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
    const double left = rate > 0 ? static_cast<double>(at.total - std::min(at.done, at.total)) / rate : 0;
    std::fprintf(stderr, "\r\033[K%3.0f %%  %s of %s  %s/s  %s left  %s", 100.0 * static_cast<double>(at.done) / static_cast<double>(at.total),
                 FormatBytes({at.done}).c_str(), FormatBytes({at.total}).c_str(), FormatBytes({static_cast<std::uint64_t>(rate)}).c_str(),
                 FormatDuration(std::chrono::seconds(static_cast<std::int64_t>(left))).c_str(), at.doing.c_str());
  }

 private:
  bool shown_;
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

/// Self-test, then the run. Ctrl-C ends it between two blocks: it only reads, so nothing is left behind.
Result<backup::Verified> Run(backup::Source& source, backup::VerifyOptions run, const BackupOptions& options, bool json) {
  const Result<Unit> proven = backup::ProveThatChecksCanFail();
  if (!proven) return proven.error();
  run.set = options.set;
  run.threads = options.threads != 0 ? options.threads : std::max(1U, std::thread::hardware_concurrency());
  run.cancel = &cancelled;
  const ProgressLine line(json);
  run.on_progress = [&line](const backup::Progress& at) { line.Show(at); };
  const auto before = std::signal(SIGINT, [](int) { cancelled = true; });
  Result<backup::Verified> verified = backup::Verify(source, run);
  (void)std::signal(SIGINT, before);
  return verified;
}

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

void PrintReport(const backup::Report& report) {
  std::printf("%s\n", report.source.c_str());
  Table table({"backup", "kind", "exists", "structure", "bytes", "pages", "restores", "logic", "content"});
  const auto add = [&](const std::string& label, const std::string& kind, const backup::Levels& levels) {
    std::vector<std::string> row = {label, kind};
    for (const backup::LevelResult& each : levels) row.push_back(LevelText(each));
    table.Add(std::move(row));
  };
  for (const backup::SetReport& set : report.sets) add(set.label, set.kind, set.levels);
  add("WAL", "", report.wal_levels);
  std::printf("%s", table.Text().c_str());
  for (const backup::SetReport& set : report.sets) {
    for (int level = 0; level <= static_cast<int>(Level::kPages); ++level) {
      const backup::LevelResult& each = set.levels[static_cast<std::size_t>(level)];
      if (!each.reason.empty() && each.reason != "not asked for") {
        std::printf("  %s, %s: %s: %s\n", set.label.c_str(), backup::ToString(static_cast<Level>(level)), backup::ToString(each.verdict),
                    each.reason.c_str());
      }
    }
  }
  PrintFindings(report.findings);
  backup::Counts all = report.wal_counts;
  for (const backup::SetReport& set : report.sets) all.Add(set.counts);
  std::printf("%llu files, %s, %llu pages (%llu replaced by WAL), %llu WAL segments, %llu records, in %s\n",
              static_cast<unsigned long long>(all.files), FormatBytes({all.bytes}).c_str(), static_cast<unsigned long long>(all.pages),
              static_cast<unsigned long long>(all.hot_pages), static_cast<unsigned long long>(all.wal_segments),
              static_cast<unsigned long long>(all.wal_records), FormatDuration(report.took).c_str());
  if (report.cancelled) std::printf("cancelled: what was not reached is not checked\n");
}

int CodeOf(const backup::Report& report) {
  return static_cast<int>(report.HasFault() || report.cancelled ? Exit::kFailed : Exit::kDone);
}

}  // namespace

int ListBackups(const CommonOptions& common, const BackupOptions& options) {
  Result<std::unique_ptr<backup::Source>> source = Open(options);
  if (!source) return EndWith(source.error(), common);
  const Result<backup::Inventory> inventory = (*source)->Look();
  if (!inventory) return EndWith(inventory.error(), common);
  Json sets = Json::array();
  Table table({"backup", "kind", "ended", "age", "size", "stored", "needs WAL", "after"});
  for (const backup::SetInfo& set : inventory->sets) {
    const std::string wal = set.span.wal.empty() ? "unknown" : set.span.wal.front().start.Text() + " to " + set.span.wal.back().end.Text();
    table.Add({set.label, set.present ? set.kind : set.kind + " (gone)", TimeText(set.stopped), AgeText(set.stopped), FormatBytes({set.size}),
               FormatBytes({set.stored_size}), wal, set.prior});
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
  bool fault = false;
  for (const Finding& each : inventory->findings) fault = fault || each.severity == Severity::kFault;
  if (common.json) {
    Json archives = Json::array();
    for (const backup::Archive& each : inventory->archives) archives.push_back({{"name", each.name}, {"segments", each.wal.size()}, {"segment_bytes", each.segment_bytes}});
    Json findings = Json::array();
    for (const Finding& each : inventory->findings) findings.push_back(backup::ToJson(each));
    std::printf("%s\n", Json{{"format", "lifeboat-backup-list/1"}, {"source", (*source)->name()}, {"sets", sets}, {"archives", archives}, {"findings", findings}}.dump(2).c_str());
    return static_cast<int>(fault ? Exit::kFailed : Exit::kDone);
  }
  std::printf("%s\n%s", (*source)->name().c_str(), table.Text().c_str());
  for (const backup::Archive& each : inventory->archives) {
    std::printf("  WAL %s: %zu segments of %s\n", each.name.c_str(), each.wal.size(), each.segment_bytes == 0 ? "unknown size" : FormatBytes({each.segment_bytes}).c_str());
  }
  PrintFindings(inventory->findings);
  return static_cast<int>(fault ? Exit::kFailed : Exit::kDone);
}

int VerifyBackups(const CommonOptions& common, const BackupOptions& options) {
  Result<std::unique_ptr<backup::Source>> source = Open(options);
  if (!source) return EndWith(source.error(), common);
  backup::VerifyOptions run;
  run.level = static_cast<Level>(options.level);
  const Result<backup::Verified> verified = Run(**source, run, options, common.json);
  if (!verified) return EndWith(verified.error(), common);
  if (common.json) {
    std::printf("%s\n", backup::ToJson(verified->report).dump(2).c_str());
  } else {
    PrintReport(verified->report);
  }
  return CodeOf(verified->report);
}

int ShowWindows(const CommonOptions& common, const BackupOptions& options) {
  Result<std::unique_ptr<backup::Source>> source = Open(options);
  if (!source) return EndWith(source.error(), common);
  backup::VerifyOptions run;
  run.level = Level::kStructure;
  run.scope = backup::Scope::kWalOnly;
  const Result<backup::Verified> verified = Run(**source, run, options, common.json);
  if (!verified) return EndWith(verified.error(), common);
  Json windows = Json::array();
  if (!common.json) std::printf("%s\n", (*source)->name().c_str());
  Table table({"backup", "timeline", "from", "to", "last commit", "holes", "window ('.' missing, 'x' bad)"});
  for (std::size_t at = 0; at < verified->windows.size(); ++at) {
    const backup::Window& window = verified->windows[at];
    const auto commit = window.consistent ? backup::LastCommitBefore(**source, ArchivesOf(*verified, window.label), window.timeline, window.to) : std::nullopt;
    const std::string picture = backup::DrawWindow(window, verified->catalogs[at], 40);
    const std::string last = commit ? TimeText(*commit / 1000000) : "unknown";
    table.Add({window.label, std::to_string(window.timeline), window.consistent ? window.from.Text() : "does not restore",
               window.consistent ? window.to.Text() : "", window.consistent ? last : "", std::to_string(window.holes.size()), picture});
    Json holes = Json::array();
    for (const backup::Hole& hole : window.holes) {
      holes.push_back({{"first", backup::SegmentName(hole.first, verified->catalogs[at].segment_bytes())}, {"segments", hole.count}, {"missing", hole.missing}});
    }
    windows.push_back({{"backup", window.label}, {"restores", window.consistent}, {"timeline", window.timeline}, {"from", window.from.Text()},
                       {"to", window.to.Text()}, {"newest_wal", window.last.Text()}, {"last_commit", commit ? Json(last) : Json(nullptr)}, {"holes", holes}});
  }
  if (common.json) {
    Json findings = Json::array();
    for (const Finding& each : verified->report.findings) findings.push_back(backup::ToJson(each));
    std::printf("%s\n", Json{{"format", "lifeboat-backup-windows/1"}, {"windows", windows}, {"findings", findings}}.dump(2).c_str());
  } else {
    std::printf("%s", table.Text().c_str());
    PrintFindings(verified->report.findings);
  }
  return CodeOf(verified->report);
}

}  // namespace lifeboat
