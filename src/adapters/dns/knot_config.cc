#include "adapters/dns/knot_config.h"

#include <sstream>

#include "adapters/dns/dns_packet.h"

namespace lifeboat {

namespace {

const char* AddressType(const std::string& address) { return address.find(':') == std::string::npos ? "A" : "AAAA"; }

}  // namespace

std::string KnotConfig(const KnotSettings& settings, const Secret& base64_secret) {
  std::ostringstream out;
  out << "server:\n"
         "  rundir: \""
      << settings.directory
      << "\"\n"
         "  listen: \""
      << settings.listen.host << "@" << settings.listen.port
      << "\"\n"
         "  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n"
         "control:\n"
         "  listen: \""
      << settings.directory
      << "/knot.sock\"\n"
         "log:\n"
         "  - target: stderr\n    any: info\n"
         "database:\n"
         "  storage: \""
      << settings.directory
      << "\"\n"
         // robust: synced at each update. The sizes are address space; the defaults (20 GB) do not fit every container.
         "  journal-db-mode: robust\n  journal-db-max-size: 64M\n  kasp-db-max-size: 16M\n  timer-db-max-size: 16M\n"
         "  catalog-db-max-size: 16M\n"
         "key:\n"
         "  - id: \""
      << settings.key_name << "\"\n    algorithm: " << settings.key_algorithm << "\n    secret: " << base64_secret.Reveal()
      << "\n"
         "acl:\n"
         "  - id: update\n    key: \""
      << settings.key_name
      << "\"\n    action: update\n"
         "zone:\n"
         "  - domain: \""
      << settings.zone
      << "\"\n"
         "    storage: \""
      << settings.directory << "\"\n    file: \"" << settings.zone_file
      << "\"\n    acl: update\n"
         // The zone file is never written, and read only to begin; what was updated is in the journal.
         "    zonefile-sync: -1\n    zonefile-load: whole\n    journal-content: changes\n    journal-max-usage: 32M\n";
  return out.str();
}

std::string KnotZone(const KnotSettings& settings, const std::vector<KnotName>& names) {
  std::ostringstream out;
  out << "$ORIGIN " << settings.zone << "\n"
      << "@ 3600 IN SOA ns hostmaster 1 3600 600 86400 1\n"
      << "@ 3600 IN NS ns\n"
      << "ns 3600 IN " << AddressType(settings.listen.host) << " " << settings.listen.host << "\n";
  for (const KnotName& name : names) {
    out << name.name << " " << name.ttl.count() << " IN " << AddressType(name.address) << " " << name.address << "\n";
    if (name.epoch) out << EpochNameOf(name.name) << " " << name.ttl.count() << " IN TXT " << EpochValue(*name.epoch) << "\n";
  }
  return out.str();
}

}  // namespace lifeboat
