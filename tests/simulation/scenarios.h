#pragma once

// What can be run: everything at random (storm), the same failover again and again (mill), and the store or the candidates
// away alone (outage). Each is a function of its seed.
// Thread rule: one thread.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "simulation/checker.h"

namespace lifeboat::simulation {

struct Wishes {
  std::uint64_t seed = 1;
  bool trace = false;
  std::optional<int> data_regions;
  std::optional<bool> gate;
  /// Only faults whose name begins with it; empty: all.
  std::string faults;
  /// A seeded bug that lies in the modelled parts (base/seeded_bug.h); empty: none.
  std::string bug;
};

struct Outcome {
  std::uint64_t seed = 0;
  std::optional<Violation> violation;
  std::uint64_t failovers = 0;    ///< executions of kind failover that ended done
  std::uint64_t switchovers = 0;  ///< likewise
  std::uint64_t promotions = 0;
  std::uint64_t acknowledged = 0;
  std::uint64_t lost = 0;
  std::uint64_t steps = 0;
  Duration virtual_time{};
  std::uint64_t fingerprint = 0;
  std::string told;  ///< with Wishes::trace: the last events, and where everything stands
};

enum class Mode { kStorm, kMill, kOutage };
[[nodiscard]] std::optional<Mode> ParseMode(std::string_view text);
[[nodiscard]] const char* ToString(Mode mode);

[[nodiscard]] Outcome Run(Mode mode, const Wishes& wishes);

/// Names of the storm's faults.
[[nodiscard]] std::vector<std::string> FaultNames();

}  // namespace lifeboat::simulation
