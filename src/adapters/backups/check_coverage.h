#pragma once

// The last check of level 6 in a sandbox: the server says which index belongs to which table, is shut down, and its files are read.
// Thread rule: as Sandbox.

#include "adapters/backups/checks.h"
#include "adapters/backups/coverage_check.h"
#include "adapters/backups/sandbox.h"

namespace lifeboat::backup {

/// Shuts the sandbox's server down. Findings on tables that have none yet go to `state`; the verdict is joined to `content`.
/// @return what was looked at; null: it did not come so far
[[nodiscard]] Json CheckCoverageOf(Sandbox& sandbox, const CheckOptions& options, const std::vector<std::string>& databases,
                                   CheckState& state, LevelResult& content);

}  // namespace lifeboat::backup
