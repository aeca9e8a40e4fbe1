// Whole agents of a service whose database a cloud runs and SQL is asked of, on fakes and virtual time: two data regions and a
// witness.

#include "agent/managed_sql.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/managed_agent.h"
#include "fakes/fake_evidence.h"
#include "fakes/fake_files.h"
#include "fakes/fake_managed_sql.h"
#include "fakes/fake_peers.h"
#include "fakes/fake_store.h"
#include "prove/phases.h"

namespace lifeboat::testing {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

const RegionName kEast("us-east-1");
const RegionName kWest("us-west-2");
const RegionName kWitness("eu-west-1");

Settings MakeSettings() {
  Settings s;
  s.service = "orders";
  s.objectives = {10min, 2min};
  s.policy.automation = Automation::kAct;
  s.policy.loss_limit = LossLimit{20s, {UINT64_MAX}};  // less than CloudWatch could ever show
  s.policy.failover_after = 30s;
  s.policy.degraded_after = 30s;
  for (const RegionName& region : {kEast, kWest, kWitness}) {
    RegionSettings r;
    r.name = region;
    r.kind = region == kWitness ? RegionKind::kWitness : RegionKind::kData;
    r.agent = {"127.0.0.1", 1};
    r.state_directory = "/state";
    s.regions.push_back(r);
  }
  s.aws.emplace();
  s.aws->database.emplace();
  s.aws->database->members = {{kEast, "orders-us-east-1"}, {kWest, "orders-us-west-2"}};
  s.aws->traffic.emplace();
  s.aws->traffic->name = "db.example.net.";
  s.aws->traffic->targets = {{kEast, "east.example.net"}, {kWest, "west.example.net"}};
  s.aws->sql.emplace();
  s.aws->sql->writers = {{kEast, {"east.db", 5432}}, {kWest, {"west.db", 5432}}};
  return s;
}

/// What outlives every process.
struct SqlFakes {
  SqlFakes() {
    cloud.Add(kEast, ManagedRole::kWriter);
    cloud.Add(kWest, ManagedRole::kSecondary);
    names.record = {"east.example.net", std::nullopt, std::chrono::seconds(30)};
    names.looks_at_epochs = false;
  }
  VirtualTime time;
  FakeClock clock{time};
  FakeCloud cloud{time};
  FakeSqlServers servers{time, cloud, clock};
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
  Process(SqlFakes& w, RegionName region, std::string run)
      : world(w),
        self(region),
        store(io.get_executor(), w.clock, w.store, 2ms),
        peers(region, w.clock, w.hub),
        database(w.clock, w.cloud),
        traffic(w.clock, w.names, 2ms),
        sql(w.clock, w.servers, region),
        canary(w.clock, w.servers, w.names, w.settings.aws->traffic->targets),
        evidence(region, w.rows[region]),
        agent(io.get_executor(), w.settings, region, AgentId(run), Doors(), ManagedTimes(), Log()) {
    world.time.Attach(io);
    world.hub.processes[self] = {
        &io, [this](std::string method, Json parameters) { return agent.Handle(std::move(method), std::move(parameters)); }};
    agent.SetWordPatience(5s, 1s);
    agent.Start();
  }
  ~Process() {
    world.hub.processes.erase(self);
    world.time.Detach(io);
  }
  ManagedAgent::Doors Doors() {
    ManagedAgent::Doors doors{world.clock, store, world.files[self], peers, evidence, database};
    doors.traffic = &traffic;
    doors.sql = &sql;
    doors.canary = &canary;
    doors.canary_of_steps = &canary;
    return doors;
  }
  boost::asio::io_context io;
  SqlFakes& world;
  const RegionName self;
  FakeStore store;
  FakePeers peers;
  FakeManagedDatabase database;
  FakeTraffic traffic;
  FakeManagedSql sql;
  FakeManagedCanary canary;
  FakeEvidence evidence;
  ManagedAgent agent;
};

class ManagedSqlTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const RegionName& region : {kEast, kWest, kWitness}) StartAgent(region);
    // Without any word of CloudWatch.
    ASSERT_TRUE(world_.time.RunUntil([&] { return Agent(kWest).decision().rule == 680; }, 3min)) << Agent(kWest).decision().reason;
    world_.time.RunFor(5s);
  }
  void StartAgent(const RegionName& region) {
    processes_[region] = std::make_unique<Process>(world_, region, region.text + std::to_string(++runs_));
  }
  void KillAgent(const RegionName& region) { processes_.erase(region); }
  ManagedAgent& Agent(const RegionName& region) { return processes_.at(region)->agent; }
  const ManagedSqlWatch& Watch(const RegionName& region) { return *Agent(region).sql(); }
  void LoseEast() {
    KillAgent(kEast);
    world_.cloud.silent.insert(kEast);
    world_.network.cut_off.insert(kEast);
  }
  Result<Json> Ask(const RegionName& region, const std::string& method, Json parameters) {
    return world_.time.Await(processes_.at(region)->io, Agent(region).Handle(method, std::move(parameters)), 5min);
  }
  Json RegionOf(const Json& status, const RegionName& region) {
    for (const Json& each : MemberAt(status, "regions")) {
      if (TextAt(each, "name") == region.text) return each;
    }
    return nullptr;
  }
  bool Run(const std::function<bool()>& holds, Duration limit) { return world_.time.RunUntil(holds, limit); }
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
  SqlFakes world_;
  std::map<RegionName, std::unique_ptr<Process>> processes_;
  int runs_ = 0;
};

