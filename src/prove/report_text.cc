#include "prove/report_text.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/time.h"
#include "base/types.h"

namespace lifeboat {

std::optional<double> Real(const Json& number) {
  if (!number.is_number()) return std::nullopt;
  return number.get<double>();
}

std::string SecondsText(const Json& seconds) {
  const auto value = Real(seconds);
  if (!value) return "unknown";
  char text[48];
  if (std::abs(*value) >= 60 && std::abs(*value) < 1e9) return FormatDuration(Duration(static_cast<std::int64_t>(*value * 1e9)));
  const bool whole = *value == std::floor(*value);
  std::snprintf(text, sizeof text, whole ? "%.0f s" : "%.3f s", *value);
  return text;
}

std::string CountText(const Json& count) {
  if (!count.is_number()) return "unknown";
  std::string digits = count.is_number_float() ? std::to_string(std::llround(count.get<double>())) : count.dump();
  for (std::size_t at = digits.size(); at > 3 && digits[at - 4] != '-';) {
    at -= 3;
    digits.insert(at, " ");
  }
  return digits;
}

std::string JudgementText(const Json& met) {
  if (!met.is_boolean()) return "unknown";
  return met.get<bool>() ? "met" : "missed";
}

std::string LossText(const Json& loss) {
  const std::string state = TextAt(loss, "state", "unknown");
  if (state == "unknown") return "unknown";
  if (state == "proven zero") return "nothing lost (proven zero)";
  std::string text;
  const auto add = [&text](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  if (const Json& rows = MemberAt(loss, "rows"); rows.is_number()) add(CountText(rows) + (rows == 1 ? " row" : " rows"));
  if (MemberAt(loss, "seconds").is_number()) add(SecondsText(MemberAt(loss, "seconds")));
  if (const auto bytes = Real(MemberAt(loss, "bytes")); bytes && *bytes >= 0)
    add(FormatBytes({static_cast<std::uint64_t>(*bytes)}));
  if (text.empty()) return "unknown (" + state + ", without a figure)";
  const Json& beats = MemberAt(loss, "beats");
  const std::string missing =
      beats.is_number() ? "; " + CountText(beats) + (beats == 1 ? " heartbeat missing" : " heartbeats missing") : std::string();
  return (state == "bounded" ? "at most " : "") + text + " (" + state + missing + ")";
}

std::string VerdictText(const Json& document) {
  const std::string verdict = TextAt(document, "verdict", "unknown");
  if (verdict == "met") return "Every objective was met";
  if (verdict == "missed") return "An objective was missed";
  return "Not everything was measured";
}

std::string EvidenceText(const Json& evidence) {
  const Json& verified = MemberAt(evidence, "verified");
  if (!verified.is_boolean()) return "not verified";
  return verified.get<bool>() ? "verified" : "does not verify";
}

std::string EmptyLedgerText(const Json& document) {
  for (const Json& run : MemberAt(document, "runs")) {
    const Json& loss = MemberAt(run, "loss");
    if (loss.is_object() ? TextAt(loss, "state") != "proven zero" : TextAt(run, "kind") == "failover")
      return "No old primary's log was saved here; what was lost, or may have been, stands with the runs.";
  }
  return "No divergent write-ahead log was found.";
}

std::string RunTitle(const Json& run) {
  const std::string kind = TextAt(run, "kind");
  if (kind == "rejoin") return "rejoin of " + TextAt(run, "source");
  return kind + " " + TextAt(run, "source") + " → " + TextAt(run, "target");
}

/// What an RTO was measured to: where nobody wrote rows, to the look that showed the service in its new place.
static std::string RtoBasis(const Json& run) {
  const Json& phases = MemberAt(run, "phases");
  const std::string last = phases.is_array() && !phases.empty() ? TextAt(phases.back(), "name") : std::string();
  return "fault to " + (last.empty() ? std::string("first good write") : last);
}

std::vector<Judged> JudgedFigures(const Json& document) {
  std::vector<Judged> figures;
  const Json& objectives = MemberAt(document, "objectives");
  for (const Json& run : MemberAt(document, "runs")) {
    if (TextAt(run, "kind") == "rejoin") continue;
    figures.push_back({"RTO", RunTitle(run), SecondsText(MemberAt(run, "rto_s")), RtoBasis(run),
                       SecondsText(MemberAt(objectives, "rto_s")), MemberAt(run, "rto_met")});
    const Json& loss = MemberAt(run, "loss");
    Json seconds = MemberAt(loss, "seconds");
    if (TextAt(loss, "state") == "proven zero") seconds = 0;
    std::string figure = TextAt(loss, "state", "unknown") == "unknown" ? "unknown" : SecondsText(seconds);
    if (TextAt(loss, "state") == "bounded" && figure != "unknown") figure = "≤ " + figure;
    const std::string known = LossText(loss) == "unknown" ? "not measured" : LossText(loss);
    figures.push_back({"RPO", RunTitle(run), figure, known, SecondsText(MemberAt(objectives, "rpo_s")), MemberAt(run, "rpo_met")});
  }
  return figures;
}

Axis::Axis(const Json& document) {
  for (const Json& event : MemberAt(document, "events")) Take(MemberAt(event, "at_ns"));
  for (const Json& run : MemberAt(document, "runs")) {
    for (const char* name : {"fault_ns", "began_ns", "ended_ns"}) Take(MemberAt(run, name));
    for (const Json& phase : MemberAt(run, "phases")) {
      for (const char* name : {"began_ns", "ended_ns"}) Take(MemberAt(phase, name));
    }
  }
  for (const Json& client : MemberAt(document, "clients")) {
    for (const Json& sample : MemberAt(client, "rate")) Take(MemberAt(sample, "at_ns"));
    for (const Json& outage : MemberAt(client, "outages")) {
      for (const char* name : {"from_ns", "to_ns"}) Take(MemberAt(outage, name));
    }
  }
  for (const Json& region : MemberAt(document, "regions")) {
    for (const Json& span : MemberAt(region, "spans")) {
      for (const char* name : {"from_ns", "to_ns"}) Take(MemberAt(span, name));
    }
  }
  if (last_ - first_ < 1'000'000) last_ = first_ + 1'000'000'000;  // a picture needs some width
}

void Axis::Take(const Json& ns) {
  if (!ns.is_number_integer()) return;
  const auto at = ns.get<std::int64_t>();
  first_ = any_ ? std::min(first_, at) : at;
  last_ = any_ ? std::max(last_, at) : at;
  any_ = true;
}

}  // namespace lifeboat
