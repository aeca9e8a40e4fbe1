#include <algorithm>

#include "adapters/aws/managed_database.h"
#include "adapters/aws/managed_internal.h"

namespace lifeboat::aws {

namespace {

Duration Left(const Clock& clock, Instant began, Duration timeout) {
  return std::max<Duration>(timeout - AgeAt(began, clock.Now()), 1ms);
}

class ManagedAurora final : public ManagedDatabase {
 public:
  ManagedAurora(Client& client, AwsDatabaseSettings settings, Clock& clock, Log log, Duration poll)
      : client_(client),
        settings_(std::move(settings)),
        clock_(clock),
        aurora_(client, GlobalDatabase{settings_.global_cluster, settings_.members}, clock, std::move(log), poll) {}

  Task<Result<ManagedView>> Look(RegionName asked, Duration timeout) override {
    const Instant began = clock_.Now();
    auto global = co_await aurora_.Look(asked, timeout);
    // Cut loose, or never part of it: the cluster alone says what it is.
    const bool none = !global.ok() && global.error().retry == Retry::kNotFound;
    if (!global.ok() && !none) co_return global.error();
    auto cluster = co_await aurora_.LookAtCluster(asked, Left(clock_, began, timeout));
    if (!cluster.ok() && cluster.error().retry != Retry::kNotFound) co_return cluster.error();
    std::optional<rds::DbCluster> own;
    if (cluster.ok()) own = *std::move(cluster);
    const rds::GlobalCluster nothing;
    co_return ViewOf(settings_, asked, none ? nothing : *global, own);
  }

  [[nodiscard]] Duration CloudAhead() const override { return client_.ahead(); }

  Task<Result<ManagedLag>> Lag(RegionName secondary, Duration timeout) override {
    auto lag = co_await aurora_.Lag(secondary, timeout);
    if (!lag.ok()) co_return lag.error();
    // SAFETY: the lag of committed transactions is what would be lost; the other one is of storage and may be less.
    ManagedLag known;
    if (lag->rpo && lag->at) {
      known.time = lag->rpo;
      known.at = lag->at;
    }
    co_return known;
  }

  Task<Result<std::string>> Preflight(RegionName target, Duration timeout) override {
    const Instant began = clock_.Now();
    auto global = co_await aurora_.Look(target, timeout);
    if (!global.ok()) co_return Refused("the global database cannot be looked at: " + global.error().message);
    const RegionName source(rds::RegionOfArn(WriterOf(*global)));
    if (source.empty()) co_return Refused("the global database has no writer to switch over from", "look at it in AWS's console");
    auto from = co_await aurora_.LookAtCluster(source, Left(clock_, began, timeout));
    if (!from.ok()) {
      co_return Refused(
          "the writer's region '" + source.text + "' cannot be asked, and a switchover is asked of it: " + from.error().message,
          "if it is lost: lifeboat failover --to " + target.text);
    }
    auto to = co_await aurora_.LookAtCluster(target, Left(clock_, began, timeout));
    if (!to.ok()) co_return Refused("the cluster of '" + target.text + "' cannot be looked at: " + to.error().message);
    const Result<Unit> may = MaySwitchOver(*global, *from, *to);
    if (!may.ok()) co_return may.error();
    std::string text = "both clusters are available with version " + to->engine_version + ", '" + to->id + "' has " +
                       std::to_string(to->instances.size()) + " instance(s)";
    auto lag = co_await aurora_.Lag(target, Left(clock_, began, timeout));
    const bool known = lag.ok() && lag->rpo;
    text += known ? ", its lag is " + FormatDuration(*lag->rpo) : std::string(", its lag is unknown: the move waits for it");
    co_return text;
  }

  Task<Result<bool>> SwitchOver(RegionName target, Duration timeout) override {
    co_return co_await aurora_.SwitchOver(target, timeout);
  }

  Task<Result<bool>> FailOver(RegionName target, ManagedConsent consent, Duration timeout) override {
    LossConsent said{consent.execution, consent.by};
    co_return co_await aurora_.FailOver(target, std::move(said), timeout);
  }

  Task<Result<bool>> Detach(RegionName target, ManagedConsent consent, Duration timeout) override {
    LossConsent said{consent.execution, consent.by};
    co_return co_await aurora_.Detach(target, std::move(said), timeout);
  }

  Task<Result<Unit>> Await(RegionName target, bool detached, Duration timeout) override {
    if (detached) co_return co_await aurora_.AwaitDetached(target, timeout);
    co_return co_await aurora_.Await(target, timeout);
  }

  Task<Result<ManagedFenceWord>> ReadFencing(RegionName source, RegionName target, WallTime from, Duration timeout) override {
    std::vector<RegionName> asked{target, source};
    auto word = co_await aurora_.ReadFencing(source, std::move(asked), from, timeout);
    if (!word.ok()) co_return word.error();
    ManagedFenceWord said;
    said.fence = word->fencing == Fencing::kSucceeded  ? ManagedFence::kSucceeded
                 : word->fencing == Fencing::kTimedOut ? ManagedFence::kTimedOut
                                                       : ManagedFence::kNoWord;
    said.message = word->message;
    said.at = word->at;
    co_return said;
  }

  Task<Result<std::string>> KeepLostWrites(RegionName source, WallTime from, Duration timeout) override {
    auto kept = co_await aurora_.KeepLostWrites(source, from, timeout);
    if (!kept.ok()) co_return kept.error();
    co_return kept->value_or("");
  }

