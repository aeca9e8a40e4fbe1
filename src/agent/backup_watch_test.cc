#include "agent/backup_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fakes/fake_evidence.h"
#include "fakes/fake_files.h"
#include "fakes/virtual_time.h"

namespace lifeboat {
namespace {

using testing::FakeClock;
using testing::FakeEvidence;
using testing::FakeFiles;
using ::testing::HasSubstr;
using testing::VirtualTime;

constexpr std::int64_t kBegin = 1'800'000'000;  // the fake clock's

Json ReportOf(std::int64_t stopped, const std::string& verdict = "pass") {
  return {
      {"format", "lifeboat-backup-verify/1"},
      {"sets",
       {{{"label", "monday"}, {"levels", {{{"name", "exists"}, {"verdict", "pass"}}, {{"name", "bytes"}, {"verdict", verdict}}}}}}},
      {"findings", Json::array()},
      {"windows", Json::array()},
      {"freshness",
       {{"newest", {{"label", "monday"}, {"stopped", stopped}}}, {"verified", {{"label", "monday"}, {"stopped", stopped}}}}}};
}

/// A verification that takes a while, and remembers what it was asked for and when.
class FakeRunner final : public BackupRunner {
 public:
  explicit FakeRunner(FakeClock& clock) : clock_(clock) {}
  struct Asked {
    BackupTask task;
    std::int64_t at;
  };
  std::vector<Asked> asked;
  Duration takes = 10min;
  int under_way = 0;
  int most_at_once = 0;
  std::optional<Error> fails;

  Task<Result<BackupAnswer>> Run(BackupTask task) override {
    asked.push_back({task, clock_.Wall().ns / 1000000000});
    most_at_once = std::max(most_at_once, ++under_way);
    co_await clock_.Sleep(takes);
    --under_way;
    if (fails) co_return *fails;
    BackupAnswer answer;
    answer.report = ReportOf(clock_.Wall().ns / 1000000000 - 3600);
    co_return answer;
  }

 private:
  FakeClock& clock_;
};

class BackupWatchTest : public ::testing::Test {
 protected:
  BackupWatchTest() {
    BackupSourceSettings nightly;
    nightly.name = "nightly";
    nightly.region = RegionName("east");
    nightly.schedule.every = 24h;
    nightly.schedule.restore_every = 24h * 7;
    nightly.schedule.deadline = 12h;
    nightly.objectives.verified_age = 72h;
    BackupSourceSettings other = nightly;
    other.name = "elsewhere";
    other.region = RegionName("west");
    settings_.backups = {nightly, other};
    Restart();
  }
  ~BackupWatchTest() override { Crash(); }

  void Restart() {
    Crash();
    process_ = std::make_unique<boost::asio::io_context>();
    time_.Attach(*process_);
    watch_ =
        std::make_unique<BackupWatch>(process_->get_executor(), settings_, RegionName("east"), "/state/backups",
                                      BackupWatch::Doors{clock_, files_, evidence_, runner_, [this] { return moving_; }}, Log());
    watch_->Start();
  }
  void Crash() {
    if (!process_) return;
    time_.Detach(*process_);
    process_.reset();
    watch_.reset();
    runner_.under_way = 0;
  }
  [[nodiscard]] std::vector<int> Levels() const {
    std::vector<int> levels;
    for (const auto& each : runner_.asked) levels.push_back(each.task.level);
    return levels;
  }

