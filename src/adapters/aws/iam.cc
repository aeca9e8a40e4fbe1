#include "adapters/aws/iam.h"

#include "adapters/aws/protocol.h"

namespace lifeboat::aws::iam {

namespace {
constexpr QueryService kService{"iam", "2010-05-08"};
constexpr int kMostPages = 100;
}  // namespace

Task<Result<std::vector<Simulated>>> SimulatePrincipalPolicy(Client& client, std::string region, std::string principal,
                                                             std::vector<std::string> actions, std::vector<std::string> resources,
                                                             Duration timeout) {
  std::vector<Simulated> all;
  std::string marker;
  for (int page = 0; page < kMostPages; ++page) {
    QueryParameters parameters;
    parameters.Text("PolicySourceArn", principal)
        .List("ActionNames.member", actions)
        .List("ResourceArns.member", resources)
        .Text("Marker", marker);
    Call call = QueryCall(kService, region, "SimulatePrincipalPolicy", parameters, Effect::kReads);
    Result<Reply> reply = co_await client.Send(std::move(call), timeout);
    if (!reply) co_return reply.error();
    const Result<XmlNode> result = QueryResult(*reply, "SimulatePrincipalPolicy");
    if (!result) co_return result.error();
    for (const XmlNode& each : (*result)["EvaluationResults"].children) {
      Simulated one{each["EvalActionName"].text, each["EvalResourceName"].text, each["EvalDecision"].text, {}};
      for (const XmlNode& key : each["MissingContextValues"].children) one.missing_context.push_back(key.text);
      all.push_back(std::move(one));
    }
    marker = (*result)["Marker"].text;
    if (marker.empty() || (*result)["IsTruncated"].text != "true") co_return all;
  }
  co_return Fail("'SimulatePrincipalPolicy' has more pages than can be");
}

}  // namespace lifeboat::aws::iam
