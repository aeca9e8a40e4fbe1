#include "backup/wal_walk.h"

#include <algorithm>
#include <cstring>

namespace lifeboat::backup {

namespace {

constexpr std::size_t kShortHeader = 24;   // sizeof(XLogPageHeaderData), aligned
constexpr std::size_t kLongHeader = 40;    // sizeof(XLogLongPageHeaderData)
constexpr std::size_t kRecordHeader = 24;  // sizeof(XLogRecord)
constexpr std::size_t kCrcAt = 20;         // of xl_crc: the CRC covers what stands before it, after the rest
constexpr std::size_t kHeadBytes = 1024;   // 33 block references take at most 904 bytes
constexpr std::uint32_t kLongestRecord = 1U << 30;
constexpr std::uint16_t kContinues = 0x0001;   // XLP_FIRST_IS_CONTRECORD
constexpr std::uint16_t kIsLong = 0x0002;      // XLP_LONG_HEADER
constexpr std::uint16_t kOverwrites = 0x0008;  // XLP_FIRST_IS_OVERWRITE_CONTRECORD
constexpr std::uint8_t kSwitch = 0x40;         // XLOG_SWITCH of resource manager 0

template <typename T>
T Field(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

bool AllZero(const char* page) { return page[0] == 0 && std::memcmp(page, page + 1, kWalPageBytes - 1) == 0; }

/// A cursor over a record's head that never reads past its end.
class Cursor {
 public:
  explicit Cursor(std::span<const char> bytes) : bytes_(bytes) {}
  template <typename T>
  bool Read(T& value) {
    if (bytes_.size() - at_ < sizeof value) return false;
    std::memcpy(&value, bytes_.data() + at_, sizeof value);
    at_ += sizeof value;
    return true;
  }
  [[nodiscard]] std::size_t Left() const { return bytes_.size() - at_; }

 private:
  std::span<const char> bytes_;
  std::size_t at_ = 0;
};

constexpr std::uint8_t kIdTopLevelXid = 252;
constexpr std::uint8_t kIdOrigin = 253;
constexpr std::uint8_t kIdDataLong = 254;
constexpr std::uint8_t kIdDataShort = 255;
constexpr std::uint8_t kMostBlocks = 32;
constexpr std::uint8_t kForkMask = 0x0F;
constexpr std::uint8_t kHasImage = 0x10;
constexpr std::uint8_t kWillInit = 0x40;
constexpr std::uint8_t kSameRelation = 0x80;
constexpr std::uint8_t kHasHole = 0x01;

/// What follows a block's header when it carries an image, `length` bytes. @return whether replay puts it in place; nothing: cut
/// off
std::optional<bool> ReadImageHeader(Cursor& cursor, int major, std::uint16_t& length) {
  std::uint16_t hole_at = 0;
  std::uint8_t image = 0;
  if (!cursor.Read(length) || !cursor.Read(hole_at) || !cursor.Read(image)) return std::nullopt;
  const bool compressed = major >= 15 ? (image & 0x1C) != 0 : (image & 0x02) != 0;
  const bool applied = (image & (major >= 15 ? 0x02 : 0x04)) != 0;
  std::uint16_t hole = 0;
  if (compressed && (image & kHasHole) != 0 && !cursor.Read(hole)) return std::nullopt;
  return applied;
}

}  // namespace

int MajorOfWalMagic(std::uint16_t magic) {
  switch (magic) {
    case 0xD106: return 13;
    case 0xD10D: return 14;
    case 0xD110: return 15;
    case 0xD113: return 16;
    case 0xD116: return 17;
    case 0xD118: return 18;
    default: return 0;
  }
}

const char* ToString(WalStop stop) {
  switch (stop) {
    case WalStop::kNone: return "goes on";
    case WalStop::kZeros: return "zeros where the next record would begin";
    case WalStop::kShort: return "the segment is cut off";
    case WalStop::kPageHeader: return "a page header that does not belong there";
    case WalStop::kOtherCluster: return "the system id of another cluster";
    case WalStop::kGeometry: return "another segment or page size";
    case WalStop::kTimeline: return "a page of a later timeline";
    case WalStop::kRecordLength: return "a length that no record has";
    case WalStop::kRecordCrc: return "a record whose checksum is wrong";
    case WalStop::kRecordChain: return "a record that does not follow the one before it";
    case WalStop::kNotContinued: return "a record that the next page does not go on with";
  }
  return "?";
}

Result<SegmentHeader> ParseSegmentHeader(std::span<const char> bytes) {
  if (bytes.size() < kLongHeader) return Fail("a WAL segment of " + std::to_string(bytes.size()) + " bytes has no header");
  SegmentHeader header;
  header.magic = Field<std::uint16_t>(bytes.data());
  header.major = MajorOfWalMagic(header.magic);
  if (header.major == 0 || (Field<std::uint16_t>(bytes.data() + 2) & kIsLong) == 0) {
    return Fail("the first page is none of a WAL segment of PostgreSQL 13 to 18");
  }
  header.timeline = Field<std::uint32_t>(bytes.data() + 4);
  header.at = Lsn{Field<std::uint64_t>(bytes.data() + 8)};
  header.system_id = Field<std::uint64_t>(bytes.data() + 24);
  header.segment_bytes = Field<std::uint32_t>(bytes.data() + 32);
  header.page_bytes = Field<std::uint32_t>(bytes.data() + 36);
  return header;
}

std::optional<std::vector<BlockReference>> BlocksOf(const WalRecordView& record) {
  std::vector<BlockReference> blocks;
  Cursor cursor(record.head);
  std::uint8_t id = 0;
  // All headers come before all data: there is another one while more is left of the record than the data announced so far.
  std::uint64_t announced = 0;
  while (record.length - kRecordHeader - (record.head.size() - cursor.Left()) > announced) {
    if (!cursor.Read(id)) return std::nullopt;
    if (id == kIdDataShort || id == kIdDataLong) break;  // always the last header
    if (id == kIdOrigin || id == kIdTopLevelXid) {
      std::uint16_t origin = 0;
      std::uint32_t xid = 0;
      if (!(id == kIdOrigin ? cursor.Read(origin) : cursor.Read(xid))) return std::nullopt;
      continue;
    }
    if (id > kMostBlocks) return std::nullopt;
    BlockReference block;
    std::uint8_t flags = 0;
    std::uint16_t length = 0;
    if (!cursor.Read(flags) || !cursor.Read(length)) return std::nullopt;
    block.fork = flags & kForkMask;
    block.replaces = (flags & kWillInit) != 0;
    announced += length;
    if ((flags & kHasImage) != 0) {
      std::uint16_t image_length = 0;
      const std::optional<bool> applied = ReadImageHeader(cursor, record.major, image_length);
      if (!applied) return std::nullopt;
      announced += image_length;
      block.replaces = block.replaces || *applied;
    }
    if ((flags & kSameRelation) != 0) {
      if (blocks.empty()) return std::nullopt;
      block.tablespace = blocks.back().tablespace;
      block.database = blocks.back().database;
      block.relation = blocks.back().relation;
    } else if (!cursor.Read(block.tablespace) || !cursor.Read(block.database) || !cursor.Read(block.relation)) {
      return std::nullopt;
    }
    if (!cursor.Read(block.block)) return std::nullopt;
    blocks.push_back(block);
  }
  return blocks;
}

WalWalker::WalWalker(WalWalkOptions options, std::uint64_t first_segment)
    : options_(std::move(options)),
      next_page_(first_segment * options_.segment_bytes),
      segment_end_(next_page_ + options_.segment_bytes),
      stopped_at_(Lsn{next_page_}) {}

void WalWalker::Stop(WalStop why, Lsn at, std::string detail) {
  if (Stopped()) return;
  stop_ = why;
  stopped_at_ = at;
  detail_ = std::move(detail);
  open_length_ = 0;
}

void WalWalker::Add(std::span<const char> bytes) {
  while (!bytes.empty() && !Stopped()) {
    if (next_page_ >= segment_end_) {
      return Stop(WalStop::kGeometry, Lsn{segment_end_},
                  "the segment is longer than " + std::to_string(options_.segment_bytes) + " bytes");
    }
    if (gathered_.empty() && bytes.size() >= kWalPageBytes) {
      Page(bytes.data());
      bytes = bytes.subspan(kWalPageBytes);
      continue;
    }
    const std::size_t take = std::min(kWalPageBytes - gathered_.size(), bytes.size());
    gathered_.append(bytes.data(), take);
    bytes = bytes.subspan(take);
    if (gathered_.size() < kWalPageBytes) return;
    Page(gathered_.data());
    gathered_.clear();
  }
}

void WalWalker::EndSegment() {
  if (!Stopped() && next_page_ != segment_end_) {
    Stop(WalStop::kShort, Lsn{next_page_},
         "it ends after " + std::to_string(next_page_ + gathered_.size() - (segment_end_ - options_.segment_bytes)) + " of " +
             std::to_string(options_.segment_bytes) + " bytes");
  }
  gathered_.clear();
  switched_ = false;
  segment_end_ += options_.segment_bytes;
}

bool WalWalker::LongHeader(const char* page) {
  const auto system_id = Field<std::uint64_t>(page + 24);
  const auto segment_bytes = Field<std::uint32_t>(page + 32);
  const auto page_bytes = Field<std::uint32_t>(page + 36);
  if (!options_.system_id) options_.system_id = system_id;
  if (system_id != *options_.system_id) {
    Stop(WalStop::kOtherCluster, Lsn{next_page_},
         "system id " + std::to_string(system_id) + " where " + std::to_string(*options_.system_id) + " should be");
    return false;
  }
  if (segment_bytes != options_.segment_bytes || page_bytes != kWalPageBytes) {
    Stop(WalStop::kGeometry, Lsn{next_page_},
         "segments of " + std::to_string(segment_bytes) + " bytes and pages of " + std::to_string(page_bytes));
    return false;
  }
  return true;
}

bool WalWalker::Header(const char* page, std::size_t& used) {
  const Lsn here{next_page_};
  const auto magic = Field<std::uint16_t>(page);
  const auto flags = Field<std::uint16_t>(page + 2);
  const auto timeline = Field<std::uint32_t>(page + 4);
  const auto address = Field<std::uint64_t>(page + 8);
  const auto left = Field<std::uint32_t>(page + 16);
  if (magic == 0 && AllZero(page)) {
    Stop(HasOpenRecord() ? WalStop::kNotContinued : WalStop::kZeros, HasOpenRecord() ? open_at_ : here, "an empty page");
    return false;
  }
  const int major = MajorOfWalMagic(magic);
  const bool first = next_page_ % options_.segment_bytes == 0;
  if (major == 0 || (major_ != 0 && major != major_) || ((flags & kIsLong) != 0) != first) {
    Stop(WalStop::kPageHeader, here, "its magic number or flags are not those of a WAL page there");
    return false;
  }
  major_ = major;
  if (address != next_page_) {
    Stop(WalStop::kPageHeader, here, "it says that it is the page at " + Lsn{address}.Text());
    return false;
  }
  if (first && !LongHeader(page)) return false;
  if (timeline > options_.timeline || timeline < page_timeline_) {
    Stop(WalStop::kTimeline, here, "a page of timeline " + std::to_string(timeline));
    return false;
  }
  page_timeline_ = timeline;
  used = first ? kLongHeader : kShortHeader;
  if ((flags & kOverwrites) != 0) open_length_ = 0;  // a crash cut the record off; its successor says so
  if (HasOpenRecord()) {
    if ((flags & kContinues) == 0 || left != open_length_ - open_taken_) {
      Stop(WalStop::kNotContinued, open_at_, "the page at " + here.Text() + " does not go on with it");
      return false;
    }
  } else if ((flags & kContinues) != 0) {
    if (records_ == 0 && !last_record_) {
      pass_over_ = left;  // it began before the walk
    } else {
      Stop(WalStop::kNotContinued, here, "the page goes on with a record that did not begin");
      return false;
    }
  }
  return true;
}

void WalWalker::Page(const char* page) {
  if (!switched_) {
    std::size_t used = 0;
    if (!Header(page, used)) return;
    if (pass_over_ > 0) {
      const std::size_t passed = std::min<std::size_t>(pass_over_, kWalPageBytes - used);
      pass_over_ -= static_cast<std::uint32_t>(passed);
      used += passed;
      if (pass_over_ == 0) used = (used + 7) & ~std::size_t{7};
    }
    Records(page, used);
    if (Stopped()) return;
  }
  next_page_ += kWalPageBytes;
}

void WalWalker::Records(const char* page, std::size_t from) {
  std::size_t at = from;
  while (at < kWalPageBytes && !switched_) {
    if (!HasOpenRecord() && !Begin(page + at, Lsn{next_page_ + at})) return;
    at += Take(page + at, kWalPageBytes - at);
    if (HasOpenRecord() && open_taken_ == open_length_) {
      if (!Finish()) return;
      at = (at + 7) & ~std::size_t{7};
      stopped_at_ = Lsn{switched_ ? segment_end_ : next_page_ + at};
    }
  }
}

bool WalWalker::Begin(const char* at, Lsn where) {
  const auto length = Field<std::uint32_t>(at);
  if (length == 0) {
    Stop(WalStop::kZeros, where, "no record begins there");
    return false;
  }
  if (length < kRecordHeader || length > kLongestRecord) {
    Stop(WalStop::kRecordLength, where, std::to_string(length) + " bytes");
    return false;
  }
  open_at_ = where;
  open_length_ = length;
  open_taken_ = 0;
  head_.clear();
  crc_ = Crc32c();
  return true;
}

std::size_t WalWalker::Take(const char* at, std::size_t available) {
  const std::size_t taken = std::min<std::size_t>(available, open_length_ - open_taken_);
  std::size_t done = 0;
  if (open_taken_ < kRecordHeader) {
    done = std::min(kRecordHeader - open_taken_, taken);
    std::memcpy(header_ + open_taken_, at, done);
  }
  if (taken > done) {
    crc_.Add(at + done, taken - done);
    if (options_.on_record && head_.size() < kHeadBytes) head_.append(at + done, std::min(taken - done, kHeadBytes - head_.size()));
  }
  open_taken_ += static_cast<std::uint32_t>(taken);
  return taken;
}

bool WalWalker::Finish() {
  crc_.Add(header_, kCrcAt);
  if (crc_.Value() != Field<std::uint32_t>(header_ + kCrcAt)) {
    Stop(WalStop::kRecordCrc, open_at_, "a record of " + std::to_string(open_length_) + " bytes");
    return false;
  }
  const Lsn before{Field<std::uint64_t>(header_ + 8)};
  if (last_record_ ? before != *last_record_ : before >= open_at_) {
    Stop(WalStop::kRecordChain, open_at_, "it names the record at " + before.Text());
    return false;
  }
  const auto info = Field<std::uint8_t>(header_ + 16);
  const auto manager = Field<std::uint8_t>(header_ + 17);
  if (options_.on_record) options_.on_record({open_at_, manager, info, open_length_, major_, {head_.data(), head_.size()}});
  last_record_ = open_at_;
  ++records_;
  switched_ = manager == 0 && (info & 0xF0U) == kSwitch;
  open_length_ = 0;
  return true;
}

}  // namespace lifeboat::backup
