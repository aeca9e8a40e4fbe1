// Three data regions and a witness, whole agents on fakes and virtual time: which standby takes over, and how the others follow.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fakes/simulation.h"

namespace lifeboat::testing {
namespace {

using ::testing::HasSubstr;

Settings ThreeDataRegions() {
  Settings settings = SimulationSettings();
  RegionSettings third = settings.regions.at(1);
  third.name = RegionName("ap-south-1");
  third.agent.host = "127.0.4.1";
  third.database->address.host = "127.0.4.1";
  third.state_directory = "/state/ap-south-1";
  settings.regions.insert(settings.regions.begin() + 2, third);
  return settings;
}

class SeveralStandbysTest : public ::testing::Test {
 protected:
  const RegionName south{"ap-south-1"};
  explicit SeveralStandbysTest(Settings settings = ThreeDataRegions()) : sim_(std::move(settings)) {}
  void Founded() {
    sim_.StartAll();
    sim_.StartAgent(south);
    ASSERT_TRUE(Until([&] { return Whole(sim_.east); }, 30s)) << sim_.Picture();
    sim_.time.RunFor(5s);
  }
  FakeServer& East() { return sim_.Server(sim_.east); }
  FakeServer& West() { return sim_.Server(sim_.west); }
  FakeServer& South() { return sim_.Server(south); }
  bool Until(const std::function<bool()>& holds, Duration limit) { return sim_.RunUntil(holds, limit); }
  /// `name` serves, and both others follow it as candidates.
  bool Whole(const RegionName& name) {
    const auto item = sim_.Item();
    if (!item || item->holder != name || item->released || item->candidates.size() != 2) return false;
    for (const RegionName& region : {sim_.east, sim_.west, south}) {
      FakeServer& server = sim_.Server(region);
      if (region == name ? !server.CanCommit() : !(server.Streams() && server.upstream == sim_.Server(name).host)) return false;
    }
    return sim_.names.record.address == sim_.Server(name).host && !sim_.store.ValueOf("orders/current");
  }
  /// One row that is acknowledged; only those standbys whose link holds have it.
  std::uint64_t Row() {
    EXPECT_TRUE(East().Commit("row"));
    const std::uint64_t id = East().wal.back().id;
    sim_.servers.Replicate();
    return id;
  }
  /// Nothing of the primary arrives on `server` any more, while all agents hear each other.
  void CutFrom(const FakeServer& server) {
    sim_.servers.reachable = [this, name = server.region](const RegionName& a, const RegionName& b) {
      const bool east = a == sim_.east || b == sim_.east;
      return sim_.network.Reaches(a, b) && !(east && (a == name || b == name));
    };
  }
  static bool Holds(const FakeServer& server, std::uint64_t id) {
    for (const WalEntry& entry : server.wal) {
      if (entry.id == id) return true;
    }
    return false;
  }
  std::vector<Execution> Executions() {
    std::vector<Execution> all;
    for (const Record& record : sim_.store.Read("orders/executions/").records)
      all.push_back(*ExecutionFromJson(*ParseJson(record.value, record.key)));
    std::sort(all.begin(), all.end(), [](const Execution& a, const Execution& b) { return a.id < b.id; });
    return all;
  }

