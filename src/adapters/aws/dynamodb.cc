#include "adapters/aws/dynamodb.h"

#include <charconv>

#include "adapters/aws/protocol.h"

namespace lifeboat::aws::dynamodb {

namespace {

constexpr JsonService kService{"dynamodb", "DynamoDB_20120810", "1.0"};
constexpr const char* kConditionFailed = "ConditionalCheckFailedException";
constexpr int kMostPages = 1000;

const Json& ValueAt(const Json& item, const char* attribute, const char* type) { return MemberAt(MemberAt(item, attribute), type); }

std::optional<std::string> StringAt(const Json& item, const char* attribute, const char* type) {
  const Json& value = ValueAt(item, attribute, type);
  if (!value.is_string()) return std::nullopt;
  return value.get<std::string>();
}

void AddCondition(Json& body, const Condition& condition, const char* member) {
  if (condition.expression.empty()) return;
  body[member] = condition.expression;
  if (!condition.names.empty()) body["ExpressionAttributeNames"] = condition.names;
  if (!condition.values.empty()) body["ExpressionAttributeValues"] = condition.values;
}

Task<Result<Written>> Write(Client& client, std::string region, std::string operation, Json body, Effect effect, Duration timeout) {
  if (body.contains("ConditionExpression")) body["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD";
  Call call = JsonCall(kService, std::move(region), operation, body, effect);
  call.answers = {kConditionFailed};
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  Written written;
  written.done = reply->code.empty();
  if (written.done) co_return written;
  const Result<Json> json = JsonResult(*reply, operation);
  if (json.ok() && MemberAt(*json, "Item").is_object()) written.stands = MemberAt(*json, "Item");
  co_return written;
}

}  // namespace

Json Text(const std::string& value) { return Json{{"S", value}}; }
Json Number(std::uint64_t value) { return Json{{"N", std::to_string(value)}}; }
Json Bytes(std::string_view value) { return Json{{"B", Base64(value)}}; }

std::optional<std::string> TextOf(const Json& item, const char* attribute) { return StringAt(item, attribute, "S"); }

std::optional<std::uint64_t> NumberOf(const Json& item, const char* attribute) {
  const auto text = StringAt(item, attribute, "N");
  if (!text) return std::nullopt;
  std::uint64_t value = 0;
  const auto [end, problem] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (problem != std::errc() || end != text->data() + text->size()) return std::nullopt;
  return value;
}

std::optional<std::string> BytesOf(const Json& item, const char* attribute) {
  const auto text = StringAt(item, attribute, "B");
  return text ? FromBase64(*text) : std::nullopt;
}

Task<Result<std::optional<Json>>> GetItem(Client& client, Table table, Json key, Duration timeout) {
  Json body = {{"TableName", table.name}, {"Key", std::move(key)}, {"ConsistentRead", true}};
  Call call = JsonCall(kService, table.region, "GetItem", body, Effect::kReads);
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  const Result<Json> json = JsonResult(*reply, "GetItem");
  if (!json) co_return json.error();
  std::optional<Json> item;
  if (MemberAt(*json, "Item").is_object()) item = MemberAt(*json, "Item");
  co_return item;
}

Task<Result<Written>> PutItem(Client& client, Table table, Json item, Condition condition, Effect effect, Duration timeout) {
  Json body = {{"TableName", table.name}, {"Item", std::move(item)}};
  AddCondition(body, condition, "ConditionExpression");
  co_return co_await Write(client, table.region, "PutItem", std::move(body), effect, timeout);
}

Task<Result<Written>> DeleteItem(Client& client, Table table, Json key, Condition condition, Effect effect, Duration timeout) {
  Json body = {{"TableName", table.name}, {"Key", std::move(key)}};
  AddCondition(body, condition, "ConditionExpression");
  co_return co_await Write(client, table.region, "DeleteItem", std::move(body), effect, timeout);
}

Task<Result<std::vector<Json>>> Query(Client& client, Table table, Condition condition, Duration timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  std::vector<Json> items;
  Json from;
  for (int page = 0; page < kMostPages; ++page) {
    Json body = {{"TableName", table.name}, {"ConsistentRead", true}};
    AddCondition(body, condition, "KeyConditionExpression");
    if (from.is_object()) body["ExclusiveStartKey"] = from;
    const Duration left = end - std::chrono::steady_clock::now();
    if (left <= 0ns) co_return RetryLater("the table '" + table.name + "' was not read whole within " + FormatDuration(timeout));
    Call call = JsonCall(kService, table.region, "Query", body, Effect::kReads);
    Result<Reply> reply = co_await client.Send(std::move(call), left);
    if (!reply) co_return reply.error();
    const Result<Json> json = JsonResult(*reply, "Query");
    if (!json) co_return json.error();
    const Json& found = MemberAt(*json, "Items");
    if (!found.is_array()) co_return Fail("'Query' was answered without items");
    for (const Json& item : found) items.push_back(item);
    from = MemberAt(*json, "LastEvaluatedKey");
    if (!from.is_object() || from.empty()) co_return items;
  }
  co_return Fail("the table '" + table.name + "' has more pages than a store can have");
}

Task<Result<TransactionAnswer>> TransactWriteItems(Client& client, std::string region, Json items, std::string token,
                                                   Duration timeout) {
  Json body = {{"TransactItems", std::move(items)}};
  if (!token.empty()) body["ClientRequestToken"] = token;
  // With a token AWS carries a repeated request out once. SAFETY: a token given here must be new for every transaction.
  Call call =
      JsonCall(kService, std::move(region), "TransactWriteItems", body, token.empty() ? Effect::kOnce : Effect::kRepeatable);
  call.answers = {"TransactionCanceledException"};
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  TransactionAnswer answer;
  answer.done = reply->code.empty();
  if (answer.done) co_return answer;
  const Result<Json> json = JsonResult(*reply, "TransactWriteItems");
  if (json.ok() && MemberAt(*json, "CancellationReasons").is_array()) {
    for (const Json& reason : MemberAt(*json, "CancellationReasons")) answer.reasons.push_back(reason);
  }
  co_return answer;
}

Task<Result<Json>> DescribeTable(Client& client, Table table, Duration timeout) {
  Json body = {{"TableName", table.name}};
  Call call = JsonCall(kService, table.region, "DescribeTable", body, Effect::kReads);
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  const Result<Json> json = JsonResult(*reply, "DescribeTable");
  if (!json) co_return json.error();
  if (!MemberAt(*json, "Table").is_object()) co_return Fail("'DescribeTable' was answered without a table");
  co_return MemberAt(*json, "Table");
}

}  // namespace lifeboat::aws::dynamodb
