#pragma once

// The door of the canary: a client like any other, that writes through the service's public name.

#include "base/result.h"
#include "base/task.h"
#include "base/time.h"
#include "base/types.h"

namespace lifeboat {

class Canary {
 public:
  virtual ~Canary() = default;
  /// Resolves the name at its authoritative server, connects unless the kept connection is to that very address, and
  /// commits one row. @return the address that took it @error kRetry: the name, the connection or the write failed
  virtual Task<Result<std::string>> Write(Duration timeout) = 0;
};

}  // namespace lifeboat
