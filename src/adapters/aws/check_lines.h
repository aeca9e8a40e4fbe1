#pragma once

// Lines for `lifeboat check`, as the doors of this folder write them. What could not be looked at is said as that, never as ok.
// Thread rule: pure functions.

#include <string>
#include <utility>

#include "base/result.h"
#include "ports/readiness.h"

namespace lifeboat::aws {

[[nodiscard]] inline Readiness Ok(std::string what) { return Readiness{"ok", std::move(what), {}}; }
[[nodiscard]] inline Readiness Fault(std::string what, std::string hint) {
  return Readiness{"fault", std::move(what), std::move(hint)};
}
[[nodiscard]] inline Readiness Unknown(std::string what, std::string hint) {
  return Readiness{"unknown", std::move(what), std::move(hint)};
}
/// `what` could not be seen, for this reason.
[[nodiscard]] inline Readiness Unseen(const std::string& what, const Error& problem) {
  return Unknown(what + ": " + problem.message,
                 problem.hint.empty() ? "see whether the region answers, and may be asked" : problem.hint);
}

}  // namespace lifeboat::aws
