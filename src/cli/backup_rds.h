#pragma once

// lifeboat backup verify|drill|list --repo rds:NAME, or --source with such a path: snapshots of an RDS instance or an Aurora
// cluster as backups. Present and fresh in every region, their keys usable there; from level 4 on one is restored into a temporary
// instance, which is always deleted again. Thread rule: the main thread; it blocks.

#include <cstdint>
#include <string>
#include <vector>

#include "cli/ask.h"

namespace lifeboat {

struct BackupOptions;
struct BackupSourceSettings;

/// What the command line says of RDS; empty: as RDS chooses.
struct RdsFlags {
  std::vector<std::string> regions;  ///< that must hold a snapshot; none: AWS_REGION
  std::string restore_region;        ///< "": the last of them
  std::string age;                   ///< objective of the newest one in each: "26h"; "": none
  std::string instance_class;        ///< of the temporary instance
  std::string subnet_group;
  std::string parameter_group;  ///< for a cluster: of the cluster
  std::vector<std::string> security_groups;
  std::uint64_t poll = 15;       ///< seconds between two looks
  std::uint64_t patience = 120;  ///< minutes until it must be available
};

[[nodiscard]] bool IsRds(const std::string& repository);

/// Fills in what the command line left open.
void TakeRdsSettings(const BackupSourceSettings& source, RdsFlags& flags);

/// The report, on standard output. @param drill  it is to become a record of evidence. @return exit code 0, 1 (a fault, or
/// something temporary is left), 4 (a promise is missed, or could not be looked at)
[[nodiscard]] int VerifyRds(const CommonOptions& common, const BackupOptions& options, bool drill = false);

}  // namespace lifeboat
