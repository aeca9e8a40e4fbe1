// The checkers on bad histories: each promise is broken once, and they must say so.

#include "simulation/checker.h"

#include <gtest/gtest.h>

namespace lifeboat::simulation {
namespace {

using namespace std::chrono_literals;

bool HoldsAll(std::uint64_t) { return true; }
StatedLoss Stated(Duration time) {
  StatedLoss stated;
  stated.known = true;
  stated.time = time;
  stated.bytes = {1 << 20};
  return stated;
}
std::string BrokenPromise(const Checker& checker) { return checker.violation() ? checker.violation()->promise : "none"; }

/// Region 0 acknowledges rows 1 … 10, one every 100 ms, under epoch 1, and closes.
Checker TenRows() {
  Checker checker;
  checker.Opened(0s, 0, Epoch{1});
  for (std::uint64_t row = 1; row <= 10; ++row)
    checker.Acknowledged(100ms * static_cast<int>(row), 0, Epoch{1}, row, Lsn{row}, false);
  checker.Closed(0);
  return checker;
}

TEST(Checker, AGoodHistoryBreaksNothing) {
  Checker checker = TenRows();
  checker.BecamePrimary(5s, 1, Epoch{2}, HoldsAll, std::nullopt);
  checker.Opened(5s, 1, Epoch{2});
  checker.Acknowledged(6s, 1, Epoch{2}, 11, Lsn{11}, false);
  checker.CountedDivergence(7s, 3, 3);
  EXPECT_EQ(BrokenPromise(checker), "none");
  EXPECT_EQ(checker.acknowledged(), 11u);
  EXPECT_EQ(checker.lost(), 0u);
}

TEST(Checker, TwoThatCanCommitAtOnceBreakG1) {
  Checker checker;
  checker.Opened(1s, 0, Epoch{1});
  checker.Opened(2s, 1, Epoch{2});
  EXPECT_EQ(BrokenPromise(checker), "G1");
}

TEST(Checker, AnOldEpochThatOpensAfterANewerOneBreaksG1AlsoWhenTheyNeverOverlap) {
  Checker checker = TenRows();
  checker.Opened(5s, 1, Epoch{2});
  checker.Closed(1);
  checker.Opened(6s, 0, Epoch{1});
  EXPECT_EQ(BrokenPromise(checker), "G1");
}

TEST(Checker, ARowOfAnOldEpochAfterANewerOneWasOpenBreaksG1) {
  Checker checker = TenRows();
  checker.Opened(5s, 1, Epoch{2});
  checker.Closed(1);
  checker.Acknowledged(6s, 0, Epoch{1}, 11, Lsn{11}, false);
  EXPECT_EQ(BrokenPromise(checker), "G1");
}

TEST(Checker, OneEpochOfTwoRegionsBreaksG1) {
  Checker checker = TenRows();
  checker.Opened(5s, 1, Epoch{1});
  EXPECT_EQ(BrokenPromise(checker), "G1");
}

TEST(Checker, ARowAfterTheLeaseEndedBreaksG2) {
  Checker checker;
  checker.Opened(0s, 0, Epoch{1});
  checker.Acknowledged(1s, 0, Epoch{1}, 1, Lsn{1}, true);
  EXPECT_EQ(BrokenPromise(checker), "G2");
}

TEST(Checker, ASwitchoverThatLacksOneAcknowledgedRowBreaksG3) {
  Checker checker = TenRows();
  checker.BecamePrimary(
      5s, 1, Epoch{2}, [](std::uint64_t row) { return row != 10; }, std::nullopt);
  EXPECT_EQ(BrokenPromise(checker), "G3");
  EXPECT_EQ(checker.lost(), 1u);
}

TEST(Checker, AFailoverThatLosesWhatItStatedBreaksNothing) {
  Checker checker = TenRows();
  checker.BecamePrimary(
      5s, 1, Epoch{2}, [](std::uint64_t row) { return row <= 6; }, Stated(400ms));
  EXPECT_EQ(BrokenPromise(checker), "none");
  EXPECT_EQ(checker.lost(), 4u);
}

TEST(Checker, AFailoverThatLosesMoreThanItStatedBreaksG4) {
  Checker checker = TenRows();
  checker.BecamePrimary(
      5s, 1, Epoch{2}, [](std::uint64_t row) { return row <= 6; }, Stated(200ms));
  EXPECT_EQ(BrokenPromise(checker), "G4");
}

TEST(Checker, OneRowLostWhereProvenZeroWasStatedBreaksG4) {
  Checker checker = TenRows();
  StatedLoss none = Stated(0s);
  none.bytes = {0};
  checker.BecamePrimary(
      5s, 1, Epoch{2}, [](std::uint64_t row) { return row <= 9; }, none);
  EXPECT_EQ(BrokenPromise(checker), "G4");
}

TEST(Checker, DestroyedDivergenceAndAWrongCountBreakG4) {
  Checker destroyed;
  destroyed.DestroyedUnsaved(1s, 0);
  EXPECT_EQ(BrokenPromise(destroyed), "G4");
  Checker counted;
  counted.CountedDivergence(1s, 2, 3);
  EXPECT_EQ(BrokenPromise(counted), "G4");
}

TEST(Checker, AnAutomaticFailoverWithoutABoundOrAboveTheLimitBreaksG5) {
  StatedLoss unknown;
  unknown.automatic = true;
  Checker checker = TenRows();
  checker.BecamePrimary(5s, 1, Epoch{2}, HoldsAll, unknown);
  EXPECT_EQ(BrokenPromise(checker), "G5");

  StatedLoss above = Stated(10s);
  above.automatic = above.above_limit = true;
  checker = TenRows();
  checker.BecamePrimary(5s, 1, Epoch{2}, HoldsAll, above);
  EXPECT_EQ(BrokenPromise(checker), "G5");
}

TEST(Checker, WhatAPersonAcceptedMayBeUnknown) {
  Checker checker = TenRows();
  checker.BecamePrimary(
      5s, 1, Epoch{2}, [](std::uint64_t) { return false; }, StatedLoss());
  EXPECT_EQ(BrokenPromise(checker), "none");
}

TEST(Checker, AnExecutionThatDoesNotEndBreaksG6AndANeedlessFenceG7) {
  Checker stuck;
  stuck.Stuck(1s, "not well");
  EXPECT_EQ(BrokenPromise(stuck), "G6");
  Checker fenced;
  fenced.FencedWithoutNeed(1s, "the store was down");
  EXPECT_EQ(BrokenPromise(fenced), "G7");
}

TEST(Checker, AnActOfWhichTheJournalHadNoWordBreaksG6) {
  Checker checker;
  checker.ActedWithoutWord(1s, 1, "promote");
  EXPECT_EQ(BrokenPromise(checker), "G6");
  EXPECT_NE(checker.violation()->text.find("'promote' acted on region 1"), std::string::npos);
}

TEST(Checker, ANameThatIsLedBackToAnOlderEpochBreaksG6) {
  Checker checker;
  checker.NameWentBack(1s, Epoch{5}, Epoch{4});
  EXPECT_EQ(BrokenPromise(checker), "G6");
}

TEST(Checker, TheFirstBreachIsKept) {
  Checker checker;
  checker.Stuck(1s, "first");
  checker.DestroyedUnsaved(2s, 0);
  EXPECT_EQ(checker.violation()->text, "first");
}

}  // namespace
}  // namespace lifeboat::simulation
