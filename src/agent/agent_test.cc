// Whole agents of two data regions and a witness, on fakes and virtual time.

#include "agent/agent.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "fakes/simulation.h"

namespace lifeboat::testing {
namespace {

using ::testing::HasSubstr;

class AgentTest : public ::testing::Test {
 protected:
  /// A service that has been founded and is healthy: us-east-1 serves, us-west-2 could take over.
  void Founded() {
    sim_.StartAll();
    ASSERT_TRUE(sim_.RunUntil([&] { return sim_.Healthy(sim_.east); }, 30s)) << sim_.Picture();
    sim_.time.RunFor(5s);
  }
  FakeServer& East() { return sim_.Server(sim_.east); }
  FakeServer& West() { return sim_.Server(sim_.west); }
  bool Until(const std::function<bool()>& holds, Duration limit) { return sim_.RunUntil(holds, limit); }

  Simulation sim_;
};

TEST_F(AgentTest, FoundAServiceAndServe) {
  Founded();
  EXPECT_EQ(sim_.Item()->epoch, Epoch{1});
  EXPECT_EQ(sim_.Item()->holder, sim_.east);
  EXPECT_TRUE(sim_.Item()->IsCandidate(sim_.west));
  EXPECT_TRUE(West().Streams());
  EXPECT_TRUE(East().fence) << "a restart by anyone would be writable";
  EXPECT_EQ(sim_.names.record.epoch, Epoch{1});
  EXPECT_EQ(sim_.AgentOf(sim_.east).decision().rule, 290);
  EXPECT_EQ(sim_.AgentOf(sim_.west).decision().rule, 390);
  EXPECT_EQ(sim_.AgentOf(sim_.witness).decision().rule, 490);
}

TEST_F(AgentTest, AHealthyServiceRenewsAndNothingElseHappens) {
  Founded();
  const std::uint64_t counter = sim_.Item()->counter;
  sim_.time.RunFor(10min);
  EXPECT_GE(sim_.Item()->counter - counter, 1100u);
  EXPECT_EQ(sim_.Item()->epoch, Epoch{1});
  EXPECT_EQ(East().starts_as_primary, 1);
  EXPECT_EQ(sim_.machines[sim_.east].guard->core().State(Instant{}).kills, 0u);
  EXPECT_FALSE(sim_.LastExecution());
}

// ---- the service's name ----

TEST_F(AgentTest, ANameThatCouldNotBePointedWhenTheDatabaseWasStartedIsPointedAsSoonAsTheNameServerIsBack) {
  sim_.names.up = false;
  sim_.StartAll();
  ASSERT_TRUE(Until([&] { return East().CanCommit(); }, 30s)) << sim_.Picture();
  sim_.time.RunFor(20s);
  ASSERT_TRUE(sim_.names.record.address.empty());
  sim_.names.up = true;
  ASSERT_TRUE(Until([&] { return sim_.names.record.address == East().host; }, 10s)) << sim_.Picture();
  EXPECT_EQ(sim_.names.record.epoch, Epoch{1});
  ASSERT_TRUE(Until([&] { return sim_.AgentOf(sim_.east).decision().rule == 290; }, 10s)) << sim_.Picture();
}

TEST_F(AgentTest, ANameThatWasPointedElsewhereIsPointedBackOnceAndNoMore) {
  Founded();
  const int changes = sim_.names.changes;
  sim_.names.record.address = West().host;
  ASSERT_TRUE(Until([&] { return sim_.names.record.address == East().host; }, 10s)) << sim_.Picture();
  sim_.time.RunFor(1min);
  EXPECT_EQ(sim_.names.changes, changes + 1);
  EXPECT_EQ(sim_.AgentOf(sim_.east).decision().rule, 290);
}

TEST_F(AgentTest, ANameThatCarriesAHigherEpochIsLeftAloneAndSaid) {
  Founded();
  const int changes = sim_.names.changes;
  sim_.names.record = {West().host, Epoch{9}, std::chrono::seconds(1)};
  ASSERT_TRUE(Until([&] { return sim_.AgentOf(sim_.east).decision().rule == 285; }, 10s)) << sim_.Picture();
  sim_.time.RunFor(1min);
  EXPECT_EQ(sim_.names.changes, changes);
  EXPECT_TRUE(sim_.AgentOf(sim_.east).decision().withheld);
}

// ---- a region is lost ----

TEST_F(AgentTest, ALostRegionIsReplacedAfterExactlyTheLeasesWait) {
  Founded();
  // Given the moment at which the other region saw the last renewal.
  const std::uint64_t counter = sim_.Item()->counter;
  ASSERT_TRUE(Until([&] { return sim_.Item()->counter > counter; }, 5s));
  const Duration renewed = sim_.time.now();
  sim_.KillRegion(sim_.east);
  ASSERT_TRUE(Until([&] { return sim_.Item()->holder == sim_.west; }, 30s)) << sim_.Picture();
  const Duration waited = sim_.time.now() - renewed;
  // L·(1+ρ) from the arrival of the answer that showed the counter, and a few messages.
  EXPECT_GE(waited, 3015ms);
  EXPECT_LE(waited, 3060ms);
  ASSERT_TRUE(Until([&] { return sim_.names.record.address == West().host; }, 10s)) << sim_.Picture();
  EXPECT_LE(sim_.time.now() - renewed, 3300ms);
  ASSERT_TRUE(Until([&] { return sim_.LastExecution()->state == ExecutionState::kDone; }, 10s)) << sim_.Picture();
  EXPECT_EQ(sim_.Item()->epoch, Epoch{2});
  EXPECT_TRUE(sim_.Item()->candidates.empty());
  EXPECT_EQ(West().promotions, 1);
  EXPECT_TRUE(West().fence);
  sim_.time.RunFor(1s);
  EXPECT_EQ(sim_.machines[sim_.west].evidence.size(), 1u);
}

/// The takeover of the other region is applied, and neither its answer nor any other of the store arrives for `away`.
void TakeOverWithoutAnAnswer(Duration away) {
  Simulation sim;
  sim.StartAll();
  ASSERT_TRUE(sim.RunUntil([&] { return sim.Healthy(sim.east); }, 30s)) << sim.Picture();
  FakeStore& store = *sim.machines[sim.west].run->store;
  store.after_commit = [&](const Transaction&) {
    if (sim.Item()->holder == sim.west) store.silent = true;
  };
  sim.KillRegion(sim.east);
  ASSERT_TRUE(sim.RunUntil([&] { return sim.Item()->holder == sim.west; }, 30s)) << sim.Picture();
  sim.time.RunFor(away);
  store.after_commit = nullptr;
  store.silent = false;
  // When: it is read. Then: nothing is promoted before the plan's own step says so.
  const FakeServer& west = sim.Server(sim.west);
  ASSERT_TRUE(sim.RunUntil([&] { return west.promotions > 0; }, 10s)) << sim.Picture();
  EXPECT_EQ(sim.LastExecution()->Find("promote")->state, StepState::kIntended) << sim.Picture();
  ASSERT_TRUE(sim.RunUntil([&] { return sim.LastExecution()->state == ExecutionState::kDone; }, 10s)) << sim.Picture();
  EXPECT_EQ(west.promotions, 1);
}

TEST_F(AgentTest, ATakeoverWhoseAnswerCameLateGoesOnByItsPlanAndNotByAStartOfTheDatabase) {
  for (Duration away = 1200ms; away < 2600ms; away += 140ms) {
    SCOPED_TRACE(FormatDuration(away));
    TakeOverWithoutAnAnswer(away);
  }
}

TEST_F(AgentTest, ARegionThatIsCutOffFencesItselfBeforeItIsReplaced) {
  Founded();
  sim_.network.cut_off.insert(sim_.east);
  sim_.machines[sim_.east].run->store->silent = true;
  ASSERT_TRUE(Until([&] { return !East().CanCommit(); }, 10s));
  EXPECT_EQ(sim_.Item()->holder, sim_.east);
  ASSERT_TRUE(Until([&] { return sim_.Item()->holder == sim_.west && West().CanCommit(); }, 10s)) << sim_.Picture();
  // It comes back to the network: it learns of the new epoch, stays down, and says what is to be done.
  sim_.network.cut_off.clear();
  sim_.machines[sim_.east].run->store->silent = false;
  sim_.time.RunFor(20s);
  EXPECT_EQ(East().mode, ServerMode::kDown);
  EXPECT_EQ(sim_.AgentOf(sim_.east).decision().rule, 310) << sim_.Picture();
  EXPECT_TRUE(West().CanCommit());
}

TEST_F(AgentTest, ALostRegionThatReturnsIsRejoinedByOrder) {
  Founded();
  sim_.network.cut_links.insert({sim_.east, sim_.west});  // the last rows do not arrive
  East().Commit("row");
  East().Commit("row");
  sim_.KillRegion(sim_.east);
  sim_.network.cut_links.clear();
  ASSERT_TRUE(Until([&] { return West().CanCommit() && !sim_.store.ValueOf("orders/current"); }, 30s)) << sim_.Picture();
  sim_.StartRegion(sim_.east);
  sim_.time.RunFor(5s);
  EXPECT_EQ(East().mode, ServerMode::kDown);
  const auto ordered = sim_.Ask(sim_.west, "rejoin", Json{{"region", "us-east-1"}, {"by", "test"}});
  ASSERT_TRUE(ordered.ok()) << ordered.error().Text();
  ASSERT_TRUE(Until([&] { return sim_.Healthy(sim_.west) && !sim_.store.ValueOf("orders/current"); }, 60s)) << sim_.Picture();
  EXPECT_EQ(sim_.LastExecution()->state, ExecutionState::kDone) << sim_.Picture();
  EXPECT_FALSE(East().unsaved_loss);
  EXPECT_GE(East().saved_ids.size(), 2u);
  EXPECT_TRUE(East().Streams());
  // And it can take over again.
  sim_.time.RunFor(3s);
  sim_.KillRegion(sim_.west);
  ASSERT_TRUE(Until([&] { return East().CanCommit(); }, 30s)) << sim_.Picture();
  EXPECT_EQ(sim_.Item()->epoch, Epoch{3});
}

TEST_F(AgentTest, ACutOffStandbyThatStillReadsTheStoreReplacesNobody) {
  Founded();
  sim_.network.cut_links.insert({sim_.east, sim_.west});
  sim_.time.RunFor(60s);
  EXPECT_EQ(sim_.Item()->epoch, Epoch{1});
  EXPECT_TRUE(East().CanCommit());
  EXPECT_EQ(East().starts_as_primary, 1);
}

TEST_F(AgentTest, AutomationThatOnlyObservesReplacesNobody) {
  sim_.settings.policy.automation = Automation::kObserve;
  sim_.StartAll();
  sim_.time.RunFor(20s);
  EXPECT_FALSE(sim_.Item());
  EXPECT_EQ(East().mode, ServerMode::kDown);
}

// ---- the store is away ----

TEST_F(AgentTest, AStoreThatIsAwayForLessThanTheLeaseIsNotNoticedByClients) {
  Founded();
  sim_.KillAgent(sim_.witness);
  sim_.time.RunFor(1500ms);
  sim_.StartAgent(sim_.witness);
  sim_.time.RunFor(30s);
  EXPECT_EQ(East().starts_as_primary, 1) << "the database was touched";
  EXPECT_EQ(sim_.Item()->epoch, Epoch{1});
  EXPECT_TRUE(sim_.Healthy(sim_.east)) << sim_.Picture();
}

TEST_F(AgentTest, WhileTheStoreIsAwayTheCandidatesPromisesCarryTheLease) {
  Founded();
  sim_.KillAgent(sim_.witness);
  sim_.time.RunFor(60s);
  EXPECT_TRUE(East().CanCommit()) << sim_.Picture();
  EXPECT_EQ(East().starts_as_primary, 1) << "the database was touched";
  EXPECT_EQ(TextAt(MemberAt(sim_.AgentOf(sim_.east).Status(), "lease"), "path"), "promises");
  sim_.StartAgent(sim_.witness);
  sim_.time.RunFor(10s);
  EXPECT_EQ(TextAt(MemberAt(sim_.AgentOf(sim_.east).Status(), "lease"), "path"), "store and promises");
  EXPECT_EQ(sim_.Item()->epoch, Epoch{1});
  EXPECT_TRUE(sim_.Healthy(sim_.east)) << sim_.Picture();
}

TEST_F(AgentTest, WhileTheCandidateIsAwayTheStoreCarriesTheLease) {
  Founded();
  sim_.KillAgent(sim_.west);
  sim_.time.RunFor(60s);
  EXPECT_TRUE(East().CanCommit()) << sim_.Picture();
  EXPECT_EQ(East().starts_as_primary, 1) << "the database was touched";
  EXPECT_EQ(TextAt(MemberAt(sim_.AgentOf(sim_.east).Status(), "lease"), "path"), "store");
}

TEST_F(AgentTest, WithStoreAndCandidateAwayThePrimaryFencesItselfAndOpensAgainByEitherUnderTheSameEpoch) {
  for (const RegionName& first_back : {sim_.witness, sim_.west}) {
    SCOPED_TRACE(first_back.text);
    if (!sim_.Item()) Founded();
    sim_.KillAgent(sim_.witness);
    sim_.KillAgent(sim_.west);
    ASSERT_TRUE(Until([&] { return !East().CanCommit(); }, 3s)) << "the lease is 3 s long";
    EXPECT_TRUE(East().fence);
    sim_.time.RunFor(60s);
    EXPECT_FALSE(East().CanCommit());
    sim_.StartAgent(first_back);
    ASSERT_TRUE(Until([&] { return East().CanCommit(); }, 15s)) << sim_.Picture();
    EXPECT_EQ(sim_.Item()->epoch, Epoch{1});
    sim_.StartAgent(first_back == sim_.west ? sim_.witness : sim_.west);
    ASSERT_TRUE(Until([&] { return sim_.Healthy(sim_.east) && West().Streams(); }, 20s)) << sim_.Picture();
    EXPECT_EQ(West().promotions, 0);
  }
}

TEST_F(AgentTest, ARunningStandbyIsNotRemovedFromTheCandidatesAndADeadOneIs) {
  Founded();
  const Json west = {{"region", sim_.west.text}, {"by", "test"}};
  EXPECT_FALSE(sim_.Ask(sim_.witness, "candidates.remove", west).ok());
  sim_.KillRegion(sim_.west);
  sim_.time.RunFor(2s);
  const auto removed = sim_.Ask(sim_.witness, "candidates.remove", west);
  ASSERT_TRUE(removed.ok()) << removed.error().Text();
  EXPECT_TRUE(sim_.Item()->candidates.empty());
  EXPECT_TRUE(East().CanCommit());
  // Back again, it joins by itself, and may take over.
  sim_.StartRegion(sim_.west);
  ASSERT_TRUE(Until([&] { return sim_.Healthy(sim_.east); }, 30s)) << sim_.Picture();
}

TEST_F(AgentTest, AStoreThatComesBackFromAnOldCopyIsRefused) {
  Founded();
  const FakeStoreServer old = sim_.store;
  sim_.KillRegion(sim_.east);
  ASSERT_TRUE(Until([&] { return West().CanCommit() && !sim_.store.ValueOf("orders/current"); }, 30s));
  // Somebody restores the store's file of before the takeover: its epoch is 1.
  sim_.KillAgent(sim_.witness);
  const auto record = *old.ValueOf("orders/lease");
  Transaction back;
  back.puts.push_back({"orders/lease", record});
  (void)sim_.store.Apply(back);
  sim_.StartAgent(sim_.witness);
  sim_.time.RunFor(20s);
  // Who has seen epoch 2 does not believe it, and fences itself. (A region that has not seen it cannot tell: docs/lease.md.)
  EXPECT_FALSE(West().CanCommit());
  EXPECT_THAT(sim_.AgentOf(sim_.west).keeper().StoreProblem(), HasSubstr("epoch 1 is below 2"));
}

TEST_F(AgentTest, AnExecutionThatAnOldCopyOfTheStoreShowsAsRunningIsNotGoneOnWith) {
  Founded();
  // Given: a copy of the store in which a switchover runs, which has ended since.
  std::optional<FakeStoreServer> old;
  sim_.machines[sim_.west].run->store->after_commit = [&](const Transaction&) {
    const auto running = sim_.LastExecution();
    if (!old && running && running->Find("checkpoint")->state == StepState::kIntended) old = sim_.store;
  };
  ASSERT_TRUE(sim_.Ask(sim_.west, "switchover", Json{{"to", "us-west-2"}, {"by", "jane"}}).ok());
  ASSERT_TRUE(Until([&] { return sim_.Healthy(sim_.west) && !sim_.store.ValueOf("orders/current"); }, 60s)) << sim_.Picture();
  ASSERT_TRUE(old);
  // Since then the store has begun two lives, and every agent knows the newest.
  for (int life = 0; life < 2; ++life) {
    sim_.KillAgent(sim_.witness);
    sim_.StartAgent(sim_.witness);
    sim_.time.RunFor(5s);
  }
  const std::uint64_t promotions = static_cast<std::uint64_t>(East().promotions + West().promotions);
  // When: the copy is put in its place.
  sim_.KillAgent(sim_.witness);
  sim_.store.PutInPlace(*old);
  ASSERT_TRUE(sim_.store.ValueOf("orders/current"));
  sim_.StartAgent(sim_.witness);
  // Then: the candidate's promises carry the lease, and nobody goes on with what the copy shows.
  sim_.time.RunFor(30s);
  EXPECT_TRUE(West().CanCommit()) << sim_.Picture();
  EXPECT_EQ(sim_.LastExecution()->owner_agent.text, "us-west-2-run-1");
  EXPECT_EQ(sim_.LastExecution()->revision,
            ExecutionFromJson(*ParseJson(*old->ValueOf("orders/executions/" + *old->ValueOf("orders/current")), "x"))->revision);
  EXPECT_EQ(static_cast<std::uint64_t>(East().promotions + West().promotions), promotions);
  EXPECT_FALSE(sim_.AgentOf(sim_.west).snapshot().execution) << sim_.Picture();
}

// ---- the agent is away ----

TEST_F(AgentTest, AnAgentThatIsBackInTimeKeepsEpochAndDatabase) {
  Founded();
  for (int times = 0; times < 5; ++times) {
    sim_.KillAgent(sim_.east);
    sim_.time.RunFor(1s);
    sim_.StartAgent(sim_.east);
    sim_.time.RunFor(10s);
    EXPECT_TRUE(sim_.Healthy(sim_.east)) << sim_.Picture();
  }
  EXPECT_EQ(sim_.Item()->epoch, Epoch{1});
  EXPECT_EQ(East().starts_as_primary, 1) << "the database was touched";
  EXPECT_EQ(sim_.Item()->holder_agent, AgentId("us-east-1-run-6"));
}

TEST_F(AgentTest, AnAgentThatDoesNotComeBackLosesItsDatabaseToTheGuardAndItsRegionToTheOther) {
  Founded();
  sim_.KillAgent(sim_.east);
  ASSERT_TRUE(Until([&] { return !East().CanCommit(); }, 3s));
  ASSERT_TRUE(Until([&] { return West().CanCommit(); }, 5s)) << sim_.Picture();
}

TEST_F(AgentTest, AGuardThatEndsIsBackBeforeTheDeadlineOrNothingIsPermitted) {
  Founded();
  sim_.machines[sim_.east].guard->Die();
  sim_.time.RunFor(2s);
  sim_.machines[sim_.east].guard->Live();
  sim_.time.RunFor(10s);
  EXPECT_TRUE(sim_.Healthy(sim_.east)) << sim_.Picture();
}

// ---- the database is dead ----

TEST_F(AgentTest, ADeadDatabaseIsRestartedWhereThePolicySaysSo) {
  Founded();
  East().Kill();
  ASSERT_TRUE(Until([&] { return East().CanCommit(); }, 3s)) << sim_.Picture();
  sim_.time.RunFor(5s);
  EXPECT_EQ(sim_.Item()->epoch, Epoch{1});
  EXPECT_TRUE(sim_.Healthy(sim_.east)) << sim_.Picture();
  EXPECT_EQ(West().promotions, 0);
}

TEST_F(AgentTest, ADeadDatabaseThatDoesNotStartIsHandedOverWhenTheBudgetIsSpent) {
  Founded();
  const Duration killed = sim_.time.now();
  East().start_fails = true;
  East().Kill();
  ASSERT_TRUE(Until([&] { return West().CanCommit(); }, 60s)) << sim_.Picture();
  EXPECT_GE(sim_.time.now() - killed, 10s);
  EXPECT_LE(sim_.time.now() - killed, 16s);
  EXPECT_EQ(sim_.Item()->epoch, Epoch{2});
  EXPECT_TRUE(East().fence);
}

TEST_F(AgentTest, ADatabaseThatComesUpWhileTheHeirsAreAskedIsLeftServing) {
  Founded();
  const Duration killed = sim_.time.now();
  East().times.start = 1h;
  East().Kill();
  // When the budget is spent, the heir is asked, and just then the crash recovery ends.
  std::optional<Duration> up;
  std::uint64_t generation = 0;
  CallHandler& handler = sim_.hub.processes.at(sim_.west).handler;
  handler = [&, inner = handler](std::string method, Json parameters) {
    if (method == "hand.ready" && East().mode == ServerMode::kStarting) {
      up = sim_.time.now();
      East().Started(true);
      generation = East().generation;
    }
    return inner(std::move(method), std::move(parameters));
  };
  ASSERT_TRUE(Until([&] { return up.has_value(); }, 30s)) << sim_.Picture();
  EXPECT_GE(*up - killed, 10s);
  sim_.time.RunFor(10s);
  EXPECT_EQ(East().generation, generation) << "nothing of it was ended";
  EXPECT_TRUE(sim_.Healthy(sim_.east)) << sim_.Picture();
  EXPECT_EQ(sim_.Item()->epoch, Epoch{1});
}

TEST_F(AgentTest, ADeadDatabaseIsHandedOverAtOnceWhereThePolicySaysSoAndNothingIsLost) {
  sim_.settings.policy.database_failure = DatabaseFailure::kFailover;
  Founded();
  const Duration killed = sim_.time.now();
  East().Kill();
  ASSERT_TRUE(Until([&] { return sim_.names.record.address == West().host; }, 10s)) << sim_.Picture();
  EXPECT_LE(sim_.time.now() - killed, 400ms);
  EXPECT_EQ(sim_.Item()->epoch, Epoch{2});
  ASSERT_TRUE(Until([&] { return !sim_.store.ValueOf("orders/current"); }, 10s));
  EXPECT_EQ(sim_.LastExecution()->state, ExecutionState::kDone);
  EXPECT_EQ(sim_.LastExecution()->facts["loss_estimate"]["state"], "proven zero");
}

TEST_F(AgentTest, ADeadDatabaseWhoseLastRowsNobodyHasIsRestartedFirst) {
  sim_.settings.policy.database_failure = DatabaseFailure::kFailover;
  Founded();
  sim_.network.cut_links.insert({sim_.east, sim_.west});
  sim_.time.RunFor(1s);
  East().Commit("row");
  East().Kill();
  sim_.network.cut_links.clear();
  ASSERT_TRUE(Until([&] { return East().CanCommit(); }, 20s)) << sim_.Picture();
  EXPECT_EQ(sim_.Item()->epoch, Epoch{1});
  EXPECT_EQ(West().promotions, 0);
}

TEST_F(AgentTest, ADeadDatabaseIsAssessedOnTheTimelineThatItBeganLast) {
  sim_.settings.policy.database_failure = DatabaseFailure::kFailover;
  Founded();
  // Given a database that died, was restarted by somebody as the standby that its fence makes of it, and is promoted where it
  // stands; the candidate has all of its first timeline, nothing of the next arrives there, and it can take over only later.
  sim_.machines.at(sim_.west).guard->Die();
  sim_.time.RunFor(2s);
  East().Kill();
  sim_.servers.reachable = [](const RegionName&, const RegionName&) { return false; };
  sim_.servers.StartByServiceManager(East());
  // When it dies again with a row that only it has, and before anybody has seen it as a primary: looks at it take long.
  const std::function<void()> at_rest = sim_.time.at_rest;
  std::uint64_t row = 0;
  sim_.time.at_rest = [&] {
    at_rest();
    if (row != 0 || East().timeline != 2 || !East().Commit("row")) return;
    row = East().wal.back().id;
    East().Kill();
    East().hung = true;
    sim_.time.At(sim_.time.now() + 900ms, [this] { East().hung = false; });
    sim_.machines.at(sim_.west).guard->Live();
  };
  ASSERT_TRUE(Until([&] { return row != 0; }, 10s)) << sim_.Picture();
  // Then nobody says that all of it is elsewhere, and it is restarted where the row is.
  const auto said_zero = [&] {
    const auto& loss = sim_.AgentOf(sim_.east).snapshot().loss;
    return loss && loss->kind == LossEstimate::Kind::kProvenZero;
  };
  EXPECT_FALSE(Until([&] { return said_zero() || East().CanCommit(); }, 10s) && said_zero()) << sim_.Picture();
  ASSERT_TRUE(Until([&] { return East().CanCommit(); }, 10s)) << sim_.Picture();
  EXPECT_EQ(sim_.Item()->epoch, Epoch{1});
}

TEST_F(AgentTest, BackendsThatOutliveTheirPostmasterAreEndedBeforeAnythingElse) {
  sim_.settings.policy.database_failure = DatabaseFailure::kFailover;
  Founded();
  East().Kill(/*postmaster_only=*/true);
  EXPECT_TRUE(East().CanCommit());
  ASSERT_TRUE(Until([&] { return West().CanCommit() || East().mode == ServerMode::kPrimary; }, 20s)) << sim_.Picture();
  EXPECT_FALSE(East().strays);
}

TEST_F(AgentTest, ASupervisorThatStartsTheServerOfAFencedRegionGetsAStandby) {
  Founded();
  sim_.KillRegion(sim_.east);
  ASSERT_TRUE(Until([&] { return West().CanCommit(); }, 30s));
  EXPECT_TRUE(East().fence);
  East().Started(!East().fence);  // systemctl restart postgresql
  sim_.time.RunFor(5s);
  EXPECT_FALSE(East().CanCommit());
}

// ---- switchover ----

TEST_F(AgentTest, ASwitchoverMovesTheServiceAndTheOldPrimaryFollows) {
  Founded();
  const auto ordered = sim_.Ask(sim_.east, "switchover", Json{{"to", "us-west-2"}, {"by", "test"}});
  ASSERT_TRUE(ordered.ok()) << ordered.error().Text();
  ASSERT_TRUE(Until([&] { return sim_.Healthy(sim_.west) && !sim_.store.ValueOf("orders/current"); }, 30s)) << sim_.Picture();
  EXPECT_EQ(sim_.LastExecution()->state, ExecutionState::kDone);
  EXPECT_EQ(sim_.Item()->epoch, Epoch{2});
  EXPECT_TRUE(East().Streams());
  EXPECT_TRUE(East().FollowsHistoryOf(West())) << "something was lost";
  // And back again.
  sim_.time.RunFor(3s);
  ASSERT_TRUE(sim_.Ask(sim_.west, "switchover", Json{{"to", "us-east-1"}, {"by", "test"}}).ok());
  ASSERT_TRUE(Until([&] { return sim_.Healthy(sim_.east) && !sim_.store.ValueOf("orders/current"); }, 30s)) << sim_.Picture();
  EXPECT_EQ(sim_.Item()->epoch, Epoch{3});
}

TEST_F(AgentTest, APlannedSwitchoverWaitsForBackupsThatAreAGateAndAFailoverNever) {
  // Given: backups of the standby's region are a gate, and nobody has verified them.
  BackupSourceSettings nightly;
  nightly.name = "nightly";
  nightly.region = sim_.west;
  nightly.gate = true;
  sim_.settings.backups = {nightly};
  Founded();
  // Then: the planned move is refused, with the way out.
  const auto refused = sim_.Ask(sim_.west, "switchover", Json{{"to", "us-west-2"}, {"by", "jane"}});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().retry, Retry::kRefused);
  EXPECT_THAT(refused.error().Text(), HasSubstr("since they are a gate: backups 'nightly' of 'us-west-2'"));
  EXPECT_THAT(refused.error().Text(), HasSubstr("--despite-backups"));
  // And: with the explicit word it is done, and the record says so.
  ASSERT_TRUE(sim_.Ask(sim_.west, "switchover", Json{{"to", "us-west-2"}, {"by", "jane"}, {"despite_backups", true}}).ok());
  ASSERT_TRUE(Until([&] { return sim_.Healthy(sim_.west) && !sim_.store.ValueOf("orders/current"); }, 30s)) << sim_.Picture();
  EXPECT_THAT(sim_.LastExecution()->reason, HasSubstr("accepted: a planned switchover waits for the backups"));
}

TEST_F(AgentTest, AnUnplannedFailoverNeverWaitsForBackups) {
  BackupSourceSettings nightly;
  nightly.name = "nightly";
  nightly.region = sim_.west;
  nightly.gate = true;
  sim_.settings.backups = {nightly};
  Founded();
  sim_.KillRegion(sim_.east);
  ASSERT_TRUE(Until([&] { return West().CanCommit(); }, 60s)) << sim_.Picture();
}

TEST_F(AgentTest, ASecondOrderWhileOneRunsIsRefusedAndNamesIt) {
  Founded();
  sim_.names.up = false;  // it will wait at the route
  const auto first = sim_.Ask(sim_.west, "switchover", Json{{"to", "us-west-2"}, {"by", "test"}});
  ASSERT_TRUE(first.ok());
  const auto second = sim_.Ask(sim_.west, "switchover", Json{{"to", "us-west-2"}, {"by", "test"}});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().retry, Retry::kRefused);
  EXPECT_THAT(second.error().message, HasSubstr(TextAt(*first, "id")));
}

