#pragma once

// A tar archive as pg_basebackup and pg_dump write it (ustar), read forwards in one pass.
// Thread rule: one owner. It blocks.

#include <cstdint>
#include <optional>
#include <string>

#include "adapters/backups/byte_stream.h"
#include "base/result.h"

namespace lifeboat::backup {

struct TarEntry {
  std::string name;
  std::uint64_t size = 0;
  char type = '0';  ///< '0' file, '5' folder, '2' symbolic link
  std::string target;
};

inline constexpr std::size_t kTarBlock = 512;
/// One header block; contents and entries begin at multiples of it. An empty block, which ends a tar archive, is none.
/// @error kFail: it is damaged
[[nodiscard]] Result<TarEntry> ParseTarHeader(std::span<const char> block);

class TarReader {
 public:
  explicit TarReader(StreamPtr stream) : stream_(std::move(stream)) {}

  /// The next entry; what was not read of the one before is passed over. Nothing: the end, or failed() is true.
  [[nodiscard]] std::optional<TarEntry> Next();
  /// Bytes of the current entry. 0: its end. Nothing: failed.
  [[nodiscard]] std::optional<std::size_t> Read(std::span<char> into);
  [[nodiscard]] bool failed() const { return failed_; }
  [[nodiscard]] const ReadError& error() const { return error_; }

 private:
  std::nullopt_t Stop(ReadError error);
  bool Fill(char* into, std::size_t size, bool end_allowed);
  bool PassOver(std::uint64_t size);

  StreamPtr stream_;
  std::uint64_t left_ = 0;     ///< of the entry's content
  std::uint64_t padding_ = 0;  ///< after it
  bool failed_ = false;
  bool ended_ = false;
  ReadError error_;
};

}  // namespace lifeboat::backup
