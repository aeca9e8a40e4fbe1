#include "model/agent_record.h"

namespace lifeboat {

Json ToJson(const AgentRecord& r) {
  return {{"format", "lifeboat-agent-record/1"},
          {"highest", r.highest.number},
          {"incarnation", r.incarnation.number},
          {"released", r.released.number},
          {"held", r.held.number},
          {"joined", r.joined.number},
          {"longest_promise_ms", Millis(r.longest_promise)}};
}

Result<AgentRecord> AgentRecordFromJson(const Json& json) {
  if (TextAt(json, "format") != "lifeboat-agent-record/1" || !MemberAt(json, "highest").is_number_unsigned() ||
      !MemberAt(json, "held").is_number_unsigned()) {
    return Fail("the agent's durable record cannot be read",
                "do not delete it: it says which epochs this region has seen; restore it, or rejoin the region anew");
  }
  AgentRecord record;
  record.highest = {NumberAt(json, "highest")};
  record.incarnation = {NumberAt(json, "incarnation")};
  record.released = {NumberAt(json, "released")};
  record.held = {NumberAt(json, "held")};
  record.joined = {NumberAt(json, "joined")};
  record.longest_promise = std::chrono::milliseconds(NumberAt(json, "longest_promise_ms"));
  return record;
}

}  // namespace lifeboat
