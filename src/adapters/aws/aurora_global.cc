#include "adapters/aws/aurora_global.h"

#include <algorithm>

#include "adapters/aws/cloudwatch.h"
#include "model/managed.h"

namespace lifeboat::aws {

namespace {

constexpr Duration kLagWindow = std::chrono::minutes(5);
constexpr Duration kLagPeriod = std::chrono::minutes(1);
constexpr const char* kAvailable = "available";

/// What is left of `timeout` since `began`, at least a moment, so that the callee says that it was too late.
Duration Left(const Clock& clock, Instant began, Duration timeout) {
  return std::max<Duration>(timeout - AgeAt(began, clock.Now()), 1ms);
}

constexpr const char* kLagNames[] = {"AuroraGlobalDBRPOLag", "AuroraGlobalDBReplicationLag"};

/// CloudWatch keeps the metric by cluster, and by cluster and source region: whichever has the newest datum counts. One name after
/// the other, each with all its dimensions.
std::vector<cloudwatch::Metric> LagMetrics(const std::string& cluster, const std::vector<std::string>& sources) {
  std::vector<cloudwatch::Metric> metrics;
  for (const char* name : kLagNames) {
    cloudwatch::Metric metric;
    metric.space = "AWS/RDS";
    metric.name = name;
    metric.dimensions = {{"DBClusterIdentifier", cluster}};
    metrics.push_back(metric);
    for (const std::string& source : sources) {
      cloudwatch::Metric from = metric;
      from.dimensions.emplace_back("SourceRegion", source);
      metrics.push_back(std::move(from));
    }
  }
  return metrics;
}

/// The newest datum of the `which`th of those names.
std::optional<cloudwatch::Datum> NewestOf(const std::vector<std::optional<cloudwatch::Datum>>& data, std::size_t which) {
  const std::size_t each = data.size() / std::size(kLagNames);
  std::optional<cloudwatch::Datum> newest;
  for (std::size_t at = which * each; at < (which + 1) * each; ++at) {
    if (data[at] && (!newest || newest->at < data[at]->at)) newest = data[at];
  }
  return newest;
}

bool HasWriter(const rds::DbCluster& cluster) {
  return std::any_of(cluster.instances.begin(), cluster.instances.end(),
                     [](const rds::ClusterInstance& one) { return one.is_writer; });
}

}  // namespace

AuroraGlobal::AuroraGlobal(Client& client, GlobalDatabase database, Clock& clock, Log log, Duration poll)
    : client_(client), database_(std::move(database)), clock_(clock), log_(std::move(log)), poll_(poll) {}

Result<std::string> AuroraGlobal::ArnOf(const RegionName& region) const {
  const auto found = database_.clusters.find(region);
  if (found == database_.clusters.end()) {
    return Fail("global database '" + database_.id + "' has no cluster in region '" + region.text + "'",
                "write its ARN in the file");
  }
  return found->second;
}

Task<Result<rds::GlobalCluster>> AuroraGlobal::Look(RegionName asked, Duration timeout) {
  co_return co_await rds::DescribeGlobalCluster(client_, asked.text, database_.id, timeout);
}

Task<Result<rds::DbCluster>> AuroraGlobal::LookAtCluster(RegionName region, Duration timeout) {
  const Result<std::string> arn = ArnOf(region);
  if (!arn) co_return arn.error();
  co_return co_await rds::DescribeDbCluster(client_, region.text, rds::NameOfArn(*arn), timeout);
}

Task<Result<AuroraLag>> AuroraGlobal::Lag(RegionName secondary, Duration timeout) {
  const Result<std::string> arn = ArnOf(secondary);
  if (!arn) co_return arn.error();
  std::vector<std::string> sources;
  for (const auto& [region, other] : database_.clusters) {
    if (region != secondary) sources.push_back(region.text);
  }
  // SAFETY: by AWS's clock: of a machine that is minutes behind, this one's would end before the newest datum, and an older lag
  // pass for it.
  const WallTime now{clock_.Wall().ns + client_.ahead().count()};
  const WallTime from{now.ns - Duration(kLagWindow).count()};
  const WallTime to{now.ns + Duration(kLagPeriod).count()};  // a datum bears the beginning of its minute; this one is not over
  Result<std::vector<std::optional<cloudwatch::Datum>>> data =
      co_await cloudwatch::Newest(client_, secondary.text, LagMetrics(rds::NameOfArn(*arn), sources), from, to, timeout);
  if (!data) co_return data.error();
  AuroraLag lag;
  const auto take = [&lag](const std::optional<cloudwatch::Datum>& datum, std::optional<Duration>& into) {
    if (!datum || datum->value < 0) return;
    into = Duration(static_cast<Duration::rep>(datum->value * 1e6));  // milliseconds
    if (!lag.at || datum->at < *lag.at) lag.at = datum->at;
  };
  take(NewestOf(*data, 0), lag.rpo);
  take(NewestOf(*data, 1), lag.replication);
  co_return lag;
}

Task<Result<bool>> AuroraGlobal::SwitchOver(RegionName target, Duration timeout) {
  const Instant began = clock_.Now();
  const Result<std::string> arn = ArnOf(target);
  if (!arn) co_return arn.error();
  Result<rds::GlobalCluster> global = co_await Look(target, timeout);
  if (!global) co_return global.error();
  const WriterMove move = MoveOf(*global, *arn);
  if (move == WriterMove::kDone || move == WriterMove::kUnderWay) co_return false;
  const std::string source_arn = WriterOf(*global);
  const RegionName source(rds::RegionOfArn(source_arn));
  if (source.empty()) co_return Refused("global database '" + database_.id + "' has no writer to switch over from");
  Result<rds::DbCluster> from =
      co_await rds::DescribeDbCluster(client_, source.text, rds::NameOfArn(source_arn), Left(clock_, began, timeout));
  if (!from) co_return from.error();
  Result<rds::DbCluster> to = co_await LookAtCluster(target, Left(clock_, began, timeout));
  if (!to) co_return to.error();
  if (const Result<Unit> may = MaySwitchOver(*global, *from, *to); !may) co_return may.error();
  // SAFETY: the only request of this function that changes something is the one that cannot lose a write.
  Result<rds::GlobalCluster> taken =
      co_await rds::SwitchoverGlobalCluster(client_, source.text, database_.id, *arn, Left(clock_, began, timeout));
  if (!taken) co_return taken.error();
  log_.Info("AWS has taken the switchover on", {{"global_database", database_.id}, {"target", target.text}});
  co_return true;
}

Task<Result<bool>> AuroraGlobal::FailOver(RegionName target, LossConsent consent, Duration timeout) {
  const Instant began = clock_.Now();
  const Result<std::string> arn = ArnOf(target);
  if (!arn) co_return arn.error();
  if (consent.by.empty()) co_return Refused("nobody has said that writes may be lost");
  Result<rds::GlobalCluster> global = co_await Look(target, timeout);
  if (!global) co_return global.error();
  const WriterMove move = MoveOf(*global, *arn);
  if (move == WriterMove::kDone) co_return false;
  // A switchover that is under way may wait for ever for the region that was lost: until the roles have changed only a failover
  // counts as under way.
  const bool planned = global->failover ? !global->failover->data_loss_allowed : global->status == "switching-over";
  if (move == WriterMove::kUnderWay && (!planned || WriterOf(*global) == *arn)) co_return false;
  Result<rds::DbCluster> to = co_await LookAtCluster(target, Left(clock_, began, timeout));
  if (!to) co_return to.error();
  if (const Result<Unit> may = MayFailOver(*global, *to); !may) co_return may.error();
  log_.Warn(
      "a failover that may lose writes is asked of AWS",
      {{"global_database", database_.id}, {"target", target.text}, {"execution", consent.execution.text}, {"by", consent.by}});
  Result<rds::GlobalCluster> taken =
      co_await rds::FailoverGlobalClusterAllowDataLoss(client_, target.text, database_.id, *arn, Left(clock_, began, timeout));
  if (!taken) co_return RefusalOf(taken.error());
  co_return true;
}

Task<Result<bool>> AuroraGlobal::Detach(RegionName target, LossConsent consent, Duration timeout) {
  const Instant began = clock_.Now();
  const Result<std::string> arn = ArnOf(target);
  if (!arn) co_return arn.error();
  if (consent.by.empty()) co_return Refused("nobody has said that writes may be lost");
  Result<rds::GlobalCluster> global = co_await Look(target, timeout);
  if (!global && global.error().retry != Retry::kNotFound) co_return global.error();
  if (!global || MemberOf(*global, *arn) == nullptr) co_return false;
  // SAFETY: the writer cut loose would leave the service with two histories and no word of it.
  if (MemberOf(*global, *arn)->is_writer) co_return Refused("cluster '" + *arn + "' is the writer: it is not cut loose");
  Result<rds::DbCluster> to = co_await LookAtCluster(target, Left(clock_, began, timeout));
  if (!to) co_return to.error();
  if (to->instances.empty()) {
    co_return Refused("cluster '" + to->id + "' has no instance: it could not be connected to", "add an instance to it first");
  }
  log_.Warn(
      "a secondary is cut out of its global database; nothing stops the old writer",
      {{"global_database", database_.id}, {"target", target.text}, {"execution", consent.execution.text}, {"by", consent.by}});
  Result<Unit> removed =
      co_await rds::RemoveFromGlobalCluster(client_, target.text, database_.id, *arn, Left(clock_, began, timeout));
  if (!removed) co_return removed.error();
  co_return true;
}

Task<Result<Unit>> AuroraGlobal::Await(RegionName target, Duration timeout) {
  const Result<std::string> arn = ArnOf(target);
  if (!arn) co_return arn.error();
  const Instant began = clock_.Now();
  std::string seen = "nothing was seen yet";
  while (true) {
    Result<rds::GlobalCluster> global = co_await Look(target, Left(clock_, began, timeout));
    if (global.ok()) {
      const WriterMove move = MoveOf(*global, *arn);
      seen = std::string("the move is ") + ToString(move) + ", the global database '" + global->status + "'";
      if (move == WriterMove::kCancelling) co_return Refused("AWS takes the move of '" + database_.id + "' back");
      if (move == WriterMove::kElsewhere) {
        co_return Refused("AWS moves the writer of '" + database_.id + "' to '" + global->failover->to_arn + "'");
      }
      if (move == WriterMove::kDone) {
        Result<rds::DbCluster> cluster = co_await LookAtCluster(target, Left(clock_, began, timeout));
        if (cluster.ok() && TakesConnections(cluster->status) && HasWriter(*cluster)) co_return Done();
        seen = cluster.ok() ? "cluster '" + cluster->id + "' is '" + cluster->status + "'" : cluster.error().message;
      }
    } else if (global.error().retry != Retry::kRetry) {
      co_return global.error();
    } else {
      seen = global.error().message;
    }
    if (AgeAt(began, clock_.Now()) + poll_ >= timeout) {
      co_return RetryLater("the writer of '" + database_.id + "' is not in '" + target.text + "' after " + FormatDuration(timeout) +
                           ": " + seen);
    }
    co_await clock_.Sleep(poll_);
  }
}

Task<Result<Unit>> AuroraGlobal::AwaitDetached(RegionName target, Duration timeout) {
  const Result<std::string> arn = ArnOf(target);
  if (!arn) co_return arn.error();
  const Instant began = clock_.Now();
  std::string seen;
  while (true) {
    Result<rds::GlobalCluster> global = co_await Look(target, Left(clock_, began, timeout));
    const bool gone = global.ok() ? MemberOf(*global, *arn) == nullptr : global.error().retry == Retry::kNotFound;
    if (gone) {
      Result<rds::DbCluster> cluster = co_await LookAtCluster(target, Left(clock_, began, timeout));
      if (cluster.ok() && TakesConnections(cluster->status) && HasWriter(*cluster)) co_return Done();
      seen = cluster.ok() ? "cluster '" + cluster->id + "' is '" + cluster->status + "'" : cluster.error().message;
    } else {
      seen = global.ok() ? "it is still a member" : global.error().message;
    }
    if (AgeAt(began, clock_.Now()) + poll_ >= timeout) {
      co_return RetryLater("the cluster of '" + target.text + "' does not stand alone after " + FormatDuration(timeout) + ": " +
                           seen);
    }
    co_await clock_.Sleep(poll_);
  }
}

Task<Result<FencingWord>> AuroraGlobal::ReadFencing(RegionName source, std::vector<RegionName> asked, WallTime from,
                                                    Duration timeout) {
  const Instant began = clock_.Now();
  const Result<std::string> arn = ArnOf(source);
  if (!arn) co_return arn.error();
  const std::string name = rds::NameOfArn(*arn);
  from.ns += client_.ahead().count();
  FencingWord word;
  std::optional<Error> problem;
  for (std::size_t at = 0; at < asked.size(); ++at) {
    // These are events of instances; a region that does not answer costs its share of the time and no more.
    const Duration share = Left(clock_, began, timeout) / static_cast<int>(asked.size() - at);
    Result<std::vector<rds::Event>> events = co_await rds::DescribeEvents(client_, asked[at].text, "db-instance", from, share);
    if (!events) {
      problem = events.error();
      continue;
    }
    const FencingWord said = FencingIn(*events, name);
    if (said.fencing == Fencing::kNoWord) continue;
    // SAFETY: of two words the worse one counts: what timed out once may have taken writes until the other came.
    if (word.fencing != Fencing::kTimedOut) word = said;
  }
  if (word.fencing == Fencing::kNoWord && problem) co_return *problem;
  co_return word;
}

Task<Result<std::optional<std::string>>> AuroraGlobal::KeepLostWrites(RegionName source, WallTime from, Duration timeout) {
  const Instant began = clock_.Now();
  const Result<std::string> arn = ArnOf(source);
  if (!arn) co_return arn.error();
  Result<std::vector<rds::Snapshot>> snapshots =
      co_await rds::DescribeClusterSnapshots(client_, source.text, rds::NameOfArn(*arn), timeout);
  if (!snapshots) co_return snapshots.error();
  std::optional<std::string> kept;
  if (from.ns > 0) from.ns += client_.ahead().count();  // 0: any of them
  const rds::Snapshot* lost = SnapshotOfLostWrites(*snapshots, rds::NameOfArn(*arn), from);
  if (lost == nullptr) co_return kept;
  const std::string name = NameOfKeptSnapshot(*lost);
  for (const rds::Snapshot& snapshot : *snapshots) {
    if (snapshot.id == name) kept = snapshot.arn;
  }
  if (kept) co_return kept;
  if (lost->status != kAvailable) {
    co_return RetryLater("the snapshot of the lost writes, '" + lost->id + "', is '" + lost->status + "' yet");
  }
  Result<rds::Snapshot> copy =
      co_await rds::CopyClusterSnapshot(client_, source.text, lost->id, name, Left(clock_, began, timeout));
  if (!copy) co_return copy.error();
  kept = copy->arn;
  co_return kept;
}

}  // namespace lifeboat::aws
