#include "prove/trace.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>

#include "prove/phases.h"
#include "prove/trace_internal.h"

namespace lifeboat {

namespace trace_internal {

std::string HashPrefix(std::string_view text, std::size_t bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
  unsigned int length = 0;
  LIFEBOAT_CHECK(::EVP_Digest(text.data(), text.size(), hash.data(), &length, ::EVP_sha256(), nullptr) == 1,
                 "OpenSSL has no SHA-256");
  std::string hex;
  for (std::size_t at = 0; at < bytes && at < length; ++at) {
    hex += kDigits[hash[at] >> 4U];
    hex += kDigits[hash[at] & 0xFU];
  }
  return hex;
}

SpanId SpanIdOf(const TraceId& trace, std::string_view key) {
  return SpanId(HashPrefix("lifeboat span 1\n" + trace.text + "\n" + std::string(key), 8));
}

}  // namespace trace_internal

namespace {

using trace_internal::HashPrefix;
using trace_internal::SpanIdOf;

/// By how much the times of each run of an agent are shifted, so that the runs of one execution follow each other as they did.
class Clocks {
 public:
  explicit Clocks(const Execution& execution) {
    // Runs in the order in which they first appear: an execution has one owner at a time.
    std::vector<AgentId> order;
    std::map<AgentId, std::pair<std::int64_t, std::int64_t>> seen;  // first and last moment
    for (const StepRecord& step : execution.steps) {
      for (const StepTry& one : step.tries) {
        const auto [found, is_new] = seen.try_emplace(one.agent, one.at.ns, one.at.ns);
        if (is_new) order.push_back(one.agent);
        found->second.first = std::min(found->second.first, one.at.ns);
        found->second.second = std::max(found->second.second, one.at.ns);
      }
    }
    std::int64_t latest = execution.began.ns;
    for (const AgentId& agent : order) {
      const auto [first, last] = seen[agent];
      const std::int64_t shift = std::max<std::int64_t>(0, latest - first);
      if (shift > 0) shifts_[agent] = shift;
      latest = last + shift;
    }
  }
  [[nodiscard]] std::int64_t ShiftOf(const AgentId& agent) const {
    const auto found = shifts_.find(agent);
    return found == shifts_.end() ? 0 : found->second;
  }
  [[nodiscard]] WallTime At(WallTime at, const AgentId& agent) const { return {at.ns + ShiftOf(agent)}; }

 private:
  std::map<AgentId, std::int64_t> shifts_;
};

/// "rule 380" → 380.
std::optional<int> RuleOf(const std::string& requested_by) {
  static constexpr std::string_view kRule = "rule ";
  if (!requested_by.starts_with(kRule)) return std::nullopt;
  int number = 0;
  const char* end = requested_by.data() + requested_by.size();
  const auto [rest, problem] = std::from_chars(requested_by.data() + kRule.size(), end, number);
  if (problem != std::errc() || rest != end) return std::nullopt;
  return number;
}

class Maker {
 public:
  Maker(const Execution& execution, std::string_view service, const Objectives& objectives)
      : e_(execution), objectives_(objectives), clocks_(execution), phases_(ComputePhases(execution)) {
    trace_.id = TraceIdOf(service, e_.id);
    common_ = {{"lifeboat.service", std::string(service)}, {"lifeboat.execution", e_.id.text}};
  }

  Trace Make() {
    Span root = Root();
    AddPhases(root.id);
    for (const StepRecord& step : e_.steps) AddStep(step, root.id);
    if (!IsEnded(e_.state)) return std::move(trace_);
    for (const Span& span : trace_.spans) {
      root.began = std::min(root.began, span.began);
      root.ended = std::max(root.ended, span.ended);
    }
    trace_.spans.insert(trace_.spans.begin(), std::move(root));
    return std::move(trace_);
  }

 private:
  Span Make(const std::string& key, std::string name, WallTime began, WallTime ended) const {
    Span span;
    span.id = SpanIdOf(trace_.id, key);
    span.name = std::move(name);
    span.began = began;
    span.ended = std::max(began, ended);
    span.attributes = common_;
    return span;
  }

