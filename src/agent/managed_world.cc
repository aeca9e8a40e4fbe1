#include "agent/managed_world.h"

#include <algorithm>

#include "base/spawn.h"

namespace lifeboat {

namespace asio = boost::asio;

namespace {
/// A view that is older says nothing about where the writer is.
constexpr Duration kFreshView = 40s;
}  // namespace

ManagedWorld::ManagedWorld(asio::any_io_executor io, RegionName self, std::vector<Region> regions, Doors doors, ManagedTimes times,
                           std::string lag_file, Log log, std::function<void()> changed)
    : io_(io),
      look_kick_(io),
      self_(std::move(self)),
      regions_(std::move(regions)),
      doors_(std::move(doors)),
      times_(times),
      lag_file_(std::move(lag_file)),
      log_(std::move(log)),
      changed_(std::move(changed)),
      began_(doors_.clock.Now()) {
  for (const Region& region : regions_) {
    if (region.name != self_) peers_[region.name].kind = region.kind;
  }
}

void ManagedWorld::Start() {
  for (const auto& [region, peer] : peers_) Spawn(io_, PeerLoop(region));
  Spawn(io_, LookLoop());
  Spawn(io_, SourceLoop());
  Spawn(io_, LagLoop());
  if (doors_.traffic) Spawn(io_, TrafficLoop());
  if (doors_.alarms && !doors_.alarms_about.empty()) Spawn(io_, AlarmLoop());
  if (!doors_.compute.empty()) Spawn(io_, ComputeLoop());
  for (Objects* objects : doors_.objects) {
    if (IsData(self_) && objects->canary_every() > 0s) Spawn(io_, ObjectsLoop(objects));
  }
}

bool ManagedWorld::IsData(const RegionName& region) const {
  return std::any_of(regions_.begin(), regions_.end(),
                     [&](const Region& each) { return each.name == region && each.kind == RegionKind::kData; });
}

void ManagedWorld::SetWriter(const std::optional<WriterItem>& item) {
  if (!item || (item->writer == writer_ && item->epoch == epoch_)) return;
  if (item->writer != writer_) {
    writer_since_ = item->at;
    heard_.reset();
    LookSoon();
  }
  writer_ = item->writer;
  epoch_ = item->epoch;
  if (doors_.sql) doors_.sql->SetWriter(item);
}

void ManagedWorld::HearWriter(const RegionName& region) {
  if (region == writer_) heard_ = doors_.clock.Wall();
}

// ---- the other agents ----

Task<> ManagedWorld::PeerLoop(RegionName region) {
  while (true) {
    const Instant asked = doors_.clock.Now();
    Json question = {{"from", self_.text}};
    auto answer = co_await doors_.peers.Call(region, "agent.gossip", std::move(question), times_.peer, Lane::kWork);
    Peer& peer = peers_[region];
    const bool before = peer.answers;
    peer.answers = answer.ok();
    if (answer.ok()) {
      peer.asked = asked;
      peer.failed.reset();
      peer.problem.clear();
      peer.said = *std::move(answer);
      TakeGossip(region, peer.said, asked);
      HearWriter(region);
    } else {
      if (!peer.failed) peer.failed = doors_.clock.Now();
      peer.problem = answer.error().message;
    }
    if (before != peer.answers) changed_();
    co_await doors_.clock.Sleep(times_.gossip);
  }
}

void ManagedWorld::TakeGossip(const RegionName& region, const Json& said, Instant asked) {
  for (const auto& [name, lag] : MemberAt(said, "lags").items()) {
    if (MemberAt(lag, "lag_ns").is_number()) TakeLag(RegionName(name), Duration(SignedAt(lag, "lag_ns")), {SignedAt(lag, "at_ns")});
  }
  if (doors_.sql) doors_.sql->TakeGossip(region, MemberAt(said, "sql"), asked);
  // Also of others: whoever comes back after the source was lost learns what ran there.
  for (const auto& [name, ran] : MemberAt(said, "ran").items())
    TakeRan(RegionName(name), MemberAt(ran, "counts"), SignedAt(ran, "at_ns"));
}

// ---- the cloud ----

RegionName ManagedWorld::WhomToLookAt() const {
  if (IsData(self_)) return self_;
  // A witness looks at the writer's region, and at another one while that is silent.
  RegionName first;
  for (const Region& region : regions_) {
    if (region.kind != RegionKind::kData || region.name == spared_) continue;
    const auto sight = sights_.find(region.name);
    const bool silent = sight != sights_.end() && sight->second.failed.has_value();
    if (region.name == writer_ && !silent) return region.name;
    if (first.empty() && !silent) first = region.name;
  }
  return first.empty() ? writer_ : first;
}

Task<> ManagedWorld::Look(RegionName region) {
  const Instant asked = doors_.clock.Now();
  auto view = co_await doors_.database.Look(region, times_.call);
  if (const Duration ahead = doors_.database.CloudAhead(); ahead != ahead_) {
    ahead_ = ahead;
    for (auto& [name, lag] : lags_) lag.measured = InstantOf(lag.at);
  }
  Sight& sight = sights_[region];
  const bool silent = !view.ok() && (view.error().retry == Retry::kRetry || view.error().retry == Retry::kUnknownOutcome);
  if (view.ok()) {
    const bool news = !sight.view || sight.view->writer != view->writer || sight.failed;
    sight.view = *std::move(view);
    sight.seen = asked;
    sight.failed.reset();
    sight.blind = false;
    sight.problem.clear();
    HearWriter(region);
    if (news) changed_();
    co_return;
  }
  sight.problem = view.error().message;
  // SAFETY: limits hold for an account and a region, so all agents meet them at once: what was not weighed is neither silence nor
  // sight.
  if (view.error().not_weighed) {
    sight.failed.reset();
    co_return;
  }
  if (silent) {
    if (!sight.failed) sight.failed = doors_.clock.Now();
    // SAFETY: what was never heard cannot fall silent: a way that was forgotten when the network was made would be taken for a lost
    // region as soon as its agent is started anew.
    const auto peer = peers_.find(region);
    if (!sight.seen && peer != peers_.end() && peer->second.answers) sight.blind = true;
    co_return;
  }
  // It answered, and knows no such thing, or forbids to look: that is no silence.
  sight.failed.reset();
  sight.blind = false;
  sight.seen = asked;
  ManagedView none;
  none.asked = region;
  none.copies[region].role = view.error().retry == Retry::kNotFound ? ManagedRole::kAbsent : ManagedRole::kUnknown;
  none.copies[region].problem = view.error().message;
  sight.view = std::move(none);
}

Task<> ManagedWorld::LookNow() {
  const RegionName region = WhomToLookAt();
  if (!region.empty() && region != spared_) co_await Look(region);
}

Task<> ManagedWorld::LookLoop() {
  if (!lag_file_.empty()) co_await LoadLags();
  while (true) {
    if (!IsData(self_) && writer_.empty()) {
      // Nothing is noted yet: whoever answers says where the writer is.
      for (const Region& region : regions_) {
        const RegionName name = region.name;
        const auto found = sights_.find(name);
        if (region.kind == RegionKind::kData && (found == sights_.end() || !found->second.view)) co_await Look(name);
      }
    }
    co_await LookNow();
    co_await look_kick_.WaitFor(doors_.clock, times_.look);
  }
}

/// While the agent of the writer's region is silent, its API is asked too: only both together are a sign of loss.
Task<> ManagedWorld::SourceLoop() {
  RegionName watched;
  while (true) {
    const auto peer = peers_.find(writer_);
    const bool silent = peer != peers_.end() && !peer->second.answers && peer->second.failed;
    const bool wanted = silent && writer_ != spared_;
    const RegionName region = writer_;
    // What failed before its agent fell silent says nothing of now: nobody may have looked since.
    if (silent && watched != region) sights_[region].failed.reset();
    watched = silent ? region : RegionName();
    // Until it has answered once it is asked while all is well too: whether there is a way to it is known before it matters.
    const bool unheard = peer != peers_.end() && peer->second.answers && region != spared_ && !sights_[region].seen;
    if (wanted || unheard) co_await Look(region);
    const Duration pause = wanted ? times_.look_silent : unheard ? times_.look : times_.gossip;
    co_await doors_.clock.Sleep(pause);
  }
}

Task<> ManagedWorld::LagLoop() {
  while (true) {
    if (IsData(self_) && self_ != writer_ && !writer_.empty()) {
      auto lag = co_await doors_.database.Lag(self_, times_.call);
      if (lag.ok() && lag->time && lag->at) {
        const auto before = lags_.find(self_);
        const bool news = before == lags_.end() || before->second.at < *lag->at;
        TakeLag(self_, *lag->time, *lag->at);
        if (news) co_await KeepLags();
      }
    }
    const Duration pause = writer_.empty() ? times_.gossip : times_.lag;  // at the beginning: as soon as it is known
    co_await doors_.clock.Sleep(pause);
  }
}

void ManagedWorld::TakeLag(const RegionName& region, Duration time, WallTime at) {
  const auto known = lags_.find(region);
  if (known != lags_.end() && known->second.at >= at) return;
  lags_[region] = {time, at, InstantOf(at)};
}

/// When it was by this machine's clock; the cloud's may be another.
Instant ManagedWorld::InstantOf(WallTime cloud) const {
  const Duration age = std::max<Duration>(0ns, Duration(doors_.clock.Wall().ns + ahead_.count() - cloud.ns));
  return doors_.clock.Now() - age;
}

/// The newer look counts, group by group: one that failed is none.
void ManagedWorld::TakeRan(const RegionName& region, const Json& counts, std::int64_t at_ns) {
  Ran& known = ran_[region];
  if (!counts.is_object() || at_ns < known.at_ns) return;
  known.at_ns = at_ns;
  known.counts.update(counts);
}

std::optional<ManagedWorld::Lag> ManagedWorld::LagOf(const RegionName& region) const {
  const auto found = lags_.find(region);
  // SAFETY: what was measured before the present writer is of another one.
  if (found == lags_.end() || found->second.at < writer_since_) return std::nullopt;
  return found->second;
}

ManagedSqlWatch::Known ManagedWorld::LossOf(const RegionName& region, Instant now) const {
  const auto silent = SilentFor(now);
  ManagedSqlWatch::Known known{LossByLag(std::nullopt, 0ns, silent), 0ns, 0ns, ""};
  if (const auto lag = LagOf(region)) {
    const Duration age = AgeAt(lag->measured, now);
    known = {LossByLag(lag->time, age, silent), lag->time, age, "CloudWatch"};
  }
  auto by_sql = doors_.sql ? doors_.sql->LossOf(region, now, silent) : std::nullopt;
  // Each is a bound by itself: the lower one says more, which is SQL's while it is fresh.
  const bool lower = by_sql && (known.loss.kind != LossEstimate::Kind::kBounded || by_sql->loss.time < known.loss.time);
  return lower ? *std::move(by_sql) : known;
}

Task<> ManagedWorld::KeepLags() {
  if (lag_file_.empty()) co_return;
  Json all = Json::object();
  for (const auto& [region, lag] : lags_) all[region.text] = {{"lag_ns", lag.time.count()}, {"at_ns", lag.at.ns}};
  auto kept = co_await doors_.files.Write(lag_file_, all.dump());
  if (!kept.ok()) log_.Warn("the last lags could not be kept", {{"problem", kept.error().message}});
}

Task<> ManagedWorld::LoadLags() {
  auto text = co_await doors_.files.Read(lag_file_);
  if (!text.ok()) co_return;
  const auto json = ParseJson(*text, lag_file_);
  if (!json.ok()) co_return;
  for (const auto& [region, lag] : json->items()) {
    if (MemberAt(lag, "lag_ns").is_number())
      TakeLag(RegionName(region), Duration(SignedAt(lag, "lag_ns")), {SignedAt(lag, "at_ns")});
  }
}

// ---- the rest ----

Task<> ManagedWorld::TrafficLoop() {
  while (true) {
    auto record = co_await doors_.traffic->Read(times_.call);
    if (record.ok()) {
      traffic_ = *record;
      traffic_problem_.clear();
    } else {
      traffic_.reset();
      traffic_problem_ = record.error().message;
    }
    if (doors_.sql) doors_.sql->SetName(traffic_ ? traffic_->address : std::string());
    co_await doors_.clock.Sleep(times_.traffic);
  }
}

Task<> ManagedWorld::AlarmLoop() {
  std::vector<std::string> names;
  for (const auto& [name, about] : doors_.alarms_about) names.push_back(name);
  while (true) {
    auto states = co_await doors_.alarms->States(self_, names, times_.call);
    if (states.ok()) {
      alarm_states_ = *std::move(states);
      alarms_read_ = doors_.clock.Now();
    }
    co_await doors_.clock.Sleep(times_.alarms);
  }
}

/// What runs in the writer's region is told to the others while it can be: the source is not asked when it is lost.
Task<> ManagedWorld::ComputeLoop() {
  std::optional<Instant> looked;  // as the writer's region, and at once when it becomes that
  while (true) {
    if (self_ != writer_) looked.reset();
    if (self_ == writer_ && (!looked || AgeAt(*looked, doors_.clock.Now()) >= times_.compute)) {
      looked = doors_.clock.Now();
      Json ran = Json::object();
      for (Compute* compute : doors_.compute) {
        auto state = co_await compute->Look(self_, times_.call);
        // A region that goes under loses what runs before it falls silent: what it was told to run is what clients need.
        if (state.ok()) ran[compute->name()] = std::max(state->running.value_or(0), state->sizes.desired);
      }
      TakeRan(self_, ran, doors_.clock.Wall().ns);
    }
    co_await doors_.clock.Sleep(times_.gossip);
  }
}

/// The writer's region puts a small object now and then; whether it arrived is looked at by `check`.
Task<> ManagedWorld::ObjectsLoop(Objects* objects) {
  bool failed = false;
  while (true) {
    if (self_ == writer_) {
      auto put = co_await objects->PutCanary(self_, times_.call);
      if (!put.ok() && !failed)
        log_.Warn("a canary object could not be put", {{"objects", objects->name()}, {"problem", put.error().message}});
      failed = !put.ok();
    }
    co_await doors_.clock.Sleep(objects->canary_every());
  }
}

Json ManagedWorld::RanIn(const RegionName& region) const {
  const auto found = ran_.find(region);
  return found == ran_.end() ? Json::object() : found->second.counts;
}

// ---- what follows from it ----

std::optional<Duration> ManagedWorld::SilentFor(Instant now) const {
  const auto peer = peers_.find(writer_);
  const auto sight = sights_.find(writer_);
  if (peer == peers_.end() || peer->second.answers || !peer->second.failed) return std::nullopt;
  if (sight == sights_.end() || !sight->second.failed || sight->second.blind) return std::nullopt;
  return std::min(AgeAt(*peer->second.failed, now), AgeAt(*sight->second.failed, now));
}

std::string ManagedWorld::BlindTo() const {
  const auto sight = sights_.find(writer_);
  return sight != sights_.end() && sight->second.blind ? sight->second.problem : std::string();
}

Vote ManagedWorld::SilenceAt(Instant now) const {
  Vote vote;
  vote.about = writer_;
  vote.epoch = epoch_;
  if (writer_.empty()) return vote;
  if (writer_ == self_) {
    vote.opinion = Opinion::kOk;
    return vote;
  }
  const auto known = peers_.find(writer_);
  if (known == peers_.end()) {
    vote.why = "the store names '" + writer_.text + "' as the writer's region, which is not in this agent's configuration";
    return vote;
  }
  const Peer& peer = known->second;
  if (peer.answers) {
    vote.opinion = Opinion::kOk;
    return vote;
  }
  const auto silent = SilentFor(now);
  const auto sight = sights_.find(writer_);
  const std::string agent =
      "its agent has not answered" + (peer.failed ? " for " + FormatDuration(AgeAt(*peer.failed, now)) : std::string(" yet"));
  if (silent && *silent >= times_.silence) {
    vote.opinion = Opinion::kDegraded;
    vote.lasted = *silent - times_.silence;
    vote.why = agent + ", the API of its region for " + FormatDuration(AgeAt(*sight->second.failed, now));
  } else if (sight != sights_.end() && sight->second.seen && !sight->second.failed &&
             AgeAt(*sight->second.seen, now) < kFreshView) {
    vote.opinion = Opinion::kOk;
    vote.why = agent + ", but the API of its region answers";
  } else {
    const bool why = sight != sights_.end() && !sight->second.problem.empty();
    vote.why =
        agent + (!BlindTo().empty() ? ", and the API of its region has never been reached from here: " + sight->second.problem
                 : why              ? ", and the API of its region says nothing of it: " + sight->second.problem
                                    : std::string());
  }
  return vote;
}

Vote ManagedWorld::DegradedAt(Instant now) const {
  Vote vote;
  vote.about = writer_;
  vote.epoch = epoch_;
  if (writer_.empty()) return vote;
  for (const auto& [name, state] : alarm_states_) {
    const auto about = doors_.alarms_about.find(name);
    if (about == doors_.alarms_about.end() || about->second != writer_ || state.sign != AlarmSign::kAlarm) continue;
    if (!alarms_read_ || AgeAt(*alarms_read_, now) > times_.alarms * 3) continue;
    vote.opinion = Opinion::kDegraded;
    vote.why += (vote.why.empty() ? "" : "; ") + ("alarm '" + name + "'" + (state.reason.empty() ? "" : ": " + state.reason));
  }
  if (doors_.sql) {
    const Vote canary = doors_.sql->VoteAt(now);
    if (canary.about == writer_ && canary.opinion == Opinion::kDegraded) {
      vote.opinion = Opinion::kDegraded;
      vote.why += (vote.why.empty() ? "" : "; ") + canary.why;
    } else if (canary.about == writer_ && canary.opinion == Opinion::kOk && vote.opinion == Opinion::kUnknown) {
      vote.opinion = Opinion::kOk;
    }
  }
  const auto facts = FactsAt(now);
  const auto found = facts.find(writer_);
  if (found == facts.end() || !found->second.copy || !found->second.copy_age || *found->second.copy_age > kFreshView) return vote;
  const ManagedCopy& copy = *found->second.copy;
  if ((copy.role == ManagedRole::kWriter || copy.role == ManagedRole::kApart) && !copy.status.empty() && !copy.Serves()) {
    vote.opinion = Opinion::kDegraded;
    vote.why += (vote.why.empty() ? "" : "; ") + ("'" + copy.id + "' is '" + copy.status + "'");
  } else if (vote.opinion == Opinion::kUnknown && copy.Serves()) {
    vote.opinion = Opinion::kOk;
  }
  return vote;
}

RegionName ManagedWorld::SeenWriter(Instant now) const {
  const Sight* newest = nullptr;
  for (const auto& [region, sight] : sights_) {
    if (!sight.view || !sight.seen || AgeAt(*sight.seen, now) > kFreshView || sight.failed) continue;
    if (IsData(self_) && region != self_) continue;  // its own region's word
    if (newest == nullptr || TimeLeft(*sight.seen, *newest->seen) > 0ns) newest = &sight;
  }
  return newest == nullptr ? RegionName() : newest->view->writer;
}

RegionName ManagedWorld::MovingTo(Instant now) const {
  const auto sight = sights_.find(WhomToLookAt());
  if (sight == sights_.end() || !sight->second.view || !sight->second.seen || AgeAt(*sight->second.seen, now) > kFreshView)
    return {};
  return sight->second.view->moving_to;
}

std::map<RegionName, ManagedFacts> ManagedWorld::FactsAt(Instant now) const {
  std::map<RegionName, ManagedFacts> all;
  std::size_t order = 0;
  for (const Region& region : regions_) {
    ManagedFacts& facts = all[region.name];
    facts.kind = region.kind;
    facts.order = order++;
    if (region.name != writer_) facts.noted_writer = writer_;
    const auto peer = peers_.find(region.name);
    const auto take = [&facts](const ManagedCopy& copy, Duration age) {
      if (facts.copy_age && *facts.copy_age <= age) return;
      facts.copy = copy;
      facts.copy_age = age;
    };
    if (const auto sight = sights_.find(region.name); sight != sights_.end() && sight->second.view && sight->second.seen) {
      const auto copy = sight->second.view->copies.find(region.name);
      if (copy != sight->second.view->copies.end()) take(copy->second, AgeAt(*sight->second.seen, now));
      // Why it was not seen since: what it was then counts, until it is too old.
      if (facts.copy && !sight->second.problem.empty()) facts.copy->problem = sight->second.problem;
    } else if (sight != sights_.end() && !sight->second.problem.empty()) {
      facts.copy.emplace();
      facts.copy->problem = sight->second.problem;
    }
    if (peer == peers_.end()) {
      facts.agent_age = 0ns;
      facts.seen_writer = SeenWriter(now);
    } else {
      facts.agent_answers = peer->second.answers;
      if (peer->second.asked) facts.agent_age = AgeAt(*peer->second.asked, now);
      const Json& copy = MemberAt(peer->second.said, "copy");
      const Json& age = MemberAt(peer->second.said, "copy_age_ms");
      if (copy.is_object() && age.is_number() && peer->second.asked)
        take(ManagedCopyFromJson(copy), std::chrono::milliseconds(age.get<std::int64_t>()) + AgeAt(*peer->second.asked, now));
      if (peer->second.answers) facts.seen_writer = RegionName(TextAt(peer->second.said, "seen_writer"));
    }
    if (region.kind == RegionKind::kData && region.name != writer_) {
      facts.loss = LossOf(region.name, now).loss;
    }
  }
  return all;
}

Json ManagedWorld::Gossip(Instant now) const {
  Json lags = Json::object();
  for (const auto& [region, lag] : lags_) lags[region.text] = {{"lag_ns", lag.time.count()}, {"at_ns", lag.at.ns}};
  Json ran = Json::object();
  for (const auto& [region, known] : ran_) ran[region.text] = {{"counts", known.counts}, {"at_ns", known.at_ns}};
  Json answer = {{"managed", true},
                 {"lags", lags},
                 {"seen_writer", SeenWriter(now).text},
                 {"silence", ToJson(SilenceAt(now))},
                 {"vote", ToJson(DegradedAt(now))},
                 {"sql", doors_.sql ? doors_.sql->Gossip(now) : Json(nullptr)},
                 {"ran", ran}};
  const auto sight = sights_.find(self_);
  if (sight != sights_.end() && sight->second.view && sight->second.seen) {
    const auto copy = sight->second.view->copies.find(self_);
    if (copy != sight->second.view->copies.end()) answer["copy"] = ToJson(copy->second);
    answer["copy_age_ms"] = Millis(AgeAt(*sight->second.seen, now));
  }
  return answer;
}

}  // namespace lifeboat
