#pragma once

// The door through which an execution acts on a region: its own or another's. The region's own agent carries it out,
// under its own lease and its own durable record (src/act/region_hand.h lists the verbs).

#include "base/json.h"
#include "base/result.h"
#include "base/task.h"
#include "base/time.h"
#include "base/types.h"

namespace lifeboat {

class Hands {
 public:
  virtual ~Hands() = default;
  /// @error as the verb; kRetry: the region's agent cannot be reached; kUnknownOutcome: no answer, look again
  virtual Task<Result<Json>> Do(RegionName region, std::string verb, Json parameters, Duration timeout) = 0;
};

}  // namespace lifeboat
