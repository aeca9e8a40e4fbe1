#include "prove/phases.h"

#include <algorithm>

namespace lifeboat {

namespace {

struct Boundary {
  const char* phase;  // the phase that ends here
  const char* fact;
};
constexpr Boundary kFailover[] = {{"detect", "suspected_ns"}, {"decide", "decided_ns"},
                                  {"fence", "claimed_ns"},    {"promote", "promoted_ns"},
                                  {"route", "routed_ns"},     {"first good write", "first_good_write_ns"}};
constexpr Boundary kSwitchover[] = {
    {"fence", "claimed_ns"}, {"promote", "promoted_ns"}, {"route", "routed_ns"}, {"first good write", "first_good_write_ns"}};

std::optional<WallTime> FactAt(const Json& facts, const char* name) {
  const std::int64_t ns = SignedAt(facts, name);
  if (ns <= 0) return std::nullopt;  // absent, of another type, or a clock that was never set
  return WallTime{ns};
}

Json OptionalNs(const std::optional<WallTime>& at) { return at ? Json(at->ns) : Json(); }
Json OptionalSeconds(const std::optional<Duration>& length) { return length ? Json(Seconds(*length)) : Json(); }

}  // namespace

std::optional<Duration> Phase::Length() const {
  if (!began || !ended) return std::nullopt;
  return Duration(ended->ns - began->ns);
}

PhaseReport ComputePhases(const Execution& execution) {
  PhaseReport report;
  std::vector<Boundary> boundaries;
  switch (execution.kind) {
    case PlanKind::kFailover: boundaries.assign(std::begin(kFailover), std::end(kFailover)); break;
    case PlanKind::kSwitchover: boundaries.assign(std::begin(kSwitchover), std::end(kSwitchover)); break;
    case PlanKind::kRejoin: return report;
  }
  report.fault = FactAt(execution.facts, "fault_ns");
  if (!report.fault) report.fault = FactAt(execution.facts, "last_good_write_ns");
  // Without a client's word a planned outage begins when the old primary is told to stop.
  if (!report.fault && execution.kind == PlanKind::kSwitchover) report.fault = FactAt(execution.facts, "outage_began_ns");
  report.first_good_write = FactAt(execution.facts, "first_good_write_ns");
  // Where nobody writes rows (a database that a cloud runs), the end is the look that showed the service in its new place; called
  // so.
  const bool only_seen = !report.first_good_write && FactAt(execution.facts, "seen_serving_ns");
  if (only_seen) {
    report.first_good_write = FactAt(execution.facts, "seen_serving_ns");
    boundaries.back().phase = "seen serving";
  }
  // A first good write before the fault measures another outage: unknown, not zero.
  if (report.fault && report.first_good_write && *report.first_good_write < *report.fault) report.first_good_write.reset();
  if (report.fault && report.first_good_write) report.rto = Duration(report.first_good_write->ns - report.fault->ns);

  WallTime latest = report.fault.value_or(WallTime{});
  std::optional<WallTime> began = report.fault;
  for (const Boundary& boundary : boundaries) {
    const bool is_last = &boundary == &boundaries.back();
    std::optional<WallTime> ended = is_last ? report.first_good_write : FactAt(execution.facts, boundary.fact);
    if (ended && report.first_good_write) ended = std::min(*ended, *report.first_good_write);
    if (ended) latest = *(ended = std::max(*ended, latest));
    report.phases.push_back({boundary.phase, began, ended});
    began = ended;
  }
  return report;
}

std::optional<bool> MeetsRpo(const Json& loss, Duration rpo) {
  const std::string state = TextAt(loss, "state", "unknown");
  if (state == "proven zero") return true;
  if (state != "bounded" && state != "counted" && state != "decoded") return std::nullopt;
  if (state != "bounded" && MemberAt(loss, "rows").is_number_integer() && NumberAt(loss, "rows", 1) == 0) return true;
  const Json& seconds = MemberAt(loss, "seconds");
  if (!seconds.is_number()) return std::nullopt;
  const bool within = seconds.get<double>() <= Seconds(rpo);
  if (state == "bounded" && !within) return std::nullopt;  // at most so much: it may still have been less
  return within;
}

Json ReportRun(const Execution& execution, const Objectives& objectives, const Json& loss) {
  const PhaseReport report = ComputePhases(execution);
  Json phases = Json::array();
  for (const Phase& phase : report.phases) {
    phases.push_back({{"name", phase.name},
                      {"began_ns", OptionalNs(phase.began)},
                      {"ended_ns", OptionalNs(phase.ended)},
                      {"seconds", OptionalSeconds(phase.Length())}});
  }
  Json steps = Json::array();
  for (const StepRecord& step : execution.steps) {
    const bool measured = step.began.ns > 0 && step.ended >= step.began;
    steps.push_back({{"name", step.name},
                     {"state", ToString(step.state)},
                     {"seconds", measured ? Json(Seconds(Duration(step.ended.ns - step.began.ns))) : Json()},
                     {"outcome", step.outcome}});
  }
  const bool is_outage = execution.kind != PlanKind::kRejoin;
  const auto rpo_met = is_outage ? MeetsRpo(loss, objectives.rpo) : std::nullopt;
  return {{"kind", ToString(execution.kind)},
          {"execution", execution.id.text},
          {"state", ToString(execution.state)},
          {"source", execution.source.text},
          {"target", execution.target.text},
          {"epoch", execution.epoch.number},
          {"requested_by", execution.requested_by},
          {"fault_ns", OptionalNs(report.fault)},
          {"began_ns", execution.began.ns},
          {"ended_ns", execution.ended.ns > 0 ? Json(execution.ended.ns) : Json()},
          {"phases", phases},
          {"rto_s", OptionalSeconds(report.rto)},
          {"rto_met", report.rto ? Json(*report.rto <= objectives.rto) : Json()},
          {"loss", loss},
          {"rpo_met", rpo_met ? Json(*rpo_met) : Json()},
          {"steps", steps}};
}

}  // namespace lifeboat
