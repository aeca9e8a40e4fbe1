#pragma once

// The map at the end of a file that pgBackRest (2.46 and later) stores as changed blocks: which block of the file lies where, in
// the backup's own file or in those of earlier backups. Blocks lie in super blocks, each compressed and encrypted for itself.
// Thread rule: pure. Memory: 48 bytes a block (of 8 KiB to 88 KiB of a small file, of 4 MiB of a large one) while a file is read.

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace lifeboat::backup {

/// Where one block of the file lies.
struct MappedBlock {
  std::uint64_t reference = 0;  ///< index in the manifest's list of backups
  std::uint64_t bundle = 0;     ///< 0: a file of its own
  std::uint64_t offset = 0;     ///< of its super block in that file
  std::uint64_t size = 0;       ///< of the super block, as stored
  std::uint64_t number = 0;     ///< within the super block, in blocks
};

/// @param block_bytes     of a block of the file
/// @param checksum_bytes  of each block's own checksum in the map, which is passed over: the whole file's hash is compared
/// @error kFail: it is cut off, of another version, or names more blocks than `most`
/// @source pgBackRest, src/command/backup/blockMap.c
[[nodiscard]] Result<std::vector<MappedBlock>> ParseBlockMap(std::string_view map, std::uint64_t block_bytes,
                                                             std::size_t checksum_bytes, std::uint64_t most);

}  // namespace lifeboat::backup
