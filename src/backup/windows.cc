#include "backup/windows.h"

#include <algorithm>
#include <cstdio>

namespace lifeboat::backup {

namespace {

std::uint64_t LastOf(const WalCatalog& catalog, Timeline timeline) {
  const auto at = catalog.present().find(timeline);
  return at == catalog.present().end() || at->second.empty() ? 0 : *at->second.rbegin();
}

bool HasTimeline(const WalCatalog& catalog, Timeline timeline) {
  const auto at = catalog.present().find(timeline);
  return at != catalog.present().end() && !at->second.empty();
}

/// Timeline by timeline up to `final`: which one holds the WAL at a position.
class Path {
 public:
  Path(const History& history, Timeline final) : history_(history), final_(final) {}

  /// @return the timeline whose segment `number` recovery reads: the newest one that the segment belongs to
  [[nodiscard]] Timeline At(std::uint64_t number, std::uint64_t segment_bytes) const {
    for (const TimelineFork& fork : history_) {
      // The segment of the fork itself is read from the timeline that came after it: it holds the old part as a copy.
      if (number < fork.at.bytes / segment_bytes) return fork.timeline;
    }
    return final_;
  }
  /// Where `timeline` was left on this path; nothing: it is not on it, or is its end.
  [[nodiscard]] std::optional<Lsn> Left(Timeline timeline) const {
    for (const TimelineFork& fork : history_) {
      if (fork.timeline == timeline) return fork.at;
    }
    return std::nullopt;
  }

