#pragma once

// How far from this machine an address lies. Agents do not encrypt what they say to each other, their token included: that may
// stay on the machine, may leave it for a private network where the configuration says so (peers.allow_plaintext), and never
// goes to an address that the world can route to.
// Thread rule: pure functions.

#include <optional>
#include <string>

namespace lifeboat {

enum class AddressReach {
  kLoopback,  ///< 127.0.0.0/8, ::1
  kPrivate,   ///< RFC 1918, 100.64.0.0/10 (RFC 6598), fc00::/7 (RFC 4193)
  kPublic,    ///< everything else, 0.0.0.0 and :: among it
};

/// Nothing: `host` is no IP address.
[[nodiscard]] std::optional<AddressReach> ReachOf(const std::string& host);

}  // namespace lifeboat
