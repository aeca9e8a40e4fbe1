#include <cstring>

#include "backup/btree_page.h"
#include "backup/coverage.h"

namespace lifeboat::backup {

namespace {

constexpr std::size_t kPage = 8192;

/// A page of PostgreSQL, written down by hand.
struct HandMade {
  alignas(8) char bytes[kPage] = {};
  std::uint16_t lower = 24;
  std::uint16_t upper = kPage;

  explicit HandMade(std::uint16_t special = 0) : upper(static_cast<std::uint16_t>(kPage - special)) {
    Put(16, upper);
    Put(18, kPage | 4);
    PutEnds();
  }
  void Put(std::size_t at, std::uint16_t value) { std::memcpy(bytes + at, &value, sizeof value); }
  void PutEnds() {
    Put(12, lower);
    Put(14, upper);
  }
  /// A line pointer of these flags with as many bytes, where there are any. @return where they lie
  std::size_t Add(std::uint32_t flags, std::uint16_t size) {
    upper = static_cast<std::uint16_t>(upper - size);
    const std::uint32_t pointer = std::uint32_t{size} << 17 | flags << 15 | (size > 0 ? upper : 0U);
    std::memcpy(bytes + lower, &pointer, sizeof pointer);
    lower = static_cast<std::uint16_t>(lower + 4);
    PutEnds();
    return upper;
  }
};

/// Three blocks: two rows and a free line pointer; zeros; a row. An index that names the rows, or one that names what is not there.
std::vector<Finding> Look(const std::vector<Tid>& named) {
  HandMade first;
  first.Add(1, 40);
  first.Add(1, 40);
  first.Add(0, 0);
  HandMade zeros;
  std::memset(zeros.bytes, 0, kPage);
  HandMade last;
  last.Add(1, 40);
  HandMade leaf(16);
  leaf.Put(kPage - 16 + 12, 1);
  for (const Tid tid : named) {
    const std::size_t at = leaf.Add(1, 16);
    leaf.Put(at, static_cast<std::uint16_t>(BlockOf(tid) >> 16));
    leaf.Put(at + 2, static_cast<std::uint16_t>(BlockOf(tid)));
    leaf.Put(at + 4, ItemOf(tid));
  }
  HeapMap map(0);
  CoveredHeap heap;
  heap.path = "self-test";
  heap.blocks = 3;
  (void)map.Begin(0, heap.blocks);
  std::vector<std::uint32_t> mask(MostWords(kPage));
  std::uint32_t block = 0;
  for (const HandMade* page : {&first, &zeros, &last}) {
    const HeapTargets targets = ReadHeapPage(page->bytes, kPage, mask);
    (void)map.Put(block++, targets, mask);
  }
  map.Close(heap.blocks);
  CoveredIndex index{"index", "self-test", true, {}};
  index.tally.pages = 1;
  std::vector<Tid> read;
  if (ReadBtreePage(leaf.bytes, kPage, read) != BtreePageState::kLeaf) ++index.tally.damaged_pages;
  map.Check(read, 0, index.tally);
  heap.indexes.push_back(std::move(index));
  return JudgeCoverage("", heap);
}

std::string NumbersOf(const std::vector<Finding>& findings) {
  std::string numbers;
  for (const Finding& each : findings) numbers += (numbers.empty() ? "" : " ") + each.Number();
  return numbers;
}

}  // namespace

Result<Unit> ProveThatCoverageCanFail() {
  const std::vector<Tid> good = {MakeTid(0, 1), MakeTid(0, 2), MakeTid(2, 1)};
  const std::pair<Tid, const char*> bad[] = {
      {MakeTid(0, 3), "F28"}, {MakeTid(1, 1), "F25"}, {MakeTid(2, 2), "F28"}, {MakeTid(3, 1), "F26"}};
  if (const std::string told = NumbersOf(Look(good)); !told.empty())
    return Fail("the self-test of coverage tells '" + told + "' of good pages");
  for (const auto& [tid, expected] : bad) {
    std::vector<Tid> named = good;
    named.push_back(tid);
    const std::string told = NumbersOf(Look(named));
    if (told != expected) return Fail("the self-test of coverage tells '" + told + "' where it should tell '" + expected + "'");
  }
  return Done();
}

}  // namespace lifeboat::backup
