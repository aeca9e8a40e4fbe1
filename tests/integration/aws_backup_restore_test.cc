// Backups in S3 are restored: pgBackRest restores its own out of the bucket, base backups are copied out of it, WAL is handed to a
// server that has no network. What the store does not answer is no verdict; no secret leaves the process that needs it.

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "adapters/backups/blobs.h"
#include "adapters/backups/guarded_child.h"
#include "adapters/backups/memory.h"
#include "adapters/backups/restore.h"
#include "adapters/backups/verify.h"
#include "adapters/system/processes.h"
#include "cli/backup_s3.h"
#include "support/aws_backup_bucket.h"
#include "support/backup_files.h"
#include "support/real_postgres.h"

namespace lifeboat::testing {
namespace {

namespace fs = std::filesystem;
using backup::Level;
using backup::RestoreOptions;
using backup::RestoreOutcome;
using backup::Severity;
using backup::Verdict;
using testing_support::AskServer;
using testing_support::FilesOf;
using testing_support::PostgresLab;
using testing_support::ServerOptions;
using testing_support::Slurp;
using testing_support::VerifyAt;

constexpr const char* kPass = "a pass of the test";

/// A server with a tablespace and heartbeats; an encrypted repository of pgBackRest with one backup of it, and commits after that.
struct World {
  PostgresLab lab;
  fs::path repository = lab.MakeFolder("repository");
  fs::path wal = lab.MakeFolder("wal");      ///< the same WAL in plain files
  fs::path base = lab.MakeFolder("base");    ///< holds a folder of pg_basebackup, "monday"
  fs::path dumps = lab.MakeFolder("dumps");  ///< a custom dump, and a file of roles
  LocalCertificate certificate;
  BackupBucket bucket{SharedAws(AwsEmulator::kMoto)};
  AwsRoad road{SharedAws(AwsEmulator::kMoto), RoadTls{certificate.certificate(), certificate.key()}};
  DatabaseSettings server;
  std::string url;

  World() {
    const fs::path config = lab.MakeFolder("config") / "pgbackrest.conf";
    const fs::path space = lab.MakeFolder("space");
    ServerOptions options;
    options.more_settings = "archive_mode = on\narchive_command = 'pgbackrest --config=" + config.string() +
                            " --stanza=main archive-push %p && cp %p " + wal.string() + "/%f'\nfsync = off\n";
    server = lab.Initialise("source", options);
    std::ofstream(config) << "[global]\nrepo1-path=" << repository.string()
                          << "\nrepo1-retention-full=9\nrepo1-bundle=y\nrepo1-cipher-type=aes-256-cbc\nrepo1-cipher-pass=" << kPass
                          << "\nlog-path=" << lab.MakeFolder("log").string() << "\nlock-path=" << lab.MakeFolder("lock").string()
                          << "\nlog-level-file=off\nlog-level-console=warn\nstart-fast=y\ncompress-level=1\n[main]\npg1-path="
                          << server.data_directory << "\npg1-port=" << server.address.port
                          << "\npg1-socket-path=" << server.socket_directory << "\npg1-user=postgres\n";
    fs::permissions(config, fs::perms::owner_read | fs::perms::group_read | fs::perms::others_read);
    lab.StartByAnyone(server);
    Sql("create tablespace elsewhere location '" + space.string() + "'");
    Sql("create table accounts(id serial primary key, v text)");
    Sql("insert into accounts(v) select md5(g::text) from generate_series(1, 3000) g");
    Sql("create table kept tablespace elsewhere as select * from accounts limit 500; create table marks(name text)");
    Tool(config, "stanza-create");
    Tool(config, "backup");
    OneOf("pg_basebackup", {"-c", "fast", "-X", "none", "-T", space.string() + "=" + lab.MakeFolder("space_copy").string(), "-D",
                            (base / "monday").string()});
    OneOf("pg_dump", {"-Fc", "-f", (dumps / "orders.dump").string(), "postgres"});
    OneOf("pg_dumpall", {"--globals-only", "-f", (dumps / "roles.sql").string()});
    Sql("insert into marks values ('after the backup')");
    Tool(config, "check");
    url = bucket.Upload(repository);
  }

