#include "agent/fence_finding.h"

#include "ports/guard.h"

namespace lifeboat {

namespace {

/// What the external fence adds to the level, and what is wrong with it.
struct External {
  bool in_force = false;  ///< no takeover goes on without its proof, and every region that may take over could run it
  std::string text;       ///< for the line; empty: the region has none
  std::string problem;
};

External LookAt(const RegionSettings& region, const Json& seen) {
  External external;
  if (!region.fence) return external;
  for (const auto& [by, problem] : seen.items()) {
    const std::string why = problem.is_string() ? problem.get<std::string>() : "unknown";
    if (!why.empty()) external.problem += (external.problem.empty() ? "'" : "; '") + by + "': " + why;
  }
  if (!seen.is_object() || seen.empty()) external.problem = "no other data region's agent answers";
  const bool waits = region.fence->on_failure == FenceFailure::kWait;
  external.in_force = waits && external.problem.empty();
  external.text = waits ? "an external fence, whose proof a takeover waits for"
                        : "an external fence that is tried, and not waited for (fence.on_failure)";
  if (!external.problem.empty()) external.text = "an external fence that cannot be run everywhere: " + external.problem;
  return external;
}

/// Why no guard fences, and what ends that.
Json WithoutGuard(const RegionSettings& region, const Json& guard) {
  std::string why;
  if (FlagAt(guard, "observes")) why = ", since its guard was started with 'observe'";
  // One that has only just begun to act, beside a primary that does not hold the lease, or whose agent is not there.
  else if (FlagAt(guard, "held"))
    why = ", since its guard holds the server open until the lease is held there";
  const std::string gate =
      FlagAt(guard, "held") && !region.database->gate_file.empty() ? "; the gate is " + TextAt(guard, "gate", "not known") : "";
  const char* hint = why.empty()                 ? "set policy.automation to 'act' and start the guard"
                     : FlagAt(guard, "observes") ? "restart the guard with the present configuration"
                                                 : "see that the agent of this region runs with the present configuration";
  return {{"level", "fault"}, {"what", why + gate}, {"hint", hint}};
}

/// The guard alone, or beside a gate that should be there and is not.
Json WithGuard(const RegionSettings& region, const Json& guard) {
  if (region.database->gate_file.empty()) {
    return {{"level", "ok"},
            {"what", ""},
            {"hint", "load lifeboat_gate in the server and set gate_file: then it refuses commits itself, at the deadline"}};
  }
  return {{"level", "fault"},
          {"what", ", though gate_file is set: " + TextAt(guard, "gate", "not known")},
          {"hint", "see shared_preload_libraries, lifeboat.gate_file and lifeboat.gate of the server, and the guard's log"}};
}

}  // namespace

Json FenceFinding(const RegionSettings& region, const Json& guard, const Json& seen) {
  const std::string none = ToString(FenceLevel::kNone);
  const std::string inner = TextAt(guard, "fence", none);
  const External external = LookAt(region, seen);
  Json line = inner == none ? WithoutGuard(region, guard)
              : inner == ToString(FenceLevel::kGateAndGuard)
                  ? Json{{"level", "ok"}, {"what", "; the gate is " + TextAt(guard, "gate", "not known")}, {"hint", ""}}
                  : WithGuard(region, guard);
  std::string level = inner;
  // What stops the region from within is not in force; a takeover all the same waits for the proof from without.
  if (inner == none && external.in_force) level = "external";
  std::string what = "fence level in force in '" + region.name.text + "': " + level + TextAt(line, "what");
  if (!external.text.empty()) what += "; " + external.text;
  line["what"] = what;
  if (!external.problem.empty()) {
    line["level"] = "fault";
    if (TextAt(line, "hint").empty())
      line["hint"] = "fence.command must be there, and executable, in every data region that may take over";
  }
  return line;
}

}  // namespace lifeboat
