#pragma once

// The running source beside its backups: the archiver and the slots of the server whose backups are verified.
// Thread rule: the main thread; it blocks for at most half a minute.

#include <optional>
#include <string>

#include "adapters/backups/verify.h"
#include "backup/live.h"
#include "config/settings.h"

namespace lifeboat {

/// How the database of a region is reached on its own host; "": it has none.
[[nodiscard]] std::string LiveConninfo(const Settings& settings, const RegionSettings* region);

struct LiveAnswer {
  bool asked = false;
  std::optional<backup::LiveFacts> facts;
  std::string problem;  ///< why it was asked, and did not say
};
/// To be asked before the archive is listed: what it was told is kept then must be there. @param conninfo  "": nobody is asked
[[nodiscard]] LiveAnswer AskSource(const std::string& conninfo);

/// Puts what it says into the report: F46, F47, F48.
void TellLive(const LiveAnswer& answer, const backup::Inventory& inventory, backup::Report& report);
[[nodiscard]] Json ToJson(const LiveAnswer& answer);

}  // namespace lifeboat
