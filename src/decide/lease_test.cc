#include "decide/lease.h"

#include <gmock/gmock.h>
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
  ASSERT_TRUE(lease.OnItem(ItemOf(1, kEast, kEastRun), 10, {1}, kStart + 10s).ok());  // the store is heard again
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

TEST(LeaseHolder, AsksNothingBindingOfTheStoreAfterItsDeadlineUntilTheStoreWasHeard) {
  Lease lease = Holder();
  EXPECT_FALSE(lease.Renewal(kStart + 10s));
  ASSERT_TRUE(lease.OnItem(ItemOf(1, kEast, kEastRun), 10, {1}, kStart + 10s).ok());
  EXPECT_TRUE(lease.Renewal(kStart + 10s));
  EXPECT_FALSE(lease.Renewal(kStart + 14s));
}

TEST(LeaseHolder, ARenewalWhoseAnswerWasLostCountsFromItsOwnBeginningOnceItIsSeenApplied) {
  Lease lease = Holder();
  const auto first = lease.Renewal(kStart);
  lease.OnChange(*first, ChangeFate::kUnknown, 0, {1}, kStart + 100ms);
  const auto second = lease.Renewal(kStart + 500ms);  // the same change of the same item: at most one of them is applied
  lease.OnChange(*second, ChangeFate::kUnknown, 0, {1}, kStart + 600ms);
  ASSERT_TRUE(lease.OnItem(first->item, 11, {1}, kStart + 700ms).ok());
  EXPECT_TRUE(lease.HoldsAt(kStart + kHold - 1ns));
  EXPECT_FALSE(lease.HoldsAt(kStart + kHold));
}

// ---- the promise path ----

const RegionName kNorth("eu-north-1");

/// East holds epoch 1 with west and north as candidates, at version 10; its lease by the store began at kStart.
Lease HolderOfTwo() {
  Lease lease(kEast, kEastRun, ThreeSeconds(), AgentRecord{}, kStart);
  LeaseItem item = ItemOf(1, kEast, kEastRun);
  item.candidates = {kNorth, kWest};
  EXPECT_TRUE(lease.OnItem(item, 10, {1}, kStart).ok());
  Save(lease);
  const auto renewal = lease.Renewal(kStart);
  lease.OnChange(*renewal, ChangeFate::kCommitted, 11, {1}, kStart);
  return lease;
}

PromiseAnswer YesOf(const RegionName& region, const PromiseQuestion& question) {
  PromiseAnswer answer;
  answer.region = region;
  answer.agent = question.agent;
  answer.epoch = question.epoch;
  answer.asked = question.asked;
  answer.binding = question.binding;
  answer.promised = true;
  answer.granted = question.length;
  answer.highest = question.epoch;
  return answer;
}

bool Extends(Lease& lease, const RegionName& from, const PromiseAnswer& answer) {
  return lease.OnPromise(from, answer, answer.asked + 10ms) == Lease::Heard::kExtended;
}

TEST(LeasePromises, OfAllCandidatesCarryTheLeaseFromBeforeTheQuestion) {
  Lease lease = HolderOfTwo();
  const Instant t0 = kStart + 1s;
  const auto question = lease.BeginRound(t0);
  ASSERT_TRUE(question);
  EXPECT_TRUE(question->binding);
  EXPECT_FALSE(Extends(lease, kWest, YesOf(kWest, *question)));
  EXPECT_FALSE(lease.HoldsAt(kStart + kHold)) << "one of two is nobody's word";
  EXPECT_TRUE(Extends(lease, kNorth, YesOf(kNorth, *question)));
  EXPECT_TRUE(lease.HoldsAt(t0 + kHold - 1ns));
  EXPECT_FALSE(lease.HoldsAt(t0 + kHold));
  EXPECT_EQ(lease.PromiseDeadline(), t0 + kHold);
  EXPECT_EQ(lease.StoreDeadline(), kStart + kHold);
}

TEST(LeasePromises, OfTwoRoundsAreNeverMixed) {
  Lease lease = HolderOfTwo();
  const auto first = lease.BeginRound(kStart + 1s);
  const auto second = lease.BeginRound(kStart + 2s);
  EXPECT_FALSE(Extends(lease, kWest, YesOf(kWest, *first)));
  EXPECT_FALSE(Extends(lease, kNorth, YesOf(kNorth, *second)));
  EXPECT_EQ(lease.PromiseDeadline(), std::nullopt);
}

