#pragma once

// The agent of a region: the loop observe → decide → act → prove. It owns nothing of the outside: doors, clock, executor
// and settings are handed in, so that a simulation can drive the very same loop.
//
//   World (observe) ─┐
//   LeaseKeeper ─────┼─→ Snapshot → Decide → one proposal at a time → RegionHand / Executor → Evidence
//   Journal ─────────┘
//
// Thread rule: the agent's executor; nothing here blocks.

#include <boost/asio/any_io_executor.hpp>

#include "act/executor.h"
#include "act/region_hand.h"
#include "agent/believed_store.h"
#include "agent/lease_keeper.h"
#include "config/settings.h"
#include "decide/reseed.h"
#include "decide/rules.h"
#include "decide/votes.h"
#include "observe/world.h"
#include "ports/bell.h"
#include "ports/evidence.h"

namespace lifeboat {

class Agent {
 public:
  struct Doors {
    Clock& clock;
    Store& store;
    Files& files;
    Peers& peers;
    Traffic& traffic;
    Canary& canary;
    Evidence& evidence;
    Database* database = nullptr;    ///< data regions
    Guard* guard = nullptr;          ///< data regions
    InstanceFence* fence = nullptr;  ///< data regions; nothing: no region has an external fence
  };
  Agent(boost::asio::any_io_executor io, const Settings& settings, RegionName self, AgentId id, std::optional<AgentRecord> record,
        Doors doors, Log log);
  ~Agent();

  /// Starts all loops; they end when the executor's context does.
  void Start();

  /// Answers other agents and the command line ("status", "switchover", "agent.gossip", "hand.stop", …).
  /// @error kNotFound: no such method
  Task<Result<Json>> Handle(std::string method, Json parameters);

  [[nodiscard]] Json Status() const;
  [[nodiscard]] const Snapshot& snapshot() const { return snapshot_; }
  [[nodiscard]] const Decision& decision() const { return decision_; }
  [[nodiscard]] const World& world() const { return world_; }
  [[nodiscard]] const LeaseKeeper& keeper() const { return keeper_; }
  /// True while the loop comes round: what /health answers.
  [[nodiscard]] bool Healthy() const;
  /// Called after each round of the loop.
  std::function<void()> on_round;
  /// Called once for each execution that this agent has seen to its end, with its last record.
  std::function<void(const Execution&)> on_ended;
  /// For `check`, where the store is a cluster: one line a member ({endpoint, answers, problem | version, leader, has_leader,
  /// cluster_id, db_bytes, alarms}).
  std::function<Task<Json>()> describe_store;
  /// For `check` and other agents: a brief for each backup source of this region (agent/backup_watch.h).
  std::function<Json()> describe_backups;

 private:
  /// Actions on this region are carried out here, those on others by their agents.
  class LocalOrRemoteHands;

  // ---- the loop (agent.cc) ----
  void Kick() {
    kick_.Ring();
    assess_kick_.Ring();
  }
  Task<> DecideLoop();
  Task<> ExecutionLoop();
  Task<> HeadsLoop();
  Task<> AssessLoop();
  [[nodiscard]] Snapshot Observe() const;
  [[nodiscard]] LeaseFacts ObserveLease(Instant now) const;
  void NoteSuspicion();
  void NoteCandidates(Instant now);
  void NoteVotes(Instant now);
  void NoteFollowing(Instant now);
  [[nodiscard]] bool IsProvenCopy(const Snapshot& s) const;
  [[nodiscard]] std::optional<LossEstimate> LossHere(const Snapshot& s) const;

  // ---- carrying out a decision (agent_act.cc) ----
  Task<> CarryOut(Decision decision);
  Task<Result<Unit>> Attempt(Decision decision);
  Task<Result<Unit>> CheckSystem(RegionName primary);
  Task<Result<Unit>> StartPrimary();
  Task<Result<Unit>> PointHere(Epoch epoch);
  Task<Result<Unit>> RouteHere();
  Task<Result<Unit>> ReleaseDead(RegionName heir);
  Task<Result<Unit>> StartStandby(RegionName holder);
  Task<Result<Unit>> FollowHolder(RegionName holder);
  Task<Result<Unit>> SeeLineage(RegionName holder, DatabaseState here);
  Task<Result<Unit>> SeeOneTimeline(RegionName holder, Timeline timeline);
  [[nodiscard]] Error NotOneHistory(std::string what);
  Task<Result<Unit>> SeeForkOf(RegionName holder, DatabaseState here, Timeline theirs);
  Task<Result<Unit>> BeginMove(Decision decision);
  Task<Result<Execution>> BeginFailover(std::string requested_by, std::string reason, bool accept_loss, std::string attested_by);
  void AddExternalFences(Execution& execution) const;
  Task<Result<Unit>> AdoptExecution();
  void RunExecution(Execution execution);
  void OnExecution(const Execution& execution);
  Task<> RecordEvidence(Execution execution);
  Task<Result<Unit>> AssessDead();
  Task<Result<std::optional<LossEstimate>>> LossCarried();
  Task<bool> AnyHeirReady();
  [[nodiscard]] bool OutOfBudget() const;

