#pragma once

// What observe saw, for decide: facts, each with its age and who saw it. Time is part of it: decide has no clock.
// A fact that was not obtained is empty, never zero.

#include <map>
#include <optional>
#include <string>

#include "model/database_state.h"
#include "model/execution.h"
#include "model/lease_item.h"
#include "model/policy.h"
#include "model/region.h"
#include "model/vote.h"

namespace lifeboat {

/// What would be, or was, lost by a failover at this moment.
struct LossEstimate {
  enum class Kind { kUnknown, kProvenZero, kBounded };
  Kind kind = Kind::kUnknown;
  Duration time{};    ///< from the newest position that this standby holds to the latest moment the primary could write
  ByteCount bytes;    ///< known backlog, plus the observed write rate over the unseen time
  std::string basis;  ///< in words
};
[[nodiscard]] Json ToJson(const LossEstimate& loss);

/// Another region, as this agent knows it.
struct PeerFacts {
  RegionKind kind = RegionKind::kData;
  bool answers = false;                   ///< its agent answered the last question
  std::optional<Duration> age;            ///< since the question that it last answered
  std::optional<DatabaseState> database;  ///< as its agent saw it then; empty: unknown
  AgentId agent;
  Epoch highest;                          ///< the highest epoch that its record holds
  bool detached = false;                  ///< its agent says that its copy must be rejoined
  std::uint64_t heartbeat_seen = 0;       ///< newest heartbeat row visible on it
  bool guard_answers = false;             ///< as its agent said
  std::size_t order = 0;                  ///< its place in the configuration
  Vote vote;                              ///< about the present primaryship; unknown when it is too old
  std::optional<Duration> candidate_for;  ///< since this run first saw it named as a candidate, without a break; empty: it is none
};

/// The lease, computed for this moment by decide/lease.h.
struct LeaseFacts {
  bool store_answers = false;
  std::string store_problem;
  bool store_empty = false;  ///< read, and there is no item
  std::optional<LeaseItem> item;
  bool held_here = false;  ///< the item names this region and the epoch is not ended by it
  bool held_by_this_run = false;
  bool valid = false;  ///< the deadline lies ahead
  Duration left{};
  std::optional<Duration> counter_age;
  bool released_here = false;  ///< this region ended the item's epoch
  std::string takeover_bar;    ///< why this region may not take over now; "none": it may
  bool may_take_over = false;
  Duration takeover_left{};               ///< until the bar falls by itself
  std::optional<Duration> promised_left;  ///< this region's own word to the holder still binds it for so long
};

/// Where clients are sent: the service's name, as its authoritative server said at the newest look.
struct TrafficFacts {
  std::string address;         ///< empty: the name does not exist
  bool leads_here = false;     ///< to this region's database
  std::optional<Epoch> epoch;  ///< that stands beside it; empty: none does
};

struct Snapshot {
  Instant now;
  WallTime wall;
  RegionName self;
  RegionKind kind = RegionKind::kData;
  RegionName first_primary;
  Policy policy;
  LeaseFacts lease;
  std::optional<DatabaseState> database;  ///< of this region; empty: not looked at yet
  bool detached = false;                  ///< this region's own copy must be rejoined
  bool guard_answers = false;
  bool gate = false;  ///< the module in the server that runs here is proven to refuse commits when the lease has run out
  std::optional<Duration> database_down;  ///< for how long no process of it has lived, where it should
  std::optional<LossEstimate> loss;       ///< of a failover to this region; or, on the holder, to its best heir
  RegionName ready_heir;                  ///< holder: a candidate that said it can take over at once
  std::uint64_t heartbeat_written = 0;    ///< holder: the newest heartbeat row
  std::map<RegionName, PeerFacts> peers;
  bool journal_read = false;                       ///< which execution runs is known; before that nothing is started
  std::optional<Execution> execution;              ///< the one that is not ended, if any
  bool execution_runs_here = false;                ///< by this run of the agent
  std::optional<Duration> execution_owner_silent;  ///< since its owner's agent last answered as that very run
  std::optional<Duration> since_takeover;          ///< since the last takeover that was not a planned switchover
  std::size_t order = 0;                           ///< this region's place in the configuration
  Vote vote;                                       ///< this agent's own
  VoteCount votes;
  bool cool_down_read = false;            ///< whether a cool-down is latched is known
  std::optional<CoolDown> cool_down;      ///< of a move that votes drove; only a person ends it
  std::optional<Duration> takeover_open;  ///< for how long this region has been free to take over from a holder that fell silent
  std::optional<Duration> not_following;  ///< standby: for how long it has not streamed from the holder's server, which serves
  bool pointed = false;                   ///< this run has pointed the standby here to the holder of this epoch, its lineage proven
  std::optional<TrafficFacts> traffic;    ///< empty: no answer, or none since something here last tried to change it
  std::string ahead;  ///< why the copy here cannot follow: it holds WAL that the holder's history does not; empty: it does not
};

}  // namespace lifeboat
