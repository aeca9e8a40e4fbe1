#include "cli/backup_live.h"

#include "adapters/backups/live_source.h"

namespace lifeboat {

namespace {

std::string Value(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' || c == '\\' ? std::string("\\") + c : std::string(1, c);
  return quoted + "'";
}

}  // namespace

std::string LiveConninfo(const Settings& settings, const RegionSettings* region) {
  if (region == nullptr || !region->database || region->database->socket_directory.empty()) return {};
  return "host=" + Value(region->database->socket_directory) + " port=" + std::to_string(region->database->address.port) +
         " user=" + Value(settings.login.superuser) + " dbname=" + Value(settings.login.database);
}

LiveAnswer AskSource(const std::string& conninfo) {
  LiveAnswer answer;
  if (conninfo.empty()) return answer;
  answer.asked = true;
  Result<backup::LiveFacts> facts = backup::AskLive(conninfo);
  if (facts) {
    answer.facts = std::move(*facts);
  } else {
    answer.problem = facts.error().message;
  }
  return answer;
}

void TellLive(const LiveAnswer& answer, const backup::Inventory& inventory, backup::Report& report) {
  if (!answer.facts) return;
  for (backup::Finding& finding : backup::JudgeLiveSource(*answer.facts, inventory.archives)) {
    backup::LevelResult& level = report.wal_levels[static_cast<std::size_t>(finding.level)];
    // A slot says nothing of what lies in the archive.
    if (finding.severity == backup::Severity::kFault && finding.fault != 47) level = {backup::Verdict::kFail, ""};
    report.findings.push_back(std::move(finding));
  }
}

Json ToJson(const LiveAnswer& answer) {
  return {{"asked", answer.asked}, {"answered", answer.facts.has_value()}, {"problem", answer.problem}};
}

}  // namespace lifeboat
