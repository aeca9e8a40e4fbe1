// How far a restored server came: its own words, its first answers, and what the archive and newer backups say of the end.

#include <algorithm>
#include <charconv>

#include "adapters/backups/read_wal.h"
#include "adapters/backups/restore_run_internal.h"
#include "adapters/backups/source_internal.h"

namespace lifeboat::backup {

void Restore::TakeTimes(const ServerWords& words) {
  const Duration whole = std::chrono::duration_cast<Duration>(Clock::now() - phase_began_);
  const std::int64_t end = ReadWallClock().ns;
  const std::int64_t begin = end - whole.count();
  const auto clamp = [&](std::optional<WallTime> at, std::int64_t low) { return std::clamp(at ? at->ns : end, low, end); };
  const std::int64_t redo = clamp(words.redo_began(), begin);
  const std::int64_t replayed = clamp(words.replayed(), redo);
  outcome_.phases.push_back({"start", Duration(redo - begin)});
  outcome_.phases.push_back({"replay", Duration(replayed - redo)});
  outcome_.phases.push_back({"promote", Duration(end - replayed)});
  phase_began_ = Clock::now();
  outcome_.replayed_segments = wal_ ? wal_->handed_out() : 0;
}

Result<Unit> Restore::FirstQuery(const ServerWords& words) {
  LevelResult& level = At(Level::kRestores);
  Result<std::vector<std::string>> databases = DatabasesOf(Place());
  if (!databases) {
    if (WasCancelled(level)) return Done();
    level = {Verdict::kUnknown, "it starts, and cannot be asked: " + databases.error().message};
    return Done();
  }
  databases_ = std::move(*databases);
  SessionPlace place = Place();
  place.database = databases_.front();
  Result<Session> session = Session::Open(place);
  if (!session) {
    if (WasCancelled(level)) return Done();
    level = {Verdict::kUnknown, "it starts, and cannot be asked: " + session.error().message};
    return Done();
  }
  const QueryAnswer answer = session->Ask(
      "SELECT pg_is_in_recovery(), substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8),"
      " coalesce((extract(epoch FROM pg_last_xact_replay_timestamp()) * 1000000)::int8, 0), count(*) FROM pg_class");
  if (!answer.ok() || answer.rows.empty() || answer.rows[0][0] != "f") {
    Tell(31, "", answer.ok() ? "it answers, and is still in recovery" : "its first query fails: " + answer.error->message);
    return Done();
  }
  answered_ = true;
  level = {Verdict::kPass, ""};
  EndPhase("query");
  outcome_.rto.measured = Since(began_);
  std::int64_t micros = 0;
  const std::string& text = answer.rows[0][2];
  (void)std::from_chars(text.data(), text.data() + text.size(), micros);
  if (micros > 0) outcome_.commit = WallTime{micros * 1000};
  (void)std::from_chars(answer.rows[0][1].data(), answer.rows[0][1].data() + 8, outcome_.timeline, 16);
  ReadError ignored;
  const auto history = ReadSmall(sandbox_->data() / "pg_wal" / HistoryFileName(outcome_.timeline), ignored);
  const Result<History> forks = history ? ParseHistory(*history) : Result<History>(Fail(""));
  if (forks && !forks->empty()) outcome_.reached = forks->back().at;
  outcome_.heartbeat = NewestHeartbeat(Place(), databases_);
  JudgeReached(words);
  return Done();
}

void Restore::JudgeReached(const ServerWords& words) {
  const Lsn stop = set_->span.wal.empty() ? Lsn{} : set_->span.wal.back().end;
  if (outcome_.reached < stop) {
    Tell(32, "", "recovery ended at " + outcome_.reached.Text() + ", before the backup's own end at " + stop.Text());
    return;
  }
  if (options_.target.kind != RestoreTarget::Kind::kLatest || set_->archive == kNowhere) return;
  const Archive& archive = inventory_.archives[set_->archive];
  const std::uint64_t segment = archive.segment_bytes != 0 ? archive.segment_bytes : 16U << 20U;
  WalCatalog catalog(segment);
  for (const Archive* each : archives_) {
    for (const WalFile& file : each->wal) catalog.Add(file.place);
    for (const auto& [timeline, known] : each->histories) catalog.AddHistory(timeline, known);
  }
  Lsn expected;
  Timeline newest = 0;
  for (const Window& window : WindowsOf({set_->span}, catalog)) {
    if (window.timeline < newest) continue;
    newest = window.timeline;
    expected = window.to;
  }
  const std::string said = (words.last_bad_record().empty() ? "" : "; the server says: " + words.last_bad_record()) + Unreadable();
  // The last segment may hold no whole record: one that begins there and ends in a segment that is not there.
  if (outcome_.reached.bytes + segment < expected.bytes) {
    Tell(32, "", "recovery ended at " + outcome_.reached.Text() + ", and the archive goes on to " + expected.Text() + said);
  } else {
    JudgeLastSegment(catalog, newest, expected, said);
  }
}

void Restore::JudgeLastSegment(const WalCatalog& catalog, Timeline timeline, Lsn end, const std::string& said) {
  for (const SetInfo& other : inventory_.sets) {
    if (!other.present || other.archive != set_->archive || other.span.wal.empty()) continue;
    const Lsn stop = other.span.wal.back().end;
    const std::vector<Window> windows = WindowsOf({other.span}, catalog);
    const bool leads = std::any_of(windows.begin(), windows.end(),
                                   [&](const Window& each) { return each.timeline == timeline && each.consistent; });
    if (!leads || stop > end) continue;
    if (stop <= outcome_.reached) {
      newest_stop_ = std::max(newest_stop_, other.stopped);
      continue;
    }
    Tell(32, "",
         "recovery ended at " + outcome_.reached.Text() + ", and the backup '" + other.label +
             "' needs WAL of the same history up to " + stop.Text() + said);
    return;
  }
  // Not in what came with the backup: that may end anywhere behind its stop.
  const std::optional<WalEnd> last = EndOfWal(source_, {&inventory_.archives[set_->archive]}, timeline, end);
  if (!last) return;  // what cannot be read is told where it is read (level 2), or by the server
  if (last->last_record >= outcome_.reached) {
    Tell(32, "",
         "recovery ended at " + outcome_.reached.Text() + ", and a good record begins at " + last->last_record.Text() + said);
  } else if (last->cut) {
    Tell(14, SegmentName({timeline, SegmentBefore(end, catalog.segment_bytes())}, catalog.segment_bytes()),
         "its records end at " + last->position.Text() +
             ", before the segment does, and it is the archive's last: what was committed after that is not in it");
  }
}

}  // namespace lifeboat::backup
