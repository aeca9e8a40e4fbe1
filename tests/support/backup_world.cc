#include "support/backup_world.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

#include "backup/digest.h"
#include "backup/page.h"
#include "base/json.h"
#include "support/backup_files.h"

namespace lifeboat::testing_support {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kPage = 8192;

std::string Copying(const fs::path& to) { return "cp %p " + to.string() + "/%f"; }

}  // namespace

BackupWorld::BackupWorld() {
  archive = lab.MakeFolder("archive");
  early = lab.folder() / "early";
  both = lab.MakeFolder("both");
  monday = lab.MakeFolder("one");
  tar = lab.MakeFolder("tar");
  space_ = lab.MakeFolder("space");
  ServerOptions options;
  options.more_settings = "archive_mode = on\narchive_command = '" + Copying(archive) + "'\nfsync = off\nshared_buffers = 1MB\n";
  foreign_control = Slurp(fs::path(lab.Initialise("foreign", options).data_directory) / "global/pg_control");
  server = lab.Initialise("source", options);
  lab.StartByAnyone(server);
  Sql("create tablespace elsewhere location '" + space_.string() + "'");
  Sql("create table busy(i int primary key, v text)");
  Sql("insert into busy select g, md5(g::text) || repeat('.', 200) from generate_series(1, 4000) g");
  Sql("create table kept tablespace elsewhere as select * from busy limit 100");
  Sql("create table other as select g as n from generate_series(1, 5000) g");
  heap = AskServer(server, "select pg_relation_filepath('busy')").value_or("");
  index = AskServer(server, "select pg_relation_filepath('busy_pkey')").value_or("");
  other_heap = AskServer(server, "select pg_relation_filepath('other')").value_or("");
  const auto monday_space = lab.MakeFolder("monday_space");
  BaseBackup(monday / "monday", {"-X", "none", "-T", space_.string() + "=" + monday_space.string()});
  fs::create_directory_symlink(monday / "monday", both / "monday");
  for (int more = 0; more < 2; ++more)
    Sql("insert into busy select i + 10000 * " + std::to_string(more + 1) + ", v from busy where i <= 50; select pg_switch_wal()");
  const std::string position = AskServer(server, "select pg_current_wal_insert_lsn()").value_or("");
  // What was switched away is archived once a later segment is; the checkpoint of the next backup comes behind it.
  Sql("create table archived as select pg_walfile_name(pg_switch_wal()) as name");
  Sql("do $$ begin while (select coalesce(last_archived_wal, '') < (select name from archived) from pg_stat_archiver) loop "
      "perform pg_stat_clear_snapshot(), pg_sleep(0.01); end loop; end $$");
  fs::create_directory(early);
  for (const auto& entry : fs::directory_iterator(archive)) fs::create_hard_link(entry.path(), early / entry.path().filename());
  branch = RestoreAsTimelineTwo("branch", "", early);
  Sql("select pg_sleep(1.2)");  // longer than clocks of two servers may differ
  Sql("insert into busy select i + 100000, v from busy where i <= 50; select pg_switch_wal()");
  BaseBackup(both / "tuesday", {"-X", "stream", "-T", space_.string() + "=" + lab.MakeFolder("tuesday_space").string()});
  BaseBackup(tar / "wednesday", {"-X", "stream", "-Ft", "-z", "--manifest-checksums=SHA256"});
  for (int more = 0; more < 3; ++more)
    Sql("insert into busy select i + 1000000 * " + std::to_string(more + 1) +
        ", v from busy where i <= 50; select pg_switch_wal()");
  EXPECT_EQ(lab.Run({server.bin_directory + "/pg_ctl", "-D", server.data_directory, "-w", "stop"}).exit_code, 0);
  late_branch = RestoreAsTimelineTwo("late_branch", "recovery_target_lsn = '" + position + "'\n", archive);
}

void BackupWorld::Sql(const std::string& sql) const {
  const CommandOutput done =
      lab.Run({server.bin_directory + "/psql", "-qXAt", "-v", "ON_ERROR_STOP=1", "-h", server.socket_directory, "-p",
               std::to_string(server.address.port), "-U", "postgres", "-d", "postgres", "-c", sql});
  ASSERT_EQ(done.exit_code, 0) << sql << "\n" << done.err;
}