TEST(LeasePromises, CountForTheRunAndTheEpochAndTheRegionThatAreMeant) {
  Lease lease = Holder();
  const auto renewal = lease.Renewal(kStart);
  lease.OnChange(*renewal, ChangeFate::kCommitted, 11, {1}, kStart);
  const auto question = lease.BeginRound(kStart + 1s);
  PromiseAnswer other_run = YesOf(kWest, *question);
  other_run.agent = AgentId("east-run-0");
  EXPECT_FALSE(Extends(lease, kWest, other_run));
  PromiseAnswer other_epoch = YesOf(kWest, *question);
  other_epoch.epoch = {0};
  EXPECT_FALSE(Extends(lease, kWest, other_epoch));
  EXPECT_FALSE(Extends(lease, kNorth, YesOf(kWest, *question))) << "another agent passes on west's answer";
  EXPECT_FALSE(Extends(lease, kNorth, YesOf(kNorth, *question))) << "north is no candidate";
  PromiseAnswer probe = YesOf(kWest, *question);
  probe.binding = false;
  EXPECT_FALSE(Extends(lease, kWest, probe)) << "a probe's answer binds nobody";
  EXPECT_TRUE(Extends(lease, kWest, YesOf(kWest, *question)));
}

TEST(LeasePromises, TheLeastLengthGrantedCounts) {
  Lease lease = HolderOfTwo();
  const auto question = lease.BeginRound(kStart + 2s);
  PromiseAnswer brief = YesOf(kNorth, *question);
  brief.granted = 2s;
  Extends(lease, kNorth, brief);
  EXPECT_TRUE(Extends(lease, kWest, YesOf(kWest, *question)));
  EXPECT_EQ(lease.PromiseDeadline(), kStart + 2s + 1990ms - 150ms);
}

TEST(LeasePromises, NobodyToAskIsNobodysWord) {
  Lease lease(kEast, kEastRun, ThreeSeconds(), AgentRecord{}, kStart);
  LeaseItem item = ItemOf(1, kEast, kEastRun);
  item.candidates.clear();
  ASSERT_TRUE(lease.OnItem(item, 10, {1}, kStart).ok());
  EXPECT_FALSE(lease.BeginRound(kStart));
}

TEST(LeasePromises, AfterTheDeadlineOnlyProbesAreSentUntilAllHaveAnsweredOne) {
  Lease lease = Holder();
  const auto probe = lease.BeginRound(kStart + 10s);
  ASSERT_TRUE(probe);
  EXPECT_FALSE(probe->binding);
  EXPECT_FALSE(Extends(lease, kWest, YesOf(kWest, *probe)));
  EXPECT_FALSE(lease.HoldsAt(kStart + 10s));
  const auto question = lease.BeginRound(kStart + 10500ms);
  EXPECT_TRUE(question->binding);
  EXPECT_TRUE(Extends(lease, kWest, YesOf(kWest, *question)));
  EXPECT_TRUE(lease.HoldsAt(kStart + 11s)) << "a blip needs no person";
  // Answers lost again: a length later nobody is bound any more.
  EXPECT_FALSE(lease.BeginRound(kStart + 14s)->binding);
}

TEST(LeasePromises, ARegionThatIsBeingMadeACandidateMustPromiseToo) {
  Lease lease = Holder();
  const auto renewal = lease.Renewal(kStart);
  lease.OnChange(*renewal, ChangeFate::kCommitted, 11, {1}, kStart);
  const auto before = lease.BeginRound(kStart + 900ms);
  const auto change = lease.BeginMembership(kStart + 1s, {kWest, kNorth});
  ASSERT_TRUE(change);
  EXPECT_FALSE(Extends(lease, kWest, YesOf(kWest, *before))) << "the store may have taken the change already";
  const auto during = lease.BeginRound(kStart + 1100ms);
  EXPECT_FALSE(Extends(lease, kWest, YesOf(kWest, *during)));
  lease.OnChange(*change, ChangeFate::kUnknown, 0, {1}, kStart + 2s);
  EXPECT_TRUE(Extends(lease, kNorth, YesOf(kNorth, *during)));
  // Another change stands in its place: it can no longer be applied, and north is not asked any more.
  LeaseItem other = ItemOf(1, kEast, kEastRun, 3);
  ASSERT_TRUE(lease.OnItem(other, 12, {1}, kStart + 2s).ok());
  EXPECT_EQ(lease.Asked(), std::vector<RegionName>{kWest});
}

