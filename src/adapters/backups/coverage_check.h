#pragma once

// Index-to-heap coverage of a restored cluster, read from its files: every entry of every btree must name a row that its table
// has (backup/coverage.h). It finds what no tool of PostgreSQL finds: a table that was cut off, a page that was zeroed.
// Which index belongs to which table, the running server says (kIndexesOfHeapsSql, asked in each database); then it is shut down,
// and its files are read here.
// Thread rule: one call; it blocks and uses its own threads, which end with the call.

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "backup/finding.h"
#include "base/result.h"
#include "base/time.h"

namespace lifeboat::backup {

/// One row of kIndexesOfHeapsSql.
struct IndexOfHeap {
  std::string database;
  std::string table;  ///< with its schema
  std::string index;
  std::string table_method;  ///< "heap"; of others nothing is known here
  std::string index_method;  ///< "btree"; of others nothing is known here
  std::string table_path;    ///< within the data directory: pg_relation_filepath()
  std::string index_path;
};

/// Gives the fields of IndexOfHeap in their order, all as text; shared catalogs in every database (CheckCoverage reads a file
/// once). Left out are indexes that VACUUM does not keep: not ready, or being dropped. Ask with search_path empty or any.
inline constexpr const char* kIndexesOfHeapsSql =
    "SELECT current_database()::text, n.nspname || '.' || t.relname, i.relname::text, ta.amname::text, ia.amname::text,"
    " pg_catalog.pg_relation_filepath(t.oid), pg_catalog.pg_relation_filepath(i.oid)"
    " FROM pg_catalog.pg_index x"
    " JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid AND i.relkind = 'i'"
    " JOIN pg_catalog.pg_class t ON t.oid = x.indrelid AND t.relkind IN ('r', 'm', 't') AND t.relpersistence <> 't'"
    " JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace"
    " JOIN pg_catalog.pg_am ia ON ia.oid = i.relam JOIN pg_catalog.pg_am ta ON ta.oid = t.relam"
    " WHERE x.indisready AND x.indislive ORDER BY t.oid, i.oid";

struct CoverageOptions {
  std::string set;  ///< named in findings
  unsigned threads = 2;
  std::size_t memory = 32U << 20;  ///< bytes, for maps of tables; buffers of 0.3 MiB a thread come on top
  const std::atomic<bool>* cancel = nullptr;
  std::function<void(std::uint64_t)> on_read;  ///< bytes just read; from any thread
};

struct CoverageReport {
  Verdict verdict = Verdict::kNotChecked;
  std::string reason;
  std::vector<Finding> findings;
  std::uint64_t tables = 0;
  std::uint64_t indexes = 0;
  std::uint64_t entries = 0;         ///< of indexes
  std::uint64_t table_bytes = 0;     ///< read
  std::uint64_t index_bytes = 0;     ///< read; more than the indexes have where a table was taken in several stretches
  std::uint32_t most_stretches = 0;  ///< that any table was taken in
  std::map<std::string, std::uint64_t> uncovered;  ///< indexes of other kinds, by kind
  Duration took{0};
};
[[nodiscard]] Json ToJson(const CoverageReport& report);

/// Reads the files of a cluster that was shut down cleanly as a primary; of any other the verdict is "not checked", since its
/// files are of many times. Cancelled: "not checked". A file that cannot be read: "unknown".
/// @error kFail: there is no readable pg_control, or a path is none of a relation
[[nodiscard]] Result<CoverageReport> CheckCoverage(const std::filesystem::path& data_directory,
                                                   const std::vector<IndexOfHeap>& indexes, const CoverageOptions& options);

}  // namespace lifeboat::backup
