#include "model/policy.h"

namespace lifeboat {

const char* ToString(Automation automation) {
  switch (automation) {
    case Automation::kObserve: return "observe";
    case Automation::kAct: return "act";
  }
  return "observe";
}

const char* ToString(DegradedAction action) {
  switch (action) {
    case DegradedAction::kTell: return "tell";
    case DegradedAction::kAsk: return "ask";
    case DegradedAction::kSwitchover: return "switchover";
  }
  return "tell";
}

const char* ToString(DatabaseFailure policy) {
  switch (policy) {
    case DatabaseFailure::kRestart: return "restart";
    case DatabaseFailure::kFailover: return "failover";
  }
  return "restart";
}

}  // namespace lifeboat
