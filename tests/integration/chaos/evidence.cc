#include "integration/chaos/evidence.h"

#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "adapters/system/files.h"
#include "base/json.h"
#include "lab/sql.h"
#include "lab/tools.h"
#include "model/database_state.h"

namespace lifeboat::chaos {

namespace fs = std::filesystem;

namespace {

// "2026-11-23 08:46:44.123456 UTC", "2026-11-23T08:46:44.123Z" → ns since 1970; 0: it is something else.
std::int64_t WallNs(const std::string& text) {
  std::tm when{};
  double seconds = 0;
  if (std::sscanf(text.c_str(), "%d-%d-%d%*[ T]%d:%d:%lf", &when.tm_year, &when.tm_mon, &when.tm_mday, &when.tm_hour, &when.tm_min,
                  &seconds) != 6) {
    return 0;
  }
  when.tm_year -= 1900;
  when.tm_mon -= 1;
  const auto whole = static_cast<std::int64_t>(seconds);
  when.tm_sec = static_cast<int>(whole);
  return static_cast<std::int64_t>(::timegm(&when)) * 1'000'000'000 +
         static_cast<std::int64_t>((seconds - static_cast<double>(whole)) * 1e6 + 0.5) * 1000;
}

// Lines like "rmgr: Transaction len (rec/tot): 34/34, tx: 737, lsn: 0/01BCD580, prev …, desc: COMMIT 2026-11-23 08:46:44.1 UTC".
void AddCommits(const std::string& text, std::map<std::uint32_t, std::int64_t>& xids) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t tx = line.find(" tx: ");
    const std::size_t commit = line.find("desc: COMMIT ");
    if (tx == std::string::npos || commit == std::string::npos) continue;
    xids[static_cast<std::uint32_t>(std::strtoul(line.c_str() + tx + 5, nullptr, 10))] = WallNs(line.substr(commit + 13));
  }
}

Result<LedgerEntry> ReadLedger(const lab::LabInfo& lab, const std::string& region, const fs::path& folder) {
  const auto text = ReadSmallFile((folder / "manifest.json").string(), 64U << 20U);
  if (!text) return text.error();
  const auto manifest = ParseJson(*text, "manifest");
  if (!manifest) return manifest.error();
  LedgerEntry entry;
  entry.folder = folder.string();
  entry.region = region;
  entry.timeline = static_cast<std::uint32_t>(NumberAt(*manifest, "timeline"));
  const Divergence divergence = DivergenceFromJson(MemberAt(*manifest, "divergence"));
  entry.commits = divergence.commits;
  if (!divergence.Diverged()) return entry;
  const auto dumped =
      lab::RunTool({"env", "TZ=UTC", lab.bin_directory + "/pg_waldump", "-p", folder.string(), "-t", std::to_string(entry.timeline),
                    "-s", divergence.fork.Text(), "-e", divergence.end.Text(), "-r", "Transaction"},
                   "/", std::nullopt, 30s);
  if (!dumped) return dumped.error().Within("ledger '" + folder.string() + "'");
  AddCommits(*dumped, entry.xids);
  return entry;
}

}  // namespace

Result<std::vector<PresentRow>> ReadTable(const lab::LabInfo& lab, const std::string& primary) {
  const auto connection = lab::ConnectTo("host=" + lab::QuoteConninfo((lab.FolderOf(primary) / "socket").string()) +
                                         " port=" + std::to_string(lab.postgres_port) + " user=postgres dbname=" + lab::kDatabase +
                                         " connect_timeout=5");
  if (!connection) return connection.error();
  const auto rows =
      lab::Query(*connection,
                 "SELECT writer, n, coalesce((extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000)::bigint, 0) "
                 "FROM chaos_rows");
  if (!rows) return rows.error();
  std::vector<PresentRow> present;
  present.reserve(rows->size());
  for (const auto& row : *rows) present.push_back({std::stoi(row[0]), std::stoull(row[1]), std::stoll(row[2]) * 1000});
  return present;
}

Result<std::vector<LedgerEntry>> ReadLedgers(const lab::LabInfo& lab) {
  std::vector<LedgerEntry> entries;
  for (const lab::LabRegion& region : lab.regions) {
    std::error_code none;
    for (const auto& folder : fs::directory_iterator(lab.FolderOf(region.name.text) / "state" / "ledger", none)) {
      if (!fs::exists(folder.path() / "manifest.json")) continue;  // not whole: it was being saved, and will be again
      auto entry = ReadLedger(lab, region.name.text, folder.path());
      if (!entry) return entry.error();
      entries.push_back(std::move(entry).value());
    }
  }
  return entries;
}

std::vector<Permission> PermissionsIn(const std::string& region, const std::string& log) {
  std::vector<Permission> permissions;
  std::istringstream lines(log);
  for (std::string text; std::getline(lines, text);) {
    const auto line = ParseJson(text, "line");
    if (!line || !line->is_object()) continue;
    const auto epoch = NumberAt(*line, "epoch");
    if (TextAt(*line, "message") == "the gate opens") {
      permissions.push_back({region, epoch, WallNs(TextAt(*line, "time")), std::nullopt});
      continue;
    }
    if (!line->contains("closed_at_ns") || permissions.empty()) continue;
    Permission& last = permissions.back();
    if (last.epoch == epoch && !last.closed_wall_ns) last.closed_wall_ns = MemberAt(*line, "closed_at_ns").get<std::int64_t>();
  }
  return permissions;
}

std::vector<Permission> ReadPermissions(const lab::LabInfo& lab) {
  std::vector<Permission> all;
  for (const lab::LabRegion& region : lab.regions) {
    std::ostringstream text;
    text << std::ifstream(lab.FolderOf(region.name.text) / "log" / "guard.log").rdbuf();
    for (Permission& permission : PermissionsIn(region.name.text, text.str())) all.push_back(std::move(permission));
  }
  return all;
}

}  // namespace lifeboat::chaos
