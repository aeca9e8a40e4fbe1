#pragma once

// The lab's etcd cluster (`--store etcd`): a member in each region, which its supervisor starts and which dies with it, with TLS
// and a login that may use the service's prefix alone. Two of three members are enough for the store to go on.
// Thread rule: any thread; blocks.

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "lab/layout.h"

namespace lifeboat::lab {

/// Certificates and the login's password, and a folder for each member's data.
[[nodiscard]] Result<Unit> WriteStoreCluster(const LabInfo& lab, const std::optional<RunAs>& owner);

/// How the supervisor of `region` starts its member.
[[nodiscard]] std::vector<std::string> StoreMemberCommand(const LabInfo& lab, const std::string& region);

/// Once the members run: the login. Waits for a leader.
[[nodiscard]] Result<Unit> OpenStoreCluster(const LabInfo& lab, Duration timeout);

/// The section `store` of lifeboat.yaml.
[[nodiscard]] std::string StoreClusterConfig(const LabInfo& lab);

}  // namespace lifeboat::lab
