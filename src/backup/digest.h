#pragma once

// The hashes that manifests and repositories name their bytes by. Computed only where a stored reference demands it.
// Thread rule: one owner.

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "backup/crc32c.h"

namespace lifeboat::backup {

enum class DigestKind { kNone, kCrc32c, kSha1, kSha224, kSha256, kSha384, kSha512 };

[[nodiscard]] const char* ToString(DigestKind kind);
/// "CRC32C", "SHA256", "NONE", … as backup_manifest writes them, in any case.
[[nodiscard]] std::optional<DigestKind> ParseDigestKind(std::string_view text);

/// One running hash. A moved-from one may only be destroyed or assigned to.
class Digest {
 public:
  explicit Digest(DigestKind kind);
  Digest(Digest&&) noexcept;
  Digest& operator=(Digest&&) noexcept;
  ~Digest();

  void Add(const void* bytes, std::size_t size);
  /// Lower-case hex; "" for kNone. CRC32C is written as PostgreSQL does: its bytes as they lie in memory.
  [[nodiscard]] std::string Hex();
  [[nodiscard]] DigestKind kind() const { return kind_; }

 private:
  struct Context;
  DigestKind kind_;
  Crc32c crc_;
  std::unique_ptr<Context> context_;
};

[[nodiscard]] std::string HexDigest(DigestKind kind, std::string_view bytes);
/// Bytes as lower-case hex.
[[nodiscard]] std::string ToHex(const void* bytes, std::size_t size);
/// @return nothing when the text is no whole number of bytes in hex
[[nodiscard]] std::optional<std::string> FromHex(std::string_view hex);

}  // namespace lifeboat::backup
