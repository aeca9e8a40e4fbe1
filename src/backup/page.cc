#include "backup/page.h"

#include <charconv>
#include <cstring>

namespace lifeboat::backup {

namespace {

constexpr std::size_t kColumns = 32;
constexpr std::uint32_t kPrime = 16777619;  // of the 32-bit FNV hash
constexpr std::size_t kChecksumAt = 8;      // pd_checksum
constexpr std::size_t kUpperAt = 14;        // pd_upper: 0 on a page that was never initialised
constexpr std::uint32_t kStart[kColumns] = {0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2,
                                            0x83E13D2C, 0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C,
                                            0xF718902A, 0x0B1C9CDB, 0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979,
                                            0xCCA6C0B2, 0x304A0979, 0x85AA43D4, 0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E,
                                            0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756};

// One loop, compiled for each kind of processor; the loader chooses. All columns go side by side.
#if defined(__x86_64__)
__attribute__((target_clones("avx512f", "avx2", "sse4.1", "default")))
#endif
std::uint32_t
Fold(const std::uint32_t* words, std::size_t rows, const std::uint32_t* first_row) {
  std::uint32_t sums[kColumns];
  for (std::size_t column = 0; column < kColumns; ++column) sums[column] = kStart[column];
  for (std::size_t column = 0; column < kColumns; ++column) {
    const std::uint32_t mixed = sums[column] ^ first_row[column];
    sums[column] = mixed * kPrime ^ (mixed >> 17);
  }
  for (std::size_t row = 1; row < rows; ++row) {
    const std::uint32_t* at = words + row * kColumns;
    for (std::size_t column = 0; column < kColumns; ++column) {
      const std::uint32_t mixed = sums[column] ^ at[column];
      sums[column] = mixed * kPrime ^ (mixed >> 17);
    }
  }
  for (int round = 0; round < 2; ++round) {
    for (std::size_t column = 0; column < kColumns; ++column) {
      const std::uint32_t mixed = sums[column];
      sums[column] = mixed * kPrime ^ (mixed >> 17);
    }
  }
  std::uint32_t result = 0;
  for (std::size_t column = 0; column < kColumns; ++column) result ^= sums[column];
  return result;
}

bool AllZero(const void* page, std::size_t size) {
  const auto* at = static_cast<const unsigned char*>(page);
  return at[0] == 0 && std::memcmp(at, at + 1, size - 1) == 0;
}

std::uint16_t Half(const void* page, std::size_t at) {
  std::uint16_t value = 0;
  std::memcpy(&value, static_cast<const char*>(page) + at, sizeof value);
  return value;
}

std::optional<std::uint32_t> Number(std::string_view text) {
  std::uint32_t number = 0;
  if (text.empty() || text[0] < '0' || text[0] > '9') return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

/// Cuts the part before the next '/' off `path`.
std::string_view NextPart(std::string_view& path) {
  const std::size_t slash = path.find('/');
  const std::string_view part = path.substr(0, slash);
  path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
  return part;
}

/// "16384", "16384_vm", "16384.1", "16384_fsm.2".
bool ParseName(std::string_view name, RelationFile& file) {
  if (const std::size_t dot = name.find('.'); dot != std::string_view::npos) {
    const auto segment = Number(name.substr(dot + 1));
    if (!segment) return false;
    file.segment = *segment;
    name = name.substr(0, dot);
  }
  if (const std::size_t underscore = name.find('_'); underscore != std::string_view::npos) {
    const std::string_view fork = name.substr(underscore + 1);
    if (fork == "fsm") {
      file.fork = Fork::kFreeSpace;
    } else if (fork == "vm") {
      file.fork = Fork::kVisibility;
    } else if (fork == "init") {
      file.fork = Fork::kInit;
    } else {
      return false;
    }
    name = name.substr(0, underscore);
  }
  const auto relation = Number(name);
  if (!relation) return false;
  file.relation = *relation;
  return true;
}

}  // namespace

std::uint16_t PageChecksum(const void* page, std::size_t size, std::uint32_t block) {
  // The checksum is of the page with pd_checksum at zero; the caller's page is left alone.
  std::uint32_t first_row[kColumns];
  std::memcpy(first_row, page, sizeof first_row);
  std::memset(reinterpret_cast<char*>(first_row) + kChecksumAt, 0, 2);
  const std::uint32_t sum = Fold(static_cast<const std::uint32_t*>(page), size / (kColumns * 4), first_row) ^ block;
  return static_cast<std::uint16_t>(sum % 65535 + 1);
}

Lsn PageLsn(const void* page) {
  std::uint32_t halves[2];
  std::memcpy(halves, page, sizeof halves);
  return Lsn{std::uint64_t{halves[0]} << 32 | halves[1]};
}

PageState JudgePage(const void* page, std::size_t size, std::uint32_t block, Lsn start) {
  if (Half(page, kUpperAt) == 0) return AllZero(page, size) ? PageState::kNew : PageState::kBadHeader;
  if (PageChecksum(page, size, block) == Half(page, kChecksumAt)) return PageState::kGood;
  // SAFETY: hot is judged only where the checksum is wrong, and recovery from `start` on does replace such a page; a damaged
  // LSN can claim it, so the caller asks the WAL for the page (Pages.AHotPageThatWalDoesNotReplaceIsDamage).
  return start.bytes != 0 && PageLsn(page) >= start ? PageState::kHot : PageState::kBad;
}

std::optional<RelationFile> ParseRelationPath(std::string_view path) {
  RelationFile file;
  const std::string_view top = NextPart(path);
  if (top == "global") {
    file.tablespace = 1664;
  } else if (top == "base") {
    file.tablespace = 1663;
    const auto database = Number(NextPart(path));
    if (!database) return std::nullopt;
    file.database = *database;
  } else if (top == "pg_tblspc") {
    const auto tablespace = Number(NextPart(path));
    const bool versioned = NextPart(path).starts_with("PG_");
    const auto database = Number(NextPart(path));
    if (!tablespace || !versioned || !database) return std::nullopt;
    file.tablespace = *tablespace;
    file.database = *database;
  } else {
    return std::nullopt;
  }
  if (path.find('/') != std::string_view::npos || !ParseName(path, file)) return std::nullopt;
  return file;
}

bool IsIncrementalFile(std::string_view path) {
  const std::size_t name = path.rfind('/') + 1;  // npos + 1 is 0
  return path.substr(name).starts_with("INCREMENTAL.");
}

std::string BlockPlace(std::string_view path, std::uint32_t block) { return std::string(path) + " block " + std::to_string(block); }

}  // namespace lifeboat::backup
