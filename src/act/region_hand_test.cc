// The verbs of a region: refused under a lower epoch, without the lease, on the holder, or where it would lose data.

#include "act/region_hand.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fakes/act_world.h"

namespace lifeboat::testing {
namespace {

using ::testing::HasSubstr;

class RegionHandTest : public ::testing::Test {
 protected:
  Result<Json> Do(const RegionName& region, const std::string& verb, Json parameters = Json::object()) {
    if (!parameters.contains("epoch")) parameters["epoch"] = world_.shared.item.epoch.number;
    return world_.time.Await(process_.io, process_.hands.at(region)->Do(verb, std::move(parameters), 5s));
  }
  void ExpectRefused(const Result<Json>& answer, const std::string& why, Retry retry = Retry::kRefused) {
    ASSERT_FALSE(answer.ok()) << why;
    EXPECT_EQ(answer.error().retry, retry) << answer.error().Text();
    EXPECT_THAT(answer.error().message, HasSubstr(why));
  }
  /// us-west-2 takes the next epoch; us-east-1's server is down and fenced.
  void WestTakesOver() {
    world_.east.Kill();
    world_.east.fence = true;
    world_.shared.item.epoch = {2};
    world_.shared.item.holder = kWest;
    world_.shared.item.candidates.clear();
  }

