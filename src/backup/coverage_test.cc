#include "backup/coverage.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>

#include "backup/btree_page.h"

namespace lifeboat::backup {
namespace {

constexpr std::size_t kPage = 8192;

/// A page of PostgreSQL, put together by hand.
class Page {
 public:
  explicit Page(std::uint16_t special_bytes = 0) {
    Set(12, 24);
    Set(14, static_cast<std::uint16_t>(kPage - special_bytes));
    Set(16, static_cast<std::uint16_t>(kPage - special_bytes));
    Set(18, kPage | 4);
  }
  void Set(std::size_t at, std::uint16_t value) { std::memcpy(bytes_ + at, &value, 2); }
  void SetWord(std::size_t at, std::uint32_t value) { std::memcpy(bytes_ + at, &value, 4); }
  void SetLsn(std::uint64_t lsn) {
    SetWord(0, static_cast<std::uint32_t>(lsn >> 32));
    SetWord(4, static_cast<std::uint32_t>(lsn));
  }
  /// Adds a line pointer with `bytes` behind it. @return where they lie
  std::size_t Add(std::uint32_t flags, std::size_t bytes) {
    std::uint16_t lower = 0;
    std::uint16_t upper = 0;
    std::memcpy(&lower, bytes_ + 12, 2);
    std::memcpy(&upper, bytes_ + 14, 2);
    upper = static_cast<std::uint16_t>(upper - (bytes + 7) / 8 * 8);
    SetWord(lower, static_cast<std::uint32_t>(bytes) << 17 | flags << 15 | (bytes > 0 ? upper : 0));
    Set(12, static_cast<std::uint16_t>(lower + 4));
    Set(14, upper);
    return upper;
  }
  [[nodiscard]] const char* bytes() const { return bytes_; }
  [[nodiscard]] char* bytes() { return bytes_; }

 private:
  alignas(8) char bytes_[kPage] = {};
};

/// A heap page of rows. In `kinds`: N a row, H a later version of another row, R a redirection, D dead, U unused.
Page HeapPage(const std::string& kinds) {
  Page page;
  for (const char kind : kinds) {
    if (kind == 'U') page.Add(0, 0);
    if (kind == 'D') page.Add(3, 0);
    if (kind == 'R') page.Add(2, 0);
    if (kind == 'N') page.Add(1, 40);
    if (kind == 'H') page.Set(page.Add(1, 40) + 18, 0x8000 | 2);
  }
  return page;
}

class Leaf {
 public:
  explicit Leaf(std::uint16_t flags = 1, std::uint32_t next = 0) {
    page_.SetWord(kPage - 16 + 4, next);
    page_.Set(kPage - 16 + 12, flags);
  }
  Leaf& Entry(std::uint32_t block, std::uint16_t item, std::uint32_t pointer_flags = 1) {
    PutTid(page_.Add(pointer_flags, 16), block, item);
    return *this;
  }
  /// A high key: its "TID" is a number of columns, or a bound.
  Leaf& HighKey() {
    const std::size_t at = page_.Add(1, 16);
    PutTid(at, 0xFFFFFF, 1);
    page_.Set(at + 6, 0x2000 | 16);
    return *this;
  }
  Leaf& Posting(const std::vector<Tid>& tids) {
    const std::size_t size = 16 + tids.size() * 6;
    const std::size_t at = page_.Add(1, size);
    PutTid(at, 16, static_cast<std::uint16_t>(0x2000 | tids.size()));  // the list begins 16 bytes into the entry
    page_.Set(at + 6, static_cast<std::uint16_t>(0x2000 | size));
    for (std::size_t each = 0; each < tids.size(); ++each) PutTid(at + 16 + each * 6, BlockOf(tids[each]), ItemOf(tids[each]));
    return *this;
  }
  Page& page() { return page_; }

