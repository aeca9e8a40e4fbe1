#include "lab/demo_report.h"

#include <gtest/gtest.h>

#include "prove/report.h"

namespace lifeboat::lab {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kWall = 1'795'000'000 * kSecond;  // wall time of monotonic 0

Execution Ended(PlanKind kind, const char* id, const char* source, const char* target, std::int64_t began, std::int64_t ended) {
  Execution e;
  e.id = ExecutionId(id);
  e.kind = kind;
  e.state = ExecutionState::kDone;
  e.source = RegionName(source);
  e.target = RegionName(target);
  e.began = {kWall + began * kSecond};
  e.ended = {kWall + ended * kSecond};
  return e;
}

void Write(ClientRecord& record, std::int64_t from, std::int64_t to, std::uint16_t server) {
  for (std::int64_t at = from * kSecond; at < to * kSecond; at += kSecond / 100) {
    record.rows.push_back({record.rows.size() + 1, at - 1000, at, kWall + at, RowFate::kAcknowledged, server});
  }
}

// Healthy from 1 s, lost at 10 s, first good write at 14 s, back at 20 s, rejoined at 25 s, switched at 30 s, ended at 35 s.
Story Told() {
  Story story;
  story.lab.regions = {{RegionName("us-east-1"), RegionKind::kData, "127.77.9.1", 1},
                       {RegionName("us-west-2"), RegionKind::kData, "127.77.9.2", 2},
                       {RegionName("eu-west-1"), RegionKind::kWitness, "127.77.9.3", 3}};
  story.first = "us-east-1";
  story.second = "us-west-2";
  story.postgresql = "15.14";
  story.healthy_ns = kWall + kSecond;
  story.fault = {10 * kSecond, kWall + 10 * kSecond, {1, 2, 3}};
  story.failover = Ended(PlanKind::kFailover, "x-1", "us-east-1", "us-west-2", 13, 14);
  for (const auto& [fact, at] :
       {std::pair{"suspected_ns", 12}, {"decided_ns", 13}, {"claimed_ns", 13}, {"promoted_ns", 13}, {"routed_ns", 14}}) {
    story.failover.facts[fact] = kWall + at * kSecond;
  }
  story.failover.facts["first_good_write_ns"] = kWall + 16 * kSecond;  // the canary's, later than the clients'
  story.returned_ns = kWall + 20 * kSecond;
  story.rejoin = Ended(PlanKind::kRejoin, "x-2", "us-east-1", "us-west-2", 21, 25);
  Divergence divergence;
  divergence.fork = {1000};
  divergence.end = {1500};
  divergence.saved_in = "/ledger/x-2";
  divergence.commits = 4;
  story.rejoin.facts["divergence"] = ToJson(divergence);
  story.arrived_ns = kWall + 26 * kSecond;
  story.arrived_row = "row 1 of client fresh-1";
  story.switchover_since_ns = 30 * kSecond;
  story.switchover = Ended(PlanKind::kSwitchover, "x-3", "us-west-2", "us-east-1", 30, 31);
  story.ended_ns = kWall + 35 * kSecond;
  ClientRecord record;
  record.client = 1;
  record.name = "fresh-1";
  record.servers = {"127.77.9.1", "127.77.9.2"};
  Write(record, 1, 10, 0);
  Write(record, 14, 30, 1);
  Write(record, 31, 35, 0);
  ClientCheck check;
  check.acknowledged = record.rows.size();
  story.records = {record};
  story.checks = {check};
  story.evidence = {
      {"chains", {{{"records", 5}, {"head", {{"hash", "ab"}}}, {"intact", true}}, {{"records", 2}, {"intact", true}}}}};
  return story;
}

TEST(BuildReport, MakesADocumentThatProgramsCanRead) {
  const Json report = BuildReport(Told());
  const auto valid = ValidateReport(report);
  EXPECT_TRUE(valid) << valid.error().Text();
  EXPECT_EQ(TextAt(report, "verdict"), "met");
  EXPECT_EQ(NumberAt(MemberAt(report, "evidence"), "records"), 7U);
  EXPECT_TRUE(FlagAt(MemberAt(report, "evidence"), "verified"));
}

TEST(BuildReport, CountsTheOutageByTheClientsAndNotByTheCanary) {
  const Json report = BuildReport(Told());
  EXPECT_NEAR(report["runs"][0]["rto_s"].get<double>(), 4.0, 0.001);
  EXPECT_NEAR(report["runs"][2]["rto_s"].get<double>(), 1.01, 0.001);
}

TEST(BuildReport, NamesWhatTheForkTookAndMissesOnlyWhatTheObjectiveForbids) {
  Story story = Told();
  for (std::uint64_t n = 897; n <= 900; ++n) story.checks[0].missing.push_back(story.records[0].rows.at(n - 1));  // the newest four
  Json report = BuildReport(story);
  EXPECT_EQ(NumberAt(report["runs"][0]["loss"], "rows"), 4U);
  EXPECT_EQ(NumberAt(report["runs"][0]["loss"], "bytes"), 500U);
  EXPECT_EQ(TextAt(report, "verdict"), "met");

  story.lab.knobs.rpo = 20ms;  // the oldest was 40 ms old
  report = BuildReport(story);
  EXPECT_EQ(TextAt(report, "verdict"), "missed");
}

TEST(BuildReport, ARowThatNobodyCanExplainIsAMissedVerdict) {
  Story story = Told();
  story.checks[0].missing.push_back(story.records[0].rows.at(3));
  const Json report = BuildReport(story);
  EXPECT_EQ(TextAt(report, "verdict"), "missed");
  EXPECT_EQ(NumberAt(report["clients"][0], "unaccounted"), 1U);
}

TEST(BuildReport, ARejoinThatSavedNothingLeavesEveryLostRowUnaccounted) {
  Story story = Told();
  story.rejoin.facts.erase("divergence");
  story.checks[0].missing.push_back(story.records[0].rows.at(899));
  EXPECT_EQ(TextAt(BuildReport(story), "verdict"), "missed");
}

TEST(BuildReport, WhatWasNotMeasuredIsUnknownAndNeverMet) {
  Story story = Told();
  std::erase_if(story.records[0].rows, [](const ClientRow& row) { return row.ended_ns > 30 * kSecond; });
  const Json report = BuildReport(story);
  EXPECT_TRUE(report["runs"][2]["rto_s"].is_null());
  EXPECT_EQ(TextAt(report, "verdict"), "unknown");
}

}  // namespace
}  // namespace lifeboat::lab
