#include "backup/btree_page.h"

#include "backup/page_header_internal.h"

namespace lifeboat::backup {

namespace {

constexpr std::size_t kOpaque = 16;  // BTPageOpaqueData: previous, next, level, flags, cycle
constexpr std::size_t kNextAt = 4;
constexpr std::size_t kFlagsAt = 12;
constexpr std::uint16_t kLeafFlag = 1;
constexpr std::uint16_t kDeletedFlag = 4;
constexpr std::uint16_t kMetaFlag = 8;
constexpr std::uint16_t kHalfDeadFlag = 16;
constexpr std::uint16_t kKnownFlags = 0x01FF;
constexpr std::uint32_t kMagic = 0x053162;

constexpr std::size_t kTupleHeader = 8;            // IndexTupleData: a TID of six bytes, t_info
constexpr std::uint16_t kAlternativeTid = 0x2000;  // in t_info: the TID's bytes mean something else
constexpr std::uint16_t kIsPosting = 0x2000;       // in the TID's item number: a posting list follows
constexpr std::uint16_t kPostingCount = 0x0FFF;
constexpr std::size_t kTidBytes = 6;

/// A TID as it is stored: the block's high half, its low half, the item.
Tid TidAt(const char* bytes, std::size_t at) {
  return Tid{HalfAt(bytes, at)} << 32 | Tid{HalfAt(bytes, at + 2)} << 16 | HalfAt(bytes, at + 4);
}

/// False: no entry of a leaf looks so.
bool ReadEntry(const char* page, std::size_t at, std::size_t length, std::vector<Tid>& tids) {
  if ((HalfAt(page, at + 6) & kAlternativeTid) == 0) {
    tids.push_back(TidAt(page, at));
    return true;
  }
  const std::uint16_t item = HalfAt(page, at + 4);
  const std::size_t count = item & kPostingCount;
  const std::size_t list = std::size_t{HalfAt(page, at)} << 16 | HalfAt(page, at + 2);
  if ((item & kIsPosting) == 0 || count == 0 || list < kTupleHeader || list + count * kTidBytes > length) return false;
  for (std::size_t each = 0; each < count; ++each) tids.push_back(TidAt(page, at + list + each * kTidBytes));
  return true;
}

}  // namespace

BtreePageState ReadBtreePage(const void* page, std::size_t size, std::vector<Tid>& tids) {
  const auto* bytes = static_cast<const char*>(page);
  const PageHeader header = ReadPageHeader(bytes);
  if (header.upper == 0) return IsAllZero(bytes, size) ? BtreePageState::kNew : BtreePageState::kOther;
  if (!header.Sane(size) || header.special != size - kOpaque) return BtreePageState::kOther;
  const char* opaque = bytes + header.special;
  const std::uint16_t flags = HalfAt(opaque, kFlagsAt);
  if ((flags & ~kKnownFlags) != 0) return BtreePageState::kOther;
  if ((flags & kMetaFlag) != 0) return WordAt(bytes, kPageHeader) == kMagic ? BtreePageState::kMeta : BtreePageState::kOther;
  if ((flags & (kDeletedFlag | kHalfDeadFlag)) != 0 || (flags & kLeafFlag) == 0) return BtreePageState::kNoEntries;
  // Every page but the rightmost begins with its high key, a bound that names no row.
  const std::uint32_t first = WordAt(opaque, kNextAt) != 0 ? 1 : 0;
  const std::uint32_t items = header.Items();
  for (std::uint32_t each = first; each < items; ++each) {
    const std::uint32_t pointer = PointerAt(bytes, each);
    const std::uint32_t flags_of = PointerFlags(pointer);
    const std::size_t at = PointerOffset(pointer);
    const std::size_t length = PointerLength(pointer);
    // Dead entries count too: they stay in the tree, and so keep their row's line pointer, until they are removed.
    const bool stored =
        (flags_of == kPointerNormal || flags_of == kPointerDead) && length >= kTupleHeader && at + length <= header.special;
    if (!stored || !ReadEntry(bytes, at, length, tids)) return BtreePageState::kOther;
  }
  return BtreePageState::kLeaf;
}

}  // namespace lifeboat::backup
