#pragma once

// Configuration and zone of a Knot DNS server that serves one zone and takes signed updates, so that an update survives a
// kill of the server: the journal is synced at every update and the zone file is only where it began. Used by the lab and by
// the tests; a production server is the operator's. Thread rule: pure functions.
// @source knot.conf(5), Knot DNS 3.2

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/types.h"

namespace lifeboat {

struct KnotSettings {
  Endpoint listen;                 ///< UDP and TCP
  std::string directory;           ///< absolute, exists: run files, journal and zone file
  std::string zone;                ///< "lifeboat.test."
  std::string zone_file = "zone";  ///< inside `directory`
  std::string key_name;
  std::string key_algorithm = "hmac-sha256";
};

/// What to write into the server's configuration file, with mode 0600: it holds the secret.
[[nodiscard]] std::string KnotConfig(const KnotSettings& settings, const Secret& base64_secret);

/// A name that the zone has from the beginning.
struct KnotName {
  std::string name;  ///< fully qualified
  std::string address;
  std::chrono::seconds ttl{1};
  std::optional<Epoch> epoch;  ///< beside it
};

/// A zone with SOA, NS and the address of the name server itself, and these names.
[[nodiscard]] std::string KnotZone(const KnotSettings& settings, const std::vector<KnotName>& names);

}  // namespace lifeboat