TEST_F(ManagedSqlTest, EverybodyKnowsTheLagByHeartbeatsAndSaysSo) {
  for (const RegionName& region : {kEast, kWest, kWitness}) {
    const auto known = Agent(region).world().LossOf(kWest, world_.clock.Now());
    EXPECT_STREQ(known.source, "heartbeats") << region.text;
    EXPECT_EQ(known.loss.kind, LossEstimate::Kind::kBounded);
    EXPECT_GT(known.loss.time, 0ns) << "a row that is just written is older than nothing";
    EXPECT_LT(known.loss.time, 5s) << region.text;
  }
  const auto status = Ask(kWitness, "status", Json::object());
  ASSERT_TRUE(status.ok());
  const Json west = RegionOf(*status, kWest);
  EXPECT_EQ(TextAt(west, "lag_source"), "heartbeats") << west.dump(1);
  EXPECT_TRUE(FlagAt(MemberAt(MemberAt(MemberAt(west, "sql"), "ends"), "reader"), "ok")) << west.dump(1);
  EXPECT_TRUE(FlagAt(MemberAt(*status, "canary"), "ok"));
  const auto check = Ask(kWitness, "check", Json::object());
  ASSERT_TRUE(check.ok());
  EXPECT_TRUE(FlagAt(*check, "ready")) << check->dump(1);
  EXPECT_THAT(check->dump(), HasSubstr("SQL at the reader endpoint of 'us-west-2' answers, over TLSv1.3"));
}

TEST_F(ManagedSqlTest, NobodyButTheWritersAgentWritesABeat) {
  world_.time.RunFor(2min);
  EXPECT_GT(world_.servers.writers_of_rows[kEast].size(), 100u);
  EXPECT_TRUE(world_.servers.writers_of_rows[kWest].empty());
  EXPECT_TRUE(world_.servers.writers_of_rows[kWitness].empty());
}

TEST_F(ManagedSqlTest, ALagThatGrowsIsSeenWithinSeconds) {
  // Given replication that has come to stand.
  world_.servers.delay[kWest] = 1h;
  world_.time.RunFor(1min);
  const auto known = Agent(kWitness).world().LossOf(kWest, world_.clock.Now());
  EXPECT_GE(known.loss.time, 58s);
  EXPECT_LT(known.loss.time, 65s);
  EXPECT_EQ(Agent(kWest).decision().rule, 674) << Agent(kWest).decision().reason;
}

