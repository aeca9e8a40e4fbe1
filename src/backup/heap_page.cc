#include "backup/heap_page.h"

#include <algorithm>
#include <cstring>

#include "backup/page.h"
#include "backup/page_header_internal.h"

namespace lifeboat::backup {

namespace {

constexpr std::size_t kRowHeader = 23;          // the least that a row has: HeapTupleHeaderData
constexpr std::size_t kInfomask2At = 18;        // t_infomask2
constexpr std::uint16_t kHeapOnlyBit = 0x8000;  // HEAP_ONLY_TUPLE: a later version in a chain, which no index names

enum class Item { kTarget, kUnused, kHeapOnly, kOutside };

Item Judge(const char* page, std::size_t size, std::uint32_t pointer) {
  switch (PointerFlags(pointer)) {
    case kPointerUnused: return Item::kUnused;
    case kPointerRedirect:
    case kPointerDead: return Item::kTarget;
    default: break;
  }
  const std::size_t at = PointerOffset(pointer);
  if (at + kRowHeader > size || PointerLength(pointer) < kRowHeader) return Item::kOutside;
  return (HalfAt(page, at + kInfomask2At) & kHeapOnlyBit) != 0 ? Item::kHeapOnly : Item::kTarget;
}

bool IsHeap(const PageHeader& header, std::size_t size) { return header.Sane(size) && header.special == size; }

}  // namespace

HeapTargets ReadHeapPage(const void* page, std::size_t size, std::span<std::uint32_t> mask) {
  const auto* bytes = static_cast<const char*>(page);
  const PageHeader header = ReadPageHeader(bytes);
  HeapTargets targets;
  targets.lsn = PageLsn(page);
  if (header.upper == 0) {
    targets.state = IsAllZero(bytes, size) ? HeapPageState::kNew : HeapPageState::kOther;
    return targets;
  }
  if (!IsHeap(header, size)) return targets;
  targets.state = HeapPageState::kHeap;
  targets.items = header.Items();
  targets.all = true;
  for (std::uint32_t word = 0; word < WordsFor(targets.items); ++word) {
    const std::uint32_t first = word * 32;
    const std::uint32_t count = std::min<std::uint32_t>(32, targets.items - first);
    std::uint32_t bits = 0;
    for (std::uint32_t bit = 0; bit < count; ++bit) {
      const bool target = Judge(bytes, size, PointerAt(bytes, first + bit)) == Item::kTarget;
      bits |= std::uint32_t{target} << bit;
    }
    targets.all = targets.all && bits == (count == 32 ? ~0U : (1U << count) - 1);
    mask[word] = bits;
  }
  return targets;
}

const char* DescribeItem(const void* page, std::size_t size, std::uint16_t item) {
  const auto* bytes = static_cast<const char*>(page);
  const PageHeader header = ReadPageHeader(bytes);
  if (header.upper == 0) return "the page is empty";
  if (!IsHeap(header, size)) return "the page is none of a table";
  if (item == 0 || item > header.Items()) return "the page has no such line pointer";
  switch (Judge(bytes, size, PointerAt(bytes, item - 1U))) {
    case Item::kUnused: return "that line pointer is unused";
    case Item::kHeapOnly: return "there is a later version of another row, which no index may name";
    case Item::kOutside: return "that line pointer leads out of the page";
    case Item::kTarget: break;
  }
  return "there is a row";
}

}  // namespace lifeboat::backup
