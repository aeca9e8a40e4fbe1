#include "backup/finding.h"

#include <algorithm>

#include "base/check.h"

namespace lifeboat::backup {

namespace {

using enum Level;

// Sorted by number. name: what is wrong; means: for a restore; todo: the operator's next move.
constexpr Fault kFaults[] = {
    {1, kExists, "no fresh backup", "a restore would lose everything since the newest backup and its WAL",
     "find out why backups stopped; take one now"},
    {2, kExists, "a backup that is none", "there is nothing to restore",
     "take a new backup and look at the log of the one that failed"},
    {3, kStructure, "a backup of another cluster", "a restore would bring up somebody else's data",
     "find out which cluster writes here; keep the two apart"},
    {4, kStructure, "versions that do not fit", "this PostgreSQL cannot start on it",
     "restore it with the version that it was made by"},
    {5, kStructure, "manifest or its copy missing or different", "what the backup holds cannot be known, or hangs on one copy",
     "restore the missing file from another repository, or take a new backup"},
    {6, kStructure, "manifest tampered with or cut off", "nothing that it says can be trusted",
     "take a new backup; find out who wrote to it"},
    {7, kStructure, "listed and stored differ", "a restore ends without that file",
     "take a new backup; look for what removes or adds files"},
    {8, kStructure, "a stored size differs", "the file is not what was backed up", "take a new backup; look at the storage"},
    {9, kBytes, "stored bytes are not those that were written", "a restore brings the damage back, or stops there",
     "restore this file from another backup or repository; check the storage"},
    {10, kStructure, "a bundle is gone that files lie in", "every backup that refers to it misses those files",
     "take a new full backup; expire the ones that are named"},
    {11, kStructure, "an incremental backup's parent is gone", "the backup cannot be put together", "take a new full backup"},
    {12, kStructure, "WAL that the backup itself needs is missing", "the restored server does not start",
     "find the segment (the source's pg_wal, another repository) and put it back, or take a new backup"},
    {13, kStructure, "a gap in the archive", "recovery stops at the gap; nothing after it can be reached from older backups",
     "find the segments, or take a new backup, after which a new window begins"},
    {14, kBytes, "a WAL segment is cut off", "recovery stops there",
     "replace it from the source or another repository, or take a new backup"},
    {15, kBytes, "a WAL segment is damaged", "recovery stops at the damaged record",
     "replace it from the source or another repository, or take a new backup"},
    {16, kStructure, "WAL of another cluster in the archive", "recovery refuses the segment and stops there",
     "find the cluster that archives here and give it an archive of its own; replace the segment"},
    {17, kStructure, "one WAL name, two contents", "two servers wrote the same timeline: one of the two histories is wrong",
     "stop one of them; find out which segment the backups belong to"},
    {18, kStructure, "timeline history missing or not leading from the backup", "recovery cannot follow the timeline",
     "restore the .history file, or choose a backup that is older than the fork"},
    {19, kStructure, "a timeline that others went on beside",
     "a restore to the newest moment follows it, and loses what the other committed since",
     "find out who made it: a test restore that archives here, or two primaries; move its WAL and .history file away"},
    {20, kStructure, "the key does not open it", "nothing can be read without the right key",
     "name the right pass file; test it from the region that would restore"},
    {21, kStructure, "a tablespace is missing", "its tables are gone after a restore",
     "take a new backup; look at how the tablespace is linked"},
    {22, kStructure, "backup_label is missing", "PostgreSQL would start from the wrong checkpoint, and be corrupt in silence",
     "never start from it; take a new backup"},
    {23, kPages, "a page is damaged", "queries that touch the page fail, or answer wrongly",
     "find the same page in an older backup or on a standby; check the source's disk, then take a new backup"},
    {24, kPages, "a page in the place of another", "one page is overwritten, and what was to be written elsewhere is lost there",
     "find both pages in an older backup or on a standby; check the source's disk, then take a new backup"},
    {25, kContent, "rows that an index knows are not in their table", "rows are missing, and no checksum shows it",
     "find the rows in an older backup or on a standby; check the source's disk, then take a new backup"},
    {26, kContent, "a relation is shorter than it was", "all rows behind its end are gone, and no checksum shows it",
     "restore the table from an older backup; look at the source's file system"},
    {27, kStructure, "a middle segment of a relation is missing", "the relation ends there: all rows behind it are gone",
     "take a new backup; look at the source's file system"},
    {28, kLogic, "a lost or misdirected write",
     "what belongs together is of different ages: queries answer differently by the way they take",
     "compare the table with a standby or an older backup; check the source's disk"},
    {29, kLogic, "an index is not in order", "queries by this index miss rows, and unique keys are no longer unique",
     "reindex it in the source (after a new C library: every index on text), then take a new backup"},
    {30, kPages, "the cluster has no page checksums", "damaged pages cannot be seen by reading them: not checked, which is no pass",
     "pg_checksums --enable, with the cluster shut down"},
    {31, kRestores, "it does not start on this host", "a restore here ends without a server",
     "read the server's words above; install what is missing on every host that would restore"},
    {32, kRestores, "the target is not reached", "a restore cannot bring back the moment that was asked for",
     "lifeboat backup windows shows which moments can be reached"},
    {33, kRestores, "a recovery target or a standby's mark is left over in the backup",
     "a restored server stops at an old target, or waits, unless somebody knows to remove it",
     "alter system reset it in the source (or remove it from its postgresql.conf), then take a new backup"},
    {34, kContent, "the data is older than the backup claims", "a restore brings back an older day than everybody believes",
     "find out what the backup copies; look at the age of its newest rows"},
    {35, kContent, "data is not as it should be", "the backup restores, and holds what was lost before it was taken",
     "compare with an older backup before that one expires"},
    {36, kContent, "unlogged tables", "they are empty after every restore", "make them logged if their rows are needed"},
    {37, kContent, "roles and their grants are not in the dump", "the tables come back, and nobody can log in as before",
     "keep pg_dumpall --globals-only beside it"},
    {38, kContent, "a sequence is behind its column", "the first inserts after a restore fail, or reuse numbers",
     "setval it in the source to the column's largest value"},
    {39, kContent, "rows became what cannot be packed", "if somebody encrypted them, a restore brings back what nobody can read",
     "look at some rows; if nobody meant it, keep every older backup from expiring, and find out since when"},
    {40, kExists, "the other region's bucket does not hold it", "a restore there lacks those objects",
     "make a replication rule that covers the prefix, and copy what was there before it (S3 Batch Replication)"},
    {41, kExists, "copies to the other region fail or wait", "a restore there lacks what was not copied yet",
     "look at the replication role's rights, at the keys of both buckets and at the failed operations"},
    {42, kStructure, "retention deletes what recovery needs", "the newest backup loses those objects, and restores no more",
     "take the prefix out of the lifecycle rule: let the tool that makes the backups expire them"},
    {43, kExists, "what lies in the bucket can be destroyed", "whoever holds a key, or steals one, can delete every backup",
     "turn on versions and Object Lock, on both sides, with a retention longer than the backups'"},
    {44, kStructure, "a delete marker hides an object", "a restore misses the object, although it is still there",
     "remove the delete marker; find out who deletes here"},
    {45, kExists, "clocks that do not agree", "ages, and what a restore would lose, are wrong by as much",
     "compare the clocks of the source, the repository and this machine"},
    {46, kExists, "the archiver does not get on", "a restore loses everything since the last segment that was archived",
     "look at archive_command in the source's log, and at the room and the rights of the archive"},
    {47, kExists, "a replication slot lost its WAL, or is about to",
     "who reads by it (pg_receivewal, a standby) has a hole, or must be made anew",
     "find out who reads by it; drop it and make it anew, or raise max_slot_wal_keep_size"},
    {48, kStructure, "the archive says yes and does not keep", "recovery stops at the segment that was dropped",
     "stop trusting the archive's answers: look at archive_command and at the store; take a new backup elsewhere"},
    {49, kRestores, "no room to restore", "a restore here stops before its end",
     "free the space, or name another folder (--scratch)"},
    {50, kExists, "the verifier does not see what it must", "no verdict of it counts",
     "do not trust it; install it anew, and report it"},
    {51, kRestores, "a statement of the dump fails", "a restore ends without what it makes: rows, an index, a constraint",
     "look at the row or object that is named, in the source; take a new dump"},
};

}  // namespace

const char* ToString(Verdict verdict) {
  switch (verdict) {
    case Verdict::kNotChecked: return "not checked";
    case Verdict::kUnknown: return "unknown";
    case Verdict::kPass: return "pass";
    case Verdict::kFail: return "fail";
  }
  return "?";
}

Verdict Both(Verdict one, Verdict other) {
  if (one == Verdict::kFail || other == Verdict::kFail) return Verdict::kFail;
  if (one == Verdict::kUnknown || other == Verdict::kUnknown) return Verdict::kUnknown;
  return one == other ? one : Verdict::kNotChecked;
}

const char* ToString(Level level) {
  switch (level) {
    case kExists: return "exists";
    case kStructure: return "structure";
    case kBytes: return "bytes";
    case kPages: return "pages";
    case kRestores: return "restores";
    case kLogic: return "logic";
    case kContent: return "content";
  }
  return "?";
}

std::span<const Fault> AllFaults() { return kFaults; }

const Fault& FaultOf(int number) {
  const auto at = std::find_if(std::begin(kFaults), std::end(kFaults), [&](const Fault& each) { return each.number == number; });
  LIFEBOAT_CHECK(at != std::end(kFaults), "a fault without a number");
  return *at;
}

std::string Finding::Number() const { return (fault < 10 ? "F0" : "F") + std::to_string(fault); }

Finding MakeFinding(int fault, std::string set, std::string object, std::string position, std::string what) {
  const Fault& known = FaultOf(fault);
  Finding finding;
  finding.fault = fault;
  finding.level = known.level;
  finding.set = std::move(set);
  finding.object = std::move(object);
  finding.position = std::move(position);
  finding.what = std::move(what);
  finding.means = known.means;
  finding.todo = known.todo;
  return finding;
}

void Counts::Add(const Counts& other) {
  files += other.files;
  bytes += other.bytes;
  stored_bytes += other.stored_bytes;
  pages += other.pages;
  hot_pages += other.hot_pages;
  new_pages += other.new_pages;
  wal_segments += other.wal_segments;
  wal_records += other.wal_records;
  unread_files += other.unread_files;
  standing_files += other.standing_files;
  standing_bytes += other.standing_bytes;
  if (oldest_reading == 0 || (other.oldest_reading != 0 && other.oldest_reading < oldest_reading))
    oldest_reading = other.oldest_reading;
}

bool Report::HasFault() const {
  return std::any_of(findings.begin(), findings.end(), [](const Finding& each) { return each.severity == Severity::kFault; });
}

Json ToJson(const Counts& counts) {
  return {{"files", counts.files},
          {"bytes", counts.bytes},
          {"stored_bytes", counts.stored_bytes},
          {"pages", counts.pages},
          {"hot_pages", counts.hot_pages},
          {"new_pages", counts.new_pages},
          {"wal_segments", counts.wal_segments},
          {"wal_records", counts.wal_records},
          {"unread_files", counts.unread_files},
          {"standing_files", counts.standing_files},
          {"standing_bytes", counts.standing_bytes},
          {"oldest_reading", counts.oldest_reading == 0 ? Json(nullptr) : Json(counts.oldest_reading)}};
}

Json ToJson(const Levels& levels) {
  Json json = Json::array();
  for (int level = 0; level < kLevels; ++level) {
    const LevelResult& each = levels[static_cast<std::size_t>(level)];
    json.push_back({{"level", level},
                    {"name", ToString(static_cast<Level>(level))},
                    {"verdict", ToString(each.verdict)},
                    {"reason", each.reason}});
  }
  return json;
}

Json ToJson(const Finding& finding) {
  return {{"fault", finding.Number()},
          {"level", static_cast<int>(finding.level)},
          {"severity", finding.severity == Severity::kFault ? "fault" : "note"},
          {"set", finding.set},
          {"object", finding.object},
          {"position", finding.position},
          {"what", finding.what},
          {"means", finding.means},
          {"todo", finding.todo},
          {"count", finding.count}};
}

Json ToJson(const Report& report) {
  Json sets = Json::array();
  for (const SetReport& set : report.sets) {
    sets.push_back({{"label", set.label},
                    {"kind", set.kind},
                    {"levels", ToJson(set.levels)},
                    {"counts", ToJson(set.counts)},
                    {"restore", set.restore}});
  }
  Json findings = Json::array();
  for (const Finding& finding : report.findings) findings.push_back(ToJson(finding));
  return {{"format", "lifeboat-backup-verify/1"},
          {"source", report.source},
          {"sets", sets},
          {"wal", {{"levels", ToJson(report.wal_levels)}, {"counts", ToJson(report.wal_counts)}}},
          {"findings", findings},
          {"seconds", Seconds(report.took)},
          {"cancelled", report.cancelled},
          {"fault", report.HasFault()}};
}

}  // namespace lifeboat::backup
