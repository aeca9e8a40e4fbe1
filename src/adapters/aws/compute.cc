#include "adapters/aws/compute.h"

#include <algorithm>

#include "adapters/aws/check_lines.h"
#include "adapters/aws/elbv2.h"

namespace lifeboat::aws {

namespace {

Duration Left(const Clock& clock, Instant began, Duration timeout) {
  return std::max<Duration>(timeout - AgeAt(began, clock.Now()), 1ms);
}

std::string WordsOf(const ComputeSizes& sizes) {
  std::string words = std::to_string(sizes.desired);
  if (sizes.least && sizes.most) words += " (of " + std::to_string(*sizes.least) + " to " + std::to_string(*sizes.most) + ")";
  return words;
}

/// Bounds as the scaling up left them, or as they were before it.
bool IsOurs(const std::optional<std::uint64_t>& now, const std::optional<std::uint64_t>& before,
            const std::optional<std::uint64_t>& after) {
  return now == before || now == after;
}

}  // namespace

ComputeSizes Grown(const ComputeSizes& now, std::uint64_t wanted) {
  ComputeSizes after = now;
  after.desired = std::max(now.desired, wanted);
  if (after.most) after.most = std::max(*after.most, after.desired);
  // What something scales by load must not go away again in the minutes before clients come.
  if (after.least) after.least = std::max(*after.least, wanted);
  return after;
}

ComputeSizes LargerOf(const ComputeSizes& now, const ComputeSizes& after) {
  ComputeSizes target = now;
  target.desired = std::max(now.desired, after.desired);
  if (now.least && after.least) target.least = std::max(*now.least, *after.least);
  if (now.most) target.most = std::max({*now.most, after.most.value_or(0), target.desired});
  return target;
}

Result<ComputeSizes> PutBackFrom(const ComputeSizes& now, const ComputeNote& note) {
  const std::string change = "they are " + WordsOf(now) + ", and the scaling up left " + WordsOf(note.after);
  // SAFETY: what somebody has set since is what carries the load now; it is not cut by a note of yesterday.
  if (!IsOurs(now.least, note.before.least, note.after.least) || !IsOurs(now.most, note.before.most, note.after.most)) {
    return Refused("its sizes have been changed by somebody else: " + change, "set them by hand");
  }
  ComputeSizes target = note.before;
  const bool counted = now.desired == note.after.desired || now.desired == note.before.desired;
  if (counted) return target;
  if (!note.before.most) {
    return Refused("its count has been changed by somebody else: " + change, "set it by hand");
  }
  if (now.desired > *note.before.most) {
    return Refused("its old upper bound of " + std::to_string(*note.before.most) + " would cut what runs: " + change,
                   "set its bounds by hand once the load is gone");
  }
  target.desired = std::max(now.desired, target.least.value_or(0));
  return target;
}

/// One look with all that is known.
struct AwsCompute::Seen {
  std::unique_ptr<ComputeGroup> group;
  GroupLook look;
  ComputeState state;
  std::string balancer;          ///< targets in words, or why they cannot be seen; empty: no target group is named
  std::optional<Error> problem;  ///< of the look at the targets
};

AwsCompute::AwsCompute(Client& client, AwsComputeSettings settings, Clock& clock, Log log, Duration poll)
    : client_(client), settings_(std::move(settings)), clock_(clock), log_(std::move(log)), poll_(poll) {}

Result<std::unique_ptr<ComputeGroup>> AwsCompute::GroupOf(const RegionName& region) const {
  const auto found = settings_.groups.find(region);
  if (found == settings_.groups.end()) {
    return Fail("compute '" + settings_.name + "' has no group in region '" + region.text + "'", "write it in the file");
  }
  return MakeComputeGroup(client_, settings_.kind, region.text, found->second, clock_);
}

Task<Result<AwsCompute::Seen>> AwsCompute::LookWhole(RegionName region, Duration timeout) {
  const Instant began = clock_.Now();
  Result<std::unique_ptr<ComputeGroup>> group = GroupOf(region);
  if (!group) co_return group.error();
  Seen seen;
  seen.group = std::move(*group);
  Result<GroupLook> look = co_await seen.group->Look(timeout);
  if (!look) co_return look.error();
  seen.look = std::move(*look);
  seen.state.sizes = seen.look.sizes;
  seen.state.running = seen.look.running;
  const auto named = settings_.target_groups.find(region);
  if (named == settings_.target_groups.end()) co_return seen;
  Result<std::vector<elbv2::Target>> targets =
      co_await elbv2::DescribeTargetHealth(client_, region.text, named->second, Left(clock_, began, timeout));
  if (targets.ok()) {
    seen.state.healthy = elbv2::HealthyOf(*targets, seen.group->counts_instances());
    seen.balancer = elbv2::WordsOf(*targets);
  } else {
    seen.problem = targets.error();
    seen.balancer = "its targets cannot be seen: " + targets.error().message;
  }
  co_return seen;
}

Task<Result<ComputeState>> AwsCompute::Look(RegionName region, Duration timeout) {
  Result<Seen> seen = co_await LookWhole(std::move(region), timeout);
  if (!seen) co_return seen.error();
  if (seen->problem) co_return *seen->problem;
  co_return seen->state;
}

Task<Result<ComputeNote>> AwsCompute::Prepare(RegionName region, std::uint64_t wanted, Duration timeout) {
  Result<std::unique_ptr<ComputeGroup>> group = GroupOf(region);
  if (!group) co_return group.error();
  Result<GroupLook> look = co_await (*group)->Look(timeout);
  if (!look) co_return look.error();
  ComputeNote note;
  note.region = region;
  note.before = look->sizes;
  note.after = Grown(look->sizes, wanted);
  co_return note;
}

Task<Result<Unit>> AwsCompute::ScaleUp(ComputeNote note, Duration timeout) {
  const Instant began = clock_.Now();
  Result<std::unique_ptr<ComputeGroup>> group = GroupOf(note.region);
  if (!group) co_return group.error();
  Result<GroupLook> look = co_await (*group)->Look(timeout);
  if (!look) co_return look.error();
  // SAFETY: never down: what has grown since the note was written stays.
  const ComputeSizes target = LargerOf(look->sizes, note.after);
  if (target == look->sizes) co_return Done();
  Result<Unit> set = co_await (*group)->Set(target, Left(clock_, began, timeout));
  if (!set) co_return set.error().Within((*group)->words());
  log_.Info(
      "compute is scaled up",
      {{"compute", settings_.name}, {"aws_region", note.region.text}, {"before", ToJson(look->sizes)}, {"after", ToJson(target)}});
  co_return Done();
}

Task<Result<ComputeState>> AwsCompute::Await(RegionName region, std::uint64_t wanted, Duration timeout) {
  const Instant began = clock_.Now();
  const bool by_targets = settings_.target_groups.contains(region);
  std::string last = "nothing was seen yet";
  std::string last_problem;
  std::string words = "compute '" + settings_.name + "' in '" + region.text + "'";
  std::unique_ptr<ComputeGroup> group;
  while (true) {
    Result<Seen> seen = co_await LookWhole(region, Left(clock_, began, timeout));
    if (!seen && seen.error().retry != Retry::kRetry) co_return seen.error();
    std::optional<Error> problem;
    if (seen.ok()) {
      group = std::move(seen->group);
      words = group->words();
      if (!by_targets && !seen->state.running) {
        co_return Fail("how many run in " + words + " cannot be seen", "name the target group of its load balancer");
      }
      problem = seen->problem;
      if (problem && problem->retry != Retry::kRetry) co_return *problem;
      // A load balancer's word counts over the group's: a machine that runs is not yet one that answers.
      const std::optional<std::uint64_t> serving = by_targets ? seen->state.healthy : seen->state.running;
      if (serving && *serving >= wanted) co_return seen->state;
    } else {
      problem = seen.error();
    }
    last_problem = problem ? "; the last look: " + problem->message : std::string();
    if (!problem) {
      last = WordsOf(seen->state.sizes) + " wanted by it";
      if (seen->state.running) last += ", " + std::to_string(*seen->state.running) + " in service";
      if (by_targets) last += ", targets: " + seen->balancer;
    }
    if (AgeAt(began, clock_.Now()) + poll_ >= timeout) break;
    co_await clock_.Sleep(poll_);
  }
  std::string why;
  if (group) why = co_await group->WhyNot(5s);
  co_return RetryLater("fewer than " + std::to_string(wanted) + " of " + words + " serve after " + FormatDuration(timeout) + ": " +
                           last + last_problem + (why.empty() ? "" : "; AWS says '" + why + "'"),
                       "look at its events; go on without, if what serves is enough");
}

Task<Result<Unit>> AwsCompute::PutBack(ComputeNote note, Duration timeout) {
  const Instant began = clock_.Now();
  Result<std::unique_ptr<ComputeGroup>> group = GroupOf(note.region);
  if (!group) co_return group.error();
  Result<GroupLook> look = co_await (*group)->Look(timeout);
  if (!look) co_return look.error();
  const Result<ComputeSizes> target = PutBackFrom(look->sizes, note);
  if (!target) co_return target.error().Within((*group)->words());
  if (*target == look->sizes) co_return Done();
  Result<Unit> set = co_await (*group)->Set(*target, Left(clock_, began, timeout));
  if (!set) co_return set.error().Within((*group)->words());
  log_.Info(
      "compute is put back to the size it had",
      {{"compute", settings_.name}, {"aws_region", note.region.text}, {"before", ToJson(look->sizes)}, {"after", ToJson(*target)}});
  co_return Done();
}

namespace {

/// Lines of what was seen of the group, against what is wanted of it.
std::vector<Readiness> LinesOf(const std::string& words, const GroupLook& look, const ComputeState& state,
                               std::optional<std::uint64_t> source_ran, unsigned share) {
  std::vector<Readiness> lines;
  for (const std::string& fault : look.faults)
    lines.push_back(Fault(words + ": " + fault, "it cannot grow as it is: put it right"));
  if (state.running && *state.running < state.sizes.desired) {
    lines.push_back(Fault(
        words + " runs " + std::to_string(*state.running) + " of the " + std::to_string(state.sizes.desired) + " that it wants",
        "look at its events"));
  }
  if (!state.running) {
    lines.push_back(Unknown("how many run in " + words + " cannot be seen", "name the target group of its load balancer"));
  }
  if (!source_ran) {
    lines.push_back(Unknown("what " + words + " would have to carry is not known: the serving region's count was never seen",
                            "see whether the serving region answers"));
    return lines;
  }
  const std::uint64_t wanted = WantedCount(share, *source_ran, state.sizes.desired);
  const std::string of = std::to_string(wanted) + " (" + std::to_string(share) + " % of the " + std::to_string(*source_ran) +
                         " that the serving region ran)";
  if (state.sizes.most && *state.sizes.most < wanted) {
    lines.push_back(Fault(words + " may grow to " + std::to_string(*state.sizes.most) + ", and a failover wants " + of,
                          "raise its maximum to " + std::to_string(wanted) + " and see that quotas and subnets allow it"));
  } else {
    lines.push_back(Ok(words + " wants " + WordsOf(state.sizes) + ", and a failover would want " + of));
  }
  return lines;
}

}  // namespace

Task<Result<std::vector<Readiness>>> AwsCompute::Check(RegionName region, std::optional<std::uint64_t> source_ran,
                                                       Duration timeout) {
  const Instant began = clock_.Now();
  std::vector<Readiness> lines;
  const Result<std::unique_ptr<ComputeGroup>> group = GroupOf(region);
  if (!group) co_return group.error();
  const std::string words = (*group)->words();
  Result<Seen> seen = co_await LookWhole(region, timeout);
  if (!seen) {
    const bool missing = seen.error().retry == Retry::kNotFound;
    lines.push_back(missing ? Fault(words + " does not exist", "create it, or write its name right")
                            : Unseen(words + " cannot be looked at", seen.error()));
    co_return lines;
  }
  lines = LinesOf(words, seen->look, seen->state, source_ran, settings_.share);
  const auto named = settings_.target_groups.find(region);
  if (named == settings_.target_groups.end()) {
    lines.push_back(Unknown("no target group is named for " + words + ": whether its load balancer sends clients is not seen",
                            "write target_groups: the scaling call's word is no proof"));
  } else if (seen->problem) {
    const bool missing = seen->problem->retry == Retry::kNotFound;
    lines.push_back(missing ? Fault("target group '" + named->second + "' does not exist", "write its ARN right")
                            : Unseen("the targets of " + words + " cannot be seen", *seen->problem));
  } else if (seen->state.healthy.value_or(0) < seen->state.running.value_or(0)) {
    lines.push_back(Fault("the load balancer sends clients to " + std::to_string(*seen->state.healthy) + " of the " +
                              std::to_string(*seen->state.running) + " that run in " + words + " (" + seen->balancer + ")",
                          "put their health checks right"));
  } else {
    lines.push_back(Ok("targets of " + words + ": " + seen->balancer));
  }
  Readiness quota = co_await CheckQuota(region, seen->look.fargate, Left(clock_, began, timeout));
  lines.push_back(std::move(quota));
  co_return lines;
}

Task<Readiness> AwsCompute::CheckQuota(RegionName region, bool fargate, Duration timeout) {
  const Instant began = clock_.Now();
  const quotas::Quota quota = fargate ? quotas::kFargate : quotas::kStandardInstances;
  const std::string what = std::string("quota '") + quota.code + "' (" + quota.words + ") ";
  std::optional<double> here;
  std::optional<double> there;
  RegionName where;
  for (const auto& [other, name] : settings_.groups) {
    const Duration share = Left(clock_, began, timeout) / static_cast<int>(settings_.groups.size());
    Result<double> value = co_await quotas::ValueOf(client_, other.text, quota, share);
    if (!value && other == region) {
      co_return Unseen(what + "of '" + region.text + "' cannot be read", value.error());
    }
    if (!value) continue;
    if (other == region) {
      here = *value;
    } else if (!there || *there < *value) {
      there = *value;
      where = other;
    }
  }
  const auto number = [](double value) { return std::to_string(static_cast<std::int64_t>(value)); };
  if (!here || !there) {
    co_return Unknown(what + "could not be compared between the regions" + (here ? ": here it is " + number(*here) : ""),
                      "see whether the other region answers");
  }
  if (*here < *there) {
    co_return Fault(what + "is " + number(*here) + " in '" + region.text + "' and " + number(*there) + " in '" + where.text + "'",
                    "ask AWS for the same in both");
  }
  co_return Ok(what + "is " + number(*here) + " in '" + region.text + "', and at most that elsewhere");
}

std::vector<std::unique_ptr<Compute>> OpenAwsCompute(Client& client, const std::vector<AwsComputeSettings>& settings, Clock& clock,
                                                     Log log) {
  std::vector<std::unique_ptr<Compute>> doors;
  for (const AwsComputeSettings& one : settings) doors.push_back(std::make_unique<AwsCompute>(client, one, clock, log));
  return doors;
}

}  // namespace lifeboat::aws
