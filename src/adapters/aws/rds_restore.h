#pragma once

// RDS's snapshots, and temporary instances and clusters that are restored from them and deleted again.
//
// SAFETY: what is deleted here goes without a final snapshot. So nothing can be deleted but what OurOwn was proven of: its name
// begins with our prefix, and our tag on it holds this very name. A tag alone proves nothing: RDS copies tags to snapshots and from
// there to whatever is restored from them.
// Thread rule: as Client.
// @source RDS API reference, 2014-10-31

#include <optional>
#include <string>
#include <vector>

#include "adapters/aws/client.h"

namespace lifeboat::aws::rds {

/// A snapshot with what a restore of it needs.
struct StoredSnapshot {
  std::string region;
  std::string id;
  std::string arn;
  std::string of;  ///< the instance or cluster
  bool of_cluster = false;
  std::string status;  ///< "available", "creating", "failed", …
  std::string type;    ///< "automated", "manual", "awsbackup"
  std::string engine;
  std::string engine_version;
  bool encrypted = false;
  std::string kms_key;
  std::string copied_from;          ///< ARN; empty: it is no copy
  std::optional<WallTime> created;  ///< of the data; of a cluster's copy only known as that of what it was copied from
  std::string user;                 ///< the master user
  std::uint64_t port = 0;
  std::uint64_t gib = 0;  ///< allocated storage
};
/// All snapshots of an instance or a cluster in a region, in no order. Copies from other regions stand under the source's name.
Task<Result<std::vector<StoredSnapshot>>> ListStoredSnapshots(Client& client, std::string region, std::string of, bool of_cluster,
                                                              Duration timeout);

struct Tag {
  std::string key;
  std::string value;
};

/// An instance or a cluster, with its tags.
struct Tagged {
  std::string id;
  bool is_cluster = false;
  std::string cluster;  ///< an instance's; empty: it is in none
  std::string status;
  std::string engine;
  std::string address;
  std::uint64_t port = 0;
  std::vector<std::string> instances;  ///< a cluster's
  bool linked = false;                 ///< it replicates, or is replicated
  std::vector<Tag> tags;
  [[nodiscard]] std::string TagOf(const std::string& key) const;
};
/// @error kNotFound
Task<Result<Tagged>> LookAt(Client& client, std::string region, std::string id, bool is_cluster, Duration timeout);
/// All of a region.
Task<Result<std::vector<Tagged>>> ListTagged(Client& client, std::string region, bool clusters, Duration timeout);

/// What a temporary instance is made as. Empty: as RDS chooses.
struct TemporaryShape {
  std::string id;  ///< begins with kTemporaryPrefix
  std::string instance_class;
  std::string subnet_group;
  std::string parameter_group;
  std::vector<std::string> security_groups;
  WallTime until;  ///< after which a run that knows nothing of it may delete it
};
inline constexpr const char* kTemporaryPrefix = "lifeboat-verify-";
inline constexpr const char* kTemporaryTag = "lifeboat:temporary";  ///< holds the name of what it is put on
inline constexpr const char* kTemporaryUntil = "lifeboat:until";    ///< seconds since 1970

/// Never public, without protection against deletion. @error kFail: its name is not one of ours; kUnknownOutcome: look
Task<Result<Unit>> RestoreInstance(Client& client, std::string region, StoredSnapshot snapshot, TemporaryShape shape,
                                   Duration timeout);
/// A cluster of no instance; MakeInstance gives it one.
Task<Result<Unit>> RestoreCluster(Client& client, std::string region, StoredSnapshot snapshot, TemporaryShape shape,
                                  Duration timeout);
/// @param shape  of the instance; `engine` that of `cluster`
Task<Result<Unit>> MakeInstance(Client& client, std::string region, std::string cluster, std::string engine, TemporaryShape shape,
                                Duration timeout);

/// Proof that something was made here, and may be deleted.
class OurOwn {
 public:
  /// @error kRefused: what speaks against it
  [[nodiscard]] static Result<OurOwn> Prove(const Tagged& seen);
  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] bool is_cluster() const { return is_cluster_; }

 private:
  OurOwn(std::string id, bool is_cluster) : id_(std::move(id)), is_cluster_(is_cluster) {}
  std::string id_;
  bool is_cluster_;
};
/// Without a final snapshot. Done where it is deleted already, or being deleted.
/// @error kRefused: RDS does not delete it in its state
Task<Result<Unit>> Delete(Client& client, std::string region, OurOwn what, Duration timeout);

}  // namespace lifeboat::aws::rds
