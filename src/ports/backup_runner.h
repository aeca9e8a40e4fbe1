#pragma once

// The door to a verification of backups: production runs it in a child of the lowest priority, so that neither its memory nor its
// time is the agent's.

#include <string>

#include "base/json.h"
#include "base/result.h"
#include "base/task.h"
#include "base/time.h"

namespace lifeboat {

struct BackupTask {
  std::string source;    ///< a name in lifeboat.yaml
  int level = 3;         ///< 0 to 3: read; 4 to 6: restore the newest
  Duration deadline{0};  ///< after it the run is ended
};

struct BackupAnswer {
  int exit_code = 0;  ///< 0 good, 1 a fault, 4 a promise is not kept
  Json report;        ///< "lifeboat-backup-verify/1"
};

class BackupRunner {
 public:
  virtual ~BackupRunner() = default;
  /// Resumes when the run has ended, at its deadline and a minute at the latest; nothing of it is left then.
  /// @error kRefused: another run of this source is under way; kFail, kUnknownOutcome: it gave no report
  virtual Task<Result<BackupAnswer>> Run(BackupTask task) = 0;
};

}  // namespace lifeboat
