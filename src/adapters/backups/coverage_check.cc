#include "adapters/backups/coverage_check.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

#include "adapters/backups/relation_files.h"
#include "adapters/backups/source_internal.h"
#include "backup/btree_page.h"
#include "backup/coverage.h"
#include "backup/page.h"

namespace lifeboat::backup {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kStep = 256U << 10;    // bytes of one read: they stay in the processor's cache
constexpr std::uint64_t kUnit = 8U << 20;    // bytes that a thread takes in one go, one after the other, for the disk's sake
constexpr std::size_t kSmallMap = 1U << 20;  // bytes, for tables that are taken side by side; larger ones are taken by all threads
constexpr std::uint64_t kBytesOfMap = 32;    // bytes of table and indexes for one of the map, up to which a table is small
constexpr std::uint32_t kShutDown = 1;       // pg_control's DB_SHUTDOWNED

/// A table with its indexes, by the paths of their files.
struct Group {
  const IndexOfHeap* table = nullptr;
  std::vector<const IndexOfHeap*> indexes;
  RelationFiles files;
  std::vector<RelationFiles> index_files;

  [[nodiscard]] std::uint64_t Bytes() const {
    std::uint64_t blocks = files.blocks;
    for (const RelationFiles& each : index_files) blocks += each.blocks;
    return blocks * files.page_bytes;
  }
};

/// Calls `work` for 0 … count - 1 on several threads, in about that order.
template <typename Work>
void Each(unsigned threads, std::size_t count, Work&& work) {
  std::atomic<std::size_t> next = 0;
  const auto take = [&] {
    for (std::size_t at = next++; at < count; at = next++) work(at);
  };
  std::vector<std::jthread> others;
  for (std::size_t other = 1; other < std::min<std::size_t>(std::max(threads, 1U), count); ++other) others.emplace_back(take);
  take();
}

/// What all threads of one check share.
struct Shared {
  const CoverageOptions& options;
  CoverageReport report;
  std::mutex mutex;
  std::atomic<bool> failed = false;
  std::string problem;

  [[nodiscard]] bool Cancelled() const { return options.cancel != nullptr && options.cancel->load(std::memory_order_relaxed); }
  [[nodiscard]] bool Stopped() const { return failed || Cancelled(); }
  void Fail(const std::string& what) {
    const std::lock_guard lock(mutex);
    if (!failed) problem = what;
    failed = true;
  }
};

/// Puts pages of a table into the map, on one thread.
class TableMapper {
 public:
  TableMapper(HeapMap& map, std::uint32_t page_bytes, std::atomic<std::uint32_t>& end)
      : map_(map), page_bytes_(page_bytes), end_(end), mask_(MostWords(page_bytes)) {}

  /// False: the stretch ends here, or has ended before.
  bool Page(std::uint32_t block, const char* page) {
    if (block >= end_.load(std::memory_order_relaxed)) return false;
    const HeapTargets targets = ReadHeapPage(page, page_bytes_, mask_);
    newest_ = std::max(newest_, targets.lsn);
    if (map_.Put(block, targets, mask_)) return true;
    for (std::uint32_t before = end_; block < before && !end_.compare_exchange_weak(before, block);) {
    }
    return false;
  }
  void Leave(CoveredHeap& heap) const { heap.newest = std::max(heap.newest, newest_); }

 private:
  HeapMap& map_;
  std::uint32_t page_bytes_;
  std::atomic<std::uint32_t>& end_;
  std::vector<std::uint32_t> mask_;
  Lsn newest_;
};

/// Looks up what pages of an index name, on one thread.
class IndexChecker {
 public:
  IndexChecker(const HeapMap& map, std::uint32_t page_bytes, bool is_first)
      : map_(map), page_bytes_(page_bytes), is_first_(is_first) {}

  bool Page(std::uint32_t block, const char* page) {
    tids_.clear();
    const BtreePageState state = ReadBtreePage(page, page_bytes_, tids_);
    map_.Check(tids_, block, tally_);
    if (is_first_) Note(block, state, PageLsn(page));
    return true;
  }
  void Leave(CoveredIndex& index) const {
    index.tally.Add(tally_);
    index.has_meta = index.has_meta || has_meta_;
  }

 private:
  void Note(std::uint32_t block, BtreePageState state, Lsn lsn) {
    ++tally_.pages;
    tally_.newest = std::max(tally_.newest, lsn);
    if (block == 0) has_meta_ = state == BtreePageState::kMeta;
    if (state != BtreePageState::kOther) return;
    if (tally_.damaged_pages++ == 0) tally_.first_damaged = block;
  }

