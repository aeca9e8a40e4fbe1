// Index-to-heap coverage on the files of a real PostgreSQL: whatever a busy server leaves behind passes; what damages a table in
// a way that no checksum and no amcheck shows is told.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <thread>

#include "adapters/backups/coverage_check.h"
#include "adapters/backups/restore.h"
#include "support/real_postgres.h"

namespace lifeboat {
namespace {

namespace fs = std::filesystem;
using backup::CoverageOptions;
using backup::CoverageReport;
using backup::IndexOfHeap;
using backup::Verdict;
using testing_support::PostgresLab;
using testing_support::ServerOptions;

class Cluster {
 public:
  explicit Cluster(const std::string& name = "source") {
    ServerOptions options;
    options.more_settings = "fsync = off\nfull_page_writes = on\n";
    server = lab.Initialise(name, options);
    Start();
  }

  void Start() { lab.StartByAnyone(server); }
  void Stop(const std::string& mode = "fast") const {
    const CommandOutput done = lab.Run({server.bin_directory + "/pg_ctl", "-D", server.data_directory, "-w", "-m", mode, "stop"});
    ASSERT_EQ(done.exit_code, 0) << done.err;
  }
  std::string Sql(const std::string& sql, const std::string& database = "postgres", bool may_fail = false) const {
    const CommandOutput done =
        lab.Run({server.bin_directory + "/psql", "-qXAt", "-F", "|", "-v", "ON_ERROR_STOP=1", "-h", server.socket_directory, "-p",
                 std::to_string(server.address.port), "-U", "postgres", "-d", database, "-c", sql});
    EXPECT_TRUE(may_fail || done.exit_code == 0) << sql << "\n" << done.err;
    return done.out.substr(0, done.out.find_last_not_of('\n') + 1);
  }
  void AskForIndexes() {
    indexes.clear();
    for (const char* database : {"postgres", "template1"}) {
      std::istringstream rows(Sql(backup::kIndexesOfHeapsSql, database));
      for (std::string row; std::getline(rows, row);) {
        std::vector<std::string> fields;
        std::istringstream columns(row);
        for (std::string field; std::getline(columns, field, '|');) fields.push_back(field);
        ASSERT_EQ(fields.size(), 7U) << row;
        indexes.push_back({fields[0], fields[1], fields[2], fields[3], fields[4], fields[5], fields[6]});
      }
    }
  }
  [[nodiscard]] CoverageReport Check(const CoverageOptions& options = {}) const {
    auto report = backup::CheckCoverage(server.data_directory, indexes, options);
    EXPECT_TRUE(report.ok()) << report.error().Text();
    return std::move(*report);
  }
  [[nodiscard]] fs::path FileOf(const std::string& relation) const {
    for (const IndexOfHeap& each : indexes) {
      if (each.table == "public." + relation) return fs::path(server.data_directory) / each.table_path;
      if (each.index == relation) return fs::path(server.data_directory) / each.index_path;
    }
    ADD_FAILURE() << relation;
    return {};
  }

