#pragma once

// The agent as a process: reads the configuration, takes the state directory, opens the doors and wires the agent to them.
// Thread rule: the main thread; blocks until SIGTERM or SIGINT.

#include <string>

#include "config/settings.h"

namespace lifeboat {

/// @return exit code: 0 ended by a signal, 1 it could not start, 2 the region is not in the configuration
[[nodiscard]] int RunAgentProcess(const Settings& settings, const RegionName& region, const std::string& log_file);

}  // namespace lifeboat
