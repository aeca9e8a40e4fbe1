#pragma once

// The door to a program of the operator's that is called at a point of a plan, in the region that takes over.
// Thread rule: one executor that runs one thing at a time.

#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "base/task.h"
#include "base/time.h"
#include "base/types.h"
#include "ports/readiness.h"

namespace lifeboat {

class Hook {
 public:
  virtual ~Hook() = default;
  /// As in lifeboat.yaml.
  [[nodiscard]] virtual std::string name() const = 0;
  /// "before-promote", "after-promote", "after-route".
  [[nodiscard]] virtual std::string when() const = 0;
  /// False: a failure is noted and the plan goes on.
  [[nodiscard]] virtual bool required() const = 0;
  [[nodiscard]] virtual Duration patience() const = 0;

  /// Called once and never again by itself; `payload` carries the execution's id, by which the program can tell a second call.
  /// @return what it answered @error kFail: it ran and failed, with its own words; kNotFound: there is no such program in that
  /// region; kRetry: it was not called; kUnknownOutcome: called, and no answer: it may have run, or run still
  virtual Task<Result<Json>> Call(RegionName region, Json payload, Duration timeout) = 0;
  /// Lines for `lifeboat check`: whether it could be called in `region`.
  virtual Task<Result<std::vector<Readiness>>> Check(RegionName region, Duration timeout) = 0;
};

}  // namespace lifeboat
