#pragma once

// Which acknowledged rows a failover lost, and whether each is accounted for. A lost row is accounted for when the fork explains
// it (it was acknowledged by the old primary before the fault, and no later row of the same client from there survived) and the
// loss ledger, written before the old primary was rewound, counts at least as many commits. Everything else that is missing is
// unaccounted for, and that is a broken promise (G4), never a figure.
// Thread rule: pure functions.

#include <optional>
#include <string>
#include <vector>

#include "lab/client.h"

namespace lifeboat::lab {

struct FailoverFault {
  std::string old_address;    ///< of the primary that was lost
  std::int64_t fault_ns = 0;  ///< CLOCK_MONOTONIC
  std::int64_t fault_wall_ns = 0;
  std::optional<std::uint64_t> ledger_commits;  ///< commits after the fork that the ledger saved; nothing: no ledger entry
};

struct ClientAccount {
  int client = 0;
  std::uint64_t acknowledged = 0;
  std::uint64_t lost = 0;
  std::uint64_t unaccounted = 0;  ///< of the lost ones, and rows in the table that nobody sent
};

struct LossAccount {
  std::vector<ClientAccount> clients;
  std::uint64_t failover_rows = 0;  ///< lost rows that the fork explains
  Duration failover_age{0};         ///< fault minus acknowledgement of the oldest of them; 0: none was lost
  std::uint64_t other_rows = 0;     ///< lost at any other time: a switchover must show none
  [[nodiscard]] std::uint64_t Unaccounted() const;
};

/// `records` and `checks` stand in the same order.
[[nodiscard]] LossAccount AccountForLoss(const std::vector<ClientRecord>& records, const std::vector<ClientCheck>& checks,
                                         const FailoverFault& fault);

/// Rows that the old server acknowledged although they were sent after the new one had acknowledged its first: two writers
/// at once (promise G1). Looks at what happened after `since_ns` (CLOCK_MONOTONIC) and before `until_ns`.
[[nodiscard]] std::uint64_t WritesByTwo(const std::vector<ClientRecord>& records, const std::string& old_address,
                                        const std::string& new_address, std::int64_t since_ns, std::int64_t until_ns);

}  // namespace lifeboat::lab
