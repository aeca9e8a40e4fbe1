#pragma once

// What may be asked of an Aurora global database in the state in which it is, and what its answers and events mean.
// Nothing here sends anything.
// Thread rule: pure functions.
// @source Aurora User Guide, "Using switchover or failover in Amazon Aurora Global Database"; "Amazon RDS event categories and
// event
//         messages for Aurora" (RDS-EVENT-0238, 0239, 0390, 0391, 0397)

#include <optional>
#include <string>
#include <vector>

#include "adapters/aws/rds.h"

namespace lifeboat::aws {

/// How far a change of the writer has come.
enum class WriterMove {
  kNotBegun,    ///< another cluster is the writer and nothing goes on
  kUnderWay,    ///< AWS works on moving it here
  kDone,        ///< it is the writer and nothing goes on
  kElsewhere,   ///< AWS works on something else
  kCancelling,  ///< AWS takes back what it had begun
};
[[nodiscard]] const char* ToString(WriterMove move);

[[nodiscard]] WriterMove MoveOf(const rds::GlobalCluster& global, const std::string& target_arn);

/// The ARN of the writer; empty: there is none.
[[nodiscard]] std::string WriterOf(const rds::GlobalCluster& global);
[[nodiscard]] const rds::GlobalMember* MemberOf(const rds::GlobalCluster& global, const std::string& cluster_arn);

/// "16.4" and "16.6": the major versions are the same, which a failover needs at the least.
[[nodiscard]] bool SameMajorVersion(const std::string& a, const std::string& b);

/// Refuses a switchover that could not end well, with the reason. @error kRefused; kFail: the target is no member
[[nodiscard]] Result<Unit> MaySwitchOver(const rds::GlobalCluster& global, const rds::DbCluster& source,
                                         const rds::DbCluster& target);

/// Refuses a failover that AWS would not do, or that would end in a cluster that nobody can connect to. The old writer is not
/// asked.
/// @error kRefused, its hint names detach-and-promote where that is what is left; kFail: the target is no member
[[nodiscard]] Result<Unit> MayFailOver(const rds::GlobalCluster& global, const rds::DbCluster& target);

/// AWS's no to a failover, with detach-and-promote as what is left where it says that the versions are the reason: patches differ,
/// which no version that is shown tells. Any other no is handed on as it is.
[[nodiscard]] Error RefusalOf(const Error& refusal);

/// What AWS said about the old writer.
enum class Fencing {
  kNoWord,     ///< no event: nothing is known, which is not "fenced"
  kSucceeded,  ///< writes are blocked at its storage
  kTimedOut,   ///< AWS tried, and gave up: it may have taken writes that are lost
};
[[nodiscard]] const char* ToString(Fencing fencing);
struct FencingWord {
  Fencing fencing = Fencing::kNoWord;
  std::string message;  ///< AWS's own
  std::optional<WallTime> at;
};
/// The newest word about cluster `name` (the old writer's identifier), or about any cluster where the name does not stand in it.
[[nodiscard]] FencingWord FencingIn(const std::vector<rds::Event>& events, const std::string& name);

/// The newest snapshot of writes that were lost since `from`, when AWS managed to take one: rds:unplanned-global-failover-….
[[nodiscard]] const rds::Snapshot* SnapshotOfLostWrites(const std::vector<rds::Snapshot>& snapshots, const std::string& cluster,
                                                        WallTime from);
/// The name under which it is kept.
[[nodiscard]] std::string NameOfKeptSnapshot(const rds::Snapshot& snapshot);

/// A problem that `lifeboat check` names.
struct AuroraFinding {
  std::string id;  ///< "aurora-headless"
  std::string message;
  std::string hint;
};
/// @param clusters those that answered
[[nodiscard]] std::vector<AuroraFinding> FindingsOf(const rds::GlobalCluster& global, const std::vector<rds::DbCluster>& clusters);

}  // namespace lifeboat::aws
