#pragma once

// The only source of chance in a simulation: the same seed throws the same dice, on every machine.
// Thread rule: one owner.

#include <cstdint>

#include "base/time.h"

namespace lifeboat::simulation {

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15U + 0x2545F4914F6CDD1DU) {}

  /// @source Steele, Lea, Flood: Fast splittable pseudorandom number generators (SplitMix64)
  std::uint64_t Next() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31U);
  }
  /// 0 … n-1.
  std::uint64_t Below(std::uint64_t n) { return Next() % n; }
  /// 0 … 1, without 1.
  double Fraction() { return static_cast<double>(Next() >> 11U) * 0x1.0p-53; }
  bool Chance(double p) { return p > 0 && Fraction() < p; }
  Duration Between(Duration least, Duration most) {
    return least >= most ? least
                         : least + Duration(static_cast<std::int64_t>(Below(static_cast<std::uint64_t>((most - least).count()))));
  }
  /// Another source that this one determines: what it throws changes nothing here.
  Dice Fork() { return Dice(Next()); }

 private:
  std::uint64_t state_;
};

}  // namespace lifeboat::simulation