TEST_F(ManagedSqlTest, ALostRegionIsReplacedUnderALimitThatCloudWatchCouldNotShow) {
  world_.servers.delay[kWest] = 2500ms;
  world_.time.RunFor(10s);
  const std::uint64_t written = world_.servers.copies[kEast][kEast].sequence;
  const WallTime lost_at = world_.clock.Wall();
  LoseEast();
  ASSERT_TRUE(Run([&] { return Ended(); }, 10min)) << Agent(kWest).decision().reason;
  const Execution e = *Newest();
  ASSERT_EQ(e.state, ExecutionState::kDone) << ToJson(e).dump(1);
  EXPECT_EQ(e.requested_by, "rule 650");
  EXPECT_EQ(TextAt(MemberAt(e.facts, "loss_estimate"), "source"), "heartbeats");
  // Then what was lost is known: by the rows that did not arrive, and the time that nobody saw.
  const Json& loss = MemberAt(e.facts, "loss_measured");
  EXPECT_EQ(TextAt(loss, "state"), "bounded") << e.facts.dump(1);
  const std::uint64_t survived = world_.servers.copies[kWest][kEast].sequence;
  EXPECT_LT(survived, written);
  EXPECT_GE(NumberAt(loss, "beats"), written - survived - 1) << "the last one may have been heard of by nobody";
  EXPECT_LE(NumberAt(loss, "beats"), written - survived);
  // SAFETY: the bound covers what was really lost: from the surviving row to the loss of the region.
  const double really = Seconds(Duration(lost_at.ns - world_.servers.copies[kWest][kEast].at.ns));
  EXPECT_GE(MemberAt(loss, "seconds").get<double>(), really);
  EXPECT_LT(MemberAt(loss, "seconds").get<double>(), really + 10);
  // And the outage ends with a row that was written through the name.
  EXPECT_TRUE(e.facts.contains("first_good_write_ns"));
  EXPECT_FALSE(e.facts.contains("seen_serving_ns"));
  const PhaseReport phases = ComputePhases(e);
  ASSERT_TRUE(phases.rto);
  EXPECT_EQ(phases.phases.back().name, "first good write");
  EXPECT_GT(world_.servers.canary_rows[kWest], 0);
  // The new writer's agent beats from now on, in a row of its own.
  ASSERT_TRUE(Run([&] { return world_.servers.copies[kWest].contains(kWest); }, 10s));
  EXPECT_EQ(world_.servers.copies[kWest][kEast].sequence, survived);
}

TEST_F(ManagedSqlTest, TheOutageCountsFromTheLastRowThatAnybodyWrote) {
  world_.time.RunFor(3s);
  const WallTime lost_at = world_.clock.Wall();
  LoseEast();
  ASSERT_TRUE(Run([&] { return Newest().has_value(); }, 5min));
  const std::int64_t good = SignedAt(Newest()->facts, "last_good_write_ns");
  EXPECT_LE(good, lost_at.ns);
  EXPECT_GT(good, lost_at.ns - Duration(3s).count());
}

TEST_F(ManagedSqlTest, AboveTheLimitAPersonIsAsked) {
  world_.servers.delay[kWest] = 1h;
  world_.time.RunFor(40s);
  LoseEast();
  ASSERT_TRUE(Run([&] { return Agent(kWest).decision().rule == 640; }, 3min)) << Agent(kWest).decision().reason;
  world_.time.RunFor(5min);
  EXPECT_FALSE(Newest());
  EXPECT_THAT(Agent(kWest).decision().reason, HasSubstr("loss_limit.time is 20 s"));
}

TEST_F(ManagedSqlTest, TheBoundStaysWhatItWasWhenTheRegionFellSilent) {
  LoseEast();
  ASSERT_TRUE(Run([&] { return Agent(kWest).world().SilentFor(world_.clock.Now()).has_value(); }, 1min));
  const Duration then = Agent(kWest).world().LossOf(kWest, world_.clock.Now()).loss.time;
  world_.time.RunFor(20s);
  // Rows that are read after the silence say the same as before it.
  EXPECT_NEAR(Seconds(Agent(kWest).world().LossOf(kWest, world_.clock.Now()).loss.time), Seconds(then), 0.6);
}

TEST_F(ManagedSqlTest, AurorasOwnLagIsTakenWhereItSaysMore) {
  // Given replication of rows that stands, as Aurora does not find (an agent that writes no beats looks the same).
  world_.servers.delay[kWest] = 1h;
  for (const RegionName& region : {kEast, kWest}) world_.servers.aurora[region] = {{kWest, 300ms, 400ms, 200ms}};
  world_.time.RunFor(1min);
  const auto known = Agent(kWitness).world().LossOf(kWest, world_.clock.Now());
  EXPECT_STREQ(known.source, "aurora_global_db_status()");
  EXPECT_LT(known.loss.time, 10s);
  EXPECT_EQ(Agent(kWest).decision().rule, 680);
}

TEST_F(ManagedSqlTest, AFailingCanaryBesideAnApiThatFindsNothingIsADegradedWriter) {
  world_.servers.refuses_clients.insert(kEast);
  ASSERT_TRUE(Run([&] { return Agent(kWest).snapshot().votes.degraded == 3; }, 1min));
  EXPECT_THAT(Agent(kWest).snapshot().votes.why, HasSubstr("No space left"));
  ASSERT_TRUE(Run([&] { return Agent(kWest).decision().rule == 666; }, 2min)) << Agent(kWest).decision().rule;
  EXPECT_FALSE(Newest()) << "degraded is never lost";
  world_.servers.refuses_clients.clear();
  ASSERT_TRUE(Run([&] { return Agent(kWest).decision().rule == 680; }, 2min)) << Agent(kWest).decision().rule;
}

