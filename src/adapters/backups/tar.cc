#include "adapters/backups/tar.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace lifeboat::backup {

namespace {

constexpr std::size_t kBlock = kTarBlock;

/// Octal digits, or with the top bit set a big-endian number. @source POSIX ustar; GNU tar, "Basic Tar Format"
std::optional<std::uint64_t> TarNumber(const char* at, std::size_t size) {
  std::uint64_t number = 0;
  if ((static_cast<unsigned char>(at[0]) & 0x80U) != 0) {
    for (std::size_t byte = size - 8; byte < size; ++byte) number = number << 8 | static_cast<unsigned char>(at[byte]);
    return number;
  }
  std::size_t digit = 0;
  while (digit < size && at[digit] == ' ') ++digit;
  for (; digit < size && at[digit] != '\0' && at[digit] != ' '; ++digit) {
    if (at[digit] < '0' || at[digit] > '7') return std::nullopt;
    number = number * 8 + static_cast<std::uint64_t>(at[digit] - '0');
  }
  return number;
}

std::string TarText(const char* at, std::size_t size) { return {at, strnlen(at, size)}; }

bool ChecksumHolds(const char* block) {
  std::uint64_t sum = 0;
  for (std::size_t at = 0; at < kBlock; ++at) sum += at >= 148 && at < 156 ? ' ' : static_cast<unsigned char>(block[at]);
  const auto stated = TarNumber(block + 148, 8);
  return stated && *stated == sum;
}

}  // namespace

Result<TarEntry> ParseTarHeader(std::span<const char> block) {
  const char* at = block.data();
  if (block.size() < kBlock || !ChecksumHolds(at)) return Fail("a header of the tar file is damaged");
  const auto size = TarNumber(at + 124, 12);
  if (!size) return Fail("a size in the tar file cannot be read");
  TarEntry entry;
  entry.name = TarText(at, 100);
  if (std::memcmp(at + 257, "ustar", 5) == 0 && at[345] != '\0') entry.name = TarText(at + 345, 155) + "/" + entry.name;
  entry.type = at[156] == '\0' ? '0' : at[156];
  entry.target = TarText(at + 157, 100);
  entry.size = entry.type == '0' ? *size : 0;
  if (entry.name.starts_with("./")) entry.name.erase(0, 2);
  while (entry.name.ends_with('/')) entry.name.pop_back();
  return entry;
}

std::nullopt_t TarReader::Stop(ReadError error) {
  failed_ = true;
  error_ = std::move(error);
  return std::nullopt;
}

bool TarReader::Fill(char* into, std::size_t size, bool end_allowed) {
  std::size_t have = 0;
  while (have < size) {
    const std::optional<std::size_t> got = stream_->Read({into + have, size - have});
    if (!got) {
      (void)Stop(stream_->error());
      return false;
    }
    if (*got == 0) {
      if (have == 0 && end_allowed) {
        ended_ = true;
        return false;
      }
      (void)Stop({ReadProblem::kTruncated, "the tar file ends too early"});
      return false;
    }
    have += *got;
  }
  return true;
}

bool TarReader::PassOver(std::uint64_t size) {
  std::vector<char> waste(64U << 10);
  while (size > 0) {
    const std::size_t step = static_cast<std::size_t>(std::min<std::uint64_t>(size, waste.size()));
    if (!Fill(waste.data(), step, false)) return false;
    size -= step;
  }
  return true;
}

std::optional<TarEntry> TarReader::Next() {
  if (failed_ || ended_ || !PassOver(left_ + padding_)) return std::nullopt;
  left_ = padding_ = 0;
  char block[kBlock];
  if (!Fill(block, kBlock, true)) {
    // pg_basebackup ends a tar file with two empty blocks: without them it was cut off between two entries.
    if (ended_) return Stop({ReadProblem::kTruncated, "the tar file has no end mark"});
    return std::nullopt;
  }
  if (std::all_of(block, block + kBlock, [](char c) { return c == 0; })) {
    ended_ = true;
    // The rest is read too: a decompressor checks its own sum at the very end.
    char rest[kBlock];
    while (true) {
      const std::optional<std::size_t> got = stream_->Read(rest);
      if (!got) return Stop(stream_->error());
      if (*got == 0) return std::nullopt;
    }
  }
  Result<TarEntry> entry = ParseTarHeader(block);
  if (!entry) return Stop({ReadProblem::kDamaged, entry.error().message});
  left_ = entry->size;
  padding_ = (kBlock - entry->size % kBlock) % kBlock;
  return *std::move(entry);
}

std::optional<std::size_t> TarReader::Read(std::span<char> into) {
  if (failed_) return std::nullopt;
  const std::size_t room = static_cast<std::size_t>(std::min<std::uint64_t>(left_, into.size()));
  if (room == 0) return 0;
  const std::optional<std::size_t> got = stream_->Read(into.first(room));
  if (!got) return Stop(stream_->error());
  if (*got == 0) return Stop({ReadProblem::kTruncated, "the tar file ends within '" + std::to_string(left_) + "' bytes of a file"});
  left_ -= *got;
  return *got;
}

}  // namespace lifeboat::backup
