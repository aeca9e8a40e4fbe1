#pragma once

// One run of one region's agent: the real Agent with this world's doors. Kept apart since only it needs the agent's headers.

#include "model/agent_record.h"
#include "simulation/world.h"

namespace lifeboat {
class Agent;
}

namespace lifeboat::simulation {

struct RunOfAgent {
  RunOfAgent(World& world, World::Machine& machine, std::optional<AgentRecord> record);
  ~RunOfAgent();
  [[nodiscard]] std::string Describe() const;
  /// Its lease is valid at `at`.
  [[nodiscard]] bool Holds(Instant at) const;
  [[nodiscard]] std::optional<Instant> HeldUntil() const;

  World& world;
  boost::asio::io_context io;
  struct Doors;
  std::unique_ptr<Doors> doors;
  std::unique_ptr<Agent> agent;
};

}  // namespace lifeboat::simulation
