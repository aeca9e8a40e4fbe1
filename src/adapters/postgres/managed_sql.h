#pragma once

// The door to a database that a cloud runs, by SQL (ports/managed_sql.h), and the canary that writes through its public name. TLS
// as the settings say, the certificate checked against the endpoint's name whatever address that led to. A connection is kept while
// it answers and given up with the first error, so that the next one asks the resolver anew: an endpoint's address changes when the
// cloud moves it. No password passes through here: libpq reads its file. Thread rule: the executor that it was given.

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "adapters/postgres/connection.h"
#include "adapters/postgres/host_resolver.h"
#include "config/aws_settings.h"
#include "ports/canary.h"
#include "ports/managed_sql.h"

namespace lifeboat::postgres {

/// libpq's words for a connection to `endpoint`, which has `address`. @param name  how it calls itself to the server
[[nodiscard]] Conninfo ManagedConninfo(const AwsSqlSettings& settings, const SqlEndpoint& endpoint, const std::string& address,
                                       const std::string& name);

class PostgresManagedSql final : public ManagedSql {
 public:
  /// @param resolver  outlives it
  PostgresManagedSql(boost::asio::any_io_executor executor, RegionName self, AwsSqlSettings settings, HostResolver& resolver);
  ~PostgresManagedSql() override;

  Task<Result<Heartbeat>> Beat(Epoch epoch, Duration timeout) override;
  Task<Result<std::vector<Heartbeat>>> ReadBeats(RegionName region, SqlEnd end, Duration timeout) override;
  Task<Result<std::vector<SqlLag>>> GlobalLags(SqlEnd end, Duration timeout) override;
  [[nodiscard]] std::string Protection(SqlEnd end) const override;

 private:
  struct Line;
  Task<Result<Unit>> Open(Line& line, Deadline deadline);
  Task<Result<Answer>> Ask(Line& line, std::string sql, std::vector<std::optional<std::string>> parameters, Effect effect,
                           Deadline deadline);
  Task<Result<Unit>> Prepare(Line& line, Deadline deadline);
  [[nodiscard]] Result<Line*> LineTo(const RegionName& region, SqlEnd end);

  boost::asio::any_io_executor executor_;
  const RegionName self_;
  const AwsSqlSettings settings_;
  HostResolver& resolver_;
  std::map<std::pair<RegionName, SqlEnd>, std::unique_ptr<Line>> lines_;
};

class ManagedCanary final : public Canary {
 public:
  /// What the public name answers now, as a client would hear it.
  using Lookup = std::function<Task<Result<std::string>>(Duration timeout)>;
  /// @param traffic   where the name leads by region; nothing: `settings.global_endpoint` is what clients use
  /// @param resolver  outlives it
  ManagedCanary(boost::asio::any_io_executor executor, RegionName self, AwsSqlSettings settings,
                const std::optional<AwsTrafficSettings>& traffic, Lookup look_up, HostResolver& resolver);

  /// Writes this region's row, and reads it back. @return the target that it went to, as the settings write it:
  /// aws.traffic.targets, else the host of aws.sql.writers
  /// @error as Canary; `not_weighed`: the name could not be asked, or leads to no region: that says nothing of the writer
  Task<Result<std::string>> Write(Duration timeout) override;

 private:
  struct Place {
    std::string target;  ///< what Write returns
    SqlEndpoint endpoint;
    std::string address;
  };
  Task<Result<Place>> Find(Deadline deadline);
  Task<Result<Place>> FindByName(Deadline deadline);
  Task<Result<Place>> FindByEndpoint(Deadline deadline);
  Task<Result<std::string>> WriteOnce(Deadline deadline);

  boost::asio::any_io_executor executor_;
  const RegionName self_;
  const AwsSqlSettings settings_;
  const std::optional<AwsTrafficSettings> traffic_;
  const Lookup look_up_;
  HostResolver& resolver_;
  std::unique_ptr<Connection> connection_;
  std::string connected_to_;
  bool busy_ = false;
};

}  // namespace lifeboat::postgres
