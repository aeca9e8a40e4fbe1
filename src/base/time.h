#pragma once

// Time as the lease protocol wants it (docs/lease.md): durations are measured on two clocks at once.
// A deadline has passed when EITHER clock says so; a wait is over only when BOTH do. Whichever clock lies, it lies
// on the safe side. Wall time is for people and reports and never steers a decision.
// Thread rule: plain values.

#include <chrono>
#include <cstdint>
#include <string>

namespace lifeboat {

using Duration = std::chrono::nanoseconds;
using namespace std::chrono_literals;

/// A moment on CLOCK_BOOTTIME (counts suspends) and CLOCK_MONOTONIC_RAW (is never slewed), of one boot of one machine.
struct Instant {
  Duration boot{0};
  Duration raw{0};

  friend bool operator==(const Instant&, const Instant&) = default;
};

[[nodiscard]] inline Instant operator+(Instant at, Duration d) { return {at.boot + d, at.raw + d}; }
[[nodiscard]] inline Instant operator-(Instant at, Duration d) { return {at.boot - d, at.raw - d}; }

/// True once `deadline` has passed by at least one clock. Use it for permissions that end.
[[nodiscard]] inline bool HasPassed(Instant deadline, Instant now) { return now.boot >= deadline.boot || now.raw >= deadline.raw; }

/// True once `end` has been reached by both clocks. Use it for promises and waits that must be sat out.
[[nodiscard]] inline bool IsOver(Instant end, Instant now) { return now.boot >= end.boot && now.raw >= end.raw; }

/// The longer of the two measured times since `earlier`: an age is never understated.
[[nodiscard]] inline Duration AgeAt(Instant earlier, Instant now) {
  return std::max(now.boot - earlier.boot, now.raw - earlier.raw);
}

/// The shorter of the two times left until `deadline` (negative once it has passed).
[[nodiscard]] inline Duration TimeLeft(Instant deadline, Instant now) {
  return std::min(deadline.boot - now.boot, deadline.raw - now.raw);
}

/// Reads both clocks. @source clock_gettime(2)
[[nodiscard]] Instant ReadClocks();

/// Nanoseconds since 1970, UTC.
struct WallTime {
  std::int64_t ns = 0;
  friend auto operator<=>(const WallTime&, const WallTime&) = default;
};
[[nodiscard]] WallTime ReadWallClock();

/// "2026-11-23T05:18:44.123Z".
[[nodiscard]] std::string FormatWallTime(WallTime at);

/// "3 s", "250 ms", "1 h 2 min": the largest two units that matter, for people.
[[nodiscard]] std::string FormatDuration(Duration d);

/// "0.250", seconds with milliseconds, for tables.
[[nodiscard]] std::string FormatSeconds(Duration d);

[[nodiscard]] inline double Seconds(Duration d) { return std::chrono::duration<double>(d).count(); }
[[nodiscard]] inline std::int64_t Millis(Duration d) { return std::chrono::duration_cast<std::chrono::milliseconds>(d).count(); }

/// The id of this boot of this machine: clocks of two boots are never compared. @source proc(5), boot_id
[[nodiscard]] std::string ReadBootId();

}  // namespace lifeboat
