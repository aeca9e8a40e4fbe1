#pragma once

// An Aurora global database as the plans act on it: look, switch over without loss, fail over with it, or cut a secondary loose.
//
//   verb         asked of              may lose writes
//   SwitchOver   the writer's region   never: it cannot even say so
//   FailOver     the target's region   what the target has not received
//   Detach       the target's region   the same, and nothing stops the old writer
//
// With the writer's region silent nothing here but SwitchOver needs it. Every verb looks first: where its goal holds, or AWS works
// on it, nothing is sent. RDS carries changes out later than it answers: Await looks until it is done.
// Thread rule: as Client.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "adapters/aws/aurora_rules.h"
#include "base/types.h"

namespace lifeboat::aws {

struct GlobalDatabase {
  std::string id;
  std::map<RegionName, std::string> clusters;  ///< ARN of each region's; written down, since a lost region answers nothing
};

/// That writes may be lost was decided: by whom. There is no call that loses any without one.
struct LossConsent {
  ExecutionId execution;
  std::string by;  ///< "rule 240", "operator ann"
};

struct AuroraLag {
  std::optional<Duration> rpo;          ///< AuroraGlobalDBRPOLag: of committed transactions; the loss if the writer went now
  std::optional<Duration> replication;  ///< AuroraGlobalDBReplicationLag
  std::optional<WallTime> at;           ///< when the older of them was measured
};

class AuroraGlobal {
 public:
  /// `client` and `clock` outlive it. `poll`: between two looks of Await.
  AuroraGlobal(Client& client, GlobalDatabase database, Clock& clock, Log log, Duration poll = 5s);

  /// The global database as the API of `asked` shows it. @error kNotFound: no such global database
  Task<Result<rds::GlobalCluster>> Look(RegionName asked, Duration timeout);
  /// The cluster of `region`, asked there.
  Task<Result<rds::DbCluster>> LookAtCluster(RegionName region, Duration timeout);
  /// How far `secondary` is behind, from CloudWatch of its own region, which alone has it. Nothing in it: no datum of 5 minutes.
  Task<Result<AuroraLag>> Lag(RegionName secondary, Duration timeout);

  /// Moves the writer to `target` without loss. @return true: a request was sent; false: it is so, or under way
  /// @error kRefused: it could not end well; kRetry: nothing was sent; kUnknownOutcome: look
  Task<Result<bool>> SwitchOver(RegionName target, Duration timeout);
  /// Moves the writer to `target`; what it has not received is lost. Asks nobody but the target's region. @return, @error as
  /// SwitchOver
  Task<Result<bool>> FailOver(RegionName target, LossConsent consent, Duration timeout);
  /// Cuts `target` out of the global database: a cluster of its own that takes writes. For versions that have drifted apart, and
  /// for emulators without failover. @return, @error as SwitchOver
  Task<Result<bool>> Detach(RegionName target, LossConsent consent, Duration timeout);

  /// Looks from the target's region until the move is done and the cluster is available with a writer.
  /// @error kRefused: AWS takes it back, or moves the writer elsewhere; kRetry: not done in time, with how far it is
  Task<Result<Unit>> Await(RegionName target, Duration timeout);
  /// The same after Detach: the cluster is no member any more and available.
  Task<Result<Unit>> AwaitDetached(RegionName target, Duration timeout);

  /// What AWS said since `from` about blocking writes of `source`, in the events of the regions in `asked` (the new writer's, and
  /// the old one's where it answers). A region that does not answer is passed over; the word of the others counts.
  Task<Result<FencingWord>> ReadFencing(RegionName source, std::vector<RegionName> asked, WallTime from, Duration timeout);

  /// Copies AWS's snapshot of the lost writes, which goes with the old cluster's retention, to a manual one in the same region. One
  /// that is older than `from`, or of unknown age, is of another failover and stays where it is.
  /// @return its ARN; nothing: AWS has taken none (yet). Copied already: its ARN
  Task<Result<std::optional<std::string>>> KeepLostWrites(RegionName source, WallTime from, Duration timeout);

 private:
  [[nodiscard]] Result<std::string> ArnOf(const RegionName& region) const;
  Client& client_;
  GlobalDatabase database_;
  Clock& clock_;
  Log log_;
  Duration poll_;
};

}  // namespace lifeboat::aws