TEST_F(AgentTest, ASwitchoverWhoseHeirDiesAtAnyStepEndsWithOnePrimary) {
  for (const Step& step : PlanOf(PlanKind::kSwitchover).steps) {
    for (const bool returns : {true, false}) {
      Simulation sim;
      sim.StartAll();
      ASSERT_TRUE(sim.RunUntil([&] { return sim.Healthy(sim.east); }, 30s));
      sim.time.RunFor(3s);
      ASSERT_TRUE(sim.Ask(sim.west, "switchover", Json{{"to", "us-west-2"}, {"by", "test"}}).ok());
      const std::string story = "the heir dies at '" + step.name + "'" + (returns ? " and returns" : " for good");
      ASSERT_TRUE(sim.RunUntil(
          [&] {
            const auto e = sim.LastExecution();
            return e && (e->Find(step.name)->state != StepState::kPending || IsEnded(e->state));
          },
          60s))
          << story;
      sim.KillRegion(sim.west);
      if (returns) {
        sim.time.RunFor(1500ms);
        sim.StartRegion(sim.west);
      }
      // In the end one of them serves; the heir alone can be the one only if it lives.
      const auto serves = [&] {
        return sim.Writable() && sim.names.record.address == sim.Writable()->host && sim.Item()->holder == sim.Writable()->region;
      };
      const bool claimed = sim.Item()->holder == sim.west;
      if (!returns && claimed) {
        // The old primary is no candidate before it has rejoined: a person decides. It must not look well.
        sim.time.RunFor(60s);
        if (!serves()) {
          EXPECT_FALSE(sim.AgentOf(sim.east).decision().reason.empty());
          EXPECT_THAT(sim.AgentOf(sim.east).Status()["verdict"], ::testing::AnyOf("lost", "moving")) << story << "\n"
                                                                                                     << sim.Picture();
          continue;
        }
      }
      ASSERT_TRUE(sim.RunUntil(serves, 120s)) << story << "\n" << sim.Picture();
      sim.time.RunFor(30s);
      EXPECT_TRUE(serves()) << story << "\n" << sim.Picture();
      EXPECT_FALSE(sim.store.ValueOf("orders/current")) << story << "\n" << sim.Picture();
    }
  }
}

