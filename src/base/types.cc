#include "base/types.h"

#include <openssl/crypto.h>
#include <sys/random.h>

#include <charconv>
#include <cstdio>

#include "base/check.h"

namespace lifeboat {

std::string Lsn::Text() const {
  char text[24];
  std::snprintf(text, sizeof text, "%X/%X", static_cast<unsigned>(bytes >> 32), static_cast<unsigned>(bytes));
  return text;
}

std::optional<Lsn> Lsn::Parse(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos || slash == 0 || slash > 8 || text.size() - slash - 1 > 8) return std::nullopt;
  std::uint32_t high = 0;
  std::uint32_t low = 0;
  const char* end = text.data() + text.size();
  const auto a = std::from_chars(text.data(), text.data() + slash, high, 16);
  const auto b = std::from_chars(text.data() + slash + 1, end, low, 16);
  if (a.ec != std::errc{} || a.ptr != text.data() + slash || b.ec != std::errc{} || b.ptr != end) return std::nullopt;
  return Lsn{(std::uint64_t{high} << 32) | low};
}

std::string FormatBytes(ByteCount count) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(count.bytes);
  int unit = 0;
  while (value >= 1024 && unit < 5) {
    value /= 1024;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text;
}

Secret::~Secret() { OPENSSL_cleanse(value_.data(), value_.size()); }

bool Secret::Equals(std::string_view other) const {
  if (value_.empty() || other.size() != value_.size()) return false;
  return CRYPTO_memcmp(value_.data(), other.data(), other.size()) == 0;
}

std::string RandomHex(std::size_t bytes) {
  std::string raw(bytes, '\0');
  LIFEBOAT_CHECK(getrandom(raw.data(), bytes, 0) == static_cast<ssize_t>(bytes), "the kernel has no random bytes");
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const unsigned char c : raw) {
    hex += kDigits[c >> 4];
    hex += kDigits[c & 15];
  }
  return hex;
}

std::string RandomUuid() {
  std::string hex = RandomHex(16);
  hex[12] = '4';
  hex[16] = "89ab"[hex[16] & 3];
  return hex.substr(0, 8) + "-" + hex.substr(8, 4) + "-" + hex.substr(12, 4) + "-" + hex.substr(16, 4) + "-" + hex.substr(20);
}

}  // namespace lifeboat
