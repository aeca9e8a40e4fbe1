#include "lab/aws_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "prove/report.h"

namespace lifeboat::lab {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kWall = 1'795'000'000 * kSecond;  // wall time of monotonic 0
constexpr const char* kOld = "127.79.0.1";
constexpr const char* kNew = "127.79.0.2";

void Write(ClientRecord& record, std::int64_t from, std::int64_t to, std::uint16_t server) {
  for (std::int64_t at = from * kSecond; at < to * kSecond; at += kSecond / 100) {
    record.rows.push_back({record.rows.size() + 1, at - 1000, at, kWall + at, RowFate::kAcknowledged, server});
  }
}

// Healthy from 1 s, lost at 10 s, a client's first good write at 14 s (the agents': 13 s), back at 20 s, switched at 30 s, ended at
// 35 s. At most 0.5 s of writes would be lost, the agents stated.
Story Told() {
  Story story;
  story.lab.regions = {{RegionName("us-east-1"), RegionKind::kData, kOld, 1},
                       {RegionName("eu-west-1"), RegionKind::kData, kNew, 2},
                       {RegionName("us-west-2"), RegionKind::kWitness, "127.0.0.1", 3}};
  story.first = "us-east-1";
  story.second = "eu-west-1";
  story.healthy_ns = kWall + kSecond;
  story.fault = {10 * kSecond, kWall + 10 * kSecond, {1, 2, 3}};
  story.failover.id = ExecutionId("x-1");
  story.failover.state = ExecutionState::kDone;
  for (const auto& [fact, at] :
       {std::pair{"suspected_ns", 11}, {"decided_ns", 11}, {"claimed_ns", 11}, {"promoted_ns", 12}, {"routed_ns", 12}}) {
    story.failover.facts[fact] = kWall + at * kSecond;
  }
  story.failover.facts["first_good_write_ns"] = kWall + 13 * kSecond;
  story.failover.facts["loss_estimate"] = {{"state", "bounded"}, {"seconds", 0.5}, {"basis", "the newest heartbeat"}};
  story.returned_ns = kWall + 20 * kSecond;
  story.arrived_ns = kWall + 26 * kSecond;
  story.arrived_row = "row 1 of client fresh-1";
  story.switchover_since_ns = 30 * kSecond;
  story.switchover.id = ExecutionId("x-2");
  story.switchover.kind = PlanKind::kSwitchover;
  story.switchover.state = ExecutionState::kDone;
  story.ended_ns = kWall + 35 * kSecond;
  ClientRecord record;
  record.client = 1;
  record.name = "fresh-1";
  record.servers = {kOld, kNew};
  Write(record, 1, 10, 0);
  Write(record, 14, 30, 1);
  Write(record, 31, 35, 0);
  ClientCheck check;
  check.acknowledged = record.rows.size();
  story.lab.knobs.rto = story.lab.knobs.rpo = 60s;
  story.records = {record};
  story.checks = {check};
  return story;
}

// Rows 801 to 900 were written in the last second before the fault.
void Lose(Story& story, std::uint64_t first, std::uint64_t last) {
  for (std::uint64_t n = first; n <= last; ++n) story.checks[0].missing.push_back(story.records[0].rows.at(n - 1));
}

TEST(BuildAwsReport, HoldsTheClientsFiguresAgainstThoseOfTheAgents) {
  Story story = Told();
  Lose(story, 871, 900);
  const Json report = BuildAwsReport(story, Json::object());
  const auto valid = ValidateReport(report);
  EXPECT_TRUE(valid) << valid.error().Text();
  EXPECT_EQ(TextAt(report, "verdict"), "met");
  const Json& failover = report["runs"][0];
  EXPECT_NEAR(failover["rto_s"].get<double>(), 4.0, 0.001) << "the clients'";
  EXPECT_NEAR(failover["stated"]["rto_s"].get<double>(), 3.0, 0.001);
  EXPECT_EQ(TextAt(failover["stated"], "ends_with"), "first good write");
  EXPECT_EQ(NumberAt(failover["loss"], "rows"), 30U);
  EXPECT_NEAR(failover["loss"]["seconds"].get<double>(), 0.3, 0.001);
  EXPECT_NEAR(failover["stated"]["loss_bound_s"].get<double>(), 0.5, 0.001);
  EXPECT_EQ(NumberAt(report["clients"][0], "unaccounted"), 0U);
}

TEST(BuildAwsReport, ARowThatIsLostBeyondWhatWasStatedIsABrokenPromise) {
  Story story = Told();
  Lose(story, 841, 900);  // the oldest was 0.6 s old
  const AwsLoss loss = AwsLossOf(story);
  EXPECT_EQ(loss.account.failover_rows, 60U);
  EXPECT_EQ(loss.beyond, 10U);
  const Json report = BuildAwsReport(story, Json::object());
  EXPECT_EQ(TextAt(report, "verdict"), "missed") << "though the RPO of a minute was kept";
  EXPECT_THAT(report["sentences"].dump(), ::testing::HasSubstr("10 rows were lost beyond what was stated"));
}

TEST(BuildAwsReport, WhatTheHeartbeatSaysAfterwardsIsHeldAgainstTheClientsToo) {
  Story story = Told();
  story.failover.facts["loss_measured"] = {{"state", "bounded"}, {"seconds", 0.25}, {"basis", "the beat that survived"}};
  Lose(story, 871, 900);  // the oldest was 0.3 s old: within the estimate, and not within what was measured
  EXPECT_EQ(AwsLossOf(story).beyond, 5U);
  const Json report = BuildAwsReport(story, Json::object());
  EXPECT_EQ(TextAt(report, "verdict"), "missed");
  EXPECT_NEAR(report["runs"][0]["stated"]["loss_measured_s"].get<double>(), 0.25, 0.001);
  EXPECT_EQ(TextAt(report["runs"][0]["stated"], "measured_by"), "the beat that survived");
}

TEST(BuildAwsReport, WhereNoBoundWasStatedNoLostRowIsWithinIt) {
  Story story = Told();
  story.failover.facts["loss_estimate"] = {{"state", "unknown"}};
  EXPECT_EQ(TextAt(BuildAwsReport(story, Json::object()), "verdict"), "met") << "nothing was lost";
  Lose(story, 900, 900);
  EXPECT_EQ(AwsLossOf(story).beyond, 1U);
  EXPECT_EQ(TextAt(BuildAwsReport(story, Json::object()), "verdict"), "missed");
}

TEST(BuildAwsReport, ARowThatTheSwitchoverLostIsNeverExplained) {
  Story story = Told();
  Lose(story, 1000, 1000);
  const Json report = BuildAwsReport(story, Json::object());
  EXPECT_EQ(NumberAt(report["clients"][0], "unaccounted"), 1U);
  EXPECT_EQ(TextAt(report, "verdict"), "missed");
}

}  // namespace
}  // namespace lifeboat::lab
