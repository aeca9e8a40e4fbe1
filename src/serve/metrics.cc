#include "serve/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <map>

namespace lifeboat {

namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Labels;
using prometheus::Registry;

/// A registry that also knows the families that have no series yet.
struct Shelf : Registry {
  std::vector<Metrics::Entry> entries;
};

Family<Gauge>& AddGauge(Shelf& shelf, const std::string& name, const std::string& help) {
  shelf.entries.push_back({name, "gauge", help});
  return prometheus::BuildGauge().Name(name).Help(help).Register(shelf);
}

Family<Counter>& AddCounter(Shelf& shelf, const std::string& name, const std::string& help) {
  shelf.entries.push_back({name, "counter", help});
  return prometheus::BuildCounter().Name(name).Help(help).Register(shelf);
}

/// A gauge whose series exist only while their value is known.
class KnownGauge {
 public:
  KnownGauge(Shelf& shelf, const std::string& name, const std::string& help) : family_(AddGauge(shelf, name, help)) {}

  void Set(const Labels& labels, std::optional<double> value) {
    const auto found = series_.find(labels);
    if (!value) {
      if (found == series_.end()) return;
      family_.Remove(found->second);
      series_.erase(found);
      return;
    }
    Gauge* gauge = found != series_.end() ? found->second : series_.emplace(labels, &family_.Add(labels)).first->second;
    gauge->Set(*value);
  }

  void Set(std::optional<double> value) { Set(Labels(), value); }

  /// The one series of `region` becomes the one whose `label` is `word`.
  void SetWord(const RegionName& region, const std::string& label, std::optional<std::string> word) {
    std::optional<Labels> labels;
    if (word) labels = Labels{{"region", region.text}, {label, *word}};
    SetOnly(region.text, std::move(labels));
  }

  /// The one series that stands for `key` becomes that of `labels`; nothing: it disappears.
  void SetOnly(const std::string& key, std::optional<Labels> labels) {
    std::optional<Labels>& shown = shown_[key];
    if (shown && shown != labels) Set(*shown, std::nullopt);
    if (labels) Set(*labels, 1);
    shown = std::move(labels);
  }

 private:
  Family<Gauge>& family_;
  std::map<Labels, Gauge*> series_;
  std::map<std::string, std::optional<Labels>> shown_;
};

/// A counter that somebody else counts; a lower number than before means that it began anew.
class FollowedCounter {
 public:
  explicit FollowedCounter(Family<Counter>& family, Labels labels = {}) : family_(family), labels_(std::move(labels)) {}

  void Set(std::optional<std::uint64_t> count) {
    const bool starts_anew = counter_ != nullptr && (!count || static_cast<double>(*count) < counter_->Value());
    if (starts_anew) {
      family_.Remove(counter_);
      counter_ = nullptr;
    }
    if (!count) return;
    if (counter_ == nullptr) counter_ = &family_.Add(labels_);
    counter_->Increment(static_cast<double>(*count) - counter_->Value());
  }

 private:
  Family<Counter>& family_;
  Labels labels_;
  Counter* counter_ = nullptr;  ///< nothing: unknown
};

std::optional<double> Number(std::optional<bool> flag) {
  if (!flag) return std::nullopt;
  return *flag ? 1 : 0;
}

std::optional<double> Number(std::optional<Duration> duration) {
  if (!duration) return std::nullopt;
  return Seconds(*duration);
}

template <typename State>
std::optional<std::string> Word(std::optional<State> state) {
  if (!state) return std::nullopt;
  return std::string(ToString(*state));
}

}  // namespace