  void Sql(const std::string& sql) const {
    const CommandOutput done =
        lab.Run({server.bin_directory + "/psql", "-qXAt", "-v", "ON_ERROR_STOP=1", "-h", server.socket_directory, "-p",
                 std::to_string(server.address.port), "-U", "postgres", "-d", "postgres", "-c", sql});
    ASSERT_EQ(done.exit_code, 0) << sql << "\n" << done.err;
  }
  /// A program of PostgreSQL's own.
  void OneOf(const std::string& program, const std::vector<std::string>& more) const {
    std::vector<std::string> words = {server.bin_directory + "/" + program,
                                      "-h",
                                      server.socket_directory,
                                      "-p",
                                      std::to_string(server.address.port),
                                      "-U",
                                      "postgres"};
    words.insert(words.end(), more.begin(), more.end());
    const CommandOutput done = lab.Run(words);
    ASSERT_EQ(done.exit_code, 0) << program << "\n" << done.err;
  }
  void Tool(const fs::path& config, const std::string& word) const {
    const CommandOutput done = lab.Run({"pgbackrest", "--config=" + config.string(), "--stanza=main", word});
    ASSERT_EQ(done.exit_code, 0) << word << "\n" << done.out << done.err;
  }

  std::shared_ptr<S3Store> Store(const std::string& at, const std::string& endpoint) {
    auto store = OpenS3({at, BackupBucket::kRegion, endpoint, certificate.certificate(), "", 2});
    EXPECT_TRUE(store.ok()) << (store.ok() ? "" : store.error().Text());
    return store.ok() ? *store : nullptr;
  }
  /// @param wal_at  of an archive beside base backups; "": there is none
  std::unique_ptr<backup::Source> Open(const std::string& at, const std::string& endpoint, const std::string& wal_at = {}) {
    backup::SourceOptions options;
    options.cipher_pass = std::make_shared<Secret>(kPass);
    options.store = Store(at, endpoint);
    if (!wal_at.empty()) options.wal_store = Store(wal_at, endpoint);
    auto source = backup::OpenSource(options);
    EXPECT_TRUE(source.ok()) << (source.ok() ? "" : source.error().Text());
    return source.ok() ? std::move(*source) : nullptr;
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
  [[nodiscard]] RestoreOptions Options(Level level) const {
    RestoreOptions options;
    options.scratch = folder_;
    options.level = level;
    options.tier = backup::Tier::kQuick;
    return options;
  }
  [[nodiscard]] const fs::path& folder() const { return folder_; }

 private:
  fs::path folder_;
};

std::string Told(const RestoreOutcome& outcome) {
  std::string text;
  for (const auto& each : outcome.findings)
    text += each.Number() + " " + each.object + " " + each.position + ": " + each.what + "\n";
  for (const auto& each : outcome.levels) text += std::string(backup::ToString(each.verdict)) + " " + each.reason + "\n";
  return text;
}

std::set<std::string> FaultsOf(const RestoreOutcome& outcome) {
  std::set<std::string> numbers;
  for (const auto& each : outcome.findings) {
    if (each.severity == Severity::kFault) numbers.insert(each.Number());
  }
  return numbers;
}

Verdict VerdictOn(const RestoreOutcome& outcome, Level level) { return outcome.levels[static_cast<std::size_t>(level)].verdict; }

/// Looks at the command line of every process in the sandboxes beneath a folder, and at their files, for as long as it lives.
class Onlooker {
 public:
  Onlooker(fs::path scratch, std::vector<std::string> secrets) : scratch_(std::move(scratch)), secrets_(std::move(secrets)) {
    thread_ = std::thread([this] { Look(); });
  }
  ~Onlooker() { Stop(); }
  /// Where a secret was seen; looked at so often, pgBackRest was seen so often.
  std::set<std::string> Stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
    return seen_;
  }
  [[nodiscard]] int tools() const { return tools_; }