 private:
  const History& history_;
  Timeline final_;
};

const History& HistoryOf(const WalCatalog& catalog, Timeline timeline) {
  static const History kNone;
  const auto at = catalog.histories().find(timeline);
  return at == catalog.histories().end() ? kNone : at->second;
}

void Extend(std::vector<Hole>& holes, WalPlace place, bool missing) {
  if (!holes.empty()) {
    Hole& last = holes.back();
    if (last.missing == missing && last.first.timeline == place.timeline && last.first.number + last.count == place.number) {
      ++last.count;
      return;
    }
  }
  holes.push_back({place, 1, missing});
}

/// The segments that a range of WAL lies in.
struct Span {
  std::uint64_t first;
  std::uint64_t last;
};
Span SpanOf(const WalRange& range, std::uint64_t segment_bytes) {
  const Lsn end{std::max(range.end.bytes, range.start.bytes + 1)};
  return {range.start.bytes / segment_bytes, SegmentBefore(end, segment_bytes)};
}

/// The segment of a fork comes with the timeline that began there, which holds the old part as a copy: a backup that ended in it,
/// on a standby that was promoted soon after, has it from there. @return that copy's place; nothing: there is none
std::optional<WalPlace> CopyOfForkSegment(const WalRange& range, std::uint64_t number, const WalCatalog& catalog) {
  for (const auto& [timeline, history] : catalog.histories()) {
    const std::optional<Lsn> left = Path(history, timeline).Left(range.timeline);
    if (!left || *left < range.end || left->bytes / catalog.segment_bytes() != number) continue;
    const WalPlace copy{Path(history, timeline).At(number, catalog.segment_bytes()), number};
    if (catalog.Has(copy)) return copy;
  }
  return std::nullopt;
}

bool OwnWalWhole(const BackupSpan& backup, const WalCatalog& catalog) {
  for (const WalRange& range : backup.wal) {
    const Span span = SpanOf(range, catalog.segment_bytes());
    for (std::uint64_t number = span.first; number <= span.last; ++number) {
      WalPlace place{range.timeline, number};
      if (!catalog.Has(place)) place = CopyOfForkSegment(range, number, catalog).value_or(place);
      if (!catalog.IsUsable(place)) return false;
    }
  }
  return !backup.wal.empty();
}

Window WindowAlong(const BackupSpan& backup, const WalCatalog& catalog, Timeline final) {
  const WalRange& own = backup.wal.back();
  const std::uint64_t segment_bytes = catalog.segment_bytes();
  const Path path(HistoryOf(catalog, final), final);
  Window window;
  window.label = backup.label;
  window.timeline = final;
  window.consistent = OwnWalWhole(backup, catalog);
  window.from = own.end;
  window.to = own.end;
  const std::uint64_t first = SpanOf(own, segment_bytes).last;
  const std::uint64_t last = std::max(LastOf(catalog, final), first);
  window.last = Lsn{std::max((last + 1) * segment_bytes, own.end.bytes)};
  if (!HasTimeline(catalog, final)) window.last = own.end;
  for (std::uint64_t number = first; number <= last && HasTimeline(catalog, final); ++number) {
    const WalPlace place{path.At(number, segment_bytes), number};
    if (catalog.IsUsable(place)) {
      if (window.holes.empty()) window.to = Lsn{(number + 1) * segment_bytes};
    } else {
      Extend(window.holes, place, !catalog.Has(place));
    }
  }
  if (window.to < window.from) window.to = window.from;
  return window;
}

/// The timelines that no other one goes on from, as far as this backup can reach them; its own, where there are none.
std::vector<Timeline> EndsFrom(const BackupSpan& backup, const WalCatalog& catalog) {
  const WalRange& own = backup.wal.back();
  std::vector<Timeline> ends;
  std::set<Timeline> passed;
  for (const auto& [timeline, history] : catalog.histories()) {
    const std::optional<Lsn> left = Path(history, timeline).Left(own.timeline);
    if (timeline == own.timeline || !left || *left < own.end || !HasTimeline(catalog, timeline)) continue;
    ends.push_back(timeline);
    for (const TimelineFork& fork : history) passed.insert(fork.timeline);
  }
  ends.erase(std::remove_if(ends.begin(), ends.end(), [&](Timeline each) { return passed.count(each) > 0; }), ends.end());
  if (ends.empty()) ends.push_back(own.timeline);
  return ends;
}

std::string HoleText(const Hole& hole, std::uint64_t segment_bytes) {
  std::string text = SegmentName(hole.first, segment_bytes);
  if (hole.count > 1) text += " to " + SegmentName({hole.first.timeline, hole.first.number + hole.count - 1}, segment_bytes);
  return text;
}

std::vector<Hole> MissingOf(const BackupSpan& backup, const WalCatalog& catalog) {
  std::vector<Hole> missing;
  for (const WalRange& range : backup.wal) {
    const Span span = SpanOf(range, catalog.segment_bytes());
    for (std::uint64_t number = span.first; number <= span.last; ++number) {
      if (!catalog.Has({range.timeline, number}) && !CopyOfForkSegment(range, number, catalog))
        Extend(missing, {range.timeline, number}, true);
    }
  }
  return missing;
}

/// Cuts what a backup's own need has told already out of the segments [first, last] of a timeline.
std::vector<Hole> WithoutNeeded(const std::vector<BackupSpan>& backups, Timeline timeline, std::uint64_t first, std::uint64_t last,
                                std::uint64_t segment_bytes) {
  std::vector<Span> left = {{first, last}};
  for (const BackupSpan& backup : backups) {
    for (const WalRange& range : backup.wal) {
      if (range.timeline != timeline) continue;
      const Span need = SpanOf(range, segment_bytes);
      std::vector<Span> after;
      for (const Span& each : left) {
        if (need.last < each.first || need.first > each.last) {
          after.push_back(each);
          continue;
        }
        if (each.first < need.first) after.push_back({each.first, need.first - 1});
        if (each.last > need.last) after.push_back({need.last + 1, each.last});
      }
      left = std::move(after);
    }
  }
  std::vector<Hole> holes;
  for (const Span& each : left) holes.push_back({{timeline, each.first}, each.last - each.first + 1, true});
  return holes;
}

/// The segments of `timeline` that must be there: from its fork, to its newest and to where later timelines left it.
std::optional<Span> ExpectedOf(const WalCatalog& catalog, Timeline timeline, const std::set<std::uint64_t>& numbers) {
  const std::uint64_t segment_bytes = catalog.segment_bytes();
  if (numbers.empty()) return std::nullopt;
  Span span{*numbers.begin(), *numbers.rbegin()};
  if (const History& own = HistoryOf(catalog, timeline); !own.empty()) {
    span.first = std::min(span.first, own.back().at.bytes / segment_bytes);
  }
  for (const auto& [later, history] : catalog.histories()) {
    const std::optional<Lsn> left = Path(history, later).Left(timeline);
    // The segment of the fork itself comes with the later timeline.
    if (left && HasTimeline(catalog, later) && left->bytes >= segment_bytes)
      span.last = std::max(span.last, left->bytes / segment_bytes - 1);
  }
  return span;
}

/// Gaps from the oldest backup's start on, that no backup's own need has told already.
void JudgeGaps(const std::vector<BackupSpan>& backups, const WalCatalog& catalog, std::vector<Finding>& findings) {
  const std::uint64_t segment_bytes = catalog.segment_bytes();
  std::optional<std::uint64_t> oldest;
  for (const BackupSpan& backup : backups) {
    if (backup.wal.empty()) continue;
    const std::uint64_t first = backup.wal.front().start.bytes / segment_bytes;
    oldest = std::min(oldest.value_or(first), first);
  }
  // Without a backup nobody needs what was cleaned away before the oldest WAL that is there, a timeline's beginning among it.
  for (const auto& [timeline, numbers] : catalog.present()) {
    if (backups.empty() && !numbers.empty()) oldest = std::min(oldest.value_or(*numbers.begin()), *numbers.begin());
  }
  const auto tell = [&](Timeline timeline, std::uint64_t first, std::uint64_t last) {
    first = std::max(first, oldest.value_or(0));
    if (first > last) return;
    for (const Hole& gap : WithoutNeeded(backups, timeline, first, last, segment_bytes)) {
      Finding finding = MakeFinding(13, "", HoleText(gap, segment_bytes), StartOf(gap.first.number, segment_bytes).Text(),
                                    std::to_string(gap.count) + (gap.count == 1 ? " segment is" : " segments are") +
                                        " missing, and later WAL that leads through there is in the archive");
      finding.count = gap.count;
      findings.push_back(std::move(finding));
    }
  };
  for (const auto& [timeline, numbers] : catalog.present()) {
    const std::optional<Span> expected = ExpectedOf(catalog, timeline, numbers);
    if (!expected) continue;
    std::uint64_t next = expected->first;
    for (const std::uint64_t number : numbers) {
      if (number > next) tell(timeline, next, number - 1);
      next = number + 1;
    }
    if (next <= expected->last) tell(timeline, next, expected->last);
  }
}

void JudgeHistories(const std::vector<BackupSpan>& backups, const WalCatalog& catalog, std::vector<Finding>& findings) {
  for (const auto& [timeline, numbers] : catalog.present()) {
    if (timeline == 1 || numbers.empty() || catalog.histories().count(timeline) > 0) continue;
    findings.push_back(MakeFinding(18, "", HistoryFileName(timeline), "",
                                   "the archive has WAL of timeline " + std::to_string(timeline) + " and not its history file"));
  }
  Timeline newest = 0;
  for (const auto& [timeline, numbers] : catalog.present()) newest = std::max(newest, numbers.empty() ? 0 : timeline);
  if (catalog.histories().count(newest) == 0) return;
  const Path path(HistoryOf(catalog, newest), newest);
  for (const BackupSpan& backup : backups) {
    if (backup.wal.empty() || backup.wal.back().timeline == newest) continue;
    const WalRange& own = backup.wal.back();
    const std::optional<Lsn> left = path.Left(own.timeline);
    if (left && *left >= own.end) continue;
    findings.push_back(MakeFinding(18, backup.label, "timeline " + std::to_string(newest), left ? left->Text() : "",
                                   left ? "timeline " + std::to_string(newest) + " left timeline " + std::to_string(own.timeline) +
                                              " at " + left->Text() + ", before this backup ended at " + own.end.Text()
                                        : "timeline " + std::to_string(newest) + " does not come from timeline " +
                                              std::to_string(own.timeline) + " of this backup"));
  }
}

}  // namespace

std::string HistoryFileName(Timeline timeline) {
  char name[24];
  std::snprintf(name, sizeof name, "%08X.history", timeline);
  return name;
}

bool WalCatalog::Has(WalPlace place) const {
  const auto at = present_.find(place.timeline);
  return at != present_.end() && at->second.count(place.number) > 0;
}

std::vector<Window> WindowsOf(const std::vector<BackupSpan>& backups, const WalCatalog& catalog) {
  std::vector<Window> windows;
  for (const BackupSpan& backup : backups) {
    if (backup.wal.empty()) continue;
    for (const Timeline end : EndsFrom(backup, catalog)) windows.push_back(WindowAlong(backup, catalog, end));
  }
  return windows;
}

std::vector<Finding> JudgeArchive(const std::vector<BackupSpan>& backups, const WalCatalog& catalog) {
  std::vector<Finding> findings;
  for (const BackupSpan& backup : backups) {
    for (const Hole& hole : MissingOf(backup, catalog)) {
      Finding finding = MakeFinding(12, backup.label, HoleText(hole, catalog.segment_bytes()),
                                    StartOf(hole.first.number, catalog.segment_bytes()).Text(),
                                    "the backup needs it to become consistent, and the archive does not have it");
      finding.count = hole.count;
      findings.push_back(std::move(finding));
    }
  }
  JudgeGaps(backups, catalog, findings);
  JudgeHistories(backups, catalog, findings);
  return findings;
}

std::string DrawWindow(const Window& window, const WalCatalog& catalog, std::size_t width) {
  const std::uint64_t segment_bytes = catalog.segment_bytes();
  const std::uint64_t first = SegmentBefore(window.from, segment_bytes);
  const std::uint64_t last = std::max(first, SegmentBefore(window.last, segment_bytes));
  const std::uint64_t total = last - first + 1;
  const std::size_t cells = static_cast<std::size_t>(std::min<std::uint64_t>(width, total));
  std::string line(cells, '#');
  for (const Hole& hole : window.holes) {
    // Every hole is seen, however small: it takes each cell that it touches.
    const std::uint64_t begin = hole.first.number - first;
    const std::uint64_t end = begin + hole.count - 1;
    for (std::size_t cell = static_cast<std::size_t>(begin * cells / total); cell <= end * cells / total && cell < cells; ++cell) {
      line[cell] = hole.missing ? '.' : 'x';
    }
  }
  return "[" + line + "]";
}

}  // namespace lifeboat::backup
