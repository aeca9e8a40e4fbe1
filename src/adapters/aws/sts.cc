#include "adapters/aws/sts.h"

#include "adapters/aws/http_date.h"
#include "adapters/aws/protocol.h"

namespace lifeboat::aws::sts {

namespace {

constexpr QueryService kService{"sts", "2011-06-15"};

Task<Result<SharedCredentials>> Assume(Client& client, std::string region, std::string action, QueryParameters parameters,
                                       std::string arn, Duration timeout) {
  // A session more than was needed does no harm: asked again after silence.
  Call call = QueryCall(kService, std::move(region), action, parameters, Effect::kReads);
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  const Result<XmlNode> result = QueryResult(*reply, action);
  if (!result) co_return result.error();
  const XmlNode& keys = (*result)["Credentials"];
  auto credentials = std::make_shared<Credentials>();
  credentials->access_key_id = keys["AccessKeyId"].text;
  credentials->secret_key = Secret(keys["SecretAccessKey"].text);
  credentials->session_token = Secret(keys["SessionToken"].text);
  credentials->expires = ParseTimestamp(keys["Expiration"].text);
  credentials->source = "role '" + arn + "'";
  if (credentials->access_key_id.empty() || credentials->secret_key.empty() || !credentials->expires) {
    co_return Fail("'" + action + "' for '" + arn + "' was answered without whole credentials");
  }
  co_return SharedCredentials(std::move(credentials));
}

QueryParameters ParametersOf(const Role& role) {
  QueryParameters parameters;
  parameters.Text("RoleArn", role.arn).Text("RoleSessionName", role.session_name).Number("DurationSeconds", role.seconds);
  return parameters;
}

}  // namespace

Task<Result<SharedCredentials>> AssumeRole(Client& client, std::string region, Role role, Duration timeout) {
  QueryParameters parameters = ParametersOf(role);
  parameters.Text("ExternalId", role.external_id);
  co_return co_await Assume(client, std::move(region), "AssumeRole", std::move(parameters), role.arn, timeout);
}

Task<Result<SharedCredentials>> AssumeRoleWithWebIdentity(Client& client, std::string region, Role role, Secret token,
                                                          Duration timeout) {
  QueryParameters parameters = ParametersOf(role);
  parameters.Text("WebIdentityToken", token.Reveal());
  co_return co_await Assume(client, std::move(region), "AssumeRoleWithWebIdentity", std::move(parameters), role.arn, timeout);
}

Task<Result<Identity>> GetCallerIdentity(Client& client, std::string region, Duration timeout) {
  Call call = QueryCall(kService, std::move(region), "GetCallerIdentity", QueryParameters(), Effect::kReads);
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  const Result<XmlNode> result = QueryResult(*reply, "GetCallerIdentity");
  if (!result) co_return result.error();
  Identity identity;
  identity.account = (*result)["Account"].text;
  identity.arn = (*result)["Arn"].text;
  co_return identity;
}

}  // namespace lifeboat::aws::sts
