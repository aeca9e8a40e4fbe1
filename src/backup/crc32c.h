#pragma once

// CRC-32C (Castagnoli): the checksum of WAL records, pg_control and, by default, backup manifests. Three interleaved streams
// of the processor's own instruction where it has one (SSE4.2, asked at run time), tables elsewhere.
// Thread rule: any thread.

#include <cstddef>
#include <cstdint>

namespace lifeboat::backup {

class Crc32c {
 public:
  void Add(const void* bytes, std::size_t size);
  [[nodiscard]] std::uint32_t Value() const { return state_ ^ 0xFFFFFFFFU; }

  [[nodiscard]] static std::uint32_t Of(const void* bytes, std::size_t size);
  /// The same by tables alone, for processors without the instruction and for tests.
  [[nodiscard]] static std::uint32_t PortableOf(const void* bytes, std::size_t size);

 private:
  std::uint32_t state_ = 0xFFFFFFFFU;
};

}  // namespace lifeboat::backup
