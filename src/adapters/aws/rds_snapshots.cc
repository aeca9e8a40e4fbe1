#include "adapters/aws/rds_snapshots.h"

#include <array>
#include <charconv>
#include <optional>

#include "base/types.h"

namespace lifeboat::aws {

namespace {

constexpr const char* kAvailable = "available";
constexpr Duration kLater = std::chrono::hours(1);  // a run that was suspended may still remove what it made

/// States from which RDS does not come back by itself. @source RDS User Guide, "Viewing Amazon RDS DB instance status"
bool GivenUp(const std::string& status) {
  constexpr std::array<std::string_view, 4> kStates{"failed", "inaccessible-encryption-credentials", "storage-full",
                                                    "restore-error"};
  for (const std::string_view state : kStates) {
    if (status == state) return true;
  }
  return status.starts_with("incompatible-");
}

std::optional<std::int64_t> SecondsIn(const std::string& text) {
  std::int64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || problem != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string InstanceOf(const std::string& cluster) { return cluster + "-1"; }

}  // namespace

TemporaryRestores::TemporaryRestores(Client& client, Clock& clock, Log log, TemporaryOptions options)
    : client_(client), clock_(clock), log_(std::move(log)), options_(std::move(options)) {}

std::string TemporaryRestores::NewName() { return rds::kTemporaryPrefix + RandomHex(6); }

Task<Result<rds::Tagged>> TemporaryRestores::Await(std::string region, std::string id, bool is_cluster, Instant began) {
  while (true) {
    Result<rds::Tagged> look = co_await rds::LookAt(client_, region, id, is_cluster, options_.call);
    if (look.ok() && (look->status == kAvailable || GivenUp(look->status))) co_return look;
    if (!look && look.error().retry != Retry::kRetry) co_return look.error();
    const std::string seen = look.ok() ? "it is '" + look->status + "'" : look.error().message;
    Tell("restoring " + id + ": " + seen);
    if (Cancelled()) co_return RetryLater("cancelled while '" + id + "' was restored");
    if (AgeAt(began, clock_.Now()) + options_.poll >= options_.patience) {
      co_return RetryLater("'" + id + "' is not available after " + FormatDuration(options_.patience) + ": " + seen);
    }
    co_await clock_.Sleep(options_.poll);
  }
}

Task<Result<Restored>> TemporaryRestores::Make(rds::StoredSnapshot snapshot, rds::TemporaryShape shape) {
  const Instant began = clock_.Now();
  const std::string region = snapshot.region;
  shape.until =
      WallTime{clock_.Wall().ns + Duration(client_.skew() + options_.patience + options_.remove_patience + kLater).count()};
  log_.Info("a snapshot is restored for a look", {{"snapshot", snapshot.id}, {"region", region}, {"into", shape.id}});
  Result<Unit> begun = Done();
  if (snapshot.of_cluster) {
    begun = co_await rds::RestoreCluster(client_, region, snapshot, shape, options_.call);
  } else {
    begun = co_await rds::RestoreInstance(client_, region, snapshot, shape, options_.call);
  }
  if (!begun) co_return begun.error();
  std::string id = shape.id;
  if (snapshot.of_cluster) {
    rds::TemporaryShape instance = shape;
    instance.id = InstanceOf(shape.id);
    id = instance.id;
    Result<Unit> added = co_await rds::MakeInstance(client_, region, shape.id, snapshot.engine, std::move(instance), options_.call);
    if (!added) co_return added.error();
  }
  Result<rds::Tagged> seen = co_await Await(region, id, false, began);
  if (seen.ok() && seen->status == kAvailable && snapshot.of_cluster) seen = co_await Await(region, shape.id, true, began);
  if (!seen) co_return seen.error();
  Restored restored;
  restored.available = seen->status == kAvailable;
  restored.status = seen->status;
  restored.address = seen->address;
  restored.port = seen->port;
  restored.took = AgeAt(began, clock_.Now());
  co_return restored;
}

Task<Result<Unit>> TemporaryRestores::RemoveOne(std::string region, std::string id, bool is_cluster) {
  const Instant began = clock_.Now();
  while (true) {
    std::string seen;
    Result<rds::Tagged> look = co_await rds::LookAt(client_, region, id, is_cluster, options_.call);
    if (!look && look.error().retry == Retry::kNotFound) co_return Done();
    if (look.ok() && look->status == "deleting") co_return Done();
    if (look.ok()) {
      // SAFETY: proven anew before every request, from what RDS says of it now.
      const Result<rds::OurOwn> ours = rds::OurOwn::Prove(*look);
      if (!ours) co_return ours.error();
      const Result<Unit> asked = co_await rds::Delete(client_, region, *ours, options_.call);
      seen = asked.ok() ? "it is '" + look->status + "'" : asked.error().message;
      if (asked.ok()) log_.Info("a temporary restore is deleted", {{"id", id}, {"region", region}});
    } else {
      seen = look.error().message;
    }
    Tell("removing " + id + ": " + seen);
    if (AgeAt(began, clock_.Now()) + options_.poll >= options_.remove_patience) {
      co_return RetryLater(
          "'" + id + "' in '" + region + "' is not being deleted after " + FormatDuration(options_.remove_patience) + ": " + seen,
          "it costs money until it is: delete it, or let a later run sweep it");
    }
    co_await clock_.Sleep(options_.poll);
  }
}

Task<Result<Unit>> TemporaryRestores::Remove(std::string region, std::string id, bool of_cluster) {
  if (of_cluster) {
    Result<Unit> instance = co_await RemoveOne(region, InstanceOf(id), false);
    if (!instance) co_return instance.error();
  }
  co_return co_await RemoveOne(region, id, of_cluster);
}

Task<> TemporaryRestores::SweepKind(std::string region, bool clusters, Swept* swept, Result<Unit>* problem) {
  Result<std::vector<rds::Tagged>> all = co_await rds::ListTagged(client_, region, clusters, options_.call);
  if (!all) {
    *problem = all.error();
    co_return;
  }
  const std::int64_t now = (clock_.Wall().ns + Duration(client_.skew()).count()) / 1000000000;
  for (const rds::Tagged& each : *all) {
    if (!each.id.starts_with(rds::kTemporaryPrefix) || each.status == "deleting") continue;
    const Result<rds::OurOwn> ours = rds::OurOwn::Prove(each);
    if (!ours) {
      swept->problems.push_back(ours.error().message);
      continue;
    }
    // SAFETY: before its time is over another run may still use it.
    const std::optional<std::int64_t> until = SecondsIn(each.TagOf(rds::kTemporaryUntil));
    if (!until || *until > now) continue;
    const Result<Unit> removed = co_await RemoveOne(region, each.id, clusters);
    if (removed.ok()) {
      swept->removed.push_back(each.id);
    } else {
      swept->problems.push_back(removed.error().message);
    }
  }
}

Task<Result<Swept>> TemporaryRestores::Sweep(std::string region) {
  Swept swept;
  Result<Unit> problem = Done();
  co_await SweepKind(region, false, &swept, &problem);
  if (problem.ok()) co_await SweepKind(region, true, &swept, &problem);
  if (!problem) co_return problem.error();
  co_return swept;
}

}  // namespace lifeboat::aws
