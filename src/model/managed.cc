#include "model/managed.h"

#include <algorithm>
#include <array>

namespace lifeboat {

const char* ToString(ManagedRole role) {
  switch (role) {
    case ManagedRole::kUnknown: return "unknown";
    case ManagedRole::kWriter: return "writer";
    case ManagedRole::kSecondary: return "secondary";
    case ManagedRole::kApart: return "apart";
    case ManagedRole::kAbsent: return "absent";
  }
  return "unknown";
}

bool TakesConnections(std::string_view status) {
  constexpr std::array<std::string_view, 8> kServing{"available",
                                                     "backing-up",
                                                     "storage-optimization",
                                                     "storage-initialization",
                                                     "configuring-associated-roles",
                                                     "configuring-enhanced-monitoring",
                                                     "configuring-iam-database-auth",
                                                     "configuring-log-exports"};
  return std::find(kServing.begin(), kServing.end(), status) != kServing.end();
}

Json ToJson(const ManagedCopy& copy) {
  return {{"role", ToString(copy.role)},
          {"id", copy.id},
          {"status", copy.status},
          {"version", copy.version},
          {"instances", copy.instances ? Json(*copy.instances) : Json(nullptr)},
          {"follows", copy.follows.text},
          {"problem", copy.problem}};
}

ManagedCopy ManagedCopyFromJson(const Json& json) {
  ManagedCopy copy;
  const std::string role = TextAt(json, "role");
  for (const ManagedRole each : {ManagedRole::kWriter, ManagedRole::kSecondary, ManagedRole::kApart, ManagedRole::kAbsent}) {
    if (role == ToString(each)) copy.role = each;
  }
  copy.id = TextAt(json, "id");
  copy.status = TextAt(json, "status");
  copy.version = TextAt(json, "version");
  if (MemberAt(json, "instances").is_number_unsigned()) copy.instances = NumberAt(json, "instances");
  copy.follows = RegionName(TextAt(json, "follows"));
  copy.problem = TextAt(json, "problem");
  return copy;
}

Json ToJson(const WriterItem& item) {
  return {{"epoch", item.epoch.number},       {"writer", item.writer.text}, {"moving_to", item.moving_to.text},
          {"execution", item.execution.text}, {"at_ns", item.at.ns},        {"apart", item.apart}};
}

Result<WriterItem> WriterItemFromJson(const Json& json) {
  WriterItem item;
  item.epoch = {NumberAt(json, "epoch")};
  item.writer = RegionName(TextAt(json, "writer"));
  item.moving_to = RegionName(TextAt(json, "moving_to"));
  item.execution = ExecutionId(TextAt(json, "execution"));
  item.at = {SignedAt(json, "at_ns")};
  item.apart = FlagAt(json, "apart");
  if (item.epoch.number == 0 || item.writer.empty()) return Fail("the item that names the writer cannot be read");
  return item;
}

}  // namespace lifeboat