 private:
  void Search(const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    if (text.find("pgbackrest") != std::string::npos && text.find("restore") != std::string::npos) ++tools_;
    for (const std::string& secret : secrets_) {
      if (text.find(secret) != std::string::npos) seen_.insert(file.string());
    }
  }
  void Look() {
    while (!stop_) {
      std::error_code problem;
      for (const auto& entry : fs::directory_iterator("/proc", problem)) {
        // Those of the sandbox alone: other tests, which have the same keys, may run beside this one.
        std::error_code other;
        const std::string cwd = fs::read_symlink(entry.path() / "cwd", other).string();
        if (cwd.starts_with(scratch_.string() + "/")) Search(entry.path() / "cmdline");
      }
      for (const auto& sandbox : fs::directory_iterator(scratch_, problem)) {
        std::error_code ignored;
        if (fs::is_regular_file(sandbox.path() / "log", ignored)) Search(sandbox.path() / "log");
        for (const auto& file : fs::directory_iterator(sandbox.path() / "tool", ignored)) {
          std::error_code gone;
          if (file.is_regular_file(gone) && file.file_size(gone) < 65536) Search(file.path());
        }
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }

  fs::path scratch_;
  std::vector<std::string> secrets_;
  std::set<std::string> seen_;
  std::atomic<int> tools_ = 0;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

TEST(BackupRestoreFromS3, PgBackRestRestoresItsRepositoryByReadingAloneAndNoSecretIsSeen) {
  World& world = TheWorld();
  world.road.Reset();
  const Scratch scratch;
  const auto source = world.Open(world.url, world.road.Url());
  ASSERT_NE(source, nullptr);
  RestoreOptions options = scratch.Options(Level::kContent);
  options.checks = {{"marks", "postgres", "select name from marks", "after the backup"},
                    {"kept", "postgres", "select count(*) from kept", "500"}};
  const std::size_t before = world.road.Requests().size();
  Onlooker onlooker(scratch.folder(), {kAwsSecretKey, kPass});
  const auto outcome = backup::RestoreAndCheck(*source, options);
  const std::set<std::string> seen = onlooker.Stop();
  ASSERT_TRUE(outcome.ok()) << outcome.error().Text();
  EXPECT_EQ(FaultsOf(*outcome), std::set<std::string>{}) << Told(*outcome);
  for (const Level level : {Level::kRestores, Level::kLogic, Level::kContent}) {
    EXPECT_EQ(VerdictOn(*outcome, level), Verdict::kPass) << Told(*outcome);
  }
  EXPECT_GT(outcome->replayed_segments, 0U) << "WAL is handed out by us";
  EXPECT_EQ(outcome->tool_network.find("TCP to port ") == 0, backup::LandlockBindsPorts()) << outcome->tool_network;
  EXPECT_EQ(seen, std::set<std::string>{});
  EXPECT_GT(onlooker.tools(), 0) << "nobody looked while it ran";
  const Json requests = world.road.Requests();
  EXPECT_GT(requests.size(), before);
  for (const Json& each : requests) {
    const std::string operation = TextAt(each, "operation");
    EXPECT_TRUE(operation.starts_with("GET ") || operation.starts_with("HEAD ")) << operation;
  }
}

TEST(BackupRestoreFromS3, LostCredentialsWhileItRestoresAreTroubleAndNoVerdict) {
  World& world = TheWorld();
  const Scratch scratch;
  const auto source = world.Open(world.url, world.road.Url());
  ASSERT_NE(source, nullptr);
  // What Lifeboat lists and looks into comes; then the backup's own files are refused, as with a role that was taken away.
  world.road.Faults(
      Json::array({{{"do", "error"}, {"service", "s3"}, {"path", "/bundle/"}, {"status", 403}, {"code", "ExpiredToken"}}}));
  const auto outcome = backup::RestoreAndCheck(*source, scratch.Options(Level::kRestores));
  world.road.Clear();
  ASSERT_FALSE(outcome.ok()) << Told(*outcome);
  EXPECT_NE(outcome.error().message.find("403"), std::string::npos) << outcome.error().message;
  EXPECT_EQ(outcome.error().message.find(kAwsSecretKey), std::string::npos);
  EXPECT_TRUE(backup::TroubleOf(*source).has_value());
}

TEST(BackupRestoreFromS3, AStoreThatRefusesWalInTheMiddleOfReplayIsTroubleAndNoVerdict) {
  World& world = TheWorld();
  const Scratch scratch;
  const auto source = world.Open(world.url, world.road.Url());
  ASSERT_NE(source, nullptr);
  // The look at the source reads the headers of some segments: what it asks for now it asks for again, and what comes then is
  // replay.
  const auto is_wal = [](const Json& each) { return TextAt(each, "operation").find("/archive/main/15-1/") != std::string::npos; };
  const auto asked = [&] {
    const Json requests = world.road.Requests();
    return std::count_if(requests.begin(), requests.end(), is_wal);
  };
  const auto before = asked();
  ASSERT_TRUE(source->Look().ok());
  const auto by_a_look = asked() - before;
  world.road.Faults(Json::array({{{"do", "error"},
                                  {"service", "s3"},
                                  {"path", "/archive/main/15-1/"},
                                  {"skip", by_a_look},
                                  {"status", 403},
                                  {"code", "AccessDenied"}}}));
  const auto outcome = backup::RestoreAndCheck(*source, scratch.Options(Level::kRestores));
  world.road.Clear();
  ASSERT_FALSE(outcome.ok()) << Told(*outcome);
  EXPECT_TRUE(backup::TroubleOf(*source).has_value());
}

TEST(BackupRestoreFromS3, AnObjectThatIsGoneIsTheBackupsFault) {
  World& world = TheWorld();
  const Scratch scratch;
  const std::string url = world.bucket.Upload(world.repository);
  const auto bundles =
      FilesOf(world.repository / "backup", [](const std::string& path) { return path.find("/bundle/") != std::string::npos; });
  ASSERT_FALSE(bundles.empty());
  world.bucket.Remove(url, bundles.front().lexically_relative(world.repository).string());
  const auto source = world.Open(url, world.road.Url());
  ASSERT_NE(source, nullptr);
  const auto outcome = backup::RestoreAndCheck(*source, scratch.Options(Level::kRestores));
  ASSERT_TRUE(outcome.ok()) << outcome.error().Text();
  EXPECT_EQ(FaultsOf(*outcome), std::set<std::string>{"F07"}) << Told(*outcome);
  EXPECT_EQ(VerdictOn(*outcome, Level::kRestores), Verdict::kFail);
}

TEST(BackupRestoreFromS3, WithoutTlsPgBackRestIsNotAsked) {
  World& world = TheWorld();
  const Scratch scratch;
  const auto source = world.Open(world.url, SharedAws(AwsEmulator::kMoto).Url());
  ASSERT_NE(source, nullptr);
  const auto outcome = backup::RestoreAndCheck(*source, scratch.Options(Level::kRestores));
  ASSERT_FALSE(outcome.ok());
  EXPECT_NE(outcome.error().message.find("by TLS alone"), std::string::npos) << outcome.error().message;
}

backup::Verified Verified(backup::Source& source) {
  auto verified = backup::Verify(source, {});
  EXPECT_TRUE(verified.ok()) << (verified.ok() ? "" : verified.error().Text());
  const auto trouble = backup::TroubleOf(source);
  EXPECT_FALSE(trouble.has_value()) << trouble->Text();
  return verified.ok() ? std::move(*verified) : backup::Verified{};
}

TEST(BaseBackupInS3, IsAsGoodAndAsBadAsInAFolderAndRestoresWithItsTablespaceOutOfTwoPlaces) {
  World& world = TheWorld();
  const std::string url = world.bucket.Upload(world.base, true);
  const std::string wal = world.bucket.Upload(world.wal);
  const std::string endpoint = SharedAws(AwsEmulator::kMoto).Url();
  const auto source = world.Open(url, endpoint, wal);
  ASSERT_NE(source, nullptr);
  const auto there = Verified(*source);
  const auto here = VerifyAt(world.base, nullptr, Level::kPages, world.wal);
  EXPECT_EQ(testing_support::Told(there), "");
  ASSERT_EQ(there.report.sets.size(), 1U);
  for (int level = 0; level <= static_cast<int>(Level::kPages); ++level) {
    EXPECT_EQ(there.report.sets[0].levels[static_cast<std::size_t>(level)].verdict, Verdict::kPass) << level;
  }
  EXPECT_EQ(there.report.sets[0].counts.bytes, here.report.sets[0].counts.bytes);
  EXPECT_EQ(there.report.wal_counts.wal_records, here.report.wal_counts.wal_records);
  {
    const Scratch scratch;
    RestoreOptions options = scratch.Options(Level::kContent);
    options.checks = {
        {"marks", "postgres", "select name from marks", "after the backup"},
        {"kept", "postgres", "select count(*) from kept", "500"},
        {"elsewhere", "postgres",
         "select pg_tablespace_location(oid) like '%/lifeboat-sandbox-%' from pg_tablespace where spcname = 'elsewhere'", "t"}};
    const auto outcome = backup::RestoreAndCheck(*source, options);
    ASSERT_TRUE(outcome.ok()) << outcome.error().Text();
    EXPECT_EQ(FaultsOf(*outcome), std::set<std::string>{}) << Told(*outcome);
    EXPECT_EQ(VerdictOn(*outcome, Level::kContent), Verdict::kPass) << Told(*outcome);
    EXPECT_EQ(outcome->tool_network, "") << "nobody but us reads there";
  }
  // The same damage, the same number.
  const std::string heap = AskServer(world.server, "select pg_relation_filepath('accounts')").value_or("");
  ASSERT_FALSE(heap.empty());
  std::string content = Slurp(world.base / "monday" / heap);
  content[content.size() / 2] ^= 0x10;
  world.bucket.Put(url, "monday/" + heap, content);
  world.bucket.Remove(url, "monday/PG_VERSION");
  const auto damaged = world.Open(url, endpoint, wal);
  ASSERT_NE(damaged, nullptr);
  EXPECT_EQ(testing_support::NumbersOf(Verified(*damaged)), (std::set<std::string>{"F07", "F09"}));
}

TEST(WalInS3, AFolderOfItIsReadAndAHoleIsTold) {
  World& world = TheWorld();
  const std::string url = world.bucket.Upload(world.wal);
  const std::string endpoint = SharedAws(AwsEmulator::kMoto).Url();
  const auto good = world.Open(url, endpoint);
  ASSERT_NE(good, nullptr);
  const auto there = Verified(*good);
  EXPECT_EQ(testing_support::Told(there), "");
  EXPECT_GT(there.report.wal_counts.wal_records, 0U);
  // A second run reads nothing of what is the same object as before, and all of what was put there anew.
  const fs::path file = world.lab.MakeFolder("memory") / "memory.sqlite";
  const auto segments_read = [&](std::int64_t now) {
    const auto source = world.Open(url, endpoint);
    auto memory = backup::VerifiedMemory::Open(file, "wal in S3");
    EXPECT_TRUE(memory.ok());
    backup::VerifiedMemory::RunOptions run;
    run.share = {1, 1000};
    run.now = now;
    (*memory)->Begin(run);
    backup::VerifyOptions options;
    options.memory = memory->get();
    const auto verified = backup::Verify(*source, options);
    EXPECT_TRUE(verified.ok() && (*memory)->End(true).ok());
    return verified->report.wal_counts.wal_segments;
  };
  EXPECT_GT(segments_read(1), 2U);
  EXPECT_EQ(segments_read(2), 0U);
  auto segments = FilesOf(world.wal, [](const std::string& path) { return path.find('.', path.rfind('/')) == std::string::npos; });
  ASSERT_GT(segments.size(), 2U);
  std::string content = Slurp(segments[1]);
  content[content.size() / 2] ^= 0x10;
  world.bucket.Put(url, segments[1].filename().string(), content);
  EXPECT_GE(segments_read(3), 1U) << "another object under the name";
  world.bucket.Put(url, segments[1].filename().string(), Slurp(segments[1]).substr(0, 4096));
  const auto torn = world.Open(url, endpoint);
  ASSERT_NE(torn, nullptr);
  EXPECT_EQ(testing_support::NumbersOf(Verified(*torn)), std::set<std::string>{"F14"});
}

TEST(DumpsInS3, AreReadAndLoadedAfterTheyWereFetched) {
  World& world = TheWorld();
  const std::string url = world.bucket.Upload(world.dumps);
  const auto source = world.Open(url, SharedAws(AwsEmulator::kMoto).Url());
  ASSERT_NE(source, nullptr);
  EXPECT_EQ(testing_support::Told(Verified(*source)), "");
  {
    const Scratch scratch;
    RestoreOptions options = scratch.Options(Level::kContent);
    options.checks = {{"accounts", "postgres", "select count(*) from accounts", "3000"}};
    const auto outcome = backup::RestoreAndCheck(*source, options);
    ASSERT_TRUE(outcome.ok()) << outcome.error().Text();
    EXPECT_EQ(outcome->set, "orders.dump") << "and not the file of roles";
    EXPECT_EQ(FaultsOf(*outcome), std::set<std::string>{}) << Told(*outcome);
    EXPECT_EQ(VerdictOn(*outcome, Level::kContent), Verdict::kPass) << Told(*outcome);
  }
  const std::string dump = Slurp(world.dumps / "orders.dump");
  world.bucket.Put(url, "orders.dump", dump.substr(0, dump.size() / 2));
  const auto cut = world.Open(url, SharedAws(AwsEmulator::kMoto).Url());
  ASSERT_NE(cut, nullptr);
  EXPECT_EQ(testing_support::NumbersOf(Verified(*cut)), std::set<std::string>{"F08"});
}

/// A socket that listens on a free port of 127.0.0.1.
class Listener {
 public:
  Listener() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(socket_.number(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(socket_.number(), 16), 0);
    EXPECT_EQ(::getsockname(socket_.number(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
  }
  [[nodiscard]] std::uint16_t port() const { return port_; }

 private:
  Descriptor socket_;
  std::uint16_t port_ = 0;
};

int ExitOfShell(const fs::path& folder, const std::string& script, std::vector<std::uint16_t> ports) {
  std::ofstream(folder / "log").flush();
  backup::GuardedLaunch launch;
  launch.argv = {"/bin/bash", "-c", script};
  launch.cwd = folder;
  launch.output = folder / "log";
  launch.writable = {folder};
  launch.ports = std::move(ports);
  auto child = backup::GuardedChild::Start(launch);
  EXPECT_TRUE(child.ok()) << (child.ok() ? "" : child.error().Text());
  if (!child.ok()) return -1;
  return child->WaitFor(std::chrono::seconds(60)).value_or(-1);
}

TEST(GuardedChild, ReachesThePortsThatAreNamedAndNoOther) {
  const fs::path folder = fs::temp_directory_path() / ("lifeboat-guard-" + RandomHex(6));
  fs::create_directory(folder);
  const Listener named;
  const Listener other;
  const auto connect = [](std::uint16_t port) { return "exec 3<>/dev/tcp/127.0.0.1/" + std::to_string(port); };
  EXPECT_EQ(ExitOfShell(folder, connect(named.port()), {named.port()}), 0) << Slurp(folder / "log");
  if (backup::LandlockBindsPorts()) {
    EXPECT_NE(ExitOfShell(folder, connect(other.port()), {named.port()}), 0);
  }
  EXPECT_NE(ExitOfShell(folder, connect(named.port()), {}), 0) << "without ports there is no network at all";
  fs::remove_all(folder);
}

}  // namespace
}  // namespace lifeboat::testing
