#pragma once

// A line of `lifeboat check`: what was seen of one thing that a failover will need.
// Thread rule: plain values.

#include <string>
#include <vector>

#include "base/json.h"

namespace lifeboat {

struct Readiness {
  std::string level;  ///< "ok"; "fault": a failover would fail, lose, or take too long; "unknown": it could not be looked at
  std::string what;   ///< with the names and numbers seen
  std::string hint;   ///< the operator's next move; empty where it is ok
};

[[nodiscard]] inline Json ToJson(const Readiness& line) {
  return {{"level", line.level}, {"what", line.what}, {"hint", line.hint}};
}

}  // namespace lifeboat
