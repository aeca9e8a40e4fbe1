// Whole agents of a service whose database a cloud runs, with what runs around it (compute, hooks, receivers, alarms), on fakes and
// virtual time: two data regions and a witness.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/managed_agent.h"
#include "fakes/fake_evidence.h"
#include "fakes/fake_files.h"
#include "fakes/fake_managed_database.h"
#include "fakes/fake_neighbours.h"
#include "fakes/fake_peers.h"
#include "fakes/fake_store.h"

namespace lifeboat::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const RegionName kEast("us-east-1");
const RegionName kWest("us-west-2");
const RegionName kWitness("eu-west-1");

class ManagedNeighboursTest : public ::testing::Test {
 protected:
  /// One run of one agent.
  struct Process {
    Process(ManagedNeighboursTest& t, RegionName region, std::string run)
        : test(t),
          self(region),
          store(io.get_executor(), t.clock_, t.store_, 2ms),
          peers(region, t.clock_, t.hub_),
          database(t.clock_, t.cloud_),
          evidence(region, t.rows_[region]),
          agent(io.get_executor(), t.settings_, region, AgentId(run),
                ManagedAgent::Doors{.clock = t.clock_,
                                    .store = store,
                                    .files = t.files_[region],
                                    .peers = peers,
                                    .evidence = evidence,
                                    .database = database,
                                    .alarms = &t.alarms_,
                                    .compute = {&t.web_},
                                    .hooks = {&t.before_, &t.extra_, &t.last_},
                                    .notifiers = {&t.ops_}},
                ManagedTimes(), Log()) {
      t.time_.Attach(io);
      t.hub_.processes[self] = {
          &io, [this](std::string method, Json parameters) { return agent.Handle(std::move(method), std::move(parameters)); }};
      agent.Start();
    }
    ~Process() {
      test.hub_.processes.erase(self);
      test.time_.Detach(io);
    }
    boost::asio::io_context io;
    ManagedNeighboursTest& test;
    const RegionName self;
    FakeStore store;
    FakePeers peers;
    FakeManagedDatabase database;
    FakeEvidence evidence;
    ManagedAgent agent;
  };

  ManagedNeighboursTest() {
    settings_.service = "orders";
    settings_.objectives = {10min, 2min};
    settings_.policy.automation = Automation::kAct;
    settings_.policy.loss_limit = LossLimit{15min, {UINT64_MAX}};
    settings_.policy.failover_after = 30s;
    settings_.policy.cool_down = 0s;
    settings_.aws.emplace();
    for (const RegionName& region : {kEast, kWest, kWitness}) {
      RegionSettings r;
      r.name = region;
      r.kind = region == kWitness ? RegionKind::kWitness : RegionKind::kData;
      r.agent = {"127.0.0.1", 1};
      r.state_directory = "/state";
      settings_.regions.push_back(r);
      settings_.aws->alarms.push_back({region, kEast, "errors"});
    }
    AwsDatabaseSettings database;
    database.members = {{kEast, "orders-us-east-1"}, {kWest, "orders-us-west-2"}};
    settings_.aws->database = database;
    cloud_.Add(kEast, ManagedRole::kWriter);
    cloud_.Add(kWest, ManagedRole::kSecondary);
    web_.Set(kEast, ComputeSizes{{}, 4, {}});
    web_.Set(kWest, ComputeSizes{{}, 1, {}});
  }
  void SetUp() override {
    for (const RegionName& region : {kEast, kWest, kWitness}) StartAgent(region);
    MeasureLags();
    ASSERT_TRUE(Run([&] { return Agent(kWest).decision().rule == 680; }, 3min)) << Agent(kWest).decision().rule;
    ASSERT_TRUE(
        Run([&] { return !Agent(kWest).world().RanIn(kEast).empty() && !Agent(kWitness).world().RanIn(kEast).empty(); }, 3min));
  }
  void StartAgent(const RegionName& region) {
    processes_[region] = std::make_unique<Process>(*this, region, region.text + std::to_string(++runs_));
  }
  void KillAgent(const RegionName& region) { processes_.erase(region); }
  ManagedAgent& Agent(const RegionName& region) { return processes_.at(region)->agent; }
  void MeasureLags() {
    for (const RegionName& region : {kEast, kWest}) cloud_.lags[region] = {400ms, clock_.Wall()};
  }
  void Lose(const RegionName& region) {
    KillAgent(region);
    cloud_.silent.insert(region);
    network_.cut_off.insert(region);
    web_.silent.insert(region);
  }
  void BringBack(const RegionName& region) {
    cloud_.silent.erase(region);
    network_.cut_off.erase(region);
    web_.silent.erase(region);
    StartAgent(region);
  }
  Result<Json> Ask(const RegionName& region, const std::string& method, Json parameters) {
    return time_.Await(processes_.at(region)->io, Agent(region).Handle(method, std::move(parameters)), 5min);
  }
  bool Run(const std::function<bool()>& holds, Duration limit) { return time_.RunUntil(holds, limit); }
  std::vector<Execution> Executions() {
    std::vector<Execution> all;
    for (const Record& record : store_.Read("orders/executions/").records) {
      const auto parsed = ExecutionFromJson(*ParseJson(record.value, "execution"));
      if (parsed.ok()) all.push_back(*parsed);
    }
    std::sort(all.begin(), all.end(), [](const Execution& a, const Execution& b) { return a.id < b.id; });
    return all;
  }
  /// So many executions have begun, and all have ended.
  bool Ended(std::size_t count) {
    if (store_.ValueOf("orders/current")) return false;  // looked at after each step of time
    const auto all = Executions();
    return all.size() == count && std::all_of(all.begin(), all.end(), [](const Execution& e) { return IsEnded(e.state); });
  }
  std::vector<std::string> Subjects() {
    std::vector<std::string> subjects;
    for (const auto& told : ops_.told) subjects.push_back(told.subject);
    return subjects;
  }

