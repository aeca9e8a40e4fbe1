#include "adapters/backups/verify.h"

#include <algorithm>
#include <chrono>

#include "adapters/backups/branches.h"
#include "adapters/backups/misplaced.h"
#include "adapters/backups/read_set.h"
#include "adapters/backups/read_wal.h"
#include "adapters/backups/settle.h"

namespace lifeboat::backup {

namespace {

LevelResult& At(Levels& levels, Level level) { return levels[static_cast<std::size_t>(level)]; }

void NotChecked(Levels& levels, Level level, std::string reason) { At(levels, level) = {Verdict::kNotChecked, std::move(reason)}; }

/// Why a pass is one, where some of it was not read by this run; empty: all of it was.
std::string StandingText(const Counts& counts) {
  if (counts.standing_files == 0) return {};
  return std::to_string(counts.standing_files) + " files stand from earlier runs, the oldest read at " +
         FormatWallTime({counts.oldest_reading * 1000000000}).substr(0, 19) + "Z";
}

/// One verification, from the first look to the report.
class Verification {
 public:
  Verification(Source& source, const VerifyOptions& options) : source_(source), options_(options), run_(options) {}

  Result<Verified> Do() {
    const auto began = std::chrono::steady_clock::now();
    Result<Inventory> looked = source_.Look();
    if (!looked) return looked.error();
    verified_.inventory = std::move(*looked);
    verified_.report.source = source_.name();
    const Result<Unit> chosen = Choose();
    if (!chosen) return chosen.error();
    collector_.Add(std::move(verified_.inventory.findings));
    verified_.inventory.findings.clear();
    for (const Archive& archive : verified_.inventory.archives) catalogs_.push_back(CatalogOf(archive));
    JudgeClocks();
    for (const std::size_t at : chosen_) OpenSet(at);
    for (std::size_t archive = 0; archive < catalogs_.size(); ++archive) ReadArchive(archive);
    if (options_.level >= Level::kStructure && !run_.Cancelled()) settler_.Archives();
    JudgeArchives();
    if (options_.scope == Scope::kAll && options_.level >= Level::kBytes) {
      for (OpenedSet& opened : opened_) ReadFiles(opened);
    }
    if (!run_.Cancelled()) settler_.Sets();
    for (OpenedSet& opened : opened_) Conclude(opened);
    ConcludeWal();
    MakeWindows();
    verified_.report.cancelled = run_.Cancelled();
    verified_.report.findings = collector_.Take();
    verified_.report.took = std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - began);
    return std::move(verified_);
  }

 private:
  struct OpenedSet {
    std::size_t index = 0;  ///< in the inventory
    std::optional<SetContent> content;
    SetFacts facts;
    SetPass pass;
    bool was_read = false;
    std::string pages_unknown;  ///< why pages that look bad could not be judged
  };

  [[nodiscard]] const SetInfo& InfoOf(const OpenedSet& opened) const { return verified_.inventory.sets[opened.index]; }

  Result<Unit> Choose() {
    const std::vector<SetInfo>& sets = verified_.inventory.sets;
    for (std::size_t at = 0; at < sets.size(); ++at) {
      const bool latest = options_.set == "latest" && at + 1 == sets.size();
      if (options_.set.empty() || latest || sets[at].label == options_.set) chosen_.push_back(at);
    }
    if (!options_.set.empty() && chosen_.empty()) {
      std::string known;
      for (const SetInfo& set : sets) known += (known.empty() ? "'" : ", '") + set.label + "'";
      return NotFound("there is no backup '" + options_.set + "' in '" + source_.name() + "'",
                      known.empty() ? "it holds none" : "it holds " + known);
    }
    return lifeboat::Done();
  }

  /// A backup that ended in the future: its age, and all that is reckoned from it, is wrong.
  void JudgeClocks() {
    constexpr std::int64_t kAgreed = 60;  // seconds; less is the business of those who keep clocks
    const std::int64_t now = ReadWallClock().ns / 1000000000;
    for (const std::size_t at : chosen_) {
      const SetInfo& set = verified_.inventory.sets[at];
      if (set.stopped <= now + kAgreed) continue;
      collector_.Add(MakeFinding(45, set.label, set.label, "",
                                 "it ended " + std::to_string(set.stopped - now) + " seconds after this machine's present"));
    }
  }

