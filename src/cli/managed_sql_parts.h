#pragma once

// What an agent needs to ask a database that a cloud runs by SQL, put together: resolver, endpoints, and a canary for the loop and
// one for the steps of a plan. Thread rule: the agent's executor.

#include <boost/asio/any_io_executor.hpp>
#include <memory>

#include "adapters/postgres/managed_sql.h"
#include "config/settings.h"
#include "ports/clock.h"
#include "ports/name_servers.h"

namespace lifeboat {

struct ManagedSqlParts {
  /// Nothing where there is no 'aws.sql'.
  /// @error kFail: the password file is missing, or others may read it; the certificates cannot be read
  [[nodiscard]] static Result<std::unique_ptr<ManagedSqlParts>> Open(boost::asio::any_io_executor io, const RegionName& self,
                                                                     const AwsSettings& aws, std::shared_ptr<NameServers> names,
                                                                     Clock& clock);

  ManagedSqlParts(boost::asio::any_io_executor io, const RegionName& self, const AwsSqlSettings& settings);

  postgres::HostResolver resolver;
  postgres::PostgresManagedSql sql;
  std::unique_ptr<postgres::ManagedCanary> of_loop;  ///< none where there is no public name
  std::unique_ptr<postgres::ManagedCanary> of_steps;
};

}  // namespace lifeboat
