#pragma once

// The one pass over a set's files: hash, size, page checksums; and afterwards the question to the WAL which of the pages that
// looked bad are replaced when the backup is restored.
// Thread rule: one call at a time; it uses the run's threads.

#include <unordered_map>

#include "adapters/backups/collector_internal.h"
#include "adapters/backups/run_internal.h"
#include "adapters/backups/source.h"

namespace lifeboat::backup {

/// Files whose bytes were read and found good in this run, so that backups that share them read them once.
using KnownFiles = std::unordered_map<std::uint64_t, bool>;

/// A page that looked bad, until the WAL has been asked.
struct SuspectPage {
  std::size_t file = 0;  ///< index in the manifest
  std::uint32_t block = 0;
  bool cut = false;  ///< the file ends within it
};

struct SetPass {
  Counts counts;
  SmallFiles small;              ///< of a tar file
  std::vector<StoredFile> seen;  ///< of a tar file
  std::vector<SuspectPage> suspects;
  bool suspects_left_out = false;  ///< more than are kept
  std::size_t damaged_files = 0;   ///< told as F08, F09: their pages are not judged
  bool control_damaged = false;    ///< global/pg_control is one of them
};

struct SetPassOptions {
  const SetInfo* set = nullptr;
  SetContent* content = nullptr;
  Level level = Level::kBytes;
  Lsn start;
  std::uint32_t page_bytes = 8192;
  std::uint32_t segment_blocks = 131072;
};

[[nodiscard]] SetPass ReadSet(const SetPassOptions& options, Run& run, KnownFiles& known, Collector& collector);

}  // namespace lifeboat::backup
