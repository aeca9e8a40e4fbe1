#include "act/fence_step.h"

#include <algorithm>

#include "base/check.h"
#include "ports/instance_fence.h"

namespace lifeboat {

namespace {

constexpr const char* kFacts = "external_fence";
constexpr const char* kStep = "stop-instance";
constexpr const char* kPending = "pending";
constexpr const char* kProven = "proven";
constexpr const char* kNotProven = "not proven";
constexpr const char* kAttested = "attested";

bool IsPending(const Json& fence) { return TextAt(fence, "state") == kPending; }
bool Waits(const Json& fence) { return TextAt(fence, "on_failure") == "wait"; }

std::vector<RegionName> PendingOf(const Execution& execution) {
  std::vector<RegionName> regions;
  for (const auto& [region, fence] : MemberAt(execution.facts, kFacts).items()) {
    if (IsPending(fence)) regions.emplace_back(region);
  }
  return regions;
}

/// "'us-east-1' is proven to be stopped: i-0abc stopped", one a region.
std::string Summary(const Execution& execution) {
  std::string text;
  for (const auto& [region, fence] : MemberAt(execution.facts, kFacts).items()) {
    const std::string state = TextAt(fence, "state");
    text += (text.empty() ? "'" : "; '") + region + "' ";
    if (state == kProven) text += "is proven to be stopped: " + TextAt(fence, "said");
    if (state == kAttested) text += "is stopped by the word of " + TextAt(fence, "said");
    if (state == kPending) text += "is not proven to be stopped: " + TextAt(fence, "said", "its fence was not run yet");
    if (state == kNotProven)
      text += "is not proven to be stopped (" + TextAt(fence, "said") + "), and that is not waited for: its lease has ended";
  }
  return text;
}

/// One run, and its outcome in the facts.
Task<> FenceOne(StepContext c, RegionName region) {
  Result<std::string> stopped = RetryLater("no external fence is configured here");
  if (c.doors.fence != nullptr) {
    FenceOrder order{region, c.execution.epoch, c.execution.id};
    stopped = co_await c.doors.fence->Stop(std::move(order));
  }
  Json& fence = c.execution.facts[kFacts][region.text];
  fence["tries"] = NumberAt(fence, "tries") + 1;
  fence["at_ns"] = c.doors.clock.Wall().ns;
  // A person may have spoken meanwhile: only the proof itself is better than that.
  if (!stopped.ok() && TextAt(fence, "state") == kAttested) co_return;
  fence["said"] = stopped.ok() ? *stopped : stopped.error().message;
  fence["state"] = stopped.ok() ? kProven : Waits(fence) ? kPending : kNotProven;
}

}  // namespace

void AskForFence(Execution& execution, const RegionName& region, bool waits) {
  if (execution.Find(kStep) == nullptr) {
    const Plan& plan = PlanOf(execution.kind);
    const auto place = std::find_if(plan.steps.begin(), plan.steps.end(), [](const Step& step) { return step.name == kStep; });
    LIFEBOAT_CHECK(place != plan.steps.end(), "a plan that stops no instance");
    StepRecord record;
    record.name = kStep;
    execution.steps.insert(execution.steps.begin() + (place - plan.steps.begin()), std::move(record));
  }
  execution.facts[kFacts][region.text] = {{"on_failure", waits ? "wait" : "go-on"}, {"state", kPending}, {"tries", 0}};
}

bool HasFence(const Execution& execution) { return execution.Find(kStep) != nullptr; }

Task<Result<Unit>> FenceInstances(StepContext c) {
  const std::vector<RegionName> pending = PendingOf(c.execution);
  for (const RegionName& region : pending) co_await FenceOne(c, region);
  c.record.result["outcome"] = Summary(c.execution);
  // SAFETY: where the operator wants proof, nothing is opened here without it, or without a person's word.
  if (!PendingOf(c.execution).empty()) co_return RetryLater(Summary(c.execution));
  co_return Done();
}

bool WaitsForFence(const Execution& execution) {
  const StepRecord* step = execution.Find(kStep);
  if (step == nullptr || step->state == StepState::kDone) return false;
  const Json& fences = MemberAt(execution.facts, kFacts);
  return std::any_of(fences.begin(), fences.end(), [](const Json& fence) { return IsPending(fence) && Waits(fence); });
}

Result<Unit> AttestFence(Execution& execution, const std::string& who) {
  if (!WaitsForFence(execution)) {
    return Refused("execution '" + execution.id.text + "' does not wait for an external fence",
                   "lifeboat executions show " + execution.id.text);
  }
  for (Json& fence : execution.facts[kFacts]) {
    if (IsPending(fence)) fence.update({{"state", kAttested}, {"said", who}});
  }
  execution.facts["attested_by"] = who;
  return Done();
}

}  // namespace lifeboat
