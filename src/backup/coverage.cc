#include "backup/coverage.h"

#include <algorithm>
#include <cstring>

#include "backup/page.h"
#include "base/check.h"

namespace lifeboat::backup {

namespace {

// A block's word in the directory: kMasked and the place of its mask in the arena; or what kind of page it is and how many line
// pointers it has, all of which may be named.
constexpr std::uint32_t kMasked = 1U << 31;
constexpr std::uint32_t kNewPageMark = 1U << 30;
constexpr std::uint32_t kNoHeapMark = 1U << 29;
constexpr std::uint32_t kItems = 0xFFFF;

constexpr std::size_t kLeastMemory = 8U << 10;  // bytes: the mask of any page fits into half of it

std::string Several(std::uint64_t count, const char* one, const char* more) {
  return std::to_string(count) + " " + (count == 1 ? one : more);
}

}  // namespace

void CoverageTally::Note(MissKind kind, Miss miss) {
  const auto at = static_cast<std::size_t>(kind);
  ++misses[at];
  if (examples[at].size() < kMostExamples) examples[at].push_back(miss);
  if (kind == MissKind::kPastEnd) furthest = std::max(furthest, BlockOf(miss.tid));
  if (kind == MissKind::kNewPage && new_pages.size() < kMostPages) new_pages.insert(BlockOf(miss.tid));
}

void CoverageTally::Add(const CoverageTally& other) {
  entries += other.entries;
  for (std::size_t kind = 0; kind < kMissKinds; ++kind) {
    misses[kind] += other.misses[kind];
    for (const Miss& miss : other.examples[kind]) {
      if (examples[kind].size() < kMostExamples) examples[kind].push_back(miss);
    }
  }
  for (const std::uint32_t block : other.new_pages) {
    if (new_pages.size() < kMostPages) new_pages.insert(block);
  }
  pages += other.pages;
  if (other.damaged_pages > 0)
    first_damaged = damaged_pages == 0 ? other.first_damaged : std::min(first_damaged, other.first_damaged);
  damaged_pages += other.damaged_pages;
  furthest = std::max(furthest, other.furthest);
  newest = std::max(newest, other.newest);
}

std::uint64_t CoverageTally::AllMisses() const {
  std::uint64_t all = 0;
  for (const std::uint64_t each : misses) all += each;
  return all;
}

// Both are left as the kernel gives them: pages that are not used take no memory.
HeapMap::HeapMap(std::size_t memory)
    : directory_size_(std::max(memory, kLeastMemory) / 2 / sizeof(std::uint32_t)),
      arena_size_(directory_size_),
      directory_(std::make_unique_for_overwrite<std::uint32_t[]>(directory_size_)),
      arena_(std::make_unique_for_overwrite<std::uint32_t[]>(arena_size_)) {}

std::uint32_t HeapMap::Begin(std::uint32_t first, std::uint32_t blocks) {
  first_ = first;
  blocks_ = blocks;
  count_ = 0;
  arena_used_ = 0;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(blocks, std::uint64_t{first} + directory_size_));
}

bool HeapMap::Put(std::uint32_t block, const HeapTargets& targets, std::span<const std::uint32_t> mask) {
  std::uint32_t& word = directory_[block - first_];
  if (targets.state != HeapPageState::kHeap) {
    word = targets.state == HeapPageState::kNew ? kNewPageMark : kNoHeapMark;
    return true;
  }
  if (targets.all) {
    word = targets.items;
    return true;
  }
  const std::uint32_t words = WordsFor(targets.items);
  const std::size_t at = arena_used_.fetch_add(words + 1);
  if (at + words + 1 > arena_size_) return false;
  arena_[at] = targets.items;
  std::memcpy(&arena_[at + 1], mask.data(), words * sizeof(std::uint32_t));
  word = kMasked | static_cast<std::uint32_t>(at);
  return true;
}

void HeapMap::Close(std::uint32_t end) {
  LIFEBOAT_CHECK(end >= first_ && end - first_ <= directory_size_, "a stretch is longer than its map");
  count_ = end - first_;
}

void HeapMap::Check(std::span<const Tid> tids, std::uint32_t index_block, CoverageTally& tally) const {
  if (first_ == 0) tally.entries += tids.size();
  for (const Tid tid : tids) {
    const std::uint32_t block = BlockOf(tid);
    const std::uint32_t place = block - first_;  // of a block before the stretch: a large number
    if (block < first_ || place >= count_) {
      if (first_ == 0 && block >= blocks_) tally.Note(MissKind::kPastEnd, {tid, index_block});
      continue;
    }
    const std::uint32_t word = directory_[place];
    const std::uint32_t item = ItemOf(tid) - 1U;  // item 0: a large number
    if ((word & kMasked) == 0) {
      if (item < (word & kItems)) continue;
      const MissKind kind = (word & kNewPageMark) != 0  ? MissKind::kNewPage
                            : (word & kNoHeapMark) != 0 ? MissKind::kNoHeap
                                                        : MissKind::kNoTarget;
      tally.Note(kind, {tid, index_block});
      continue;
    }
    const std::uint32_t* masked = &arena_[word & ~kMasked];
    if (item < masked[0] && (masked[1 + item / 32] >> (item % 32) & 1U) != 0) continue;
    tally.Note(MissKind::kNoTarget, {tid, index_block});
  }
}

namespace {

/// Writes the findings of one table.
class Judge {
 public:
  Judge(const std::string& set, const CoveredHeap& heap) : set_(set), heap_(heap) {
    for (const CoveredIndex& index : heap.indexes) all_.Add(index.tally);
  }

