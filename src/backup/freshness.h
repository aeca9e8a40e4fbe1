#pragma once

// How old the newest backup is, and the newest that was verified, against what is promised (F01).
// Thread rule: pure.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backup/finding.h"
#include "base/time.h"

namespace lifeboat::backup {

/// A promise, and how it stands.
struct ObjectiveLine {
  std::string name;                  ///< "backup_age", "verified_age", "rto", "rpo"
  Duration objective{0};             ///< 0: nothing is promised
  std::optional<Duration> measured;  ///< nothing: not known
  Verdict verdict = Verdict::kNotChecked;
  std::string reason;
};
[[nodiscard]] Json ToJson(const ObjectiveLine& line);
[[nodiscard]] Json ToJson(const std::vector<ObjectiveLine>& lines);

/// A backup and when it ended.
struct Aged {
  std::string label;
  std::int64_t stopped = 0;  ///< seconds since 1970; 0: not known
};

struct FreshnessQuestion {
  std::int64_t now = 0;  ///< seconds since 1970
  Duration backup_age{0};
  Duration verified_age{0};
  std::optional<Aged> newest;    ///< nothing: there is no backup
  std::optional<Aged> verified;  ///< nothing: none was
  bool verified_known = true;    ///< false: nobody has looked far enough to say
  int level = 3;                 ///< that "verified" means, for words
};

/// Two lines; an F01 for each that is missed.
[[nodiscard]] std::vector<ObjectiveLine> JudgeFreshness(const FreshnessQuestion& question, std::vector<Finding>& findings);

/// Whether a promise is broken, or cannot be shown to hold.
[[nodiscard]] bool AnyMissed(const std::vector<ObjectiveLine>& lines);

/// Seconds since `moment`; nothing: not known, or in the future by more than clocks may differ.
[[nodiscard]] std::optional<Duration> AgeOf(std::int64_t moment, std::int64_t now);

}  // namespace lifeboat::backup
