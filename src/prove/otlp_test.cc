#include "prove/otlp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

namespace lifeboat {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

const TraceResource kSender{"0.1.0", "0123456789abcdef", "db7.example.net", RegionName("us-west-2")};

Trace Small() {
  Trace trace;
  trace.id = TraceIdOf("orders", ExecutionId("x-1"));
  Span root;
  root.id = SpanId("00f067aa0ba902b7");
  root.name = "failover";
  root.began = {1'800'000'000'000'000'000};
  root.ended = {1'800'000'003'500'000'001};
  root.attributes = {{"flag", true}, {"list", {"F12", "F30"}}, {"number", 380}, {"share", 0.25}, {"text", "a \"quoted\" one"}};
  root.status = SpanStatus::kError;
  root.status_text = "it failed";
  Span step;
  step.id = SpanId("b7ad6b7169203331");
  step.parent = root.id;
  step.name = "step claim";
  step.began = root.began;
  step.ended = root.began;
  step.status = SpanStatus::kOk;
  step.events = {{"act", root.began, {{"lifeboat.attempt", 1}}}};
  step.events_left_out = 4;
  trace.spans = {root, step};
  return trace;
}

/// The whole, member by member, as the specification's own example has them: ids in hexadecimal, 64-bit numbers as texts,
/// enumerations as numbers.
TEST(Otlp, IsWrittenAsTheSpecificationSays) {
  const Json expected = Json::parse(R"({"resourceSpans":[{
    "resource":{"attributes":[
      {"key":"host.name","value":{"stringValue":"db7.example.net"}},
      {"key":"lifeboat.region","value":{"stringValue":"us-west-2"}},
      {"key":"service.instance.id","value":{"stringValue":"0123456789abcdef"}},
      {"key":"service.name","value":{"stringValue":"lifeboat"}},
      {"key":"service.version","value":{"stringValue":"0.1.0"}}]},
    "scopeSpans":[{
      "scope":{"name":"lifeboat","version":"1"},
      "spans":[
        {"traceId":"TRACE","spanId":"00f067aa0ba902b7","name":"failover","kind":1,
         "startTimeUnixNano":"1800000000000000000","endTimeUnixNano":"1800000003500000001",
         "attributes":[
           {"key":"flag","value":{"boolValue":true}},
           {"key":"list","value":{"arrayValue":{"values":[{"stringValue":"F12"},{"stringValue":"F30"}]}}},
           {"key":"number","value":{"intValue":"380"}},
           {"key":"share","value":{"doubleValue":0.25}},
           {"key":"text","value":{"stringValue":"a \"quoted\" one"}}],
         "status":{"code":2,"message":"it failed"}},
        {"traceId":"TRACE","spanId":"b7ad6b7169203331","parentSpanId":"00f067aa0ba902b7","name":"step claim","kind":1,
         "startTimeUnixNano":"1800000000000000000","endTimeUnixNano":"1800000000000000000","attributes":[],
         "events":[{"timeUnixNano":"1800000000000000000","name":"act","attributes":[{"key":"lifeboat.attempt","value":{"intValue":"1"}}]}],
         "droppedEventsCount":4,"status":{"code":1}}]}]}]})");
  Json made = OtlpRequest(Small(), kSender);
  for (Json& span : made["resourceSpans"][0]["scopeSpans"][0]["spans"]) {
    EXPECT_EQ(span["traceId"], Small().id.text);
    span["traceId"] = "TRACE";
  }
  EXPECT_EQ(made, expected) << Json::diff(made, expected).dump(1);
}

TEST(Otlp, TextsAreCutBetweenCharactersAndAlwaysUtf8) {
  Trace trace = Small();
  trace.spans.resize(1);
  std::string text(999, 'x');
  text += "\xE2\x86\x92 and more";  // an arrow of three bytes that the cut would go through
  trace.spans[0].attributes = {{"long", text}, {"broken", "\xFF\xFE"}};
  trace.spans[0].status_text.clear();
  const std::string sent = OtlpText(OtlpRequest(trace, kSender));
  const auto read = ParseJson(sent, "request");
  ASSERT_TRUE(read.ok()) << read.error().Text();
  const Json& attributes = (*read)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"];
  EXPECT_EQ(attributes[1]["value"]["stringValue"], std::string(999, 'x'));
}

TEST(Otlp, WhoSendsIsLeftOutWhereItIsUnknown) {
  const Json made = OtlpRequest(Small(), {"0.1.0", "", "", RegionName("us-west-2")});
  const std::string text = OtlpText(made);
  EXPECT_EQ(text.find("host.name"), std::string::npos);
  EXPECT_EQ(text.find("service.instance.id"), std::string::npos);
}

/// docs/formats/traces.md says how ids are made; the numbers were worked out by sha256sum.
TEST(Otlp, IdsAreThoseOfTheFormatsPage) {
  EXPECT_EQ(TraceIdOf("orders", ExecutionId("x-20261123-065029164-f0a0")).text, "2f1b63619bfd5a09db5e6bef469b57dd");
  const std::string page = ReadFile(LIFEBOAT_SOURCE_DIR "/docs/formats/traces.md");
  EXPECT_NE(page.find("`lifeboat trace 1` LF service LF execution's id"), std::string::npos);
}

}  // namespace
}  // namespace lifeboat
