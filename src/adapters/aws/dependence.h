#pragma once

// What a failover asks of whom, as the configuration says: for each data region that could be lost and each that could take over
// from it, the regions that would have to answer. A part that stands in the lost region alone, or that needs us-east-1 whatever
// region is lost, is a fault. Thread rule: pure functions.

#include <vector>

#include "config/settings.h"
#include "ports/readiness.h"

namespace lifeboat::aws {

[[nodiscard]] std::vector<Readiness> DependenceLines(const Settings& settings);

}  // namespace lifeboat::aws
