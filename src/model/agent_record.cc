#include "model/agent_record.h"

namespace lifeboat {

Json ToJson(const AgentRecord& r) {
  return {{"format", "lifeboat-agent-record/1"}, {"highest", r.highest.number}, {"incarnation", r.incarnation.number},
          {"released", r.released.number},       {"held", r.held.number},       {"joined", r.joined.number}};
}

Result<AgentRecord> AgentRecordFromJson(const Json& json) {
  if (TextAt(json, "format") != "lifeboat-agent-record/1" || !MemberAt(json, "highest").is_number_unsigned() ||
      !MemberAt(json, "held").is_number_unsigned()) {
    return Fail("the agent's durable record cannot be read",
                "do not delete it: it says which epochs this region has seen; restore it, or rejoin the region anew");
  }
  return AgentRecord{{NumberAt(json, "highest")},
                     {NumberAt(json, "incarnation")},
                     {NumberAt(json, "released")},
                     {NumberAt(json, "held")},
                     {NumberAt(json, "joined")}};
}

}  // namespace lifeboat
