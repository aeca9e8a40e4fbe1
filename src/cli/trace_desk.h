#pragma once

// What the agent process adds for traces: whom to tell, by file or environment, and how many were told as metrics. Where nobody is
// to be told it does nothing; where something about it is wrong it says so in the log, and the agent begins all the same. Thread
// rule: the agent's executor; nothing here blocks but Open.

#include <memory>
#include <string>

#include "adapters/otlp/exporter.h"
#include "agent/backup_watch.h"
#include "base/log.h"
#include "config/settings.h"
#include "model/execution.h"
#include "prove/otlp.h"
#include "serve/metrics.h"

namespace lifeboat {

class TraceDesk {
 public:
  /// @param agent  the run that sends
  TraceDesk(const Settings& settings, const RegionName& region, const AgentId& agent, const Log& log);

  /// An execution has ended here.
  void Ended(const Execution& execution);
  /// Work on backups has ended here.
  void Worked(const BackupRun& run);
  void Show(Metrics& metrics) const;

 private:
  const std::string service_;
  const Objectives objectives_;
  const TraceResource resource_;
  std::unique_ptr<OtlpExporter> exporter_;  ///< null: nobody is to be told
};

/// The name of this machine; empty: unknown. @source gethostname(2)
[[nodiscard]] std::string HostName();

}  // namespace lifeboat
