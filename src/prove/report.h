#pragma once

// From one document "lifeboat-report/1" (docs/formats/report.md) to what people look at: a table for the terminal and one
// self-contained HTML page. Nothing is asked or measured here; what the document calls null is shown as unknown.
// Thread rule: pure functions; WriteReport blocks on the disk.

#include <filesystem>
#include <string>

#include "base/json.h"
#include "base/result.h"

namespace lifeboat {

/// @error kFail: names the first member that is missing or of the wrong type: "report: 'runs[0].phases[2].name' is missing"
[[nodiscard]] Result<Unit> ValidateReport(const Json& document);

enum class Colour { kNo, kYes };

/// At most 100 columns, UTF-8. `document` is one that ValidateReport took.
[[nodiscard]] std::string RenderTerminal(const Json& document, Colour colour = Colour::kNo);

/// One HTML page without any outside resource; light, dark and print. `document` is one that ValidateReport took.
[[nodiscard]] std::string RenderHtml(const Json& document);

/// Validates, then writes both files, each whole or not at all; an empty path is passed over.
/// @error kFail: the document is not a report, or a file cannot be written
[[nodiscard]] Result<Unit> WriteReport(const Json& document, const std::filesystem::path& html, const std::filesystem::path& json);

}  // namespace lifeboat
