#pragma once

// The door to a set of objects that is copied from the bucket of one region to the bucket of another: how the copying is set up,
// how far behind it is (by canary objects and by the store's own counts), and which bucket a multi-region access point leads to.
// Thread rule: one executor that runs one thing at a time; plain values else.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "base/time.h"
#include "base/types.h"
#include "ports/readiness.h"

namespace lifeboat {

/// How objects get from one bucket to another. Nothing in an optional: it could not be seen, and `unseen` says why.
struct ReplicationLook {
  std::optional<bool> versioned_from;
  std::optional<bool> versioned_to;
  std::optional<bool> has_rule;  ///< any rule of the source leads to the target
  bool enabled = false;          ///< one of them that covers the prefix is on; the rest is told of it
  bool covers_prefix = false;    ///< all of the prefix, without a condition on tags
  bool delete_markers = false;   ///< deletions are copied too
  bool metrics = false;          ///< pending and failed counts exist
  bool kms_objects = false;      ///< objects under a key of KMS are copied
  std::string rule;              ///< its id
  std::string replica_key;       ///< KMS key that copies are written under; empty: the target bucket's own way
  std::string key_from;          ///< KMS key of the source bucket's default encryption; empty: none
  std::string key_to;            ///< the same of the target bucket
  std::vector<std::string> unseen;
};

/// A small object that was put into the source to see it arrive.
struct CanaryObject {
  RegionName from;
  std::string key;
  std::string id;  ///< stands in it: which of the canaries of that key it is
  WallTime put;
};

struct CanaryArrival {
  std::string status;  ///< at the source: "PENDING", "COMPLETED", "FAILED"; "": no rule covers it
  bool arrived = false;
  Duration took{0};  ///< arrived: since it was put, as measured here; else: how long was waited
};

/// What the store counts. Nothing: it has no number (metrics are off, none in the last 15 minutes, or the region did not answer).
struct ReplicationBacklog {
  std::optional<std::uint64_t> pending_operations;
  std::optional<std::uint64_t> pending_bytes;
  std::optional<Duration> latency;                 ///< how far the target is behind
  std::optional<std::uint64_t> failed_operations;  ///< of the last 15 minutes; read in the source's region
  std::optional<WallTime> at;                      ///< of the oldest of these numbers
};

/// Where a multi-region access point leads to.
struct ObjectRoute {
  RegionName region;
  std::string bucket;
  unsigned percent = 0;
};

class Objects {
 public:
  virtual ~Objects() = default;
  /// As in lifeboat.yaml.
  [[nodiscard]] virtual std::string name() const = 0;
  [[nodiscard]] virtual bool has_access_point() const = 0;
  /// 0: no canaries.
  [[nodiscard]] virtual Duration canary_every() const = 0;

  /// A region that does not answer leaves gaps, not an error. @error kFail: a bucket is not named in one of the regions
  virtual Task<Result<ReplicationLook>> Look(RegionName from, RegionName to, Duration timeout) = 0;
  /// Puts a canary into the source; its key is the same every time, so that nothing piles up but its versions.
  virtual Task<Result<CanaryObject>> PutCanary(RegionName from, Duration timeout) = 0;
  /// Until this very canary stands in the target, or the source says FAILED, or `timeout`: each of them is an answer, not an error.
  /// @error kRetry: neither region could be asked
  virtual Task<Result<CanaryArrival>> AwaitCanary(CanaryObject canary, RegionName to, Duration timeout) = 0;
  /// When the canary that stands in the region `to` was put into `from`; nothing: there is none. Asks `to` alone: it is the last
  /// sign of the copying when the source is lost.
  virtual Task<Result<std::optional<WallTime>>> NewestArrival(RegionName from, RegionName to, Duration timeout) = 0;
  /// Pending counts are in the target's region and can be read when the source's is lost.
  virtual Task<Result<ReplicationBacklog>> Backlog(RegionName from, RegionName to, Duration timeout) = 0;

  /// @param avoid  a region that is asked last: the lost one @error kFail: there is no access point
  virtual Task<Result<std::vector<ObjectRoute>>> Routes(RegionName avoid, Duration timeout) = 0;
  /// All of it to `to`, nothing to the others, in one change; then read until it says so. AWS: takes about two minutes to be felt.
  /// Never all off. Twice is as once. @error kUnknownOutcome: read Routes
  virtual Task<Result<Unit>> RouteTo(RegionName to, RegionName avoid, Duration timeout) = 0;

  /// Lines for `lifeboat check`: whether what is written in `from` would be found in `to`.
  /// @param canary_age  how old the newest canary that has arrived may be; 0: canaries are not looked at
  virtual Task<Result<std::vector<Readiness>>> Check(RegionName from, RegionName to, Duration canary_age, Duration timeout) = 0;
};

}  // namespace lifeboat
