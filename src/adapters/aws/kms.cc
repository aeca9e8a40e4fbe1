#include "adapters/aws/kms.h"

#include "adapters/aws/protocol.h"

namespace lifeboat::aws::kms {

namespace {
constexpr JsonService kService{"kms", "TrentService", "1.1"};
}  // namespace

Task<Result<Key>> DescribeKey(Client& client, std::string region, std::string key, Duration timeout) {
  const Json body = {{"KeyId", key}};
  Call call = JsonCall(kService, std::move(region), "DescribeKey", body, Effect::kReads);
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  Result<Json> json = JsonResult(*reply, "DescribeKey");
  if (!json) co_return json.error();
  const Json& about = MemberAt(*json, "KeyMetadata");
  co_return Key{TextAt(about, "Arn"), TextAt(about, "KeyState"), FlagAt(about, "MultiRegion")};
}

}  // namespace lifeboat::aws::kms