  PostgresLab lab;
  DatabaseSettings server;
  std::vector<IndexOfHeap> indexes;
  std::uint64_t orders = 0;  ///< rows of that table
};

std::string Told(const CoverageReport& report) {
  std::string text;
  for (const auto& each : report.findings)
    text += each.Number() + " " + each.object + " " + each.position + ": " + each.what + "\n";
  return text;
}

/// All that PostgreSQL does to line pointers and leaves: versions within a page, deduplicated keys, dead rows whose index entries
/// are not removed yet, freed and used again, pages of indexes deleted, tables cut, aborted and two-phase work, TOAST, a
/// partial index, kinds of indexes that are not covered, an unlogged table.
constexpr const char* kBusyLife[] = {
    "create table orders(i int primary key, kind int, note text, counter int) with (fillfactor = 70)",
    "insert into orders select g, g % 7, repeat(md5(g::text), 2), 0 from generate_series(1, 40000) g",
    "create index orders_kind on orders(kind)",
    "create index orders_some on orders(note) where i % 3 = 0",
    "create index orders_hash on orders using hash(i)",
    "create table big(i int primary key, body text)",
    "alter table big alter body set storage external",
    "insert into big select g, repeat(md5(g::text), 200) from generate_series(1, 300) g",
    "create unlogged table scratch as select i, kind from orders",
    "create index scratch_i on scratch(i)",
    "update orders set counter = counter + 1 where i % 5 = 0",
    "update orders set counter = counter + 1 where i % 5 = 0",
    "vacuum orders",
    "delete from orders where i between 9000 and 21000",
    "vacuum orders",
    "delete from orders where i > 38000",
    "vacuum (truncate on) orders",
    "insert into orders select g, g % 7, 'again', 0 from generate_series(9000, 12000) g",
    "delete from orders where i % 11 = 0",
    "vacuum (index_cleanup off) orders",
    "begin; insert into orders select g, 1, 'never', 0 from generate_series(50000, 50500) g; rollback",
    "insert into orders select g, 3, 'twice', 0 from generate_series(1, 300) g on conflict do nothing",
    "update big set body = repeat('y', 6000) where i % 4 = 0",
    "delete from big where i % 5 = 0",
    "vacuum big",
    "reindex index orders_some",
    "cluster big using big_pkey",
    "update orders set kind = kind + 1 where i % 13 = 0",
};

Cluster& Busy() {
  static Cluster cluster;
  static const bool made = [] {
    for (const char* each : kBusyLife) {
      const std::string sql = each;
      // VACUUM and CLUSTER run alone; several statements in one string would be one transaction.
      cluster.Sql(sql);
    }
    cluster.AskForIndexes();
    cluster.orders = std::stoul(cluster.Sql("select count(*) from orders"));
    cluster.Stop();
    return true;
  }();
  (void)made;
  return cluster;
}

/// Damages a file for the length of a test.
class Damage {
 public:
  Damage(fs::path file, const std::function<void(const fs::path&)>& how) : file_(std::move(file)), kept_(file_.string() + ".kept") {
    fs::rename(file_, kept_);  // the original comes back as it was, its owner too
    fs::copy_file(kept_, file_);
    how(file_);
  }
  ~Damage() { fs::rename(kept_, file_); }
  Damage(const Damage&) = delete;
  Damage& operator=(const Damage&) = delete;