TEST_F(AgentTest, ASwitchoverWhoseSourceDiesAtAnyStepEndsWithOnePrimary) {
  for (const Step& step : PlanOf(PlanKind::kSwitchover).steps) {
    Simulation sim;
    sim.StartAll();
    ASSERT_TRUE(sim.RunUntil([&] { return sim.Healthy(sim.east); }, 30s));
    sim.time.RunFor(3s);
    ASSERT_TRUE(sim.Ask(sim.west, "switchover", Json{{"to", "us-west-2"}, {"by", "test"}}).ok());
    const std::string story = "the old primary's region dies at '" + step.name + "'";
    ASSERT_TRUE(sim.RunUntil(
        [&] {
          const auto e = sim.LastExecution();
          return e && (e->Find(step.name)->state != StepState::kPending || IsEnded(e->state));
        },
        60s))
        << story;
    sim.KillRegion(sim.east);
    const auto serves = [&] { return sim.Server(sim.west).CanCommit() && sim.names.record.address == sim.Server(sim.west).host; };
    ASSERT_TRUE(sim.RunUntil(serves, 180s)) << story << "\n" << sim.Picture();
    ASSERT_TRUE(sim.RunUntil([&] { return !sim.store.ValueOf("orders/current"); }, 180s)) << story << "\n" << sim.Picture();
  }
}

