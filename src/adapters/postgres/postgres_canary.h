#pragma once

// The canary's writes: a client like any other, through the service's public name (ports/canary.h).
// Thread rule: the executor that it was given; one write at a time.

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <map>
#include <memory>

#include "adapters/postgres/connection.h"
#include "config/settings.h"
#include "ports/canary.h"

namespace lifeboat::postgres {

class PostgresCanary final : public Canary {
 public:
  /// Asks the authoritative name server for the address of the service's name.
  using Resolver = std::function<Task<Result<std::string>>(Duration timeout)>;
  /// @param ports  of the databases, by address: an address record carries no port
  PostgresCanary(boost::asio::any_io_executor executor, RegionName self, LoginSettings login,
                 std::map<std::string, std::uint16_t> ports, Resolver resolve);

  Task<Result<std::string>> Write(Duration timeout) override;

 private:
  Task<Result<std::string>> WriteOnce(Duration timeout);

  boost::asio::any_io_executor executor_;
  const RegionName self_;
  const LoginSettings login_;
  const std::map<std::string, std::uint16_t> ports_;
  Resolver resolve_;
  std::unique_ptr<Connection> connection_;
  std::string connected_to_;
  bool busy_ = false;
};

}  // namespace lifeboat::postgres