  static WalCatalog CatalogOf(const Archive& archive) {
    WalCatalog catalog(archive.segment_bytes != 0 ? archive.segment_bytes : 16U << 20);
    for (const WalFile& file : archive.wal) catalog.Add(file.place);
    for (const auto& [timeline, history] : archive.histories) catalog.AddHistory(timeline, history);
    return catalog;
  }

  /// L1 of one set, as far as it can be said before its files are read.
  void OpenSet(std::size_t at) {
    OpenedSet opened;
    opened.index = at;
    if (options_.scope == Scope::kAll && options_.level >= Level::kStructure) {
      std::vector<Finding> findings;
      opened.content = source_.OpenSet(InfoOf(opened), findings);
      if (opened.content && !opened.content->small_when_read && !InfoOf(opened).logical)
        opened.facts = Judge(opened, opened.content->small, findings);
      collector_.Add(std::move(findings));
      TellSeenPages(opened);
      if (opened.content && options_.level >= Level::kBytes) {
        for (std::size_t unit = 0; unit < opened.content->reader->Units(); ++unit)
          run_.Expect(opened.content->reader->StoredBytes(unit));
      }
    }
    JudgeChain(opened);
    opened_.push_back(std::move(opened));
  }

  /// What the tool itself saw when it copied, where our own look does not go so far.
  void TellSeenPages(const OpenedSet& opened) {
    if (!opened.content || options_.level >= Level::kPages) return;
    for (const FileEntry& file : opened.content->manifest.files) {
      if (!file.page_errors) continue;
      collector_.Add(MakeFinding(23, InfoOf(opened).label, file.path, "",
                                 "its manifest says that pages of it had wrong checksums when it was copied"));
    }
  }

  SetFacts Judge(const OpenedSet& opened, const SmallFiles& small, std::vector<Finding>& findings) const {
    const SetInfo& info = InfoOf(opened);
    StructureQuestion question;
    question.set = info.label;
    question.manifest = &opened.content->manifest;
    question.small = small;
    question.system_id = info.system_id;
    question.version = info.version;
    question.offline = info.offline;
    return JudgeSet(question, findings);
  }

  /// The spans of the sets that a source lists with this archive; all of them, since a gap harms every one.
  [[nodiscard]] std::vector<BackupSpan> SpansOf(std::size_t archive) const {
    std::vector<BackupSpan> spans;
    for (const SetInfo& set : verified_.inventory.sets) {
      if ((set.archive == archive || set.own == archive) && settler_.MovedText(set.label).empty()) spans.push_back(set.span);
    }
    return spans;
  }

  void ReadArchive(std::size_t at) {
    const Archive& archive = verified_.inventory.archives[at];
    WalPassOptions pass;
    pass.archive = &archive;
    pass.level = options_.level;
    const std::vector<BackupSpan> spans = SpansOf(at);
    std::vector<WalRange> needed;
    std::optional<Lsn> oldest;
    for (const BackupSpan& span : spans) {
      const bool chosen = std::any_of(chosen_.begin(), chosen_.end(),
                                      [&](std::size_t set) { return verified_.inventory.sets[set].label == span.label; });
      for (const WalRange& range : span.wal) {
        oldest = std::min(oldest.value_or(range.start), range.start);
        if (chosen) needed.push_back(range);
      }
    }
    pass.from = oldest.value_or(Lsn{});
    if (archive.only_needed || !options_.set.empty()) pass.only = needed;
    if (options_.level < Level::kStructure) return;
    if (options_.level >= Level::kBytes) {
      for (const WalFile& file : archive.wal) run_.Expect(file.stored_size);
    }
    verified_.report.wal_counts.Add(ReadWal(source_, pass, run_, catalogs_[at], collector_));
  }

