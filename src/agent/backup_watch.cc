#include "agent/backup_watch.h"

#include <algorithm>

#include "base/spawn.h"

namespace lifeboat {

namespace {

constexpr const char* kFormat = "lifeboat-backup-result/1";
constexpr Duration kLongestWait = 1min;  // wall clocks are set, and a wait is by another clock
constexpr Duration kBusyWait = 10s;
constexpr std::int64_t kTryAgain = 15 * 60;  // seconds after a run that gave no report
constexpr std::int64_t kClocksDiffer = 60;   // seconds
constexpr std::size_t kMostSets = 50;
constexpr std::size_t kMostWindows = 50;
constexpr std::size_t kMostFindings = 100;

std::int64_t SecondsOf(Duration d) { return std::chrono::duration_cast<std::chrono::seconds>(d).count(); }

Json ToJson(const BackupRecord& record) {
  return {{"started", record.started}, {"ended", record.ended},   {"exit_code", record.exit_code},
          {"problem", record.problem}, {"report", record.report}, {"reported", record.reported}};
}

BackupRecord RecordFromJson(const Json& json) {
  BackupRecord record;
  record.started = SignedAt(json, "started");
  record.ended = SignedAt(json, "ended");
  record.exit_code = static_cast<int>(SignedAt(json, "exit_code"));
  record.problem = TextAt(json, "problem");
  record.report = MemberAt(json, "report");
  record.reported = SignedAt(json, "reported");
  return record;
}

/// Keeps the newest, which stand last, or the first.
void Cut(Json& report, const char* list, std::size_t most, bool newest) {
  if (!report.is_object() || !report.contains(list) || !report[list].is_array() || report[list].size() <= most) return;
  Json& items = report[list];
  const std::size_t out = items.size() - most;
  if (newest) {
    items.erase(items.begin(), items.begin() + static_cast<std::ptrdiff_t>(out));
  } else {
    items.erase(items.end() - static_cast<std::ptrdiff_t>(out), items.end());
  }
  report["left_out"][list] = out;
}

/// The worst word that the sets say of each level; a level that no set was looked at by is "not checked".
Json WorstVerdicts(const Json& report) {
  static constexpr const char* kWorstFirst[] = {"fail", "unknown", "not checked", "pass"};
  Json worst = Json::object();
  const auto take = [&](const Json& levels) {
    for (const Json& level : levels) {
      const std::string name = TextAt(level, "name");
      const std::string verdict = TextAt(level, "verdict");
      const std::string before = TextAt(worst, name.c_str(), "pass");
      const auto rank = [](const std::string& word) {
        return std::find(std::begin(kWorstFirst), std::end(kWorstFirst), word) - std::begin(kWorstFirst);
      };
      if (!worst.contains(name) || rank(verdict) < rank(before)) worst[name] = verdict;
    }
  };
  for (const Json& set : MemberAt(report, "sets")) take(MemberAt(set, "levels"));
  if (!MemberAt(report, "sets").empty()) return worst;
  take(MemberAt(MemberAt(report, "wal"), "levels"));
  return worst;
}

Json FaultNumbers(const Json& report) {
  Json numbers = Json::array();
  for (const Json& finding : MemberAt(report, "findings")) {
    if (TextAt(finding, "severity") != "fault") continue;
    const Json number = TextAt(finding, "fault");
    if (std::find(numbers.begin(), numbers.end(), number) == numbers.end()) numbers.push_back(number);
  }
  return numbers;
}

/// Bytes as stored, of all sets and the WAL.
std::uint64_t StoredBytes(const Json& report, const char* which) {
  std::uint64_t bytes = NumberAt(MemberAt(MemberAt(report, "wal"), "counts"), which);
  for (const Json& set : MemberAt(report, "sets")) bytes += NumberAt(MemberAt(set, "counts"), which);
  return bytes;
}

/// The oldest reading that a verdict stands on; null: all was read by the run.
Json OldestReading(const Json& report) {
  Json oldest;
  const auto take = [&](const Json& counts) {
    const Json& at = MemberAt(counts, "oldest_reading");
    if (at.is_number() && (oldest.is_null() || at < oldest)) oldest = at;
  };
  take(MemberAt(MemberAt(report, "wal"), "counts"));
  for (const Json& set : MemberAt(report, "sets")) take(MemberAt(set, "counts"));
  return oldest;
}

/// The window that reaches furthest: {from, to, last_commit_s, holes}; null: there is none.
Json FurthestWindow(const Json& report) {
  Json furthest;
  for (const Json& window : MemberAt(report, "windows")) {
    if (!FlagAt(window, "restores")) continue;
    if (!furthest.is_null() && NumberAt(window, "to_bytes") < NumberAt(furthest, "to_bytes")) continue;
    furthest = window;
    furthest["holes"] = MemberAt(window, "holes").size();
  }
  if (furthest.is_null()) return furthest;
  return {{"backup", MemberAt(furthest, "backup")},
          {"from", MemberAt(furthest, "from")},
          {"to", MemberAt(furthest, "to")},
          {"from_bytes", MemberAt(furthest, "from_bytes")},
          {"to_bytes", MemberAt(furthest, "to_bytes")},
          {"last_commit_s", MemberAt(furthest, "last_commit_s")},
          {"holes", MemberAt(furthest, "holes")}};
}

/// From the start of the last restore to its first verified query; null: it did not come so far.
Json RestoreSeconds(const Json& report) {
  for (const Json& set : MemberAt(report, "sets")) {
    const Json& seconds = MemberAt(MemberAt(MemberAt(set, "restore"), "rto"), "measured_seconds");
    if (seconds.is_number()) return seconds;
  }
  return nullptr;
}

Json BriefOf(const BackupRecord& record) {
  if (!record.report.is_object() && record.started == 0) return nullptr;
  return {{"started", record.started},
          {"ended", record.ended},
          {"reported", record.reported},
          {"exit_code", record.exit_code},
          {"problem", record.problem},
          {"verdicts", record.report.is_object() ? WorstVerdicts(record.report) : Json(nullptr)},
          {"faults", record.report.is_object() ? FaultNumbers(record.report) : Json(nullptr)}};
}

/// What the newer of the two reports says of `key`.
const Json& Newest(const BackupRecord& verify, const BackupRecord& restore, const char* key) {
  const BackupRecord& newer = restore.report.is_object() && restore.reported >= verify.reported ? restore : verify;
  return MemberAt(MemberAt(newer.report, "freshness"), key);
}

std::string AgeText(std::int64_t age) { return FormatDuration(std::chrono::seconds(std::max<std::int64_t>(0, age))); }

}  // namespace

const char* ToString(BackupWork work) { return work == BackupWork::kVerify ? "verify" : "restore"; }

std::optional<std::int64_t> DueAt(const BackupSourceSettings& source, BackupWork work, const BackupRecord& record,
                                  std::int64_t now) {
  const std::int64_t every = SecondsOf(work == BackupWork::kVerify ? source.schedule.every : source.schedule.restore_every);
  if (every == 0) return std::nullopt;
  // A start in the future is by a clock that was wrong: waiting for it could last for ever.
  if (record.started == 0 || record.started > now + kClocksDiffer) return now;
  const bool gave_none = record.ended == 0 || !record.problem.empty();
  if (!gave_none) return record.started + every;
  return std::min(record.started + every, std::max(record.started, record.ended) + kTryAgain);
}

Json Shortened(Json report) {
  Cut(report, "sets", kMostSets, true);
  Cut(report, "windows", kMostWindows, true);
  Cut(report, "findings", kMostFindings, false);
  return report;
}

Json BackupBrief(const BackupSourceSettings& source, const BackupRecord& verify, const BackupRecord& restore) {
  return {{"source", source.name},
          {"newest", Newest(verify, restore, "newest")},
          {"verified", Newest(verify, restore, "verified")},
          {"verify", BriefOf(verify)},
          {"restore", BriefOf(restore)},
          {"window", FurthestWindow(verify.report)},
          {"read_bytes", verify.report.is_object() ? Json(StoredBytes(verify.report, "stored_bytes")) : Json(nullptr)},
          {"standing_bytes", verify.report.is_object() ? Json(StoredBytes(verify.report, "standing_bytes")) : Json(nullptr)},
          {"oldest_reading", OldestReading(verify.report)},
          {"restore_seconds", RestoreSeconds(restore.report)}};
}

Json BackupCheckLine(const BackupSourceSettings& source, const Json& brief, std::int64_t now) {
  const auto line = [&](bool good, const std::string& what, const std::string& hint) {
    const char* level = good ? "ok" : source.gate ? "fault" : "warn";
    return Json{
        {"level", level}, {"what", "backups '" + source.name + "' of '" + source.region.text + "': " + what}, {"hint", hint}};
  };
  const std::string verify = "lifeboat backup verify --source " + source.name;
  if (!brief.is_object())
    return line(false, "unknown: its agent does not answer, or has not looked yet",
                "start the agent of '" + source.region.text + "'");
  const Json& last = MemberAt(brief, "verify");
  const Json& verified = MemberAt(brief, "verified");
  const std::string problem = TextAt(last, "problem");
  if (!verified.is_object() || SignedAt(verified, "stopped") == 0) {
    if (!problem.empty())
      return line(false, "the last verified backup is unknown: the verification gave no report: " + problem, verify);
    if (!last.is_object() || SignedAt(last, "reported") == 0)
      return line(false, "the last verified backup is unknown: nothing was verified yet", verify);
    return line(false, "none of its backups is verified", verify);
  }
  const std::int64_t age = now - SignedAt(verified, "stopped");
  const std::int64_t objective = SecondsOf(source.objectives.verified_age);
  std::string what = "the last verified backup, '" + TextAt(verified, "label") + "', is " + AgeText(age) + " old";
  if (objective != 0) what += ", the objective is " + AgeText(objective);
  std::string faults;
  for (const char* work : {"verify", "restore"}) {
    for (const Json& number : MemberAt(MemberAt(brief, work), "faults")) {
      if (number != "F01" && faults.find(number.get<std::string>()) == std::string::npos)
        faults += (faults.empty() ? "" : ", ") + number.get<std::string>();
    }
  }
  if (!faults.empty()) what += "; faults were found: " + faults;
  if (!problem.empty()) what += "; the last run gave no report: " + problem;
  const bool young = age >= -kClocksDiffer && (objective == 0 || age <= objective);
  // SAFETY: a fault in one backup does not make another one, which was verified, worth less; it is told, and the age decides.
  return line(young && (source.gate || (faults.empty() && problem.empty())), what,
              young && faults.empty() && problem.empty() ? "" : verify);
}

std::string BackupGateObjection(const BackupSourceSettings& source, const Json& brief, std::int64_t now) {
  if (!source.gate) return {};
  const Json line = BackupCheckLine(source, brief, now);
  if (TextAt(line, "level") != "fault") return {};
  return "a planned switchover waits for the backups of its target, since they are a gate: " + TextAt(line, "what");
}

BackupWatch::BackupWatch(boost::asio::any_io_executor io, const Settings& settings, RegionName self, std::string folder,
                         Doors doors, Log log)
    : io_(std::move(io)), folder_(std::move(folder)), doors_(std::move(doors)), log_(std::move(log)) {
  for (const BackupSourceSettings& source : settings.backups) {
    if (source.region == self) sources_.push_back({&source, {{BackupWork::kVerify, {}}, {BackupWork::kRestore, {}}}});
  }
}

void BackupWatch::Start() {
  if (HasWork()) Spawn(io_, Loop());
}

Json BackupWatch::Results() const {
  Json results = Json::array();
  for (const Source& source : sources_) {
    results.push_back({{"source", source.settings->name},
                       {"verify", ToJson(source.records.at(BackupWork::kVerify))},
                       {"restore", ToJson(source.records.at(BackupWork::kRestore))}});
  }
  return results;
}

void BackupWatch::Changed() {
  briefs_ = Json::array();
  for (const Source& source : sources_) {
    briefs_.push_back(
        BackupBrief(*source.settings, source.records.at(BackupWork::kVerify), source.records.at(BackupWork::kRestore)));
  }
  if (on_change) on_change();
}

Task<> BackupWatch::Loop() {
  co_await ReadRecords();
  while (true) {
    const std::optional<Due> due = NextDue();
    if (!due || due->at > Now()) {
      Duration wait = kLongestWait;
      if (due) wait = std::min<Duration>(wait, std::chrono::seconds(due->at - Now()));
      co_await doors_.clock.Sleep(wait);
    } else if (doors_.busy && doors_.busy()) {
      co_await doors_.clock.Sleep(kBusyWait);
    } else {
      co_await Work(*due);
    }
  }
}

/// The one that has waited longest; of two, the one that stands first in the file.
std::optional<BackupWatch::Due> BackupWatch::NextDue() const {
  std::optional<Due> next;
  for (std::size_t source = 0; source < sources_.size(); ++source) {
    for (const auto& [work, record] : sources_[source].records) {
      const auto at = DueAt(*sources_[source].settings, work, record, Now());
      if (at && (!next || *at < next->at)) next = Due{source, work, *at};
    }
  }
  return next;
}

Task<> BackupWatch::ReadRecords() {
  for (Source& source : sources_) {
    const std::string file = FileOf(source);
    const auto text = co_await doors_.files.Read(file);
    if (!text.ok()) {
      if (text.error().retry != Retry::kNotFound)
        log_.Warn("what is known of backups cannot be read", {{"problem", text.error().Text()}});
      continue;
    }
    const auto json = ParseJson(*text, file);
    // A file that is no record of ours costs one run more, not the agent.
    if (!json.ok() || TextAt(*json, "format") != kFormat || TextAt(*json, "source") != source.settings->name) {
      log_.Warn("what is known of backups is of no use: they are verified anew", {{"file", file}});
      continue;
    }
    source.records[BackupWork::kVerify] = RecordFromJson(MemberAt(*json, "verify"));
    source.records[BackupWork::kRestore] = RecordFromJson(MemberAt(*json, "restore"));
  }
  Changed();
}

Task<> BackupWatch::Work(Due due) {
  Source& source = sources_[due.source];
  const BackupSourceSettings& settings = *source.settings;
  BackupRecord& record = source.records[due.work];
  BackupRun run;
  run.source = settings.name;
  run.work = due.work;
  run.began = doors_.clock.Wall();
  record.started = Now();
  record.ended = 0;
  // Kept before it begins: a run that ends the agent each time must not be begun again at once each time.
  co_await Keep(due.source);
  BackupTask task;
  task.source = settings.name;
  task.level = due.work == BackupWork::kVerify ? settings.schedule.level : settings.schedule.restore_level;
  task.deadline = settings.schedule.deadline;
  run.level = task.level;
  log_.Info("backups are looked at", {{"source", settings.name}, {"work", ToString(due.work)}, {"level", task.level}});
  auto answer = co_await doors_.runner.Run(std::move(task));
  record.ended = std::max(Now(), record.started);
  record.problem = answer.ok() ? "" : answer.error().message;
  record.exit_code = answer.ok() ? answer->exit_code : 1;
  if (answer.ok()) {
    record.report = Shortened(std::move(answer->report));
    record.reported = record.ended;
  }
  run.ended = doors_.clock.Wall();
  run.problem = record.problem;
  run.exit_code = record.exit_code;
  if (run.problem.empty()) run.report = record.report;
  if (on_run) on_run(run);
  co_await Keep(due.source);
  co_await Record(due.source, due.work);
}

Task<> BackupWatch::Keep(std::size_t source) {
  const Source& kept = sources_[source];
  const Json json = {{"format", kFormat},
                     {"source", kept.settings->name},
                     {"verify", ToJson(kept.records.at(BackupWork::kVerify))},
                     {"restore", ToJson(kept.records.at(BackupWork::kRestore))}};
  Changed();
  std::string text = json.dump() + "\n";
  const auto written = co_await doors_.files.Write(FileOf(kept), std::move(text));
  if (!written.ok()) log_.Warn("what was found of backups cannot be kept", {{"problem", written.error().Text()}});
}

Task<> BackupWatch::Record(std::size_t source, BackupWork work) {
  const BackupSourceSettings& settings = *sources_[source].settings;
  const BackupRecord& record = sources_[source].records.at(work);
  Json body =
      BackupBrief(settings, sources_[source].records.at(BackupWork::kVerify), sources_[source].records.at(BackupWork::kRestore));
  body["work"] = ToString(work);
  if (record.problem.empty()) {
    body["windows"] = MemberAt(record.report, "windows").size();
    body["objectives"] = MemberAt(MemberAt(record.report, "freshness"), "objectives");
  }
  const WallTime at = doors_.clock.Wall();
  const auto appended = co_await doors_.evidence.Append("backup", ExecutionId(), std::move(body), at);
  if (!appended.ok())
    log_.Warn("what was found of backups could not be recorded as evidence", {{"problem", appended.error().Text()}});
  log_.Info("backups were looked at",
            {{"source", settings.name}, {"work", ToString(work)}, {"exit_code", record.exit_code}, {"problem", record.problem}});
}

}  // namespace lifeboat