 private:
  fs::path file_;
  fs::path kept_;
};

void ZeroBlock(const fs::path& file, int block) {
  std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
  bytes.seekp(block * 8192);
  bytes << std::string(8192, '\0');
}

TEST(BackupCoverage, WhatABusyServerLeavesBehindPasses) {
  const CoverageReport report = Busy().Check();
  EXPECT_EQ(Told(report), "");
  EXPECT_EQ(report.verdict, Verdict::kPass) << report.reason;
  EXPECT_GT(report.tables, 50U) << "catalogs and TOAST tables too";
  EXPECT_EQ(report.most_stretches, 1U);
  EXPECT_EQ(report.uncovered.at("hash"), 1U);
}

TEST(BackupCoverage, EntriesInPostingListsAreLookedAtOneByOne) {
  Cluster& cluster = Busy();
  ASSERT_LT(fs::file_size(cluster.FileOf("orders_kind")), fs::file_size(cluster.FileOf("orders_pkey")) / 2)
      << "a few keys, many rows each";
  std::vector<IndexOfHeap> one;
  std::copy_if(cluster.indexes.begin(), cluster.indexes.end(), std::back_inserter(one),
               [](const IndexOfHeap& each) { return each.index == "orders_kind"; });
  const auto report = backup::CheckCoverage(cluster.server.data_directory, one, {});
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->verdict, Verdict::kPass);
  EXPECT_EQ(report->indexes, 1U);
  EXPECT_GE(report->entries, cluster.orders) << "each row, and dead ones";
}

TEST(BackupCoverage, ManyStretchesAndManyThreadsSayTheSame) {
  CoverageOptions options;
  const CoverageReport one = Busy().Check(options);
  options.threads = 7;
  options.memory = 1;
  const CoverageReport other = Busy().Check(options);
  EXPECT_EQ(other.verdict, Verdict::kPass) << Told(other);
  EXPECT_EQ(other.entries, one.entries);
  EXPECT_EQ(other.tables, one.tables);
  EXPECT_GT(other.most_stretches, 2U);
  EXPECT_EQ(one.most_stretches, 1U);
}

TEST(BackupCoverage, AZeroedPageIsTold) {
  const Damage damage(Busy().FileOf("orders"), [](const fs::path& file) { ZeroBlock(file, 100); });
  const CoverageReport report = Busy().Check();
  EXPECT_EQ(report.verdict, Verdict::kFail);
  ASSERT_EQ(report.findings.size(), 1U) << Told(report);
  EXPECT_EQ(report.findings[0].Number(), "F25");
  EXPECT_EQ(report.findings[0].position, "block 100");
}

TEST(BackupCoverage, ATableThatWasCutOffIsTold) {
  const Damage damage(Busy().FileOf("orders"), [](const fs::path& file) { fs::resize_file(file, 8192 * 60); });
  const CoverageReport report = Busy().Check();
  ASSERT_EQ(report.findings.size(), 1U) << Told(report);
  EXPECT_EQ(report.findings[0].Number(), "F26");
  EXPECT_EQ(report.findings[0].position, "block 60");
}

TEST(BackupCoverage, ATableThatWasEmptiedOrIsGoneIsTold) {
  const std::function<void(const fs::path&)> ways[] = {[](const fs::path& file) { fs::resize_file(file, 0); },
                                                       [](const fs::path& file) { fs::remove(file); }};
  for (const auto& way : ways) {
    const Damage damage(Busy().FileOf("big"), way);
    const CoverageReport report = Busy().Check();
    ASSERT_EQ(report.findings.size(), 1U) << Told(report);
    EXPECT_EQ(report.findings[0].Number(), "F26");
  }
}

TEST(BackupCoverage, AnEmptiedIndexIsTold) {
  const Damage damage(Busy().FileOf("orders_some"), [](const fs::path& file) { fs::resize_file(file, 0); });
  const CoverageReport report = Busy().Check();
  ASSERT_EQ(report.findings.size(), 1U) << Told(report);
  EXPECT_EQ(report.findings[0].Number(), "F26");
}

TEST(BackupCoverage, AFileOfAnotherRelationInATablesPlaceIsTold) {
  const fs::path index = Busy().FileOf("orders_pkey");
  const Damage damage(Busy().FileOf("orders"),
                      [&](const fs::path& file) { fs::copy_file(index, file, fs::copy_options::overwrite_existing); });
  const CoverageReport report = Busy().Check();
  EXPECT_EQ(report.verdict, Verdict::kFail);
  EXPECT_NE(Told(report).find("F23"), std::string::npos) << Told(report);
}

TEST(BackupCoverage, APathThatLeavesTheDataDirectoryIsRefused) {
  std::vector<IndexOfHeap> indexes = {{"postgres", "public.t", "i", "heap", "btree", "../../etc/passwd", "base/5/16384"}};
  EXPECT_FALSE(backup::CheckCoverage(Busy().server.data_directory, indexes, {}).ok());
}

TEST(BackupCoverage, CancelledIsNoPass) {
  const std::atomic<bool> cancel = true;
  CoverageOptions options;
  options.cancel = &cancel;
  const CoverageReport report = Busy().Check(options);
  EXPECT_EQ(report.verdict, Verdict::kNotChecked);
  EXPECT_EQ(report.reason, "cancelled");
}

TEST(BackupCoverage, ALostWriteIsTold) {
  Cluster cluster;
  cluster.Sql("create table t(i int primary key, v text)");
  cluster.Sql("insert into t select g, md5(g::text) from generate_series(1, 30000) g");
  cluster.AskForIndexes();
  cluster.Stop();
  const fs::path heap = cluster.FileOf("t");
  const fs::path index = cluster.FileOf("t_pkey");
  fs::copy_file(heap, heap.string() + ".old");
  fs::copy_file(index, index.string() + ".old");
  cluster.Start();
  cluster.Sql("delete from t where i % 2 = 0");
  cluster.Sql("vacuum t");
  cluster.Sql("insert into t select g, md5(g::text) from generate_series(30001, 60000) g");
  cluster.Stop();
  EXPECT_EQ(cluster.Check().verdict, Verdict::kPass);
  {
    // Old and new line pointers are much the same here: what is missing lies behind the old copy's end.
    const Damage damage(
        heap, [&](const fs::path& file) { fs::copy_file(heap.string() + ".old", file, fs::copy_options::overwrite_existing); });
    const CoverageReport report = cluster.Check();
    ASSERT_EQ(report.findings.size(), 1U) << Told(report);
    EXPECT_TRUE(report.findings[0].Number() == "F26" || report.findings[0].Number() == "F28") << Told(report);
  }
  cluster.Start();
  cluster.Sql("delete from t where i < 50000");
  cluster.Sql("vacuum t");
  cluster.Stop();
  {
    const Damage damage(
        index, [&](const fs::path& file) { fs::copy_file(index.string() + ".old", file, fs::copy_options::overwrite_existing); });
    const CoverageReport report = cluster.Check();
    ASSERT_EQ(report.findings.size(), 1U) << Told(report);
    EXPECT_EQ(report.findings[0].Number(), "F28") << "the index names rows that were freed since";
  }
  fs::copy_file(heap, heap.string() + ".thin");
  cluster.Start();
  cluster.Sql("insert into t select g, md5(g::text) from generate_series(1, 20000) g");
  cluster.Stop();
  const Damage damage(
      heap, [&](const fs::path& file) { fs::copy_file(heap.string() + ".thin", file, fs::copy_options::overwrite_existing); });
  const CoverageReport report = cluster.Check();
  ASSERT_EQ(report.findings.size(), 1U) << Told(report);
  EXPECT_EQ(report.findings[0].Number(), "F28") << "the table lacks rows in pages that it has";
  EXPECT_EQ(report.findings[0].count, 20000U);
}

TEST(BackupCoverage, FilesOfManyTimesAreNotJudged) {
  Cluster cluster;
  cluster.Sql("create table t(i int primary key)");
  cluster.AskForIndexes();
  EXPECT_EQ(cluster.Check().verdict, Verdict::kNotChecked) << "it runs";
  const fs::path copy = cluster.lab.folder() / "copy";
  const CommandOutput done =
      cluster.lab.Run({cluster.server.bin_directory + "/pg_basebackup", "-h", cluster.server.socket_directory, "-p",
                       std::to_string(cluster.server.address.port), "-U", "postgres", "-c", "fast", "-D", copy.string()});
  ASSERT_EQ(done.exit_code, 0) << done.err;
  const auto hot = backup::CheckCoverage(copy, cluster.indexes, {});
  ASSERT_TRUE(hot.ok());
  EXPECT_EQ(hot->verdict, Verdict::kNotChecked);
  EXPECT_NE(hot->reason.find("before recovery"), std::string::npos) << hot->reason;
  cluster.Stop("immediate");
  EXPECT_EQ(cluster.Check().verdict, Verdict::kNotChecked) << "it was not shut down";
  std::ofstream(fs::path(cluster.server.data_directory) / "standby.signal").flush();
  cluster.Start();
  cluster.Stop();
  EXPECT_EQ(cluster.Check().verdict, Verdict::kNotChecked) << "a standby";
  fs::remove(fs::path(cluster.server.data_directory) / "standby.signal");
  cluster.Start();
  cluster.Stop();
  EXPECT_EQ(cluster.Check().verdict, Verdict::kPass);
  EXPECT_EQ(backup::CheckCoverage(cluster.server.data_directory, {}, {})->verdict, Verdict::kNotChecked) << "nothing was looked at";
}

TEST(BackupCoverage, AClusterThatRecoveredFromACrashAmidWritesPasses) {
  Cluster cluster;
  cluster.Sql("create table t(i int primary key, kind int, v text)");
  cluster.Sql("create index t_kind on t(kind)");
  cluster.Sql("insert into t select g, g % 5, md5(g::text) from generate_series(1, 5000) g");
  for (int crash = 0; crash < 3; ++crash) {
    std::atomic<bool> stop = false;
    std::atomic<int> rounds = 0;
    const auto write = [&](int shift) {
      for (int round = 0; !stop; ++round, ++rounds) {
        const std::string low = std::to_string((round * 311 + shift) % 5000);
        cluster.Sql("update t set v = v || 'x' where i between " + low + " and " + low + " + 300", "postgres", true);
        cluster.Sql("delete from t where i between " + low + " and " + low + " + 50", "postgres", true);
        if (round % 2 == 0) cluster.Sql("vacuum t", "postgres", true);
        cluster.Sql("insert into t select g, g % 5, 'new' from generate_series(1, 5000) g on conflict do nothing", "postgres",
                    true);
      }
    };
    std::jthread one(write, 0);
    std::jthread two(write, 2500);
    while (rounds < 4) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    cluster.Stop("immediate");
    stop = true;
    one.join();
    two.join();
    cluster.Start();
    cluster.AskForIndexes();
    cluster.Stop();
    const CoverageReport report = cluster.Check();
    EXPECT_EQ(Told(report), "");
    EXPECT_EQ(report.verdict, Verdict::kPass) << report.reason;
    cluster.Start();
  }
}

/// A restore of the one base backup in `folder`, with all checks.
backup::RestoreOutcome Restored(const Cluster& cluster, const fs::path& folder) {
  const auto source = backup::OpenSource({folder, {}, "", nullptr});
  EXPECT_TRUE(source.ok()) << source.error().Text();
  backup::RestoreOptions options;
  options.scratch = cluster.lab.folder();
  options.tier = backup::Tier::kQuick;
  options.allow_unguarded = true;
  auto outcome = backup::RestoreAndCheck(**source, options);
  EXPECT_TRUE(outcome.ok()) << outcome.error().Text();
  return std::move(*outcome);
}

TEST(BackupCoverage, ARestoreTellsWhatNoQueryOfItSees) {
  Cluster cluster;
  // No VACUUM: counting by the index looks into the table for each row, and so finds as few as counting without it.
  cluster.Sql("create table t(i int primary key, v text)");
  cluster.Sql("insert into t select g, md5(g::text) from generate_series(1, 20000) g");
  cluster.AskForIndexes();
  const auto back_up = [&](const char* name) {
    const fs::path to = cluster.lab.folder() / name;
    const CommandOutput done =
        cluster.lab.Run({cluster.server.bin_directory + "/pg_basebackup", "-h", cluster.server.socket_directory, "-p",
                         std::to_string(cluster.server.address.port), "-U", "postgres", "-c", "fast", "-D", to.string()});
    EXPECT_EQ(done.exit_code, 0) << done.err;
    return to;
  };
  const backup::RestoreOutcome good = Restored(cluster, back_up("good"));
  EXPECT_FALSE(good.HasFault()) << ToJson(good).dump(2);
  EXPECT_EQ(good.levels[6].verdict, Verdict::kPass) << good.levels[6].reason;
  EXPECT_EQ(good.coverage["verdict"], "pass");
  cluster.Stop();
  ZeroBlock(cluster.FileOf("t"), 50);
  cluster.Start();
  const backup::RestoreOutcome bad = Restored(cluster, back_up("bad"));
  EXPECT_EQ(bad.levels[4].verdict, Verdict::kPass) << "it starts";
  EXPECT_EQ(bad.levels[6].verdict, Verdict::kFail);
  ASSERT_EQ(bad.findings.size(), 1U) << ToJson(bad).dump(2);
  EXPECT_EQ(bad.findings[0].Number(), "F25");
  EXPECT_EQ(bad.findings[0].object, "postgres.public.t");
  EXPECT_EQ(bad.findings[0].position, "block 50");
}

}  // namespace
}  // namespace lifeboat
