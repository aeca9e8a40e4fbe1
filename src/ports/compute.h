#pragma once

// The door to something that runs in every region and is scaled up where the service goes: an Auto Scaling group, an ECS service,
// an EKS node group. In a failover: Prepare → the note goes into the execution's record → ScaleUp → Await; in the rejoin plan of
// the region that served meanwhile: PutBack with that note. Counts are instances, tasks or nodes. Thread rule: one executor that
// runs one thing at a time; plain values else.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "base/task.h"
#include "base/time.h"
#include "base/types.h"
#include "ports/readiness.h"

namespace lifeboat {

/// What a group is told to be. Where nothing scales it by itself, it has no bounds.
struct ComputeSizes {
  std::optional<std::uint64_t> least;
  std::uint64_t desired = 0;
  std::optional<std::uint64_t> most;
  friend bool operator==(const ComputeSizes&, const ComputeSizes&) = default;
};

struct ComputeState {
  ComputeSizes sizes;
  std::optional<std::uint64_t> running;  ///< in service by the group's own word; nothing: it cannot be seen
  std::optional<std::uint64_t> healthy;  ///< targets that the load balancer sends clients to; nothing: no target group is named
};

/// What a scaling up changes: written down before it is done, and what it is put back by.
struct ComputeNote {
  RegionName region;
  ComputeSizes before;
  ComputeSizes after;
  [[nodiscard]] bool Changes() const { return before != after; }
  friend bool operator==(const ComputeNote&, const ComputeNote&) = default;
};

class Compute {
 public:
  virtual ~Compute() = default;
  /// As in lifeboat.yaml.
  [[nodiscard]] virtual std::string name() const = 0;
  /// Percent of what the source ran that is wanted. See WantedCount.
  [[nodiscard]] virtual unsigned share() const = 0;
  /// How long Await is given by default.
  [[nodiscard]] virtual Duration patience() const = 0;

  /// Asks the region named alone, as every method here. @error kNotFound: there is no such group; kFail: none is named in that
  /// region
  virtual Task<Result<ComputeState>> Look(RegionName region, Duration timeout) = 0;
  /// Reads, and says what ScaleUp would change so that `wanted` run: sizes only grow, the upper bound where it is in the way, the
  /// lower one so that nothing takes the capacity away before clients come.
  virtual Task<Result<ComputeNote>> Prepare(RegionName region, std::uint64_t wanted, Duration timeout) = 0;
  /// Makes the group at least as large as `note.after` says; what has grown beyond it since stays as it is. Twice is as once.
  /// An answer says that it was taken on, never that anything runs: Await.
  /// @error kRefused: the group's state forbids it now (an update is under way); kUnknownOutcome: Look, or the same again
  virtual Task<Result<Unit>> ScaleUp(ComputeNote note, Duration timeout) = 0;
  /// Until `wanted` serve: healthy targets where a target group is named, in service by the group's word else.
  /// @error kRetry: not within `timeout`, with the numbers seen last; kFail: it cannot be seen how many run
  virtual Task<Result<ComputeState>> Await(RegionName region, std::uint64_t wanted, Duration timeout) = 0;
  /// Sets the sizes of before. Already so: done. The only call here that makes anything smaller. Where bounds exist and the desired
  /// count has moved within them since, that count stays.
  /// @error kRefused: a bound is neither what the scaling up left nor what was before, or the old upper one would cut what runs
  /// now: somebody has changed it, and everything stays as it is
  virtual Task<Result<Unit>> PutBack(ComputeNote note, Duration timeout) = 0;

  /// Lines for `lifeboat check`: whether `region` could carry its share.
  /// @param source_ran  what the serving region ran, as last known; nothing: not known
  virtual Task<Result<std::vector<Readiness>>> Check(RegionName region, std::optional<std::uint64_t> source_ran,
                                                     Duration timeout) = 0;
};

/// How many are wanted: `share` percent of what the source ran, rounded up, and never fewer than there are.
[[nodiscard]] inline std::uint64_t WantedCount(unsigned share, std::uint64_t source_ran, std::uint64_t present) {
  const std::uint64_t wanted = (static_cast<std::uint64_t>(share) * source_ran + 99) / 100;
  return wanted > present ? wanted : present;
}

[[nodiscard]] inline Json ToJson(const ComputeSizes& sizes) {
  Json json = {{"desired", sizes.desired}};
  if (sizes.least) json["least"] = *sizes.least;
  if (sizes.most) json["most"] = *sizes.most;
  return json;
}

[[nodiscard]] inline Json ToJson(const ComputeState& state) {
  Json json = {{"sizes", ToJson(state.sizes)}};
  if (state.running) json["running"] = *state.running;
  if (state.healthy) json["healthy"] = *state.healthy;
  return json;
}

[[nodiscard]] inline Json ToJson(const ComputeNote& note) {
  return {{"region", note.region.text}, {"before", ToJson(note.before)}, {"after", ToJson(note.after)}};
}

/// @error kFail: a number is missing or is none: what is not known is not put back
[[nodiscard]] inline Result<ComputeNote> ComputeNoteFrom(const Json& json) {
  ComputeNote note;
  note.region = RegionName(TextAt(json, "region"));
  for (const auto& [key, sizes] : {std::pair{"before", &note.before}, std::pair{"after", &note.after}}) {
    const Json& part = MemberAt(json, key);
    if (note.region.empty() || !MemberAt(part, "desired").is_number_unsigned()) {
      return Fail("the note of a scaling up cannot be read", "put the group's sizes back by hand");
    }
    sizes->desired = NumberAt(part, "desired");
    if (MemberAt(part, "least").is_number_unsigned()) sizes->least = NumberAt(part, "least");
    if (MemberAt(part, "most").is_number_unsigned()) sizes->most = NumberAt(part, "most");
  }
  return note;
}

}  // namespace lifeboat