  /// What a set's WAL is looked for in: the archive, and what came with the set.
  [[nodiscard]] WalCatalog CatalogFor(const SetInfo& set) const {
    if (set.archive == kNowhere && set.own == kNowhere) return WalCatalog(16U << 20);
    if (set.archive == kNowhere) return catalogs_[set.own];
    WalCatalog catalog = catalogs_[set.archive];
    if (set.own == kNowhere) return catalog;
    const WalCatalog& own = catalogs_[set.own];
    for (const auto& [timeline, numbers] : own.present()) {
      for (const std::uint64_t number : numbers) {
        if (!catalog.Has({timeline, number}) && own.IsUsable({timeline, number})) catalog.Add({timeline, number});
      }
    }
    return catalog;
  }

  /// An incremental backup of PostgreSQL 17 is put together with the one that it goes on from; that one's own chain is its own
  /// matter.
  void JudgeChain(const OpenedSet& opened) {
    if (!opened.facts.incremental_from) return;
    const Lsn from = *opened.facts.incremental_from;
    for (const SetInfo& set : verified_.inventory.sets) {
      if (set.present && !set.span.wal.empty() && set.span.wal.front().start == from) return;
    }
    collector_.Add(MakeFinding(11, InfoOf(opened).label, "the backup that began at " + from.Text(), from.Text(),
                               "the backup holds what changed since, and that one does not lie beside it"));
  }

  void JudgeArchives() {
    if (options_.level < Level::kStructure || run_.Cancelled()) return;
    // Needs are judged set by set, since a set may have brought its own WAL; gaps and histories once an archive.
    for (const std::size_t at : chosen_) {
      const SetInfo& set = verified_.inventory.sets[at];
      if (!settler_.MovedText(set.label).empty()) continue;
      for (Finding& finding : JudgeArchive({set.span}, CatalogFor(set))) {
        if (finding.fault == 12) collector_.Add(std::move(finding));
      }
    }
    for (std::size_t at = 0; at < catalogs_.size(); ++at) {
      if (verified_.inventory.archives[at].only_needed) continue;
      for (Finding& finding : JudgeArchive(SpansOf(at), catalogs_[at])) {
        if (finding.fault != 12) collector_.Add(std::move(finding));
      }
      collector_.Add(JudgeBranches(source_, verified_.inventory.archives[at]));
    }
  }

  void ReadFiles(OpenedSet& opened) {
    if (!opened.content || run_.Cancelled() || !settler_.MovedText(InfoOf(opened).label).empty()) return;
    const SetInfo& info = InfoOf(opened);
    SetPassOptions pass;
    pass.set = &info;
    pass.content = &*opened.content;
    pass.start = info.span.wal.empty() ? opened.facts.start : info.span.wal.front().start;
    // Without a pg_control that can be read nobody knows of what size pages are, nor whether they have checksums.
    const bool blind = opened.content->small_when_read ? false : !opened.facts.control || !opened.facts.control->data_checksums;
    pass.level = blind ? std::min(options_.level, Level::kBytes) : options_.level;
    if (opened.facts.control) {
      pass.page_bytes = opened.facts.control->block_bytes;
      pass.segment_blocks = opened.facts.control->relation_segment_blocks;
    }
    opened.pass = ReadSet(pass, run_, known_, collector_);
    if (run_.Cancelled()) return;
    opened.was_read = true;
    if (opened.content->small_when_read && !info.logical) JudgeTar(opened);
    if (options_.level >= Level::kPages) JudgePages(opened);
  }

  /// A tar file's listing and small files, known now that it was read.
  void JudgeTar(OpenedSet& opened) {
    std::vector<Finding> findings;
    opened.facts = Judge(opened, opened.pass.small, findings);
    std::vector<StoredFile> listed;
    for (const FileEntry& file : opened.content->manifest.files) {
      if (!IsBesideManifest(file.path)) listed.push_back({file.path, file.size});
    }
    std::sort(opened.pass.seen.begin(), opened.pass.seen.end(),
              [](const StoredFile& a, const StoredFile& b) { return a.path < b.path; });
    // What a damaged tar file did not give is told by its damage.
    if (opened.pass.damaged_files == 0) CompareListing(InfoOf(opened).label, listed, opened.pass.seen, findings);
    collector_.Add(std::move(findings));
    JudgeChain(opened);
    const bool blind = !opened.facts.control || !opened.facts.control->data_checksums;
    if (blind) opened.pass.suspects.clear();
    if (!blind && opened.facts.control->block_bytes != 8192) {
      opened.pass.suspects.clear();
      opened.pages_unknown =
          "pages of " + std::to_string(opened.facts.control->block_bytes) + " bytes in a tar file are not judged";
    }
  }