void BackupWorld::BaseBackup(const fs::path& to, std::vector<std::string> more) const {
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

/// Restores monday's backup, promotes it, lets it commit and archive, and stops it. @return its archive
fs::path BackupWorld::RestoreAsTimelineTwo(const std::string& name, const std::string& target, const fs::path& from) const {
  const fs::path home = lab.folder() / name;
  const fs::path to = home / "archive";
  const fs::path socket = home / "socket";
  const std::string data = (home / "data").string();
  // The tablespace is copied too: a link to the backup's own would let the restored server write into the backup.
  const CommandOutput copied =
      lab.Run({"sh", "-c",
               "mkdir -p '" + to.string() + "' '" + socket.string() + "' && cp -a '" + (monday / "monday").string() + "' '" + data +
                   "' && for link in '" + data + "'/pg_tblspc/*; do cp -a \"$(readlink $link)\" '" + (home / "space").string() +
                   "' && ln -sfn '" + (home / "space").string() + "' $link; done"});
  EXPECT_EQ(copied.exit_code, 0) << copied.err;
  DatabaseSettings restored = server;
  restored.data_directory = data;
  restored.socket_directory = socket.string();
  restored.log_file = (home / "log").string();
  std::ofstream(fs::path(data) / "postgresql.conf", std::ios::app)
      << "listen_addresses = ''\nunix_socket_directories = '" << socket.string() << "'\nrestore_command = 'cp " << from.string()
      << "/%f %p'\n"
      << "recovery_target_action = promote\narchive_command = '" << Copying(to) << "'\n"
      << target;
  std::ofstream(fs::path(data) / "recovery.signal").flush();
  fs::permissions(fs::path(data) / "recovery.signal", fs::perms::others_read | fs::perms::group_read | fs::perms::owner_read);
  lab.StartByAnyone(restored);
  const CommandOutput written = lab.Run({server.bin_directory + "/psql", "-qXAt", "-v", "ON_ERROR_STOP=1", "-h", socket.string(),
                                         "-p", std::to_string(server.address.port), "-U", "postgres", "-c",
                                         "do $$ begin while pg_is_in_recovery() loop perform pg_sleep(0.01); end loop; end $$",
                                         "-c", "create table branched(i int); select pg_switch_wal()"});
  EXPECT_EQ(written.exit_code, 0) << written.err << Slurp(restored.log_file);
  EXPECT_EQ(lab.Run({server.bin_directory + "/pg_ctl", "-D", data, "-w", "stop"}).exit_code, 0);
  return to;
}

fs::path Merge(const std::vector<fs::path>& folders) {
  const fs::path merged = folders.front().parent_path() / ("merged-" + RandomHex(6));
  fs::create_directory(merged);
  for (const fs::path& folder : folders) {
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (entry.is_regular_file() && !fs::exists(merged / entry.path().filename())) {
        fs::create_hard_link(entry.path(), merged / entry.path().filename());
      }
    }
  }
  return merged;
}

void SignManifest(const fs::path& folder) {
  Json manifest = Json::parse(Slurp(folder / "backup_manifest"));
  std::string text = "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [\n";
  std::string files;
  for (Json& file : manifest.at("Files")) {
    const fs::path path = folder / file.at("Path").get<std::string>();
    if (!fs::exists(path)) continue;
    const std::string content = Slurp(path);
    file["Size"] = content.size();
    file["Checksum-Algorithm"] = "CRC32C";
    file["Checksum"] = backup::HexDigest(backup::DigestKind::kCrc32c, content);
    files += (files.empty() ? "" : ",\n") + file.dump();
  }
  text += files + "\n],\n\"WAL-Ranges\": " + manifest.at("WAL-Ranges").dump() + ",\n";
  ReplaceFile(folder / "backup_manifest",
              text + "\"Manifest-Checksum\": \"" + backup::HexDigest(backup::DigestKind::kSha256, text) + "\"}\n");
}

void WritePage(const fs::path& file, std::uint32_t block, std::string content) {
  const std::uint16_t sum = backup::PageChecksum(content.data(), kPage, block);
  std::memcpy(content.data() + 8, &sum, sizeof sum);
  ReplaceFile(file, Slurp(file).replace(block * kPage, kPage, content));
}

}  // namespace lifeboat::testing_support
