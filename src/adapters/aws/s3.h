#pragma once

// S3: small objects (canaries, the object that a health check looks at) and how a bucket is replicated.
// Thread rule: as Client.
// @source S3 API reference, 2006-03-01

#include <optional>
#include <string>
#include <vector>

#include "adapters/aws/client.h"

namespace lifeboat::aws::s3 {

struct Bucket {
  std::string region;
  std::string name;
};

struct Object {
  std::string body;  ///< empty after Head
  std::string etag;
  std::string version_id;
  std::string replication;  ///< "PENDING", "COMPLETED", "FAILED", "REPLICA"; empty: no rule covers it
  std::optional<WallTime> modified;
};

/// What must stand there for a change to be made.
struct OnlyIf {
  bool absent = false;  ///< nothing of that name
  std::string etag;     ///< this very object; empty: whatever it is
};

/// @return its etag and version @error kRefused: the condition did not hold (412), or another change came between (409)
Task<Result<Object>> PutObject(Client& client, Bucket bucket, std::string key, std::string body, std::string content_type,
                               OnlyIf only_if, Duration timeout);
/// @error kNotFound
Task<Result<Object>> GetObject(Client& client, Bucket bucket, std::string key, Duration timeout);
/// @error kNotFound
Task<Result<Object>> HeadObject(Client& client, Bucket bucket, std::string key, Duration timeout);
/// Done when it is not there. In a bucket with versions: a marker is put over it.
Task<Result<Unit>> DeleteObject(Client& client, Bucket bucket, std::string key, Duration timeout);

struct ReplicationRule {
  std::string id;
  bool enabled = false;
  std::string prefix;       ///< empty: all objects
  bool by_tags = false;     ///< only objects with certain tags: the prefix does not say it all
  std::string destination;  ///< bucket ARN
  bool delete_markers = false;
  bool time_control = false;
  bool kms_objects = false;  ///< objects under a key of KMS too
  std::string replica_kms_key;
};
/// @return none: there is no replication
Task<Result<std::vector<ReplicationRule>>> GetBucketReplication(Client& client, Bucket bucket, Duration timeout);
/// True: versioning is on.
Task<Result<bool>> GetBucketVersioning(Client& client, Bucket bucket, Duration timeout);

}  // namespace lifeboat::aws::s3
