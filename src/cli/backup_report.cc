#include "cli/backup_report.h"

#include <algorithm>
#include <map>

#include "agent/backup_watch.h"
#include "backup/freshness.h"

namespace lifeboat {

namespace {

using backup::Aged;
using backup::Level;

std::optional<Aged> AgedFrom(const Json& json) {
  if (!json.is_object()) return std::nullopt;
  return Aged{TextAt(json, "label"), SignedAt(json, "stopped")};
}

/// A promise about a restore, as the restore itself has judged it.
Json RestoreLine(const char* name, Duration objective, const Json& restore) {
  const Json& told = MemberAt(restore, name);
  std::string verdict = TextAt(told, "verdict", objective == Duration{0} ? "not checked" : "unknown");
  return {{"name", name},
          {"objective_s", objective == Duration{0} ? Json(nullptr) : Json(Seconds(objective))},
          {"measured_s", MemberAt(told, "measured_seconds")},
          {"verdict", verdict},
          {"reason", TextAt(told, "reason", restore.is_object() ? "" : "nothing was restored yet")}};
}

/// Of the restore's own levels it alone speaks, of the others the verification.
Json LevelsOf(const Json& brief) {
  Json levels = Json::array();
  for (int level = 0; level < backup::kLevels; ++level) {
    const char* name = backup::ToString(static_cast<Level>(level));
    const char* work = level > static_cast<int>(Level::kPages) ? "restore" : "verify";
    levels.push_back(
        {{"level", level}, {"name", name}, {"verdict", TextAt(MemberAt(MemberAt(brief, work), "verdicts"), name, "not checked")}});
  }
  return levels;
}

/// Of both runs, each finding once.
Json FindingsOf(const Json& verify, const Json& restore) {
  Json findings = Json::array();
  for (const Json& report : {verify, restore}) {
    for (const Json& finding : MemberAt(report, "findings")) {
      if (std::find(findings.begin(), findings.end(), finding) == findings.end()) findings.push_back(finding);
    }
  }
  return findings;
}

Json RestoreOf(const Json& report) {
  for (const Json& set : MemberAt(report, "sets")) {
    if (MemberAt(set, "restore").is_object()) return MemberAt(set, "restore");
  }
  return nullptr;
}

BackupRecord RecordOf(const Json& result, const char* work) {
  const Json& json = MemberAt(result, work);
  BackupRecord record;
  record.started = SignedAt(json, "started");
  record.ended = SignedAt(json, "ended");
  record.exit_code = static_cast<int>(SignedAt(json, "exit_code"));
  record.problem = TextAt(json, "problem");
  record.report = MemberAt(json, "report");
  record.reported = SignedAt(json, "reported");
  return record;
}

}  // namespace

Json BackupForReport(const BackupSourceSettings& source, const Json& result, const std::string& problem, std::int64_t now) {
  const BackupRecord verify = RecordOf(result, "verify");
  const BackupRecord restore = RecordOf(result, "restore");
  const Json brief = BackupBrief(source, verify, restore);
  backup::FreshnessQuestion question;
  question.now = now;
  question.backup_age = source.objectives.backup_age;
  question.verified_age = source.objectives.verified_age;
  question.newest = AgedFrom(MemberAt(brief, "newest"));
  question.verified = AgedFrom(MemberAt(brief, "verified"));
  question.level = source.schedule.level;
  const bool known = verify.report.is_object() || restore.report.is_object();
  std::vector<backup::Finding> ignored;  // the runs have told theirs
  std::vector<backup::ObjectiveLine> lines = backup::JudgeFreshness(question, ignored);
  // SAFETY: what nobody has looked at is unknown: neither kept nor broken.
  for (backup::ObjectiveLine& line : lines) {
    if (known) continue;
    line.verdict = line.objective == Duration{0} ? backup::Verdict::kNotChecked : backup::Verdict::kUnknown;
    line.reason = "nothing was verified yet";
  }
  const Json last_restore = RestoreOf(restore.report);
  Json objectives = backup::ToJson(lines);
  objectives.push_back(RestoreLine("rto", source.objectives.rto, last_restore));
  objectives.push_back(RestoreLine("rpo", source.objectives.rpo, last_restore));
  std::string why = problem;
  if (why.empty() && !verify.problem.empty()) why = "the last verification gave no report: " + verify.problem;
  if (why.empty() && !restore.problem.empty()) why = "the last restore gave no report: " + restore.problem;
  const auto list = [](const Json& json) { return json.is_array() ? json : Json(Json::array()); };
  return {{"source", source.name},
          {"region", source.region.text},
          {"gate", source.gate},
          {"as_of", verify.reported == 0 ? Json(nullptr) : Json(verify.reported)},
          {"problem", why},
          {"levels", LevelsOf(brief)},
          {"objectives", objectives},
          {"sets", list(MemberAt(verify.report, "sets"))},
          {"findings", FindingsOf(verify.report, restore.report)},
          {"windows", list(MemberAt(verify.report, "windows"))},
          {"restore", last_restore},
          {"read",
           {{"read_bytes", MemberAt(brief, "read_bytes")},
            {"standing_bytes", MemberAt(brief, "standing_bytes")},
            {"oldest_reading", MemberAt(brief, "oldest_reading")}}}};
}

Json BackupsForReport(const Settings& settings, const CommonOptions& options) {
  std::map<RegionName, Result<Answered>> answers;
  Json backups = Json::array();
  const std::int64_t now = ReadWallClock().ns / 1000000000;
  for (const BackupSourceSettings& source : settings.backups) {
    if (answers.count(source.region) == 0) {
      CommonOptions there = options;
      there.region = source.region.text;
      answers.emplace(source.region, Ask(settings, there, "backups.results", Json::object(), std::chrono::seconds(10)));
    }
    const Result<Answered>& answer = answers.at(source.region);
    Json found;
    const Json said = answer.ok() ? answer->json : Json();  // it must outlive the loop over a part of it
    for (const Json& result : MemberAt(said, "results")) {
      if (TextAt(result, "source") == source.name) found = result;
    }
    backups.push_back(BackupForReport(source, found, answer.ok() ? "" : answer.error().message, now));
  }
  return backups;
}

}  // namespace lifeboat
