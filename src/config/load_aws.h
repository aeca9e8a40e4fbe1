#pragma once

// The section 'aws' of lifeboat.yaml, as a part of load.cc: typed values, then the rules across keys.
// Thread rule: pure.

#include <optional>

#include "config/document.h"
#include "config/settings.h"

namespace lifeboat {

[[nodiscard]] std::optional<AwsSettings> BuildAws(const Document& document);

/// Judges only values that were themselves good. `settings` is built already.
void CheckAws(const Document& document, const Settings& settings, Problems& problems);

}  // namespace lifeboat
