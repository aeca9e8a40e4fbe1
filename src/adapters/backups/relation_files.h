#pragma once

// The main fork of one relation as it lies on disk: segments of a fixed number of blocks, read as one run of blocks.
// Thread rule: RelationFiles is a plain value; a BlockReader has one owner. They block.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "backup/pg_control.h"

namespace lifeboat::backup {

struct RelationFiles {
  std::filesystem::path base;
  std::uint32_t page_bytes = 8192;
  std::uint32_t segment_blocks = 131072;
  std::uint32_t blocks = 0;                  ///< up to the first segment that is short or missing, as PostgreSQL counts
  std::optional<std::uint32_t> segment_gap;  ///< that segment, where later ones hold something

  [[nodiscard]] std::filesystem::path Segment(std::uint32_t number) const;
};

/// Sizes as the file system has them now. A relation without a file has no blocks.
[[nodiscard]] RelationFiles MeasureRelation(const std::filesystem::path& base, const PgControl& control);

class BlockReader {
 public:
  explicit BlockReader(const RelationFiles& files) : files_(files) {}
  ~BlockReader();
  BlockReader(const BlockReader&) = delete;
  BlockReader& operator=(const BlockReader&) = delete;

  /// Fills `into`, whole pages from block `first` on, which end within its segment. False: failed, problem() says why.
  [[nodiscard]] bool Read(std::uint32_t first, std::span<char> into);
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  bool Open(std::uint32_t segment);

  const RelationFiles& files_;
  int fd_ = -1;
  std::uint32_t open_ = 0;  ///< the segment that fd_ is
  std::string problem_;
};

}  // namespace lifeboat::backup
