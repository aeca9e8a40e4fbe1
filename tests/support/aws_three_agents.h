#pragma once

// Three agents of a service whose database AWS runs, in one process: two data regions and a witness, the embedded store, real doors
// over two roads that can fall silent by region, the second region's agent on one of them and the others on the other. Thread rule:
// the thread of the test; everything runs in the context that it is given.

#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <vector>

#include "adapters/aws/managed_database.h"
#include "adapters/store/embedded_store.h"
#include "adapters/system/clock.h"
#include "adapters/system/pool_files.h"
#include "agent/managed_agent.h"
#include "prove/evidence_pool.h"
#include "support/aws_client.h"
#include "support/real_aws.h"
#include "support/run_task.h"

namespace lifeboat::testing {

class ThreeAgents {
 public:
  inline static const RegionName kWitness{"witness"};
  /// A name's door for the agent of a region, asked over its road. Null: no name is kept.
  using OpenTraffic = std::function<std::unique_ptr<Traffic>(const RegionName&, std::shared_ptr<aws::Client>)>;

  /// `settings`: the section aws; the rest is made here. All of it outlives the agents.
  ThreeAgents(boost::asio::io_context& context, RealAws& aws, RegionName first, RegionName second, AwsSettings settings)
      : one(std::move(first)), two(std::move(second)), road(aws), others_road(aws), context_(context) {
    folder_ = std::filesystem::temp_directory_path() / ("lifeboat-agents-" + RandomHex(6));
    aws::RetryLimits retry;
    retry.base = std::chrono::milliseconds(10);
    client_ = MakeAwsClient(context_, {{"*", road.Url()}}, retry);
    others_client_ = MakeAwsClient(context_, {{"*", others_road.Url()}}, retry);
    MakeSettings(std::move(settings));
    auto store = EmbeddedStore::Open(context_.get_executor(), (folder_ / "store.sqlite").string());
    if (!store.ok()) throw std::runtime_error(store.error().Text());
    store_ = *std::move(store);
  }
  ~ThreeAgents() {
    // Their loops are suspended in the middle of their doors: they end with the context, as they would with the process.
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  ThreeAgents(const ThreeAgents&) = delete;
  ThreeAgents& operator=(const ThreeAgents&) = delete;

  void Start(const OpenTraffic& open = {}) {
    for (const RegionSettings& region : settings_.regions) StartAgent(region.name, open);
  }
  /// The region falls silent, and its agent with it: nothing goes in or out.
  void Lose(const RegionName& region) {
    lost_.insert(region);
    for (AwsRoad* each : {&road, &others_road}) each->Faults({{{"do", "silent"}, {"region", region.text}}});
  }
  void Return(const RegionName& region) {
    lost_.erase(region);
    for (AwsRoad* each : {&road, &others_road}) each->Clear();
  }

  bool Until(const std::function<bool()>& holds, Duration limit = std::chrono::seconds(60)) {
    return RunUntil(context_, holds, limit);
  }
  Result<Json> Ask(const RegionName& region, const std::string& method, Json parameters) {
    return Await(context_, agents_.at(region)->Handle(method, std::move(parameters)));
  }
  /// Asks until it is begun: what an agent that has just come back cannot do yet is asked again.
  Result<Json> AskUntilBegun(const RegionName& region, const std::string& method, const Json& parameters) {
    Result<Json> begun = RetryLater("not asked");
    Until([&] {
      begun = Ask(region, method, parameters);
      return begun.ok();
    });
    return begun;
  }
  ManagedAgent& agent(const RegionName& region) { return *agents_.at(region); }
  /// The newest first.
  std::vector<Execution> Executions() {
    std::vector<Execution> all;
    const auto list = Ask(kWitness, "executions.list", Json::object());
    if (!list.ok()) return all;
    for (const Json& json : MemberAt(*list, "executions")) all.push_back(*ExecutionFromJson(json));
    return all;
  }
  /// Waits until `count` executions have ended. @return the newest
  Execution Ended(std::size_t count) {
    std::vector<Execution> all;
    Until([&] {
      all = Executions();
      return all.size() >= count && IsEnded(all.front().state);
    });
    return all.empty() ? Execution{} : all.front();
  }
  /// What the store would hold from an earlier run.
  void NoteWriter(const RegionName& region) {
    WriterItem item;
    item.epoch = Epoch{1};
    item.writer = region;
    Transaction note;
    note.puts.push_back({"orders/writer", ToJson(item).dump()});
    const auto noted = Await(context_, store_->Commit(note, std::chrono::seconds(5)));
    if (!noted.ok()) throw std::runtime_error(noted.error().Text());
  }
  [[nodiscard]] Clock& clock() { return clock_; }

  const RegionName one;
  const RegionName two;
  AwsRoad road;         ///< of the second region's agent
  AwsRoad others_road;  ///< of the others

 private:
  /// A question is a call.
  class LocalPeers final : public Peers {
   public:
    LocalPeers(RegionName self, ThreeAgents& all) : self_(std::move(self)), all_(all) {}
    Task<Result<Json>> Call(RegionName region, std::string method, Json parameters, Duration, Lane) override {
      const auto found = all_.agents_.find(region);
      const bool cut = all_.lost_.contains(region) || all_.lost_.contains(self_);
      if (found == all_.agents_.end() || cut) co_return RetryLater("the agent of '" + region.text + "' does not answer");
      co_return co_await found->second->Handle(std::move(method), std::move(parameters));
    }

   private:
    const RegionName self_;
    ThreeAgents& all_;
  };
  /// The store as a region has it: none while it is lost.
  class CutStore final : public Store {
   public:
    CutStore(RegionName self, ThreeAgents& all) : self_(std::move(self)), all_(all) {}
    Task<Result<Reading>> Read(std::string prefix, Duration timeout) override {
      if (Cut()) co_return RetryLater("the store does not answer");
      co_return co_await all_.store_->Read(std::move(prefix), timeout);
    }
    Task<Result<TransactionResult>> Commit(Transaction transaction, Duration timeout) override {
      if (Cut()) co_return RetryLater("the store does not answer");
      co_return co_await all_.store_->Commit(std::move(transaction), timeout);
    }
    Task<Result<Reading>> Watch(std::string prefix, Version after, Incarnation incarnation, Duration timeout) override {
      if (Cut()) co_return RetryLater("the store does not answer");
      auto reading = co_await all_.store_->Watch(std::move(prefix), after, incarnation, timeout);
      if (Cut()) co_return RetryLater("the store does not answer");
      co_return reading;
    }

   private:
    [[nodiscard]] bool Cut() const { return all_.lost_.contains(self_); }
    const RegionName self_;
    ThreeAgents& all_;
  };
  struct Part {
    std::unique_ptr<LocalPeers> peers;
    std::unique_ptr<CutStore> store;
    std::unique_ptr<EvidencePool> evidence;
    std::unique_ptr<ManagedDatabase> database;
    std::unique_ptr<Traffic> traffic;
    std::unique_ptr<ManagedAgent> agent;
  };

  static ManagedTimes Quick() {
    ManagedTimes times;
    times.gossip = std::chrono::milliseconds(100);
    times.look = std::chrono::milliseconds(300);
    times.look_silent = std::chrono::milliseconds(200);
    times.lag = std::chrono::milliseconds(300);
    times.traffic = std::chrono::milliseconds(300);
    times.call = std::chrono::seconds(1);
    times.silence = std::chrono::milliseconds(500);
    return times;
  }
  void StartAgent(const RegionName& region, const OpenTraffic& open) {
    const std::shared_ptr<aws::Client>& client = region == two ? client_ : others_client_;
    Part& part = *kept_.emplace_back(std::make_unique<Part>());
    auto log = EvidenceLog::Open(settings_.Find(region)->state_directory + "/evidence.sqlite", region);
    if (!log.ok()) throw std::runtime_error(log.error().Text());
    part.peers = std::make_unique<LocalPeers>(region, *this);
    part.store = std::make_unique<CutStore>(region, *this);
    part.evidence = std::make_unique<EvidencePool>(*std::move(log), region);
    part.database = aws::OpenManagedDatabase(*client, *settings_.aws->database, clock_, Log(), std::chrono::milliseconds(50));
    if (open) part.traffic = open(region, client);
    ManagedAgent::Doors doors{
        clock_, *part.store, files_, *part.peers, *part.evidence, *part.database, part.traffic.get(), nullptr, nullptr,
        {},     {},          {},     {}};
    part.agent = std::make_unique<ManagedAgent>(context_.get_executor(), settings_, region, AgentId(RandomHex(8)), std::move(doors),
                                                Quick(), Log());
    part.agent->SetWordPatience(std::chrono::milliseconds(300), std::chrono::milliseconds(100));
    agents_[region] = part.agent.get();
    part.agent->Start();
  }
  void MakeSettings(AwsSettings aws) {
    settings_.service = "orders";
    settings_.objectives = {std::chrono::minutes(10), std::chrono::minutes(5)};
    settings_.policy.automation = Automation::kAct;
    settings_.policy.loss_limit = LossLimit{std::chrono::minutes(10), {UINT64_MAX}};
    settings_.policy.failover_after = std::chrono::seconds(1);
    for (const RegionName& name : {one, two, kWitness}) {
      RegionSettings region;
      region.name = name;
      region.kind = name == kWitness ? RegionKind::kWitness : RegionKind::kData;
      region.agent = {"127.0.0.1", 1};
      region.state_directory = (folder_ / name.text).string();
      std::filesystem::create_directories(region.state_directory + "/journal");
      settings_.regions.push_back(region);
    }
    settings_.aws = std::move(aws);
  }

  boost::asio::io_context& context_;
  std::filesystem::path folder_;
  SystemClock clock_;
  PoolFiles files_;
  std::shared_ptr<aws::Client> client_;
  std::shared_ptr<aws::Client> others_client_;
  Settings settings_;
  std::unique_ptr<EmbeddedStore> store_;
  std::map<RegionName, ManagedAgent*> agents_;
  std::set<RegionName> lost_;
  std::vector<std::unique_ptr<Part>> kept_;
};

}  // namespace lifeboat::testing
