#pragma once

// The scenarios themselves: how a world is chosen from a seed, and what is done to it.
// Thread rule: one thread.

#include "simulation/scenarios.h"
#include "simulation/world.h"

namespace lifeboat::simulation {

void RunStorm(World& world, const Wishes& wishes);
[[nodiscard]] Options StormOptions(const Wishes& wishes);
void RunMill(World& world);
[[nodiscard]] Options MillOptions(const Wishes& wishes);
void RunOutage(World& world);
[[nodiscard]] Options OutageOptions(const Wishes& wishes);

/// Everything is well again: a person does what the rules ask for. Breaks G6 where that leads nowhere within `limit`.
void MakePeace(World& world, Duration limit);

}  // namespace lifeboat::simulation
