#pragma once

// What every command that talks to agents shares: where the configuration is, whom to ask, how to end.
// Thread rule: the main thread.

#include <functional>
#include <string>

#include "base/json.h"
#include "base/time.h"
#include "config/settings.h"

namespace lifeboat {

/// Exit codes, few and documented (README, "Exit codes").
enum class Exit { kDone = 0, kFailed = 1, kUsage = 2, kRefused = 3, kNotMet = 4, kWaits = 5 };

struct CommonOptions {
  std::string config;  ///< empty: $LIFEBOAT_CONFIG, ./lifeboat.yaml, /etc/lifeboat/lifeboat.yaml, the running lab's
  std::string region;  ///< whose agent to ask; empty: the first that answers, witnesses first
  bool json = false;
};

/// Prints the error as an operator reads it (or as JSON) and says how the command ends.
[[nodiscard]] int EndWith(const Error& error, const CommonOptions& options);

/// The configuration that these options mean. @error kFail: with every problem of the file
[[nodiscard]] Result<Settings> SettingsFor(const CommonOptions& options);

/// Asks one agent. @return its answer and which region gave it
struct Answered {
  Json json;
  RegionName region;
};
[[nodiscard]] Result<Answered> Ask(const Settings& settings, const CommonOptions& options, const std::string& method,
                                   const Json& parameters, Duration timeout);

/// Loads the configuration, asks, and hands the answer to `show` (or prints it with --json).
[[nodiscard]] int AskAndShow(const CommonOptions& options, const std::string& method, const Json& parameters,
                             const std::function<int(const Json&, const Settings&)>& show,
                             Duration timeout = std::chrono::seconds(10));

}  // namespace lifeboat
