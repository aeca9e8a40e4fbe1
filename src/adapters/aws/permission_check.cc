#include "adapters/aws/permission_check.h"

#include <algorithm>

#include "adapters/aws/iam.h"
#include "adapters/aws/sts.h"

namespace lifeboat::aws {

namespace {

constexpr std::size_t kMostActions = 50;  // of one simulation; its request has a size too

/// Actions of a part that share resources.
struct Question {
  PermissionPart part;
  std::vector<const Permission*> permissions;
  std::vector<std::string> resources;
};

std::vector<Question> QuestionsFor(const PermissionScope& scope, std::vector<Readiness>& lines) {
  std::vector<Question> questions;
  for (const Permission& each : AllPermissions()) {
    if (scope.parts.count(each.part) == 0) continue;
    // Whether it may ask is seen by asking.
    if (each.action == "iam:SimulatePrincipalPolicy") continue;
    const std::vector<std::string> resources = ResourcesOf(each, scope);
    if (resources.empty()) {
      lines.push_back({"unknown", "permission '" + std::string(each.action) + "' was not looked at: it is not known of what", ""});
      continue;
    }
    const auto same = std::find_if(questions.begin(), questions.end(), [&](const Question& one) {
      return one.part == each.part && one.resources == resources && one.permissions.size() < kMostActions;
    });
    if (same != questions.end()) {
      same->permissions.push_back(&each);
    } else {
      questions.push_back({each.part, {&each}, resources});
    }
  }
  return questions;
}

const Permission* PermissionOf(const Question& question, const std::string& action) {
  for (const Permission* each : question.permissions) {
    if (each->action == action) return each;
  }
  return nullptr;
}

/// Adds faults and unknowns; counts what is allowed.
void Judge(const Question& question, const std::vector<iam::Simulated>& simulated, std::map<PermissionPart, std::size_t>& allowed,
           std::vector<Readiness>& lines) {
  std::set<std::string> told;
  for (const iam::Simulated& each : simulated) {
    const Permission* permission = PermissionOf(question, each.action);
    if (permission == nullptr || told.count(each.action) > 0 || each.decision == "allowed") continue;
    told.insert(each.action);
    // SAFETY: an implicit no for want of context is no answer; an explicit one is.
    if (each.decision == "implicitDeny" && (!each.missing_context.empty() || !permission->condition.empty())) {
      lines.push_back({"unknown", "permission '" + each.action + "' depends on conditions that only a real request has", ""});
      continue;
    }
    lines.push_back({"fault",
                     "the agent may not do '" + each.action + "' on '" + each.resource + "' (" + each.decision + "), which '" +
                         std::string(permission->step) + "' needs",
                     "allow it: docs/aws.md, \"The IAM policy per agent\""});
  }
  for (const Permission* each : question.permissions) {
    const bool answered =
        std::any_of(simulated.begin(), simulated.end(), [&](const iam::Simulated& one) { return one.action == each->action; });
    if (!answered) lines.push_back({"unknown", "IAM said nothing of permission '" + std::string(each->action) + "'", ""});
    if (answered && told.count(std::string(each->action)) == 0) ++allowed[question.part];
  }
}

Task<> Simulate(Client& client, std::string region, std::string principal, std::vector<Question> questions,
                std::vector<Readiness>* lines, std::chrono::steady_clock::time_point end) {
  std::map<PermissionPart, std::size_t> allowed;
  for (const Question& question : questions) {
    const Duration left = std::max<Duration>(end - std::chrono::steady_clock::now(), 1ms);
    std::vector<std::string> actions;
    for (const Permission* each : question.permissions) actions.emplace_back(each->action);
    std::vector<std::string> resources = question.resources;
    Result<std::vector<iam::Simulated>> simulated =
        co_await iam::SimulatePrincipalPolicy(client, region, principal, std::move(actions), std::move(resources), left);
    if (!simulated) {
      lines->push_back(
          {"unknown", "permissions were not looked at any further: " + simulated.error().message,
           "allow 'iam:SimulatePrincipalPolicy' on its own role, or compare with deploy/aws/agent-policy.json by hand"});
      break;
    }
    Judge(question, *simulated, allowed, *lines);
  }
  for (const auto& [part, count] : allowed) {
    lines->push_back(
        {"ok", "permissions, " + std::string(TitleOf(part)) + ": " + std::to_string(count) + " allowed, as IAM simulates them",
         ""});
  }
}

}  // namespace

std::string PrincipalOf(const std::string& caller_arn) {
  const std::string session = ":assumed-role/";
  const std::size_t at = caller_arn.find(session);
  const std::size_t sts = caller_arn.find(":sts::");
  if (at != std::string::npos && sts != std::string::npos) {
    const std::string rest = caller_arn.substr(at + session.size());
    return caller_arn.substr(0, sts) + ":iam::" + caller_arn.substr(sts + 6, at - sts - 6) + ":role/" +
           rest.substr(0, rest.find('/'));
  }
  return caller_arn.find(":user/") != std::string::npos && caller_arn.find(":iam::") != std::string::npos ? caller_arn : "";
}

Task<std::vector<Readiness>> CheckPermissions(Client& client, std::string region, const Settings& settings, Duration timeout) {
  std::vector<Readiness> lines;
  const auto end = std::chrono::steady_clock::now() + timeout;  // of all questions together
  Result<sts::Identity> who = co_await sts::GetCallerIdentity(client, region, timeout);
  if (!who) {
    lines.push_back(
        {"unknown", "who the agent is to AWS is not known: " + who.error().message, "look at its credentials (docs/aws.md)"});
    co_return lines;
  }
  const std::string principal = PrincipalOf(who->arn);
  lines.push_back({"ok", "the agent is '" + who->arn + "' of account '" + who->account + "'", ""});
  if (principal.empty()) {
    lines.push_back({"unknown", "permissions of '" + who->arn + "' cannot be asked for", "give the agent a role of its own"});
    co_return lines;
  }
  PermissionScope scope = ScopeOf(settings, who->account);
  const Result<Partition> partition = PartitionOf(region);
  scope.values["partition"] = {partition.ok() ? partition->name : "aws"};
  std::vector<Question> questions = QuestionsFor(scope, lines);
  co_await Simulate(client, region, principal, std::move(questions), &lines, end);
  co_return lines;
}

}  // namespace lifeboat::aws
