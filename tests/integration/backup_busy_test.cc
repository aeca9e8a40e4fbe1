// No false alarm on a busy source: base backups are copied slowly while servers' writers do everything that changes pages beneath a
// backup, and every level passes on every one of them.

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "adapters/backups/restore.h"
#include "support/backup_files.h"
#include "support/real_postgres.h"

namespace lifeboat {
namespace {

namespace fs = std::filesystem;
using backup::Level;
using backup::Severity;
using backup::Verdict;
using testing_support::AskServer;
using testing_support::PostgresLab;
using testing_support::ServerOptions;
using testing_support::Told;
using testing_support::VerifyAt;

constexpr int kBackups = 4;

/// Updates in place (HOT) and not, posting lists, long values, relations that grow and are cut, vacuum, new indexes and files.
void WriteRows(const DatabaseSettings& server, const std::atomic<bool>& stop) {
  for (int round = 1; !stop; ++round) {
    const std::string low = std::to_string(round * 211 % 8000);
    (void)AskServer(server, "update busy set n = n + 1 where i between " + low + " and " + low + " + 200");
    (void)AskServer(
        server, "update busy set k = (i * 7 + " + std::to_string(round) + ") % 5 where i between " + low + " and " + low + " + 50");
    (void)AskServer(server, "insert into growing select g % 3, repeat(md5(g::text), 4) from generate_series(1, 300) g");
    (void)AskServer(server, "insert into long select string_agg(md5((g * random())::text), '') from generate_series(1, 300) g");
    if (round % 3 == 0) (void)AskServer(server, "vacuum busy");
    if (round % 4 == 0) {
      (void)AskServer(server, "delete from growing where ctid >= '(40,0)'");
      (void)AskServer(server, "vacuum growing");  // cuts its end off
    }
    if (round % 5 == 0) (void)AskServer(server, "vacuum full long");
    if (round % 6 == 0) (void)AskServer(server, "reindex index busy_k");
    if (round % 9 == 0) (void)AskServer(server, "truncate long");
  }
}

/// Files that come and go.
void WriteFiles(const DatabaseSettings& server, const std::atomic<bool>& stop) {
  for (int round = 1; !stop; ++round) {
    const std::string strategy = round % 2 == 0 ? "wal_log" : "file_copy";
    (void)AskServer(server, "create table passing as select * from busy limit 500");
    (void)AskServer(server, "create index on passing(k)");
    (void)AskServer(server, "create database copied strategy " + strategy);
    (void)AskServer(server, "checkpoint");
    (void)AskServer(server, "drop table passing");
    (void)AskServer(server, "drop database copied");
  }
}

class BackupBusy : public testing::Test {
 protected:
  BackupBusy() {
    ServerOptions options;
    // Few buffers, so that pages are written to their files as soon as they are dirty.
    options.more_settings = "fsync = off\nshared_buffers = 1MB\nbgwriter_delay = 10ms\nmax_wal_senders = 5\n";
    server_ = lab_.Initialise("source", options);
    lab_.StartByAnyone(server_);
    for (const char* sql :
         {"create table busy(i int primary key, k int, n int, v text) with (fillfactor = 70)",
          "insert into busy select g, g % 5, 0, md5(g::text) from generate_series(1, 8000) g", "create index busy_k on busy(k)",
          "create table growing(k int, v text)", "create index on growing(k)", "create table long(v text)"}) {
      EXPECT_TRUE(AskServer(server_, sql)) << sql;
    }
  }

  fs::path Take(int number) const {
    const fs::path to = lab_.folder() / ("backup" + std::to_string(number));
    std::vector<std::string> words = {server_.bin_directory + "/pg_basebackup",
                                      "-h",
                                      server_.socket_directory,
                                      "-p",
                                      std::to_string(server_.address.port),
                                      "-U",
                                      "postgres",
                                      "-c",
                                      "fast",
                                      "--max-rate=40M",
                                      "-D",
                                      to.string()};
    if (number % 2 == 1) words.insert(words.end(), {"-Ft", "-z"});
    const CommandOutput done = lab_.Run(words);
    EXPECT_EQ(done.exit_code, 0) << done.err;
    return to;
  }

  PostgresLab lab_;
  DatabaseSettings server_;
};

TEST_F(BackupBusy, EveryBackupPassesEveryLevel) {
  std::atomic<bool> stop = false;
  std::vector<fs::path> backups;
  {
    std::jthread rows([&] { WriteRows(server_, stop); });
    std::jthread files([&] { WriteFiles(server_, stop); });
    for (int number = 0; number < kBackups; ++number) backups.push_back(Take(number));
    stop = true;
  }
  EXPECT_EQ(lab_.Run({server_.bin_directory + "/pg_ctl", "-D", server_.data_directory, "-w", "stop"}).exit_code, 0);
  std::uint64_t replaced = 0;
  for (const fs::path& path : backups) {
    const backup::Verified verified = VerifyAt(path);
    EXPECT_EQ(Told(verified), "") << path;
    ASSERT_EQ(verified.report.sets.size(), 1U);
    for (int level = 0; level <= 3; ++level) {
      const backup::LevelResult& result = verified.report.sets[0].levels[static_cast<std::size_t>(level)];
      EXPECT_EQ(result.verdict, Verdict::kPass) << path << " level " << level << ": " << result.reason;
    }
    replaced += verified.report.sets[0].counts.hot_pages;
  }
  RecordProperty("pages_replaced_by_wal", static_cast<int>(replaced));
  for (const fs::path& path : {backups[0], backups[1]}) {
    auto source = backup::OpenSource({path, {}, "", nullptr});
    ASSERT_TRUE(source) << source.error().Text();
    backup::RestoreOptions options;
    options.scratch = lab_.MakeFolder("scratch");
    const auto outcome = backup::RestoreAndCheck(**source, options);
    ASSERT_TRUE(outcome) << outcome.error().Text();
    for (const backup::Finding& each : outcome->findings)
      ADD_FAILURE() << each.Number() << " " << each.object << " " << each.position << ": " << each.what;
    for (const Level level : {Level::kRestores, Level::kLogic, Level::kContent}) {
      const backup::LevelResult& result = outcome->levels[static_cast<std::size_t>(level)];
      EXPECT_EQ(result.verdict, Verdict::kPass) << path << " " << backup::ToString(level) << ": " << result.reason;
    }
  }
}

}  // namespace
}  // namespace lifeboat
