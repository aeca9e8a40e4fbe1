#pragma once

// Pages of a btree index, as far as its entries are concerned: every row that a leaf page names.
// Thread rule: pure; any thread.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "backup/heap_page.h"

namespace lifeboat::backup {

enum class BtreePageState {
  kLeaf,
  kNoEntries,  ///< inner, deleted or half-dead: it names no rows
  kMeta,
  kNew,    ///< all zeros
  kOther,  ///< no page of a btree looks so
};

/// Appends the rows that a leaf's entries name, those in posting lists and those marked dead included; high keys name none.
/// On a page that turns out to be damaged, what was appended before stays.
/// @source PostgreSQL, src/include/access/nbtree.h, itup.h; src/backend/access/nbtree/README. Index versions 2 to 4
///   (PostgreSQL 8.3 to 18): before 4 there are neither posting lists nor the bit that tells of them
[[nodiscard]] BtreePageState ReadBtreePage(const void* page, std::size_t size, std::vector<Tid>& tids);

}  // namespace lifeboat::backup
