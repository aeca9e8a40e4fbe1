#include "decide/promise.h"

namespace lifeboat {

namespace {
Json InstantToJson(Instant at) { return Json::array({at.boot.count(), at.raw.count()}); }

std::optional<Instant> InstantFromJson(const Json& json) {
  if (!json.is_array() || json.size() != 2 || !json[0].is_number_integer() || !json[1].is_number_integer()) return std::nullopt;
  return Instant{Duration(json[0].get<std::int64_t>()), Duration(json[1].get<std::int64_t>())};
}
}  // namespace

Json ToJson(const PromiseQuestion& q) {
  return {{"holder", q.holder.text},         {"agent", q.agent.text},         {"epoch", q.epoch.number},
          {"asked", InstantToJson(q.asked)}, {"length_ms", Millis(q.length)}, {"binding", q.binding}};
}

Result<PromiseQuestion> PromiseQuestionFromJson(const Json& json) {
  const auto asked = InstantFromJson(MemberAt(json, "asked"));
  const std::uint64_t length_ms = NumberAt(json, "length_ms");
  if (!asked || TextAt(json, "holder").empty() || TextAt(json, "agent").empty() || NumberAt(json, "epoch") == 0 || length_ms == 0 ||
      length_ms > 3'600'000 || !MemberAt(json, "binding").is_boolean()) {
    return Fail("the question for a promise cannot be read: '" + json.dump() + "'");
  }
  PromiseQuestion q;
  q.holder = RegionName(TextAt(json, "holder"));
  q.agent = AgentId(TextAt(json, "agent"));
  q.epoch = {NumberAt(json, "epoch")};
  q.asked = *asked;
  q.length = std::chrono::milliseconds(length_ms);
  q.binding = FlagAt(json, "binding");
  return q;
}

Json ToJson(const PromiseAnswer& a) {
  return {{"region", a.region.text}, {"agent", a.agent.text},  {"epoch", a.epoch.number},         {"asked", InstantToJson(a.asked)},
          {"binding", a.binding},    {"promised", a.promised}, {"granted_ms", Millis(a.granted)}, {"highest", a.highest.number},
          {"refusal", a.refusal},    {"run", a.run.text},      {"clock", InstantToJson(a.clock)}};
}

Result<PromiseAnswer> PromiseAnswerFromJson(const Json& json) {
  const auto asked = InstantFromJson(MemberAt(json, "asked"));
  if (!asked || TextAt(json, "region").empty() || TextAt(json, "agent").empty() || !MemberAt(json, "promised").is_boolean() ||
      !MemberAt(json, "binding").is_boolean()) {
    return Fail("the answer to a question for a promise cannot be read: '" + json.dump() + "'");
  }
  PromiseAnswer a;
  a.region = RegionName(TextAt(json, "region"));
  a.agent = AgentId(TextAt(json, "agent"));
  a.epoch = {NumberAt(json, "epoch")};
  a.asked = *asked;
  a.binding = FlagAt(json, "binding");
  a.promised = FlagAt(json, "promised");
  a.granted = std::chrono::milliseconds(NumberAt(json, "granted_ms"));
  a.highest = {NumberAt(json, "highest")};
  a.refusal = TextAt(json, "refusal");
  a.run = AgentId(TextAt(json, "run"));
  a.clock = InstantFromJson(MemberAt(json, "clock")).value_or(Instant{});
  return a;
}

}  // namespace lifeboat
