#pragma once

// Arithmetic and texts of a server's own write-ahead log: where a record ends, and what pg_waldump prints. Names of segments and
// timeline histories are the same in an archive: backup/wal_name.h. Pure: nothing here reads a file.
// Thread rule: any thread.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backup/wal_name.h"
#include "base/result.h"
#include "base/types.h"

namespace lifeboat::postgres {

/// How a server's WAL is cut; fixed at initdb and said by pg_control.
struct WalGeometry {
  std::uint64_t segment_bytes = 16U << 20U;
  std::uint64_t page_bytes = 8192;
};

/// The number of the segment that holds the byte at `position`.
[[nodiscard]] inline std::uint64_t SegmentOf(Lsn position, const WalGeometry& geometry) {
  return position.bytes / geometry.segment_bytes;
}

/// "000000010000000000000003". @source PostgreSQL manual, WAL Internals
[[nodiscard]] inline std::string SegmentName(Timeline timeline, std::uint64_t segment, const WalGeometry& geometry) {
  return backup::SegmentName({timeline, segment}, geometry.segment_bytes);
}

/// "00000002.history".
[[nodiscard]] std::string HistoryName(Timeline timeline);

/// Where the first record lies that was written after `position`, the end of another one: behind a page's header, where a page
/// begins there. @source PostgreSQL xlog_internal.h, SizeOfXLogShortPHD, SizeOfXLogLongPHD
[[nodiscard]] Lsn RecordAfter(Lsn position, const WalGeometry& geometry);

/// One record as pg_waldump prints it.
struct WalRecord {
  std::string manager;      ///< "Transaction", "XLOG", …
  std::string description;  ///< "COMMIT 2026-11-23 05:18:44.123456 UTC"
  Lsn begin;
  std::uint32_t length = 0;  ///< of the whole record, without page headers and padding
};
[[nodiscard]] std::optional<WalRecord> ParseWalRecord(std::string_view line);

/// First byte after the record: page headers that it crosses are counted, the end is aligned to 8 bytes, and a switch
/// record takes the rest of its segment. @source PostgreSQL xlog_internal.h, xlogreader.c
[[nodiscard]] Lsn EndOf(const WalRecord& record, const WalGeometry& geometry);

/// The last valid record, out of pg_waldump's final complaint "error in WAL record at 0/17414F8: …".
[[nodiscard]] std::optional<Lsn> LastRecordIn(std::string_view complaint);

/// A commit record's wall time, as PostgreSQL wrote it; nothing: the record is no commit.
[[nodiscard]] std::optional<std::string> CommitTime(const WalRecord& record);

using backup::ParseHistory;
using backup::TimelineFork;

}  // namespace lifeboat::postgres
