#include "adapters/backups/restore.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <set>
#include <thread>

#include "adapters/backups/check_coverage.h"
#include "adapters/backups/checks.h"
#include "adapters/backups/read_wal.h"
#include "adapters/backups/restore_copy.h"
#include "adapters/backups/restore_dump.h"
#include "adapters/backups/restore_pgbackrest.h"
#include "adapters/backups/restore_settings.h"
#include "adapters/backups/sandbox.h"
#include "adapters/backups/source_internal.h"
#include "adapters/backups/wal_server.h"
#include "backup/server_words.h"

namespace lifeboat::backup {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kMostWalAtOnce = 2ULL << 30U;
constexpr std::uint64_t kMargin = 64U << 20U;

LevelResult& At(Levels& levels, Level level) { return levels[static_cast<std::size_t>(level)]; }

Duration Since(Clock::time_point began) { return std::chrono::duration_cast<Duration>(Clock::now() - began); }

/// One restore, from the look at the source to the verdicts.
class Restore {
 public:
  Restore(Source& source, const RestoreOptions& options) : source_(source), options_(options) {
    outcome_.source = source.name();
    outcome_.target = options.target;
    outcome_.level = options.level;
    outcome_.began = ReadWallClock();
    for (const Level level : {Level::kRestores, Level::kLogic, Level::kContent}) {
      At(outcome_.levels, level).reason = level <= options.level ? "it was not reached" : "not asked for";
    }
    outcome_.rto.objective = options.objectives.rto;
    outcome_.rpo.objective = options.objectives.rpo;
  }

