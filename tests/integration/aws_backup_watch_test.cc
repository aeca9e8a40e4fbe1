// A source in S3 as lifeboat.yaml describes it: by hand and by the child that an agent starts; what the bucket itself does to
// backups (F40 to F44), each told by its number alone; and a store that does not answer, which is no verdict.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "adapters/backups/blobs.h"
#include "adapters/backups/verify.h"
#include "adapters/system/command.h"
#include "cli/backup_runner.h"
#include "cli/backup_s3.h"
#include "support/aws_backup_bucket.h"
#include "support/backup_files.h"
#include "support/real_postgres.h"
#include "support/run_task.h"

namespace lifeboat::testing {
namespace {

namespace fs = std::filesystem;
using testing_support::PostgresLab;

constexpr const char* kOther = "eu-central-1";

struct ProgramEnd {
  int exit_code = -1;
  std::string out;
  std::string err;
  [[nodiscard]] std::string Said() const { return out + err; }
  [[nodiscard]] Json AsJson() const { return Json::parse(out, nullptr, false); }
};

ProgramEnd RunLifeboat(std::vector<std::string> words) {
  boost::asio::io_context context;
  words.insert(words.begin(), LIFEBOAT_PROGRAM);
  const auto wrapped = [](boost::asio::any_io_executor executor,
                          std::vector<std::string> argv) -> Task<std::optional<Result<CommandOutput>>> {
    co_return co_await RunCommand(executor, std::move(argv), CommandOptions(), std::chrono::minutes(5));
  };
  auto outcome = Start(context, wrapped(context.get_executor(), std::move(words)));
  const auto done = *Finish(context, outcome);
  EXPECT_TRUE(done.ok()) << (done.ok() ? "" : done.error().Text());
  return done.ok() ? ProgramEnd{done->exit_code, done->out, done->err} : ProgramEnd();
}

/// A backup in tar files with its WAL, and buckets in two regions: plain ones, and one with versions and Object Lock.
struct World {
  PostgresLab lab;
  fs::path backups = lab.MakeFolder("backups");
  BackupBucket bucket{SharedAws(AwsEmulator::kMoto)};
  BackupBucket copy{SharedAws(AwsEmulator::kMoto), "lifeboat-backups-copy", kOther};
  AwsRoad road{SharedAws(AwsEmulator::kMoto)};
  std::string url;

  World() {
    ServerOptionsAndBackup();
    url = bucket.Upload(backups);
  }

 private:
  void ServerOptionsAndBackup() {
    testing_support::ServerOptions options;
    options.more_settings = "fsync = off\n";
    const DatabaseSettings server = lab.Initialise("source", options);
    lab.StartByAnyone(server);
    const auto made =
        lab.Run({server.bin_directory + "/pg_basebackup", "-h", server.socket_directory, "-p", std::to_string(server.address.port),
                 "-U", "postgres", "-c", "fast", "-Ft", "-z", "-X", "stream", "-D", (backups / "monday").string()});
    EXPECT_EQ(made.exit_code, 0) << made.err;
  }
};

World& TheWorld() {
  static World world;
  return world;
}

/// A folder that is removed at the end.
class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / ("lifeboat-source-" + RandomHex(6))) { fs::create_directory(path_); }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

/// lifeboat.yaml with one source, "nightly", and the state of its region, in a folder of their own.
class Described {
 public:
  /// @param more  lines of the source beside name, region and where it lies
  Described(const std::string& url, const std::string& endpoint, const std::string& more) {
    fs::create_directory(folder_.path() / "state");
    fs::create_directory(folder_.path() / "scratch");
    fs::permissions(folder_.path() / "scratch", fs::perms::all);
    std::ofstream(config()) << "service: orders\nobjectives: {rto: 5s, rpo: 4s}\nstore: {host: eu-west-1}\nregions:\n"
                            << Region("us-east-1", "127.77.1.1", folder_.path() / "state")
                            << Region("us-west-2", "127.77.2.1", "/srv/west")
                            << "  - {name: eu-west-1, kind: witness, agent: \"127.77.3.1:7400\", state_directory: /srv/witness}\n"
                            << "first_primary: us-east-1\ndns: {name: orders-db.example.net, zone: example.net., server: "
                               "\"127.77.3.1:53\", key_name: lifeboat, key_file: /etc/dns.key}\ntoken_file: /etc/lifeboat/token\n"
                            << "backups:\n  - name: nightly\n    region: us-east-1\n    path: " << url
                            << "\n    s3_region: " << BackupBucket::kRegion << "\n    s3_endpoint: " << endpoint
                            << "\n    schedule: {every: 1d, level: 2}\n"
                            << "    scratch: {folder: " << (folder_.path() / "scratch").string() << "}\n"
                            << more;
  }
  [[nodiscard]] std::string config() const { return (folder_.path() / "lifeboat.yaml").string(); }
  [[nodiscard]] fs::path scratch() const { return folder_.path() / "scratch"; }