  const HeapMap& map_;
  std::uint32_t page_bytes_;
  bool is_first_;  ///< what does not depend on the stretch is counted with the first
  bool has_meta_ = false;
  std::vector<Tid> tids_;
  CoverageTally tally_;
};

/// Hands blocks [first, end) of a relation to workers, one a unit, and leaves what they found in `into`. @return bytes read
template <typename Worker, typename Into>
std::uint64_t ForPages(Shared& shared, const RelationFiles& files, std::uint32_t first, std::uint32_t end, unsigned threads,
                       const Worker& like, Into& into) {
  const auto unit = static_cast<std::uint32_t>(kUnit / files.page_bytes);
  const auto step = static_cast<std::uint32_t>(kStep / files.page_bytes);
  std::atomic<std::uint64_t> bytes = 0;
  const auto read = [&](Worker& worker, char* buffer, std::uint32_t from, std::uint32_t to) {
    BlockReader reader(files);
    for (std::uint32_t block = from; block < to && !shared.Stopped();) {
      const std::uint32_t count = std::min({step, to - block, files.segment_blocks - block % files.segment_blocks});
      const std::size_t size = std::size_t{count} * files.page_bytes;
      if (!reader.Read(block, {buffer, size})) return shared.Fail(reader.problem());
      bytes += size;
      if (shared.options.on_read) shared.options.on_read(size);
      for (std::uint32_t page = 0; page < count; ++page) {
        if (!worker.Page(block + page, buffer + std::size_t{page} * files.page_bytes)) return;
      }
      block += count;
    }
  };
  Each(threads, (std::uint64_t{end} - first + unit - 1) / unit, [&](std::size_t at) {
    const auto buffer = std::make_unique_for_overwrite<char[]>(kStep);
    Worker worker = like;
    const std::uint64_t from = first + std::uint64_t{at} * unit;
    read(worker, buffer.get(), static_cast<std::uint32_t>(from),
         static_cast<std::uint32_t>(std::min<std::uint64_t>(end, from + unit)));
    const std::lock_guard lock(shared.mutex);
    worker.Leave(into);
  });
  return bytes;
}

/// In words, what is where the first entry points that names no row. "": it cannot be read again.
std::string DescribeExample(const RelationFiles& files, const CoveredHeap& heap) {
  for (const CoveredIndex& index : heap.indexes) {
    const std::vector<Miss>& examples = index.tally.examples[static_cast<std::size_t>(MissKind::kNoTarget)];
    if (examples.empty()) continue;
    std::vector<char> page(files.page_bytes);
    BlockReader reader(files);
    if (!reader.Read(BlockOf(examples.front().tid), page)) return {};
    return DescribeItem(page.data(), page.size(), ItemOf(examples.front().tid));
  }
  return {};
}

/// Reads one table and its indexes, in as many stretches as the map needs.
void CheckGroup(Shared& shared, const Group& group, unsigned threads, HeapMap& map) {
  CoveredHeap heap;
  heap.name = group.table->database + "." + group.table->table;
  heap.path = group.table->table_path;
  heap.blocks = group.files.blocks;
  heap.segment_gap = group.files.segment_gap;
  for (const IndexOfHeap* index : group.indexes) heap.indexes.push_back({index->index, index->index_path, false, {}});
  std::uint64_t table_bytes = 0;
  std::uint64_t index_bytes = 0;
  std::uint32_t stretches = 0;
  std::uint32_t first = 0;
  do {
    std::atomic<std::uint32_t> end = map.Begin(first, heap.blocks);
    table_bytes += ForPages(shared, group.files, first, end, threads, TableMapper(map, group.files.page_bytes, end), heap);
    if (end == first && first < heap.blocks && !shared.Stopped()) {
      // Threads that were ahead used up all masks before the first block had its own: alone it always comes on.
      threads = 1;
      continue;
    }
    map.Close(end);
    for (std::size_t at = 0; at < group.indexes.size(); ++at) {
      const RelationFiles& files = group.index_files[at];
      index_bytes +=
          ForPages(shared, files, 0, files.blocks, threads, IndexChecker(map, files.page_bytes, first == 0), heap.indexes[at]);
    }
    first = end;
    ++stretches;
  } while (first < heap.blocks && !shared.Stopped());
  if (shared.Stopped()) return;
  heap.example = DescribeExample(group.files, heap);
  std::vector<Finding> findings = JudgeCoverage(shared.options.set, heap);
  const std::lock_guard lock(shared.mutex);
  CoverageReport& report = shared.report;
  ++report.tables;
  report.indexes += heap.indexes.size();
  report.table_bytes += table_bytes;
  report.index_bytes += index_bytes;
  report.most_stretches = std::max(report.most_stretches, stretches);
  for (const CoveredIndex& index : heap.indexes) report.entries += index.tally.entries;
  for (Finding& finding : findings) report.findings.push_back(std::move(finding));
}

/// Tables with their btrees; each file once, however many databases name it.
Result<std::vector<Group>> Groups(const fs::path& data_directory, const PgControl& control, const std::vector<IndexOfHeap>& indexes,
                                  Shared& shared) {
  std::vector<Group> groups;
  std::map<std::string, std::size_t> by_path;
  std::set<std::string> seen;
  for (const IndexOfHeap& each : indexes) {
    if (!seen.insert(each.index_path).second) continue;
    if (each.table_method != "heap" || each.index_method != "btree") {
      ++shared.report.uncovered[each.table_method != "heap" ? "on " + each.table_method : each.index_method];
      continue;
    }
    for (const std::string& path : {each.table_path, each.index_path}) {
      if (!ParseRelationPath(path)) return Fail("'" + path + "' is no path of a relation within a data directory");
    }
    const auto [at, is_new] = by_path.try_emplace(each.table_path, groups.size());
    if (is_new) {
      groups.emplace_back();
      groups.back().table = &each;
      groups.back().files = MeasureRelation(data_directory / each.table_path, control);
    }
    groups[at->second].indexes.push_back(&each);
    groups[at->second].index_files.push_back(MeasureRelation(data_directory / each.index_path, control));
  }
  // The largest first, so that the small ones even out the threads' ends.
  std::stable_sort(groups.begin(), groups.end(), [](const Group& a, const Group& b) { return a.Bytes() > b.Bytes(); });
  return groups;
}

void CheckGroups(Shared& shared, const std::vector<Group>& groups) {
  const unsigned threads = std::max(shared.options.threads, 1U);
  const std::size_t small_map = std::min(kSmallMap, shared.options.memory);
  const auto small =
      std::find_if(groups.begin(), groups.end(), [&](const Group& group) { return group.Bytes() <= small_map * kBytesOfMap; });
  if (small != groups.begin()) {
    HeapMap map(shared.options.memory);
    for (auto group = groups.begin(); group != small && !shared.Stopped(); ++group) CheckGroup(shared, *group, threads, map);
  }
  Each(threads, static_cast<std::size_t>(groups.end() - small), [&](std::size_t at) {
    if (shared.Stopped()) return;
    HeapMap map(small_map);
    CheckGroup(shared, *(small + static_cast<std::ptrdiff_t>(at)), 1, map);
  });
}

/// Why the files cannot be judged. "": they can.
std::string NotAtRest(const fs::path& data_directory, const PgControl& control) {
  std::error_code ignored;
  if (fs::exists(data_directory / "backup_label", ignored)) return "it is a backup before recovery: its files are of many times";
  // SAFETY: a standby that is shut down may leave pages in memory that replay has changed (a restart point is skipped where one
  // was made already), so its files are of many times too; pg_control says so by another state.
  if (control.state != kShutDown) return "the cluster was not shut down cleanly as a primary: its files are of many times";
  return {};
}

void Conclude(Shared& shared) {
  CoverageReport& report = shared.report;
  const bool damaged = std::any_of(report.findings.begin(), report.findings.end(),
                                   [](const Finding& each) { return each.severity == Severity::kFault; });
  if (shared.failed) {
    report.verdict = damaged ? Verdict::kFail : Verdict::kUnknown;
    report.reason = shared.problem;
  } else if (damaged) {
    report.verdict = Verdict::kFail;
  } else if (shared.Cancelled()) {
    report.reason = "cancelled";
  } else if (report.indexes == 0) {
    report.reason = "there is no btree on a heap";
  } else {
    report.verdict = Verdict::kPass;
  }
}

}  // namespace

