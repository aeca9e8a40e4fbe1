#pragma once

// From what the demo saw to the document "lifeboat-report/1" (docs/formats/report.md). The figures of outages and losses are the
// clients' own; those of phases are the executions'; what nobody measured is null.
// Thread rule: pure functions.

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "lab/accounting.h"
#include "lab/client_group.h"
#include "lab/faults.h"
#include "lab/layout.h"
#include "model/database_state.h"
#include "model/execution.h"

namespace lifeboat::lab {

/// What the demo saw, in the order of the story. Times are wall time unless they say otherwise.
struct Story {
  LabInfo lab;
  std::string first;       ///< region that was primary and was lost
  std::string second;      ///< region that took over
  std::string postgresql;  ///< version
  std::int64_t healthy_ns = 0;
  KillReport fault;
  Execution failover;
  std::int64_t returned_ns = 0;  ///< the lost region was started again
  Execution rejoin;
  std::int64_t arrived_ns = 0;           ///< a row written after the rejoin was seen on the rejoined standby
  std::string arrived_row;               ///< which: "row 4711 of client fresh-1"
  std::int64_t switchover_since_ns = 0;  ///< CLOCK_MONOTONIC just before it was asked for
  Execution switchover;
  std::int64_t ended_ns = 0;  ///< the clients stopped
  std::vector<ClientRecord> records;
  std::vector<ClientCheck> checks;  ///< in the order of the records; against the last primary
  Json evidence;                    ///< answer of "evidence.verify", {"chains": […]}; null: it was not given
};

/// The outage of the failover and of the switchover, as the fresh clients felt it.
[[nodiscard]] std::optional<ClientOutage> FailoverOutage(const Story& story);
[[nodiscard]] std::optional<ClientOutage> SwitchoverOutage(const Story& story);

/// What the rejoin saved of the old primary before it was rewound. Nothing: the execution does not say.
[[nodiscard]] std::optional<Divergence> DivergenceOf(const Execution& rejoin);

[[nodiscard]] LossAccount LossOf(const Story& story);

/// One entry of "runs" for a failover: phases, RTO and loss by the clients' clock. Also used before the story's end.
[[nodiscard]] Json FailoverRun(const Story& story, const LossAccount& loss);

[[nodiscard]] Json BuildReport(const Story& story);

// ---- parts that the story on AWS shares (lab/aws_report.h) ----

/// Something that happened and is shown; a moment that is not known (0) is left out.
class EventList {
 public:
  void Add(std::int64_t at_ns, const std::string& region, const char* kind, const std::string& text);
  [[nodiscard]] Json InOrder();

 private:
  std::vector<Json> events_;
};

[[nodiscard]] Json SwitchoverRun(const Story& story, const LossAccount& loss);
[[nodiscard]] Json ClientsJson(const Story& story, const LossAccount& loss);
[[nodiscard]] Json RegionsJson(const Story& story);
/// @param answer  of "evidence.verify"
[[nodiscard]] Json EvidenceJson(const Json& answer);
/// "1.234 s", "an unknown time".
[[nodiscard]] std::string SecondsText(const Json& seconds);
[[nodiscard]] std::string VerdictOf(const std::vector<Json>& outages, const LossAccount& loss);

/// "2 cores, 7.8 GiB, Linux 6.1.0": where it was measured.
[[nodiscard]] std::string DescribeMachine();

}  // namespace lifeboat::lab
