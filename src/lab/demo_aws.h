#pragma once

// The story of `lifeboat demo --aws`, on one machine against an emulator of AWS: an Aurora global database in two regions, three agents,
// a region that falls silent, the failover without a command from anyone, what it cost, and the way back.
//
// The agents, their calls and their decisions are real; what they talk to is the emulator of the tests (tests/aws), over the road that
// can fall silent for a region. The emulator runs no PostgreSQL and measures no lag: the lag that Aurora would report is put into its
// CloudWatch from here, and the time is that of calls and decisions, not of Aurora, which takes minutes.
// Life cycle: one call; every process that it started is ended by its pid, and its folder removed unless `keep`.
// Thread rule: the main thread; takes over SIGINT and SIGTERM for as long as it runs.

#include <filesystem>

namespace lifeboat::lab {

struct DemoAwsOptions {
  bool keep = false;              ///< leave the folder with its logs behind; processes end all the same
  std::filesystem::path folder;   ///< empty: a new one beneath the temporary folder
  std::filesystem::path program;  ///< empty: this executable
};

/// @return 0: it failed over by itself, within its objectives, and came back; 4: an objective was missed; 1: the story could not be told
[[nodiscard]] int RunDemoAws(const DemoAwsOptions& options);

}  // namespace lifeboat::lab
