#include "base/time.h"

#include <time.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>

namespace lifeboat {

namespace {
Duration Read(clockid_t clock) {
  timespec ts{};
  clock_gettime(clock, &ts);
  return std::chrono::seconds(ts.tv_sec) + std::chrono::nanoseconds(ts.tv_nsec);
}
}  // namespace

Instant ReadClocks() { return {Read(CLOCK_BOOTTIME), Read(CLOCK_MONOTONIC_RAW)}; }

WallTime ReadWallClock() { return {Read(CLOCK_REALTIME).count()}; }

std::string FormatWallTime(WallTime at) {
  const std::time_t seconds = at.ns / 1'000'000'000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[40];
  const std::size_t n = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  std::snprintf(text + n, sizeof text - n, ".%03dZ", static_cast<int>(at.ns / 1'000'000 % 1000));
  return text;
}

std::string FormatDuration(Duration d) {
  if (d < 0ns) return "-" + FormatDuration(-d);
  char text[48];
  const double s = Seconds(d);
  if (s < 1) {
    std::snprintf(text, sizeof text, "%lld ms", static_cast<long long>(Millis(d)));
  } else if (s < 60) {
    std::snprintf(text, sizeof text, s == std::floor(s) ? "%.0f s" : "%.1f s", s);
  } else if (s < 3600) {
    std::snprintf(text, sizeof text, "%d min %d s", static_cast<int>(s / 60), static_cast<int>(s) % 60);
  } else if (s < 86400) {
    std::snprintf(text, sizeof text, "%d h %d min", static_cast<int>(s / 3600), static_cast<int>(s / 60) % 60);
  } else {
    std::snprintf(text, sizeof text, "%d d %d h", static_cast<int>(s / 86400), static_cast<int>(s / 3600) % 24);
  }
  return text;
}

std::string FormatSeconds(Duration d) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f", Seconds(d));
  return text;
}

std::string ReadBootId() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

}  // namespace lifeboat
