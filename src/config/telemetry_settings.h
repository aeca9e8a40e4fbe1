#pragma once

// Where traces go: `telemetry` of lifeboat.yaml (docs/formats/traces.md).
// Thread rule: plain values.

#include <optional>
#include <string>

#include "base/time.h"

namespace lifeboat {

/// A collector of OTLP over HTTP.
struct TraceSettings {
  std::string endpoint;                     ///< "https://collector.example.net:4318", perhaps with a path; "/v1/traces" is appended
  std::optional<std::string> headers_file;  ///< 0600: "Name: value" lines that go with each request
  std::string ca_file;                      ///< certificates that sign the collector's; empty: the system's
  Duration timeout{std::chrono::seconds(10)};  ///< of one request
};

struct TelemetrySettings {
  std::optional<TraceSettings> traces;  ///< nothing: the environment may name a collector
};

}  // namespace lifeboat
