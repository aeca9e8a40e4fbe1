#pragma once

// From the text of lifeboat.yaml to Settings (config/settings.h), without touching a file or the environment: what
// LoadSettings does after reading. Life cycle: walk the YAML by the key list → flat values with lines → typed Settings →
// rules across keys. All problems are collected, in the order of their lines.
// Thread rule: pure.

#include <filesystem>
#include <string_view>

#include "config/settings.h"
#include "config/text.h"

namespace lifeboat {

/// @param file  named in messages and kept in Settings::file; not read
/// @error kFail: as LoadSettings
[[nodiscard]] Result<Settings> ParseSettings(std::string_view text, const std::filesystem::path& file,
                                             const Environment& environment);

}  // namespace lifeboat
