#include "lab/demo_report.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>

#include "prove/phases.h"

namespace lifeboat::lab {

namespace {

const char* NameOf(StoreKind store) {
  switch (store) {
    case StoreKind::kEmbedded: return "embedded";
    case StoreKind::kEtcd: return "etcd";
    case StoreKind::kDynamoDb: return "dynamodb";
  }
  return "embedded";
}

constexpr Duration kOutageFrom = 100ms;  // gaps between acknowledgements that a person would call an outage
constexpr std::int64_t kRateStep = 250'000'000;

Objectives ObjectivesOf(const Story& story) { return {story.lab.knobs.rto, story.lab.knobs.rpo}; }

std::string AddressOf(const Story& story, const std::string& region) {
  const LabRegion* found = story.lab.Find(region);
  return found == nullptr ? "" : found->address;
}

Json DivergedBytes(const std::optional<Divergence>& divergence) {
  if (!divergence) return nullptr;
  return divergence->Diverged() ? divergence->end.bytes - divergence->fork.bytes : 0;
}

}  // namespace

Json SwitchoverRun(const Story& story, const LossAccount& loss) {
  Execution execution = story.switchover;
  if (const auto outage = SwitchoverOutage(story)) {
    execution.facts["last_good_write_ns"] = outage->from_wall_ns;
    execution.facts["first_good_write_ns"] = outage->to_wall_ns;
  }
  const Json measured = {
      {"state", "counted"}, {"rows", loss.other_rows}, {"seconds", loss.other_rows == 0 ? Json(0) : Json()}, {"bytes", nullptr}};
  return ReportRun(execution, ObjectivesOf(story), measured);
}

namespace {

Json RateOf(const ClientRecord& record, std::int64_t from_ns, std::int64_t to_ns) {
  Json rate = Json::array();
  if (to_ns <= from_ns) return rate;
  std::vector<int> counts(static_cast<std::size_t>((to_ns - from_ns) / kRateStep));
  for (const ClientRow& row : record.rows) {
    if (row.fate != RowFate::kAcknowledged || row.wall_ns < from_ns) continue;
    const auto at = static_cast<std::size_t>((row.wall_ns - from_ns) / kRateStep);
    if (at < counts.size()) ++counts[at];
  }
  for (std::size_t at = 0; at < counts.size(); ++at) {
    rate.push_back(
        {{"at_ns", from_ns + static_cast<std::int64_t>(at) * kRateStep}, {"per_second", counts[at] * (1'000'000'000 / kRateStep)}});
  }
  return rate;
}

}  // namespace

Json ClientsJson(const Story& story, const LossAccount& loss) {
  Json clients = Json::array();
  for (std::size_t at = 0; at < story.records.size(); ++at) {
    const ClientRecord& record = story.records[at];
    const ClientAccount& account = loss.clients[at];
    Json outages = Json::array();
    for (const ClientOutage& outage : record.Outages(kOutageFrom)) {
      outages.push_back({{"from_ns", outage.from_wall_ns}, {"to_ns", outage.to_wall_ns}});
    }
    const auto longest = record.LongestGap(0);
    clients.push_back({{"name", record.name},
                       {"mode", ToString(record.mode)},
                       {"acknowledged", account.acknowledged},
                       {"lost", account.lost},
                       {"unaccounted", account.unaccounted},
                       {"longest_outage_s", longest ? Json(Seconds(longest->Length())) : Json()},
                       {"outages", outages},
                       {"rate", RateOf(record, story.healthy_ns, story.ended_ns)}});
  }
  return clients;
}

namespace {

// Spans of a region in time order; one whose end is not known, or lies before its begin, is left out.
class Spans {
 public:
  void Add(std::int64_t from_ns, std::int64_t to_ns, const char* role) {
    if (from_ns > 0 && to_ns > from_ns) spans_.push_back({{"from_ns", from_ns}, {"to_ns", to_ns}, {"role", role}});
  }
  [[nodiscard]] Json Of(const std::string& name) const { return {{"name", name}, {"spans", spans_}}; }

 private:
  Json spans_ = Json::array();
};

std::int64_t FactNs(const Execution& execution, const char* fact) { return SignedAt(execution.facts, fact); }

}  // namespace

Json RegionsJson(const Story& story) {
  const std::int64_t promoted_ns = FactNs(story.failover, "promoted_ns");
  const auto switched = SwitchoverOutage(story);
  const std::int64_t moved_from_ns = switched ? switched->from_wall_ns : story.switchover.began.ns;
  const std::int64_t moved_ns =
      FactNs(story.switchover, "promoted_ns") > 0 ? FactNs(story.switchover, "promoted_ns") : story.switchover.ended.ns;
  Spans first;
  first.Add(story.healthy_ns, story.fault.wall_ns, "primary");
  first.Add(story.fault.wall_ns, story.returned_ns, "down");
  first.Add(story.returned_ns, story.rejoin.ended.ns, "rejoining");
  first.Add(story.rejoin.ended.ns, moved_ns, "standby");
  first.Add(moved_ns, story.ended_ns, "primary");
  Spans second;
  second.Add(story.healthy_ns, promoted_ns, "standby");
  second.Add(promoted_ns, moved_from_ns, "primary");
  second.Add(std::max(moved_from_ns, moved_ns), story.ended_ns, "standby");
  Spans witness;
  witness.Add(story.healthy_ns, story.ended_ns, "witness");
  Json regions = Json::array();
  for (const LabRegion& region : story.lab.regions) {
    const std::string& name = region.name.text;
    regions.push_back((name == story.first ? first : name == story.second ? second : witness).Of(name));
  }
  return regions;
}

namespace {

Json EventsJson(const Story& story) {
  EventList events;
  events.Add(story.healthy_ns, story.first, "healthy", "primary, with a streaming standby in " + story.second);
  events.Add(story.fault.wall_ns, story.first, "fault",
             "all " + std::to_string(story.fault.killed.size()) + " processes of the region killed at one instant");
  const Execution& f = story.failover;
  events.Add(FactNs(f, "suspected_ns"), story.second, "detected", "the lease of " + story.first + " is no longer renewed");
  events.Add(FactNs(f, "decided_ns"), story.second, "decided", f.requested_by + (f.reason.empty() ? "" : ": " + f.reason));
  events.Add(FactNs(f, "claimed_ns"), story.second, "fenced",
             "epoch " + std::to_string(f.epoch.number) + " claimed: " + story.first + " can no longer renew");
  events.Add(FactNs(f, "promoted_ns"), story.second, "promoted", "takes writes");
  events.Add(FactNs(f, "routed_ns"), story.second, "routed",
             std::string(kDnsName) + " points to " + AddressOf(story, story.second));
  if (const auto outage = FailoverOutage(story))
    events.Add(outage->to_wall_ns, story.second, "first write", "first acknowledged write of a client");
  events.Add(story.returned_ns, story.first, "returned", "the region is started again and comes up fenced");
  events.Add(story.rejoin.ended.ns, story.first, "rejoined", "standby of " + story.second);
  events.Add(story.arrived_ns, story.first, "caught up", story.arrived_row + ", written after the rejoin, has arrived");
  events.Add(story.switchover.began.ns, story.first, "switchover", "planned, requested by " + story.switchover.requested_by);
  if (const auto outage = SwitchoverOutage(story))
    events.Add(outage->to_wall_ns, story.first, "first write", "first acknowledged write after the switchover");
  return events.InOrder();
}

Json LedgerJson(const Story& story) {
  Json ledger = Json::array();
  if (const auto divergence = DivergenceOf(story.rejoin)) {
    ledger.push_back({{"region", story.first},
                      {"fork", divergence->fork.Text()},
                      {"end", divergence->end.Text()},
                      {"saved_in", divergence->saved_in},
                      {"files", divergence->files},
                      {"saved_bytes", divergence->saved.bytes},
                      {"diverged_bytes", DivergedBytes(divergence)},
                      {"commits", divergence->commits},
                      {"first_commit", divergence->first_commit},
                      {"last_commit", divergence->last_commit}});
  }
  return ledger;
}

}  // namespace

// All chains together: whole only when each was checked and is whole. The head is that of the agent that was asked.
Json EvidenceJson(const Json& answer) {
  const Json& chains = MemberAt(answer, "chains");
  if (!chains.is_array() || chains.empty()) return {{"records", 0}, {"head", nullptr}, {"verified", nullptr}};
  std::uint64_t records = 0;
  bool all_known = true;
  bool broken = false;
  for (const Json& chain : chains) {
    records += NumberAt(chain, "records");
    const Json& intact = MemberAt(chain, "intact");
    all_known = all_known && intact.is_boolean();
    broken = broken || (intact.is_boolean() && !intact.get<bool>());
  }
  const std::string head = TextAt(MemberAt(chains.front(), "head"), "hash");
  Json verified = nullptr;
  if (broken || all_known) verified = !broken;
  return {{"records", records}, {"head", head.empty() ? Json() : Json(head)}, {"verified", verified}};
}

std::string SecondsText(const Json& seconds) {
  if (!seconds.is_number()) return "an unknown time";
  return FormatSeconds(std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds.get<double>()))) + " s";
}

namespace {

Json Sentences(const Story& story, const LossAccount& loss, const Json& failover, const Json& switchover) {
  Json sentences = Json::array();
  sentences.push_back(story.first + " was lost with every process of it; nobody gave a command.");
  sentences.push_back(story.second + " took over, and clients wrote again " + SecondsText(MemberAt(failover, "rto_s")) +
                      " after the fault.");
  if (loss.failover_rows == 0) {
    sentences.push_back("Every row that was acknowledged before the fault is on the new primary.");
  } else {
    const bool one = loss.failover_rows == 1;
    const std::string age = loss.failover_age < std::chrono::milliseconds(1) ? "less than 1 ms" : FormatDuration(loss.failover_age);
    sentences.push_back(std::to_string(loss.failover_rows) + (one ? " acknowledged row, " : " acknowledged rows, the oldest ") +
                        age + " old at the fault, had not reached " + story.second + "; " + (one ? "its" : "their") +
                        " WAL was saved before anything was rewound.");
  }
  if (loss.Unaccounted() > 0)
    sentences.push_back(std::to_string(loss.Unaccounted()) + " rows are unaccounted for: a promise is broken.");
  sentences.push_back(story.first + " was rejoined as a standby, and " + story.arrived_row +
                      ", written afterwards, arrived on it.");
  sentences.push_back("The planned switchover back to " + story.first + " lost " +
                      (loss.other_rows == 0 ? "nothing" : std::to_string(loss.other_rows) + " rows") + " and was felt for " +
                      SecondsText(MemberAt(switchover, "rto_s")) + ".");
  return sentences;
}

}  // namespace

// "met" needs every figure of both outages measured and good; one bad figure is "missed"; anything unknown "unknown".
std::string VerdictOf(const std::vector<Json>& outages, const LossAccount& loss) {
  bool all_known = true;
  bool missed = loss.Unaccounted() > 0;
  for (const Json& run : outages) {
    for (const char* figure : {"rto_met", "rpo_met"}) {
      const Json& met = MemberAt(run, figure);
      all_known = all_known && met.is_boolean();
      missed = missed || (met.is_boolean() && !met.get<bool>());
    }
  }
  return missed ? "missed" : all_known ? "met" : "unknown";
}

void EventList::Add(std::int64_t at_ns, const std::string& region, const char* kind, const std::string& text) {
  if (at_ns > 0) events_.push_back({{"at_ns", at_ns}, {"region", region}, {"kind", kind}, {"text", text}});
}

Json EventList::InOrder() {
  std::stable_sort(events_.begin(), events_.end(),
                   [](const Json& a, const Json& b) { return SignedAt(a, "at_ns") < SignedAt(b, "at_ns"); });
  return events_;
}

std::optional<ClientOutage> FailoverOutage(const Story& story) {
  return ServiceOutage(story.records, ClientMode::kFresh, AddressOf(story, story.second), story.fault.monotonic_ns);
}

std::optional<ClientOutage> SwitchoverOutage(const Story& story) {
  if (story.switchover_since_ns == 0) return std::nullopt;
  return ServiceOutage(story.records, ClientMode::kFresh, AddressOf(story, story.first), story.switchover_since_ns);
}

std::optional<Divergence> DivergenceOf(const Execution& rejoin) {
  if (const Json& fact = MemberAt(rejoin.facts, "divergence"); fact.is_object()) return DivergenceFromJson(fact);
  for (const StepRecord& step : rejoin.steps) {
    if (const Json& result = MemberAt(step.result, "divergence"); result.is_object()) return DivergenceFromJson(result);
  }
  return std::nullopt;
}

LossAccount LossOf(const Story& story) {
  FailoverFault fault{AddressOf(story, story.first), story.fault.monotonic_ns, story.fault.wall_ns, std::nullopt};
  if (const auto divergence = DivergenceOf(story.rejoin)) fault.ledger_commits = divergence->commits;
  return AccountForLoss(story.records, story.checks, fault);
}

Json FailoverRun(const Story& story, const LossAccount& loss) {
  Execution execution = story.failover;
  execution.facts["fault_ns"] = story.fault.wall_ns;
  // The clients' own first good write stands, not the canary's.
  execution.facts.erase("first_good_write_ns");
  if (const auto outage = FailoverOutage(story)) execution.facts["first_good_write_ns"] = outage->to_wall_ns;
  const Json measured = {{"state", "counted"},
                         {"rows", loss.failover_rows},
                         {"seconds", Seconds(loss.failover_age)},
                         {"bytes", DivergedBytes(DivergenceOf(story.rejoin))}};
  return ReportRun(execution, ObjectivesOf(story), measured);
}

Json BuildReport(const Story& story) {
  const LossAccount loss = LossOf(story);
  const Json failover = FailoverRun(story, loss);
  const Json switchover = SwitchoverRun(story, loss);
  const Objectives objectives = ObjectivesOf(story);
  return {{"format", "lifeboat-report/1"},
          {"service", "orders"},
          {"generated_ns", ReadWallClock().ns},
          {"machine", DescribeMachine()},
          {"settings",
           {{"lease_ms", Millis(story.lab.knobs.lease)},
            {"margin_ms", Millis(story.lab.knobs.margin)},
            {"dns_ttl_s", 1},
            {"store", NameOf(story.lab.knobs.store)},
            {"postgresql", story.postgresql},
            {"automation", story.lab.knobs.automation},
            {"clients", story.records.size()},
            {"write_every_ms", Millis(ClientOptions().interval)}}},
          {"objectives", {{"rto_s", Seconds(objectives.rto)}, {"rpo_s", Seconds(objectives.rpo)}}},
          {"verdict", VerdictOf({failover, switchover}, loss)},
          {"sentences", Sentences(story, loss, failover, switchover)},
          {"events", EventsJson(story)},
          {"runs", {failover, ReportRun(story.rejoin, objectives, nullptr), switchover}},
          {"clients", ClientsJson(story, loss)},
          {"regions", RegionsJson(story)},
          {"ledger", LedgerJson(story)},
          {"evidence", EvidenceJson(story.evidence)}};
}

std::string DescribeMachine() {
  utsname system{};
  ::uname(&system);
  const auto memory = static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(::sysconf(_SC_PAGE_SIZE));
  return std::to_string(::sysconf(_SC_NPROCESSORS_ONLN)) + " cores, " + FormatBytes({memory}) + ", " + system.sysname + " " +
         system.release;
}

}  // namespace lifeboat::lab
