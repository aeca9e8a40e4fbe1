#include "lab/aws_report.h"

#include <algorithm>
#include <limits>

#include "prove/phases.h"

namespace lifeboat::lab {

namespace {

/// A bound among an execution's facts: "loss_estimate", on which it was decided, or "loss_measured", by the heartbeat that
/// survived.
std::optional<Duration> StatedIn(const Execution& failover, const char* fact) {
  const Json& seconds = MemberAt(MemberAt(failover.facts, fact), "seconds");
  if (!seconds.is_number()) return std::nullopt;
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds.get<double>()));
}

std::optional<Duration> LowestBound(const Execution& failover) {
  const auto estimate = StatedIn(failover, "loss_estimate");
  const auto measured = StatedIn(failover, "loss_measured");
  if (estimate && measured) return std::min(*estimate, *measured);
  return estimate ? estimate : measured;
}

Json EventsOf(const Story& story) {
  EventList events;
  const Execution& f = story.failover;
  events.Add(story.healthy_ns, story.first, "healthy", "writer, with a streaming reader in " + story.second);
  events.Add(
      story.fault.wall_ns, story.first, "fault",
      std::to_string(story.fault.killed.size()) + " processes of the database killed at one instant, its API and the agent silent");
  events.Add(SignedAt(f.facts, "suspected_ns"), story.second, "detected", story.first + " is silent for a majority of the agents");
  events.Add(SignedAt(f.facts, "decided_ns"), story.second, "decided", f.requested_by + (f.reason.empty() ? "" : ": " + f.reason));
  events.Add(SignedAt(f.facts, "promoted_ns"), story.second, "promoted", "AWS says that it takes writes");
  events.Add(SignedAt(f.facts, "routed_ns"), story.second, "routed", std::string(kDnsName) + " leads there by every name server");
  if (const auto outage = FailoverOutage(story))
    events.Add(outage->to_wall_ns, story.second, "first write", "first acknowledged write of a client");
  events.Add(story.returned_ns, story.first, "returned", "the region answers again; its copy is built anew");
  events.Add(story.arrived_ns, story.first, "caught up", story.arrived_row + ", written afterwards, has arrived");
  events.Add(story.switchover.began.ns, story.first, "switchover", "planned, requested by " + story.switchover.requested_by);
  if (const auto outage = SwitchoverOutage(story))
    events.Add(outage->to_wall_ns, story.first, "first write", "first acknowledged write after the switchover");
  return events.InOrder();
}

std::string LossSentence(const Story& story, const AwsLoss& loss) {
  if (loss.account.failover_rows == 0) return "Every row that was acknowledged before the fault is in " + story.second + ".";
  return std::to_string(loss.account.failover_rows) + " acknowledged rows, the oldest " +
         FormatDuration(loss.account.failover_age) + " old at the fault, had not reached " + story.second +
         "; the agents had stated " + (loss.bound ? "at most " + FormatSeconds(*loss.bound) + " s." : "no bound.");
}

Json SentencesOf(const Story& story, const AwsLoss& loss, const Json& failover, const Json& switchover) {
  Json sentences = Json::array();
  sentences.push_back(story.first + " was lost: its database, what AWS answers there, and its agent; nobody gave a command.");
  sentences.push_back(story.second + " took over, and clients wrote again " + SecondsText(MemberAt(failover, "rto_s")) +
                      " after the fault.");
  sentences.push_back(LossSentence(story, loss));
  if (loss.beyond > 0)
    sentences.push_back(std::to_string(loss.beyond) + " rows were lost beyond what was stated: a promise is broken.");
  if (loss.account.Unaccounted() > loss.beyond)
    sentences.push_back(std::to_string(loss.account.Unaccounted() - loss.beyond) +
                        " rows are unaccounted for: a promise is broken.");
  sentences.push_back(story.first + " came back as a reader, and " + story.arrived_row + ", written afterwards, arrived on it.");
  sentences.push_back("The planned switchover back to " + story.first + " lost " +
                      (loss.account.other_rows == 0 ? "nothing" : std::to_string(loss.account.other_rows) + " rows") +
                      " and was felt for " + SecondsText(MemberAt(switchover, "rto_s")) + ".");
  return sentences;
}

}  // namespace

AwsLoss AwsLossOf(const Story& story) {
  AwsLoss loss;
  // No ledger: what the fork explains is accounted for by the bound, and by nothing else.
  FailoverFault fault{story.lab.Find(story.first)->address, story.fault.monotonic_ns, story.fault.wall_ns,
                      std::numeric_limits<std::uint64_t>::max()};
  loss.account = AccountForLoss(story.records, story.checks, fault);
  loss.bound = LowestBound(story.failover);
  for (std::size_t at = 0; at < story.checks.size(); ++at) {
    ClientAccount& client = loss.account.clients[at];
    std::uint64_t beyond = 0;
    for (const ClientRow& row : story.checks[at].missing) {
      const bool before_fault = row.ended_ns <= story.fault.monotonic_ns;
      if (before_fault && (!loss.bound || Duration(story.fault.monotonic_ns - row.ended_ns) > *loss.bound)) ++beyond;
    }
    loss.beyond += beyond;
    client.unaccounted = std::max(client.unaccounted, beyond);
  }
  return loss;
}

Json StatedByAgents(const Story& story) {
  Execution execution = story.failover;
  execution.facts["fault_ns"] = story.fault.wall_ns;
  const PhaseReport report = ComputePhases(execution);
  const auto bound = StatedIn(execution, "loss_estimate");
  const auto measured = StatedIn(execution, "loss_measured");
  const bool known = report.rto.has_value() && !report.phases.empty();
  return {{"rto_s", known ? Json(Seconds(*report.rto)) : Json()},
          {"ends_with", known ? Json(report.phases.back().name) : Json()},
          {"loss_bound_s", bound ? Json(Seconds(*bound)) : Json()},
          {"basis", TextAt(MemberAt(execution.facts, "loss_estimate"), "basis")},
          {"loss_measured_s", measured ? Json(Seconds(*measured)) : Json()},
          {"measured_by", TextAt(MemberAt(execution.facts, "loss_measured"), "basis")}};
}

Json BuildAwsReport(const Story& story, const Json& settings) {
  const AwsLoss loss = AwsLossOf(story);
  Json failover = FailoverRun(story, loss.account);
  failover["stated"] = StatedByAgents(story);
  const Json switchover = SwitchoverRun(story, loss.account);
  return {{"format", "lifeboat-report/1"},
          {"service", "orders"},
          {"generated_ns", ReadWallClock().ns},
          {"machine", DescribeMachine()},
          {"settings", settings},
          {"objectives", {{"rto_s", Seconds(story.lab.knobs.rto)}, {"rpo_s", Seconds(story.lab.knobs.rpo)}}},
          {"verdict", VerdictOf({failover, switchover}, loss.account)},
          {"sentences", SentencesOf(story, loss, failover, switchover)},
          {"events", EventsOf(story)},
          {"runs", {failover, switchover}},
          {"clients", ClientsJson(story, loss.account)},
          {"regions", RegionsJson(story)},
          {"ledger", Json::array()},
          {"evidence", EvidenceJson(story.evidence)}};
}

}  // namespace lifeboat::lab
