#include <algorithm>
#include <cmath>

#include "prove/trace_internal.h"

namespace lifeboat {

namespace {

using trace_internal::HashPrefix;
using trace_internal::SpanIdOf;

constexpr std::size_t kMostLevels = 200;  // events; a collector takes no more than some hundred a span
constexpr const char* kNotAsked = "not asked for";

Duration SecondsAt(const Json& object, const char* key) {
  const Json& value = MemberAt(object, key);
  if (!value.is_number()) return Duration{0};
  const double seconds = value.get<double>();
  return std::isfinite(seconds) && seconds > 0 ? Duration(std::llround(seconds * 1e9)) : Duration{0};
}

/// A report says when a restore began in words.
std::optional<WallTime> MomentAt(const Json& object, const char* key) {
  const std::string text = TextAt(object, key);
  std::tm parts{};
  int millis = 0;
  int read = 0;
  if (std::sscanf(text.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &parts.tm_year, &parts.tm_mon, &parts.tm_mday, &parts.tm_hour,
                  &parts.tm_min, &parts.tm_sec, &millis, &read) != 7 ||
      read != static_cast<int>(text.size())) {
    return std::nullopt;
  }
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  const std::int64_t seconds = ::timegm(&parts);
  return WallTime{seconds * 1000000000 + std::int64_t{millis} * 1000000};
}

void AddLevels(Span& span, const Json& levels, const std::string& set) {
  for (const Json& level : levels) {
    const std::string verdict = TextAt(level, "verdict", "unknown");
    const std::string reason = TextAt(level, "reason");
    if (verdict == "not checked" && reason == kNotAsked) continue;
    if (span.events.size() >= kMostLevels) {
      ++span.events_left_out;
      continue;
    }
    SpanEvent event{"level", span.ended};
    event.attributes = {{"lifeboat.backup.level", TextAt(level, "name")}, {"lifeboat.backup.verdict", verdict}};
    if (!set.empty()) event.attributes["lifeboat.backup.set"] = set;
    if (!reason.empty()) event.attributes["lifeboat.backup.reason"] = reason;
    span.events.push_back(std::move(event));
  }
}

Json FaultsOf(const Json& report) {
  Json numbers = Json::array();
  for (const Json& finding : MemberAt(report, "findings")) {
    const Json number = TextAt(finding, "fault");
    if (TextAt(finding, "severity") == "fault" && std::find(numbers.begin(), numbers.end(), number) == numbers.end())
      numbers.push_back(number);
  }
  return numbers;
}

/// The restore of one set: its phases follow each other, so their lengths are their places.
void AddRestore(Trace& trace, const Span& root, const Json& set, const Json& common) {
  const Json& restore = MemberAt(set, "restore");
  const auto began = MomentAt(restore, "began");
  if (!began) return;
  const std::string label = TextAt(set, "label");
  const std::string key = "set " + label;
  Span span;
  span.id = SpanIdOf(trace.id, key);
  span.parent = root.id;
  span.name = "restore set";
  span.began = *began;
  span.ended = {began->ns + SecondsAt(restore, "seconds").count()};
  span.attributes = common;
  span.attributes["lifeboat.backup.set"] = label;
  const Json& rto = MemberAt(MemberAt(restore, "rto"), "measured_seconds");
  if (rto.is_number()) span.attributes["lifeboat.rto.seconds"] = rto.get<double>();
  const Json& fault = MemberAt(restore, "fault");
  if (fault.is_boolean()) span.status = fault.get<bool>() ? SpanStatus::kError : SpanStatus::kOk;
  std::vector<Span> phases;
  WallTime at = *began;
  for (const Json& phase : MemberAt(restore, "phases")) {
    Span part;
    part.id = SpanIdOf(trace.id, key + " phase " + std::to_string(phases.size()));
    part.parent = span.id;
    part.name = TextAt(phase, "name", "phase");
    part.began = at;
    part.ended = at = {at.ns + SecondsAt(phase, "seconds").count()};
    part.attributes = common;
    part.attributes["lifeboat.backup.set"] = label;
    phases.push_back(std::move(part));
  }
  span.ended = std::max(span.ended, at);
  trace.spans.push_back(std::move(span));
  for (Span& part : phases) trace.spans.push_back(std::move(part));
}

}  // namespace

Trace TraceOf(const BackupWorkDone& done) {
  Trace trace;
  trace.id = TraceId(HashPrefix("lifeboat backup trace 1\n" + done.service + "\n" + done.region.text + "\n" + done.source + "\n" +
                                    done.work + "\n" + std::to_string(done.began.ns),
                                16));
  const Json common = {{"lifeboat.service", done.service}, {"lifeboat.backup.source", done.source}};
  Span root;
  root.id = SpanIdOf(trace.id, "backup");
  root.name = "backup " + done.work;
  root.began = done.began;
  root.ended = std::max(done.began, done.ended);
  root.attributes = common;
  root.attributes["lifeboat.backup.level"] = done.level;
  root.attributes["lifeboat.backup.exit_code"] = done.exit_code;
  const Json faults = FaultsOf(done.report);
  if (!faults.empty()) root.attributes["lifeboat.backup.faults"] = faults;
  const bool given = done.problem.empty();
  root.status = given && faults.empty() ? SpanStatus::kOk : SpanStatus::kError;
  root.status_text = given ? (faults.empty() ? "" : "faults were found") : done.problem;
  if (given) {
    for (const Json& set : MemberAt(done.report, "sets")) {
      AddRestore(trace, root, set, common);
      AddLevels(root, MemberAt(set, "levels"), TextAt(set, "label"));
    }
    AddLevels(root, MemberAt(MemberAt(done.report, "wal"), "levels"), "");
  }
  // A child process stamped these times, by the same clock, read in milliseconds.
  for (const Span& span : trace.spans) {
    root.began = std::min(root.began, span.began);
    root.ended = std::max(root.ended, span.ended);
  }
  for (SpanEvent& event : root.events) event.at = root.ended;
  trace.spans.insert(trace.spans.begin(), std::move(root));
  return trace;
}

}  // namespace lifeboat
