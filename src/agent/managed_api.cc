// What the agent of a service whose database a cloud runs answers to other agents and to the command line.

#include <set>

#include "agent/managed_agent.h"
#include "base/spawn.h"

namespace lifeboat {

namespace {
constexpr Duration kStoreLook = 2s;
constexpr Duration kCheckPatience = 20s;
constexpr Duration kPreflightPatience = 15s;

Json VoteOf(const ManagedWorld::Peer& peer) { return peer.answers ? MemberAt(peer.said, "vote") : ToJson(Vote()); }

/// In words, for the table of 'status'.
std::string TextOf(const std::optional<ManagedCopy>& copy) {
  if (!copy) return "unknown";
  if (copy->role == ManagedRole::kUnknown) return copy->problem.empty() ? "unknown" : "unknown: " + copy->problem;
  std::string text = copy->role == ManagedRole::kWriter ? "takes writes" : ToString(copy->role);
  if (!copy->status.empty()) text += ", '" + copy->status + "'";
  if (copy->instances == std::size_t{0}) text += ", no instance";
  if (!copy->version.empty()) text += ", version " + copy->version;
  return text;
}

using Lines = Result<std::vector<Readiness>>;

/// Questions of 'check', asked side by side: a region that is silent costs its own lines alone.
struct Gathering {
  Gathering(boost::asio::any_io_executor io, std::size_t count) : answers(count), left(count), ended(std::move(io)) {}
  std::vector<std::optional<Lines>> answers;
  std::size_t left;
  Bell ended;
};
Task<> GatherOne(Task<Lines> question, std::shared_ptr<Gathering> all, std::size_t which) {
  all->answers[which].emplace(co_await std::move(question));
  --all->left;
  all->ended.Ring();
}

/// Adds what a takeover noted to what later ones did. Where it left the sizes that the later one began with, the two are one
/// scaling up, and what is put back is what was there before both; else somebody else has set them in between, and that is what is
/// put back.
void AddEarlierNotes(Json& scaled, std::set<std::string>& others, const Json& notes) {
  for (const auto& [name, earlier] : notes.items()) {
    if (!scaled.contains(name)) {
      scaled[name] = earlier;
      continue;
    }
    if (others.contains(name)) continue;
    Json& later = scaled[name]["note"];
    if (MemberAt(later, "before") == MemberAt(MemberAt(earlier, "note"), "after"))
      later["before"] = MemberAt(MemberAt(earlier, "note"), "before");
    else
      others.insert(name);
  }
}

void Add(Json& findings, const char* level, std::string what, std::string hint = {}) {
  findings.push_back({{"level", level}, {"what", std::move(what)}, {"hint", std::move(hint)}});
}
}  // namespace

Task<Result<Json>> ManagedAgent::Handle(std::string method, Json parameters) {
  if (method == "agent.gossip") co_return co_await Gossip();
  if (method == "status") {
    if (execution_ && !executor_.current()) {
      auto current = co_await journal_.Current(300ms);
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
  if (method == "cool-down.clear") co_return co_await ClearCoolDown(std::move(parameters));
  if (method.starts_with("executions.")) co_return co_await Executions(method.substr(11), std::move(parameters));
  if (method.starts_with("evidence.")) co_return co_await EvidenceCalls(method.substr(9), std::move(parameters));
  if (method == "candidates.remove" || method.starts_with("lease.") || method == "store.reseed")
    co_return Refused("there is no lease where a cloud runs the database", "docs/managed.md says what stands in its place");
  co_return NotFound("the agent knows no method '" + method + "'");
}

Task<Result<Json>> ManagedAgent::Gossip() {
  Json answer = world_.Gossip(doors_.clock.Now());
  answer.update({{"region", self_.text},
                 {"agent", id_.text},
                 {"epoch", keeper_.item() ? keeper_.item()->epoch.number : 0},
                 {"evidence", evidence_head_},
                 {"rule", decision_.rule},
                 {"decision", decision_.sentence},
                 {"reason", decision_.reason},
                 {"withheld", decision_.withheld},
                 {"unblock", decision_.unblock},
                 {"last_problem", last_problem_}});
  if (describe_backups) answer["backups"] = describe_backups();
  co_return answer;
}

Json ManagedAgent::RegionStatus(const RegionSettings& region) const {
  const Instant now = doors_.clock.Now();
  const auto found = snapshot_.regions.find(region.name);
  const ManagedFacts facts = found == snapshot_.regions.end() ? ManagedFacts{} : found->second;
  const bool writer = snapshot_.item && snapshot_.item->writer == region.name;
  const auto known = world_.LossOf(region.name, now);
  const bool lags = !writer && region.kind == RegionKind::kData && *known.source != 0;
  const auto verdict = decision_.verdicts.find(region.name);
  Json json = {{"name", region.name.text},
               {"kind", ToString(region.kind)},
               {"agent", region.agent.Text()},
               {"verdict", ToString(verdict == decision_.verdicts.end() ? Verdict::kUnknown : verdict->second)},
               {"agent_reachable", facts.agent_answers},
               {"agent_age_ms", facts.agent_age ? Json(Millis(*facts.agent_age)) : Json(nullptr)},
               {"rpo_ms", nullptr},
               {"backlog_bytes", nullptr},
               {"guard", nullptr},
               {"managed", TextOf(facts.copy)},
               {"database", nullptr},
               {"lag_age_ms", lags ? Json(Millis(known.age)) : Json(nullptr)},
               {"lag_ms", lags ? Json(Millis(known.lag)) : Json(nullptr)},
               {"lag_source", lags ? Json(known.source) : Json(nullptr)},
               {"sql", sql_ && region.kind == RegionKind::kData ? sql_->RegionStatus(region.name, now) : Json(nullptr)}};
  if (facts.copy) {
    json["database"] = ToJson(*facts.copy);
    json["database"]["age_ms"] = facts.copy_age ? Json(Millis(*facts.copy_age)) : Json(nullptr);
  }
  // What would be lost at this moment, not the lag alone: its age counts.
  if (!writer && facts.loss && facts.loss->kind == LossEstimate::Kind::kBounded) json["rpo_ms"] = Millis(facts.loss->time);
  if (region.name == self_) {
    json["agent_id"] = id_.text;
    json["vote"] = ToJson(world_.DegradedAt(now));
    json["silence"] = ToJson(world_.SilenceAt(now));
    json["decision"] = {{"rule", decision_.rule},
                        {"sentence", decision_.sentence},
                        {"reason", decision_.reason},
                        {"withheld", decision_.withheld},
                        {"unblock", decision_.unblock}};
  } else {
    const ManagedWorld::Peer& peer = world_.peers().at(region.name);
    json["agent_id"] = TextAt(peer.said, "agent");
    json["vote"] = VoteOf(peer);
    json["silence"] = peer.answers ? MemberAt(peer.said, "silence") : ToJson(Vote());
    if (peer.answers) {
      json["decision"] = {{"rule", NumberAt(peer.said, "rule")},
                          {"sentence", TextAt(peer.said, "decision")},
                          {"reason", TextAt(peer.said, "reason")},
                          {"withheld", FlagAt(peer.said, "withheld")},
                          {"unblock", TextAt(peer.said, "unblock")}};
    } else {
      json["problem"] = peer.problem;
    }
  }
  const bool apart = !writer && facts.copy && (facts.copy->role == ManagedRole::kApart || facts.copy->role == ManagedRole::kWriter);
  json["detached"] = apart;
  const std::string objection = region.kind == RegionKind::kData && !writer ? TakeoverObjection(facts) : std::string();
  json["role"] = region.kind == RegionKind::kWitness                         ? "witness"
                 : writer                                                    ? "primary"
                 : facts.copy && facts.copy->role == ManagedRole::kSecondary ? "standby"
                                                                             : "none";
  std::string why = objection;
  if (region.kind == RegionKind::kData && !writer && !facts.agent_answers) why = "its agent does not answer";
  if (apart) why = "it follows nobody: lifeboat rejoin " + region.name.text;
  json["why_not_promotable"] = why;
  return json;
}

Json ManagedAgent::Status() const {
  const ManagedSnapshot& s = snapshot_;
  Json regions = Json::array();
  for (const RegionSettings& region : settings_.regions) regions.push_back(RegionStatus(region));
  const auto age = keeper_.ReadAge();
  Json lease = {{"store_reachable", s.store_answers},
                {"store_problem", s.store_problem},
                {"incarnation", keeper_.incarnation().number},
                {"epoch", nullptr},
                {"holder", nullptr},
                {"fences", false},
                {"counter_age_ms", age ? Json(Millis(*age)) : Json(nullptr)}};
  if (s.item) {
    lease["epoch"] = s.item->epoch.number;
    lease["holder"] = s.item->writer.text;
    lease["moving_to"] = s.item->moving_to.text;
  }
  Json traffic = {{"name", settings_.aws->traffic ? Json(settings_.aws->traffic->name) : Json(nullptr)},
                  {"problem", doors_.traffic ? world_.traffic_problem() : std::string()}};
  if (const auto& record = world_.traffic()) {
    traffic["address"] = record->address;
    traffic["epoch"] = record->epoch ? Json(record->epoch->number) : Json(nullptr);
    traffic["ttl_s"] = record->ttl.count();
    traffic["region"] = "";
    for (const auto& [region, target] : act_doors_.targets) {
      if (target == record->address) traffic["region"] = region.text;
    }
  }
  const auto self = s.regions.find(self_);
  const std::optional<LossEstimate> loss = self == s.regions.end() ? std::nullopt : self->second.loss;
  Json answer = {{"service", settings_.service},
                 {"managed", settings_.aws->database->kind == AwsDatabaseKind::kAuroraGlobal ? "aurora-global" : "rds-replica"},
                 {"region", self_.text},
                 {"agent", id_.text},
                 {"time", FormatWallTime(s.wall)},
                 {"lease", lease},
                 {"regions", regions},
                 {"traffic", traffic},
                 {"canary", sql_ && sql_->HasCanary() ? sql_->CanaryStatus()
                                                      : Json{{"ok", nullptr}, {"problem", "no canary writes to this database"}}},
                 {"decision", ToJson(decision_)},
                 {"loss", loss ? LossJson(*loss) : Json(nullptr)},
                 {"votes", ToJson(s.votes)},
                 {"silence", ToJson(s.silence)},
                 {"cool_down", s.cool_down ? ToJson(*s.cool_down) : Json(nullptr)},
                 {"execution", s.execution ? ToJson(*s.execution) : Json(nullptr)},
                 {"objectives", {{"rto_ms", Millis(settings_.objectives.rto)}, {"rpo_ms", Millis(settings_.objectives.rpo)}}},
                 {"policy", {{"automation", ToString(settings_.policy.automation)}}}};
  std::string word = "unknown";
  std::string sentence = "it is not known where the writer is: " + decision_.reason;
  if (s.item) {
    const std::string writer = s.item->writer.text;
    const auto verdict = decision_.verdicts.find(s.item->writer);
    const Verdict of_writer = verdict == decision_.verdicts.end() ? Verdict::kUnknown : verdict->second;
    const RegionName best = BestCandidate(s);
    if (s.execution) {
      word = "moving";
      sentence = std::string(ToString(s.execution->kind)) + " '" + s.execution->id.text + "' is " + ToString(s.execution->state);
      if (!s.execution->waiting_for.empty()) sentence += ": " + s.execution->waiting_for;
    } else if (of_writer == Verdict::kHealthy) {
      const bool could = !best.empty() && s.store_answers;
      word = could ? "healthy" : "exposed";
      sentence = writer + " takes writes" +
                 (could          ? ", and " + best.text + " could take over"
                  : best.empty() ? ", but no region could take over at this moment"
                                 : ", but no region could take over: the store does not answer");
    } else {
      word = ToString(of_writer);
      sentence = "the writer's region " + writer + " is " + ToString(of_writer) + ": " + decision_.reason;
    }
  }
  answer["verdict"] = word;
  answer["sentence"] = sentence;
  return answer;
}

// ---- check ----

void ManagedAgent::CheckRegions(Json& findings) const {
  const ManagedSnapshot& s = snapshot_;
  std::size_t answer = 0;
  for (const auto& [region, facts] : s.regions) {
    answer += facts.agent_answers ? 1 : 0;
    if (!facts.agent_answers) Add(findings, "fault", "the agent of '" + region.text + "' does not answer", "start it");
  }
  if (answer == s.regions.size()) Add(findings, "ok", "all " + std::to_string(answer) + " agents answer");
  if (const std::string blind = world_.BlindTo(); !blind.empty()) {
    Add(findings, "fault",
        "there is no way from here to the API of the writer's region, so this agent has no word on whether that is silent: " +
            blind,
        "let this agent reach the endpoints of every data region");
  }
  if (s.regions.size() < 3) {
    Add(findings, "fault",
        "the service has " + std::to_string(s.regions.size()) + " agents: without the lost one there is no majority",
        "add a region of 'kind: witness'");
  }
  bool any = false;
  for (const auto& [region, facts] : s.regions) {
    if (facts.kind != RegionKind::kData || !s.item || region == s.item->writer) continue;
    const std::string objection = TakeoverObjection(facts);
    if (!objection.empty()) {
      Add(findings, "fault", "'" + region.text + "' could not take over: " + objection, "see the lines of the database");
      continue;
    }
    any = true;
    if (!facts.loss || facts.loss->kind != LossEstimate::Kind::kBounded) {
      Add(findings, "fault", "'" + region.text + "' could take over, and its lag is unknown: a person would be asked (rule 640)",
          "see that its metric has data, and that the agent may read it (cloudwatch:GetMetricData)");
      continue;
    }
    const std::string objected = s.policy.loss_limit ? LossLimitObjection(facts.loss, s.policy) : std::string();
    const bool within = facts.loss->time <= settings_.objectives.rpo && objected.empty();
    Add(findings, within ? "ok" : "fault",
        "'" + region.text + "' could take over; at most " + FormatDuration(facts.loss->time) + " would be lost now (" +
            facts.loss->basis + "), the objective is " + FormatDuration(settings_.objectives.rpo),
        within ? ""
        : sql_ ? "see the lines about heartbeats"
               : "a datum of CloudWatch is a minute old and more: an objective below two minutes cannot be shown to be met without "
                 "'aws.sql'");
  }
  if (s.item && !any) Add(findings, "fault", "no region could take over at this moment", "see the lines above");
}

/// Compute, objects, hooks, receivers and alarms, for the region that would take over.
void ManagedAgent::AskNeighbours(std::vector<Task<Result<std::vector<Readiness>>>>& questions) const {
  const ManagedSnapshot& s = snapshot_;
  std::vector<RegionName> standbys;
  for (const auto& [region, facts] : s.regions) {
    if (facts.kind == RegionKind::kData && s.item && region != s.item->writer) standbys.push_back(region);
  }
  for (const RegionName& region : standbys) {
    const Json ran = world_.RanIn(s.item->writer);
    for (Compute* compute : doors_.compute) {
      const Json& count = MemberAt(ran, compute->name().c_str());
      std::optional<std::uint64_t> source_ran;
      if (count.is_number_unsigned()) source_ran = count.get<std::uint64_t>();
      questions.push_back(compute->Check(region, source_ran, kCheckPatience));
    }
    for (Objects* objects : doors_.objects) {
      // One that is on its way is not late.
      questions.push_back(objects->Check(s.item->writer, region, objects->canary_every() * 3, kCheckPatience));
    }
    for (Hook* hook : doors_.hooks) questions.push_back(hook->Check(region, kCheckPatience));
  }
  for (Notifier* notifier : doors_.notifiers) questions.push_back(notifier->Check(kCheckPatience));
  if (!doors_.alarms) return;
  std::map<RegionName, std::vector<std::string>> alarms;
  for (const AwsAlarmSettings& alarm : settings_.aws->alarms) alarms[alarm.region].push_back(alarm.alarm);
  for (auto& [region, names] : alarms) questions.push_back(doors_.alarms->Check(region, std::move(names), kCheckPatience));
}

Task<Result<Json>> ManagedAgent::Check() {
  const ManagedSnapshot& s = snapshot_;
  Json findings = Json::array();
  if (s.store_answers)
    Add(findings, "ok", "the store answers");
  else
    Add(findings, "fault", "the store does not answer: " + s.store_problem, "without it no move is begun (rule 632)");
  if (describe_store) {
    const Json members = co_await describe_store();
    for (const Json& member : members) {
      if (!FlagAt(member, "answers"))
        Add(findings, "fault", "the store at '" + TextAt(member, "endpoint") + "': " + TextAt(member, "problem"), "look at it");
    }
  }
  if (s.item)
    Add(findings, "ok", "'" + s.item->writer.text + "' is noted as the writer, epoch " + std::to_string(s.item->epoch.number));
  else
    Add(findings, "fault", "no writer is noted: " + decision_.reason, decision_.unblock);
  CheckRegions(findings);
  if (sql_) {
    std::vector<RegionName> data;
    for (const RegionSettings& region : settings_.regions) {
      if (region.kind == RegionKind::kData) data.push_back(region.name);
    }
    for (const Readiness& line : sql_->Check(data, doors_.clock.Now())) findings.push_back(ToJson(line));
  }
  std::vector<Task<Lines>> questions;
  questions.push_back(doors_.database.Check(kCheckPatience));
  AskNeighbours(questions);
  for (const auto& check : checks) questions.push_back(check(kCheckPatience));
  auto all = std::make_shared<Gathering>(io_, questions.size());
  for (std::size_t which = 0; which < questions.size(); ++which) Spawn(io_, GatherOne(std::move(questions[which]), all, which));
  const Instant end = doors_.clock.Now() + kCheckPatience + 2s;
  while (all->left > 0 && TimeLeft(end, doors_.clock.Now()) > 0ns) {
    const Duration left = TimeLeft(end, doors_.clock.Now());
    co_await all->ended.WaitFor(doors_.clock, left);
  }
  for (const auto& answer : all->answers) {
    if (!answer) {
      Add(findings, "unknown", "a part of AWS did not answer within " + FormatDuration(kCheckPatience), "see the other lines");
    } else if (answer->ok()) {
      for (const Readiness& line : **answer) findings.push_back(ToJson(line));
    } else {
      Add(findings, "unknown", answer->error().message, answer->error().hint);
    }
  }
  if (doors_.traffic) {
    const auto& record = world_.traffic();
    const auto target = s.item ? act_doors_.targets.find(s.item->writer) : act_doors_.targets.end();
    const bool same = record && target != act_doors_.targets.end() && target->second == record->address;
    if (!record)
      Add(findings, "fault", "the name could not be read: " + world_.traffic_problem(), "look at aws.traffic");
    else
      Add(findings, same ? "ok" : "fault",
          "'" + settings_.aws->traffic->name + "' answers '" + record->address + "', TTL " + std::to_string(record->ttl.count()) +
              " s",
          same ? "" : "it should answer the target of the writer's region");
  }
  if (s.policy.automation != Automation::kAct)
    Add(findings, "fault", "policy.automation is 'observe': nothing is moved by itself", "set it to 'act'");
  int faults = 0;
  for (const Json& finding : findings) faults += TextAt(finding, "level") == "ok" ? 0 : 1;
  co_return Json{{"service", settings_.service},
                 {"ready", faults == 0},
                 {"faults", faults},
                 {"findings", findings},
                 {"seen_from", self_.text}};
}

// ---- orders ----

Error ManagedAgent::NoDataRegion(const RegionName& asked) const {
  std::string known;
  for (const RegionSettings& region : settings_.regions) {
    if (region.kind == RegionKind::kData) known += (known.empty() ? "'" : ", '") + region.name.text + "'";
  }
  return Refused("'" + asked.text + "' is no data region of '" + settings_.service + "'", "its data regions are " + known);
}

Task<Result<Json>> ManagedAgent::Forward(RegionName region, std::string method, Json parameters, Duration timeout) {
  parameters["forwarded"] = true;
  auto answer = co_await doors_.peers.Call(region, std::move(method), std::move(parameters), timeout, Lane::kWork);
  if (answer.ok() || answer.error().retry != Retry::kRetry) co_return answer;
  co_return answer.error().Within("the agent of '" + region.text + "' would have to do this");
}

Result<Unit> ManagedAgent::NothingRuns() const {
  const auto& running = executor_.current() ? executor_.current() : execution_;
  if (!running) return Done();
  return Refused(
      std::string(ToString(running->kind)) + " '" + running->id.text + "' is " + ToString(running->state) +
          (running->waiting_for.empty() ? "" : ": " + running->waiting_for),
      "wait for it (lifeboat executions show " + running->id.text + "), or end it: lifeboat executions abort " + running->id.text);
}

Task<Result<Json>> ManagedAgent::OrderSwitchover(Json parameters) {
  const RegionName target(TextAt(parameters, "to"));
  const RegionSettings* region = settings_.Find(target);
  if (!region || region->kind != RegionKind::kData) co_return NoDataRegion(target);
  if (target != self_ && !FlagAt(parameters, "forwarded"))
    co_return co_await Forward(target, "switchover", std::move(parameters), 30s);
  const auto item = keeper_.item();
  if (!item || !journal_read_) co_return RetryLater("it is not known yet where the writer is, or what runs", "lifeboat status");
  if (item->writer == target) co_return Refused("'" + target.text + "' is the writer already");
  auto free = NothingRuns();
  if (!free.ok()) co_return free.error();
  auto possible = co_await doors_.database.Preflight(target, kPreflightPatience);
  if (!possible.ok()) co_return possible.error();
  if (acting_) co_return RetryLater("the agent is carrying out '" + decision_.sentence + "'", "try again in a moment");
  acting_ = true;
  auto begun =
      co_await BeginSwitchover("operator " + TextAt(parameters, "by", "unknown"), "planned switchover; " + *possible, false);
  acting_ = false;
  if (!begun.ok()) co_return begun.error();
  co_return ToJson(*begun);
}

Task<Result<Json>> ManagedAgent::OrderFailover(Json parameters) {
  const RegionName target(TextAt(parameters, "to"));
  const RegionSettings* region = settings_.Find(target);
  if (!region || region->kind != RegionKind::kData) co_return NoDataRegion(target);
  if (target != self_ && !FlagAt(parameters, "forwarded"))
    co_return co_await Forward(target, "failover", std::move(parameters), 30s);
  co_await world_.LookNow();  // of this moment
  snapshot_ = Observe();
  const auto item = keeper_.item();
  if (!item || !journal_read_) co_return RetryLater("it is not known yet where the writer is, or what runs", "lifeboat status");
  if (item->writer == self_) co_return Refused("'" + self_.text + "' is the writer already");
  const auto& running = executor_.current() ? executor_.current() : execution_;
  const bool detach = FlagAt(parameters, "detach");
  // A switchover may wait for a lost region, and a failover for a cloud that does not do it: each gives way to what is left.
  const bool left = running && (running->kind == PlanKind::kSwitchover ||
                                (running->kind == PlanKind::kFailover && running->target == self_ && detach));
  const bool stuck = left && item->execution == running->id;
  if (auto free = NothingRuns(); !free.ok() && !stuck) co_return free.error();
  const auto silence = world_.SilenceAt(doors_.clock.Now());
  const bool accept_loss = FlagAt(parameters, "accept_loss");
  const std::string again = "lifeboat failover --to " + self_.text + (detach ? " --detach" : "") + " --accept-loss";
  // SAFETY: also where a switchover runs: it may be well on its way, and loses nothing.
  if (silence.opinion == Opinion::kOk && !accept_loss) {
    co_return Refused(
        "the region of the writer, '" + item->writer.text + "', answers",
        "lifeboat switchover --to " + self_.text + " loses nothing; to lose what it has not sent, on record: " + again);
  }
  const std::string objection = TakeoverObjection(snapshot_.regions.at(self_));
  if (!objection.empty()) co_return Refused("'" + self_.text + "' could not take over: " + objection, "lifeboat check");
  // SAFETY: above the limit, or unknown, it asks; the override is for this one execution and on record.
  const std::string limit = LossLimitObjection(snapshot_.regions.at(self_).loss, settings_.policy);
  if (!limit.empty() && !accept_loss) co_return Refused(limit, "to accept it, on record: " + again);
  if (acting_) co_return RetryLater("the agent is carrying out '" + decision_.sentence + "'", "try again in a moment");
  acting_ = true;
  std::string reason = "ordered by an operator; " + decision_.reason;
  if (!limit.empty()) reason += "; accepted: " + limit;
  auto begun = co_await BeginFailover("operator " + TextAt(parameters, "by", "unknown"), std::move(reason), accept_loss, detach);
  acting_ = false;
  if (!begun.ok()) co_return begun.error();
  co_return ToJson(*begun);
}

Task<Result<Json>> ManagedAgent::OrderRejoin(Json parameters) {
  const RegionName region(TextAt(parameters, "region"));
  const RegionSettings* known = settings_.Find(region);
  if (!known || known->kind != RegionKind::kData) co_return NoDataRegion(region);
  if (region != self_ && !FlagAt(parameters, "forwarded")) co_return co_await Forward(region, "rejoin", std::move(parameters), 30s);
  const auto item = keeper_.item();
  if (!item || !journal_read_) co_return RetryLater("it is not known yet where the writer is, or what runs", "lifeboat status");
  if (item->writer == region) co_return Refused("'" + region.text + "' is the writer: there is nothing to bring it back behind");
  auto free = NothingRuns();
  if (!free.ok()) co_return free.error();
  Execution execution = Draft(PlanKind::kRejoin, region, item->writer, "operator " + TextAt(parameters, "by", "unknown"),
                              "rejoin " + region.text + " behind " + item->writer.text);
  // What earlier takeovers scaled up here is put back, once.
  Json scaled = Json::object();
  std::set<std::string> others;  // that somebody else has set in between
  auto all = co_await journal_.List(kStoreLook);
  if (!all.ok()) co_return all.error();
  for (const Execution& earlier : *all) {
    if (earlier.kind == PlanKind::kRejoin && earlier.source == region && earlier.state == ExecutionState::kDone) break;
    if (earlier.kind == PlanKind::kRejoin || earlier.target != region || !MemberAt(earlier.facts, "compute").is_object()) continue;
    AddEarlierNotes(scaled, others, MemberAt(earlier.facts, "compute"));
  }
  if (!scaled.empty()) execution.facts["scaled_here"] = scaled;
  // The snapshot that is kept is of the last failover away from here, and of none before.
  for (const Execution& earlier : *all) {
    const StepRecord* asked = earlier.kind == PlanKind::kFailover && earlier.source == region ? earlier.Find("fail-over") : nullptr;
    if (asked == nullptr || (asked->state != StepState::kDone && asked->state != StepState::kIntended)) continue;
    execution.facts["lost_at_ns"] =
        NumberAt(earlier.facts, "claimed_ns") > 0 ? SignedAt(earlier.facts, "claimed_ns") : earlier.began.ns;
    break;
  }
  auto begun = co_await journal_.Begin(execution);
  if (!begun.ok()) co_return begun.error();
  RunExecution(execution);
  co_return ToJson(execution);
}

Task<Result<Json>> ManagedAgent::ClearCoolDown(Json parameters) {
  const std::string reason = TextAt(parameters, "reason");
  if (reason.empty())
    co_return Refused("a cool-down is cleared with a reason", "lifeboat cool-down clear --reason \"what was found\"");
  const std::string key = KeyOf("cool_down");
  auto reading = co_await doors_.store.Read(key, kStoreLook);
  if (!reading.ok()) co_return reading.error();
  if (reading->records.empty()) co_return Refused("no cool-down is latched", "lifeboat status");
  const auto latched = ParseJson(reading->records.front().value, key);
  Transaction transaction;
  transaction.compares.push_back({key, reading->records.front().version});
  transaction.deletes.push_back(key);
  auto done = co_await doors_.store.Commit(std::move(transaction), kStoreLook);
  if (!done.ok()) co_return done.error();
  if (!done->committed) co_return RetryLater("it changed at the same moment", "look at 'lifeboat status'");
  cool_down_.reset();
  const Json cleared = {
      {"cool_down", latched.ok() ? *latched : Json(nullptr)}, {"by", TextAt(parameters, "by", "unknown")}, {"reason", reason}};
  log_.Warn("a cool-down was cleared", cleared);
  const ExecutionId execution(latched.ok() ? TextAt(*latched, "execution") : std::string());
  auto row = co_await doors_.evidence.Append("cool-down cleared", execution, cleared, doors_.clock.Wall());
  if (!row.ok()) co_return Fail("it is cleared, but that could not be recorded: " + row.error().message);
  Kick();
  co_return cleared;
}

Task<Result<Json>> ManagedAgent::Executions(std::string method, Json parameters) {
  if (method == "list") {
    auto all = co_await journal_.List(kStoreLook);
    if (!all.ok()) co_return all.error();
    Json list = Json::array();
    for (const Execution& execution : *all) list.push_back(ToJson(execution));
    co_return Json{{"executions", list}};
  }
  const ExecutionId id(TextAt(parameters, "id"));
  // What runs here is newer than what the store has.
  if (method == "show" && executor_.current() && executor_.current()->id == id) co_return ToJson(*executor_.current());
  auto found = co_await journal_.Find(id, kStoreLook);
  if (!found.ok()) co_return found.error();
  if (method == "show") co_return ToJson(*found);
  if (method != "resume" && method != "abort") co_return NotFound("the agent knows no method 'executions." + method + "'");
  if (IsEnded(found->state)) co_return Refused("execution '" + id.text + "' has ended: it is " + ToString(found->state));
  if (found->owner != self_ && !FlagAt(parameters, "forwarded"))
    co_return co_await Forward(found->owner, "executions." + method, std::move(parameters), 5s);
  Result<Unit> done = Done();
  if (method == "resume")
    done = executor_.Nudge(id);
  else
    done = executor_.RequestAbort(id);
  if (!done.ok()) co_return done.error();
  co_return ToJson(*found);
}

Task<Result<Json>> ManagedAgent::EvidenceCalls(std::string method, Json parameters) {
  if (method == "list") co_return co_await doors_.evidence.List(NumberAt(parameters, "limit", 100));
  if (method == "head") co_return co_await doors_.evidence.Head();
  if (method == "heads") co_return co_await doors_.evidence.ForeignHeads(RegionName(TextAt(parameters, "region")));
  if (method != "verify") co_return NotFound("the agent knows no method 'evidence." + method + "'");
  // Each chain is compared with the heads that the other agents hold of it.
  Json held = Json::array();
  Json silent = Json::array();
  std::vector<RegionName> others;
  for (const auto& [region, peer] : world_.peers()) others.push_back(region);
  for (const RegionName& region : others) {
    Json question = {{"region", self_.text}};
    auto heads = co_await doors_.peers.Call(region, "evidence.heads", std::move(question), kStoreLook, Lane::kWork);
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
  for (const RegionName& region : others) {
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
