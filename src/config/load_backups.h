#pragma once

// The section 'backups' of lifeboat.yaml, as a part of load.cc: typed values, then the rules across keys.
// Thread rule: pure.

#include <vector>

#include "config/document.h"
#include "config/settings.h"

namespace lifeboat {

/// @param settings  its regions are built already: a source's programs are by default those of its region's database
[[nodiscard]] std::vector<BackupSourceSettings> BuildBackups(const Document& document, const Settings& settings);

/// Judges only values that were themselves good.
void CheckBackups(const Document& document, const Settings& settings, Problems& problems);

}  // namespace lifeboat