// ---- what was ordered and refused ----

TEST_F(AgentTest, OrdersThatCouldNotWorkAreRefused) {
  Founded();
  const auto refused = [&](const std::string& method, Json parameters) {
    const auto answer = sim_.Ask(sim_.west, method, std::move(parameters));
    EXPECT_FALSE(answer.ok()) << method;
    return answer.ok() ? std::string() : answer.error().message;
  };
  EXPECT_THAT(refused("switchover", Json{{"to", "mars"}}), HasSubstr("'mars' is no data region"));
  EXPECT_THAT(refused("switchover", Json{{"to", "us-east-1"}}), HasSubstr("is the primary already"));
  EXPECT_THAT(refused("failover", Json{{"to", "us-west-2"}}), HasSubstr("serves"));
  EXPECT_THAT(refused("rejoin", Json{{"region", "us-east-1"}}), HasSubstr("holds the lease"));
  EXPECT_THAT(refused("no.such.method", Json::object()), HasSubstr("knows no method"));
  sim_.time.RunFor(5s);
  EXPECT_EQ(sim_.Item()->epoch, Epoch{1});
}

TEST_F(AgentTest, AFailoverAboveTheLossLimitIsRefusedUntilItIsAcceptedOnRecord) {
  sim_.settings.policy.loss_limit = LossLimit{1s, {1 << 20}};
  Founded();
  sim_.KillRegion(sim_.east);
  sim_.time.RunFor(10s);
  EXPECT_EQ(sim_.AgentOf(sim_.west).decision().rule, 360) << sim_.Picture();
  EXPECT_FALSE(West().CanCommit());
  const auto refused = sim_.Ask(sim_.west, "failover", Json{{"to", "us-west-2"}, {"by", "test"}});
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, HasSubstr("loss_limit.time is 1 s"));
  ASSERT_TRUE(sim_.Ask(sim_.west, "failover", Json{{"to", "us-west-2"}, {"by", "test"}, {"accept_loss", true}}).ok());
  ASSERT_TRUE(Until([&] { return West().CanCommit() && !sim_.store.ValueOf("orders/current"); }, 10s));
  EXPECT_TRUE(sim_.LastExecution()->accept_loss);
  EXPECT_THAT(sim_.LastExecution()->reason, HasSubstr("accepted: up to"));
}

