#include "adapters/aws/eventbridge.h"

#include <algorithm>

#include "adapters/aws/protocol.h"

namespace lifeboat::aws::eventbridge {

namespace {

constexpr JsonService kService{"events", "AWSEvents", "1.1"};

/// Codes of an entry that another attempt may get past. @source PutEventsResultEntry
bool MayPass(const std::string& code) {
  return code == "ThrottlingException" || code == "InternalFailure" || code == "InternalException";
}

constexpr int kMostPages = 100;

/// Whether a list of an event pattern takes a text. What is no plain text or prefix (anything-but, wildcard, …) may take it.
bool Takes(const Json& list, const std::string& text) {
  if (!list.is_array()) return false;
  for (const Json& one : list) {
    if (one == text) return true;
    if (!one.is_object()) continue;
    if (!one.contains("prefix")) return true;
    const Json& prefix = one["prefix"];
    if (!prefix.is_string() || text.starts_with(prefix.get<std::string>())) return true;
  }
  return false;
}

}  // namespace

bool WouldTake(const std::string& pattern, const std::string& source) {
  if (pattern.empty()) return false;  // a rule by the clock
  const Result<Json> json = ParseJson(pattern, "an event pattern");
  if (!json || !json->is_object()) return false;
  return !json->contains("source") || Takes(MemberAt(*json, "source"), source);
}

Task<Result<std::string>> PutEvent(Client& client, std::string region, Event event, Duration timeout) {
  Json entry = {{"EventBusName", event.bus},
                {"Source", event.source},
                {"DetailType", event.detail_type},
                {"Detail", event.detail.dump(-1, ' ', false, Json::error_handler_t::replace)}};
  Json body = {{"Entries", Json::array({std::move(entry)})}};
  Call call = JsonCall(kService, std::move(region), "PutEvents", body, Effect::kRepeatable);
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  const Result<Json> json = JsonResult(*reply, "PutEvents");
  if (!json) co_return Unreadable(Effect::kRepeatable, json.error());
  const Json& entries = MemberAt(*json, "Entries");
  if (!entries.is_array() || entries.size() != 1) co_return UnknownOutcome("'PutEvents' was answered without its entry");
  // A status of 200 says that the request was read; whether the event was taken stands beside it.
  const std::string code = TextAt(entries.front(), "ErrorCode");
  if (code.empty()) co_return TextAt(entries.front(), "EventId");
  const std::string what =
      "event bus '" + event.bus + "' did not take the event: " + code + ": " + TextAt(entries.front(), "ErrorMessage");
  if (MayPass(code)) co_return RetryLater(what);
  co_return Fail(what);
}

Task<Result<std::uint64_t>> RulesOf(Client& client, std::string region, std::string bus, std::string source, Duration timeout) {
  Json which = {{"Name", bus}};
  Call describe = JsonCall(kService, region, "DescribeEventBus", which, Effect::kReads);
  const auto end = std::chrono::steady_clock::now() + timeout;
  Result<Reply> reply = co_await client.Send(std::move(describe), timeout);
  if (!reply) co_return reply.error();
  std::uint64_t listening = 0;
  std::string token;
  for (int page = 0; page < kMostPages; ++page) {
    Json on = {{"EventBusName", bus}, {"Limit", 100}};
    if (!token.empty()) on["NextToken"] = token;
    Call list = JsonCall(kService, region, "ListRules", on, Effect::kReads);
    const Duration left = std::max<Duration>(end - std::chrono::steady_clock::now(), 1ms);
    reply = co_await client.Send(std::move(list), left);
    if (!reply) co_return reply.error();
    const Result<Json> json = JsonResult(*reply, "ListRules");
    if (!json) co_return json.error();
    for (const Json& rule : MemberAt(*json, "Rules")) {
      const bool on_now = TextAt(rule, "State") != "DISABLED";
      listening += on_now && WouldTake(TextAt(rule, "EventPattern"), source) ? 1U : 0U;
    }
    token = TextAt(*json, "NextToken");
    if (token.empty()) co_return listening;
  }
  co_return Fail("'ListRules' has more pages than can be");
}

}  // namespace lifeboat::aws::eventbridge
