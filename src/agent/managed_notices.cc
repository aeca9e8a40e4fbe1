// Whom the agent tells, beside what the steps of a plan tell: that an execution ended without its goal, and that a person is
// needed.

#include "agent/managed_agent.h"
#include "base/spawn.h"

namespace lifeboat {

namespace {
constexpr Duration kTellPatience = 5s;
/// A decision that comes and goes is told once in this time.
constexpr Duration kTellAgain = std::chrono::minutes(10);

/// A lost writer that is not replaced by itself, or a degraded one.
bool NeedsAPerson(const ManagedDecision& d) {
  const bool lost = d.rule >= 630 && d.rule <= 640 && d.withheld;
  return lost || (d.rule >= 660 && d.rule <= 666 && d.proposal == ManagedProposal::kNothing);
}

/// One of those who decide the same: the region that would take over, else the first that answers and is not the writer's.
RegionName Teller(const ManagedSnapshot& s) {
  RegionName teller = BestCandidate(s);
  if (!teller.empty()) return teller;
  std::size_t order = SIZE_MAX;
  for (const auto& [region, facts] : s.regions) {
    if (!facts.agent_answers || (s.item && s.item->writer == region) || facts.order >= order) continue;
    teller = region;
    order = facts.order;
  }
  return teller;
}
}  // namespace

/// Waits for nobody: what did not get through is logged.
Task<> ManagedAgent::Tell(std::string subject, Json body) {
  for (Notifier* notifier : doors_.notifiers) {
    Json copy = body;
    auto sent = co_await notifier->Tell(subject, std::move(copy), kTellPatience);
    if (!sent.ok())
      log_.Warn("a notice did not get through",
                {{"subject", subject}, {"to", notifier->name()}, {"problem", sent.error().message}});
  }
}

/// One that is done was told of by its last step.
void ManagedAgent::TellEnded(const Execution& execution) {
  if (execution.state == ExecutionState::kDone || doors_.notifiers.empty()) return;
  Json body = {{"id", execution.id.text + "/" + ToString(execution.state)},
               {"execution", execution.id.text},
               {"plan", ToString(execution.kind)},
               {"state", ToString(execution.state)},
               {"source", execution.source.text},
               {"target", execution.target.text},
               {"epoch", execution.epoch.number},
               {"reason", execution.reason},
               {"requested_by", execution.requested_by},
               {"facts", execution.facts}};
  Spawn(io_, Tell("lifeboat: " + std::string(ToString(execution.kind)) + " from " + execution.source.text + " to " +
                      execution.target.text + " " + ToString(execution.state),
                  std::move(body)));
}

void ManagedAgent::TellDecision() {
  if (doors_.notifiers.empty() || !NeedsAPerson(decision_) || Teller(snapshot_) != self_) return;
  const Instant now = doors_.clock.Now();
  const auto told = told_.find(decision_.rule);
  if (told != told_.end() && AgeAt(told->second, now) < kTellAgain) return;
  told_[decision_.rule] = now;
  Json body = ToJson(decision_);
  body["id"] = settings_.service + "/rule-" + std::to_string(decision_.rule) + "/" + std::to_string(snapshot_.wall.ns);
  body["service"] = settings_.service;
  body["told_by"] = self_.text;
  Spawn(io_, Tell("lifeboat: " + settings_.service + ": " + decision_.sentence, std::move(body)));
}

}  // namespace lifeboat
