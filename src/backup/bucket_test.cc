// What a bucket's settings and its copy say of backups, on lists made by hand.

#include "backup/bucket.h"

#include <gtest/gtest.h>

namespace lifeboat::backup {
namespace {

constexpr std::int64_t kNow = 1'800'000'000;  // 08:00 UTC
constexpr std::int64_t kDay = 86400;

std::string Told(const std::vector<Finding>& findings) {
  std::string text;
  for (const Finding& each : findings) text += each.Number() + " " + each.set + " " + each.object + ": " + each.what + "\n";
  return text;
}

ReplicaQuestion Question() {
  ReplicaQuestion question;
  question.replica = "s3://west/repo";
  question.here = {{"a", 1, kNow - kDay}, {"b", 2, kNow - kDay}, {"c", 3, kNow - kDay}};
  question.there = question.here;
  question.now = kNow;
  question.lag = std::chrono::minutes(15);
  return question;
}

TEST(BucketReplica, WhatLiesOnBothSidesIsSilent) {
  ReplicaQuestion question = Question();
  question.there.push_back({"z", 9, kNow});  // more than here: an older copy that is still kept there
  std::vector<Finding> findings;
  JudgeReplica(question, findings);
  EXPECT_EQ(Told(findings), "");
}

TEST(BucketReplica, WhatNobodyCopiesIsF40AndWhatWaitsTooLongF41) {
  ReplicaQuestion question = Question();
  question.there = {{"b", 7, kNow}};
  question.rules = "no rule covers it";
  std::map<std::string, std::string> status = {{"a", "FAILED"}, {"c", ""}};
  question.status = [&](const std::string& path) { return std::optional(status[path]); };
  std::vector<Finding> findings;
  JudgeReplica(question, findings);
  ASSERT_EQ(findings.size(), 3U) << Told(findings);
  EXPECT_EQ(findings[0].Number() + findings[0].object, "F41a");
  EXPECT_NE(findings[0].what.find("FAILED"), std::string::npos);
  EXPECT_EQ(findings[1].Number() + findings[1].object, "F40c");
  EXPECT_NE(findings[1].what.find("no rule covers it"), std::string::npos);
  EXPECT_EQ(findings[2].Number() + findings[2].object, "F40b") << "another content under the name";
}

TEST(BucketReplica, WhatIsOnItsWayHasItsTime) {
  ReplicaQuestion question = Question();
  question.there.clear();
  question.here = {{"new", 1, kNow - 60}};
  question.status = [](const std::string&) { return std::optional<std::string>("PENDING"); };
  std::vector<Finding> findings;
  JudgeReplica(question, findings);
  EXPECT_EQ(Told(findings), "");
}

ExpiryQuestion Expiry(ExpiryRule rule) {
  return {"20261123F", {{"backup/x", 100, kNow - 10 * kDay}, {"archive/y", 5000, kNow - kDay}}, "repo/", {std::move(rule)}, kNow};
}

TEST(BucketExpiry, WhatTheNewestBackupNeedsMustOutliveTheNextTwoDays) {
  const auto told = [](const ExpiryRule& rule) {
    std::vector<Finding> findings;
    JudgeExpiry(Expiry(rule), findings);
    return findings.empty() ? "" : findings[0].Number() + " " + findings[0].object + " " + std::to_string(findings[0].count);
  };
  ExpiryRule rule{"old", "repo/", 12, 0, 0, 0, false};
  EXPECT_EQ(told(rule), "") << "ten days old: it goes in two, at midnight";
  rule.days = 11;
  EXPECT_EQ(told(rule), "F42 backup/x 1");
  rule.days = 2;
  EXPECT_EQ(told(rule), "F42 backup/x 2");
  rule.less_than = 1000;
  EXPECT_EQ(told(rule), "F42 backup/x 1");
  rule.less_than = 0;
  rule.more_than = 1000;
  EXPECT_EQ(told(rule), "F42 archive/y 1");
  rule.more_than = 0;
  rule.prefix = "logs/";
  EXPECT_EQ(told(rule), "");
  rule.prefix = "";
  rule.by_tags = true;
  EXPECT_EQ(told(rule), "") << "which objects have those tags is not known";
  EXPECT_EQ(told({"by date", "", 0, kNow + kDay, 0, 0, false}), "F42 backup/x 2");
  EXPECT_EQ(told({"by date", "", 0, kNow + 30 * kDay, 0, 0, false}), "");
}

TEST(BucketLock, APromiseThatCannotBeShownIsNotKept) {
  std::vector<Finding> findings;
  EXPECT_TRUE(JudgeLock("s3://b", {true, true, {}, {}}, findings));
  EXPECT_EQ(Told(findings), "");
  EXPECT_FALSE(JudgeLock("s3://b", {true, std::nullopt, {}, {"denied"}}, findings));
  EXPECT_EQ(Told(findings), "") << "unknown accuses nobody";
  EXPECT_TRUE(JudgeLock("s3://b", {false, false, {}, {}}, findings));
  EXPECT_EQ(Told(findings), "F43  s3://b: it keeps no versions and has no Object Lock\n");
}

TEST(BucketHidden, AMarkerTakesThePlaceOfWhatItMakesMissing) {
  const std::vector<HiddenObject> hidden = {{"archive/main/15-1/0000000100000000/000000010000000000000004-ab12.lz4", kNow, "v1"},
                                            {"backup/main/20261123F/bundle/3", kNow, "v2"},
                                            {"backup/main/20261123F/pg_data/PG_VERSION.gz", kNow, ""}};
  std::vector<Finding> findings = {MakeFinding(12, "20261123F", "000000010000000000000004", "", "it is missing"),
                                   MakeFinding(10, "20261123F", "20261123F/bundle/3", "", "it is not stored"),
                                   MakeFinding(7, "20261123F", "PG_VERSION", "", "not stored"),
                                   MakeFinding(9, "20261123F", "base/1/2", "", "damaged")};
  ExplainHidden(hidden, findings);
  EXPECT_EQ(findings[0].Number() + findings[1].Number() + findings[2].Number() + findings[3].Number(), "F44F44F07F09")
      << Told(findings);
  EXPECT_EQ(findings[0].level, Level::kStructure);
  EXPECT_NE(findings[0].what.find("version 'v1'"), std::string::npos);
}

}  // namespace
}  // namespace lifeboat::backup
