// Restores of real backups into a sandbox: what is whole passes levels 4 to 6 and leaves nothing behind; each fault that no reading
// of files shows is told by its number; the sandbox can harm nobody.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <set>
#include <thread>

#include "adapters/backups/restore.h"
#include "adapters/backups/sandbox.h"
#include "adapters/backups/session.h"
#include "adapters/system/processes.h"
#include "support/backup_files.h"
#include "support/backup_world.h"
#include "support/real_postgres.h"

namespace lifeboat {
namespace {

namespace fs = std::filesystem;
using backup::Level;
using backup::RestoreOptions;
using backup::RestoreOutcome;
using backup::RestoreTarget;
using backup::Severity;
using backup::Verdict;
using testing_support::AskServer;
using testing_support::BackupCopy;
using testing_support::PostgresLab;
using testing_support::ServerOptions;
using testing_support::SignManifest;

constexpr const char* kPass = "a pass of the test";

/// A server with heartbeats and a tablespace, its backups by pgBackRest and pg_basebackup (folder, tar), its WAL in both forms, and
/// commits after them. Made once; tests damage copies.
struct World {
  PostgresLab lab;
  DatabaseSettings server;
  fs::path repository;
  fs::path encrypted;
  fs::path folder;
  fs::path tar;
  fs::path wal;
  fs::path space;
  fs::path old_index;  ///< the index's file before half of the rows were written
  std::string heap;
  std::string index;
  std::string position;  ///< after the first of two commits that came after all backups
  std::string moment;

  World() {
    repository = lab.MakeFolder("repository");
    encrypted = lab.MakeFolder("encrypted");
    wal = lab.MakeFolder("wal");
    space = lab.MakeFolder("space");
    folder = lab.folder() / "folder";
    tar = lab.folder() / "tar";
    const fs::path config = lab.MakeFolder("config") / "pgbackrest.conf";
    ServerOptions options;
    options.more_settings = "archive_mode = on\narchive_command = 'pgbackrest --config=" + config.string() +
                            " --stanza=main archive-push %p && cp %p " + wal.string() +
                            "/%f'\nfsync = off\nshared_buffers = 8MB\nprimary_conninfo = 'host=127.0.0.1 port=1'\n";
    server = lab.Initialise("source", options);
    std::ofstream(config) << "[global]\nrepo1-path=" << repository.string()
                          << "\nrepo1-retention-full=9\nrepo2-path=" << encrypted.string()
                          << "\nrepo2-retention-full=9\nrepo2-bundle=y\nrepo2-cipher-type=aes-256-cbc\nrepo2-cipher-pass=" << kPass
                          << "\nlog-path=" << lab.MakeFolder("log").string() << "\nlock-path=" << lab.MakeFolder("lock").string()
                          << "\nlog-level-file=off\nlog-level-console=warn\nstart-fast=y\ncompress-level=1\n"
                          << "[main]\npg1-path=" << server.data_directory << "\npg1-port=" << server.address.port
                          << "\npg1-socket-path=" << server.socket_directory << "\npg1-user=postgres\n";
    fs::permissions(config, fs::perms::owner_read | fs::perms::group_read | fs::perms::others_read);
    lab.StartByAnyone(server);
    Sql("create tablespace elsewhere location '" + space.string() + "'");
    Sql("create table accounts(id serial primary key, v text); insert into accounts(v) select md5(g::text) from generate_series(1, "
        "6000) g");
    Sql("create table kept tablespace elsewhere as select * from accounts limit 500; create table marks(name text)");
    Sql("create unlogged table passing as select 1 as i");
    Sql("vacuum analyze accounts");
    Sql("checkpoint");
    heap = AskServer(server, "select pg_relation_filepath('accounts')").value_or("");
    index = AskServer(server, "select pg_relation_filepath('accounts_pkey')").value_or("");
    old_index = lab.folder() / "old_index";
    fs::copy_file(fs::path(server.data_directory) / index, old_index);
    Sql("insert into accounts(v) select md5(g::text) from generate_series(6001, 12000) g");
    Sql("vacuum analyze accounts");
    Sql("create schema lifeboat; create table lifeboat.heartbeat (region text primary key, sequence bigint not null, epoch bigint "
        "not null,"
        " at timestamptz not null, lsn pg_lsn not null)");
    Sql("insert into lifeboat.heartbeat values ('here', 1, 1, clock_timestamp(), pg_current_wal_lsn())");
    Tool(config, {"stanza-create"});
    Tool(config, {"--repo=1", "--type=full", "backup"});
    Tool(config, {"--repo=2", "--type=full", "--compress-type=zst", "backup"});
    BaseBackup(folder, {"-T", space.string() + "=" + lab.MakeFolder("space_copy").string()});
    BaseBackup(tar, {"-Ft", "-z"});
    Sql("insert into marks values ('first')");
    position = AskServer(server, "select pg_current_wal_insert_lsn()").value_or("");
    moment = AskServer(server, "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')").value_or("");
    Sql("insert into marks values ('second'); update lifeboat.heartbeat set at = clock_timestamp()");
    Sql("select pg_switch_wal()");
    Tool(config, {"check"});
  }

