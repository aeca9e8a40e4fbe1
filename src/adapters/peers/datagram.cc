#include "adapters/peers/datagram.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <array>

#include "base/check.h"

namespace lifeboat::peers {

namespace {

constexpr std::string_view kMagic("LBD\x01", 4);
constexpr std::size_t kIdBytes = 8;
constexpr std::size_t kMacBytes = 32;
constexpr std::size_t kMostNameBytes = 64;

using Mac = std::array<unsigned char, kMacBytes>;

Mac Authenticate(std::string_view bytes, const Secret& token) {
  Mac mac{};
  unsigned int size = 0;
  const std::string& key = token.Reveal();
  const unsigned char* made = HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                                   reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), mac.data(), &size);
  LIFEBOAT_CHECK(made != nullptr && size == kMacBytes, "OpenSSL cannot compute HMAC-SHA256");
  return mac;
}

bool IsName(const RegionName& name) { return !name.empty() && name.text.size() <= kMostNameBytes; }

void AppendName(std::string& bytes, const RegionName& name) {
  bytes += static_cast<char>(name.text.size());
  bytes += name.text;
}

/// Takes a name from the front of `bytes`; an empty one: there is none.
RegionName TakeName(std::string_view& bytes) {
  if (bytes.empty()) return {};
  const std::size_t size = static_cast<unsigned char>(bytes.front());
  if (size == 0 || size > kMostNameBytes || bytes.size() < 1 + size) return {};
  RegionName name(std::string(bytes.substr(1, size)));
  bytes.remove_prefix(1 + size);
  return name;
}

}  // namespace

Result<std::string> Seal(const Datagram& datagram, const Secret& token) {
  if (!IsName(datagram.from) || !IsName(datagram.to)) {
    return Fail("a datagram from '" + datagram.from.text + "' to '" + datagram.to.text + "': names have 1 to 64 bytes");
  }
  std::string bytes(kMagic);
  bytes.reserve(kMostSealedBytes);
  bytes += static_cast<char>(datagram.direction);
  for (std::size_t index = 0; index < kIdBytes; ++index) {
    bytes += static_cast<char>(datagram.id >> (8 * (kIdBytes - 1 - index)) & 0xFFU);
  }
  AppendName(bytes, datagram.from);
  AppendName(bytes, datagram.to);
  const std::size_t size = bytes.size() + datagram.text.size() + kMacBytes;
  if (size > kMostSealedBytes) {
    return Fail("a message of '" + std::to_string(size) + "' bytes does not fit into a datagram of '" +
                std::to_string(kMostSealedBytes) + "' bytes");
  }
  bytes += datagram.text;
  const Mac mac = Authenticate(bytes, token);
  bytes.append(mac.begin(), mac.end());
  return bytes;
}

Result<Datagram> Open(std::string_view bytes, const Secret& token) {
  constexpr std::size_t kHeadBytes = kMagic.size() + 1 + kIdBytes;
  if (bytes.size() < kHeadBytes + kMacBytes || bytes.size() > kMostSealedBytes || bytes.substr(0, kMagic.size()) != kMagic) {
    return Fail("no datagram of this format");
  }
  const std::string_view sealed = bytes.substr(0, bytes.size() - kMacBytes);
  const Mac mac = Authenticate(sealed, token);
  // SAFETY: before anything else is believed, and in a time that tells nothing about where the difference is.
  if (CRYPTO_memcmp(mac.data(), bytes.data() + sealed.size(), kMacBytes) != 0) return Refused("not sealed with this token");

  Datagram datagram;
  const char direction = sealed[kMagic.size()];
  if (direction != 'Q' && direction != 'A') return Fail("a datagram that is neither question nor answer");
  datagram.direction = static_cast<Direction>(direction);
  for (const char byte : sealed.substr(kMagic.size() + 1, kIdBytes)) {
    datagram.id = datagram.id << 8U | static_cast<unsigned char>(byte);
  }
  std::string_view rest = sealed.substr(kHeadBytes);
  datagram.from = TakeName(rest);
  datagram.to = TakeName(rest);
  if (datagram.from.empty() || datagram.to.empty()) return Fail("a datagram without the two regions' names");
  datagram.text = rest;
  return datagram;
}

std::uint64_t RandomId() {
  std::array<unsigned char, kIdBytes> bytes{};
  LIFEBOAT_CHECK(RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) == 1, "OpenSSL has no random bytes");
  std::uint64_t id = 0;
  for (const unsigned char byte : bytes) id = id << 8U | byte;
  return id;
}

}  // namespace lifeboat::peers
