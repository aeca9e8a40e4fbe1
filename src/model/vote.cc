#include "model/vote.h"

namespace lifeboat {

const char* ToString(Opinion opinion) {
  switch (opinion) {
    case Opinion::kUnknown: return "unknown";
    case Opinion::kOk: return "ok";
    case Opinion::kDegraded: return "degraded";
  }
  return "unknown";
}

Json ToJson(const Vote& v) {
  return {{"opinion", ToString(v.opinion)},
          {"about", v.about.text},
          {"epoch", v.epoch.number},
          {"why", v.why},
          {"lasted_ms", Millis(v.lasted)}};
}

Vote VoteFromJson(const Json& json) {
  Vote vote;
  const std::string opinion = TextAt(json, "opinion");
  if (opinion == "ok") vote.opinion = Opinion::kOk;
  if (opinion == "degraded") vote.opinion = Opinion::kDegraded;
  vote.about = RegionName(TextAt(json, "about"));
  vote.epoch = {NumberAt(json, "epoch")};
  vote.why = TextAt(json, "why");
  vote.lasted = std::chrono::milliseconds(NumberAt(json, "lasted_ms"));
  return vote;
}

Json ToJson(const VoteCount& c) {
  return {{"agents", c.agents},
          {"degraded", c.degraded},
          {"ok", c.ok},
          {"unknown", c.Unknown()},
          {"majority_ms", c.majority_for ? Json(Millis(*c.majority_for)) : Json(nullptr)},
          {"why", c.why}};
}

Json ToJson(const CoolDown& c) {
  return {{"at_ns", c.at.ns}, {"by", c.by}, {"why", c.why}, {"from", c.from.text}, {"to", c.to.text}, {"execution", c.execution}};
}

CoolDown CoolDownFromJson(const Json& json) {
  return {{SignedAt(json, "at_ns")},      TextAt(json, "by"),       TextAt(json, "why"), RegionName(TextAt(json, "from")),
          RegionName(TextAt(json, "to")), TextAt(json, "execution")};
}

}  // namespace lifeboat
