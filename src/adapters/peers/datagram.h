#pragma once

// One datagram of docs/formats/peer.md as bytes: sealed with the token that all agents share, and opened again. Pure.
// Both sides use it (DatagramLine here, DatagramDesk in serve). Thread rule: plain values.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"
#include "base/types.h"

namespace lifeboat::peers {

inline constexpr std::size_t kMostSealedBytes = 1232;  ///< IPv6's smallest packet of 1280 bytes, less its own head and UDP's

enum class Direction : char { kQuestion = 'Q', kAnswer = 'A' };

struct Datagram {
  Direction direction = Direction::kQuestion;
  std::uint64_t id = 0;
  RegionName from;
  RegionName to;
  std::string text;
};

/// @error kFail: larger than kMostSealedBytes, or a region's name that is empty or longer than 64 bytes
[[nodiscard]] Result<std::string> Seal(const Datagram& datagram, const Secret& token);

/// @error kFail: no datagram of this format; kRefused: not sealed with this token
[[nodiscard]] Result<Datagram> Open(std::string_view bytes, const Secret& token);

/// A number that nobody can guess. @source RAND_bytes(3)
[[nodiscard]] std::uint64_t RandomId();

}  // namespace lifeboat::peers
