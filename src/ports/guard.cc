#include "ports/guard.h"

namespace lifeboat {

const char* ToString(FenceLevel level) {
  switch (level) {
    case FenceLevel::kNone: return "none";
    case FenceLevel::kGuard: return "guard";
    case FenceLevel::kGateAndGuard: return "gate and guard";
  }
  return "none";
}

}  // namespace lifeboat
