#pragma once

// What a restored database shows of its content, and how that is judged (level 6): sizes, counts, sequences, the service's own
// questions, the last run's figures, the age of its newest row. The facts come from SQL; here they become findings.
// Thread rule: plain values; the judges are pure.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "backup/finding.h"
#include "base/json.h"
#include "base/time.h"

namespace lifeboat::backup {

/// A question of the service to its data, with the answer that a good backup gives.
struct SqlCheck {
  std::string name;
  std::string database;  ///< "": the database "postgres"
  std::string sql;       ///< one statement that reads; it runs in a transaction that is read-only
  std::string expect;    ///< rows by line breaks, columns by '|', NULL is empty
};

/// One table of a restored database.
struct TableFacts {
  std::string name;  ///< "database.schema.table"
  std::string path;  ///< its file, relative to the data directory
  bool unlogged = false;
  std::uint64_t known_pages = 0;  ///< pg_class.relpages: at the last VACUUM or ANALYZE
  std::uint64_t pages = 0;        ///< in its file now
  std::uint32_t page_bytes = 8192;
  std::optional<std::uint64_t> rows;        ///< by reading all of it
  std::optional<std::uint64_t> index_rows;  ///< by an index alone; nothing: no index holds every row
  std::string index;                        ///< that one
  std::optional<double> packed;             ///< what packing (zlib) leaves of some of its rows, 0 to 1; nothing: too few to say
};

/// A sequence that a column owns.
struct SequenceFacts {
  std::string name;    ///< "database.schema.sequence"
  std::string column;  ///< "schema.table.column"
  std::int64_t last = 0;
  bool called = false;  ///< `last` was handed out
  std::int64_t step = 1;
  std::optional<std::int64_t> furthest;  ///< the column's largest value (smallest, where the step is negative); nothing: no row
};

/// What one run saw, kept for the next.
struct ContentHistory {
  struct Table {
    std::uint64_t rows = 0;
    std::uint64_t bytes = 0;
    double packed = 0;  ///< TableFacts::packed; 0: not known
  };
  WallTime at;
  std::map<std::string, Table> tables;  ///< by TableFacts::name
};
[[nodiscard]] Json ToJson(const ContentHistory& history);  ///< format "lifeboat-backup-history/1"
/// @error kFail: not such a text
[[nodiscard]] Result<ContentHistory> ContentHistoryFromJson(const Json& json);

/// F26 (shorter than it was), F25 (an index knows rows that the table does not hold), F28 (the table holds rows that the index does
/// not know), F36 as a note (unlogged: empty after every restore).
[[nodiscard]] std::vector<Finding> JudgeTables(const std::string& set, const std::vector<TableFacts>& tables);

/// F38: the next number that a sequence gives is one that the column holds already, or is behind it.
[[nodiscard]] std::vector<Finding> JudgeSequences(const std::string& set, const std::vector<SequenceFacts>& sequences);

/// F35: tables that are gone since the last run, or lost more than `most_shrink` (0 to 1) of at least 100 rows. F39: about as many
/// rows as then, whose content can hardly be packed any more, as what somebody encrypted.
[[nodiscard]] std::vector<Finding> JudgeHistory(const std::string& set, const ContentHistory& before, const ContentHistory& now,
                                                double most_shrink);

/// How old the restored data is, against what the backup says of itself.
struct AgeQuestion {
  std::string set;
  std::optional<WallTime> claimed;    ///< the moment that the restore should show at least: the backup's start
  std::optional<WallTime> heartbeat;  ///< the newest row of lifeboat.heartbeat
  std::optional<WallTime> commit;     ///< the last commit that was replayed
  Duration tolerance = std::chrono::minutes(5);
};
/// F34: the data is older than the backup claims. Told only where heartbeats are written: without them an idle database looks old.
[[nodiscard]] std::vector<Finding> JudgeAge(const AgeQuestion& question);

}  // namespace lifeboat::backup
