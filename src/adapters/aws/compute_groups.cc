#include "adapters/aws/compute_groups.h"

#include <algorithm>

#include "adapters/aws/application_autoscaling.h"
#include "adapters/aws/autoscaling.h"
#include "adapters/aws/ecs.h"
#include "adapters/aws/eks.h"

namespace lifeboat::aws {

namespace {

Duration Left(const Clock& clock, Instant began, Duration timeout) {
  return std::max<Duration>(timeout - AgeAt(began, clock.Now()), 1ms);
}

/// Processes of Auto Scaling without which a larger size is only a number.
bool Matters(const std::string& process) { return process == "Launch" || process == "AddToLoadBalancer"; }

class AutoScalingGroup final : public ComputeGroup {
 public:
  AutoScalingGroup(Client& client, std::string region, std::string name)
      : client_(client), region_(std::move(region)), name_(std::move(name)) {}
  [[nodiscard]] std::string words() const override { return "auto scaling group '" + name_ + "' in '" + region_ + "'"; }
  [[nodiscard]] bool counts_instances() const override { return true; }

  Task<Result<GroupLook>> Look(Duration timeout) override {
    Result<autoscaling::Group> group = co_await autoscaling::DescribeGroup(client_, region_, name_, timeout);
    if (!group) co_return group.error();
    GroupLook look;
    look.sizes = ComputeSizes{group->sizes.least, group->sizes.desired, group->sizes.most};
    look.running = group->in_service;
    look.target_groups = group->target_groups;
    for (const std::string& process : group->suspended) {
      if (Matters(process)) look.faults.push_back("its process '" + process + "' is suspended");
    }
    if (!group->status.empty()) look.faults.push_back("its status is '" + group->status + "'");
    co_return look;
  }
  Task<Result<Unit>> Set(ComputeSizes sizes, Duration timeout) override {
    const autoscaling::Sizes wanted{sizes.least.value_or(0), sizes.desired, sizes.most.value_or(sizes.desired)};
    co_return co_await autoscaling::Resize(client_, region_, name_, wanted, timeout);
  }
  Task<std::string> WhyNot(Duration timeout) override {
    Result<std::string> words = co_await autoscaling::LastFailure(client_, region_, name_, timeout);
    co_return words.ok() ? *words : std::string();
  }

 private:
  Client& client_;
  std::string region_;
  std::string name_;
};

class EcsService final : public ComputeGroup {
 public:
  EcsService(Client& client, std::string region, std::string cluster, std::string service, const Clock& clock)
      : client_(client), region_(std::move(region)), cluster_(std::move(cluster)), service_(std::move(service)), clock_(clock) {}
  [[nodiscard]] std::string words() const override {
    return "ECS service '" + service_ + "' of cluster '" + cluster_ + "' in '" + region_ + "'";
  }
  [[nodiscard]] bool counts_instances() const override { return false; }

  Task<Result<GroupLook>> Look(Duration timeout) override {
    const Instant began = clock_.Now();
    Result<ecs::Service> service = co_await ecs::DescribeService(client_, region_, cluster_, service_, timeout);
    if (!service) co_return service.error();
    Result<std::optional<application_autoscaling::Bounds>> bounds =
        co_await application_autoscaling::DescribeBounds(client_, region_, cluster_, service_, Left(clock_, began, timeout));
    if (!bounds) co_return bounds.error();
    GroupLook look;
    look.sizes.desired = service->desired;
    if (*bounds) {
      look.sizes.least = (*bounds)->least;
      look.sizes.most = (*bounds)->most;
    }
    look.running = service->running;
    look.target_groups = service->target_groups;
    look.fargate = service->launch_type == "FARGATE";
    if (service->status != "ACTIVE") look.faults.push_back("its status is '" + service->status + "'");
    if (service->daemon) look.faults.push_back("it runs one task on each machine: it has no count");
    co_return look;
  }
  Task<Result<Unit>> Set(ComputeSizes sizes, Duration timeout) override {
    const Instant began = clock_.Now();
    if (sizes.least && sizes.most) {
      // The bounds first: a count outside of them would be scaled back at once.
      const application_autoscaling::Bounds bounds{*sizes.least, *sizes.most};
      Result<Unit> set = co_await application_autoscaling::SetBounds(client_, region_, cluster_, service_, bounds, timeout);
      if (!set) co_return set.error();
    }
    co_return co_await ecs::SetDesiredCount(client_, region_, cluster_, service_, sizes.desired, Left(clock_, began, timeout));
  }
  Task<std::string> WhyNot(Duration timeout) override {
    Result<ecs::Service> service = co_await ecs::DescribeService(client_, region_, cluster_, service_, timeout);
    co_return service.ok() ? service->last_message : std::string();
  }

