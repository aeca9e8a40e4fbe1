#include "adapters/postgres/wal_reader.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <fstream>

namespace lifeboat::postgres {

namespace {

/// pg_waldump prints times in the local zone and words in the local language; ours are fixed.
CommandOptions PlainOptions() {
  CommandOptions options;
  options.environment = {{"LC_ALL", "C"}, {"TZ", "UTC"}};
  return options;
}

Error Unreadable(const CommandOutput& output) {
  std::string why = output.err.substr(0, 400);
  while (!why.empty() && why.back() == '\n') why.pop_back();
  return Fail("pg_waldump cannot read the write-ahead log: '" + why + "'");
}

std::optional<WalRecord> LastLine(const std::string& out) {
  const std::size_t at = out.rfind("rmgr:");
  return at == std::string::npos ? std::nullopt : ParseWalRecord(std::string_view(out).substr(at));
}

bool NothingFound(const CommandOutput& output) { return output.err.find("could not find a valid record") != std::string::npos; }

}  // namespace

Result<std::string> ReadBeginning(const std::string& folder, Timeline timeline, Lsn fork, const WalGeometry& geometry) {
  const Lsn begin = RecordAfter(fork, geometry);
  const std::string path = folder + "/" + SegmentName(timeline, SegmentOf(begin, geometry), geometry);
  std::ifstream file(path, std::ios::binary);
  if (!file) return NotFound("'" + path + "' is not there");
  file.seekg(static_cast<std::streamoff>(begin.bytes % geometry.segment_bytes));
  std::array<char, 48> bytes{};  // the record that ends recovery has about so many
  file.read(bytes.data(), bytes.size());
  std::uint32_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  constexpr std::uint32_t kRecordHeader = 24;  // SizeOfXLogRecord
  if (file.gcount() < kRecordHeader || length < kRecordHeader)
    return NotFound("nothing was written after " + fork.Text() + " in '" + path + "'");
  const std::size_t shown = std::min<std::size_t>(static_cast<std::size_t>(file.gcount()), length);
  std::string hex;
  for (std::size_t at = 0; at < shown; ++at) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned>(static_cast<unsigned char>(bytes[at])));
    hex += digits;
  }
  return hex;
}

bool WalReader::HasSegment(Timeline timeline, std::uint64_t segment) const {
  const std::string path = folder_ + "/" + SegmentName(timeline, segment, geometry_);
  return access(path.c_str(), R_OK) == 0;
}

std::vector<std::string> WalReader::Range(Timeline timeline, Lsn start, Lsn limit) const {
  // The files are named, since pg_waldump otherwise learns the segment size from any file of the folder, and one that was
  // made in advance is still all zeros.
  return {"-p",
          folder_,
          "-s",
          start.Text(),
          "-e",
          limit.Text(),
          SegmentName(timeline, SegmentOf(start, geometry_), geometry_),
          SegmentName(timeline, SegmentOf(Lsn{limit.bytes - 1}, geometry_), geometry_)};
}

Task<Result<CommandOutput>> WalReader::Dump(Timeline timeline, Lsn start, Lsn limit, std::vector<std::string> options,
                                            Deadline deadline) const {
  std::vector<std::string> argv = {bin_ + "/pg_waldump"};
  argv.insert(argv.end(), options.begin(), options.end());
  const std::vector<std::string> range = Range(timeline, start, limit);
  argv.insert(argv.end(), range.begin(), range.end());
  CommandOptions plain = PlainOptions();
  co_return co_await RunCommand(executor_, std::move(argv), std::move(plain), deadline.Left());
}

Task<Result<WalRecord>> WalReader::ReadRecord(Timeline timeline, Lsn begin, Deadline deadline) const {
  // The record may go on in the next segment, where there is one.
  const std::uint64_t segment = SegmentOf(begin, geometry_);
  const std::uint64_t next = HasSegment(timeline, segment + 1) ? segment + 2 : segment + 1;
  const Lsn limit{next * geometry_.segment_bytes};
  std::vector<std::string> options = {"-n", "1"};
  Result<CommandOutput> output = co_await Dump(timeline, begin, limit, std::move(options), deadline);
  if (!output) co_return output.error();
  const std::optional<WalRecord> record = LastLine(output->out);
  if (!record || record->begin != begin) co_return NotFound("no WAL record begins at '" + begin.Text() + "'");
  co_return *record;
}

