#pragma once

// What stands beside a database of RDS: who is told of its events, and what maintenance waits for it.
// Thread rule: as Client.
// @source RDS API reference, 2014-10-31
// @iam rds:DescribeEventSubscriptions
// @iam rds:DescribePendingMaintenanceActions

#include <string>
#include <vector>

#include "adapters/aws/client.h"

namespace lifeboat::aws::rds {

/// A topic of SNS that hears events of RDS.
struct EventSubscription {
  std::string name;
  std::string topic;                 ///< ARN
  std::string source_type;           ///< "db-cluster", "db-instance"; empty: all
  std::vector<std::string> sources;  ///< ids; empty: all of the type
  bool enabled = false;
};
/// All of the account in `region`.
Task<Result<std::vector<EventSubscription>>> DescribeEventSubscriptions(Client& client, std::string region, Duration timeout);

/// What waits for the databases of `region` that a filter names, in AWS's words ("system-update").
/// @param filter  "db-cluster-id" or "db-instance-id" @param id  an id or ARN of that region
Task<Result<std::vector<std::string>>> PendingMaintenance(Client& client, std::string region, std::string filter, std::string id,
                                                          Duration timeout);

}  // namespace lifeboat::aws::rds