struct Metrics::Series {
  Shelf registry;
  KnownGauge lease_epoch{registry, "lifeboat_lease_epoch", "Epoch of the write lease as this agent knows it."};
  KnownGauge lease_left{registry, "lifeboat_lease_seconds_left", "Seconds until the lease that this region holds runs out."};
  KnownGauge lease_held{registry, "lifeboat_lease_held", "1 while this region holds a valid write lease."};
  KnownGauge role{registry, "lifeboat_region_role", "1 for the role that a region has now."};
  KnownGauge verdict{registry, "lifeboat_region_verdict", "1 for the verdict on a region."};
  KnownGauge lag{registry, "lifeboat_replication_lag_seconds",
                 "Age of the newest write that the region has flushed; absent while unknown."};
  KnownGauge lag_bytes{registry, "lifeboat_replication_lag_bytes",
                       "Bytes of WAL that the region has not flushed yet; absent while unknown."};
  KnownGauge heartbeat_age{registry, "lifeboat_heartbeat_age_seconds",
                           "Age of the newest heartbeat row that the region's copy shows; absent while unknown."};
  KnownGauge lag_source{registry, "lifeboat_lag_source", "1 for where the lag of a region is known from."};
  KnownGauge store_reachable{registry, "lifeboat_store_reachable", "1 while the shared store answers this agent."};
  KnownGauge canary_ok{registry, "lifeboat_canary_ok", "1 when the last write through the public name succeeded."};
  KnownGauge canary_last{registry, "lifeboat_canary_last_success_timestamp_seconds",
                         "Unix time of the last write through the public name that succeeded."};
  KnownGauge votes_degraded{registry, "lifeboat_votes_degraded", "Agents that call the primary degraded, by this agent's count."};
  KnownGauge votes_agents{registry, "lifeboat_votes_agents", "Agents of the service, also those that do not answer."};
  KnownGauge degraded{registry, "lifeboat_primary_degraded",
                      "1 when a majority of all agents has called the primary degraded for policy.degraded_after."};
  KnownGauge cool_down{registry, "lifeboat_cool_down_latched",
                       "1 while votes move nothing before a person has cleared the last such move; absent while unknown."};
  KnownGauge backup_age{registry, "lifeboat_backup_age_seconds", "Age of the newest backup of a source; absent while unknown."};
  KnownGauge backup_verified_age{registry, "lifeboat_backup_verified_age_seconds",
                                 "Age of the newest backup that was verified; absent while unknown, or where there is none."};
  KnownGauge backup_verdict{registry, "lifeboat_backup_verdict",
                            "1 for the worst verdict of a level in the last verification or restore."};
  KnownGauge backup_restore{registry, "lifeboat_backup_restore_seconds",
                            "From the start of the last restore to its first verified query; absent where it did not come so far."};
  KnownGauge backup_window_from{registry, "lifeboat_backup_window_from_bytes",
                                "Position from which on every moment can be restored."};
  KnownGauge backup_window_to{registry, "lifeboat_backup_window_to_bytes", "Position up to which every moment can be restored."};
  KnownGauge backup_window_commit{registry, "lifeboat_backup_window_last_commit_timestamp_seconds",
                                  "Unix time of the last commit that a restore to the newest moment would show."};
  KnownGauge backup_window_holes{registry, "lifeboat_backup_window_holes", "Holes in the WAL behind that position."};
  KnownGauge backup_read{registry, "lifeboat_backup_read_bytes", "Stored bytes that the last verification read."};
  KnownGauge backup_standing{registry, "lifeboat_backup_standing_bytes",
                             "Stored bytes that it did not read, as they are unchanged since an earlier one found them good."};
  KnownGauge backup_oldest{registry, "lifeboat_backup_oldest_reading_age_seconds",
                           "Age of the oldest reading that its verdicts stand on."};
  KnownGauge backup_report{registry, "lifeboat_backup_report", "1 when the last verification gave a report, 0 when it gave none."};
  KnownGauge traces_waiting{registry, "lifeboat_traces_waiting", "Traces that the collector has not taken yet."};
  Family<Counter>& traces =
      AddCounter(registry, "lifeboat_traces_total", "Traces by what became of them: all but 'sent' were dropped.");
  Family<Counter>& trace_tries = AddCounter(registry, "lifeboat_trace_failed_tries_total",
                                            "Requests that the collector of traces did not take, and that are made again.");
  std::map<std::string, std::map<std::string, std::string>> backup_words;  ///< shown verdicts, by source and level
  KnownGauge guard_worst{registry, "lifeboat_guard_worst_kill_seconds", "Longest time that a kill took, measured by the guard."};
  FollowedCounter guard_kills{
      AddCounter(registry, "lifeboat_guard_kills_total", "Times that the guard stopped the database, counted by the guard.")};
  Family<Counter>& renewals =
      AddCounter(registry, "lifeboat_lease_renewals_total",
                 "Renewals of the write lease in the store by this run of the agent, by outcome: good, failed.");
  FollowedCounter renewals_good{renewals, {{"outcome", "good"}}};
  FollowedCounter renewals_failed{renewals, {{"outcome", "failed"}}};
  KnownGauge renewal_took{registry, "lifeboat_lease_renewal_seconds", "Time that the last good renewal in the store took."};
  KnownGauge service{registry, "lifeboat_service_verdict", "1 for the word of 'lifeboat status' about the whole service."};
  KnownGauge agent_answers{registry, "lifeboat_agent_answers", "1 while the agent of a region answers this one."};
  KnownGauge could_take_over{
      registry, "lifeboat_region_could_take_over",
      "1 while a region could take over, 0 while it could not; absent for the one that serves and for witnesses."};
  KnownGauge guard_answers{registry, "lifeboat_guard_answers", "1 while the guard of a region answers its agent."};
  KnownGauge fence{registry, "lifeboat_fence_level", "1 for what would stop a region's database: gate and guard, guard, none."};
  KnownGauge objective{registry, "lifeboat_objective_seconds", "The stated objectives: rto, rpo."};
  KnownGauge execution{registry, "lifeboat_execution_state", "1 for plan and state of the execution that is not ended."};
  KnownGauge withheld{registry, "lifeboat_decision_withheld",
                      "1 while a rule holds an action back until a person says more: 'lifeboat explain' names the command."};
  KnownGauge check_faults{registry, "lifeboat_check_faults", "Faults that 'lifeboat check' finds, asked by the agent itself."};
  KnownGauge check_at{registry, "lifeboat_check_timestamp_seconds", "Unix time of that look."};
  KnownGauge evidence{registry, "lifeboat_evidence_intact",
                      "1 while this region's evidence chain is whole and agrees with the heads that other regions hold."};
  KnownGauge evidence_at{registry, "lifeboat_evidence_timestamp_seconds", "Unix time of that look."};
  KnownGauge run_ended{registry, "lifeboat_last_run_end_timestamp_seconds",
                       "Unix time at which the newest execution of a plan ended, by this region's evidence."};
  KnownGauge run_rto{registry, "lifeboat_last_run_rto_seconds",
                     "From its fault to the first good write; absent where that was not measured."};
  KnownGauge run_loss{registry, "lifeboat_last_run_loss_seconds", "Bound on what it lost, as time; absent while unknown."};
  Family<Counter>& datagrams = AddCounter(registry, "lifeboat_datagrams_total",
                                          "Datagrams that arrived, by what became of them; all but 'taken' were dropped.");
  Family<Counter>& decisions =
      AddCounter(registry, "lifeboat_decisions_total", "Decisions, by the number of the rule that decided.");
};

