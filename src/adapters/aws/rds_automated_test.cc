#include "adapters/aws/rds_automated.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "adapters/aws/test_support.h"

namespace lifeboat::aws {
namespace {

using ::testing::ElementsAre;
using testing::FakeAws;
using ::testing::HasSubstr;
using testing::Said;
using testing::Seen;

constexpr const char* kPlace = "eu-central-1";

/// What a region would answer: tests/aws/fixtures_test.py holds it against the vendor's model.
std::string Answer() {
  std::ifstream in(std::string(LIFEBOAT_FIXTURES) + "/rds_automated_backups.xml");
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

const WallTime kNow{1'795'434'382'000'000'000};  // 2026-11-23T11:46:22Z

AutomatedBackup Copy() {
  AutomatedBackup backup;
  backup.region = kPlace;
  backup.of = "orders-1";
  backup.of_region = "us-east-1";
  backup.status = "active";
  backup.earliest = WallTime{kNow.ns - Duration(7 * 24h).count()};
  backup.latest = WallTime{kNow.ns - Duration(6min).count()};
  backup.encrypted = true;
  backup.kms_key = "k1";
  return backup;
}

class AutomatedBackups : public ::testing::Test {
 protected:
  /// The lines for one region that is wanted to keep a copy.
  std::vector<Readiness> Judge() const { return JudgeAutomatedBackups(wish_, regions_, keys_, kNow); }
  Readiness Only() const {
    const std::vector<Readiness> lines = Judge();
    EXPECT_EQ(lines.size(), 1u);
    return lines.empty() ? Readiness{} : lines.front();
  }
  AutomatedWish wish_{{{"us-east-1", "orders-1"}}, {kPlace}, 1h};
  std::vector<AutomatedRegion> regions_{{kPlace, "", {Copy()}}};
  AutomatedKeys keys_{{"k1", {"Enabled", ""}}};
};

TEST_F(AutomatedBackups, AreReadWithTheirWindowTheirKeyAndTheInstanceTheyAreOf) {
  FakeAws aws;
  const auto client = aws.MakeClient();
  aws.answer = [](const Seen&) { return Said{200, Answer(), {}, {}}; };
  const auto found = aws.Run(ListAutomatedBackups(*client, kPlace, {"orders-1"}, 10s));
  ASSERT_TRUE(found.ok()) << found.error().Text();
  ASSERT_EQ(found->size(), 1u);  // what is somebody else's is not ours
  const AutomatedBackup& copy = found->front();
  EXPECT_TRUE(copy.IsCopy());
  EXPECT_EQ(copy.of_region, "us-east-1");
  EXPECT_EQ(copy.status, "active");
  EXPECT_EQ(FormatWallTime(*copy.latest), "2026-11-23T11:40:22.000Z");
  EXPECT_EQ(FormatWallTime(*copy.earliest), "2026-11-16T04:12:00.000Z");
  EXPECT_TRUE(copy.encrypted);
  EXPECT_THAT(copy.kms_key, HasSubstr("arn:aws:kms:eu-central-1"));
  EXPECT_EQ(copy.days, 7u);
  // Where a copy is kept there is no instance of the name, and a request that names one could be refused.
  EXPECT_EQ(aws.seen.front().Form("DBInstanceIdentifier"), "");
  EXPECT_EQ(aws.seen.front().region, kPlace);
}

TEST_F(AutomatedBackups, AreListedThroughAllPages) {
  FakeAws aws;
  const auto client = aws.MakeClient();
  aws.answer = [](const Seen& seen) {
    std::string text = Answer();
    if (seen.Form("Marker").empty())
      text.replace(text.find("  </DescribeDBInstanceAutomatedBackupsResult>"), 0, "<Marker>m1</Marker>");
    return Said{200, text, {}, {}};
  };
  const auto found = aws.Run(ListAutomatedBackups(*client, kPlace, {"orders-1", "orders-2"}, 10s));
  ASSERT_TRUE(found.ok()) << found.error().Text();
  EXPECT_EQ(found->size(), 2u);
  EXPECT_EQ(aws.seen.back().Form("Marker"), "m1");
}

TEST_F(AutomatedBackups, OneThatIsFreshAndWhoseKeyIsUsableIsNamedWithItsWindow) {
  const Readiness line = Only();
  EXPECT_EQ(line.level, "ok") << line.what;
  EXPECT_THAT(line.what, HasSubstr("copied automated backups of 'orders-1' (us-east-1) in 'eu-central-1'"));
  EXPECT_THAT(line.what, HasSubstr("2026-11-16T11:46:22"));
  EXPECT_THAT(line.what, HasSubstr("6 min 0 s ago"));
}

TEST_F(AutomatedBackups, OneThatIsMissingIsAFaultThatNamesTheWay) {
  regions_[0].backups.clear();
  const Readiness line = Only();
  EXPECT_EQ(line.level, "fault");
  EXPECT_THAT(line.what, HasSubstr("there are no copied automated backups of 'orders-1'"));
  EXPECT_THAT(line.hint, HasSubstr("start-db-instance-automated-backups-replication"));
  // One of the same name in another region is of another database.
  regions_[0].backups = {Copy()};
  regions_[0].backups[0].of_region = "us-west-2";
  EXPECT_EQ(Judge().size(), 2u);
  EXPECT_EQ(Judge().back().level, "fault");
}

TEST_F(AutomatedBackups, OneThatStoppedGrowingIsAFaultByItsNumbers) {
  AutomatedBackup& copy = regions_[0].backups[0];
  copy.latest = WallTime{kNow.ns - Duration(90min).count()};
  EXPECT_EQ(Only().level, "fault");
  EXPECT_THAT(Only().what, HasSubstr("is 1 h 30 min old, and at most 1 h 0 min is allowed"));
  copy = Copy();
  copy.status = "retained";
  EXPECT_EQ(Only().level, "fault");
  copy = Copy();
  copy.status = "creating";
  copy.latest.reset();
  EXPECT_EQ(Only().level, "fault");
  copy = Copy();
  copy.latest.reset();
  EXPECT_EQ(Only().level, "fault");
  copy = Copy();
  copy.latest = WallTime{kNow.ns + Duration(1h).count()};
  EXPECT_THAT(Only().what, HasSubstr("lies in the future"));
  EXPECT_EQ(Only().level, "fault");
}

TEST_F(AutomatedBackups, OneWhoseKeyIsGoneRestoresNothingAndOneWhoseKeyMayNotBeAskedIsUnknown) {
  keys_["k1"].state = "PendingDeletion";
  EXPECT_EQ(Only().level, "fault");
  EXPECT_THAT(Only().what, HasSubstr("its key is 'PendingDeletion'"));
  keys_["k1"] = {"", "not allowed"};
  EXPECT_EQ(Only().level, "unknown");
}

TEST_F(AutomatedBackups, ARegionThatDoesNotAnswerIsUnknownAndNotEmpty) {
  regions_[0] = {kPlace, "no answer within 2 s", {}};
  EXPECT_EQ(Only().level, "unknown");
}

TEST_F(AutomatedBackups, WhatNobodyWantsIsNamedAndNoFault) {
  wish_.regions.clear();
  regions_[0].backups[0].latest = WallTime{kNow.ns - Duration(48h).count()};
  EXPECT_EQ(Only().level, "ok");
  regions_[0].backups.clear();
  EXPECT_TRUE(Judge().empty());
}

TEST_F(AutomatedBackups, AreWantedOfWhoeverFollowsNobodyAndASilentRegionCostsNoOtherLine) {
  FakeAws aws;
  const auto client = aws.MakeClient();
  aws.answer = [](const Seen& seen) {
    if (seen.region == "us-east-1") return FakeAws::Silence();
    if (seen.operation == "DescribeDBInstanceAutomatedBackups" && seen.region == kPlace) return Said{200, Answer(), {}, {}};
    if (seen.operation == "DescribeKey") return Said{200, R"({"KeyMetadata":{"Arn":"a","KeyState":"Enabled"}})", {}, {}};
    const std::string result =
        seen.operation == "DescribeDBInstances"
            ? "<DBInstances><DBInstance><DBInstanceIdentifier>orders-2</DBInstanceIdentifier></DBInstance></DBInstances>"
            : "<DBInstanceAutomatedBackups/>";
    return Said{200,
                "<" + seen.operation + "Response><" + seen.operation + "Result>" + result + "</" + seen.operation + "Result></" +
                    seen.operation + "Response>",
                {},
                {}};
  };
  AwsDatabaseSettings settings;
  settings.kind = AwsDatabaseKind::kRdsReplica;
  settings.members = {{RegionName("us-east-1"), "orders-1"}, {RegionName("us-west-2"), "orders-2"}};
  settings.backup_regions = {kPlace};
  const auto lines = aws.Run(CheckAutomatedBackups(*client, settings, aws.clock, 20s));
  ASSERT_TRUE(lines.ok()) << lines.error().Text();
  std::vector<std::string> levels;
  std::string all;
  for (const Readiness& line : *lines) {
    levels.push_back(line.level);
    all += line.what + "\n";
  }
  // The lost writer's copy is named; the new writer's is missing; the silent region is unknown.
  EXPECT_THAT(levels, ElementsAre("ok", "fault", "unknown")) << all;
  EXPECT_THAT(all, HasSubstr("there are no copied automated backups of 'orders-2' (us-west-2) in 'eu-central-1'"));
  EXPECT_LE(aws.clock.passed, 20s);
}

}  // namespace
}  // namespace lifeboat::aws
