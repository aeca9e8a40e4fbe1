#pragma once

// The two kinds behind OpenManagedDatabase.

#include "adapters/aws/managed_database.h"

namespace lifeboat::aws {

[[nodiscard]] std::unique_ptr<ManagedDatabase> OpenManagedAurora(Client& client, AwsDatabaseSettings settings, Clock& clock,
                                                                 Log log, Duration poll);
[[nodiscard]] std::unique_ptr<ManagedDatabase> OpenManagedReplica(Client& client, AwsDatabaseSettings settings, Clock& clock,
                                                                  Log log, Duration poll);

}  // namespace lifeboat::aws
