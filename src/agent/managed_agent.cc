#include "agent/managed_agent.h"

#include "base/spawn.h"
#include "prove/trace.h"

namespace lifeboat {

namespace asio = boost::asio;

namespace {
constexpr Duration kRound = 500ms;
constexpr Duration kStoreTimeout = 1s;

std::vector<ManagedWorld::Region> RegionsOf(const Settings& settings) {
  std::vector<ManagedWorld::Region> regions;
  for (const RegionSettings& region : settings.regions) regions.push_back({region.name, region.kind});
  return regions;
}

/// What the canary returns when its row went to a region.
std::map<RegionName, std::string> CanaryTargets(const AwsSettings& aws) {
  if (aws.traffic) return aws.traffic->targets;
  std::map<RegionName, std::string> targets;
  if (!aws.sql) return targets;
  for (const auto& [region, endpoint] : aws.sql->writers) targets[region] = endpoint.host;
  return targets;
}

std::unique_ptr<ManagedSqlWatch> WatchOf(const asio::any_io_executor& io, const Settings& settings, const RegionName& self,
                                         const ManagedAgent::Doors& doors, const Log& log) {
  if (doors.sql == nullptr) return nullptr;
  ManagedSqlWatch::Doors open{doors.clock, *doors.sql, doors.canary, CanaryTargets(*settings.aws)};
  const bool data = settings.Find(self)->kind == RegionKind::kData;
  return std::make_unique<ManagedSqlWatch>(io, self, data, std::move(open), settings.policy, ManagedSqlTimes(), log);
}

ManagedWorld::Doors WorldDoors(const Settings& settings, const RegionName& self, const ManagedAgent::Doors& doors,
                               ManagedSqlWatch* sql) {
  ManagedWorld::Doors world{doors.clock,  doors.peers, doors.files,   doors.database, doors.traffic,
                            doors.alarms, {},          doors.compute, doors.objects,  sql};
  for (const AwsAlarmSettings& alarm : settings.aws->alarms) {
    if (alarm.region == self) world.alarms_about[alarm.alarm] = alarm.about;
  }
  return world;
}

Error NotConfigured(const char* what) { return Refused(std::string(what) + " is not configured for this service"); }
}  // namespace

/// What the executor's doors demand and this service does not have.
struct ManagedAgent::Absent final : Hands, Traffic, Canary {
  Task<Result<Json>> Do(RegionName, std::string, Json, Duration) override { co_return NotConfigured("a hand on a database"); }
  Task<Result<TrafficRecord>> Read(Duration) override { co_return NotConfigured("a name"); }
  Task<Result<Unit>> Point(std::string, Epoch, Duration) override { co_return NotConfigured("a name"); }
  Task<Result<std::string>> Write(Duration) override { co_return NotConfigured("a canary"); }
};

ManagedAgent::ManagedAgent(asio::any_io_executor io, const Settings& settings, RegionName self, AgentId id, Doors doors,
                           ManagedTimes times, Log log)
    : io_(io),
      settings_(settings),
      self_(std::move(self)),
      id_(std::move(id)),
      region_(*settings.Find(self_)),
      doors_(std::move(doors)),
      times_(times),
      log_(std::move(log)),
      kick_(io),
      journal_kick_(io),
      keeper_(doors_.clock, doors_.store, settings.service, log_, [this] { Kick(); }),
      sql_(WatchOf(io, settings, self_, doors_, log_)),
      world_(io, self_, RegionsOf(settings), WorldDoors(settings, self_, doors_, sql_.get()), times,
             region_.state_directory + "/lags.json", log_, [this] { Kick(); }),
      absent_(std::make_unique<Absent>()),
      act_doors_(ActDoors{doors_.clock,
                          *absent_,
                          doors_.traffic ? *doors_.traffic : *absent_,
                          doors_.canary_of_steps ? *doors_.canary_of_steps : *absent_,
                          {}},
                 doors_.database, keeper_),
      journal_(doors_.clock, doors_.store, doors_.files, settings.service, region_.state_directory + "/journal", log_),
      executor_(
          io, act_doors_, keeper_, journal_, log_, [this](const Execution& execution) { OnExecution(execution); }, ManagedPlanOf),
      began_(doors_.clock.Now()),
      round_at_(began_) {
  act_doors_.has_traffic = doors_.traffic != nullptr;
  act_doors_.has_canary = doors_.canary_of_steps != nullptr;
  act_doors_.canary_targets = CanaryTargets(*settings.aws);
  act_doors_.sql = doors_.sql;
  if (settings.aws->traffic) act_doors_.targets = settings.aws->traffic->targets;
  act_doors_.compute = doors_.compute;
  act_doors_.objects = doors_.objects;
  act_doors_.hooks = doors_.hooks;
  act_doors_.notifiers = doors_.notifiers;
  act_doors_.stopping = [this] { return executor_.Stopping(); };
  act_doors_.detach_when_needed = settings.aws->database->detach_when_needed;
  snapshot_ = Observe();
  decision_ = Decide(snapshot_);
}

ManagedAgent::~ManagedAgent() = default;

void ManagedAgent::SetWordPatience(Duration patience, Duration pause) {
  act_doors_.word_patience = patience;
  act_doors_.word_call = std::max<Duration>(patience, 500ms);
  act_doors_.word_pause = pause;
}

void ManagedAgent::Start() {
  Spawn(io_, keeper_.Loop());
  world_.Start();
  if (sql_) sql_->Start();
  Spawn(io_, ExecutionLoop());
  Spawn(io_, HeadsLoop());
  Spawn(io_, DecideLoop());
}

bool ManagedAgent::Healthy() const { return AgeAt(round_at_, doors_.clock.Now()) < 5s; }

ManagedSnapshot ManagedAgent::Observe() const {
  const Instant now = doors_.clock.Now();
  ManagedSnapshot s;
  s.wall = doors_.clock.Wall();
  s.self = self_;
  s.policy = settings_.policy;
  s.store_answers = keeper_.StoreAnswers();
  s.store_problem = keeper_.StoreProblem();
  s.store_empty = keeper_.Empty();
  s.item = keeper_.item();
  s.moving_to = world_.MovingTo(now);
  s.regions = world_.FactsAt(now);
  s.silence = silence_;
  s.own_silence = world_.SilenceAt(now);
  s.votes = degraded_;
  s.journal_read = journal_read_;
  s.execution = executor_.current() ? executor_.current() : execution_;
  s.execution_runs_here = executor_.current().has_value();
  if (s.execution && s.execution->owner != self_ && s.execution->owner_agent == owner_.agent) {
    const auto seen = agents_seen_.find(s.execution->owner_agent);
    s.execution_owner_silent = std::min(AgeAt(owner_.since, now), AgeAt(seen == agents_seen_.end() ? began_ : seen->second, now));
  }
  s.takeover_read = keeper_.item() && takeover_read_ == keeper_.item()->epoch;
  if (last_takeover_) s.since_takeover = Duration(s.wall.ns - last_takeover_->ns);
  s.cool_down = cool_down_;
  s.cool_down_read = cool_down_read_;
  s.latched = latched_;
  return s;
}

/// Counts who finds the writer's region silent, and who calls a writer that serves degraded. Nothing of the second while it is
/// moved.
void ManagedAgent::NoteVotes(Instant now) {
  const auto& item = keeper_.item();
  std::vector<Ballot> silence{{self_, world_.SilenceAt(now)}};
  std::vector<Ballot> degraded{{self_, world_.DegradedAt(now)}};
  for (const auto& [region, peer] : world_.peers()) {
    if (!peer.answers) continue;  // what it said before it fell silent is no vote
    silence.push_back({region, VoteFromJson(MemberAt(peer.said, "silence"))});
    degraded.push_back({region, VoteFromJson(MemberAt(peer.said, "vote"))});
  }
  const RegionName about = item ? item->writer : RegionName();
  const Epoch epoch = item ? item->epoch : Epoch();
  const bool moves = execution_ || executor_.current();
  const bool before = silence_.majority_for.has_value();
  silence_ = silence_tally_.Count(now, about, epoch, settings_.regions.size(), silence);
  degraded_ = degraded_tally_.Count(now, moves ? RegionName() : about, epoch, settings_.regions.size(), degraded);
  if (before != silence_.majority_for.has_value())
    log_.Warn(before ? "the region of the writer is heard again" : "a majority finds the region of the writer silent",
              {{"votes", ToJson(silence_)}});
}

/// When the trouble was first seen by this agent, and first judged by a rule: phases of the report.
void ManagedAgent::NoteSuspicion() {
  const bool trouble = decision_.rule >= 630 && decision_.rule <= 656;
  if (!trouble) {
    if (!executor_.current()) {
      suspected_.reset();
      decided_.reset();
    }
    return;
  }
  if (!suspected_) suspected_ = snapshot_.wall;
  if (decision_.rule <= 652 && !decided_) decided_ = snapshot_.wall;
}

/// SAFETY: while an unplanned move leaves a region, nothing is asked of it: what is lost is not waited for.
void ManagedAgent::SpareTheLost() {
  const auto& running = executor_.current() ? executor_.current() : execution_;
  const bool leaving = running && running->kind == PlanKind::kFailover && !IsEnded(running->state);
  world_.Spare(leaving ? running->source : RegionName());
}

Task<> ManagedAgent::DecideLoop() {
  while (true) {
    round_at_ = doors_.clock.Now();
    world_.SetWriter(keeper_.item());
    SpareTheLost();
    for (const auto& [region, peer] : world_.peers()) {
      if (peer.answers && peer.asked) agents_seen_[AgentId(TextAt(peer.said, "agent"))] = *peer.asked;
    }
    if (execution_ && execution_->owner_agent != owner_.agent) owner_ = {execution_->owner_agent, round_at_};
    NoteVotes(round_at_);
    snapshot_ = Observe();
    ManagedDecision next = Decide(snapshot_);
    const bool news = next.rule != decision_.rule;
    decision_ = std::move(next);
    if (news) {
      decided_at_ = snapshot_.wall;
      log_.SetContext("rule", decision_.rule);
      log_.Info(decision_.withheld ? "decided: withheld" : "decided", {{"sentence", decision_.sentence},
                                                                       {"reason", decision_.reason},
                                                                       {"proposal", ToString(decision_.proposal)},
                                                                       {"unblock", decision_.unblock}});
      TellDecision();
    }
    NoteSuspicion();
    const bool rest = retry_at_ && !IsOver(*retry_at_, round_at_) && !news;
    if (decision_.proposal != ManagedProposal::kNothing && !acting_ && !rest) {
      acting_ = true;
      Spawn(io_, CarryOut(decision_));
    }
    if (on_round) on_round();
    co_await kick_.WaitFor(doors_.clock, kRound);
  }
}

/// Follows the journal: which execution is not ended, when the last failover was, and whether a cool-down is latched.
Task<> ManagedAgent::ExecutionLoop() {
  const std::string takeover_key = KeyOf("last_takeover");
  const std::string latch_key = KeyOf("cool_down");
  while (true) {
    auto current = co_await journal_.Current(kStoreTimeout);
    if (current.ok()) {
      const bool news = current->has_value() != execution_.has_value() || !journal_read_;
      if (!executor_.current()) execution_ = *current;
      journal_read_ = true;
      if (news) Kick();
    }
    const auto& item = keeper_.item();
    if (item && (takeover_read_ != item->epoch || !last_takeover_)) {
      const Epoch epoch = item->epoch;
      auto reading = co_await doors_.store.Read(takeover_key, kStoreTimeout);
      bool whole = reading.ok();
      for (std::size_t at = 0; whole && at < reading->records.size(); ++at) {
        const auto json = ParseJson(reading->records[at].value, takeover_key);
        whole = json.ok();
        if (whole) last_takeover_ = WallTime{SignedAt(*json, "at_ns")};
      }
      if (whole) takeover_read_ = epoch;
    }
    if (settings_.policy.degraded_action == DegradedAction::kSwitchover || !cool_down_read_) {
      auto latch = co_await doors_.store.Read(latch_key, kStoreTimeout);
      if (latch.ok()) {
        cool_down_.reset();
        for (const Record& record : latch->records) {
          const auto json = ParseJson(record.value, record.key);
          cool_down_ = json.ok() ? CoolDownFromJson(*json) : CoolDown{};
        }
        cool_down_read_ = true;
      }
    }
    co_await ReadLatched();
    const Duration pause = journal_read_ ? Duration(2s) : Duration(200ms);
    co_await journal_kick_.WaitFor(doors_.clock, pause);
  }
}

/// The move that the latch names, until it has ended: whether it got on.
Task<> ManagedAgent::ReadLatched() {
  if (!cool_down_ || cool_down_->execution.empty()) {
    latched_.reset();
    co_return;
  }
  const ExecutionId id(cool_down_->execution);
  if (latched_ && latched_->id == id && IsEnded(latched_->state)) co_return;
  auto found = co_await journal_.Find(id, kStoreTimeout);
  latched_ = found.ok() ? std::optional(*std::move(found)) : std::nullopt;
}

/// Copies the heads of the others' evidence chains, so that a shortened or rewritten chain shows.
Task<> ManagedAgent::HeadsLoop() {
  std::map<RegionName, std::uint64_t> noted;
  while (true) {
    auto head = co_await doors_.evidence.Head();
    if (head.ok()) evidence_head_ = *head;
    for (const auto& [region, peer] : world_.peers()) {
      const Json foreign = MemberAt(peer.said, "evidence");
      const std::uint64_t sequence = NumberAt(foreign, "sequence");
      if (sequence == 0 || noted[region] == sequence) continue;
      const RegionName whose = region;
      const std::string hash = TextAt(foreign, "hash");
      auto kept = co_await doors_.evidence.NoteForeignHead(whose, sequence, hash, doors_.clock.Wall());
      if (kept.ok()) noted[whose] = sequence;
    }
    co_await doors_.clock.Sleep(2s);
  }
}

// ---- carrying out what was decided ----

Task<> ManagedAgent::CarryOut(ManagedDecision decision) {
  const int rule = decision.rule;
  auto done = co_await Attempt(std::move(decision));
  acting_ = false;
  if (done.ok()) {
    failures_ = 0;
    retry_at_.reset();
    last_problem_.clear();
  } else {
    ++failures_;
    retry_at_ = doors_.clock.Now() + std::min<Duration>(200ms * (1 << std::min(failures_, 6)), 10s);
    if (last_problem_ != done.error().message)
      log_.Warn("a proposal did not get on", {{"rule", rule}, {"problem", done.error().Text()}});
    last_problem_ = done.error().message;
  }
  Kick();
}

Task<Result<Unit>> ManagedAgent::Attempt(ManagedDecision decision) {
  const std::string rule = "rule " + std::to_string(decision.rule);
  switch (decision.proposal) {
    case ManagedProposal::kNothing: co_return Done();
    case ManagedProposal::kNoteWriter: {
      // The first note says nothing of when it came there: a lag of before is of the same writer.
      const WallTime at = keeper_.item() ? doors_.clock.Wall() : WallTime{};
      co_return co_await keeper_.Note(decision.subject, at);
    }
    case ManagedProposal::kAdoptExecution: co_return co_await AdoptExecution();
    case ManagedProposal::kFailover: {
      auto begun = co_await BeginFailover(rule, decision.reason, false, false);
      if (!begun.ok()) co_return begun.error();
      co_return Done();
    }
    case ManagedProposal::kForceMove: {
      auto begun = co_await BeginFailover(rule, decision.reason, false, false, true);
      if (!begun.ok()) co_return begun.error();
      co_return Done();
    }
    case ManagedProposal::kMove: {
      auto begun = co_await BeginSwitchover(rule, decision.reason, true);
      if (!begun.ok()) co_return begun.error();
      co_return Done();
    }
  }
  co_return Done();
}

Execution ManagedAgent::Draft(PlanKind kind, RegionName source, RegionName target, std::string requested_by,
                              std::string reason) const {
  Execution execution;
  const std::string now = FormatWallTime(doors_.clock.Wall());  // 2026-11-23T05:18:44.123Z
  execution.id = ExecutionId("x-" + now.substr(0, 4) + now.substr(5, 2) + now.substr(8, 2) + "-" + now.substr(11, 2) +
                             now.substr(14, 2) + now.substr(17, 2) + now.substr(20, 3) + "-" + RandomHex(2));
  execution.kind = kind;
  execution.source = std::move(source);
  execution.target = std::move(target);
  execution.epoch = keeper_.item()->epoch;
  execution.owner = self_;
  execution.owner_agent = id_;
  execution.requested_by = std::move(requested_by);
  execution.reason = std::move(reason);
  execution.began = doors_.clock.Wall();
  execution.steps = FreshManagedRecords(kind);
  execution.facts["managed"] = true;
  return execution;
}

/// Sends the execution's record and its epoch as one transaction, and runs it.
Task<Result<Execution>> ManagedAgent::Commit(Execution execution, Transaction transaction) {
  // SAFETY: what was decided on is what it begins on: the item may have changed since it was drafted.
  const auto& item = keeper_.item();
  if (!item || item->epoch != execution.epoch || item->writer != execution.source)
    co_return Refused("the item in the store changed meanwhile", "lifeboat status");
  WriterItem next = *item;
  execution.epoch = Next(next.epoch);
  next.epoch = execution.epoch;
  next.moving_to = execution.target;
  next.execution = execution.id;
  execution.facts["claimed_ns"] = doors_.clock.Wall().ns;
  for (Transaction::Put& put : transaction.puts) {
    if (put.key == settings_.service + "/executions/" + execution.id.text) put.value = ToJson(execution).dump();
  }
  auto begun = co_await keeper_.Begin(std::move(transaction), std::move(next));
  if (!begun.ok()) co_return begun.error();  // where it was applied all the same, it is found in the journal and adopted
  journal_.Began(execution, *begun);
  executor_.Abandon();  // what this transaction has ended
  if (const auto ended = journal_.TakeSuperseded(); ended && on_ended) on_ended(*ended);
  log_.Warn("an execution begins", {{"execution", execution.id.text},
                                    {"plan", ToString(execution.kind)},
                                    {"reason", execution.reason},
                                    {"epoch", execution.epoch.number}});
  RunExecution(execution);
  co_return execution;
}

/// The second half of a move that votes drove takes the latch over from the first: there is no third.
Task<Result<Unit>> ManagedAgent::LatchOnto(Execution execution, Transaction& transaction) {
  auto latch = co_await doors_.store.Read(KeyOf("cool_down"), kStoreTimeout);
  if (!latch.ok()) co_return latch.error();
  if (latch->records.empty() || !cool_down_) co_return Refused("the cool-down was cleared meanwhile", "lifeboat status");
  const auto json = ParseJson(latch->records.front().value, "cool-down");
  if (!json.ok() || CoolDownFromJson(*json).execution != cool_down_->execution)
    co_return Refused("the cool-down changed meanwhile", "lifeboat status");
  CoolDown next = *cool_down_;
  next.execution = execution.id.text;
  // SAFETY: at most one such move, whoever else counts the same votes.
  transaction.compares.push_back({KeyOf("cool_down"), latch->records.front().version});
  transaction.puts.push_back({KeyOf("cool_down"), ToJson(next).dump()});
  co_return Done();
}

/// @param of_move  the second half of a move that votes drove
Task<Result<Execution>> ManagedAgent::BeginFailover(std::string requested_by, std::string reason, bool accept_loss, bool detach,
                                                    bool of_move) {
  const RegionName source = keeper_.item()->writer;
  Execution execution = Draft(PlanKind::kFailover, source, self_, std::move(requested_by), std::move(reason));
  execution.accept_loss = accept_loss;
  const WallTime now = doors_.clock.Wall();
  const auto& running = executor_.current() ? executor_.current() : execution_;
  execution.facts["suspected_ns"] = (suspected_ ? *suspected_ : now).ns;
  execution.facts["decided_ns"] = (decided_ ? *decided_ : now).ns;
  NoteLossOf(execution);
  execution.facts["decision"] = ToJson(decision_);
  execution.facts["votes"] = ToJson(silence_);
  execution.facts["source_ran"] = world_.RanIn(source);
  if (detach) execution.facts["detach"] = true;
  if (of_move && latched_) {
    execution.facts["by_votes"] = true;
    execution.facts["goes_on_from"] = latched_->id.text;
    execution.facts["fault_ns"] = latched_->began.ns;  // the writer answers: clients have waited since the votes moved it
    execution.facts["votes"] = MemberAt(latched_->facts, "votes");
  }
  auto beginning = co_await journal_.Beginning(execution, running.has_value());
  if (!beginning.ok()) co_return beginning.error();
  if (of_move) {
    auto latched = co_await LatchOnto(execution, *beginning);
    if (!latched.ok()) co_return latched.error();
  }
  Json takeover = {{"at_ns", now.ns}, {"epoch", execution.epoch.number + 1}, {"region", self_.text}};
  beginning->puts.push_back({KeyOf("last_takeover"), takeover.dump()});
  auto begun = co_await Commit(std::move(execution), *std::move(beginning));
  if (begun.ok()) {
    last_takeover_ = now;
    takeover_read_ = begun->epoch;
  }
  co_return begun;
}

Task<Result<Execution>> ManagedAgent::BeginSwitchover(std::string requested_by, std::string reason, bool by_votes) {
  const RegionName source = keeper_.item()->writer;
  Execution execution = Draft(PlanKind::kSwitchover, source, self_, std::move(requested_by), std::move(reason));
  execution.facts["decision"] = ToJson(decision_);
  execution.facts["source_ran"] = world_.RanIn(source);
  if (by_votes) {
    execution.facts["by_votes"] = true;
    execution.facts["patience_ms"] = Millis(settings_.policy.degraded_patience);
    execution.facts["votes"] = ToJson(degraded_);
  }
  auto beginning = co_await journal_.Beginning(execution, false);
  if (!beginning.ok()) co_return beginning.error();
  if (by_votes) {
    const CoolDown latch{execution.began, execution.requested_by, execution.reason, source, self_, execution.id.text};
    // SAFETY: at most one such move until a person has cleared it, whoever else counts the same votes.
    beginning->compares.push_back({KeyOf("cool_down"), Version{0}});
    beginning->puts.push_back({KeyOf("cool_down"), ToJson(latch).dump()});
  }
  co_return co_await Commit(std::move(execution), *std::move(beginning));
}

/// From when the outage counts, what would be lost, and what is known of the old writer's heartbeats: as things stand when it
/// begins.
void ManagedAgent::NoteLossOf(Execution& execution) const {
  const Instant now = doors_.clock.Now();
  // Where nobody wrote rows the outage is counted from the last moment at which the region was heard.
  const auto good = sql_ ? sql_->LastGoodWrite() : std::nullopt;
  if (good)
    execution.facts["last_good_write_ns"] = good->ns;
  else if (const auto heard = world_.WriterHeard())
    execution.facts["fault_ns"] = heard->ns;
  const ManagedSqlWatch::Known known = world_.LossOf(self_, now);
  execution.facts["loss_estimate"] = LossJson(known.loss);
  execution.facts["loss_estimate"]["source"] = known.source;
  if (!sql_) return;
  const auto last = sql_->LastBeatsAt(now, world_.SilentFor(now));
  execution.facts["heartbeat"] = {{"last", last ? ToJson(last->newest.beat) : Json(nullptr)},
                                  {"unseen_ns", last && last->unseen ? Json(last->unseen->count()) : Json(nullptr)}};
}

void ManagedAgent::RunExecution(Execution execution) {
  log_.SetContext("execution", execution.id.text);
  log_.SetContext("trace_id", TraceIdOf(settings_.service, execution.id).text);
  execution_ = execution;
  SpareTheLost();
  Spawn(io_, executor_.Run(std::move(execution)));
}

Task<Result<Unit>> ManagedAgent::AdoptExecution() {
  if (!execution_ || executor_.current()) co_return Done();
  const ExecutionId id = execution_->id;
  auto adopted = co_await journal_.Adopt(id, self_, id_);
  if (!adopted.ok()) {
    journal_kick_.Ring();
    co_return adopted.error();
  }
  log_.Warn("an execution is gone on with", {{"execution", adopted->id.text}, {"plan", ToString(adopted->kind)}});
  RunExecution(*std::move(adopted));
  co_return Done();
}

void ManagedAgent::OnExecution(const Execution& execution) {
  execution_ = IsEnded(execution.state) ? std::nullopt : std::optional(execution);
  if (IsEnded(execution.state)) {
    log_.SetContext("execution", "");
    log_.SetContext("trace_id", "");
    world_.LookSoon();
    if (std::exchange(told_ended_, execution.id) == execution.id) return Kick();  // said before, and not written until now
    TellEnded(execution);
    if (on_ended) on_ended(execution);
    Spawn(io_, RecordEvidence(execution));
  }
  Kick();
}

Task<> ManagedAgent::RecordEvidence(Execution execution) {
  const std::string kind = ToString(execution.kind);
  auto row = co_await doors_.evidence.Append(kind, execution.id, ToJson(execution), doors_.clock.Wall());
  if (!row.ok()) {
    log_.Error("evidence could not be written", {{"execution", execution.id.text}, {"problem", row.error().Text()}});
    co_return;
  }
  auto head = co_await doors_.evidence.Head();
  if (head.ok()) evidence_head_ = *head;
}

}  // namespace lifeboat
