#pragma once

// The messages between the guard and its clients, as they stand in memory: both ends are one program on one machine
// (docs/formats/guard.md). One question and its answer a connection, or several one after another.

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace lifeboat::guard_protocol {

inline constexpr std::uint32_t kMagic = 0x3247424C;  // "LBG2", as a little-endian machine reads it

enum class Kind : std::uint32_t { kPermit = 1, kForbid = 2, kLook = 3, kClose = 4, kHold = 5 };

/// What there is of a gate (docs/formats/gate.md). Closed, open and closed for good are a gate in force.
enum class GateStanding : std::uint32_t {
  kNotConfigured = 0,
  kNoFile = 1,       ///< it cannot be used; the guard's log says why
  kNotAttached = 2,  ///< no server runs that maps it
  kTurnedOff = 3,    ///< setting lifeboat.gate
  kClosed = 4,
  kOpen = 5,
  kClosedForGood = 6,  ///< the epoch was released
  kHeldOpen = 7,       ///< policy.automation is 'observe': it refuses nothing
};
[[nodiscard]] constexpr bool IsInForce(GateStanding standing) {
  return standing >= GateStanding::kClosed && standing != GateStanding::kHeldOpen;
}

/// Bits of Answer::flags.
inline constexpr std::uint32_t kFlagObserves = 1;  ///< the guard was started with 'observe'
inline constexpr std::uint32_t kFlagHeld = 2;      ///< nothing is fenced

struct Question {
  std::uint32_t magic = kMagic;
  Kind kind = Kind::kLook;
  std::uint64_t number = 0;        ///< echoed
  std::uint64_t epoch = 0;         ///< Permit, Forbid, Close, Hold
  std::int64_t deadline_boot = 0;  ///< Permit: nanoseconds of CLOCK_BOOTTIME
  std::int64_t deadline_raw = 0;   ///< Permit: nanoseconds of CLOCK_MONOTONIC_RAW
  std::array<char, 40> boot_id{};  ///< Permit: 36 characters, then zeros
  std::int64_t length = 0;         ///< Permit: nanoseconds that the server may live on behind a closed gate
};
static_assert(sizeof(Question) == 88);

struct Answer {
  std::uint32_t magic = kMagic;
  std::uint32_t answer = 0;  ///< GuardAnswer
  std::uint64_t number = 0;
  std::uint64_t epoch = 0;  ///< the highest that the guard has heard of
  std::uint32_t armed = 0;
  std::uint32_t fired = 0;
  std::int64_t left = 0;        ///< nanoseconds
  std::int64_t worst_kill = 0;  ///< nanoseconds
  std::uint64_t kills = 0;
  GateStanding gate = GateStanding::kNotConfigured;
  std::uint32_t flags = 0;
};
static_assert(sizeof(Answer) == 64);

[[nodiscard]] inline std::array<char, 40> PackBootId(std::string_view id) {
  std::array<char, 40> packed{};
  std::memcpy(packed.data(), id.data(), id.size() < packed.size() ? id.size() : packed.size());
  return packed;
}

}  // namespace lifeboat::guard_protocol
