// Whole agents of a service whose database a cloud runs, on fakes and virtual time: two data regions and a witness.

#include "agent/managed_agent.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fakes/fake_evidence.h"
#include "fakes/fake_files.h"
#include "fakes/fake_managed_database.h"
#include "fakes/fake_peers.h"
#include "fakes/fake_store.h"
#include "fakes/fake_traffic.h"
#include "prove/phases.h"

namespace lifeboat::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const RegionName kEast("us-east-1");
const RegionName kWest("us-west-2");
const RegionName kWitness("eu-west-1");

Settings MakeSettings() {
  Settings s;
  s.service = "orders";
  s.objectives = {10min, 2min};
  s.policy.automation = Automation::kAct;
  s.policy.loss_limit = LossLimit{3min, {UINT64_MAX}};
  s.policy.failover_after = 30s;
  for (const RegionName& region : {kEast, kWest, kWitness}) {
    RegionSettings r;
    r.name = region;
    r.kind = region == kWitness ? RegionKind::kWitness : RegionKind::kData;
    r.agent = {"127.0.0.1", 1};
    r.state_directory = "/state";
    s.regions.push_back(r);
  }
  AwsDatabaseSettings database;
  database.members = {{kEast, "orders-us-east-1"}, {kWest, "orders-us-west-2"}};
  AwsTrafficSettings traffic;
  traffic.name = "db.example.net.";
  traffic.targets = {{kEast, "east.example.net"}, {kWest, "west.example.net"}};
  s.aws.emplace();
  s.aws->database = database;
  s.aws->traffic = traffic;
  return s;
}

/// What outlives every process.
struct ManagedFakes {
  ManagedFakes() {
    cloud.Add(kEast, ManagedRole::kWriter);
    cloud.Add(kWest, ManagedRole::kSecondary);
    names.record = {"east.example.net", std::nullopt, std::chrono::seconds(30)};
    names.looks_at_epochs = false;
  }
  VirtualTime time;
  FakeClock clock{time};
  FakeCloud cloud{time};
  FakeStoreServer store;
  FakeNetwork network;
  FakePeerHub hub{network};
  FakeNameServer names;
  std::map<RegionName, FakeFiles> files;
  std::map<RegionName, std::vector<FakeEvidence::Row>> rows;
  Settings settings = MakeSettings();
};

/// One run of one agent.
struct Process {
  Process(ManagedFakes& w, RegionName region, std::string run)
      : world(w),
        self(region),
        store(io.get_executor(), w.clock, w.store, 2ms),
        peers(region, w.clock, w.hub),
        database(w.clock, w.cloud),
        traffic(w.clock, w.names, 2ms),
        evidence(region, w.rows[region]),
        agent(io.get_executor(), w.settings, region, AgentId(run),
              ManagedAgent::Doors{
                  w.clock, store, w.files[region], peers, evidence, database, &traffic, nullptr, nullptr, {}, {}, {}, {}},
              ManagedTimes(), Log()) {
    world.time.Attach(io);
    world.hub.processes[self] = {
        &io, [this](std::string method, Json parameters) { return agent.Handle(std::move(method), std::move(parameters)); }};
    agent.Start();
  }
  ~Process() {
    world.hub.processes.erase(self);
    world.time.Detach(io);
  }
  boost::asio::io_context io;
  ManagedFakes& world;
  const RegionName self;
  FakeStore store;
  FakePeers peers;
  FakeManagedDatabase database;
  FakeTraffic traffic;
  FakeEvidence evidence;
  ManagedAgent agent;
};

class ManagedAgentTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const RegionName& region : {kEast, kWest, kWitness}) StartAgent(region);
    SetLag(400ms);
    ASSERT_TRUE(world_.time.RunUntil([&] { return Agent(kWest).decision().rule == 680; }, 3min)) << Agent(kWest).decision().rule;
  }
  void StartAgent(const RegionName& region) {
    processes_[region] = std::make_unique<Process>(world_, region, region.text + std::to_string(++runs_));
  }
  void KillAgent(const RegionName& region) { processes_.erase(region); }
  ManagedAgent& Agent(const RegionName& region) { return processes_.at(region)->agent; }
  /// The cloud has just measured it.
  void SetLag(Duration lag) { world_.cloud.lags[kWest] = {lag, world_.clock.Wall()}; }
  /// Region and agent are gone.
  void LoseEast() {
    KillAgent(kEast);
    world_.cloud.silent.insert(kEast);
    world_.network.cut_off.insert(kEast);
  }
  Result<Json> Ask(const RegionName& region, const std::string& method, Json parameters) {
    return world_.time.Await(processes_.at(region)->io, Agent(region).Handle(method, std::move(parameters)), 5min);
  }
  bool Run(const std::function<bool()>& holds, Duration limit) { return world_.time.RunUntil(holds, limit); }
  std::optional<WriterItem> Item() {
    const auto value = world_.store.ValueOf("orders/writer");
    if (!value) return std::nullopt;
    const auto item = WriterItemFromJson(*ParseJson(*value, "item"));
    return item.ok() ? std::optional(*item) : std::nullopt;
  }
  /// The newest execution, as the store has it.
  std::optional<Execution> Newest() {
    std::optional<Execution> newest;
    for (const Record& record : world_.store.Read("orders/executions/").records) {
      const auto parsed = ExecutionFromJson(*ParseJson(record.value, "execution"));
      if (parsed.ok() && (!newest || newest->id < parsed->id)) newest = *parsed;
    }
    return newest;
  }
  bool Ended() {
    const auto newest = Newest();
    return newest && IsEnded(newest->state);
  }
  ManagedFakes world_;
  std::map<RegionName, std::unique_ptr<Process>> processes_;
  int runs_ = 0;
};

TEST_F(ManagedAgentTest, TheWriterIsNotedAndEverybodySaysTheServiceIsWell) {
  ASSERT_TRUE(Item());
  EXPECT_EQ(Item()->writer, kEast);
  world_.time.RunFor(3s);  // what one knows the others have heard
  for (const RegionName& region : {kEast, kWest, kWitness}) {
    const auto status = Ask(region, "status", Json::object());
    ASSERT_TRUE(status.ok());
    EXPECT_EQ(TextAt(*status, "verdict"), "healthy") << status->dump(1);
    EXPECT_THAT(TextAt(*status, "sentence"), HasSubstr("us-west-2 could take over"));
  }
  const auto check = Ask(kWitness, "check", Json::object());
  ASSERT_TRUE(check.ok());
  EXPECT_TRUE(FlagAt(*check, "ready")) << check->dump(1);
}

TEST_F(ManagedAgentTest, ALostRegionIsReplacedAndNothingIsAskedOfItOnTheWay) {
  LoseEast();
  ASSERT_TRUE(Run([&] { return Newest().has_value(); }, 2min)) << Agent(kWest).decision().reason;
  world_.time.RunFor(10s);  // what had been asked before it began has been given up
  const int held = world_.cloud.held[kEast];
  const auto verified = [&] {
    const StepRecord* verify = Newest()->Find("verify");
    return verify->state == StepState::kDone;
  };
  ASSERT_TRUE(Run(verified, 5min)) << ToJson(*Newest()).dump(1);
  EXPECT_EQ(world_.cloud.held[kEast], held);
  ASSERT_TRUE(Run([&] { return Ended(); }, 10min));
  const Execution e = *Newest();
  EXPECT_EQ(e.state, ExecutionState::kDone);
  EXPECT_EQ(e.requested_by, "rule 650");
  EXPECT_EQ(e.target, kWest);
  EXPECT_THAT(world_.cloud.requests, ElementsAre("failover us-west-2"));
  EXPECT_EQ(Item()->writer, kWest);
  EXPECT_EQ(Item()->moving_to, RegionName());
  EXPECT_EQ(world_.names.record.address, "west.example.net");
  // What was not said is not fenced, and what was not written is not a first good write.
  EXPECT_EQ(TextAt(e.facts, "fence_word"), "no word");
  EXPECT_FALSE(e.facts.contains("first_good_write_ns"));
  EXPECT_TRUE(e.facts.contains("seen_serving_ns"));
  EXPECT_EQ(TextAt(MemberAt(e.facts, "loss_estimate"), "state"), "bounded");
  ASSERT_TRUE(Run([&] { return !world_.rows[kWest].empty(); }, 5s));
  EXPECT_EQ(world_.rows[kWest][0].kind, "failover");
  const PhaseReport phases = ComputePhases(e);
  ASSERT_TRUE(phases.rto);
  EXPECT_GT(*phases.rto, 30s);
  EXPECT_LT(*phases.rto, 3min);
}