  Result<RestoreOutcome> Do() {
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

 private:
  // ---- before ----

  Result<Unit> Choose() {
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
    const bool dump = set_->logical && set_->kind != "unknown" && set_->kind != "pg_dump tar" && !set_->folder.empty();
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

  /// Files of pg_dumpall that hold roles and tablespaces alone, where dumps lie beside them: the newest is loaded before each dump.
  std::set<const SetInfo*> LookForRoles() {
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

  [[nodiscard]] std::uint64_t Needed() const {
    // What comes out of a dump is not known before: a guess for the usual compressions, the WAL of loading it, a copy of it.
    constexpr std::uint64_t kGrowth = 6;
    if (set_->logical) return set_->stored_size * kGrowth + 2 * kMargin;
    std::uint64_t wal = 0;
    const Lsn from = set_->span.wal.empty() ? Lsn{} : set_->span.wal.front().start;
    for (const Archive* archive : archives_) {
      const std::uint64_t size = archive->segment_bytes != 0 ? archive->segment_bytes : 16U << 20U;
      for (const WalFile& file : archive->wal) wal += (file.place.number + 1) * size > from.bytes ? size : 0;
    }
    return set_->size + std::min(wal, kMostWalAtOnce) + kMargin;
  }

  /// Whoever cancels, also in the midst of a question, learns nothing of the backup by that.
  bool WasCancelled(LevelResult& level) {
    if (!sandbox_ || !sandbox_->Cancelled()) return false;
    outcome_.cancelled = true;
    level = {Verdict::kNotChecked, "cancelled"};
    return true;
  }

  /// What stops a restore and says something of the backup or the host; false: it says something of the call.
  bool Understood(const Error& error) {
    LevelResult& level = At(outcome_.levels, Level::kRestores);
    if (WasCancelled(level)) return true;
    if (error.retry != Retry::kRefused) return false;
    Tell(49, sandbox_ ? options_.scratch.string() : "", error.message, error.hint);
    // SAFETY: a host without room says nothing of the backup: not checked, and the fault stands.
    level = {Verdict::kNotChecked, "there is no room to restore"};
    return true;
  }

  /// A finding of level 4, unless a lower level told why already.
  void Tell(int fault, const std::string& object, const std::string& what, const std::string& todo = {}) {
    LevelResult& level = At(outcome_.levels, Level::kRestores);
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

  void EndPhase(const char* name) {
    const auto now = Clock::now();
    outcome_.phases.push_back({name, std::chrono::duration_cast<Duration>(now - phase_began_)});
    phase_began_ = now;
  }
  void Say(const char* phase, std::uint64_t done, std::uint64_t total, std::string doing = {}) const {
    if (options_.on_progress) options_.on_progress({phase, done, total, std::move(doing)});
  }

  // ---- level 4 ----

  Result<Unit> RestoreIt() {
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
    if (set_->logical) return LoadDump();
    const Result<bool> copied = source_.pgbackrest() ? RunPgBackRest() : CopyFiles();
    if (!copied) return copied.error();
    EndPhase("copy");
    if (!*copied) return Done();
    std::vector<Finding> left = FindLeftOvers(outcome_.set, sandbox_->data());
    const Result<bool> configured = Configure();
    if (!configured) return configured.error();
    if (!*configured) return Done();
    ServerWords words;
    const Result<bool> started =
        sandbox_->StartServer(bin_ / "postgres", sandbox_->tool() / "postgresql.conf", options_.start_timeout, words,
                              [this] { Say("replay", wal_ ? wal_->handed_out() : 0, 0, wal_ ? wal_->last_asked() : ""); });
    if (!started && started.error().retry == Retry::kRetry && !sandbox_->Cancelled()) {
      outcome_.rto.reason = started.error().message;
      Tell(32, "", started.error().message + (wal_ && !wal_->last_asked().empty() ? "; it was at WAL segment '" + wal_->last_asked() + "'" : "") + Unreadable(),
           "take backups more often, so that less WAL is to be replayed, or state a longer time (--start-timeout)");
      return Done();
    }
    if (!started) return started.error();
    TakeTimes(words);
    if (!*started) {
      const DeathCause cause = CauseOf(words);
      Tell(cause.fault, "", cause.what + Unreadable(), cause.todo);
      return Done();
    }
    const Result<Unit> asked = FirstQuery(words);
    if (!asked) return asked.error();
    LevelResult& level = At(outcome_.levels, Level::kRestores);
    for (Finding& each : left) {
      if (each.severity == Severity::kFault) level.verdict = Verdict::kFail;
      outcome_.findings.push_back(std::move(each));
    }
    return Done();
  }

  [[nodiscard]] DumpPlace PlaceOfDump() const {
    DumpPlace place;
    place.label = set_->label;
    place.kind = set_->kind;
    place.path = set_->folder;
    if (roles_ != set_->folder) place.globals = roles_;
    for (const SqlCheck& each : options_.checks) {
      if (!place.database.empty() && each.database != place.database) return place.database.clear(), place;
      place.database = each.database;
    }
    return place;
  }

  /// A dump in a store comes into the sandbox first, with what is loaded before it: the tools that load it read files.
  Result<Unit> FetchDump(DumpPlace& place) {
    const std::shared_ptr<const Folder> from = PlaceIn();
    if (!from->remote()) return Done();
    std::uint64_t fetched = 0;
    for (fs::path* each : {&place.path, &place.globals}) {
      if (each->empty()) continue;
      Result<fs::path> here = FetchInto(*sandbox_, *from, *each, [&](std::uint64_t bytes) {
        fetched += bytes;
        Say("copy", fetched, set_->stored_size, set_->label);
      });
      if (!here) return here.error();
      *each = std::move(*here);
    }
    EndPhase("copy");
    return Done();
  }

  Result<Unit> LoadDump() {
    DumpPlace place = PlaceOfDump();
    if (const Result<Unit> fetched = FetchDump(place); !fetched) return fetched;
    DumpLoader loader(*sandbox_, options_, std::move(place));
    const Result<bool> ready = loader.Prepare();
    if (!ready) return ready.error();
    EndPhase("initialise");
    if (*ready) {
      user_ = DumpLoader::kSuperuser;
      const Result<bool> loaded = loader.Load([this](std::uint64_t bytes) { Say("load", bytes, 0, set_->label); });
      if (!loaded && loaded.error().retry == Retry::kRetry && !sandbox_->Cancelled()) {
        Tell(32, "", loaded.error().message, "load it with more threads, or state a longer time (--start-timeout)");
        return Done();
      }
      if (!loaded) return loaded.error();
      EndPhase("load");
      outcome_.load = loader.ToJson();
      dump_database_ = loader.database();
      if (*loaded) FirstQueryOfDump(loader.wasted());
    }
    for (const DumpTrouble& each : loader.troubles()) TellTrouble(each);
    return Done();
  }

  void FirstQueryOfDump(Duration wasted) {
    LevelResult& level = At(outcome_.levels, Level::kRestores);
    Result<std::vector<std::string>> databases = DatabasesOf(Place());
    SessionPlace place = Place();
    place.database = dump_database_;
    Result<Session> session = databases ? Session::Open(place) : Result<Session>(databases.error());
    const QueryAnswer answer = session ? session->Ask("SELECT (SELECT sum(pg_database_size(oid))::int8 FROM pg_database), count(*) FROM pg_class") : QueryAnswer();
    if (!session || !answer.ok() || answer.rows.empty()) {
      if (WasCancelled(level)) return;
      level = {Verdict::kUnknown, "it was loaded, and cannot be asked: " + (session ? answer.error->message : session.error().message)};
      return;
    }
    databases_ = std::move(*databases);
    (void)std::from_chars(answer.rows[0][0].data(), answer.rows[0][0].data() + answer.rows[0][0].size(), outcome_.restored_bytes);
    answered_ = true;
    level = {Verdict::kPass, ""};
    EndPhase("query");
    outcome_.rto.measured = Since(began_) - wasted;
    outcome_.heartbeat = NewestHeartbeat(Place(), databases_);
  }

  void TellTrouble(const DumpTrouble& trouble) {
    const std::size_t before = outcome_.findings.size();
    if (!trouble.note) Tell(trouble.fault, trouble.object, trouble.what, trouble.todo);
    const bool told = std::any_of(options_.known.begin(), options_.known.end(),
                                  [&](const Finding& each) { return each.fault == trouble.fault && each.set == outcome_.set; });
    if (trouble.note && !told) outcome_.findings.push_back(MakeFinding(trouble.fault, outcome_.set, trouble.object, "", trouble.what));
    if (outcome_.findings.size() == before) return;
    Finding& finding = outcome_.findings.back();
    finding.position = trouble.position;
    finding.count = trouble.count;
    if (trouble.note) finding.severity = Severity::kNote;
    if (!trouble.todo.empty()) finding.todo = trouble.todo;
  }

  [[nodiscard]] std::string Unreadable() const {
    if (!wal_ || wal_->unreadable().empty()) return "";
    return "; WAL that cannot be read: " + wal_->unreadable().front();
  }

  /// False: it refused, and that is told.
  Result<bool> RunPgBackRest() {
    const PgBackRestPlace place = *source_.pgbackrest();
    Result<PgBackRestCall> call = PreparePgBackRest(*sandbox_, place, options_.threads);
    if (!call) {
      if (call.error().retry == Retry::kRetry) NoteTrouble(source_, call.error());  // no credentials now
      return call.error();
    }
    outcome_.tool_network = call->network;
    std::vector<std::string> argv = call->argv;
    argv.insert(argv.end(),
                {"--set=" + set_->label, "--archive-mode=off", "--tablespace-map-all=" + sandbox_->space().string(), "restore"});
    const Result<std::uint64_t> room = RoomIn(sandbox_->folder());
    const auto tick = [&] {
      const Result<std::uint64_t> now = RoomIn(sandbox_->folder());
      if (room && now && *now < *room) Say("copy", std::min(*room - *now, set_->size), set_->size, set_->label);
    };
    const Result<ToolEnd> ended = sandbox_->Run(std::move(argv), options_.start_timeout, tick, call->rights);
    if (!ended) return ended.error();
    outcome_.restored_bytes = set_->size;
    if (ended->exit_code != 0) return Refuse(*ended, place.store != nullptr);
    // The server has no network: what it needs of S3 comes by us.
    if (place.store) return ServeWal();
    restore_command_ = call->argv[0] + " " + call->argv[1] + " " + call->argv[2] + " archive-get %f \"%p\"";
    return true;
  }

  Result<bool> Refuse(const ToolEnd& ended, bool in_s3) {
    const PgBackRestRefusal refusal = JudgeRefusal(ended.words, in_s3);
    const std::string what = "pgbackrest restore ends with exit code " + std::to_string(ended.exit_code) + ": " + refusal.message;
    if (refusal.fault == 49) return Refused("the restore ran out of room: " + refusal.message);
    if (refusal.fault == 0) {
      const Error trouble = Fail(what);
      NoteTrouble(source_, trouble);
      return trouble;
    }
    Tell(refusal.fault, "", what);
    return false;
  }

  Result<bool> ServeWal() {
    Result<std::unique_ptr<WalServer>> wal = WalServer::Start(*sandbox_, source_, archives_);
    if (!wal) return wal.error();
    wal_ = std::move(*wal);
    restore_command_ = wal_->command();
    return true;
  }

  /// What opens the files of the set.
  [[nodiscard]] std::shared_ptr<const Folder> PlaceIn() const {
    const auto* reads = dynamic_cast<const FolderSource*>(&source_);
    if (reads == nullptr) return LocalFolder();
    return {std::shared_ptr<const Folder>(), &reads->repo()};  // it lives as long as the source
  }

  Result<bool> CopyFiles() {
    std::atomic<std::uint64_t> written = 0;
    std::mutex mutex;
    const Result<std::uint64_t> copied = CopyBaseBackup(*sandbox_, *PlaceIn(), *set_, options_.threads, [&](std::uint64_t bytes) {
      written += bytes;
      const std::unique_lock lock(mutex, std::try_to_lock);
      if (lock.owns_lock()) Say("copy", written, set_->size, set_->label);
    });
    if (!copied && copied.error().retry == Retry::kFail) {
      Tell(7, "", copied.error().message);
      return false;
    }
    if (!copied) return copied.error();
    outcome_.restored_bytes = *copied;
    return ServeWal();
  }

  /// Finds the programs of the backup's version and writes the configuration. False: this host has none.
  Result<bool> Configure() {
    ReadError ignored;
    std::string version = ReadSmall(sandbox_->data() / "PG_VERSION", ignored).value_or("");
    while (!version.empty() && version.back() == '\n') version.pop_back();
    bin_ = options_.bin_directory.empty() ? fs::path("/usr/lib/postgresql") / version / "bin" : options_.bin_directory;
    if (access((bin_ / "postgres").c_str(), X_OK) != 0) {
      Tell(31, "", "there is no '" + (bin_ / "postgres").string() + "', and the backup is of PostgreSQL '" + version + "'",
           "install PostgreSQL " + version + " on every host that would restore, or name its folder (--bin)");
      return false;
    }
    const Result<ToolEnd> control = sandbox_->Run({(bin_ / "pg_controldata").string(), "-D", sandbox_->data().string()}, 60s);
    if (!control) return control.error();
    if (control->exit_code != 0) {
      Tell(31, "global/pg_control", "pg_controldata cannot read it: " + control->words);
      return false;
    }
    if (const Result<Unit> complete = CompleteDataDirectory(*sandbox_); !complete) return complete.error();
    const std::string settings = ServerSettings(*sandbox_, options_, ParseControlData(control->words), restore_command_);
    const fs::path tool = sandbox_->tool();
    // postgresql.auto.conf would outrank ours: it is emptied.
    const std::array<std::pair<fs::path, std::string>, 5> files = {{{tool / "postgresql.conf", settings},
                                                                    {tool / "pg_hba.conf", "local all all trust\n"},
                                                                    {tool / "pg_ident.conf", ""},
                                                                    {sandbox_->data() / "postgresql.auto.conf", ""},
                                                                    {sandbox_->data() / "recovery.signal", ""}}};
    for (const auto& [file, content] : files) {
      if (const Result<Unit> written = sandbox_->Write(file, content); !written) return written.error();
    }
    return true;
  }

  /// The server's start in three phases, by its own log; it tells milliseconds of the same clock.
  void TakeTimes(const ServerWords& words) {
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

  [[nodiscard]] SessionPlace Place() const { return {sandbox_->socket(), user_, "", options_.cancel, "", 5432, sandbox_->server_pid()}; }

  /// The first verified query at the target: here RTO ends.
  Result<Unit> FirstQuery(const ServerWords& words) {
    LevelResult& level = At(outcome_.levels, Level::kRestores);
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

  /// PostgreSQL itself dies when it cannot come to a target; without one it promotes wherever the WAL ends.
  void JudgeReached(const ServerWords& words) {
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

  /// Within the last segment names say nothing: newer backups do, which ended there, and the records themselves.
  void JudgeLastSegment(const WalCatalog& catalog, Timeline timeline, Lsn end, const std::string& said) {
    for (const SetInfo& other : inventory_.sets) {
      if (!other.present || other.archive != set_->archive || other.span.wal.empty()) continue;
      const Lsn stop = other.span.wal.back().end;
      const std::vector<Window> windows = WindowsOf({other.span}, catalog);
      const bool leads = std::any_of(windows.begin(), windows.end(), [&](const Window& each) { return each.timeline == timeline && each.consistent; });
      if (!leads || stop > end) continue;
      if (stop <= outcome_.reached) {
        newest_stop_ = std::max(newest_stop_, other.stopped);
        continue;
      }
      Tell(32, "", "recovery ended at " + outcome_.reached.Text() + ", and the backup '" + other.label + "' needs WAL of the same history up to " +
                       stop.Text() + said);
      return;
    }
    // Not in what came with the backup: that may end anywhere behind its stop.
    const std::optional<WalEnd> last = EndOfWal(source_, {&inventory_.archives[set_->archive]}, timeline, end);
    if (!last) return;  // what cannot be read is told where it is read (level 2), or by the server
    if (last->last_record >= outcome_.reached) {
      Tell(32, "", "recovery ended at " + outcome_.reached.Text() + ", and a good record begins at " + last->last_record.Text() + said);
    } else if (last->cut) {
      Tell(14, SegmentName({timeline, SegmentBefore(end, catalog.segment_bytes())}, catalog.segment_bytes()),
           "its records end at " + last->position.Text() + ", before the segment does, and it is the archive's last: what was committed after that is not in it");
    }
  }

  // ---- levels 5 and 6 ----

  void CheckIt() {
    if (options_.level < Level::kLogic) return;
    CheckOptions checks;
    checks.place = Place();
    checks.set = outcome_.set;
    checks.threads = options_.threads;
    checks.tier = options_.tier;
    checks.known = options_.known;
    checks.questions = options_.checks;
    for (SqlCheck& each : checks.questions) {
      if (each.database.empty() && set_->logical) each.database = dump_database_;
    }
    checks.on_progress = options_.on_progress;
    CheckState state;
    LevelResult& logic = At(outcome_.levels, Level::kLogic);
    LevelResult& content = At(outcome_.levels, Level::kContent);
    logic = CheckLogic(checks, databases_, state);
    if (options_.level >= Level::kContent && !state.cancelled) {
      content = CheckContent(checks, databases_, state);
      state.content.at = outcome_.began;
      if (!state.cancelled) JudgeTimeAndHistory(state, content);
    }
    outcome_.cancelled = state.cancelled || sandbox_->Cancelled();
    if (outcome_.cancelled) {
      for (LevelResult* each : {&logic, &content}) {
        if (each->verdict != Verdict::kFail) *each = {Verdict::kNotChecked, "cancelled"};
      }
    } else {
      ProveChecks(checks, logic, content);
      // It needs the server shut down, and so comes last.
      if (options_.level >= Level::kContent) outcome_.coverage = CheckCoverageOf(*sandbox_, checks, databases_, state, content);
      outcome_.cancelled = sandbox_->Cancelled();
    }
    outcome_.counts = state.counts;
    outcome_.content = std::move(state.content);
    for (Finding& each : state.findings) outcome_.findings.push_back(std::move(each));
  }

  void JudgeTimeAndHistory(CheckState& state, LevelResult& content) {
    std::vector<Finding> more;
    AgeQuestion age;
    age.set = outcome_.set;
    // A dump shows the moment at which it began, and its file tells only when it ended.
    if (set_->stopped > 0 && !set_->logical) age.claimed = WallTime{std::max(set_->stopped, newest_stop_) * 1'000'000'000};
    age.heartbeat = outcome_.heartbeat;
    age.commit = outcome_.commit;
    more = JudgeAge(age);
    if (options_.history) {
      for (Finding& each : JudgeHistory(outcome_.set, *options_.history, state.content, options_.most_shrink)) {
        if (state.told.count(each.object) == 0) more.push_back(std::move(each));
      }
    }
    if (!more.empty()) content = {Verdict::kFail, ""};
    for (Finding& each : more) state.findings.push_back(std::move(each));
  }

  void ProveChecks(const CheckOptions& checks, LevelResult& logic, LevelResult& content) {
    const Result<Unit> proven = ProveThatContentChecksCanFail(checks, options_.level);
    if (proven || sandbox_->Cancelled()) return;
    // SAFETY: a check that does not see known damage gives no verdict.
    outcome_.findings.push_back(MakeFinding(50, outcome_.set, "", "", proven.error().message));
    for (LevelResult* each : {&logic, &content}) {
      if (each->verdict == Verdict::kPass) *each = {Verdict::kUnknown, "the checks did not pass their self-test"};
    }
  }

  // ---- objectives ----

  static void Judge(ObjectiveResult& result, const std::string& unmeasured) {
    if (!result.objective) return;
    if (!result.measured) {
      result.verdict = Verdict::kUnknown;
      result.reason = unmeasured;
    } else {
      result.verdict = *result.measured <= *result.objective ? Verdict::kPass : Verdict::kFail;
    }
  }

  void JudgeObjectives() {
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

  Source& source_;
  const RestoreOptions& options_;
  RestoreOutcome outcome_;
  Clock::time_point began_ = Clock::now();
  Clock::time_point phase_began_ = began_;
  Inventory inventory_;
  const SetInfo* set_ = nullptr;
  std::vector<const Archive*> archives_;
  std::unique_ptr<Sandbox> sandbox_;
  std::unique_ptr<WalServer> wal_;
  std::string restore_command_;
  fs::path bin_;
  std::vector<std::string> databases_;
  std::string user_ = options_.database_user;
  std::int64_t newest_stop_ = 0;  ///< of the backups whose end was replayed, seconds since 1970
  fs::path roles_;             ///< a file of pg_dumpall that holds roles alone; "": there is none
  std::string dump_database_;  ///< that a dump was loaded into
  bool answered_ = false;  ///< the first query was
};

}  // namespace

Result<RestoreOutcome> RestoreAndCheck(Source& source, const RestoreOptions& options) { return Restore(source, options).Do(); }

}  // namespace lifeboat::backup