  [[nodiscard]] ProgramEnd Verify(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> words = {"backup", "verify", "--json", "--source", "nightly", "--config", config(), "--level", "2"};
    words.insert(words.end(), more.begin(), more.end());
    return RunLifeboat(std::move(words));
  }

 private:
  static std::string Region(const std::string& name, const std::string& address, const fs::path& state) {
    return "  - {name: " + name + ", agent: \"" + address + ":7400\", state_directory: " + state.string() +
           ", database: {address: \"" + address + ":5432\", data_directory: /pg/" + name + ", socket_directory: /run/" + name +
           "}}\n";
  }
  Folder folder_;
};

/// Numbers of faults in a report of verify; notes are left out.
std::set<std::string> FaultsIn(const Json& report) {
  std::set<std::string> numbers;
  for (const Json& each : MemberAt(report, "findings")) {
    if (TextAt(each, "severity") == "fault") numbers.insert(TextAt(each, "fault"));
  }
  return numbers;
}
using Numbers = std::set<std::string>;

/// Lists tell whole seconds: until what was put there is older than now by one.
void WaitUntilItIsOlderThanNow() {
  const std::int64_t second = ReadWallClock().ns / 1000000000;
  while (ReadWallClock().ns / 1000000000 <= second + 1) std::this_thread::sleep_for(std::chrono::milliseconds(20));
}

Result<BackupAnswer> RunChild(const Described& described, BackupTask task) {
  boost::asio::io_context context;
  ChildBackupRunner runner(context.get_executor(), LIFEBOAT_PROGRAM, described.config());
  const auto wrapped = [](ChildBackupRunner* child, BackupTask what) -> Task<std::optional<Result<BackupAnswer>>> {
    co_return co_await child->Run(std::move(what));
  };
  auto outcome = Start(context, wrapped(&runner, std::move(task)));
  return *Finish(context, outcome);
}

TEST(BackupSourceInS3, TheAgentsChildVerifiesItAndRemembersAndRestoresIt) {
  World& world = TheWorld();
  const Described described(world.url, SharedAws(AwsEmulator::kMoto).Url(), "    objectives: {backup_age: 1d, verified_age: 2d}\n");
  const auto verified = RunChild(described, {"nightly", 2, std::chrono::hours(1)});
  ASSERT_TRUE(verified.ok()) << verified.error().Text();
  EXPECT_EQ(verified->exit_code, 0) << verified->report.dump(1);
  EXPECT_EQ(FaultsIn(verified->report), Numbers{});
  // What was verified is remembered: a look at the lists alone knows of it.
  const ProgramEnd listed = RunLifeboat({"backup", "list", "--json", "--source", "nightly", "--config", described.config()});
  EXPECT_EQ(listed.exit_code, 0) << listed.Said();
  EXPECT_EQ(TextAt(MemberAt(MemberAt(listed.AsJson(), "freshness"), "verified"), "label"), "monday") << listed.Said();
  const auto restored = RunChild(described, {"nightly", 6, std::chrono::hours(1)});
  ASSERT_TRUE(restored.ok()) << restored.error().Text();
  EXPECT_EQ(restored->exit_code, 0) << restored->report.dump(1);
  EXPECT_EQ(FaultsIn(restored->report), Numbers{});
  EXPECT_TRUE(fs::is_empty(described.scratch()));
}

TEST(BackupSourceInS3, TroubleWithTheStoreIsAnErrorAndNeverAVerdict) {
  World& world = TheWorld();
  const Described described(world.url, world.road.Url(), "");
  const std::string object = "/monday/base\\.tar\\.gz";  // the list and the manifest come, the backup's bytes do not
  for (const Json& fault : {Json{{"do", "reset"}}, Json{{"do", "throttle"}}, Json{{"do", "truncate"}},
                            Json{{"do", "error"}, {"status", 403}, {"code", "ExpiredToken"}},
                            Json{{"do", "error"}, {"status", 500}, {"code", "InternalError"}}}) {
    Json here = fault;
    here["service"] = "s3";
    here["path"] = object;
    world.road.Faults(Json::array({here}));
    const ProgramEnd end = described.Verify();
    world.road.Clear();
    EXPECT_EQ(end.exit_code, 1) << fault.dump() << end.Said();
    EXPECT_FALSE(end.AsJson().contains("sets")) << fault.dump() << end.Said();
    EXPECT_NE(end.Said().find("nothing can be said"), std::string::npos) << fault.dump() << end.Said();
    EXPECT_EQ(end.Said().find(kAwsSecretKey), std::string::npos);
  }
  const ProgramEnd good = described.Verify();
  EXPECT_EQ(good.exit_code, 0) << good.Said();
}

TEST(BackupSourceInS3, AStoreThatFallsSilentIsTroubleOnceItsTimeIsUp) {
  World& world = TheWorld();
  S3Place place{world.url, BackupBucket::kRegion, world.road.Url(), "", "", 2, std::chrono::seconds(2)};
  const auto store = OpenS3(place);
  ASSERT_TRUE(store.ok()) << store.error().Text();
  backup::SourceOptions options;
  options.store = *store;
  const auto source = backup::OpenSource(options);
  ASSERT_TRUE(source.ok()) << source.error().Text();
  world.road.Faults(Json::array({{{"do", "silent"}, {"service", "s3"}, {"path", "/monday/base\\.tar\\.gz"}}}));
  (void)backup::Verify(**source, {});
  world.road.Clear();
  EXPECT_TRUE(backup::TroubleOf(**source).has_value());
}

std::string ReplicaLines(const std::string& url, const std::string& endpoint) {
  return "    replica: {path: \"" + url + "\", s3_region: " + kOther + ", s3_endpoint: \"" + endpoint + "\", lag: 1ms}\n";
}

TEST(BackupFaultsOfABucket, F40WhatIsNotInTheOtherRegionsBucket) {
  World& world = TheWorld();
  const std::string whole = world.copy.Upload(world.backups);
  const std::string lacking = world.copy.Upload(world.backups);
  world.copy.Remove(lacking, "monday/pg_wal.tar.gz");
  WaitUntilItIsOlderThanNow();
  const std::string endpoint = SharedAws(AwsEmulator::kMoto).Url();
  const ProgramEnd good = Described(world.url, endpoint, ReplicaLines(whole, endpoint)).Verify();
  EXPECT_EQ(FaultsIn(good.AsJson()), Numbers{}) << good.Said();
  EXPECT_EQ(good.exit_code, 0) << good.Said();
  const ProgramEnd bad = Described(world.url, endpoint, ReplicaLines(lacking, endpoint)).Verify();
  EXPECT_EQ(FaultsIn(bad.AsJson()), Numbers{"F40"}) << bad.Said();
  EXPECT_EQ(bad.exit_code, 1);
  EXPECT_NE(bad.Said().find("monday/pg_wal.tar.gz"), std::string::npos);
  EXPECT_NE(bad.Said().find("no rule for copying"), std::string::npos) << bad.Said();
  // A copy that cannot be looked at accuses nobody, and keeps no promise.
  const ProgramEnd blind = Described(world.url, endpoint, ReplicaLines("s3://lifeboat-no-such-bucket/1", endpoint)).Verify();
  EXPECT_EQ(FaultsIn(blind.AsJson()), Numbers{}) << blind.Said();
  EXPECT_EQ(blind.exit_code, 4) << blind.Said();
}

TEST(BackupFaultsOfABucket, F41WhatTheStoreSaysItCouldNotCopy) {
  World& world = TheWorld();
  const std::string lacking = world.copy.Upload(world.backups);
  world.copy.Remove(lacking, "monday/base.tar.gz");
  WaitUntilItIsOlderThanNow();
  // No emulator copies between buckets: the road says what S3 says of an object whose copying failed.
  world.road.Faults(Json::array(
      {{{"do", "header"}, {"service", "s3"}, {"path", "base\\.tar\\.gz"}, {"headers", {{"x-amz-replication-status", "FAILED"}}}}}));
  const ProgramEnd end =
      Described(world.url, world.road.Url(), ReplicaLines(lacking, SharedAws(AwsEmulator::kMoto).Url())).Verify();
  world.road.Clear();
  EXPECT_EQ(FaultsIn(end.AsJson()), Numbers{"F41"}) << end.Said();
  EXPECT_EQ(end.exit_code, 1);
}

TEST(BackupFaultsOfABucket, F42ALifecycleRuleThatDeletesWhatTheNewestBackupNeeds) {
  World& world = TheWorld();
  const std::string url = world.bucket.Upload(world.backups);
  const std::string folder = url.substr(url.rfind('/') + 1) + "/";
  const auto rule = [&](const std::string& id, const std::string& prefix, int days) {
    return "<Rule><ID>" + id + "</ID><Filter><Prefix>" + prefix + "</Prefix></Filter><Status>Enabled</Status><Expiration><Days>" +
           std::to_string(days) + "</Days></Expiration></Rule>";
  };
  const auto set = [&](const std::string& rules) {
    world.bucket.Ask("PutBucketLifecycleConfiguration", "PUT", {{"lifecycle", ""}},
                     "<LifecycleConfiguration>" + rules + "</LifecycleConfiguration>");
  };
  const Described described(url, SharedAws(AwsEmulator::kMoto).Url(), "");
  set(rule("logs", "logs/", 1) + rule("late", folder, 400));
  const ProgramEnd good = described.Verify();
  EXPECT_EQ(FaultsIn(good.AsJson()), Numbers{}) << good.Said();
  set(rule("tidy", folder, 1));
  const ProgramEnd bad = described.Verify();
  world.bucket.Ask("DeleteBucketLifecycle", "DELETE", {{"lifecycle", ""}}, "");
  EXPECT_EQ(FaultsIn(bad.AsJson()), Numbers{"F42"}) << bad.Said();
  EXPECT_EQ(bad.exit_code, 1);
  EXPECT_NE(bad.Said().find("'tidy'"), std::string::npos);
}

/// A bucket that keeps versions and has Object Lock, made once.
BackupBucket& LockedBucket() {
  static BackupBucket bucket{SharedAws(AwsEmulator::kMoto), "lifeboat-backups-locked", BackupBucket::kRegion, true};
  return bucket;
}

TEST(BackupFaultsOfABucket, F43AMissingLockThatIsPromised) {
  World& world = TheWorld();
  const std::string endpoint = SharedAws(AwsEmulator::kMoto).Url();
  const ProgramEnd good = Described(LockedBucket().Upload(world.backups), endpoint, "    locked: true\n").Verify();
  EXPECT_EQ(FaultsIn(good.AsJson()), Numbers{}) << good.Said();
  EXPECT_EQ(good.exit_code, 0) << good.Said();
  const ProgramEnd bad = Described(world.url, endpoint, "    locked: true\n").Verify();
  EXPECT_EQ(FaultsIn(bad.AsJson()), Numbers{"F43"}) << bad.Said();
  EXPECT_EQ(bad.exit_code, 1);
  // A role that may not see it: nobody is accused, and the promise is not shown to be kept.
  world.road.Faults(
      Json::array({{{"do", "error"}, {"service", "s3"}, {"path", "\\?object-lock"}, {"status", 403}, {"code", "AccessDenied"}},
                   {{"do", "error"}, {"service", "s3"}, {"path", "\\?versioning"}, {"status", 403}, {"code", "AccessDenied"}}}));
  const ProgramEnd blind = Described(world.url, world.road.Url(), "    locked: true\n").Verify();
  world.road.Clear();
  EXPECT_EQ(FaultsIn(blind.AsJson()), Numbers{}) << blind.Said();
  EXPECT_EQ(blind.exit_code, 4) << blind.Said();
}

TEST(BackupFaultsOfABucket, F44ADeleteMarkerThatHidesAnObject) {
  World& world = TheWorld();
  BackupBucket& bucket = LockedBucket();
  const std::string url = bucket.Upload(world.backups);
  bucket.Remove(url, "monday/backup_manifest");
  const std::string endpoint = SharedAws(AwsEmulator::kMoto).Url();
  const ProgramEnd hidden = Described(url, endpoint, "").Verify();
  EXPECT_EQ(FaultsIn(hidden.AsJson()), Numbers{"F44"}) << hidden.Said();
  EXPECT_EQ(hidden.exit_code, 1);
  // Without versions the same deletion is a manifest that is gone.
  const std::string plain = world.bucket.Upload(world.backups);
  world.bucket.Remove(plain, "monday/backup_manifest");
  const ProgramEnd gone = Described(plain, endpoint, "").Verify();
  EXPECT_EQ(FaultsIn(gone.AsJson()), Numbers{"F05"}) << gone.Said();
}

}  // namespace
}  // namespace lifeboat::testing
