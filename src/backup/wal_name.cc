#include "backup/wal_name.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstdio>

namespace lifeboat::backup {

namespace {

constexpr std::uint64_t kSegmentsAId = std::uint64_t{1} << 32;  // bytes that the middle eight digits count

bool IsUpperHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); });
}

bool IsLowerHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::uint64_t Hex(std::string_view text) {
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number, 16);
  return number;
}

std::string_view NextLine(std::string_view& text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

/// The value of the line "<label>: value".
std::optional<std::string_view> LineValue(std::string_view text, std::string_view label) {
  while (!text.empty()) {
    std::string_view line = NextLine(text);
    if (!line.starts_with(label) || line.substr(label.size(), 2) != ": ") continue;
    return line.substr(label.size() + 2);
  }
  return std::nullopt;
}

}  // namespace

bool IsSegmentSize(std::uint64_t bytes) { return std::has_single_bit(bytes) && bytes >= (1U << 20) && bytes <= (1U << 30); }

std::string SegmentName(WalPlace place, std::uint64_t segment_bytes) {
  const std::uint64_t a_id = kSegmentsAId / segment_bytes;
  char name[32];
  std::snprintf(name, sizeof name, "%08X%08X%08X", place.timeline, static_cast<unsigned>(place.number / a_id),
                static_cast<unsigned>(place.number % a_id));
  return name;
}

std::optional<WalPlace> ParseSegmentName(std::string_view name, std::uint64_t segment_bytes) {
  if (name.size() != 24 || !IsUpperHex(name) || !IsSegmentSize(segment_bytes)) return std::nullopt;
  const std::uint64_t a_id = kSegmentsAId / segment_bytes;
  const std::uint64_t low = Hex(name.substr(16, 8));
  const auto timeline = static_cast<Timeline>(Hex(name.substr(0, 8)));
  if (low >= a_id || timeline == 0) return std::nullopt;
  return WalPlace{timeline, Hex(name.substr(8, 8)) * a_id + low};
}

const char* ToString(Compression compression) {
  switch (compression) {
    case Compression::kNone: return "none";
    case Compression::kGzip: return "gz";
    case Compression::kLz4: return "lz4";
    case Compression::kZstd: return "zst";
    case Compression::kBzip2: return "bz2";
  }
  return "?";
}

Compression TakeCompression(std::string_view& name) {
  for (const Compression each : {Compression::kGzip, Compression::kLz4, Compression::kZstd, Compression::kBzip2}) {
    const std::string ending = std::string(".") + ToString(each);
    if (!name.ends_with(ending)) continue;
    name.remove_suffix(ending.size());
    return each;
  }
  return Compression::kNone;
}

ArchiveName ParseArchiveName(std::string_view name) {
  ArchiveName parsed;
  parsed.compression = TakeCompression(name);
  if (name.size() == 16 && name.ends_with(".history") && IsUpperHex(name.substr(0, 8))) {
    parsed.kind = ArchiveFileKind::kHistory;
    parsed.wal = name.substr(0, 8);
    return parsed;
  }
  if (name.size() < 24 || !IsUpperHex(name.substr(0, 24))) return parsed;
  parsed.wal = name.substr(0, 24);
  std::string_view rest = name.substr(24);
  if (rest.size() == 41 && rest[0] == '-' && IsLowerHex(rest.substr(1))) {
    parsed.sha1 = rest.substr(1);
    rest = {};
  } else if (rest.size() == 49 && rest.starts_with(".partial-") && IsLowerHex(rest.substr(9))) {
    parsed.sha1 = rest.substr(9);
    rest = ".partial";
  }
  if (rest.empty()) {
    parsed.kind = ArchiveFileKind::kSegment;
  } else if (rest == ".partial") {
    parsed.kind = ArchiveFileKind::kPartial;
  } else if (rest.ends_with(".backup")) {
    parsed.kind = ArchiveFileKind::kLabel;
  }
  return parsed;
}

Result<History> ParseHistory(std::string_view text) {
  History history;
  while (!text.empty()) {
    std::string_view line = NextLine(text);
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
    if (line.empty() || line[0] == '#') continue;
    const auto bad = [&] {
      return Fail("the line '" + std::string(line.substr(0, 80)) + "' of a timeline history cannot be read");
    };
    Timeline timeline = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), timeline);
    if (error != std::errc{} || timeline == 0) return bad();
    std::string_view rest = line.substr(static_cast<std::size_t>(end - line.data()));
    const std::size_t from = rest.find_first_not_of(" \t");
    if (from == 0 || from == std::string_view::npos) return bad();
    rest = rest.substr(from);
    const auto at = Lsn::Parse(rest.substr(0, rest.find_first_of(" \t")));
    if (!at) return bad();
    if (!history.empty() && (history.back().timeline >= timeline || history.back().at > *at)) {
      return Fail("the lines of a timeline history do not rise at timeline " + std::to_string(timeline));
    }
    history.push_back({timeline, *at});
  }
  return history;
}

Result<BackupLabel> ParseBackupLabel(std::string_view text) {
  BackupLabel label;
  const auto start = LineValue(text, "START WAL LOCATION");
  const auto checkpoint = LineValue(text, "CHECKPOINT LOCATION");
  const auto start_lsn = start ? Lsn::Parse(start->substr(0, start->find(' '))) : std::nullopt;
  const auto checkpoint_lsn = checkpoint ? Lsn::Parse(*checkpoint) : std::nullopt;
  if (!start_lsn || !checkpoint_lsn) return Fail("backup_label says no start or no checkpoint position");
  label.start = *start_lsn;
  label.checkpoint = *checkpoint_lsn;
  if (const auto timeline = LineValue(text, "START TIMELINE")) {
    std::from_chars(timeline->data(), timeline->data() + timeline->size(), label.timeline);
  }
  label.from_standby = LineValue(text, "BACKUP FROM").value_or("") == "standby";
  label.start_time = LineValue(text, "START TIME").value_or("");
  if (const auto from = LineValue(text, "INCREMENTAL FROM LSN")) {
    label.incremental_from = Lsn::Parse(*from);
    if (!label.incremental_from) return Fail("backup_label says no position that the incremental backup goes on from");
  }
  return label;
}

Result<std::map<std::string, std::string>> ParseTablespaceMap(std::string_view text) {
  std::map<std::string, std::string> map;
  while (!text.empty()) {
    const std::string_view line = NextLine(text);
    if (line.empty()) continue;
    const std::size_t space = line.find(' ');
    const std::string_view oid = line.substr(0, space);
    const bool digits = !oid.empty() && std::all_of(oid.begin(), oid.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (!digits || space == std::string_view::npos || space + 1 == line.size()) {
      return Fail("the line '" + std::string(line.substr(0, 80)) + "' of tablespace_map cannot be read");
    }
    map.emplace(oid, line.substr(space + 1));
  }
  return map;
}

}  // namespace lifeboat::backup
