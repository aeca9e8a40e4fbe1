#pragma once

// Index-to-heap coverage: does every entry of an index name a row that its table has? Truncated tables and zeroed pages pass all
// of PostgreSQL's own checks, amcheck included, which asks only the other way round.
//
// A HeapMap holds, for a stretch of a table's blocks, which line pointers may be named: four bytes a block where that is all of
// them, a mask beside it where it is not. Its memory is fixed; a table whose map does not fit is taken in several stretches, and
// its indexes are read once for each.
// Thread rule: HeapMap: Put from any thread between Begin and Close, for different blocks; Check from any thread after Close.

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "backup/finding.h"
#include "backup/heap_page.h"
#include "base/result.h"

namespace lifeboat::backup {

/// An entry that names no row.
enum class MissKind {
  kPastEnd,   ///< a block behind the table's end
  kNewPage,   ///< a page of zeros
  kNoHeap,    ///< a page that is none of a table
  kNoTarget,  ///< a line pointer that is unused, not there, or a later version of another row
};
inline constexpr std::size_t kMissKinds = 4;

struct Miss {
  Tid tid = 0;
  std::uint32_t index_block = 0;  ///< where the entry lies
};

/// What was found for one index of a table; tallies of several threads add up.
struct CoverageTally {
  std::uint64_t entries = 0;
  std::array<std::uint64_t, kMissKinds> misses{};
  std::array<std::vector<Miss>, kMissKinds> examples;  ///< at most kMostExamples of each
  std::set<std::uint32_t> new_pages;                   ///< blocks, at most kMostPages
  std::uint64_t pages = 0;
  std::uint64_t damaged_pages = 0;  ///< that are none of a btree
  std::uint32_t first_damaged = 0;
  std::uint32_t furthest = 0;  ///< block behind the table's end that an entry names
  Lsn newest;                  ///< of the index's pages

  static constexpr std::size_t kMostExamples = 4;
  static constexpr std::size_t kMostPages = 1000;
  void Note(MissKind kind, Miss miss);
  void Add(const CoverageTally& other);
  [[nodiscard]] std::uint64_t Of(MissKind kind) const { return misses[static_cast<std::size_t>(kind)]; }
  [[nodiscard]] std::uint64_t AllMisses() const;
};

class HeapMap {
 public:
  /// @param memory  bytes, half of which serve tables whose every line pointer may be named; at least 8 KiB are taken
  explicit HeapMap(std::size_t memory);

  /// Begins a stretch at block `first` of a table of `blocks`. @return one past the last block that it may hold
  std::uint32_t Begin(std::uint32_t first, std::uint32_t blocks);
  /// False: no memory for this block's mask is left; the stretch must end before it.
  [[nodiscard]] bool Put(std::uint32_t block, const HeapTargets& targets, std::span<const std::uint32_t> mask);
  /// Ends the stretch before block `end`.
  void Close(std::uint32_t end);

  /// Looks up entries of one page of an index. Those of other stretches are passed over, except that the first stretch counts
  /// the entries and tells those behind the table's end.
  void Check(std::span<const Tid> tids, std::uint32_t index_block, CoverageTally& tally) const;

 private:
  std::size_t directory_size_;
  std::size_t arena_size_;
  std::unique_ptr<std::uint32_t[]> directory_;  ///< a block's word: see coverage.cc
  std::unique_ptr<std::uint32_t[]> arena_;      ///< masks: their number of items, then their words
  std::atomic<std::size_t> arena_used_ = 0;
  std::uint32_t first_ = 0;
  std::uint32_t count_ = 0;
  std::uint32_t blocks_ = 0;
};

/// A table and what its indexes said of it, to be judged.
struct CoveredIndex {
  std::string name;
  std::string path;  ///< of its file, within the data directory
  bool has_meta = false;
  CoverageTally tally;
};
struct CoveredHeap {
  std::string name;  ///< "orders.public.customers": database, schema, table
  std::string path;
  std::uint32_t blocks = 0;
  std::optional<std::uint32_t> segment_gap;  ///< the number of a segment that is missing or short before others
  Lsn newest;
  std::vector<CoveredIndex> indexes;
  std::string example;  ///< of an entry that names no row, in words
};

/// F25 (zeroed page), F26 (cut off, emptied), F27 (a middle segment), F28 (an old copy of the table or of one index), F23 (pages
/// that are none of a table or index): one finding for one damage, however many indexes tell of it.
/// A finding's object is the file's path.
[[nodiscard]] std::vector<Finding> JudgeCoverage(const std::string& set, const CoveredHeap& heap);

/// The check of this check (F50): pages with known damage, made by hand, must be told by their numbers, and good ones must not.
/// @error kFail: what was told
[[nodiscard]] Result<Unit> ProveThatCoverageCanFail();

}  // namespace lifeboat::backup
