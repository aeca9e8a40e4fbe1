#include "adapters/aws/hooks.h"

#include "adapters/aws/check_lines.h"
#include "adapters/aws/lambda.h"

namespace lifeboat::aws {

namespace {

constexpr std::size_t kLongestWords = 600;

/// "RuntimeError: no such tenant", of what Lambda answers for a function that failed.
std::string WordsOf(const lambda::Answer& answer) {
  const Result<Json> json = ParseJson(answer.payload, "a function's error");
  std::string words = json.ok() ? TextAt(*json, "errorMessage") : answer.payload;
  const std::string type = json.ok() ? TextAt(*json, "errorType") : std::string();
  if (!type.empty()) words = type + ": " + words;
  words = words.substr(0, words.find('\n')).substr(0, kLongestWords);
  return words.empty() ? answer.error : words;
}

}  // namespace

Result<std::string> AwsHook::FunctionOf(const RegionName& region) const {
  const auto found = settings_.functions.find(region);
  if (found == settings_.functions.end()) {
    return Fail("hook '" + settings_.name + "' has no function in region '" + region.text + "'", "write its name in the file");
  }
  return found->second;
}

Task<Result<Json>> AwsHook::Call(RegionName region, Json payload, Duration timeout) {
  const Result<std::string> function = FunctionOf(region);
  if (!function) co_return function.error();
  const std::string words = "hook '" + settings_.name + "' (function '" + *function + "' in '" + region.text + "')";
  std::string text = payload.dump(-1, ' ', false, Json::error_handler_t::replace);
  Result<lambda::Answer> answer = co_await lambda::Invoke(client_, region.text, *function, std::move(text), timeout);
  if (!answer && answer.error().retry == Retry::kUnknownOutcome) {
    co_return UnknownOutcome(words + " was called and did not answer, it may have run: " + answer.error().message,
                             "see in its log whether it ran before it is called again");
  }
  if (!answer) co_return answer.error().Within(words);
  // SAFETY: Lambda says 200 also of a function that failed: what it was to do is not done.
  if (!answer->error.empty())
    co_return Fail(words + " failed: " + WordsOf(*answer), "see its log, put it right, and call it again");
  if (answer->payload.empty()) co_return Json(nullptr);
  Result<Json> json = ParseJson(answer->payload, "the answer of " + words);
  if (!json) co_return Json(answer->payload);  // it ran to its end; what it answers is its own affair
  co_return json;
}

Task<Result<std::vector<Readiness>>> AwsHook::Check(RegionName region, Duration timeout) {
  const Result<std::string> function = FunctionOf(region);
  if (!function) co_return function.error();
  std::vector<Readiness> lines;
  const std::string words = "function '" + *function + "' of hook '" + settings_.name + "' in '" + region.text + "'";
  Result<lambda::Function> found = co_await lambda::GetFunction(client_, region.text, *function, timeout);
  if (!found && found.error().retry == Retry::kNotFound) {
    lines.push_back(Fault(words + " does not exist", "deploy it in that region too"));
    co_return lines;
  }
  if (!found) {
    lines.push_back(Unseen(words + " cannot be looked at", found.error()));
    co_return lines;
  }
  const std::string state = found->state.empty() ? "Active" : found->state;  // functions older than states have none
  if (state != "Active" && state != "Inactive") {
    const std::string reason = found->reason.empty() ? "" : ": " + found->reason;
    lines.push_back(Fault(words + " is '" + state + "'" + reason, "deploy it again"));
  }
  if (found->last_update == "Failed") {
    lines.push_back(Fault(words + " still runs what was before its last update, which failed", "deploy it again"));
  }
  const Duration longest = std::chrono::seconds(found->timeout_s);
  if (longest > settings_.timeout) {
    lines.push_back(
        Fault(words + " may run for " + FormatDuration(longest) + ", and the plan waits " + FormatDuration(settings_.timeout),
              "raise the hook's timeout, or lower the function's"));
  }
  if (lines.empty()) lines.push_back(Ok(words + " is there and may run for " + FormatDuration(longest)));
  co_return lines;
}

std::vector<std::unique_ptr<Hook>> OpenAwsHooks(Client& client, const std::vector<AwsHookSettings>& settings) {
  std::vector<std::unique_ptr<Hook>> doors;
  for (const AwsHookSettings& one : settings) doors.push_back(std::make_unique<AwsHook>(client, one));
  return doors;
}

}  // namespace lifeboat::aws
