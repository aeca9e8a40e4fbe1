#include "agent/managed_sql.h"

#include <algorithm>

#include "base/spawn.h"
#include "decide/managed.h"

namespace lifeboat {

namespace {
constexpr const char* kByHeartbeat = "heartbeats";
constexpr const char* kByAurora = "aurora_global_db_status()";
/// A heartbeat that a region's copy shows, and that is older than this, is a fault of `check`.
constexpr Duration kOldBeat = 10s;

void Add(std::vector<Readiness>& lines, const char* level, std::string what, std::string hint = {}) {
  lines.push_back({level, std::move(what), std::move(hint)});
}
std::string Quote(const RegionName& region) { return "'" + region.text + "'"; }
const char* EndName(SqlEnd end) { return end == SqlEnd::kWriter ? "writer" : "reader"; }
}  // namespace

ManagedSqlWatch::ManagedSqlWatch(boost::asio::any_io_executor io, RegionName self, bool data, Doors doors, const Policy& policy,
                                 ManagedSqlTimes times, Log log)
    : io_(io),
      self_(std::move(self)),
      data_(data),
      doors_(std::move(doors)),
      times_(times),
      canary_patience_(policy.degraded_latency + 1s),
      log_(std::move(log)),
      judge_(policy.degraded_latency, GoodStretchOf(policy.degraded_after)) {}

void ManagedSqlWatch::Start() {
  if (data_) Spawn(io_, AskLoop());
  if (doors_.canary != nullptr) Spawn(io_, CanaryLoop());
}

void ManagedSqlWatch::SetWriter(const std::optional<WriterItem>& item) {
  if (!item || (item->writer == writer_ && item->epoch == epoch_)) return;
  if (item->writer != writer_) {
    // SAFETY: what was measured before the present writer is of another one.
    lags_.clear();
    seen_.clear();
    writer_since_ = item->at;
  }
  writer_ = item->writer;
  epoch_ = item->epoch;
  judge_.About(writer_, epoch_);
}

/// Keeps how an endpoint answers; a change is told.
template <typename T>
void ManagedSqlWatch::Note(SqlEnd end, const Result<T>& answer, const char* doing) {
  if (!answer.ok() && answer.error().not_weighed) return;  // it was not asked
  End& known = ends_[end];
  const bool good = answer.ok();
  if (known.ok != good) {
    if (good && known.ok) log_.Info("the database answers SQL again", {{"end", EndName(end)}});
    if (!good)
      log_.Warn("the database does not answer SQL as it should",
                {{"end", EndName(end)}, {"doing", doing}, {"problem", answer.error().Text()}});
  }
  known.ok = good;
  known.problem = good ? std::string() : answer.error().message;
  known.hint = good ? std::string() : answer.error().hint;
  if (const std::string protection = doors_.sql.Protection(end); !protection.empty()) known.protection = protection;
}

// ---- loops ----

/// One question at a time: the writer's agent writes a beat, another one reads what its copy shows; now and then Aurora's own lag
/// is asked.
Task<> ManagedSqlWatch::AskLoop() {
  std::optional<Instant> lags_asked;
  while (true) {
    const Instant began = doors_.clock.Now();
    if (IsWriterHere())
      co_await WriteBeat();
    else if (!writer_.empty())
      co_await ReadBeats();
    if (!writer_.empty() && (!lags_asked || AgeAt(*lags_asked, began) >= times_.lags)) {
      lags_asked = began;
      co_await AskLags();
    }
    const Duration left = std::max<Duration>(times_.beat - AgeAt(began, doors_.clock.Now()), 50ms);
    co_await doors_.clock.Sleep(left);
  }
}

/// SAFETY: called by nobody but the agent of the writer's region, under the epoch that it knows.
Task<> ManagedSqlWatch::WriteBeat() {
  const Instant asked = doors_.clock.Now();
  auto beat = co_await doors_.sql.Beat(epoch_, times_.call);
  Note(SqlEnd::kWriter, beat, "writing a heartbeat");
  if (!beat.ok()) co_return;
  book_.Note(*beat, asked);
  if (writer_ == self_) seen_[self_] = *beat;
}

Task<> ManagedSqlWatch::ReadBeats() {
  auto rows = co_await doors_.sql.ReadBeats(self_, SqlEnd::kReader, times_.call);
  Note(SqlEnd::kReader, rows, "reading heartbeats");
  if (!rows.ok()) co_return;
  for (const Heartbeat& row : *rows) {
    if (row.region == writer_) seen_[self_] = row;
  }
}

Task<> ManagedSqlWatch::AskLags() {
  const RegionName about = writer_;
  const Instant asked = doors_.clock.Now();
  const SqlEnd end = IsWriterHere() ? SqlEnd::kWriter : SqlEnd::kReader;
  auto lags = co_await doors_.sql.GlobalLags(end, times_.call);
  if (lags.ok() || lags.error().retry == Retry::kNotFound) tells_lag_ = lags.ok();
  if (!lags.ok() || about != writer_) co_return;
  for (const SqlLag& lag : *lags) TakeLag(lag, asked);
}

void ManagedSqlWatch::TakeLag(const SqlLag& lag, Instant asked) {
  if (!lag.rpo || lag.region == writer_) return;
  const Instant measured = asked - lag.age;
  const auto known = lags_.find(lag.region);
  if (known != lags_.end() && AgeAt(known->second.measured, measured) <= 0ns) return;
  lags_[lag.region] = {lag, measured};
}

Task<> ManagedSqlWatch::CanaryLoop() {
  while (true) {
    const Instant began = doors_.clock.Now();
    auto written = co_await doors_.canary->Write(canary_patience_);
    const Duration took = AgeAt(began, doors_.clock.Now());
    TakeCanaryRow(began, took, written);
    const Duration pause = canary_.ok == true ? times_.canary : times_.canary_when_bad;
    co_await doors_.clock.Sleep(pause);
  }
}

void ManagedSqlWatch::TakeCanaryRow(Instant began, Duration took, const Result<std::string>& written) {
  canary_.took = took;
  if (written.ok()) {
    if (canary_.ok == false) log_.Info("the canary writes again", {{"target", *written}, {"failures", canary_.failures}});
    canary_.failures = 0;
    canary_.problem.clear();
  } else {
    if (canary_.ok != false) log_.Warn("the canary cannot write", {{"problem", written.error().Text()}});
    ++canary_.failures;
    canary_.problem = written.error().message;
  }
  canary_.ok = written.ok();
  if (writer_.empty()) return;
  const auto target = doors_.targets.find(writer_);
  const std::string leads_to = written.ok() ? *written : name_;
  const bool elsewhere = target != doors_.targets.end() && !leads_to.empty() && leads_to != target->second;
  if (written.ok() && !elsewhere) {
    canary_.last_good = doors_.clock.Wall();
    canary_.good_at = doors_.clock.Now();
  }
  // A name that cannot be asked, or that leads elsewhere, is no fault of the writer.
  // An agent that has never got a row there may have no way to it.
  const bool no_way = canary_.last_good.ns == 0;
  const bool telling = !elsewhere && !no_way && (written.ok() || !written.error().not_weighed);
  std::string why = canary_.problem;
  if (no_way) why = "no row has been written from here yet: " + why;
  if (elsewhere) why = "the name leads to '" + leads_to + "', which is not the writer";
  judge_.OnRow({began, took, written.ok(), telling, why});
}

// ---- what follows ----

std::optional<Duration> ManagedSqlWatch::HeartbeatAge(const RegionName& region, Instant now) const {
  const auto seen = seen_.find(region);
  if (seen == seen_.end() || seen->second.region != writer_) return std::nullopt;
  const auto whole = book_.WholeAt(seen->second);
  if (!whole) return std::nullopt;
  return std::max<Duration>(0ns, AgeAt(*whole, now));
}

std::optional<ManagedSqlWatch::Known> ManagedSqlWatch::LossOf(const RegionName& region, Instant now,
                                                              std::optional<Duration> silent_for) const {
  std::optional<Known> best;
  // SAFETY: a beat that was written after the silence began, as another agent heard, denies it: then nothing is taken off.
  if (const auto newest = book_.Newest(writer_); silent_for && newest && AgeAt(newest->not_before, now) < *silent_for)
    silent_for.reset();
  if (const auto age = HeartbeatAge(region, now)) best = Known{LossByHeartbeat(*age, silent_for), *age, 0ns, kByHeartbeat};
  if (const auto found = lags_.find(region); found != lags_.end()) {
    const Duration age = std::max<Duration>(0ns, AgeAt(found->second.measured, now));
    Known known{LossByLag(*found->second.lag.rpo, age, silent_for), *found->second.lag.rpo, age, kByAurora};
    // Both are bounds: the lower one says more.
    if (!best || known.loss.time < best->loss.time) best = std::move(known);
  }
  return best;
}

std::optional<LastBeats> ManagedSqlWatch::LastBeatsAt(Instant now, std::optional<Duration> silent_for) const {
  const auto newest = book_.Newest(writer_);
  if (!newest) return std::nullopt;
  const Duration age = AgeAt(newest->not_before, now);
  if (!silent_for || age < *silent_for) return LastBeats{*newest, std::nullopt};
  return LastBeats{*newest, age - *silent_for};
}

std::optional<WallTime> ManagedSqlWatch::LastGoodWrite() const {
  std::optional<Instant> newest;
  if (canary_.last_good.ns > 0) newest = canary_.good_at;
  for (const auto& [region, at] : good_) {
    if (!newest || AgeAt(*newest, at) > 0ns) newest = at;
  }
  if (!newest) return std::nullopt;
  const WallTime wall{doors_.clock.Wall().ns - AgeAt(*newest, doors_.clock.Now()).count()};
  return wall >= writer_since_ ? std::optional(wall) : std::nullopt;
}

// ---- gossip ----

Json ManagedSqlWatch::EndJson(const End& end) const {
  return {
      {"ok", end.ok ? Json(*end.ok) : Json(nullptr)}, {"problem", end.problem}, {"hint", end.hint}, {"protection", end.protection}};
}

Json ManagedSqlWatch::Gossip(Instant now) const {
  Json lags = Json::object();
  for (const auto& [region, sample] : lags_) {
    lags[region.text] = {{"rpo_ns", sample.lag.rpo->count()},
                         {"age_ns", std::max<Duration>(0ns, AgeAt(sample.measured, now)).count()}};
    if (sample.lag.durability) lags[region.text]["durability_ns"] = sample.lag.durability->count();
  }
  Json ends = Json::object();
  for (const auto& [end, state] : ends_) ends[EndName(end)] = EndJson(state);
  Json said = {{"about", writer_.text},
               {"lags", lags},
               {"tells_lag", tells_lag_ ? Json(*tells_lag_) : Json(nullptr)},
               {"ends", ends},
               {"canary", CanaryStatus()}};
  if (doors_.canary != nullptr && canary_.last_good.ns > 0)
    said["canary"]["last_good_age_ns"] = std::max<Duration>(0ns, AgeAt(canary_.good_at, now)).count();
  if (const auto newest = book_.Newest(writer_)) {
    said["beat"] = ToJson(newest->beat);
    said["beat"]["age_ns"] = std::max<Duration>(0ns, AgeAt(newest->not_before, now)).count();
  }
  if (const auto seen = seen_.find(self_); seen != seen_.end()) said["seen"] = ToJson(seen->second);
  return said;
}

void ManagedSqlWatch::TakeGossip(const RegionName& region, const Json& said, Instant asked) {
  if (!said.is_object()) return;
  told_[region] = said;
  // By this agent's clock, and by the question's moment: an outage never begins too late.
  if (const Json& age = MemberAt(MemberAt(said, "canary"), "last_good_age_ns");
      age.is_number_integer() && age.get<std::int64_t>() >= 0)
    good_[region] = asked - Duration(age.get<std::int64_t>());
  // SAFETY: by the question's moment, which lies before the answer's: an age is never understated.
  if (const Json& beat = MemberAt(said, "beat"); beat.is_object()) {
    const auto known = HeartbeatFromJson(beat);
    const Json& age = MemberAt(beat, "age_ns");
    if (known.ok() && age.is_number_integer() && SignedAt(beat, "age_ns") >= 0)
      book_.Note(*known, asked - Duration(SignedAt(beat, "age_ns")));
  }
  if (writer_.empty() || TextAt(said, "about") != writer_.text) return;  // it does not know of the present writer yet
  if (const auto seen = HeartbeatFromJson(MemberAt(said, "seen")); seen.ok() && seen->region == writer_) seen_[region] = *seen;
  for (const auto& [name, told] : MemberAt(said, "lags").items()) {
    if (!MemberAt(told, "rpo_ns").is_number_integer() || !MemberAt(told, "age_ns").is_number_integer()) continue;
    SqlLag lag{RegionName(name), Duration(SignedAt(told, "rpo_ns")), std::nullopt, Duration(SignedAt(told, "age_ns"))};
    if (MemberAt(told, "durability_ns").is_number_integer()) lag.durability = Duration(SignedAt(told, "durability_ns"));
    if (*lag.rpo >= 0ns && lag.age >= 0ns) TakeLag(lag, asked);
  }
}

// ---- for people ----

Json ManagedSqlWatch::CanaryStatus() const {
  if (doors_.canary == nullptr) return nullptr;
  return {{"ok", canary_.ok ? Json(*canary_.ok) : Json(nullptr)},
          {"last_good_ns", canary_.last_good.ns},
          {"failures", canary_.failures},
          {"took_ms", Millis(canary_.took)},
          {"problem", canary_.problem}};
}

Json ManagedSqlWatch::RegionStatus(const RegionName& region, Instant now) const {
  Json ends = Json::object();
  if (region == self_) {
    for (const auto& [end, state] : ends_) ends[EndName(end)] = EndJson(state);
  } else if (const auto told = told_.find(region); told != told_.end()) {
    ends = MemberAt(told->second, "ends");
  }
  const auto age = HeartbeatAge(region, now);
  const auto seen = seen_.find(region);
  const auto lag = lags_.find(region);
  return {{"ends", ends},
          {"heartbeat", seen == seen_.end() ? Json(nullptr) : ToJson(seen->second)},
          {"heartbeat_age_ms", age ? Json(Millis(*age)) : Json(nullptr)},
          {"rpo_lag_ms", lag == lags_.end() ? Json(nullptr) : Json(Millis(*lag->second.lag.rpo))},
          {"durability_lag_ms",
           lag == lags_.end() || !lag->second.lag.durability ? Json(nullptr) : Json(Millis(*lag->second.lag.durability))}};
}

std::vector<Readiness> ManagedSqlWatch::Check(const std::vector<RegionName>& data_regions, Instant now) const {
  std::vector<Readiness> lines;
  for (const RegionName& region : data_regions) {
    const Json status = RegionStatus(region, now);
    const char* end = region == writer_ ? "writer" : "reader";
    const Json& state = MemberAt(MemberAt(status, "ends"), end);
    const std::string where = std::string("SQL at the ") + end + " endpoint of " + Quote(region);
    if (!MemberAt(state, "ok").is_boolean()) {
      Add(lines, "unknown", where + " has not been asked yet, or its agent does not say", "lifeboat status");
      continue;
    }
    if (!FlagAt(state, "ok")) {
      Add(lines, "fault", where + ": " + TextAt(state, "problem"), TextAt(state, "hint"));
      continue;
    }
    const std::string protection = TextAt(state, "protection");
    Add(lines, "ok", where + " answers, " + (protection == "readable" ? "and what travels is readable" : "over " + protection));
    const auto age = HeartbeatAge(region, now);
    if (!age)
      Add(lines, "unknown", "no heartbeat of " + Quote(writer_) + " is known in " + Quote(region),
          "wait a moment; the agent of the writer's region writes them");
    else if (*age > kOldBeat)
      Add(lines, "fault", "the newest heartbeat in " + Quote(region) + " is " + FormatDuration(*age) + " old",
          region == writer_ ? "see why its agent cannot write it" : "see why replication is behind");
    else
      Add(lines, "ok", "the newest heartbeat in " + Quote(region) + " is " + FormatDuration(*age) + " old");
  }
  if (tells_lag_ == false) Add(lines, "ok", "the database has no aurora_global_db_status(): heartbeats alone tell the lag by SQL");
  if (doors_.canary == nullptr)
    Add(lines, "fault", "there is no public name that a canary could write through",
        "configure aws.traffic, or aws.sql.global_endpoint");
  else if (!canary_.ok)
    Add(lines, "unknown", "the canary has not written yet", "wait a moment");
  else if (!*canary_.ok)
    Add(lines, "fault", "the canary cannot write: " + canary_.problem, "try the service's name as a client would");
  else
    Add(lines, "ok", "the canary writes through the public name, in " + FormatDuration(canary_.took));
  return lines;
}

}  // namespace lifeboat
