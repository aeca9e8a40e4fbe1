#pragma once

// Bytes of a backup as they come out of where it lies: a file or a part of one, decrypted, decompressed. Streams stack; each
// holds a buffer of 256 KiB at most, whatever the file's size.
// Thread rule: one owner. They block: call them on a pool.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "backup/wal_name.h"
#include "base/types.h"

namespace lifeboat::backup {

enum class ReadProblem {
  kGone,       ///< there is no such file
  kDevice,     ///< it is there and cannot be read
  kTruncated,  ///< it ends before it should
  kDamaged,    ///< a decompressor or the padding says that these are not the bytes that were written
  kKey,        ///< encrypted, and not by this key
};

struct ReadError {
  ReadProblem problem = ReadProblem::kDevice;
  std::string message;
};

class ByteStream {
 public:
  virtual ~ByteStream() = default;
  /// @return bytes read; 0: the end; nothing: failed, error() says why
  [[nodiscard]] virtual std::optional<std::size_t> Read(std::span<char> into) = 0;
  [[nodiscard]] const ReadError& error() const { return error_; }

 protected:
  std::nullopt_t Fail(ReadProblem problem, std::string message) {
    error_ = {problem, std::move(message)};
    return std::nullopt;
  }
  std::nullopt_t Pass(const ByteStream& inner) {
    error_ = inner.error();
    return std::nullopt;
  }

 private:
  ReadError error_;
};
using StreamPtr = std::unique_ptr<ByteStream>;

/// A file, or `length` bytes of it from `offset`; those must all be there.
[[nodiscard]] StreamPtr OpenFile(const std::filesystem::path& file);
[[nodiscard]] StreamPtr OpenFilePart(const std::filesystem::path& file, std::uint64_t offset, std::uint64_t length);
/// `text`, for self-tests.
[[nodiscard]] StreamPtr OpenText(std::string text);

/// Undoes a compression; kNone: `inner` itself.
/// @param hashed  the caller compares a hash of all that comes out: checksums of the format's own would only cost time
[[nodiscard]] StreamPtr Decompress(StreamPtr inner, Compression compression, bool hashed = false);
/// Undoes zlib's own format, which pg_dump uses within its files.
[[nodiscard]] StreamPtr InflateZlib(StreamPtr inner);

/// Undoes pgBackRest's aes-256-cbc: "Salted__", eight bytes of salt, key and IV from pass and salt by one round of SHA-1.
/// @source pgBackRest, src/common/crypto/cipherBlock.c; EVP_BytesToKey(3)
/// @param bare  without the first eight bytes, as files in bundles and blocks of files are (2.46 and later)
[[nodiscard]] StreamPtr DecryptCbc(StreamPtr inner, const Secret& pass, bool bare = false);

/// All of it, at most `limit` bytes. Nothing: failed, `error` says why.
[[nodiscard]] std::optional<std::string> ReadAll(ByteStream& stream, std::size_t limit, ReadError& error);

}  // namespace lifeboat::backup
