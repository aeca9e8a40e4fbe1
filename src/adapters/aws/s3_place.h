#pragma once

// In which region a bucket lies: S3 says it in the header of every answer, also in one that refuses.
// Thread rule: as Client.
// @source S3 API reference, 2006-03-01, HeadBucket

#include <string>

#include "adapters/aws/client.h"

namespace lifeboat::aws::s3 {

/// @param asked  the region that is asked; it need not be the bucket's own
/// @return `asked` where what speaks like S3 knows no regions
/// @error kNotFound: there is no such bucket
Task<Result<std::string>> RegionOfBucket(Client& client, std::string asked, std::string bucket, Duration timeout);

}  // namespace lifeboat::aws::s3
