#pragma once

// lifeboat backup --source NAME: a source as lifeboat.yaml describes it, what was verified of it before, and what is promised.
// Thread rule: the main thread.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapters/backups/memory.h"
#include "adapters/backups/verify.h"
#include "adapters/system/descriptor.h"
#include "backup/freshness.h"
#include "cli/ask.h"
#include "cli/backup.h"
#include "config/settings.h"

namespace lifeboat {

/// Fills in what the command line left open from the source that it names; without --source nothing changes.
/// @error kFail: the configuration is bad; kNotFound: no such source
[[nodiscard]] Result<Unit> ApplySource(const CommonOptions& common, BackupOptions& options);

/// The folder in which an agent keeps what it knows of backups.
[[nodiscard]] std::string BackupFolder(const RegionSettings& region);

/// The sole right to verify this region's sources for as long as it lives: by hand or by the agent, never two at once.
/// @return nothing: there is no agent's folder here, so nobody else looks. @error kRefused: another one is under way
[[nodiscard]] Result<std::optional<Descriptor>> LockSource(const BackupOptions& options);

/// What earlier runs know; null: there is no place for it here, or it cannot be used, and `problem` says so.
[[nodiscard]] std::unique_ptr<backup::VerifiedMemory> OpenMemory(const BackupOptions& options, std::string& problem);

/// Notes which sets passed every level up to the run's, and forgets those that failed one.
void NoteVerified(backup::VerifiedMemory& memory, const backup::Verified& verified, std::int64_t now);

/// Ages of the newest backup and of the newest verified one, against what is promised.
struct Freshness {
  std::optional<backup::Aged> newest;
  std::optional<backup::Aged> verified;
  std::vector<backup::ObjectiveLine> lines;
};
/// @param report  null: nothing was verified now, only looked at
[[nodiscard]] Freshness JudgeSource(const BackupOptions& options, const std::vector<backup::SetInfo>& sets,
                                    const backup::Report* report, backup::VerifiedMemory* memory,
                                    std::vector<backup::Finding>& findings);
[[nodiscard]] Json ToJson(const Freshness& freshness);
void PrintFreshness(const Freshness& freshness);

}  // namespace lifeboat
