#pragma once

// One question to an authoritative DNS server, as the lab's clients ask it at a connect: no cache, no search list, no
// second server. Library for the lab only; agents use the door ports/traffic.h.
// Thread rule: any thread; blocks until the deadline.

#include <string>

#include "base/result.h"
#include "base/time.h"
#include "base/types.h"

namespace lifeboat::lab {

struct ResolvedAddress {
  std::string address;  ///< dotted IPv4
  Duration ttl{};
};

/// Asks `server` for the A record of `name` over UDP, once.
/// @error kRetry: no answer within `timeout`; kNotFound: the name has no A record
[[nodiscard]] Result<ResolvedAddress> ResolveAt(const Endpoint& server, const std::string& name, Duration timeout);

}  // namespace lifeboat::lab
