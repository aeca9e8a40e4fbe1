#include "serve/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <map>

namespace lifeboat {

namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Labels;
using prometheus::Registry;

/// A gauge whose series exist only while their value is known.
class KnownGauge {
 public:
  KnownGauge(Registry& registry, const std::string& name, const std::string& help)
      : family_(prometheus::BuildGauge().Name(name).Help(help).Register(registry)) {}

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
    std::string& shown = words_[region];
    if (!shown.empty() && shown != word) Set(Labels{{"region", region.text}, {label, shown}}, std::nullopt);
    if (word) Set(Labels{{"region", region.text}, {label, *word}}, 1);
    shown = word.value_or("");
  }

 private:
  Family<Gauge>& family_;
  std::map<Labels, Gauge*> series_;
  std::map<RegionName, std::string> words_;
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

// Renewals take a round trip between regions: from under a millisecond in a lab to a lost packet's seconds.
const Histogram::BucketBoundaries kRenewalSeconds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5};

}  // namespace

struct Metrics::Series {
  Registry registry;
  KnownGauge lease_epoch{registry, "lifeboat_lease_epoch", "Epoch of the write lease as this agent knows it."};
  KnownGauge lease_left{registry, "lifeboat_lease_seconds_left", "Seconds until the lease that this region holds runs out."};
  KnownGauge lease_held{registry, "lifeboat_lease_held", "1 while this region holds a valid write lease."};
  KnownGauge role{registry, "lifeboat_region_role", "1 for the role that a region has now."};
  KnownGauge verdict{registry, "lifeboat_region_verdict", "1 for the verdict on a region."};
  KnownGauge lag{registry, "lifeboat_replication_lag_seconds",
                 "Age of the newest write that the region has flushed; absent while unknown."};
  KnownGauge lag_bytes{registry, "lifeboat_replication_lag_bytes",
                       "Bytes of WAL that the region has not flushed yet; absent while unknown."};
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
  KnownGauge backup_verdict{registry, "lifeboat_backup_verdict", "1 for the worst verdict of a level in the last verification or restore."};
  KnownGauge backup_restore{registry, "lifeboat_backup_restore_seconds",
                            "From the start of the last restore to its first verified query; absent where it did not come so far."};
  KnownGauge backup_window_from{registry, "lifeboat_backup_window_from_bytes", "Position from which on every moment can be restored."};
  KnownGauge backup_window_to{registry, "lifeboat_backup_window_to_bytes", "Position up to which every moment can be restored."};
  KnownGauge backup_window_commit{registry, "lifeboat_backup_window_last_commit_timestamp_seconds",
                                  "Unix time of the last commit that a restore to the newest moment would show."};
  KnownGauge backup_window_holes{registry, "lifeboat_backup_window_holes", "Holes in the WAL behind that position."};
  KnownGauge backup_read{registry, "lifeboat_backup_read_bytes", "Stored bytes that the last verification read."};
  KnownGauge backup_standing{registry, "lifeboat_backup_standing_bytes",
                             "Stored bytes that it did not read, as they are unchanged since an earlier one found them good."};
  KnownGauge backup_oldest{registry, "lifeboat_backup_oldest_reading_age_seconds", "Age of the oldest reading that its verdicts stand on."};
  KnownGauge backup_report{registry, "lifeboat_backup_report", "1 when the last verification gave a report, 0 when it gave none."};
  std::map<std::string, std::map<std::string, std::string>> backup_words;  ///< shown verdicts, by source and level
  KnownGauge guard_worst{registry, "lifeboat_guard_worst_kill_seconds", "Longest time that a kill took, measured by the guard."};
  Family<Counter>& guard_kills_family = prometheus::BuildCounter()
                                            .Name("lifeboat_guard_kills_total")
                                            .Help("Times that the guard stopped the database, counted by the guard.")
                                            .Register(registry);
  Counter* guard_kills = nullptr;  ///< nothing: unknown
  Family<Counter>& renewals = prometheus::BuildCounter()
                                  .Name("lifeboat_lease_renewals_total")
                                  .Help("Renewals of the write lease that were tried, by outcome.")
                                  .Register(registry);
  Histogram& renewal_seconds = prometheus::BuildHistogram()
                                   .Name("lifeboat_lease_renewal_seconds")
                                   .Help("Time from a renewal's question to its end.")
                                   .Register(registry)
                                   .Add(Labels(), kRenewalSeconds);
  Family<Counter>& executions = prometheus::BuildCounter()
                                    .Name("lifeboat_executions_total")
                                    .Help("Executions that reached a state, by plan.")
                                    .Register(registry);
  Family<Counter>& datagrams = prometheus::BuildCounter()
                                   .Name("lifeboat_datagrams_total")
                                   .Help("Datagrams that arrived, by what became of them; all but 'taken' were dropped.")
                                   .Register(registry);
  Family<Counter>& decisions = prometheus::BuildCounter()
                                   .Name("lifeboat_decisions_total")
                                   .Help("Decisions, by the number of the rule that decided.")
                                   .Register(registry);
};

Metrics::Metrics(const std::string& version) : series_(std::make_unique<Series>()) {
  prometheus::BuildGauge()
      .Name("lifeboat_build_info")
      .Help("1; the labels say what runs.")
      .Register(series_->registry)
      .Add({{"version", version}})
      .Set(1);
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
  const auto number = [](const auto& value) {
    return value ? std::optional(static_cast<double>(*value)) : std::nullopt;
  };
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
  for (const auto& [level, verdict] : shown) s.backup_verdict.Set({{"source", source}, {"level", level}, {"verdict", verdict}}, std::nullopt);
  for (const auto& [level, verdict] : figures.verdicts) s.backup_verdict.Set({{"source", source}, {"level", level}, {"verdict", verdict}}, 1);
  shown = figures.verdicts;
}

void Metrics::SetGuardWorstKill(std::optional<Duration> worst) { series_->guard_worst.Set(Number(worst)); }

void Metrics::SetGuardKills(std::optional<std::uint64_t> kills) {
  Counter*& counter = series_->guard_kills;
  const bool starts_anew = counter != nullptr && (!kills || static_cast<double>(*kills) < counter->Value());
  if (starts_anew) {
    series_->guard_kills_family.Remove(counter);
    counter = nullptr;
  }
  if (!kills) return;
  if (counter == nullptr) counter = &series_->guard_kills_family.Add(Labels());
  counter->Increment(static_cast<double>(*kills) - counter->Value());
}

void Metrics::CountLeaseRenewal(const std::string& outcome, Duration took) {
  series_->renewals.Add({{"outcome", outcome}}).Increment();
  series_->renewal_seconds.Observe(Seconds(took));
}

void Metrics::CountDatagram(const char* outcome) { series_->datagrams.Add({{"outcome", outcome}}).Increment(); }

void Metrics::CountExecution(PlanKind plan, ExecutionState state) {
  series_->executions.Add({{"plan", ToString(plan)}, {"state", ToString(state)}}).Increment();
}

void Metrics::CountDecision(int rule) { series_->decisions.Add({{"rule", std::to_string(rule)}}).Increment(); }

std::string Metrics::Text() const {
  std::vector<prometheus::MetricFamily> families = series_->registry.Collect();
  std::erase_if(families, [](const prometheus::MetricFamily& family) { return family.metric.empty(); });
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace lifeboat
