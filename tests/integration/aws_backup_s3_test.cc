// A pgBackRest repository in S3: as good, and as bad, as the same files in a folder; and what does not answer is no verdict.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>

#include "adapters/backups/verify.h"
#include "cli/backup_s3.h"
#include "support/aws_backup_bucket.h"
#include "support/backup_files.h"
#include "support/real_postgres.h"

namespace lifeboat::testing {
namespace {

namespace fs = std::filesystem;
using backup::Level;
using backup::Verdict;
using testing_support::BackupCopy;
using testing_support::CutFile;
using testing_support::FilesOf;
using testing_support::FlipBit;
using testing_support::NumbersOf;
using testing_support::PostgresLab;
using testing_support::ServerOptions;
using testing_support::Slurp;
using testing_support::Told;
using testing_support::VerifyAt;

/// One full backup and its WAL in a repository of pgBackRest, and an S3 to put copies of it into.
struct World {
  PostgresLab lab;
  fs::path repository = lab.MakeFolder("repository");
  BackupBucket bucket{SharedAws(AwsEmulator::kMoto)};

  World() { MakeRepository(); }

  void MakeRepository() {
    const fs::path config = lab.MakeFolder("config") / "pgbackrest.conf";
    const std::string tool = "pgbackrest --config=" + config.string() + " --stanza=main ";
    ServerOptions options;
    options.more_settings = "archive_mode = on\narchive_command = '" + tool + "archive-push %p'\nfsync = off\n";
    const DatabaseSettings server = lab.Initialise("source", options);
    std::ofstream(config) << "[global]\nrepo1-path=" << repository.string()
                          << "\nrepo1-retention-full=9\nrepo1-bundle=y\ncompress-type=lz4\n"
                          << "log-path=" << lab.MakeFolder("log").string() << "\nlock-path=" << lab.MakeFolder("lock").string()
                          << "\nlog-level-file=off\nlog-level-console=warn\nstart-fast=y\n[main]\npg1-path="
                          << server.data_directory << "\npg1-port=" << server.address.port
                          << "\npg1-socket-path=" << server.socket_directory << "\npg1-user=postgres\n";
    fs::permissions(config, fs::perms::owner_read | fs::perms::group_read | fs::perms::others_read);
    lab.StartByAnyone(server);
    for (const char* word : {"stanza-create", "backup", "check"}) {
      const auto done = lab.Run({"pgbackrest", "--config=" + config.string(), "--stanza=main", word});
      EXPECT_EQ(done.exit_code, 0) << word << "\n" << done.out << done.err;
    }
  }
};

World& TheWorld() {
  static World world;
  return world;
}

Result<std::unique_ptr<backup::Source>> OpenAt(const std::string& url, const std::string& endpoint) {
  auto blobs = OpenS3({url, BackupBucket::kRegion, endpoint, "", "", 2});
  if (!blobs) return blobs.error();
  backup::SourceOptions options;
  options.store = std::move(*blobs);
  return backup::OpenSource(options);
}

backup::Verified VerifyS3(const std::string& url) {
  auto source = OpenAt(url, SharedAws(AwsEmulator::kMoto).Url());
  EXPECT_TRUE(source.ok()) << (source ? "" : source.error().Text());
  if (!source) return {};
  auto verified = backup::Verify(**source, {});
  EXPECT_TRUE(verified.ok()) << (verified ? "" : verified.error().Text());
  const auto trouble = backup::TroubleOf(**source);
  EXPECT_FALSE(trouble.has_value()) << trouble->Text();
  return verified ? std::move(*verified) : backup::Verified{};
}

TEST(BackupInS3, AGoodRepositoryPassesToThePagesAndReadsAsMuchAsInAFolder) {
  const auto there = VerifyS3(TheWorld().bucket.Upload(TheWorld().repository));
  const auto here = VerifyAt(TheWorld().repository);
  EXPECT_EQ(Told(there), "");
  ASSERT_EQ(there.report.sets.size(), 1U);
  for (int level = 0; level <= static_cast<int>(Level::kPages); ++level) {
    EXPECT_EQ(there.report.sets[0].levels[static_cast<std::size_t>(level)].verdict, Verdict::kPass) << level;
  }
  ASSERT_EQ(here.report.sets.size(), 1U);
  EXPECT_EQ(there.report.sets[0].counts.files, here.report.sets[0].counts.files);
  EXPECT_EQ(there.report.sets[0].counts.bytes, here.report.sets[0].counts.bytes);
  EXPECT_GT(there.report.wal_counts.wal_records, 0U);
  EXPECT_EQ(there.report.wal_counts.wal_records, here.report.wal_counts.wal_records);
}

TEST(BackupInS3, DamageHasTheNumberThatItHasInAFolder) {
  const auto wal = [](const fs::path& folder) {
    return FilesOf(folder / "archive", [](const std::string& path) { return path.ends_with(".lz4"); });
  };
  /// The segment at which the backup began: its history file bears that name.
  const auto needed = [&](const fs::path& folder) {
    const fs::path label = FilesOf(folder / "archive", [](const std::string& path) { return path.ends_with(".backup"); }).at(0);
    const std::string segment = label.filename().string().substr(0, 24);
    return FilesOf(folder / "archive", [&](const std::string& path) { return path.find("/" + segment + "-") != std::string::npos; })
        .at(0);
  };
  const auto bundle = [](const fs::path& folder) {
    const auto files =
        FilesOf(folder / "backup", [](const std::string& path) { return path.find("/bundle/") != std::string::npos; });
    return *std::max_element(files.begin(), files.end(),
                             [](const auto& a, const auto& b) { return fs::file_size(a) < fs::file_size(b); });
  };
  const std::vector<std::pair<std::string, std::function<void(const fs::path&)>>> harms = {
      {"F12", [&](const fs::path& at) { fs::remove(needed(at)); }},
      {"F09", [&](const fs::path& at) { FlipBit(bundle(at)); }},
      {"F08", [&](const fs::path& at) { CutFile(bundle(at), fs::file_size(bundle(at)) - 1); }},
      {"F10", [&](const fs::path& at) { fs::remove(bundle(at)); }},
      {"F14", [&](const fs::path& at) { CutFile(wal(at).back(), fs::file_size(wal(at).back()) / 2); }},
      {"F05", [&](const fs::path& at) { fs::remove(at / "backup/main/backup.info.copy"); }},
  };
  const fs::path& good = TheWorld().repository;
  const std::string url = TheWorld().bucket.Upload(good);
  for (const auto& [number, harm] : harms) {
    const BackupCopy copy(good);
    harm(copy.folder());
    TheWorld().bucket.Change(url, good, copy.folder());
    const auto there = VerifyS3(url);
    const auto here = VerifyAt(copy.folder());
    EXPECT_TRUE(NumbersOf(there).count(number) > 0) << number << " in:\n" << Told(there);
    EXPECT_EQ(Told(there), Told(here)) << number;
    TheWorld().bucket.Change(url, copy.folder(), good);
  }
}

TEST(BackupInS3, AnObjectThatIsExchangedBehindTheListIsTroubleAndNoVerdict) {
  const std::string url = TheWorld().bucket.Upload(TheWorld().repository);
  auto source = OpenAt(url, SharedAws(AwsEmulator::kMoto).Url());
  ASSERT_TRUE(source.ok()) << source.error().Text();
  const auto wal = FilesOf(TheWorld().repository / "archive", [](const std::string& path) { return path.ends_with(".lz4"); });
  TheWorld().bucket.Put(url, wal.front().lexically_relative(TheWorld().repository).string(), "another");
  (void)backup::Verify(**source, {});
  const auto trouble = backup::TroubleOf(**source);
  ASSERT_TRUE(trouble.has_value());
  EXPECT_NE(trouble->message.find("exchanged"), std::string::npos) << trouble->message;
}

TEST(BackupInS3, WhatDoesNotAnswerOrRefusesIsAnErrorAndNeverARepository) {
  const auto silent = OpenAt("s3://lifeboat-backups/repository/1", "http://127.0.0.1:1");
  ASSERT_FALSE(silent.ok());
  EXPECT_NE(silent.error().message.find("cannot list"), std::string::npos) << silent.error().message;
  EXPECT_FALSE(OpenAt("s3://no-such-bucket/repository", SharedAws(AwsEmulator::kMoto).Url()).ok());
  EXPECT_FALSE(OpenAt("s3://lifeboat-backups/nothing-here", SharedAws(AwsEmulator::kMoto).Url()).ok());
}

TEST(BackupInS3, AStoreThatRefusesOrBreaksOffInTheMiddleIsTroubleAndNoVerdict) {
  const std::string url = TheWorld().bucket.Upload(TheWorld().repository);
  AwsRoad road(SharedAws(AwsEmulator::kMoto));
  for (const Json& fault : {Json{{"do", "error"}, {"service", "s3"}, {"status", 403}, {"code", "AccessDenied"}, {"message", "no"}},
                            Json{{"do", "truncate"}, {"service", "s3"}, {"path", ".*/bundle/.*"}}}) {
    auto source = OpenAt(url, road.Url());
    ASSERT_TRUE(source.ok()) << source.error().Text();
    road.Faults(Json::array({fault}));
    (void)backup::Verify(**source, {});
    EXPECT_TRUE(backup::TroubleOf(**source).has_value()) << fault.dump();
    road.Clear();
  }
}

}  // namespace
}  // namespace lifeboat::testing
