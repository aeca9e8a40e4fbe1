// Snapshots of RDS as a source of lifeboat.yaml, by the program itself against an emulator: as the agent's child looks at them,
// what a restore makes verified, what a region without any means, and what `lifeboat check` and the evidence say of it.

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "adapters/aws/protocol.h"
#include "adapters/aws/rds_restore.h"
#include "adapters/system/command.h"
#include "agent/backup_watch.h"
#include "cli/backup_runner.h"
#include "config/load.h"
#include "prove/evidence.h"
#include "support/aws_client.h"
#include "support/real_aws.h"
#include "support/run_task.h"

namespace lifeboat::testing {
namespace {

namespace fs = std::filesystem;
constexpr const char* kOne = "us-east-1";
constexpr const char* kTwo = "eu-west-1";

struct ProgramEnd {
  int exit_code = -1;
  std::string out;
  std::string err;
  [[nodiscard]] Json AsJson() const { return Json::parse(out, nullptr, false); }
};

class RdsSource : public ::testing::Test {
 protected:
  RdsSource() : folder_(fs::temp_directory_path() / ("lifeboat-rds-" + RandomHex(6))) {
    RealAws& moto = SharedAws(AwsEmulator::kMoto);
    maker_ = MakeAwsClient(context_, {{"*", moto.Url()}});
    fs::create_directories(folder_ / "state");
    setenv("AWS_ENDPOINT_URL", moto.Url().c_str(), 1);
    setenv("AWS_ACCESS_KEY_ID", kAwsAccessKey, 1);
    setenv("AWS_SECRET_ACCESS_KEY", kAwsSecretKey, 1);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    unsetenv("AWS_PROFILE");
    MakeSnapshot(kOne);
  }
  ~RdsSource() override { fs::remove_all(folder_); }

  void Make(const std::string& region, const std::string& action, const aws::QueryParameters& parameters) {
    aws::Call call = aws::QueryCall({"rds", "2014-10-31"}, region, action, parameters, aws::Effect::kOnce);
    const auto reply = Await(context_, maker_->Send(std::move(call), 30s));
    if (!reply) throw std::runtime_error(reply.error().Text());
  }
  void MakeSnapshot(const std::string& region) {
    Make(region, "CreateDBInstance",
         {{"DBInstanceIdentifier", name_},
          {"Engine", "postgres"},
          {"EngineVersion", "16.3"},
          {"DBInstanceClass", "db.t3.micro"},
          {"AllocatedStorage", "20"},
          {"MasterUsername", "ann"},
          {"MasterUserPassword", "not-a-secret-1"}});
    Make(region, "CreateDBSnapshot", {{"DBInstanceIdentifier", name_}, {"DBSnapshotIdentifier", name_ + "-monday"}});
  }
  /// @param promises  inside of objectives: {}
  [[nodiscard]] std::string Describe(const std::string& promises) const {
    const std::string file = (folder_ / "lifeboat.yaml").string();
    const auto region = [&](const std::string& name, const std::string& address, const std::string& state) {
      return "  - {name: " + name + ", agent: \"" + address + ":7400\", state_directory: " + state + ", database: {address: \"" +
             address + ":5432\", data_directory: /pg/" + name + ", socket_directory: /run/" + name + "}}\n";
    };
    std::ofstream(file)
        << "service: orders\nobjectives: {rto: 5s, rpo: 4s}\nstore: {host: eu-central-1}\nregions:\n"
        << region(kOne, "127.77.1.1", (folder_ / "state").string()) << region(kTwo, "127.77.2.1", "/srv/west")
        << "  - {name: eu-central-1, kind: witness, agent: \"127.77.3.1:7400\", state_directory: /srv/witness}\n"
        << "first_primary: us-east-1\ndns: {name: orders-db.example.net, zone: example.net., server: \"127.77.3.1:53\", "
           "key_name: lifeboat, key_file: /etc/dns.key}\ntoken_file: /etc/lifeboat/token\n"
        << "backups:\n  - name: snapshots\n    region: us-east-1\n    path: rds:" << name_ << "\n    rds: {regions: [" << kTwo
        << ", " << kOne << "]}\n    gate: " << (promises.find("verified_age") == std::string::npos ? "false" : "true")
        << "\n    schedule: {every: 6h, restore_every: 1d, restore_level: 4}\n    objectives: {" << promises << "}\n";
    return file;
  }
  ProgramEnd RunProgram(std::vector<std::string> words) {
    words.insert(words.begin(), LIFEBOAT_PROGRAM);
    const auto wrapped = [](boost::asio::any_io_executor executor,
                            std::vector<std::string> argv) -> Task<std::optional<Result<CommandOutput>>> {
      co_return co_await RunCommand(executor, std::move(argv), CommandOptions(), std::chrono::minutes(5));
    };
    auto outcome = Start(context_, wrapped(context_.get_executor(), std::move(words)));
    const auto done = *Finish(context_, outcome);
    EXPECT_TRUE(done.ok()) << (done.ok() ? "" : done.error().Text());
    return done.ok() ? ProgramEnd{done->exit_code, done->out, done->err} : ProgramEnd();
  }
  /// As the agent runs it.
  Result<BackupAnswer> RunChild(const std::string& config, int level) {
    ChildBackupRunner runner(context_.get_executor(), LIFEBOAT_PROGRAM, config);
    const auto wrapped = [](ChildBackupRunner* child, BackupTask what) -> Task<std::optional<Result<BackupAnswer>>> {
      co_return co_await child->Run(std::move(what));
    };
    BackupTask task;
    task.source = "snapshots";
    task.level = level;
    task.deadline = std::chrono::minutes(5);
    auto outcome = Start(context_, wrapped(&runner, std::move(task)));
    return *Finish(context_, outcome);
  }
  static std::set<std::string> FaultsIn(const Json& report) {
    std::set<std::string> numbers;
    for (const Json& each : MemberAt(report, "findings")) numbers.insert(TextAt(each, "fault") + " " + TextAt(each, "object"));
    return numbers;
  }