TEST_F(ManagedAgentTest, ACopyThatFollowsAnotherThanTheWriterDoesNotTakeOver) {
  world_.cloud.copies[kWest].follows = RegionName("ca-central-1");
  ASSERT_TRUE(world_.time.RunUntil([&] { return Agent(kWest).decision().rule == 672; }, 3min)) << Agent(kWest).decision().rule;
  LoseEast();
  ASSERT_TRUE(world_.time.RunUntil([&] { return Agent(kWest).decision().rule == 634; }, 3min)) << Agent(kWest).decision().rule;
  EXPECT_THAT(world_.cloud.requests, IsEmpty());
}

TEST_F(ManagedAgentTest, AnAgentThatIsGoneAloneIsNoLostRegion) {
  KillAgent(kEast);
  world_.time.RunFor(20min);
  EXPECT_FALSE(Newest());
  EXPECT_THAT(world_.cloud.requests, IsEmpty());
}

TEST_F(ManagedAgentTest, AnApiThatIsGoneAloneIsNoLostRegion) {
  world_.cloud.silent.insert(kEast);
  world_.time.RunFor(20min);
  EXPECT_FALSE(Newest());
}

TEST_F(ManagedAgentTest, AnApiThatWasNeverReachedFromHereIsNoSilentRegion) {
  for (const RegionName& region : {kWest, kWitness}) {
    KillAgent(region);
    StartAgent(region);
    processes_[region]->database.no_way_to.insert(kEast);  // its network leads to its own region's endpoints alone
  }
  world_.time.RunFor(2min);
  const auto check = Ask(kWest, "check", Json::object());
  ASSERT_TRUE(check.ok());
  EXPECT_THAT(check->dump(), HasSubstr("there is no way from here to the API of the writer's region"));
  KillAgent(kEast);  // started anew, say; its region is well
  world_.time.RunFor(20min);
  EXPECT_THAT(world_.cloud.requests, IsEmpty()) << Agent(kWest).decision().reason;
  EXPECT_EQ(Item()->writer, kEast);
  EXPECT_THAT(Agent(kWest).world().SilenceAt(world_.clock.Now()).why, HasSubstr("has never been reached from here"));
}

TEST_F(ManagedAgentTest, WhatOneAgentSeesIsNeverActedOn) {
  // West alone is cut off from everything of east; the witness sees it. (The API is seen silent by both: it is the agents that
  // tell.)
  world_.network.cut_links.insert({kWest, kEast});
  world_.cloud.silent.insert(kEast);
  ASSERT_TRUE(Run([&] { return Agent(kWest).decision().rule == 656; }, 2min)) << Agent(kWest).decision().rule;
  world_.time.RunFor(20min);
  EXPECT_FALSE(Newest());
  EXPECT_THAT(world_.cloud.requests, IsEmpty());
}

TEST_F(ManagedAgentTest, AnUnknownLagAsksAPersonWhoseWordIsForOneExecution) {
  world_.settings.policy.cool_down = 0s;
  world_.cloud.lags.clear();
  for (const RegionName& region : {kEast, kWest, kWitness}) {
    KillAgent(region);
    world_.files[region] = FakeFiles();
    StartAgent(region);
  }
  ASSERT_TRUE(Run([&] { return Agent(kWest).decision().rule == 674; }, 2min));
  LoseEast();
  ASSERT_TRUE(Run([&] { return Agent(kWest).decision().rule == 640; }, 2min)) << Agent(kWest).decision().rule;
  EXPECT_EQ(Agent(kWest).decision().unblock, "lifeboat failover --to us-west-2 --accept-loss");
  world_.time.RunFor(10min);
  EXPECT_FALSE(Newest());
  const auto refused = Ask(kWitness, "failover", {{"to", kWest.text}, {"by", "ann"}});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().retry, Retry::kRefused);
  EXPECT_THAT(refused.error().hint, HasSubstr("--accept-loss"));
  const auto begun = Ask(kWitness, "failover", {{"to", kWest.text}, {"by", "ann"}, {"accept_loss", true}});
  ASSERT_TRUE(begun.ok()) << begun.error().Text();
  ASSERT_TRUE(Run([&] { return Ended(); }, 10min));
  EXPECT_EQ(Newest()->state, ExecutionState::kDone);
  EXPECT_EQ(Newest()->requested_by, "operator ann");
  EXPECT_EQ(TextAt(MemberAt(Newest()->facts, "loss_estimate"), "state"), "unknown");
}

