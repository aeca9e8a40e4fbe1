#pragma once

// Names and arithmetic of an archive: WAL segments of every allowed size, their companions (.partial, .history, .backup,
// a compression's ending, pgBackRest's hash), timeline history and forks, backup_label and tablespace_map.
// Thread rule: pure.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace lifeboat::backup {

/// True for the segment sizes that initdb --wal-segsize allows: powers of two from 1 MiB to 1 GiB.
[[nodiscard]] bool IsSegmentSize(std::uint64_t bytes);

/// A segment of one timeline.
struct WalPlace {
  Timeline timeline = 0;
  std::uint64_t number = 0;  ///< first byte / segment size
  friend auto operator<=>(const WalPlace&, const WalPlace&) = default;
};

[[nodiscard]] std::string SegmentName(WalPlace place, std::uint64_t segment_bytes);
/// The place of "000000010000000000000003". Nothing: no segment's name, or one that this segment size does not make.
[[nodiscard]] std::optional<WalPlace> ParseSegmentName(std::string_view name, std::uint64_t segment_bytes);
[[nodiscard]] inline Lsn StartOf(std::uint64_t number, std::uint64_t segment_bytes) { return Lsn{number * segment_bytes}; }
/// The segment that holds the last byte before `end`: what is needed to read up to there.
[[nodiscard]] inline std::uint64_t SegmentBefore(Lsn end, std::uint64_t segment_bytes) { return (end.bytes - 1) / segment_bytes; }

enum class Compression { kNone, kGzip, kLz4, kZstd, kBzip2 };
[[nodiscard]] const char* ToString(Compression compression);
/// By a name's ending: ".gz", ".lz4", ".zst", ".bz2"; `name` loses it.
[[nodiscard]] Compression TakeCompression(std::string_view& name);

enum class ArchiveFileKind { kSegment, kPartial, kHistory, kLabel, kOther };

/// What a file's name in an archive says.
struct ArchiveName {
  ArchiveFileKind kind = ArchiveFileKind::kOther;
  std::string wal;   ///< the 24 digits of a segment, partial or label; of a history file "00000002"
  std::string sha1;  ///< of the content, where the name carries it (pgBackRest)
  Compression compression = Compression::kNone;
};
[[nodiscard]] ArchiveName ParseArchiveName(std::string_view name);

/// Timeline `timeline` was left at `at`.
struct TimelineFork {
  Timeline timeline = 0;
  Lsn at;
  friend bool operator==(const TimelineFork&, const TimelineFork&) = default;
};
using History = std::vector<TimelineFork>;  ///< oldest first; the file's own timeline is not in it
/// @error kFail: a line cannot be read, or timelines or positions do not rise
[[nodiscard]] Result<History> ParseHistory(std::string_view text);

/// What backup_label says. @source PostgreSQL, xlog.c, build_backup_content
struct BackupLabel {
  Lsn start;
  Lsn checkpoint;
  Timeline timeline = 0;
  bool from_standby = false;
  std::string start_time;
  std::optional<Lsn> incremental_from;  ///< PostgreSQL 17: it holds what changed since the backup that began here
};
/// @error kFail: a line that recovery needs is missing
[[nodiscard]] Result<BackupLabel> ParseBackupLabel(std::string_view text);

/// Tablespace oid → path, out of tablespace_map. @error kFail: a line cannot be read
[[nodiscard]] Result<std::map<std::string, std::string>> ParseTablespaceMap(std::string_view text);

}  // namespace lifeboat::backup
