#include "backup/freshness.h"

#include <gtest/gtest.h>

namespace lifeboat::backup {
namespace {

constexpr std::int64_t kNow = 1'800'000'000;

FreshnessQuestion Question() {
  FreshnessQuestion question;
  question.now = kNow;
  question.backup_age = 26h;
  question.verified_age = 72h;
  question.newest = Aged{"tuesday", kNow - 3600};
  question.verified = Aged{"monday", kNow - 25 * 3600};
  return question;
}

TEST(Freshness, WhatIsYoungEnoughPasses) {
  std::vector<Finding> findings;
  const auto lines = JudgeFreshness(Question(), findings);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].verdict, Verdict::kPass);
  EXPECT_EQ(lines[0].measured, Duration(1h));
  EXPECT_EQ(lines[1].verdict, Verdict::kPass);
  EXPECT_TRUE(findings.empty());
  EXPECT_FALSE(AnyMissed(lines));
}

TEST(Freshness, AnOldBackupIsF01) {
  FreshnessQuestion question = Question();
  question.newest->stopped = kNow - 27 * 3600;
  std::vector<Finding> findings;
  const auto lines = JudgeFreshness(question, findings);
  EXPECT_EQ(lines[0].verdict, Verdict::kFail);
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].Number(), "F01");
  EXPECT_EQ(findings[0].what, "the newest, 'tuesday', is 1 d 3 h old, and may be 1 d 2 h");
  EXPECT_TRUE(AnyMissed(lines));
}

TEST(Freshness, FreshAndNeverVerifiedIsMissed) {
  FreshnessQuestion question = Question();
  question.verified.reset();
  std::vector<Finding> findings;
  const auto lines = JudgeFreshness(question, findings);
  EXPECT_EQ(lines[0].verdict, Verdict::kPass);
  EXPECT_EQ(lines[1].verdict, Verdict::kFail);
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].what, "there is no backup that was verified to level 3");
}

TEST(Freshness, ARunThatCannotKnowSaysSoAndAccusesNobody) {
  FreshnessQuestion question = Question();
  question.verified.reset();
  question.verified_known = false;
  std::vector<Finding> findings;
  const auto lines = JudgeFreshness(question, findings);
  EXPECT_EQ(lines[1].verdict, Verdict::kNotChecked);
  EXPECT_FALSE(lines[1].reason.empty());
  EXPECT_TRUE(findings.empty());
  EXPECT_FALSE(AnyMissed(lines));
}

TEST(Freshness, ABackupFromTheFutureIsUnknownAndNoPass) {
  FreshnessQuestion question = Question();
  question.newest->stopped = kNow + 3600;
  std::vector<Finding> findings;
  const auto lines = JudgeFreshness(question, findings);
  EXPECT_EQ(lines[0].verdict, Verdict::kUnknown);
  EXPECT_TRUE(findings.empty()) << "a clock that is wrong is told elsewhere";
  EXPECT_TRUE(AnyMissed(lines));
}

TEST(Freshness, WithoutAPromiseAgesAreShownAndNotJudged) {
  FreshnessQuestion question = Question();
  question.backup_age = question.verified_age = Duration{0};
  question.newest.reset();
  std::vector<Finding> findings;
  const auto lines = JudgeFreshness(question, findings);
  EXPECT_EQ(lines[0].verdict, Verdict::kNotChecked);
  EXPECT_EQ(lines[1].measured, Duration(25h));
  EXPECT_TRUE(findings.empty());
  EXPECT_FALSE(AnyMissed(lines));
}

}  // namespace
}  // namespace lifeboat::backup
