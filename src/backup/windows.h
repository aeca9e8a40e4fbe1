#pragma once

// Point-in-time windows: from which backup, to which positions, over which timelines a restore can really go, and where the holes
// are. Names and positions alone, no bytes; segments that were found bad count as holes.
// Thread rule: pure.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "backup/finding.h"
#include "backup/manifest.h"
#include "backup/wal_name.h"

namespace lifeboat::backup {

/// What the archive holds, by timeline.
class WalCatalog {
 public:
  explicit WalCatalog(std::uint64_t segment_bytes) : segment_bytes_(segment_bytes) {}

  void Add(WalPlace place) { present_[place.timeline].insert(place.number); }
  /// It is there no more.
  void Remove(WalPlace place) {
    present_[place.timeline].erase(place.number);
    bad_.erase(place);
  }
  /// A segment that is there and cannot be replayed.
  void MarkBad(WalPlace place) { bad_.insert(place); }
  void AddHistory(Timeline timeline, History history) { histories_[timeline] = std::move(history); }

  [[nodiscard]] bool Has(WalPlace place) const;
  [[nodiscard]] bool IsBad(WalPlace place) const { return bad_.count(place) > 0; }
  [[nodiscard]] bool IsUsable(WalPlace place) const { return Has(place) && !IsBad(place); }
  [[nodiscard]] std::uint64_t segment_bytes() const { return segment_bytes_; }
  [[nodiscard]] const std::map<Timeline, std::set<std::uint64_t>>& present() const { return present_; }
  [[nodiscard]] const std::map<Timeline, History>& histories() const { return histories_; }

 private:
  std::uint64_t segment_bytes_;
  std::map<Timeline, std::set<std::uint64_t>> present_;
  std::map<Timeline, History> histories_;
  std::set<WalPlace> bad_;
};

/// What windows need to know of a backup.
struct BackupSpan {
  std::string label;
  std::vector<WalRange> wal;  ///< what it needs to become consistent; the last range's end is its stop
  std::int64_t stopped = 0;   ///< seconds since 1970; 0: not known
};

/// Segments in a row that are not there, or bad.
struct Hole {
  WalPlace first;
  std::uint64_t count = 0;
  bool missing = true;  ///< false: there, and bad
};

/// What can be reached from one backup along one timeline's history.
struct Window {
  std::string label;
  bool consistent = false;  ///< its own WAL is whole: it restores at all
  Timeline timeline = 0;    ///< the one that is followed to its end
  Lsn from;                 ///< the backup's stop: the earliest target
  Lsn to;                   ///< the latest target; equals `from` where no WAL follows
  Lsn last;                 ///< end of the newest segment of the timeline: with holes, `to` is less
  std::vector<Hole> holes;  ///< all, in order; the first ends the window
};

/// "00000002.history".
[[nodiscard]] std::string HistoryFileName(Timeline timeline);

/// One window for each backup and each newest timeline that leads from it.
[[nodiscard]] std::vector<Window> WindowsOf(const std::vector<BackupSpan>& backups, const WalCatalog& catalog);

/// F12 (a backup's own WAL), F13 (gaps between what is there), F18 (history missing, or a fork before the backup's stop).
/// Bad segments are no findings here: whoever found them bad has told.
[[nodiscard]] std::vector<Finding> JudgeArchive(const std::vector<BackupSpan>& backups, const WalCatalog& catalog);

/// "[####.##x###]": WAL between `from` and `last` as a line of `width` cells; '.' a gap, 'x' a bad segment.
[[nodiscard]] std::string DrawWindow(const Window& window, const WalCatalog& catalog, std::size_t width);

}  // namespace lifeboat::backup