TEST(LeasePromises, AChangeWhoseAnswerNeverCameIsNotForgottenOverTheNext) {
  Lease lease = Holder();
  const auto renewal = lease.Renewal(kStart);
  lease.OnChange(*renewal, ChangeFate::kCommitted, 11, {1}, kStart);
  // Given a region that is being added, by a transaction that is still on its way.
  const auto adding = lease.BeginMembership(kStart + 1s, {kWest, kNorth});
  ASSERT_TRUE(adding);
  lease.OnChange(*adding, ChangeFate::kUnknown, 0, {1}, kStart + 2s);
  // When another change expects the same item, the first can still be the one that is applied.
  const auto removing = lease.BeginMembership(kStart + 2s, {});
  ASSERT_TRUE(removing);
  EXPECT_EQ(removing->version, adding->version);
  EXPECT_THAT(lease.Asked(), ::testing::IsSupersetOf({kWest, kNorth}));
  // Seen applied, the store's word counts again.
  ASSERT_TRUE(lease.OnItem(removing->item, 12, {1}, kStart + 3s).ok());
  EXPECT_TRUE(lease.Asked().empty());
}

TEST(LeasePromises, ARegionIsRemovedByTheTransactionAndAskedUntilThen) {
  Lease lease = HolderOfTwo();
  const auto change = lease.BeginMembership(kStart + 1s, {kWest});
  EXPECT_EQ(lease.Asked().size(), 2u);
  lease.OnChange(*change, ChangeFate::kCommitted, 12, {1}, kStart + 1s);
  EXPECT_EQ(lease.Asked(), std::vector<RegionName>{kWest});
}

TEST(LeasePromises, AHigherEpochInAnAnswerEndsTheLeaseAtOnce) {
  Lease lease = HolderOfTwo();
  const auto question = lease.BeginRound(kStart + 1s);
  PromiseAnswer no = YesOf(kWest, *question);
  no.promised = false;
  no.highest = {2};
  Extends(lease, kWest, no);
  EXPECT_FALSE(lease.HoldsAt(kStart + 1s));
  EXPECT_FALSE(lease.Renewal(kStart + 1s));
}

TEST(LeasePromises, ATimeThatPassedElsewhereAndNotHereVoidsTheLease) {
  // given a holder whose candidate's clock was read once
  Lease lease = Holder();
  const auto renewal = lease.Renewal(kStart);
  lease.OnChange(*renewal, ChangeFate::kCommitted, 11, {1}, kStart);
  const auto first = lease.BeginRound(kStart);
  PromiseAnswer answer = YesOf(kWest, *first);
  answer.run = kWestRun;
  answer.clock = {500s, 900s};
  EXPECT_EQ(lease.OnPromise(kWest, answer, kStart + 10ms), Lease::Heard::kExtended);
  // when half a second passes here, and as much there, nothing is amiss
  const auto second = lease.BeginRound(kStart + 500ms);
  answer = YesOf(kWest, *second);
  answer.run = kWestRun;
  answer.clock = {500500ms, 900500ms};
  EXPECT_EQ(lease.OnPromise(kWest, answer, kStart + 510ms), Lease::Heard::kExtended);
  // when ten seconds pass there within another half second here, this machine was paused together with its clocks
  const auto third = lease.BeginRound(kStart + 1s);
  answer = YesOf(kWest, *third);
  answer.run = kWestRun;
  answer.clock = {510s, 910s};
  EXPECT_EQ(lease.OnPromise(kWest, answer, kStart + 1010ms), Lease::Heard::kJump);
  // then the lease is void until the store, or all candidates, have been heard anew
  EXPECT_FALSE(lease.HoldsAt(kStart + 1010ms));
  EXPECT_FALSE(lease.Renewal(kStart + 1010ms));
  EXPECT_FALSE(lease.BeginRound(kStart + 1500ms)->binding);
}