TEST_F(ManagedAgentTest, TheLastLagOutlivesAllAgents) {
  world_.time.RunFor(1min);
  for (const RegionName& region : {kEast, kWest, kWitness}) KillAgent(region);
  world_.cloud.lags.clear();
  for (const RegionName& region : {kEast, kWest, kWitness}) StartAgent(region);
  ASSERT_TRUE(Run([&] { return Agent(kWest).decision().rule == 680; }, 2min)) << Agent(kWest).decision().reason;
}

TEST_F(ManagedAgentTest, ASwitchoverIsAskedForWithoutLossAndMovesTheNameAfterwards) {
  const auto begun = Ask(kWitness, "switchover", {{"to", kWest.text}, {"by", "ann"}});
  ASSERT_TRUE(begun.ok()) << begun.error().Text();
  world_.time.RunFor(10s);
  EXPECT_EQ(world_.names.record.address, "east.example.net");  // not before the writer has moved
  ASSERT_TRUE(Run([&] { return Ended(); }, 10min));
  EXPECT_EQ(Newest()->state, ExecutionState::kDone) << ToJson(*Newest()).dump(1);
  EXPECT_THAT(world_.cloud.requests, ElementsAre("switchover us-west-2"));
  EXPECT_EQ(Item()->writer, kWest);
  EXPECT_EQ(world_.names.record.address, "west.example.net");
  ASSERT_TRUE(Run([&] { return Agent(kEast).decision().rule == 674 || Agent(kEast).decision().rule == 680; }, 2min))
      << Agent(kEast).decision().rule;
}

TEST_F(ManagedAgentTest, ASwitchoverThatTheCloudRefusesLeavesAllAsItWas) {
  const auto before = Item();
  const auto begun = Ask(kWest, "switchover", {{"to", kWest.text}});
  ASSERT_TRUE(begun.ok()) << begun.error().Text();
  world_.cloud.refuse_switchover = Refused("the versions differ");
  ASSERT_TRUE(Run([&] { return Ended(); }, 5min));
  EXPECT_EQ(Newest()->state, ExecutionState::kFailed);
  EXPECT_THAT(world_.cloud.requests, IsEmpty());
  EXPECT_EQ(Item()->writer, kEast);
  EXPECT_EQ(Item()->moving_to, RegionName());
  EXPECT_GT(Item()->epoch, before->epoch);
  EXPECT_EQ(world_.names.record.address, "east.example.net");
}

TEST_F(ManagedAgentTest, ALostAnswerIsLookedAtAndNotAskedAgain) {
  world_.cloud.lose_answers = 1;
  LoseEast();
  ASSERT_TRUE(Run([&] { return Ended(); }, 15min));
  EXPECT_EQ(Newest()->state, ExecutionState::kDone) << ToJson(*Newest()).dump(1);
  EXPECT_THAT(world_.cloud.requests, ElementsAre("failover us-west-2"));
}

TEST_F(ManagedAgentTest, AnotherRunGoesOnFromTheJournal) {
  LoseEast();
  ASSERT_TRUE(Run([&] { return !world_.cloud.requests.empty(); }, 3min));
  KillAgent(kWest);
  world_.time.RunFor(1s);
  StartAgent(kWest);
  ASSERT_TRUE(Run([&] { return Ended(); }, 15min));
  EXPECT_EQ(Newest()->state, ExecutionState::kDone) << ToJson(*Newest()).dump(1);
  EXPECT_THAT(world_.cloud.requests, ElementsAre("failover us-west-2"));
}

TEST_F(ManagedAgentTest, AnAgentThatNeverComesBackIsReplacedByTheWitness) {
  LoseEast();
  ASSERT_TRUE(Run([&] { return !world_.cloud.requests.empty(); }, 3min));
  KillAgent(kWest);
  ASSERT_TRUE(Run([&] { return Ended(); }, 20min));
  EXPECT_EQ(Newest()->state, ExecutionState::kDone) << ToJson(*Newest()).dump(1);
  EXPECT_EQ(Newest()->owner, kWitness);
  EXPECT_EQ(world_.names.record.address, "west.example.net");
}