 private:
  Client& client_;
  std::string region_;
  std::string cluster_;
  std::string service_;
  const Clock& clock_;
};

class EksNodegroup final : public ComputeGroup {
 public:
  EksNodegroup(Client& client, std::string region, std::string cluster, std::string name, const Clock& clock)
      : client_(client), region_(std::move(region)), cluster_(std::move(cluster)), name_(std::move(name)), clock_(clock) {}
  [[nodiscard]] std::string words() const override {
    return "node group '" + name_ + "' of cluster '" + cluster_ + "' in '" + region_ + "'";
  }
  [[nodiscard]] bool counts_instances() const override { return true; }

  Task<Result<GroupLook>> Look(Duration timeout) override {
    const Instant began = clock_.Now();
    Result<eks::Nodegroup> group = co_await eks::DescribeNodegroup(client_, region_, cluster_, name_, timeout);
    if (!group) co_return group.error();
    GroupLook look;
    look.sizes = ComputeSizes{group->sizes.least, group->sizes.desired, group->sizes.most};
    look.faults = group->issues;
    if (group->status != "ACTIVE" && group->status != "UPDATING") look.faults.push_back("its status is '" + group->status + "'");
    // A count that misses a group would be too low or, with none at all, made up: it is not known then.
    std::uint64_t running = 0;
    bool seen = !group->groups.empty();
    for (const std::string& name : group->groups) {
      Result<autoscaling::Group> under = co_await autoscaling::DescribeGroup(client_, region_, name, Left(clock_, began, timeout));
      if (!under) {
        seen = false;
        continue;
      }
      running += under->in_service;
      look.target_groups.insert(look.target_groups.end(), under->target_groups.begin(), under->target_groups.end());
    }
    if (seen) look.running = running;
    co_return look;
  }
  Task<Result<Unit>> Set(ComputeSizes sizes, Duration timeout) override {
    // EKS takes no upper bound of 0.
    const eks::NodegroupSizes wanted{sizes.least.value_or(0), sizes.desired,
                                     std::max<std::uint64_t>(sizes.most.value_or(sizes.desired), 1)};
    co_return co_await eks::ResizeNodegroup(client_, region_, cluster_, name_, wanted, timeout);
  }
  Task<std::string> WhyNot(Duration timeout) override {
    Result<eks::Nodegroup> group = co_await eks::DescribeNodegroup(client_, region_, cluster_, name_, timeout);
    co_return group.ok() && !group->issues.empty() ? group->issues.front() : std::string();
  }

 private:
  Client& client_;
  std::string region_;
  std::string cluster_;
  std::string name_;
  const Clock& clock_;
};

}  // namespace

Result<std::unique_ptr<ComputeGroup>> MakeComputeGroup(Client& client, AwsComputeKind kind, std::string region,
                                                       const std::string& name, const Clock& clock) {
  std::unique_ptr<ComputeGroup> group;
  if (kind == AwsComputeKind::kAutoScaling) {
    group = std::make_unique<AutoScalingGroup>(client, std::move(region), name);
    return group;
  }
  const bool ecs = kind == AwsComputeKind::kEcs;
  const std::size_t slash = name.find('/');
  if (slash == std::string::npos || slash == 0 || slash + 1 == name.size()) {
    return Fail("'" + name + "' is not written as 'cluster/" + (ecs ? "service'" : "nodegroup'"),
                "write both, with a slash between");
  }
  std::string cluster = name.substr(0, slash);
  std::string rest = name.substr(slash + 1);
  if (ecs) {
    group = std::make_unique<EcsService>(client, std::move(region), std::move(cluster), std::move(rest), clock);
  } else {
    group = std::make_unique<EksNodegroup>(client, std::move(region), std::move(cluster), std::move(rest), clock);
  }
  return group;
}

}  // namespace lifeboat::aws
