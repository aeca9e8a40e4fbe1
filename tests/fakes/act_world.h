#pragma once

// Two regions with databases, one lease, one name, one store, and a "process" that executes plans on them: everything
// that src/act touches. The process can be crashed at any of its calls to a door and started again over the same world.

#include <set>

#include "act/executor.h"
#include "act/fence_step.h"
#include "act/region_hand.h"
#include "fakes/fake_canary.h"
#include "fakes/fake_database.h"
#include "fakes/fake_fence.h"
#include "fakes/fake_files.h"
#include "fakes/fake_lease.h"
#include "fakes/fake_store.h"
#include "fakes/fake_traffic.h"

namespace lifeboat::testing {

inline const RegionName kEast("us-east-1");
inline const RegionName kWest("us-west-2");
inline constexpr const char* kEastHost = "127.0.1.1";
inline constexpr const char* kWestHost = "127.0.2.1";

/// A guard that answers and never has a reason to kill.
class QuietGuard final : public Guard {
 public:
  bool reachable = true;
  int forbidden = 0;
  Task<Result<Unit>> Permit(Epoch, Instant, Duration, Duration) override { co_return Answer(); }
  Task<Result<Unit>> Forbid(Epoch, Duration) override {
    ++forbidden;
    co_return Answer();
  }
  Task<Result<Unit>> Close(Epoch, Duration) override { co_return Refused("there is no gate in force"); }
  Task<Result<Unit>> Hold(Epoch, Duration) override { co_return Refused("this guard acts"); }
  Task<GuardState> Look(Duration) override {
    GuardState state;
    state.reachable = reachable;
    co_return state;
  }

 private:
  [[nodiscard]] Result<Unit> Answer() const { return reachable ? Done() : Result<Unit>(RetryLater("the guard does not answer")); }
};

/// Thrown out of a door's call: the process ends right there.
struct Crash {};

/// What outlives every process.
struct ActWorld {
  ActWorld() {
    time.at_rest = [this] {
      servers.Replicate();
      servers.Check();
    };
    servers.Seed();
    shared.item.epoch = {1};
    shared.item.holder = kEast;
    shared.item.candidates = {kWest};
    shared.item.length = 3s;
    names.record = {kEastHost, Epoch{1}, std::chrono::seconds(1)};
    names.changes = 0;
    east.Started(true);
    east.Commit("schema");
    east.Commit("mark", {1}, 0, "uuid-of-epoch-1");
    for (int row = 0; row < 3; ++row) east.Commit("row");
    west.upstream = kEastHost;
    west.Started(false);
    servers.Replicate();
  }

  VirtualTime time;
  FakeClock clock{time};
  FakeServers servers{time};
  FakeServer& east = servers.Add("us-east-1", kEastHost);
  FakeServer& west = servers.Add("us-west-2", kWestHost);
  SharedLease shared;
  FakeStoreServer store;
  FakeNameServer names;
  FakeFences fences;
  std::optional<bool> fence_waits;  ///< the east has an external fence, whose failure is waited for or not; empty: it has none
  std::map<RegionName, FakeFiles> files;
};

/// One run of an agent's executor, with the hands of both regions. (In production the other region's hand is reached
/// through its agent; here both end with this process, the servers do not.)
class ActProcess final : public Hands {
 public:
  ActProcess(ActWorld& w, RegionName region, std::string run)
      : world(w),
        self(std::move(region)),
        agent(std::move(run)),
        store(io.get_executor(), world.clock, world.store, 2ms),
        traffic(world.clock, world.names, 2ms),
        canary(world.clock, world.names, world.servers, self),
        fence(world.clock, world.fences),
        leases(MakeLeases(w)),
        doors{world.clock, *this, traffic, canary, {{kEast, {kEastHost, 5432}}, {kWest, {kWestHost, 5432}}}},
        journal(world.clock, store, world.files[self], "orders", "/state/journal", Log()),
        executor(io.get_executor(), doors, lease(), journal, Log(), [this](const Execution& e) { seen.push_back(e); }) {
    world.time.Attach(io);
    doors.fence = &fence;
    world.fences.on_order = [this](const FenceOrder&) { Point("at the external fence"); };
    world.shared.store = &store;
    for (FakeServer* server : {&world.east, &world.west}) {
      databases[server->region] = std::make_unique<FakeDatabase>(io.get_executor(), world.clock, *server);
      RegionHand::Doors hand{world.clock,
                             *leases.at(server->region),
                             databases[server->region].get(),
                             &guards[server->region],
                             "/state/ledger",
                             doors.databases,
                             Log()};
      hands[server->region] = std::make_unique<RegionHand>(server->region, hand);
    }
    store.before_commit = [this](const Transaction& t) {
      commits.push_back(t);
      Point("before a commit");
    };
    store.after_commit = [this](const Transaction&) {
      if (const auto claimed = std::exchange(world.shared.claimed, nullptr)) claimed();  // one transaction in truth
      Point("after a commit");
    };
    traffic.before_point = [this] { Point("before the name is changed"); };
    traffic.after_point = [this] { Point("after the name is changed"); };
  }
  ~ActProcess() override {
    world.time.Detach(io);
    world.shared.claimed = nullptr;
    world.fences.on_order = nullptr;
  }

  FakeLease& lease() { return *leases.at(self); }
  FakeLease& lease(const RegionName& region) { return *leases.at(region); }

