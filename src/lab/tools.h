#pragma once

// Programs that the lab runs while it is built: one after another, blocking, as the lab's owner.
// Thread rule: any thread; blocks.

#include <optional>
#include <string>
#include <vector>

#include "adapters/system/command.h"

namespace lifeboat::lab {

/// Runs `argv` in folder `cwd` to its end. A non-zero exit code is an error that carries the program's last words.
/// @return its standard output
[[nodiscard]] Result<std::string> RunTool(std::vector<std::string> argv, const std::string& cwd, const std::optional<RunAs>& as,
                                          Duration timeout);

}  // namespace lifeboat::lab
