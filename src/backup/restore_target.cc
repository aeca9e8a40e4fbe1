#include "backup/restore_target.h"

#include <cstdio>
#include <ctime>

namespace lifeboat::backup {

namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

/// "2026-11-23 05:18:44", with a fraction and a zone of UTC where they are given.
std::optional<WallTime> ParseTime(std::string text) {
  if (text.size() > 10 && text[10] == 'T') text[10] = ' ';
  std::tm parts{};
  const char* rest = strptime(text.c_str(), "%Y-%m-%d %H:%M:%S", &parts);
  if (rest == nullptr) return std::nullopt;
  std::int64_t ns = 0;
  if (*rest == '.') {
    std::int64_t unit = kSecond / 10;
    for (++rest; *rest >= '0' && *rest <= '9'; ++rest, unit /= 10) ns += (*rest - '0') * unit;
  }
  const std::string_view zone = rest;
  if (!zone.empty() && zone != "Z" && zone != " UTC" && zone != "+00" && zone != "+00:00" && zone != " GMT") return std::nullopt;
  return WallTime{static_cast<std::int64_t>(timegm(&parts)) * kSecond + ns};
}

/// With microseconds, which is what PostgreSQL keeps.
std::string TimeSetting(WallTime at) {
  const std::time_t seconds = static_cast<std::time_t>(at.ns / kSecond);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[64];
  const std::size_t length = std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
  std::snprintf(text + length, sizeof text - length, ".%06lld UTC", static_cast<long long>(at.ns % kSecond / 1000));
  return text;
}

}  // namespace

std::string RestoreTarget::Text() const {
  switch (kind) {
    case Kind::kLatest: return "latest";
    case Kind::kImmediate: return "immediate";
    case Kind::kLsn: return lsn.Text();
    case Kind::kTime: return FormatWallTime(time);
  }
  return "?";
}

Result<RestoreTarget> ParseRestoreTarget(std::string_view text) {
  RestoreTarget target;
  if (text.empty() || text == "latest") return target;
  if (text == "immediate") {
    target.kind = RestoreTarget::Kind::kImmediate;
    return target;
  }
  if (const std::optional<Lsn> lsn = Lsn::Parse(text)) {
    target.kind = RestoreTarget::Kind::kLsn;
    target.lsn = *lsn;
    return target;
  }
  if (const std::optional<WallTime> time = ParseTime(std::string(text))) {
    target.kind = RestoreTarget::Kind::kTime;
    target.time = *time;
    return target;
  }
  return Fail("'" + std::string(text) + "' is no target of a restore",
              "latest, immediate, a position (0/3000148), or a time in UTC (2026-11-23 05:18:44)");
}

std::string RecoverySettings(const RestoreTarget& target) {
  std::string text = "recovery_target_timeline = 'latest'\nrecovery_target_action = 'promote'\n";
  switch (target.kind) {
    case RestoreTarget::Kind::kLatest: break;
    case RestoreTarget::Kind::kImmediate: text += "recovery_target = 'immediate'\n"; break;
    // Exclusive: replay stops before the record that begins at the position, so all that ends there is in.
    case RestoreTarget::Kind::kLsn:
      text += "recovery_target_lsn = '" + target.lsn.Text() + "'\nrecovery_target_inclusive = off\n";
      break;
    case RestoreTarget::Kind::kTime: text += "recovery_target_time = '" + TimeSetting(target.time) + "'\n"; break;
  }
  return text;
}

std::optional<std::size_t> NewestLeadingTo(const RestoreTarget& target, std::span<const BackupSpan> spans) {
  std::optional<std::size_t> newest;
  for (std::size_t at = 0; at < spans.size(); ++at) {
    const BackupSpan& span = spans[at];
    if (target.kind == RestoreTarget::Kind::kLsn && (span.wal.empty() || span.wal.back().end > target.lsn)) continue;
    if (target.kind == RestoreTarget::Kind::kTime && (span.stopped == 0 || span.stopped * kSecond > target.time.ns)) continue;
    if (!newest || span.stopped >= spans[*newest].stopped) newest = at;
  }
  return newest;
}

}  // namespace lifeboat::backup
