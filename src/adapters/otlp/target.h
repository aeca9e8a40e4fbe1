#pragma once

// Where traces go, and what goes with them: by lifeboat.yaml, or by OpenTelemetry's environment variables (docs/formats/traces.md).
// Thread rule: pure functions.

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "config/telemetry_settings.h"
#include "config/text.h"

namespace lifeboat {

struct OtlpTarget {
  std::string url;                   ///< whole, "https://collector.example.net:4318/v1/traces"
  std::vector<std::string> headers;  ///< "Name: value"; may be secret, and are never said
  std::string ca_file;               ///< empty: the system's certificates
  Duration timeout{std::chrono::seconds(10)};
};

struct OtlpChoice {
  std::optional<OtlpTarget> target;   ///< nothing: nobody is told
  std::vector<std::string> warnings;  ///< what was passed over, and why
};

/// What `settings` says, else the environment. What is wrong in the environment is passed over and warned of: an agent begins all
/// the same.
/// @param headers_text  content of settings->headers_file, where that is given
[[nodiscard]] OtlpChoice ChooseTarget(const std::optional<TraceSettings>& settings, const std::string& headers_text,
                                      const Environment& environment);

/// "Name: value" lines; empty ones and those that begin with '#' are passed over.
/// @error kFail: names the line, never its content
[[nodiscard]] Result<std::vector<std::string>> ParseHeaderLines(const std::string& text);

/// "name=value,name=value", values percent-encoded. @error kFail: names the place, never its content
/// @source OpenTelemetry specification, "OTLP Exporter Configuration"; W3C Baggage, "Header Content"
[[nodiscard]] Result<std::vector<std::string>> ParseHeaderList(const std::string& text);

}  // namespace lifeboat