TEST_F(ManagedAgentTest, PastThePointOfNoReturnASilentStoreStopsNothing) {
  LoseEast();
  ASSERT_TRUE(Run([&] { return !world_.cloud.requests.empty(); }, 3min));
  world_.store.up = false;
  ASSERT_TRUE(Run([&] { return world_.names.record.address == "west.example.net"; }, 5min));
  world_.store.up = true;
  ASSERT_TRUE(Run([&] { return Ended(); }, 15min));
  EXPECT_EQ(Item()->writer, kWest);
}

TEST_F(ManagedAgentTest, ARefusalThatLeavesOnlyDetachingIsDetachedOnlyWhereThatWasSaid) {
  world_.cloud.refuse_failover = Refused("versions have drifted apart", "what is left is detach-and-promote");
  LoseEast();
  ASSERT_TRUE(Run([&] { return Ended(); }, 15min));
  EXPECT_EQ(Newest()->state, ExecutionState::kFailed);
  EXPECT_THAT(world_.cloud.requests, IsEmpty());
  EXPECT_EQ(Item()->writer, kEast);
  // The operator's word.
  const auto begun = Ask(kWest, "failover", {{"to", kWest.text}, {"by", "ann"}, {"detach", true}, {"accept_loss", true}});
  ASSERT_TRUE(begun.ok()) << begun.error().Text();
  ASSERT_TRUE(Run([&] { return Ended(); }, 15min));
  EXPECT_EQ(Newest()->state, ExecutionState::kDone) << ToJson(*Newest()).dump(1);
  EXPECT_THAT(world_.cloud.requests, ElementsAre("detach us-west-2"));
  EXPECT_EQ(TextAt(Newest()->facts, "fence_word"), "none");
  // The old region comes back, and with it the old database, which still calls itself the one.
  world_.cloud.silent.clear();
  world_.network.cut_off.clear();
  StartAgent(kEast);
  world_.time.RunFor(5min);
  EXPECT_EQ(Item()->writer, kWest);
  EXPECT_TRUE(Item()->apart);
  EXPECT_EQ(Agent(kEast).decision().rule, 670);
}

TEST_F(ManagedAgentTest, AMoveByHandIsTakenNoteOfAndNothingElseIsDone) {
  const auto before = Item();
  world_.cloud.copies[kEast].role = ManagedRole::kSecondary;
  world_.cloud.copies[kWest].role = ManagedRole::kWriter;
  ASSERT_TRUE(Run([&] { return Item()->writer == kWest; }, 2min));
  EXPECT_EQ(Item()->epoch, Next(before->epoch));
  world_.time.RunFor(5min);
  EXPECT_FALSE(Newest());
  EXPECT_EQ(world_.names.record.address, "east.example.net");
}

TEST_F(ManagedAgentTest, TheOldRegionComesBackByOrder) {
  LoseEast();
  ASSERT_TRUE(Run([&] { return Ended(); }, 15min));
  world_.cloud.silent.clear();
  world_.network.cut_off.clear();
  world_.cloud.snapshot = "arn:lost";
  StartAgent(kEast);
  world_.time.RunFor(1min);
  const auto begun = Ask(kEast, "rejoin", {{"region", kEast.text}, {"by", "ann"}});
  ASSERT_TRUE(begun.ok()) << begun.error().Text();
  ASSERT_TRUE(Run([&] { return Ended(); }, 5min));
  EXPECT_EQ(Newest()->kind, PlanKind::kRejoin);
  EXPECT_EQ(Newest()->state, ExecutionState::kDone) << ToJson(*Newest()).dump(1);
  EXPECT_EQ(TextAt(Newest()->facts, "lost_writes_snapshot"), "arn:lost");
}

