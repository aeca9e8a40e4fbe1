#pragma once

// Name servers of any zone, asked as a client would: who serves it by the system's resolvers, what a name is by each server itself.
// Thread rule: on the executor that it was given.

#include <boost/asio/any_io_executor.hpp>
#include <optional>
#include <string>
#include <vector>

#include "adapters/dns/dns_packet.h"
#include "ports/name_servers.h"

namespace lifeboat {

/// The resolvers in a resolv.conf; 127.0.0.1 where it names none. @source resolv.conf(5)
[[nodiscard]] std::vector<Endpoint> ResolversIn(const std::string& file);

class DnsNameServers final : public NameServers {
 public:
  /// @param resolvers  asked one after the other; empty: those in /etc/resolv.conf, read at each use
  /// @param port       where the servers of a zone answer
  explicit DnsNameServers(boost::asio::any_io_executor executor, std::vector<Endpoint> resolvers = {}, std::uint16_t port = 53);

  Task<Result<std::vector<Endpoint>>> ServersOf(std::string name, Duration timeout) override;
  Task<Result<NameAnswer>> Ask(Endpoint server, std::string name, std::string type, Duration timeout) override;

 private:
  Task<Result<DnsAnswer>> Put(Endpoint server, std::string name, RecordType type, bool recursive, Duration timeout);
  Task<Result<DnsAnswer>> AskResolvers(std::string name, RecordType type, Duration timeout);
  Task<Result<Endpoint>> AddressOf(std::string host, Duration timeout);

  boost::asio::any_io_executor executor_;
  std::vector<Endpoint> resolvers_;
  std::uint16_t port_;
};

}  // namespace lifeboat
