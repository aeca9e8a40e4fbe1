#pragma once

// The story of `lifeboat demo --aws`, on one machine against emulators of AWS: an Aurora global database in two regions with real
// PostgreSQL behind it, clients that write rows through the service's name and keep their own record, three agents, a region that
// is lost, the failover without a command from anyone, what it cost by the clients' record, and the way back.
//
// The agents, their calls and decisions, the databases, the name server and the clients are real; AWS is not: lab/aws_stage.h. The
// emulator moves the writer at once, where Aurora takes minutes. Life cycle: one call; every process that it started is ended by
// its pid, and its folder removed unless `keep`. Thread rule: the main thread; takes over SIGINT and SIGTERM for as long as it
// runs.

#include <filesystem>

namespace lifeboat::lab {

struct DemoAwsOptions {
  bool keep = false;              ///< leave all running, also after a failure; FOLDER/end ends it
  bool json = false;              ///< the report on standard output, the story on standard error
  std::filesystem::path folder;   ///< empty: a new one beneath the temporary folder
  std::filesystem::path program;  ///< empty: this executable
  std::filesystem::path report_folder = "lifeboat-report";
};

/// @return 0: it failed over by itself, within its objectives, lost nothing beyond what the agents stated, and came back; 4: not
/// so; 1: the story could not be told to its end
[[nodiscard]] int RunDemoAws(const DemoAwsOptions& options);

}  // namespace lifeboat::lab
