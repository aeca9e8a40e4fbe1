#pragma once

// What a lab holds when a chaos run is over, read into a History: the table of the last primary, the ledgers of all regions (their
// saved WAL by pg_waldump, not by our own reader), and the guards' logs.
// Thread rule: one thread; blocks.

#include "base/result.h"
#include "integration/chaos/history.h"
#include "lab/layout.h"

namespace lifeboat::chaos {

/// @error kRetry: the server does not answer; kFail: its words
[[nodiscard]] Result<std::vector<PresentRow>> ReadTable(const lab::LabInfo& lab, const std::string& primary);

/// @error kFail: a ledger that cannot be read
[[nodiscard]] Result<std::vector<LedgerEntry>> ReadLedgers(const lab::LabInfo& lab);

/// From lines "the gate opens" and those with a `closed_at_ns` in the logs of all guards (docs/formats/gate.md).
[[nodiscard]] std::vector<Permission> ReadPermissions(const lab::LabInfo& lab);
/// The same for one log's text. Lines that say the end of an epoch again are one end.
[[nodiscard]] std::vector<Permission> PermissionsIn(const std::string& region, const std::string& log);

}  // namespace lifeboat::chaos
