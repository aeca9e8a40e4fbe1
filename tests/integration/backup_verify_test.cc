// Backup verification on a real PostgreSQL and a real pgBackRest: backups of a busy source pass; each fault that is put into a
// copy of them fires its number, and nothing else.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <sstream>
#include <thread>

#include "adapters/backups/verify.h"
#include "backup/digest.h"
#include "support/backup_files.h"
#include "support/real_postgres.h"

namespace lifeboat {
namespace {

namespace fs = std::filesystem;
using backup::Level;
using backup::Severity;
using backup::Verdict;
using testing_support::AskServer;
using testing_support::BackupCopy;
using testing_support::CutFile;
using testing_support::FilesOf;
using testing_support::FlipBit;
using testing_support::NumbersOf;
using testing_support::PostgresLab;
using testing_support::ReplaceFile;
using testing_support::ServerOptions;
using testing_support::Slurp;
using testing_support::Told;
using testing_support::Unpacked;
using testing_support::VerifyAt;

constexpr const char* kPass = "a pass of the test";

/// A server with an archive, three backups in a plain repository (gz), two in an encrypted one (zst, bundled), and one of
/// pg_basebackup as a folder and as tar files; taken while it was written to. Made once; tests work on copies.
struct World {
  PostgresLab lab;
  DatabaseSettings server;
  fs::path plain;
  fs::path encrypted;
  fs::path folder;
  fs::path tar;

