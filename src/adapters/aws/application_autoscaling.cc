#include "adapters/aws/application_autoscaling.h"

#include "adapters/aws/protocol.h"

namespace lifeboat::aws::application_autoscaling {

namespace {

constexpr JsonService kService{"application-autoscaling", "AnyScaleFrontendService", "1.1"};
constexpr const char* kDimension = "ecs:service:DesiredCount";
constexpr const char* kBusy = "ConcurrentUpdateException";

std::string ResourceOf(const std::string& cluster, const std::string& service) { return "service/" + cluster + "/" + service; }

}  // namespace

Task<Result<std::optional<Bounds>>> DescribeBounds(Client& client, std::string region, std::string cluster, std::string service,
                                                   Duration timeout) {
  Json body = {
      {"ServiceNamespace", "ecs"}, {"ResourceIds", Json::array({ResourceOf(cluster, service)})}, {"ScalableDimension", kDimension}};
  Call call = JsonCall(kService, region, "DescribeScalableTargets", body, Effect::kReads);
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  const Result<Json> json = JsonResult(*reply, "DescribeScalableTargets");
  if (!json) co_return json.error();
  std::optional<Bounds> bounds;
  const Json& targets = MemberAt(*json, "ScalableTargets");
  if (targets.is_array() && !targets.empty()) {
    bounds = Bounds{NumberAt(targets.front(), "MinCapacity"), NumberAt(targets.front(), "MaxCapacity")};
  }
  co_return bounds;
}

Task<Result<Unit>> SetBounds(Client& client, std::string region, std::string cluster, std::string service, Bounds bounds,
                             Duration timeout) {
  Json body = {{"ServiceNamespace", "ecs"},
               {"ResourceId", ResourceOf(cluster, service)},
               {"ScalableDimension", kDimension},
               {"MinCapacity", bounds.least},
               {"MaxCapacity", bounds.most}};
  Call call = JsonCall(kService, region, "RegisterScalableTarget", body, Effect::kRepeatable);
  call.answers = {kBusy};
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  if (!reply->code.empty()) co_return RetryLater("the bounds of service '" + service + "' are being changed: " + reply->message);
  co_return Done();
}

}  // namespace lifeboat::aws::application_autoscaling
