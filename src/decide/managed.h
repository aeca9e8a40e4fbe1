#pragma once

// The rules for a database that a cloud runs: ManagedSnapshot in, ManagedDecision out. A table of sentences with stable, sparse
// numbers (600 to 699); the first whose condition holds decides. Pure: the time is in the snapshot.
//
// What differs from rules.h: nothing here fences the old writer. A region is believed lost only when a majority of ALL agents has
// found it silent without a break for policy.failover_after, never on one agent's word; and what a failover would lose is bounded
// by the last lag that was known, or unknown. Thread rule: pure functions, plain values.

#include <map>
#include <optional>
#include <span>
#include <string>

#include "decide/rules.h"
#include "model/managed.h"
#include "model/snapshot.h"

namespace lifeboat {

/// A region, as the agent that decides knows it. What was not obtained is empty, never zero.
struct ManagedFacts {
  RegionKind kind = RegionKind::kData;
  std::size_t order = 0;              ///< its place in the configuration
  bool agent_answers = true;          ///< of itself: true
  std::optional<Duration> agent_age;  ///< since the question that its agent last answered
  std::optional<ManagedCopy> copy;    ///< as the API of that region last showed it
  std::optional<Duration> copy_age;
  std::optional<LossEstimate> loss;  ///< of a failover to it at this moment
  RegionName seen_writer;            ///< where its agent sees the writer; empty: it does not say
  RegionName noted_writer;           ///< whom its copy has to follow; empty: no writer is noted
};

struct ManagedSnapshot {
  WallTime wall;
  RegionName self;
  Policy policy;
  bool store_answers = false;
  std::string store_problem;
  bool store_empty = false;  ///< read, and no writer is noted
  std::optional<WriterItem> item;
  RegionName moving_to;                        ///< as this agent's cloud shows it: a change of the writer is under way; empty: none
  std::map<RegionName, ManagedFacts> regions;  ///< all, this one too
  VoteCount silence;                           ///< `degraded` counts who finds the writer's region silent
  Vote own_silence;                            ///< this agent's own word on it
  VoteCount votes;  ///< `degraded` counts who calls the writer degraded: alarms, a cluster that is not available
  bool journal_read = false;
  std::optional<Execution> execution;  ///< the one that is not ended
  bool execution_runs_here = false;
  std::optional<Duration> execution_owner_silent;  ///< since its owner last answered as that very run
  std::optional<Duration> since_takeover;          ///< since the last failover; empty: there was none
  bool takeover_read = false;                      ///< that was read, as of this epoch
  bool cool_down_read = false;
  std::optional<CoolDown> cool_down;  ///< of a move that votes drove
  std::optional<Execution> latched;   ///< the execution that the cool-down names, as it was read last; ended or not
};

enum class ManagedProposal {
  kNothing,
  kNoteWriter,      ///< write down where the writer is, as the cloud shows it
  kAdoptExecution,  ///< go on with an execution whose owner is gone
  kFailover,        ///< fail over to here
  kMove,            ///< switch over to here, away from a writer that a majority calls degraded
  kForceMove,       ///< fail over to here: such a move does not get on as a switchover
};
[[nodiscard]] const char* ToString(ManagedProposal proposal);

struct ManagedDecision {
  int rule = 0;
  std::string sentence;
  std::string reason;  ///< with this moment's numbers
  ManagedProposal proposal = ManagedProposal::kNothing;
  RegionName subject;     ///< the region that the proposal is about
  bool withheld = false;  ///< something would be done, and a rule says no
  std::string unblock;    ///< the one command
  std::map<RegionName, Verdict> verdicts;
};
[[nodiscard]] Json ToJson(const ManagedDecision& decision);

/// All rules in the order in which they are asked.
[[nodiscard]] std::span<const Rule> AllManagedRules();
[[nodiscard]] ManagedDecision Decide(const ManagedSnapshot& snapshot);

/// What a failover would lose, from the last lag that is known.
/// @param lag         of the target; empty: unknown
/// @param age         since it was measured
/// @param silent_for  since the writer's region was first found silent; empty: it is not
/// SAFETY: what was written between the measurement and the silence is not known, so all of that time counts as lost.
[[nodiscard]] LossEstimate LossByLag(std::optional<Duration> lag, Duration age, std::optional<Duration> silent_for);

/// The same from a heartbeat row that the target's copy shows: it had everything until that was written.
/// @param age  since then
[[nodiscard]] LossEstimate LossByHeartbeat(Duration age, std::optional<Duration> silent_for);

/// As ToJson, but for the bytes, which nobody measures here: null.
[[nodiscard]] Json LossJson(const LossEstimate& loss);

/// Why this copy could not take over; empty: it could.
[[nodiscard]] std::string TakeoverObjection(const ManagedFacts& facts);
/// The region that should take over: its agent answers, its copy could, its loss is the least; the first in the file of equals.
/// Empty: none.
[[nodiscard]] RegionName BestCandidate(const ManagedSnapshot& snapshot);
/// True when a majority of all agents has found the writer's region silent for as long as the policy says.
[[nodiscard]] bool LostByVotes(const ManagedSnapshot& snapshot);
/// Where a majority of all agents sees the writer; empty: nowhere.
[[nodiscard]] RegionName WriterByMajority(const ManagedSnapshot& snapshot);

}  // namespace lifeboat
