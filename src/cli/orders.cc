// lifeboat switchover, failover, rejoin, executions: orders, and following them to their end.

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <set>
#include <thread>

#include "cli/commands.h"
#include "cli/table.h"
#include "cli/version.h"
#include "model/execution.h"
#include "prove/otlp.h"

namespace lifeboat {

namespace {

std::string WhoAmI() {
  const passwd* user = getpwuid(getuid());
  return user ? user->pw_name : std::to_string(getuid());
}

std::string StepSeconds(const StepRecord& step) {
  if (step.began.ns == 0 || step.ended.ns == 0) return "-";
  return FormatSeconds(Duration(step.ended.ns - step.began.ns));
}

int EndOf(const Execution& execution) {
  switch (execution.state) {
    case ExecutionState::kDone: return static_cast<int>(Exit::kDone);
    case ExecutionState::kWaiting: return static_cast<int>(Exit::kWaits);
    case ExecutionState::kRunning:
    case ExecutionState::kAborting:
    case ExecutionState::kFailed:
    case ExecutionState::kAborted: return static_cast<int>(Exit::kFailed);
  }
  return static_cast<int>(Exit::kFailed);
}

/// Prints each step as it ends. Follows through a silent agent: the execution goes on, or is adopted.
int Follow(const Settings& settings, const CommonOptions& options, const Json& begun) {
  std::set<std::string> told;
  std::string waiting;
  const std::string id = TextAt(begun, "id");
  int silent = 0;
  if (!options.json) {
    std::printf("%s %s: %s → %s, epoch %llu (lifeboat executions show %s)\n", TextAt(begun, "kind").c_str(), id.c_str(),
                TextAt(begun, "source").c_str(), TextAt(begun, "target").c_str(),
                static_cast<unsigned long long>(NumberAt(begun, "epoch")), id.c_str());
  }
  CommonOptions whom = options;
  whom.region = TextAt(begun, "owner");
  while (true) {
    auto answer = Ask(settings, whom, "executions.show", Json{{"id", id}}, std::chrono::seconds(3));
    if (!answer.ok()) {
      whom.region.clear();  // its owner is silent: any agent reads the journal
      if (++silent > 150) return EndWith(answer.error(), options);
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
      continue;
    }
    silent = 0;
    const auto execution = ExecutionFromJson(answer->json);
    if (!execution.ok()) return EndWith(execution.error(), options);
    if (!options.json) {
      for (const StepRecord& step : execution->steps) {
        const bool ended = step.state == StepState::kDone || step.state == StepState::kFailed || step.state == StepState::kUndone;
        if (!ended || !told.insert(step.name + ToString(step.state)).second) continue;
        std::printf("  %-7s %-10s %8s s  %s\n", ToString(step.state), step.name.c_str(), StepSeconds(step).c_str(),
                    step.outcome.c_str());
      }
      if (!execution->waiting_for.empty() && execution->waiting_for != waiting) {
        waiting = execution->waiting_for;
        std::printf("  waits    %s\n", waiting.c_str());
      }
      std::fflush(stdout);
    }
    if (IsEnded(execution->state)) {
      if (options.json)
        std::printf("%s\n", answer->json.dump(2).c_str());
      else
        std::printf(
            "%s: %s\n", ToString(execution->state),
            execution->state == ExecutionState::kDone ? "lifeboat status shows where the service is" : execution->reason.c_str());
      return EndOf(*execution);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

int Order(const CommonOptions& options, const OrderOptions& order, const std::string& method, Json parameters) {
  const auto settings = SettingsFor(options);
  if (!settings.ok()) {
    (void)EndWith(settings.error(), options);
    return static_cast<int>(Exit::kUsage);
  }
  parameters["by"] = WhoAmI();
  CommonOptions whom = options;
  // The region's own agent does it; one that does not know the region refuses, with the same words.
  if (whom.region.empty() && settings->Find(RegionName(order.region))) whom.region = order.region;
  const auto begun = Ask(*settings, whom, method, parameters, std::chrono::seconds(20));
  if (!begun.ok()) return EndWith(begun.error(), options);
  if (order.no_wait) {
    std::printf("%s\n", options.json ? begun->json.dump(2).c_str() : (TextAt(begun->json, "id") + " has begun").c_str());
    return static_cast<int>(Exit::kDone);
  }
  return Follow(*settings, options, begun->json);
}

}  // namespace

int OrderSwitchover(const CommonOptions& options, const OrderOptions& order) {
  return Order(options, order, "switchover", Json{{"to", order.region}, {"despite_backups", order.despite_backups}});
}

int OrderFailover(const CommonOptions& options, const OrderOptions& order) {
  Json parameters = {{"to", order.region}, {"accept_loss", order.accept_loss}};
  if (!order.attest.empty()) parameters["attest"] = order.attest;
  if (order.detach) parameters["detach"] = true;
  return Order(options, order, "failover", std::move(parameters));
}

int OrderRejoin(const CommonOptions& options, const OrderOptions& order) {
  return Order(options, order, "rejoin", Json{{"region", order.region}});
}

int RemoveCandidate(const CommonOptions& options, const std::string& region) {
  const Json parameters = {{"region", region}, {"by", WhoAmI()}};
  return AskAndShow(options, "candidates.remove", parameters, [&](const Json& item, const Settings&) {
    const Json& left = MemberAt(item, "candidates");
    std::printf(
        "'%s' is no candidate any more. %s\n", region.c_str(),
        left.empty() ? "None is left: nobody takes over before a standby has joined again." : ("Left: " + left.dump()).c_str());
    return static_cast<int>(Exit::kDone);
  });
}

int ClearCoolDown(const CommonOptions& options, const std::string& reason) {
  const Json parameters = {{"reason", reason}, {"by", WhoAmI()}};
  return AskAndShow(options, "cool-down.clear", parameters, [&](const Json& cleared, const Settings&) {
    const Json& latch = MemberAt(cleared, "cool_down");
    if (!options.json) {
      std::printf(
          "the cool-down is cleared: votes may move the service again (they moved it from %s to %s at %s; recorded in evidence)\n",
          TextAt(latch, "from").c_str(), TextAt(latch, "to").c_str(), FormatWallTime({SignedAt(latch, "at_ns")}).c_str());
    }
    return static_cast<int>(Exit::kDone);
  });
}

std::string ExecutionText(const Json& json) {
  const auto parsed = ExecutionFromJson(json);
  if (!parsed.ok()) return parsed.error().Text() + "\n";
  const Execution& e = *parsed;
  std::string text = std::string(ToString(e.kind)) + " " + e.id.text + ": " + ToString(e.state) + "\n";
  text += "  from " + e.source.text + " to " + e.target.text + ", epoch " + std::to_string(e.epoch.number) + ", run by " +
          e.owner.text + ", asked for by " + e.requested_by + "\n";
  text += "  began " + FormatWallTime(e.began) + (e.ended.ns > 0 ? ", ended " + FormatWallTime(e.ended) : "") + "\n  because " +
          e.reason + "\n";
  if (!e.waiting_for.empty()) text += "  waits: " + e.waiting_for + "\n";
  Table table({"STEP", "STATE", "TRIES", "SECONDS", "OUTCOME"});
  for (const StepRecord& step : e.steps) {
    std::string outcome = step.outcome;
    std::replace(outcome.begin(), outcome.end(), '\n', ' ');
    table.Add({step.name, ToString(step.state), std::to_string(step.attempts), StepSeconds(step), outcome});
  }
  return text + table.Text();
}

int ListExecutions(const CommonOptions& options) {
  return AskAndShow(options, "executions.list", Json::object(), [&](const Json& answer, const Settings&) {
    if (options.json) return 0;
    Table table({"ID", "PLAN", "STATE", "FROM", "TO", "EPOCH", "BEGAN", "ASKED FOR BY"});
    for (const Json& json : MemberAt(answer, "executions")) {
      table.Add({TextAt(json, "id"), TextAt(json, "kind"), TextAt(json, "state"), TextAt(json, "source"), TextAt(json, "target"),
                 std::to_string(NumberAt(json, "epoch")), FormatWallTime({SignedAt(json, "began_ns")}),
                 TextAt(json, "requested_by")});
    }
    std::printf("%s", MemberAt(answer, "executions").empty() ? "no execution has been run yet\n" : table.Text(0).c_str());
    return 0;
  });
}

int PrintTrace(const CommonOptions& options, const std::string& id) {
  CommonOptions quiet = options;
  quiet.json = false;  // the trace is JSON by itself
  return AskAndShow(quiet, "executions.show", Json{{"id", id}}, [&](const Json& answer, const Settings& settings) {
    const auto execution = ExecutionFromJson(answer);
    if (!execution.ok()) return EndWith(execution.error(), options);
    if (!IsEnded(execution->state)) {
      return EndWith(Refused("execution '" + id + "' is " + ToString(execution->state) + ": its trace is made when it has ended",
                             "lifeboat executions show " + id),
                     options);
    }
    const TraceResource resource{ProgramVersion(), execution->owner_agent.text, "", execution->owner};
    std::printf("%s\n", OtlpText(OtlpRequest(TraceOf(*execution, settings.service, settings.objectives), resource)).c_str());
    return 0;
  });
}

int OneExecution(const CommonOptions& options, const std::string& verb, const std::string& id, const std::string& attest) {
  Json parameters = {{"id", id}, {"by", WhoAmI()}};
  if (!attest.empty()) parameters["attest"] = attest;
  return AskAndShow(options, "executions." + verb, parameters, [&](const Json& answer, const Settings&) {
    if (!options.json) std::printf("%s", ExecutionText(answer).c_str());
    const auto execution = ExecutionFromJson(answer);
    return verb == "show" && execution.ok() && execution->state == ExecutionState::kWaiting ? static_cast<int>(Exit::kWaits) : 0;
  });
}

}  // namespace lifeboat
