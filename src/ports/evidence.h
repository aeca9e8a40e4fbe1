#pragma once

// The door to the evidence chain of this region (src/prove): what was measured, each record chained by hash.

#include "base/json.h"
#include "base/result.h"
#include "base/task.h"
#include "base/time.h"
#include "base/types.h"

namespace lifeboat {

class Evidence {
 public:
  virtual ~Evidence() = default;
  /// On the disk when it answers. @return the record as JSON
  virtual Task<Result<Json>> Append(std::string kind, ExecutionId execution, Json body, WallTime at) = 0;
  /// {region, sequence, hash}; sequence 0: empty.
  virtual Task<Result<Json>> Head() = 0;
  virtual Task<Result<Json>> List(std::uint64_t limit) = 0;
  /// Keeps a head of another region's chain for ever.
  virtual Task<Result<Unit>> NoteForeignHead(RegionName region, std::uint64_t sequence, std::string hash, WallTime at) = 0;
  /// The heads of `region` that are kept here.
  virtual Task<Result<Json>> ForeignHeads(RegionName region) = 0;
  /// Compares the whole chain with the heads that others hold of it (as ForeignHeads gave them).
  virtual Task<Result<Json>> Verify(Json held_by_others) = 0;
};

}  // namespace lifeboat
