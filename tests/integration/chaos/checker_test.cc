// The judge of the chaos runs on histories that are written down here: a good one passes, and each way of being bad is caught.

#include "integration/chaos/checker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "integration/chaos/evidence.h"
#include "integration/chaos/schedule.h"

namespace lifeboat::chaos {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kWall = 1'795'000'000'000 * kMs;  // wall time of moment 0

/// East writes from 0 to 1000 ms under epoch 1, west from 3000 ms on under epoch 2; east's last row is lost and named.
History Good() {
  History history;
  for (int n = 0; n < 10; ++n) {
    const std::int64_t at = n * 100 * kMs;
    history.rows.push_back({1, static_cast<std::uint64_t>(n), Fate::kAcknowledged, at, at + kMs, kWall + at + kMs, "east", 1,
                            static_cast<std::uint32_t>(700 + n)});
    if (n < 9) history.present.push_back({1, static_cast<std::uint64_t>(n), kWall + at});
  }
  history.rows.push_back({1, 10, Fate::kInDoubt, 1000 * kMs, 2000 * kMs, kWall + 2000 * kMs, "east", 0, 0});
  history.rows.push_back({1, 11, Fate::kRefused, 2000 * kMs, 2001 * kMs, kWall + 2001 * kMs, "west", 0, 0});
  for (int n = 12; n < 20; ++n) {
    const std::int64_t at = (3000 + n) * kMs;
    history.rows.push_back({1, static_cast<std::uint64_t>(n), Fate::kAcknowledged, at, at + kMs, kWall + at + kMs, "west", 2,
                            static_cast<std::uint32_t>(700 + n)});
    history.present.push_back({1, static_cast<std::uint64_t>(n), kWall + at});
  }
  history.ledger = {{"ledger/x-1", "east", 1, 1, {{709, kWall + 900 * kMs}}}};
  history.permissions = {{"east", 1, kWall - 100 * kMs, kWall + 1500 * kMs}, {"west", 2, kWall + 2900 * kMs, std::nullopt}};
  return history;
}

TEST(ChaosChecker, PassesAGoodHistoryAndCountsIt) {
  const Verdict verdict = Judge(Good());
  EXPECT_THAT(verdict.violations, IsEmpty());
  EXPECT_EQ(verdict.acknowledged, 18U);
  EXPECT_EQ(verdict.in_doubt, 1U);
  EXPECT_EQ(verdict.refused, 1U);
  EXPECT_EQ(verdict.lost, 1U);
  EXPECT_EQ(verdict.judged_by_lease, 18U);
  ASSERT_EQ(verdict.reigns.size(), 2U);
  EXPECT_EQ(verdict.reigns[0].region, "east");
}

TEST(ChaosChecker, ARowInDoubtMayBeThereOrNot) {
  History history = Good();
  history.present.push_back({1, 10, kWall + 1000 * kMs});
  EXPECT_THAT(Judge(history).violations, IsEmpty());
}

TEST(ChaosChecker, CatchesALostRowThatNothingNames) {
  History history = Good();
  history.ledger.clear();
  EXPECT_THAT(Judge(history).violations, ElementsAre(HasSubstr("row 1/9 was acknowledged by east")));
}

TEST(ChaosChecker, CatchesALostRowWhoseTransactionTheLedgerNamesForAnotherTimelineOrRegion) {
  History other_timeline = Good();
  other_timeline.ledger[0].timeline = 2;
  EXPECT_THAT(Judge(other_timeline).violations, ElementsAre(HasSubstr("the ledger does not name it")));
  History other_region = Good();
  other_region.ledger[0].region = "west";
  EXPECT_THAT(Judge(other_region).violations, ElementsAre(HasSubstr("the ledger does not name it")));
}

TEST(ChaosChecker, CatchesARowThatIsLostFromTheMiddle) {
  History history = Good();
  std::erase_if(history.present, [](const PresentRow& row) { return row.n == 4; });
  EXPECT_THAT(Judge(history).violations, ElementsAre(HasSubstr("row 1/4")));
}

TEST(ChaosChecker, CatchesARefusedRowThatIsThereAndARowThatNobodySent) {
  History refused = Good();
  refused.present.push_back({1, 11, 0});
  EXPECT_THAT(Judge(refused).violations, ElementsAre(HasSubstr("row 1/11 is there, though west refused it")));
  History unsent = Good();
  unsent.present.push_back({7, 1, 0});
  EXPECT_THAT(Judge(unsent).violations, ElementsAre(HasSubstr("nobody sent it")));
}

TEST(ChaosChecker, CatchesTwoWriters) {
  History history = Good();
  // east acknowledges one more after west's first; the ledger names it, so that nothing else is wrong
  history.rows.push_back({2, 1, Fate::kAcknowledged, 3020 * kMs, 3021 * kMs, kWall + 1400 * kMs, "east", 1, 800});
  history.ledger[0].xids[800] = kWall + 1400 * kMs;
  history.ledger[0].commits = 2;
  EXPECT_THAT(Judge(history).violations, ElementsAre(HasSubstr("two writers: east (timeline 1)")));
}

TEST(ChaosChecker, CatchesTwoWritersOnTheSameTimelineNumber) {
  History history = Good();
  for (Row& row : history.rows) row.timeline = row.region == "west" ? 1 : row.timeline;
  history.rows.push_back({2, 1, Fate::kAcknowledged, 3020 * kMs, 3021 * kMs, kWall + 1400 * kMs, "east", 1, 800});
  history.ledger[0].xids[800] = kWall + 1400 * kMs;
  history.ledger[0].commits = 2;
  EXPECT_THAT(Judge(history).violations, Contains(HasSubstr("two writers")));
}

TEST(ChaosChecker, ACommitThatWasSentBeforeTheSuccessorBeganIsNoSecondWriter) {
  History history = Good();
  // stood still while it was answered: the commit may lie anywhere in between
  history.rows.push_back({2, 1, Fate::kAcknowledged, 1400 * kMs, 4000 * kMs, kWall + 4000 * kMs, "east", 1, 800});
  history.ledger[0].xids[800] = kWall + 1401 * kMs;
  history.ledger[0].commits = 2;
  const Verdict verdict = Judge(history);
  EXPECT_THAT(verdict.violations, IsEmpty());
  EXPECT_EQ(verdict.late_arrivals, 1U) << "committed under lease, acknowledged after its end";
}

TEST(ChaosChecker, CatchesACommitAfterTheEndOfTheLease) {
  History there = Good();
  there.permissions[0].closed_wall_ns = kWall + 850 * kMs;  // rows 9 (lost, by the ledger's time) only
  EXPECT_THAT(Judge(there).violations, ElementsAre(HasSubstr("row 1/9 was committed by east 50 ms after its lease had ended")));
  there.permissions[0].closed_wall_ns = kWall + 750 * kMs;
  EXPECT_EQ(Judge(there).violations.size(), 2U) << "the one that is in the table too";
}

TEST(ChaosChecker, ALeaseThatOpensAgainCoversWhatFollows) {
  History history = Good();
  history.permissions = {{"east", 1, kWall - 100 * kMs, kWall + 50 * kMs},  // rows 1 and 2 fall between this and the next
                         {"east", 1, kWall + 800 * kMs, kWall + 1500 * kMs},
                         {"west", 2, kWall + 2900 * kMs, std::nullopt}};
  const Verdict verdict = Judge(history);
  EXPECT_THAT(verdict.violations, ElementsAre(HasSubstr("row 1/1 "), HasSubstr("row 1/2 ")));
}

TEST(ChaosChecker, CatchesALedgerThatMiscounts) {
  History history = Good();
  history.ledger[0].commits = 2;
  EXPECT_THAT(Judge(history).violations, ElementsAre(HasSubstr("counts 2 commits and holds 1")));
}

TEST(ChaosChecker, TellsTheFirstOfManyAndCountsTheRest) {
  History history = Good();
  history.present.clear();
  const Verdict verdict = Judge(history);
  EXPECT_EQ(verdict.violations.size(), 6U);
  EXPECT_THAT(verdict.violations, Contains(HasSubstr("12 more lost rows")));
}

TEST(ChaosEvidence, ReadsPermissionsFromAGuardsLog) {
  const std::string log =
      R"({"epoch":1,"message":"the gate opens","time":"2026-11-23T09:16:26.985Z"})"
      "\nnot json\n"
      R"({"closed_at":"2026-11-23T09:16:29.950Z","closed_at_ns":1795425389950431388,"epoch":1,"message":"the lease has run out: the gate is closed","time":"x"})"
      "\n"
      R"({"closed_at_ns":1795425389999999999,"epoch":1,"message":"the deadline has passed: the database is being killed","time":"x"})"
      "\n"
      R"({"epoch":3,"message":"the gate opens","time":"2026-11-23T09:17:00.000Z"})"
      "\n";
  const std::vector<Permission> permissions = PermissionsIn("east", log);
  ASSERT_EQ(permissions.size(), 2U);
  EXPECT_EQ(permissions[0].opened_wall_ns, 1795425386985000000);
  EXPECT_EQ(permissions[0].closed_wall_ns, 1795425389950431388);
  EXPECT_EQ(permissions[1].epoch, 3U);
  EXPECT_FALSE(permissions[1].closed_wall_ns);
}

TEST(ChaosSchedule, IsTheSameForTheSameSeedAndReachesEveryKind) {
  const Places places{{"east", "west"}, "witness", true};
  std::set<FaultKind> kinds;
  std::set<std::string> told;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const std::vector<Fault> faults = MakeSchedule(seed, 12s, places);
    const std::vector<Fault> again = MakeSchedule(seed, 12s, places);
    ASSERT_EQ(faults.size(), again.size());
    for (std::size_t at = 0; at < faults.size(); ++at) {
      EXPECT_EQ(Describe(faults[at]), Describe(again[at]));
      EXPECT_LE(faults[at].at + faults[at].length, 12s);
      EXPECT_NE(faults[at].region, faults[at].other);
      kinds.insert(faults[at].kind);
    }
    told.insert(faults.empty() ? "" : Describe(faults.front()));
  }
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {  // nor does one go on where its neighbour began
    std::set<std::string> targets;
    for (const Fault& fault : MakeSchedule(seed, 12s, places)) targets.insert(std::to_string(fault.length.count()));
    for (const Fault& fault : MakeSchedule(seed + 1, 12s, places))
      EXPECT_FALSE(targets.contains(std::to_string(fault.length.count())));
  }
  EXPECT_EQ(kinds.size(), 8U);
  EXPECT_GT(told.size(), 40U) << "seeds differ";
}

TEST(ChaosSchedule, WithoutANetworkNothingIsCut) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    for (const Fault& fault : MakeSchedule(seed, 12s, {{"east", "west"}, "witness", false})) {
      EXPECT_NE(fault.kind, FaultKind::kCut);
      EXPECT_NE(fault.kind, FaultKind::kCutOneWay);
    }
  }
}

}  // namespace
}  // namespace lifeboat::chaos