 private:
  void PutTid(std::size_t at, std::uint32_t block, std::uint16_t item) {
    page_.Set(at, static_cast<std::uint16_t>(block >> 16));
    page_.Set(at + 2, static_cast<std::uint16_t>(block));
    page_.Set(at + 4, item);
  }
  Page page_{16};
};

std::vector<Tid> TidsOf(Leaf& leaf, BtreePageState expected = BtreePageState::kLeaf) {
  std::vector<Tid> tids;
  EXPECT_EQ(ReadBtreePage(leaf.page().bytes(), kPage, tids), expected);
  return tids;
}

std::uint32_t MaskOf(const Page& page) {
  std::vector<std::uint32_t> mask(MostWords(kPage));
  EXPECT_EQ(ReadHeapPage(page.bytes(), kPage, mask).state, HeapPageState::kHeap);
  return mask[0];
}

TEST(HeapPages, RowsRedirectionsAndDeadRowsMayBeNamedFreePointersAndLaterVersionsNot) {
  EXPECT_EQ(MaskOf(HeapPage("NRDUH")), 0b00111U);
  EXPECT_EQ(MaskOf(HeapPage("UNUDH")), 0b01010U);
}

TEST(HeapPages, AllIsSaidOnlyWhereEveryPointerMayBeNamed) {
  std::vector<std::uint32_t> mask(MostWords(kPage));
  const HeapTargets full = ReadHeapPage(HeapPage(std::string(40, 'N')).bytes(), kPage, mask);
  EXPECT_TRUE(full.all);
  EXPECT_EQ(full.items, 40U);
  EXPECT_FALSE(ReadHeapPage(HeapPage(std::string(39, 'N') + "U").bytes(), kPage, mask).all);
  EXPECT_FALSE(ReadHeapPage(HeapPage("U" + std::string(39, 'N')).bytes(), kPage, mask).all);
  const HeapTargets empty = ReadHeapPage(HeapPage("").bytes(), kPage, mask);
  EXPECT_EQ(empty.state, HeapPageState::kHeap);
  EXPECT_EQ(empty.items, 0U);
}

TEST(HeapPages, ZerosAreNewAndForeignPagesAreOther) {
  std::vector<std::uint32_t> mask(MostWords(kPage));
  Page zero;
  std::memset(zero.bytes(), 0, kPage);
  EXPECT_EQ(ReadHeapPage(zero.bytes(), kPage, mask).state, HeapPageState::kNew);
  zero.bytes()[5000] = 1;
  EXPECT_EQ(ReadHeapPage(zero.bytes(), kPage, mask).state, HeapPageState::kOther);
  EXPECT_EQ(ReadHeapPage(Leaf().page().bytes(), kPage, mask).state, HeapPageState::kOther) << "a page of an index";
  Page crossed = HeapPage("N");
  crossed.Set(12, 9000);
  EXPECT_EQ(ReadHeapPage(crossed.bytes(), kPage, mask).state, HeapPageState::kOther);
  Page outside = HeapPage("NN");
  outside.SetWord(24, 40U << 17 | 1U << 15 | 8190);
  EXPECT_EQ(MaskOf(outside), 0b10U) << "a row that reaches out of its page is none";
}

TEST(HeapPages, ItemsAreToldInWords) {
  const Page page = HeapPage("NUH");
  EXPECT_STREQ(DescribeItem(page.bytes(), kPage, 1), "there is a row");
  EXPECT_STREQ(DescribeItem(page.bytes(), kPage, 2), "that line pointer is unused");
  EXPECT_STREQ(DescribeItem(page.bytes(), kPage, 3), "there is a later version of another row, which no index may name");
  EXPECT_STREQ(DescribeItem(page.bytes(), kPage, 4), "the page has no such line pointer");
  EXPECT_STREQ(DescribeItem(page.bytes(), kPage, 0), "the page has no such line pointer");
}

TEST(BtreePages, LeavesNameRowsInEntriesDeadEntriesAndPostingLists) {
  Leaf last;
  last.Entry(7, 3).Entry(0x12345, 9, 3).Posting({MakeTid(1, 1), MakeTid(1, 2), MakeTid(70000, 5)});
  EXPECT_EQ(TidsOf(last), (std::vector<Tid>{MakeTid(7, 3), MakeTid(0x12345, 9), MakeTid(1, 1), MakeTid(1, 2), MakeTid(70000, 5)}));
}

TEST(BtreePages, TheHighKeyNamesNoRow) {
  Leaf inner_leaf(1, 12);
  inner_leaf.HighKey().Entry(7, 3);
  EXPECT_EQ(TidsOf(inner_leaf), (std::vector<Tid>{MakeTid(7, 3)}));
  Leaf old_high_key(1, 12);  // without the bit, as before index version 4
  old_high_key.Entry(99, 99).Entry(7, 3);
  EXPECT_EQ(TidsOf(old_high_key), (std::vector<Tid>{MakeTid(7, 3)}));
}

TEST(BtreePages, InnerDeletedHalfDeadAndEmptyPagesNameNoRows) {
  for (const std::uint16_t flags : {0, 2, 1 | 4, 1 | 16, 4 | 256}) {
    Leaf page(flags);
    page.Entry(7, 3);
    EXPECT_TRUE(TidsOf(page, BtreePageState::kNoEntries).empty()) << flags;
  }
  Leaf split(1 | 128);  // its parent does not know the page's right half yet; its rows count
  split.Entry(7, 3);
  EXPECT_EQ(TidsOf(split).size(), 1U);
  Leaf zero;
  std::memset(zero.page().bytes(), 0, kPage);
  TidsOf(zero, BtreePageState::kNew);
  Leaf meta(8);
  meta.page().SetWord(24, 0x053162);
  TidsOf(meta, BtreePageState::kMeta);
}

TEST(BtreePages, WhatIsNoBtreeIsOther) {
  std::vector<Tid> tids;
  EXPECT_EQ(ReadBtreePage(HeapPage("NN").bytes(), kPage, tids), BtreePageState::kOther);
  Leaf unused;
  unused.page().Add(0, 0);
  TidsOf(unused, BtreePageState::kOther);
  Leaf pivot_in_the_middle;
  pivot_in_the_middle.Entry(7, 3).HighKey();
  TidsOf(pivot_in_the_middle, BtreePageState::kOther);
  Leaf long_list;
  long_list.Posting({MakeTid(1, 1)});
  std::uint16_t upper = 0;
  std::memcpy(&upper, long_list.page().bytes() + 14, 2);
  long_list.page().Set(upper + 4, 0x2000 | 200);
  TidsOf(long_list, BtreePageState::kOther);
}

/// A table of pages (HeapPage's letters; "0": zeros, "?": a foreign page) and one index that names `tids`.
class Story {
 public:
  explicit Story(std::vector<std::string> pages, std::size_t memory = 1U << 20) : pages_(std::move(pages)), map_(memory) {
    heap_.name = "shop.public.orders";
    heap_.path = "base/5/16384";
    heap_.blocks = static_cast<std::uint32_t>(pages_.size());
    const std::uint32_t end = map_.Begin(0, heap_.blocks);
    std::vector<std::uint32_t> mask(MostWords(kPage));
    for (std::uint32_t block = 0; block < end; ++block) {
      const HeapTargets targets = ReadHeapPage(Made(pages_[block]).bytes(), kPage, mask);
      EXPECT_TRUE(map_.Put(block, targets, mask));
    }
    map_.Close(end);
  }
  Story& Index(const std::string& name, const std::vector<Tid>& tids) {
    CoveredIndex index{name, "base/5/" + std::to_string(16390 + heap_.indexes.size()), true, {}};
    index.tally.pages = 2;
    map_.Check(tids, 1, index.tally);
    heap_.indexes.push_back(std::move(index));
    return *this;
  }
  std::vector<Finding> Judge() { return JudgeCoverage("monday", heap_); }
  CoveredHeap& heap() { return heap_; }

