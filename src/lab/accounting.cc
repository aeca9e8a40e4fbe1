#include "lab/accounting.h"

#include <algorithm>
#include <limits>

namespace lifeboat::lab {

namespace {

// An answer that was on its way at the fault arrives a moment later.
constexpr std::int64_t kOnItsWayNs = 1'000'000'000;

bool IsFromOldPrimary(const ClientRecord& record, const ClientRow& row, const FailoverFault& fault) {
  return row.fate == RowFate::kAcknowledged && row.ended_ns <= fault.fault_ns + kOnItsWayNs &&
         record.servers.at(row.server) == fault.old_address;
}

// Number of the newest row of the old primary that survived; 0: none did.
std::uint64_t NewestSurvivor(const ClientRecord& record, const ClientCheck& check, const FailoverFault& fault) {
  std::uint64_t newest = 0;
  auto missing = check.missing.begin();
  for (const ClientRow& row : record.rows) {
    while (missing != check.missing.end() && missing->n < row.n) ++missing;
    const bool is_missing = missing != check.missing.end() && missing->n == row.n;
    if (!is_missing && IsFromOldPrimary(record, row, fault)) newest = row.n;
  }
  return newest;
}

}  // namespace

std::uint64_t LossAccount::Unaccounted() const {
  std::uint64_t sum = 0;
  for (const ClientAccount& client : clients) sum += client.unaccounted;
  return sum;
}

LossAccount AccountForLoss(const std::vector<ClientRecord>& records, const std::vector<ClientCheck>& checks,
                           const FailoverFault& fault) {
  LIFEBOAT_CHECK(records.size() == checks.size(), "one check a record");
  LossAccount account;
  std::uint64_t still_in_ledger = fault.ledger_commits.value_or(0);
  for (std::size_t at = 0; at < records.size(); ++at) {
    const ClientRecord& record = records[at];
    const ClientCheck& check = checks[at];
    ClientAccount client{record.client, check.acknowledged, check.missing.size(), check.unexpected.size()};
    const std::uint64_t survivor = NewestSurvivor(record, check, fault);
    for (const ClientRow& row : check.missing) {
      if (!IsFromOldPrimary(record, row, fault) || row.n < survivor) {
        ++account.other_rows;
        ++client.unaccounted;
        continue;
      }
      ++account.failover_rows;
      account.failover_age = std::max(account.failover_age, Duration(fault.fault_ns - row.ended_ns));
      if (still_in_ledger == 0) {
        ++client.unaccounted;
      } else {
        --still_in_ledger;
      }
    }
    account.clients.push_back(client);
  }
  return account;
}

std::uint64_t WritesByTwo(const std::vector<ClientRecord>& records, const std::string& old_address, const std::string& new_address,
                          std::int64_t since_ns, std::int64_t until_ns) {
  std::int64_t first_ns = std::numeric_limits<std::int64_t>::max();
  const auto each = [&](const auto& visit) {
    for (const ClientRecord& record : records) {
      for (const ClientRow& row : record.rows) {
        if (row.fate == RowFate::kAcknowledged && row.ended_ns >= since_ns && row.ended_ns < until_ns) {
          visit(row, record.servers.at(row.server));
        }
      }
    }
  };
  each([&](const ClientRow& row, const std::string& server) {
    if (server == new_address) first_ns = std::min(first_ns, row.ended_ns);
  });
  std::uint64_t writes = 0;
  each([&](const ClientRow& row, const std::string& server) {
    if (server == old_address && row.sent_ns > first_ns) ++writes;
  });
  return writes;
}

}  // namespace lifeboat::lab
