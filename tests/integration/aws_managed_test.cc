// Three agents of a service whose database AWS runs, over the real doors: two data regions and a witness in one process, the
// embedded store, an emulator of AWS behind a road that can fall silent by region. Every request is checked against the vendor's
// models.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "adapters/aws/managed_database.h"
#include "adapters/store/embedded_store.h"
#include "adapters/system/clock.h"
#include "adapters/system/pool_files.h"
#include "agent/managed_agent.h"
#include "prove/evidence_pool.h"
#include "prove/phases.h"
#include "support/aws_aurora_world.h"

namespace lifeboat::testing {
namespace {

using ::testing::HasSubstr;

const RegionName kWitness("witness");

/// Agents in one process: a question is a call.
class LocalPeers final : public Peers {
 public:
  explicit LocalPeers(std::map<RegionName, ManagedAgent*>& agents) : agents_(agents) {}
  Task<Result<Json>> Call(RegionName region, std::string method, Json parameters, Duration, Lane) override {
    const auto found = agents_.find(region);
    if (found == agents_.end() || found->second == nullptr)
      co_return RetryLater("the agent of '" + region.text + "' does not answer");
    co_return co_await found->second->Handle(std::move(method), std::move(parameters));
  }

 private:
  std::map<RegionName, ManagedAgent*>& agents_;
};

ManagedTimes Quick() {
  ManagedTimes times;
  times.gossip = 100ms;
  times.look = 300ms;
  times.look_silent = 200ms;
  times.lag = 300ms;
  times.call = 1s;
  times.silence = 500ms;
  return times;
}

class AwsManagedTest : public ::testing::TestWithParam<AwsEmulator> {
 protected:
  AwsManagedTest() : world_(GetParam()), road_(SharedAws(GetParam())), others_road_(SharedAws(GetParam())) {
    folder_ = std::filesystem::temp_directory_path() / ("lifeboat-managed-" + RandomHex(6));
    aws::RetryLimits retry;
    retry.base = 10ms;
    client_ = MakeAwsClient(world_.context, {{"*", road_.Url()}}, retry);
    others_client_ = MakeAwsClient(world_.context, {{"*", others_road_.Url()}}, retry);
    MakeSettings();
    auto store = EmbeddedStore::Open(world_.context.get_executor(), (folder_ / "store.sqlite").string());
    if (!store.ok()) throw std::runtime_error(store.error().Text());
    store_ = *std::move(store);
    for (const RegionSettings& region : settings_.regions) StartAgent(region.name);
  }
  ~AwsManagedTest() override {
    // Their loops are suspended in the middle of their doors: they end with the context, as they would with the process.
    for (auto& [region, agent] : agents_) agent = nullptr;
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  void MakeSettings() {
    settings_.service = "orders";
    settings_.objectives = {10min, 5min};
    settings_.policy.automation = Automation::kAct;
    settings_.policy.loss_limit = LossLimit{10min, {UINT64_MAX}};
    settings_.policy.failover_after = 1s;
    for (const RegionName& name : {one_, two_, kWitness}) {
      RegionSettings region;
      region.name = name;
      region.kind = name == kWitness ? RegionKind::kWitness : RegionKind::kData;
      region.agent = {"127.0.0.1", 1};
      region.state_directory = (folder_ / name.text).string();
      std::filesystem::create_directories(region.state_directory + "/journal");
      settings_.regions.push_back(region);
    }
    AwsDatabaseSettings database;
    database.global_cluster = world_.name;
    database.members = world_.database.clusters;
    settings_.aws.emplace();
    settings_.aws->database = database;
    for (const RegionSettings& region : settings_.regions) {
      aws::Client& client = region.name == two_ ? *client_ : *others_client_;
      databases_[region.name] = aws::OpenManagedDatabase(client, database, clock_, Log(), 50ms);
    }
  }

  void StartAgent(const RegionName& region) {
    auto log = EvidenceLog::Open(settings_.Find(region)->state_directory + "/evidence.sqlite", region);
    if (!log.ok()) throw std::runtime_error(log.error().Text());
    evidence_[region] = std::make_unique<EvidencePool>(*std::move(log), region);
    kept_.push_back(std::make_unique<ManagedAgent>(
        world_.context.get_executor(), settings_, region, AgentId(RandomHex(8)),
        ManagedAgent::Doors{
            clock_, *store_, files_, peers_, *evidence_[region], *databases_[region], nullptr, nullptr, nullptr, {}, {}, {}, {}},
        Quick(), Log()));
    agents_[region] = kept_.back().get();
    agents_[region]->SetWordPatience(300ms, 100ms);
    agents_[region]->Start();
  }
  bool Until(const std::function<bool()>& holds, Duration limit = 60s) { return RunUntil(world_.context, holds, limit); }
  Result<Json> Ask(const RegionName& region, const std::string& method, Json parameters) {
    return Await(world_.context, agents_.at(region)->Handle(method, std::move(parameters)));
  }
  /// The region falls silent, and its agent with it.
  void Lose(const RegionName& region) {
    agents_[region] = nullptr;
    for (AwsRoad* road : {&road_, &others_road_}) road->Faults({{{"do", "silent"}, {"region", region.text}}});
  }
  std::vector<Execution> Executions() {
    std::vector<Execution> all;
    const auto list = Ask(kWitness, "executions.list", Json::object());
    if (!list.ok()) return all;
    for (const Json& json : MemberAt(*list, "executions")) all.push_back(*ExecutionFromJson(json));
    return all;
  }
  bool Ended() {
    const auto all = Executions();
    return !all.empty() && IsEnded(all.front().state);
  }
  bool Ready() {
    world_.ReportLag(two_.text, 850);
    return Until([&] { return agents_[two_]->decision().rule == 680 && agents_[kWitness]->keeper().item().has_value(); });
  }

  SystemClock clock_;
  PoolFiles files_;
  AuroraWorld world_;
  AwsRoad road_;         ///< of the agent that takes over
  AwsRoad others_road_;  ///< of the others
  const RegionName one_{world_.one};
  const RegionName two_{world_.two};
  std::filesystem::path folder_;
  std::shared_ptr<aws::Client> client_;
  std::shared_ptr<aws::Client> others_client_;
  Settings settings_;
  std::map<RegionName, std::unique_ptr<ManagedDatabase>> databases_;
  std::unique_ptr<EmbeddedStore> store_;
  std::map<RegionName, ManagedAgent*> agents_;
  LocalPeers peers_{agents_};
  std::map<RegionName, std::unique_ptr<EvidencePool>> evidence_;
  std::vector<std::unique_ptr<ManagedAgent>> kept_;
};

class AwsManagedFailoverTest : public AwsManagedTest {};
class AwsManagedDetachTest : public AwsManagedTest {};

TEST_P(AwsManagedFailoverTest, ALostRegionIsReplacedWithoutAskingItAnything) {
  ASSERT_TRUE(Ready()) << agents_[two_]->decision().rule << " " << agents_[two_]->decision().reason;
  Lose(one_);
  ASSERT_TRUE(Until([&] { return agents_[two_]->snapshot().execution.has_value(); })) << agents_[two_]->decision().reason;
  ASSERT_TRUE(Until([&] { return Ended(); }));
  const Execution e = Executions().front();
  EXPECT_EQ(e.state, ExecutionState::kDone) << ToJson(e).dump(1);
  EXPECT_EQ(e.requested_by, "rule 650");
  EXPECT_EQ(world_.Writer(), two_.text);
  EXPECT_EQ(road_.CountOf("rds", "FailoverGlobalCluster"), 1u);
  EXPECT_EQ(road_.CountOf("rds", "SwitchoverGlobalCluster"), 0u);
  EXPECT_GT(road_.HeldIn(one_.text), 0u);  // it was looked at before, or nobody would have found it silent
  // From the first request of the execution on, the agent that takes over asks the lost region nothing before clients are served:
  // what comes to it then is the question about its events and its snapshots.
  bool begun = false;
  std::size_t between = 0;
  for (const Json& request : road_.Requests()) {
    const std::string operation = TextAt(request, "operation");
    begun = begun || operation == "FailoverGlobalCluster";
    const bool after = operation == "DescribeEvents" || operation == "DescribeDBClusterSnapshots";
    if (begun && TextAt(request, "region") == one_.text && !after) ++between;
  }
  EXPECT_EQ(between, 0u);
  EXPECT_EQ(TextAt(e.facts, "fence_word"), "no word");
  EXPECT_EQ(TextAt(MemberAt(e.facts, "loss_estimate"), "state"), "bounded");
  EXPECT_TRUE(ComputePhases(e).rto.has_value());
  EXPECT_EQ(agents_[two_]->keeper().item()->writer, two_);
  const auto chain = Ask(two_, "evidence.list", Json::object());
  ASSERT_TRUE(chain.ok());
  EXPECT_THAT(chain->dump(), HasSubstr(e.id.text));
  EXPECT_EQ(road_.Invalid(), "");
}

TEST_P(AwsManagedFailoverTest, ASwitchoverGoesThereAndBackAndNeverAllowsLoss) {
  ASSERT_TRUE(Ready()) << agents_[two_]->decision().reason;
  const auto begun = Ask(kWitness, "switchover", {{"to", two_.text}, {"by", "ann"}});
  ASSERT_TRUE(begun.ok()) << begun.error().Text();
  ASSERT_TRUE(Until([&] { return Ended(); }));
  EXPECT_EQ(Executions().front().state, ExecutionState::kDone) << ToJson(Executions().front()).dump(1);
  EXPECT_EQ(world_.Writer(), two_.text);
  ASSERT_TRUE(Until([&] { return agents_[one_]->keeper().item()->writer == two_ && !agents_[one_]->snapshot().execution; }));
  Result<Json> back = RetryLater("not asked");
  ASSERT_TRUE(Until([&] {
    back = Ask(kWitness, "switchover", {{"to", one_.text}, {"by", "ann"}});
    return back.ok() || back.error().retry == Retry::kFail;
  })) << back.error().Text();
  ASSERT_TRUE(Until([&] { return Executions().size() == 2 && Ended(); }));
  EXPECT_EQ(world_.Writer(), one_.text);
  for (AwsRoad* road : {&road_, &others_road_}) {  // each by the agent of the region that became the writer's
    EXPECT_EQ(road->CountOf("rds", "SwitchoverGlobalCluster"), 1u);
    EXPECT_EQ(road->CountOf("rds", "FailoverGlobalCluster"), 0u);
    EXPECT_EQ(road->Invalid(), "");
  }
}

TEST_P(AwsManagedFailoverTest, AnOperatorsOrdersAreRefusedWithTheOneCommand) {
  ASSERT_TRUE(Ready()) << agents_[two_]->decision().reason;
  const auto serves = Ask(kWitness, "failover", {{"to", two_.text}, {"by", "ann"}});
  ASSERT_FALSE(serves.ok());
  EXPECT_THAT(serves.error().hint, HasSubstr("lifeboat switchover --to " + two_.text));
  const auto already = Ask(kWitness, "switchover", {{"to", one_.text}, {"by", "ann"}});
  EXPECT_EQ(already.error().retry, Retry::kRefused);
  const auto nowhere = Ask(kWitness, "switchover", {{"to", "mars"}});
  EXPECT_THAT(nowhere.error().hint, HasSubstr(two_.text));
  EXPECT_EQ(road_.CountOf("rds", "SwitchoverGlobalCluster") + road_.CountOf("rds", "FailoverGlobalCluster"), 0u);
  const auto check = Ask(kWitness, "check", Json::object());
  ASSERT_TRUE(check.ok());
  EXPECT_THAT(check->dump(), HasSubstr("'" + two_.text + "' could take over"));
}

TEST_P(AwsManagedDetachTest, ASecondaryIsCutLooseOnAPersonsWordWithTheOtherRegionSilent) {
  // moto calls no member the writer: what is noted is put there as an earlier run would have left it.
  WriterItem item{{1}, one_, {}, {}, {}};
  Transaction note;
  note.puts.push_back({"orders/writer", ToJson(item).dump()});
  ASSERT_TRUE(Await(world_.context, store_->Commit(note, 5s)).ok());
  ASSERT_TRUE(Until([&] {
    const auto facts = agents_[two_]->snapshot().regions;
    return agents_[two_]->keeper().item() && TakeoverObjection(facts.at(two_)).empty();
  })) << agents_[two_]->decision().reason;
  Lose(one_);
  Result<Json> begun = RetryLater("not asked");
  ASSERT_TRUE(Until([&] {
    begun = Ask(two_, "failover", {{"to", two_.text}, {"by", "ann"}, {"detach", true}, {"accept_loss", true}});
    return begun.ok();
  })) << begun.error().Text();
  ASSERT_TRUE(Until([&] { return Ended(); }));
  const Execution e = Executions().front();
  EXPECT_EQ(e.state, ExecutionState::kDone) << ToJson(e).dump(1);
  EXPECT_EQ(TextAt(e.facts, "way"), "detach");
  EXPECT_EQ(TextAt(e.facts, "fence_word"), "none");
  EXPECT_EQ(road_.CountOf("rds", "RemoveFromGlobalCluster"), 1u);
  EXPECT_EQ(road_.CountOf("rds", "FailoverGlobalCluster"), 0u);
  EXPECT_EQ(agents_[two_]->keeper().item()->writer, two_);
  EXPECT_EQ(road_.Invalid(), "");
}

INSTANTIATE_TEST_SUITE_P(Aws, AwsManagedFailoverTest, ::testing::Values(AwsEmulator::kMinistack),
                         [](const auto& kind) { return std::string(NameOf(kind.param)); });
INSTANTIATE_TEST_SUITE_P(Aws, AwsManagedDetachTest, ::testing::Values(AwsEmulator::kMinistack, AwsEmulator::kMoto),
                         [](const auto& kind) { return std::string(NameOf(kind.param)); });

}  // namespace
}  // namespace lifeboat::testing
