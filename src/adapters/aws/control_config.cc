#include "adapters/aws/control_config.h"

#include "adapters/aws/protocol.h"

namespace lifeboat::aws::control_config {

namespace {

constexpr const char* kHome = "us-west-2";

Task<Result<Json>> Ask(Client& client, std::string operation, std::string folder, std::string arn, Duration timeout) {
  Call call;
  call.service = "route53-recovery-control-config";
  call.region = kHome;
  call.operation = operation;
  call.method = "GET";
  call.path = "/" + folder + "/" + UriEncode(arn);
  call.effect = Effect::kReads;
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  co_return JsonResult(*reply, operation);
}

}  // namespace

Task<Result<std::string>> ClusterOfPanel(Client& client, std::string panel_arn, Duration timeout) {
  Result<Json> json = co_await Ask(client, "DescribeControlPanel", "controlpanel", std::move(panel_arn), timeout);
  if (!json) co_return json.error();
  const std::string cluster = TextAt(MemberAt(*json, "ControlPanel"), "ClusterArn");
  if (cluster.empty()) co_return Fail("'DescribeControlPanel' was answered without a cluster");
  co_return cluster;
}

Task<Result<std::map<std::string, std::string>>> EndpointsOf(Client& client, std::string cluster_arn, Duration timeout) {
  Result<Json> json = co_await Ask(client, "DescribeCluster", "cluster", std::move(cluster_arn), timeout);
  if (!json) co_return json.error();
  std::map<std::string, std::string> endpoints;
  for (const Json& one : MemberAt(MemberAt(*json, "Cluster"), "ClusterEndpoints")) {
    const std::string region = TextAt(one, "Region");
    const std::string url = TextAt(one, "Endpoint");
    if (!region.empty() && !url.empty()) endpoints[region] = url;
  }
  if (endpoints.empty()) co_return Fail("'DescribeCluster' was answered without endpoints");
  co_return endpoints;
}

std::string PanelOfControl(const std::string& control_arn) {
  const std::size_t at = control_arn.find("/routingcontrol/");
  return at == std::string::npos || control_arn.find(":controlpanel/") > at ? std::string() : control_arn.substr(0, at);
}

}  // namespace lifeboat::aws::control_config
