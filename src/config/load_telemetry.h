#pragma once

// The part of loading that concerns telemetry: `telemetry` (telemetry_settings.h).
// Thread rule: pure functions.

#include "config/document.h"
#include "config/settings.h"

namespace lifeboat {

[[nodiscard]] TelemetrySettings BuildTelemetry(const Document& document);
/// Rules across keys. Each judges only values that were themselves good.
void CheckTelemetry(const Document& document, const Settings& settings, Problems& problems);

/// "https://" or "http://", a DNS name or an address, perhaps a port, perhaps a path; no user, no question, no fragment.
[[nodiscard]] bool IsCollectorUrl(std::string_view text);
/// The host of such a URL: a name, or an address without brackets.
[[nodiscard]] std::string HostOfCollector(std::string_view url);

}  // namespace lifeboat
