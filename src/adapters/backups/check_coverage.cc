#include "adapters/backups/check_coverage.h"

#include <algorithm>

#include "backup/coverage.h"

namespace lifeboat::backup {

namespace {

constexpr auto kStopTimeout = std::chrono::minutes(30);  // of the checkpoint at shutdown

/// @error the server's words: without the map nothing can be said
Result<std::vector<IndexOfHeap>> AskForIndexes(const CheckOptions& options, const std::vector<std::string>& databases) {
  std::vector<IndexOfHeap> indexes;
  for (const std::string& database : databases) {
    SessionPlace place = options.place;
    place.database = database;
    Result<Session> session = Session::Open(place);
    if (!session) return session.error();
    QueryAnswer answer = session->Ask(kIndexesOfHeapsSql);
    if (!answer.ok()) return Fail("database '" + database + "': " + answer.error->message);
    for (std::vector<std::string>& row : answer.rows) {
      if (row.size() != 7) return Fail("database '" + database + "' lists its indexes in another form");
      indexes.push_back({std::move(row[0]), std::move(row[1]), std::move(row[2]), std::move(row[3]), std::move(row[4]),
                         std::move(row[5]), std::move(row[6])});
    }
  }
  return indexes;
}

/// True where a lower level told of this file, or of a segment of it.
bool IsKnown(const CheckOptions& options, const std::string& path) {
  return std::any_of(options.known.begin(), options.known.end(), [&](const Finding& each) {
    if (each.severity != Severity::kFault || (each.set != options.set && !each.set.empty())) return false;
    return each.object == path || each.object.starts_with(path + ".");
  });
}

/// Counts and sizes tell that rows are missing (F25, F26); where single entries show that it is a file or a page of another time,
/// that is what is wrong: the write was lost, and no row was cut off.
void NameLostWrite(const std::string& table, const Finding& lost_write, CheckState& state) {
  for (Finding& each : state.findings) {
    if (each.object != table || (each.fault != 25 && each.fault != 26)) continue;
    Finding named = lost_write;
    named.what += "; " + each.what;
    named.object = table;
    each = std::move(named);
  }
}

/// One damage, one number: what a lower level or an earlier check told of a table is not told again.
void Take(const CheckOptions& options, const std::vector<IndexOfHeap>& indexes, std::vector<Finding> findings, CheckState& state) {
  const std::set<std::string> told_before = state.told;
  for (Finding& finding : findings) {
    const auto named = std::find_if(indexes.begin(), indexes.end(), [&](const IndexOfHeap& each) {
      return each.table_path == finding.object || each.index_path == finding.object;
    });
    if (named == indexes.end()) continue;
    const std::string table = named->database + "." + named->table;
    if (IsKnown(options, finding.object) || IsKnown(options, named->table_path)) {
      ++state.known_again;
      continue;
    }
    if (told_before.count(table) > 0) {
      if (finding.fault == 28) NameLostWrite(table, finding, state);
      continue;
    }
    finding.what += " ('" + finding.object + "')";
    finding.object = table;
    state.told.insert(table);
    state.findings.push_back(std::move(finding));
  }
}

LevelResult Joined(const LevelResult& one, const CoverageReport& report) {
  const std::string reason = report.reason.empty() ? "" : "index-to-heap coverage: " + report.reason;
  // SAFETY: what was not looked at keeps the level from passing.
  const Verdict verdict = Both(one.verdict, report.verdict);
  return {verdict, one.verdict == verdict && !one.reason.empty() ? one.reason : reason};
}

}  // namespace

Json CheckCoverageOf(Sandbox& sandbox, const CheckOptions& options, const std::vector<std::string>& databases, CheckState& state,
                     LevelResult& content) {
  const auto undone = [&](const std::string& why) {
    content = Joined(content, {.verdict = Verdict::kUnknown, .reason = why});
    return Json(nullptr);
  };
  if (options.on_progress) options.on_progress({"coverage", 0, 0, ""});
  if (const Result<Unit> proven = ProveThatCoverageCanFail(); !proven) {
    state.findings.push_back(MakeFinding(50, options.set, "", "", proven.error().message));
    return undone(proven.error().message);
  }
  const Result<std::vector<IndexOfHeap>> indexes = AskForIndexes(options, databases);
  if (!indexes) return undone(indexes.error().message);
  if (const Result<Unit> stopped = sandbox.StopServer(kStopTimeout); !stopped) return undone(stopped.error().message);
  CoverageOptions check;
  check.set = options.set;
  check.threads = options.threads;
  check.cancel = options.place.cancel;
  Result<CoverageReport> report = CheckCoverage(sandbox.data(), *indexes, check);
  if (!report) return undone(report.error().message);
  const std::size_t told_before = state.findings.size();
  Take(options, *indexes, std::move(report->findings), state);
  if (report->verdict == Verdict::kFail && state.findings.size() == told_before) report->reason = "damage that was told before";
  content = Joined(content, *report);
  return ToJson(*report);
}

}  // namespace lifeboat::backup
