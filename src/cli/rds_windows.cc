#include "cli/rds_windows.h"

#include <cstdio>

#include "cli/table.h"

namespace lifeboat {

namespace {

std::string KeyText(const aws::AutomatedBackup& backup, const aws::AutomatedKeys& keys) {
  if (!backup.encrypted) return "not encrypted";
  const auto found = keys.find(backup.kms_key);
  return found == keys.end() || found->second.state.empty() ? "unknown" : found->second.state;
}

Json TimeOrNull(const std::optional<WallTime>& at) { return at ? Json(FormatWallTime(*at)) : Json(nullptr); }

}  // namespace

Task<RdsWindows> LookAtWindows(aws::Client& client, std::vector<std::string> regions, std::string of, Duration call) {
  RdsWindows windows;
  const std::vector<std::string> names(1, of);
  for (const std::string& name : regions) {
    aws::AutomatedRegion region;
    region.region = name;
    auto found = co_await aws::ListAutomatedBackups(client, name, names, call);
    if (!found) region.problem = found.error().message;
    if (found.ok()) region.backups = *std::move(found);
    windows.regions.push_back(std::move(region));
  }
  windows.keys = co_await aws::LookAtKeys(client, windows.regions, call);
  co_return windows;
}

Json ToJson(const RdsWindows& windows, WallTime now) {
  Json all = Json::array();
  for (const aws::AutomatedRegion& region : windows.regions) {
    Json backups = Json::array();
    for (const aws::AutomatedBackup& each : region.backups) {
      const Json age = each.latest ? Json(Seconds(Duration(now.ns - each.latest->ns))) : Json(nullptr);
      backups.push_back({{"of", each.of},
                         {"of_region", each.of_region},
                         {"status", each.status},
                         {"earliest", TimeOrNull(each.earliest)},
                         {"latest", TimeOrNull(each.latest)},
                         {"age_seconds", age},
                         {"encrypted", each.encrypted},
                         {"kms_key", each.kms_key},
                         {"key", KeyText(each, windows.keys)},
                         {"days", each.days}});
    }
    all.push_back({{"region", region.region}, {"problem", region.problem}, {"backups", backups}});
  }
  return all;
}

void PrintWindows(const RdsWindows& windows, WallTime now) {
  Table table({"AUTOMATED BACKUPS IN", "OF", "STATE", "RESTORE TO", "KEY"});
  bool any = false;
  for (const aws::AutomatedRegion& region : windows.regions) {
    if (!region.problem.empty())
      std::printf("automated backups in '%s' could not be listed: %s\n", region.region.c_str(), region.problem.c_str());
    for (const aws::AutomatedBackup& each : region.backups) {
      table.Add({region.region, each.of + " (" + each.of_region + ")", each.status, aws::WindowText(each, now),
                 KeyText(each, windows.keys)});
      any = true;
    }
  }
  if (any) std::printf("%s", table.Text().c_str());
}

}  // namespace lifeboat
