#pragma once

// The running source of backups, asked for its archiver and slots (backup/live.h). It only reads.
// Thread rule: any; it blocks, at most about half a minute.

#include <string>

#include "adapters/backups/source.h"
#include "backup/live.h"
#include "base/result.h"

namespace lifeboat::backup {

/// @param conninfo  of libpq; a member of pg_monitor will do. Times of files need a superuser, or the right to
/// pg_ls_archive_statusdir
/// @error kRetry: it does not answer; kFail: it refuses
[[nodiscard]] Result<LiveFacts> AskLive(const std::string& conninfo);

/// Everything that the facts say, alone and against archives that were listed after they were asked. F48 only where an archive is
/// known to be this cluster's.
[[nodiscard]] std::vector<Finding> JudgeLiveSource(const LiveFacts& facts, const std::vector<Archive>& archives);

}  // namespace lifeboat::backup
