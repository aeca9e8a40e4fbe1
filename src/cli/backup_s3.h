#pragma once

// lifeboat backup --repo s3://BUCKET/PREFIX: objects of S3, or of what speaks like it, as the sources of backups read them.
// Credentials by the usual chain of AWS. What talks to S3 runs on a thread of its own, which ends with the door.
// Thread rule: as backup::Blobs.

#include <memory>
#include <string>

#include "adapters/backups/blobs.h"

namespace lifeboat {

struct S3Place {
  std::string url;     ///< "s3://bucket/prefix"
  std::string region;  ///< "": AWS_REGION, AWS_DEFAULT_REGION
  std::string
      endpoint;  ///< "https://host", the bucket becomes part of the path; "": AWS_ENDPOINT_URL_S3 and its kin, else AWS's own
};

[[nodiscard]] bool IsS3(const std::string& repository);

/// Asks nobody yet. @error kFail: the URL names no bucket, no region is known, a shared file of AWS cannot be read
[[nodiscard]] Result<std::shared_ptr<backup::Blobs>> OpenS3(const S3Place& place);

}  // namespace lifeboat
