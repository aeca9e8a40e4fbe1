#include "backup/pg_control.h"

#include <bit>
#include <cstring>
#include <string>

#include "backup/crc32c.h"

namespace lifeboat::backup {

namespace {

// Offsets of ControlFileData on 64-bit machines: the same in all these releases up to data_checksum_version. PostgreSQL 17 put a
// field into the checkpoint's padding, 18 one after data_checksum_version, which moves the CRC.
constexpr std::size_t kCrcAt13 = 288;
constexpr std::size_t kCrcAt18 = 292;

template <typename T>
T Field(std::span<const char> bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

}  // namespace

int MajorOfCatalog(std::uint32_t catalog_version) {
  switch (catalog_version) {
    case 202007201: return 13;
    case 202107181: return 14;
    case 202209061: return 15;
    case 202307071: return 16;
    case 202406281: return 17;
    case 202506291: return 18;
    default: return 0;
  }
}

Result<PgControl> ParsePgControl(std::span<const char> bytes) {
  if (bytes.size() < kCrcAt18 + 4) return Fail("pg_control has only " + std::to_string(bytes.size()) + " bytes");
  PgControl control;
  control.control_version = Field<std::uint32_t>(bytes, 8);
  if (control.control_version != 1300 && control.control_version != 1800) {
    return Refused("pg_control is of version " + std::to_string(control.control_version) + ", which is unknown here",
                   "PostgreSQL 13 to 18 of little-endian machines are read");
  }
  const std::size_t crc_at = control.control_version == 1800 ? kCrcAt18 : kCrcAt13;
  if (Crc32c::Of(bytes.data(), crc_at) != Field<std::uint32_t>(bytes, crc_at)) return Fail("the checksum of pg_control is wrong");
  control.system_id = Field<std::uint64_t>(bytes, 0);
  control.catalog_version = Field<std::uint32_t>(bytes, 12);
  control.major = MajorOfCatalog(control.catalog_version);
  control.state = Field<std::uint32_t>(bytes, 16);
  control.time = Field<std::int64_t>(bytes, 24);
  control.checkpoint = Lsn{Field<std::uint64_t>(bytes, 32)};
  control.redo = Lsn{Field<std::uint64_t>(bytes, 40)};
  control.timeline = Field<std::uint32_t>(bytes, 48);
  control.min_recovery_end = Lsn{Field<std::uint64_t>(bytes, 136)};
  control.min_recovery_timeline = Field<std::uint32_t>(bytes, 144);
  control.block_bytes = Field<std::uint32_t>(bytes, 216);
  control.relation_segment_blocks = Field<std::uint32_t>(bytes, 220);
  control.wal_page_bytes = Field<std::uint32_t>(bytes, 224);
  control.wal_segment_bytes = Field<std::uint32_t>(bytes, 228);
  control.data_checksums = Field<std::uint32_t>(bytes, 252) != 0;
  const bool sane = std::has_single_bit(control.block_bytes) && control.block_bytes >= 1024 && control.block_bytes <= 32768 &&
                    control.relation_segment_blocks != 0 && std::has_single_bit(control.wal_segment_bytes);
  if (!sane) return Fail("pg_control names sizes that no cluster has");
  return control;
}

}  // namespace lifeboat::backup
