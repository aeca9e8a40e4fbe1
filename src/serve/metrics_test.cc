#include "serve/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <regex>
#include <sstream>

namespace lifeboat {
namespace {

using testing::HasSubstr;
using testing::Not;

const RegionName kEast("us-east-1");

TEST(Metrics, AGaugeThatNobodySetIsAbsentAndNotZero) {
  const Metrics metrics("1.2.3");
  EXPECT_THAT(metrics.Text(), HasSubstr("lifeboat_build_info{version=\"1.2.3\"} 1"));
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("lifeboat_replication_lag_seconds")));
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("lifeboat_lease_held")));
}

TEST(Metrics, AGaugeDisappearsWhenItsValueBecomesUnknown) {
  Metrics metrics("0");
  metrics.SetReplicationLag(kEast, 250ms);
  EXPECT_THAT(metrics.Text(), HasSubstr("lifeboat_replication_lag_seconds{region=\"us-east-1\"} 0.25\n"));
  metrics.SetReplicationLag(kEast, std::nullopt);
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("lifeboat_replication_lag_seconds")));
  metrics.SetReplicationLag(kEast, 0s);
  EXPECT_THAT(metrics.Text(), HasSubstr("lifeboat_replication_lag_seconds{region=\"us-east-1\"} 0\n"));
}

TEST(Metrics, ARegionHasOneRoleAtATime) {
  Metrics metrics("0");
  metrics.SetRole(kEast, Role::kPrimary);
  metrics.SetRole(kEast, Role::kStandby);
  EXPECT_THAT(metrics.Text(), HasSubstr("lifeboat_region_role{region=\"us-east-1\",role=\"standby\"} 1\n"));
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("role=\"primary\"")));
  metrics.SetRole(kEast, std::nullopt);
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("lifeboat_region_role")));
}

TEST(Metrics, TheGuardsCountFollowsTheGuardAlsoAfterItsRestart) {
  Metrics metrics("0");
  metrics.SetGuardKills(3);
  metrics.SetGuardKills(4);
  EXPECT_THAT(metrics.Text(), HasSubstr("# TYPE lifeboat_guard_kills_total counter\nlifeboat_guard_kills_total 4\n"));
  metrics.SetGuardKills(1);
  EXPECT_THAT(metrics.Text(), HasSubstr("\nlifeboat_guard_kills_total 1\n"));
  metrics.SetGuardKills(std::nullopt);
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("lifeboat_guard_kills_total")));
}

TEST(Metrics, EveryLineIsPrometheusText) {
  Metrics metrics("0.1.0");
  metrics.SetLeaseEpoch(Epoch{7});
  metrics.SetLeaseLeft(1500ms);
  metrics.SetLeaseHeld(true);
  metrics.SetVerdict(kEast, Verdict::kHealthy);
  metrics.SetReplicationLagBytes(kEast, ByteCount{16777216});
  metrics.SetStoreReachable(false);
  metrics.SetCanaryOk(true);
  metrics.SetCanaryLastSuccess(WallTime{1'700'000'000'250'000'000});
  metrics.SetGuardWorstKill(20ms);
  metrics.SetLeaseRenewals(7, 1, 3ms);
  metrics.SetService("healthy");
  metrics.SetAgentAnswers(kEast, true);
  metrics.SetCouldTakeOver(kEast, false);
  metrics.SetGuardAnswers(kEast, true);
  metrics.SetFence(kEast, "gate and guard");
  metrics.SetObjectives(5s, 2s);
  metrics.SetExecution(std::pair(std::string("failover"), std::string("waiting")));
  metrics.SetWithheld(350);
  metrics.SetCheck(2, WallTime{1'700'000'000'250'000'000});
  metrics.SetEvidence(true, WallTime{1'700'000'000'250'000'000});
  metrics.SetLastRun("failover", WallTime{1'700'000'000'250'000'000}, 3.5, 0.25);
  metrics.SetTraces({3, 1, 0, 2, 1});
  metrics.SetTraces({4, 1, 0, 2, 0});
  metrics.CountDecision(210);
  const std::regex sample(R"re([a-z_]+(\{[a-z_]+="[^"\\]*"(,[a-z_]+="[^"\\]*")*\})? -?(\d+(\.\d+)?(e[+-]?\d+)?|\+Inf))re");
  const std::regex comment("# (HELP|TYPE) lifeboat_[a-z_]+ .+");
  std::istringstream lines(metrics.Text());
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    EXPECT_TRUE(std::regex_match(line, sample) || std::regex_match(line, comment)) << line;
  }
  EXPECT_GT(count, 40);
  EXPECT_THAT(metrics.Text(), HasSubstr("lifeboat_decisions_total{rule=\"210\"} 1\n"));
  EXPECT_THAT(metrics.Text(), HasSubstr("lifeboat_traces_total{outcome=\"sent\"} 4\n"));
  EXPECT_THAT(metrics.Text(), HasSubstr("lifeboat_traces_waiting 0\n"));
  EXPECT_THAT(metrics.Text(), HasSubstr("lifeboat_lease_renewals_total{outcome=\"good\"} 7\n"));
}

TEST(Metrics, BackupsAreShownBySourceAndWhatIsUnknownIsNot) {
  Metrics metrics("1");
  BackupFigures figures;
  figures.newest_age = 3600s;
  figures.verdicts = {{"bytes", "pass"}, {"restores", "not checked"}};
  figures.read_bytes = 1000;
  metrics.SetBackups("nightly", figures);
  EXPECT_THAT(metrics.Text(), HasSubstr("lifeboat_backup_age_seconds{source=\"nightly\"} 3600"));
  EXPECT_THAT(metrics.Text(), HasSubstr("lifeboat_backup_verdict{level=\"bytes\",source=\"nightly\",verdict=\"pass\"} 1"));
  EXPECT_THAT(metrics.Text(), HasSubstr("lifeboat_backup_read_bytes{source=\"nightly\"} 1000"));
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("lifeboat_backup_verified_age_seconds"))) << "unknown is never shown as 0";
  figures.verdicts["bytes"] = "fail";
  figures.newest_age.reset();
  metrics.SetBackups("nightly", figures);
  EXPECT_THAT(metrics.Text(), HasSubstr("lifeboat_backup_verdict{level=\"bytes\",source=\"nightly\",verdict=\"fail\"} 1"));
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("verdict=\"pass\"")));
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("lifeboat_backup_age_seconds")));
}

/// docs/metrics.md is what dashboards and alert rules are checked against (tests/deploy/names_test.py).
TEST(Metrics, EveryOneIsOnThePageThatListsThem) {
  std::string page = "| metric | type | says |\n| --- | --- | --- |\n";
  const Metrics metrics("0");
  for (const Metrics::Entry& entry : metrics.Entries()) {
    page += "| `" + entry.name + "` | " + entry.type + " | " + entry.help + " |\n";
  }
  std::ifstream file(LIFEBOAT_SOURCE_DIR "/docs/metrics.md");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  EXPECT_THAT(text, HasSubstr(page)) << "the table of docs/metrics.md is to be:\n" << page;
}

}  // namespace
}  // namespace lifeboat