 private:
  static Page Made(const std::string& kinds) {
    Page page = HeapPage(kinds);
    if (kinds == "0") std::memset(page.bytes(), 0, kPage);
    if (kinds == "?") page = Leaf().page();
    return page;
  }
  std::vector<std::string> pages_;
  HeapMap map_;
  CoveredHeap heap_;
};

TEST(Coverage, EntriesThatNameRowsAreFine) {
  Story story({"NNN", "NRDUH", "0"});
  story.Index("orders_pkey", {MakeTid(0, 1), MakeTid(0, 3), MakeTid(1, 1), MakeTid(1, 2), MakeTid(1, 3)});
  EXPECT_TRUE(story.Judge().empty());
  EXPECT_EQ(story.heap().indexes[0].tally.entries, 5U);
}

TEST(Coverage, RowsBehindTheTablesEndMeanThatItWasCutOff) {
  Story story({"NNN"});
  story.Index("orders_pkey", {MakeTid(0, 1), MakeTid(1, 1), MakeTid(6536, 2)}).Index("orders_by_day", {MakeTid(1, 1)});
  const auto findings = story.Judge();
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].Number(), "F26");
  EXPECT_EQ(findings[0].level, Level::kContent);
  EXPECT_EQ(findings[0].object, "base/5/16384");
  EXPECT_EQ(findings[0].position, "block 1");
  EXPECT_EQ(findings[0].count, 2U) << "rows, not entries of all indexes";
  EXPECT_NE(findings[0].what.find("up to block 6536"), std::string::npos) << findings[0].what;
}

