#pragma once

// Times as AWS writes them. Thread rule: pure functions.

#include <optional>
#include <string_view>

#include "base/time.h"

namespace lifeboat::aws {

/// "Mon, 23 Nov 2026 11:46:22 GMT". Nothing: it is no such date. @source RFC 9110 section 5.6.7, IMF-fixdate
[[nodiscard]] std::optional<WallTime> ParseHttpDate(std::string_view text);

/// "2026-11-23T11:46:22Z", "2026-11-23T11:46:22.123Z", "2026-11-23T11:46:22+00:00". Nothing: it is no such time.
/// @source RFC 3339; other offsets than zero are not taken
[[nodiscard]] std::optional<WallTime> ParseTimestamp(std::string_view text);

}  // namespace lifeboat::aws
