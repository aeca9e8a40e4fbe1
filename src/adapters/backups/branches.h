#pragma once

// Timelines that went on side by side: the one that a restore follows is not the one that the service lived on.
// Thread rule: one call; it reads a few segments of each fork.

#include <vector>

#include "adapters/backups/source.h"

namespace lifeboat::backup {

/// F19: a timeline was left for another, and committed on after that one was made. So does a test restore that archives into the
/// service's own archive, and a primary that was not stopped. What it committed before counts for nothing: a failover leaves such.
[[nodiscard]] std::vector<Finding> JudgeBranches(Source& source, const Archive& archive);

}  // namespace lifeboat::backup
