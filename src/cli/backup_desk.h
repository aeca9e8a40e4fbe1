#pragma once

// What the agent process adds for backups: the watch with its doors, and its figures as metrics.
// Thread rule: the agent's executor.

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>

#include "adapters/system/pool_files.h"
#include "agent/backup_watch.h"
#include "cli/backup_runner.h"
#include "serve/metrics.h"

namespace lifeboat {

class BackupDesk {
 public:
  /// @param busy  the service moves: nothing is begun
  /// @error kFail: the folder for results cannot be made
  [[nodiscard]] static Result<std::unique_ptr<BackupDesk>> Open(boost::asio::any_io_executor io, const Settings& settings,
                                                                const RegionSettings& region, Clock& clock, Evidence& evidence,
                                                                std::function<bool()> busy, const Log& log);

  [[nodiscard]] BackupWatch& watch() { return *watch_; }
  /// Ages are of this moment: called again and again.
  void Show(Metrics& metrics) const;
  /// The method "backups.results". @return everything that is kept of this region's sources
  [[nodiscard]] Json Results() const { return {{"results", watch_->Results()}}; }

 private:
  BackupDesk(boost::asio::any_io_executor io, const Settings& settings, Clock& clock);

  Clock& clock_;
  PoolFiles files_;  ///< of its own: the lease's record never waits for a report to be written
  ChildBackupRunner runner_;
  std::unique_ptr<BackupWatch> watch_;
};

/// The figures of one brief. Pure.
[[nodiscard]] BackupFigures FiguresOf(const Json& brief, std::int64_t now);

}  // namespace lifeboat
