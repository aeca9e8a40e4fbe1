#include "decide/reseed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lifeboat {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const RegionName kEast("us-east-1");
const RegionName kWest("us-west-2");
const RegionName kNorth("eu-north-1");
const RegionName kWitness("eu-west-1");

LeaseItem ItemOf(std::uint64_t epoch, const RegionName& holder) {
  LeaseItem item;
  item.epoch = {epoch};
  item.holder = holder;
  return item;
}

ReseedWitness Data(const RegionName& region, std::uint64_t highest, std::uint64_t held) {
  ReseedWitness w;
  w.region = region;
  w.answers = true;
  w.agent = AgentId("run-of-" + region.text);
  w.record.highest = {highest};
  w.record.incarnation = {4};
  w.record.held = {held};
  w.standby = held == 0;
  w.writable = held > 0;
  return w;
}

/// East serves under epoch 5; west is its standby; the store's file is gone and was made anew.
ReseedQuestion LostStore() {
  ReseedQuestion q;
  q.holder = kEast;
  q.by = "operator jane";
  q.incarnation = {1};
  q.length = std::chrono::seconds(3);
  q.regions = {Data(kEast, 5, 5), Data(kWest, 5, 0), Data(kWitness, 5, 0)};
  q.regions[2].data = false;
  q.regions[0].remembered = q.regions[1].remembered = ItemOf(5, kEast);
  return q;
}

void Silence(ReseedWitness& w) {
  ReseedWitness silent;
  silent.region = w.region;
  silent.data = w.data;
  silent.problem = "connection refused";
  w = silent;
}

TEST(Reseed, BeginsTwoAboveTheHighestEpochForTheRunThatServesAndHasTheOthersRecordIt) {
  ReseedQuestion q = LostStore();
  q.regions[2].record.highest = {6};  // somebody claimed it, and nobody else heard of it
  const auto plan = PlanReseed(q);
  ASSERT_TRUE(plan.ok()) << plan.error().Text();
  EXPECT_EQ(plan->item.epoch, Epoch{8});
  EXPECT_EQ(plan->item.holder, kEast);
  EXPECT_EQ(plan->item.holder_agent, AgentId("run-of-us-east-1"));
  EXPECT_EQ(plan->item.length, std::chrono::seconds(3));
  EXPECT_THAT(plan->item.candidates, IsEmpty());  // the holder admits them itself, and asks them first
  EXPECT_THAT(plan->item.attested, HasSubstr("operator jane"));
  EXPECT_EQ(plan->least, Incarnation{5});
  EXPECT_THAT(plan->to_record, ElementsAre(kWest));
  EXPECT_TRUE(plan->holder_answers);
}

TEST(Reseed, RefusesBesideAStoreThatStillCounts) {
  ReseedQuestion q = LostStore();
  q.incarnation = {4};
  q.item = ItemOf(5, kEast);
  EXPECT_THAT(PlanReseed(q).error().message, HasSubstr("the store is not lost"));
  // A restart of the whole store makes its incarnation higher, and that alone is no loss.
  q.incarnation = {9};
  EXPECT_THAT(PlanReseed(q).error().message, HasSubstr("the store is not lost"));
  // An old copy: the epoch, or the incarnation, lies behind.
  q.item = ItemOf(4, kEast);
  EXPECT_TRUE(PlanReseed(q).ok());
  q.item = ItemOf(5, kEast);
  q.incarnation = {3};
  EXPECT_TRUE(PlanReseed(q).ok());
}

TEST(Reseed, RefusesWhileARegionNeitherRecordsNorIsAttestedAndNamesTheWords) {
  ReseedQuestion q = LostStore();
  Silence(q.regions[1]);
  const auto refused = PlanReseed(q);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().retry, Retry::kRefused);
  EXPECT_THAT(refused.error().message, HasSubstr("'us-west-2' neither records the new epoch nor is attested as down"));
  EXPECT_THAT(refused.error().hint, HasSubstr("--attest us-west-2=\"who saw what\""));

  q.attested[kWest] = "jane saw it dark";
  const auto plan = PlanReseed(q);
  ASSERT_TRUE(plan.ok()) << plan.error().Text();
  EXPECT_THAT(plan->to_record, IsEmpty());
  EXPECT_THAT(plan->item.attested, HasSubstr("'us-west-2' is down: jane saw it dark"));
}

