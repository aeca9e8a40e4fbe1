#include "adapters/aws/eks.h"

#include "adapters/aws/protocol.h"

namespace lifeboat::aws::eks {

namespace {

Call CallOf(const std::string& operation, std::string region, const std::string& method, const std::string& cluster,
            const std::string& name, const std::string& rest, Effect effect) {
  Call call;
  call.service = "eks";
  call.region = std::move(region);
  call.operation = operation;
  call.method = method;
  call.path = "/clusters/" + UriEncode(cluster) + "/node-groups/" + UriEncode(name) + rest;
  call.effect = effect;
  return call;
}

Nodegroup NodegroupFrom(const Json& json) {
  Nodegroup group;
  group.name = TextAt(json, "nodegroupName");
  group.status = TextAt(json, "status");
  const Json& scaling = MemberAt(json, "scalingConfig");
  group.sizes = NodegroupSizes{NumberAt(scaling, "minSize"), NumberAt(scaling, "desiredSize"), NumberAt(scaling, "maxSize")};
  for (const Json& one : MemberAt(MemberAt(json, "resources"), "autoScalingGroups")) group.groups.push_back(TextAt(one, "name"));
  for (const Json& issue : MemberAt(MemberAt(json, "health"), "issues")) {
    group.issues.push_back(TextAt(issue, "code") + ": " + TextAt(issue, "message"));
  }
  return group;
}

}  // namespace

Task<Result<Nodegroup>> DescribeNodegroup(Client& client, std::string region, std::string cluster, std::string name,
                                          Duration timeout) {
  Call call = CallOf("DescribeNodegroup", std::move(region), "GET", cluster, name, "", Effect::kReads);
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  const Result<Json> json = JsonResult(*reply, "DescribeNodegroup");
  if (!json) co_return json.error();
  const Json& group = MemberAt(*json, "nodegroup");
  if (!MemberAt(MemberAt(group, "scalingConfig"), "desiredSize").is_number()) {
    co_return Fail("'DescribeNodegroup' was answered without sizes");
  }
  co_return NodegroupFrom(group);
}

Task<Result<Unit>> ResizeNodegroup(Client& client, std::string region, std::string cluster, std::string name, NodegroupSizes sizes,
                                   Duration timeout) {
  Json scaling = {{"minSize", sizes.least}, {"maxSize", sizes.most}, {"desiredSize", sizes.desired}};
  Json body = {{"clientRequestToken", RandomUuid()}, {"scalingConfig", std::move(scaling)}};
  Call call = CallOf("UpdateNodegroupConfig", std::move(region), "POST", cluster, name, "/update-config", Effect::kRepeatable);
  call.headers = {{"Content-Type", "application/json"}};
  call.body = body.dump();
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  const Result<Json> json = JsonResult(*reply, "UpdateNodegroupConfig");
  if (!json) co_return Unreadable(Effect::kRepeatable, json.error());
  const Json& update = MemberAt(*json, "update");
  const std::string status = TextAt(update, "status");
  if (status == "Failed" || status == "Cancelled") {
    std::string words;
    for (const Json& error : MemberAt(update, "errors")) words += ": " + TextAt(error, "errorMessage");
    co_return Refused("the update of node group '" + name + "' is '" + status + "'" + words);
  }
  co_return Done();
}

}  // namespace lifeboat::aws::eks
