#pragma once

// A random schedule of the lab's faults, from a seed: the same seed gives the same schedule on every machine. What the processes
// make of it differs from run to run; what was done to them does not.
// Thread rule: pure functions.

#include <cstdint>
#include <string>
#include <vector>

#include "base/time.h"

namespace lifeboat::chaos {

enum class FaultKind {
  kKillRegion,    ///< every process at one instant; started again when the fault ends
  kKillPart,      ///< started again by the supervisor, or (supervisor) when the fault ends
  kRestartAgent,  ///< SIGTERM
  kFreeze,        ///< a part, or a whole region, stands still
  kCut,           ///< two ends, both ways; no other end: from everybody
  kCutOneWay,
  kDiskFull,    ///< of one part: no file of it grows any more
  kSwitchover,  ///< an operator's order in the middle of it
};

struct Fault {
  FaultKind kind = FaultKind::kKillPart;
  std::string region;
  std::string other;  ///< kCut, kCutOneWay: the other end; else the part; empty: everything
  Duration at{};      ///< since the beginning
  Duration length{};
};

struct Places {
  std::vector<std::string> data;  ///< data regions
  std::string witness;
  bool network = true;  ///< packets can be dropped
  bool etcd = false;    ///< each region has a member of the store
};

/// Faults in the order of their beginnings, all of them over by `length`.
[[nodiscard]] std::vector<Fault> MakeSchedule(std::uint64_t seed, Duration length, const Places& places);

/// "at 3.2 s: cut us-east-1 <> us-west-2 for 1.4 s".
[[nodiscard]] std::string Describe(const Fault& fault);

}  // namespace lifeboat::chaos
