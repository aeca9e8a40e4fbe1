#include "prove/otlp.h"

namespace lifeboat {

namespace {

constexpr int kInternal = 1;  // Span.SpanKind.SPAN_KIND_INTERNAL
constexpr const char* kScopeVersion = "1";
constexpr std::size_t kMostText = 1000;  // bytes

/// At most kMostText bytes, never within a character of UTF-8.
std::string Cut(const std::string& text) {
  if (text.size() <= kMostText) return text;
  std::size_t end = kMostText;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return text.substr(0, end);
}

/// An AnyValue. A null has none: the attribute is there and says nothing.
Json AnyValue(const Json& value) {
  if (value.is_string()) return {{"stringValue", Cut(value.get<std::string>())}};
  if (value.is_boolean()) return {{"boolValue", value.get<bool>()}};
  if (value.is_number_float()) return {{"doubleValue", value.get<double>()}};
  if (value.is_number()) return {{"intValue", value.dump()}};  // proto3's JSON mapping: int64 is a text
  if (value.is_array()) {
    Json values = Json::array();
    for (const Json& each : value) values.push_back(AnyValue(each));
    return {{"arrayValue", {{"values", std::move(values)}}}};
  }
  return Json::object();
}

Json Attributes(const Json& attributes) {
  Json list = Json::array();
  for (const auto& [key, value] : attributes.items()) list.push_back({{"key", key}, {"value", AnyValue(value)}});
  return list;
}

std::string Nanos(WallTime at) { return std::to_string(std::max<std::int64_t>(0, at.ns)); }

int StatusCode(SpanStatus status) {
  switch (status) {
    case SpanStatus::kUnset: return 0;
    case SpanStatus::kOk: return 1;
    case SpanStatus::kError: return 2;
  }
  return 0;
}

Json SpanJson(const TraceId& trace, const Span& span) {
  Json json = {{"traceId", trace.text},
               {"spanId", span.id.text},
               {"name", span.name},
               {"kind", kInternal},
               {"startTimeUnixNano", Nanos(span.began)},
               {"endTimeUnixNano", Nanos(span.ended)},
               {"attributes", Attributes(span.attributes)}};
  if (!span.parent.empty()) json["parentSpanId"] = span.parent.text;
  for (const SpanEvent& event : span.events) {
    json["events"].push_back(
        {{"timeUnixNano", Nanos(event.at)}, {"name", event.name}, {"attributes", Attributes(event.attributes)}});
  }
  if (span.events_left_out > 0) json["droppedEventsCount"] = span.events_left_out;
  if (span.status != SpanStatus::kUnset) json["status"]["code"] = StatusCode(span.status);
  if (!span.status_text.empty()) json["status"]["message"] = Cut(span.status_text);
  return json;
}

}  // namespace

Json OtlpRequest(const Trace& trace, const TraceResource& resource) {
  Json who = {{"service.name", "lifeboat"}, {"service.version", resource.version}, {"lifeboat.region", resource.region.text}};
  if (!resource.instance.empty()) who["service.instance.id"] = resource.instance;
  if (!resource.host.empty()) who["host.name"] = resource.host;
  Json spans = Json::array();
  for (const Span& span : trace.spans) spans.push_back(SpanJson(trace.id, span));
  Json scope = {{"scope", {{"name", "lifeboat"}, {"version", kScopeVersion}}}, {"spans", std::move(spans)}};
  Json of_resource = {{"resource", {{"attributes", Attributes(who)}}}, {"scopeSpans", Json::array({std::move(scope)})}};
  return {{"resourceSpans", Json::array({std::move(of_resource)})}};
}

std::string OtlpText(const Json& request) { return request.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace lifeboat