  // ---- Hands ----
  Task<Result<Json>> Do(RegionName region, std::string verb, Json parameters, Duration timeout) override {
    const std::string name = verb + "@" + region.text;
    calls.push_back(name);
    if (const auto script = scripts.find(name); script != scripts.end()) {
      if (const auto error = script->second(parameters)) co_return *error;
    }
    if (unreachable.contains(region)) co_return RetryLater("the agent of '" + region.text + "' does not answer");
    const bool looks = verb == "look" || verb == "ready" || verb == "heartbeat_seen" || verb == "fork";
    if (!looks) Point("before " + name);
    most_at_once[name] = std::max(most_at_once[name], ++at_once[name]);
    Result<Json> answer = co_await hands.at(region)->Do(verb, std::move(parameters), timeout);
    --at_once[name];
    if (!looks) Point("after " + name);
    if (lose_answer.erase(name) > 0) co_return UnknownOutcome("no answer from '" + region.text + "' in time");
    co_return answer;
  }

  // ---- executions ----
  Execution Draft(PlanKind kind) const {
    Execution e;
    e.id = ExecutionId("x-1");
    e.kind = kind;
    e.source = kEast;
    e.target = kWest;
    e.epoch = kind == PlanKind::kFailover ? Next(world.shared.item.epoch) : world.shared.item.epoch;
    e.owner = self;
    e.owner_agent = AgentId(agent);
    e.requested_by = "operator test";
    e.reason = "a test";
    e.began = world.clock.Wall();
    e.steps = FreshRecords(kind);
    if (kind == PlanKind::kFailover && world.fence_waits) AskForFence(e, kEast, *world.fence_waits);
    return e;
  }
  /// As the agent does it: a failover's record goes with the claim, the others' alone; what is not merged yet is adopted.
  Task<> BeginAndRun(Execution e) {
    if (e.kind == PlanKind::kFailover) {
      auto beginning = co_await journal.Beginning(e, true);
      if (!beginning.ok()) co_return;
      auto claimed = co_await lease().Claim(*std::move(beginning), "");
      if (!claimed.ok()) co_return;
      journal.Began(e, lease().claim_version);
    } else {
      auto begun = co_await journal.Begin(e);
      if (!begun.ok()) co_return;
    }
    co_await executor.Run(e);
    auto last = co_await journal.Current(700ms);
    if (!last.ok() || (last->has_value() && (*last)->owner_agent == AgentId(agent))) co_await AdoptAndRun();
    ended = true;
  }
  /// What a new run of the agent does: adopts the execution that is not ended, and goes on with it.
  Task<> AdoptAndRun() {
    bool mine = false;
    while (true) {
      auto current = co_await journal.Current(700ms);
      if (current.ok() && !current->has_value()) break;
      // Lost to another run: whoever was frozen and wakes up does not take it back.
      if (current.ok() && mine && (*current)->owner_agent != AgentId(agent)) break;
      if (current.ok()) {
        auto adopted = co_await journal.Adopt((*current)->id, self, AgentId(agent));
        mine = mine || adopted.ok();
        if (adopted.ok()) co_await executor.Run(*adopted);
      }
      co_await world.clock.Sleep(500ms);
    }
    ended = true;
  }
  void Spawn(Task<> task) {
    boost::asio::co_spawn(io, std::move(task), [](std::exception_ptr problem) {
      try {
        if (problem) std::rethrow_exception(problem);
      } catch (const Crash&) {
      }
    });
  }
  /// A call to a door: the place of a crash.
  void Point(const std::string& what) {
    ++points;
    if (points != crash_at) return;
    crashed = what;
    throw Crash{};
  }

  [[nodiscard]] int Count(const std::string& call) const { return static_cast<int>(std::count(calls.begin(), calls.end(), call)); }

  static std::map<RegionName, std::unique_ptr<FakeLease>> MakeLeases(ActWorld& w) {
    std::map<RegionName, std::unique_ptr<FakeLease>> all;
    for (const RegionName& region : {kEast, kWest}) all[region] = std::make_unique<FakeLease>(region, w.shared);
    return all;
  }

  boost::asio::io_context io;
  ActWorld& world;
  const RegionName self;
  const std::string agent;
  FakeStore store;
  FakeTraffic traffic;
  FakeCanary canary;
  FakeFence fence;
  std::map<RegionName, std::unique_ptr<FakeLease>> leases;
  std::map<RegionName, std::unique_ptr<FakeDatabase>> databases;
  std::map<RegionName, QuietGuard> guards;
  std::map<RegionName, std::unique_ptr<RegionHand>> hands;
  ActDoors doors;
  Journal journal;
  Executor executor;

  std::map<std::string, std::function<std::optional<Error>(const Json&)>> scripts;  ///< "verb@region": an error instead of the verb
  std::set<std::string> lose_answer;                                                ///< the verb is done once, its answer lost
  std::set<RegionName> unreachable;
  std::vector<std::string> calls;
  std::vector<Transaction> commits;
  std::map<std::string, int> at_once;
  std::map<std::string, int> most_at_once;
  std::vector<Execution> seen;
  bool ended = false;
  int points = 0;
  int crash_at = 0;
  std::string crashed;
};

/// The execution as the store has it.
inline std::optional<Execution> Stored(const ActWorld& world, const std::string& id = "x-1") {
  const auto value = world.store.ValueOf("orders/executions/" + id);
  if (!value) return std::nullopt;
  const auto json = ParseJson(*value, id);
  if (!json.ok()) return std::nullopt;
  const auto execution = ExecutionFromJson(*json);
  return execution.ok() ? std::optional(*execution) : std::nullopt;
}

}  // namespace lifeboat::testing
