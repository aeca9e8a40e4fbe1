// What the agent answers to other agents and to the command line.

#include "agent/agent.h"

#include <set>

#include "agent/backup_watch.h"
#include "agent/fence_finding.h"
#include "agent/hands.h"
#include "agent/store_probe.h"

namespace lifeboat {

namespace {
FenceLevel FenceOf(const GuardState& guard, const Policy& policy) {
  if (policy.automation != Automation::kAct || !guard.reachable || guard.held || guard.observes) return FenceLevel::kNone;
  return guard.gate ? FenceLevel::kGateAndGuard : FenceLevel::kGuard;
}

Json GuardJson(const GuardState& guard, const Policy& policy) {
  return {{"answers", guard.reachable},
          {"observes", guard.observes},
          {"held", guard.held},
          {"worst_kill_ms", Seconds(guard.worst_kill) * 1000},
          {"kills", guard.kills},
          {"gate", guard.reachable ? Json(guard.gate_state) : Json(nullptr)},
          {"fence", ToString(FenceOf(guard, policy))}};
}

Json LagJson(const std::optional<PositionRing::Lag>& lag) {
  if (!lag) return {{"rpo_ms", nullptr}, {"backlog_bytes", nullptr}};
  return {{"rpo_ms", Millis(lag->time)}, {"backlog_bytes", lag->backlog.bytes}};
}
constexpr Duration kRingStale = 2s;
constexpr Duration kStatusLook = 300ms;

Error NoDataRegion(const Settings& settings, const RegionName& asked) {
  std::string known;
  for (const RegionSettings& region : settings.regions) {
    if (region.kind == RegionKind::kData) known += (known.empty() ? "'" : ", '") + region.name.text + "'";
  }
  return Refused("'" + asked.text + "' is no data region of '" + settings.service + "'", "its data regions are " + known);
}
}  // namespace

Task<Result<Json>> Agent::Handle(std::string method, Json parameters) {
  if (method == "lease.promise") co_return co_await keeper_.OnQuestion(std::move(parameters));
  if (method == "agent.gossip") co_return co_await Gossip();
  if (method == "status") {
    // An execution of another region may have ended since the last look at the journal.
    if (execution_ && !executor_.current()) {
      auto current = co_await journal_.Current(kStatusLook);
      if (current.ok() && !executor_.current()) execution_ = *current;
      snapshot_ = Observe();
    }
    co_return Status();
  }
  if (method == "explain") {
    Json answer = ToJson(decision_);
    answer["region"] = self_.text;
    answer["since"] = FormatWallTime(decided_at_);
    answer["last_problem"] = last_problem_;
    answer["facts"] = Status();
    co_return answer;
  }
  if (method == "check") co_return co_await Check();
  if (method == "switchover") co_return co_await OrderSwitchover(std::move(parameters));
  if (method == "failover") co_return co_await OrderFailover(std::move(parameters));
  if (method == "rejoin") co_return co_await OrderRejoin(std::move(parameters));
  if (method == "fence.look") co_return co_await LookAtFences();
  if (method == "cool-down.clear") co_return co_await ClearCoolDown(std::move(parameters));
  if (method == "candidates.remove") co_return co_await RemoveCandidate(std::move(parameters));
  if (method == "store.reseed" || method == "lease.reseed" || method == "lease.record")
    co_return co_await ReseedCalls(std::move(method), std::move(parameters));
  if (method.starts_with("executions.")) co_return co_await Executions(method.substr(11), std::move(parameters));
  if (method.starts_with("evidence.")) co_return co_await EvidenceCalls(method.substr(9), std::move(parameters));
  if (method.starts_with("hand.")) {
    const Duration timeout = std::chrono::milliseconds(std::max<std::uint64_t>(100, NumberAt(parameters, "timeout_ms", 2000)));
    const std::string verb = method.substr(5);
    if (verb == "yield") co_return co_await Yield(std::move(parameters));
    if (verb == "stop") {
      // SAFETY: from here on the rules know that the stop is meant, and do not start the database again behind its back.
      auto meant = co_await KnowExecution();
      if (!meant.ok()) co_return meant.error();
    }
    // SAFETY: a copy that cannot follow the holder is no heir, whatever its position: it holds another history.
    if (verb == "ready" && !snapshot_.ahead.empty()) co_return Refused(snapshot_.ahead, "lifeboat rejoin " + self_.text);
    auto answer = co_await hand_.Do(verb, std::move(parameters), timeout);
    // What was just said about this copy must not be overtaken by an older look when the lease is released to it.
    if (verb == "ready" && answer.ok()) co_await world_.LookAtDatabase();
    if (verb == "cut" && answer.ok()) pointed_ = Epoch{};
    co_return answer;
  }
  co_return NotFound("the agent knows no method '" + method + "'");
}

/// Reads which execution runs, and refuses unless it moves the service away from here.
Task<Result<Unit>> Agent::KnowExecution() {
  auto current = co_await journal_.Current(kRingStale);
  if (!current.ok()) co_return current.error();
  execution_ = *current;
  journal_read_ = true;
  if (!execution_ || execution_->source != self_ || execution_->kind != PlanKind::kSwitchover) {
    co_return Refused("no switchover away from '" + self_.text + "' is on record", "begin one: lifeboat switchover --to …");
  }
  co_return Done();
}

/// The ungraceful half of a move that votes drove (act/plans.cc): this region's own word, under the loss limit. Done already: says
/// so.
Task<Result<Json>> Agent::Yield(Json parameters) {
  auto meant = co_await KnowExecution();
  if (!meant.ok()) co_return meant.error();
  const Execution execution = *execution_;
  const auto item = keeper_.lease().item();
  if (!FlagAt(execution.facts, "by_votes") || execution.id.text != TextAt(parameters, "execution"))
    co_return Refused("execution '" + execution.id.text + "' is no move that votes drove",
                      "lifeboat executions show " + execution.id.text);
  if (item && item->holder == self_ && item->released) {
    const auto token = ParseJson(item->released->token, "token");
    co_return Json{{"heir", item->released->heir.text}, {"end", token.ok() ? TextAt(*token, "end") : std::string()}};
  }
  if (acting_) co_return RetryLater("the agent is carrying out '" + decision_.sentence + "'");
  acting_ = true;
  auto yielded = co_await YieldNow(execution);
  acting_ = false;
  Kick();
  co_return yielded;
}

Task<Result<Json>> Agent::YieldNow(Execution execution) {
  const auto item = keeper_.lease().item();
  if (!item || item->holder != self_ || execution.epoch != item->epoch)
    co_return Refused("'" + self_.text + "' does not hold epoch " + std::to_string(execution.epoch.number));
  // Judged before anything is ended, where it serves still, by what would be lost as it stands.
  if (world_.database() && world_.database()->IsWritable()) {
    LossEstimate loss;
    loss.basis = "no candidate says that it can take over";
    const std::vector<RegionName> candidates = item->candidates;
    Lsn most;
    for (const RegionName& candidate : candidates) {
      Json anything = {{"timeline", world_.database()->timeline.value_or(0)}};
      auto ready = co_await hands_->Do(candidate, "ready", std::move(anything), 500ms);
      const auto held = ready.ok() ? Lsn::Parse(TextAt(*ready, "flushed")) : std::nullopt;
      if (!held || *held <= most) continue;
      most = *held;
      loss = world_.ring().LossAt(most, doors_.clock.Now());
    }
    const std::string objection = LossLimitObjection(loss, settings_.policy);
    if (!objection.empty()) co_return Refused(objection, "lifeboat switchover --to " + execution.target.text + " when it can work");
  }
  // SAFETY: the release is this region's own, after its database was seen dead, to the end of its WAL: never a second writer.
  auto assessed = co_await AssessDead();
  if (!assessed.ok()) co_return RetryLater(assessed.error().message);
  const RegionName heir = ready_heir_;
  const std::string objection =
      heir.empty() ? "no candidate says that it can take over" : LossLimitObjection(dead_loss_, settings_.policy);
  if (!objection.empty()) co_return Refused(objection, "the database here is started again");
  const std::string end = dead_end_->Text();
  Json token = dead_history_;
  token.update({{"reason", "degraded"}, {"end", end}, {"execution", execution.id.text}});
  if (carried_loss_) token["loss"] = ToJson(*carried_loss_);
  Json release = {{"epoch", item->epoch.number}, {"heir", heir.text}, {"token", token.dump()}};
  auto released = co_await hands_->Do(self_, "release", std::move(release), 5s);
  if (!released.ok()) co_return released.error();
  log_.Warn("a move that votes drove goes on ungracefully: the lease was released", {{"heir", heir.text}, {"end", end}});
  co_return Json{{"heir", heir.text}, {"end", end}};
}

Task<Result<Json>> Agent::ClearCoolDown(Json parameters) {
  const std::string reason = TextAt(parameters, "reason");
  if (reason.empty())
    co_return Refused("a cool-down is cleared with a reason", "lifeboat cool-down clear --reason \"what was found\"");
  const std::string key = CoolDownKey();
  auto reading = co_await doors_.store.Read(key, kRingStale);
  if (!reading.ok()) co_return reading.error();
  if (reading->records.empty()) co_return Refused("no cool-down is latched", "lifeboat status");
  const auto latched = ParseJson(reading->records.front().value, key);
  Transaction transaction;
  transaction.compares.push_back({key, reading->records.front().version});
  transaction.deletes.push_back(key);
  auto done = co_await doors_.store.Commit(std::move(transaction), kRingStale);
  if (!done.ok()) co_return done.error();
  if (!done->committed) co_return RetryLater("it changed at the same moment", "look at 'lifeboat status'");
  cool_down_.reset();
  const Json cleared = {
      {"cool_down", latched.ok() ? *latched : Json(nullptr)}, {"by", TextAt(parameters, "by", "unknown")}, {"reason", reason}};
  log_.Warn("a cool-down was cleared", cleared);
  const ExecutionId execution(latched.ok() ? TextAt(*latched, "execution") : std::string());
  auto row = co_await doors_.evidence.Append("cool-down cleared", execution, cleared, doors_.clock.Wall());
  if (!row.ok()) co_return Fail("it is cleared, but that could not be recorded: " + row.error().message);
  auto head = co_await doors_.evidence.Head();
  if (head.ok()) evidence_head_ = *head;
  Kick();
  co_return cleared;
}

Task<Result<Json>> Agent::Gossip() {
  Json answer = {{"region", self_.text},
                 {"agent", id_.text},
                 {"epoch", keeper_.lease().record().highest.number},
                 {"detached", keeper_.Detached() || !snapshot_.ahead.empty()},
                 {"vote", ToJson(judge_.VoteAt(doors_.clock.Now()))},
                 {"heartbeat_seen", world_.heartbeat_seen()},
                 {"evidence", evidence_head_},
                 {"lease", keeper_.lease().IsHolderRun() ? LeasePaths() : Json(nullptr)},
                 {"rule", decision_.rule},
                 {"decision", decision_.sentence},
                 {"reason", decision_.reason},
                 {"withheld", decision_.withheld},
                 {"unblock", decision_.unblock},
                 {"last_problem", last_problem_},
                 {"guard", GuardJson(world_.guard(), settings_.policy)}};
  if (const auto verdict = decision_.verdicts.find(self_); verdict != decision_.verdicts.end())
    answer["verdict"] = ToString(verdict->second);
  if (world_.database()) answer["database"] = ToJson(*world_.database());
  if (describe_backups) answer["backups"] = describe_backups();
  const CanaryView& canary = world_.canary();
  answer["canary"] = {{"ok", canary.ok ? Json(*canary.ok) : Json(nullptr)}, {"problem", canary.problem}};
  // The position is asked now, not repeated from the last look: its age is counted from before this question.
  const auto& item = keeper_.lease().item();
  if (item && keeper_.lease().HoldsAt(doors_.clock.Now()) && world_.database() && world_.database()->IsWritable()) {
    auto position = co_await doors_.database->FlushedPosition(300ms);
    if (position.ok()) {
      answer["position"] = position->Text();
      answer["position_epoch"] = item->epoch.number;
    }
  } else if (world_.database() && world_.database()->IsStandby() && world_.database()->flushed) {
    answer.update(LagJson(world_.ring().LagOf(*world_.database()->flushed, doors_.clock.Now(), kRingStale)));
  }
  co_return answer;
}

Json Agent::RegionStatus(const RegionSettings& region) const {
  const Snapshot& s = snapshot_;
  Json json = {{"name", region.name.text},
               {"kind", ToString(region.kind)},
               {"agent", region.agent.Text()},
               {"rpo_ms", nullptr},
               {"backlog_bytes", nullptr}};
  const auto verdict = decision_.verdicts.find(region.name);
  json["verdict"] = ToString(verdict == decision_.verdicts.end() ? Verdict::kUnknown : verdict->second);
  const bool holder = s.lease.item && s.lease.item->holder == region.name && !s.lease.item->released;
  const auto peer = s.peers.find(region.name);
  json["vote"] = ToJson(region.name == self_ ? s.vote : peer == s.peers.end() ? Vote() : peer->second.vote);
  std::optional<DatabaseState> database;
  bool detached = false;
  bool answers = true;
  std::string last_problem = last_problem_;
  Json guard = nullptr;
  if (region.name == self_) {
    database = s.database;
    detached = s.detached || !s.ahead.empty();
    json["agent_id"] = id_.text;
    json["agent_age_ms"] = 0;
    if (doors_.guard) guard = GuardJson(world_.guard(), settings_.policy);
    if (database && database->flushed && !holder) json.update(LagJson(world_.ring().LagOf(*database->flushed, s.now, kRingStale)));
    json["decision"] = {{"rule", decision_.rule},
                        {"sentence", decision_.sentence},
                        {"reason", decision_.reason},
                        {"withheld", decision_.withheld},
                        {"unblock", decision_.unblock}};
  } else {
    const PeerView& view = world_.peers().at(region.name);
    const PeerFacts facts = world_.FactsOf(region.name, s.now);
    answers = facts.answers;
    json["agent_id"] = facts.agent.text;
    json["agent_age_ms"] = facts.age ? Json(Millis(*facts.age)) : Json(nullptr);
    // What an agent said before it fell silent says nothing about now.
    if (answers) {
      database = facts.database;
      detached = facts.detached;
      last_problem = TextAt(view.said, "last_problem");
      guard = MemberAt(view.said, "guard");
      json["rpo_ms"] = MemberAt(view.said, "rpo_ms");
      json["backlog_bytes"] = MemberAt(view.said, "backlog_bytes");
      json["decision"] = {{"rule", NumberAt(view.said, "rule")},
                          {"sentence", TextAt(view.said, "decision")},
                          {"reason", TextAt(view.said, "reason")},
                          {"withheld", FlagAt(view.said, "withheld")},
                          {"unblock", TextAt(view.said, "unblock")}};
    } else {
      json["problem"] = view.problem;
    }
  }
  json["agent_reachable"] = answers;
  json["database"] = database ? ToJson(*database) : Json(nullptr);
  if (region.database) json["address"] = region.database->address.Text();
  json["guard"] = guard;
  detached = detached && !holder;  // a holder that was fenced opens by itself
  json["detached"] = detached;
  json["role"] = region.kind == RegionKind::kWitness              ? "witness"
                 : holder                                         ? "primary"
                 : database && database->IsStandby() && !detached ? "standby"
                                                                  : "none";
  std::string why;
  if (region.kind == RegionKind::kData && !holder) {
    if (!answers)
      why = "its agent does not answer";
    else if (!s.lease.item)
      why = "the store has not been read";
    else if (detached)
      why = "it was primary and must be rejoined: lifeboat rejoin " + region.name.text;
    else if (!s.lease.item->IsCandidate(region.name))
      why = "it is not a candidate yet";
    else if (!database || !database->IsStandby())
      why = "its database is not a running standby" + (last_problem.empty() ? "" : ": " + last_problem);
    else if (guard.is_object() && !FlagAt(guard, "answers"))
      why = "its guard does not answer";
  }
  json["why_not_promotable"] = why;
  return json;
}

/// Which path carries the lease, and for how long each alone would. Only the holder knows; the others pass on what it said last.
Json Agent::LeasePaths() const {
  Json paths = {{"path", "unknown"}, {"store_left_ms", nullptr}, {"promises_left_ms", nullptr}, {"refusals", Json::object()}};
  const Lease& held = keeper_.lease();
  if (!held.IsHolderRun()) {
    if (!held.item()) return paths;
    const auto holder = world_.peers().find(held.item()->holder);
    const bool said = holder != world_.peers().end() && holder->second.answers;
    const Json& words = said ? MemberAt(holder->second.said, "lease") : paths;
    return words.is_object() ? words : paths;
  }
  const Instant now = doors_.clock.Now();
  const auto left = [&](const std::optional<Instant>& until) { return until ? TimeLeft(*until, now) : Duration(-1); };
  const Duration by_store = left(held.StoreDeadline());
  const Duration by_promises = left(held.PromiseDeadline());
  if (by_store > 0s) paths["store_left_ms"] = Millis(by_store);
  if (by_promises > 0s) paths["promises_left_ms"] = Millis(by_promises);
  paths["path"] = by_store > 0s && by_promises > 0s ? "store and promises"
                  : by_store > 0s                   ? "store"
                  : by_promises > 0s                ? "promises"
                                                    : "none";
  for (const auto& [region, why] : keeper_.Refusals()) {
    if (!why.empty()) paths["refusals"][region.text] = why;
  }
  return paths;
}

Json Agent::Status() const {
  const Snapshot& s = snapshot_;
  Json regions = Json::array();
  for (const RegionSettings& region : settings_.regions) regions.push_back(RegionStatus(region));
  Json lease = {{"store_reachable", s.lease.store_answers},
                {"store_problem", s.lease.store_problem},
                {"incarnation", keeper_.lease().incarnation().number},
                {"epoch", nullptr},
                {"holder", nullptr},
                {"left_ms", s.lease.held_by_this_run ? Json(Millis(s.lease.left)) : Json(nullptr)},
                {"valid_here", s.lease.valid},
                {"takeover_bar", s.lease.takeover_bar},
                {"promised_ms", s.lease.promised_left ? Json(Millis(*s.lease.promised_left)) : Json(nullptr)}};
  lease.update(LeasePaths());
  if (s.lease.item) {
    lease.update(ToJson(*s.lease.item));
    lease["counter_age_ms"] = s.lease.counter_age ? Json(Millis(*s.lease.counter_age)) : Json(nullptr);
  }
  Json traffic = {{"name", settings_.dns.name}, {"problem", world_.traffic_problem()}};
  if (const auto& record = world_.traffic()) {
    traffic["address"] = record->address;
    traffic["epoch"] = record->epoch ? Json(record->epoch->number) : Json(nullptr);
    traffic["ttl_s"] = record->ttl.count();
    traffic["region"] = "";
    for (const auto& [region, address] : act_doors_.databases) {
      if (address.host == record->address) traffic["region"] = region.text;
    }
  }
  const CanaryView& canary = world_.canary();
  Json answer = {
      {"service", settings_.service},
      {"region", self_.text},
      {"agent", id_.text},
      {"time", FormatWallTime(s.wall)},
      {"lease", lease},
      {"regions", regions},
      {"traffic", traffic},
      {"canary",
       {{"ok", canary.ok ? Json(*canary.ok) : Json(nullptr)},
        {"address", canary.address},
        {"last_good_ns", canary.last_good.ns},
        {"failures", canary.failures},
        {"took_ms", Millis(canary.took)},
        {"problem", canary.problem}}},
      {"decision", ToJson(decision_)},
      {"loss", s.loss ? ToJson(*s.loss) : Json(nullptr)},
      {"votes", ToJson(s.votes)},
      {"cool_down", s.cool_down ? ToJson(*s.cool_down) : Json(nullptr)},
      {"execution", s.execution ? ToJson(*s.execution) : Json(nullptr)},
      {"objectives", {{"rto_ms", Millis(settings_.objectives.rto)}, {"rpo_ms", Millis(settings_.objectives.rpo)}}},
      {"policy",
       {{"automation", ToString(settings_.policy.automation)}, {"database_failure", ToString(settings_.policy.database_failure)}}}};
  // One word and one sentence for the whole service.
  std::string word = "unknown";
  std::string sentence = "the store has not been read yet";
  if (s.lease.item) {
    const std::string holder = s.lease.item->holder.text;
    const auto verdict = decision_.verdicts.find(s.lease.item->holder);
    const Verdict of_holder = verdict == decision_.verdicts.end() ? Verdict::kUnknown : verdict->second;
    bool standby_ready = false;
    for (const Json& region : regions) {
      standby_ready = standby_ready || (TextAt(region, "role") == "standby" && TextAt(region, "why_not_promotable").empty() &&
                                        TextAt(region, "verdict") == "healthy");
    }
    if (s.execution) {
      word = "moving";
      sentence = std::string(ToString(s.execution->kind)) + " '" + s.execution->id.text + "' is " + ToString(s.execution->state);
      if (!s.execution->waiting_for.empty()) sentence += ": " + s.execution->waiting_for;
      const std::string owner = WaitsForOwner(s);
      if (!owner.empty()) sentence += "; " + owner;
    } else if (of_holder == Verdict::kHealthy) {
      // A takeover is a transaction in the store.
      const bool could = standby_ready && s.lease.store_answers;
      word = could ? "healthy" : "exposed";
      sentence = holder + " serves as primary under epoch " + std::to_string(s.lease.item->epoch.number) +
                 (could           ? ", and a standby could take over"
                  : standby_ready ? ", but no standby could take over: the store does not answer"
                                  : ", but no standby could take over at this moment");
    } else {
      word = ToString(of_holder);
      sentence = "the primary " + holder + " is " + ToString(of_holder) + ": " + decision_.reason;
    }
  }
  answer["verdict"] = word;
  answer["sentence"] = sentence;
  return answer;
}

namespace {

constexpr std::uint64_t kLargeStore = std::uint64_t{1} << 30U;  // half of etcd's own default quota

/// What the members of the store's cluster say about themselves, as findings of Check.
void AddStoreMembers(const Json& members, Json& findings) {
  const auto add = [&findings](const char* level, const std::string& what, const std::string& hint) {
    findings.push_back({{"level", level}, {"what", what}, {"hint", hint}});
  };
  std::size_t answer = 0;
  std::string silent;
  std::set<std::string> clusters;
  for (const Json& member : members) {
    const std::string endpoint = "'" + TextAt(member, "endpoint") + "'";
    if (!FlagAt(member, "answers")) {
      silent += (silent.empty() ? "" : "; ") + TextAt(member, "problem");
      continue;
    }
    ++answer;
    clusters.insert(TextAt(member, "cluster_id"));
    if (!FlagAt(member, "has_leader"))
      add("fault", "etcd at " + endpoint + " sees no leader", "it is cut off from the other members");
    for (const Json& alarm : MemberAt(member, "alarms")) {
      if (alarm.is_string()) add("fault", "etcd at " + endpoint + ": " + alarm.get<std::string>(), "etcdctl alarm list");
    }
    if (NumberAt(member, "db_bytes") > kLargeStore) {
      add("fault", "etcd at " + endpoint + " holds " + FormatBytes(ByteCount{NumberAt(member, "db_bytes")}),
          "run its members with '--auto-compaction-retention=1h', and defragment them: a full quota stops all renewals");
    }
  }
  const std::string count = std::to_string(answer) + " of " + std::to_string(members.size()) + " members of etcd answer";
  if (answer == members.size())
    add("ok", count, "");
  else
    add("fault", count + ": " + silent,
        answer * 2 > members.size() ? "one more loss may be too many: bring it back" : "start them");
  if (members.size() < 3) {
    add("fault",
        "'store.endpoints' names " + std::to_string(members.size()) + " members: the loss of a region may take the majority",
        "run three, one a region");
  }
  if (clusters.size() > 1) {
    add("fault", "'store.endpoints' names members of " + std::to_string(clusters.size()) + " clusters", "all must be of one");
  }
}

/// What the AWS regions of the store's table say about it, as findings of Check.
void AddStoreRegions(const Json& regions, Json& findings) {
  const auto add = [&findings](const char* level, const std::string& what, const std::string& hint) {
    findings.push_back({{"level", level}, {"what", what}, {"hint", hint}});
  };
  std::size_t answer = 0;
  for (const Json& region : regions) {
    const std::string named = "the store's table in '" + TextAt(region, "region") + "'";
    if (!FlagAt(region, "answers")) {
      add("fault", named + " does not answer: " + TextAt(region, "problem"),
          "the store goes on through the other regions, where there are");
      continue;
    }
    ++answer;
    const std::string status = TextAt(region, "status");
    if (status != "ACTIVE" && status != "UPDATING") add("fault", named + " is '" + status + "'", "");
    const std::size_t replicas = MemberAt(region, "replicas").size();
    if (TextAt(region, "consistency") != "STRONG" && replicas > 0) {
      add("fault", named + " has " + std::to_string(replicas) + " replicas that agree only in the end",
          "a lost region takes the lease's newest state with it: make a global table with multi-region strong consistency");
    }
  }
  if (regions.size() < 2) {
    add("fault", "'store.aws_regions' names one region: its loss takes the store with it",
        "make a global table with multi-region strong consistency, and name the regions of its replicas");
  }
  if (answer == regions.size()) {
    add("ok",
        "the store's table answers in " + (answer == 1 ? "its one AWS region" : "all " + std::to_string(answer) + " AWS regions"),
        "");
  }
}

}  // namespace

/// Readiness: what would stand in the way of a failover now, each with a number where there is one.
Task<Result<Json>> Agent::Check() {
  Json findings = Json::array();
  const auto add = [&findings](const char* level, const std::string& what, const std::string& hint) {
    findings.push_back({{"level", level}, {"what", what}, {"hint", hint}});
  };
  const Snapshot& s = snapshot_;
  const bool embedded = settings_.store.kind == StoreKind::kEmbedded;
  const std::string store =
      embedded ? "the embedded store in '" + settings_.store.host.text + "'"
               : std::string(settings_.store.kind == StoreKind::kEtcd ? "the store in etcd" : "the store in DynamoDB");
  if (!s.lease.store_answers)
    add("fault", store + " does not answer: " + s.lease.store_problem,
        embedded                                   ? "bring the agent of '" + settings_.store.host.text + "' back"
        : settings_.store.kind == StoreKind::kEtcd ? std::string("bring a majority of etcd's members back")
                                                   : std::string("look at DynamoDB in the regions of 'store.aws_regions'"));
  else
    add("ok", store + " answers (incarnation " + std::to_string(keeper_.lease().incarnation().number) + ")", "");
  if (s.lease.store_answers) co_await CheckStoreWrites(findings);
  if (describe_store) {
    const Json members = co_await describe_store();
    if (settings_.store.kind == StoreKind::kEtcd)
      AddStoreMembers(members, findings);
    else
      AddStoreRegions(members, findings);
  }
  if (s.policy.automation != Automation::kAct)
    add("fault", "policy.automation is 'observe': nothing is fenced and nothing fails over by itself",
        "set it to 'act' when the first weeks have shown what it would have done");
  const Json fences = co_await FencesFromEverywhere();
  const Json status = Status();
  const Json& paths = MemberAt(status, "lease");
  const std::string path = TextAt(paths, "path");
  if (path == "store and promises") add("ok", "both paths carry the lease: the store, and the candidates' promises", "");
  if (path == "store" || path == "promises") {
    std::string why;
    for (const auto& [region, reason] : MemberAt(paths, "refusals").items())
      why += (why.empty() ? ": '" : "; '") + region + "': " + reason.get<std::string>();
    add("fault",
        path == "store" ? "the store alone carries the lease, the candidates' promises do not" + why
                        : "the candidates' promises alone carry the lease, the store does not",
        path == "store" ? "bring the candidate's agent back; let UDP through to its port; 'lifeboat candidates remove' one that is "
                          "gone for good"
                        : "bring the store back");
  }
  bool any_ready = false;
  for (const RegionSettings& region : settings_.regions) {
    Json json = RegionStatus(region);
    const std::string name = "'" + region.name.text + "'";
    if (!FlagAt(json, "agent_reachable")) {
      add("fault", "the agent of " + name + " does not answer: " + TextAt(json, "problem"), "start it");
      continue;
    }
    if (region.kind == RegionKind::kWitness) {
      add("ok", "witness " + name + " answers", "");
      continue;
    }
    const Json& guard = MemberAt(json, "guard");
    if (!FlagAt(guard, "answers")) {
      add("fault", "the guard of " + name + " does not answer", "start it: without it nothing becomes primary there");
    } else {
      const double worst = MemberAt(guard, "worst_kill_ms").is_number() ? MemberAt(guard, "worst_kill_ms").get<double>() : 0;
      const double margin = Seconds(settings_.lease.margin) * 1000;
      char text[160];
      std::snprintf(text, sizeof text, "the guard of %s needs at most %.0f ms to kill, lease.margin is %.0f ms", name.c_str(),
                    worst, margin);
      add(worst < margin ? "ok" : "fault", text, worst < margin ? "" : "raise lease.margin");
    }
    if (s.policy.automation == Automation::kAct)
      findings.push_back(FenceFinding(region, guard, MemberAt(fences, region.name.text.c_str())));
    const DatabaseState database = DatabaseStateFromJson(MemberAt(json, "database"));
    if (TextAt(json, "role") == "primary") {
      add(database.IsWritable() ? "ok" : "fault",
          "the primary " + name + (database.IsWritable() ? " accepts writes" : " does not accept writes: " + database.problem), "");
      continue;
    }
    const std::string why = TextAt(json, "why_not_promotable");
    if (!why.empty()) {
      add("fault", name + " could not take over: " + why, "");
      continue;
    }
    any_ready = true;
    if (database.wal_retrieve_retry_interval != "100ms") {
      add("fault",
          name + " has wal_retrieve_retry_interval = " + database.wal_retrieve_retry_interval +
              ": a promotion can stall for that long",
          "set it to 100ms on every standby");
    }
    const Json& rpo = MemberAt(json, "rpo_ms");
    if (!rpo.is_number()) {
      add("fault", "the recovery point of " + name + " is unknown", "wait a moment; then look whether it streams");
    } else {
      const Duration lag = std::chrono::milliseconds(rpo.get<std::int64_t>());
      const bool good = lag <= settings_.objectives.rpo;
      add(good ? "ok" : "fault",
          name + " could take over; its recovery point is " + FormatDuration(lag) + " old, the objective is " +
              FormatDuration(settings_.objectives.rpo),
          good ? "" : "look at the network and the load of the standby");
    }
  }
  if (!any_ready) add("fault", "no standby could take over at this moment", "see the lines above");
  if (world_.traffic()) {
    const auto ttl = world_.traffic()->ttl;
    const Duration expected = settings_.lease.length + ttl + 1s;
    add(expected <= settings_.objectives.rto ? "ok" : "fault",
        "a lost region takes about " + FormatDuration(settings_.lease.length) + " (lease) + " + std::to_string(ttl.count()) +
            " s (TTL) + 1 s; the objective is " + FormatDuration(settings_.objectives.rto),
        expected <= settings_.objectives.rto ? "" : "shorten lease.length or dns.ttl, or state another objective");
    const bool same = s.lease.item && act_doors_.databases.contains(s.lease.item->holder) &&
                      act_doors_.databases.at(s.lease.item->holder).host == world_.traffic()->address;
    add(same ? "ok" : "fault", "'" + settings_.dns.name + "' points to " + world_.traffic()->address,
        same ? "" : "it should point to the holder of the lease: lifeboat explain");
  } else {
    add("fault", "the name server does not answer: " + world_.traffic_problem(), "look at " + settings_.dns.server.Text());
  }
  if (world_.canary().ok == false)
    add("fault", "the canary cannot write: " + world_.canary().problem, "try the service's name as a client would");
  else if (world_.canary().ok == true)
    add("ok", "the canary writes through the public name", "");
  else
    add("fault", "the canary has not written yet: unknown", "wait a moment");
  for (const BackupSourceSettings& source : settings_.backups) {
    findings.push_back(BackupCheckLine(source, BackupBriefOf(source), doors_.clock.Wall().ns / 1000000000));
  }
  if (s.policy.automation != Automation::kAct)
    add("fault",
        "fence level in force: none; the gates are held open, since the guards only observe, and Lifeboat promises nothing", "");
  int faults = 0;
  for (const Json& finding : findings) faults += TextAt(finding, "level") == "fault" ? 1 : 0;
  co_return Json{{"service", settings_.service},
                 {"ready", faults == 0},
                 {"faults", faults},
                 {"findings", findings},
                 {"seen_from", self_.text}};
}

/// Whether the store can be written, and stays written: an embedded store whose disk is full still answers and renews, and takes no
/// takeover.
Task<> Agent::CheckStoreWrites(Json& findings) {
  const std::string key = settings_.service + "/check/" + self_.text;
  const Instant began = doors_.clock.Now();
  auto wrote = co_await ProbeDurableWrite(doors_.store, key, doors_.clock.Wall(), kRingStale);
  findings.push_back(StoreWriteFinding(wrote, AgeAt(began, doors_.clock.Now()), kRingStale));
}

/// "fence.look": the external fences that could be run from here, {region: problem}; a problem that is empty is none.
Task<Result<Json>> Agent::LookAtFences() {
  Json seen = Json::object();
  if (doors_.fence == nullptr) co_return seen;
  const auto problems = co_await doors_.fence->Look();
  for (const auto& [region, problem] : problems) {
    if (region != self_) seen[region.text] = problem;
  }
  co_return seen;
}

/// What each data region that would run another's external fence says of it: {region: {by: problem}}.
Task<Json> Agent::FencesFromEverywhere() {
  Json all = Json::object();
  const auto configured = [](const RegionSettings& region) { return region.fence.has_value(); };
  if (std::none_of(settings_.regions.begin(), settings_.regions.end(), configured)) co_return all;
  for (const RegionSettings& by : settings_.regions) {
    if (by.kind != RegionKind::kData) continue;
    Result<Json> seen = Json::object();
    if (by.name == self_)
      seen = co_await LookAtFences();
    else
      seen = co_await doors_.peers.Call(by.name, "fence.look", Json::object(), 1s, Lane::kWork);
    for (const RegionSettings& region : settings_.regions) {
      if (!region.fence || region.name == by.name) continue;
      const std::string silent = seen.ok() ? "its agent knows of no such fence" : "its agent does not say: " + seen.error().message;
      all[region.name.text][by.name.text] = seen.ok() ? TextAt(*seen, region.name.text.c_str(), silent) : silent;
    }
  }
  co_return all;
}

/// Of the backups of a region that are a gate, the first that is not met; empty: all are.
std::string Agent::BackupObjectionTo(const RegionName& target) const {
  for (const BackupSourceSettings& source : settings_.backups) {
    if (source.region != target) continue;
    std::string objection = BackupGateObjection(source, BackupBriefOf(source), doors_.clock.Wall().ns / 1000000000);
    if (!objection.empty()) return objection;
  }
  return {};
}

/// What the agent of its region says of a source; null: it does not answer, or says nothing of it.
Json Agent::BackupBriefOf(const BackupSourceSettings& source) const {
  Json briefs;
  if (source.region == self_ && describe_backups) briefs = describe_backups();
  const auto peer = world_.peers().find(source.region);
  if (peer != world_.peers().end() && peer->second.answers) briefs = MemberAt(peer->second.said, "backups");
  for (const Json& brief : briefs) {
    if (TextAt(brief, "source") == source.name) return brief;
  }
  return nullptr;
}

Task<Result<Json>> Agent::Forward(RegionName region, std::string method, Json parameters, Duration timeout) {
  parameters["forwarded"] = true;
  auto answer = co_await doors_.peers.Call(region, std::move(method), std::move(parameters), timeout, Lane::kWork);
  if (answer.ok() || answer.error().retry != Retry::kRetry) co_return answer;
  co_return answer.error().Within("the agent of '" + region.text + "' would have to do this");
}

Task<Result<Json>> Agent::OrderSwitchover(Json parameters) {
  const RegionName target(TextAt(parameters, "to"));
  const RegionSettings* region = settings_.Find(target);
  if (!region || region->kind != RegionKind::kData) co_return NoDataRegion(settings_, target);
  if (target != self_ && !FlagAt(parameters, "forwarded"))
    co_return co_await Forward(target, "switchover", std::move(parameters), 10s);
  const auto item = keeper_.lease().item();
  if (!item) co_return RetryLater("the store has not been read yet", "lifeboat status");
  if (item->holder == target && !item->released) co_return Refused("'" + target.text + "' is the primary already");
  if (settings_.policy.automation != Automation::kAct)
    co_return Refused("policy.automation is 'observe': nothing is fenced, so nothing is moved", "set it to 'act'");
  auto current = co_await journal_.Current(kRingStale);
  if (!current.ok()) co_return current.error();
  if (current->has_value()) {
    co_return Refused(std::string(ToString((*current)->kind)) + " '" + (*current)->id.text + "' is " + ToString((*current)->state),
                      "wait for it (lifeboat executions show " + (*current)->id.text + "), or end it: lifeboat executions abort " +
                          (*current)->id.text);
  }
  // A planned move waits until what it moves to can be brought back from its own backups; an unplanned one never does.
  const std::string objection = BackupObjectionTo(target);
  if (!objection.empty() && !FlagAt(parameters, "despite_backups")) {
    co_return Refused(objection, "lifeboat backup verify there; or go without, on record: lifeboat switchover --to " + target.text +
                                     " --despite-backups");
  }
  auto possible = co_await PreflightSwitchover(act_doors_, item->holder, target);
  if (!possible.ok()) co_return possible.error();
  const std::string reason = objection.empty() ? "planned switchover" : "planned switchover; accepted: " + objection;
  Execution execution =
      Draft(PlanKind::kSwitchover, item->holder, target, "operator " + TextAt(parameters, "by", "unknown"), reason);
  auto begun = co_await journal_.Begin(execution);
  if (!begun.ok()) co_return begun.error();
  RunExecution(execution);
  co_return ToJson(execution);
}

Task<Result<Json>> Agent::OrderFailover(Json parameters) {
  const RegionName target(TextAt(parameters, "to"));
  const RegionSettings* region = settings_.Find(target);
  if (!region || region->kind != RegionKind::kData) co_return NoDataRegion(settings_, target);
  if (target != self_ && !FlagAt(parameters, "forwarded"))
    co_return co_await Forward(target, "failover", std::move(parameters), 10s);
  snapshot_ = Observe();  // of this moment: the last round may be of before a pause
  const Snapshot& s = snapshot_;
  const auto item = keeper_.lease().item();
  if (!item) co_return RetryLater("the store has not been read yet", "lifeboat status");
  // SAFETY: a takeover that was never opened says there whom it was to stop.
  if (!journal_read_) co_return RetryLater("the journal has not been read yet", "lifeboat status");
  if (const auto& running = executor_.current()) {
    co_return Refused(std::string(ToString(running->kind)) + " '" + running->id.text + "' is " + ToString(running->state) +
                          (running->waiting_for.empty() ? "" : ": " + running->waiting_for),
                      "lifeboat executions show " + running->id.text);
  }
  if (item->holder == self_) co_return Refused("'" + self_.text + "' is the primary already");
  const std::string attested = TextAt(parameters, "attest");
  const auto holder = s.peers.find(item->holder);
  const bool serving =
      s.lease.counter_age && *s.lease.counter_age < item->length && holder != s.peers.end() && holder->second.answers;
  if (serving && !item->released) {
    co_return Refused(
        "the primary '" + item->holder.text + "' serves, its lease was renewed " + FormatDuration(*s.lease.counter_age) + " ago",
        "lifeboat switchover --to " + self_.text + " loses nothing");
  }
  if (!s.lease.may_take_over && attested.empty()) {
    co_return Refused("'" + self_.text + "' may not take over: " + s.lease.takeover_bar +
                          (s.lease.takeover_left > 0s ? ", " + FormatDuration(s.lease.takeover_left) + " left" : ""),
                      "if the old primary's region is off and you saw to it yourself: --attest \"who and how\"");
  }
  if (settings_.policy.automation != Automation::kAct && attested.empty() && !item->released) {
    co_return Refused("policy.automation is 'observe': the old primary is not fenced by its lease",
                      "make sure that it is off, then: --attest \"who and how\"");
  }
  if (!item->Fences() && attested.empty()) {
    co_return Refused("policy.automation was 'observe' in '" + item->holder.text + "': it is not fenced by its lease",
                      "make sure that it is off, then: --attest \"who and how\"");
  }
  if (!s.database || !s.database->IsStandby()) {
    co_return Refused("the database of '" + self_.text + "' is not a running standby" +
                      (s.database && !s.database->problem.empty() ? " (" + s.database->problem + ")" : ""));
  }
  if (!s.guard_answers) co_return Refused("the guard of '" + self_.text + "' does not answer", "start the guard");
  const bool accept_loss = FlagAt(parameters, "accept_loss");
  // SAFETY: above the limit, or unknown, it asks; the override is for this one execution and on record.
  const std::string objection = LossLimitObjection(s.loss, settings_.policy);
  if (!objection.empty() && !accept_loss)
    co_return Refused(objection, "to accept it, on record: lifeboat failover --to " + self_.text + " --accept-loss");
  if (acting_) co_return RetryLater("the agent is carrying out '" + decision_.sentence + "'", "try again in a moment");
  acting_ = true;
  std::string reason = "ordered by an operator; " + decision_.reason;
  if (!objection.empty()) reason += "; accepted: " + objection;
  auto begun = co_await BeginFailover("operator " + TextAt(parameters, "by", "unknown"), std::move(reason), accept_loss, attested);
  acting_ = false;
  if (!begun.ok()) co_return begun.error();
  co_return ToJson(*begun);
}

Task<Result<Json>> Agent::OrderRejoin(Json parameters) {
  const RegionName region(TextAt(parameters, "region"));
  const RegionSettings* known = settings_.Find(region);
  if (!known || known->kind != RegionKind::kData) co_return NoDataRegion(settings_, region);
  if (region != self_ && !FlagAt(parameters, "forwarded")) co_return co_await Forward(region, "rejoin", std::move(parameters), 10s);
  const auto item = keeper_.lease().item();
  if (!item) co_return RetryLater("the store has not been read yet", "lifeboat status");
  if (item->holder == self_) co_return Refused("'" + self_.text + "' holds the lease: there is nothing to rejoin it to");
  if (item->released) co_return RetryLater("nobody holds the lease at this moment", "lifeboat status");
  auto identity = co_await IdentifyRejoin(act_doors_, self_, item->holder);
  if (!identity.ok()) co_return identity.error();
  Execution execution = Draft(PlanKind::kRejoin, self_, item->holder, "operator " + TextAt(parameters, "by", "unknown"),
                              "rejoin " + self_.text + " as a standby of " + item->holder.text);
  auto begun = co_await journal_.Begin(execution);
  if (!begun.ok()) co_return begun.error();
  RunExecution(execution);
  co_return ToJson(execution);
}

/// A region that is gone for good keeps the promise path from carrying the lease, since all candidates must promise.
Task<Result<Json>> Agent::RemoveCandidate(Json parameters) {
  const RegionName region(TextAt(parameters, "region"));
  const RegionSettings* known = settings_.Find(region);
  if (!known || known->kind != RegionKind::kData) co_return NoDataRegion(settings_, region);
  const auto item = keeper_.lease().item();
  if (!item) co_return RetryLater("the store has not been read yet", "lifeboat status");
  if (item->holder != self_ && !FlagAt(parameters, "forwarded"))
    co_return co_await Forward(item->holder, "candidates.remove", std::move(parameters), 10s);
  if (!item->IsCandidate(region)) co_return Refused("'" + region.text + "' is no candidate", "lifeboat status");
  const PeerFacts facts = world_.FactsOf(region, doors_.clock.Now());
  if (facts.answers && facts.database && facts.database->IsStandby()) {
    co_return Refused("'" + region.text + "' is a running standby and would be named a candidate again at once",
                      "stop its agent and its database first");
  }
  auto removed = co_await keeper_.ChangeCandidate(region, false);
  if (!removed.ok()) co_return removed.error();
  log_.Info("a candidate was removed by order", {{"region", region.text}, {"by", TextAt(parameters, "by", "unknown")}});
  co_return ToJson(*keeper_.lease().item());
}

Task<Result<Json>> Agent::Executions(std::string method, Json parameters) {
  if (method == "list") {
    auto all = co_await journal_.List(kRingStale);
    if (!all.ok()) co_return all.error();
    Json list = Json::array();
    for (const Execution& execution : *all) list.push_back(ToJson(execution));
    co_return Json{{"executions", list}};
  }
  const ExecutionId id(TextAt(parameters, "id"));
  // What runs here is newer than what the store has.
  if (method == "show" && executor_.current() && executor_.current()->id == id) co_return ToJson(*executor_.current());
  auto found = co_await journal_.Find(id, kRingStale);
  if (!found.ok()) co_return found.error();
  if (method == "show") co_return ToJson(*found);
  if (method != "resume" && method != "abort") co_return NotFound("the agent knows no method 'executions." + method + "'");
  if (IsEnded(found->state)) co_return Refused("execution '" + id.text + "' has ended: it is " + ToString(found->state));
  if (found->owner != self_ && !FlagAt(parameters, "forwarded"))
    co_return co_await Forward(found->owner, "executions." + method, std::move(parameters), 5s);
  Result<Unit> done = Done();
  const std::string attested = TextAt(parameters, "attest");
  if (method == "resume" && !attested.empty())
    done = executor_.Attest(id, attested + " (" + TextAt(parameters, "by", "unknown") + ")");
  else if (method == "resume")
    done = executor_.Nudge(id);
  else
    done = executor_.RequestAbort(id);
  if (!done.ok()) co_return done.error();
  co_return ToJson(*found);
}

Task<Result<Json>> Agent::EvidenceCalls(std::string method, Json parameters) {
  if (method == "list") co_return co_await doors_.evidence.List(NumberAt(parameters, "limit", 100));
  if (method == "head") co_return co_await doors_.evidence.Head();
  if (method == "heads") co_return co_await doors_.evidence.ForeignHeads(RegionName(TextAt(parameters, "region")));
  if (method != "verify") co_return NotFound("the agent knows no method 'evidence." + method + "'");
  // Each chain is compared with the heads that the other agents hold of it.
  Json held = Json::array();
  Json silent = Json::array();
  for (const auto& [region, view] : world_.peers()) {
    Json question = {{"region", self_.text}};
    auto heads = co_await doors_.peers.Call(region, "evidence.heads", std::move(question), kRingStale, Lane::kWork);
    if (!heads.ok()) {
      silent.push_back(region.text);
      continue;
    }
    for (const Json& head : *heads) held.push_back(head);
  }
  auto report = co_await doors_.evidence.Verify(std::move(held));
  if (!report.ok()) co_return report.error();
  (*report)["not_asked"] = silent;
  if (FlagAt(parameters, "alone")) co_return *report;
  Json all = Json::array();
  all.push_back(*report);
  for (const auto& [region, view] : world_.peers()) {
    Json question = {{"alone", true}};
    auto other = co_await doors_.peers.Call(region, "evidence.verify", std::move(question), 10s, Lane::kWork);
    if (other.ok())
      all.push_back(*other);
    else
      all.push_back({{"region", region.text}, {"intact", nullptr}, {"sentence", "not checked: " + other.error().message}});
  }
  co_return Json{{"chains", all}};
}

}  // namespace lifeboat
