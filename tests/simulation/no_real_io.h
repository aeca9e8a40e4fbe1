#pragma once

#include <cstdint>

namespace lifeboat::simulation {

/// From here on ids are the seed's.
void SeedRandomBytes(std::uint64_t seed);

}  // namespace lifeboat::simulation
