#pragma once

// Header and line pointers that all of PostgreSQL's relation pages share, little-endian.
// @source PostgreSQL, src/include/storage/bufpage.h, itemid.h
// Thread rule: pure.

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace lifeboat::backup {

inline constexpr std::size_t kPageHeader = 24;
inline constexpr std::uint32_t kPointerUnused = 0;
inline constexpr std::uint32_t kPointerNormal = 1;
inline constexpr std::uint32_t kPointerRedirect = 2;
inline constexpr std::uint32_t kPointerDead = 3;

[[nodiscard]] inline std::uint16_t HalfAt(const char* bytes, std::size_t at) {
  std::uint16_t value = 0;
  std::memcpy(&value, bytes + at, sizeof value);
  return value;
}
[[nodiscard]] inline std::uint32_t WordAt(const char* bytes, std::size_t at) {
  std::uint32_t value = 0;
  std::memcpy(&value, bytes + at, sizeof value);
  return value;
}

/// Line pointer `number`, from 0.
[[nodiscard]] inline std::uint32_t PointerAt(const char* page, std::uint32_t number) {
  return WordAt(page, kPageHeader + number * 4);
}
[[nodiscard]] constexpr std::uint32_t PointerFlags(std::uint32_t pointer) { return pointer >> 15 & 3; }
[[nodiscard]] constexpr std::uint32_t PointerOffset(std::uint32_t pointer) { return pointer & 0x7FFF; }
[[nodiscard]] constexpr std::uint32_t PointerLength(std::uint32_t pointer) { return pointer >> 17; }

struct PageHeader {
  std::uint32_t lower = 0;  ///< end of the line pointers
  std::uint32_t upper = 0;  ///< start of the rows; 0: never written
  std::uint32_t special = 0;
  std::uint16_t size_and_version = 0;

  [[nodiscard]] std::uint32_t Items() const { return (lower - static_cast<std::uint32_t>(kPageHeader)) / 4; }
  [[nodiscard]] bool Sane(std::size_t size) const {
    return lower >= kPageHeader && lower <= upper && upper <= special && special <= size &&
           size_and_version == (static_cast<std::uint16_t>(size) | 4);  // layout 4: PostgreSQL 8.3 and later
  }
};

[[nodiscard]] inline PageHeader ReadPageHeader(const char* page) {
  return {HalfAt(page, 12), HalfAt(page, 14), HalfAt(page, 16), HalfAt(page, 18)};
}

[[nodiscard]] inline bool IsAllZero(const char* page, std::size_t size) {
  return page[0] == 0 && std::memcmp(page, page + 1, size - 1) == 0;
}

}  // namespace lifeboat::backup
