#pragma once

// The report's part about backups, from what the agents of their regions keep.
// Thread rule: the main thread; it asks agents.

#include "cli/ask.h"

namespace lifeboat {

/// Asks the agent of each region that a source names. One that does not answer gives sources of which nothing is known.
[[nodiscard]] Json BackupsForReport(const Settings& settings, const CommonOptions& options);

/// One source, from an item of "backups.results" (null: nothing is known). Ages are of `now`, in seconds since 1970. Pure.
[[nodiscard]] Json BackupForReport(const BackupSourceSettings& source, const Json& result, const std::string& problem,
                                   std::int64_t now);

}  // namespace lifeboat
