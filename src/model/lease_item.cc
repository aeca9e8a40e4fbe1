#include "model/lease_item.h"

#include <algorithm>

namespace lifeboat {

bool LeaseItem::IsCandidate(const RegionName& region) const {
  return std::find(candidates.begin(), candidates.end(), region) != candidates.end();
}

Json ToJson(const LeaseItem& item) {
  Json candidates = Json::array();
  for (const RegionName& region : item.candidates) candidates.push_back(region.text);
  Json json = {{"epoch", item.epoch.number}, {"holder", item.holder.text}, {"holder_agent", item.holder_agent.text},
               {"counter", item.counter},    {"candidates", candidates},   {"length_ms", Millis(item.length)},
               {"released", nullptr}};
  if (item.released) json["released"] = {{"heir", item.released->heir.text}, {"token", item.released->token}};
  if (!item.attested.empty()) json["attested"] = item.attested;
  if (item.observed) json["observed"] = true;
  return json;
}

Result<LeaseItem> LeaseItemFromJson(const Json& json) {
  const Json& candidates = MemberAt(json, "candidates");
  const std::uint64_t length_ms = NumberAt(json, "length_ms");
  if (!MemberAt(json, "epoch").is_number_unsigned() || !MemberAt(json, "holder").is_string() || !candidates.is_array() ||
      length_ms == 0) {
    return Fail("the lease item in the store cannot be read: '" + json.dump() + "'",
                "another program wrote it, or a newer Lifeboat did; do not delete it while a primary is running");
  }
  LeaseItem item;
  item.epoch = {NumberAt(json, "epoch")};
  item.holder = RegionName(TextAt(json, "holder"));
  item.holder_agent = AgentId(TextAt(json, "holder_agent"));
  item.counter = NumberAt(json, "counter");
  for (const Json& region : candidates) {
    if (!region.is_string()) return Fail("the lease item's candidates are not names: '" + json.dump() + "'");
    item.candidates.emplace_back(region.get<std::string>());
  }
  item.length = std::chrono::milliseconds(length_ms);
  const Json& released = MemberAt(json, "released");
  if (released.is_object()) {
    item.released = Release{RegionName(TextAt(released, "heir")), TextAt(released, "token")};
  }
  item.attested = TextAt(json, "attested");
  item.observed = FlagAt(json, "observed");
  return item;
}

}  // namespace lifeboat
