#pragma once

// The rules: Snapshot in, Decision out. A table of sentences with stable, sparse numbers; the first rule whose condition
// holds decides. A decision that is withheld has its own rule and names what would unblock it. Pure: the time is in the
// snapshot. The table is printed into docs/failure-detection.md by `lifeboat explain --rules`.

#include <map>
#include <span>
#include <string>

#include "model/snapshot.h"

namespace lifeboat {

/// What an agent should do now. At most one thing; the loop comes round again.
enum class Proposal {
  kNothing,
  kFoundService,    ///< write the first lease item
  kAdoptLease,      ///< this run takes the lease of an earlier run of the same region
  kStartPrimary,    ///< start the database here as the primary, under the valid lease
  kStopDatabase,    ///< it is writable and must not be
  kStartStandby,    ///< start the database here as a standby of the holder
  kAdmitStandby,    ///< name a proven standby as a candidate
  kDropCandidate,   ///< a candidate whose copy must be rejoined is none
  kFollow,          ///< point the standby here to the holder, once its lineage is proven
  kRoute,           ///< point the service's name to here
  kMove,            ///< switch over to here, away from a primary that a majority calls degraded
  kReleaseDead,     ///< the database is dead for good: end the epoch in favour of the heir
  kReclaim,         ///< released, but the heir did not come: go on under the next epoch
  kFailover,        ///< take over
  kAdoptExecution,  ///< go on with an execution whose owner is gone
};
[[nodiscard]] const char* ToString(Proposal proposal);

struct Decision {
  int rule = 0;
  std::string sentence;  ///< of the rule
  std::string reason;    ///< with this moment's numbers
  Proposal proposal = Proposal::kNothing;
  RegionName subject;     ///< the region that the proposal is about, where it is another one
  bool withheld = false;  ///< something would be done, and a rule says no
  std::string unblock;    ///< the one thing that would change that
  std::map<RegionName, Verdict> verdicts;
};
[[nodiscard]] Json ToJson(const Decision& decision);

struct Rule {
  int number;
  const char* sentence;
};
/// All rules in the order in which they are asked.
[[nodiscard]] std::span<const Rule> AllRules();

[[nodiscard]] Decision Decide(const Snapshot& snapshot);

/// True when a majority of all agents has called the present primary degraded for as long as the policy says.
[[nodiscard]] bool DegradedByVotes(const Snapshot& snapshot);
/// What an execution waits for whose owner's agent has fallen silent, and what to do about it; empty: it is being executed.
[[nodiscard]] std::string WaitsForOwner(const Snapshot& snapshot);
/// True: the item was released by a region that had claimed it and never opened it, in favour of one that holds more.
[[nodiscard]] bool IsYielded(const LeaseItem& item);

/// Why the loss limit forbids an automatic failover; empty: it does not.
[[nodiscard]] std::string LossLimitObjection(const std::optional<LossEstimate>& loss, const Policy& policy);

}  // namespace lifeboat
