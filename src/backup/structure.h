#pragma once

// What a backup's manifest and its small files say together: identity, labels, tablespaces, segments of relations. No bytes of
// relations are needed; the texts are given.
// Thread rule: pure.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "backup/finding.h"
#include "backup/manifest.h"
#include "backup/pg_control.h"

namespace lifeboat::backup {

/// The small files that decide about a backup, as far as they could be read.
struct SmallFiles {
  std::optional<std::string> version;         ///< PG_VERSION
  std::optional<std::string> control;         ///< global/pg_control
  std::optional<std::string> label;           ///< backup_label
  std::optional<std::string> tablespace_map;  ///< where there is one
};

/// What a backup is, after judging its structure.
struct SetFacts {
  std::optional<PgControl> control;
  std::string
      control_problem;  ///< why PostgreSQL would not take pg_control; "": it would, or it is of a release that is unknown here
  Lsn start;            ///< by backup_label: where replay begins, so what is newer on a page is replaced; 0/0: not known
  std::vector<std::string> tablespaces;  ///< oids that tablespace_map names
  std::optional<Lsn> incremental_from;   ///< start of the backup that this one needs (PostgreSQL 17)
};

struct StructureQuestion {
  std::string set;
  const Manifest* manifest = nullptr;
  SmallFiles small;
  std::optional<std::uint64_t> system_id;  ///< the repository's word on whose it is
  std::string version;                     ///< the repository's: "15"; "": not stated
  bool offline = false;                    ///< taken of a server that was shut down: it has no label
};

/// F03 (another cluster), F04 (versions), F22 (label), F27 (middle segments), F30 (no checksums, as a note).
[[nodiscard]] SetFacts JudgeSet(const StructureQuestion& question, std::vector<Finding>& findings);

/// What a listing says of one stored file.
struct StoredFile {
  std::string path;
  std::uint64_t size = 0;
};

/// Compares what a manifest lists with what is stored, both sorted by path: F07, F08; F21 where all of a tablespace is missing.
void CompareListing(const std::string& set, const std::vector<StoredFile>& listed, const std::vector<StoredFile>& stored,
                    std::vector<Finding>& findings);

/// True for what a plain backup holds beside its manifest's files. @source pg_verifybackup, "ignored"
[[nodiscard]] bool IsBesideManifest(std::string_view path);

}  // namespace lifeboat::backup
