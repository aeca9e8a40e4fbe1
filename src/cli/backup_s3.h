#pragma once

// Backups at s3://BUCKET/PREFIX: objects of S3, or of what speaks like it, as the sources of backups read them.
// Credentials by the usual chain of AWS, or by a profile that is named. What talks to S3 runs on a thread of its own, which ends
// with the door. Thread rule: as backup::Blobs.

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapters/backups/blobs.h"
#include "backup/bucket.h"

namespace lifeboat {

struct S3Place {
  std::string url;     ///< "s3://bucket/prefix"
  std::string region;  ///< "": AWS_REGION, AWS_DEFAULT_REGION
  std::string
      endpoint;  ///< "https://host", the bucket becomes part of the path; "": AWS_ENDPOINT_URL_S3 and its kin, else AWS's own
  std::string ca_file;   ///< certificates that the endpoint's is checked by; "": AWS_CA_BUNDLE, else the system's
  std::string profile;   ///< of AWS's shared files; "": the usual chain
  unsigned readers = 2;  ///< threads that will read: what each may hold at once is its share of the memory
  Duration patience = std::chrono::seconds(150);  ///< with a store that does not answer: all attempts at one call
};

/// Objects of S3, and what their bucket is set up to do with them.
class S3Store : public backup::Blobs {
 public:
  /// What keys in the bucket begin with: "" or ending in '/'.
  [[nodiscard]] virtual const std::string& prefix() const = 0;
  /// Each part that cannot be seen is told in `unseen`; the store may refuse any of them to a role that only reads.
  [[nodiscard]] virtual backup::BucketFacts Facts() = 0;
  /// What the bucket's rules for copying say of everything below the prefix, in words: "no rule covers it".
  [[nodiscard]] virtual std::string CopyRules() = 0;
  /// What the store says of one object's own copying. Nothing: unseen.
  [[nodiscard]] virtual std::optional<std::string> CopyStatus(const std::string& path) = 0;
  /// Objects below `path` that a delete marker hides. @error any: versions cannot be seen
  [[nodiscard]] virtual Result<std::vector<backup::HiddenObject>> Hidden(const std::string& path) = 0;
};

[[nodiscard]] bool IsS3(const std::string& repository);

/// Asks nobody yet. @error kFail: the URL names no bucket, no region is known, a shared file of AWS cannot be read
[[nodiscard]] Result<std::shared_ptr<S3Store>> OpenS3(const S3Place& place);

}  // namespace lifeboat
