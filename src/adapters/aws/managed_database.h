#pragma once

// The port ManagedDatabase over AWS: an Aurora global database (aurora_global.h), or an RDS instance with a read replica in each
// other region (rds_replica.h). Regions are named as AWS names them. Thread rule: as Client.

#include <memory>

#include "adapters/aws/aurora_global.h"
#include "adapters/aws/rds_replica.h"
#include "config/aws_settings.h"
#include "ports/managed_database.h"

namespace lifeboat::aws {

/// `client` and `clock` outlive it. `poll`: between two looks of Await.
[[nodiscard]] std::unique_ptr<ManagedDatabase> OpenManagedDatabase(Client& client, AwsDatabaseSettings settings, Clock& clock,
                                                                   Log log, Duration poll = 5s);

/// What the API of `asked` says of a global database, in the words of the port. `cluster`: of `asked`, where it answered.
[[nodiscard]] ManagedView ViewOf(const AwsDatabaseSettings& settings, const RegionName& asked, const rds::GlobalCluster& global,
                                 const std::optional<rds::DbCluster>& cluster);
/// The same of the instance of `asked`: what it follows, or that it follows nobody.
[[nodiscard]] ManagedView ViewOf(const AwsDatabaseSettings& settings, const RegionName& asked, const rds::DbInstance& instance);

}  // namespace lifeboat::aws
