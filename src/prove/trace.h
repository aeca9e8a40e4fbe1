#pragma once

// From what was journaled to what a tracing system shows: spans of an execution, or of a run of work on backups
// (docs/formats/traces.md). Made after the fact, from the record alone: nothing here is on the way of a failover.
// Thread rule: pure functions.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/time.h"
#include "base/types.h"
#include "model/execution.h"
#include "model/policy.h"

namespace lifeboat {

using TraceId = Named<struct TraceIdTag>;  ///< 32 lower-case hexadecimal digits
using SpanId = Named<struct SpanIdTag>;    ///< 16

/// The trace of an execution: the same for every agent, and every run of it, that takes part.
[[nodiscard]] TraceId TraceIdOf(std::string_view service, const ExecutionId& execution);

struct SpanEvent {
  std::string name;
  WallTime at;
  Json attributes = Json::object();  ///< flat: texts, flags, numbers, lists of texts
};

enum class SpanStatus { kUnset, kOk, kError };

struct Span {
  SpanId id;
  SpanId parent;  ///< empty: the root
  std::string name;
  WallTime began;
  WallTime ended;                    ///< never before `began`
  Json attributes = Json::object();  ///< as an event's
  std::vector<SpanEvent> events;     ///< in their order
  std::uint32_t events_left_out = 0;
  SpanStatus status = SpanStatus::kUnset;
  std::string status_text;  ///< kError: why
};

struct Trace {
  TraceId id;
  std::vector<Span> spans;  ///< the root first
};

/// The spans of an execution that has ended. Of one that has not, those that lie behind it; the root is missing then.
[[nodiscard]] Trace TraceOf(const Execution& execution, std::string_view service, const Objectives& objectives);

/// One run of the agent's work on a source of backups.
struct BackupWorkDone {
  std::string service;
  RegionName region;
  std::string source;
  std::string work;  ///< "verify", "restore"
  int level = 0;     ///< that was asked for
  WallTime began;
  WallTime ended;
  int exit_code = 0;
  std::string problem;  ///< why it gave no report; empty: it gave one
  Json report;          ///< "lifeboat-backup-verify/1"; null: none
};
[[nodiscard]] Trace TraceOf(const BackupWorkDone& done);

}  // namespace lifeboat