TEST(Coverage, AnEmptiedTableIsCutOffAtItsStart) {
  Story story({});
  story.Index("orders_pkey", {MakeTid(0, 1)});
  const auto findings = story.Judge();
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].Number(), "F26");
  EXPECT_EQ(findings[0].position, "block 0");
}

TEST(Coverage, AMissingSegmentBeforeOthersHasItsOwnNumber) {
  Story story({"NNN"});
  story.heap().segment_gap = 1;
  story.Index("orders_pkey", {MakeTid(131072, 1)});
  const auto findings = story.Judge();
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].Number(), "F27");
}

TEST(Coverage, AZeroedPageIsToldOnlyWhereAnIndexKnowsItsRows) {
  Story story({"NNN", "0", "NNN", "0"});
  story.Index("orders_pkey", {MakeTid(1, 1), MakeTid(1, 2), MakeTid(2, 1)});
  const auto findings = story.Judge();
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].Number(), "F25");
  EXPECT_EQ(findings[0].position, "block 1");
  EXPECT_EQ(findings[0].count, 2U);
}

TEST(Coverage, FreePointersAndAnEndTogetherAreOneOldCopy) {
  Story story({"NNN", "NU"});
  story.Index("orders_pkey", {MakeTid(1, 2), MakeTid(1, 3), MakeTid(2, 1)});
  const auto findings = story.Judge();
  ASSERT_EQ(findings.size(), 1U) << "one damage, one number";
  EXPECT_EQ(findings[0].Number(), "F28");
  EXPECT_EQ(findings[0].position, "block 1");
  EXPECT_EQ(findings[0].count, 3U);
}

TEST(Coverage, AnEntryThatNamesALaterVersionIsTold) {
  Story story({"NH"});
  story.Index("orders_pkey", {MakeTid(0, 2)});
  ASSERT_EQ(story.Judge().size(), 1U);
  EXPECT_EQ(story.Judge()[0].Number(), "F28");
}

TEST(Coverage, ItemZeroNamesNothing) {
  Story story({"NNN", "NU"});
  story.Index("orders_pkey", {MakeTid(0, 0), MakeTid(1, 0)});
  ASSERT_EQ(story.Judge().size(), 1U);
  EXPECT_EQ(story.Judge()[0].count, 2U);
}