  World() {
    const fs::path config = lab.MakeFolder("config") / "pgbackrest.conf";
    plain = lab.MakeFolder("plain");
    encrypted = lab.MakeFolder("encrypted");
    folder = lab.folder() / "base_folder";
    tar = lab.folder() / "base_tar";
    ServerOptions options;
    options.more_settings = "archive_mode = on\narchive_command = 'pgbackrest --config=" + config.string() +
                            " --stanza=main archive-push %p'\nfsync = off\nshared_buffers = 1MB\n";
    server = lab.Initialise("source", options);
    std::ofstream(config) << "[global]\nrepo1-path=" << plain.string()
                          << "\nrepo1-retention-full=9\nrepo2-path=" << encrypted.string()
                          << "\nrepo2-retention-full=9\nrepo2-bundle=y\nrepo2-cipher-type=aes-256-cbc\nrepo2-cipher-pass=" << kPass
                          << "\nlog-path=" << lab.MakeFolder("log").string() << "\nlock-path=" << lab.MakeFolder("lock").string()
                          << "\nlog-level-file=off\nlog-level-console=warn\nstart-fast=y\n[main]\npg1-path="
                          << server.data_directory << "\npg1-port=" << server.address.port
                          << "\npg1-socket-path=" << server.socket_directory << "\npg1-user=postgres\n";
    fs::permissions(config, fs::perms::owner_read | fs::perms::group_read | fs::perms::others_read);
    lab.StartByAnyone(server);
    const std::string space = lab.MakeFolder("space").string();
    Sql("create tablespace elsewhere location '" + space + "'");
    Sql("create table busy(i int primary key, v text)");
    Sql("insert into busy select g, repeat(md5(g::text), 8) from generate_series(1, 4000) g");
    Sql("create table kept tablespace elsewhere as select * from busy limit 100");
    Tool(config, {"stanza-create"});
    std::atomic<bool> stop = false;
    std::jthread writer([&] { Write(stop); });
    Tool(config, {"--repo=1", "--type=full", "--compress-type=gz", "--compress-level=1", "backup"});
    Tool(config, {"--repo=2", "--type=full", "--compress-type=zst", "--compress-level=1", "backup"});
    Tool(config, {"--repo=1", "--type=diff", "--compress-type=gz", "--compress-level=1", "backup"});
    Tool(config, {"--repo=2", "--type=incr", "--compress-type=zst", "--compress-level=1", "backup"});
    Tool(config, {"--repo=1", "--type=incr", "--compress-type=gz", "--compress-level=1", "backup"});
    BaseBackup(folder, {"-T", space + "=" + lab.MakeFolder("space_copy").string()});
    BaseBackup(tar, {"-Ft", "-z", "--manifest-checksums=SHA256"});
    stop = true;
    writer.join();
    for (int more = 0; more < 4; ++more)
      Sql("insert into busy select i + 1000000 * " + std::to_string(more + 1) +
          ", v from busy where i <= 10; select pg_switch_wal()");
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

  /// Updates, extensions, vacuums, new and dropped tables, as long as backups run. Paced: each segment of WAL costs a run of
  /// pgBackRest, twice, and backups wait for them all.
  void Write(const std::atomic<bool>& stop) const {
    for (int round = 1; !stop; ++round) {
      const std::string low = std::to_string(round * 211 % 4000);
      (void)AskServer(server, "update busy set v = v || 'x' where i between " + low + " and " + low + " + 40");
      (void)AskServer(server, "insert into busy select g, md5(g::text) from generate_series(" + std::to_string(4000 + round * 20) +
                                  ", " + std::to_string(4019 + round * 20) + ") g on conflict do nothing");
      if (round % 5 == 0) (void)AskServer(server, "vacuum busy");
      if (round % 7 == 0) (void)AskServer(server, "drop table if exists shortlived");
      if (round % 7 == 1) (void)AskServer(server, "create table if not exists shortlived as select * from busy limit 100");
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }
};

World& TheWorld() {
  static World world;
  return world;
}

std::vector<fs::path> WalOf(const fs::path& repository) {
  return FilesOf(repository / "archive", [](const std::string& path) { return path.ends_with(".gz"); });
}

std::string Label(const fs::path& repository, char kind) {
  for (const auto& entry : fs::directory_iterator(repository / "backup/main")) {
    const std::string name = entry.path().filename().string();
    if (entry.is_directory() && !entry.is_symlink() && name.size() >= 16 && name[8] == '-' && name.back() == kind) return name;
  }
  return "";
}

fs::path SetOf(const fs::path& repository, char kind) { return repository / "backup/main" / Label(repository, kind); }

/// The segment that the first backup needs, and one far behind all backups.
fs::path NeededWal(const fs::path& repository) {
  const std::string manifest = Slurp(SetOf(repository, 'F') / "backup.manifest");
  const std::string key = "backup-archive-stop=\"";
  const std::string name = manifest.substr(manifest.find(key) + key.size(), 24);
  return FilesOf(repository / "archive", [&](const std::string& path) { return path.find("/" + name + "-") != std::string::npos; })
      .at(0);
}
fs::path LaterWal(const fs::path& repository) {
  const auto wal = WalOf(repository);
  return wal.at(wal.size() - 3);
}

/// In what a compression makes of zeros, most flips change nothing of what comes out.
fs::path FullestWal(const fs::path& repository) {
  const auto wal = WalOf(repository);
  return *std::max_element(wal.begin(), wal.end(),
                           [](const fs::path& a, const fs::path& b) { return fs::file_size(a) < fs::file_size(b); });
}

std::string HashedName(const fs::path& like, const std::string& content) {
  return like.filename().string().substr(0, 24) + "-" + backup::HexDigest(backup::DigestKind::kSha1, content);
}

/// The largest file below base/ of the full backup: the heap of `busy`; its index comes next.
fs::path LargestRelation(const fs::path& repository, std::size_t rank) {
  auto files = FilesOf(SetOf(repository, 'F') / "pg_data/base", [](const std::string& path) { return path.ends_with(".gz"); });
  std::sort(files.begin(), files.end(), [](const fs::path& a, const fs::path& b) { return fs::file_size(a) > fs::file_size(b); });
  return files.at(rank);
}

/// Takes a backup out of backup.info and its copy, with the checksum that such a file has.
void Expire(const fs::path& repository, const std::string& label) {
  const fs::path info = repository / "backup/main/backup.info";
  std::istringstream lines(Slurp(info));
  std::string text;
  std::string hashed = "{";
  std::string section;
  std::string hashed_section;
  std::string line;
  while (std::getline(lines, line)) {
    if (line.starts_with(label + "=") || line.starts_with("backrest-checksum=")) continue;
    text += line + "\n";
    if (line.empty()) continue;
    if (line.front() == '[') {
      section = line.substr(1, line.size() - 2);
      continue;
    }
    if (section != hashed_section) {
      hashed += (hashed_section.empty() ? "\"" : "},\"") + section + "\":{";
      hashed_section = section;
    }
    const std::size_t equals = line.find('=');
    hashed += (hashed.back() == '{' ? "\"" : ",\"") + line.substr(0, equals) + "\":" + line.substr(equals + 1);
  }
  const std::string sum = backup::HexDigest(backup::DigestKind::kSha1, hashed + "}}");
  const std::size_t at = text.find("[backrest]\n") + 11;
  text.insert(at, "backrest-checksum=\"" + sum + "\"\n");
  ReplaceFile(info, text);
  ReplaceFile(repository / "backup/main/backup.info.copy", text);
}

struct Fault {
  const char* name;  ///< also the test's
  std::set<std::string> fires;
  std::function<void(const fs::path&)> inject;
};

const std::vector<Fault>& Faults() {
  static const std::vector<Fault> faults = {
      {"required WAL missing", {"F12"}, [](const fs::path& r) { fs::remove(NeededWal(r)); }},
      {"gap later in the window", {"F13"}, [](const fs::path& r) { fs::remove(LaterWal(r)); }},
      {"WAL of zero length", {"F14"}, [](const fs::path& r) { CutFile(LaterWal(r), 0); }},
      {"WAL torn", {"F14"}, [](const fs::path& r) { CutFile(LaterWal(r), fs::file_size(LaterWal(r)) / 2); }},
      {"WAL torn within the segment",
       {"F14"},
       [](const fs::path& r) {
         const fs::path wal = LaterWal(r);
         const std::string half = Unpacked(wal).substr(0, 300000);
         fs::remove(wal);
         ReplaceFile(wal.parent_path() / HashedName(wal, half), half);
       }},
      {"WAL bit flip", {"F15"}, [](const fs::path& r) { FlipBit(FullestWal(r)); }},
      {"WAL bit flip inside a record, with a hash that fits",
       {"F15"},
       [](const fs::path& r) {
         const fs::path wal = NeededWal(r);
         std::string content = Unpacked(wal);
         content[40] ^= 1;  // the first record, or what it goes on from: never filling between two
         fs::remove(wal);
         ReplaceFile(wal.parent_path() / HashedName(wal, content), content);
       }},
      {"WAL of another cluster",
       {"F16"},
       [](const fs::path& r) {
         const fs::path wal = LaterWal(r);
         std::string content = Unpacked(wal);
         content[24] ^= 1;
         fs::remove(wal);
         ReplaceFile(wal.parent_path() / HashedName(wal, content), content);
       }},
      {"one WAL name with two contents",
       {"F17"},
       [](const fs::path& r) {
         const fs::path wal = LaterWal(r);
         std::string content = Unpacked(wal);
         content[5000] ^= 1;
         ReplaceFile(wal.parent_path() / HashedName(wal, content), content);
       }},
      {"history missing",
       {"F18"},
       [](const fs::path& r) {
         const fs::path wal = WalOf(r).back();
         const std::string content = Unpacked(wal);
         std::string name = HashedName(wal, content);
         name[7] = '2';
         fs::create_directory(wal.parent_path().parent_path() / "0000000200000000");
         ReplaceFile(wal.parent_path().parent_path() / "0000000200000000" / name, content);
       }},
      {"manifest missing", {"F05"}, [](const fs::path& r) { fs::remove(SetOf(r, 'D') / "backup.manifest"); }},
      {"manifest's copy missing", {"F05"}, [](const fs::path& r) { fs::remove(SetOf(r, 'D') / "backup.manifest.copy"); }},
      {"manifest and copy missing",
       {"F05"},
       [](const fs::path& r) {
         fs::remove(SetOf(r, 'D') / "backup.manifest");
         fs::remove(SetOf(r, 'D') / "backup.manifest.copy");
       }},
      {"manifest tampered with",
       {"F06"},
       [](const fs::path& r) {
         std::string text = Slurp(SetOf(r, 'D') / "backup.manifest");
         text[text.find("\"size\":") + 7] = '9';
         ReplaceFile(SetOf(r, 'D') / "backup.manifest", text);
       }},
      {"manifest cut off", {"F06"}, [](const fs::path& r) { CutFile(SetOf(r, 'D') / "backup.manifest", 5000); }},
      {"backup.info cut off", {"F06"}, [](const fs::path& r) { CutFile(r / "backup/main/backup.info", 300); }},
      {"whole backup gone, still listed", {"F07"}, [](const fs::path& r) { fs::remove_all(SetOf(r, 'I')); }},
      {"parent of two backups gone", {"F07", "F11"}, [](const fs::path& r) { fs::remove_all(SetOf(r, 'F')); }},
      {"parent of two backups expired",
       {"F11"},
       [](const fs::path& r) {
         Expire(r, Label(r, 'F'));
         fs::remove_all(SetOf(r, 'F'));
       }},
      {"a file gone", {"F07"}, [](const fs::path& r) { fs::remove(LargestRelation(r, 3)); }},
      {"a file that nobody lists", {"F07"}, [](const fs::path& r) { ReplaceFile(SetOf(r, 'F') / "pg_data/base/1/99999.gz", "x"); }},
      {"a file cut off", {"F08"}, [](const fs::path& r) { CutFile(LargestRelation(r, 0), 1000); }},
      {"heap bit flip in the backup", {"F09"}, [](const fs::path& r) { FlipBit(LargestRelation(r, 0)); }},
      {"index bit flip in the backup", {"F09"}, [](const fs::path& r) { FlipBit(LargestRelation(r, 1)); }},
      {"tablespace missing",
       {"F21"},
       [](const fs::path& r) {
         for (const char kind : {'F', 'D', 'I'}) fs::remove_all(SetOf(r, kind) / "pg_tblspc");
       }},
      {"backup_label missing", {"F22"}, [](const fs::path& r) { fs::remove(SetOf(r, 'D') / "pg_data/backup_label.gz"); }},
  };
  return faults;
}

TEST(BackupVerify, BackupsOfABusySourcePassWithoutAnyFinding) {
  World& world = TheWorld();
  for (const auto& [path, pass] : {std::pair(world.plain, (const char*)nullptr), std::pair(world.encrypted, kPass),
                                   std::pair(world.folder, (const char*)nullptr), std::pair(world.tar, (const char*)nullptr)}) {
    const backup::Verified verified = VerifyAt(path, pass);
    EXPECT_EQ(Told(verified), "") << path;
    EXPECT_FALSE(verified.report.sets.empty());
    for (const auto& set : verified.report.sets) {
      for (int level = 0; level <= 3; ++level) {
        EXPECT_EQ(set.levels[level].verdict, Verdict::kPass)
            << path << " " << set.label << " level " << level << ": " << set.levels[level].reason;
      }
      for (int level = 4; level < backup::kLevels; ++level) EXPECT_EQ(set.levels[level].verdict, Verdict::kNotChecked);
    }
    for (const auto& window : verified.windows) EXPECT_TRUE(window.consistent && window.holes.empty()) << window.label;
  }
}

class BackupFault : public testing::TestWithParam<Fault> {};

TEST_P(BackupFault, FiresItsNumberAndNothingElse) {
  const Fault& fault = GetParam();
  const BackupCopy copy(TheWorld().plain);
  fault.inject(copy.folder());
  const backup::Verified verified = VerifyAt(copy.folder());
  EXPECT_EQ(NumbersOf(verified), fault.fires) << Told(verified);
  EXPECT_TRUE(verified.report.HasFault());
  for (const backup::Finding& each : verified.report.findings) {
    EXPECT_FALSE(each.object.empty() || each.what.empty() || each.means.empty() || each.todo.empty()) << Told(verified);
  }
}

INSTANTIATE_TEST_SUITE_P(InARepository, BackupFault, testing::ValuesIn(Faults()), [](const testing::TestParamInfo<Fault>& at) {
  std::string name;
  for (const char* letter = at.param.name; *letter != '\0'; ++letter)
    name += std::isalnum(static_cast<unsigned char>(*letter)) != 0 ? *letter : '_';
  return name;
});

TEST(BackupVerify, LevelTwoAloneHoldsTheStoredBytesAgainstTheManifestAndUnpacksNothing) {
  for (const bool encrypted : {false, true}) {
    const BackupCopy copy(encrypted ? TheWorld().encrypted : TheWorld().plain);
    const char* pass = encrypted ? kPass : nullptr;
    const auto bytes_of = [](const backup::Verified& verified) {
      backup::Counts counts;
      for (const backup::SetReport& each : verified.report.sets) counts.Add(each.counts);
      return counts;
    };
    const backup::Verified whole = VerifyAt(copy.folder(), pass, Level::kBytes);
    EXPECT_EQ(NumbersOf(whole), std::set<std::string>{}) << Told(whole);
    for (const backup::SetReport& each : whole.report.sets)
      EXPECT_EQ(each.levels[2].verdict, Verdict::kPass) << each.label << each.levels[2].reason;
    EXPECT_EQ(bytes_of(whole).bytes, bytes_of(whole).stored_bytes) << "something was unpacked";
    EXPECT_GT(bytes_of(VerifyAt(copy.folder(), pass)).bytes, bytes_of(whole).bytes) << "level 3 looks into the pages";
    // Any bit of what is stored counts, also one that would change nothing of what comes out.
    fs::path largest;
    for (const fs::path& each :
         FilesOf(SetOf(copy.folder(), 'F'), [](const std::string& path) { return path.find("manifest") == std::string::npos; })) {
      if (largest.empty() || fs::file_size(each) > fs::file_size(largest)) largest = each;
    }
    FlipBit(largest, 0.4);
    const backup::Verified damaged = VerifyAt(copy.folder(), pass, Level::kBytes);
    EXPECT_EQ(NumbersOf(damaged), std::set<std::string>{"F09"}) << Told(damaged);
  }
}

TEST(BackupVerify, AWrongOrAbsentKeyIsToldAndNothingPasses) {
  for (const char* pass : {"another pass", (const char*)nullptr}) {
    const backup::Verified verified = VerifyAt(TheWorld().encrypted, pass);
    EXPECT_EQ(NumbersOf(verified), std::set<std::string>{"F20"}) << Told(verified);
    EXPECT_TRUE(verified.report.sets.empty());
  }
}

TEST(BackupVerify, AMissingBundleIsToldForEveryBackupThatLiesInIt) {
  const BackupCopy copy(TheWorld().encrypted);
  fs::remove(SetOf(copy.folder(), 'F') / "bundle/1");
  const backup::Verified verified = VerifyAt(copy.folder(), kPass);
  EXPECT_EQ(NumbersOf(verified), std::set<std::string>{"F10"}) << Told(verified);
  EXPECT_EQ(verified.report.findings.size(), 2U) << "the full backup and the one that refers to it";
}

TEST(BackupVerify, DamageOfABaseBackupIsTold) {
  const auto numbers = [](const fs::path& of, const std::function<void(const fs::path&)>& inject) {
    const BackupCopy copy(of);
    inject(copy.folder());
    const backup::Verified verified = VerifyAt(copy.folder());
    return std::pair(NumbersOf(verified), Told(verified));
  };
  using Set = std::set<std::string>;
  const World& world = TheWorld();
  EXPECT_EQ(numbers(world.folder, [](const fs::path& b) { fs::remove(b / "backup_manifest"); }).first, Set{"F05"});
  EXPECT_EQ(numbers(world.folder, [](const fs::path& b) { CutFile(b / "backup_manifest", 9000); }).first, Set{"F06"});
  EXPECT_EQ(numbers(world.folder, [](const fs::path& b) { ReplaceFile(b / "backup_manifest", "pg_basebackup: error: connection"); })
                .first,
            Set{"F02"});
  EXPECT_EQ(numbers(world.folder, [](const fs::path& b) { fs::remove(b / "backup_label"); }).first, Set{"F22"});
  EXPECT_EQ(numbers(world.folder, [](const fs::path& b) { fs::remove(b / "global/1262"); }).first, Set{"F07"});
  EXPECT_EQ(numbers(world.folder, [](const fs::path& b) { FlipBit(b / "global/1262"); }).first, Set{"F09"});
  EXPECT_EQ(numbers(world.folder, [](const fs::path& b) { fs::remove_all(b / "pg_wal"); }).first, Set{"F12"});
  EXPECT_EQ(numbers(world.folder, [](const fs::path& b) { fs::remove(*fs::directory_iterator(b / "pg_tblspc")); }).first,
            Set{"F21"});
  const auto [torn, why] =
      numbers(world.tar, [](const fs::path& b) { CutFile(b / "base.tar.gz", fs::file_size(b / "base.tar.gz") / 2); });
  EXPECT_TRUE(torn.count("F08") == 1) << why;
}

TEST(BackupVerify, APageThatWasDamagedInTheSourceIsToldThoughTheBackupIsFaithful) {
  PostgresLab lab;
  const DatabaseSettings server = lab.Initialise("bad");
  lab.StartByAnyone(server);
  (void)AskServer(server, "create table t as select g from generate_series(1, 20000) g");
  const auto file = AskServer(server, "select pg_relation_filepath('t')");
  ASSERT_TRUE(file);
  (void)AskServer(server, "checkpoint");
  ASSERT_EQ(lab.Run({server.bin_directory + "/pg_ctl", "-D", server.data_directory, "-w", "stop"}).exit_code, 0);
  const fs::path heap = fs::path(server.data_directory) / *file;
  std::fstream bytes(heap, std::ios::in | std::ios::out | std::ios::binary);
  bytes.seekp(static_cast<std::streamoff>(fs::file_size(heap) / 2));
  bytes.put('?');
  bytes.close();
  lab.StartByAnyone(server);
  const fs::path to = lab.folder() / "copy";
  const CommandOutput done =
      lab.Run({server.bin_directory + "/pg_basebackup", "-h", server.socket_directory, "-p", std::to_string(server.address.port),
               "-U", "postgres", "-c", "fast", "--no-verify-checksums", "-D", to.string()});
  ASSERT_EQ(done.exit_code, 0) << done.err;
  const backup::Verified verified = VerifyAt(to);
  EXPECT_EQ(NumbersOf(verified), std::set<std::string>{"F23"}) << Told(verified);
  ASSERT_EQ(verified.report.findings.size(), 1U);
  EXPECT_EQ(verified.report.findings[0].object, *file);
  EXPECT_EQ(verified.report.sets[0].levels[2].verdict, Verdict::kPass) << "the bytes are those that were written";
}

TEST(BackupVerify, WithoutPageChecksumsPagesAreNotCheckedAndThatIsSaid) {
  PostgresLab lab;
  ServerOptions options;
  options.data_checksums = false;
  const DatabaseSettings server = lab.Initialise("blind", options);
  lab.StartByAnyone(server);
  const fs::path to = lab.folder() / "copy";
  ASSERT_EQ(lab.Run({server.bin_directory + "/pg_basebackup", "-h", server.socket_directory, "-p",
                     std::to_string(server.address.port), "-U", "postgres", "-c", "fast", "-D", to.string()})
                .exit_code,
            0);
  const backup::Verified verified = VerifyAt(to);
  EXPECT_EQ(NumbersOf(verified), std::set<std::string>{"F30"}) << Told(verified);
  EXPECT_EQ(verified.report.sets[0].levels[3].verdict, Verdict::kNotChecked);
  EXPECT_EQ(verified.report.sets[0].levels[2].verdict, Verdict::kPass);
}

/// A repository of its own, whose backups are taken without asking the server.
struct OfflineWorld {
  PostgresLab lab;
  DatabaseSettings server = lab.Initialise("offline", ServerOptions{.more_settings = "fsync = off\n"});
  fs::path repository = lab.MakeFolder("offline_repository");
  fs::path config = lab.MakeFolder("offline_config") / "pgbackrest.conf";

  OfflineWorld() {
    std::ofstream(config) << "[global]\nrepo1-path=" << repository.string()
                          << "\nrepo1-retention-full=9\nlog-path=" << lab.MakeFolder("offline_log").string()
                          << "\nlock-path=" << lab.MakeFolder("offline_lock").string()
                          << "\nlog-level-file=off\nlog-level-console=warn\n[main]\npg1-path=" << server.data_directory << "\n";
    fs::permissions(config, fs::perms::owner_read | fs::perms::group_read | fs::perms::others_read);
    Tool({"--no-online", "stanza-create"});
  }
  void Tool(std::vector<std::string> words) const {
    words.insert(words.begin(), {"pgbackrest", "--config=" + config.string(), "--stanza=main"});
    const CommandOutput done = lab.Run(words);
    ASSERT_EQ(done.exit_code, 0) << words.back() << "\n" << done.out << done.err;
  }
};

TEST(BackupVerify, ARepositoryWithoutAnyBackupIsEmptyAndNoSuccess) {
  const OfflineWorld world;
  const std::string words = std::string(LIFEBOAT_PROGRAM) + " backup verify --repo " + world.repository.string() + " >" +
                            (world.lab.folder() / "empty").string();
  EXPECT_EQ(WEXITSTATUS(std::system(words.c_str())), 4);
  EXPECT_NE(Slurp(world.lab.folder() / "empty").find("F01"), std::string::npos) << Slurp(world.lab.folder() / "empty");
}

TEST(BackupVerify, APageThatPgBackRestSawDamagedIsToldWhereNobodyLooksAtPages) {
  OfflineWorld world;
  const fs::path heap = fs::path(world.server.data_directory) / "base/1/1255";
  std::fstream bytes(heap, std::ios::in | std::ios::out | std::ios::binary);
  bytes.seekp(static_cast<std::streamoff>(fs::file_size(heap) / 2 + 100));
  bytes.put('?');
  bytes.close();
  world.Tool({"--no-online", "--checksum-page", "backup"});
  for (const Level level : {Level::kStructure, Level::kBytes, Level::kPages}) {
    const backup::Verified verified = VerifyAt(world.repository, nullptr, level);
    EXPECT_EQ(NumbersOf(verified), std::set<std::string>{"F23"}) << Told(verified);
    EXPECT_EQ(verified.report.sets[0].levels[2].verdict, level == Level::kStructure ? Verdict::kNotChecked : Verdict::kPass)
        << "its bytes are as they were";
  }
}

TEST(BackupVerify, ABackupOfAServerThatIsShutDownNeedsNoLabelAndNoWal) {
  OfflineWorld world;
  world.Tool({"--no-online", "backup"});
  const backup::Verified verified = VerifyAt(world.repository);
  EXPECT_EQ(Told(verified), "");
  ASSERT_EQ(verified.report.sets.size(), 1U);
  for (int level = 0; level <= 3; ++level) {
    const backup::LevelResult& each = verified.report.sets[0].levels[static_cast<std::size_t>(level)];
    EXPECT_EQ(each.verdict, Verdict::kPass) << level << ": " << each.reason;
  }
  // Taken of one that runs, by force, it is worth nothing, whatever its hashes say.
  world.lab.StartByAnyone(world.server);
  world.Tool({"--no-online", "--force", "--type=full", "backup"});
  const backup::Verified forced = VerifyAt(world.repository);
  EXPECT_EQ(NumbersOf(forced), std::set<std::string>{"F22"}) << Told(forced);
  EXPECT_EQ(forced.report.sets.back().levels[1].verdict, Verdict::kFail);
  EXPECT_EQ(forced.report.sets.front().levels[1].verdict, Verdict::kPass);
}

}  // namespace
}  // namespace lifeboat