  VirtualTime time_;
  FakeClock clock_{time_};
  FakeFiles files_;
  std::vector<FakeEvidence::Row> rows_;
  FakeEvidence evidence_{RegionName("east"), rows_};
  FakeRunner runner_{clock_};
  Settings settings_;
  bool moving_ = false;
  std::unique_ptr<boost::asio::io_context> process_;
  std::unique_ptr<BackupWatch> watch_;
};

TEST_F(BackupWatchTest, LooksAtItsOwnSourcesAtTheirIntervalsAndOneAtATime) {
  time_.RunFor(24h * 7 + 1h);
  // The first day both are due, the next six days and on the eighth the verification, and on that one the restore again.
  EXPECT_EQ(Levels(), (std::vector<int>{3, 6, 3, 3, 3, 3, 3, 3, 3, 6}));
  for (const auto& each : runner_.asked) EXPECT_EQ(each.task.source, "nightly");
  EXPECT_EQ(runner_.asked[0].at, kBegin);
  EXPECT_EQ(runner_.asked[1].at, kBegin + 600) << "the restore waits for the verification";
  EXPECT_EQ(runner_.asked[2].at, kBegin + 86400) << "from start to start";
  EXPECT_EQ(runner_.asked[3].at, kBegin + 2 * 86400);
  EXPECT_EQ(runner_.most_at_once, 1);
}

TEST_F(BackupWatchTest, EachRunIsToldWhenItHasEnded) {
  std::vector<BackupRun> runs;
  watch_->on_run = [&](const BackupRun& run) { runs.push_back(run); };
  time_.RunFor(1h);
  runner_.fails = Fail("no space");
  time_.RunFor(24h);
  ASSERT_GE(runs.size(), 3u);
  EXPECT_EQ(runs[0].source, "nightly");
  EXPECT_EQ(runs[0].work, BackupWork::kVerify);
  EXPECT_EQ(runs[0].level, 3);
  EXPECT_EQ(runs[0].ended.ns - runs[0].began.ns, Duration(10min).count());
  EXPECT_TRUE(runs[0].report.is_object());
  EXPECT_EQ(runs[1].work, BackupWork::kRestore);
  EXPECT_EQ(runs[2].problem, "no space");
  EXPECT_TRUE(runs[2].report.is_null()) << "the report that stands is an older run's";
}

TEST_F(BackupWatchTest, ARestartNeitherForgetsNorRepeats) {
  time_.RunFor(2h);
  ASSERT_EQ(runner_.asked.size(), 2u);
  Restart();
  time_.RunFor(21h);
  EXPECT_EQ(runner_.asked.size(), 2u) << "nothing is due yet";
  EXPECT_EQ(TextAt(MemberAt(watch_->Briefs().at(0), "verified"), "label"), "monday") << "what was known is known";
  time_.RunFor(2h);
  ASSERT_EQ(runner_.asked.size(), 3u);
  EXPECT_EQ(runner_.asked[2].at, kBegin + 86400);
}

TEST_F(BackupWatchTest, ARunThatWasBrokenOffIsBegunAgainAfterAWhileNotAtOnce) {
  time_.RunFor(5min);
  ASSERT_EQ(runner_.asked.size(), 1u);
  Restart();
  time_.RunFor(1min);
  // The restore has never run, and takes its turn.
  ASSERT_EQ(runner_.asked.size(), 2u);
  EXPECT_EQ(runner_.asked[1].task.level, 6);
  time_.RunFor(1h);
  ASSERT_EQ(runner_.asked.size(), 3u);
  EXPECT_EQ(runner_.asked[2].task.level, 3);
  EXPECT_GE(runner_.asked[2].at, kBegin + 15 * 60);
}

TEST_F(BackupWatchTest, ARunWithoutAReportIsToldAndTriedAgain) {
  settings_.backups[0].schedule.restore_every = 0s;
  runner_.fails = Fail("the disk is away");
  Restart();
  time_.RunFor(11min);
  const Json brief = watch_->Briefs().at(0);
  EXPECT_EQ(TextAt(MemberAt(brief, "verify"), "problem"), "the disk is away");
  EXPECT_FALSE(MemberAt(brief, "verified").is_object()) << "nothing is known, which is no pass";
  runner_.fails.reset();
  time_.RunFor(30min);
  EXPECT_EQ(TextAt(MemberAt(watch_->Briefs().at(0), "verify"), "problem"), "");
  EXPECT_TRUE(MemberAt(watch_->Briefs().at(0), "verified").is_object());
}

TEST_F(BackupWatchTest, TheLastReportStandsWhileALaterRunGivesNone) {
  settings_.backups[0].schedule.restore_every = 0s;
  Restart();
  time_.RunFor(1h);
  runner_.fails = Fail("no memory");
  time_.RunFor(24h);
  const Json brief = watch_->Briefs().at(0);
  EXPECT_TRUE(MemberAt(brief, "verified").is_object());
  EXPECT_EQ(TextAt(MemberAt(brief, "verify"), "problem"), "no memory");
}

TEST_F(BackupWatchTest, NothingIsBegunWhileTheServiceMoves) {
  moving_ = true;
  Restart();
  runner_.asked.clear();
  time_.RunFor(1h);
  EXPECT_TRUE(runner_.asked.empty());
  moving_ = false;
  time_.RunFor(1min);
  EXPECT_EQ(runner_.asked.size(), 1u);
}

TEST_F(BackupWatchTest, EachRunIsEvidence) {
  time_.RunFor(1h);
  ASSERT_EQ(rows_.size(), 2u);
  EXPECT_EQ(rows_[0].kind, "backup");
  EXPECT_EQ(TextAt(rows_[0].body, "work"), "verify");
  EXPECT_EQ(TextAt(rows_[0].body, "source"), "nightly");
  EXPECT_EQ(TextAt(rows_[1].body, "work"), "restore");
}

TEST_F(BackupWatchTest, ADiskThatIsFullCostsTheRecordNotTheLoop) {
  files_.full = true;
  Restart();
  time_.RunFor(25h);
  EXPECT_GE(runner_.asked.size(), 3u);
}

TEST_F(BackupWatchTest, AFileThatIsNoRecordIsPassedOver) {
  Crash();
  runner_.asked.clear();
  files_.content["/state/backups/nightly.json"] = "{\"format\":";
  Restart();
  time_.RunFor(1min);
  EXPECT_EQ(runner_.asked.size(), 1u);
}

TEST(BackupSchedule, AStartInTheFutureIsByAClockThatWasWrong) {
  BackupSourceSettings source;
  source.schedule.every = 24h;
  BackupRecord record;
  record.started = kBegin + 86400 * 365;
  record.ended = record.started + 10;
  EXPECT_EQ(DueAt(source, BackupWork::kVerify, record, kBegin), kBegin);
}

TEST(BackupSchedule, WithoutAnIntervalNothingIsEverDue) {
  EXPECT_EQ(DueAt(BackupSourceSettings(), BackupWork::kVerify, BackupRecord(), kBegin), std::nullopt);
  EXPECT_EQ(DueAt(BackupSourceSettings(), BackupWork::kRestore, BackupRecord(), kBegin), std::nullopt);
}

TEST(BackupReport, LongTailsAreCutAndCounted) {
  Json report = ReportOf(kBegin);
  for (int at = 0; at < 300; ++at) report["findings"].push_back({{"fault", "F09"}, {"object", at}});
  for (int at = 0; at < 80; ++at) report["windows"].push_back({{"backup", at}});
  const Json kept = Shortened(report);
  EXPECT_EQ(kept["findings"].size(), 100u);
  EXPECT_EQ(kept["findings"][0]["object"], 0);
  EXPECT_EQ(kept["windows"].size(), 50u);
  EXPECT_EQ(kept["windows"][49]["backup"], 79) << "the newest";
  EXPECT_EQ(kept["left_out"]["findings"], 200);
}

class CheckLine : public ::testing::Test {
 protected:
  CheckLine() {
    source_.name = "nightly";
    source_.region = RegionName("east");
    source_.objectives.verified_age = 72h;
    record_.started = record_.ended = record_.reported = kBegin - 3600;
    record_.report = ReportOf(kBegin - 7200);
  }
  [[nodiscard]] Json Line(std::int64_t now = kBegin) const {
    return BackupCheckLine(source_, BackupBrief(source_, record_, {}), now);
  }
  BackupSourceSettings source_;
  BackupRecord record_;
};

TEST_F(CheckLine, AYoungVerifiedBackupIsGood) {
  EXPECT_EQ(TextAt(Line(), "level"), "ok");
  EXPECT_EQ(TextAt(Line(), "what"),
            "backups 'nightly' of 'east': the last verified backup, 'monday', is 2 h 0 min old, the objective is 3 d 0 h");
}

TEST_F(CheckLine, AnOldOneIsAWarningOrAFaultWhereItIsAGate) {
  EXPECT_EQ(TextAt(Line(kBegin + 86400 * 4), "level"), "warn");
  source_.gate = true;
  EXPECT_EQ(TextAt(Line(kBegin + 86400 * 4), "level"), "fault");
  EXPECT_EQ(TextAt(Line(), "level"), "ok");
}

TEST_F(CheckLine, UnknownIsSaidAndNeverPassesTheGate) {
  source_.gate = true;
  EXPECT_EQ(TextAt(BackupCheckLine(source_, Json(), kBegin), "level"), "fault");
  EXPECT_THAT(TextAt(BackupCheckLine(source_, Json(), kBegin), "what"), HasSubstr("unknown"));
  record_ = {};
  EXPECT_EQ(TextAt(Line(), "level"), "fault");
  EXPECT_THAT(TextAt(Line(), "what"), HasSubstr("unknown: nothing was verified yet"));
  record_.report = ReportOf(kBegin);
  record_.reported = kBegin;
  record_.report["freshness"]["verified"] = nullptr;
  EXPECT_EQ(TextAt(Line(), "level"), "fault");
  EXPECT_THAT(TextAt(Line(), "what"), HasSubstr("none of its backups is verified"));
}

TEST_F(CheckLine, OnlyAGateThatIsNotMetObjectsToAPlannedSwitchover) {
  const auto objection = [&](std::int64_t now) { return BackupGateObjection(source_, BackupBrief(source_, record_, {}), now); };
  EXPECT_EQ(objection(kBegin + 86400 * 4), "") << "it is no gate";
  source_.gate = true;
  EXPECT_EQ(objection(kBegin), "");
  EXPECT_THAT(objection(kBegin + 86400 * 4),
              HasSubstr("since they are a gate: backups 'nightly' of 'east': the last verified backup"));
  EXPECT_THAT(BackupGateObjection(source_, Json(), kBegin), HasSubstr("unknown")) << "what is unknown is not met";
}

TEST_F(CheckLine, AVerifiedBackupFromTheFutureDoesNotPass) {
  record_.report = ReportOf(kBegin + 86400);
  EXPECT_EQ(TextAt(Line(), "level"), "warn");
}

TEST_F(CheckLine, FaultsAreToldBesideTheAge) {
  record_.report["findings"] = {{{"fault", "F13"}, {"severity", "fault"}},
                                {{"fault", "F13"}, {"severity", "fault"}},
                                {{"fault", "F36"}, {"severity", "note"}}};
  EXPECT_THAT(TextAt(Line(), "what"), HasSubstr("faults were found: F13"));
  EXPECT_EQ(TextAt(Line(), "level"), "warn");
}

}  // namespace
}  // namespace lifeboat