  // ---- questions (agent_api.cc) ----
  Task<Result<Unit>> KnowExecution();
  Task<Result<Json>> Gossip();
  Task<Result<Json>> Yield(Json parameters);
  Task<Result<Json>> YieldNow(Execution execution);
  Task<Result<Json>> ClearCoolDown(Json parameters);
  [[nodiscard]] std::string CoolDownKey() const { return settings_.service + "/cool_down"; }
  Task<Result<Json>> Check();
  Task<Result<Json>> OrderSwitchover(Json parameters);
  Task<Result<Json>> OrderFailover(Json parameters);
  Task<Result<Json>> OrderRejoin(Json parameters);
  // ---- a lost store (agent_reseed.cc) ----
  Task<Result<Json>> ReseedCalls(std::string method, Json parameters);
  [[nodiscard]] Json WitnessForReseed() const;
  Task<Result<ReseedQuestion>> AskForReseed(Json parameters);
  Task<Result<Unit>> AwaitRecorded(RegionName region, ReseedPlan plan, Duration patience);
  Task<Result<Json>> OrderReseed(Json parameters);
  Task<Result<Json>> RemoveCandidate(Json parameters);
  Task<Result<Json>> Executions(std::string method, Json parameters);
  Task<Result<Json>> EvidenceCalls(std::string method, Json parameters);
  Task<Result<Json>> Forward(RegionName region, std::string method, Json parameters, Duration timeout);
  Task<Result<Json>> LookAtFences();
  Task<Json> FencesFromEverywhere();
  Task<> CheckStoreWrites(Json& findings);
  [[nodiscard]] Json LeasePaths() const;
  [[nodiscard]] Json BackupBriefOf(const BackupSourceSettings& source) const;
  [[nodiscard]] std::string BackupObjectionTo(const RegionName& target) const;
  [[nodiscard]] Json RegionStatus(const RegionSettings& region) const;
  [[nodiscard]] ExecutionId NewExecutionId() const;
  [[nodiscard]] Execution Draft(PlanKind kind, RegionName source, RegionName target, std::string requested_by,
                                std::string reason) const;

  boost::asio::any_io_executor io_;
  const Settings& settings_;
  const RegionName self_;
  const AgentId id_;
  const RegionSettings& region_;
  Doors doors_;
  Log log_;

  LeaseKeeper keeper_;
  World world_;
  RegionHand hand_;
  std::unique_ptr<LocalOrRemoteHands> hands_;
  ActDoors act_doors_;
  BelievedStore believed_;
  Journal journal_;
  Executor executor_;

  Bell kick_;
  Bell assess_kick_;
  Snapshot snapshot_;
  Decision decision_;
  WallTime decided_at_;
  const Instant began_;  ///< of this run
  Instant round_at_;
  std::optional<Execution> execution_;  ///< the one that is not ended, as the store has it
  bool journal_read_ = false;           ///< by this run: before that nothing is started
  Epoch journal_epoch_;                 ///< which was known when the journal was last asked: a later one may have brought its own
  Bell journal_kick_{io_};
  std::map<RegionName, Instant> candidates_since_;
  std::map<AgentId, Instant> agents_seen_;  ///< runs of other agents: when they last answered
  struct {
    AgentId agent;
    Instant since;  ///< when it was first seen to own the execution
  } owner_;
  std::optional<WallTime> last_takeover_;
  Epoch last_takeover_epoch_;
  bool acting_ = false;
  std::string last_problem_;  ///< why the last proposal did not get on
  int failures_ = 0;
  std::optional<Instant> retry_at_;

  // Of the present trouble of the holder; cleared when it is healthy again.
  std::optional<WallTime> suspected_;
  std::optional<WallTime> decided_;

  // Of a dead database of our own, when we hold the lease.
  std::optional<LossEstimate> dead_loss_;
  RegionName ready_heir_;
  std::optional<Lsn> dead_end_;
  Json dead_history_ = Json::object();        ///< its newest timeline: number, fork, sign
  std::optional<LossEstimate> carried_loss_;  ///< of a takeover to here that was not opened
  std::optional<Instant> assessed_outage_;    ///< the outage (by its beginning) in which the budget's end was acted on
  std::optional<Instant> valid_since_;        ///< since when the lease has been valid without a break
  Json evidence_head_ = Json::object();
  ExecutionId told_ended_;  ///< the newest that was recorded as ended

  // Votes about the primary.
  CanaryJudge judge_;
  VoteTally tally_;
  VoteCount votes_;
  std::optional<CoolDown> cool_down_;
  bool cool_down_read_ = false;

  // Of a standby among several.
  struct {
    Epoch epoch;
    Instant at;
  } ended_;                                     ///< when the holder of that epoch had surely ended, as it was last known
  std::optional<Instant> open_since_;           ///< free to take over from a holder that fell silent
  std::optional<Instant> not_following_since_;  ///< of a holder that serves
  Epoch pointed_;      ///< the epoch to whose holder this run has pointed the standby here, its lineage proven
  Epoch ahead_epoch_;  ///< against whose history ahead_ was found out
  std::string ahead_;
};

}  // namespace lifeboat
