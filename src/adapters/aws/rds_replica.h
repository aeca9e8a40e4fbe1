#pragma once

// A read replica in another region of an RDS for PostgreSQL instance, as the plans act on it: look, lag, promote, rebuild.
// Promotion cannot be taken back, and nothing stops the old primary: who promotes has fenced it, or has said that it may be lost.
// Every verb asks the region of the instance that it acts on, and looks first. RDS carries changes out later than it answers.
// Thread rule: as Client.

#include <optional>
#include <string>

#include "adapters/aws/aurora_global.h"

namespace lifeboat::aws {

struct ReplicaLag {
  std::optional<Duration> lag;  ///< CloudWatch's ReplicaLag; nothing: none of 5 minutes, or replication is not running (-1)
  std::optional<WallTime> at;
};

class RdsReplica {
 public:
  /// `client` and `clock` outlive it. `poll`: between two looks of AwaitPromoted.
  RdsReplica(Client& client, Clock& clock, Log log, Duration poll = 5s);

  Task<Result<ReplicaLag>> Lag(RegionName region, std::string instance, Duration timeout);

  /// Makes the replica a primary of its own. @return true: a request was sent; false: it is a replica no more
  /// @param backup_days of the new primary; 0 would leave it without backups and is refused
  /// @error kRefused: it cannot be promoted as it is (a backup runs); kRetry: nothing was sent; kUnknownOutcome: look
  Task<Result<bool>> Promote(RegionName region, std::string instance, std::uint64_t backup_days, LossConsent consent,
                             Duration timeout);
  /// Looks until the instance follows nobody and takes connections. @error kRetry: not in time, with its state
  Task<Result<rds::DbInstance>> AwaitPromoted(RegionName region, std::string instance, Duration timeout);

  /// A replica of `replica.source_arn` under a name of its own, in `region`: the way back for a region that was lost. An instance
  /// of that name that follows another source, or none, is never touched. @return true: a request was sent; false: it is there
  Task<Result<bool>> Rebuild(RegionName region, rds::ReadReplica replica, Duration timeout);

 private:
  Client& client_;
  Clock& clock_;
  Log log_;
  Duration poll_;
};

}  // namespace lifeboat::aws
