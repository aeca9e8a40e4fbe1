#include "integration/chaos/schedule.h"

#include <algorithm>

namespace lifeboat::chaos {

namespace {

// SplitMix64: the standard library's distributions differ between machines. @source Steele, Lea, Flood 2014, public domain code
class Dice {
 public:
  // The multiplier is not the step of Next: with that, each seed would go on where its neighbour began.
  explicit Dice(std::uint64_t seed) : state_(seed * 0xD1342543DE82EF95ULL + 1) {}
  std::uint64_t Next() {
    state_ += 0x9E3779B97F4A7C15ULL;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31U);
  }
  std::size_t Below(std::size_t bound) { return static_cast<std::size_t>(Next() % bound); }
  Duration Between(Duration least, Duration most) {
    return least + Duration(static_cast<std::int64_t>(Next() % static_cast<std::uint64_t>((most - least).count())));
  }
  template <typename T>
  const T& Of(const std::vector<T>& choices) {
    return choices[Below(choices.size())];
  }

 private:
  std::uint64_t state_;
};

struct Weight {
  FaultKind kind;
  unsigned weight;
};

FaultKind PickKind(Dice& dice, bool network) {
  static const std::vector<Weight> kWeights = {
      {FaultKind::kKillRegion, 3}, {FaultKind::kKillPart, 6},   {FaultKind::kRestartAgent, 2}, {FaultKind::kFreeze, 5},
      {FaultKind::kDiskFull, 1},   {FaultKind::kSwitchover, 2}, {FaultKind::kCut, 7},          {FaultKind::kCutOneWay, 3}};
  unsigned sum = 0;
  const auto allowed = [&](FaultKind kind) { return network || (kind != FaultKind::kCut && kind != FaultKind::kCutOneWay); };
  for (const Weight& each : kWeights) sum += allowed(each.kind) ? each.weight : 0;
  std::size_t at = dice.Below(sum);
  for (const Weight& each : kWeights) {
    if (!allowed(each.kind)) continue;
    if (at < each.weight) return each.kind;
    at -= each.weight;
  }
  return FaultKind::kKillPart;
}

void PickTarget(Dice& dice, const Places& places, Fault& fault) {
  std::vector<std::string> regions = places.data;
  regions.push_back(places.witness);
  fault.region = dice.Below(5) == 0 ? places.witness : dice.Of(places.data);
  const bool witness = fault.region == places.witness;
  switch (fault.kind) {
    case FaultKind::kKillPart: {
      std::vector<std::string> parts = witness ? std::vector<std::string>{"agent", "knot", "supervisor"}
                                               : std::vector<std::string>{"agent", "guard", "database", "postmaster", "supervisor"};
      if (places.etcd) parts.insert(parts.end(), {"etcd", "etcd"});
      fault.other = dice.Of(parts);
      break;
    }
    case FaultKind::kFreeze: {  // the empty word: the whole region
      std::vector<std::string> parts = witness ? std::vector<std::string>{"agent", "knot", ""}
                                               : std::vector<std::string>{"agent", "guard", "database", "postmaster", ""};
      if (places.etcd) parts.insert(parts.end(), {"etcd", "etcd"});
      fault.other = dice.Of(parts);
      break;
    }
    case FaultKind::kDiskFull:
      fault.other = dice.Of(witness ? std::vector<std::string>{"agent"} : std::vector<std::string>{"agent", "database"});
      break;
    case FaultKind::kCut:
    case FaultKind::kCutOneWay: {
      std::vector<std::string> others = {"clients"};
      for (const std::string& region : regions) {
        if (region != fault.region) others.push_back(region);
      }
      if (fault.kind == FaultKind::kCut) others.insert(others.end(), 2, "");  // from everybody: the fault that matters most
      fault.other = dice.Of(others);
      break;
    }
    case FaultKind::kSwitchover: fault.region = dice.Of(places.data); break;
    case FaultKind::kKillRegion:
    case FaultKind::kRestartAgent: break;
  }
}

const char* Verb(FaultKind kind) {
  switch (kind) {
    case FaultKind::kKillRegion: return "kill";
    case FaultKind::kKillPart: return "kill";
    case FaultKind::kRestartAgent: return "restart the agent of";
    case FaultKind::kFreeze: return "freeze";
    case FaultKind::kCut: return "cut";
    case FaultKind::kCutOneWay: return "cut";
    case FaultKind::kDiskFull: return "fill the disk of";
    case FaultKind::kSwitchover: return "switch over to";
  }
  return "?";
}

}  // namespace

std::vector<Fault> MakeSchedule(std::uint64_t seed, Duration length, const Places& places) {
  Dice dice(seed);
  std::vector<Fault> faults;
  for (Duration at = dice.Between(200ms, 1000ms); at < length - 1s; at += dice.Between(250ms, 2000ms)) {
    Fault fault;
    fault.kind = PickKind(dice, places.network);
    fault.at = at;
    PickTarget(dice, places, fault);
    const Duration longest = dice.Below(3) == 0 ? Duration(8s) : Duration(3s);  // most are short, some outlast every lease
    fault.length = std::min(dice.Between(200ms, longest), length - at);
    faults.push_back(std::move(fault));
  }
  return faults;
}

std::string Describe(const Fault& fault) {
  std::string text = "at " + FormatDuration(std::chrono::round<std::chrono::milliseconds>(fault.at)) + ": " + Verb(fault.kind) +
                     " " + fault.region;
  if (fault.kind == FaultKind::kCut) text += " <> " + (fault.other.empty() ? "everybody" : fault.other);
  if (fault.kind == FaultKind::kCutOneWay) text += " > " + fault.other;
  if (fault.kind == FaultKind::kKillPart || fault.kind == FaultKind::kFreeze || fault.kind == FaultKind::kDiskFull) {
    text += " " + (fault.other.empty() ? "whole" : fault.other);
  }
  const bool instant = fault.kind == FaultKind::kSwitchover || fault.kind == FaultKind::kRestartAgent ||
                       (fault.kind == FaultKind::kKillPart && fault.other != "supervisor");
  return instant ? text : text + " for " + FormatDuration(std::chrono::round<std::chrono::milliseconds>(fault.length));
}

}  // namespace lifeboat::chaos