TEST_F(ManagedSqlTest, ANameThatCannotBeAskedOrLeadsElsewhereIsNoFaultOfTheWriter) {
  world_.names.up = false;
  world_.time.RunFor(2min);
  EXPECT_EQ(Agent(kWest).snapshot().votes.degraded, 0u) << Agent(kWest).snapshot().votes.why;
  world_.names.up = true;
  world_.names.record.address = "west.example.net";
  world_.time.RunFor(2min);
  EXPECT_EQ(Agent(kWest).snapshot().votes.degraded, 0u) << Agent(kWest).snapshot().votes.why;
}

TEST_F(ManagedSqlTest, AnAgentThatHasNeverGotARowThereHasNoVote) {
  world_.servers.refuses_clients.insert(kEast);
  for (const RegionName& region : {kEast, kWest, kWitness}) {
    KillAgent(region);
    StartAgent(region);
  }
  world_.time.RunFor(2min);
  EXPECT_EQ(Agent(kWest).snapshot().votes.degraded, 0u) << Agent(kWest).snapshot().votes.why;
  const auto check = Ask(kWest, "check", Json::object());
  EXPECT_THAT(check->dump(), HasSubstr("the canary cannot write"));
}

TEST_F(ManagedSqlTest, WithoutAGoodRowTheMoveEndsAllTheSameAndSaysWhy) {
  world_.servers.refuses_clients.insert(kWest);
  LoseEast();
  ASSERT_TRUE(Run([&] { return Ended(); }, 15min)) << ToJson(*Newest()).dump(1);
  EXPECT_EQ(Newest()->state, ExecutionState::kDone);
  EXPECT_FALSE(Newest()->facts.contains("first_good_write_ns"));
  EXPECT_THAT(TextAt(Newest()->Find("verify")->result, "outcome"), HasSubstr("No space left"));
}

TEST_F(ManagedSqlTest, ARowThatTheOldWriterTookIsNoGoodWrite) {
  // Given an old writer that was not fenced, and a way that still leads there.
  LoseEast();
  world_.servers.canary_lands_in = kEast;
  const auto routed = [&] { return Newest() && Newest()->Find("route")->state == StepState::kDone; };
  ASSERT_TRUE(Run(routed, 10min));
  world_.time.RunFor(30s);
  EXPECT_FALSE(Newest()->facts.contains("first_good_write_ns"));
  world_.servers.canary_lands_in.reset();
  ASSERT_TRUE(Run([&] { return Ended(); }, 10min));
  EXPECT_TRUE(Newest()->facts.contains("first_good_write_ns"));
}

TEST(ManagedSqlWatch, AnAgeThatWasToldCountsFromWhenItWasAskedFor) {
  // Given word of a beat that was a second old when it was told, in an answer that took three seconds.
  boost::asio::io_context io;
  SqlFakes world;
  FakeManagedSql sql(world.clock, world.servers, kWitness);
  ManagedSqlWatch watch(io.get_executor(), kWitness, false, {world.clock, sql, nullptr, {}}, world.settings.policy, {}, Log());
  WriterItem item;
  item.epoch = {1};
  item.writer = kEast;
  watch.SetWriter(item);
  world.time.RunFor(10s);
  const Heartbeat beat{kEast, 7, {1}, world.clock.Wall(), ""};
  Json said = {{"about", kEast.text},
               {"beat", ToJson(beat)},
               {"lags", {{kWest.text, {{"rpo_ns", Duration(1s).count()}, {"age_ns", Duration(1s).count()}}}}}};
  said["beat"]["age_ns"] = Duration(1s).count();
  watch.TakeGossip(kEast, said, world.clock.Now() - 3s);
  watch.TakeGossip(kWest, {{"about", kEast.text}, {"seen", ToJson(beat)}}, world.clock.Now());
  EXPECT_EQ(watch.HeartbeatAge(kWest, world.clock.Now()), Duration(4s));
  EXPECT_EQ(watch.LastBeatsAt(world.clock.Now(), 1s)->unseen, Duration(3s));
  // A silence that began before that beat is denied by it: nothing is taken off, and no bound stands on it.
  EXPECT_FALSE(watch.LastBeatsAt(world.clock.Now(), 5s)->unseen);
  EXPECT_EQ(watch.LossOf(kWest, world.clock.Now(), 5s)->loss.time, Duration(4s));
  // Aurora's lag of a second was measured four seconds ago: five; the heartbeat says less.
  EXPECT_STREQ(watch.LossOf(kWest, world.clock.Now(), std::nullopt)->source, "heartbeats");
  // Word of an agent that believes in another writer is not of this one.
  said["about"] = kWest.text;
  said["lags"][kWest.text]["rpo_ns"] = 0;
  said["lags"][kWest.text]["age_ns"] = 0;
  watch.TakeGossip(kEast, said, world.clock.Now());
  EXPECT_EQ(MemberAt(watch.RegionStatus(kWest, world.clock.Now()), "rpo_lag_ms"), 1000);
}

