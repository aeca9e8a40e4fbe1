#include "adapters/backups/read_wal.h"

#include <algorithm>
#include <cstring>

#include "backup/wal_walk.h"

namespace lifeboat::backup {

namespace {

constexpr std::size_t kBlock = 256U << 10;
constexpr std::size_t kSegmentsATask = 32;

/// Consecutive segments of one timeline, none of them known to be bad.
using Stretch = std::vector<const WalFile*>;

Finding SegmentFinding(int fault, const WalFile& file, std::string position, std::string what) {
  return MakeFinding(fault, "", file.name, std::move(position), std::move(what));
}

/// Everything about one archive that its threads share.
class WalPass {
 public:
  WalPass(Source& source, const WalPassOptions& options, Run& run, WalCatalog& catalog, Collector& collector)
      : source_(source), options_(options), archive_(*options.archive), run_(run), catalog_(catalog), collector_(collector) {}

  Counts Do() {
    good_ = Sort();
    system_id_ = archive_.system_id;
    if (!system_id_) system_id_ = OwnerByMajority(good_);
    if (options_.level < Level::kBytes) {
      run_.Each(good_.size(), [&](std::size_t at) { LookAtHeader(*good_[at]); });
    } else {
      const std::vector<const WalFile*> unread = TakeStanding();
      SkipAllBut(unread);
      const std::vector<Stretch> stretches = StretchesOf(unread);
      run_.Each(stretches.size(), [&](std::size_t at) { Walk(stretches[at]); });
    }
    const std::lock_guard lock(mutex_);
    return counts_;
  }

 private:
  [[nodiscard]] bool Wanted(const WalFile& file) const {
    const std::uint64_t bytes = catalog_.segment_bytes();
    if (!options_.only) return (file.place.number + 1) * bytes > options_.from.bytes;
    for (const WalRange& range : *options_.only) {
      const Lsn end{std::max(range.end.bytes, range.start.bytes + 1)};
      if (range.timeline == file.place.timeline && file.place.number >= range.start.bytes / bytes &&
          file.place.number <= SegmentBefore(end, bytes)) {
        return true;
      }
    }
    return false;
  }

  /// Names and sizes: duplicates and segments that cannot be whole are told; the rest is handed out.
  std::vector<const WalFile*> Sort() {
    std::vector<const WalFile*> good;
    for (std::size_t at = 0; at < archive_.wal.size();) {
      std::size_t next = at + 1;
      while (next < archive_.wal.size() && archive_.wal[next].place == archive_.wal[at].place) ++next;
      const WalFile& file = archive_.wal[at];
      if (Wanted(file) && (next - at == 1 || SameContent(at, next)) && SizeFits(file)) good.push_back(&file);
      at = next;
    }
    return good;
  }

  bool SameContent(std::size_t from, std::size_t to) {
    std::set<std::string> contents;
    std::string names;
    for (std::size_t at = from; at < to; ++at) {
      const WalFile& file = archive_.wal[at];
      names += (names.empty() ? "'" : ", '") + file.name + "'";
      contents.insert(file.sha1.empty() ? HashOf(file) : file.sha1);
    }
    if (contents.size() == 1) return true;
    collector_.Add(SegmentFinding(17, archive_.wal[from], StartOf(archive_.wal[from].place.number, catalog_.segment_bytes()).Text(),
                                  "it is there " + std::to_string(to - from) + " times with different content: " + names));
    Bad(archive_.wal[from]);
    return false;
  }

  std::string HashOf(const WalFile& file) {
    Digest digest(DigestKind::kSha1);
    std::vector<char> block(kBlock);
    const StreamPtr stream = source_.OpenWal(file);
    while (true) {
      const std::optional<std::size_t> got = stream->Read(block);
      if (!got) return "unreadable " + file.name;
      if (*got == 0) return digest.Hex();
      digest.Add(block.data(), *got);
    }
  }

