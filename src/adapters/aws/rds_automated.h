#pragma once

// RDS's automated backups of an instance: its own region's, and the copies that RDS keeps in another one. Each restores to any
// moment of a window, which moves on while it is written to. Nothing here changes anything. Data flow: ListAutomatedBackups of each
// region → LookAtKeys → JudgeAutomatedBackups → `lifeboat check`, `lifeboat backup list`. Thread rule: the calls as Client; the
// judge is pure.
// @source RDS API reference, 2014-10-31, DescribeDBInstanceAutomatedBackups; RDS user guide, "Replicating automated backups to
// another AWS Region"

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "adapters/aws/client.h"
#include "config/aws_settings.h"
#include "ports/readiness.h"

namespace lifeboat::aws {

struct AutomatedBackup {
  std::string region;     ///< that keeps it
  std::string of;         ///< the instance
  std::string of_region;  ///< where that is, or was
  std::string status;     ///< "active"; "creating": no moment of it can be restored yet; "retained": nothing is added any more
  std::optional<WallTime> earliest;  ///< of its restore window
  std::optional<WallTime> latest;
  bool encrypted = false;
  std::string kms_key;  ///< of `region`
  std::string engine_version;
  std::uint64_t days = 0;  ///< of retention
  std::uint64_t gib = 0;
  [[nodiscard]] bool IsCopy() const { return of_region != region; }
};

/// Those that `region` keeps of instances of these names, wherever they are. @error kRetry: no answer; kFail: not allowed
Task<Result<std::vector<AutomatedBackup>>> ListAutomatedBackups(Client& client, std::string region, std::vector<std::string> of,
                                                                Duration timeout);

/// What a region keeps.
struct AutomatedRegion {
  std::string region;
  std::string problem;  ///< why it could not be listed; "": it was
  std::vector<AutomatedBackup> backups;
};

/// What KMS says of a key in the region that would need it.
struct AutomatedKey {
  std::string state;  ///< "Enabled", …; "": it did not say, and `problem` why
  std::string problem;
};
using AutomatedKeys = std::map<std::string, AutomatedKey>;  ///< by AutomatedBackup::kms_key

/// Asks for the key of each encrypted one, once. `timeout`: of one question.
Task<AutomatedKeys> LookAtKeys(Client& client, std::vector<AutomatedRegion> regions, Duration timeout);

/// Whose automated backups are wanted where.
struct AutomatedWish {
  struct Instance {
    std::string region;
    std::string id;
  };
  std::vector<Instance> writers;     ///< whose copies count: instances that follow nobody
  std::vector<std::string> regions;  ///< that must keep one
  Duration age{0};                   ///< how old `latest` may be; 0: as old as it is
};

/// "2026-11-16T04:12:00Z to 2026-11-23T11:41:00Z, 5 min 22 s ago"; says so where there is no window.
[[nodiscard]] std::string WindowText(const AutomatedBackup& backup, WallTime now);

/// What speaks against restoring from it to a recent moment; empty: nothing. @param age  0: its newest moment may be any
[[nodiscard]] std::string ObjectionTo(const AutomatedBackup& backup, Duration age, WallTime now);

/// A line for each that there is, and a fault for each that is wanted and is not there, is stale, or could not be read for want of
/// its key. SAFETY: a region that does not answer is unknown, and never a region that keeps nothing.
[[nodiscard]] std::vector<Readiness> JudgeAutomatedBackups(const AutomatedWish& wish, const std::vector<AutomatedRegion>& regions,
                                                           const AutomatedKeys& keys, WallTime now);

/// All of it for `lifeboat check`: of the members that follow nobody, in all regions that are theirs or named. Only of
/// `rds-replica`.
Task<Result<std::vector<Readiness>>> CheckAutomatedBackups(Client& client, AwsDatabaseSettings settings, Clock& clock,
                                                           Duration timeout);

}  // namespace lifeboat::aws