  VirtualTime time_;
  FakeClock clock_{time_};
  FakeCloud cloud_{time_};
  FakeStoreServer store_;
  FakeNetwork network_;
  FakePeerHub hub_{network_};
  FakeCompute web_{clock_, "web"};
  FakeHook before_{clock_, "freeze", "before-promote", true};
  FakeHook extra_{clock_, "warm", "after-promote", false};
  FakeHook last_{clock_, "cache", "after-route", true};
  FakeNotifier ops_;
  FakeAlarms alarms_;
  std::map<RegionName, FakeFiles> files_;
  std::map<RegionName, std::vector<FakeEvidence::Row>> rows_;
  Settings settings_;
  std::map<RegionName, std::unique_ptr<Process>> processes_;
  int runs_ = 0;
};

TEST_F(ManagedNeighboursTest, WhatTheSourceRanIsKnownWhenItIsLostAndOneWhoHadHeardItComesBack) {
  // It loses machines, and then the last looks of its own agent fail, as they do in a region that goes under by and by.
  web_.runs[kEast] = 1;
  time_.RunFor(2min);
  web_.silent.insert(kEast);
  time_.RunFor(3min);
  MeasureLags();
  time_.RunFor(30s);
  Lose(kEast);
  KillAgent(kWest);
  StartAgent(kWest);  // it has forgotten all but what stands on its disk, and the witness has not
  ASSERT_TRUE(Run([&] { return Ended(1); }, 20min)) << Agent(kWest).decision().reason;
  EXPECT_EQ(Executions()[0].state, ExecutionState::kDone) << ToJson(Executions()[0]).dump(1);
  EXPECT_THAT(web_.changes, ElementsAre("up us-west-2 4"));
}

