#include "adapters/postgres/wal.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

namespace lifeboat::postgres {

namespace {

constexpr std::uint64_t kShortPageHeader = 24;  // SizeOfXLogShortPHD
constexpr std::uint64_t kLongPageHeader = 40;   // SizeOfXLogLongPHD, on the first page of a segment
constexpr std::uint64_t kAlignment = 8;         // MAXALIGN on every 64-bit platform

/// The text after `key` up to one of `ends`.
std::optional<std::string_view> After(std::string_view line, std::string_view key, std::string_view ends) {
  const std::size_t at = line.find(key);
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view rest = line.substr(at + key.size());
  while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
  return rest.substr(0, rest.find_first_of(ends));
}

std::uint64_t RoundUp(std::uint64_t value, std::uint64_t unit) { return (value + unit - 1) / unit * unit; }

}  // namespace

std::string HistoryName(Timeline timeline) {
  char text[24];
  std::snprintf(text, sizeof text, "%08X.history", timeline);
  return text;
}

Lsn RecordAfter(Lsn position, const WalGeometry& geometry) {
  const std::uint64_t at = RoundUp(position.bytes, kAlignment);
  if (at % geometry.segment_bytes == 0) return {at + kLongPageHeader};
  if (at % geometry.page_bytes == 0) return {at + kShortPageHeader};
  return {at};
}

std::optional<WalRecord> ParseWalRecord(std::string_view line) {
  const auto manager = After(line, "rmgr:", " ");
  const auto begin = After(line, ", lsn:", ",");
  const auto lengths = After(line, "len (rec/tot):", ",");
  if (!manager || !begin || !lengths) return std::nullopt;
  const auto lsn = Lsn::Parse(*begin);
  const std::size_t slash = lengths->find('/');
  if (!lsn || slash == std::string_view::npos) return std::nullopt;
  std::string_view total = lengths->substr(slash + 1);
  while (!total.empty() && total.front() == ' ') total.remove_prefix(1);
  WalRecord record;
  record.manager = *manager;
  record.begin = *lsn;
  if (std::from_chars(total.data(), total.data() + total.size(), record.length).ec != std::errc{}) return std::nullopt;
  record.description = After(line, "desc:", "\n").value_or("");
  return record;
}

Lsn EndOf(const WalRecord& record, const WalGeometry& geometry) {
  std::uint64_t at = record.begin.bytes;
  std::uint64_t left = record.length;
  std::uint64_t room = geometry.page_bytes - at % geometry.page_bytes;
  while (left > room) {
    left -= room;
    at += room;
    const std::uint64_t header = at % geometry.segment_bytes == 0 ? kLongPageHeader : kShortPageHeader;
    at += header;
    room = geometry.page_bytes - header;
  }
  at = RoundUp(at + left, kAlignment);
  const bool is_switch = record.manager == "XLOG" && record.description.starts_with("SWITCH");
  return {is_switch ? RoundUp(at, geometry.segment_bytes) : at};
}

std::optional<Lsn> LastRecordIn(std::string_view complaint) {
  const auto text = After(complaint, "error in WAL record at ", ":");
  const auto lsn = text ? Lsn::Parse(*text) : std::nullopt;
  if (!lsn || lsn->bytes == 0) return std::nullopt;
  return lsn;
}

std::optional<std::string> CommitTime(const WalRecord& record) {
  if (record.manager != "Transaction") return std::nullopt;
  std::string_view text = record.description;
  if (text.starts_with("COMMIT_PREPARED ")) {
    const std::size_t colon = text.find(": ");  // "COMMIT_PREPARED 739: 2026-…": the transaction's id comes first
    if (colon == std::string_view::npos) return std::string();
    text.remove_prefix(colon + 2);
  } else if (text.starts_with("COMMIT ")) {
    text.remove_prefix(7);
  } else {
    return std::nullopt;
  }
  return std::string(text.substr(0, text.find(';')));
}

}  // namespace lifeboat::postgres
