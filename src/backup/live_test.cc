#include "backup/live.h"

#include <gtest/gtest.h>

namespace lifeboat::backup {
namespace {

constexpr std::int64_t kNow = 1'800'000'000;

LiveFacts Good() {
  LiveFacts facts;
  facts.now = kNow;
  facts.archive_mode = "on";
  facts.last_archived = "00000001000000000000000A";
  facts.last_archived_at = kNow - 60;
  facts.slots = {{"standby", true, "reserved", std::nullopt}};
  return facts;
}

TEST(Live, AnArchiverThatGetsOnAndSlotsThatHoldTheirWalAreNoFindings) {
  LiveFacts facts = Good();
  EXPECT_TRUE(JudgeLive(facts).empty());
  facts.last_failed = "000000010000000000000009";
  facts.last_failed_at = kNow - 3600;  // it has got over that
  facts.waiting = 1;
  facts.waiting_since = kNow - 10;
  EXPECT_TRUE(JudgeLive(facts).empty());
}

TEST(Live, AnArchiverThatFailsOrWhoseFilesWaitIsF46) {
  LiveFacts facts = Good();
  facts.last_failed = "00000001000000000000000B";
  facts.last_failed_at = kNow - 5;
  facts.failing = true;
  ASSERT_EQ(JudgeLive(facts).size(), 1U);
  EXPECT_EQ(JudgeLive(facts)[0].Number(), "F46");
  EXPECT_EQ(JudgeLive(facts)[0].position, "00000001000000000000000B");
  facts = Good();
  facts.waiting = 7;
  facts.waiting_since = kNow - 600;
  ASSERT_EQ(JudgeLive(facts).size(), 1U);
  EXPECT_EQ(JudgeLive(facts)[0].severity, Severity::kFault);
}

TEST(Live, WhereNothingIsArchivedByDesignThatIsANoteAndOnAStandbyNothing) {
  LiveFacts facts = Good();
  facts.archive_mode = "off";
  ASSERT_EQ(JudgeLive(facts).size(), 1U);
  EXPECT_EQ(JudgeLive(facts)[0].severity, Severity::kNote);
  facts.in_recovery = true;
  EXPECT_TRUE(JudgeLive(facts).empty());
}

TEST(Live, ASlotThatLostItsWalOrIsAboutToIsF47) {
  LiveFacts facts = Good();
  facts.slots = {{"gone", false, "lost", std::nullopt}, {"near", false, "unreserved", -5}, {"far", false, "extended", 1LL << 40}};
  const auto findings = JudgeLive(facts);
  ASSERT_EQ(findings.size(), 2U);
  EXPECT_EQ(findings[0].object, "slot 'gone'");
  EXPECT_EQ(findings[1].object, "slot 'near'");
}

TEST(Live, ASegmentThatTheArchiverWasToldIsKeptAndIsNotThereIsF48) {
  const LiveFacts facts = Good();
  const std::vector<std::string> kept = {"00000001000000000000000A-5ba93c9db0cff93f52b521d7420e43f6eda2784f.gz"};
  EXPECT_TRUE(JudgeKept(facts, kept).empty());
  const std::vector<std::string> dropped = {"000000010000000000000009"};
  ASSERT_EQ(JudgeKept(facts, dropped).size(), 1U);
  EXPECT_EQ(JudgeKept(facts, dropped)[0].Number(), "F48");
}

}  // namespace
}  // namespace lifeboat::backup
