#include "cli/rds_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lifeboat {
namespace {

using aws::rds::StoredSnapshot;
using backup::Level;
using backup::Verdict;
using ::testing::HasSubstr;

constexpr std::int64_t kHour = 3'600'000'000'000;
constexpr std::int64_t kNow = 1'795'434'382'000'000'000;

StoredSnapshot Snapshot(const std::string& region, const std::string& id, double hours_old) {
  StoredSnapshot one;
  one.region = region;
  one.id = id;
  one.arn = "arn:aws:rds:" + region + ":1:snapshot:" + id;
  one.of = "orders";
  one.status = "available";
  one.type = "automated";
  one.created = WallTime{kNow - static_cast<std::int64_t>(hours_old * static_cast<double>(kHour))};
  return one;
}

RdsFacts TwoRegions() {
  RdsFacts facts;
  facts.of = "orders";
  facts.now = WallTime{kNow};
  facts.age = std::chrono::hours(26);
  facts.regions = {{"eu-west-1", "", {Snapshot("eu-west-1", "mon", 30), Snapshot("eu-west-1", "tue", 6)}},
                   {"eu-central-1", "", {Snapshot("eu-central-1", "tue-copy", 6)}}};
  return facts;
}

Verdict VerdictOf(const backup::Report& report, const std::string& label, Level level) {
  for (const backup::SetReport& set : report.sets) {
    if (set.label == label) return set.levels[static_cast<std::size_t>(level)].verdict;
  }
  ADD_FAILURE() << "no set " << label;
  return Verdict::kUnknown;
}

TEST(RdsReport, ItsOwnFixturesAreToldAsTheyMust) {
  const Result<Unit> proven = ProveThatRdsChecksCanFail();
  EXPECT_TRUE(proven.ok()) << proven.error().Text();
}

TEST(RdsReport, FreshSnapshotsInEveryRegionAreWholeAsFarAsRdsShows) {
  const backup::Report report = JudgeRds(TwoRegions());
  EXPECT_TRUE(report.findings.empty());
  ASSERT_EQ(report.sets.size(), 3u);
  EXPECT_EQ(VerdictOf(report, "eu-central-1/tue-copy", Level::kExists), Verdict::kPass);
  EXPECT_EQ(VerdictOf(report, "eu-central-1/tue-copy", Level::kStructure), Verdict::kPass);
  // RDS shows no bytes: nobody may read a pass out of that.
  for (const Level level : {Level::kBytes, Level::kPages, Level::kRestores, Level::kLogic, Level::kContent}) {
    EXPECT_EQ(VerdictOf(report, "eu-west-1/tue", level), Verdict::kNotChecked);
  }
}

TEST(RdsReport, ARegionWithoutAnyAndARegionWithOldOnesMissThePromise) {
  RdsFacts facts = TwoRegions();
  facts.regions[0].snapshots.pop_back();
  facts.regions[1].snapshots.clear();
  const backup::Report report = JudgeRds(facts);
  ASSERT_EQ(report.findings.size(), 2u);
  EXPECT_EQ(report.findings[0].fault, 1);
  EXPECT_THAT(report.findings[0].what, HasSubstr("'eu-west-1' is 1 d 6 h old"));
  EXPECT_EQ(report.findings[1].fault, 1);
  EXPECT_THAT(report.findings[1].what, HasSubstr("no usable snapshot of 'orders' in 'eu-central-1'"));
}

TEST(RdsReport, ACopyIsAsOldAsItsDataAndUnknownWhereItsSourceIsNotListed) {
  RdsFacts facts = TwoRegions();
  StoredSnapshot& copy = facts.regions[1].snapshots[0];
  copy.of_cluster = true;
  copy.created.reset();
  copy.copied_from = facts.regions[0].snapshots[0].arn;  // the old one
  DateCopies(facts);
  backup::Report report = JudgeRds(facts);
  ASSERT_EQ(report.findings.size(), 1u);
  EXPECT_THAT(report.findings[0].what, HasSubstr("'eu-central-1' is 1 d 6 h old"));

  copy.created.reset();
  copy.copied_from = "arn:aws:rds:eu-west-1:1:snapshot:gone";
  DateCopies(facts);
  report = JudgeRds(facts);
  ASSERT_EQ(report.findings.size(), 1u);
  EXPECT_THAT(report.findings[0].what, HasSubstr("age of what is in 'eu-central-1' is not known"));
}

TEST(RdsReport, AKeyThatIsDisabledThereIsAFaultAndOneThatCannotBeAskedIsUnknown) {
  RdsFacts facts = TwoRegions();
  for (RdsRegion& region : facts.regions) {
    for (StoredSnapshot& each : region.snapshots) {
      each.encrypted = true;
      each.kms_key = "arn:aws:kms:" + region.region + ":1:key/k";
    }
  }
  facts.keys["arn:aws:kms:eu-central-1:1:key/k"] = {"PendingDeletion", ""};
  facts.keys["arn:aws:kms:eu-west-1:1:key/k"] = {std::nullopt, "not authorised"};
  const backup::Report report = JudgeRds(facts);
  EXPECT_EQ(VerdictOf(report, "eu-central-1/tue-copy", Level::kStructure), Verdict::kFail);
  EXPECT_EQ(VerdictOf(report, "eu-west-1/tue", Level::kStructure), Verdict::kUnknown);
  ASSERT_EQ(report.findings.size(), 2u);  // the key, and that nothing usable is left there
  EXPECT_EQ(report.findings[0].fault, 20);
  EXPECT_EQ(report.findings[1].fault, 1);
}

TEST(RdsReport, OneThatIsBeingMadeIsNoBackupYetAndOneThatFailedIsNone) {
  RdsFacts facts = TwoRegions();
  facts.regions[0].snapshots[1].status = "creating";
  facts.regions[1].snapshots[0].status = "failed";
  const backup::Report report = JudgeRds(facts);
  EXPECT_EQ(VerdictOf(report, "eu-west-1/tue", Level::kExists), Verdict::kNotChecked);
  EXPECT_EQ(VerdictOf(report, "eu-central-1/tue-copy", Level::kExists), Verdict::kFail);
  std::vector<int> faults;
  for (const backup::Finding& each : report.findings) faults.push_back(each.fault);
  EXPECT_THAT(faults, ::testing::UnorderedElementsAre(2, 1, 1));  // and neither region has a fresh one
}

TEST(RdsReport, ARegionThatDoesNotAnswerIsUnknownAndNotEmpty) {
  RdsFacts facts = TwoRegions();
  facts.regions[1] = {"eu-central-1", "no answer within 30 s", {}};
  const backup::Report report = JudgeRds(facts);
  EXPECT_TRUE(report.findings.empty());
  EXPECT_EQ(VerdictOf(report, "eu-central-1", Level::kExists), Verdict::kUnknown);
}

TEST(RdsReport, TheNewestAvailableOneOfTheRegionIsRestored) {
  RdsFacts facts = TwoRegions();
  ASSERT_NE(ChooseSnapshot(facts, "eu-west-1", ""), nullptr);
  EXPECT_EQ(ChooseSnapshot(facts, "eu-west-1", "latest")->id, "tue");
  EXPECT_EQ(ChooseSnapshot(facts, "eu-west-1", "mon")->id, "mon");
  EXPECT_EQ(ChooseSnapshot(facts, "eu-west-1", "eu-central-1/tue-copy")->region, "eu-central-1");
  facts.regions[1].snapshots[0].status = "copying";
  EXPECT_EQ(ChooseSnapshot(facts, "eu-central-1", ""), nullptr);
}

}  // namespace
}  // namespace lifeboat
