#pragma once

// Agents of a service whose database AWS runs, over the real doors against an emulator: two data regions and a witness. Each run of
// an agent has a context, a client and doors of its own, and is driven by hand: one that is killed stands still where it stood, in
// the midst of whatever it was doing, and sends nothing any more. The store and the emulator outlive all of them. Thread rule: the
// thread of the test.

#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "adapters/aws/alarms.h"
#include "adapters/aws/compute.h"
#include "adapters/aws/hooks.h"
#include "adapters/aws/managed_database.h"
#include "adapters/aws/notices.h"
#include "adapters/aws/objects.h"
#include "adapters/aws/open.h"
#include "adapters/store/embedded_store.h"
#include "adapters/system/clock.h"
#include "adapters/system/pool_files.h"
#include "agent/managed_agent.h"
#include "prove/evidence_pool.h"
#include "support/aws_aurora_world.h"

namespace lifeboat::testing {

/// The machine's clock, which a test can set forward.
class MovableClock final : public Clock {
 public:
  Duration ahead{0};
  [[nodiscard]] Instant Now() const override { return real_.Now() + ahead; }
  [[nodiscard]] WallTime Wall() const override { return WallTime{real_.Wall().ns + ahead.count()}; }
  Task<> Sleep(Duration d) override { co_await real_.Sleep(d); }

 private:
  SystemClock real_;
};

class ManagedAgents;

/// One run of one agent.
struct ManagedRun {
  ManagedRun(ManagedAgents& all, RegionName region, int number);
  boost::asio::io_context io;
  ManagedAgents& all;
  const RegionName self;
  bool dead = false;
  MovableClock clock;
  PoolFiles files;
  std::shared_ptr<aws::Client> client;
  std::unique_ptr<Store> store;
  std::unique_ptr<Peers> peers;
  std::unique_ptr<EvidencePool> evidence;
  std::unique_ptr<ManagedDatabase> database;
  std::vector<std::unique_ptr<Compute>> compute;
  std::vector<std::unique_ptr<Objects>> objects;
  std::vector<std::unique_ptr<Hook>> hooks;
  std::vector<std::unique_ptr<Notifier>> notifiers;
  std::unique_ptr<aws::AwsAlarms> alarms;
  std::unique_ptr<ManagedAgent> agent;
};

class ManagedAgents {
 public:
  /// The roads of the agent that takes over, and of the others; both lead to `world`'s emulator but for services of `others`.
  ManagedAgents(AwsEmulator emulator, const std::map<std::string, std::string>& others)
      : world(emulator),
        one(world.one),
        two(world.two),
        road(SharedAws(emulator), {}, others),
        others_road(SharedAws(emulator), {}, others) {
    folder_ = std::filesystem::temp_directory_path() / ("lifeboat-managed-" + RandomHex(6));
    std::filesystem::create_directories(folder_);
    auto opened = EmbeddedStore::Open(world.context.get_executor(), (folder_ / "store.sqlite").string());
    if (!opened.ok()) throw std::runtime_error(opened.error().Text());
    store = *std::move(opened);
    settings.service = "orders";
    settings.objectives = {10min, 5min};
    settings.policy.automation = Automation::kAct;
    settings.policy.loss_limit = LossLimit{15min, {UINT64_MAX}};
    settings.policy.failover_after = 1s;
    settings.policy.cool_down = 0s;
    for (const RegionName& name : {one, two, witness}) {
      RegionSettings region;
      region.name = name;
      region.kind = name == witness ? RegionKind::kWitness : RegionKind::kData;
      region.agent = {"127.0.0.1", 1};
      region.state_directory = (folder_ / name.text).string();
      std::filesystem::create_directories(region.state_directory + "/journal");
      settings.regions.push_back(region);
    }
    AwsDatabaseSettings database;
    database.global_cluster = world.name;
    database.members = world.database.clusters;
    settings.aws.emplace();
    settings.aws->database = database;
    times.gossip = 100ms;
    times.look = 300ms;
    times.look_silent = 200ms;
    times.lag = 300ms;
    times.call = 1s;
    times.silence = 500ms;
    times.alarms = 200ms;
    times.compute = 200ms;
  }
  ~ManagedAgents() {
    for (auto& run : runs_) run->dead = true;
    for (auto& run : runs_) run->agent.reset();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  // ---- agents ----

  /// Another run of that region's agent; the one before is killed.
  void Start(const RegionName& region) {
    Kill(region);
    runs_.push_back(std::make_unique<ManagedRun>(*this, region, static_cast<int>(runs_.size())));
    current_[region] = runs_.back().get();
    current_[region]->agent->SetWordPatience(300ms, 100ms);
    current_[region]->agent->Start();
  }
  void StartAll() {
    for (const RegionSettings& region : settings.regions) Start(region.name);
  }
  void Kill(const RegionName& region) {
    if (ManagedRun* run = Running(region)) run->dead = true;
  }
  /// The run that lives; nullptr: none does.
  [[nodiscard]] ManagedRun* Running(const RegionName& region) const {
    const auto found = current_.find(region);
    return found == current_.end() || found->second->dead ? nullptr : found->second;
  }
  [[nodiscard]] ManagedAgent& Agent(const RegionName& region) const {
    ManagedRun* run = Running(region);
    if (run == nullptr) throw std::runtime_error("the agent of '" + region.text + "' does not run");
    return *run->agent;
  }
  [[nodiscard]] std::string FolderOf(const RegionName& region) const { return (folder_ / region.text).string(); }
  [[nodiscard]] std::filesystem::path folder() const { return folder_; }

  // ---- time ----

  /// Drives all that lives, one handler at a time, until `holds`. @return false: it did not within `limit`
  bool Until(const std::function<bool()>& holds, Duration limit = 60s) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (true) {
      bool any = Poll(world.context, nothing_dead_);
      for (std::size_t run = 0; run < runs_.size(); ++run) any = Poll(runs_[run]->io, runs_[run]->dead) || any;
      if (after_each) after_each();
      if (holds()) return true;
      if (std::chrono::steady_clock::now() > end) return false;
      if (!any) std::this_thread::sleep_for(1ms);
    }
  }
  /// As Until, for what costs a question to look at: at most twenty times a second.
  bool UntilSeen(const std::function<bool()>& holds, Duration limit = 60s) {
    auto next = std::chrono::steady_clock::now();
    return Until(
        [&] {
          if (std::chrono::steady_clock::now() < next) return false;
          const bool seen = holds();
          next = std::chrono::steady_clock::now() + 50ms;
          return seen;
        },
        limit);
  }
  template <typename T>
  T Wait(boost::asio::io_context& io, Task<T> task) {
    const Outcome<T> outcome = lifeboat::testing::Start(io, std::move(task));
    if (!Until([&] { return outcome->has_value(); })) throw std::runtime_error("the task did not end in a minute");
    return std::move(**outcome);
  }
  Result<Json> Ask(const RegionName& region, const std::string& method, Json parameters) {
    return Wait(Running(region)->io, Agent(region).Handle(method, std::move(parameters)));
  }
  /// Asks until it is taken on.
  ::testing::AssertionResult Order(const RegionName& region, const std::string& method, const Json& parameters) {
    Result<Json> answer = RetryLater("not asked");
    const auto end = std::chrono::steady_clock::now() + 60s;
    while (!answer.ok() && std::chrono::steady_clock::now() < end) {
      answer = Ask(region, method, parameters);
      if (!answer.ok()) Until([] { return true; });
    }
    if (answer.ok()) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << answer.error().Text();
  }
  /// Called between two handlers' turns: the place to kill.
  std::function<void()> after_each;