Metrics::Metrics(const std::string& version) : series_(std::make_unique<Series>()) {
  AddGauge(series_->registry, "lifeboat_build_info", "1; the labels say what runs.").Add({{"version", version}}).Set(1);
  std::sort(series_->registry.entries.begin(), series_->registry.entries.end(),
            [](const Entry& a, const Entry& b) { return a.name < b.name; });
}

Metrics::~Metrics() = default;

void Metrics::SetLeaseEpoch(std::optional<Epoch> epoch) {
  std::optional<double> number;
  if (epoch) number = static_cast<double>(epoch->number);
  series_->lease_epoch.Set(number);
}
void Metrics::SetLeaseLeft(std::optional<Duration> left) { series_->lease_left.Set(Number(left)); }
void Metrics::SetLeaseHeld(std::optional<bool> held) { series_->lease_held.Set(Number(held)); }

void Metrics::SetRole(const RegionName& region, std::optional<Role> role) { series_->role.SetWord(region, "role", Word(role)); }
void Metrics::SetVerdict(const RegionName& region, std::optional<Verdict> verdict) {
  series_->verdict.SetWord(region, "verdict", Word(verdict));
}

void Metrics::SetReplicationLag(const RegionName& region, std::optional<Duration> lag) {
  series_->lag.Set({{"region", region.text}}, Number(lag));
}
void Metrics::SetReplicationLagBytes(const RegionName& region, std::optional<ByteCount> lag) {
  std::optional<double> bytes;
  if (lag) bytes = static_cast<double>(lag->bytes);
  series_->lag_bytes.Set({{"region", region.text}}, bytes);
}