  void JudgePages(OpenedSet& opened) {
    if (opened.pass.suspects.empty()) return;
    const SetInfo& info = InfoOf(opened);
    const std::vector<FileEntry>& files = opened.content->manifest.files;
    std::set<PageName> pages;
    const auto name_of = [&](const SuspectPage& page) {
      RelationFile file = *ParseRelationPath(files[page.file].path);
      file.segment = 0;
      return PageName{file, page.block};
    };
    for (const SuspectPage& page : opened.pass.suspects) pages.insert(name_of(page));
    std::vector<const Archive*> archives;
    if (info.own != kNowhere) archives.push_back(&verified_.inventory.archives[info.own]);
    if (info.archive != kNowhere) archives.push_back(&verified_.inventory.archives[info.archive]);
    const std::size_t looked_bad = pages.size();
    // No WAL replaces anything in a backup of a server that was shut down.
    const bool asked = info.offline || TakeReplayed(source_, archives, info.span.wal, pages);
    opened.pass.counts.hot_pages += looked_bad - pages.size();
    if (!asked && !pages.empty()) {
      // SAFETY: without the WAL a page that looks bad may be one that replay replaces: neither damage nor a pass.
      opened.pages_unknown = std::to_string(pages.size()) + " pages look bad, and the WAL that may replace them cannot be read";
      return;
    }
    std::vector<SuspectPage> bad;
    for (const SuspectPage& page : opened.pass.suspects) {
      if (pages.count(name_of(page)) > 0) bad.push_back(page);
    }
    const std::map<PageName, std::uint32_t> misplaced =
        FindMisplaced(*opened.content, bad, opened.facts.control->block_bytes, opened.facts.control->relation_segment_blocks);
    for (const SuspectPage& page : bad) {
      const std::string& path = files[page.file].path;
      if (const auto other = misplaced.find(name_of(page)); other != misplaced.end()) {
        collector_.Add(MakeFinding(24, info.label, path, "block " + std::to_string(page.block),
                                   "it holds what belongs to block " + std::to_string(other->second) +
                                       " of the relation: a write went to the wrong place"));
        continue;
      }
      Finding finding = MakeFinding(
          23, info.label, path, "block " + std::to_string(page.block),
          page.cut ? "the file ends within this page, and no WAL of the backup makes it whole"
                   : "its checksum is wrong, its bytes are as they were when it was copied, and no WAL of the backup replaces it");
      if (name_of(page).file.fork == Fork::kFreeSpace) {
        finding.severity = Severity::kNote;
        finding.means = "none: PostgreSQL makes a damaged page of a free space map anew";
      }
      collector_.Add(std::move(finding));
    }
  }

  void Conclude(OpenedSet& opened) {
    const SetInfo& info = InfoOf(opened);
    SetReport report;
    report.label = info.label;
    report.kind = info.kind;
    report.counts = opened.pass.counts;
    Levels& levels = report.levels;
    if (const std::string moved = settler_.MovedText(info.label); !moved.empty()) {
      for (int level = 0; level < kLevels; ++level) {
        const auto each = static_cast<Level>(level);
        NotChecked(levels, each, each > options_.level ? "not asked for" : moved);
      }
      verified_.report.sets.push_back(std::move(report));
      return;
    }
    const bool none = !info.present || collector_.HasFault(info.label, Level::kExists);
    At(levels, Level::kExists).verdict = none ? Verdict::kFail : Verdict::kPass;
    if (!info.present) At(levels, Level::kExists).reason = "it is listed, and not stored";
    // What was damaged in the backup is told as that; this is so in the source.
    if (!opened.facts.control_problem.empty() && !opened.pass.control_damaged) {
      Finding finding = MakeFinding(31, info.label, "global/pg_control", "", opened.facts.control_problem);
      finding.level = Level::kStructure;
      collector_.Add(std::move(finding));
    }
    ConcludeStructure(opened, levels);
    ConcludeBytes(opened, levels);
    ConcludePages(opened, levels);
    for (int level = static_cast<int>(Level::kStructure); level < kLevels; ++level) {
      const auto each = static_cast<Level>(level);
      if (each > options_.level) NotChecked(levels, each, "not asked for");
    }
    report.counts.unread_files = opened.content ? opened.content->unread.size() : 0;
    verified_.report.sets.push_back(std::move(report));
  }