// ---- the executing agent dies ----

TEST_F(AgentTest, AFailoverWhoseAgentDiesAtAnyMomentIsFinishedByTheNext) {
  for (Duration after = 1ms; after < 120ms; after += 6ms) {
    Simulation sim;
    sim.StartAll();
    ASSERT_TRUE(sim.RunUntil([&] { return sim.Healthy(sim.east); }, 30s));
    sim.time.RunFor(3s);
    sim.KillRegion(sim.east);
    ASSERT_TRUE(sim.RunUntil([&] { return sim.Item()->holder == sim.west; }, 30s));
    sim.time.RunFor(after);
    sim.KillAgent(sim.west);
    sim.time.RunFor(500ms);
    sim.StartAgent(sim.west);
    ASSERT_TRUE(sim.RunUntil([&] { return sim.Server(sim.west).CanCommit() && !sim.store.ValueOf("orders/current"); }, 60s))
        << Millis(after) << " ms\n"
        << sim.Picture();
    EXPECT_EQ(sim.LastExecution()->state, ExecutionState::kDone) << Millis(after);
    EXPECT_EQ(sim.Server(sim.west).promotions, 1);
    EXPECT_EQ(sim.names.record.address, sim.Server(sim.west).host);
  }
}

TEST_F(AgentTest, AClaimThatComesThroughLateIsGoneOnWithByItsOwnExecution) {
  Founded();
  // Given a first claim that is on its way for so long that a second one is sent, and arrives right before that.
  std::optional<Transaction> first;
  std::string begun;
  bool arrived = false;
  FakeStore& store = *sim_.machines.at(sim_.west).run->store;
  store.before_commit = [&](const Transaction& t) {
    const bool claims = std::any_of(t.puts.begin(), t.puts.end(), [](const auto& put) { return put.key == "orders/current"; });
    if (!claims || arrived) return;
    if (!first) {
      first = t;
      for (const auto& put : t.puts) begun = put.key.starts_with("orders/executions/") ? put.key.substr(18) : begun;
      store.lose_requests = 1;
    } else {
      arrived = sim_.store.Apply(*first)->committed;
    }
  };
  // When
  sim_.KillRegion(sim_.east);
  // Then what runs, at every moment, is the execution that stands in the store.
  std::set<std::string> ran;
  ASSERT_TRUE(Until(
      [&] {
        const auto& execution = sim_.AgentOf(sim_.west).snapshot().execution;
        if (execution) ran.insert(execution->id.text);
        return arrived && West().CanCommit() && !sim_.store.ValueOf("orders/current");
      },
      30s))
      << sim_.Picture();
  EXPECT_EQ(ran, std::set<std::string>{begun});
  EXPECT_EQ(sim_.LastExecution()->id.text, begun);
  EXPECT_EQ(sim_.LastExecution()->state, ExecutionState::kDone);
  EXPECT_EQ(sim_.Item()->epoch, Epoch{2});
}