TEST(LeasePromises, ANewRunOfTheOtherAgentIsNoJump) {
  Lease lease = Holder();
  const auto renewal = lease.Renewal(kStart);
  lease.OnChange(*renewal, ChangeFate::kCommitted, 11, {1}, kStart);
  PromiseAnswer answer = YesOf(kWest, *lease.BeginRound(kStart));
  answer.run = kWestRun;
  answer.clock = {500s, 900s};
  lease.OnPromise(kWest, answer, kStart + 10ms);
  answer = YesOf(kWest, *lease.BeginRound(kStart + 500ms));
  answer.run = AgentId("west-run-2");
  answer.clock = {9000s, 9900s};
  EXPECT_EQ(lease.OnPromise(kWest, answer, kStart + 510ms), Lease::Heard::kExtended);
}

TEST(LeasePromises, AfterAReleaseALateAnswerOpensNothing) {
  Lease lease = HolderOfTwo();
  const auto question = lease.BeginRound(kStart + 1s);
  Extends(lease, kWest, YesOf(kWest, *question));
  lease.BeginRelease();
  EXPECT_FALSE(Extends(lease, kNorth, YesOf(kNorth, *question)));
  EXPECT_FALSE(lease.HoldsAt(kStart + 1s));
}

PromiseQuestion QuestionOf(std::uint64_t epoch, Instant asked) { return {kEast, kEastRun, {epoch}, asked, 3s, true}; }

PromiseAnswer Ask(Lease& lease, const PromiseQuestion& question, Instant now, bool in_recovery = true) {
  lease.NoteQuestion(question);
  Save(lease);
  return lease.Promise(question, in_recovery, now);
}

TEST(LeasePromiser, IsBoundFromTheArrivalOfTheQuestionAndDoesNotTakeOver) {
  Lease lease = Candidate();
  const Instant arrived = kStart + 2s;
  EXPECT_TRUE(Ask(lease, QuestionOf(1, kStart), arrived).promised);
  const TakeoverAnswer answer = lease.MayTakeOver(kStart + kWait, 0s);
  EXPECT_EQ(answer.bar, TakeoverBar::kPromise);
  EXPECT_EQ(answer.left, 2s);
  EXPECT_EQ(lease.MayTakeOver(arrived + kWait, 0s).bar, TakeoverBar::kNone);
}

TEST(LeasePromiser, IsFreedByTheReleaseOfThatEpochInTheStoreAndByNoEarlierOne) {
  Lease lease = Candidate();
  ASSERT_TRUE(Ask(lease, QuestionOf(1, kStart), kStart + 1s).promised);
  LeaseItem released = ItemOf(1, kEast, kEastRun, 2);
  released.released = Release{kWest, "token"};
  Lease late = Candidate();
  ASSERT_TRUE(Ask(late, QuestionOf(2, kStart), kStart + 1s).promised);  // to the holder of the next epoch

  ASSERT_TRUE(lease.OnItem(released, 11, {1}, kStart + 1s).ok());
  EXPECT_EQ(lease.MayTakeOver(kStart + 1s, 0s).bar, TakeoverBar::kNone);
  EXPECT_FALSE(Ask(lease, QuestionOf(1, kStart), kStart + 1s).promised);
  EXPECT_FALSE(late.OnItem(released, 11, {1}, kStart + 1s).ok());
  EXPECT_TRUE(late.PromisedUntil());
}

TEST(LeasePromiser, IsNotBoundByAProbe) {
  Lease lease = Candidate();
  PromiseQuestion probe = QuestionOf(1, kStart);
  probe.binding = false;
  EXPECT_TRUE(Ask(lease, probe, kStart + 2s).promised);
  EXPECT_EQ(lease.MayTakeOver(kStart + kWait, 0s).bar, TakeoverBar::kNone);
}

TEST(LeasePromiser, RefusesALowerEpochAndSaysWhichItKnows) {
  Lease lease = Candidate();
  ASSERT_TRUE(lease.OnItem(ItemOf(2, kNorth, AgentId("n")), 11, {1}, kStart).ok());
  const PromiseAnswer answer = Ask(lease, QuestionOf(1, kStart), kStart);
  EXPECT_FALSE(answer.promised);
  EXPECT_EQ(answer.highest, Epoch{2});
}

