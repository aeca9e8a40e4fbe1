#pragma once

// The story of `lifeboat demo`, told on one machine with real parts: healthy, region lost, failed over, what it cost, rejoined,
// switched back, report. It changes the world only through the lab and the agents' own API.
// Life cycle: one call; the lab is gone afterwards unless `keep`. Thread rule: the main thread; takes over SIGINT and SIGTERM
// for as long as it runs.

#include <filesystem>

#include "lab/lab.h"

namespace lifeboat::lab {

struct DemoOptions {
  bool keep = false;             ///< leave the lab running, also after a failure
  bool json = false;             ///< the report on standard output, the story on standard error
  std::filesystem::path folder;  ///< of the lab; empty: DefaultFolder()
  std::filesystem::path report_folder = "lifeboat-report";
  std::filesystem::path program;  ///< empty: this executable
  LabKnobs knobs;
};

/// @return 0: every objective met and every acknowledged row accounted for; 4: not; 1: the story could not be told to its end
[[nodiscard]] int RunDemo(const DemoOptions& options);

}  // namespace lifeboat::lab