  bool SizeFits(const WalFile& file) {
    const bool plain = file.compression == Compression::kNone && file.sha1.empty();
    if (file.stored_size > 0 && (!plain || file.stored_size == catalog_.segment_bytes())) return true;
    if (plain && file.stored_size > catalog_.segment_bytes()) {
      collector_.Add(SegmentFinding(14, file, "",
                                    "it has " + std::to_string(file.stored_size) + " bytes, more than a segment of " +
                                        std::to_string(catalog_.segment_bytes())));
    } else {
      collector_.Add(SegmentFinding(14, file, "",
                                    file.stored_size == 0 ? "it is empty"
                                                          : "it has " + std::to_string(file.stored_size) + " of " +
                                                                std::to_string(catalog_.segment_bytes()) + " bytes"));
    }
    Bad(file);
    return false;
  }

  Result<SegmentHeader> HeaderOf(const WalFile& file) {
    char head[64];
    std::size_t have = 0;
    const StreamPtr stream = source_.OpenWal(file);
    while (have < sizeof head) {
      const std::optional<std::size_t> got = stream->Read({head + have, sizeof head - have});
      if (!got) return Fail(stream->error().message);
      if (*got == 0) break;
      have += *got;
    }
    return ParseSegmentHeader({head, have});
  }

  /// Where nothing says whose WAL this is: whose most of a sample is.
  std::optional<std::uint64_t> OwnerByMajority(const std::vector<const WalFile*>& files) {
    std::map<std::uint64_t, int> votes;
    const std::size_t step = std::max<std::size_t>(1, files.size() / 9);
    for (std::size_t at = 0; at < files.size(); at += step) {
      if (const Result<SegmentHeader> header = HeaderOf(*files[at])) ++votes[header->system_id];
    }
    const auto most =
        std::max_element(votes.begin(), votes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    return most == votes.end() ? std::nullopt : std::optional(most->first);
  }

  void LookAtHeader(const WalFile& file) {
    const Result<SegmentHeader> header = HeaderOf(file);
    const Lsn start = StartOf(file.place.number, catalog_.segment_bytes());
    if (!header) {
      collector_.Add(SegmentFinding(15, file, start.Text(), header.error().message));
      return Bad(file);
    }
    if (system_id_ && header->system_id != *system_id_) {
      collector_.Add(SegmentFinding(16, file, start.Text(), ForeignText(header->system_id)));
      return Bad(file);
    }
    if (header->at != start || header->timeline > file.place.timeline) {
      collector_.Add(SegmentFinding(
          15, file, start.Text(), "it holds the WAL at " + header->at.Text() + " of timeline " + std::to_string(header->timeline)));
      return Bad(file);
    }
    const std::lock_guard lock(mutex_);
    ++counts_.wal_segments;
  }

  [[nodiscard]] std::string ForeignText(std::uint64_t other) const {
    return "its system id is " + std::to_string(other) + ", and the archive is that of " + std::to_string(*system_id_);
  }

  static std::vector<Stretch> StretchesOf(const std::vector<const WalFile*>& files) {
    std::vector<Stretch> stretches;
    for (const WalFile* file : files) {
      const bool follows = !stretches.empty() && stretches.back().size() < kSegmentsATask &&
                           stretches.back().back()->place.timeline == file->place.timeline &&
                           stretches.back().back()->place.number + 1 == file->place.number;
      if (!follows) stretches.emplace_back();
      stretches.back().push_back(file);
    }
    return stretches;
  }

  WalWalker WalkerFrom(const WalFile& file) const {
    WalWalkOptions options;
    options.segment_bytes = static_cast<std::uint32_t>(catalog_.segment_bytes());
    options.timeline = file.place.timeline;
    options.system_id = system_id_;
    return WalWalker(std::move(options), file.place.number);
  }

  [[nodiscard]] std::optional<StoredIdentity> IdentityOfSegment(const WalFile& file) const {
    if (run_.memory() == nullptr || !file.tar_entry.empty()) return std::nullopt;
    const std::optional<StoredPlace> place = source_.PlaceOfWal(file);
    if (!place) return std::nullopt;
    return IdentityOf(*place, "WAL " + file.sha1 + " of " + std::to_string(system_id_.value_or(0)) + " by " +
                                  std::to_string(catalog_.segment_bytes()));
  }

  /// Counts the segments that an earlier run found good and that are as they were; hands out those to be read.
  std::vector<const WalFile*> TakeStanding() {
    if (run_.memory() == nullptr) return good_;
    std::vector<std::optional<std::int64_t>> stands;
    for (const WalFile* file : good_) {
      const std::optional<StoredIdentity> identity = IdentityOfSegment(*file);
      // Those that records lead through come round together.
      const std::string group =
          archive_.name + "/" + std::to_string(file->place.timeline) + "/" + std::to_string(file->place.number / kSegmentsATask);
      stands.push_back(identity ? run_.memory()->Stands(*identity, Level::kBytes, group) : std::nullopt);
    }
    std::vector<const WalFile*> unread;
    for (std::size_t at = 0; at < good_.size(); ++at) {
      const bool next_is_read = at + 1 < good_.size() && !stands[at + 1] && Follows(*good_[at], *good_[at + 1]);
      if (!stands[at] || next_is_read) {
        unread.push_back(good_[at]);
        // The record that leads into the next is judged by its beginning; the whole segment is not judged anew by that.
        if (stands[at]) lead_in_.insert(good_[at]);
        continue;
      }
      Counts standing;
      standing.standing_files = 1;
      standing.standing_bytes = good_[at]->stored_size;
      standing.oldest_reading = *stands[at];
      counts_.Add(standing);
    }
    return unread;
  }

  static bool Follows(const WalFile& file, const WalFile& next) {
    return next.place.timeline == file.place.timeline && next.place.number == file.place.number + 1;
  }

  /// All of the archive was expected.
  void SkipAllBut(const std::vector<const WalFile*>& unread) {
    std::uint64_t rest = 0;
    for (const WalFile& file : archive_.wal) rest += file.stored_size;
    for (const WalFile* file : unread) rest -= file->stored_size;
    run_.Skip(rest);
  }

  void Walk(const Stretch& stretch) {
    std::optional<WalWalker> walker;
    for (const WalFile* file : stretch) {
      if (run_.Cancelled()) return;
      run_.Doing("WAL of " + archive_.name);
      if (!walker || walker->Stopped()) walker.emplace(WalkerFrom(*file));
      Segment(*file, *walker);
      run_.Done(file->stored_size);
    }
    if (run_.Cancelled()) return;  // the last segment may not have been read to its end
    // A record that the next segment goes on with is judged here, where it began, whoever reads that one.
    auto next = std::upper_bound(good_.begin(), good_.end(), stretch.back()->place,
                                 [](const WalPlace& place, const WalFile* file) { return place < file->place; });
    for (const WalFile* before = stretch.back(); next != good_.end() && walker && !walker->Stopped() && walker->HasOpenRecord();
         ++next) {
      if (!Follows(*before, **next) || !GoOn(**next, *walker)) break;
      before = *next;
    }
  }

  /// Reads as much of `file` as the open record needs. @return true: the record goes on after it
  bool GoOn(const WalFile& file, WalWalker& walker) {
    const StreamPtr stream = source_.OpenWal(file);
    std::vector<char> block(kWalPageBytes * 4);
    while (walker.HasOpenRecord() && !walker.Stopped()) {
      std::size_t have = 0;
      while (have < block.size()) {
        const std::optional<std::size_t> got = stream->Read({block.data() + have, block.size() - have});
        if (!got) return false;  // that segment's own task tells
        if (*got == 0) break;
        have += *got;
      }
      if (have == 0) break;
      walker.Add({block.data(), have});
    }
    if (walker.stop() == WalStop::kRecordCrc) TellStop(file, walker);
    if (!walker.HasOpenRecord() || walker.Stopped()) return false;
    walker.EndSegment();
    return true;
  }

  void Segment(const WalFile& file, WalWalker& walker) {
    Digest digest(file.sha1.empty() ? DigestKind::kNone : DigestKind::kSha1);
    std::vector<char> block(kBlock);
    const std::optional<StoredIdentity> identity = IdentityOfSegment(file);  // from before it is read
    const StreamPtr stream = source_.OpenWal(file);
    const std::uint64_t records_before = walker.records();
    std::uint64_t bytes = 0;
    while (true) {
      const std::optional<std::size_t> got = stream->Read(block);
      if (!got) {
        const bool cut = stream->error().problem == ReadProblem::kTruncated;
        collector_.Add(SegmentFinding(cut ? 14 : 15, file, walker.position().Text(), stream->error().message));
        walker = WalkerFrom(file);
        walker.EndSegment();  // stopped: the next segment begins anew
        return Bad(file);
      }
      if (*got == 0) break;
      if (run_.Cancelled()) return;
      bytes += *got;
      digest.Add(block.data(), *got);
      walker.Add({block.data(), *got});
    }
    walker.EndSegment();
    {
      const std::lock_guard lock(mutex_);
      ++counts_.wal_segments;
      counts_.bytes += bytes;
      counts_.stored_bytes += file.stored_size;
      counts_.wal_records += walker.records() - std::min(records_before, walker.records());
    }
    if (walker.Stopped() && !EndsAfterNeed(file, walker)) return TellStop(file, walker);
    if (!file.sha1.empty() && digest.Hex() != file.sha1) {
      collector_.Add(SegmentFinding(15, file, "", "its SHA-1 is not the one in its name"));
      return Bad(file);
    }
    if (identity && !walker.Stopped() && lead_in_.count(&file) == 0) RememberGood(file, *identity);
  }

  /// WAL that came with a backup may end where the backup does.
  [[nodiscard]] bool EndsAfterNeed(const WalFile& file, const WalWalker& walker) const {
    if (!archive_.only_needed || !options_.only) return false;
    for (const WalRange& range : *options_.only) {
      if (range.timeline == file.place.timeline && walker.position() >= range.end) return true;
    }
    return false;
  }

  void TellStop(const WalFile& file, const WalWalker& walker) {
    const WalStop stop = walker.stop();
    const int fault = stop == WalStop::kOtherCluster ? 16 : stop == WalStop::kShort || stop == WalStop::kGeometry ? 14 : 15;
    collector_.Add(SegmentFinding(fault, file, walker.position().Text(), std::string(ToString(stop)) + ": " + walker.detail()));
    Bad(file);
  }

  void Bad(const WalFile& file) {
    const std::optional<StoredIdentity> identity = IdentityOfSegment(file);
    const std::lock_guard lock(mutex_);
    catalog_.MarkBad(file.place);
    // SAFETY: what is not good now must be read again by every run until it is.
    if (identity) run_.memory()->Forget(*identity);
  }

  void RememberGood(const WalFile& file, const StoredIdentity& identity) {
    const std::lock_guard lock(mutex_);
    // SAFETY: the thread that read the segment before it may have found the record bad that leads into this one.
    if (!catalog_.IsBad(file.place)) run_.memory()->Remember(identity, Level::kBytes);
  }

  Source& source_;
  const WalPassOptions& options_;
  const Archive& archive_;
  Run& run_;
  WalCatalog& catalog_;
  Collector& collector_;
  std::optional<std::uint64_t> system_id_;
  std::vector<const WalFile*> good_;  ///< by place: those that names and sizes speak for
  std::set<const WalFile*> lead_in_;  ///< read for the record that leads into the next
  std::mutex mutex_;
  Counts counts_;
};

const WalFile* FindSegment(const std::vector<const Archive*>& archives, WalPlace place) {
  for (const Archive* archive : archives) {
    const auto at = std::lower_bound(archive->wal.begin(), archive->wal.end(), place,
                                     [](const WalFile& file, const WalPlace& wanted) { return file.place < wanted; });
    if (at != archive->wal.end() && at->place == place) return &*at;
  }
  return nullptr;
}

std::uint64_t SegmentBytesOf(const std::vector<const Archive*>& archives) {
  for (const Archive* archive : archives) {
    if (archive->segment_bytes != 0) return archive->segment_bytes;
  }
  return 16U << 20;
}

/// Walks segments [first, last] of a timeline. @return how far: the walker, stopped or not; nothing: a segment is missing or
/// unreadable
std::optional<WalWalker> WalkRange(Source& source, const std::vector<const Archive*>& archives, Timeline timeline,
                                   std::uint64_t first, std::uint64_t last,
                                   const std::function<void(const WalRecordView&)>& on_record) {
  WalWalkOptions options;
  options.segment_bytes = static_cast<std::uint32_t>(SegmentBytesOf(archives));
  options.timeline = timeline;
  options.on_record = on_record;
  WalWalker walker(std::move(options), first);
  std::vector<char> block(kBlock);
  for (std::uint64_t number = first; number <= last && !walker.Stopped(); ++number) {
    const WalFile* file = FindSegment(archives, {timeline, number});
    if (file == nullptr) return std::nullopt;
    const StreamPtr stream = source.OpenWal(*file);
    while (!walker.Stopped()) {
      const std::optional<std::size_t> got = stream->Read(block);
      if (!got) return std::nullopt;
      if (*got == 0) break;
      walker.Add({block.data(), *got});
    }
    walker.EndSegment();
  }
  return walker;
}

/// What a record without block references says, in its main data.
std::span<const char> MainData(const WalRecordView& record) {
  const std::span<const char> head = record.head;
  if (head.size() >= 2 && static_cast<unsigned char>(head[0]) == 255) return head.subspan(2);
  if (head.size() >= 5 && static_cast<unsigned char>(head[0]) == 254) return head.subspan(5);
  return {};
}

template <typename T>
T At(std::span<const char> bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

constexpr std::uint8_t kManagerTransaction = 1;
constexpr std::uint8_t kManagerStorage = 2;
constexpr std::uint8_t kManagerDatabase = 4;

/// Storage truncated from a block on: nothing behind it is left after replay. @source PostgreSQL, storage_xlog.h
void TakeTruncated(const WalRecordView& record, std::set<PageName>& pages) {
  constexpr std::uint8_t kTruncate = 0x20;
  const std::span<const char> data = MainData(record);
  if ((record.info & 0xF0U) != kTruncate || data.size() < 16) return;
  const auto from = At<std::uint32_t>(data, 0);
  const RelationFile relation{At<std::uint32_t>(data, 4), At<std::uint32_t>(data, 8), At<std::uint32_t>(data, 12), Fork::kMain, 0};
  for (auto page = pages.begin(); page != pages.end();) {
    RelationFile main = page->file;
    main.fork = Fork::kMain;
    // The other forks are cut to fit; what lies behind their end is made anew when it is needed.
    const bool gone = main == relation && (page->file.fork != Fork::kMain || page->block >= from);
    page = gone ? pages.erase(page) : std::next(page);
  }
}

/// A database that replay copies file by file, or removes. @source PostgreSQL, dbcommands_xlog.h
void TakeDatabase(const WalRecordView& record, std::set<PageName>& pages) {
  const std::uint8_t what = record.info & 0xF0U;
  const std::span<const char> data = MainData(record);
  // Before 15 a copy has code 0x00 and a drop 0x10; since then a copy 0x00, one by WAL 0x10 and a drop 0x20.
  const bool copied = what == 0x00;
  const bool dropped = what == (record.major >= 15 ? 0x20 : 0x10);
  if ((!copied && !dropped) || data.size() < 8) return;
  const auto database = At<std::uint32_t>(data, 0);
  for (auto page = pages.begin(); page != pages.end();) {
    page = page->file.database == database ? pages.erase(page) : std::next(page);
  }
}

/// PostgreSQL counts microseconds from 2000 on.
constexpr std::int64_t kFrom2000 = 946684800LL * 1000000;
/// How far the questions about time look: a timeline's end or begin says it, or nobody does.
constexpr std::uint64_t kSegmentsLookedAt = 4;

/// Microseconds since 1970 of a commit. @source PostgreSQL, xact.h
std::optional<std::int64_t> CommitTimeOf(const WalRecordView& record) {
  const std::uint8_t what = record.info & 0x70U;
  const std::span<const char> data = MainData(record);
  if (record.manager != kManagerTransaction || (what != 0x00 && what != 0x30) || data.size() < 8) return std::nullopt;
  return At<std::int64_t>(data, 0) + kFrom2000;
}

/// Microseconds since 1970 of a promotion. @source PostgreSQL, pg_control.h and xlog_internal.h, XLOG_END_OF_RECOVERY
std::optional<std::int64_t> PromotionTimeOf(const WalRecordView& record) {
  constexpr std::uint8_t kManagerLog = 0;
  constexpr std::uint8_t kEndOfRecovery = 0x90;
  const std::span<const char> data = MainData(record);
  if (record.manager != kManagerLog || (record.info & 0xF0U) != kEndOfRecovery || data.size() < 8) return std::nullopt;
  return At<std::int64_t>(data, 0) + kFrom2000;
}

}  // namespace

Counts ReadWal(Source& source, const WalPassOptions& options, Run& run, WalCatalog& catalog, Collector& collector) {
  return WalPass(source, options, run, catalog, collector).Do();
}

bool TakeReplayed(Source& source, const std::vector<const Archive*>& archives, const std::vector<WalRange>& ranges,
                  std::set<PageName>& pages) {
  const std::uint64_t segment_bytes = SegmentBytesOf(archives);
  bool whole = !ranges.empty();
  for (const WalRange& range : ranges) {
    const auto on_record = [&](const WalRecordView& record) {
      if (record.at < range.start || record.at >= range.end) return;
      if (record.manager == kManagerStorage) TakeTruncated(record, pages);
      if (record.manager == kManagerDatabase) TakeDatabase(record, pages);
      const auto blocks = BlocksOf(record);
      if (!blocks) return;
      for (const BlockReference& each : *blocks) {
        if (each.replaces)
          pages.erase({{each.tablespace, each.database, each.relation, static_cast<Fork>(each.fork), 0}, each.block});
      }
    };
    const Lsn end{std::max(range.end.bytes, range.start.bytes + 1)};
    const std::optional<WalWalker> walker = WalkRange(source, archives, range.timeline, range.start.bytes / segment_bytes,
                                                      SegmentBefore(end, segment_bytes), on_record);
    whole = whole && walker && (!walker->Stopped() || walker->position() >= range.end);
  }
  return whole;
}

std::optional<std::int64_t> LastCommitBefore(Source& source, const std::vector<const Archive*>& archives, Timeline timeline,
                                             Lsn end, Lsn after) {
  if (end.bytes == 0) return std::nullopt;
  const std::uint64_t last = SegmentBefore(end, SegmentBytesOf(archives));
  std::optional<std::int64_t> newest;
  const auto on_record = [&](const WalRecordView& record) {
    if (record.at >= end || record.at < after) return;
    if (const auto at = CommitTimeOf(record)) newest = std::max(newest.value_or(*at), *at);
  };
  for (std::uint64_t back = 0; back < kSegmentsLookedAt && back <= last && !newest; ++back) {
    (void)WalkRange(source, archives, timeline, last - back, last - back, on_record);
  }
  return newest;
}

std::optional<WalEnd> EndOfWal(Source& source, const std::vector<const Archive*>& archives, Timeline timeline, Lsn end) {
  if (end.bytes == 0) return std::nullopt;
  const std::uint64_t last = SegmentBefore(end, SegmentBytesOf(archives));
  WalEnd found;
  const std::optional<WalWalker> walker =
      WalkRange(source, archives, timeline, last, last, [&](const WalRecordView& record) { found.last_record = record.at; });
  if (!walker) return std::nullopt;
  found.position = walker->position();
  found.cut = walker->Stopped();
  return found;
}

std::optional<std::int64_t> BirthOf(Source& source, const std::vector<const Archive*>& archives, Timeline timeline, Lsn fork) {
  const std::uint64_t first = fork.bytes / SegmentBytesOf(archives);
  std::optional<std::int64_t> birth;
  const auto on_record = [&](const WalRecordView& record) {
    if (birth || record.at < fork) return;
    birth = PromotionTimeOf(record);
    if (!birth) birth = CommitTimeOf(record);
  };
  for (std::uint64_t number = first; number < first + kSegmentsLookedAt && !birth; ++number) {
    (void)WalkRange(source, archives, timeline, number, number, on_record);
  }
  return birth;
}

}  // namespace lifeboat::backup
