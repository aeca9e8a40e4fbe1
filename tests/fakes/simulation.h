#pragma once

// A whole service in one thread on virtual time: two data regions and a witness, real Agent objects (src/agent/agent.h) with
// the real rules, lease, executor and guard decisions; everything outside of them is fake. Agents, guards, servers, the
// store's host and the network can be ended, started and cut at any moment. After every step it is judged that no two
// servers can commit.

#include <random>

#include "agent/agent.h"
#include "fakes/fake_canary.h"
#include "fakes/fake_database.h"
#include "fakes/fake_evidence.h"
#include "fakes/fake_fence.h"
#include "fakes/fake_files.h"
#include "fakes/fake_guard.h"
#include "fakes/fake_peers.h"
#include "fakes/fake_store.h"
#include "fakes/fake_traffic.h"

namespace lifeboat::testing {

/// Settings as lifeboat.yaml would give them.
inline Settings SimulationSettings() {
  Settings settings;
  settings.service = "orders";
  settings.objectives = {60s, 5s};
  settings.policy.automation = Automation::kAct;
  settings.policy.loss_limit = LossLimit{30s, {64 << 20}};
  settings.policy.cool_down = 0s;
  settings.first_primary = RegionName("us-east-1");
  int number = 1;
  for (const char* name : {"us-east-1", "us-west-2", "eu-west-1"}) {
    RegionSettings region;
    region.name = RegionName(name);
    region.kind = number < 3 ? RegionKind::kData : RegionKind::kWitness;
    region.agent = {"127.0." + std::to_string(number) + ".1", 7000};
    region.state_directory = std::string("/state/") + name;
    if (number < 3) {
      region.database = DatabaseSettings{};
      region.database->address = {"127.0." + std::to_string(number) + ".1", 5432};
    }
    settings.regions.push_back(std::move(region));
    ++number;
  }
  settings.store.host = RegionName("eu-west-1");
  settings.dns.name = "orders-db.lifeboat.test.";
  settings.dns.ttl = std::chrono::seconds(1);
  return settings;
}

class Simulation {
 public:
  const RegionName east{"us-east-1"};
  const RegionName west{"us-west-2"};
  const RegionName witness{"eu-west-1"};

  explicit Simulation(Settings s = SimulationSettings(), std::uint64_t seed = 0) : settings(std::move(s)), random(seed) {
    for (const RegionSettings& region : settings.regions) {
      Machine& machine = machines[region.name];
      machine.clock = std::make_unique<FakeClock>(time, seed == 0 ? 1.0 : 1.0 + (static_cast<double>(random() % 41) - 20) / 10000);
      if (!region.database) continue;
      machine.server = &servers.Add(region.name.text, region.database->address.host);
    }
    servers.Seed();
    for (auto& [name, machine] : machines) {
      if (machine.server) machine.guard = std::make_unique<FakeGuardProcess>(*machine.clock, *machine.server);
    }
    servers.reachable = [this](const RegionName& a, const RegionName& b) { return network.Reaches(a, b); };
    time.at_rest = [this] {
      servers.Replicate();
      servers.Check();
    };
  }
  ~Simulation() {
    time.at_rest = nullptr;
    for (auto& [name, machine] : machines) KillAgent(name);
  }

  // ---- what outlives a process ----
  VirtualTime time;
  Settings settings;
  std::mt19937_64 random;
  FakeNetwork network;
  FakeServers servers{time};
  FakeStoreServer store;
  FakeNameServer names;
  FakeFences fences;
  FakePeerHub hub{network};

  /// One run of an agent.
  struct Run {
    Run(Simulation& sim, const RegionName& name, std::optional<AgentRecord> record) : world(sim) {
      Machine& machine = sim.machines.at(name);
      sim.time.Attach(io);
      const auto executor = io.get_executor();
      store = std::make_unique<FakeStore>(executor, *machine.clock, sim.store, 2 * sim.network.latency);
      peers = std::make_unique<FakePeers>(name, *machine.clock, sim.hub);
      traffic = std::make_unique<FakeTraffic>(*machine.clock, sim.names, sim.network.latency);
      canary = std::make_unique<FakeCanary>(*machine.clock, sim.names, sim.servers, name);
      evidence = std::make_unique<FakeEvidence>(name, machine.evidence);
      fence = std::make_unique<FakeFence>(*machine.clock, sim.fences);
      if (machine.server) {
        database = std::make_unique<FakeDatabase>(executor, *machine.clock, *machine.server);
        guard = std::make_unique<FakeGuard>(*machine.clock, *machine.guard);
      }
      const AgentId id(name.text + "-run-" + std::to_string(++machine.runs));
      agent = std::make_unique<Agent>(executor, sim.settings, name, id, record,
                                      Agent::Doors{*machine.clock, *store, machine.files, *peers, *traffic, *canary, *evidence,
                                                   database.get(), guard.get(), fence.get()},
                                      sim.log);
    }
    ~Run() { world.time.Detach(io); }
    Simulation& world;
    boost::asio::io_context io;
    std::unique_ptr<FakeStore> store;
    std::unique_ptr<FakePeers> peers;
    std::unique_ptr<FakeTraffic> traffic;
    std::unique_ptr<FakeCanary> canary;
    std::unique_ptr<FakeEvidence> evidence;
    std::unique_ptr<FakeFence> fence;
    std::unique_ptr<FakeDatabase> database;
    std::unique_ptr<FakeGuard> guard;
    std::unique_ptr<Agent> agent;
  };
  struct Machine {
    std::unique_ptr<FakeClock> clock;
    FakeServer* server = nullptr;
    std::unique_ptr<FakeGuardProcess> guard;
    FakeFiles files;
    std::vector<FakeEvidence::Row> evidence;
    std::unique_ptr<Run> run;
    int runs = 0;
  };
  std::map<RegionName, Machine> machines;
  Log log;