TEST(LeasePromiser, GivesItsWordOnlyWhenTheEpochAndTheLengthAreOnDisk) {
  Lease lease = Candidate();
  const PromiseQuestion question = QuestionOf(2, kStart);
  lease.NoteQuestion(question);
  EXPECT_FALSE(lease.Promise(question, true, kStart).promised);
  Save(lease);
  EXPECT_TRUE(lease.Promise(question, true, kStart).promised);
  EXPECT_EQ(lease.record().longest_promise, 3s);
}

TEST(LeasePromiser, RefusesWhileItsDatabaseMayBeWritable) {
  Lease lease = Candidate();
  EXPECT_FALSE(Ask(lease, QuestionOf(1, kStart), kStart, false).promised);
}

TEST(LeasePromiser, RefusesWhileItsOwnClaimTravels) {
  Lease lease = Candidate();
  const LeaseChange claim = lease.BeginClaim(kStart + kWait);
  EXPECT_FALSE(Ask(lease, QuestionOf(1, kStart), kStart + kWait).promised);
  lease.OnClaim(ChangeFate::kUnknown, 0, {1}, kStart + kWait);
  EXPECT_FALSE(Ask(lease, QuestionOf(1, kStart), kStart + kWait).promised) << "it may have been ours";
  lease.OnClaim(ChangeFate::kRefused, 0, {1}, kStart + kWait);
  EXPECT_TRUE(Ask(lease, QuestionOf(1, kStart), kStart + kWait).promised);
}

TEST(LeasePromiser, GrantsNoMoreThanItsOwnLength) {
  Lease lease(kWest, kWestRun, {1s, 150ms}, AgentRecord{}, kStart - 1h);
  ASSERT_TRUE(lease.OnItem(ItemOf(1, kEast, kEastRun), 10, {1}, kStart).ok());
  Save(lease);
  EXPECT_EQ(Ask(lease, QuestionOf(1, kStart), kStart).granted, 1s);
}

TEST(LeasePromiser, ANewRunSitsOutTheLongestPromiseOfEarlierOnes) {
  AgentRecord record;
  record.highest = {1};
  record.incarnation = {1};
  record.longest_promise = 3s;
  Lease lease(kWest, AgentId("west-run-2"), ThreeSeconds(), record, kStart);
  LeaseItem item = ItemOf(1, kEast, kEastRun);
  ASSERT_TRUE(lease.OnItem(item, 10, {1}, kStart - 1h).ok());  // the counter alone would allow it
  EXPECT_EQ(lease.MayTakeOver(kStart, 0s).bar, TakeoverBar::kStartup);
  EXPECT_FALSE(Ask(lease, QuestionOf(1, kStart), kStart).promised);
  EXPECT_TRUE(Ask(lease, QuestionOf(1, kStart), kStart + kWait).promised);
}

TEST(LeasePromiser, WithoutARecordPromisesNothingBeforeItHasReadTheStore) {
  Lease lease(kWest, kWestRun, ThreeSeconds(), std::nullopt, kStart - 1h);
  EXPECT_FALSE(Ask(lease, QuestionOf(1, kStart), kStart).promised);
  ASSERT_TRUE(lease.OnItem(ItemOf(1, kEast, kEastRun), 10, {1}, kStart).ok());
  EXPECT_TRUE(Ask(lease, QuestionOf(1, kStart), kStart).promised);
}

TEST(LeasePromiser, APersonsWordStandsInForItsOwnPromiseAndIsWrittenIntoTheItem) {
  Lease lease = Candidate();
  ASSERT_TRUE(Ask(lease, QuestionOf(1, kStart), kStart + kWait).promised);
  const LeaseChange claim = lease.BeginClaim(kStart + kWait, "ops: the rack is dark");
  EXPECT_EQ(claim.item.attested, "ops: the rack is dark");
  lease.OnClaim(ChangeFate::kCommitted, 11, {1}, kStart + kWait);
  Save(lease);
  EXPECT_TRUE(lease.MayPromote(kStart + kWait, {2}));
}

TEST(LeaseClaim, IsNotFollowedByAPromotionWhileAPromiseIsAlive) {
  Lease lease = Candidate();
  const LeaseChange claim = lease.BeginClaim(kStart + kWait);
  // Broken on purpose by its caller: a promise was given although the claim travelled.
  lease.OnClaim(ChangeFate::kRefused, 0, {1}, kStart + kWait);
  ASSERT_TRUE(Ask(lease, QuestionOf(1, kStart), kStart + kWait).promised);
  ASSERT_TRUE(lease.OnItem(claim.item, 11, {1}, kStart + kWait).ok());
  Save(lease);
  EXPECT_FALSE(lease.MayPromote(kStart + kWait, {2}));
}

