#pragma once

// Traces in the words of OTLP/HTTP JSON (docs/formats/traces.md): ids in hexadecimal, 64-bit numbers as texts, enumerations as
// numbers.
// @source OpenTelemetry Protocol Specification 1.x, "JSON Protobuf Encoding"; proto3's JSON mapping
// Thread rule: pure functions.

#include "base/json.h"
#include "prove/trace.h"

namespace lifeboat {

/// Who sends.
struct TraceResource {
  std::string version;   ///< the program's
  std::string instance;  ///< the run of the agent
  std::string host;      ///< empty: unknown, and left out
  RegionName region;
};

/// An ExportTraceServiceRequest with one trace.
[[nodiscard]] Json OtlpRequest(const Trace& trace, const TraceResource& resource);

/// What goes over the wire.
[[nodiscard]] std::string OtlpText(const Json& request);

}  // namespace lifeboat
