#pragma once

// The lab's name server: Knot DNS in the witness region, authoritative for lifeboat.test., updated by the agents under a
// TSIG key. Thread rule: any thread; blocks on the disk.

#include <optional>

#include "lab/layout.h"

namespace lifeboat::lab {

/// Writes Knot's configuration, the zone and the key's secret. The folders of the layout exist.
[[nodiscard]] Result<Unit> WriteNameServer(const LabInfo& lab, const std::optional<RunAs>& owner);

}  // namespace lifeboat::lab