  boost::asio::io_context context_;
  const std::string name_ = "orders-" + RandomHex(4);
  fs::path folder_;
  std::shared_ptr<aws::Client> maker_;
};

TEST_F(RdsSource, TheAgentsChildMissesTheRegionThatHoldsNoneAndPassesOnceItDoes) {
  const std::string config = Describe("backup_age: 26h");
  const auto missing = RunChild(config, 1);
  ASSERT_TRUE(missing.ok()) << missing.error().Text();
  EXPECT_EQ(missing->exit_code, 4) << missing->report.dump(1);
  EXPECT_EQ(FaultsIn(missing->report), (std::set<std::string>{std::string("F01 ") + kTwo}));
  EXPECT_TRUE(MemberAt(MemberAt(missing->report, "freshness"), "newest").is_null()) << "one region's is not the other's";

  MakeSnapshot(kTwo);
  const auto there = RunChild(config, 1);
  ASSERT_TRUE(there.ok()) << there.error().Text();
  EXPECT_EQ(there->exit_code, 0) << there->report.dump(1);
  EXPECT_GE(MemberAt(there->report, "sets").size(), 2u);
  EXPECT_TRUE(MemberAt(MemberAt(there->report, "freshness"), "newest").is_object());
}

TEST_F(RdsSource, ARestoreMakesASnapshotVerifiedForTheGateTheMetricsAndTheEvidence) {
  MakeSnapshot(kTwo);
  const std::string config = Describe("backup_age: 26h, verified_age: 2d, rpo: 1d");
  const auto before = RunChild(config, 1);
  ASSERT_TRUE(before.ok()) << before.error().Text();
  EXPECT_EQ(before->exit_code, 4) << "nothing was restored yet: " << before->report.dump(1);

  const ProgramEnd drill =
      RunProgram({"backup", "drill", "--json", "--source", "snapshots", "--config", config, "--level", "4", "--rds-poll", "1"});
  EXPECT_EQ(drill.exit_code, 0) << drill.out << drill.err;
  const std::string label = std::string(kOne) + "/" + name_ + "-monday";
  EXPECT_EQ(TextAt(MemberAt(MemberAt(drill.AsJson(), "freshness"), "verified"), "label"), label);
  auto evidence = EvidenceLog::Open((folder_ / "state/evidence.sqlite").string(), RegionName(kOne));
  ASSERT_TRUE(evidence.ok()) << evidence.error().Text();
  const auto rows = evidence->List();
  ASSERT_TRUE(rows.ok()) << rows.error().Text();
  ASSERT_EQ(rows->size(), 1u);
  EXPECT_EQ(rows->front().kind, "backup drill");
  EXPECT_EQ(TextAt(Json::parse(rows->front().body, nullptr, false), "set"), label);

  // What it showed stands for runs that restore nothing, and for what they tell the service.
  const auto after = RunChild(config, 1);
  ASSERT_TRUE(after.ok()) << after.error().Text();
  EXPECT_EQ(after->exit_code, 0) << after->report.dump(1);
  EXPECT_EQ(TextAt(MemberAt(MemberAt(after->report, "freshness"), "verified"), "label"), label);
  const auto settings = LoadSettings(config);
  ASSERT_TRUE(settings.ok()) << settings.error().Text();
  const BackupSourceSettings& source = *settings->FindBackups("snapshots");
  const std::int64_t now = ReadWallClock().ns / 1000000000;
  BackupRecord record;
  record.started = record.ended = record.reported = now;
  record.report = after->report;
  EXPECT_EQ(BackupGateObjection(source, BackupBrief(source, record, {}), now), "");
  record.report = before->report;
  EXPECT_NE(BackupGateObjection(source, BackupBrief(source, record, {}), now), "");

  // Its temporary instance is gone, and the source stands.
  const auto left = Await(context_, aws::rds::ListTagged(*maker_, kOne, false, 30s));
  ASSERT_TRUE(left.ok()) << left.error().Text();
  for (const aws::rds::Tagged& each : *left) EXPECT_FALSE(each.id.starts_with(aws::rds::kTemporaryPrefix)) << each.id;
}

TEST_F(RdsSource, AnObjectiveThatNobodyCouldMeasureIsNotMet) {
  MakeSnapshot(kTwo);
  const ProgramEnd end = RunProgram({"backup", "verify", "--json", "--source", "snapshots", "--config", Describe("backup_age: 26h"),
                                     "--level", "4", "--set", "latest", "--rds-poll", "1", "--rto", "1h"});
  EXPECT_EQ(end.exit_code, 4) << end.out << end.err;
  const Json report = end.AsJson();
  std::set<std::string> verdicts;
  for (const Json& set : MemberAt(report, "sets")) {
    if (MemberAt(set, "restore").is_object()) verdicts.insert(TextAt(MemberAt(MemberAt(set, "restore"), "rto"), "verdict"));
  }
  EXPECT_EQ(verdicts, std::set<std::string>{"unknown"});
}

}  // namespace
}  // namespace lifeboat::testing