  // ---- what stands ----

  [[nodiscard]] std::vector<Execution> Executions() {
    const auto reading = Wait(world.context, store->Read("orders/executions/", 5s));
    std::vector<Execution> all;
    if (!reading.ok()) return all;
    for (const Record& record : reading->records) {
      auto execution = ExecutionFromJson(*ParseJson(record.value, record.key));
      if (execution.ok()) all.push_back(*std::move(execution));
    }
    std::sort(all.begin(), all.end(), [](const Execution& a, const Execution& b) { return a.id < b.id; });
    return all;
  }
  [[nodiscard]] Execution Newest() {
    const auto all = Executions();
    if (all.empty()) throw std::runtime_error("no execution has begun");
    return all.back();
  }
  /// So many have begun, and all have ended.
  ::testing::AssertionResult Ended(std::size_t count, Duration limit = 60s) {
    std::vector<Execution> all;
    const auto end = std::chrono::steady_clock::now() + limit;
    while (std::chrono::steady_clock::now() < end) {
      all = Executions();
      const bool ended = std::all_of(all.begin(), all.end(), [](const Execution& e) { return IsEnded(e.state); });
      if (all.size() >= count && ended) return ::testing::AssertionSuccess();
      const auto later = std::chrono::steady_clock::now() + 30ms;
      Until([later] { return std::chrono::steady_clock::now() > later; });
    }
    auto failure = ::testing::AssertionFailure() << all.size() << " have begun";
    if (!all.empty()) failure << "; the last: " << ToJson(all.back()).dump(1);
    for (const RegionSettings& region : settings.regions) {
      if (Running(region.name) != nullptr)
        failure << "\n"
                << region.name.text << ": rule " << Agent(region.name).decision().rule << ", "
                << Agent(region.name).decision().reason;
    }
    return failure;
  }
  ::testing::AssertionResult Ready(Duration limit = 60s) {
    if (emulator_reports_lag) world.ReportLag(two.text, 850);
    const bool ready =
        Until([&] { return Agent(two).decision().rule == 680 && Agent(witness).keeper().item().has_value(); }, limit);
    if (ready) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << "rule " << Agent(two).decision().rule << ": " << Agent(two).decision().reason;
  }

