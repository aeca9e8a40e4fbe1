#pragma once

// The door to compute (ports/compute.h) over Auto Scaling groups, ECS services and EKS node groups. Whether enough of them serve is
// judged by the load balancer's own health checks where a target group is named for the region; the scaling call's word, and the
// group's, only say that machines exist. Thread rule: as Client.

#include <memory>
#include <vector>

#include "adapters/aws/client.h"
#include "adapters/aws/compute_groups.h"
#include "config/aws_settings.h"
#include "ports/compute.h"

namespace lifeboat::aws {

class AwsCompute final : public Compute {
 public:
  /// `client` and `clock` outlive it. `poll`: between two looks of Await.
  AwsCompute(Client& client, AwsComputeSettings settings, Clock& clock, Log log, Duration poll = 5s);

  [[nodiscard]] std::string name() const override { return settings_.name; }
  [[nodiscard]] unsigned share() const override { return settings_.share; }
  [[nodiscard]] Duration patience() const override { return settings_.timeout; }
  Task<Result<ComputeState>> Look(RegionName region, Duration timeout) override;
  Task<Result<ComputeNote>> Prepare(RegionName region, std::uint64_t wanted, Duration timeout) override;
  Task<Result<Unit>> ScaleUp(ComputeNote note, Duration timeout) override;
  Task<Result<ComputeState>> Await(RegionName region, std::uint64_t wanted, Duration timeout) override;
  Task<Result<Unit>> PutBack(ComputeNote note, Duration timeout) override;
  Task<Result<std::vector<Readiness>>> Check(RegionName region, std::optional<std::uint64_t> source_ran, Duration timeout) override;

 private:
  struct Seen;
  [[nodiscard]] Result<std::unique_ptr<ComputeGroup>> GroupOf(const RegionName& region) const;
  Task<Result<Seen>> LookWhole(RegionName region, Duration timeout);
  Task<Readiness> CheckQuota(RegionName region, bool fargate, Duration timeout);

  Client& client_;
  AwsComputeSettings settings_;
  Clock& clock_;
  Log log_;
  Duration poll_;
};

/// One door for each that stands in the settings, in their order.
[[nodiscard]] std::vector<std::unique_ptr<Compute>> OpenAwsCompute(Client& client, const std::vector<AwsComputeSettings>& settings,
                                                                   Clock& clock, Log log);

/// `now` grown to what `wanted` needs. Nothing in it is ever smaller.
[[nodiscard]] ComputeSizes Grown(const ComputeSizes& now, std::uint64_t wanted);
/// Each number the larger of the two; bounds that only one of them has are those of `now`.
[[nodiscard]] ComputeSizes LargerOf(const ComputeSizes& now, const ComputeSizes& after);
/// What `now` is to become so that the scaling up of `note` is taken back. @error kRefused: see Compute::PutBack
[[nodiscard]] Result<ComputeSizes> PutBackFrom(const ComputeSizes& now, const ComputeNote& note);

}  // namespace lifeboat::aws
