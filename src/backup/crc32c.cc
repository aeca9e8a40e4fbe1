#include "backup/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace lifeboat::backup {

namespace {

constexpr std::uint32_t kPolynomial = 0x82F63B78U;  // Castagnoli's, reflected
constexpr std::size_t kLane = 4096;                 // bytes a stream takes before the three are joined

using Slices = std::array<std::array<std::uint32_t, 256>, 8>;

constexpr Slices MakeSlices() {
  Slices slices{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    slices[0][byte] = crc;
  }
  for (std::size_t slice = 1; slice < 8; ++slice) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t before = slices[slice - 1][byte];
      slices[slice][byte] = (before >> 8) ^ slices[0][before & 0xFF];
    }
  }
  return slices;
}

constexpr Slices kSlices = MakeSlices();

std::uint32_t Portable(std::uint32_t crc, const unsigned char* at, std::size_t size) {
  for (; size >= 8; at += 8, size -= 8) {
    std::uint32_t low = 0;
    std::uint32_t high = 0;
    std::memcpy(&low, at, 4);
    std::memcpy(&high, at + 4, 4);
    low ^= crc;
    crc = kSlices[7][low & 0xFF] ^ kSlices[6][(low >> 8) & 0xFF] ^ kSlices[5][(low >> 16) & 0xFF] ^ kSlices[4][low >> 24] ^
          kSlices[3][high & 0xFF] ^ kSlices[2][(high >> 8) & 0xFF] ^ kSlices[1][(high >> 16) & 0xFF] ^ kSlices[0][high >> 24];
  }
  for (; size > 0; ++at, --size) crc = (crc >> 8) ^ kSlices[0][(crc ^ *at) & 0xFF];
  return crc;
}

#if defined(__x86_64__)

/// What kLane zero bytes do to a state. That is linear, so four lookups stand for all of it.
using Shift = std::array<std::array<std::uint32_t, 256>, 4>;

Shift MakeShift() {
  std::array<std::uint32_t, 32> of_bit{};
  static constexpr std::array<unsigned char, kLane> kZeros{};
  for (std::uint32_t bit = 0; bit < 32; ++bit) of_bit[bit] = Portable(1U << bit, kZeros.data(), kLane);
  Shift shift{};
  for (std::uint32_t place = 0; place < 4; ++place) {
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
      for (std::uint32_t bit = 0; bit < 8; ++bit) {
        if ((byte >> bit & 1U) != 0) shift[place][byte] ^= of_bit[place * 8 + bit];
      }
    }
  }
  return shift;
}

const Shift& LaneShift() {
  static const Shift shift = MakeShift();
  return shift;
}

std::uint32_t PastLane(std::uint32_t crc) {
  const Shift& shift = LaneShift();
  return shift[0][crc & 0xFF] ^ shift[1][(crc >> 8) & 0xFF] ^ shift[2][(crc >> 16) & 0xFF] ^ shift[3][crc >> 24];
}

std::uint64_t Word(const unsigned char* at) {
  std::uint64_t word = 0;
  std::memcpy(&word, at, 8);
  return word;
}

__attribute__((target("sse4.2"))) std::uint32_t Hardware(std::uint32_t crc, const unsigned char* at, std::size_t size) {
  while (size >= 3 * kLane) {
    std::uint64_t first = crc;
    std::uint64_t second = 0;
    std::uint64_t third = 0;
    for (std::size_t done = 0; done < kLane; done += 8, at += 8) {
      first = _mm_crc32_u64(first, Word(at));
      second = _mm_crc32_u64(second, Word(at + kLane));
      third = _mm_crc32_u64(third, Word(at + 2 * kLane));
    }
    crc = PastLane(PastLane(static_cast<std::uint32_t>(first)) ^ static_cast<std::uint32_t>(second)) ^
          static_cast<std::uint32_t>(third);
    at += 2 * kLane;
    size -= 3 * kLane;
  }
  std::uint64_t wide = crc;
  for (; size >= 8; at += 8, size -= 8) wide = _mm_crc32_u64(wide, Word(at));
  crc = static_cast<std::uint32_t>(wide);
  for (; size > 0; ++at, --size) crc = _mm_crc32_u8(crc, *at);
  return crc;
}

#endif

std::uint32_t Extend(std::uint32_t crc, const void* bytes, std::size_t size) {
  const auto* at = static_cast<const unsigned char*>(bytes);
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2") != 0;
  if (has_instruction) return Hardware(crc, at, size);
#endif
  return Portable(crc, at, size);
}

}  // namespace

void Crc32c::Add(const void* bytes, std::size_t size) { state_ = Extend(state_, bytes, size); }

std::uint32_t Crc32c::Of(const void* bytes, std::size_t size) { return Extend(0xFFFFFFFFU, bytes, size) ^ 0xFFFFFFFFU; }

std::uint32_t Crc32c::PortableOf(const void* bytes, std::size_t size) {
  return Portable(0xFFFFFFFFU, static_cast<const unsigned char*>(bytes), size) ^ 0xFFFFFFFFU;
}

}  // namespace lifeboat::backup
