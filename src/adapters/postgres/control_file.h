#pragma once

// What pg_control says, out of the text of pg_controldata (run with LC_ALL=C).
// Thread rule: any thread.

#include <string_view>

#include "adapters/postgres/wal.h"
#include "base/result.h"
#include "model/database_state.h"

namespace lifeboat::postgres {

struct ControlFile {
  /// `timeline` is the newer of the last checkpoint's and the one of the minimum recovery end: after a promotion the
  /// checkpoint's is stale until the next checkpoint.
  ControlData data;
  WalGeometry geometry;
};

/// @error kFail: a line that is needed is missing
[[nodiscard]] Result<ControlFile> ParseControlFile(std::string_view text);

}  // namespace lifeboat::postgres
