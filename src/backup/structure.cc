#include "backup/structure.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "backup/page.h"
#include "backup/wal_name.h"

namespace lifeboat::backup {

namespace {

int MajorOf(const std::string& text) {
  int major = 0;
  std::from_chars(text.data(), text.data() + text.size(), major);
  return major;
}

std::string TablespaceOf(const std::string& path) {
  static constexpr std::string_view kFolder = "pg_tblspc/";
  if (!path.starts_with(kFolder)) return {};
  return path.substr(kFolder.size(), path.find('/', kFolder.size()) - kFolder.size());
}

void JudgeIdentity(const StructureQuestion& question, const PgControl& control, std::vector<Finding>& findings) {
  const auto differs = [&](std::uint64_t stated, const char* whose) {
    if (stated == control.system_id) return;
    findings.push_back(MakeFinding(
        3, question.set, "global/pg_control", "",
        "its system id is " + std::to_string(control.system_id) + ", and " + whose + " says " + std::to_string(stated)));
  };
  if (question.manifest->system_id) {
    differs(*question.manifest->system_id, "the manifest");
  } else if (question.system_id) {
    differs(*question.system_id, "the repository, or the WAL,");
  }
}

void JudgeVersions(const StructureQuestion& question, const std::optional<PgControl>& control, std::vector<Finding>& findings) {
  if (!question.small.version) return;
  const int major = MajorOf(*question.small.version);
  const auto differs = [&](int other, const std::string& whose) {
    if (other == 0 || other == major) return;
    findings.push_back(MakeFinding(4, question.set, "PG_VERSION", "",
                                   "it says " + std::to_string(major) + ", and " + whose + " " + std::to_string(other)));
  };
  if (control) differs(control->major, "the catalog version of pg_control is that of PostgreSQL");
  if (!question.version.empty()) differs(MajorOf(question.version), "the repository says");
}

/// Files alone are enough where the server had ended before; without a label nothing else makes them consistent.
void JudgeOffline(const StructureQuestion& question, const SetFacts& facts, std::vector<Finding>& findings) {
  constexpr std::uint32_t kShutDown = 1;            // DB_SHUTDOWNED
  constexpr std::uint32_t kShutDownInRecovery = 2;  // DB_SHUTDOWNED_IN_RECOVERY
  if (!facts.control || facts.control->state == kShutDown || facts.control->state == kShutDownInRecovery) return;
  findings.push_back(MakeFinding(22, question.set, "backup_label", "",
                                 "the backup was taken as of a server that is shut down, and pg_control says that it ran"));
}

void JudgeLabel(const StructureQuestion& question, SetFacts& facts, std::vector<Finding>& findings) {
  if (question.offline && !question.small.label) return JudgeOffline(question, facts, findings);
  if (!question.small.label) {
    findings.push_back(MakeFinding(22, question.set, "backup_label", "", "the backup does not hold it"));
    return;
  }
  const Result<BackupLabel> label = ParseBackupLabel(*question.small.label);
  if (!label) {
    findings.push_back(MakeFinding(22, question.set, "backup_label", "", label.error().message));
    return;
  }
  facts.start = label->start;
  facts.incremental_from = label->incremental_from;
  if (!question.manifest->wal.empty() && question.manifest->wal.front().start != label->start) {
    findings.push_back(MakeFinding(22, question.set, "backup_label", label->start.Text(),
                                   "it is another backup's: this one begins at " + question.manifest->wal.front().start.Text()));
  }
}

/// Segment n of a relation without segment n - 1.
void JudgeSegments(const StructureQuestion& question, std::vector<Finding>& findings) {
  std::set<RelationFile> present;
  std::vector<std::pair<RelationFile, const std::string*>> later;
  for (const FileEntry& file : question.manifest->files) {
    // Only relations of more than one segment matter, and few are: the first segments are looked up, not kept.
    const auto relation = ParseRelationPath(file.path);
    if (!relation || relation->segment == 0) continue;
    present.insert(*relation);
    later.emplace_back(*relation, &file.path);
  }
  if (later.empty()) return;
  for (const FileEntry& file : question.manifest->files) {
    const auto relation = ParseRelationPath(file.path);
    if (!relation || relation->segment != 0) continue;
    RelationFile second = *relation;
    second.segment = 1;
    const auto at = present.lower_bound(second);
    if (at != present.end() && at->relation == relation->relation && at->fork == relation->fork) present.insert(*relation);
  }
  for (const auto& [relation, path] : later) {
    RelationFile before = relation;
    --before.segment;
    if (present.count(before) > 0) continue;
    findings.push_back(MakeFinding(27, question.set, *path, "segment " + std::to_string(before.segment),
                                   "the backup holds this segment of the relation, and not the one before it"));
  }
}

}  // namespace

SetFacts JudgeSet(const StructureQuestion& question, std::vector<Finding>& findings) {
  SetFacts facts;
  if (question.small.control) {
    const Result<PgControl> control = ParsePgControl(*question.small.control);
    if (control) {
      facts.control = *control;
      JudgeIdentity(question, *control, findings);
      if (!control->data_checksums) {
        Finding blind = MakeFinding(30, question.set, "global/pg_control", "", "data_checksum_version is 0: pages are not checked");
        blind.severity = Severity::kNote;
        findings.push_back(std::move(blind));
      }
    } else if (control.error().retry != Retry::kRefused) {
      facts.control_problem = control.error().message;
    }
  }
  JudgeVersions(question, facts.control, findings);
  JudgeLabel(question, facts, findings);
  JudgeSegments(question, findings);
  if (question.small.tablespace_map) {
    const auto map = ParseTablespaceMap(*question.small.tablespace_map);
    if (!map) {
      findings.push_back(MakeFinding(21, question.set, "tablespace_map", "", map.error().message));
    } else {
      for (const auto& [oid, path] : *map) facts.tablespaces.push_back(oid);
    }
  }
  return facts;
}

bool IsBesideManifest(std::string_view path) {
  return path == "backup_manifest" || path == "postgresql.auto.conf" || path == "standby.signal" || path == "recovery.signal" ||
         path == "pg_wal" || path.starts_with("pg_wal/");
}

void CompareListing(const std::string& set, const std::vector<StoredFile>& listed, const std::vector<StoredFile>& stored,
                    std::vector<Finding>& findings) {
  // A tablespace of which nothing is stored is one fault, however many files it had.
  std::set<std::string> kept;
  std::set<std::string> wanted;
  for (const StoredFile& file : stored) {
    if (const std::string oid = TablespaceOf(file.path); !oid.empty()) kept.insert(oid);
  }
  for (const StoredFile& file : listed) {
    if (const std::string oid = TablespaceOf(file.path); !oid.empty()) wanted.insert(oid);
  }
  for (const std::string& oid : wanted) {
    if (kept.count(oid) == 0) {
      findings.push_back(MakeFinding(21, set, "pg_tblspc/" + oid, "", "the manifest lists its files, and none of them is stored"));
    }
  }
  auto here = stored.begin();
  for (const StoredFile& file : listed) {
    for (; here != stored.end() && here->path < file.path; ++here) {
      findings.push_back(MakeFinding(7, set, here->path, "", "it is stored, and the manifest does not list it"));
    }
    if (here == stored.end() || here->path != file.path) {
      const std::string oid = TablespaceOf(file.path);
      if (file.path == "backup_label") continue;  // its absence is a fault of its own
      if (oid.empty() || kept.count(oid) > 0) {
        findings.push_back(MakeFinding(7, set, file.path, "", "the manifest lists it, and it is not stored"));
      }
      continue;
    }
    if (here->size != file.size) {
      findings.push_back(MakeFinding(
          8, set, file.path, "", "it has " + std::to_string(here->size) + " bytes, and should have " + std::to_string(file.size)));
    }
    ++here;
  }
  for (; here != stored.end(); ++here) {
    findings.push_back(MakeFinding(7, set, here->path, "", "it is stored, and the manifest does not list it"));
  }
}

}  // namespace lifeboat::backup