  Span Root() const {
    const WallTime began = phases_.fault ? std::min(*phases_.fault, e_.began) : e_.began;
    Span root = Make("execution", ToString(e_.kind), began, clocks_.At(e_.ended, e_.owner_agent));
    Json& a = root.attributes;
    a["lifeboat.plan"] = ToString(e_.kind);
    a["lifeboat.source"] = e_.source.text;
    a["lifeboat.target"] = e_.target.text;
    a["lifeboat.epoch"] = e_.epoch.number;
    if (const auto rule = RuleOf(e_.requested_by)) a["lifeboat.rule"] = *rule;
    a["lifeboat.requested_by"] = e_.requested_by;
    a["lifeboat.reason"] = e_.reason;
    a["lifeboat.outcome"] = ToString(e_.state);
    a["lifeboat.accept_loss"] = e_.accept_loss;
    const Json& loss = MemberAt(e_.facts, "loss_estimate");
    if (loss.is_object()) a["lifeboat.loss.state"] = TextAt(loss, "state", "unknown");
    // What is unknown is left out: a missing figure is none, and never 0.
    if (MemberAt(loss, "seconds").is_number()) a["lifeboat.loss.seconds"] = loss["seconds"].get<double>();
    if (MemberAt(loss, "bytes").is_number()) a["lifeboat.loss.bytes"] = loss["bytes"];
    if (e_.state == ExecutionState::kDone) root.status = SpanStatus::kOk;
    if (e_.state == ExecutionState::kFailed) {
      root.status = SpanStatus::kError;
      root.status_text = e_.reason;
    }
    return root;
  }

  void AddPhases(const SpanId& root) {
    SpanId parent = root;
    if (phases_.rto && phases_.fault && phases_.first_good_write) {
      Span outage = Make("outage", "outage", *phases_.fault, *phases_.first_good_write);
      outage.parent = root;
      outage.attributes["lifeboat.rto.seconds"] = Seconds(*phases_.rto);
      outage.attributes["lifeboat.rto.objective_seconds"] = Seconds(objectives_.rto);
      outage.attributes["lifeboat.rto.met"] = *phases_.rto <= objectives_.rto;
      parent = outage.id;
      trace_.spans.push_back(std::move(outage));
    }
    for (const Phase& phase : phases_.phases) {
      if (!phase.Length()) continue;
      Span span = Make("phase " + phase.name, phase.name, *phase.began, *phase.ended);
      span.parent = parent;
      span.attributes["lifeboat.phase"] = phase.name;
      trace_.spans.push_back(std::move(span));
    }
  }

  void AddStep(const StepRecord& step, const SpanId& root) {
    if (step.began.ns <= 0) return;
    const bool behind = step.state == StepState::kDone || step.state == StepState::kUndone || step.state == StepState::kFailed;
    if (!behind && !IsEnded(e_.state)) return;
    // A step is begun by the run of its first try, and ended by that of its last.
    const AgentId first = step.tries.empty() ? e_.owner_agent : step.tries.front().agent;
    const AgentId last = step.tries.empty() ? e_.owner_agent : step.tries.back().agent;
    const WallTime began = clocks_.At(step.began, first);
    WallTime ended = began;
    if (step.ended.ns > 0) ended = std::max(ended, clocks_.At(step.ended, last));
    if (!step.tries.empty()) ended = std::max(ended, clocks_.At(step.tries.back().at, last));
    Span span = Make("step " + step.name, "step " + step.name, began, ended);
    span.parent = root;
    Json& a = span.attributes;
    a["lifeboat.step"] = step.name;
    a["lifeboat.step.state"] = ToString(step.state);
    a["lifeboat.attempts"] = step.attempts;
    a["lifeboat.outcome"] = step.outcome;
    if (step.ended.ns <= 0 && step.tries.empty()) a["lifeboat.end_unknown"] = true;
    if (const std::int64_t shift = std::max(clocks_.ShiftOf(first), clocks_.ShiftOf(last)); shift > 0)
      a["lifeboat.clock_shift_ns"] = shift;
    for (const StepTry& one : step.tries) {
      SpanEvent event{one.what, clocks_.At(one.at, one.agent)};
      event.attributes = {
          {"lifeboat.attempt", one.attempt}, {"lifeboat.agent", one.agent.text}, {"lifeboat.region", one.region.text}};
      if (!one.said.empty()) event.attributes["lifeboat.said"] = one.said;
      span.events.push_back(std::move(event));
    }
    span.events_left_out = step.tries_left_out;
    if (step.state == StepState::kDone) span.status = SpanStatus::kOk;
    if (step.state == StepState::kFailed) {
      span.status = SpanStatus::kError;
      span.status_text = step.outcome;
    }
    trace_.spans.push_back(std::move(span));
  }

  const Execution& e_;
  const Objectives& objectives_;
  const Clocks clocks_;
  const PhaseReport phases_;
  Json common_;
  Trace trace_;
};

}  // namespace

TraceId TraceIdOf(std::string_view service, const ExecutionId& execution) {
  return TraceId(HashPrefix("lifeboat trace 1\n" + std::string(service) + "\n" + execution.text, 16));
}

Trace TraceOf(const Execution& execution, std::string_view service, const Objectives& objectives) {
  return Maker(execution, service, objectives).Make();
}

}  // namespace lifeboat
