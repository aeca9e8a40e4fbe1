#pragma once

// The door to the few small files that an agent writes itself: its durable record and its own journal.

#include <string>

#include "base/result.h"
#include "base/task.h"

namespace lifeboat {

class Files {
 public:
  virtual ~Files() = default;
  /// Whole and synced, or the old content stands. @error kFail: disk full and the like; kUnknownOutcome
  virtual Task<Result<Unit>> Write(std::string path, std::string content) = 0;
  /// @error kNotFound; kFail
  virtual Task<Result<std::string>> Read(std::string path) = 0;
  /// Done when it is not there.
  virtual Task<Result<Unit>> Remove(std::string path) = 0;
};

}  // namespace lifeboat
