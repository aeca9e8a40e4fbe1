#pragma once

// The agent of a service whose database AWS runs, as a process: opens the doors to AWS, the store and the other agents, and wires
// the managed agent to them. `lifeboat agent` comes here where lifeboat.yaml has 'aws.database'. Thread rule: the main thread;
// blocks until SIGTERM or SIGINT.

#include <string>

#include "config/settings.h"

namespace lifeboat {

/// @return exit code: 0 ended by a signal, 1 it could not start, 2 the region is not in the configuration
[[nodiscard]] int RunManagedProcess(const Settings& settings, const RegionName& region, const std::string& log_file);

}  // namespace lifeboat
