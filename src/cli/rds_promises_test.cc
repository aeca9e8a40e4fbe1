#include "cli/rds_promises.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lifeboat {
namespace {

using aws::rds::StoredSnapshot;
using backup::Level;
using ::testing::HasSubstr;
using Judged = backup::Verdict;

constexpr std::int64_t kHour = 3'600'000'000'000;
constexpr std::int64_t kNow = 1'795'434'382'000'000'000;

StoredSnapshot Snapshot(const std::string& region, const std::string& id, double hours_old) {
  StoredSnapshot one;
  one.region = region;
  one.id = id;
  one.of = "orders";
  one.status = "available";
  one.created = WallTime{kNow - static_cast<std::int64_t>(hours_old * static_cast<double>(kHour))};
  return one;
}

RdsFacts TwoRegions() {
  RdsFacts facts;
  facts.of = "orders";
  facts.now = WallTime{kNow};
  facts.age = std::chrono::hours(26);
  facts.regions = {{"eu-west-1", "", {Snapshot("eu-west-1", "mon", 30), Snapshot("eu-west-1", "tue", 6)}},
                   {"eu-central-1", "", {Snapshot("eu-central-1", "mon-copy", 20)}}};
  return facts;
}

RdsPromises AllOfThem() {
  RdsPromises promises;
  promises.backup_age = std::chrono::hours(26);
  promises.verified_age = std::chrono::hours(72);
  promises.rto = std::chrono::hours(1);
  return promises;
}

/// As a run that restored `label` would find it.
void Restore(backup::Report& report, const std::string& label, Judged restores, Judged content) {
  for (backup::SetReport& set : report.sets) {
    if (set.label != label) continue;
    set.levels[static_cast<std::size_t>(Level::kRestores)].verdict = restores;
    set.levels[static_cast<std::size_t>(Level::kContent)].verdict = content;
  }
}

struct Outcome {
  Freshness fresh;
  std::vector<backup::Finding> findings;
};
Outcome Judge(const RdsFacts& facts, const std::function<void(backup::Report&)>& change = {},
              std::optional<std::vector<backup::VerifiedSet>> earlier = std::nullopt, bool restored = false) {
  backup::Report report = JudgeRds(facts);
  report.findings.clear();
  if (change) change(report);
  Outcome outcome;
  outcome.fresh = JudgeRdsAges(facts, report, AllOfThem(), earlier, restored, outcome.findings);
  return outcome;
}

TEST(RdsPromises, TheNewestIsThatOfTheRegionThatLagsMost) {
  const Outcome outcome = Judge(TwoRegions());
  ASSERT_TRUE(outcome.fresh.newest.has_value());
  EXPECT_EQ(outcome.fresh.newest->label, "eu-central-1/mon-copy");
  EXPECT_EQ(outcome.fresh.lines.front().verdict, Judged::kPass);
}

TEST(RdsPromises, ARegionWithoutAnyMissesWhateverTheOthersHold) {
  RdsFacts facts = TwoRegions();
  facts.regions[1].snapshots.clear();
  const Outcome outcome = Judge(facts);
  EXPECT_FALSE(outcome.fresh.newest.has_value());
  EXPECT_EQ(outcome.fresh.lines.front().verdict, Judged::kFail);
  EXPECT_TRUE(outcome.findings.empty()) << "each region's own lack is told where it is listed";
}

TEST(RdsPromises, ARegionThatWasNotListedIsUnknownAndNeitherKeptNorBroken) {
  RdsFacts facts = TwoRegions();
  facts.regions[1] = {"eu-central-1", "AccessDenied", {}};
  const Outcome outcome = Judge(facts);
  EXPECT_FALSE(outcome.fresh.newest.has_value());
  EXPECT_EQ(outcome.fresh.lines.front().verdict, Judged::kUnknown);
  EXPECT_THAT(outcome.fresh.lines.front().reason, HasSubstr("AccessDenied"));
  EXPECT_TRUE(backup::AnyMissed(outcome.fresh.lines));
}

TEST(RdsPromises, OnlyARestoreThatCameAsFarAsPromisedVerifies) {
  const auto with = [](Judged restores, Judged content) {
    return Judge(
        TwoRegions(), [=](backup::Report& report) { Restore(report, "eu-west-1/tue", restores, content); }, std::nullopt, true);
  };
  EXPECT_EQ(with(Judged::kPass, Judged::kPass).fresh.verified->label, "eu-west-1/tue");
  EXPECT_EQ(with(Judged::kPass, Judged::kPass).fresh.lines.back().verdict, Judged::kPass);
  for (const auto& [restores, content] :
       {std::pair(Judged::kPass, Judged::kNotChecked), std::pair(Judged::kPass, Judged::kUnknown),
        std::pair(Judged::kUnknown, Judged::kNotChecked), std::pair(Judged::kPass, Judged::kFail)}) {
    const Outcome outcome = with(restores, content);
    EXPECT_FALSE(outcome.fresh.verified.has_value());
    EXPECT_EQ(outcome.fresh.lines.back().verdict, Judged::kFail);
    ASSERT_EQ(outcome.findings.size(), 1u);
    EXPECT_EQ(outcome.findings[0].fault, 1);
  }
}

TEST(RdsPromises, WhatAnEarlierRunRestoredStandsWhileItIsThere) {
  const RdsFacts facts = TwoRegions();
  const std::int64_t made = facts.regions[0].snapshots[1].created->ns / 1000000000;
  const auto before = [&](const std::string& label, std::int64_t stopped, int level) {
    return Judge(facts, {}, std::vector<backup::VerifiedSet>{{label, stopped, level, 0}}).fresh.verified.has_value();
  };
  EXPECT_TRUE(before("eu-west-1/tue", made, 6));
  EXPECT_FALSE(before("eu-west-1/tue", made, 4)) << "nobody asked what is in it";
  EXPECT_FALSE(before("eu-west-1/tue", made + 1, 6)) << "another one under its name";
  EXPECT_FALSE(before("eu-west-1/gone", made, 6));
}

TEST(RdsPromises, NobodyIsAccusedByARunThatRestoredNothingAndKnowsNothing) {
  const Outcome outcome = Judge(TwoRegions());
  EXPECT_TRUE(outcome.findings.empty());
  EXPECT_EQ(outcome.fresh.lines.back().verdict, Judged::kNotChecked);
}

TEST(RdsPromises, ATimeThatCouldNotBeMeasuredIsUnknownAndNoPass) {
  EXPECT_EQ(TextAt(RestoreObjective(std::chrono::hours(1), std::nullopt, "no query"), "verdict"), "unknown");
  EXPECT_EQ(TextAt(RestoreObjective(std::chrono::hours(1), std::chrono::minutes(59), ""), "verdict"), "pass");
  EXPECT_EQ(TextAt(RestoreObjective(std::chrono::hours(1), std::chrono::minutes(61), ""), "verdict"), "fail");
  EXPECT_EQ(TextAt(RestoreObjective(Duration{0}, std::chrono::minutes(61), ""), "verdict"), "not checked");
}

}  // namespace
}  // namespace lifeboat
