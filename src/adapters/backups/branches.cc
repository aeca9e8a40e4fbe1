#include "adapters/backups/branches.h"

#include "adapters/backups/read_wal.h"
#include "base/time.h"

namespace lifeboat::backup {

namespace {

/// Two servers' clocks are not taken to agree better than this, microseconds.
constexpr std::int64_t kClocks = 1000000;

std::string TimeText(std::int64_t microseconds) { return FormatWallTime(WallTime{microseconds * 1000}).substr(0, 19) + "Z"; }

/// The end of the newest segment of a timeline; 0/0: it has none.
Lsn EndOf(const Archive& archive, Timeline timeline) {
  Lsn end;
  for (const WalFile& file : archive.wal) {
    if (file.place.timeline == timeline) end = Lsn{(file.place.number + 1) * archive.segment_bytes};
  }
  return end;
}

}  // namespace

std::vector<Finding> JudgeBranches(Source& source, const Archive& archive) {
  std::vector<Finding> findings;
  if (archive.segment_bytes == 0) return findings;
  for (const auto& [timeline, history] : archive.histories) {
    if (history.empty() || EndOf(archive, timeline).bytes == 0) continue;
    const TimelineFork& fork = history.back();
    const Lsn end = EndOf(archive, fork.timeline);
    if (end <= fork.at) continue;
    const auto birth = BirthOf(source, {&archive}, timeline, fork.at);
    const auto last = LastCommitBefore(source, {&archive}, fork.timeline, end, fork.at);
    if (!birth || !last || *last <= *birth + kClocks) continue;
    findings.push_back(MakeFinding(19, "", "timeline " + std::to_string(timeline), fork.at.Text(),
                                   "it left timeline " + std::to_string(fork.timeline) + " at " + TimeText(*birth) +
                                       ", and timeline " + std::to_string(fork.timeline) + " has commits until " +
                                       TimeText(*last)));
  }
  return findings;
}

}  // namespace lifeboat::backup