TEST_F(ManagedAgentTest, ARequestWhoseAnswerNobodyWroteDownIsNotCalledRefusedByTheNextRun) {
  // As RDS does: it takes a promotion on, and refuses a second one while the instance is being changed.
  world_.cloud.move_takes = 2min;
  world_.cloud.lose_answers = 1;
  world_.cloud.refuse_while_moving = Refused("it is 'modifying', not available");
  LoseEast();
  ASSERT_TRUE(Run([&] { return !world_.cloud.requests.empty(); }, 3min));
  KillAgent(kWest);
  world_.time.RunFor(1s);
  StartAgent(kWest);
  ASSERT_TRUE(Run([&] { return Ended(); }, 15min));
  EXPECT_EQ(Newest()->state, ExecutionState::kDone) << ToJson(*Newest()).dump(1);
  EXPECT_THAT(world_.cloud.requests, ElementsAre("failover us-west-2"));
  EXPECT_EQ(Item()->writer, kWest);
}

TEST_F(ManagedAgentTest, ThatTheCopyIsCutLooseIsWrittenDownBeforeItIs) {
  KillAgent(kWest);
  world_.settings.aws->database->detach_when_needed = true;
  StartAgent(kWest);
  SetLag(400ms);
  ASSERT_TRUE(Run([&] { return Agent(kWest).decision().rule == 680; }, 3min));
  world_.cloud.refuse_failover = Refused("versions have drifted apart", "what is left is detach-and-promote");
  world_.cloud.lose_answers = 1;
  LoseEast();
  ASSERT_TRUE(Run([&] { return !world_.cloud.requests.empty(); }, 3min));
  EXPECT_EQ(TextAt(Newest()->facts, "way"), "detach");
  KillAgent(kWest);
  world_.time.RunFor(1s);
  StartAgent(kWest);
  ASSERT_TRUE(Run([&] { return Ended(); }, 15min));
  EXPECT_EQ(Newest()->state, ExecutionState::kDone) << ToJson(*Newest()).dump(1);
  EXPECT_THAT(world_.cloud.requests, ElementsAre("detach us-west-2"));
  EXPECT_TRUE(Item()->apart);
}

TEST_F(ManagedAgentTest, AMoveThatTheCloudTakesBackIsAskedForAgainInTheSameWords) {
  world_.cloud.take_back = 1;
  const auto begun = Ask(kWest, "switchover", {{"to", kWest.text}});
  ASSERT_TRUE(begun.ok()) << begun.error().Text();
  ASSERT_TRUE(Run([&] { return Ended(); }, 15min));
  EXPECT_EQ(Newest()->state, ExecutionState::kDone) << ToJson(*Newest()).dump(1);
  EXPECT_THAT(world_.cloud.requests, ElementsAre("switchover us-west-2", "switchover us-west-2"));
}

TEST_F(ManagedAgentTest, AFailoverThatTheCloudTakesBackIsAskedForAgainAndGivesWayToDetaching) {
  world_.cloud.take_back = 2;
  LoseEast();
  ASSERT_TRUE(Run([&] { return world_.cloud.requests.size() == 2; }, 10min));
  EXPECT_THAT(world_.cloud.requests, ElementsAre("failover us-west-2", "failover us-west-2"));
  world_.cloud.refuse_failover = Refused("versions have drifted apart");
  world_.time.RunFor(5min);
  EXPECT_FALSE(Ended());
  const auto waits = Ask(kWest, "failover", {{"to", kWest.text}, {"by", "ann"}, {"accept_loss", true}});
  ASSERT_FALSE(waits.ok());  // the same again would bring nothing
  const auto begun = Ask(kWest, "failover", {{"to", kWest.text}, {"by", "ann"}, {"detach", true}, {"accept_loss", true}});
  ASSERT_TRUE(begun.ok()) << begun.error().Text();
  ASSERT_TRUE(Run([&] { return Ended(); }, 15min));
  EXPECT_EQ(Newest()->state, ExecutionState::kDone) << ToJson(*Newest()).dump(1);
  EXPECT_EQ(world_.cloud.requests.back(), "detach us-west-2");
  EXPECT_EQ(Item()->writer, kWest);
}