  Simulation sim_;
};

TEST_F(SeveralStandbysTest, AServiceOfThreeDataRegionsIsFoundedWithTwoCandidates) {
  Founded();
  EXPECT_EQ(sim_.AgentOf(sim_.west).decision().rule, 390);
  EXPECT_EQ(sim_.AgentOf(south).decision().rule, 390);
  sim_.time.RunFor(10min);
  EXPECT_TRUE(Whole(sim_.east)) << sim_.Picture();
  EXPECT_EQ(sim_.Item()->epoch, Epoch{1});
}

TEST_F(SeveralStandbysTest, OfTwoThatHoldTheSameTheFirstInTheFileTakesOverAtOnceAndTheOtherFollows) {
  Founded();
  const std::uint64_t counter = sim_.Item()->counter;
  ASSERT_TRUE(Until([&] { return sim_.Item()->counter > counter; }, 5s));
  const Duration renewed = sim_.time.now();
  sim_.KillRegion(sim_.east);
  ASSERT_TRUE(Until([&] { return West().CanCommit(); }, 30s)) << sim_.Picture();
  EXPECT_LE(sim_.time.now() - renewed, 3500ms) << "waiting for the other costs nothing";
  ASSERT_TRUE(Until([&] { return South().Streams() && South().upstream == West().host; }, 10s)) << sim_.Picture();
  EXPECT_EQ(sim_.Item()->epoch, Epoch{2});
  EXPECT_EQ(South().promotions, 0);
  ASSERT_TRUE(Until([&] { return !sim_.store.ValueOf("orders/current"); }, 10s)) << sim_.Picture();
  EXPECT_THAT(sim_.LastExecution()->Find("compare")->outcome, HasSubstr("nobody else holds more"));
  // And it can be replaced by the one that followed.
  sim_.time.RunFor(5s);
  sim_.KillRegion(sim_.west);
  ASSERT_TRUE(Until([&] { return South().CanCommit(); }, 30s)) << sim_.Picture();
  EXPECT_EQ(sim_.Item()->epoch, Epoch{3});
}

TEST_F(SeveralStandbysTest, TheOneThatHoldsMoreTakesOverAndNoRowIsLostThatAnyStandbyHad) {
  Founded();
  CutFrom(West());
  const std::uint64_t row = Row();
  sim_.time.RunFor(1s);
  ASSERT_FALSE(Holds(West(), row));
  ASSERT_TRUE(Holds(South(), row));
  sim_.KillRegion(sim_.east);
  ASSERT_TRUE(Until([&] { return South().CanCommit(); }, 30s)) << sim_.Picture();
  EXPECT_TRUE(Holds(South(), row));
  ASSERT_TRUE(Until([&] { return West().Streams() && West().upstream == South().host && Holds(West(), row); }, 20s))
      << sim_.Picture();
  EXPECT_EQ(West().promotions, 0);
  EXPECT_EQ(Executions().size(), 1u) << "the other deferred: it never claimed";
  EXPECT_FALSE(West().unsaved_loss || South().unsaved_loss);
}

TEST_F(SeveralStandbysTest, ARegionThatClaimedAndHoldsLessGivesTheEpochAwayBeforeItOpensIt) {
  Founded();
  // The two standbys' agents do not hear each other, and the one that holds more cannot read the store: so nobody defers.
  sim_.network.cut_links.insert({sim_.west, south});
  sim_.time.RunFor(2s);
  CutFrom(West());
  const std::uint64_t row = Row();
  sim_.KillRegion(sim_.east);
  sim_.machines.at(south).run->store->silent = true;
  ASSERT_TRUE(Until([&] { return sim_.Item()->holder == sim_.west; }, 10s)) << sim_.Picture();
  sim_.network.cut_links.clear();
  sim_.machines.at(south).run->store->silent = false;
  ASSERT_TRUE(Until([&] { return sim_.Item()->epoch == Epoch{3} || West().CanCommit(); }, 20s)) << sim_.Picture();
  if (West().CanCommit()) GTEST_FAIL() << "it opened although another held more and could be asked" << sim_.Picture();
  ASSERT_TRUE(Until([&] { return South().CanCommit(); }, 20s)) << sim_.Picture();
  EXPECT_TRUE(Holds(South(), row));
  const auto all = Executions();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all.front().state, ExecutionState::kAborted);
  EXPECT_THAT(all.front().reason, HasSubstr("more than the"));
  EXPECT_EQ(all.back().source, sim_.east) << "it is still the lost region that is left";
}

TEST_F(SeveralStandbysTest, AHeirThatIsLostAsWellIsReplacedByTheOneThatGaveTheEpochAway) {
  Founded();
  sim_.network.cut_links.insert({sim_.west, south});
  sim_.time.RunFor(2s);
  CutFrom(West());
  Row();
  sim_.KillRegion(sim_.east);
  sim_.machines.at(south).run->store->silent = true;
  ASSERT_TRUE(Until([&] { return sim_.Item()->holder == sim_.west; }, 10s)) << sim_.Picture();
  sim_.network.cut_links.clear();
  ASSERT_TRUE(Until([&] { return sim_.Item()->released.has_value(); }, 10s)) << sim_.Picture();
  sim_.KillRegion(south);
  ASSERT_TRUE(Until([&] { return West().CanCommit(); }, 60s)) << sim_.Picture();
  EXPECT_EQ(sim_.Item()->epoch, Epoch{3});
}

TEST_F(SeveralStandbysTest, ALostStandbySlowsATakeoverOfTheOtherByNextToNothing) {
  Founded();
  sim_.network.cut_off.insert(south);
  sim_.time.RunFor(10s);
  const std::uint64_t counter = sim_.Item()->counter;
  ASSERT_TRUE(Until([&] { return sim_.Item()->counter > counter; }, 5s));
  const Duration renewed = sim_.time.now();
  sim_.KillRegion(sim_.east);
  ASSERT_TRUE(Until([&] { return West().CanCommit(); }, 30s)) << sim_.Picture();
  EXPECT_LE(sim_.time.now() - renewed, 3015ms + 600ms);
  EXPECT_THAT(sim_.LastExecution()->Find("compare")->outcome, HasSubstr("ap-south-1"));
}

TEST_F(SeveralStandbysTest, AStandbyThatIsAheadOfTheForkIsNotMadeToFollowAndLosesNothingWhenItIsRejoined) {
  Founded();
  CutFrom(West());
  const std::uint64_t row = Row();
  sim_.time.RunFor(500ms);
  // The one that holds more is cut off from all others just when the primary is lost: its row is not in the new history.
  sim_.network.cut_off.insert(south);
  sim_.KillRegion(sim_.east);
  ASSERT_TRUE(Until([&] { return West().CanCommit() && !sim_.store.ValueOf("orders/current"); }, 30s)) << sim_.Picture();
  ASSERT_FALSE(Holds(West(), row));
  sim_.time.RunFor(5s);
  sim_.network.cut_off.clear();
  ASSERT_TRUE(Until([&] { return sim_.AgentOf(south).decision().rule == 312; }, 10s)) << sim_.Picture();
  EXPECT_EQ(sim_.AgentOf(south).decision().unblock, "lifeboat rejoin ap-south-1");
  ASSERT_TRUE(Until([&] { return sim_.Item()->candidates.empty(); }, 10s)) << "it must not take over";
  EXPECT_EQ(sim_.AgentOf(sim_.west).decision().verdicts.at(south), Verdict::kDetached);
  sim_.time.RunFor(1min);
  EXPECT_TRUE(Holds(South(), row)) << "nothing of it was touched";
  // A restart of its agent changes nothing about that.
  sim_.KillAgent(south);
  sim_.StartAgent(south);
  sim_.time.RunFor(10s);
  EXPECT_EQ(sim_.AgentOf(south).decision().rule, 312) << sim_.Picture();
  const auto ordered = sim_.Ask(south, "rejoin", Json{{"region", "ap-south-1"}, {"by", "jane"}});
  ASSERT_TRUE(ordered.ok()) << ordered.error().Text();
  ASSERT_TRUE(
      Until([&] { return South().Streams() && sim_.Item()->IsCandidate(south) && !sim_.store.ValueOf("orders/current"); }, 60s))
      << sim_.Picture();
  EXPECT_FALSE(South().unsaved_loss);
  EXPECT_TRUE(South().saved_ids.contains(row));
  EXPECT_TRUE(South().FollowsHistoryOf(West()));
}

TEST_F(SeveralStandbysTest, ACopyOfAnotherWayAtTheForkNeverTakesOverByItself) {
  Founded();
  CutFrom(West());
  Row();
  sim_.time.RunFor(500ms);
  sim_.network.cut_off.insert(south);
  sim_.KillRegion(sim_.east);
  ASSERT_TRUE(Until([&] { return West().CanCommit() && !sim_.store.ValueOf("orders/current"); }, 30s)) << sim_.Picture();
  // West is lost just after the other is back and has heard of its position, which is a lower one: it is still named as a
  // candidate.
  sim_.network.cut_off.clear();
  ASSERT_TRUE(Until([&] { return sim_.AgentOf(south).world().ring().epoch() == Epoch{2}; }, 5s)) << sim_.Picture();
  sim_.KillRegion(sim_.west);
  ASSERT_TRUE(sim_.Item()->IsCandidate(south));
  sim_.time.RunFor(5min);
  EXPECT_FALSE(South().CanCommit()) << sim_.Picture();
  const Decision& decision = sim_.AgentOf(south).decision();
  EXPECT_TRUE(decision.withheld);
  EXPECT_TRUE(decision.rule == 312 || decision.rule == 360) << sim_.Picture();
}

TEST_F(SeveralStandbysTest, ACopyOfAnotherWayAtTheForkIsNoHeirOfADeadDatabaseWhateverItsPosition) {
  sim_.settings.policy.database_failure = DatabaseFailure::kFailover;
  Founded();
  CutFrom(West());
  for (int row = 0; row < 400; ++row) Row();
  sim_.network.cut_off.insert(south);
  sim_.KillRegion(sim_.east);
  ASSERT_TRUE(Until([&] { return West().CanCommit() && !sim_.store.ValueOf("orders/current"); }, 30s)) << sim_.Picture();
  sim_.time.RunFor(2s);
  ASSERT_GT(South().End(), West().End()) << "the position of the old history is the higher one";
  // When: the new primary's database dies just as the other is heard again, which is still named as a candidate.
  sim_.network.cut_off.clear();
  West().start_fails = true;
  West().Kill();
  sim_.time.RunFor(1min);
  EXPECT_FALSE(South().CanCommit()) << sim_.Picture();
  EXPECT_EQ(sim_.Item()->holder, sim_.west);
  EXPECT_FALSE(sim_.Item()->released) << sim_.Picture();
}

TEST_F(SeveralStandbysTest, ASwitchoverTakesTheThirdRegionAlong) {
  Founded();
  const auto ordered = sim_.Ask(south, "switchover", Json{{"to", "ap-south-1"}, {"by", "jane"}});
  ASSERT_TRUE(ordered.ok()) << ordered.error().Text();
  ASSERT_TRUE(Until([&] { return Whole(south); }, 60s)) << sim_.Picture();
  EXPECT_EQ(sim_.LastExecution()->state, ExecutionState::kDone);
  const auto back = sim_.Ask(sim_.east, "switchover", Json{{"to", "us-east-1"}, {"by", "jane"}});
  ASSERT_TRUE(back.ok()) << back.error().Text();
  ASSERT_TRUE(Until([&] { return Whole(sim_.east); }, 60s)) << sim_.Picture();
  EXPECT_EQ(sim_.Item()->epoch, Epoch{3});
  EXPECT_FALSE(East().unsaved_loss || West().unsaved_loss || South().unsaved_loss);
}

TEST_F(SeveralStandbysTest, AStandbyThatDiedDuringTheTakeoverIsStartedFollowingNobodyAndThenTheNewPrimary) {
  Founded();
  South().Kill();
  sim_.KillAgent(south);
  sim_.KillRegion(sim_.east);
  ASSERT_TRUE(Until([&] { return West().CanCommit() && !sim_.store.ValueOf("orders/current"); }, 30s)) << sim_.Picture();
  West().Commit("row");
  sim_.StartAgent(south);
  ASSERT_TRUE(Until([&] { return South().mode == ServerMode::kStandby; }, 10s)) << sim_.Picture();
  ASSERT_TRUE(Until([&] { return South().Streams() && South().upstream == West().host; }, 10s)) << sim_.Picture();
  EXPECT_TRUE(South().FollowsHistoryOf(West()));
}

TEST_F(SeveralStandbysTest, WhoTakesOverFromARegionThatNeverOpenedItsEpochStatesWhatThatOneWouldHaveLost) {
  sim_.settings.policy.database_failure = DatabaseFailure::kFailover;
  Founded();
  // Given: rows that no standby has, and a standby whose database dies between its takeover and its promotion.
  sim_.servers.reachable = [this](const RegionName& a, const RegionName& b) { return a != sim_.east && b != sim_.east; };
  for (int row = 0; row < 5; ++row) {
    ASSERT_TRUE(East().Commit("row"));
    sim_.time.RunFor(300ms);
  }
  sim_.KillRegion(sim_.east);
  ASSERT_TRUE(Until([&] { return sim_.Item()->holder != sim_.east; }, 10s)) << sim_.Picture();
  const RegionName first = sim_.Item()->holder;
  const RegionName second = first == south ? sim_.west : south;
  sim_.Server(first).start_fails = true;
  sim_.Server(first).Kill();
  // When: the lease is handed on, since all that this region holds is held by the other.
  ASSERT_TRUE(Until([&] { return sim_.Server(second).CanCommit(); }, 2min)) << sim_.Picture();
  // Then: the second takeover does not say that nothing was lost.
  const auto all = Executions();
  ASSERT_EQ(all.size(), 2u);
  const Json& stated = MemberAt(all.back().facts, "loss_estimate");
  EXPECT_EQ(TextAt(stated, "state"), "bounded") << stated.dump();
  EXPECT_GE(MemberAt(stated, "seconds").get<double>(), 1.2) << stated.dump();
}

TEST_F(SeveralStandbysTest, ALossAboveTheLimitThatWasAcceptedOnceIsNotHandedOnByItself) {
  sim_.settings.policy.loss_limit = LossLimit{1s, {64 << 20}};
  sim_.settings.policy.database_failure = DatabaseFailure::kFailover;
  Founded();
  sim_.servers.reachable = [this](const RegionName& a, const RegionName& b) { return a != sim_.east && b != sim_.east; };
  for (int row = 0; row < 5; ++row) {
    ASSERT_TRUE(East().Commit("row"));
    sim_.time.RunFor(1s);
  }
  sim_.KillRegion(sim_.east);
  ASSERT_TRUE(Until([&] { return sim_.AgentOf(sim_.west).decision().rule == 360; }, 30s)) << sim_.Picture();
  const auto ordered = sim_.Ask(sim_.west, "failover", Json{{"to", "us-west-2"}, {"by", "jane"}, {"accept_loss", true}});
  ASSERT_TRUE(ordered.ok()) << ordered.error().Text();
  West().start_fails = true;
  West().Kill();
  // Her word was for that takeover: it is not the next region's.
  sim_.time.RunFor(2min);
  EXPECT_FALSE(South().CanCommit()) << sim_.Picture();
  EXPECT_EQ(Executions().size(), 1u);
}

TEST_F(SeveralStandbysTest, AStandbyWhoseTimelineOnlyHasTheNumberOfThePrimarysIsNotMadeToFollow) {
  Founded();
  // Given: a copy with a timeline 2 of its own, and a primary that began another one.
  sim_.KillAgent(south);
  South().Kill();
  South().forks[2] = South().End();
  South().timeline = 2;
  South().Append("row");
  const std::uint64_t row = South().wal.back().id;
  East().forks[2] = East().End();
  East().timeline = 2;
  sim_.time.RunFor(2s);
  ASSERT_EQ(East().wal.back().timeline, Timeline{2});
  sim_.StartAgent(south);
  ASSERT_TRUE(Until([&] { return sim_.AgentOf(south).decision().rule == 312; }, 20s)) << sim_.Picture();
  EXPECT_THAT(sim_.AgentOf(south).decision().reason, HasSubstr("another one than that of"));
  sim_.time.RunFor(1min);
  EXPECT_TRUE(Holds(South(), row)) << "nothing of it was touched";
}

TEST_F(SeveralStandbysTest, ADeadDatabaseIsReleasedToTheOneThatHoldsTheMost) {
  sim_.settings.policy.database_failure = DatabaseFailure::kFailover;
  Founded();
  CutFrom(West());
  const std::uint64_t row = Row();
  sim_.time.RunFor(500ms);
  East().start_fails = true;
  East().Kill();
  ASSERT_TRUE(Until([&] { return South().CanCommit(); }, 30s)) << sim_.Picture();
  EXPECT_TRUE(Holds(South(), row));
}

}  // namespace
}  // namespace lifeboat::testing