  ActWorld world_;
  ActProcess process_{world_, kWest, "run-1"};
};

TEST_F(RegionHandTest, EveryVerbThatChangesSomethingRefusesALowerEpoch) {
  world_.shared.item.epoch = {7};
  for (const char* verb : {"checkpoint", "stop", "release", "freeze", "promote", "slots", "heartbeat", "fence", "salvage", "rewind",
                           "copy", "follow", "joined", "admit"}) {
    for (const RegionName& region : {kEast, kWest}) {
      const auto wal = world_.east.wal.size();
      ExpectRefused(
          Do(region, verb, Json{{"epoch", 6}, {"primary", region == kEast ? kWest.text : kEast.text}, {"region", "us-west-2"}}),
          "epoch 7 is known here");
      EXPECT_TRUE(world_.east.CanCommit()) << verb;
      EXPECT_EQ(world_.west.mode, ServerMode::kStandby) << verb;
      EXPECT_EQ(world_.east.wal.size(), wal) << verb;
    }
  }
}

TEST_F(RegionHandTest, NothingIsChangedBeforeTheStoreWasRead) {
  process_.lease(kEast).known = false;
  ExpectRefused(Do(kEast, "stop"), "the store has not been read yet", Retry::kRetry);
  EXPECT_TRUE(world_.east.CanCommit());
}

TEST_F(RegionHandTest, AnUnknownVerbAndAWitnessAreRefused) {
  ExpectRefused(Do(kEast, "dance"), "knows no verb 'dance'", Retry::kNotFound);
  RegionHand::Doors none{world_.clock, process_.lease(kEast), nullptr, nullptr, "", {}, Log()};
  RegionHand witness(RegionName("eu-west-1"), none);
  Json parameters = Json::object();
  ExpectRefused(world_.time.Await(process_.io, witness.Do("stop", parameters, 1s)), "is a witness");
}

TEST_F(RegionHandTest, ThePrimaryIsStoppedOnlyUnderItsValidLease) {
  world_.shared.valid = false;
  ExpectRefused(Do(kEast, "stop"), "does not hold a valid lease of epoch 1");
  EXPECT_TRUE(world_.east.CanCommit());
  world_.shared.valid = true;
  const auto stopped = Do(kEast, "stop");
  ASSERT_TRUE(stopped.ok());
  const auto token = ShutdownTokenFromJson(*stopped);
  ASSERT_TRUE(token.ok());
  EXPECT_EQ(token->end, world_.east.End());
  EXPECT_TRUE(world_.east.fence);
  // Idempotent: asked again it says the same.
  EXPECT_EQ(*Do(kEast, "stop"), *stopped);
}

TEST_F(RegionHandTest, NothingIsReleasedWhileAProcessLivesOrTheFenceIsMissing) {
  const Json to = {{"heir", "us-west-2"}, {"token", "{}"}};
  ExpectRefused(Do(kEast, "release", to), "still alive");
  world_.east.Kill(/*postmaster_only=*/true);
  ExpectRefused(Do(kEast, "release", to), "still alive");  // a backend can commit
  world_.east.Kill();
  world_.east.fence = false;
  ExpectRefused(Do(kEast, "release", to), "no standby.signal");
  EXPECT_FALSE(world_.shared.item.released);
  world_.east.fence = true;
  ASSERT_TRUE(Do(kEast, "release", to).ok());
  EXPECT_EQ(world_.shared.item.released->heir, kWest);
  EXPECT_TRUE(Do(kEast, "release", to).ok());
}

TEST_F(RegionHandTest, NothingIsPromotedWithoutAValidLeaseAtThatMoment) {
  ExpectRefused(Do(kWest, "promote"), "is not valid at this moment", Retry::kRetry);
  WestTakesOver();
  world_.shared.valid = false;
  ExpectRefused(Do(kWest, "promote"), "is not valid at this moment", Retry::kRetry);
  EXPECT_EQ(world_.west.promotions, 0);
  world_.shared.valid = true;
  process_.lease(kWest).guard_feeds = false;
  ExpectRefused(Do(kWest, "promote"), "the guard does not answer", Retry::kRetry);
  EXPECT_EQ(world_.west.promotions, 0);
}

TEST_F(RegionHandTest, ALeaseThatEndsWhileItIsReplayedStopsThePromotion) {
  WestTakesOver();
  world_.west.replay_paused = true;
  ASSERT_GT(world_.west.wal.size(), 2U);
  world_.west.replayed = 1;
  auto promotion = world_.time.Start(process_.io, process_.hands.at(kWest)->Do("promote", Json{{"epoch", 2}}, 30s));
  while (world_.west.replayed + 1 < world_.west.wal.size()) {  // it gets on, slowly
    world_.time.RunFor(80ms);
    EXPECT_FALSE(promotion->has_value());
    ++world_.west.replayed;
  }
  world_.time.RunFor(50ms);
  EXPECT_FALSE(promotion->has_value());
  world_.shared.valid = false;  // it took longer than the lease
  world_.west.replay_paused = false;
  world_.west.replayed = world_.west.wal.size();
  ASSERT_TRUE(world_.time.RunUntil([&] { return promotion->has_value(); }, 40s));
  ASSERT_FALSE((*promotion)->ok());
  EXPECT_THAT((*promotion)->error().message, HasSubstr("the lease of epoch 2 is not valid at this moment"));
  EXPECT_EQ(world_.west.promotions, 0);
}

TEST_F(RegionHandTest, AStreamThatWasCutWithinARecordIsPromotedWithoutTheRestOfIt) {
  WestTakesOver();
  world_.west.replay_paused = true;  // the last that was received never replays
  world_.west.replayed -= 1;
  auto promotion = world_.time.Start(process_.io, process_.hands.at(kWest)->Do("promote", Json{{"epoch", 2}}, 30s));
  ASSERT_TRUE(world_.time.RunUntil([&] { return promotion->has_value(); }, 1s)) << "it waits for what cannot come";
  EXPECT_TRUE((*promotion)->ok()) << (*promotion)->error().Text();
  EXPECT_EQ(world_.west.promotions, 1);
}

TEST_F(RegionHandTest, NothingIsPromotedThatLacksWalOfAPlannedEnd) {
  WestTakesOver();
  const Lsn beyond{world_.west.End().bytes + 0x100};
  ExpectRefused(Do(kWest, "promote", Json{{"through", beyond.Text()}}), "the old primary stopped at " + beyond.Text());
  EXPECT_EQ(world_.west.promotions, 0);
  const auto promoted = Do(kWest, "promote", Json{{"through", world_.west.End().Text()}});
  ASSERT_TRUE(promoted.ok()) << promoted.error().Text();
  EXPECT_EQ(process_.lease(kWest).prepared.back(), Epoch{2});
  EXPECT_TRUE(world_.west.fence);
  // Again: the same fork and the same mark, nothing twice.
  const auto again = Do(kWest, "promote");
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(*again, *promoted);
  EXPECT_EQ(world_.west.promotions, 1);
}

TEST_F(RegionHandTest, APositionThatCannotBeSeenIsNoRefusalSinceAnEarlierTryMayHavePromoted) {
  // Given a try that promoted and whose answer was lost with its agent, and a server that does not answer at this moment.
  WestTakesOver();
  const Lsn end = world_.west.End();
  ASSERT_TRUE(Do(kWest, "promote", Json{{"through", end.Text()}}).ok());
  world_.west.hung = true;
  // When it is asked again, then nothing says that it was not promoted: the execution must not be taken back.
  ExpectRefused(Do(kWest, "promote", Json{{"through", end.Text()}}), "is unknown", Retry::kRetry);
  world_.west.hung = false;
  EXPECT_TRUE(Do(kWest, "promote", Json{{"through", end.Text()}}).ok());
  EXPECT_EQ(world_.west.promotions, 1);
}

TEST_F(RegionHandTest, TheHolderIsNeverFencedSalvagedRewoundCopiedOrMadeToFollow) {
  const auto wal = world_.east.wal.size();
  for (const char* verb : {"fence", "salvage", "rewind", "copy", "follow"}) {
    ExpectRefused(Do(kEast, verb, Json{{"primary", "us-west-2"}, {"fork", "0/3000100"}, {"timeline", 1}, {"execution", "x-1"}}),
                  "holds the lease");
    EXPECT_TRUE(world_.east.CanCommit()) << verb;
    EXPECT_EQ(world_.east.wal.size(), wal) << verb;
  }
  EXPECT_EQ(process_.guards.at(kEast).forbidden, 0);
}

TEST_F(RegionHandTest, ARegionFollowsAnotherDataRegionAndNeverItself) {
  WestTakesOver();
  ExpectRefused(Do(kEast, "follow", Json{{"primary", "us-east-1"}}), "cannot follow itself");
  ExpectRefused(Do(kEast, "follow", Json{{"primary", "mars"}}), "'mars' is no data region");
  ExpectRefused(Do(kEast, "rewind", Json::object()), "is no data region");
}

TEST_F(RegionHandTest, FencingForbidsFencesAndKillsInThisRegionAlone) {
  WestTakesOver();
  world_.east.strays = false;
  world_.east.fence = false;
  ASSERT_TRUE(Do(kEast, "fence").ok());
  EXPECT_TRUE(world_.east.fence);
  EXPECT_FALSE(world_.east.ProcessesLive());
  EXPECT_EQ(process_.guards.at(kEast).forbidden, 1);
  EXPECT_EQ(process_.guards.at(kWest).forbidden, 0);
}

TEST_F(RegionHandTest, AGuardThatDoesNotAnswerStopsAFence) {
  WestTakesOver();
  process_.guards.at(kEast).reachable = false;
  ExpectRefused(Do(kEast, "fence"), "the guard does not answer", Retry::kRetry);
}

TEST_F(RegionHandTest, ReadyTellsTheTruthAboutACandidate) {
  const Json through = {{"through", world_.east.End().Text()}, {"system_id", "7001"}};
  ASSERT_TRUE(Do(kWest, "ready", through).ok());
  ExpectRefused(Do(kWest, "ready", Json{{"through", Lsn{world_.east.End().bytes + 1}.Text()}}), "holds WAL up to", Retry::kRetry);
  ExpectRefused(Do(kWest, "ready", Json{{"system_id", "4711"}}), "has system id 7001, not 4711");
  ExpectRefused(Do(kEast, "ready", through), "is not a candidate");
  process_.guards.at(kWest).reachable = false;
  ExpectRefused(Do(kWest, "ready", through), "the guard of 'us-west-2' does not answer");
  process_.guards.at(kWest).reachable = true;
  world_.west.hung = true;
  ExpectRefused(Do(kWest, "ready", through), "is not a running standby");
}

TEST_F(RegionHandTest, ACopyOfAnotherHistoryIsNeverReadyWhateverItsPosition) {
  const std::string end = world_.west.End().Text();
  EXPECT_TRUE(Do(kWest, "ready", Json{{"through", end}, {"timeline", 1}}).ok());
  // The asker began timeline 2 before that position: what is here beyond it, the asker does not have.
  const std::string before = Lsn{world_.west.End().bytes - 0x100}.Text();
  ExpectRefused(Do(kWest, "ready", Json{{"through", before}, {"timeline", 2}, {"fork", before}}),
                "is not known to be part of the history");
  ExpectRefused(Do(kWest, "ready", Json{{"timeline", 2}}), "is not known to be part of the history");
  // It began it at or after that position: this copy has only not received it yet.
  EXPECT_TRUE(Do(kWest, "ready", Json{{"timeline", 2}, {"fork", end}}).ok());
  // And a timeline of that number that begins otherwise is another one.
  world_.west.timeline = 2;
  world_.west.Append("row");
  EXPECT_TRUE(Do(kWest, "ready", Json{{"timeline", 2}, {"sign", std::to_string(world_.west.wal.back().id)}}).ok());
  ExpectRefused(Do(kWest, "ready", Json{{"timeline", 2}, {"sign", "another"}}), "is another one of that number");
}

TEST_F(RegionHandTest, OnlyTheHolderNamesCandidatesAndSlots) {
  ExpectRefused(Do(kWest, "admit", Json{{"region", "us-east-1"}}), "does not hold the lease");
  ExpectRefused(Do(kWest, "slots", Json{{"region", "us-east-1"}}), "does not hold a valid lease");
  EXPECT_TRUE(Do(kEast, "admit", Json{{"region", "us-west-2"}}).ok());
}

TEST_F(RegionHandTest, ReopeningIsForTheHolderAloneAndGoesOnUnderTheNextEpochAfterARelease) {
  ASSERT_TRUE(Do(kEast, "stop").ok());
  ASSERT_TRUE(Do(kEast, "release", Json{{"heir", "us-west-2"}, {"token", "{}"}}).ok());
  ExpectRefused(Do(kWest, "reopen"), "is not the holder any more");
  const auto reopened = Do(kEast, "reopen");
  ASSERT_TRUE(reopened.ok()) << reopened.error().Text();
  EXPECT_EQ(NumberAt(*reopened, "epoch"), 2u);
  EXPECT_TRUE(world_.east.CanCommit());
  EXPECT_EQ(process_.lease(kEast).prepared, std::vector<Epoch>{Epoch{2}});
}

TEST_F(RegionHandTest, LookShowsWhatIsThereAndNothingElse) {
  world_.west.Kill();
  const auto look = Do(kWest, "look");
  ASSERT_TRUE(look.ok());
  EXPECT_FALSE(FlagAt((*look)["database"], "process_alive"));
  EXPECT_TRUE((*look)["database"]["flushed"].is_null());
  EXPECT_EQ(TextAt((*look)["control"], "system_id"), "7001");
  EXPECT_TRUE(FlagAt(*look, "fence"));
  world_.west.has_data = false;
  EXPECT_TRUE((*Do(kWest, "look"))["control"].is_null());
}

}  // namespace
}  // namespace lifeboat::testing
