#pragma once

// The pass over an archive's WAL: each segment's hash where its name states one, page headers, the chain of records across
// segments; and the questions to the WAL about pages and about time.
// Thread rule: one call at a time; ReadWal uses the run's threads.

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "adapters/backups/collector_internal.h"
#include "adapters/backups/run_internal.h"
#include "adapters/backups/source.h"
#include "backup/page.h"

namespace lifeboat::backup {

/// What is to be read of an archive.
struct WalPassOptions {
  const Archive* archive = nullptr;
  Level level = Level::kBytes;                ///< kStructure: names, sizes and headers alone
  std::optional<std::vector<WalRange>> only;  ///< only what these ranges need; empty: everything from `from` on
  Lsn from;                                   ///< older segments serve no backup
};

/// Looks at the segments, tells what is wrong (F14, F15, F16, F17) and marks what cannot be replayed in `catalog`.
[[nodiscard]] Counts ReadWal(Source& source, const WalPassOptions& options, Run& run, WalCatalog& catalog, Collector& collector);

/// A page of a relation, as WAL names it.
struct PageName {
  RelationFile file;  ///< segment 0
  std::uint32_t block = 0;
  friend auto operator<=>(const PageName&, const PageName&) = default;
};

/// Takes those pages out of `pages` that replaying `ranges` replaces, makes anew, or cuts off.
/// @return false: not all of that WAL could be read, so what is left in `pages` is unknown
[[nodiscard]] bool TakeReplayed(Source& source, const std::vector<const Archive*>& archives, const std::vector<WalRange>& ranges,
                                std::set<PageName>& pages);

/// The time of the last commit before `end`, microseconds since 1970: what a restore to there would show. Looks at the last
/// few segments only. Nothing: no commit in them, or they cannot be read.
/// @param after  commits at or before it do not count
[[nodiscard]] std::optional<std::int64_t> LastCommitBefore(Source& source, const std::vector<const Archive*>& archives,
                                                           Timeline timeline, Lsn end, Lsn after = {});

/// How far the records of the segment before `end` go.
struct WalEnd {
  Lsn last_record;   ///< where its last good record begins; 0/0: it holds none that is whole
  Lsn position;      ///< where the chain of good records ends
  bool cut = false;  ///< before the segment does. An archive takes whole segments alone
};
/// Nothing: it cannot be read.
[[nodiscard]] std::optional<WalEnd> EndOfWal(Source& source, const std::vector<const Archive*>& archives, Timeline timeline,
                                             Lsn end);

/// When `timeline` was made, microseconds since 1970: its promotion's record, or its first commit behind `fork`. Looks at its
/// first few segments only. Nothing: neither is in them, or they cannot be read.
[[nodiscard]] std::optional<std::int64_t> BirthOf(Source& source, const std::vector<const Archive*>& archives, Timeline timeline,
                                                  Lsn fork);

}  // namespace lifeboat::backup
