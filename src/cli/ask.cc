#include "cli/ask.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "adapters/peers/call_once.h"
#include "adapters/peers/token.h"
#include "lab/layout.h"

namespace lifeboat {

namespace {
std::filesystem::path FindConfig(const CommonOptions& options) {
  if (!options.config.empty()) return options.config;
  if (const char* named = std::getenv("LIFEBOAT_CONFIG"); named && *named) return named;
  for (const std::filesystem::path& place :
       {std::filesystem::path("lifeboat.yaml"), std::filesystem::path("/etc/lifeboat/lifeboat.yaml"),
        lab::DefaultFolder() / "lifeboat.yaml"}) {
    std::error_code ignored;
    if (std::filesystem::exists(place, ignored)) return place;
  }
  return "lifeboat.yaml";
}

std::vector<const RegionSettings*> WhomToAsk(const Settings& settings, const std::string& region) {
  std::vector<const RegionSettings*> order;
  for (const RegionKind kind : {RegionKind::kWitness, RegionKind::kData}) {
    for (const RegionSettings& each : settings.regions) {
      if (each.kind == kind && (region.empty() || each.name.text == region)) order.push_back(&each);
    }
  }
  return order;
}
}  // namespace

int EndWith(const Error& error, const CommonOptions& options) {
  if (options.json) {
    std::printf(
        "%s\n",
        Json{{"error", {{"retry", ToString(error.retry)}, {"message", error.message}, {"hint", error.hint}}}}.dump(2).c_str());
  } else {
    std::fprintf(stderr, "lifeboat: %s\n", error.Text().c_str());
  }
  return static_cast<int>(error.retry == Retry::kRefused ? Exit::kRefused : Exit::kFailed);
}

Result<Settings> SettingsFor(const CommonOptions& options) { return LoadSettings(FindConfig(options)); }

Result<Answered> Ask(const Settings& settings, const CommonOptions& options, const std::string& method, const Json& parameters,
                     Duration timeout) {
  const auto token = ReadToken(settings.token_file);
  if (!token.ok()) return token.error();
  const auto order = WhomToAsk(settings, options.region);
  if (order.empty()) {
    std::string known;
    for (const RegionSettings& region : settings.regions) known += (known.empty() ? "'" : ", '") + region.name.text + "'";
    return Refused("'" + options.region + "' is no region of '" + settings.file.string() + "'", "its regions are " + known);
  }
  std::string silent;
  for (const RegionSettings* region : order) {
    auto answer = CallOnceBlocking(region->agent, *token, method, parameters, timeout);
    if (answer.ok()) return Answered{*std::move(answer), region->name};
    // Only a question that never left may be put to another agent.
    if (answer.error().retry != Retry::kRetry || order.size() == 1) return answer.error();
    silent += (silent.empty() ? "" : "; ") + region->name.text + ": " + answer.error().message;
  }
  return RetryLater("no agent could answer (" + silent + ")", "look whether the agents run; each logs why it could not start");
}

int AskAndShow(const CommonOptions& options, const std::string& method, const Json& parameters,
               const std::function<int(const Json&, const Settings&)>& show, Duration timeout) {
  const auto settings = SettingsFor(options);
  if (!settings.ok()) {
    (void)EndWith(settings.error(), options);
    return static_cast<int>(Exit::kUsage);
  }
  const auto answer = Ask(*settings, options, method, parameters, timeout);
  if (!answer.ok()) return EndWith(answer.error(), options);
  if (options.json) std::printf("%s\n", answer->json.dump(2).c_str());
  return show(answer->json, *settings);
}

}  // namespace lifeboat