TEST_F(AgentTest, AStoreThatDiesBetweenPromotionAndRouteStopsNothing) {
  Founded();
  sim_.KillRegion(sim_.east);
  ASSERT_TRUE(Until([&] { return West().promotions == 1; }, 30s));
  sim_.KillAgent(sim_.witness);
  ASSERT_TRUE(Until([&] { return sim_.names.record.address == West().host; }, 10s)) << sim_.Picture();
  sim_.time.RunFor(1s);
  sim_.StartAgent(sim_.witness);
  ASSERT_TRUE(Until([&] { return !sim_.store.ValueOf("orders/current"); }, 30s)) << sim_.Picture();
  EXPECT_EQ(sim_.LastExecution()->state, ExecutionState::kDone) << sim_.Picture();
  sim_.time.RunFor(5s);
  EXPECT_TRUE(West().CanCommit()) << sim_.Picture();
}

// ---- everything, at random ----

/// Kills and starts processes, cuts links and lets them heal; after each virtual instant one writer at the most (Simulation
/// throws). In the end, with everything back, the service serves or says what it waits for.
void RunStorm(std::uint64_t seed) {
  Settings settings = SimulationSettings();
  std::mt19937_64 dice(seed);
  const auto chance = [&](int percent) { return static_cast<int>(dice() % 100) < percent; };
  if (chance(50)) settings.policy.database_failure = DatabaseFailure::kFailover;
  Simulation sim(settings, seed);
  sim.StartAll();
  ASSERT_TRUE(sim.RunUntil([&] { return sim.Healthy(sim.east); }, 30s)) << sim.Picture();
  const RegionName regions[] = {sim.east, sim.west, sim.witness};
  for (int event = 0; event < 14; ++event) {
    sim.time.RunFor(std::chrono::milliseconds(50 + dice() % 2500));
    const RegionName& at = regions[dice() % 3];
    const RegionName& data = regions[dice() % 2];
    switch (dice() % 9) {
      case 0: sim.KillAgent(at); break;
      case 1: sim.StartRegion(at); break;
      case 2: sim.KillRegion(data); break;
      case 3: sim.Server(data).Kill(chance(30)); break;
      case 4: sim.network.cut_off.insert(at); break;
      case 5: sim.network.cut_off.clear(); break;
      case 6:
        if (sim.machines[at].run) sim.machines[at].run->store->silent = !sim.machines[at].run->store->silent;
        break;
      case 7:
        if (sim.machines[at].run) sim.machines[at].run->store->lose_answers = 1 + static_cast<int>(dice() % 2);
        break;
      default:
        if (sim.machines[data].run) {
          Simulation::Run& run = *sim.machines[data].run;
          Json order = {{"to", data.text}, {"region", data.text}, {"by", "storm"}};
          (void)sim.time.Start(run.io, run.agent->Handle(chance(60) ? "switchover" : "rejoin", std::move(order)));
        }
    }
  }
  // Peace: everything is back.
  sim.network.cut_off.clear();
  for (const RegionName& name : regions) {
    sim.StartRegion(name);
    sim.machines[name].run->store->silent = false;
  }
  for (const RegionName& name : regions) sim.machines[name].run->store->Ring();
  const auto serves = [&] {
    return sim.Writable() && sim.Item()->holder == sim.Writable()->region && !sim.store.ValueOf("orders/current");
  };
  const auto says = [&] {
    for (const RegionName& name : {sim.east, sim.west}) {
      if (sim.AgentOf(name).decision().withheld) return true;
    }
    return false;
  };
  const bool well = sim.RunUntil([&] { return serves(); }, 60s) || says();
  EXPECT_TRUE(well) << sim.Picture();
  for (const RegionName& name : {sim.east, sim.west}) EXPECT_FALSE(sim.Server(name).unsaved_loss) << name.text;
}

TEST(Storm, NeverTwoWritersWhateverDies) {
  const char* chosen = std::getenv("LIFEBOAT_SEED");
  const std::uint64_t first = chosen ? std::strtoull(chosen, nullptr, 10) : 1;
  const std::uint64_t last = chosen ? first : 200;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    SCOPED_TRACE("to repeat it: LIFEBOAT_SEED=" + std::to_string(seed) +
                 " build/release/bin/lifeboat_agent_test --gtest_filter=Storm.*");
    try {
      RunStorm(seed);
    } catch (const std::exception& problem) {
      ADD_FAILURE() << problem.what();
    }
    if (::testing::Test::HasFailure()) break;
  }
}

}  // namespace
}  // namespace lifeboat::testing
