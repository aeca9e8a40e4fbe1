#include "backup/block_map.h"

#include <map>

namespace lifeboat::backup {

namespace {

// Bits of a reference's first number.
constexpr std::uint64_t kLast = 1;             // of a reference and of a super block alike: none comes after it
constexpr std::uint64_t kHasBundle = 2;        // where the reference is new
constexpr std::uint64_t kContinues = 2;        // where it is not: the super block of before goes on
constexpr std::uint64_t kHasOffset = 4;        // where it does not go on
constexpr std::uint64_t kContinuedIsLast = 4;  // where it does
constexpr unsigned kReferenceShift = 3;
// Of a super block's.
constexpr std::uint64_t kSizeChanges = 2;
constexpr std::uint64_t kHasTotal = 4;
constexpr unsigned kSuperShift = 3;
// Of sizes and totals.
constexpr std::uint64_t kHasMore = 1;
constexpr unsigned kMoreShift = 1;

/// Numbers of seven bits a byte, the lowest first.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}
  [[nodiscard]] bool failed() const { return failed_; }
  std::uint64_t Number() {
    std::uint64_t number = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (at_ >= text_.size()) break;
      const auto byte = static_cast<unsigned char>(text_[at_++]);
      number |= std::uint64_t{byte & 0x7FU} << shift;
      if ((byte & 0x80U) == 0) return number;
    }
    failed_ = true;
    return 0;
  }
  void Pass(std::size_t bytes) {
    failed_ = failed_ || bytes > text_.size() - at_;
    if (!failed_) at_ += bytes;
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
  bool failed_ = false;
};

std::int64_t FromZigZag(std::uint64_t number) {
  return static_cast<std::int64_t>(number >> 1) ^ -static_cast<std::int64_t>(number & 1);
}

/// What the map last said of a backup, and need not say again.
struct Known {
  std::uint64_t bundle = 0;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  std::uint64_t super_bytes = 0;
  std::uint64_t number = 0;
};

class Parser {
 public:
  Parser(std::string_view map, std::uint64_t block_bytes, std::size_t checksum_bytes, std::uint64_t most)
      : reader_(map), block_bytes_(block_bytes), checksum_bytes_(checksum_bytes), most_(most) {}

  Result<std::vector<MappedBlock>> Parse() {
    if ((reader_.Number() & 1) != 0) return Fail("its map is of a version that is unknown here");
    bool last = false;
    while (!last && !reader_.failed() && blocks_.size() <= most_) last = Reference();
    if (reader_.failed()) return Fail("its map is cut off, or damaged");
    if (blocks_.size() > most_) return Fail("its map names more blocks than the file has");
    return std::move(blocks_);
  }

 private:
  /// True: it was the last.
  bool Reference() {
    const std::uint64_t said = reader_.Number();
    const std::uint64_t reference = said >> kReferenceShift;
    const auto [at, is_new] = known_.try_emplace(reference);
    Known& known = at->second;
    std::uint64_t offset = 0;
    bool continues = false;
    if (is_new) {
      if ((said & kHasBundle) != 0) known.bundle = reader_.Number();
      if ((said & kHasOffset) != 0) offset = reader_.Number();
      known.super_bytes = block_bytes_;
    } else if ((said & kContinues) != 0) {
      offset = known.offset;
      continues = true;
    } else {
      offset = known.offset + known.size;
      if ((said & kHasOffset) != 0) offset += reader_.Number();
    }
    bool last = false;
    for (bool first = true; !last && !reader_.failed() && blocks_.size() <= most_; first = false) {
      if (first && continues) {
        last = (said & kContinuedIsLast) != 0;
        Blocks(reference, known, true);
      } else {
        last = SuperBlock(reference, known, offset);
      }
      offset = known.offset + known.size;
    }
    return (said & kLast) != 0;
  }

  bool SuperBlock(std::uint64_t reference, Known& known, std::uint64_t offset) {
    const std::uint64_t said = reader_.Number();
    const std::uint64_t size = said >> kSuperShift;
    known.size = last_size_ == 0 ? size : last_size_ + static_cast<std::uint64_t>(FromZigZag(size));
    if ((said & kSizeChanges) != 0) {
      const std::uint64_t super = reader_.Number();
      known.super_bytes = (super >> kMoreShift) * block_bytes_;
      if ((super & kHasMore) != 0) known.super_bytes += reader_.Number();
    }
    known.offset = offset;
    known.number = 0;
    last_size_ = known.size;
    Blocks(reference, known, (said & kHasTotal) != 0);
    return (said & kLast) != 0;
  }

  /// Those of one super block. @param states_total  else it holds all that it has room for
  void Blocks(std::uint64_t reference, Known& known, bool states_total) {
    last_size_ = known.size;
    std::uint64_t total = (known.super_bytes + block_bytes_ - 1) / block_bytes_;
    if (states_total) {
      const std::uint64_t said = reader_.Number();
      total = (said >> kMoreShift) + 1;
      if ((said & kHasMore) != 0) known.number += reader_.Number();
    }
    for (std::uint64_t block = 0; block < total && !reader_.failed() && blocks_.size() <= most_; ++block) {
      reader_.Pass(checksum_bytes_);
      blocks_.push_back({reference, known.bundle, known.offset, known.size, known.number + block});
    }
    known.number += total;
  }

  Reader reader_;
  std::uint64_t block_bytes_;
  std::size_t checksum_bytes_;
  std::uint64_t most_;
  std::map<std::uint64_t, Known> known_;
  std::vector<MappedBlock> blocks_;
  std::uint64_t last_size_ = 0;
};

}  // namespace

Result<std::vector<MappedBlock>> ParseBlockMap(std::string_view map, std::uint64_t block_bytes, std::size_t checksum_bytes,
                                               std::uint64_t most) {
  return Parser(map, block_bytes, checksum_bytes, most).Parse();
}

}  // namespace lifeboat::backup
