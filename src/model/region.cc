#include "model/region.h"

namespace lifeboat {

const char* ToString(RegionKind kind) {
  switch (kind) {
    case RegionKind::kData: return "data";
    case RegionKind::kWitness: return "witness";
  }
  return "data";
}

const char* ToString(Role role) {
  switch (role) {
    case Role::kPrimary: return "primary";
    case Role::kStandby: return "standby";
    case Role::kWitness: return "witness";
    case Role::kNone: return "none";
  }
  return "none";
}

std::optional<Role> ParseRole(std::string_view text) {
  for (const Role role : {Role::kPrimary, Role::kStandby, Role::kWitness, Role::kNone}) {
    if (text == ToString(role)) return role;
  }
  return std::nullopt;
}

const char* ToString(Verdict verdict) {
  switch (verdict) {
    case Verdict::kUnknown: return "unknown";
    case Verdict::kHealthy: return "healthy";
    case Verdict::kSuspect: return "suspect";
    case Verdict::kDegraded: return "degraded";
    case Verdict::kLost: return "lost";
    case Verdict::kFenced: return "fenced";
    case Verdict::kRejoining: return "rejoining";
    case Verdict::kDetached: return "detached";
  }
  return "unknown";
}

}  // namespace lifeboat
