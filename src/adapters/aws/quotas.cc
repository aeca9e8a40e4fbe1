#include "adapters/aws/quotas.h"

#include "adapters/aws/protocol.h"

namespace lifeboat::aws::quotas {

namespace {

constexpr JsonService kService{"servicequotas", "ServiceQuotasV20190624", "1.1"};

Task<Result<double>> Ask(Client& client, std::string region, std::string operation, Quota quota, Duration timeout) {
  Json body = {{"ServiceCode", quota.service}, {"QuotaCode", quota.code}};
  Call call = JsonCall(kService, std::move(region), operation, body, Effect::kReads);
  call.answers = {"NoSuchResourceException"};
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  if (!reply->code.empty()) co_return NotFound("quota '" + std::string(quota.code) + "' is not there: " + reply->message);
  const Result<Json> json = JsonResult(*reply, operation);
  if (!json) co_return json.error();
  const Json& value = MemberAt(MemberAt(*json, "Quota"), "Value");
  if (!value.is_number()) co_return Fail("'" + operation + "' was answered without a value");
  co_return value.get<double>();
}

}  // namespace

Task<Result<double>> ValueOf(Client& client, std::string region, Quota quota, Duration timeout) {
  Result<double> value = co_await Ask(client, region, "GetServiceQuota", quota, timeout);
  if (value.ok() || value.error().retry != Retry::kNotFound) co_return value;
  co_return co_await Ask(client, region, "GetAWSDefaultServiceQuota", quota, timeout);
}

}  // namespace lifeboat::aws::quotas