Result<CoverageReport> CheckCoverage(const fs::path& data_directory, const std::vector<IndexOfHeap>& indexes,
                                     const CoverageOptions& options) {
  const auto began = std::chrono::steady_clock::now();
  ReadError read;
  const std::optional<std::string> text = ReadSmall(data_directory / "global/pg_control", read);
  if (!text) return Fail(read.message);
  const Result<PgControl> control = ParsePgControl(*text);
  if (!control) return control.error();
  Shared shared{options, {}, {}, {}, {}};
  shared.report.reason = NotAtRest(data_directory, *control);
  if (!shared.report.reason.empty()) return std::move(shared.report);
  const Result<std::vector<Group>> groups = Groups(data_directory, *control, indexes, shared);
  if (!groups) return groups.error();
  CheckGroups(shared, *groups);
  Conclude(shared);
  shared.report.took = std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - began);
  return std::move(shared.report);
}

Json ToJson(const CoverageReport& report) {
  Json uncovered = Json::object();
  for (const auto& [kind, count] : report.uncovered) uncovered[kind] = count;
  return {{"verdict", ToString(report.verdict)},
          {"reason", report.reason},
          {"tables", report.tables},
          {"indexes", report.indexes},
          {"entries", report.entries},
          {"table_bytes", report.table_bytes},
          {"index_bytes", report.index_bytes},
          {"most_stretches", report.most_stretches},
          {"uncovered_indexes", uncovered},
          {"seconds", Seconds(report.took)}};
}

}  // namespace lifeboat::backup