TEST(PromiseWords, SurviveTheirTravelAsJson) {
  const PromiseQuestion question = QuestionOf(7, kStart);
  const auto asked = PromiseQuestionFromJson(ToJson(question));
  ASSERT_TRUE(asked.ok());
  EXPECT_EQ(*asked, question);
  const PromiseAnswer answer = YesOf(kWest, question);
  const auto answered = PromiseAnswerFromJson(ToJson(answer));
  ASSERT_TRUE(answered.ok());
  EXPECT_EQ(*answered, answer);
  EXPECT_FALSE(PromiseQuestionFromJson(Json{{"holder", "x"}}).ok());
  EXPECT_FALSE(PromiseAnswerFromJson(Json::array()).ok());
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

TEST(LeaseTakeover, TheHeirNeedNotSitOutWhatAnEarlierRunPromisedForTheReleasedEpoch) {
  AgentRecord record;
  record.highest = {1};
  record.longest_promise = 3s;
  LeaseItem released = ItemOf(1, kEast, kEastRun);
  released.released = Release{kWest, "token"};
  // Given a run that began just now, and a release of the only epoch that an earlier run can have promised for.
  Lease lease(kWest, kWestRun, ThreeSeconds(), record, kStart);
  ASSERT_TRUE(lease.OnItem(released, 10, {1}, kStart).ok());
  EXPECT_EQ(lease.MayTakeOver(kStart, 0s).bar, TakeoverBar::kNone);
  // A silent holder is another matter.
  Lease waits(kWest, kWestRun, ThreeSeconds(), record, kStart);
  ASSERT_TRUE(waits.OnItem(ItemOf(1, kEast, kEastRun), 10, {1}, kStart).ok());
  EXPECT_EQ(waits.MayTakeOver(kStart, 0s).bar, TakeoverBar::kStartup);
  // And so is a run that has no record: it does not know for which epochs it promised.
  Lease without(kWest, kWestRun, ThreeSeconds(), std::nullopt, kStart);
  ASSERT_TRUE(without.OnItem(released, 10, {1}, kStart).ok());
  EXPECT_EQ(without.MayTakeOver(kStart, 0s).bar, TakeoverBar::kStartup);
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

TEST(LeaseClaim, ASecondTryCountsFromTheFirst) {
  Lease lease = Candidate();
  const Instant first = kStart + kWait;
  const LeaseChange claim = lease.BeginClaim(first);
  lease.OnClaim(ChangeFate::kUnknown, 0, {1}, first + 700ms);
  ASSERT_TRUE(lease.OnItem(ItemOf(1, kEast, kEastRun), 10, {1}, first + 700ms).ok());  // not applied so far
  (void)lease.BeginClaim(first + 1s);
  lease.OnClaim(ChangeFate::kUnknown, 0, {1}, first + 2s);
  // Either may be the one that was applied, and whoever waits may have seen it as early as the first was sent.
  ASSERT_TRUE(lease.OnItem(claim.item, 11, {1}, first + 2s).ok());
  EXPECT_TRUE(lease.HoldsAt(first + kHold - 1ns));
  EXPECT_FALSE(lease.HoldsAt(first + kHold));
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

TEST(LeaseRefusesStore, WhoseVersionsStayBelowItsOwnInOneIncarnationAndNotASingleAnswerThatWasOvertaken) {
  Lease lease = Candidate();
  EXPECT_TRUE(lease.OnItem(ItemOf(1, kEast, kEastRun, 0), 9, {1}, kStart + 100ms).ok());
  EXPECT_TRUE(lease.OnItem(ItemOf(1, kEast, kEastRun, 0), 9, {1}, kStart + 2s).ok());
  // A newer one came in between: the older ones were overtaken.
  ASSERT_TRUE(lease.OnItem(ItemOf(1, kEast, kEastRun, 2), 11, {1}, kStart + 3s).ok());
  EXPECT_TRUE(lease.OnItem(ItemOf(1, kEast, kEastRun, 0), 9, {1}, kStart + 3500ms).ok());
  // None comes any more.
  const auto answer = lease.OnItem(ItemOf(1, kEast, kEastRun, 0), 10, {1}, kStart + 3500ms + kWait + 1ms);
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().retry, Retry::kRefused);
  EXPECT_THAT(answer.error().hint, ::testing::HasSubstr("bring the newest one back"));
  // And the newest copy is believed again at once.
  EXPECT_TRUE(lease.OnItem(ItemOf(1, kEast, kEastRun, 3), 12, {2}, kStart + 1h).ok());
  EXPECT_TRUE(lease.OnItem(ItemOf(1, kEast, kEastRun, 3), 11, {2}, kStart + 1h).ok());
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

// ---- automation: observe ----

TEST(LeaseFence, IsSaidWithTheNextRenewalAndDurablyWhereItChanges) {
  Lease lease = Holder();
  EXPECT_FALSE(lease.Renewal(kStart)->item.observed) << "not known yet: what stands there goes on";
  lease.NoteFenced(false);
  const auto lets_go = lease.Renewal(kStart);
  ASSERT_TRUE(lets_go);
  EXPECT_TRUE(lets_go->item.observed);
  EXPECT_TRUE(lets_go->durable) << "a store that restarts must not forget it";
  lease.OnChange(*lets_go, ChangeFate::kCommitted, 11, {1}, kStart);
  EXPECT_FALSE(lease.item()->Fences());
  EXPECT_TRUE(lease.HoldsAt(kStart + 1s)) << "it is kept all the same";
  EXPECT_FALSE(lease.Renewal(kStart)->durable) << "said once";
  // A new run of the agent does not know: it says what stands there.
  Lease next(kEast, AgentId("east-run-2"), ThreeSeconds(), AgentRecord{}, kStart);
  ASSERT_TRUE(next.OnItem(*lease.item(), 11, {1}, kStart).ok());
  EXPECT_TRUE(next.Renewal(kStart)->item.observed);
  next.NoteFenced(true);
  const auto fences = next.Renewal(kStart);
  EXPECT_FALSE(fences->item.observed);
  EXPECT_TRUE(fences->durable);
}

TEST(LeaseFence, OfAnEarlierHolderIsNotTakenAlongByAClaim) {
  Lease lease = Candidate();
  LeaseItem unfenced = ItemOf(1, kEast, kEastRun, 2);
  unfenced.observed = true;
  ASSERT_TRUE(lease.OnItem(unfenced, 11, {1}, kStart).ok());
  EXPECT_FALSE(lease.BeginClaim(kStart + 10s, "J. Doe").item.observed);
  Lease observing = Candidate();
  observing.NoteFenced(false);
  EXPECT_TRUE(observing.BeginClaim(kStart + 10s, "J. Doe").item.observed);
}

// ---- until when the holder may have written ----

TEST(LeaseEnd, OfASilentHolderIsALeaseAfterItsLastRenewalWasSeen) {
  const Lease lease = Candidate();
  EXPECT_EQ(lease.HolderSurelyEnded(), kStart + kWait);
}

TEST(LeaseEnd, IsNotBeforeThisRegionsOwnPromiseToThatHolderHasRunOut) {
  Lease lease = Candidate();
  PromiseQuestion question{kEast, kEastRun, Epoch{1}, kStart, 3s, true};
  lease.NoteQuestion(question);
  Save(lease);
  ASSERT_TRUE(lease.Promise(question, true, kStart + 2s).promised);
  EXPECT_EQ(lease.HolderSurelyEnded(), kStart + 2s + kWait) << "the promise carried it on while the store's counter stood still";
  // A promise to the holder of an earlier epoch says nothing about this one.
  ASSERT_TRUE(lease.OnItem(ItemOf(2, RegionName("ap-south-1"), AgentId("south-run-1")), 20, {1}, kStart + 1s).ok());
  EXPECT_EQ(lease.HolderSurelyEnded(), kStart + 1s + kWait);
}

TEST(LeaseEnd, ByTheHoldersOwnWordIsWhenThatWasSeen) {
  Lease lease = Candidate();
  LeaseItem released = ItemOf(1, kEast, kEastRun, 2);
  released.released = Release{kWest, {}};
  ASSERT_TRUE(lease.OnItem(released, 11, {1}, kStart + 1s).ok());
  EXPECT_EQ(lease.HolderSurelyEnded(), kStart + 1s);
}

}  // namespace
}  // namespace lifeboat