TEST(Reseed, NeedsNoWordFromAWitness) {
  ReseedQuestion q = LostStore();
  Silence(q.regions[2]);
  EXPECT_TRUE(PlanReseed(q).ok());
}

TEST(Reseed, RefusesAnAttestationOfWhoAnswersOrOfNobody) {
  ReseedQuestion q = LostStore();
  q.attested[kWest] = "jane";
  EXPECT_THAT(PlanReseed(q).error().message, HasSubstr("its agent answers"));
  q.attested = {{RegionName("us-wset-2"), "jane"}};
  EXPECT_THAT(PlanReseed(q).error().message, HasSubstr("'us-wset-2' is no data region"));
  q.attested = {};
  q.holder = kWitness;
  EXPECT_THAT(PlanReseed(q).error().message, HasSubstr("'eu-west-1' is no data region"));
  Silence(q.regions[1]);
  q.holder = kEast;
  q.attested = {{kWest, ""}};
  EXPECT_THAT(PlanReseed(q).error().message, HasSubstr("is empty"));
}

TEST(Reseed, RefusesAHolderThatHasNotThePrimarysData) {
  ReseedQuestion q = LostStore();
  q.holder = kWest;
  EXPECT_THAT(PlanReseed(q).error().message, HasSubstr("'us-east-1' accepts writes"));
  q.regions[0].writable = false;  // it was fenced meanwhile
  EXPECT_THAT(PlanReseed(q).error().message, HasSubstr("'us-east-1' was the last primary, under epoch 5"));
  // Down, and known only by what another has read.
  Silence(q.regions[0]);
  q.attested[kEast] = "jane saw the fire";
  const auto refused = PlanReseed(q);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, HasSubstr("as the agent of 'us-west-2' last read"));
  EXPECT_THAT(refused.error().hint,
              HasSubstr("--holder us-east-1 --attest us-east-1=\"who saw what\", then: lifeboat failover --to us-west-2"));
}

TEST(Reseed, AClaimThatNeverCameToWriteMakesNobodyThePrimary) {
  ReseedQuestion q = LostStore();
  q.regions[0].writable = false;
  q.regions[1].record.highest = {6};
  q.regions[1].remembered = ItemOf(6, kWest);  // claimed, and the store was lost before the promotion
  EXPECT_TRUE(PlanReseed(q).ok());
  q.holder = kWest;
  EXPECT_FALSE(PlanReseed(q).ok());
}

TEST(Reseed, LeavesTheCandidatesThatRecordedItToAHolderThatIsAttestedAsDown) {
  ReseedQuestion q = LostStore();
  q.regions.push_back(Data(kNorth, 5, 3));  // was primary once, and was never rejoined
  q.regions.back().writable = false;
  q.regions.back().standby = true;
  Silence(q.regions[0]);
  q.attested[kEast] = "jane saw the fire";
  const auto plan = PlanReseed(q);
  ASSERT_TRUE(plan.ok()) << plan.error().Text();
  EXPECT_THAT(plan->item.candidates, ElementsAre(kWest));
  EXPECT_THAT(plan->to_record, ElementsAre(kWest, kNorth));
  EXPECT_TRUE(plan->item.holder_agent.empty());
  EXPECT_FALSE(plan->holder_answers);
}

TEST(Reseed, RefusesWhereNothingWasEverFounded) {
  ReseedQuestion q = LostStore();
  for (ReseedWitness& w : q.regions) w.record = AgentRecord{};
  EXPECT_THAT(PlanReseed(q).error().message, HasSubstr("no agent that answers has ever seen an epoch"));
}

}  // namespace
}  // namespace lifeboat
