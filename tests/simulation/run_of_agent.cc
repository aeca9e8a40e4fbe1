#include "simulation/run_of_agent.h"

#include <boost/asio/detached.hpp>

#include "agent/agent.h"
#include "fakes/fake_canary.h"

namespace lifeboat::simulation {

namespace {
constexpr Duration kNameServerTakes = std::chrono::milliseconds(2);
}  // namespace

struct RunOfAgent::Doors {
  Doors(boost::asio::any_io_executor executor, World& world, World::Machine& machine, const DoorPoint& point)
      : peers(machine.place, *machine.clock, world.hub, point),
        store(machine.place, *machine.clock, world.time, world.network, *world.store, point),
        files(*machine.clock, machine.files, machine.disk, point),
        traffic(*machine.clock, world.names, kNameServerTakes),
        canary(*machine.clock, world.names, world.servers, machine.name),
        evidence(machine.name, machine.evidence) {
    if (!machine.server) return;
    database = std::make_unique<testing::FakeDatabase>(std::move(executor), *machine.clock, *machine.server);
    guard = std::make_unique<SimGuard>(world.time, *machine.clock, *machine.guard, point);
    traffic.before_point = [point, &world, &machine] {
      point();
      world.Route(machine);
    };
    traffic.after_point = point;
  }
  SimPeers peers;
  SimStore store;
  SimFiles files;
  testing::FakeTraffic traffic;
  testing::FakeCanary canary;
  testing::FakeEvidence evidence;
  std::unique_ptr<testing::FakeDatabase> database;
  std::unique_ptr<SimGuard> guard;
};

RunOfAgent::RunOfAgent(World& w, World::Machine& machine, std::optional<AgentRecord> record)
    : world(w), io(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE) {
  world.time.Attach(io);
  doors = std::make_unique<Doors>(io.get_executor(), world, machine, [&w, &machine] { w.Point(machine); });
  const AgentId id(machine.name.text + "-run-" + std::to_string(++machine.runs));
  agent = std::make_unique<Agent>(io.get_executor(), machine.settings, machine.name, id, std::move(record),
                                  Agent::Doors{*machine.clock, doors->store, doors->files, doors->peers, doors->traffic,
                                               doors->canary, doors->evidence, doors->database.get(), doors->guard.get()},
                                  Log());
  if (world.tracing()) {
    agent->on_round = [this, &machine, last = 0, problem = std::string()]() mutable {
      const Decision& decision = agent->decision();
      if (decision.rule == last) return;
      last = decision.rule;
      world.Note(machine.name.text + ": rule " + std::to_string(decision.rule) + ": " + decision.reason +
                 (decision.proposal == Proposal::kNothing ? "" : std::string(" => ") + ToString(decision.proposal)));
    };
  }
  world.hub.processes[static_cast<std::size_t>(machine.place)] = {
      &io,
      [raw = agent.get()](std::string method, Json parameters) { return raw->Handle(std::move(method), std::move(parameters)); },
      static_cast<std::uint64_t>(machine.runs)};
  agent->Start();
}

RunOfAgent::~RunOfAgent() { world.time.Detach(io); }

bool RunOfAgent::Holds(Instant at) const { return agent->keeper().lease().HoldsAt(at); }

std::optional<Instant> RunOfAgent::HeldUntil() const { return agent->keeper().lease().Deadline(); }

std::string RunOfAgent::Describe() const {
  const Decision& d = agent->decision();
  return "rule " + std::to_string(d.rule) + ": " + d.reason + " [" + ToString(d.proposal) +
         "] takeover: " + agent->snapshot().lease.takeover_bar + (d.unblock.empty() ? "" : " unblock: " + d.unblock);
}

namespace {
Task<> Ordered(CallHandler handler, std::string method, Json parameters, std::function<void(Result<Json>)> told) {
  auto answer = co_await handler(std::move(method), std::move(parameters));
  told(std::move(answer));
}
}  // namespace

void World::Order(int place, const std::string& method, Json parameters) {
  if (!At(place).run) return;
  if (tracing()) Note("a person orders " + method + " " + parameters.dump() + " from " + At(place).name.text);
  const PeerHub::Process& process = hub.processes[static_cast<std::size_t>(place)];
  boost::asio::co_spawn(
      *process.context,
      Ordered(process.handler, method, std::move(parameters),
              [this, method](Result<Json> answer) {
                if (tracing())
                  Note("the order " + method + (answer.ok() ? " is taken" : " is answered: " + answer.error().message));
              }),
      boost::asio::detached);
}

std::string World::HeldBack(int place) {
  if (!At(place).run) return {};
  const Decision& decision = At(place).run->agent->decision();
  return decision.withheld ? (decision.unblock.empty() ? decision.reason : decision.unblock) : std::string();
}

int World::RuleOf(int place) { return At(place).run ? At(place).run->agent->decision().rule : 0; }

}  // namespace lifeboat::simulation
