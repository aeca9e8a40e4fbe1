#include "model/heartbeat.h"

#include <algorithm>

namespace lifeboat {

Json ToJson(const Heartbeat& beat) {
  return {{"region", beat.region.text},
          {"sequence", beat.sequence},
          {"epoch", beat.epoch.number},
          {"at_ns", beat.at.ns},
          {"position", beat.position}};
}

Result<Heartbeat> HeartbeatFromJson(const Json& json) {
  Heartbeat beat{RegionName(TextAt(json, "region")),
                 NumberAt(json, "sequence"),
                 {NumberAt(json, "epoch")},
                 {SignedAt(json, "at_ns")},
                 TextAt(json, "position")};
  if (beat.region.empty() || beat.sequence == 0 || beat.at.ns <= 0)
    return Fail("a heartbeat cannot be read: '" + json.dump().substr(0, 200) + "'");
  return beat;
}

bool IsNewer(const Heartbeat& a, const Heartbeat& b) { return a.epoch != b.epoch ? a.epoch > b.epoch : a.sequence > b.sequence; }

void HeartbeatBook::Note(const Heartbeat& beat, Instant not_before) {
  std::deque<Known>& beats = beats_[beat.region];
  // Beats of an epoch that has ended may have been lost with it, and their numbers given again.
  if (!beats.empty() && beat.epoch > beats.back().beat.epoch) beats.clear();
  if (!beats.empty() && beat.epoch < beats.back().beat.epoch) return;
  const auto place = std::lower_bound(beats.begin(), beats.end(), beat.sequence,
                                      [](const Known& known, std::uint64_t sequence) { return known.beat.sequence < sequence; });
  if (place != beats.end() && place->beat.sequence == beat.sequence) {
    // Told twice, each time with the age that the way has added: the nearer moment is as true.
    if (AgeAt(place->not_before, not_before) > 0ns) place->not_before = not_before;
    return;
  }
  beats.insert(place, {beat, not_before});
  if (beats.size() > kMost) beats.pop_front();
}

std::optional<HeartbeatBook::Known> HeartbeatBook::Newest(const RegionName& region) const {
  const auto found = beats_.find(region);
  if (found == beats_.end() || found->second.empty()) return std::nullopt;
  return found->second.back();
}

std::optional<Instant> HeartbeatBook::WholeAt(const Heartbeat& seen) const {
  const auto found = beats_.find(seen.region);
  if (found == beats_.end() || found->second.empty()) return std::nullopt;
  const std::deque<Known>& beats = found->second;
  if (beats.back().beat.epoch == seen.epoch) {
    const auto after = std::upper_bound(beats.begin(), beats.end(), seen.sequence,
                                        [](std::uint64_t sequence, const Known& known) { return sequence < known.beat.sequence; });
    if (after != beats.begin()) return std::prev(after)->not_before;
  }
  // Older than all that was heard of: by how much, the database's clock tells.
  const Known& oldest = beats.front();
  const Duration apart(oldest.beat.at.ns - seen.at.ns);
  return oldest.not_before - std::max<Duration>(apart, 0ns);
}

MeasuredLoss MeasureLoss(const std::optional<LastBeats>& known, const std::optional<Heartbeat>& survivor) {
  MeasuredLoss loss;
  if (!known) {
    loss.basis = "nobody heard a heartbeat of the old writer";
    return loss;
  }
  const Heartbeat& last = known->newest.beat;
  if (!survivor) {
    loss.basis = "the new writer holds no heartbeat of the old one";
    return loss;
  }
  const std::string survived =
      "the newest heartbeat that survived is " + std::to_string(survivor->sequence) + ", of " + FormatWallTime(survivor->at);
  const bool missed = IsNewer(last, *survivor);
  // Numbers go on over epochs in what survived, so that the distance counts beats.
  if (missed && last.sequence > survivor->sequence) loss.beats = last.sequence - survivor->sequence;
  if (!known->unseen) {
    loss.basis = survived + "; the old writer was not silent when the failover began, so how long it wrote on is not known";
    return loss;
  }
  // The same region's clock wrote both.
  const Duration missing(last.at.ns - survivor->at.ns);
  if (IsNewer(*survivor, last) && missing + *known->unseen <= 0ns) {
    loss.basis = survived + "; the old writer wrote it after it had been found silent, so how long it wrote on is not known";
    return loss;
  }
  loss.time = std::max<Duration>(0ns, missing + *known->unseen);
  if (!missed) loss.beats = 0;
  loss.basis = survived + "; the last that was known to be written is " + std::to_string(last.sequence) + ", of " +
               FormatWallTime(last.at) + " by the same clock, and the region was found silent " + FormatDuration(*known->unseen) +
               " later; not bounded is what a writer that is only cut off takes after that";
  return loss;
}

Json ToJson(const MeasuredLoss& loss) {
  return {{"state", loss.time ? "bounded" : "unknown"},
          {"seconds", loss.time ? Json(Seconds(*loss.time)) : Json(nullptr)},
          {"bytes", nullptr},
          {"beats", loss.beats ? Json(*loss.beats) : Json(nullptr)},
          {"basis", loss.basis}};
}

}  // namespace lifeboat
