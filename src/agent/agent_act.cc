// Carrying out what decide proposed, one proposal at a time.

#include "agent/agent.h"

#include "act/fence_step.h"
#include "agent/carried_loss.h"
#include "agent/hands.h"
#include "base/spawn.h"
#include "prove/trace.h"

namespace lifeboat {

namespace asio = boost::asio;

namespace {
constexpr Duration kStartTimeout = std::chrono::minutes(10);  // crash recovery takes what it takes; the guard watches the lease
constexpr Duration kShort = 2s;
constexpr Duration kLook = 700ms;
}  // namespace

Task<> Agent::CarryOut(Decision decision) {
  const int rule = decision.rule;
  auto done = co_await Attempt(std::move(decision));
  acting_ = false;
  if (done.ok()) {
    failures_ = 0;
    retry_at_.reset();
    last_problem_.clear();
  } else {
    ++failures_;
    const Duration pause = std::min<Duration>(100ms * (1 << std::min(failures_, 4)), 1s);
    retry_at_ = doors_.clock.Now() + pause;
    if (last_problem_ != done.error().message) {
      log_.Warn("a proposal did not get on", {{"rule", rule}, {"problem", done.error().Text()}});
    }
    last_problem_ = done.error().message;
  }
  if (doors_.database) co_await world_.LookAtDatabase();
  Kick();
}

Task<Result<Unit>> Agent::Attempt(Decision decision) {
  const Epoch epoch = snapshot_.lease.item ? snapshot_.lease.item->epoch : Epoch{};
  switch (decision.proposal) {
    case Proposal::kNothing: co_return Done();
    case Proposal::kFoundService: co_return co_await keeper_.Found();
    case Proposal::kAdoptLease: co_return co_await keeper_.RenewNow();
    case Proposal::kStartPrimary: co_return co_await StartPrimary();
    case Proposal::kStopDatabase: {
      log_.Error("the database here is writable without a lease: it is stopped", {{"epoch", epoch.number}});
      auto fenced = co_await doors_.database->Fence();
      // Killed by ourselves too: a guard that does not answer, or only observes, ends nothing.
      auto forbidden = co_await doors_.guard->Forbid(epoch, 5s);
      auto killed = co_await doors_.database->KillAll(5s);
      if (!killed.ok()) co_return killed;
      co_return fenced.ok() ? forbidden : fenced;
    }
    case Proposal::kStartStandby: co_return co_await StartStandby(decision.subject);
    case Proposal::kAdmitStandby: co_return co_await keeper_.ChangeCandidate(decision.subject, true);
    case Proposal::kDropCandidate: co_return co_await keeper_.ChangeCandidate(decision.subject, false);
    case Proposal::kFollow: co_return co_await FollowHolder(decision.subject);
    case Proposal::kRoute: co_return co_await RouteHere();
    case Proposal::kMove: co_return co_await BeginMove(std::move(decision));
    case Proposal::kReleaseDead: co_return co_await ReleaseDead(decision.subject);
    case Proposal::kReclaim: {
      auto reclaimed = co_await keeper_.Reclaim();
      if (!reclaimed.ok()) co_return reclaimed.error();
      co_return Done();
    }
    case Proposal::kFailover: {
      auto begun = co_await BeginFailover("rule " + std::to_string(decision.rule), decision.reason, false, "");
      if (!begun.ok()) co_return begun.error();
      co_return Done();
    }
    case Proposal::kAdoptExecution: co_return co_await AdoptExecution();
  }
  co_return Done();
}

/// True when the restart budget is spent and it was not yet found out, for this outage, whether an heir can take over.
bool Agent::OutOfBudget() const {
  return snapshot_.database_down && *snapshot_.database_down > settings_.policy.restart_budget &&
         !keeper_.lease().item()->candidates.empty() && assessed_outage_ != world_.down_since();
}

/// Refuses a data directory here that is no copy of the primary's: nothing is written into it, and it is not started.
Task<Result<Unit>> Agent::CheckSystem(RegionName primary) {
  auto control = co_await doors_.database->ReadControl();
  if (!control.ok()) co_return Done();  // the start says what is wrong
  auto there = co_await hands_->Do(primary, "look", Json::object(), kLook);
  if (!there.ok()) co_return Done();  // a lost primary must not keep its standby from running
  const std::string expected = TextAt(MemberAt(*there, "control"), "system_id");
  // SAFETY: proven identity before anything is changed: a standby.signal makes a standby of any cluster.
  if (!expected.empty() && control->system_id.text != expected) {
    co_return Refused(
        "the data directory here has system id " + control->system_id.text + ", the primary '" + primary.text + "' has " + expected,
        "it is another cluster: check data_directory; it is neither changed nor started");
  }
  co_return Done();
}

Task<Result<Unit>> Agent::StartStandby(RegionName holder) {
  const auto primary = act_doors_.databases.find(holder);
  if (primary == act_doors_.databases.end()) co_return Refused("'" + holder.text + "' is no data region");
  auto ours = co_await CheckSystem(holder);
  if (!ours.ok()) co_return ours;
  Upstream upstream{primary->second, primary->first};
  // SAFETY: with several standbys the primary may be one that this copy has never followed: it streams from nobody until its
  // lineage is proven (rule 322). With one standby the other region's copy is rejoined, or was this one's primary all along.
  const bool proven = pointed_ == keeper_.lease().item()->epoch;
  if (act_doors_.databases.size() > 2 && !proven) upstream = Upstream{};
  co_return co_await doors_.database->StartStandby(std::move(upstream), 60s);
}

/// Refuses unless the copy here and the holder's are one history: system, first row of the holder's reign, and the fork.
Task<Result<Unit>> Agent::SeeLineage(RegionName holder, DatabaseState here) {
  const Epoch epoch = keeper_.lease().item()->epoch;
  auto look = co_await hands_->Do(holder, "look", Json::object(), kLook);
  if (!look.ok()) co_return look.error();
  const DatabaseState there = DatabaseStateFromJson(MemberAt(*look, "database"));
  const Json& lease = MemberAt(*look, "lease");
  if (TextAt(lease, "holder") != holder.text || NumberAt(lease, "epoch") != epoch.number || !FlagAt(lease, "valid") ||
      !there.IsWritable() || !there.timeline || there.system_id.empty()) {
    co_return RetryLater("'" + holder.text + "' is not serving as the primary of epoch " + std::to_string(epoch.number));
  }
  if (here.system_id != there.system_id) {
    co_return Refused(
        "the copy here has system id " + here.system_id.text + ", the primary '" + holder.text + "' has " + there.system_id.text,
        "it is another cluster: check data_directory; it is neither changed nor pointed there");
  }
  // SAFETY: followed only once the first row of the new timeline has been read (docs/lease.md section 9): before it stands there,
  // the newest such row is the old primary's.
  auto mark = co_await hands_->Do(holder, "mark", Json::object(), kLook);
  if (!mark.ok()) co_return mark.error();
  if (TextAt(*mark, "region") != holder.text || NumberAt(*mark, "epoch") > epoch.number)
    co_return RetryLater("the first row of the timeline of '" + holder.text + "' has not been seen yet");
  // The newest promotion that is known here must be part of the primary's history too.
  auto own = co_await doors_.database->ReadPromotionMark(kLook);
  if (!own.ok() && own.error().retry != Retry::kNotFound) co_return own.error();
  if (own.ok()) {
    Json question = {{"of", own->epoch.number}};
    auto same = co_await hands_->Do(holder, "mark", std::move(question), kLook);
    if (!same.ok() && same.error().retry != Retry::kNotFound) co_return same.error();
    if (!same.ok() || own->uuid != TextAt(*same, "uuid")) {
      co_return NotOneHistory("the copy here holds another promotion of epoch " + std::to_string(own->epoch.number) +
                              " than the primary '" + holder.text + "': it is of another history");
    }
  }
  auto one = co_await SeeOneTimeline(holder, here.timeline.value_or(0));
  if (!one.ok()) co_return one;
  co_return co_await SeeForkOf(holder, std::move(here), *there.timeline);
}

/// Remembers why the copy here cannot follow. SAFETY: divergent WAL is never destroyed unsaved (G4): it is saved and rewound by a
/// person's order, never on the way.
Error Agent::NotOneHistory(std::string what) {
  ahead_ = std::move(what);
  ahead_epoch_ = keeper_.lease().item()->epoch;
  return Refused(ahead_, "lifeboat rejoin " + self_.text);
}

/// Refuses where two promotions at one position gave the timeline here the number of one of the holder's: positions and history
/// files do not tell them apart, how their WAL begins does. Where that WAL is gone, the promotion's row has spoken.
Task<Result<Unit>> Agent::SeeOneTimeline(RegionName holder, Timeline timeline) {
  if (timeline < 2) co_return Done();
  auto ours = co_await doors_.database->SignOf(timeline, kLook);
  Json question = {{"timeline", timeline}};
  auto theirs = co_await hands_->Do(holder, "sign", std::move(question), kLook);
  if (!ours.ok() && ours.error().retry != Retry::kNotFound) co_return ours.error();
  if (!theirs.ok() && theirs.error().retry != Retry::kNotFound) co_return theirs.error();
  if (!ours.ok() || !theirs.ok() || *ours == TextAt(*theirs, "sign")) co_return Done();
  co_return NotOneHistory("timeline " + std::to_string(timeline) + " of the copy here is another one than that of '" + holder.text +
                          "'");
}

/// Refuses where the copy here went on beyond the point at which the holder's history left its timeline.
Task<Result<Unit>> Agent::SeeForkOf(RegionName holder, DatabaseState here, Timeline theirs) {
  if (!here.timeline || !here.flushed || !here.replayed) co_return RetryLater("the position of the copy here is unknown");
  std::optional<Lsn> fork;
  for (Timeline timeline = *here.timeline + 1; timeline <= theirs && !fork; ++timeline) {
    Json question = {{"timeline", timeline}};
    auto answer = co_await hands_->Do(holder, "fork", std::move(question), kLook);
    if (!answer.ok() && answer.error().retry == Retry::kNotFound) continue;
    if (!answer.ok()) co_return answer.error();
    fork = Lsn::Parse(TextAt(*answer, "fork"));
  }
  if (!fork && *here.timeline == theirs) co_return Done();
  std::string what = "the copy here is on timeline " + std::to_string(*here.timeline) + ", which is no part of the history of '" +
                     holder.text + "' (timeline " + std::to_string(theirs) + ")";
  if (fork) {
    // What was received and is not replayed is replayed first. The rest of a record that never came whole stays, and is nobody's.
    if (*here.flushed > *fork && *here.replayed < *fork)
      co_return RetryLater("the copy here has replayed up to " + here.replayed->Text() + " of " + here.flushed->Text());
    if (*here.replayed <= *fork) co_return Done();
    what = "the copy here holds WAL up to " + here.replayed->Text() + ", and '" + holder.text + "' left its timeline at " +
           fork->Text() + ": " + FormatBytes({here.replayed->bytes - fork->bytes}) + " that the primary does not have";
  }
  co_return NotOneHistory(std::move(what));
}

Task<Result<Unit>> Agent::FollowHolder(RegionName holder) {
  const Epoch epoch = keeper_.lease().item()->epoch;
  const auto primary = act_doors_.databases.find(holder);
  if (primary == act_doors_.databases.end()) co_return Refused("'" + holder.text + "' is no data region");
  co_await world_.LookAtDatabase();
  DatabaseState here = *world_.database();
  if (!here.IsStandby()) co_return RetryLater("the database here is not a running standby");
  auto lineage = co_await SeeLineage(holder, std::move(here));
  if (!lineage.ok()) co_return lineage;
  Json slot = {{"epoch", epoch.number}, {"region", self_.text}};
  auto slots = co_await hands_->Do(holder, "slots", std::move(slot), kLook);
  if (!slots.ok()) co_return slots.error();
  Upstream upstream{primary->second, primary->first};
  auto pointed = co_await doors_.database->StartStandby(std::move(upstream), kShort);
  if (pointed_ == epoch) not_following_since_ = doors_.clock.Now();  // once more in a while, not all the time
  if (!pointed.ok()) co_return pointed;
  pointed_ = epoch;
  log_.Info("the standby here follows the primary, its lineage proven", {{"primary", holder.text}, {"epoch", epoch.number}});
  co_return Done();
}

/// A move that votes drive: its execution and the cool-down's latch are one transaction, so there is never a second one.
Task<Result<Unit>> Agent::BeginMove(Decision decision) {
  const std::string rule = "rule " + std::to_string(decision.rule);
  Execution execution = Draft(PlanKind::kSwitchover, decision.subject, self_, rule, decision.reason);
  execution.facts["by_votes"] = true;
  execution.facts["patience_ms"] = Millis(settings_.policy.degraded_patience);
  execution.facts["votes"] = ToJson(snapshot_.votes);
  execution.facts["decision"] = ToJson(decision);
  auto beginning = co_await journal_.Beginning(execution, false);
  if (!beginning.ok()) co_return beginning.error();
  const CoolDown latch{execution.began, rule, decision.reason, execution.source, self_, execution.id.text};
  // SAFETY: at most one such move until a person has cleared it, whoever else counts the same votes.
  beginning->compares.push_back({CoolDownKey(), Version{0}});
  beginning->puts.push_back({CoolDownKey(), ToJson(latch).dump()});
  auto begun = co_await doors_.store.Commit(*std::move(beginning), kLook);
  if (!begun.ok()) co_return begun.error();  // where it was applied all the same, its execution is found in the journal
  if (!begun->committed) co_return RetryLater("another execution or a cool-down began at the same moment");
  journal_.Began(execution, begun->version);
  cool_down_ = latch;
  log_.Warn("votes move the service", {{"execution", execution.id.text}, {"reason", execution.reason}});
  RunExecution(std::move(execution));
  co_return Done();
}

Task<Result<Unit>> Agent::StartPrimary() {
  const Epoch epoch = snapshot_.lease.item->epoch;
  co_await world_.LookAtDatabase();
  const DatabaseState& state = *world_.database();
  if (state.IsWritable()) co_return Done();
  if (OutOfBudget()) {
    // Once for an outage: a start that takes long is given up for an heir that is ready, never again and again for nobody.
    assessed_outage_ = world_.down_since();
    const bool heir_ready = co_await AnyHeirReady();
    // SAFETY: it may have come up while they were asked, and is serving: what is assessed as dead is ended.
    co_await world_.LookAtDatabase();
    if (state.IsWritable()) co_return Done();
    if (heir_ready) co_return co_await AssessDead();
  }
  // Somebody restarted it, and it came up as a standby: it is promoted where it stands, since whoever did it would do it again.
  const bool standby = !world_.postmaster_gone() && state.IsStandby();
  if (state.process_alive && !standby) {
    // Slow is not dead: a postmaster that runs and is no standby is starting up, or busy. It is left alone.
    if (!world_.postmaster_gone() && !OutOfBudget()) {
      co_return RetryLater("the postmaster runs and does not accept writes yet" +
                           (state.problem.empty() ? "" : " (" + state.problem + ")"));
    }
    // Backends outlived their postmaster.
    log_.Warn("what is left of the database is ended before it is started", {{"problem", state.problem}});
    auto killed = co_await doors_.database->KillAll(10s);
    if (!killed.ok()) co_return killed;
  }
  auto prepared = co_await keeper_.PrepareToWrite(epoch);
  if (!prepared.ok()) co_return prepared;
  log_.Info("the database is started as primary", {{"epoch", epoch.number}});
  const bool heirs = !keeper_.lease().item()->candidates.empty() && assessed_outage_ != world_.down_since();
  const Duration down = snapshot_.database_down.value_or(0s);
  const Duration patience =
      heirs && snapshot_.database_down ? std::max<Duration>(settings_.policy.restart_budget - down, kShort) : kStartTimeout;
  if (standby) {
    auto promoted = co_await doors_.database->Promote(patience);
    if (!promoted.ok()) co_return promoted.error();
  } else {
    auto started = co_await doors_.database->StartPrimary(patience);
    if (!started.ok()) co_return started;
  }
  auto schema = co_await doors_.database->EnsureSchema(10s);
  if (!schema.ok()) co_return schema;
  auto mark = co_await doors_.database->ReadPromotionMark(kShort);
  if (!mark.ok() || mark->epoch < epoch) {
    PromotionMark fresh{epoch, RandomUuid(), self_};
    auto written = co_await doors_.database->WritePromotionMark(std::move(fresh), kShort);
    if (!written.ok()) co_return written;
  }
  // At the founding nobody is a candidate yet, and every standby needs its slot to become one.
  std::vector<RegionName> others = keeper_.lease().item()->candidates;
  for (const auto& [region, address] : act_doors_.databases) {
    if (region != self_ && epoch == Epoch{1}) others.push_back(region);
  }
  // Nor is the one that an execution is making a standby of this region, which lives by its slot already.
  const auto& running = executor_.current() ? executor_.current() : execution_;
  if (running && running->target == self_) others.push_back(running->source);
  auto slots = co_await doors_.database->EnsureSlots(std::move(others), kShort);
  if (!slots.ok()) log_.Warn("replication slots could not be put right", {{"problem", slots.error().message}});
  (void)co_await PointHere(epoch);
  co_return Done();
}

/// One try to send clients here. Where it does not come through, the next look at the name shows it (rule 255).
Task<Result<Unit>> Agent::PointHere(Epoch epoch) {
  auto pointed = co_await doors_.traffic.Point(region_.database->address.host, epoch, kShort);
  world_.DoubtTraffic();
  if (!pointed.ok()) log_.Warn("the service's name was not pointed here", {{"problem", pointed.error().message}});
  co_return pointed;
}

/// The name was seen to lead elsewhere while this region serves: looked at again, pointed here, and looked at once more.
Task<Result<Unit>> Agent::RouteHere() {
  const Epoch epoch = keeper_.lease().item()->epoch;
  const auto settled = [this, epoch] {
    const auto seen = world_.TrafficSeen(region_.database->address.host);
    return seen && seen->leads_here && seen->epoch == epoch;
  };
  co_await world_.LookAtTraffic();
  if (settled()) co_return Done();
  // SAFETY: clients are sent only to a region that holds the lease at this moment; a later one is kept safe by the epoch.
  if (!keeper_.Holds(epoch))
    co_return RetryLater("the lease of epoch " + std::to_string(epoch.number) + " is not valid at this moment");
  auto pointed = co_await PointHere(epoch);
  if (!pointed.ok()) co_return pointed;
  co_await world_.LookAtTraffic();
  if (!settled()) co_return RetryLater("the service's name has not been seen to lead here yet");
  log_.Warn("the service's name was pointed here", {{"address", region_.database->address.host}, {"epoch", epoch.number}});
  co_return Done();
}

Task<bool> Agent::AnyHeirReady() {
  const std::vector<RegionName> candidates = keeper_.lease().item()->candidates;
  for (const RegionName& candidate : candidates) {
    Json question = Json::object();
    auto ready = co_await hands_->Do(candidate, "ready", std::move(question), 500ms);
    if (ready.ok()) co_return true;
  }
  co_return false;
}

/// Ends what is left of the dead database, fences it, and finds out where its WAL ends and who holds all of it.
Task<Result<Unit>> Agent::AssessDead() {
  auto fenced = co_await doors_.database->Fence();
  if (!fenced.ok()) co_return fenced;
  // SAFETY: dead means that no process of the data directory is left: a backend inside a procedure was seen to commit and
  // answer for seconds after its postmaster was killed.
  auto killed = co_await doors_.database->KillAll(5s);
  if (!killed.ok()) co_return killed;
  auto control = co_await doors_.database->ReadControl();
  if (!control.ok()) co_return control.error();
  Lsn from = control->redo;
  if (const auto newest = world_.ring().Newest(); newest && *newest > from) from = *newest;
  // SAFETY: the newer of what was last seen and what the files say: of a timeline that began since, the older would hide every
  // commit.
  Timeline timeline = control->timeline;
  if (world_.database() && world_.database()->timeline) timeline = std::max(timeline, *world_.database()->timeline);
  auto end = co_await doors_.database->EndOfWal(timeline, from, 5s);
  if (!end.ok()) co_return end.error();
  dead_end_ = *end;
  dead_history_ = {{"timeline", timeline}};
  auto fork = co_await doors_.database->ForkOf(timeline, kShort);
  if (fork.ok()) dead_history_["fork"] = fork->Text();
  auto sign = co_await doors_.database->SignOf(timeline, kShort);
  if (sign.ok()) dead_history_["sign"] = *sign;
  auto carried = co_await LossCarried();
  if (!carried.ok()) co_return carried.error();
  carried_loss_ = *carried;
  LossEstimate loss;
  loss.basis = "no candidate answered";
  RegionName best;
  Lsn most;
  const std::vector<RegionName> candidates = keeper_.lease().item()->candidates;
  for (const RegionName& candidate : candidates) {
    for (int look = 0; look < 6; ++look) {
      Json question = dead_history_;
      question.update({{"through", end->Text()}, {"system_id", control->system_id.text}});
      auto ready = co_await hands_->Do(candidate, "ready", std::move(question), 300ms);
      if (ready.ok()) {
        loss.kind = LossEstimate::Kind::kProvenZero;
        loss.basis = "'" + candidate.text + "' holds all WAL up to its end at " + end->Text();
        ready_heir_ = candidate;
        dead_loss_ = carried_loss_ ? Sum(loss, *carried_loss_) : loss;
        co_return Done();
      }
      loss.basis = ready.error().message;
      if (ready.error().retry != Retry::kRetry) break;
      co_await doors_.clock.Sleep(20ms);  // what the network still carries arrives in a moment
    }
    Json anything = dead_history_;
    anything["system_id"] = control->system_id.text;
    auto behind = co_await hands_->Do(candidate, "ready", std::move(anything), 300ms);
    if (!behind.ok()) continue;
    const auto held = Lsn::Parse(TextAt(*behind, "flushed"));
    if (!held || *held <= most) continue;
    most = *held;
    best = candidate;
    loss = world_.ring().LossAt(*held, world_.down_since().value_or(doors_.clock.Now()));
    if (loss.kind == LossEstimate::Kind::kBounded) {
      loss.bytes = {end->bytes > held->bytes ? end->bytes - held->bytes : 0};
      loss.basis = "'" + candidate.text + "' holds WAL up to " + held->Text() + " of " + end->Text();
    }
  }
  ready_heir_ = best;
  dead_loss_ = carried_loss_ ? Sum(loss, *carried_loss_) : loss;
  co_return Done();
}

/// What the takeover that brought the lease here stated as its loss, unless it is known that the database was opened here since:
/// whoever takes over next loses that as well. Empty: nothing is carried.
Task<Result<std::optional<LossEstimate>>> Agent::LossCarried() {
  const Epoch epoch = keeper_.lease().item()->epoch;
  auto all = co_await journal_.List(kShort);
  if (!all.ok()) co_return all.error();
  const Execution* newest = nullptr;
  for (const Execution& each : *all) {
    const bool here = each.kind == PlanKind::kFailover && each.target == self_ && each.epoch <= epoch;
    if (here && each.epoch > keeper_.lease().record().joined && (!newest || each.epoch > newest->epoch)) newest = &each;
  }
  if (!newest) co_return std::optional<LossEstimate>();
  const StepRecord* promote = newest->Find("promote");
  const bool opened = (promote && promote->state == StepState::kDone) || world_.ring().epoch() >= newest->epoch;
  if (opened) co_return std::optional<LossEstimate>();
  LossEstimate loss = LossFromJson(MemberAt(newest->facts, "loss_estimate"));
  if (loss.kind == LossEstimate::Kind::kProvenZero) co_return std::optional<LossEstimate>();
  loss.basis =
      "what the takeover of epoch " + std::to_string(newest->epoch.number) + ", which was not opened, stated: " + loss.basis;
  co_return std::optional(std::move(loss));
}

Task<Result<Unit>> Agent::ReleaseDead(RegionName heir) {
  const Epoch epoch = snapshot_.lease.item->epoch;
  auto assessed = co_await AssessDead();  // looked at again: nothing may have started meanwhile
  if (!assessed.ok()) co_return assessed;
  if (ready_heir_ != heir || !LossLimitObjection(dead_loss_, settings_.policy).empty())
    co_return RetryLater("'" + heir.text + "' cannot take over at this moment");
  Json token = dead_history_;
  token.update({{"reason", "database-dead"}, {"end", dead_end_->Text()}});
  // SAFETY: its WAL is not all that was acknowledged where this region took over and never opened (G4, G5).
  if (carried_loss_) token["loss"] = ToJson(*carried_loss_);
  Json parameters = {{"epoch", epoch.number}, {"heir", heir.text}, {"token", token.dump()}};
  auto released = co_await hands_->Do(self_, "release", std::move(parameters), 5s);
  if (!released.ok()) co_return released.error();
  log_.Warn("the database is dead: the lease was released", {{"heir", heir.text}, {"end", dead_end_->Text()}});
  co_return Done();
}

ExecutionId Agent::NewExecutionId() const {
  const std::string now = FormatWallTime(doors_.clock.Wall());  // 2026-11-23T05:18:44.123Z
  return ExecutionId("x-" + now.substr(0, 4) + now.substr(5, 2) + now.substr(8, 2) + "-" + now.substr(11, 2) + now.substr(14, 2) +
                     now.substr(17, 2) + now.substr(20, 3) + "-" + RandomHex(2));
}

Execution Agent::Draft(PlanKind kind, RegionName source, RegionName target, std::string requested_by, std::string reason) const {
  Execution execution;
  execution.id = NewExecutionId();
  execution.kind = kind;
  execution.source = std::move(source);
  execution.target = std::move(target);
  execution.epoch = keeper_.lease().item()->epoch;
  execution.owner = self_;
  execution.owner_agent = id_;
  execution.requested_by = std::move(requested_by);
  execution.reason = std::move(reason);
  execution.began = doors_.clock.Wall();
  execution.steps = FreshRecords(kind);
  return execution;
}

Task<Result<Execution>> Agent::BeginFailover(std::string requested_by, std::string reason, bool accept_loss,
                                             std::string attested_by) {
  // Where the epoch was given away before it was opened, it is still the primary before that which is left.
  RegionName source = keeper_.lease().item()->holder;
  if (IsYielded(*keeper_.lease().item())) {
    const Json token = *ParseJson(keeper_.lease().item()->released->token, "token");
    source = RegionName(TextAt(token, "source"));
  }
  Execution execution = Draft(PlanKind::kFailover, std::move(source), self_, std::move(requested_by), std::move(reason));
  execution.epoch = Next(execution.epoch);
  execution.accept_loss = accept_loss;
  const WallTime now = doors_.clock.Wall();
  execution.facts["suspected_ns"] = (suspected_ ? *suspected_ : now).ns;
  execution.facts["decided_ns"] = (decided_ ? *decided_ : now).ns;
  execution.facts["fenced_ns"] = now.ns;
  execution.facts["claimed_ns"] = now.ns;
  const CanaryView& canary = world_.canary();
  if (canary.last_good.ns > 0) execution.facts["last_good_write_ns"] = canary.last_good.ns;
  const LossEstimate loss = snapshot_.loss.value_or(LossEstimate{});
  execution.facts["loss_estimate"] = ToJson(loss);
  execution.facts["decision"] = ToJson(decision_);
  execution.facts["fence"] = !attested_by.empty()               ? "attested by " + attested_by
                             : keeper_.lease().item()->released ? std::string("released by the old primary's own word")
                                                                : std::string("lease ended, and the guard's deadline with it");
  if (!attested_by.empty()) execution.facts["attested_by"] = attested_by;
  AddExternalFences(execution);
  const bool planned = keeper_.lease().item()->released.has_value();
  const auto estimated = keeper_.lease().CounterSeen();
  auto beginning = co_await journal_.Beginning(execution, true);
  if (!beginning.ok()) co_return beginning.error();
  // SAFETY: what is lost was counted up to the last renewal that was known: a later one makes it more.
  if (keeper_.lease().CounterSeen() != estimated) co_return RetryLater("the old primary was seen to renew meanwhile");
  if (!planned) {
    Json takeover = {{"at_ns", now.ns}, {"epoch", execution.epoch.number}, {"region", self_.text}};
    beginning->puts.push_back({settings_.service + "/last_takeover", takeover.dump()});
  }
  const Version last_claim = keeper_.LastClaimVersion();
  auto claimed = co_await keeper_.Claim(*std::move(beginning), attested_by);
  if (!claimed.ok()) co_return claimed.error();
  if (keeper_.LastClaimVersion() == last_claim) {
    // Taken, but no answer said so: by this transaction, or by an earlier try that came through late with its own execution.
    auto ours = co_await journal_.Find(execution.id, kLook);
    if (!ours.ok()) co_return RetryLater("the lease was taken by an earlier try, whose execution is gone on with");
  }
  execution.facts["claimed_ns"] = doors_.clock.Wall().ns;
  journal_.Began(execution, keeper_.LastClaimVersion());
  executor_.Abandon();  // a switchover that this transaction has ended
  if (const auto ended = journal_.TakeSuperseded(); ended && on_ended) on_ended(*ended);
  log_.Warn("failover begins", {{"execution", execution.id.text}, {"reason", execution.reason}, {"epoch", execution.epoch.number}});
  RunExecution(execution);
  co_return execution;
}

/// The external fences of whom this takeover leaves behind. One that released the lease by its own word has stopped by itself, and
/// a person's attestation stands in for the fence: of that one alone, not of whom earlier takeovers were to stop.
void Agent::AddExternalFences(Execution& execution) const {
  const auto& item = keeper_.lease().item();
  const bool by_word = !TextAt(execution.facts, "attested_by").empty() || (item->released && !IsYielded(*item));
  std::vector<RegionName> lost;
  if (!by_word) lost.push_back(execution.source);
  // SAFETY: a takeover that was never opened left its own proof behind as well: whom it was to stop is stopped now. Also whom one
  // before it was to stop, however many there were: each carries what is not proven.
  const StepRecord* promote = execution_ && execution_->kind == PlanKind::kFailover ? execution_->Find("promote") : nullptr;
  if (promote != nullptr && promote->state == StepState::kPending) {
    if (!by_word && execution_->target == execution.source) lost.push_back(execution_->source);
    for (const auto& [region, fence] : MemberAt(execution_->facts, "external_fence").items()) {
      const std::string state = TextAt(fence, "state");
      if (state == "pending" || state == "not proven") lost.emplace_back(region);
    }
  }
  for (const RegionName& region : lost) {
    const RegionSettings* settings = settings_.Find(region);
    if (settings == nullptr || !settings->fence || region == self_) continue;
    AskForFence(execution, region, settings->fence->on_failure == FenceFailure::kWait);
  }
}

void Agent::RunExecution(Execution execution) {
  log_.SetContext("execution", execution.id.text);
  log_.SetContext("trace_id", TraceIdOf(settings_.service, execution.id).text);
  Spawn(io_, executor_.Run(std::move(execution)));
}

Task<Result<Unit>> Agent::AdoptExecution() {
  if (!execution_ || executor_.current()) co_return Done();
  auto adopted = co_await journal_.Adopt(execution_->id, self_, id_);
  if (!adopted.ok()) co_return adopted.error();
  log_.Warn("an execution is gone on with", {{"execution", adopted->id.text}, {"plan", ToString(adopted->kind)}});
  // SAFETY: a run that has begun since may have promised, and so have let the old primary write on: what was stated at the claim
  // may be less than what is lost.
  const StepRecord* promote = adopted->Find("promote");
  if (adopted->kind == PlanKind::kFailover && promote && promote->state == StepState::kPending && keeper_.lease().PromisedUntil()) {
    LossEstimate unknown;
    unknown.basis = "the agent that stated it was replaced before the promotion, and the old primary may have written since";
    adopted->facts["loss_estimate"] = ToJson(unknown);
  }
  // A region that adopts a switchover away from itself ends it: its owner and heir is gone.
  if (adopted->kind == PlanKind::kSwitchover && adopted->source == self_) adopted->state = ExecutionState::kAborting;
  RunExecution(*std::move(adopted));
  co_return Done();
}

void Agent::OnExecution(const Execution& execution) {
  execution_ = IsEnded(execution.state) ? std::nullopt : std::optional(execution);
  if (IsEnded(execution.state)) {
    world_.DoubtTraffic();  // it may have moved the name since the last look
    log_.SetContext("execution", "");
    log_.SetContext("trace_id", "");
    if (std::exchange(told_ended_, execution.id) == execution.id) return Kick();  // said before, and not written until now
    if (on_ended) on_ended(execution);
    Spawn(io_, RecordEvidence(execution));
  }
  Kick();
}

Task<> Agent::RecordEvidence(Execution execution) {
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
