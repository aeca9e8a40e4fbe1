#pragma once

// The door to objects (ports/objects.h) over S3: replication as the buckets' own configuration says it, canaries that are put into
// one bucket and looked for in the other, CloudWatch's counts, and the routes of a multi-region access point.
//
//   what                              where it is asked     with the source's region lost
//   rule, versioning, KMS             source                not seen, and said so
//   versioning, KMS of the target     target                seen
//   canary that arrived last          target                seen: how far the copying had come
//   pending operations, latency       target's CloudWatch   seen, best effort
//   failed operations                 source's CloudWatch   not seen, and said so
//   routes of the access point        five regions          the named one is asked last
//
// Thread rule: as Client.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "adapters/aws/client.h"
#include "adapters/aws/s3.h"
#include "adapters/aws/s3control.h"
#include "config/aws_settings.h"
#include "ports/objects.h"

namespace lifeboat::aws {

class AwsObjects final : public Objects {
 public:
  /// `client` and `clock` outlive it. `poll`: between two looks of AwaitCanary and RouteTo.
  AwsObjects(Client& client, AwsObjectsSettings settings, Clock& clock, Log log, Duration poll = 5s);

  [[nodiscard]] std::string name() const override { return settings_.name; }
  [[nodiscard]] bool has_access_point() const override { return !settings_.access_point.empty(); }
  [[nodiscard]] Duration canary_every() const override { return settings_.canary_every; }
  Task<Result<ReplicationLook>> Look(RegionName from, RegionName to, Duration timeout) override;
  Task<Result<CanaryObject>> PutCanary(RegionName from, Duration timeout) override;
  Task<Result<CanaryArrival>> AwaitCanary(CanaryObject canary, RegionName to, Duration timeout) override;
  Task<Result<std::optional<WallTime>>> NewestArrival(RegionName from, RegionName to, Duration timeout) override;
  Task<Result<ReplicationBacklog>> Backlog(RegionName from, RegionName to, Duration timeout) override;
  Task<Result<std::vector<ObjectRoute>>> Routes(RegionName avoid, Duration timeout) override;
  Task<Result<Unit>> RouteTo(RegionName to, RegionName avoid, Duration timeout) override;
  Task<Result<std::vector<Readiness>>> Check(RegionName from, RegionName to, Duration canary_age, Duration timeout) override;

 private:
  [[nodiscard]] Result<s3::Bucket> BucketOf(const RegionName& region) const;
  [[nodiscard]] std::string CanaryKey(const RegionName& from) const;
  Task<Result<std::vector<s3control::Route>>> ReadRoutes(RegionName avoid, Duration timeout);
  Task<std::vector<Readiness>> CheckArrivals(RegionName from, RegionName to, Duration canary_age, Duration timeout);
  Task<std::vector<Readiness>> CheckBacklog(RegionName from, RegionName to, Duration timeout);
  Task<std::vector<Readiness>> CheckRoutes(RegionName from, RegionName to, Duration timeout);

  Client& client_;
  AwsObjectsSettings settings_;
  Clock& clock_;
  Log log_;
  Duration poll_;
  std::map<std::pair<RegionName, RegionName>, std::string> rules_;  ///< id of the rule between two regions, as last seen
};

/// One door for each that stands in the settings, in their order.
[[nodiscard]] std::vector<std::unique_ptr<Objects>> OpenAwsObjects(Client& client, const std::vector<AwsObjectsSettings>& settings,
                                                                   Clock& clock, Log log);

/// The rule of the source that carries objects under `prefix` to `target` best: on before off, all of the prefix before a part.
/// Nothing: none leads there.
[[nodiscard]] const s3::ReplicationRule* RuleFor(const std::vector<s3::ReplicationRule>& rules, const std::string& target,
                                                 const std::string& prefix);
/// Every object under `prefix` falls under the rule, as far as keys and tags go.
[[nodiscard]] bool Covers(const s3::ReplicationRule& rule, const std::string& prefix);
/// Lines for `lifeboat check` of how the copying of `words` is set up.
[[nodiscard]] std::vector<Readiness> LinesOf(const std::string& words, const ReplicationLook& look, const RegionName& to);

}  // namespace lifeboat::aws