  // ---- processes ----
  void StartAgent(const RegionName& name) {
    Machine& machine = machines.at(name);
    if (machine.run) return;
    std::optional<AgentRecord> record;
    if (const auto found = machine.files.content.find("/state/" + name.text + "/record.json");
        found != machine.files.content.end()) {
      record = *AgentRecordFromJson(*ParseJson(found->second, "record"));
    }
    if (name == settings.store.host && !store.up) {
      store.up = true;
      store.Restart();
    }
    machine.run = std::make_unique<Run>(*this, name, record);
    Agent* agent = machine.run->agent.get();
    hub.processes[name] = {&machine.run->io, [agent](std::string method, Json parameters) {
                             return agent->Handle(std::move(method), std::move(parameters));
                           }};
    agent->Start();
  }
  /// SIGKILL. The store dies with the agent that hosts it.
  void KillAgent(const RegionName& name) {
    Machine& machine = machines.at(name);
    if (!machine.run) return;
    hub.processes.erase(name);
    if (name == settings.store.host) {
      store.up = false;
      store.RingAll();
    }
    machine.run.reset();
  }
  void StartAll() {
    for (const RegionName& name : {witness, east, west}) StartAgent(name);
  }
  /// Every process of the region at one instant.
  void KillRegion(const RegionName& name) {
    KillAgent(name);
    Machine& machine = machines.at(name);
    if (machine.guard) machine.guard->Die();
    if (machine.server) machine.server->Kill();
  }
  void StartRegion(const RegionName& name) {
    if (machines.at(name).guard) machines.at(name).guard->Live();
    StartAgent(name);
  }

  // ---- looking ----
  FakeServer& Server(const RegionName& name) { return *machines.at(name).server; }
  Agent& AgentOf(const RegionName& name) { return *machines.at(name).run->agent; }
  [[nodiscard]] std::optional<LeaseItem> Item() const {
    const auto value = store.ValueOf("orders/lease");
    if (!value) return std::nullopt;
    return *LeaseItemFromJson(*ParseJson(*value, "lease"));
  }
  [[nodiscard]] const FakeServer* Writable() const {
    for (const auto& [name, machine] : machines) {
      if (machine.server && machine.server->mode == ServerMode::kPrimary) return machine.server;
    }
    return nullptr;
  }
  /// Served by `name` under a lease, the name points there, and the other is a candidate.
  [[nodiscard]] bool Healthy(const RegionName& name) const {
    const auto item = Item();
    const Machine& machine = machines.at(name);
    return item && item->holder == name && !item->released && item->candidates.size() == 1 &&
           machine.server->mode == ServerMode::kPrimary && names.record.address == machine.server->host;
  }
  bool RunUntil(const std::function<bool()>& holds, Duration limit) { return time.RunUntil(holds, limit); }

  Result<Json> Ask(const RegionName& name, const std::string& method, Json parameters, Duration limit = 60s) {
    Run* run = machines.at(name).run.get();
    return time.Await(run->io, run->agent->Handle(method, std::move(parameters)), limit);
  }
  [[nodiscard]] std::optional<Execution> LastExecution() const {
    std::optional<Execution> last;
    for (const Record& record : store.Read("orders/executions/").records) {
      const auto execution = ExecutionFromJson(*ParseJson(record.value, record.key));
      if (execution.ok() && (!last || execution->id > last->id)) last = *execution;
    }
    return last;
  }
  /// One line of where everything stands, for a failing test.
  [[nodiscard]] std::string Picture() {
    std::string text = "at " + std::to_string(Seconds(time.now())) + " s; item " + store.ValueOf("orders/lease").value_or("none") +
                       "; name -> " + names.record.address;
    for (auto& [name, machine] : machines) {
      text += "\n  " + name.text + ": ";
      if (machine.server) {
        static constexpr const char* kModes[] = {"down", "starting", "primary", "standby"};
        text += std::string("server ") + kModes[static_cast<int>(machine.server->mode)] + (machine.server->fence ? " fenced" : "") +
                (machine.server->Streams() ? " streams" : "") + " tl " + std::to_string(machine.server->timeline) + " end " +
                machine.server->End().Text() + "; guard " + (machine.guard->alive() ? "lives" : "dead") + "; ";
      }
      if (!machine.run) {
        text += "no agent";
        continue;
      }
      const Decision& d = machine.run->agent->decision();
      text += "rule " + std::to_string(d.rule) + ": " + d.reason + " [" + ToString(d.proposal) +
              "] takeover: " + machine.run->agent->snapshot().lease.takeover_bar +
              (machine.run->agent->Healthy() ? "" : " (its loop stands still)") + ", item holder " +
              (machine.run->agent->snapshot().lease.item ? machine.run->agent->snapshot().lease.item->holder.text : "?");
      if (const auto explained = Ask(name, "explain", Json::object()); explained.ok())
        text += " last problem: " + TextAt(*explained, "last_problem");
    }
    if (const auto e = LastExecution()) {
      text += std::string("\n  ") + ToString(e->kind) + " " + e->id.text + " " + ToString(e->state) + " of " + e->owner.text +
              ": " + e->reason + " / " + e->waiting_for;
      for (const StepRecord& step : e->steps) text += "\n    " + step.name + " " + ToString(step.state) + " " + step.outcome;
    }
    return text;
  }
};

}  // namespace lifeboat::testing
