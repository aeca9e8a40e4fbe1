#pragma once

// The write-ahead log, walked as recovery walks it: page headers, every record's CRC-32C, each record's link to the one before
// it, records across pages and segments, switch records, the end of what is valid. Fed with bytes, in any pieces; reads nothing.
// Where the chain ends is a fact with a reason; whether that is a fault depends on how far it had to reach, which the caller knows.
// Thread rule: one owner. Memory: one page and one record's head.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backup/crc32c.h"
#include "base/result.h"
#include "base/types.h"

namespace lifeboat::backup {

inline constexpr std::uint32_t kWalPageBytes = 8192;

/// The long header at the beginning of each segment.
struct SegmentHeader {
  std::uint16_t magic = 0;
  int major = 0;  ///< PostgreSQL's version by the magic number; 0: none that is known here
  Timeline timeline = 0;
  Lsn at;
  std::uint64_t system_id = 0;
  std::uint32_t segment_bytes = 0;
  std::uint32_t page_bytes = 0;
};
/// @param bytes  at least 40 of a segment's first bytes
/// @error kFail: too short, or no segment of PostgreSQL 13 to 18
[[nodiscard]] Result<SegmentHeader> ParseSegmentHeader(std::span<const char> bytes);

/// PostgreSQL's major version by the magic number of its WAL pages; 0: unknown. @source PostgreSQL, xlog_internal.h of each release
[[nodiscard]] int MajorOfWalMagic(std::uint16_t magic);

/// Why the chain of valid records ended.
enum class WalStop {
  kNone,          ///< it did not: every byte so far was walked
  kZeros,         ///< zeros where the next record would begin, as beyond the newest record of a server
  kShort,         ///< the segment has fewer bytes than it should
  kPageHeader,    ///< a page is no WAL page, or another's
  kOtherCluster,  ///< the system id is another's
  kGeometry,      ///< the segment or page size is another's
  kTimeline,      ///< a page of a later timeline
  kRecordLength,  ///< no record has that length
  kRecordCrc,     ///< the record's bytes are not those that were written
  kRecordChain,   ///< the record does not follow the one before it
  kNotContinued,  ///< a record is cut off: the next page does not go on with it
};
[[nodiscard]] const char* ToString(WalStop stop);

/// A page that a record refers to.
struct BlockReference {
  std::uint32_t tablespace = 0;
  std::uint32_t database = 0;
  std::uint32_t relation = 0;
  std::uint8_t fork = 0;
  std::uint32_t block = 0;
  bool replaces = false;  ///< a full image, or made anew: replay needs nothing of the old page
};

/// A record that was read whole and is good.
struct WalRecordView {
  Lsn at;
  std::uint8_t manager = 0;  ///< xl_rmid
  std::uint8_t info = 0;     ///< xl_info
  std::uint32_t length = 0;
  int major = 0;
  std::span<const char> head;  ///< up to the first 1024 bytes after the header: all block references lie in them
};
/// The pages that this record refers to. Nothing when its head cannot be understood.
[[nodiscard]] std::optional<std::vector<BlockReference>> BlocksOf(const WalRecordView& record);

struct WalWalkOptions {
  std::uint32_t segment_bytes = 16U << 20;
  Timeline timeline = 0;                                ///< of the segments' names
  std::optional<std::uint64_t> system_id;               ///< empty: the first segment's counts
  std::function<void(const WalRecordView&)> on_record;  ///< may be empty
};

class WalWalker {
 public:
  /// @param first_segment  where the walk begins; a record that began before it is passed over
  WalWalker(WalWalkOptions options, std::uint64_t first_segment);

  /// The next bytes, in order, from the first segment on, without a gap.
  void Add(std::span<const char> bytes);
  /// The segment that was being added is at its end; the next bytes are the next segment's.
  void EndSegment();

  [[nodiscard]] bool Stopped() const { return stop_ != WalStop::kNone; }
  [[nodiscard]] WalStop stop() const { return stop_; }
  /// Where the chain ended or stands: the end of the last good record, or the begin of what is bad.
  [[nodiscard]] Lsn position() const { return stopped_at_; }
  /// A record that began and is not whole yet: it goes on in the next segment.
  [[nodiscard]] bool HasOpenRecord() const { return open_length_ != 0; }
  [[nodiscard]] std::uint64_t records() const { return records_; }
  [[nodiscard]] const std::string& detail() const { return detail_; }
  [[nodiscard]] std::uint64_t system_id() const { return options_.system_id.value_or(0); }

 private:
  void Stop(WalStop why, Lsn at, std::string detail);
  void Page(const char* page);
  bool Header(const char* page, std::size_t& used);
  bool LongHeader(const char* page);
  void Records(const char* page, std::size_t from);
  bool Begin(const char* at, Lsn where);
  std::size_t Take(const char* at, std::size_t available);
  bool Finish();

  WalWalkOptions options_;
  std::uint64_t next_page_;  ///< address of the page that is being gathered
  std::uint64_t segment_end_;
  std::string gathered_;  ///< a page in pieces
  WalStop stop_ = WalStop::kNone;
  Lsn stopped_at_;
  std::string detail_;
  bool switched_ = false;        ///< the rest of this segment is filling
  std::uint32_t pass_over_ = 0;  ///< bytes left of a record that began before the walk
  Timeline page_timeline_ = 0;
  int major_ = 0;

  Lsn open_at_;
  std::uint32_t open_length_ = 0;
  std::uint32_t open_taken_ = 0;
  char header_[24] = {};
  std::string head_;
  Crc32c crc_;
  std::optional<Lsn> last_record_;
  std::uint64_t records_ = 0;
};

}  // namespace lifeboat::backup
