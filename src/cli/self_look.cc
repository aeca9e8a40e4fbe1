#include "cli/self_look.h"

#include "model/execution.h"
#include "prove/phases.h"

namespace lifeboat {

namespace {

constexpr Duration kRunsEvery = 30s;
constexpr std::uint64_t kNewestRecords = 200;  // among them the last run of each plan, however many canaries lie between

std::optional<bool> KnownFlag(const Json& object, const char* key) {
  const Json& value = MemberAt(object, key);
  return value.is_boolean() ? std::optional(value.get<bool>()) : std::nullopt;
}

void ShowRegion(const Json& region, Metrics& metrics) {
  const RegionName name(TextAt(region, "name"));
  const bool answers = FlagAt(region, "agent_reachable");
  metrics.SetAgentAnswers(name, answers);
  const bool has_data = TextAt(region, "kind") == "data";
  std::optional<bool> could;
  if (has_data && TextAt(region, "role") != "primary") could = TextAt(region, "why_not_promotable").empty();
  metrics.SetCouldTakeOver(name, could);
  const Json& guard = MemberAt(region, "guard");
  const bool said = has_data && guard.is_object();  // a witness has no guard, and its agent says of it what is never looked at
  metrics.SetGuardAnswers(name, said ? KnownFlag(guard, "answers") : std::nullopt);
  std::optional<std::string> level;
  if (said) level = TextAt(guard, "fence", "none");
  metrics.SetFence(name, std::move(level));
}

std::optional<double> LossOf(const Execution& execution) {
  // A switchover that is done has lost nothing, or it would not have been.
  if (execution.kind == PlanKind::kSwitchover && execution.state == ExecutionState::kDone) return 0;
  const Json& measured = MemberAt(MemberAt(execution.facts, "loss_measured"), "seconds");
  if (measured.is_number()) return measured.get<double>();
  const Json& seconds = MemberAt(MemberAt(execution.facts, "loss_estimate"), "seconds");
  return seconds.is_number() ? std::optional(seconds.get<double>()) : std::nullopt;
}

}  // namespace

void ShowStatus(const Json& status, Metrics& metrics) {
  metrics.SetService(TextAt(status, "verdict"));
  for (const Json& region : MemberAt(status, "regions")) ShowRegion(region, metrics);
  const Json& objectives = MemberAt(status, "objectives");
  metrics.SetObjectives(std::chrono::milliseconds(SignedAt(objectives, "rto_ms")),
                        std::chrono::milliseconds(SignedAt(objectives, "rpo_ms")));
  const Json& execution = MemberAt(status, "execution");
  std::optional<std::pair<std::string, std::string>> runs;
  if (execution.is_object()) runs.emplace(TextAt(execution, "kind"), TextAt(execution, "state"));
  metrics.SetExecution(std::move(runs));
  const Json& decision = MemberAt(status, "decision");
  std::optional<int> rule;
  if (FlagAt(decision, "withheld")) rule = static_cast<int>(NumberAt(decision, "rule"));
  metrics.SetWithheld(rule);
}

void ShowCheck(const Json& check, WallTime at, Metrics& metrics) { metrics.SetCheck(NumberAt(check, "faults"), at); }

void ShowEvidence(const Result<Json>& report, WallTime at, Metrics& metrics) {
  metrics.SetEvidence(report.ok() ? KnownFlag(*report, "intact") : std::nullopt, at);
}

void ShowRuns(const Json& evidence, Metrics& metrics) {
  for (const Json& record : MemberAt(evidence, "records")) {
    if (!ParsePlanKind(TextAt(record, "kind"))) continue;
    const auto execution = ExecutionFromJson(MemberAt(record, "body"));
    if (!execution.ok()) continue;
    const auto rto = ComputePhases(*execution).rto;
    std::optional<double> seconds;
    if (rto) seconds = Seconds(*rto);
    metrics.SetLastRun(ToString(execution->kind), execution->ended, seconds, LossOf(*execution));
  }
}

SelfLookTimes SelfLookTimesOf(const Settings& settings) {
  SelfLookTimes times;
  if (settings.aws) times.check = 10min;
  return times;
}

Task<> LookAtOneself(CallHandler ask, Clock& clock, Metrics& metrics, SelfLookTimes times) {
  std::optional<Instant> checked;
  std::optional<Instant> verified;
  while (true) {
    co_await clock.Sleep(kRunsEvery);  // first: what has just begun has seen nobody yet
    Json newest = {{"limit", kNewestRecords}};
    const auto runs = co_await ask("evidence.list", std::move(newest));
    if (runs.ok()) ShowRuns(*runs, metrics);
    if (!checked || AgeAt(*checked, clock.Now()) >= times.check) {
      checked = clock.Now();
      const auto check = co_await ask("check", Json::object());
      if (check.ok()) ShowCheck(*check, clock.Wall(), metrics);
    }
    if (!verified || AgeAt(*verified, clock.Now()) >= times.evidence) {
      verified = clock.Now();
      Json alone = {{"alone", true}};
      const auto report = co_await ask("evidence.verify", std::move(alone));
      ShowEvidence(report, clock.Wall(), metrics);
    }
  }
}

}  // namespace lifeboat