Task<Result<Lsn>> WalReader::LastRecordBefore(Timeline timeline, std::uint64_t first_byte, std::uint64_t limit,
                                              Deadline deadline) const {
  // The records of the last page are looked at first; a record longer than that is found further back.
  for (std::uint64_t back = geometry_.page_bytes;; back *= 8) {
    const std::uint64_t start = limit - first_byte > back ? limit - back : first_byte;
    std::vector<std::string> options;
    Result<CommandOutput> output = co_await Dump(timeline, Lsn{start}, Lsn{limit}, std::move(options), deadline);
    if (!output) co_return output.error();
    if (const std::optional<WalRecord> record = LastLine(output->out)) co_return EndOf(*record, geometry_);
    if (start == first_byte) co_return NotFound("there is no whole WAL record before '" + Lsn{limit}.Text() + "'");
  }
}

Task<Result<WalEnd>> WalReader::FindEnd(Timeline timeline, Lsn from, Deadline deadline) const {
  if (from.bytes == 0) co_return Fail("position '0/0' is no place in the write-ahead log");
  // `from` is the end of what came before it, so the byte before it decides the segment: the next one may not exist yet.
  std::uint64_t first = SegmentOf(Lsn{from.bytes - 1}, geometry_);
  if (!HasSegment(timeline, first)) first = SegmentOf(from, geometry_);
  if (!HasSegment(timeline, first)) {
    co_return NotFound("the write-ahead log has no segment '" + SegmentName(timeline, first, geometry_) + "' with position '" +
                       from.Text() + "'");
  }
  // pg_waldump waits 5 s for a missing segment and then does not say how far it came: it is told where the files end.
  std::uint64_t next = first + 1;
  while (HasSegment(timeline, next)) ++next;
  const std::uint64_t limit = next * geometry_.segment_bytes;
  // A record that covers `from` may begin on any earlier page, in an earlier segment even.
  std::uint64_t first_byte = first * geometry_.segment_bytes;
  while (first_byte >= geometry_.segment_bytes && HasSegment(timeline, first_byte / geometry_.segment_bytes - 1)) {
    first_byte -= geometry_.segment_bytes;
  }
  const std::uint64_t page = std::max((from.bytes - 1) / geometry_.page_bytes * geometry_.page_bytes, first_byte);
  for (std::uint64_t back = 0;; back = back == 0 ? geometry_.page_bytes : back * 8) {
    const std::uint64_t start = page - first_byte > back ? page - back : first_byte;
    std::vector<std::string> options = {"-q"};
    Result<CommandOutput> output = co_await Dump(timeline, Lsn{start}, Lsn{limit}, std::move(options), deadline);
    if (!output) co_return output.error();
    if (output->exit_code == 0) {
      Result<Lsn> end = co_await LastRecordBefore(timeline, first_byte, limit, deadline);
      if (!end) co_return end.error();
      co_return WalEnd{*end, true};
    }
    if (const std::optional<Lsn> last = LastRecordIn(output->err)) {
      Result<WalRecord> record = co_await ReadRecord(timeline, *last, deadline);
      if (!record) co_return record.error();
      co_return WalEnd{EndOf(*record, geometry_), false};
    }
    if (!NothingFound(*output)) co_return Unreadable(*output);
    if (start == first_byte) {
      // A new timeline that forked exactly at a border and wrote nothing yet.
      if (from.bytes == first_byte) co_return WalEnd{from, false};
      co_return NotFound("there is no whole WAL record near '" + from.Text() + "' on timeline " + std::to_string(timeline));
    }
  }
}

Task<Result<Unit>> WalReader::ListTransactions(Timeline timeline, Lsn from, Lsn end, std::string file, Deadline deadline) const {
  // The shell sends the list to a file: it may be larger than what a command may say to us.
  std::vector<std::string> argv = {"/bin/sh", "-c",         "exec \"$@\" >\"$0\"", std::move(file), bin_ + "/pg_waldump",
                                   "-r",      "Transaction"};
  const std::vector<std::string> range = Range(timeline, from, end);
  argv.insert(argv.end(), range.begin(), range.end());
  CommandOptions plain = PlainOptions();
  Result<CommandOutput> output = co_await RunCommand(executor_, std::move(argv), std::move(plain), deadline.Left());
  if (!output) co_return output.error();
  // The end of the WAL is no error here: `end` was measured, and everything before it is whole.
  if (output->exit_code != 0 && !LastRecordIn(output->err)) co_return Unreadable(*output);
  co_return Done();
}

Result<CommitCount> CountCommits(const std::string& file) {
  std::ifstream lines(file);
  if (!lines) return Fail("cannot read the list of transactions '" + file + "'");
  CommitCount count;
  std::string line;
  while (std::getline(lines, line)) {
    const std::optional<WalRecord> record = ParseWalRecord(line);
    const std::optional<std::string> time = record ? CommitTime(*record) : std::nullopt;
    if (!time) continue;
    if (++count.commits == 1) count.first = *time;
    count.last = *time;
  }
  if (lines.bad()) return Fail("cannot read the list of transactions '" + file + "'");
  return count;
}

}  // namespace lifeboat::postgres
