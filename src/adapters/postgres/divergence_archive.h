#pragma once

// The folder of the ledger that holds an old primary's divergent WAL. It is whole or not there: everything is written
// and synced under "<folder>.saving", manifest.json (sizes and SHA-256 of each file) last, and renamed at the end.
// Thread rule: any thread; everything blocks on the disk, so it runs on a pool.

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapters/postgres/wal.h"
#include "base/result.h"
#include "model/database_state.h"

namespace lifeboat::postgres {

/// What is to be saved.
struct DivergentWal {
  SystemId system_id;
  Timeline timeline = 0;
  Lsn fork;
  Lsn end;
  std::string wal_folder;
  WalGeometry geometry;
};

/// Set to give up: the copying looks at it between two blocks.
using GiveUp = std::shared_ptr<std::atomic<bool>>;

/// What stands in `folder` already, when it is whole and holds all of `wal`. Sizes are compared, not hashes.
[[nodiscard]] std::optional<Divergence> FindSaved(const DivergentWal& wal, const std::string& folder);

/// What stands in `folder`, when it is whole and of that system, whatever it holds.
[[nodiscard]] std::optional<Divergence> FindSavedIn(const SystemId& system_id, const std::string& folder);

/// The newest timeline of which WAL is in the folder, `known` or a later one: pg_control names a timeline only after its first
/// checkpoint, and a history file alone may have been fetched from another server.
[[nodiscard]] Timeline NewestTimeline(const std::string& wal_folder, Timeline known);

/// True when a segment of `timeline` beyond `position` is there: what lies before it ended in a gap.
[[nodiscard]] bool HasSegmentBeyond(const std::string& wal_folder, Timeline timeline, Lsn position, const WalGeometry& geometry);

/// "<folder>.saving", empty.
[[nodiscard]] Result<std::string> BeginSaving(const std::string& folder);

/// Copies the segments from the fork's to the end's (with .partial ones) and all history files, hashes and syncs them
/// and the files that stand in "<folder>.saving" already, writes the manifest, and puts the folder in its place. A folder
/// that holds less of the same divergence is moved to "<folder>.earlier-<n>", never removed.
/// @param saved  fork, end and counts; files and sizes are filled in
/// @error kFail: a segment is missing, the disk is full, or given up; "<folder>.saving" is removed
[[nodiscard]] Result<Divergence> SaveWal(const DivergentWal& wal, const std::string& folder, Divergence saved,
                                         const GiveUp& give_up);

}  // namespace lifeboat::postgres