  std::vector<Finding> Do() {
    for (const CoveredIndex& index : heap_.indexes) JudgeIndex(index);
    // An old copy of a table is mostly shorter as well: one damage, told once.
    if (all_.Of(MissKind::kNoTarget) > 0) {
      TellOldCopy();
    } else if (all_.Of(MissKind::kPastEnd) > 0) {
      TellCutOff();
    }
    if (all_.Of(MissKind::kNewPage) > 0) TellNewPages();
    if (all_.Of(MissKind::kNoHeap) > 0) TellNoHeap();
    return std::move(findings_);
  }

 private:
  void Tell(int fault, const std::string& object, const std::string& position, const std::string& what, std::uint64_t count = 1) {
    Finding finding = MakeFinding(fault, set_, object, position, what);
    finding.level = Level::kContent;  // that is where it was found, whatever level could have found it
    finding.count = std::max<std::uint64_t>(count, 1);
    findings_.push_back(std::move(finding));
  }

  /// "'a' and 2 more of its 4 btree indexes name": those with an entry of that kind.
  [[nodiscard]] std::string Naming(MissKind kind) const {
    std::string first;
    std::size_t naming = 0;
    for (const CoveredIndex& index : heap_.indexes) {
      if (index.tally.Of(kind) == 0) continue;
      if (naming++ == 0) first = "'" + index.name + "'";
    }
    const std::string of = " of its " + Several(heap_.indexes.size(), "btree index", "btree indexes");
    if (heap_.indexes.size() == 1) return "its btree index " + first + " names ";
    return first + (naming > 1 ? " and " + std::to_string(naming - 1) + " more" + of + " name " : ", one" + of + ", names ");
  }

  /// How many rows that is: each index counts them anew.
  [[nodiscard]] std::uint64_t MostOf(std::initializer_list<MissKind> kinds) const {
    std::uint64_t most = 0;
    for (const CoveredIndex& index : heap_.indexes) {
      std::uint64_t of_index = 0;
      for (const MissKind kind : kinds) of_index += index.tally.Of(kind);
      most = std::max(most, of_index);
    }
    return most;
  }

  void JudgeIndex(const CoveredIndex& index) {
    if (index.tally.pages == 0) {
      Tell(26, index.path, "", "the index '" + index.name + "' has no pages, and should have one at least");
    } else if (!index.has_meta) {
      Tell(23, index.path, "block 0", "the first page of the index '" + index.name + "' is not a btree's");
    } else if (index.tally.damaged_pages > 0) {
      Tell(23, index.path, "block " + std::to_string(index.tally.first_damaged),
           Several(index.tally.damaged_pages, "page", "pages") + " of the index '" + index.name + "' are none of a btree",
           index.tally.damaged_pages);
    }
  }

  void TellCutOff() {
    const std::uint64_t count = MostOf({MissKind::kPastEnd});
    const std::string entries =
        Naming(MissKind::kPastEnd) + Several(count, "row", "rows") + " behind that, up to block " + std::to_string(all_.furthest);
    const std::string position = "block " + std::to_string(heap_.blocks);
    if (heap_.segment_gap) {
      Tell(27, heap_.path, position,
           "segment " + std::to_string(*heap_.segment_gap) + " of '" + heap_.name +
               "' is missing or cut off and later ones are there: " + entries,
           count);
      return;
    }
    Tell(26, heap_.path, position, "'" + heap_.name + "' ends after " + Several(heap_.blocks, "block", "blocks") + ": " + entries,
         count);
  }

  void TellNewPages() {
    const std::uint64_t count = MostOf({MissKind::kNewPage});
    const std::size_t pages = all_.new_pages.size();
    const std::string many =
        pages == 1 ? "this page" : std::to_string(pages) + (pages == CoverageTally::kMostPages ? " or more" : "") + " pages";
    Tell(25, heap_.path, "block " + std::to_string(*all_.new_pages.begin()),
         many + " of '" + heap_.name + "' " + (pages == 1 ? "holds" : "hold") + " zeros alone: " + Naming(MissKind::kNewPage) +
             Several(count, "row", "rows") + " there",
         count);
  }

  void TellNoHeap() {
    const std::uint64_t count = MostOf({MissKind::kNoHeap});
    Tell(23, heap_.path, "block " + std::to_string(BlockOf(all_.examples[static_cast<std::size_t>(MissKind::kNoHeap)].front().tid)),
         "what stands there is no page of the table '" + heap_.name + "': " + Naming(MissKind::kNoHeap) +
             Several(count, "row", "rows") + " there",
         count);
  }

  void TellOldCopy() {
    const std::uint64_t count = MostOf({MissKind::kNoTarget, MissKind::kPastEnd});
    const Miss& example = all_.examples[static_cast<std::size_t>(MissKind::kNoTarget)].front();
    std::string what = "'" + heap_.name + "' and its indexes are not of one time: " + Naming(MissKind::kNoTarget) +
                       Several(count, "row", "rows") + " that the table does not have";
    if (!heap_.example.empty()) what += " (item " + std::to_string(ItemOf(example.tid)) + ": " + heap_.example + ")";
    what += "; the table's newest page is of " + heap_.newest.Text() + ", the indexes' of " + all_.newest.Text();
    Tell(28, heap_.path, "block " + std::to_string(BlockOf(example.tid)), what, count);
  }

  const std::string& set_;
  const CoveredHeap& heap_;
  CoverageTally all_;
  std::vector<Finding> findings_;
};

}  // namespace

std::vector<Finding> JudgeCoverage(const std::string& set, const CoveredHeap& heap) { return Judge(set, heap).Do(); }

}  // namespace lifeboat::backup
