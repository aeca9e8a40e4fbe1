#include "agent/agent.h"

#include "agent/carried_loss.h"
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
      believed_(doors.store, keeper_),
      journal_(doors.clock, believed_, doors.files, settings.service, region_.state_directory + "/journal", log_),
      executor_(io, act_doors_, keeper_, journal_, log_, [this](const Execution& execution) { OnExecution(execution); }),
      kick_(io),
      assess_kick_(io),
      began_(doors.clock.Now()),
      round_at_(began_),
      judge_(settings.policy.degraded_latency, GoodStretchOf(settings.policy.degraded_after)) {
  act_doors_.answers = [this](const RegionName& region) {
    const auto peer = world_.peers().find(region);
    return region == self_ || (peer != world_.peers().end() && peer->second.answers);
  };
  act_doors_.fence = doors.fence;
  world_.SetCanaryPatience(settings.policy.degraded_latency + 1s);
  world_.on_row = [this](Instant began, Duration took, const std::string& address, const std::string& problem) {
    const auto& item = keeper_.lease().item();
    if (!item || item->released) return;
    const auto holder = act_doors_.databases.find(item->holder);
    if (holder == act_doors_.databases.end()) return;
    judge_.About(item->holder, item->epoch);
    // Where the name leads, by the newest look at it: a name server that is away is no fault of the primary.
    const std::string leads_to = !address.empty() ? address : world_.traffic() ? world_.traffic()->address : std::string();
    const bool telling = leads_to == holder->second.host;
    std::string why = problem;
    if (leads_to.empty()) why = "the name cannot be resolved: " + world_.traffic_problem();
    if (!telling && !leads_to.empty()) why = "the name leads to " + leads_to + ", which is not the primary";
    judge_.OnRow({began, took, !address.empty(), telling, why});
  };
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
  // One that was not restarted with 'act' yet would stop nothing: nothing is opened beside it.
  s.guard_answers = world_.guard().reachable && !(world_.guard().observes && settings_.policy.automation == Automation::kAct);
  s.gate = world_.guard().gate;
  s.heartbeat_written = world_.heartbeat_written();
  for (const auto& [region, view] : world_.peers()) s.peers[region] = world_.FactsOf(region, s.now);
  std::size_t order = 0;
  for (const RegionSettings& region : settings_.regions) (region.name == self_ ? s.order : s.peers[region.name].order) = order++;
  s.vote = judge_.VoteAt(s.now);
  s.votes = votes_;
  s.cool_down = cool_down_;
  s.cool_down_read = cool_down_read_;
  if (open_since_) s.takeover_open = AgeAt(*open_since_, s.now);
  if (not_following_since_) s.not_following = AgeAt(*not_following_since_, s.now);
  s.pointed = s.lease.item && pointed_ == s.lease.item->epoch;
  if (s.lease.item && ahead_epoch_ == s.lease.item->epoch) s.ahead = ahead_;
  s.traffic = world_.TrafficSeen(region_.database ? region_.database->address.host : std::string());
  s.execution = executor_.current() ? executor_.current() : execution_;
  // SAFETY: a takeover's execution is written with its claim. One whose answer came late is found here first, and goes on by its
  // plan.
  s.journal_read = journal_read_ && (!s.lease.held_here || journal_epoch_ >= s.lease.item->epoch);
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
  } else {
    s.loss = LossHere(s);
  }
  for (const auto& [region, since] : candidates_since_) {
    if (s.peers.contains(region)) s.peers[region].candidate_for = AgeAt(since, s.now);
  }
  if (last_takeover_) s.since_takeover = Duration(s.wall.ns - last_takeover_->ns);
  return s;
}

/// True when the copy here is known to follow the history of the item's holder: a row of its epoch has arrived, or both are on
/// one timeline. Positions of two histories are not compared.
bool Agent::IsProvenCopy(const Snapshot& s) const {
  if (world_.heartbeat_seen() >> 32U >= s.lease.item->epoch.number) return true;
  const auto holder = s.peers.find(s.lease.item->holder);
  // As it was seen while it served: what it said as a standby is of the history before the fork.
  return holder != s.peers.end() && holder->second.database && holder->second.database->IsWritable() &&
         holder->second.database->timeline && holder->second.database->timeline == s.database->timeline;
}

