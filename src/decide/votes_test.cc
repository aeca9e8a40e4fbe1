#include "decide/votes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lifeboat {
namespace {

using ::testing::HasSubstr;

const RegionName kEast{"us-east-1"};
const RegionName kWest{"us-west-2"};
const RegionName kWitness{"eu-west-1"};

Instant At(Duration d) { return {1h + d, 1h + d}; }

class CanaryJudgeTest : public ::testing::Test {
 protected:
  CanaryJudgeTest() { judge_.About(kEast, Epoch{1}); }
  void Row(Duration at, Duration took, bool committed = true, bool telling = true) {
    judge_.OnRow({At(at), took, committed, telling, committed ? "" : "connection refused"});
    now_ = at + took;
  }
  /// Good rows, two a second.
  void Good(Duration from, Duration to) {
    for (Duration at = from; at < to; at += 500ms) Row(at, 5ms);
  }
  Vote Now() { return judge_.VoteAt(At(now_)); }

  CanaryJudge judge_{750ms, 10s};
  Duration now_{};
};

TEST_F(CanaryJudgeTest, NothingIsKnownBeforeTheFirstRow) {
  EXPECT_EQ(Now().opinion, Opinion::kUnknown);
  Row(0s, 5ms);
  EXPECT_EQ(Now().opinion, Opinion::kOk);
}

TEST_F(CanaryJudgeTest, OneBadRowIsNoVoteAndTwoInARowAre) {
  Good(0s, 5s);
  Row(5s, 2ms, false);
  EXPECT_EQ(Now().opinion, Opinion::kOk);
  Row(5100ms, 2ms, false);
  EXPECT_EQ(Now().opinion, Opinion::kDegraded);
  EXPECT_EQ(Now().lasted, 102ms);
  EXPECT_THAT(Now().why, HasSubstr("connection refused"));
}

TEST_F(CanaryJudgeTest, SlowRowsAreDegradedAndNameTheBound) {
  Good(0s, 5s);
  Row(5s, 800ms);
  Row(6s, 900ms);
  EXPECT_EQ(Now().opinion, Opinion::kDegraded);
  EXPECT_THAT(Now().why, HasSubstr("900 ms"));
  EXPECT_THAT(Now().why, HasSubstr("750 ms"));
}

TEST_F(CanaryJudgeTest, TheVoteTurnsBackOnlyAfterAGoodStretch) {
  Row(0s, 2ms, false);
  Row(100ms, 2ms, false);
  Good(1s, 10s);
  EXPECT_EQ(Now().opinion, Opinion::kDegraded) << "9 s are no good stretch of 10 s";
  Good(10s, 12s);
  EXPECT_EQ(Now().opinion, Opinion::kOk);
}

TEST_F(CanaryJudgeTest, ARegionThatFailsNowAndThenIsSteadilyDegraded) {
  Row(0s, 2ms, false);
  Row(100ms, 2ms, false);
  for (Duration at = 1s; at < 60s; at += 6s) {
    Good(at, at + 5s);
    Row(at + 5s, 2ms, false);
    Row(at + 5100ms, 2ms, false);
    EXPECT_EQ(Now().opinion, Opinion::kDegraded) << Seconds(at);
  }
  EXPECT_GT(Now().lasted, 50s) << "without a break";
}

TEST_F(CanaryJudgeTest, ARowThatSaysNothingIsNoVote) {
  Row(0s, 2ms, false);
  Row(100ms, 2ms, false);
  Row(200ms, 2ms, false, false);
  EXPECT_EQ(Now().opinion, Opinion::kUnknown);
}

TEST_F(CanaryJudgeTest, AVoteThatNoRowBearsOutGrowsStale) {
  Good(0s, 5s);
  EXPECT_EQ(judge_.VoteAt(At(9s)).opinion, Opinion::kOk);
  EXPECT_EQ(judge_.VoteAt(At(11s)).opinion, Opinion::kUnknown);
}

TEST_F(CanaryJudgeTest, AnotherPrimaryshipBeginsAnew) {
  Row(0s, 2ms, false);
  Row(100ms, 2ms, false);
  judge_.About(kEast, Epoch{1});
  EXPECT_EQ(Now().opinion, Opinion::kDegraded);
  judge_.About(kWest, Epoch{2});
  EXPECT_EQ(Now().opinion, Opinion::kUnknown);
}

Vote Degraded(const RegionName& about = kEast, Epoch epoch = Epoch{1}) {
  Vote vote;
  vote.opinion = Opinion::kDegraded;
  vote.about = about;
  vote.epoch = epoch;
  vote.why = "connection refused";
  return vote;
}
Vote Ok() {
  Vote vote = Degraded();
  vote.opinion = Opinion::kOk;
  return vote;
}

class VoteTallyTest : public ::testing::Test {
 protected:
  VoteCount Count(Duration at, std::vector<Ballot> ballots, std::size_t agents = 3) {
    return tally_.Count(At(at), kEast, Epoch{1}, agents, ballots);
  }
  const std::vector<Ballot> majority_{{kWest, Degraded()}, {kWitness, Degraded()}};
  VoteTally tally_;
};

TEST_F(VoteTallyTest, AMajorityIsCountedFromWhenItWasFirstSeen) {
  EXPECT_EQ(Count(0s, majority_).majority_for, 0s);
  EXPECT_EQ(Count(1s, majority_).majority_for, 1s);
  EXPECT_EQ(Count(2s, majority_).majority_for, 2s);
  EXPECT_THAT(Count(2s, majority_).why, HasSubstr("us-west-2: connection refused; eu-west-1"));
}

TEST_F(VoteTallyTest, AMinorityIsNoMajorityHoweverFewAnswer) {
  EXPECT_FALSE(Count(0s, {{kWest, Degraded()}}).majority_for);
  EXPECT_FALSE(Count(1s, {{kWest, Degraded()}, {kWitness, Ok()}}).majority_for);
  EXPECT_FALSE(Count(2s, majority_, 4).majority_for) << "two of four are no majority";
  EXPECT_EQ(Count(3s, majority_, 4).Unknown(), 2u);
}

TEST_F(VoteTallyTest, ABreakBeginsTheCountAnew) {
  EXPECT_TRUE(Count(0s, majority_).majority_for);
  EXPECT_FALSE(Count(1s, {{kWest, Degraded()}, {kWitness, Ok()}}).majority_for);
  EXPECT_EQ(Count(2s, majority_).majority_for, 0s);
}

TEST_F(VoteTallyTest, AnAgentThatStoodStillDoesNotKnowWhetherTheMajorityDid) {
  EXPECT_TRUE(Count(0s, majority_).majority_for);
  EXPECT_EQ(Count(40s, majority_).majority_for, 0s);
}

TEST_F(VoteTallyTest, VotesAboutAnotherPrimaryshipAreNone) {
  EXPECT_FALSE(Count(0s, {{kWest, Degraded(kEast, Epoch{2})}, {kWitness, Degraded(kWest)}}).majority_for);
  EXPECT_TRUE(Count(1s, majority_).majority_for);
  EXPECT_EQ(tally_.Count(At(2s), kEast, Epoch{2}, 3, majority_).degraded, 0u);
  EXPECT_EQ(Count(3s, majority_).majority_for, 0s);
}

TEST_F(VoteTallyTest, NothingIsCountedWhileThereIsNothingToCountAbout) {
  EXPECT_FALSE(tally_.Count(At(0s), RegionName(), Epoch{1}, 3, majority_).majority_for);
  EXPECT_EQ(tally_.Count(At(0s), RegionName(), Epoch{1}, 3, majority_).degraded, 0u);
}

TEST(GoodStretch, IsAThirdWithinBounds) {
  EXPECT_EQ(GoodStretchOf(30s), 10s);
  EXPECT_EQ(GoodStretchOf(1s), 2s);
  EXPECT_EQ(GoodStretchOf(10min), 30s);
}

}  // namespace
}  // namespace lifeboat
