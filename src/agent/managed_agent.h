#pragma once

// The agent of a region of a service whose database a cloud runs (docs/managed.md): the same loop as Agent's, observe → decide →
// act → prove, beside it and not in it: no lease fences anything here, and nothing pretends to. It answers the same questions in
// the same shapes, so that the command line and the report do not care.
//
//   ManagedWorld (observe) ─┐
//   WriterKeeper, Journal ──┴─→ ManagedSnapshot → Decide → one proposal at a time → Executor with ManagedPlanOf → Evidence
//
// Thread rule: the agent's executor; nothing here blocks.

#include "act/executor.h"
#include "agent/managed_world.h"
#include "agent/writer_keeper.h"
#include "config/settings.h"
#include "decide/votes.h"
#include "ports/bell.h"
#include "ports/evidence.h"

namespace lifeboat {

class ManagedAgent {
 public:
  /// All of it outlives the agent. What is null or empty is not configured.
  struct Doors {
    Clock& clock;
    Store& store;
    Files& files;
    Peers& peers;
    Evidence& evidence;
    ManagedDatabase& database;
    Traffic* traffic = nullptr;
    Canary* canary = nullptr;
    Alarms* alarms = nullptr;
    std::vector<Compute*> compute;
    std::vector<Objects*> objects;
    std::vector<Hook*> hooks;
    std::vector<Notifier*> notifiers;
    ManagedSql* sql = nullptr;
    Canary* canary_of_steps = nullptr;  ///< one that no loop uses: a step's row waits for nobody
  };
  /// `settings.aws->database` is given.
  ManagedAgent(boost::asio::any_io_executor io, const Settings& settings, RegionName self, AgentId id, Doors doors,
               ManagedTimes times, Log log);
  ~ManagedAgent();

  /// Starts all loops; they end when the executor's context does.
  void Start();
  /// As Agent::Handle. @error kNotFound: no such method
  Task<Result<Json>> Handle(std::string method, Json parameters);

  [[nodiscard]] Json Status() const;
  [[nodiscard]] const ManagedSnapshot& snapshot() const { return snapshot_; }
  [[nodiscard]] const ManagedDecision& decision() const { return decision_; }
  [[nodiscard]] const ManagedWorld& world() const { return world_; }
  /// Nothing where no SQL is configured.
  [[nodiscard]] const ManagedSqlWatch* sql() const { return sql_.get(); }
  [[nodiscard]] const WriterKeeper& keeper() const { return keeper_; }
  [[nodiscard]] bool Healthy() const;

  /// Called after each round of the loop.
  std::function<void()> on_round;
  /// Called once for each execution that this agent has seen to its end, with its last record.
  std::function<void(const Execution&)> on_ended;
  /// More lines of `check`, each group asked at once with the rest: the name, compute, objects, permissions…
  std::vector<std::function<Task<Result<std::vector<Readiness>>>(Duration)>> checks;
  /// As Agent's.
  std::function<Task<Json>()> describe_store;
  std::function<Json()> describe_backups;
  /// For tests: how long the word about the old writer is waited for.
  void SetWordPatience(Duration patience, Duration pause);

 private:
  // ---- the loop (managed_agent.cc) ----
  void Kick() { kick_.Ring(); }
  Task<> DecideLoop();
  Task<> ExecutionLoop();
  Task<> HeadsLoop();
  [[nodiscard]] ManagedSnapshot Observe() const;
  void NoteVotes(Instant now);
  void NoteSuspicion();
  void SpareTheLost();
  void NoteLossOf(Execution& execution) const;
  Task<> CarryOut(ManagedDecision decision);
  Task<Result<Unit>> Attempt(ManagedDecision decision);
  Task<Result<Unit>> AdoptExecution();
  Task<Result<Execution>> BeginFailover(std::string requested_by, std::string reason, bool accept_loss, bool detach,
                                        bool of_move = false);
  Task<Result<Execution>> BeginSwitchover(std::string requested_by, std::string reason, bool by_votes);
  Task<Result<Unit>> LatchOnto(Execution execution, Transaction& transaction);
  Task<> ReadLatched();
  Task<Result<Execution>> Commit(Execution execution, Transaction transaction);
  void RunExecution(Execution execution);
  void OnExecution(const Execution& execution);
  Task<> RecordEvidence(Execution execution);

  // ---- telling (managed_notices.cc) ----
  Task<> Tell(std::string subject, Json body);
  void TellEnded(const Execution& execution);
  void TellDecision();

  [[nodiscard]] Execution Draft(PlanKind kind, RegionName source, RegionName target, std::string requested_by,
                                std::string reason) const;
  [[nodiscard]] std::string KeyOf(const char* name) const { return settings_.service + "/" + name; }

  // ---- questions (managed_api.cc) ----
  Task<Result<Json>> Gossip();
  Task<Result<Json>> Check();
  Task<Result<Json>> OrderSwitchover(Json parameters);
  Task<Result<Json>> OrderFailover(Json parameters);
  Task<Result<Json>> OrderRejoin(Json parameters);
  Task<Result<Json>> ClearCoolDown(Json parameters);
  Task<Result<Json>> Executions(std::string method, Json parameters);
  Task<Result<Json>> EvidenceCalls(std::string method, Json parameters);
  Task<Result<Json>> Forward(RegionName region, std::string method, Json parameters, Duration timeout);
  [[nodiscard]] Result<Unit> NothingRuns() const;
  [[nodiscard]] Error NoDataRegion(const RegionName& asked) const;
  [[nodiscard]] Json RegionStatus(const RegionSettings& region) const;
  void CheckRegions(Json& findings) const;
  void AskNeighbours(std::vector<Task<Result<std::vector<Readiness>>>>& questions) const;

  boost::asio::any_io_executor io_;
  const Settings& settings_;
  const RegionName self_;
  const AgentId id_;
  const RegionSettings& region_;
  Doors doors_;
  const ManagedTimes times_;
  Log log_;

  Bell kick_;
  Bell journal_kick_;
  WriterKeeper keeper_;
  std::unique_ptr<ManagedSqlWatch> sql_;  ///< none where no SQL is configured
  ManagedWorld world_;
  struct Absent;
  std::unique_ptr<Absent> absent_;  ///< stand where no door is configured, and refuse
  ManagedDoors act_doors_;
  Journal journal_;
  Executor executor_;

  ManagedSnapshot snapshot_;
  ManagedDecision decision_;
  WallTime decided_at_;
  const Instant began_;
  Instant round_at_;
  std::optional<Execution> execution_;
  bool journal_read_ = false;
  std::map<AgentId, Instant> agents_seen_;
  struct {
    AgentId agent;
    Instant since;
  } owner_;
  std::optional<WallTime> last_takeover_;
  std::optional<Epoch> takeover_read_;  ///< the epoch at which it was read
  std::optional<CoolDown> cool_down_;
  bool cool_down_read_ = false;
  std::optional<Execution> latched_;  ///< the execution that cool_down_ names
  bool acting_ = false;
  int failures_ = 0;
  std::optional<Instant> retry_at_;
  std::string last_problem_;
  std::map<int, Instant> told_;  ///< rules that a person was told of
  std::optional<WallTime> suspected_;
  std::optional<WallTime> decided_;
  VoteTally silence_tally_;
  VoteTally degraded_tally_;
  VoteCount silence_;
  VoteCount degraded_;
  Json evidence_head_ = Json::object();
  ExecutionId told_ended_;  ///< the newest that was recorded as ended
};

}  // namespace lifeboat