  void Sql(const std::string& sql) const {
    const CommandOutput done =
        lab.Run({server.bin_directory + "/psql", "-qXAt", "-v", "ON_ERROR_STOP=1", "-h", server.socket_directory, "-p",
                 std::to_string(server.address.port), "-U", "postgres", "-d", "postgres", "-c", sql});
    ASSERT_EQ(done.exit_code, 0) << sql << "\n" << done.err;
  }
  void Tool(const fs::path& config, std::vector<std::string> words) const {
    words.insert(words.begin(), {"pgbackrest", "--config=" + config.string(), "--stanza=main"});
    const CommandOutput done = lab.Run(words);
    ASSERT_EQ(done.exit_code, 0) << words.back() << "\n" << done.out << done.err;
  }
  void BaseBackup(const fs::path& to, std::vector<std::string> more) const {
    std::vector<std::string> words = {server.bin_directory + "/pg_basebackup",
                                      "-h",
                                      server.socket_directory,
                                      "-p",
                                      std::to_string(server.address.port),
                                      "-U",
                                      "postgres",
                                      "-c",
                                      "fast",
                                      "-D",
                                      to.string()};
    words.insert(words.end(), more.begin(), more.end());
    const CommandOutput done = lab.Run(words);
    ASSERT_EQ(done.exit_code, 0) << done.err;
  }
};

World& TheWorld() {
  static World world;
  return world;
}

/// A scratch folder that must be empty again at the end, with no process in it.
class Scratch {
 public:
  Scratch() : folder_(TheWorld().lab.MakeFolder("scratch-" + RandomHex(4))) {}
  ~Scratch() {
    EXPECT_TRUE(fs::is_empty(folder_)) << "something was left behind in " << folder_;
    EXPECT_TRUE(ProcessesWithin(folder_.string()).empty());
    fs::remove_all(folder_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] const fs::path& folder() const { return folder_; }

 private:
  fs::path folder_;
};

RestoreOptions OptionsFor(const Scratch& scratch, Level level = Level::kContent) {
  RestoreOptions options;
  options.scratch = scratch.folder();
  options.level = level;
  return options;
}

RestoreTarget Target(const std::string& text) {
  const auto target = backup::ParseRestoreTarget(text);
  EXPECT_TRUE(target.ok()) << text;
  return *target;
}

RestoreOutcome RestoreFrom(const fs::path& path, const RestoreOptions& options, const fs::path& wal = {}) {
  backup::SourceOptions where;
  where.path = path;
  where.wal = wal;
  if (path == TheWorld().encrypted) where.cipher_pass = std::make_shared<Secret>(kPass);
  auto source = backup::OpenSource(where);
  EXPECT_TRUE(source.ok()) << source.error().Text();
  auto outcome = backup::RestoreAndCheck(**source, options);
  EXPECT_TRUE(outcome.ok()) << outcome.error().Text();
  return std::move(*outcome);
}

std::string Told(const RestoreOutcome& outcome) {
  std::string text;
  for (const auto& each : outcome.findings)
    text += each.Number() + " " + each.object + " " + each.position + ": " + each.what + "\n";
  for (const auto& each : outcome.levels) text += std::string(backup::ToString(each.verdict)) + " " + each.reason + "\n";
  return text;
}

/// Numbers of faults; notes are left out.
std::set<std::string> FaultsOf(const RestoreOutcome& outcome) {
  std::set<std::string> numbers;
  for (const auto& each : outcome.findings) {
    if (each.severity == Severity::kFault) numbers.insert(each.Number());
  }
  return numbers;
}

Verdict VerdictOn(const RestoreOutcome& outcome, Level level) { return outcome.levels[static_cast<std::size_t>(level)].verdict; }

void ExpectAllPass(const RestoreOutcome& outcome) {
  EXPECT_EQ(FaultsOf(outcome), std::set<std::string>{}) << Told(outcome);
  for (const Level level : {Level::kRestores, Level::kLogic, Level::kContent})
    EXPECT_EQ(VerdictOn(outcome, level), Verdict::kPass) << Told(outcome);
}

std::set<std::string> Tree(const fs::path& folder) {
  std::set<std::string> tree;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    struct stat about {};
    EXPECT_EQ(lstat(entry.path().c_str(), &about), 0);
    tree.insert(entry.path().string() + " " + std::to_string(about.st_mtim.tv_sec) + "." + std::to_string(about.st_mtim.tv_nsec) +
                " " + std::to_string(about.st_ino));
  }
  return tree;
}

backup::SqlCheck Question(const std::string& sql, const std::string& expect) { return {"question", "postgres", sql, expect}; }

using Numbers = std::set<std::string>;

TEST(BackupRestore, ARepositoryOfPgBackRestRestoresToItsLatestMomentAndIsNotTouched) {
  const Scratch scratch;
  World& world = TheWorld();
  const auto repository = Tree(world.repository);
  const auto space = Tree(world.space);
  RestoreOptions options = OptionsFor(scratch);
  options.checks = {Question("select name from marks order by 1", "first\nsecond"), Question("select count(*) from kept", "500")};
  const RestoreOutcome outcome = RestoreFrom(world.repository, options);
  ExpectAllPass(outcome);
  EXPECT_EQ(outcome.timeline, 2U);
  EXPECT_TRUE(outcome.commit && outcome.heartbeat);
  EXPECT_GT(outcome.counts.rows, 12000U);
  EXPECT_GT(outcome.counts.counted_by_index, 0U);
  EXPECT_EQ(outcome.write_guard, "landlock");
  EXPECT_TRUE(Told(outcome).find("F36") != std::string::npos) << "an unlogged table is noted";
  EXPECT_EQ(Tree(world.repository), repository);
  EXPECT_EQ(Tree(world.space), space);
}

TEST(BackupRestore, AFolderOfPgBasebackupRestoresWithWalOutOfTheArchiveAndItsTablespaceMapped) {
  const Scratch scratch;
  RestoreOptions options = OptionsFor(scratch);
  options.checks = {
      Question("select count(*) from marks", "2"),
      Question("select pg_tablespace_location(oid) like '%/lifeboat-sandbox-%' from pg_tablespace where spcname = 'elsewhere'",
               "t")};
  const RestoreOutcome outcome = RestoreFrom(TheWorld().folder, options, TheWorld().wal);
  ExpectAllPass(outcome);
  EXPECT_GT(outcome.replayed_segments, 0U);
}

TEST(BackupRestore, TarFilesOfPgBasebackupRestoreWithTheWalThatCameWithThem) {
  const Scratch scratch;
  RestoreOptions options = OptionsFor(scratch);
  options.tier = backup::Tier::kQuick;
  options.checks = {Question("select count(*) from kept", "500"), Question("select count(*) from marks", "0")};
  ExpectAllPass(RestoreFrom(TheWorld().tar, options));
}

TEST(BackupRestore, AnEncryptedBundledRepositoryRestoresWithItsPass) {
  const Scratch scratch;
  RestoreOptions options = OptionsFor(scratch, Level::kRestores);
  options.target = Target("immediate");
  const RestoreOutcome outcome = RestoreFrom(TheWorld().encrypted, options);
  EXPECT_EQ(FaultsOf(outcome), Numbers{}) << Told(outcome);
  EXPECT_EQ(VerdictOn(outcome, Level::kRestores), Verdict::kPass) << Told(outcome);
}

TEST(BackupRestore, APositionAndATimeAreReachedExactly) {
  World& world = TheWorld();
  for (const std::string& to : {world.position, world.moment}) {
    const Scratch scratch;
    RestoreOptions options = OptionsFor(scratch);
    options.tier = backup::Tier::kQuick;
    options.target = Target(to);
    options.checks = {Question("select name from marks", "first")};
    const RestoreOutcome outcome = RestoreFrom(world.repository, options);
    ExpectAllPass(outcome);
    if (to == world.position) {
      EXPECT_LE(outcome.reached, Target(to).lsn);
    }
  }
}

TEST(BackupRestore, ATargetThatCannotBeReachedIsF32) {
  for (const char* to : {"2100-01-01 00:00:00", "F/0"}) {
    const Scratch scratch;
    RestoreOptions options = OptionsFor(scratch, Level::kRestores);
    options.target = Target(to);
    const RestoreOutcome outcome = RestoreFrom(TheWorld().folder, options, TheWorld().wal);
    EXPECT_EQ(FaultsOf(outcome), Numbers{"F32"}) << Told(outcome);
    EXPECT_EQ(VerdictOn(outcome, Level::kRestores), Verdict::kFail);
    EXPECT_EQ(VerdictOn(outcome, Level::kContent), Verdict::kNotChecked);
  }
}

TEST(BackupRestore, WalThatEndsTooEarlyIsToldWithoutAnyTarget) {
  const Scratch scratch;
  const BackupCopy wal(TheWorld().wal);
  std::vector<fs::path> segments = testing_support::FilesOf(
      wal.folder(), [](const std::string& path) { return path.find('.', path.rfind('/')) == std::string::npos; });
  std::sort(segments.begin(), segments.end());
  ASSERT_GT(segments.size(), 2U);
  // The newest but one cannot be replayed from its first page on, and its name says nothing.
  testing_support::ReplaceFile(segments[segments.size() - 2], std::string(fs::file_size(segments.back()), '\0'));
  const RestoreOutcome outcome = RestoreFrom(TheWorld().folder, OptionsFor(scratch, Level::kRestores), wal.folder());
  EXPECT_EQ(FaultsOf(outcome), Numbers{"F32"}) << Told(outcome);
}

TEST(BackupRestore, TheArchivesLastSegmentWhoseRecordsEndBeforeItDoesIsToldByADrillAlone) {
  const Scratch scratch;
  const BackupCopy wal(TheWorld().wal);
  fs::path last;
  for (const auto& entry : fs::directory_iterator(wal.folder())) {
    if (entry.path().filename().string().size() == 24) last = std::max(last, entry.path());
  }
  // The archive took it whole; what lies there now ends behind its header.
  std::string bytes = testing_support::Slurp(last);
  std::fill(bytes.begin() + 40, bytes.end(), '\0');
  testing_support::ReplaceFile(last, bytes);
  const RestoreOutcome outcome = RestoreFrom(TheWorld().folder, OptionsFor(scratch, Level::kRestores), wal.folder());
  EXPECT_EQ(FaultsOf(outcome), Numbers{"F14"}) << Told(outcome);
  EXPECT_EQ(VerdictOn(outcome, Level::kRestores), Verdict::kFail);
  EXPECT_NE(Told(outcome).find(last.filename().string()), std::string::npos) << Told(outcome);
}

TEST(BackupRestore, ARestoreThatIsNotUsableInTimeIsAFaultOfTheBackup) {
  const Scratch scratch;
  RestoreOptions options = OptionsFor(scratch, Level::kRestores);
  options.start_timeout = std::chrono::nanoseconds(1);
  const RestoreOutcome outcome = RestoreFrom(TheWorld().folder, options, TheWorld().wal);
  EXPECT_EQ(FaultsOf(outcome), Numbers{"F32"}) << Told(outcome);
  EXPECT_EQ(VerdictOn(outcome, Level::kRestores), Verdict::kFail);
  EXPECT_FALSE(outcome.cancelled);
}

TEST(BackupRestore, AHostThatCannotStartItIsF31) {
  {
    const Scratch scratch;
    RestoreOptions options = OptionsFor(scratch, Level::kRestores);
    options.bin_directory = "/nowhere";
    EXPECT_EQ(FaultsOf(RestoreFrom(TheWorld().tar, options)), Numbers{"F31"});
  }
  const Scratch scratch;
  RestoreOptions options = OptionsFor(scratch, Level::kRestores);
  options.preload = "a_library_that_is_not_here";
  const RestoreOutcome outcome = RestoreFrom(TheWorld().tar, options);
  EXPECT_EQ(FaultsOf(outcome), Numbers{"F31"}) << Told(outcome);
}

TEST(BackupRestore, ALeftOverRecoveryTargetIsF33AndTheRestoreStillShowsTheRest) {
  const Scratch scratch;
  const BackupCopy copy(TheWorld().folder);
  testing_support::ReplaceFile(copy.folder() / "postgresql.auto.conf", "recovery_target_time = '2020-01-01 00:00:00'\n");
  testing_support::ReplaceFile(copy.folder() / "standby.signal", "");
  RestoreOptions options = OptionsFor(scratch);
  options.tier = backup::Tier::kQuick;
  const RestoreOutcome outcome = RestoreFrom(copy.folder(), options, TheWorld().wal);
  EXPECT_EQ(FaultsOf(outcome), Numbers{"F33"}) << Told(outcome);
  EXPECT_EQ(VerdictOn(outcome, Level::kRestores), Verdict::kFail);
  EXPECT_EQ(VerdictOn(outcome, Level::kContent), Verdict::kPass);
}

TEST(BackupRestore, AHeapThatWasTruncatedInTheSourceIsF26) {
  const Scratch scratch;
  const BackupCopy copy(TheWorld().folder);
  const fs::path heap = copy.folder() / TheWorld().heap;
  testing_support::CutFile(heap, fs::file_size(heap) / 8192 / 2 * 8192);
  SignManifest(copy.folder());
  const RestoreOutcome outcome = RestoreFrom(copy.folder(), OptionsFor(scratch), TheWorld().wal);
  EXPECT_EQ(FaultsOf(outcome), Numbers{"F26"}) << Told(outcome);
}

TEST(BackupRestore, AnIndexOfAnEarlierMomentIsFoundByAmcheck) {
  const Scratch scratch;
  const BackupCopy copy(TheWorld().folder);
  testing_support::ReplaceFile(copy.folder() / TheWorld().index, testing_support::Slurp(TheWorld().old_index));
  SignManifest(copy.folder());
  const RestoreOutcome outcome = RestoreFrom(copy.folder(), OptionsFor(scratch, Level::kLogic), TheWorld().wal);
  EXPECT_EQ(FaultsOf(outcome), Numbers{"F28"}) << Told(outcome);
  EXPECT_EQ(VerdictOn(outcome, Level::kRestores), Verdict::kPass);
  EXPECT_EQ(VerdictOn(outcome, Level::kLogic), Verdict::kFail);
}

TEST(BackupRestore, OldContentUnderANewDateIsF34) {
  const Scratch scratch;
  const BackupCopy copy(TheWorld().folder);
  testing_support::ReplaceFile(copy.folder() / "backup_manifest", testing_support::Slurp(copy.folder() / "backup_manifest"));
  fs::last_write_time(copy.folder() / "backup_manifest", fs::file_time_type::clock::now() + std::chrono::hours(24));
  RestoreOptions options = OptionsFor(scratch);
  options.tier = backup::Tier::kQuick;
  const RestoreOutcome outcome = RestoreFrom(copy.folder(), options);
  EXPECT_EQ(FaultsOf(outcome), Numbers{"F34"}) << Told(outcome);
}

TEST(BackupRestore, TheServicesOwnQuestionsAndTheLastRunsFiguresAreHeldAgainstIt) {
  const Scratch scratch;
  RestoreOptions options = OptionsFor(scratch);
  options.tier = backup::Tier::kQuick;
  options.checks = {Question("select count(*) from accounts", "12001"), Question("select 1 / 0", "1"),
                    Question("select 'right'", "right")};
  backup::ContentHistory before;
  before.tables["postgres.public.accounts"] = {100000, 0};
  before.tables["postgres.public.gone"] = {5000, 0};
  before.tables["postgres.public.kept"] = {500, 0};
  options.history = before;
  const RestoreOutcome outcome = RestoreFrom(TheWorld().tar, options);
  EXPECT_EQ(FaultsOf(outcome), Numbers{"F35"}) << Told(outcome);
  EXPECT_EQ(std::count_if(outcome.findings.begin(), outcome.findings.end(), [](const auto& each) { return each.fault == 35; }), 4)
      << Told(outcome);
  EXPECT_EQ(outcome.content.tables.at("postgres.public.accounts").rows, 12000U);
}

TEST(BackupRestore, WithoutRoomItRefusesBeforeAnythingIsWritten) {
  const Scratch scratch;
  RestoreOptions options = OptionsFor(scratch);
  options.scratch_limit = 1U << 20U;
  const RestoreOutcome outcome = RestoreFrom(TheWorld().repository, options);
  EXPECT_EQ(FaultsOf(outcome), Numbers{"F49"}) << Told(outcome);
  EXPECT_EQ(VerdictOn(outcome, Level::kRestores), Verdict::kNotChecked);
  EXPECT_EQ(outcome.restored_bytes, 0U);
}

TEST(BackupRestore, CancellingLeavesNothingBehindInWhateverPhase) {
  for (const char* phase : {"copy", "replay", "check"}) {
    SCOPED_TRACE(phase);
    const Scratch scratch;
    std::atomic<bool> cancel = false;
    RestoreOptions options = OptionsFor(scratch);
    options.cancel = &cancel;
    options.on_progress = [&](const backup::RestoreProgress& at) { cancel = cancel || at.phase == phase || at.phase == "check"; };
    const RestoreOutcome outcome = RestoreFrom(TheWorld().folder, options, TheWorld().wal);
    EXPECT_TRUE(outcome.cancelled) << Told(outcome);
    EXPECT_NE(VerdictOn(outcome, Level::kContent), Verdict::kPass);
    EXPECT_FALSE(outcome.HasFault()) << Told(outcome);
  }
}

TEST(BackupRestore, ADrillMeasuresItsObjectivesAndAMissIsExitCodeFour) {
  const Scratch scratch;
  const auto drill = [&](const std::string& objectives) {
    const std::string words = std::string(LIFEBOAT_PROGRAM) + " backup drill --json --level 4 --repo " +
                              TheWorld().repository.string() + " --scratch " + scratch.folder().string() + " " + objectives + " >" +
                              (TheWorld().lab.folder() / "drill.json").string();
    return WEXITSTATUS(std::system(words.c_str()));
  };
  EXPECT_EQ(drill("--rto 1ms"), 4);
  const auto json = ParseJson(testing_support::Slurp(TheWorld().lab.folder() / "drill.json"), "drill");
  ASSERT_TRUE(json.ok());
  EXPECT_EQ(TextAt(MemberAt(*json, "rto"), "verdict"), "fail");
  EXPECT_EQ(MemberAt(*json, "phases").size(), 6U);
  EXPECT_EQ(drill("--rto 1h --rpo 1d"), 0);
}

backup::SandboxOptions SandboxIn(const Scratch& scratch) {
  backup::SandboxOptions options;
  options.scratch = scratch.folder();
  return options;
}

TEST(BackupSandbox, ItsProcessesCanNeitherWriteElsewhereNorReachAServer) {
  const Scratch scratch;
  World& world = TheWorld();
  const auto sandbox = backup::Sandbox::Make(SandboxIn(scratch));
  ASSERT_TRUE(sandbox.ok()) << sandbox.error().Text();
  const auto run = [&](const std::string& script) {
    const auto ended = (*sandbox)->Run({"/bin/bash", "-c", script}, 30s);
    EXPECT_TRUE(ended.ok());
    return ended->exit_code;
  };
  EXPECT_EQ(run("echo x > '" + ((*sandbox)->tool() / "mine").string() + "'"), 0);
  for (const fs::path& place : {world.repository, world.wal, world.space, fs::path("/tmp"), fs::path("/dev/shm")}) {
    const fs::path harm = place / ("lifeboat-harm-" + RandomHex(4));
    EXPECT_NE(run("echo x > '" + harm.string() + "'"), 0);
    EXPECT_FALSE(fs::remove(harm)) << place;
  }
  EXPECT_NE(run("exec 3<>/dev/tcp/127.0.0.1/" + std::to_string(world.server.address.port)), 0);
  EXPECT_NE(run(world.server.bin_directory + "/psql -h '" + world.server.socket_directory + "' -p " +
                std::to_string(world.server.address.port) + " -U postgres -c 'select 1'"),
            0);
}

fs::path SocketOf(const DatabaseSettings& server) {
  return fs::path(server.socket_directory) / (".s.PGSQL." + std::to_string(server.address.port));
}

/// What native code in a restored server can do to the folder of its socket.
void PutLinkInPlaceOf(const fs::path& socket, const fs::path& target) {
  fs::rename(socket, socket.string() + ".away");
  fs::create_symlink(target, socket);
}

/// A fresh cluster in a sandbox, running.
struct SandboxServer {
  std::unique_ptr<backup::Sandbox> sandbox;
  fs::path bin = TheWorld().server.bin_directory;