/// What a takeover by this region would lose.
std::optional<LossEstimate> Agent::LossHere(const Snapshot& s) const {
  if (!s.database || !s.database->flushed || !s.lease.item) return std::nullopt;
  LossEstimate loss;
  if (!s.lease.item->released) {
    // SAFETY: a copy that took another way at the last fork may hold a higher position and none of the newest rows. Measured by
    // positions from before that fork its loss is known all the same: all of the reign since.
    if (!IsProvenCopy(s) && world_.ring().epoch() >= s.lease.item->epoch) {
      loss.basis = "the copy here is not known to follow the history of epoch " + std::to_string(s.lease.item->epoch.number) +
                   ", whose positions cannot be compared with its own";
      return loss;
    }
    const auto ended = keeper_.lease().HolderSurelyEnded();
    if (!ended) return std::nullopt;
    return world_.ring().LossAt(*s.database->flushed, *ended);
  }
  const auto parsed = ParseJson(s.lease.item->released->token, "token");
  const Json token = parsed.ok() ? *parsed : Json();
  const auto released = keeper_.lease().HolderSurelyEnded();
  if (!released) return std::nullopt;
  if (IsYielded(*s.lease.item)) {
    // Nobody wrote since the old primary: what is missing is what it had and is not here.
    const bool known = ended_.epoch == Epoch{NumberAt(token, "epoch")};
    loss = world_.ring().LossAt(*s.database->flushed, known ? ended_.at : *released);
    LossEstimate theirs = LossFromJson(MemberAt(token, "loss"));
    if (loss.kind != LossEstimate::Kind::kUnknown || theirs.kind != LossEstimate::Kind::kBounded) return loss;
    theirs.basis = "at most what '" + s.lease.item->holder.text + "' would have lost, which gave the epoch away: " + theirs.basis;
    return theirs;
  }
  // SAFETY: positions are compared within one history only.
  const std::uint64_t timeline = NumberAt(token, "timeline");
  const std::uint64_t here = s.database->timeline.value_or(0);
  const auto fork = Lsn::Parse(TextAt(token, "fork"));
  const bool behind = here + 1 == timeline && fork && *s.database->flushed <= *fork;
  if (!s.ahead.empty() || (timeline != 0 && here != timeline && !behind)) {
    loss.basis = "the copy here, on timeline " + std::to_string(here) + ", is not known to follow the history of timeline " +
                 std::to_string(timeline) + ", which was released";
    return loss;
  }
  // Released means stopped: what is missing is what lies between the stated end and what is held here.
  const auto end = Lsn::Parse(TextAt(token, "end"));
  if (end && *s.database->flushed >= *end) {
    loss.kind = LossEstimate::Kind::kProvenZero;
    loss.basis = "the old primary's WAL ended at " + end->Text() + ", all of which is here";
  } else if (end) {
    loss = world_.ring().LossAt(*s.database->flushed, *released);
    if (loss.kind == LossEstimate::Kind::kBounded) loss.bytes = {end->bytes - s.database->flushed->bytes};
  } else {
    loss.basis = "the release does not say where the old primary's WAL ended";
  }
  if (const Json& carried = MemberAt(token, "loss"); carried.is_object()) return Sum(loss, LossFromJson(carried));
  return loss;
}

/// Since when each candidate has been one, as this run has seen it: what its agent said before that is of before its rejoin.
void Agent::NoteCandidates(Instant now) {
  const auto& item = keeper_.lease().item();
  std::erase_if(candidates_since_, [&](const auto& each) { return !item || !item->IsCandidate(each.first); });
  if (!item) return;
  for (const RegionName& region : item->candidates) candidates_since_.try_emplace(region, now);
}

