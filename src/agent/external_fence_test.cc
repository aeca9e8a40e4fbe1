// The external fence of a region that is lost: whole agents of three (once four) data regions and a witness, on fakes and virtual
// time. What the step itself does is in src/act/executor_test.cc.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fakes/simulation.h"

namespace lifeboat::testing {
namespace {

using ::testing::HasSubstr;

Settings WithFences(FenceFailure on_failure, bool four) {
  Settings settings = SimulationSettings();
  for (RegionSettings& region : settings.regions) {
    if (region.database) region.fence = FenceSettings{{"/usr/local/sbin/stop", region.name.text}, 30s, on_failure};
  }
  RegionSettings south = settings.regions[1];
  south.name = RegionName("ap-south-1");
  south.agent.host = south.database->address.host = "127.0.4.1";
  south.state_directory = "/state/ap-south-1";
  south.fence = FenceSettings{{"/usr/local/sbin/stop", "ap-south-1"}, 30s, on_failure};
  settings.regions.push_back(south);
  if (!four) return settings;
  south.name = RegionName("sa-east-1");
  south.agent.host = south.database->address.host = "127.0.5.1";
  south.state_directory = "/state/sa-east-1";
  south.fence = FenceSettings{{"/usr/local/sbin/stop", "sa-east-1"}, 30s, on_failure};
  settings.regions.push_back(std::move(south));
  return settings;
}

class ExternalFence : public ::testing::Test {
 protected:
  explicit ExternalFence(FenceFailure on_failure = FenceFailure::kWait, bool four = false) : sim_(WithFences(on_failure, four)) {
    for (const RegionSettings& region : sim_.settings.regions) sim_.StartAgent(region.name);
    const std::size_t standbys = four ? 3 : 2;
    const auto ready = [&] {
      return sim_.Item() && sim_.Item()->candidates.size() == standbys && sim_.Server(sim_.east).CanCommit();
    };
    EXPECT_TRUE(sim_.RunUntil(ready, 60s)) << sim_.Picture();
    sim_.time.RunFor(5s);
  }
  /// Regions whose fence was run, in order.
  std::vector<std::string> Fenced() const {
    std::vector<std::string> regions;
    for (const FenceOrder& order : sim_.fences.orders) regions.push_back(order.region.text);
    return regions;
  }
  bool Waits() {
    const auto last = sim_.LastExecution();
    return last && last->state == ExecutionState::kWaiting && last->waiting_for.find("stop-instance") != std::string::npos;
  }
  const FakeServer* Serving() const { return sim_.Writable(); }
  Json FactsOfLast() { return MemberAt(sim_.LastExecution()->facts, "external_fence"); }
  std::string CheckText(const RegionName& region) { return sim_.Ask(region, "check", Json::object())->dump(); }

