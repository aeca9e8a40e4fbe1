#pragma once

// A file that pgBackRest stores as changed blocks, put together: block after block out of the super blocks that its map names.
// Thread rule: one owner. It blocks.

#include <functional>
#include <vector>

#include "adapters/backups/byte_stream.h"
#include "backup/block_map.h"

namespace lifeboat::backup {

class BlockFileStream : public ByteStream {
 public:
  /// Opens the super block of a block, decrypted and decompressed.
  using OpenSuper = std::function<StreamPtr(const MappedBlock&)>;
  /// @param file_bytes  of the whole file: its last block may be shorter
  BlockFileStream(std::vector<MappedBlock> blocks, std::uint64_t block_bytes, std::uint64_t file_bytes, OpenSuper open)
      : blocks_(std::move(blocks)), block_bytes_(block_bytes), left_(file_bytes), open_(std::move(open)) {}

  std::optional<std::size_t> Read(std::span<char> into) override;

 private:
  /// Brings the super block to where the block begins. False: failed.
  bool Seek(const MappedBlock& block);

  std::vector<MappedBlock> blocks_;
  std::uint64_t block_bytes_;
  std::uint64_t left_;  ///< of the file
  OpenSuper open_;
  std::size_t next_ = 0;  ///< block of the file
  std::uint64_t left_in_block_ = 0;
  StreamPtr super_;
  MappedBlock at_;            ///< whose super block is open
  std::uint64_t number_ = 0;  ///< block of the super block that comes next
};

}  // namespace lifeboat::backup
