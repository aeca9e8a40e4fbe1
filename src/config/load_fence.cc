#include "config/load_fence.h"

#include <sstream>

namespace lifeboat {

namespace {

constexpr Duration kShortestTimeout = std::chrono::seconds(1);
constexpr Duration kLongestTimeout = std::chrono::minutes(10);

std::string At(std::size_t region, const char* key) { return "regions[" + std::to_string(region) + "]." + key; }

}  // namespace

std::optional<FenceSettings> BuildFence(const Document& document, std::size_t region) {
  if (!document.Given(At(region, "fence"))) return std::nullopt;
  FenceSettings fence;
  std::istringstream words(document.Valid(At(region, "fence.command")).value_or(""));
  for (std::string word; std::getline(words, word);) fence.command.push_back(word);
  fence.timeout = ParseDuration(document.Valid(At(region, "fence.timeout")).value_or("")).value_or(fence.timeout);
  if (document.Valid(At(region, "fence.on_failure")) == "wait") fence.on_failure = FenceFailure::kWait;
  return fence;
}

void CheckFences(const Document& document, const Settings& settings, Problems& problems) {
  for (std::size_t region = 0; region < settings.regions.size(); ++region) {
    const RegionSettings& r = settings.regions[region];
    if (!r.fence) continue;
    const auto complain = [&](const char* key, const std::string& what, const std::string& hint) {
      problems.Add(document.Line(At(region, key)), document.Label(At(region, key)) + " " + what, hint);
    };
    if (!r.database && document.Valid(At(region, "kind"))) {
      complain("fence", "stands in a region without a server of its own",
               "an external fence stops the instance that a 'database' section describes");
    }
    // SAFETY: it stops an instance: it is the one program that is meant, whatever PATH an agent was started with.
    if (!r.fence->command.empty() && !r.fence->command.front().starts_with('/')) {
      complain("fence.command", "begins with '" + r.fence->command.front().substr(0, 80) + "', which is no absolute path",
               "name the program by its whole path");
    }
    if (document.Valid(At(region, "fence.timeout")) &&
        (r.fence->timeout < kShortestTimeout || r.fence->timeout > kLongestTimeout)) {
      complain("fence.timeout",
               "must lie between 1s and 10min, not '" + document.Valid(At(region, "fence.timeout")).value_or("") + "'",
               "a takeover lasts that much longer where the fence does not answer");
    }
  }
}

}  // namespace lifeboat