TEST_F(ManagedAgentTest, ASwitchoverThatGoesOnIsNotOvertakenByAFailoverThatNobodyAcceptedTheLossOf) {
  ASSERT_TRUE(Ask(kWest, "switchover", {{"to", kWest.text}}).ok());
  world_.time.RunFor(2s);
  const auto refused = Ask(kWest, "failover", {{"to", kWest.text}, {"by", "ann"}});
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().hint, HasSubstr("--accept-loss"));
  ASSERT_TRUE(Run([&] { return Ended(); }, 15min));
  EXPECT_EQ(Newest()->kind, PlanKind::kSwitchover);
  EXPECT_EQ(Newest()->state, ExecutionState::kDone);
  EXPECT_THAT(world_.cloud.requests, ElementsAre("switchover us-west-2"));
}

/// East serves badly, and votes may move it.
class ManagedVotesTest : public ManagedAgentTest {
 protected:
  void Degrade() {
    Policy& policy = world_.settings.policy;
    policy.degraded_action = DegradedAction::kSwitchover;
    policy.degraded_after = 30s;
    policy.degraded_patience = 10s;
    world_.cloud.copies[kEast].status = "storage-full";
    SetLag(400ms);
  }
};

TEST_F(ManagedVotesTest, VotesMoveTheServiceWithoutLoss) {
  Degrade();
  ASSERT_TRUE(Run([&] { return Ended(); }, 15min));
  EXPECT_EQ(Newest()->kind, PlanKind::kSwitchover);
  EXPECT_EQ(Newest()->state, ExecutionState::kDone) << ToJson(*Newest()).dump(1);
  EXPECT_THAT(world_.cloud.requests, ElementsAre("switchover us-west-2"));
  world_.cloud.copies[kWest].status = "storage-full";  // and a second time a person looks first
  world_.time.RunFor(10min);
  EXPECT_EQ(Agent(kEast).decision().rule, 660);
  EXPECT_EQ(world_.cloud.requests.size(), 1u);
}

TEST_F(ManagedVotesTest, AMoveThatTheCloudRefusesGoesOnAsAFailoverWithinTheLossLimit) {
  world_.cloud.refuse_switchover = Refused("the writer's cluster is not available");
  Degrade();
  ASSERT_TRUE(Run([&] { return Ended() && Newest()->kind == PlanKind::kFailover; }, 15min));
  EXPECT_EQ(Newest()->state, ExecutionState::kDone) << ToJson(*Newest()).dump(1);
  EXPECT_THAT(world_.cloud.requests, ElementsAre("failover us-west-2"));
  EXPECT_EQ(Item()->writer, kWest);
  EXPECT_EQ(Newest()->requested_by, "rule 658");
  EXPECT_NE(TextAt(Newest()->facts, "goes_on_from"), "");
  // The latch is that of the second half: nothing follows it.
  EXPECT_THAT(*world_.store.ValueOf("orders/cool_down"), HasSubstr(Newest()->id.text));
}

TEST_F(ManagedVotesTest, AMoveThatTheCloudRefusesLeavesTheWriterWhereItIsAboveTheLossLimit) {
  world_.cloud.refuse_switchover = Refused("the writer's cluster is not available");
  world_.settings.policy.loss_limit.reset();
  Degrade();
  ASSERT_TRUE(Run([&] { return Agent(kWest).decision().rule == 658; }, 15min)) << Agent(kWest).decision().rule;
  world_.time.RunFor(10min);
  EXPECT_TRUE(Agent(kWest).decision().withheld);
  EXPECT_THAT(world_.cloud.requests, IsEmpty());
  EXPECT_EQ(Item()->writer, kEast);
  EXPECT_EQ(Newest()->kind, PlanKind::kSwitchover);
}

TEST_F(ManagedVotesTest, AMoveThatTheCloudDoesNotEndGoesOnAsAFailover) {
  world_.cloud.move_takes = 2h;
  Degrade();
  ASSERT_TRUE(Run([&] { return !world_.cloud.requests.empty(); }, 5min));
  world_.cloud.move_takes = 20s;
  world_.time.RunFor(4min);
  EXPECT_THAT(world_.cloud.requests, ElementsAre("switchover us-west-2"));  // it takes minutes
  SetLag(400ms);
  ASSERT_TRUE(Run([&] { return Ended() && Newest()->kind == PlanKind::kFailover; }, 15min));
  EXPECT_THAT(world_.cloud.requests, ElementsAre("switchover us-west-2", "failover us-west-2"));
  EXPECT_EQ(Newest()->state, ExecutionState::kDone) << ToJson(*Newest()).dump(1);
  EXPECT_EQ(Newest()->requested_by, "rule 612");
  EXPECT_EQ(Item()->writer, kWest);
}

