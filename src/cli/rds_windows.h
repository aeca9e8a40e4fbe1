#pragma once

// The automated backups of an RDS instance as `lifeboat backup list|verify --repo rds:NAME` shows them: in each region, with the
// window of moments that they restore to and the state of their key. Shown, and not judged: `lifeboat check` does that. Thread
// rule: the calls as Client; the rest blocks on standard output.

#include <string>
#include <vector>

#include "adapters/aws/rds_automated.h"
#include "base/json.h"

namespace lifeboat {

struct RdsWindows {
  std::vector<aws::AutomatedRegion> regions;
  aws::AutomatedKeys keys;
};

/// Asks each region, and KMS for each key. A cluster has none: Aurora keeps its backups in its own region alone. `call`: of one
/// question.
Task<RdsWindows> LookAtWindows(aws::Client& client, std::vector<std::string> regions, std::string of, Duration call);

/// [{region, problem, backups: [{of, of_region, status, earliest, latest, age_seconds, encrypted, kms_key, key, days}]}]
[[nodiscard]] Json ToJson(const RdsWindows& windows, WallTime now);

/// Nothing where no region keeps any.
void PrintWindows(const RdsWindows& windows, WallTime now);

}  // namespace lifeboat
