#include "adapters/backups/restore.h"

#include <algorithm>

#include "adapters/backups/restore_run_internal.h"

namespace lifeboat::backup {

namespace {

constexpr std::uint64_t kMostWalAtOnce = 2ULL << 30U;
constexpr std::uint64_t kMargin = 64U << 20U;

}  // namespace

Restore::Restore(Source& source, const RestoreOptions& options) : source_(source), options_(options) {
  outcome_.source = source.name();
  outcome_.target = options.target;
  outcome_.level = options.level;
  outcome_.began = ReadWallClock();
  for (const Level level : {Level::kRestores, Level::kLogic, Level::kContent}) {
    At(level).reason = level <= options.level ? "it was not reached" : "not asked for";
  }
  outcome_.rto.objective = options.objectives.rto;
  outcome_.rpo.objective = options.objectives.rpo;
}

Result<RestoreOutcome> Restore::Do() {
  const Result<Unit> chosen = Choose();
  if (!chosen) return chosen.error();
  const Result<Unit> gone = RestoreIt();
  if (!gone && !Understood(gone.error())) return gone.error();
  if (gone && answered_) CheckIt();
  // The sandbox goes first: what is told is what is left.
  wal_.reset();
  sandbox_.reset();
  // SAFETY: what a store did not answer is no verdict, of whatever level.
  if (const std::optional<Error> trouble = TroubleOf(source_)) {
    return trouble->Within("nothing can be said of a restore of '" + outcome_.set + "'");
  }
  JudgeObjectives();
  outcome_.took = Since(began_);
  return std::move(outcome_);
}

Result<Unit> Restore::Choose() {
  Result<Inventory> looked = source_.Look();
  if (!looked) return looked.error();
  inventory_ = std::move(*looked);
  std::vector<BackupSpan> spans;
  std::vector<const SetInfo*> able;
  std::string known;
  const std::set<const SetInfo*> roles_alone = LookForRoles();
  for (const SetInfo& set : inventory_.sets) {
    known += (known.empty() ? "'" : ", '") + set.label + "'";
    if (options_.set != "latest" && !options_.set.empty() && set.label != options_.set) continue;
    if (!set.present || (options_.set == "latest" && roles_alone.count(&set) > 0)) continue;
    spans.push_back(set.span);
    able.push_back(&set);
  }
  if (able.empty()) {
    return NotFound("there is no backup '" + options_.set + "' to restore in '" + source_.name() + "'",
                    known.empty() ? "it holds none" : "it holds " + known);
  }
  const std::optional<std::size_t> newest = NewestLeadingTo(options_.target, spans);
  if (!newest) {
    return NotFound("no backup leads to " + options_.target.Text() + ": each ended after it",
                    "lifeboat backup windows shows which moments can be reached");
  }
  set_ = able[*newest];
  const bool dump = set_->logical && set_->kind != "unknown" && !set_->folder.empty();
  if (!dump && !source_.pgbackrest() && !set_->kind.starts_with("pg_basebackup")) {
    return Fail("a backup of kind '" + set_->kind + "' is not restored in a sandbox", "restore it by its own tool");
  }
  outcome_.set = set_->label;
  outcome_.kind = set_->kind;
  for (const std::size_t at : {set_->own, set_->archive}) {
    if (at != kNowhere) archives_.push_back(&inventory_.archives[at]);
  }
  return Done();
}

std::set<const SetInfo*> Restore::LookForRoles() {
  std::set<const SetInfo*> found;
  bool others = false;
  for (const SetInfo& set : inventory_.sets) {
    if (!set.logical) continue;
    if (set.kind == "pg_dumpall" && !set.folder.empty() && HoldsRolesAlone(*PlaceIn(), set.folder)) {
      found.insert(&set);
      roles_ = set.folder;
    } else {
      others = true;
    }
  }
  return others ? found : std::set<const SetInfo*>();
}

std::uint64_t Restore::Needed() const {
  // What comes out of a dump is not known before. Rows as text take about half of the room that they and their indexes take in
  // tables; where nobody has unpacked it yet, a guess for the usual compressions stands for that.
  constexpr std::uint64_t kGrowth = 6;
  constexpr std::uint64_t kRowsToTables = 2;
  if (set_->logical)
    return (options_.content_bytes > 0 ? options_.content_bytes * kRowsToTables : set_->stored_size * kGrowth) + 2 * kMargin;
  std::uint64_t wal = 0;
  const Lsn from = set_->span.wal.empty() ? Lsn{} : set_->span.wal.front().start;
  for (const Archive* archive : archives_) {
    const std::uint64_t size = archive->segment_bytes != 0 ? archive->segment_bytes : 16U << 20U;
    for (const WalFile& file : archive->wal) wal += (file.place.number + 1) * size > from.bytes ? size : 0;
  }
  return set_->size + std::min(wal, kMostWalAtOnce) + kMargin;
}

bool Restore::WasCancelled(LevelResult& level) {
  if (!sandbox_ || !sandbox_->Cancelled()) return false;
  outcome_.cancelled = true;
  level = {Verdict::kNotChecked, "cancelled"};
  return true;
}

bool Restore::Understood(const Error& error) {
  LevelResult& level = At(Level::kRestores);
  if (WasCancelled(level)) return true;
  if (error.retry != Retry::kRefused) return false;
  Tell(49, sandbox_ ? options_.scratch.string() : "", error.message, error.hint);
  // SAFETY: a host without room says nothing of the backup: not checked, and the fault stands.
  level = {Verdict::kNotChecked, "there is no room to restore"};
  return true;
}

void Restore::Tell(int fault, const std::string& object, const std::string& what, const std::string& todo) {
  LevelResult& level = At(Level::kRestores);
  level.verdict = Verdict::kFail;
  for (const Finding& each : options_.known) {
    if (fault == 49 || each.severity != Severity::kFault || (each.set != outcome_.set && !each.set.empty())) continue;
    level.reason = "as " + each.Number() + " says: " + what;
    return;
  }
  Finding finding = MakeFinding(fault, outcome_.set, object, "", what);
  finding.level = Level::kRestores;
  if (!todo.empty()) finding.todo = todo;
  level.reason = "";
  outcome_.findings.push_back(std::move(finding));
}

void Restore::EndPhase(const char* name) {
  const auto now = Clock::now();
  outcome_.phases.push_back({name, std::chrono::duration_cast<Duration>(now - phase_began_)});
  phase_began_ = now;
}

void Restore::Say(const char* phase, std::uint64_t done, std::uint64_t total, std::string doing) const {
  if (options_.on_progress) options_.on_progress({phase, done, total, std::move(doing)});
}

Result<Unit> Restore::RestoreIt() {
  SandboxOptions room;
  room.scratch = options_.scratch;
  room.scratch_limit = options_.scratch_limit;
  room.needed = outcome_.scratch_needed = Needed();
  room.run_as = options_.run_as;
  room.cpus = options_.cpus;
  room.allow_unguarded = options_.allow_unguarded;
  room.cancel = options_.cancel;
  room.no_programs = set_->logical;
  Result<std::unique_ptr<Sandbox>> made = Sandbox::Make(room);
  if (!made) return made.error();
  sandbox_ = std::move(*made);
  outcome_.write_guard = HasLandlock() ? "landlock" : "none";
  EndPhase("prepare");
  return set_->logical ? LoadDump() : BringUp();
}

std::shared_ptr<const Folder> Restore::PlaceIn() const {
  const auto* reads = dynamic_cast<const FolderSource*>(&source_);
  if (reads == nullptr) return LocalFolder();
  return {std::shared_ptr<const Folder>(), &reads->repo()};  // it lives as long as the source
}

void Restore::Judge(ObjectiveResult& result, const std::string& unmeasured) {
  if (!result.objective) return;
  if (!result.measured) {
    result.verdict = Verdict::kUnknown;
    result.reason = unmeasured;
  } else {
    result.verdict = *result.measured <= *result.objective ? Verdict::kPass : Verdict::kFail;
  }
}

void Restore::JudgeObjectives() {
  const bool latest = options_.target.kind == RestoreTarget::Kind::kLatest;
  if (latest && (outcome_.heartbeat || outcome_.commit)) {
    const WallTime newest = std::max(outcome_.heartbeat.value_or(WallTime{}), outcome_.commit.value_or(WallTime{}));
    const WallTime now = options_.source_now.value_or(outcome_.began);
    outcome_.rpo.measured = Duration(std::max<std::int64_t>(0, now.ns - newest.ns));
  }
  Judge(outcome_.rto, "no query was answered");
  Judge(outcome_.rpo, !latest     ? "the target is not the latest moment"
                      : answered_ ? "neither a heartbeat nor a commit tells how new the data is"
                                  : "no query was answered");
}

Result<RestoreOutcome> RestoreAndCheck(Source& source, const RestoreOptions& options) { return Restore(source, options).Do(); }

}  // namespace lifeboat::backup
