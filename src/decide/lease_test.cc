#include "decide/lease.h"

#include <gtest/gtest.h>

namespace lifeboat {
namespace {

const RegionName kEast("us-east-1");
const RegionName kWest("us-west-2");
const AgentId kEastRun("east-run-1");
const AgentId kWestRun("west-run-1");
const Instant kStart{1000s, 2000s};

LeaseSettings ThreeSeconds() { return {3s, 150ms}; }
constexpr Duration kWait = 3015ms;          // L·(1+ρ)
constexpr Duration kHold = 2985ms - 150ms;  // L·(1−ρ) − margin

LeaseItem ItemOf(std::uint64_t epoch, RegionName holder, AgentId run, std::uint64_t counter = 1) {
  LeaseItem item;
  item.epoch = {epoch};
  item.holder = std::move(holder);
  item.holder_agent = std::move(run);
  item.counter = counter;
  item.candidates = {kWest};
  item.length = 3s;
  return item;
}

void Save(Lease& lease) {
  if (const auto record = lease.UnsavedRecord()) lease.OnRecordSaved(*record);
}

/// East holds epoch 1, at version 10 of incarnation 1.
Lease Holder() {
  Lease lease(kEast, kEastRun, ThreeSeconds(), AgentRecord{}, kStart);
  EXPECT_TRUE(lease.OnItem(ItemOf(1, kEast, kEastRun), 10, {1}, kStart).ok());
  Save(lease);
  return lease;
}

/// West watches East hold epoch 1; the counter was seen to move at kStart.
Lease Candidate() {
  Lease lease(kWest, kWestRun, ThreeSeconds(), AgentRecord{}, kStart - 1h);
  EXPECT_TRUE(lease.OnItem(ItemOf(1, kEast, kEastRun), 10, {1}, kStart).ok());
  Save(lease);
  return lease;
}

TEST(LeaseHolder, CountsItsDeadlineFromBeforeItAsked) {
  Lease lease = Holder();
  const auto renewal = lease.Renewal(kStart);
  ASSERT_TRUE(renewal);
  EXPECT_EQ(renewal->item.counter, 2u);
  EXPECT_FALSE(renewal->durable);
  lease.OnChange(*renewal, ChangeFate::kCommitted, 11, {1}, kStart + 900ms);  // the answer took its time
  EXPECT_TRUE(lease.HoldsAt(kStart + kHold - 1ns));
  EXPECT_FALSE(lease.HoldsAt(kStart + kHold));
  EXPECT_FALSE(lease.HoldsAt(kStart + kHold + 1ns));
}

TEST(LeaseHolder, LosesItsDeadlineWhenEitherClockSaysSo) {
  Lease lease = Holder();
  const auto renewal = lease.Renewal(kStart);
  lease.OnChange(*renewal, ChangeFate::kCommitted, 11, {1}, kStart);
  EXPECT_FALSE(lease.HoldsAt({kStart.boot + kHold, kStart.raw}));  // suspended: only the boot clock ran
  EXPECT_FALSE(lease.HoldsAt({kStart.boot, kStart.raw + kHold}));
}

TEST(LeaseHolder, GainsNothingFromARefusedOrUnansweredRenewal) {
  Lease lease = Holder();
  const auto renewal = lease.Renewal(kStart);
  lease.OnChange(*renewal, ChangeFate::kRefused, 0, {1}, kStart);
  lease.OnChange(*renewal, ChangeFate::kUnknown, 0, {1}, kStart);
  EXPECT_FALSE(lease.HoldsAt(kStart));
}

TEST(LeaseHolder, OpensAgainUnderTheSameEpochAfterABlip) {
  Lease lease = Holder();
  const auto late = lease.Renewal(kStart + 10s);
  ASSERT_TRUE(late);
  lease.OnChange(*late, ChangeFate::kCommitted, 11, {1}, kStart + 10s);
  EXPECT_TRUE(lease.HoldsAt(kStart + 11s));
  EXPECT_EQ(lease.item()->epoch, Epoch{1});
}

TEST(LeaseHolder, StopsHoldingWhenATakeoverIsSeen) {
  Lease lease = Holder();
  const auto renewal = lease.Renewal(kStart);
  lease.OnChange(*renewal, ChangeFate::kCommitted, 11, {1}, kStart);
  ASSERT_TRUE(lease.OnItem(ItemOf(2, kWest, kWestRun), 12, {1}, kStart + 1s).ok());
  EXPECT_FALSE(lease.HoldsAt(kStart + 1s));
  EXPECT_FALSE(lease.Renewal(kStart + 1s));
}

TEST(LeaseHolder, IgnoresALateAnswerOfItsOldEpochAfterATakeover) {
  Lease lease = Holder();
  const auto renewal = lease.Renewal(kStart);
  ASSERT_TRUE(lease.OnItem(ItemOf(2, kWest, kWestRun), 12, {1}, kStart + 1s).ok());
  lease.OnChange(*renewal, ChangeFate::kCommitted, 11, {1}, kStart + 2s);
  EXPECT_FALSE(lease.HoldsAt(kStart + 2s));
  EXPECT_EQ(lease.item()->epoch, Epoch{2});
}

TEST(LeaseHolder, CountsOnTheLesserOfTwoLengths) {
  Lease lease(kEast, kEastRun, {10s, 150ms}, AgentRecord{}, kStart);  // its own file says 10 s, the item says 3 s
  ASSERT_TRUE(lease.OnItem(ItemOf(1, kEast, kEastRun), 10, {1}, kStart).ok());
  const auto renewal = lease.Renewal(kStart);
  lease.OnChange(*renewal, ChangeFate::kCommitted, 11, {1}, kStart);
  EXPECT_FALSE(lease.HoldsAt(kStart + kHold));
}

TEST(LeaseHolder, ANewRunInTheSameRegionAdoptsTheLease) {
  Lease lease(kEast, AgentId("east-run-2"), ThreeSeconds(), AgentRecord{{1}, {1}, {0}, {1}, {0}}, kStart);
  ASSERT_TRUE(lease.OnItem(ItemOf(1, kEast, kEastRun), 10, {1}, kStart).ok());
  EXPECT_TRUE(lease.IsHolder());
  EXPECT_FALSE(lease.IsHolderRun());
  const auto adoption = lease.Renewal(kStart);
  ASSERT_TRUE(adoption);
  lease.OnChange(*adoption, ChangeFate::kCommitted, 11, {1}, kStart);
  EXPECT_TRUE(lease.HoldsAt(kStart + 1s));
}

TEST(LeaseRelease, IsTerminalForTheEpoch) {
  Lease lease = Holder();
  const auto renewal = lease.Renewal(kStart);
  lease.BeginRelease();
  EXPECT_FALSE(lease.HoldsAt(kStart));
  lease.OnChange(*renewal, ChangeFate::kCommitted, 11, {1}, kStart + 1ms);  // the late answer
  EXPECT_FALSE(lease.HoldsAt(kStart + 1ms));
  EXPECT_FALSE(lease.Renewal(kStart + 2ms));
}

TEST(LeaseRelease, IsWrittenOnlyAfterTheWordIsOnDisk) {
  Lease lease = Holder();
  lease.BeginRelease();
  EXPECT_FALSE(lease.Released(kStart, {kWest, "token"}));
  Save(lease);
  const auto release = lease.Released(kStart, {kWest, "token"});
  ASSERT_TRUE(release);
  EXPECT_TRUE(release->durable);
  EXPECT_EQ(release->item.released->heir, kWest);
}

TEST(LeaseRelease, OutlivesTheRunThatGaveIt) {
  Lease lease(kEast, AgentId("east-run-2"), ThreeSeconds(), AgentRecord{{1}, {1}, {1}, {1}, {0}}, kStart);
  ASSERT_TRUE(lease.OnItem(ItemOf(1, kEast, kEastRun), 10, {1}, kStart).ok());
  EXPECT_FALSE(lease.Renewal(kStart));
}

TEST(LeaseRelease, AnAbortedSwitchoverGoesOnUnderTheNextEpoch) {
  Lease lease = Holder();
  lease.BeginRelease();
  Save(lease);
  const auto claim = lease.BeginReclaim(kStart);
  ASSERT_TRUE(claim);
  EXPECT_EQ(claim->item.epoch, Epoch{2});
  EXPECT_EQ(claim->item.candidates, std::vector<RegionName>{kWest});
  lease.OnClaim(ChangeFate::kCommitted, 11, {1}, kStart);
  Save(lease);
  EXPECT_TRUE(lease.MayPromote(kStart + 1s, {2}));
}

TEST(LeaseTakeover, WaitsOutTheLeaseFromTheArrivalOfTheAnswer) {
  const Lease lease = Candidate();
  EXPECT_EQ(lease.MayTakeOver(kStart + kWait - 1ns, 0s).bar, TakeoverBar::kCounterFresh);
  EXPECT_EQ(lease.MayTakeOver(kStart + kWait - 1ns, 0s).left, 1ns);
  EXPECT_EQ(lease.MayTakeOver(kStart + kWait, 0s).bar, TakeoverBar::kNone);
  EXPECT_EQ(lease.MayTakeOver(kStart + kWait + 1ns, 0s).bar, TakeoverBar::kNone);
}

TEST(LeaseTakeover, WaitsUntilBothClocksAgree) {
  const Lease lease = Candidate();
  EXPECT_EQ(lease.MayTakeOver({kStart.boot + kWait, kStart.raw + kWait - 1ns}, 0s).bar, TakeoverBar::kCounterFresh);
  EXPECT_EQ(lease.MayTakeOver({kStart.boot + kWait - 1ns, kStart.raw + kWait}, 0s).bar, TakeoverBar::kCounterFresh);
}

TEST(LeaseTakeover, StartsTheWaitAnewWhenTheCounterMoves) {
  Lease lease = Candidate();
  ASSERT_TRUE(lease.OnItem(ItemOf(1, kEast, kEastRun, 2), 11, {1}, kStart + 3s).ok());
  EXPECT_EQ(lease.MayTakeOver(kStart + kWait, 0s).bar, TakeoverBar::kCounterFresh);
  EXPECT_EQ(lease.MayTakeOver(kStart + 3s + kWait, 0s).bar, TakeoverBar::kNone);
}

TEST(LeaseTakeover, StartsTheWaitAnewWhenTheStoreWasRestarted) {
  Lease lease = Candidate();
  ASSERT_TRUE(lease.OnItem(ItemOf(1, kEast, kEastRun), 99, {2}, kStart + 3s).ok());
  EXPECT_EQ(lease.MayTakeOver(kStart + kWait, 0s).bar, TakeoverBar::kCounterFresh);
}

TEST(LeaseTakeover, FailoverAfterLengthensTheWait) {
  const Lease lease = Candidate();
  EXPECT_EQ(lease.MayTakeOver(kStart + kWait + 10s - 1ns, 10s).bar, TakeoverBar::kCounterFresh);
  EXPECT_EQ(lease.MayTakeOver(kStart + kWait + 10s, 10s).bar, TakeoverBar::kNone);
}

TEST(LeaseTakeover, WaitsOnTheGreaterOfTwoLengths) {
  Lease lease(kWest, kWestRun, {1s, 150ms}, AgentRecord{}, kStart - 1h);
  ASSERT_TRUE(lease.OnItem(ItemOf(1, kEast, kEastRun), 10, {1}, kStart).ok());
  EXPECT_EQ(lease.MayTakeOver(kStart + kWait - 1ns, 0s).bar, TakeoverBar::kCounterFresh);
}

TEST(LeaseTakeover, IsNotForARegionThatTheItemDoesNotName) {
  Lease lease(RegionName("eu-west-1"), kWestRun, ThreeSeconds(), AgentRecord{}, kStart - 1h);
  ASSERT_TRUE(lease.OnItem(ItemOf(1, kEast, kEastRun), 10, {1}, kStart).ok());
  EXPECT_EQ(lease.MayTakeOver(kStart + 1h, 0s).bar, TakeoverBar::kNotCandidate);
}

TEST(LeaseTakeover, ARunWithoutARecordSitsOutTheStartUpWait) {
  Lease lease(kWest, kWestRun, ThreeSeconds(), std::nullopt, kStart + 100s);
  ASSERT_TRUE(lease.OnItem(ItemOf(1, kEast, kEastRun), 10, {1}, kStart).ok());
  EXPECT_EQ(lease.MayTakeOver(kStart + 100s + kWait - 1ns, 0s).bar, TakeoverBar::kStartup);
  EXPECT_EQ(lease.MayTakeOver(kStart + 100s + kWait, 0s).bar, TakeoverBar::kNone);
}

TEST(LeaseTakeover, TheHeirOfAReleaseNeedNotWait) {
  Lease lease = Candidate();
  LeaseItem released = ItemOf(1, kEast, kEastRun, 2);
  released.released = Release{kWest, "token"};
  ASSERT_TRUE(lease.OnItem(released, 11, {1}, kStart + 1s).ok());
  EXPECT_EQ(lease.MayTakeOver(kStart + 1s, 0s).bar, TakeoverBar::kNone);
}

TEST(LeaseTakeover, OthersThanTheHeirWaitForALease) {
  Lease lease = Candidate();
  LeaseItem released = ItemOf(1, kEast, kEastRun, 2);
  released.candidates = {RegionName("ap-south-1"), kWest};
  released.released = Release{RegionName("ap-south-1"), "token"};
  ASSERT_TRUE(lease.OnItem(released, 11, {1}, kStart + 1s).ok());
  EXPECT_EQ(lease.MayTakeOver(kStart + 1s + kWait - 1ns, 0s).bar, TakeoverBar::kHeirFirst);
  EXPECT_EQ(lease.MayTakeOver(kStart + 1s + kWait, 0s).bar, TakeoverBar::kNone);
}

TEST(LeaseClaim, ComparesWhatWasSeenAndWritesTheNextEpoch) {
  Lease lease = Candidate();
  const LeaseChange claim = lease.BeginClaim(kStart + kWait);
  EXPECT_EQ(claim.version, 10u);
  EXPECT_EQ(claim.incarnation, Incarnation{1});
  EXPECT_TRUE(claim.durable);
  EXPECT_EQ(claim.item.epoch, Epoch{2});
  EXPECT_EQ(claim.item.holder, kWest);
  EXPECT_TRUE(claim.item.candidates.empty()) << "neither the new holder nor the old primary is a candidate";
}

TEST(LeaseClaim, PromotesOnlyWhileItsOwnLeaseIsValidAtThatMoment) {
  Lease lease = Candidate();
  const Instant asked = kStart + kWait;
  (void)lease.BeginClaim(asked);
  lease.OnClaim(ChangeFate::kCommitted, 11, {1}, asked + 1s);
  EXPECT_FALSE(lease.MayPromote(asked + 1s, {2})) << "the epoch is not yet on this region's disk";
  Save(lease);
  EXPECT_TRUE(lease.MayPromote(asked + kHold - 1ns, {2}));
  EXPECT_FALSE(lease.MayPromote(asked + kHold, {2})) << "counted from before it asked";
  EXPECT_FALSE(lease.MayPromote(asked + 1s, {3}));
}

TEST(LeaseClaim, WithoutAnAnswerIsLookedUpBeforeAnythingElse) {
  Lease lease = Candidate();
  const LeaseChange claim = lease.BeginClaim(kStart + kWait);
  lease.OnClaim(ChangeFate::kUnknown, 0, {1}, kStart + kWait + 1s);
  EXPECT_EQ(lease.MayTakeOver(kStart + kWait + 1s, 0s).bar, TakeoverBar::kClaimUnresolved);
  ASSERT_TRUE(lease.OnItem(claim.item, 11, {1}, kStart + kWait + 2s).ok());  // it had been ours
  Save(lease);
  EXPECT_TRUE(lease.MayPromote(kStart + kWait + 2s, {2}));
}

TEST(LeaseClaim, MayBeTriedAgainOnceAReadingShowsItNotApplied) {
  Lease lease = Candidate();
  (void)lease.BeginClaim(kStart + kWait);
  lease.OnClaim(ChangeFate::kUnknown, 0, {1}, kStart + kWait + 1s);
  ASSERT_TRUE(lease.OnItem(ItemOf(1, kEast, kEastRun), 10, {1}, kStart + kWait + 2s).ok());
  EXPECT_EQ(lease.MayTakeOver(kStart + kWait + 2s, 0s).bar, TakeoverBar::kNone);
}

TEST(LeaseClaim, RefusedMeansSomebodyElseMoved) {
  Lease lease = Candidate();
  (void)lease.BeginClaim(kStart + kWait);
  lease.OnClaim(ChangeFate::kRefused, 0, {1}, kStart + kWait);
  EXPECT_FALSE(lease.MayPromote(kStart + kWait, {2}));
  EXPECT_FALSE(lease.IsHolder());
}

TEST(LeaseRefusesStore, WhoseEpochIsBelowItsRecord) {
  Lease lease(kWest, kWestRun, ThreeSeconds(), AgentRecord{{5}, {1}, {0}, {0}, {0}}, kStart);
  const auto answer = lease.OnItem(ItemOf(4, kEast, kEastRun), 10, {1}, kStart);
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().retry, Retry::kRefused);
  EXPECT_EQ(lease.MayTakeOver(kStart + 1h, 0s).bar, TakeoverBar::kNoItem);
}

TEST(LeaseRefusesStore, WhoseIncarnationIsOlderThanItsRecord) {
  Lease lease(kWest, kWestRun, ThreeSeconds(), AgentRecord{{4}, {7}, {0}, {0}, {0}}, kStart);
  EXPECT_FALSE(lease.OnItem(ItemOf(4, kEast, kEastRun), 10, {6}, kStart).ok());
}

TEST(LeaseRefusesStore, ThatWasEmptiedUnderIt) {
  Lease lease(kEast, kEastRun, ThreeSeconds(), AgentRecord{{4}, {1}, {0}, {4}, {0}}, kStart);
  EXPECT_FALSE(lease.OnItem(std::nullopt, 1, {2}, kStart).ok());
  EXPECT_FALSE(lease.Founding(kStart));
}

TEST(LeaseFounding, WritesEpochOneOnlyWhereTheStoreHasNone) {
  Lease lease(kEast, kEastRun, ThreeSeconds(), std::nullopt, kStart);
  EXPECT_FALSE(lease.Founding(kStart)) << "before the store was read";
  ASSERT_TRUE(lease.OnItem(std::nullopt, 0, {1}, kStart).ok());
  const auto founding = lease.Founding(kStart);
  ASSERT_TRUE(founding);
  EXPECT_EQ(founding->item.epoch, Epoch{1});
  EXPECT_EQ(founding->version, 0u);
}

TEST(LeaseRecord, MustBeSavedWhenTheEpochRises) {
  Lease lease = Candidate();
  EXPECT_FALSE(lease.UnsavedRecord());
  ASSERT_TRUE(lease.OnItem(ItemOf(2, kEast, kEastRun), 11, {1}, kStart + 1s).ok());
  ASSERT_TRUE(lease.UnsavedRecord());
  EXPECT_EQ(lease.UnsavedRecord()->highest, Epoch{2});
}

TEST(LeaseRecord, ACopyThatWasWritableIsDetachedUntilItHasJoined) {
  AgentRecord record;
  EXPECT_FALSE(record.Detached()) << "a copy that was never primary holds nothing of its own";
  record.held = {1};
  EXPECT_TRUE(record.Detached());
  record.joined = {2};
  EXPECT_FALSE(record.Detached());
}

}  // namespace
}  // namespace lifeboat
