#pragma once

// The supervisor of a lab region: what systemd is on a real machine. It starts the region's processes (guard and agent in
// a data region; agent and Knot DNS in the witness region), starts each again when it ends, and takes them over when it
// was itself killed and started anew. PostgreSQL is the agent's: it is never started here.
// Life cycle: one process, `lifeboat lab supervise`, until SIGTERM, which it passes on.
// Thread rule: the one thread of its process; blocks.

#include <filesystem>
#include <string>

namespace lifeboat::lab {

/// Runs until SIGTERM. Says what it does in <lab>/<region>/log/supervisor.log, its standard error.
/// @return exit code: 0 ended by SIGTERM; 1 no such lab or region; 3 another supervisor of the region lives
[[nodiscard]] int RunSupervisor(const std::filesystem::path& lab_folder, const std::string& region);

}  // namespace lifeboat::lab
