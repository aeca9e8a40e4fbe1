// What a restore found, as JSON and within a report.

#include <algorithm>

#include "adapters/backups/restore.h"

namespace lifeboat::backup {

namespace {

Json TimeJson(const std::optional<WallTime>& at) { return at ? Json(FormatWallTime(*at)) : Json(nullptr); }

Json ObjectiveJson(const ObjectiveResult& result) {
  return {{"objective_seconds", result.objective ? Json(Seconds(*result.objective)) : Json(nullptr)},
          {"measured_seconds", result.measured ? Json(Seconds(*result.measured)) : Json(nullptr)},
          {"verdict", ToString(result.verdict)},
          {"reason", result.reason}};
}

Json CountsJson(const ContentCounts& counts) {
  return {{"databases", counts.databases},
          {"tables", counts.tables},
          {"rows", counts.rows},
          {"counted_by_index", counts.counted_by_index},
          {"amcheck_indexes", counts.indexes},
          {"amcheck_heaps", counts.heaps},
          {"sequences", counts.sequences},
          {"sql_checks", counts.sql_checks}};
}

}  // namespace

bool RestoreOutcome::HasFault() const {
  return std::any_of(findings.begin(), findings.end(), [](const Finding& each) { return each.severity == Severity::kFault; });
}

bool RestoreOutcome::MeetsObjectives() const {
  for (const ObjectiveResult* each : {&rto, &rpo}) {
    if (each->objective && each->verdict != Verdict::kPass) return false;
  }
  return true;
}

Json ToJson(const RestoreOutcome& outcome) {
  Json levels = Json::array();
  const Json all = ToJson(outcome.levels);
  for (std::size_t level = static_cast<std::size_t>(Level::kRestores); level < all.size(); ++level) levels.push_back(all[level]);
  Json findings = Json::array();
  for (const Finding& each : outcome.findings) findings.push_back(ToJson(each));
  Json phases = Json::array();
  for (const Phase& each : outcome.phases) phases.push_back({{"name", each.name}, {"seconds", Seconds(each.took)}});
  return {{"format", "lifeboat-backup-restore/1"},
          {"source", outcome.source},
          {"set", outcome.set},
          {"kind", outcome.kind},
          {"target", outcome.target.Text()},
          {"began", FormatWallTime(outcome.began)},
          {"levels", levels},
          {"findings", findings},
          {"phases", phases},
          {"restored_bytes", outcome.restored_bytes},
          {"replayed_segments", outcome.replayed_segments},
          {"scratch_needed_bytes", outcome.scratch_needed},
          {"reached", outcome.reached.bytes == 0 ? Json(nullptr) : Json(outcome.reached.Text())},
          {"timeline", outcome.timeline},
          {"last_commit", TimeJson(outcome.commit)},
          {"newest_heartbeat", TimeJson(outcome.heartbeat)},
          {"rto", ObjectiveJson(outcome.rto)},
          {"rpo", ObjectiveJson(outcome.rpo)},
          {"counts", CountsJson(outcome.counts)},
          {"load", outcome.load},
          {"coverage", outcome.coverage},
          {"write_guard", outcome.write_guard},
          {"tool_network", outcome.tool_network},
          {"seconds", Seconds(outcome.took)},
          {"cancelled", outcome.cancelled},
          {"fault", outcome.HasFault()},
          {"meets_objectives", outcome.MeetsObjectives()}};
}

void AddToReport(const RestoreOutcome& outcome, Report& report) {
  for (SetReport& set : report.sets) {
    if (set.label != outcome.set) continue;
    for (const Level level : {Level::kRestores, Level::kLogic, Level::kContent}) {
      set.levels[static_cast<std::size_t>(level)] = outcome.levels[static_cast<std::size_t>(level)];
    }
    set.restore = ToJson(outcome);
    set.restore.erase("findings");  // they stand in the report's own
  }
  for (const Finding& each : outcome.findings) report.findings.push_back(each);
  report.took += outcome.took;
  report.cancelled = report.cancelled || outcome.cancelled;
}

}  // namespace lifeboat::backup