void Metrics::SetHeartbeatAge(const RegionName& region, std::optional<Duration> age) {
  series_->heartbeat_age.Set({{"region", region.text}}, Number(age));
}
void Metrics::SetLagSource(const RegionName& region, std::optional<std::string> source) {
  series_->lag_source.SetWord(region, "source", std::move(source));
}

void Metrics::SetStoreReachable(std::optional<bool> reachable) { series_->store_reachable.Set(Number(reachable)); }
void Metrics::SetCanaryOk(std::optional<bool> ok) { series_->canary_ok.Set(Number(ok)); }
void Metrics::SetCanaryLastSuccess(std::optional<WallTime> at) {
  std::optional<double> seconds;
  if (at) seconds = static_cast<double>(at->ns) / 1e9;
  series_->canary_last.Set(seconds);
}
void Metrics::SetVotes(std::size_t degraded, std::size_t agents, bool verdict) {
  series_->votes_degraded.Set(static_cast<double>(degraded));
  series_->votes_agents.Set(static_cast<double>(agents));
  series_->degraded.Set(verdict ? 1.0 : 0.0);
}
void Metrics::SetCoolDownLatched(std::optional<bool> latched) { series_->cool_down.Set(Number(latched)); }
void Metrics::SetBackups(const std::string& source, const BackupFigures& figures) {
  Series& s = *series_;
  const Labels labels{{"source", source}};
  const auto number = [](const auto& value) { return value ? std::optional(static_cast<double>(*value)) : std::nullopt; };
  s.backup_age.Set(labels, Number(figures.newest_age));
  s.backup_verified_age.Set(labels, Number(figures.verified_age));
  s.backup_restore.Set(labels, figures.restore_seconds);
  s.backup_window_from.Set(labels, number(figures.window_from));
  s.backup_window_to.Set(labels, number(figures.window_to));
  s.backup_window_commit.Set(labels, number(figures.window_commit));
  s.backup_window_holes.Set(labels, number(figures.window_holes));
  s.backup_read.Set(labels, number(figures.read_bytes));
  s.backup_standing.Set(labels, number(figures.standing_bytes));
  s.backup_oldest.Set(labels, Number(figures.oldest_reading));
  s.backup_report.Set(labels, Number(figures.report));
  auto& shown = s.backup_words[source];
  if (shown == figures.verdicts) return;
  for (const auto& [level, verdict] : shown)
    s.backup_verdict.Set({{"source", source}, {"level", level}, {"verdict", verdict}}, std::nullopt);
  for (const auto& [level, verdict] : figures.verdicts)
    s.backup_verdict.Set({{"source", source}, {"level", level}, {"verdict", verdict}}, 1);
  shown = figures.verdicts;
}

void Metrics::SetTraces(const TraceFigures& figures) {
  Series& s = *series_;
  const auto raise = [](Counter& counter, std::uint64_t to) {
    counter.Increment(std::max(0.0, static_cast<double>(to) - counter.Value()));
  };
  raise(s.traces.Add({{"outcome", "sent"}}), figures.sent);
  raise(s.traces.Add({{"outcome", "pushed_out"}}), figures.pushed_out);
  raise(s.traces.Add({{"outcome", "refused"}}), figures.refused);
  raise(s.trace_tries.Add(Labels()), figures.failed_tries);
  s.traces_waiting.Set(static_cast<double>(figures.waiting));
}

