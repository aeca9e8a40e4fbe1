#include "backup/block_map.h"

#include <gtest/gtest.h>

#include <string>

namespace lifeboat::backup {
namespace {

std::string Number(std::uint64_t number) {
  std::string text;
  for (; number >= 0x80; number >>= 7) text += static_cast<char>(number | 0x80);
  return text + static_cast<char>(number);
}
constexpr std::size_t kChecksum = 6;
std::string Checksums(std::size_t blocks) { return std::string(blocks * kChecksum, 'c'); }

/// Three blocks of the first backup, in a bundle; one that the second changed; and two that go on in the first one's super block.
std::string AMap() {
  return Number(0) + Number(0 << 3 | 2 | 4) + Number(1) + Number(100) + Number(50 << 3 | 2 | 1) + Number(6 << 1) +
         Checksums(6).substr(0, 6 * kChecksum) + Number(1 << 3) + Number(19 << 3 | 4 | 1) + Number(0 << 1) + Checksums(1) +
         Number(0 << 3 | 2 | 4 | 1) + Number(1 << 1 | 1) + Number(1) + Checksums(2);
}

TEST(BlockMaps, SayInWhichBackupAndSuperBlockEachBlockLies) {
  const auto blocks = ParseBlockMap(AMap(), 8192, kChecksum, 20);
  ASSERT_TRUE(blocks.ok()) << blocks.error().Text();
  ASSERT_EQ(blocks->size(), 9u);
  for (std::size_t at = 0; at < 6; ++at) {
    const MappedBlock& block = (*blocks)[at];
    EXPECT_EQ(block.reference, 0u);
    EXPECT_EQ(block.bundle, 1u);
    EXPECT_EQ(block.offset, 100u);
    EXPECT_EQ(block.size, 50u);
    EXPECT_EQ(block.number, at);
  }
  const MappedBlock& changed = (*blocks)[6];
  EXPECT_EQ(changed.reference, 1u);
  EXPECT_EQ(changed.bundle, 0u);
  EXPECT_EQ(changed.offset, 0u);
  EXPECT_EQ(changed.size, 40u) << "50 less 10, by a zigzag";
  EXPECT_EQ(changed.number, 0u);
  const MappedBlock& on = (*blocks)[7];
  EXPECT_EQ(on.reference, 0u);
  EXPECT_EQ(on.offset, 100u);
  EXPECT_EQ(on.size, 50u);
  EXPECT_EQ(on.number, 7u) << "one was passed over: the second backup has it";
  EXPECT_EQ((*blocks)[8].number, 8u);
}

TEST(BlockMaps, WhereverTheyAreCutOffNothingComesOut) {
  const std::string map = AMap();
  for (std::size_t size = 0; size < map.size(); ++size)
    EXPECT_FALSE(ParseBlockMap(map.substr(0, size), 8192, kChecksum, 20).ok()) << size;
  EXPECT_FALSE(ParseBlockMap(map, 8192, kChecksum, 7).ok()) << "more than the file has";
  std::string newer = map;
  newer[0] = 1;
  EXPECT_FALSE(ParseBlockMap(newer, 8192, kChecksum, 20).ok());
  EXPECT_FALSE(ParseBlockMap(std::string(40, '\xff'), 8192, kChecksum, 20).ok());
}

}  // namespace
}  // namespace lifeboat::backup
