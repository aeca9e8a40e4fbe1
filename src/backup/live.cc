#include "backup/live.h"

#include <algorithm>

#include "backup/wal_name.h"
#include "base/time.h"

namespace lifeboat::backup {

namespace {

constexpr std::int64_t kPatience = 300;  // seconds that a file may wait for the archiver

std::string Ago(std::int64_t now, std::int64_t then) {
  return FormatDuration(std::chrono::seconds(std::max<std::int64_t>(0, now - then)));
}

std::vector<Finding> JudgeArchiver(const LiveFacts& facts) {
  // On a standby the primary archives, unless archive_mode is 'always'.
  if (facts.in_recovery && facts.archive_mode != "always") return {};
  if (facts.archive_mode == "off") {
    Finding note =
        MakeFinding(46, "", "the source", "", "archive_mode is off: only what else takes its WAL away (pg_receivewal) archives it");
    note.severity = Severity::kNote;
    return {note};
  }
  const std::string since = facts.last_archived_at == 0
                                ? "nothing was archived since statistics began"
                                : "the last was archived " + Ago(facts.now, facts.last_archived_at) + " ago";
  if (facts.failing) {
    return {MakeFinding(46, "", "the source", facts.last_failed,
                        "its archiver fails, last " + Ago(facts.now, facts.last_failed_at) + " ago; " + since + ", and " +
                            std::to_string(facts.waiting) + " files wait")};
  }
  if (facts.waiting > 0 && facts.waiting_since != 0 && facts.now - facts.waiting_since > kPatience) {
    return {MakeFinding(46, "", "the source", "",
                        std::to_string(facts.waiting) + " files wait for its archiver, the oldest for " +
                            Ago(facts.now, facts.waiting_since) + "; " + since)};
  }
  return {};
}

}  // namespace

std::vector<Finding> JudgeLive(const LiveFacts& facts) {
  std::vector<Finding> findings = JudgeArchiver(facts);
  for (const SlotFacts& slot : facts.slots) {
    const bool lost = slot.wal_status == "lost";
    const bool near = slot.wal_status == "unreserved" || (slot.safe_bytes && slot.wal_status == "extended" &&
                                                          *slot.safe_bytes < static_cast<std::int64_t>(2 * facts.segment_bytes));
    if (!lost && !near) continue;
    findings.push_back(MakeFinding(
        47, "", "slot '" + slot.name + "'", "",
        lost ? "the WAL that it was to keep is gone" : "the WAL that it keeps is removed at one of the next checkpoints"));
  }
  return findings;
}

std::vector<Finding> JudgeKept(const LiveFacts& facts, std::span<const std::string> names) {
  if (facts.last_archived.empty() || ParseArchiveName(facts.last_archived).kind != ArchiveFileKind::kSegment) return {};
  const bool there = std::any_of(names.begin(), names.end(), [&](const std::string& each) {
    const std::size_t slash = each.rfind('/');
    return each.substr(slash == std::string::npos ? 0 : slash + 1).starts_with(facts.last_archived);
  });
  if (there) return {};
  return {MakeFinding(48, "", facts.last_archived, "",
                      "the source was told " + Ago(facts.now, facts.last_archived_at) +
                          " ago that it is archived, and the archive does not hold it")};
}

}  // namespace lifeboat::backup