TEST_F(ManagedNeighboursTest, ARequiredHookThatFailsEndsTheFailoverBeforeAnythingIsAskedAndSoonAlsoWhereComputeIsWaitedFor) {
  web_.stuck = true;  // for ten minutes
  before_.fails = Fail("the queue could not be frozen");
  Lose(kEast);
  ASSERT_TRUE(Run([&] { return !Executions().empty(); }, 3min));
  ASSERT_TRUE(Run([&] { return Ended(1); }, 1min)) << ToJson(Executions()[0]).dump(1);
  const Execution e = Executions()[0];
  EXPECT_EQ(e.state, ExecutionState::kFailed);
  EXPECT_THAT(e.reason, HasSubstr("aborted: step 'before': hook 'freeze': the queue could not be frozen"));
  EXPECT_THAT(e.Find("scale-up")->outcome, HasSubstr("is waited for no more"));
  EXPECT_THAT(cloud_.requests, IsEmpty());
  EXPECT_EQ(before_.calls.size(), 1u);
  time_.RunFor(1s);
  EXPECT_THAT(Subjects(), ElementsAre("lifeboat: failover from us-east-1 to us-west-2 begins",
                                      "lifeboat: failover from us-east-1 to us-west-2 failed"));
  EXPECT_EQ(TextAt(ops_.told[1].body, "id"), e.id.text + "/failed");
  EXPECT_THAT(TextAt(ops_.told[1].body, "reason"), HasSubstr("the queue could not be frozen"));
}

TEST_F(ManagedNeighboursTest, AnOptionalHookThatFailsIsWrittenDownAndTheFailoverGoesOn) {
  extra_.fails = UnknownOutcome("it was called and did not answer");
  Lose(kEast);
  ASSERT_TRUE(Run([&] { return Ended(1); }, 20min));
  EXPECT_EQ(Executions()[0].state, ExecutionState::kDone);
  EXPECT_THAT(Executions()[0].Find("after")->outcome, HasSubstr("'warm' failed, and is not required"));
  EXPECT_EQ(extra_.calls.size(), 1u);
}

TEST_F(ManagedNeighboursTest, ThatTheRegionServesIsToldOnceAlsoWhereTheLastHookNeverAnswersWell) {
  last_.fails = Fail("the cache could not be warmed");
  Lose(kEast);
  ASSERT_TRUE(Run([&] { return ops_.told.size() == 2; }, 5min));
  EXPECT_EQ(Subjects()[1], "lifeboat: us-west-2 serves after failover");
  ASSERT_TRUE(Run([&] { return Ended(1); }, 30min));
  EXPECT_EQ(Executions()[0].state, ExecutionState::kDone);
  EXPECT_THAT(Executions()[0].Find("finish")->outcome, HasSubstr("given up after"));
  EXPECT_EQ(ops_.told.size(), 2u);
}

TEST_F(ManagedNeighboursTest, WhatTwoTakeoversScaledUpIsPutBackToWhatWasThereBeforeBoth) {
  before_.fails = Fail("not now");
  Lose(kEast);
  ASSERT_TRUE(Run([&] { return Ended(1); }, 20min));
  EXPECT_EQ(Executions()[0].state, ExecutionState::kFailed);
  EXPECT_THAT(web_.changes, ElementsAre("up us-west-2 4"));
  before_.fails.reset();
  ASSERT_TRUE(Run([&] { return Ended(2); }, 20min)) << Agent(kWest).decision().reason;
  EXPECT_EQ(Executions()[1].state, ExecutionState::kDone) << ToJson(Executions()[1]).dump(1);
  BringBack(kEast);
  ASSERT_TRUE(Run([&] { return Ask(kWitness, "switchover", {{"to", kEast.text}, {"by", "ann"}}).ok(); }, 5min));
  ASSERT_TRUE(Run([&] { return Ended(3); }, 20min));
  ASSERT_TRUE(Run([&] { return Ask(kWitness, "rejoin", {{"region", kWest.text}, {"by", "ann"}}).ok(); }, 5min));
  ASSERT_TRUE(Run([&] { return Ended(4); }, 20min));
  EXPECT_EQ(Executions()[3].state, ExecutionState::kDone) << ToJson(Executions()[3]).dump(1);
  EXPECT_THAT(web_.changes, ElementsAre("up us-west-2 4", "back us-west-2 1"));
}