  // ---- faults ----

  void Faults(const Json& faults) {
    for (AwsRoad* each : {&road, &others_road}) each->Faults(faults);
  }
  /// The region falls silent, and its agent with it. `more`: faults beside it, which are looked at first.
  void Lose(const RegionName& region, const Json& more = Json::array()) {
    Kill(region);
    Json faults = more;
    faults.push_back({{"do", "silent"}, {"region", region.text}});
    Faults(faults);
  }
  void BringBack(const RegionName& region) {
    Faults(Json::array());
    Start(region);
  }
  [[nodiscard]] std::size_t CountOf(const std::string& service, const std::string& operation) const {
    return road.CountOf(service, operation) + others_road.CountOf(service, operation);
  }
  /// Those that reached the emulator.
  [[nodiscard]] std::size_t Arrived(const std::string& service, const std::string& operation) const {
    std::size_t count = 0;
    for (const AwsRoad* each : {&road, &others_road}) {
      for (const Json& request : each->Requests()) {
        const bool same = TextAt(request, "service") == service && TextAt(request, "operation").ends_with(operation);
        count += same && FlagAt(request, "forwarded") ? 1U : 0U;
      }
    }
    return count;
  }

  AuroraWorld world;
  const RegionName one;
  const RegionName two;
  const RegionName witness{"eu-central-1"};
  AwsRoad road;         ///< of the agent of region two
  AwsRoad others_road;  ///< of the others
  Settings settings;
  ManagedTimes times;
  bool emulator_reports_lag = true;
  std::map<std::string, std::string> endpoints;  ///< of services that no emulator has, beside the roads
  std::unique_ptr<EmbeddedStore> store;
  /// Asked about each commit of an agent, before it is sent (`done` false) and after it was answered: true kills the agent there.
  std::function<bool(const RegionName&, const Transaction&, bool done)> kills_at;
  /// Where an agent's keys come from; empty: the tests' own, which always hold.
  std::function<std::shared_ptr<aws::CredentialSource>(ManagedRun&)> credentials;

 private:
  static bool Poll(boost::asio::io_context& io, const bool& dead) {
    if (dead) return false;
    io.restart();
    bool any = false;
    for (int handler = 0; handler < 20 && !dead && io.poll_one() > 0; ++handler) any = true;
    return any;
  }
  const bool nothing_dead_ = false;
  std::filesystem::path folder_;
  std::vector<std::unique_ptr<ManagedRun>> runs_;
  std::map<RegionName, ManagedRun*> current_;
  friend struct ManagedRun;
};

namespace internal {

/// Stands still for ever: its context is not driven any more.
inline Task<> StandStill(Clock& clock) {
  while (true) co_await clock.Sleep(1h);
}

template <typename T>
Task<> Carry(Task<T> task, Outcome<T> outcome) {
  outcome->emplace(co_await std::move(task));
}

/// Runs `task` on another context, and looks here whether it has ended: whoever asks may be gone by then.
template <typename T>
Task<std::optional<T>> Elsewhere(boost::asio::any_io_executor there, Clock& clock, Task<T> task, Duration timeout) {
  auto outcome = std::make_shared<std::optional<T>>();
  boost::asio::co_spawn(there, Carry<T>(std::move(task), outcome), boost::asio::detached);
  const Instant end = clock.Now() + timeout;
  for (int look = 0; !outcome->has_value() && TimeLeft(end, clock.Now()) > 0ns; ++look) {
    const Duration pause = look < 10 ? 1ms : 5ms;
    co_await clock.Sleep(pause);
  }
  co_return std::move(*outcome);
}

/// The store as a run reaches it.
class StoreOfRun final : public Store {
 public:
  explicit StoreOfRun(ManagedRun& run) : run_(run) {}
  Task<Result<Reading>> Read(std::string prefix, Duration timeout) override {
    auto there = run_.all.store->Read(std::move(prefix), timeout);
    auto read =
        co_await Elsewhere<Result<Reading>>(run_.all.world.context.get_executor(), run_.clock, std::move(there), timeout + 1s);
    if (!read) co_return RetryLater("the store did not answer");
    co_return std::move(*read);
  }
  Task<Result<TransactionResult>> Commit(Transaction transaction, Duration timeout) override {
    const Transaction kept = transaction;
    if (Killed(kept, false)) co_await StandStill(run_.clock);
    auto there = run_.all.store->Commit(std::move(transaction), timeout);
    auto done = co_await Elsewhere<Result<TransactionResult>>(run_.all.world.context.get_executor(), run_.clock, std::move(there),
                                                              timeout + 1s);
    if (!done) co_return UnknownOutcome("the store did not answer");
    if (done->ok() && (*done)->committed && Killed(kept, true)) co_await StandStill(run_.clock);
    co_return std::move(*done);
  }
  Task<Result<Reading>> Watch(std::string prefix, Version after, Incarnation incarnation, Duration timeout) override {
    auto there = run_.all.store->Watch(std::move(prefix), after, incarnation, timeout);
    auto read =
        co_await Elsewhere<Result<Reading>>(run_.all.world.context.get_executor(), run_.clock, std::move(there), timeout + 1s);
    if (!read) co_return RetryLater("the store did not answer");
    co_return std::move(*read);
  }