  explicit SandboxServer(const Scratch& scratch) { Start(scratch); }
  void Start(const Scratch& scratch) {
    auto made = backup::Sandbox::Make(SandboxIn(scratch));
    ASSERT_TRUE(made.ok()) << made.error().Text();
    sandbox = std::move(*made);
    const auto initdb = sandbox->Run(
        {(bin / "initdb").string(), "-D", sandbox->data().string(), "-U", "postgres", "--auth=trust", "--no-locale", "--no-sync"},
        300s);
    ASSERT_TRUE(initdb.ok() && initdb->exit_code == 0) << (initdb.ok() ? initdb->words : initdb.error().Text());
    const fs::path config = sandbox->tool() / "postgresql.conf";
    ASSERT_TRUE(
        sandbox
            ->Write(config,
                    "listen_addresses = ''\nport = 5432\nunix_socket_directories = '" + sandbox->socket().string() +
                        "'\nshared_memory_type = mmap\ndynamic_shared_memory_type = sysv\nmax_connections = 5\nfsync = off\n"
                        "log_line_prefix = '%n '\n")
            .ok());
    backup::ServerWords words;
    const auto started = sandbox->StartServer(bin / "postgres", config, 300s, words);
    ASSERT_TRUE(started.ok() && *started);
  }
  [[nodiscard]] fs::path socket() const { return sandbox->socket() / ".s.PGSQL.5432"; }
  [[nodiscard]] backup::SessionPlace Place() const {
    return {sandbox->socket(), "postgres", "postgres", nullptr, "", 5432, sandbox->server_pid()};
  }
  /// Exit code of psql, as the sandbox's client.
  [[nodiscard]] int Psql() const {
    const auto ended = sandbox->RunClient(
        {(bin / "psql").string(), "-X", "-h", sandbox->socket().string(), "-U", "postgres", "-d", "postgres", "-c", "select 1"},
        Descriptor(), 300s, [](std::string_view) {});
    EXPECT_TRUE(ended.ok()) << ended.error().Text();
    return ended.ok() ? *ended : -1;
  }
};

TEST(BackupSandbox, ALinkToAnotherServerInThePlaceOfItsSocketLeadsNobodyThere) {
  const Scratch scratch;
  const SandboxServer server(scratch);
  ASSERT_GT(server.sandbox->server_pid(), 0);
  backup::SessionPlace place = server.Place();
  EXPECT_TRUE(backup::Session::Open(place).ok());
  EXPECT_EQ(server.Psql(), 0);
  PutLinkInPlaceOf(server.socket(), SocketOf(TheWorld().server));
  EXPECT_FALSE(backup::Session::Open(place).ok()) << "our own session was led to the source";
  EXPECT_NE(server.Psql(), 0) << "a client of the sandbox was led to the source";
  place.server = -1;
  EXPECT_FALSE(backup::Session::Open(place).ok()) << "no server is not any server";
  place.server = 0;
  EXPECT_TRUE(backup::Session::Open(place).ok()) << "the link leads to a server that takes everybody";
}

TEST(BackupSandbox, AServerThatTakesNoMoreConnectionsDoesNotHoldUsUp) {
  const Scratch scratch;
  const SandboxServer server(scratch);
  ASSERT_GT(server.sandbox->server_pid(), 0);
  ASSERT_EQ(kill(server.sandbox->server_pid(), SIGSTOP), 0);
  // Its queue is filled, until it has no place.
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  server.socket().string().copy(address.sun_path, sizeof address.sun_path - 1);
  std::vector<Descriptor> waiting;
  bool full = false;
  while (!full && waiting.size() < 5000) {
    waiting.emplace_back(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    ASSERT_TRUE(waiting.back().ok());
    full = connect(waiting.back().number(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0;
    if (full) {
      EXPECT_EQ(errno, EAGAIN);
    }
  }
  EXPECT_TRUE(full);
  EXPECT_EQ(server.Psql(), 2) << "refused";
  waiting.clear();
  ASSERT_EQ(kill(server.sandbox->server_pid(), SIGCONT), 0);
}

TEST(BackupRestore, ARestoredServerThatPutsAnotherInItsPlaceIsAskedNothingMore) {
  const Scratch scratch;
  World& world = TheWorld();
  RestoreOptions options = OptionsFor(scratch);
  options.tier = backup::Tier::kQuick;
  options.checks = {Question("select count(*) from accounts", "12000")};
  std::once_flag once;
  options.on_progress = [&](const backup::RestoreProgress& at) {
    if (std::string_view(at.phase) != "check") return;
    std::call_once(once, [&] {
      PutLinkInPlaceOf(fs::directory_iterator(scratch.folder())->path() / "s/.s.PGSQL.5432", SocketOf(world.server));
    });
  };
  const RestoreOutcome outcome = RestoreFrom(world.tar, options);
  EXPECT_EQ(VerdictOn(outcome, Level::kRestores), Verdict::kPass) << Told(outcome);
  EXPECT_EQ(VerdictOn(outcome, Level::kContent), Verdict::kUnknown) << Told(outcome);
  EXPECT_NE(Told(outcome).find("another server"), std::string::npos) << Told(outcome);
}

TEST(BackupSandbox, WhatAKilledRunLeftIsRemovedNextTimeAndALookAlikeIsNot) {
  fs::path look_alike;
  {
    const Scratch scratch;
    const pid_t killed = fork();
    if (killed == 0) {
      auto sandbox = backup::Sandbox::Make(SandboxIn(scratch));
      if (sandbox.ok()) (void)sandbox->release();
      _exit(sandbox.ok() ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(killed, &status, 0), killed);
    ASSERT_EQ(status, 0);
    const fs::path left = fs::directory_iterator(scratch.folder())->path();
    // One with a name and a marker like ours, which is another folder's; and one that a living run holds.
    look_alike = scratch.folder() / "lifeboat-sandbox-0123456789ab";
    fs::create_directory(look_alike);
    fs::copy_file(left / "marker", look_alike / "marker");
    const auto living = backup::Sandbox::Make(SandboxIn(scratch));  // removes what was left, before it makes its own
    ASSERT_TRUE(living.ok());
    EXPECT_FALSE(fs::exists(left));
    EXPECT_EQ(backup::RemoveStaleSandboxes(scratch.folder()), 0U);
    EXPECT_TRUE(fs::exists((*living)->folder()));
    EXPECT_TRUE(fs::exists(look_alike / "marker"));
    fs::remove_all(look_alike);
  }
}

}  // namespace
}  // namespace lifeboat
