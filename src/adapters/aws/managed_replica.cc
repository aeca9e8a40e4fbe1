#include <algorithm>
#include <utility>

#include "adapters/aws/managed_database.h"
#include "adapters/aws/managed_internal.h"

namespace lifeboat::aws {

namespace {

constexpr const char* kAvailable = "available";

Duration Left(const Clock& clock, Instant began, Duration timeout) {
  return std::max<Duration>(timeout - AgeAt(began, clock.Now()), 1ms);
}

/// An RDS instance with read replicas. There is no switchover between regions: a promotion is all that RDS has, and it fences
/// nothing.
class ManagedReplica final : public ManagedDatabase {
 public:
  ManagedReplica(Client& client, AwsDatabaseSettings settings, Clock& clock, Log log, Duration poll)
      : client_(client), settings_(std::move(settings)), clock_(clock), replica_(client, clock, std::move(log), poll) {}

  Task<Result<ManagedView>> Look(RegionName asked, Duration timeout) override {
    const std::string id = IdOf(asked);
    auto instance = co_await rds::DescribeDbInstance(client_, asked.text, id, timeout);
    if (!instance.ok()) co_return instance.error();
    co_return ViewOf(settings_, asked, *instance);
  }

  [[nodiscard]] Duration CloudAhead() const override { return client_.ahead(); }

  Task<Result<ManagedLag>> Lag(RegionName secondary, Duration timeout) override {
    const std::string id = IdOf(secondary);
    auto lag = co_await replica_.Lag(secondary, id, timeout);
    if (!lag.ok()) co_return lag.error();
    ManagedLag known;
    if (lag->lag && lag->at) {
      known.time = lag->lag;
      known.at = lag->at;
    }
    co_return known;
  }

  Task<Result<std::string>> Preflight(RegionName target, Duration) override {
    // SAFETY: nothing here can stop the old primary, so nothing here can promise that nothing is lost.
    co_return Refused("RDS has no switchover of a read replica without loss: a promotion to '" + target.text +
                          "' stops nothing of the old primary",
                      "stop your applications, see the lag at 0, then: lifeboat failover --to " + target.text + " --accept-loss");
  }
  Task<Result<bool>> SwitchOver(RegionName target, Duration timeout) override {
    auto refused = co_await Preflight(target, timeout);
    co_return refused.error();
  }

  [[nodiscard]] bool FailOverSplits() const override { return true; }
  Task<Result<bool>> FailOver(RegionName target, ManagedConsent consent, Duration timeout) override {
    const std::string id = IdOf(target);
    LossConsent said{consent.execution, consent.by};
    co_return co_await replica_.Promote(target, id, settings_.backup_days, std::move(said), timeout);
  }
  Task<Result<bool>> Detach(RegionName target, ManagedConsent consent, Duration timeout) override {
    co_return co_await FailOver(target, std::move(consent), timeout);
  }
  Task<Result<Unit>> Await(RegionName target, bool, Duration timeout) override {
    const std::string id = IdOf(target);
    auto promoted = co_await replica_.AwaitPromoted(target, id, timeout);
    if (!promoted.ok()) co_return promoted.error();
    co_return Done();
  }

  Task<Result<ManagedFenceWord>> ReadFencing(RegionName, RegionName, WallTime, Duration) override {
    ManagedFenceWord word;
    word.fence = ManagedFence::kNone;
    word.message = "a promotion of RDS stops nothing of the old primary";
    co_return word;
  }
  Task<Result<std::string>> KeepLostWrites(RegionName, WallTime, Duration) override { co_return std::string(); }

  Task<Result<ManagedReturn>> Rejoin(RegionName region, RegionName primary, Duration timeout) override {
    const Instant began = clock_.Now();
    const std::string id = IdOf(region);
    const std::string source_id = IdOf(primary);
    auto source = co_await rds::DescribeDbInstance(client_, primary.text, source_id, timeout);
    if (!source.ok()) co_return source.error();
    ManagedReturn back;
    auto there = co_await rds::DescribeDbInstance(client_, region.text, id, Left(clock_, began, timeout));
    if (!there.ok() && there.error().retry != Retry::kNotFound) co_return there.error();
    if (there.ok() && there->replica_of == source->arn) {
      back.done = TakesConnections(there->status);
      back.what = "'" + id + "' follows '" + source_id + "' and is '" + there->status + "'";
      co_return back;
    }
    if (there.ok() && there->status == "deleting") co_return RetryLater("'" + id + "' in '" + region.text + "' is being deleted");
    // SAFETY: whatever follows nobody may hold writes that were lost: nobody but a person removes it.
    if (there.ok()) {
      back.by_person = true;
      back.what = "'" + id + "' in '" + region.text + "' does not follow '" + source_id +
                  "' and may hold writes that were lost: save what you need of it, "
                  "then rename or delete it";
      co_return back;
    }
    // RDS refuses a replica of a source that is at work on something.
    if (source->status != kAvailable)
      co_return RetryLater("'" + source_id + "' is '" + source->status + "', and a replica is made of it once it is available");
    if (!source->kms_key.empty() && !settings_.kms_keys.contains(region)) {
      back.by_person = true;
      back.what = "'" + source_id + "' is encrypted, and 'aws.database.kms_keys' names no key of '" + region.text +
                  "': name one, or make the replica '" + id + "' there with it";
      co_return back;
    }
    rds::ReadReplica replica = ShapeOf(region, *source);
    replica.id = id;
    auto sent = co_await replica_.Rebuild(region, std::move(replica), Left(clock_, began, timeout));
    if (!sent.ok()) co_return sent.error();
    back.what = "a replica '" + id + "' of '" + source_id + "' is being made in '" + region.text + "'";
    co_return back;
  }

