#pragma once

// One chaos run: a lab of its own, writers, a random schedule of faults, an operator who rejoins what must be rejoined; then
// everything is healed, the service has to become whole again, and the checker judges what was written.
// Thread rule: one run at a time per folder; blocks for about half a minute.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "integration/chaos/checker.h"
#include "integration/chaos/schedule.h"
#include "lab/lab.h"

namespace lifeboat::chaos {

struct Options {
  std::uint64_t seed = 1;
  Duration length = std::chrono::seconds(12);
  Duration lease = std::chrono::seconds(1);
  lab::LabPlace place = lab::LabPlace::kAuto;
  StoreKind store = StoreKind::kEmbedded;
  bool gate = true;               ///< the servers load the gate, where it is built
  std::vector<Fault> schedule;    ///< instead of the seed's; empty: the seed's
  std::filesystem::path program;  ///< lifeboat
  std::function<void(const std::string&)> say;
};

struct Outcome {
  std::vector<std::string> problems;  ///< violations, and a service that did not become whole; empty: good
  Verdict verdict;
  std::vector<std::string> story;  ///< what was done and seen, in order
  std::size_t faults = 0;
  std::uint64_t epochs = 0;  ///< how often the lease changed hands
  std::uint64_t rejoins = 0;
  bool network = false;          ///< packets could be dropped
  bool gate = false;             ///< the servers had the gate
  std::filesystem::path folder;  ///< kept where there are problems
  [[nodiscard]] std::string Summary() const;
};

[[nodiscard]] Outcome Run(const Options& options);

/// The one command that repeats a run.
[[nodiscard]] std::string Repeat(const Options& options);

}  // namespace lifeboat::chaos
