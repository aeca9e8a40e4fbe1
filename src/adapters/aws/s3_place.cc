#include "adapters/aws/s3_place.h"

namespace lifeboat::aws::s3 {

Task<Result<std::string>> RegionOfBucket(Client& client, std::string asked, std::string bucket, Duration timeout) {
  Call call;
  call.service = "s3";
  call.region = asked;
  call.bucket = bucket;
  call.operation = "HeadBucket";
  call.method = "HEAD";
  call.effect = Effect::kReads;
  // Elsewhere (301, and 400 where the signature names another region), or not ours to look into (403): each names the region.
  call.answers = {"HTTP 301", "HTTP 400", "HTTP 403"};
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  std::string region = reply->Header("x-amz-bucket-region");
  if (!region.empty()) co_return region;
  if (!reply->code.empty())
    co_return Fail("'HeadBucket' of '" + bucket + "' was answered by '" + reply->code + "', without a region");
  co_return asked;
}

}  // namespace lifeboat::aws::s3