  Task<Result<std::vector<Readiness>>> Check(Duration timeout) override {
    std::vector<Readiness> lines;
    const Duration share = timeout / static_cast<int>(settings_.members.size());
    std::vector<RegionName> regions;
    for (const auto& [region, id] : settings_.members) regions.push_back(region);
    std::size_t primaries = 0;
    for (const RegionName& region : regions) {
      const std::string id = IdOf(region);
      auto instance = co_await rds::DescribeDbInstance(client_, region.text, id, share);
      if (!instance.ok()) {
        lines.push_back({"unknown", "'" + id + "' in '" + region.text + "' could not be looked at: " + instance.error().message,
                         instance.error().hint});
        continue;
      }
      primaries += instance->replica_of.empty() ? 1 : 0;
      const bool good = instance->status == kAvailable;
      lines.push_back({good ? "ok" : "fault",
                       "'" + id + "' in '" + region.text + "' is '" + instance->status + "', version " + instance->engine_version +
                           ", " + (instance->replica_of.empty() ? "a primary" : "a replica of '" + instance->replica_of + "'"),
                       good ? "" : "a replica that is not available cannot be promoted"});
      if (!instance->kms_key.empty() && !settings_.kms_keys.contains(region))
        lines.push_back({"fault", "'" + id + "' is encrypted, and 'aws.database.kms_keys' names no key of '" + region.text + "'",
                         "a rejoin could make no replica there: name a key of that region"});
      if (instance->replica_of.empty() && instance->backup_days == 0)
        lines.push_back(
            {"fault", "'" + id + "' keeps no automated backups", "without them it can have no replica in another region"});
    }
    if (primaries > 1)
      lines.push_back({"fault", std::to_string(primaries) + " instances follow nobody",
                       "lifeboat status says which is the writer; bring the others back: lifeboat rejoin"});
    lines.push_back({"ok", "RDS has no word about the old primary: a promotion stops nothing of it", ""});
    co_return lines;
  }

 private:
  /// What a replica in `region` is made with.
  [[nodiscard]] rds::ReadReplica ShapeOf(const RegionName& region, const rds::DbInstance& source) const {
    const auto of = [&region](const std::map<RegionName, std::string>& map) {
      const auto found = map.find(region);
      return found == map.end() ? std::string() : found->second;
    };
    rds::ReadReplica replica;
    replica.source_arn = source.arn;
    replica.instance_class = source.instance_class;
    replica.multi_az = source.multi_az;
    if (!source.kms_key.empty()) replica.kms_key = of(settings_.kms_keys);  // RDS refuses one where the source has none
    replica.subnet_group = of(settings_.subnet_groups);
    replica.parameter_group = of(settings_.parameter_groups);
    std::string word;
    for (const char c : of(settings_.security_groups) + ",") {
      if (c != ',' && c != ' ') word += c;
      if (c == ',' && !word.empty()) replica.security_groups.push_back(std::exchange(word, {}));
    }
    return replica;
  }
  [[nodiscard]] std::string IdOf(const RegionName& region) const {
    const auto found = settings_.members.find(region);
    return found == settings_.members.end() ? std::string() : found->second;
  }
  Client& client_;
  AwsDatabaseSettings settings_;
  Clock& clock_;
  RdsReplica replica_;
};

}  // namespace

std::unique_ptr<ManagedDatabase> OpenManagedReplica(Client& client, AwsDatabaseSettings settings, Clock& clock, Log log,
                                                    Duration poll) {
  return std::make_unique<ManagedReplica>(client, std::move(settings), clock, std::move(log), poll);
}

std::unique_ptr<ManagedDatabase> OpenManagedDatabase(Client& client, AwsDatabaseSettings settings, Clock& clock, Log log,
                                                     Duration poll) {
  if (settings.kind == AwsDatabaseKind::kRdsReplica)
    return OpenManagedReplica(client, std::move(settings), clock, std::move(log), poll);
  return OpenManagedAurora(client, std::move(settings), clock, std::move(log), poll);
}

ManagedView ViewOf(const AwsDatabaseSettings& settings, const RegionName& asked, const rds::DbInstance& instance) {
  ManagedView view;
  view.asked = asked;
  for (const auto& [region, id] : settings.members) view.copies[region].id = id;
  ManagedCopy& own = view.copies[asked];
  own.status = instance.status;
  own.version = instance.engine_version;
  own.instances = 1;
  if (instance.replica_of.empty()) {
    own.role = ManagedRole::kWriter;
    view.writer = asked;
    return view;
  }
  own.role = ManagedRole::kSecondary;
  for (const auto& [region, id] : settings.members) {
    const bool same = rds::RegionOfArn(instance.replica_of) == region.text && rds::NameOfArn(instance.replica_of) == id;
    if (!same) continue;
    own.follows = region;
    view.copies[region].role = ManagedRole::kWriter;
    view.writer = region;
  }
  // SAFETY: whatever else it follows is not this service's database, and a promotion of it would not be either.
  if (own.follows.empty()) own.follows = RegionName(instance.replica_of);
  return view;
}

}  // namespace lifeboat::aws