TEST_F(ManagedVotesTest, WhatAPersonOrderedIsNeverTurnedIntoAFailover) {
  world_.settings.policy.degraded_action = DegradedAction::kSwitchover;
  world_.cloud.move_takes = 2h;
  world_.cloud.take_back = 1;
  ASSERT_TRUE(Ask(kWest, "switchover", {{"to", kWest.text}, {"by", "ann"}}).ok());
  for (int minute = 0; minute < 20; minute += 2) {
    SetLag(400ms);
    world_.time.RunFor(2min);
  }
  EXPECT_THAT(world_.cloud.requests, ElementsAre("switchover us-west-2"));
  EXPECT_FALSE(Ended());
}

TEST_F(ManagedAgentTest, WhatWasDecidedOnAnItemDoesNotBeginOnALaterOne) {
  // Somebody's change arrives between the draft (a look takes 20 ms) and the transaction (the journal is read in 2 ms).
  WriterItem other = *Item();
  other.epoch = Next(other.epoch);
  world_.time.At(world_.time.now() + 20ms + 500us, [&] {
    Transaction change;
    change.puts.push_back({"orders/writer", ToJson(other).dump()});
    ASSERT_TRUE(world_.store.Apply(change)->committed);
  });
  const auto refused = Ask(kWest, "failover", {{"to", kWest.text}, {"by", "ann"}, {"accept_loss", true}});
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, HasSubstr("the item in the store changed meanwhile"));
  EXPECT_FALSE(Newest());
  EXPECT_EQ(Item()->epoch, other.epoch);
}

TEST_F(ManagedAgentTest, AnApiThatIsAskedTooOftenIsNoSilentRegion) {
  KillAgent(kEast);
  world_.cloud.throttled.insert(kEast);  // for all agents at once: the limit is the account's
  world_.time.RunFor(20min);
  EXPECT_FALSE(Newest());
  EXPECT_THAT(world_.cloud.requests, IsEmpty());
}

TEST_F(ManagedAgentTest, AnOldSilenceOfTheApiDoesNotCountWhenTheAgentFallsSilentLater) {
  const auto silent = [&] { return Agent(kWest).world().SilenceAt(world_.clock.Now()).opinion == Opinion::kDegraded; };
  LoseEast();
  ASSERT_TRUE(Run(silent, 1min));
  world_.network.cut_off.clear();  // the agent first, and its API is looked at no more
  StartAgent(kEast);
  world_.time.RunFor(10s);
  ASSERT_FALSE(silent());
  world_.cloud.silent.clear();
  world_.time.RunFor(1h);
  SetLag(400ms);
  LoseEast();
  // The agent is found silent after 5 s; the API's first answer is missed after some 5 s more.
  world_.time.RunFor(8s);
  EXPECT_FALSE(silent());
  EXPECT_TRUE(Run(silent, 30s));
}

TEST_F(ManagedAgentTest, AnEarlierFailoversSnapshotIsNotThisOnes) {
  world_.cloud.snapshot = "arn:earlier";
  world_.cloud.snapshot_at = world_.clock.Wall();
  world_.time.RunFor(10min);
  SetLag(400ms);
  world_.time.RunFor(1min);
  LoseEast();
  ASSERT_TRUE(Run([&] { return Newest().has_value(); }, 3min)) << Agent(kWest).decision().rule;
  ASSERT_TRUE(Run([&] { return Ended(); }, 15min));
  world_.cloud.silent.clear();
  world_.network.cut_off.clear();
  StartAgent(kEast);
  world_.time.RunFor(1min);
  ASSERT_TRUE(Ask(kEast, "rejoin", {{"region", kEast.text}, {"by", "ann"}}).ok());
  ASSERT_TRUE(Run([&] { return Ended(); }, 5min));
  EXPECT_EQ(Newest()->kind, PlanKind::kRejoin);
  EXPECT_EQ(Newest()->state, ExecutionState::kDone) << ToJson(*Newest()).dump(1);
  EXPECT_FALSE(Newest()->facts.contains("lost_writes_snapshot"));
}

}  // namespace
}  // namespace lifeboat::testing
