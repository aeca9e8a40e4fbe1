#pragma once

// Pages of a table as PostgreSQL's heap lays them out, as far as indexes speak of them: which line pointers an index entry may
// name. VACUUM takes index entries away before it frees a line pointer, and replay keeps that order, so an entry never names a
// free one; it may name a dead one, whose index entries are still to be removed.
// Thread rule: pure; any thread.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/types.h"

namespace lifeboat::backup {

/// A position of a row: block << 16 | number of its line pointer, which begins at 1.
using Tid = std::uint64_t;
[[nodiscard]] constexpr Tid MakeTid(std::uint32_t block, std::uint16_t item) { return Tid{block} << 16 | item; }
[[nodiscard]] constexpr std::uint32_t BlockOf(Tid tid) { return static_cast<std::uint32_t>(tid >> 16); }
[[nodiscard]] constexpr std::uint16_t ItemOf(Tid tid) { return static_cast<std::uint16_t>(tid); }

enum class HeapPageState {
  kHeap,
  kNew,    ///< all zeros: extended and never written, or lost
  kOther,  ///< neither: no page of a heap has such a header
};

/// The line pointers of one heap page.
struct HeapTargets {
  HeapPageState state = HeapPageState::kOther;
  std::uint32_t items = 0;  ///< line pointers on the page
  bool all = false;         ///< an index entry may name every one of them
  Lsn lsn;                  ///< end of the last record that changed the page
};

/// Bits of a mask of line pointers in whole words.
[[nodiscard]] constexpr std::uint32_t WordsFor(std::uint32_t items) { return (items + 31) / 32; }
/// Words that the mask of any page of that size fits into.
[[nodiscard]] constexpr std::uint32_t MostWords(std::size_t page_bytes) {
  return WordsFor(static_cast<std::uint32_t>(page_bytes / 4));
}

/// @param mask  room for MostWords(size); bit n is set where an index entry may name line pointer n + 1: a row that begins a
///   chain of versions, a redirection, or a dead row. The first WordsFor(items) words are written.
/// @source PostgreSQL, src/include/storage/bufpage.h and itemid.h; src/backend/access/heap/README.HOT; heapam.c,
///   index_delete_check_htid(), which calls the same three cases corruption
[[nodiscard]] HeapTargets ReadHeapPage(const void* page, std::size_t size, std::span<std::uint32_t> mask);

/// What is at a line pointer, in words for people: "line pointer 7 is unused".
[[nodiscard]] const char* DescribeItem(const void* page, std::size_t size, std::uint16_t item);

}  // namespace lifeboat::backup