  void ConcludeStructure(const OpenedSet& opened, Levels& levels) const {
    LevelResult& result = At(levels, Level::kStructure);
    const SetInfo& info = InfoOf(opened);
    if (collector_.HasFault(info.label, Level::kStructure) || collector_.HasFault(info.label, Level::kExists)) {
      result.verdict = Verdict::kFail;
    } else if (options_.scope == Scope::kWalOnly || run_.Cancelled()) {
      result.reason = run_.Cancelled() ? "cancelled" : "not asked for";
    } else if (!opened.content) {
      result = {Verdict::kUnknown, "the backup cannot be opened"};
    } else if (opened.content->small_when_read && !opened.was_read) {
      result.reason = "what it holds is known when it is read (--level 2)";
    } else if (info.logical) {
      if (opened.content->unread.empty()) {
        result.verdict = Verdict::kPass;
      } else {
        result.reason = opened.content->not_proven;
      }
    } else if (info.span.wal.empty() && !info.offline) {
      result = {Verdict::kUnknown, "which WAL it needs is not known"};
    } else {
      result.verdict = Verdict::kPass;
    }
  }

  [[nodiscard]] bool NeedsBadWal(const SetInfo& info) const {
    const WalCatalog catalog = CatalogFor(info);
    for (const WalRange& range : info.span.wal) {
      const Lsn end{std::max(range.end.bytes, range.start.bytes + 1)};
      for (std::uint64_t number = range.start.bytes / catalog.segment_bytes();
           number <= SegmentBefore(end, catalog.segment_bytes()); ++number) {
        if (catalog.IsBad({range.timeline, number})) return true;
      }
    }
    return false;
  }

  void ConcludeBytes(const OpenedSet& opened, Levels& levels) const {
    LevelResult& result = At(levels, Level::kBytes);
    const SetInfo& info = InfoOf(opened);
    if (collector_.HasFault(info.label, Level::kBytes) || opened.pass.damaged_files > 0) {
      result.verdict = Verdict::kFail;
    } else if (NeedsBadWal(info)) {
      result = {Verdict::kFail, "WAL that it needs is damaged"};
    } else if (!opened.was_read) {
      result.reason = run_.Cancelled() ? "cancelled" : opened.content ? "not asked for" : "the backup cannot be opened";
    } else if (!opened.content->not_proven.empty()) {
      result.reason = opened.content->not_proven;
    } else if (!opened.content->unread.empty()) {
      result.reason = std::to_string(opened.content->unread.size()) + " files are stored as changed blocks, without a map of them";
    } else if (HasFilesWithoutHash(*opened.content)) {
      result.reason = "the manifest states no checksums: sizes alone were compared";
    } else {
      result = {Verdict::kPass, StandingText(opened.pass.counts)};
    }
  }

  static bool HasFilesWithoutHash(const SetContent& content) {
    return std::any_of(content.manifest.files.begin(), content.manifest.files.end(),
                       [](const FileEntry& file) { return file.size > 0 && file.digest == DigestKind::kNone; });
  }

  static bool HoldsChangedBlocks(const SetContent& content) {
    return std::any_of(content.manifest.files.begin(), content.manifest.files.end(),
                       [](const FileEntry& file) { return IsIncrementalFile(file.path); });
  }

