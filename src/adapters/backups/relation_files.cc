#include "adapters/backups/relation_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace lifeboat::backup {

namespace fs = std::filesystem;

namespace {

constexpr std::uint32_t kLookAhead = 16;  // segments after the end in which left-over content is looked for

/// Nothing: there is no such file.
std::optional<std::uint64_t> SizeOf(const fs::path& file) {
  std::error_code problem;
  const std::uint64_t size = fs::file_size(file, problem);
  return problem ? std::nullopt : std::optional(size);
}

}  // namespace

fs::path RelationFiles::Segment(std::uint32_t number) const {
  return number == 0 ? base : fs::path(base.string() + "." + std::to_string(number));
}

RelationFiles MeasureRelation(const fs::path& base, const PgControl& control) {
  RelationFiles files{base, control.block_bytes, control.relation_segment_blocks, 0, std::nullopt};
  std::uint32_t segment = 0;
  while (true) {
    const std::uint64_t blocks = SizeOf(files.Segment(segment)).value_or(0) / files.page_bytes;
    files.blocks += static_cast<std::uint32_t>(std::min<std::uint64_t>(blocks, files.segment_blocks));
    if (blocks < files.segment_blocks) break;
    ++segment;
  }
  // PostgreSQL leaves empty segments behind a table that became smaller; ones with content mean that something before them is gone.
  for (std::uint32_t later = segment + 1; later <= segment + kLookAhead; ++later) {
    if (SizeOf(files.Segment(later)).value_or(0) > 0) files.segment_gap = segment;
  }
  return files;
}

BlockReader::~BlockReader() {
  if (fd_ >= 0) close(fd_);
}

bool BlockReader::Open(std::uint32_t segment) {
  if (fd_ >= 0 && open_ == segment) return true;
  if (fd_ >= 0) close(fd_);
  const fs::path file = files_.Segment(segment);
  fd_ = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  open_ = segment;
  if (fd_ < 0) {
    problem_ = "'" + file.string() + "': " + std::strerror(errno);
    return false;
  }
  (void)posix_fadvise(fd_, 0, 0, POSIX_FADV_SEQUENTIAL);
  return true;
}

bool BlockReader::Read(std::uint32_t first, std::span<char> into) {
  const std::uint32_t segment = first / files_.segment_blocks;
  if (!Open(segment)) return false;
  std::uint64_t at = std::uint64_t{first % files_.segment_blocks} * files_.page_bytes;
  while (!into.empty()) {
    const ssize_t got = pread(fd_, into.data(), into.size(), static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      problem_ =
          "'" + files_.Segment(segment).string() + "': " + (got < 0 ? std::strerror(errno) : "it became shorter while it was read");
      return false;
    }
    at += static_cast<std::uint64_t>(got);
    into = into.subspan(static_cast<std::size_t>(got));
  }
  return true;
}

}  // namespace lifeboat::backup
