#pragma once

// What snapshots of RDS are worth, as a verification report with the same levels and verdicts as every other backup's.
// Thread rule: plain values; the judges are pure.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "adapters/aws/rds_restore.h"
#include "backup/finding.h"
#include "base/time.h"

namespace lifeboat {

struct RdsRegion {
  std::string region;
  std::string problem;  ///< why it could not be listed; "": it was
  std::vector<aws::rds::StoredSnapshot> snapshots;
};

struct RdsKey {
  std::optional<std::string> state;  ///< "Enabled", …; nothing: KMS did not say, and `problem` why
  std::string problem;
};

struct RdsFacts {
  std::string of;  ///< the instance or cluster
  std::vector<RdsRegion> regions;
  std::map<std::string, RdsKey> keys;  ///< by StoredSnapshot::kms_key
  WallTime now;
  Duration age{0};  ///< what is promised of the newest one in each region; 0: nothing is
};

/// "eu-west-1/rds:orders-2026-11-23-04-10".
[[nodiscard]] std::string LabelOf(const aws::rds::StoredSnapshot& snapshot);

/// Gives copies of a cluster's snapshots the time of what they were copied from, where that is listed too; without it their age
/// stays unknown.
void DateCopies(RdsFacts& facts);

/// Levels 0 and 1 of each snapshot; what is promised of each region (F01), oldest first. The rest is not checked.
[[nodiscard]] backup::Report JudgeRds(const RdsFacts& facts);

/// Judges known facts, good ones and bad ones, before each run. @error kFail: it told another thing than it must (F50): no verdict
/// counts
[[nodiscard]] Result<Unit> ProveThatRdsChecksCanFail();

/// The newest snapshot of a region that is available, whose key was not found bad, and whose age is known. Null: there is none.
/// @param undated  set where one is usable and its age is not known
[[nodiscard]] const aws::rds::StoredSnapshot* NewestUsable(const RdsRegion& region, const backup::Report& report, bool& undated);

/// The one that a restore takes: the label or id `wanted`, else the newest that is available. Null: there is none.
[[nodiscard]] const aws::rds::StoredSnapshot* ChooseSnapshot(const RdsFacts& facts, const std::string& region,
                                                             const std::string& wanted);

}  // namespace lifeboat
