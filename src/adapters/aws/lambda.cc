#include "adapters/aws/lambda.h"

#include "adapters/aws/protocol.h"

namespace lifeboat::aws::lambda {

namespace {

Call CallOf(const std::string& operation, std::string region, const std::string& method, const std::string& function,
            const std::string& rest, Effect effect) {
  Call call;
  call.service = "lambda";
  call.region = std::move(region);
  call.operation = operation;
  call.method = method;
  call.path = "/2015-03-31/functions/" + UriEncode(function) + rest;
  call.effect = effect;
  return call;
}

}  // namespace

Task<Result<Function>> GetFunction(Client& client, std::string region, std::string function, Duration timeout) {
  Call call = CallOf("GetFunctionConfiguration", std::move(region), "GET", function, "/configuration", Effect::kReads);
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  const Result<Json> json = JsonResult(*reply, "GetFunctionConfiguration");
  if (!json) co_return json.error();
  Function found;
  found.arn = TextAt(*json, "FunctionArn");
  found.state = TextAt(*json, "State");
  found.reason = TextAt(*json, "StateReason");
  found.last_update = TextAt(*json, "LastUpdateStatus");
  found.timeout_s = NumberAt(*json, "Timeout");
  if (found.arn.empty()) co_return Fail("'GetFunctionConfiguration' was answered without a function");
  co_return found;
}

Task<Result<Answer>> Invoke(Client& client, std::string region, std::string function, std::string payload, Duration timeout) {
  Call call = CallOf("Invoke", std::move(region), "POST", function, "/invocations", Effect::kOnce);
  call.headers = {{"Content-Type", "application/json"}, {"X-Amz-Invocation-Type", "RequestResponse"}};
  call.body = std::move(payload);
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  Answer answer;
  answer.error = reply->Header("x-amz-function-error");
  answer.payload = std::move(reply->body);
  co_return answer;
}

}  // namespace lifeboat::aws::lambda
