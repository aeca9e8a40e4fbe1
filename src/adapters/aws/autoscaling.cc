#include "adapters/aws/autoscaling.h"

#include <charconv>

#include "adapters/aws/protocol.h"

namespace lifeboat::aws::autoscaling {

namespace {

constexpr QueryService kService{"autoscaling", "2011-01-01"};
constexpr const char* kBusy = "ScalingActivityInProgress";

std::uint64_t NumberIn(const XmlNode& node, std::uint64_t fallback = 0) {
  std::uint64_t value = fallback;
  (void)std::from_chars(node.text.data(), node.text.data() + node.text.size(), value);
  return value;
}

Group GroupFrom(const XmlNode& node) {
  Group group;
  group.name = node["AutoScalingGroupName"].text;
  group.sizes = Sizes{NumberIn(node["MinSize"]), NumberIn(node["DesiredCapacity"]), NumberIn(node["MaxSize"])};
  group.status = node["Status"].text;
  for (const XmlNode& instance : node["Instances"].children) {
    if (instance["LifecycleState"].text != "InService" || instance["HealthStatus"].text != "Healthy") continue;
    group.in_service += NumberIn(instance["WeightedCapacity"], 1);
  }
  for (const XmlNode& arn : node["TargetGroupARNs"].children) group.target_groups.push_back(arn.text);
  for (const XmlNode& process : node["SuspendedProcesses"].children) group.suspended.push_back(process["ProcessName"].text);
  return group;
}

}  // namespace

Task<Result<Group>> DescribeGroup(Client& client, std::string region, std::string name, Duration timeout) {
  QueryParameters parameters;
  parameters.List("AutoScalingGroupNames.member", {name});
  Call call = QueryCall(kService, region, "DescribeAutoScalingGroups", parameters, Effect::kReads);
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  const Result<XmlNode> result = QueryResult(*reply, "DescribeAutoScalingGroups");
  if (!result) co_return result.error();
  const XmlNode& groups = (*result)["AutoScalingGroups"];
  if (groups.children.empty()) co_return NotFound("there is no auto scaling group '" + name + "' in '" + region + "'");
  co_return GroupFrom(groups.children.front());
}

Task<Result<Unit>> Resize(Client& client, std::string region, std::string name, Sizes sizes, Duration timeout) {
  QueryParameters parameters;
  parameters.Text("AutoScalingGroupName", name);
  parameters.Number("MinSize", static_cast<std::int64_t>(sizes.least));
  parameters.Number("MaxSize", static_cast<std::int64_t>(sizes.most));
  parameters.Number("DesiredCapacity", static_cast<std::int64_t>(sizes.desired));
  Call call = QueryCall(kService, region, "UpdateAutoScalingGroup", parameters, Effect::kRepeatable);
  call.answers = {kBusy};
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  if (!reply->code.empty())
    co_return Refused("auto scaling group '" + name + "' is busy: " + reply->message, "try again in a minute");
  co_return Done();
}

Task<Result<std::string>> LastFailure(Client& client, std::string region, std::string name, Duration timeout) {
  QueryParameters parameters;
  parameters.Text("AutoScalingGroupName", name).Number("MaxRecords", 10);
  Call call = QueryCall(kService, region, "DescribeScalingActivities", parameters, Effect::kReads);
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  const Result<XmlNode> result = QueryResult(*reply, "DescribeScalingActivities");
  if (!result) co_return result.error();
  for (const XmlNode& activity : (*result)["Activities"].children) {  // the newest first
    if (activity["StatusCode"].text == "Failed") co_return activity["StatusMessage"].text;
  }
  co_return std::string();
}

}  // namespace lifeboat::aws::autoscaling