TEST_F(ManagedNeighboursTest, WhatSomebodyElseSetBetweenTwoTakeoversIsWhatIsPutBack) {
  before_.fails = Fail("not now");
  Lose(kEast);
  ASSERT_TRUE(Run([&] { return Ended(1); }, 20min));
  web_.Set(kWest, ComputeSizes{{}, 2, {}});  // by a person, who knows why
  before_.fails.reset();
  ASSERT_TRUE(Run([&] { return Ended(2); }, 20min));
  BringBack(kEast);
  ASSERT_TRUE(Run([&] { return Ask(kWitness, "switchover", {{"to", kEast.text}, {"by", "ann"}}).ok(); }, 5min));
  ASSERT_TRUE(Run([&] { return Ended(3); }, 20min));
  ASSERT_TRUE(Run([&] { return Ask(kWitness, "rejoin", {{"region", kWest.text}, {"by", "ann"}}).ok(); }, 5min));
  ASSERT_TRUE(Run([&] { return Ended(4); }, 20min));
  EXPECT_THAT(web_.changes, ElementsAre("up us-west-2 4", "up us-west-2 4", "back us-west-2 2"));
}

TEST_F(ManagedNeighboursTest, ANoticeThatIsToldAgainByTheNextRunBearsTheSameId) {
  Lose(kEast);
  ASSERT_TRUE(Run([&] { return !ops_.told.empty(); }, 3min));
  KillAgent(kWest);  // before it was written down that it was told
  StartAgent(kWest);
  ASSERT_TRUE(Run([&] { return Ended(1); }, 20min));
  const std::string id = Executions()[0].id.text;
  ASSERT_EQ(ops_.told.size(), 3u);
  EXPECT_EQ(TextAt(ops_.told[0].body, "id"), id + "/begins");
  EXPECT_EQ(TextAt(ops_.told[1].body, "id"), id + "/begins");
  EXPECT_EQ(TextAt(ops_.told[2].body, "id"), id + "/serves");
}

TEST_F(ManagedNeighboursTest, APersonWhoIsNeededIsToldOnceByOneAgent) {
  for (const RegionName& region : {kWest, kWitness}) alarms_.states[region]["errors"] = {AlarmSign::kAlarm, "too many errors", {}};
  settings_.policy.degraded_action = DegradedAction::kAsk;
  ASSERT_TRUE(Run([&] { return Agent(kWest).decision().rule == 664; }, 3min)) << Agent(kWest).decision().rule;
  time_.RunFor(5min);
  EXPECT_THAT(Subjects(), ElementsAre("lifeboat: orders: a degraded writer is told of",
                                      "lifeboat: orders: a degraded writer is a person's matter"));
  EXPECT_EQ(TextAt(ops_.told[1].body, "unblock"), "lifeboat switchover --to us-west-2");
  EXPECT_THAT(TextAt(ops_.told[1].body, "reason"), HasSubstr("too many errors"));
  EXPECT_FALSE(TextAt(ops_.told[1].body, "id").empty());
  EXPECT_THAT(cloud_.requests, IsEmpty());
}

TEST_F(ManagedNeighboursTest, AnAlarmWithoutDataOrOfOneAgentAloneMovesNothing) {
  settings_.policy.degraded_action = DegradedAction::kSwitchover;
  alarms_.states[kWest]["errors"] = {AlarmSign::kAlarm, "too many errors", {}};
  alarms_.states[kWitness]["errors"] = {AlarmSign::kNoData, "", {}};
  time_.RunFor(10min);
  EXPECT_FALSE(Agent(kWest).snapshot().votes.majority_for);
  EXPECT_EQ(Agent(kWest).snapshot().votes.degraded, 1u);
  EXPECT_THAT(Executions(), IsEmpty());
}

TEST_F(ManagedNeighboursTest, ALagIsAsOldAsTheCloudsClockSaysWhateverThisMachinesSays) {
  const auto loss = [&] { return *Agent(kWest).snapshot().regions.at(kWest).loss; };
  time_.RunFor(1min);
  const Duration before = loss().time;
  // The cloud's clock is ten minutes ahead of the agents', and what it measured then is a minute old now.
  cloud_.ahead = 10min;
  cloud_.lags[kWest] = {400ms, WallTime{clock_.Wall().ns + Duration(9min).count()}};
  time_.RunFor(45s);
  EXPECT_GT(loss().time, 1min);
  EXPECT_LT(loss().time, before + 3min);
}

}  // namespace
}  // namespace lifeboat::testing
