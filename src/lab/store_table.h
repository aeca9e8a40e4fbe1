#pragma once

// The lab's table in DynamoDB (`--store dynamodb`). Where no endpoint is given an emulator of AWS is started from the checkout,
// behind the road of the tests: it makes the table of two regions one with multi-region strong consistency, and can fall silent for
// a region, as it does for one that is killed. Its processes live beneath <lab>/dynamodb and end with the lab. An endpoint that is
// given is used as it is. Thread rule: any thread; blocks.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "lab/agents.h"
#include "lab/layout.h"

namespace lifeboat::lab {

/// Makes a table of the lab's own, and the file with the credentials that its agents sign with: the environment's, where an
/// endpoint is given and there are any, else made-up ones. `lab.table` names it from then on.
/// @error kFail: no emulator is beside this program, or one does not serve; kRefused: the endpoint does not take the table
[[nodiscard]] Result<Unit> MakeStoreTable(LabInfo& lab, const std::optional<RunAs>& owner, const Patience& patience);

/// What agents are given so that they find it.
[[nodiscard]] std::map<std::string, std::string> StoreTableEnvironment(const LabInfo& lab);

/// The section `store` of lifeboat.yaml.
[[nodiscard]] std::string StoreTableConfig(const LabInfo& lab);

/// Whether a region of the lab is also one of the table's, whose DynamoDB can fall silent.
[[nodiscard]] bool HasStoreTableIn(const LabInfo& lab, const std::string& region);
/// Regions whose DynamoDB keeps silence.
[[nodiscard]] std::vector<std::string> SilentStoreTables(const LabInfo& lab);
/// From now on DynamoDB keeps silence in these regions and answers in all others. Nothing to do where the endpoint is not the lab's
/// own.
[[nodiscard]] Result<Unit> SilenceStoreTables(const LabInfo& lab, const std::vector<std::string>& regions);

/// Removes the table from an endpoint that is not the lab's own and goes on without it. Best effort: it may not answer any more.
void RemoveStoreTable(const LabInfo& lab);

}  // namespace lifeboat::lab
