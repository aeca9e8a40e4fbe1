#include "backup/content.h"

#include <algorithm>

namespace lifeboat::backup {

namespace {

constexpr const char* kHistoryFormat = "lifeboat-backup-history/1";
constexpr std::uint64_t kFewRows = 100;  // tables of fewer come and go
// Prose packs to a third, what was encrypted not at all: written in hexadecimal digits to 0.57, in base64 to 0.76.
constexpr double kHardlyPacked = 0.5;
constexpr double kPackedWorse = 1.6;

std::string Plural(std::uint64_t count, const char* one, const char* many) {
  return std::to_string(count) + " " + (count == 1 ? one : many);
}

Finding AtContent(int fault, const std::string& set, const std::string& object, const std::string& position,
                  const std::string& what) {
  Finding finding = MakeFinding(fault, set, object, position, what);
  finding.level = Level::kContent;
  return finding;
}

std::optional<Finding> JudgeTable(const std::string& set, const TableFacts& table) {
  const bool counted_twice = table.rows && table.index_rows;
  const bool agree = counted_twice && *table.rows == *table.index_rows;
  // A VACUUM that was cut short leaves a file shorter than its last figure; then the index agrees with what is left.
  if (table.pages < table.known_pages && !agree) {
    return AtContent(26, set, table.name, "page " + std::to_string(table.pages),
                     "its file '" + table.path + "' has " + Plural(table.pages, "page", "pages") + ", and had " +
                         std::to_string(table.known_pages) + " at its last VACUUM or ANALYZE");
  }
  if (!counted_twice || agree) return std::nullopt;
  const std::string counts = "reading it finds " + Plural(*table.rows, "row", "rows") + ", index '" + table.index + "' knows " +
                             std::to_string(*table.index_rows);
  Finding finding = AtContent(*table.index_rows > *table.rows ? 25 : 28, set, table.name, "", counts);
  finding.count = std::max(*table.index_rows, *table.rows) - std::min(*table.index_rows, *table.rows);
  return finding;
}

}  // namespace

Json ToJson(const ContentHistory& history) {
  Json tables = Json::object();
  for (const auto& [name, table] : history.tables)
    tables[name] = {{"rows", table.rows}, {"bytes", table.bytes}, {"packed", table.packed}};
  return {{"format", kHistoryFormat}, {"at_ns", history.at.ns}, {"tables", tables}};
}

Result<ContentHistory> ContentHistoryFromJson(const Json& json) {
  if (TextAt(json, "format") != kHistoryFormat)
    return Fail("it is no history of a restore's content", "give the file that --history wrote");
  ContentHistory history;
  history.at.ns = SignedAt(json, "at_ns");
  const Json& tables = MemberAt(json, "tables");
  if (!tables.is_object()) return Fail("its 'tables' are missing");
  for (const auto& [name, table] : tables.items()) {
    const Json& packed = MemberAt(table, "packed");
    history.tables[name] = {NumberAt(table, "rows"), NumberAt(table, "bytes"), packed.is_number() ? packed.get<double>() : 0};
  }
  return history;
}

std::vector<Finding> JudgeTables(const std::string& set, const std::vector<TableFacts>& tables) {
  std::vector<Finding> findings;
  std::string unlogged;
  std::uint64_t unlogged_count = 0;
  for (const TableFacts& table : tables) {
    if (table.unlogged) {
      if (++unlogged_count <= 5) unlogged += (unlogged.empty() ? "'" : ", '") + table.name + "'";
      continue;
    }
    if (std::optional<Finding> finding = JudgeTable(set, table)) findings.push_back(std::move(*finding));
  }
  if (unlogged_count > 0) {
    Finding note =
        AtContent(36, set, "", "",
                  unlogged + (unlogged_count > 5 ? ", …" : "") + (unlogged_count == 1 ? " is" : " are") + " empty now, by design");
    note.severity = Severity::kNote;
    note.count = unlogged_count;
    findings.push_back(std::move(note));
  }
  return findings;
}

std::vector<Finding> JudgeSequences(const std::string& set, const std::vector<SequenceFacts>& sequences) {
  std::vector<Finding> findings;
  for (const SequenceFacts& each : sequences) {
    if (!each.furthest) continue;
    const std::int64_t next = each.called ? each.last + each.step : each.last;
    const bool behind = each.step >= 0 ? *each.furthest >= next : *each.furthest <= next;
    if (!behind) continue;
    findings.push_back(AtContent(
        38, set, each.name, std::to_string(next),
        "its next number is " + std::to_string(next) + ", and '" + each.column + "' holds " + std::to_string(*each.furthest)));
  }
  return findings;
}

namespace {

std::optional<Finding> JudgePacked(const std::string& set, const std::string& name, const ContentHistory::Table& then,
                                   const ContentHistory::Table& now, double left) {
  const bool same_rows = left > 0.5 && left < 2.0;
  if (!same_rows || then.packed <= 0 || now.packed < kHardlyPacked || now.packed < kPackedWorse * then.packed) return std::nullopt;
  const auto percent = [](double share) { return std::to_string(static_cast<int>(share * 100 + 0.5)) + " %"; };
  return AtContent(39, set, name, "",
                   "packing leaves " + percent(now.packed) + " of its rows, and left " + percent(then.packed) + " in the last run");
}

}  // namespace

std::vector<Finding> JudgeHistory(const std::string& set, const ContentHistory& before, const ContentHistory& now,
                                  double most_shrink) {
  std::vector<Finding> findings;
  for (const auto& [name, then] : before.tables) {
    if (then.rows < kFewRows) continue;
    const auto found = now.tables.find(name);
    if (found == now.tables.end()) {
      findings.push_back(
          AtContent(35, set, name, "", "the table had " + std::to_string(then.rows) + " rows in the last run, and is gone"));
      continue;
    }
    const double left = static_cast<double>(found->second.rows) / static_cast<double>(then.rows);
    if (std::optional<Finding> packed = JudgePacked(set, name, then, found->second, left)) findings.push_back(std::move(*packed));
    if (left >= 1.0 - most_shrink) continue;
    findings.push_back(AtContent(
        35, set, name, "",
        "it has " + std::to_string(found->second.rows) + " rows, and had " + std::to_string(then.rows) + " in the last run"));
  }
  return findings;
}

std::vector<Finding> JudgeAge(const AgeQuestion& question) {
  if (!question.heartbeat || !question.claimed) return {};
  const WallTime newest = std::max(*question.heartbeat, question.commit.value_or(*question.heartbeat));
  const std::int64_t older = question.claimed->ns - newest.ns;
  if (older <= question.tolerance.count()) return {};
  return {AtContent(34, question.set, "lifeboat.heartbeat", FormatWallTime(*question.heartbeat),
                    "the backup is of " + FormatWallTime(*question.claimed) + ", and its newest row or commit is " +
                        FormatDuration(Duration(older)) + " older")};
}

}  // namespace lifeboat::backup