  void ConcludePages(const OpenedSet& opened, Levels& levels) const {
    LevelResult& result = At(levels, Level::kPages);
    const SetInfo& info = InfoOf(opened);
    if (options_.level < Level::kPages) return;
    if (collector_.HasFault(info.label, Level::kPages)) {
      result.verdict = Verdict::kFail;
    } else if (info.logical) {
      result.reason = "a dump has no pages";
    } else if (!opened.was_read) {
      result.reason = run_.Cancelled() ? "cancelled" : opened.content ? "not asked for" : "the backup cannot be opened";
    } else if (!opened.facts.control) {
      result = {Verdict::kUnknown, "pg_control cannot be read, which says whether pages have checksums"};
    } else if (!opened.facts.control->data_checksums) {
      result.reason = "the cluster has no page checksums";
    } else if (!opened.pages_unknown.empty()) {
      result = {Verdict::kUnknown, opened.pages_unknown};
    } else if (opened.pass.damaged_files > 0) {
      result = {Verdict::kUnknown, "pages of " + std::to_string(opened.pass.damaged_files) + " damaged files were not judged"};
    } else if (HoldsChangedBlocks(*opened.content)) {
      result.reason = "it is incremental: pages in files of changed blocks are not judged";
    } else if (!opened.content->unread.empty() || opened.pass.suspects_left_out) {
      result.reason = "not all pages could be looked at";
    } else {
      result = {Verdict::kPass, StandingText(opened.pass.counts)};
    }
  }

  void ConcludeWal() {
    Levels& levels = verified_.report.wal_levels;
    bool any = false;
    for (const Archive& archive : verified_.inventory.archives) any = any || !archive.wal.empty();
    const bool expected = !verified_.inventory.archives.empty();
    At(levels, Level::kExists) = {any        ? Verdict::kPass
                                  : expected ? Verdict::kUnknown
                                             : Verdict::kNotChecked,
                                  any ? "" : "there is no WAL"};
    for (const Level level : {Level::kStructure, Level::kBytes}) {
      LevelResult& result = At(levels, level);
      if (collector_.HasFault("", level)) {
        result.verdict = Verdict::kFail;
      } else if (options_.level < level) {
        result.reason = "not asked for";
      } else if (run_.Cancelled() || !any) {
        result.reason = run_.Cancelled() ? "cancelled" : "there is no WAL";
      } else if (level == Level::kBytes && !options_.set.empty()) {
        // SAFETY: what was not read is no pass, though all that was is good.
        result.reason = "only what '" + options_.set + "' needs was read, and is good";
      } else {
        result = {Verdict::kPass, level == Level::kBytes ? StandingText(verified_.report.wal_counts) : ""};
        if (level == Level::kBytes && settler_.came() > 0) {
          result = {Verdict::kNotChecked,
                    std::to_string(settler_.came()) + " segments came while it was looked at; all others are good"};
        }
      }
    }
    for (int level = static_cast<int>(Level::kPages); level < kLevels; ++level) {
      NotChecked(levels, static_cast<Level>(level), "WAL has no such level");
    }
  }

  void MakeWindows() {
    for (const std::size_t at : chosen_) {
      const SetInfo& set = verified_.inventory.sets[at];
      if (!settler_.MovedText(set.label).empty()) continue;
      const WalCatalog catalog = CatalogFor(set);
      for (Window& window : WindowsOf({set.span}, catalog)) {
        // A backup that cannot be opened restores to nowhere.
        window.consistent = window.consistent && set.present;
        verified_.windows.push_back(std::move(window));
        verified_.catalogs.push_back(catalog);
      }
    }
  }

  Source& source_;
  const VerifyOptions& options_;
  Run run_;
  Collector collector_;
  KnownFiles known_;
  Verified verified_;
  std::vector<std::size_t> chosen_;
  std::vector<WalCatalog> catalogs_;  ///< one an archive
  std::vector<OpenedSet> opened_;
  Settler settler_{source_, verified_.inventory, catalogs_, collector_};
};

}  // namespace

Result<Verified> Verify(Source& source, const VerifyOptions& options) { return Verification(source, options).Do(); }

}  // namespace lifeboat::backup
