#pragma once

// S3: small objects (canaries, the object that a health check looks at), how a bucket is replicated, and what reading a large
// one takes: its list, page by page, and ranges of its objects.
// Thread rule: as Client.
// @source S3 API reference, 2006-03-01
// @iam s3:PutObject
// @iam s3:GetObject
// @iam s3:DeleteObject
// @iam s3:ListBucket
// @iam s3:GetReplicationConfiguration
// @iam s3:GetBucketVersioning
// @iam s3:GetEncryptionConfiguration

#include <cstdint>
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

struct ListedObject {
  std::string key;
  std::uint64_t size = 0;
  std::string etag;
  std::string storage_class;  ///< "STANDARD", "GLACIER", …; empty: the answer does not say
  std::int64_t modified = 0;  ///< seconds since 1970; 0: the answer does not say
};
struct ListedPage {
  std::vector<ListedObject> objects;  ///< at most 1000
  std::string next;                   ///< what the next page is asked with; empty: this is the last one
};
/// One page of the objects whose keys begin with `prefix`, by key. Older versions and what a delete marker hides are not in it.
/// @param next  ListedPage::next of the page before; empty: from the first
/// @error kFail: an answer that cannot be read whole
Task<Result<ListedPage>> ListObjects(Client& client, Bucket bucket, std::string prefix, std::string next, Duration timeout);

struct Range {
  std::uint64_t offset = 0;
  std::uint64_t length = 1;  ///< at least 1; as much of it as the object has comes
};
struct ObjectPart {
  std::string body;
  std::string etag;
  std::uint64_t total = 0;  ///< bytes that the object has
  std::string code;  ///< not empty: it cannot be read as it is ("PreconditionFailed": another etag, "InvalidObjectState": archived)
};
/// @param etag  of the object that is meant; empty: whatever stands there
/// @error kNotFound; kFail: the answer is no answer to this range
Task<Result<ObjectPart>> GetObjectPart(Client& client, Bucket bucket, std::string key, Range range, std::string etag,
                                       Duration timeout);

struct ReplicationRule {
  std::string id;
  bool enabled = false;
  std::string prefix;       ///< empty: all objects
  bool by_tags = false;     ///< only objects with certain tags: the prefix does not say it all
  std::string destination;  ///< bucket ARN
  bool delete_markers = false;
  bool time_control = false;
  bool metrics = false;      ///< pending and failed operations are counted in CloudWatch
  bool kms_objects = false;  ///< objects under a key of KMS too
  std::string replica_kms_key;
};
/// @return none: there is no replication
Task<Result<std::vector<ReplicationRule>>> GetBucketReplication(Client& client, Bucket bucket, Duration timeout);
/// True: versioning is on.
Task<Result<bool>> GetBucketVersioning(Client& client, Bucket bucket, Duration timeout);

struct BucketEncryption {
  std::string algorithm;  ///< "AES256", "aws:kms", "aws:kms:dsse"; empty: none is set
  std::string kms_key;    ///< empty: S3's own, or the account's default key for S3
};
/// What objects are written under that do not say it themselves.
Task<Result<BucketEncryption>> GetBucketEncryption(Client& client, Bucket bucket, Duration timeout);

}  // namespace lifeboat::aws::s3
