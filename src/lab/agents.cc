#include "lab/agents.h"

#include <algorithm>
#include <thread>

#include "adapters/peers/call_once.h"
#include "adapters/peers/token.h"
#include "lab/sql.h"
#include "model/database_state.h"

namespace lifeboat::lab {

namespace {

constexpr Duration kLookEvery = 100ms;
constexpr Duration kAskTimeout = 2s;

// The witness first: it is the one that the lab never kills by itself.
std::vector<const LabRegion*> InOrder(const LabInfo& lab) {
  std::vector<const LabRegion*> order;
  for (const LabRegion& region : lab.regions) {
    if (region.kind == RegionKind::kWitness)
      order.insert(order.begin(), &region);
    else
      order.push_back(&region);
  }
  return order;
}

const Json* RegionIn(const Json& status, const std::string& name) {
  for (const Json& region : MemberAt(status, "regions")) {
    if (TextAt(region, "name") == name) return &region;
  }
  return nullptr;
}

// What a data region that does not hold the lease still lacks to be a good standby; empty: nothing.
std::string LacksAsStandby(const Json& status, const std::string& name) {
  const Json* region = RegionIn(status, name);
  if (region == nullptr) return "'" + name + "' is not in the status";
  if (!FlagAt(*region, "agent_reachable")) return "the agent of '" + name + "' does not answer";
  const Json& candidates = MemberAt(MemberAt(status, "lease"), "candidates");
  if (std::find(candidates.begin(), candidates.end(), Json(name)) == candidates.end()) {
    const std::string why = TextAt(*region, "why_not_promotable");
    return "'" + name + "' is no candidate yet" + (why.empty() ? "" : ": " + why);
  }
  const DatabaseState database = DatabaseStateFromJson(MemberAt(*region, "database"));
  if (!database.IsStandby()) return "the standby in '" + name + "' does not answer";
  if (database.upstream.empty()) return "the standby in '" + name + "' does not stream";
  return "";
}

}  // namespace

Result<Json> AskAgent(const LabInfo& lab, const std::string& region, const std::string& method, const Json& parameters,
                      Duration timeout) {
  const LabRegion* found = lab.Find(region);
  if (found == nullptr) return NotFound("the lab has no region '" + region + "'");
  const Result<Secret> token = ReadToken(lab.TokenFile().string());
  if (!token) return token.error();
  return CallOnceBlocking({found->address, found->agent_port}, *token, method, parameters, timeout);
}

Result<Json> AskAny(const LabInfo& lab, const std::string& method, const Json& parameters, Duration timeout) {
  Result<Json> answer = RetryLater("no agent was asked");
  for (const LabRegion* region : InOrder(lab)) {
    answer = AskAgent(lab, region->name.text, method, parameters, timeout);
    if (answer || answer.error().retry != Retry::kRetry) return answer;
  }
  return answer;
}

std::string HolderOf(const Json& status) {
  const Json& lease = MemberAt(status, "lease");
  return MemberAt(lease, "released").is_null() ? TextAt(lease, "holder") : "";
}

bool IsWhole(const Json& status, const LabInfo& lab, std::string& why_not) {
  const std::string holder = HolderOf(status);
  const LabRegion* primary = lab.Find(holder);
  if (primary == nullptr) {
    why_not = "nobody holds the write lease yet";
    return false;
  }
  const Json* region = RegionIn(status, holder);
  const DatabaseState database = DatabaseStateFromJson(MemberAt(region == nullptr ? Json() : *region, "database"));
  if (!database.IsWritable()) {
    why_not = "the database in '" + holder + "' does not take writes yet";
    return false;
  }
  for (const LabRegion& standby : lab.regions) {
    if (standby.kind != RegionKind::kData || standby.name.text == holder) continue;
    why_not = LacksAsStandby(status, standby.name.text);
    if (!why_not.empty()) return false;
  }
  if (TextAt(MemberAt(status, "traffic"), "address") != primary->address) {
    why_not = "the service's name does not point to '" + holder + "' yet";
    return false;
  }
  why_not.clear();
  return true;
}

Result<Json> AwaitWhole(const LabInfo& lab, Duration timeout, const Patience& patience) {
  const Instant deadline = ReadClocks() + timeout;
  for (;;) {
    const Result<Json> status = AskAny(lab, "status", Json::object(), kAskTimeout);
    std::string why_not = status ? "" : "no agent answers yet";
    if (status && IsWhole(*status, lab, why_not)) return *status;
    if (!patience(why_not)) return Fail("given up while waiting: " + why_not);
    if (HasPassed(deadline, ReadClocks())) {
      return RetryLater("the service is not whole after " + FormatDuration(timeout) + ": " + why_not,
                        "look into the logs beneath '" + lab.folder.string() + "/*/log'");
    }
    std::this_thread::sleep_for(kLookEvery);
  }
}

Result<std::optional<Execution>> FindExecution(const LabInfo& lab, PlanKind kind, WallTime since) {
  const Result<Json> answer = AskAny(lab, "executions.list", Json::object(), kAskTimeout);
  if (!answer) return answer.error();
  std::optional<Execution> newest;
  for (const Json& json : answer->is_array() ? *answer : MemberAt(*answer, "executions")) {
    const Result<Execution> execution = ExecutionFromJson(json);
    if (!execution) return execution.error();
    if (execution->kind == kind && execution->began >= since && (!newest || execution->began > newest->began)) newest = *execution;
  }
  return newest;
}

Result<Execution> AwaitExecution(const LabInfo& lab, const ExecutionId& id, Duration timeout, const Patience& patience) {
  const Instant deadline = ReadClocks() + timeout;
  for (;;) {
    const Result<Json> answer = AskAny(lab, "executions.show", {{"id", id.text}}, kAskTimeout);
    const Result<Execution> execution = answer ? ExecutionFromJson(*answer) : Result<Execution>(answer.error());
    std::string waiting_for = execution ? "" : execution.error().message;
    if (execution) {
      if (execution->state == ExecutionState::kDone) return execution;
      waiting_for = execution->waiting_for;
      for (const StepRecord& step : execution->steps) {
        if (step.state == StepState::kFailed || (waiting_for.empty() && step.state == StepState::kIntended)) {
          waiting_for = "step '" + step.name + "'" + (step.outcome.empty() ? "" : ": " + OneLine(step.outcome.c_str()));
        }
      }
      if (IsEnded(execution->state)) {
        return Fail(std::string(ToString(execution->kind)) + " '" + id.text + "' ended " + ToString(execution->state) +
                        (waiting_for.empty() ? "" : ", " + waiting_for),
                    "'lifeboat executions show " + id.text + "' has its steps");
      }
    }
    if (!patience(waiting_for)) return Fail("given up while waiting: " + waiting_for);
    if (HasPassed(deadline, ReadClocks())) {
      return RetryLater("execution '" + id.text + "' has not ended after " + FormatDuration(timeout) +
                        (waiting_for.empty() ? "" : ": " + waiting_for));
    }
    std::this_thread::sleep_for(kLookEvery);
  }
}

namespace {

// Files a request that answers with its execution. Not reached or not possible yet: again, until the deadline.
// SAFETY: after an unknown outcome the list of executions is read before anything is asked again.
Result<Execution> Request(const LabInfo& lab, PlanKind kind, const Json& parameters, Instant deadline, const Patience& patience) {
  const WallTime since = ReadWallClock();
  for (;;) {
    const Result<Json> answer = AskAny(lab, ToString(kind), parameters, kAskTimeout);
    if (answer) return ExecutionFromJson(*answer);
    if (answer.error().retry == Retry::kUnknownOutcome) {
      const auto found = FindExecution(lab, kind, since);
      if (found && *found) return **found;
    } else if (answer.error().retry != Retry::kRetry) {
      return answer.error();
    }
    if (!patience(answer.error().message)) return Fail("given up while waiting: " + answer.error().message);
    if (HasPassed(deadline, ReadClocks())) return answer.error();
    std::this_thread::sleep_for(kLookEvery);
  }
}

Duration LeftUntil(Instant deadline) { return std::max(TimeLeft(deadline, ReadClocks()), Duration(0)); }

}  // namespace

Result<Execution> SwitchTo(const LabInfo& lab, const std::string& region, Duration timeout, const Patience& patience) {
  const Instant deadline = ReadClocks() + timeout;
  const auto requested = Request(lab, PlanKind::kSwitchover, {{"to", region}}, deadline, patience);
  if (!requested) return requested.error().Within("switchover to '" + region + "'");
  return AwaitExecution(lab, requested->id, LeftUntil(deadline), patience);
}

Result<Execution> RejoinRegion(const LabInfo& lab, const std::string& region, Duration timeout, const Patience& patience) {
  const Instant deadline = ReadClocks() + timeout;
  for (;;) {
    const auto alive = AskAgent(lab, region, "status", Json::object(), kAskTimeout);
    if (alive) break;
    if (!patience("the agent of '" + region + "' does not answer yet"))
      return Fail("given up while waiting for the agent of '" + region + "'");
    if (HasPassed(deadline, ReadClocks())) return alive.error().Within("agent of '" + region + "'");
    std::this_thread::sleep_for(kLookEvery);
  }
  const auto requested = Request(lab, PlanKind::kRejoin, {{"region", region}}, deadline, patience);
  if (!requested) return requested.error().Within("rejoin of '" + region + "'");
  auto ended = AwaitExecution(lab, requested->id, LeftUntil(deadline), patience);
  if (!ended) return ended;
  if (const auto whole = AwaitWhole(lab, LeftUntil(deadline), patience); !whole) return whole.error();
  return ended;
}

Result<Execution> AwaitFailover(const LabInfo& lab, WallTime since, Duration timeout, const Patience& patience) {
  const Instant deadline = ReadClocks() + timeout;
  for (;;) {
    const auto found = FindExecution(lab, PlanKind::kFailover, since);
    if (found && *found) return AwaitExecution(lab, (*found)->id, LeftUntil(deadline), patience);
    const std::string waiting_for = found ? "no failover has begun" : found.error().message;
    if (!patience(waiting_for)) return Fail("given up while waiting: " + waiting_for);
    if (HasPassed(deadline, ReadClocks()))
      return RetryLater("no failover was seen within " + FormatDuration(timeout) + ": " + waiting_for);
    std::this_thread::sleep_for(kLookEvery);
  }
}

}  // namespace lifeboat::lab
