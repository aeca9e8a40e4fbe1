// The running source beside its backups, with real PostgreSQL: an archiver that fails, one that is told yes by an archive that
// keeps nothing, a slot that lost its WAL.

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <set>
#include <thread>

#include "adapters/backups/live_source.h"
#include "support/backup_files.h"
#include "support/real_postgres.h"

namespace lifeboat {
namespace {

namespace fs = std::filesystem;
using testing_support::AskServer;
using testing_support::FilesOf;
using testing_support::PostgresLab;
using testing_support::ServerOptions;
using Numbers = std::set<std::string>;

class BackupLive : public testing::Test {
 protected:
  BackupLive() {
    archive_ = lab_.MakeFolder("archive");
    ServerOptions options;
    options.more_settings = "fsync = off\narchive_mode = on\narchive_command = 'cp %p " + archive_.string() +
                            "/%f'\nmax_slot_wal_keep_size = '1MB'\nwal_keep_size = 0\nmin_wal_size = '2MB'\nmax_wal_size = '2MB'\n";
    server_ = lab_.Initialise("source", options);
    lab_.StartByAnyone(server_);
  }
  void Sql(const std::string& sql) { ASSERT_TRUE(AskServer(server_, sql)) << sql; }
  /// One more segment is there to be archived.
  void NextSegment() { Sql("create table if not exists t(i int); insert into t values (1); select pg_switch_wal()"); }
  void Until(const std::string& condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (AskServer(server_, "select " + condition).value_or("") != "t") {
      ASSERT_LT(std::chrono::steady_clock::now(), end) << condition;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
  [[nodiscard]] backup::LiveFacts Facts() const {
    const auto facts = backup::AskLive("host=" + server_.socket_directory + " port=" + std::to_string(server_.address.port) +
                                       " user=postgres dbname=postgres");
    EXPECT_TRUE(facts.ok()) << facts.error().Text();
    return *facts;
  }
  /// As the command does it: the source first, then the list of its archive.
  [[nodiscard]] std::vector<backup::Finding> Findings() const {
    const backup::LiveFacts facts = Facts();
    auto source = backup::OpenWalFolder({archive_, {}, {}, nullptr});
    EXPECT_TRUE(source.ok());
    const auto inventory = (*source)->Look();
    EXPECT_TRUE(inventory.ok()) << inventory.error().Text();
    return backup::JudgeLiveSource(facts, inventory->archives);
  }
  static Numbers NumbersOf(const std::vector<backup::Finding>& findings) {
    Numbers numbers;
    for (const backup::Finding& each : findings) numbers.insert(each.Number());
    return numbers;
  }

  PostgresLab lab_;
  DatabaseSettings server_;
  fs::path archive_;
};

TEST_F(BackupLive, AnArchiverThatGetsOnIsNoFinding) {
  NextSegment();
  Until("archived_count > 0 from pg_stat_archiver");
  EXPECT_EQ(NumbersOf(Findings()), Numbers{});
  EXPECT_EQ(Facts().segment_bytes, 1U << 20U);
  EXPECT_FALSE(Facts().last_archived.empty());
}

TEST_F(BackupLive, F46AnArchiverThatFailsIsTold) {
  NextSegment();
  Until("archived_count > 0 from pg_stat_archiver");
  Sql("alter system set archive_command = 'false'");
  Sql("select pg_reload_conf()");
  Until("current_setting('archive_command') = 'false'");
  NextSegment();
  Until("failed_count > 0 from pg_stat_archiver");
  EXPECT_EQ(NumbersOf(Findings()), Numbers{"F46"});
  EXPECT_GT(Facts().waiting, 0U);
}

TEST_F(BackupLive, F48AnArchiveThatSaysYesAndKeepsNothingIsTold) {
  NextSegment();
  Until("archived_count > 0 from pg_stat_archiver");
  const std::string before = Facts().last_archived;
  Sql("alter system set archive_command = 'true'");
  Sql("select pg_reload_conf()");
  Until("current_setting('archive_command') = 'true'");
  NextSegment();
  Until("last_archived_wal <> '" + before + "' from pg_stat_archiver");
  EXPECT_EQ(NumbersOf(Findings()), Numbers{"F48"});
}

TEST_F(BackupLive, F47ASlotThatLostItsWalIsTold) {
  Sql("select pg_create_physical_replication_slot('reader', true)");
  for (int more = 0; more < 8; ++more) NextSegment();
  Sql("checkpoint");
  Until("wal_status = 'lost' from pg_replication_slots");
  Until("not exists (select from pg_ls_archive_statusdir() where name like '%.ready') from pg_stat_archiver");
  EXPECT_EQ(NumbersOf(Findings()), Numbers{"F47"});
}

TEST_F(BackupLive, ASourceThatDoesNotAnswerIsNoFinding) {
  const auto facts = backup::AskLive("host=" + (lab_.folder() / "nowhere").string() + " port=1 user=postgres dbname=postgres");
  ASSERT_FALSE(facts.ok());
  EXPECT_EQ(facts.error().retry, Retry::kRetry);
}

}  // namespace
}  // namespace lifeboat
