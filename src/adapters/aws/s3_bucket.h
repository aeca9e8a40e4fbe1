#pragma once

// What a bucket is set up to do with its objects: older versions and delete markers, lifecycle rules, Object Lock.
// Thread rule: as Client.
// @source S3 API reference, 2006-03-01

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "adapters/aws/s3.h"

namespace lifeboat::aws::s3 {

/// A version of an object, or a marker that says that there is none any more.
struct ObjectVersion {
  std::string key;
  std::string version;
  bool marker = false;
  bool latest = false;
  std::int64_t modified = 0;  ///< seconds since 1970; 0: the answer does not say
};
struct VersionsPage {
  std::vector<ObjectVersion> versions;  ///< by key, then newest first
  std::string next_key;                 ///< what the next page is asked with; empty: this is the last one
  std::string next_version;
};
/// One page of all versions of the objects whose keys begin with `prefix`.
/// @error kFail: an answer that cannot be read whole, or no right to see versions
Task<Result<VersionsPage>> ListObjectVersions(Client& client, Bucket bucket, std::string prefix, VersionsPage after,
                                              Duration timeout);

/// A rule that deletes current objects. Those that only move objects, or delete older versions, are left out.
struct LifecycleExpiry {
  std::string id;
  std::string prefix;
  std::uint64_t days = 0;  ///< 0: by date
  std::int64_t date = 0;   ///< seconds since 1970
  std::uint64_t more_than = 0;
  std::uint64_t less_than = 0;  ///< 0: any
  bool by_tags = false;
};
/// Those that are on. @return none: there is no lifecycle configuration
Task<Result<std::vector<LifecycleExpiry>>> GetBucketExpiry(Client& client, Bucket bucket, Duration timeout);

/// True: Object Lock is on.
Task<Result<bool>> GetObjectLock(Client& client, Bucket bucket, Duration timeout);

}  // namespace lifeboat::aws::s3
