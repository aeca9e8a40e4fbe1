#include "adapters/aws/secretsmanager.h"

#include "adapters/aws/protocol.h"

namespace lifeboat::aws::secretsmanager {

namespace {

constexpr JsonService kService{"secretsmanager", "secretsmanager", "1.1"};
constexpr const char* kCurrent = "AWSCURRENT";

}  // namespace

Task<Result<Secret>> DescribeSecret(Client& client, std::string region, std::string name, Duration timeout) {
  const Json body = {{"SecretId", name}};
  Call call = JsonCall(kService, std::move(region), "DescribeSecret", body, Effect::kReads);
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  const Result<Json> json = JsonResult(*reply, "DescribeSecret");
  if (!json) co_return json.error();
  Secret secret;
  secret.arn = TextAt(*json, "ARN");
  if (secret.arn.empty()) co_return Fail("'DescribeSecret' was answered without a secret");
  secret.kms_key = TextAt(*json, "KmsKeyId");
  secret.primary_region = TextAt(*json, "PrimaryRegion");
  secret.deleted = json->contains("DeletedDate") && !MemberAt(*json, "DeletedDate").is_null();
  for (const auto& [version, stages] : MemberAt(*json, "VersionIdsToStages").items()) {
    for (const Json& stage : stages) {
      if (stage == kCurrent) secret.current_version = version;
    }
  }
  for (const Json& replica : MemberAt(*json, "ReplicationStatus"))
    secret.replicas[TextAt(replica, "Region")] = TextAt(replica, "Status");
  co_return secret;
}

}  // namespace lifeboat::aws::secretsmanager
