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

}  // namespace

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

Task<Result<std::uint64_t>> RulesOf(Client& client, std::string region, std::string bus, Duration timeout) {
  Json which = {{"Name", bus}};
  Call describe = JsonCall(kService, region, "DescribeEventBus", which, Effect::kReads);
  const auto end = std::chrono::steady_clock::now() + timeout;
  Result<Reply> reply = co_await client.Send(std::move(describe), timeout);
  if (!reply) co_return reply.error();
  Json on = {{"EventBusName", bus}, {"Limit", 100}};
  Call list = JsonCall(kService, region, "ListRules", on, Effect::kReads);
  const Duration left = std::max<Duration>(end - std::chrono::steady_clock::now(), 1ms);
  reply = co_await client.Send(std::move(list), left);
  if (!reply) co_return reply.error();
  const Result<Json> json = JsonResult(*reply, "ListRules");
  if (!json) co_return json.error();
  std::uint64_t enabled = 0;
  for (const Json& rule : MemberAt(*json, "Rules")) enabled += TextAt(rule, "State") == "DISABLED" ? 0U : 1U;
  co_return enabled;
}

}  // namespace lifeboat::aws::eventbridge
