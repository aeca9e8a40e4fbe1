#pragma once

// The door to a verification of backups, by a child: `lifeboat backup verify --source … --json` at the lowest priority. It has
// nothing of the agent's: no locked memory, no descriptors, no time of its executor; its end is the end of all that it began.
// Thread rule: the executor that it is given; what the child says is parsed on a thread of its own.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/thread_pool.hpp>
#include <string>

#include "ports/backup_runner.h"

namespace lifeboat {

class ChildBackupRunner final : public BackupRunner {
 public:
  /// @param program  the lifeboat binary
  /// @param grace  from a run's own deadline to its end by force
  ChildBackupRunner(boost::asio::any_io_executor io, std::string program, std::string config,
                    Duration grace = std::chrono::minutes(1));
  Task<Result<BackupAnswer>> Run(BackupTask task) override;

 private:
  boost::asio::any_io_executor io_;
  std::string program_;
  std::string config_;
  Duration grace_;
  boost::asio::thread_pool pool_{1};
};

/// The binary that this process runs, also when its file was replaced since.
[[nodiscard]] std::string OwnProgram();

}  // namespace lifeboat
