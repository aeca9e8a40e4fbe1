#include "adapters/aws/ecs.h"

#include "adapters/aws/protocol.h"

namespace lifeboat::aws::ecs {

namespace {

constexpr JsonService kService{"ecs", "AmazonEC2ContainerServiceV20141113", "1.1"};
constexpr const char* kNotActive = "ServiceNotActiveException";

Service ServiceFrom(const Json& json) {
  Service service;
  service.name = TextAt(json, "serviceName");
  service.status = TextAt(json, "status");
  service.desired = NumberAt(json, "desiredCount");
  service.running = NumberAt(json, "runningCount");
  service.pending = NumberAt(json, "pendingCount");
  service.daemon = TextAt(json, "schedulingStrategy") == "DAEMON";
  service.launch_type = TextAt(json, "launchType");
  const Json& events = MemberAt(json, "events");
  if (events.is_array() && !events.empty()) service.last_message = TextAt(events.front(), "message");
  for (const Json& balancer : MemberAt(json, "loadBalancers")) {
    const std::string arn = TextAt(balancer, "targetGroupArn");
    if (!arn.empty()) service.target_groups.push_back(arn);
  }
  return service;
}

}  // namespace

Task<Result<Service>> DescribeService(Client& client, std::string region, std::string cluster, std::string service,
                                      Duration timeout) {
  Json body = {{"cluster", cluster}, {"services", Json::array({service})}};
  Call call = JsonCall(kService, region, "DescribeServices", body, Effect::kReads);
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  const Result<Json> json = JsonResult(*reply, "DescribeServices");
  if (!json) co_return json.error();
  const Json& services = MemberAt(*json, "services");
  if (!services.is_array() || services.empty()) {
    co_return NotFound("there is no service '" + service + "' in cluster '" + cluster + "' in '" + region + "'");
  }
  co_return ServiceFrom(services.front());
}

Task<Result<Unit>> SetDesiredCount(Client& client, std::string region, std::string cluster, std::string service,
                                   std::uint64_t desired, Duration timeout) {
  Json body = {{"cluster", cluster}, {"service", service}, {"desiredCount", desired}};
  Call call = JsonCall(kService, region, "UpdateService", body, Effect::kRepeatable);
  call.answers = {kNotActive};
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  if (!reply->code.empty()) co_return Refused("service '" + service + "' is not active: " + reply->message);
  co_return Done();
}

}  // namespace lifeboat::aws::ecs
