#pragma once

// Runs the ladder's levels 0 to 3 over a source: lists, compares, then reads each stored byte once, on several threads, and feeds
// it to the manifest's hash, the page checksums and the WAL's record chain at the same time.
// It only reads. Memory: 256 KiB a thread and stream, and about 150 bytes a file or WAL segment that is listed.
// Thread rule: one call at a time for a source; it blocks and uses its own threads, which end with the call.

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "adapters/backups/memory.h"
#include "adapters/backups/source.h"
#include "backup/finding.h"
#include "backup/windows.h"
#include "base/result.h"

namespace lifeboat::backup {

struct Progress {
  std::uint64_t done = 0;   ///< stored bytes
  std::uint64_t total = 0;  ///< 0: not known yet
  std::string doing;        ///< "backup 20261123-091928F", "WAL of 15-1"
};

enum class Scope {
  kAll,
  kWalOnly,  ///< windows alone: sets are listed and not opened
};

struct VerifyOptions {
  Level level = Level::kPages;
  Scope scope = Scope::kAll;
  std::string set;  ///< a label; "latest": the newest; "": all
  unsigned threads = 2;
  VerifiedMemory* memory = nullptr;  ///< of earlier runs, begun by the caller, who also ends it; null: everything is read
  const std::atomic<bool>* cancel = nullptr;
  std::function<void(const Progress&)> on_progress;  ///< from any thread, at most about ten times a second
};

struct Verified {
  Report report;
  Inventory inventory;
  std::vector<Window> windows;
  std::vector<WalCatalog> catalogs;  ///< one a window: what it was judged by
};

/// @error kFail: the source cannot be looked at; kNotFound: no such set
[[nodiscard]] Result<Verified> Verify(Source& source, const VerifyOptions& options);

}  // namespace lifeboat::backup
