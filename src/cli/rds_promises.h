#pragma once

// What lifeboat.yaml promises of snapshots of RDS, judged: ages of the newest one and of the newest that was restored and looked
// at, the time of a restore, and what it would lose. Thread rule: plain values.

#include <optional>

#include "cli/backup_source.h"
#include "cli/rds_report.h"

namespace lifeboat {

struct RdsPromises {
  Duration backup_age{0};  ///< of the newest one in each region; 0: nothing is promised, as below
  Duration verified_age{0};
  Duration rto{0};
  Duration rpo{0};
  int restore_level = 6;  ///< which makes a snapshot a verified one: 4, or 6
};

/// The highest level of a restore that a snapshot passed, without a fault anywhere: 4 or 6; 0: none.
/// Bytes, pages and amcheck are never looked at here, and hold nobody up.
[[nodiscard]] int RestoredTo(const backup::SetReport& set);

/// SAFETY: each region counts alone. The newest is that of the region whose newest is the oldest; where one holds none, or was not
/// listed, there is none, or it is unknown.
/// @param earlier   snapshots that earlier runs verified; nothing: nobody knows
/// @param restored  this run restored one
[[nodiscard]] Freshness JudgeRdsAges(const RdsFacts& facts, const backup::Report& report, const RdsPromises& promises,
                                     const std::optional<std::vector<backup::VerifiedSet>>& earlier, bool restored,
                                     std::vector<backup::Finding>& findings);

/// An objective of a restore as every report shows it: {objective_seconds, measured_seconds, verdict, reason}.
[[nodiscard]] Json RestoreObjective(Duration objective, std::optional<Duration> measured, const std::string& unmeasured);

}  // namespace lifeboat