 private:
  bool Killed(const Transaction& transaction, bool done) {
    if (!run_.all.kills_at || !run_.all.kills_at(run_.self, transaction, done)) return false;
    run_.dead = true;
    return true;
  }
  ManagedRun& run_;
};

/// The other agents as a run reaches them.
class PeersOfRun final : public Peers {
 public:
  explicit PeersOfRun(ManagedRun& run) : run_(run) {}
  Task<Result<Json>> Call(RegionName region, std::string method, Json parameters, Duration timeout, Lane) override {
    ManagedRun* other = run_.all.Running(region);
    if (other == nullptr) co_return RetryLater("the agent of '" + region.text + "' does not answer");
    auto there = other->agent->Handle(std::move(method), std::move(parameters));
    auto answer = co_await Elsewhere<Result<Json>>(other->io.get_executor(), run_.clock, std::move(there), timeout);
    if (!answer) co_return UnknownOutcome("no answer from the agent of '" + region.text + "' in time");
    co_return std::move(*answer);
  }

 private:
  ManagedRun& run_;
};

}  // namespace internal

inline ManagedRun::ManagedRun(ManagedAgents& agents, RegionName region, int number) : all(agents), self(std::move(region)) {
  const Settings& settings = all.settings;
  aws::ClientOptions options;
  options.retry.base = 10ms;
  options.connect_timeout = 1s;
  options.endpoints.set = {{"*", (self == all.two ? all.road : all.others_road).Url()}};
  options.endpoints.set.insert(all.endpoints.begin(), all.endpoints.end());
  std::shared_ptr<aws::CredentialSource> keys;
  if (all.credentials) {
    keys = all.credentials(*this);
  } else {
    aws::Credentials fixed;
    fixed.access_key_id = kAwsAccessKey;
    fixed.secret_key = Secret(kAwsSecretKey);
    keys = std::make_shared<aws::FixedCredentials>(std::move(fixed));
  }
  client = std::make_shared<aws::Client>(
      std::move(keys), std::move(options),
      aws::ClientDoors{clock, aws::OpenTransport(io.get_executor(), {}), aws::DiceOfTheSystem(), Log()});
  store = std::make_unique<internal::StoreOfRun>(*this);
  peers = std::make_unique<internal::PeersOfRun>(*this);
  auto log = EvidenceLog::Open(settings.Find(self)->state_directory + "/evidence-" + std::to_string(number) + ".sqlite", self);
  if (!log.ok()) throw std::runtime_error(log.error().Text());
  evidence = std::make_unique<EvidencePool>(*std::move(log), self);
  database = aws::OpenManagedDatabase(*client, *settings.aws->database, clock, Log(), 50ms);
  for (const AwsComputeSettings& each : settings.aws->compute)
    compute.push_back(std::make_unique<aws::AwsCompute>(*client, each, clock, Log(), 50ms));
  for (const AwsObjectsSettings& each : settings.aws->objects)
    objects.push_back(std::make_unique<aws::AwsObjects>(*client, each, clock, Log(), 50ms));
  hooks = aws::OpenAwsHooks(*client, settings.aws->hooks);
  notifiers = aws::OpenAwsNotifiers(*client, settings.aws->notify);
  alarms = std::make_unique<aws::AwsAlarms>(*client);
  ManagedAgent::Doors doors{.clock = clock,
                            .store = *store,
                            .files = files,
                            .peers = *peers,
                            .evidence = *evidence,
                            .database = *database,
                            .alarms = alarms.get()};
  for (const auto& each : compute) doors.compute.push_back(each.get());
  for (const auto& each : objects) doors.objects.push_back(each.get());
  for (const auto& each : hooks) doors.hooks.push_back(each.get());
  for (const auto& each : notifiers) doors.notifiers.push_back(each.get());
  agent =
      std::make_unique<ManagedAgent>(io.get_executor(), settings, self, AgentId(RandomHex(8)), std::move(doors), all.times, Log());
}

}  // namespace lifeboat::testing