/// Counts the votes of this moment. Nothing is counted while an execution moves the service: its canary fails by design.
void Agent::NoteVotes(Instant now) {
  const auto& item = keeper_.lease().item();
  const bool counted = item && !item->released && !execution_ && !executor_.current();
  std::vector<Ballot> ballots{{self_, judge_.VoteAt(now)}};
  for (const auto& [region, view] : world_.peers()) ballots.push_back({region, world_.FactsOf(region, now).vote});
  const bool before = votes_.majority_for.has_value();
  votes_ =
      tally_.Count(now, counted ? item->holder : RegionName(), item ? item->epoch : Epoch(), settings_.regions.size(), ballots);
  if (before == votes_.majority_for.has_value()) return;
  if (votes_.majority_for)
    log_.Warn("a majority calls the primary degraded", {{"votes", ToJson(votes_)}});
  else
    log_.Info("the majority that called the primary degraded has ended", {{"votes", ToJson(votes_)}});
}

/// Whether the standby here streams from the holder; and since when this region has been free to take over.
void Agent::NoteFollowing(Instant now) {
  const auto& item = keeper_.lease().item();
  const bool other = item && item->holder != self_ && !item->released;
  if (const auto ended = keeper_.lease().HolderSurelyEnded(); other && ended) ended_ = {item->epoch, *ended};
  const bool open = other && keeper_.lease().MayTakeOver(now, settings_.policy.failover_after).bar == TakeoverBar::kNone;
  if (!open)
    open_since_.reset();
  else if (!open_since_)
    open_since_ = now;
  bool serves = false;
  std::string host;
  if (other && world_.peers().contains(item->holder)) {
    const PeerFacts holder = world_.FactsOf(item->holder, now);
    serves = holder.answers && holder.database && holder.database->IsWritable();
    if (const auto found = act_doors_.databases.find(item->holder); found != act_doors_.databases.end()) host = found->second.host;
  }
  const auto& here = world_.database();
  if (here && here->IsStandby() && here->upstream == host && !host.empty() && item && ahead_epoch_ == item->epoch) ahead_.clear();
  if (!serves || !here || !here->IsStandby() || here->upstream == host)
    not_following_since_.reset();
  else if (!not_following_since_)
    not_following_since_ = now;
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
    if (const auto& item = keeper_.lease().item(); item && item->holder == self_ && item->epoch > journal_epoch_)
      journal_kick_.Ring();
    if (const auto& item = keeper_.lease().item()) world_.SetHolder(item->released ? RegionName() : item->holder, item->epoch);
    for (const auto& [region, view] : world_.peers()) {
      if (view.answers && view.asked) agents_seen_[AgentId(TextAt(view.said, "agent"))] = *view.asked;
    }
    if (execution_ && execution_->owner_agent != owner_.agent) owner_ = {execution_->owner_agent, round_at_};
    if (!keeper_.lease().HoldsAt(round_at_))
      valid_since_.reset();
    else if (!valid_since_)
      valid_since_ = round_at_;
    NoteCandidates(round_at_);
    NoteVotes(round_at_);
    NoteFollowing(round_at_);
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
    const Epoch known = keeper_.lease().item() ? keeper_.lease().item()->epoch : Epoch{};
    auto current = co_await journal_.Current(700ms);
    if (current.ok()) {
      journal_epoch_ = std::max(journal_epoch_, known);
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
    const std::string latch_key = CoolDownKey();
    auto latch = co_await doors_.store.Read(latch_key, 700ms);
    if (latch.ok()) {
      cool_down_.reset();
      for (const Record& record : latch->records) {
        // SAFETY: one that cannot be read holds like any other: a person looks at it.
        const auto json = ParseJson(record.value, record.key);
        cool_down_ = json.ok() ? CoolDownFromJson(*json) : CoolDown{};
      }
      cool_down_read_ = true;
    }
    const Duration pause = journal_read_ ? Duration(500ms) : Duration(50ms);
    co_await journal_kick_.WaitFor(doors_.clock, pause);
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
