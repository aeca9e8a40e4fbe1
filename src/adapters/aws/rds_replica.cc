#include "adapters/aws/rds_replica.h"

#include <algorithm>

#include "adapters/aws/cloudwatch.h"
#include "model/managed.h"

namespace lifeboat::aws {

namespace {

constexpr Duration kLagWindow = std::chrono::minutes(5);
constexpr Duration kLagPeriod = std::chrono::minutes(1);
constexpr const char* kAvailable = "available";

Duration Left(const Clock& clock, Instant began, Duration timeout) {
  return std::max<Duration>(timeout - AgeAt(began, clock.Now()), 1ms);
}

/// RDS names a source of the same region by its id, one of another region by its ARN.
bool Follows(const rds::DbInstance& instance, const std::string& source_arn) {
  return !instance.replica_of.empty() && (instance.replica_of == source_arn || instance.replica_of == rds::NameOfArn(source_arn));
}

}  // namespace

RdsReplica::RdsReplica(Client& client, Clock& clock, Log log, Duration poll)
    : client_(client), clock_(clock), log_(std::move(log)), poll_(poll) {}

Task<Result<ReplicaLag>> RdsReplica::Lag(RegionName region, std::string instance, Duration timeout) {
  cloudwatch::Metric metric;
  metric.space = "AWS/RDS";
  metric.name = "ReplicaLag";
  metric.dimensions = {{"DBInstanceIdentifier", instance}};
  std::vector<cloudwatch::Metric> metrics(1, metric);
  const WallTime now{clock_.Wall().ns + client_.ahead().count()};  // SAFETY: as AuroraGlobal::Lag
  const WallTime from{now.ns - Duration(kLagWindow).count()};
  const WallTime to{now.ns + Duration(kLagPeriod).count()};
  Result<std::vector<std::optional<cloudwatch::Datum>>> data =
      co_await cloudwatch::Newest(client_, region.text, std::move(metrics), from, to, timeout);
  if (!data) co_return data.error();
  ReplicaLag lag;
  const auto& datum = data->front();
  if (datum) {
    lag.at = datum->at;
    // SAFETY: -1 says that replication does not run: that is no lag, and not one of zero.
    if (datum->value >= 0) lag.lag = Duration(static_cast<Duration::rep>(datum->value * 1e9));
  }
  co_return lag;
}

Task<Result<bool>> RdsReplica::Promote(RegionName region, std::string instance, std::uint64_t backup_days, LossConsent consent,
                                       Duration timeout) {
  const Instant began = clock_.Now();
  if (consent.by.empty()) co_return Refused("nobody has said that writes may be lost");
  if (backup_days == 0) co_return Refused("'" + instance + "' would be a primary without backups", "keep them for 1 to 35 days");
  Result<rds::DbInstance> look = co_await rds::DescribeDbInstance(client_, region.text, instance, timeout);
  if (!look) co_return look.error();
  if (look->replica_of.empty()) co_return false;
  if (look->status != kAvailable) {
    co_return Refused("replica '" + instance + "' is '" + look->status + "', not available", "a backup must end first");
  }
  log_.Warn("a read replica is promoted; nothing stops its source",
            {{"instance", instance}, {"region", region.text}, {"execution", consent.execution.text}, {"by", consent.by}});
  Result<rds::DbInstance> taken =
      co_await rds::PromoteReadReplica(client_, region.text, instance, backup_days, Left(clock_, began, timeout));
  if (!taken) co_return taken.error();
  co_return true;
}

Task<Result<rds::DbInstance>> RdsReplica::AwaitPromoted(RegionName region, std::string instance, Duration timeout) {
  const Instant began = clock_.Now();
  std::string seen;
  while (true) {
    Result<rds::DbInstance> look = co_await rds::DescribeDbInstance(client_, region.text, instance, Left(clock_, began, timeout));
    // A promotion ends with a backup, during which it takes writes.
    if (look.ok() && look->replica_of.empty() && TakesConnections(look->status)) co_return look;
    if (!look && look.error().retry != Retry::kRetry) co_return look.error();
    seen = look.ok() ? "it is '" + look->status + "'" + (look->replica_of.empty() ? "" : " and still a replica")
                     : look.error().message;
    if (AgeAt(began, clock_.Now()) + poll_ >= timeout) {
      co_return RetryLater("'" + instance + "' is no primary after " + FormatDuration(timeout) + ": " + seen);
    }
    co_await clock_.Sleep(poll_);
  }
}

Task<Result<bool>> RdsReplica::Rebuild(RegionName region, rds::ReadReplica replica, Duration timeout) {
  const Instant began = clock_.Now();
  Result<rds::DbInstance> look = co_await rds::DescribeDbInstance(client_, region.text, replica.id, timeout);
  if (look.ok()) {
    if (Follows(*look, replica.source_arn)) co_return false;
    co_return Refused("there is an instance '" + replica.id + "' in '" + region.text + "', and it does not follow that source",
                      "it may hold writes that were lost: name the replica otherwise");
  }
  if (look.error().retry != Retry::kNotFound) co_return look.error();
  Result<rds::DbInstance> taken =
      co_await rds::CreateReadReplica(client_, region.text, std::move(replica), Left(clock_, began, timeout));
  if (!taken) co_return taken.error();
  co_return true;
}

}  // namespace lifeboat::aws
