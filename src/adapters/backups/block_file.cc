#include "adapters/backups/block_file.h"

#include <algorithm>

namespace lifeboat::backup {

bool BlockFileStream::Seek(const MappedBlock& block) {
  const bool same = super_ && at_.reference == block.reference && at_.bundle == block.bundle && at_.offset == block.offset;
  if (!same || block.number < number_) {
    super_ = open_(block);
    number_ = 0;
  }
  at_ = block;
  std::vector<char> waste(64U << 10);
  for (std::uint64_t skip = (block.number - number_) * block_bytes_; skip > 0;) {
    const std::optional<std::size_t> got =
        super_->Read({waste.data(), static_cast<std::size_t>(std::min<std::uint64_t>(skip, waste.size()))});
    if (!got) (void)Pass(*super_);
    if (got && *got == 0) (void)Fail(ReadProblem::kTruncated, "a super block ends before a block that the map says is in it");
    if (!got || *got == 0) return false;
    skip -= *got;
  }
  number_ = block.number + 1;
  return true;
}

std::optional<std::size_t> BlockFileStream::Read(std::span<char> into) {
  if (left_in_block_ == 0) {
    if (next_ == blocks_.size() || left_ == 0) return 0;
    if (!Seek(blocks_[next_])) return std::nullopt;
    left_in_block_ = std::min(block_bytes_, left_);
    ++next_;
  }
  const std::size_t room = static_cast<std::size_t>(std::min<std::uint64_t>(left_in_block_, into.size()));
  const std::optional<std::size_t> got = super_->Read(into.first(room));
  if (!got) return Pass(*super_);
  if (*got == 0) return Fail(ReadProblem::kTruncated, "a super block ends within a block");
  left_in_block_ -= *got;
  left_ -= *got;
  return got;
}

}  // namespace lifeboat::backup