TEST(Coverage, ForeignPagesAreDamageOfTheTableOrOfTheIndex) {
  Story story({"?"});
  story.Index("orders_pkey", {MakeTid(0, 1)});
  ASSERT_EQ(story.Judge().size(), 1U);
  EXPECT_EQ(story.Judge()[0].Number(), "F23");
  Story index({"N"});
  index.Index("orders_pkey", {MakeTid(0, 1)});
  index.heap().indexes[0].tally.damaged_pages = 3;
  index.heap().indexes[0].tally.first_damaged = 9;
  ASSERT_EQ(index.Judge().size(), 1U);
  EXPECT_EQ(index.Judge()[0].Number(), "F23");
  EXPECT_EQ(index.Judge()[0].object, "base/5/16390");
  index.heap().indexes[0].tally.damaged_pages = 0;
  index.heap().indexes[0].has_meta = false;
  ASSERT_EQ(index.Judge().size(), 1U);
  EXPECT_EQ(index.Judge()[0].Number(), "F23");
  index.heap().indexes[0].tally.pages = 0;
  ASSERT_EQ(index.Judge().size(), 1U);
  EXPECT_EQ(index.Judge()[0].Number(), "F26") << "an index has one page at least";
}

/// Puts `blocks` pages of the given letters into stretches of a map of 1 MiB, and checks the same entries with each.
CoverageTally InStretches(std::uint32_t blocks, const std::string& kinds, const std::vector<Tid>& tids, int* stretches) {
  HeapMap map(1U << 20);
  std::vector<std::uint32_t> mask(MostWords(kPage));
  const HeapTargets targets = ReadHeapPage(HeapPage(kinds).bytes(), kPage, mask);
  CoverageTally tally;
  for (std::uint32_t first = 0; first < blocks; ++*stretches) {
    std::uint32_t end = map.Begin(first, blocks);
    for (std::uint32_t block = first; block < end; ++block) {
      if (!map.Put(block, targets, mask)) end = block;
    }
    EXPECT_GT(end, first);
    map.Close(end);
    map.Check(tids, 1, tally);
    first = end;
  }
  return tally;
}

TEST(Coverage, ItsSelfTestPasses) {
  const Result<Unit> proven = ProveThatCoverageCanFail();
  EXPECT_TRUE(proven.ok()) << proven.error().Text();
}

TEST(HeapMaps, ATableThatDoesNotFitIsTakenInStretchesAndEachEntryIsToldOnce) {
  std::vector<Tid> tids;
  for (std::uint32_t block = 0; block < 300010; block += 10) tids.push_back(MakeTid(block, block % 100 == 50 ? 2 : 1));
  int plain = 0;
  const CoverageTally of_plain = InStretches(300000, "N", tids, &plain);
  EXPECT_EQ(plain, 3) << "131072 blocks in half a MiB";
  EXPECT_EQ(of_plain.entries, tids.size());
  EXPECT_EQ(of_plain.Of(MissKind::kNoTarget), 3000U);
  EXPECT_EQ(of_plain.Of(MissKind::kPastEnd), 1U);
  int masked = 0;
  const CoverageTally of_masked = InStretches(300000, "NUN", tids, &masked);
  EXPECT_EQ(masked, 5) << "65536 masks in half a MiB";
  EXPECT_EQ(of_masked.entries, tids.size());
  EXPECT_EQ(of_masked.Of(MissKind::kNoTarget), 3000U);
  EXPECT_EQ(of_masked.Of(MissKind::kPastEnd), 1U);
}

TEST(HeapMaps, TalliesOfThreadsAddUp) {
  CoverageTally one;
  CoverageTally other;
  other.damaged_pages = 2;
  other.first_damaged = 40;
  one.damaged_pages = 1;
  one.first_damaged = 50;
  for (std::uint32_t block = 0; block < 3000; ++block) other.Note(MissKind::kNewPage, {MakeTid(block, 1), 7});
  one.Note(MissKind::kPastEnd, {MakeTid(9000, 1), 7});
  one.Add(other);
  EXPECT_EQ(one.damaged_pages, 3U);
  EXPECT_EQ(one.first_damaged, 40U);
  EXPECT_EQ(one.Of(MissKind::kNewPage), 3000U);
  EXPECT_EQ(one.new_pages.size(), CoverageTally::kMostPages);
  EXPECT_EQ(one.examples[static_cast<std::size_t>(MissKind::kNewPage)].size(), CoverageTally::kMostExamples);
  EXPECT_EQ(one.AllMisses(), 3001U);
  EXPECT_EQ(one.furthest, 9000U);
}

}  // namespace
}  // namespace lifeboat::backup
