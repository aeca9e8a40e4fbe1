#include "backup/digest.h"

#include <openssl/evp.h>
#include <strings.h>

#include <array>
#include <cstdint>

#include "base/check.h"

namespace lifeboat::backup {

namespace {

constexpr std::pair<DigestKind, const char*> kNames[] = {{DigestKind::kNone, "NONE"},     {DigestKind::kCrc32c, "CRC32C"},
                                                         {DigestKind::kSha1, "SHA1"},     {DigestKind::kSha224, "SHA224"},
                                                         {DigestKind::kSha256, "SHA256"}, {DigestKind::kSha384, "SHA384"},
                                                         {DigestKind::kSha512, "SHA512"}};

const EVP_MD* Algorithm(DigestKind kind) {
  switch (kind) {
    case DigestKind::kSha1: return EVP_sha1();
    case DigestKind::kSha224: return EVP_sha224();
    case DigestKind::kSha256: return EVP_sha256();
    case DigestKind::kSha384: return EVP_sha384();
    case DigestKind::kSha512: return EVP_sha512();
    case DigestKind::kNone:
    case DigestKind::kCrc32c: break;
  }
  return nullptr;
}

int Nibble(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

struct Digest::Context {
  EVP_MD_CTX* md = EVP_MD_CTX_new();
  Context() = default;
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context() { EVP_MD_CTX_free(md); }
};

const char* ToString(DigestKind kind) {
  for (const auto& [each, name] : kNames) {
    if (each == kind) return name;
  }
  return "?";
}

std::optional<DigestKind> ParseDigestKind(std::string_view text) {
  for (const auto& [kind, name] : kNames) {
    if (text.size() == std::string_view(name).size() && strncasecmp(text.data(), name, text.size()) == 0) return kind;
  }
  return std::nullopt;
}

Digest::Digest(DigestKind kind) : kind_(kind) {
  const EVP_MD* algorithm = Algorithm(kind);
  if (algorithm == nullptr) return;
  context_ = std::make_unique<Context>();
  LIFEBOAT_CHECK(context_->md != nullptr && EVP_DigestInit_ex(context_->md, algorithm, nullptr) == 1, "OpenSSL lacks a hash");
}

Digest::Digest(Digest&&) noexcept = default;
Digest& Digest::operator=(Digest&&) noexcept = default;
Digest::~Digest() = default;

void Digest::Add(const void* bytes, std::size_t size) {
  if (kind_ == DigestKind::kCrc32c) return crc_.Add(bytes, size);
  if (context_) LIFEBOAT_CHECK(EVP_DigestUpdate(context_->md, bytes, size) == 1, "a hash could not go on");
}

std::string Digest::Hex() {
  if (kind_ == DigestKind::kCrc32c) {
    const std::uint32_t value = crc_.Value();
    const unsigned char bytes[] = {static_cast<unsigned char>(value), static_cast<unsigned char>(value >> 8),
                                   static_cast<unsigned char>(value >> 16), static_cast<unsigned char>(value >> 24)};
    return ToHex(bytes, sizeof bytes);
  }
  if (!context_) return {};
  std::array<unsigned char, EVP_MAX_MD_SIZE> raw{};
  unsigned int size = 0;
  LIFEBOAT_CHECK(EVP_DigestFinal_ex(context_->md, raw.data(), &size) == 1, "a hash could not be ended");
  return ToHex(raw.data(), size);
}

std::string HexDigest(DigestKind kind, std::string_view bytes) {
  Digest digest(kind);
  digest.Add(bytes.data(), bytes.size());
  return digest.Hex();
}

std::string ToHex(const void* bytes, std::size_t size) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(size * 2);
  for (std::size_t at = 0; at < size; ++at) {
    const unsigned char byte = static_cast<const unsigned char*>(bytes)[at];
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

std::optional<std::string> FromHex(std::string_view hex) {
  if (hex.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  for (std::size_t at = 0; at < hex.size(); at += 2) {
    const int high = Nibble(hex[at]);
    const int low = Nibble(hex[at + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes += static_cast<char>(high * 16 + low);
  }
  return bytes;
}

}  // namespace lifeboat::backup
