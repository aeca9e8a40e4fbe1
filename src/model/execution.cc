#include "model/execution.h"

namespace lifeboat {

namespace {
template <typename Enum, std::size_t N>
std::optional<Enum> Parse(std::string_view text, const Enum (&all)[N]) {
  for (const Enum value : all) {
    if (text == ToString(value)) return value;
  }
  return std::nullopt;
}
constexpr PlanKind kKinds[] = {PlanKind::kFailover, PlanKind::kSwitchover, PlanKind::kRejoin};
constexpr ExecutionState kStates[] = {ExecutionState::kRunning, ExecutionState::kWaiting, ExecutionState::kAborting,
                                      ExecutionState::kDone,    ExecutionState::kFailed,  ExecutionState::kAborted};
constexpr StepState kStepStates[] = {StepState::kPending, StepState::kIntended, StepState::kDone, StepState::kFailed,
                                     StepState::kUndone};

Json TriesToJson(const std::vector<StepTry>& tries) {
  Json list = Json::array();
  for (const StepTry& one : tries) {
    list.push_back({{"at_ns", one.at.ns}, {"attempt", one.attempt}, {"what", one.what}});
    Json& json = list.back();
    if (!one.said.empty()) json["said"] = one.said;
    // The record is written at each step of a failover: who tried is said where it changes.
    const StepTry* before = &one == &tries.front() ? nullptr : &one - 1;
    if (before != nullptr && before->agent == one.agent) continue;
    json["agent"] = one.agent.text;
    json["region"] = one.region.text;
  }
  return list;
}

std::vector<StepTry> TriesFromJson(const Json& json) {
  std::vector<StepTry> tries;
  for (const Json& one : json) {
    tries.push_back({{SignedAt(one, "at_ns")},
                     static_cast<std::uint32_t>(NumberAt(one, "attempt")),
                     TextAt(one, "what"),
                     TextAt(one, "said"),
                     AgentId(TextAt(one, "agent", tries.empty() ? "" : tries.back().agent.text)),
                     RegionName(TextAt(one, "region", tries.empty() ? "" : tries.back().region.text))});
  }
  return tries;
}
}  // namespace

const char* ToString(PlanKind kind) {
  switch (kind) {
    case PlanKind::kFailover: return "failover";
    case PlanKind::kSwitchover: return "switchover";
    case PlanKind::kRejoin: return "rejoin";
  }
  return "failover";
}
std::optional<PlanKind> ParsePlanKind(std::string_view text) { return Parse(text, kKinds); }

const char* ToString(ExecutionState state) {
  switch (state) {
    case ExecutionState::kRunning: return "running";
    case ExecutionState::kWaiting: return "waiting";
    case ExecutionState::kAborting: return "aborting";
    case ExecutionState::kDone: return "done";
    case ExecutionState::kFailed: return "failed";
    case ExecutionState::kAborted: return "aborted";
  }
  return "running";
}

const char* ToString(StepState state) {
  switch (state) {
    case StepState::kPending: return "pending";
    case StepState::kIntended: return "intended";
    case StepState::kDone: return "done";
    case StepState::kFailed: return "failed";
    case StepState::kUndone: return "undone";
  }
  return "pending";
}

const StepRecord* Execution::Find(std::string_view step) const {
  for (const StepRecord& record : steps) {
    if (record.name == step) return &record;
  }
  return nullptr;
}
StepRecord* Execution::Find(std::string_view step) {
  return const_cast<StepRecord*>(static_cast<const Execution*>(this)->Find(step));
}

void StepRecord::Note(StepTry one) {
  if (tries.size() >= kMostTries) {
    tries.erase(tries.begin() + 1);
    ++tries_left_out;
  }
  tries.push_back(std::move(one));
}

Json ToJson(const Execution& e) {
  Json steps = Json::array();
  for (const StepRecord& s : e.steps) {
    steps.push_back({{"name", s.name},
                     {"state", ToString(s.state)},
                     {"attempts", s.attempts},
                     {"began_ns", s.began.ns},
                     {"ended_ns", s.ended.ns},
                     {"outcome", s.outcome},
                     {"result", s.result}});
    if (!s.tries.empty()) steps.back()["tries"] = TriesToJson(s.tries);
    if (s.tries_left_out > 0) steps.back()["tries_left_out"] = s.tries_left_out;
  }
  return {{"id", e.id.text},
          {"kind", ToString(e.kind)},
          {"state", ToString(e.state)},
          {"source", e.source.text},
          {"target", e.target.text},
          {"epoch", e.epoch.number},
          {"owner", e.owner.text},
          {"owner_agent", e.owner_agent.text},
          {"revision", e.revision},
          {"accept_loss", e.accept_loss},
          {"requested_by", e.requested_by},
          {"reason", e.reason},
          {"began_ns", e.began.ns},
          {"ended_ns", e.ended.ns},
          {"waiting_for", e.waiting_for},
          {"steps", steps},
          {"facts", e.facts}};
}

Result<Execution> ExecutionFromJson(const Json& json) {
  const auto kind = ParsePlanKind(TextAt(json, "kind"));
  const auto state = Parse(TextAt(json, "state"), kStates);
  if (!kind || !state || TextAt(json, "id").empty() || !MemberAt(json, "steps").is_array()) {
    return Fail("an execution record cannot be read: '" + json.dump().substr(0, 200) + "'");
  }
  Execution e;
  e.id = ExecutionId(TextAt(json, "id"));
  e.kind = *kind;
  e.state = *state;
  e.source = RegionName(TextAt(json, "source"));
  e.target = RegionName(TextAt(json, "target"));
  e.epoch = {NumberAt(json, "epoch")};
  e.owner = RegionName(TextAt(json, "owner"));
  e.owner_agent = AgentId(TextAt(json, "owner_agent"));
  e.revision = NumberAt(json, "revision");
  e.accept_loss = FlagAt(json, "accept_loss");
  e.requested_by = TextAt(json, "requested_by");
  e.reason = TextAt(json, "reason");
  e.began = {SignedAt(json, "began_ns")};
  e.ended = {SignedAt(json, "ended_ns")};
  e.waiting_for = TextAt(json, "waiting_for");
  e.facts = MemberAt(json, "facts").is_object() ? MemberAt(json, "facts") : Json::object();
  for (const Json& s : MemberAt(json, "steps")) {
    const auto step_state = Parse(TextAt(s, "state"), kStepStates);
    if (!step_state) return Fail("execution '" + e.id.text + "' has a step in an unknown state: '" + s.dump() + "'");
    StepRecord record;
    record.name = TextAt(s, "name");
    record.state = *step_state;
    record.attempts = static_cast<std::uint32_t>(NumberAt(s, "attempts"));
    record.began = {SignedAt(s, "began_ns")};
    record.ended = {SignedAt(s, "ended_ns")};
    record.outcome = TextAt(s, "outcome");
    record.result = MemberAt(s, "result").is_object() ? MemberAt(s, "result") : Json::object();
    record.tries = TriesFromJson(MemberAt(s, "tries"));
    record.tries_left_out = static_cast<std::uint32_t>(NumberAt(s, "tries_left_out"));
    e.steps.push_back(std::move(record));
  }
  return e;
}

}  // namespace lifeboat