  Task<Result<ManagedReturn>> Rejoin(RegionName region, RegionName primary, Duration timeout) override {
    const Instant began = clock_.Now();
    ManagedReturn back;
    auto global = co_await aurora_.Look(primary, timeout);
    if (!global.ok() && global.error().retry != Retry::kNotFound) co_return global.error();
    if (!global.ok()) {
      back.by_person = true;
      back.what = "there is no global database '" + settings_.global_cluster + "' any more: make one from the cluster of '" +
                  primary.text + "' (CreateGlobalCluster with its ARN), and add a cluster in '" + region.text + "'";
      co_return back;
    }
    const rds::GlobalMember* member = MemberOf(*global, settings_.members.at(region));
    auto cluster = co_await aurora_.LookAtCluster(region, Left(clock_, began, timeout));
    if (!cluster.ok() && cluster.error().retry != Retry::kNotFound) co_return cluster.error();
    if (member != nullptr) {
      const bool connected = member->synchronization.empty() || member->synchronization == "connected";
      back.done = !member->is_writer && cluster.ok() && cluster->status == "available" && connected;
      back.what = "the cluster of '" + region.text + "' is a member again" +
                  (cluster.ok() ? ", '" + cluster->status + "'" : std::string(", and its region does not show it yet")) +
                  (member->synchronization.empty() ? "" : ", '" + member->synchronization + "'");
      co_return back;
    }
    // SAFETY: it may hold the writes that were lost: it is named, and never deleted.
    back.by_person = true;
    back.what =
        cluster.ok()
            ? "cluster '" + cluster->id + "' in '" + region.text +
                  "' is no member of the global database and may hold writes "
                  "that were lost: save what you need of it, rename or delete it, and add a new cluster to the global database"
            : "there is no cluster in '" + region.text + "': add one to the global database '" + settings_.global_cluster + "'";
    co_return back;
  }

  Task<Result<std::vector<Readiness>>> Check(Duration timeout) override {
    std::vector<Readiness> lines;
    std::optional<rds::GlobalCluster> global;
    std::vector<rds::DbCluster> clusters;
    const Duration share = timeout / static_cast<int>(2 * settings_.members.size());
    std::vector<RegionName> regions;
    for (const auto& [region, arn] : settings_.members) regions.push_back(region);
    for (const RegionName& region : regions) {
      auto seen = co_await aurora_.Look(region, share);
      if (seen.ok()) global = *seen;
      auto cluster = co_await aurora_.LookAtCluster(region, share);
      if (cluster.ok()) {
        lines.push_back({"ok",
                         "cluster '" + cluster->id + "' in '" + region.text + "' is '" + cluster->status + "', version " +
                             cluster->engine_version + ", " + std::to_string(cluster->instances.size()) + " instance(s)",
                         ""});
        clusters.push_back(*std::move(cluster));
      } else {
        lines.push_back({"unknown", "the cluster of '" + region.text + "' could not be looked at: " + cluster.error().message,
                         cluster.error().hint});
      }
    }
    if (!global) {
      lines.push_back({"unknown", "no region shows the global database '" + settings_.global_cluster + "'",
                       "see its identifier and the agent's permissions"});
      co_return lines;
    }
    for (const AuroraFinding& finding : FindingsOf(*global, clusters)) lines.push_back({"fault", finding.message, finding.hint});
    co_return lines;
  }

 private:
  Client& client_;
  AwsDatabaseSettings settings_;
  Clock& clock_;
  AuroraGlobal aurora_;
};

}  // namespace

std::unique_ptr<ManagedDatabase> OpenManagedAurora(Client& client, AwsDatabaseSettings settings, Clock& clock, Log log,
                                                   Duration poll) {
  return std::make_unique<ManagedAurora>(client, std::move(settings), clock, std::move(log), poll);
}

ManagedView ViewOf(const AwsDatabaseSettings& settings, const RegionName& asked, const rds::GlobalCluster& global,
                   const std::optional<rds::DbCluster>& cluster) {
  ManagedView view;
  view.asked = asked;
  for (const auto& [region, arn] : settings.members) {
    ManagedCopy& copy = view.copies[region];
    copy.id = rds::NameOfArn(arn);
    const rds::GlobalMember* member = MemberOf(global, arn);
    if (member != nullptr) {
      copy.role = member->is_writer ? ManagedRole::kWriter : ManagedRole::kSecondary;
      if (member->is_writer) view.writer = region;
    } else if (region == asked) {
      // It is there and no member: a database of its own.
      copy.role = cluster ? ManagedRole::kApart : ManagedRole::kAbsent;
    }
    if (region != asked) continue;
    if (!cluster) {
      copy.role = ManagedRole::kAbsent;
      continue;
    }
    copy.status = cluster->status;
    copy.version = cluster->engine_version;
    copy.instances = cluster->instances.size();
  }
  // Cut loose from a writer that is no member any more, or alone in the world: it takes writes of its own.
  const auto own = view.copies.find(asked);
  if (view.writer.empty() && own != view.copies.end() && own->second.role == ManagedRole::kApart) view.writer = asked;
  for (auto& [region, copy] : view.copies) {
    if (copy.role == ManagedRole::kSecondary) copy.follows = view.writer;
  }
  if (global.failover) {
    view.under_way = global.failover->status;
    for (const auto& [region, arn] : settings.members) {
      if (arn == global.failover->to_arn) view.moving_to = region;
    }
  } else if (!global.status.empty() && global.status != "available") {
    view.under_way = global.status;
  }
  return view;
}

}  // namespace lifeboat::aws
