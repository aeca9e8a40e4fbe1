#include "agent/agent.h"

#include "agent/hands.h"
#include "base/spawn.h"

namespace lifeboat {

namespace asio = boost::asio;

namespace {
constexpr Duration kRound = 250ms;
constexpr Duration kRingStale = 2s;

std::map<RegionName, RegionKind> KindsOf(const Settings& settings) {
  std::map<RegionName, RegionKind> kinds;
  for (const RegionSettings& region : settings.regions) kinds[region.name] = region.kind;
  return kinds;
}

std::map<RegionName, Endpoint> DatabasesOf(const Settings& settings) {
  std::map<RegionName, Endpoint> databases;
  for (const RegionSettings& region : settings.regions) {
    if (region.database) databases[region.name] = region.database->address;
  }
  return databases;
}
}  // namespace

Agent::Agent(asio::any_io_executor io, const Settings& settings, RegionName self, AgentId id, std::optional<AgentRecord> record,
             Doors doors, Log log)
    : io_(io),
      settings_(settings),
      self_(std::move(self)),
      id_(std::move(id)),
      region_(*settings.Find(self_)),
      doors_(doors),
      log_(std::move(log)),
      keeper_(io,
              LeaseKeeper::Options{self_, id_, settings.service, settings.lease, settings.policy.automation,
                                   settings.policy.failover_after, region_.state_directory + "/record.json"},
              record,
              LeaseKeeper::Doors{doors.clock, doors.store, doors.files, doors.peers, doors.guard,
                                 [this] { return world_.database() && world_.database()->IsStandby(); }, [this] { Kick(); }},
              log_),
      world_(io, self_, KindsOf(settings),
             World::Doors{doors.clock, doors.peers, doors.traffic, doors.canary, doors.database, doors.guard}, log_,
             [this] { Kick(); }),
      hand_(self_, RegionHand::Doors{doors.clock, keeper_, doors.database, doors.guard, region_.state_directory + "/ledger",
                                     DatabasesOf(settings), log_}),
      hands_(std::make_unique<LocalOrRemoteHands>(self_, hand_, doors.peers)),
      act_doors_{doors.clock, *hands_, doors.traffic, doors.canary, DatabasesOf(settings)},
      journal_(doors.clock, doors.store, doors.files, settings.service, region_.state_directory + "/journal", log_),
      executor_(io, act_doors_, keeper_, journal_, log_, [this](const Execution& execution) { OnExecution(execution); }),
      kick_(io),
      assess_kick_(io),
      began_(doors.clock.Now()),
      round_at_(began_) {
  snapshot_ = Observe();
  decision_ = Decide(snapshot_);
}

Agent::~Agent() = default;

void Agent::Start() {
  Spawn(io_, keeper_.WatchLoop());
  Spawn(io_, keeper_.RenewLoop());
  Spawn(io_, keeper_.FeedLoop());
  world_.Start();
  Spawn(io_, ExecutionLoop());
  Spawn(io_, HeadsLoop());
  if (doors_.database) Spawn(io_, AssessLoop());
  Spawn(io_, DecideLoop());
}

bool Agent::Healthy() const { return AgeAt(round_at_, doors_.clock.Now()) < 5s; }

LeaseFacts Agent::ObserveLease(Instant now) const {
  const Lease& lease = keeper_.lease();
  LeaseFacts facts;
  facts.store_answers = keeper_.StoreAnswers();
  facts.store_problem = keeper_.StoreProblem();
  facts.store_empty = keeper_.StoreEmpty();
  facts.item = lease.item();
  facts.held_here = lease.IsHolder();
  facts.held_by_this_run = lease.IsHolderRun();
  facts.valid = lease.HoldsAt(now);
  if (lease.Deadline()) facts.left = TimeLeft(*lease.Deadline(), now);
  if (lease.CounterSeen()) facts.counter_age = AgeAt(*lease.CounterSeen(), now);
  facts.released_here = lease.item() && lease.item()->holder == self_ && lease.record().released >= lease.item()->epoch;
  const TakeoverAnswer may = lease.MayTakeOver(now, settings_.policy.failover_after);
  facts.takeover_bar = ToString(may.bar);
  facts.may_take_over = may.bar == TakeoverBar::kNone;
  facts.takeover_left = may.left;
  if (const auto until = lease.PromisedUntil(); until && !IsOver(*until, now)) facts.promised_left = TimeLeft(*until, now);
  return facts;
}

Snapshot Agent::Observe() const {
  Snapshot s;
  s.now = doors_.clock.Now();
  s.wall = doors_.clock.Wall();
  s.self = self_;
  s.kind = region_.kind;
  s.first_primary = settings_.first_primary;
  s.policy = settings_.policy;
  s.lease = ObserveLease(s.now);
  s.database = world_.database();
  s.detached = keeper_.Detached();
  s.guard_answers = world_.guard().reachable;
  s.heartbeat_written = world_.heartbeat_written();
  for (const auto& [region, view] : world_.peers()) s.peers[region] = world_.FactsOf(region, s.now);
  s.execution = executor_.current() ? executor_.current() : execution_;
  s.journal_read = journal_read_;
  s.execution_runs_here = executor_.current().has_value();
  if (s.execution && s.execution->owner != self_) {
    const auto seen = agents_seen_.find(s.execution->owner_agent);
    // A run that has only just become the owner may not have been heard of yet.
    if (s.execution->owner_agent == owner_.agent) {
      s.execution_owner_silent =
          std::min(AgeAt(owner_.since, s.now), AgeAt(seen == agents_seen_.end() ? began_ : seen->second, s.now));
    }
  }
  if (s.lease.held_here) {
    // The time in which this region was fenced does not count against its database.
    if (world_.down_since() && valid_since_)
      s.database_down = std::min(AgeAt(*world_.down_since(), s.now), AgeAt(*valid_since_, s.now));
    s.loss = dead_loss_;
    s.ready_heir = ready_heir_;
  } else if (s.database && s.database->flushed && s.lease.item && !s.lease.item->released) {
    const auto ended = keeper_.lease().HolderSurelyEnded();
    if (ended) s.loss = world_.ring().LossAt(*s.database->flushed, *ended);
  } else if (s.lease.item && s.lease.item->released && s.database && s.database->flushed) {
    // Released means stopped: what is missing is what lies between the stated end and what is held here.
    LossEstimate loss;
    const Json token =
        ParseJson(s.lease.item->released->token, "token").ok() ? *ParseJson(s.lease.item->released->token, "token") : Json();
    const auto end = Lsn::Parse(TextAt(token, "end"));
    if (end && *s.database->flushed >= *end) {
      loss.kind = LossEstimate::Kind::kProvenZero;
      loss.basis = "the old primary's WAL ended at " + end->Text() + ", all of which is here";
    } else if (end) {
      loss = world_.ring().LossAt(*s.database->flushed, *keeper_.lease().HolderSurelyEnded());
      if (loss.kind == LossEstimate::Kind::kBounded) loss.bytes = {end->bytes - s.database->flushed->bytes};
    } else {
      loss.basis = "the release does not say where the old primary's WAL ended";
    }
    s.loss = loss;
  }
  if (last_takeover_) s.since_takeover = Duration(s.wall.ns - last_takeover_->ns);
  return s;
}

/// Remembers when the trouble of the holder was first suspected and first decided on: the phases of the report.
void Agent::NoteSuspicion() {
  const bool holder_in_trouble = snapshot_.lease.item && !snapshot_.lease.held_here && region_.kind == RegionKind::kData &&
                                 (decision_.rule >= 330 && decision_.rule < 390);
  if (!holder_in_trouble) {
    if (!executor_.current()) {
      suspected_.reset();
      decided_.reset();
    }
    return;
  }
  if (!suspected_) suspected_ = snapshot_.wall;
  // From here on only the lease's end is waited for: nobody needs to decide anything more.
  if (!decided_) decided_ = snapshot_.wall;
}

Task<> Agent::DecideLoop() {
  while (true) {
    round_at_ = doors_.clock.Now();
    if (const auto& item = keeper_.lease().item()) world_.SetHolder(item->released ? RegionName() : item->holder, item->epoch);
    for (const auto& [region, view] : world_.peers()) {
      if (view.answers && view.asked) agents_seen_[AgentId(TextAt(view.said, "agent"))] = *view.asked;
    }
    if (execution_ && execution_->owner_agent != owner_.agent) owner_ = {execution_->owner_agent, round_at_};
    if (!keeper_.lease().HoldsAt(round_at_))
      valid_since_.reset();
    else if (!valid_since_)
      valid_since_ = round_at_;
    snapshot_ = Observe();
    Decision next = Decide(snapshot_);
    const bool news = next.rule != decision_.rule;
    decision_ = std::move(next);
    if (news) {
      decided_at_ = snapshot_.wall;
      log_.SetContext("rule", decision_.rule);
      log_.Info(decision_.withheld ? "decided: withheld" : "decided", {{"sentence", decision_.sentence},
                                                                       {"reason", decision_.reason},
                                                                       {"proposal", ToString(decision_.proposal)},
                                                                       {"unblock", decision_.unblock}});
    }
    NoteSuspicion();
    const bool rest = retry_at_ && !IsOver(*retry_at_, snapshot_.now) && !news;
    if (decision_.proposal != Proposal::kNothing && !acting_ && !rest) {
      acting_ = true;
      Spawn(io_, CarryOut(decision_));
    }
    if (on_round) on_round();
    // Sleeps to the next round, or to the moment at which a waiting takeover becomes possible, or until kicked.
    Duration pause = kRound;
    if (snapshot_.lease.takeover_left > 0s) pause = std::min(pause, snapshot_.lease.takeover_left + 1ms);
    // A lease that runs out is acted on at that moment, also where no guard does.
    if (snapshot_.lease.valid && snapshot_.lease.left > 0s) pause = std::min(pause, snapshot_.lease.left + 1ms);
    if (rest) pause = std::min(pause, std::max<Duration>(1ms, TimeLeft(*retry_at_, snapshot_.now)));
    co_await kick_.WaitFor(doors_.clock, pause);
  }
}

/// Follows the journal: which execution is not ended, and when the last takeover was.
Task<> Agent::ExecutionLoop() {
  const std::string takeover_key = settings_.service + "/last_takeover";
  while (true) {
    auto current = co_await journal_.Current(700ms);
    if (current.ok()) {
      const bool news = current->has_value() != execution_.has_value();
      execution_ = *current;
      if (news || !journal_read_) Kick();
      journal_read_ = true;
    }
    const auto& item = keeper_.lease().item();
    if (item && item->epoch != last_takeover_epoch_) {
      auto reading = co_await doors_.store.Read(takeover_key, 700ms);
      if (reading.ok()) {
        last_takeover_epoch_ = item->epoch;
        for (const Record& record : reading->records) {
          const auto json = ParseJson(record.value, record.key);
          if (json.ok()) last_takeover_ = WallTime{SignedAt(*json, "at_ns")};
        }
      }
    }
    co_await doors_.clock.Sleep(journal_read_ ? Duration(500ms) : Duration(50ms));
  }
}

/// Copies the heads of the others' evidence chains, so that a shortened or rewritten chain shows.
Task<> Agent::HeadsLoop() {
  std::map<RegionName, std::uint64_t> noted;
  while (true) {
    auto head = co_await doors_.evidence.Head();
    if (head.ok()) evidence_head_ = *head;
    for (const auto& [region, view] : world_.peers()) {
      const Json& foreign = MemberAt(view.said, "evidence");
      const std::uint64_t sequence = NumberAt(foreign, "sequence");
      if (sequence == 0 || noted[region] == sequence) continue;
      const std::string hash = TextAt(foreign, "hash");
      auto kept = co_await doors_.evidence.NoteForeignHead(region, sequence, hash, doors_.clock.Wall());
      if (kept.ok()) noted[region] = sequence;
    }
    co_await doors_.clock.Sleep(1s);
  }
}

/// While this region holds the lease and its database is dead: where its WAL ends, and who holds all of it.
Task<> Agent::AssessLoop() {
  while (true) {
    const bool holder = keeper_.lease().IsHolderRun();
    const bool dead = holder && world_.postmaster_gone() && world_.down_since() &&
                      !(world_.database() && world_.database()->IsWritable()) && keeper_.lease().HoldsAt(doors_.clock.Now());
    const bool busy = snapshot_.execution && (snapshot_.execution->source == self_ || snapshot_.execution->target == self_);
    if (!dead || busy || settings_.policy.automation != Automation::kAct) {
      dead_loss_.reset();
      ready_heir_ = RegionName();
      dead_end_.reset();
    } else if (!acting_) {
      const bool wanted = settings_.policy.database_failure == DatabaseFailure::kFailover ||
                          (snapshot_.database_down && *snapshot_.database_down > settings_.policy.restart_budget);
      if (wanted) {
        acting_ = true;  // it kills what is left: nothing may start meanwhile
        auto assessed = co_await AssessDead();
        co_await world_.LookAtDatabase();  // decide must see that nothing of it is left
        acting_ = false;
        if (!assessed.ok())
          log_.Warn("the dead database could not be assessed", {{"problem", assessed.error().message}});
        else if (dead_loss_)
          log_.Info("the dead database was assessed", {{"loss", ToJson(*dead_loss_)}, {"heir", ready_heir_.text}});
        Kick();
      }
    }
    const Duration pause = dead ? Duration(50ms) : kRound;
    co_await assess_kick_.WaitFor(doors_.clock, pause);
  }
}

}  // namespace lifeboat
