#pragma once

// The report's part about backups (docs/formats/report.md, "A backup source"): verdicts a level, promises, findings, restore, and
// the windows with their holes as a picture. Absent from the document: nothing is said of backups. Thread rule: pure functions.

#include <string>
#include <vector>

#include "base/json.h"

namespace lifeboat {

/// The sections of the page; their style sheet is BackupStyle.
[[nodiscard]] std::string BackupSections(const Json& document);
[[nodiscard]] const char* BackupStyle();

/// Where each backup leads: what can be reached, the holes, and what lies behind them, by WAL position. Empty: no window.
[[nodiscard]] std::string WindowsPicture(const Json& windows);

/// One block of lines a source for the terminal: the first is its title. What is too long is cut by whoever prints it.
[[nodiscard]] std::vector<std::vector<std::string>> BackupLines(const Json& document);

}  // namespace lifeboat
