#pragma once

// The door to alarms that others have set up, as signs for the votes: read, never changed.
// Thread rule: one executor that runs one thing at a time; plain values else.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "base/time.h"
#include "base/types.h"
#include "ports/readiness.h"

namespace lifeboat {

/// What an alarm says. An alarm without data says nothing: it is neither a sign of trouble nor one of health.
enum class AlarmSign { kOk, kAlarm, kNoData };

[[nodiscard]] inline const char* ToString(AlarmSign sign) {
  return sign == AlarmSign::kOk ? "ok" : sign == AlarmSign::kAlarm ? "alarm" : "no data";
}

struct AlarmState {
  AlarmSign sign = AlarmSign::kNoData;
  std::string reason;             ///< in the alarm's own words
  std::optional<WallTime> since;  ///< when it last changed
};

class Alarms {
 public:
  virtual ~Alarms() = default;
  /// One call for up to 100 names of a region. An alarm that does not exist is not in the answer.
  /// @error kRetry: the region did not answer
  virtual Task<Result<std::map<std::string, AlarmState>>> States(RegionName region, std::vector<std::string> names,
                                                                 Duration timeout) = 0;
  /// One of them. @error kNotFound: there is no such alarm
  virtual Task<Result<AlarmState>> State(RegionName region, std::string name, Duration timeout) = 0;
  /// Lines for `lifeboat check`: whether each exists, and what it says.
  virtual Task<Result<std::vector<Readiness>>> Check(RegionName region, std::vector<std::string> names, Duration timeout) = 0;
};

}  // namespace lifeboat