  Simulation sim_;
};

class ExternalFenceThatIsTried : public ExternalFence {
 protected:
  ExternalFenceThatIsTried() : ExternalFence(FenceFailure::kGoOn) {}
};

class ExternalFenceOfFourRegions : public ExternalFence {
 protected:
  ExternalFenceOfFourRegions() : ExternalFence(FenceFailure::kWait, /*four=*/true) {}
};

TEST_F(ExternalFence, OfALostRegionIsRunByWhoTakesOverAfterTheWholeWaitOfTheLeaseAndIsInTheEvidence) {
  const std::uint64_t counter = sim_.Item()->counter;
  ASSERT_TRUE(sim_.RunUntil([&] { return sim_.Item()->counter > counter; }, 5s));
  const Duration renewed = sim_.time.now();
  sim_.KillRegion(sim_.east);
  ASSERT_TRUE(sim_.RunUntil([&] { return !sim_.fences.orders.empty(); }, 30s)) << sim_.Picture();
  EXPECT_GE(sim_.time.now() - renewed, 3015ms) << "it is an addition to the wait";
  EXPECT_NE(sim_.Item()->holder, sim_.east);
  EXPECT_EQ(sim_.fences.orders.front().epoch, sim_.Item()->epoch);
  const auto done = [&] { return sim_.LastExecution()->state == ExecutionState::kDone; };
  ASSERT_TRUE(sim_.RunUntil(done, 10s)) << sim_.Picture();
  sim_.time.RunFor(1s);
  EXPECT_EQ(Fenced(), std::vector<std::string>{"us-east-1"});
  EXPECT_EQ(TextAt(FactsOfLast()["us-east-1"], "state"), "proven");
  const auto& rows = sim_.machines[sim_.Item()->holder].evidence;
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_THAT(rows[0].body.dump(), HasSubstr("the instance is stopped"));
}

TEST_F(ExternalFence, WithoutProofNothingIsOpenedAndTheLeaseIsKept) {
  sim_.fences.proves = false;
  sim_.KillRegion(sim_.east);
  ASSERT_TRUE(sim_.RunUntil([&] { return Waits(); }, 30s)) << sim_.Picture();
  const RegionName heir = sim_.Item()->holder;
  EXPECT_FALSE(sim_.RunUntil([&] { return Serving() != nullptr; }, 5min)) << sim_.Picture();
  EXPECT_EQ(sim_.Item()->holder, heir) << "nobody else takes it meanwhile";
  EXPECT_THAT(TextAt(sim_.AgentOf(sim_.witness).Status(), "sentence"), HasSubstr("is not proven to be stopped"));
  // A person has seen to it.
  const auto said =
      sim_.Ask(heir, "executions.resume", Json{{"id", sim_.LastExecution()->id.text}, {"attest", "ops: it is off"}, {"by", "ann"}});
  ASSERT_TRUE(said.ok()) << said.error().Text();
  ASSERT_TRUE(sim_.RunUntil([&] { return Serving() != nullptr; }, 10s)) << sim_.Picture();
  EXPECT_EQ(TextAt(FactsOfLast()["us-east-1"], "said"), "ops: it is off (ann)");
}

TEST_F(ExternalFence, ThatIsWaitedForOutlivesTheAgentThatWaits) {
  sim_.fences.proves = false;
  sim_.KillRegion(sim_.east);
  ASSERT_TRUE(sim_.RunUntil([&] { return Waits(); }, 30s)) << sim_.Picture();
  const RegionName heir = sim_.Item()->holder;
  for (int round = 0; round < 3; ++round) {
    sim_.KillAgent(heir);
    sim_.time.RunFor(1s);
    sim_.StartAgent(heir);
    EXPECT_FALSE(sim_.RunUntil([&] { return Serving() != nullptr; }, 30s)) << sim_.Picture();
  }
  sim_.fences.proves = true;
  ASSERT_TRUE(sim_.RunUntil([&] { return Serving() != nullptr; }, 60s)) << sim_.Picture();
}

TEST_F(ExternalFence, OfARegionWhoseTakeoverWasNeverOpenedAlsoHoldsTheNextOne) {
  sim_.fences.proves = false;
  sim_.KillRegion(sim_.east);
  ASSERT_TRUE(sim_.RunUntil([&] { return Waits(); }, 30s)) << sim_.Picture();
  const RegionName first = sim_.Item()->holder;
  sim_.KillRegion(first);
  // Then the next one waits for the proof of both: the one that it replaces, and the one that was never proven to be stopped.
  ASSERT_TRUE(sim_.RunUntil([&] { return sim_.Item()->holder != first && Waits(); }, 60s)) << sim_.Picture();
  EXPECT_EQ(FactsOfLast().size(), 2u) << sim_.Picture();
  EXPECT_TRUE(FactsOfLast().contains("us-east-1"));
  EXPECT_TRUE(FactsOfLast().contains(first.text));
  EXPECT_EQ(Serving(), nullptr);
  sim_.fences.proves = true;
  ASSERT_TRUE(sim_.RunUntil([&] { return Serving() != nullptr; }, 60s)) << sim_.Picture();
}

TEST_F(ExternalFenceOfFourRegions, ThatGaveNoProofIsCarriedThroughAllTakeoversThatWereNeverOpened) {
  // The first one is never proven to be stopped, all others are at once.
  sim_.fences.on_order = [&](const FenceOrder& order) { sim_.fences.proves = order.region != sim_.east; };
  sim_.KillRegion(sim_.east);
  ASSERT_TRUE(sim_.RunUntil([&] { return Waits(); }, 30s)) << sim_.Picture();
  const RegionName first = sim_.Item()->holder;
  sim_.KillRegion(first);
  ASSERT_TRUE(sim_.RunUntil([&] { return sim_.Item()->holder != first && Waits(); }, 60s)) << sim_.Picture();
  const RegionName second = sim_.Item()->holder;
  sim_.KillRegion(second);
  const auto third_took_over = [&] { return sim_.Item()->holder != second && (Waits() || Serving() != nullptr); };
  ASSERT_TRUE(sim_.RunUntil(third_took_over, 60s)) << sim_.Picture();
  EXPECT_FALSE(sim_.RunUntil([&] { return Serving() != nullptr; }, 1min)) << sim_.Picture();
  EXPECT_EQ(TextAt(FactsOfLast()["us-east-1"], "state"), "pending");
  EXPECT_EQ(TextAt(FactsOfLast()[second.text], "state"), "proven");
  sim_.fences.on_order = nullptr;
  sim_.fences.proves = true;
  ASSERT_TRUE(sim_.RunUntil([&] { return Serving() != nullptr; }, 60s)) << sim_.Picture();
}

TEST_F(ExternalFence, OfAnotherRegionIsWaitedForWhereAPersonAttestsThatTheHolderIsOff) {
  sim_.fences.proves = false;
  sim_.KillRegion(sim_.east);
  ASSERT_TRUE(sim_.RunUntil([&] { return Waits(); }, 30s)) << sim_.Picture();
  const RegionName first = sim_.Item()->holder;
  const RegionName next = first == sim_.west ? RegionName("ap-south-1") : sim_.west;
  sim_.KillAgent(next);
  sim_.KillRegion(first);
  sim_.time.RunFor(1s);
  // Ordered from the first moment of its agent's run on: also where that has not read yet whom the takeover before was to stop.
  sim_.StartAgent(next);
  const Json order = {{"to", next.text}, {"attest", "ops"}, {"accept_loss", true}, {"by", "test"}};
  Result<Json> ordered = RetryLater("not asked");
  for (int tries = 0; tries < 2000 && !ordered.ok(); ++tries) {
    sim_.time.RunFor(1ms);
    ordered = sim_.Ask(next, "failover", order);
  }
  ASSERT_TRUE(ordered.ok()) << ordered.error().Text();
  EXPECT_FALSE(sim_.RunUntil([&] { return Serving() != nullptr; }, 1min)) << sim_.Picture();
  EXPECT_EQ(TextAt(FactsOfLast()["us-east-1"], "state"), "pending");
  EXPECT_FALSE(FactsOfLast().contains(first.text)) << "a person's word stands for that one";
  sim_.fences.proves = true;
  ASSERT_TRUE(sim_.RunUntil([&] { return Serving() != nullptr; }, 60s)) << sim_.Picture();
}

TEST_F(ExternalFence, IsNotRunWhereTheHolderReleasedTheLeaseByItsOwnWord) {
  const auto ordered = sim_.Ask(sim_.west, "switchover", Json{{"to", "us-west-2"}, {"by", "test"}});
  ASSERT_TRUE(ordered.ok()) << ordered.error().Text();
  const auto moved = [&] { return sim_.Server(sim_.west).CanCommit() && !sim_.store.ValueOf("orders/current"); };
  ASSERT_TRUE(sim_.RunUntil(moved, 60s)) << sim_.Picture();
  EXPECT_TRUE(sim_.fences.orders.empty());
}

TEST_F(ExternalFence, IsNotRunWhereAPersonAttestsThatTheRegionIsOff) {
  sim_.settings.policy.loss_limit = LossLimit{0s, {0}};  // by itself it does not take over
  sim_.network.cut_links.insert({sim_.east, sim_.west});
  sim_.network.cut_links.insert({sim_.east, RegionName("ap-south-1")});
  sim_.Server(sim_.east).Commit("row");
  sim_.KillRegion(sim_.east);
  sim_.time.RunFor(10s);
  ASSERT_EQ(sim_.Item()->holder, sim_.east) << sim_.Picture();
  const auto ordered =
      sim_.Ask(sim_.west, "failover", Json{{"to", "us-west-2"}, {"attest", "ops"}, {"accept_loss", true}, {"by", "test"}});
  ASSERT_TRUE(ordered.ok()) << ordered.error().Text();
  ASSERT_TRUE(sim_.RunUntil([&] { return Serving() != nullptr; }, 30s)) << sim_.Picture();
  EXPECT_TRUE(sim_.fences.orders.empty());
}

TEST_F(ExternalFenceThatIsTried, DelaysTheTakeoverByItsOwnTimeAlone) {
  sim_.fences.proves = false;
  sim_.fences.takes = 2s;
  sim_.KillRegion(sim_.east);
  ASSERT_TRUE(sim_.RunUntil([&] { return Serving() != nullptr; }, 7s)) << sim_.Picture();
  EXPECT_EQ(sim_.fences.orders.size(), 1u);
  EXPECT_EQ(TextAt(FactsOfLast()["us-east-1"], "state"), "not proven");
}

TEST_F(ExternalFence, IsNamedByCheckWithTheRegionsThatCouldNotRunIt) {
  sim_.fences.in_the_way = {
      {sim_.east, ""}, {sim_.west, ""}, {RegionName("ap-south-1"), "'/usr/local/sbin/stop': No such file or directory"}};
  const std::string text = CheckText(sim_.witness);
  EXPECT_THAT(text, HasSubstr("fence level in force in 'us-east-1': guard; an external fence, whose proof a takeover waits for"));
  EXPECT_THAT(text, HasSubstr("fence level in force in 'ap-south-1': guard; an external fence that cannot be run everywhere: "
                              "'us-east-1': '/usr/local/sbin/stop': No such file or directory; 'us-west-2': "));
  EXPECT_TRUE(sim_.fences.orders.empty()) << "a look stops nothing";
}

}  // namespace
}  // namespace lifeboat::testing