void Metrics::SetGuardWorstKill(std::optional<Duration> worst) { series_->guard_worst.Set(Number(worst)); }

void Metrics::SetGuardKills(std::optional<std::uint64_t> kills) { series_->guard_kills.Set(kills); }

void Metrics::SetLeaseRenewals(std::uint64_t good, std::uint64_t failed, std::optional<Duration> took) {
  series_->renewals_good.Set(good);
  series_->renewals_failed.Set(failed);
  series_->renewal_took.Set(Number(took));
}

void Metrics::SetService(const std::string& verdict) {
  std::optional<Labels> labels;
  if (!verdict.empty()) labels = Labels{{"verdict", verdict}};
  series_->service.SetOnly("", std::move(labels));
}

void Metrics::SetAgentAnswers(const RegionName& region, std::optional<bool> answers) {
  series_->agent_answers.Set({{"region", region.text}}, Number(answers));
}
void Metrics::SetCouldTakeOver(const RegionName& region, std::optional<bool> could) {
  series_->could_take_over.Set({{"region", region.text}}, Number(could));
}
void Metrics::SetGuardAnswers(const RegionName& region, std::optional<bool> answers) {
  series_->guard_answers.Set({{"region", region.text}}, Number(answers));
}
void Metrics::SetFence(const RegionName& region, std::optional<std::string> level) {
  series_->fence.SetWord(region, "level", std::move(level));
}

void Metrics::SetObjectives(Duration rto, Duration rpo) {
  series_->objective.Set({{"objective", "rto"}}, Seconds(rto));
  series_->objective.Set({{"objective", "rpo"}}, Seconds(rpo));
}

void Metrics::SetExecution(std::optional<std::pair<std::string, std::string>> plan_and_state) {
  std::optional<Labels> labels;
  if (plan_and_state) labels = Labels{{"plan", plan_and_state->first}, {"state", plan_and_state->second}};
  series_->execution.SetOnly("", std::move(labels));
}

void Metrics::SetWithheld(std::optional<int> rule) {
  std::optional<Labels> labels;
  if (rule) labels = Labels{{"rule", std::to_string(*rule)}};
  series_->withheld.SetOnly("", std::move(labels));
}

void Metrics::SetCheck(std::size_t faults, WallTime at) {
  series_->check_faults.Set(static_cast<double>(faults));
  series_->check_at.Set(static_cast<double>(at.ns) / 1e9);
}

void Metrics::SetEvidence(std::optional<bool> intact, WallTime at) {
  series_->evidence.Set(Number(intact));
  series_->evidence_at.Set(static_cast<double>(at.ns) / 1e9);
}

void Metrics::SetLastRun(const std::string& plan, std::optional<WallTime> ended, std::optional<double> rto_seconds,
                         std::optional<double> loss_seconds) {
  const Labels labels{{"plan", plan}};
  std::optional<double> at;
  if (ended) at = static_cast<double>(ended->ns) / 1e9;
  series_->run_ended.Set(labels, at);
  series_->run_rto.Set(labels, rto_seconds);
  series_->run_loss.Set(labels, loss_seconds);
}

void Metrics::CountDatagram(const char* outcome) { series_->datagrams.Add({{"outcome", outcome}}).Increment(); }

void Metrics::CountDecision(int rule) { series_->decisions.Add({{"rule", std::to_string(rule)}}).Increment(); }

const std::vector<Metrics::Entry>& Metrics::Entries() const { return series_->registry.entries; }

std::string Metrics::Text() const {
  std::vector<prometheus::MetricFamily> families = series_->registry.Collect();
  std::erase_if(families, [](const prometheus::MetricFamily& family) { return family.metric.empty(); });
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace lifeboat
