#include "adapters/aws/elbv2.h"

#include <map>
#include <set>

#include "adapters/aws/protocol.h"

namespace lifeboat::aws::elbv2 {

namespace {

constexpr QueryService kService{"elasticloadbalancing", "2015-12-01"};

}  // namespace

Task<Result<std::vector<Target>>> DescribeTargetHealth(Client& client, std::string region, std::string group, Duration timeout) {
  QueryParameters parameters;
  parameters.Text("TargetGroupArn", group);
  Call call = QueryCall(kService, std::move(region), "DescribeTargetHealth", parameters, Effect::kReads);
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  const Result<XmlNode> result = QueryResult(*reply, "DescribeTargetHealth");
  if (!result) co_return result.error();
  std::vector<Target> targets;
  for (const XmlNode& one : (*result)["TargetHealthDescriptions"].children) {
    const XmlNode& health = one["TargetHealth"];
    targets.push_back(Target{one["Target"]["Id"].text, one["Target"]["Port"].text, health["State"].text, health["Reason"].text});
  }
  co_return targets;
}

std::uint64_t HealthyOf(const std::vector<Target>& targets, bool by_id) {
  std::set<std::string> healthy;
  for (const Target& target : targets) {
    if (target.state == "healthy") healthy.insert(by_id ? target.id : target.id + " " + target.port);
  }
  return healthy.size();
}

std::string WordsOf(const std::vector<Target>& targets) {
  std::map<std::string, std::size_t> counts;
  for (const Target& target : targets) {
    ++counts[target.state + (target.reason.empty() ? "" : " (" + target.reason + ")")];
  }
  std::string words;
  for (const auto& [state, count] : counts) words += (words.empty() ? "" : ", ") + std::to_string(count) + " " + state;
  return words.empty() ? "no targets" : words;
}

}  // namespace lifeboat::aws::elbv2