TEST(ManagedSqlWatch, ARowThatWasWrittenBeforeTheWriterCameThereBeginsNoOutage) {
  boost::asio::io_context io;
  SqlFakes world;
  FakeManagedSql sql(world.clock, world.servers, kWitness);
  ManagedSqlWatch watch(io.get_executor(), kWitness, false, {world.clock, sql, nullptr, {}}, world.settings.policy, {}, Log());
  world.time.RunFor(10s);
  WriterItem item;
  item.epoch = {2};
  item.writer = kWest;
  item.at = world.clock.Wall();
  watch.SetWriter(item);
  world.time.RunFor(1s);
  // By its age: the other agent's clock may be minutes off, and would make an outage that much shorter.
  const auto told = [&](Duration age) {
    const std::int64_t ahead = world.clock.Wall().ns + Duration(40s).count();
    watch.TakeGossip(kEast, {{"canary", {{"last_good_ns", ahead}, {"last_good_age_ns", age.count()}}}}, world.clock.Now());
  };
  told(1s + 1ns);
  EXPECT_FALSE(watch.LastGoodWrite());
  told(1s - 1ns);
  EXPECT_EQ(watch.LastGoodWrite(), (WallTime{item.at.ns + 1}));
}

TEST_F(ManagedSqlTest, MissingGrantsAreAFaultThatNamesThem) {
  world_.servers.refuse_beats = Fail("postgresql said 'permission denied for database orders' (42501)", "GRANT CREATE ON DATABASE");
  world_.time.RunFor(15s);
  const auto check = Ask(kWest, "check", Json::object());
  ASSERT_TRUE(check.ok());
  EXPECT_FALSE(FlagAt(*check, "ready"));
  EXPECT_THAT(check->dump(), HasSubstr("permission denied for database orders"));
  EXPECT_THAT(check->dump(), HasSubstr("GRANT CREATE ON DATABASE"));
}

TEST_F(ManagedSqlTest, ASwitchoverEndsWithAGoodWriteToo) {
  const auto begun = Ask(kWitness, "switchover", {{"to", kWest.text}, {"by", "ann"}});
  ASSERT_TRUE(begun.ok()) << begun.error().Text();
  ASSERT_TRUE(Run([&] { return Ended(); }, 10min));
  EXPECT_EQ(Newest()->state, ExecutionState::kDone);
  EXPECT_TRUE(Newest()->facts.contains("first_good_write_ns"));
  // The old writer's agent beats no more, and its copy shows the new writer's.
  ASSERT_TRUE(Run([&] { return world_.servers.copies[kEast].contains(kWest); }, 1min));
  const std::size_t beats = world_.servers.writers_of_rows[kEast].size();
  world_.time.RunFor(30s);
  EXPECT_EQ(world_.servers.writers_of_rows[kEast].size(), beats);
  EXPECT_STREQ(Agent(kWitness).world().LossOf(kEast, world_.clock.Now()).source, "heartbeats");
}

TEST_F(ManagedSqlTest, WhatAnAgentDoesNotKnowIsUnknownAndNotZero) {
  // Given an agent of west that begins after the writer's region was lost, and a witness that heard nothing: no beat is known.
  LoseEast();
  KillAgent(kWest);
  KillAgent(kWitness);
  world_.files.clear();
  StartAgent(kWest);
  world_.time.RunFor(10s);
  EXPECT_EQ(Agent(kWest).world().LossOf(kWest, world_.clock.Now()).loss.kind, LossEstimate::Kind::kUnknown);
}

TEST_F(ManagedSqlTest, AnotherAgentsWordOfTheBeatsOutlivesARestart) {
  // Given that west's own agent begins anew while east is lost: the witness still knows what was written, and when.
  LoseEast();
  world_.time.RunFor(3s);
  KillAgent(kWest);
  StartAgent(kWest);
  ASSERT_TRUE(Run([&] { return Ended(); }, 10min)) << Agent(kWest).decision().reason;
  EXPECT_EQ(TextAt(MemberAt(Newest()->facts, "loss_measured"), "state"), "bounded") << Newest()->facts.dump(1);
}

}  // namespace
}  // namespace lifeboat::testing
