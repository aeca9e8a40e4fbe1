#include "lab/layout.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "adapters/system/files.h"
#include "base/json.h"
#include "lab/sql.h"
#include "lab/store_cluster.h"
#include "lab/store_table.h"

namespace lifeboat::lab {

namespace fs = std::filesystem;

namespace {

std::string Milliseconds(Duration d) { return std::to_string(Millis(d)) + "ms"; }

Json RegionJson(const LabRegion& region) {
  return {{"name", region.name.text},
          {"kind", ToString(region.kind)},
          {"address", region.address},
          {"agent_port", region.agent_port},
          {"netns", region.netns}};
}

LabRegion RegionFromJson(const Json& json) {
  LabRegion region;
  region.name = RegionName(TextAt(json, "name"));
  region.kind = TextAt(json, "kind") == ToString(RegionKind::kWitness) ? RegionKind::kWitness : RegionKind::kData;
  region.address = TextAt(json, "address");
  region.agent_port = static_cast<std::uint16_t>(NumberAt(json, "agent_port"));
  region.netns = TextAt(json, "netns");
  return region;
}

Json NetworkJson(const std::optional<LabNetwork>& network) {
  if (!network) return {};
  return {{"id", network->id},
          {"subnet", network->subnet},
          {"bridge", network->bridge},
          {"host_link", network->host_link},
          {"host_address", network->host_address}};
}

Json TableJson(const std::optional<LabTable>& table) {
  if (!table) return {};
  return {{"endpoint", table->endpoint}, {"name", table->name}, {"regions", table->regions}, {"control", table->control}};
}

std::optional<LabTable> TableFromJson(const Json& json) {
  if (!json.is_object()) return std::nullopt;
  LabTable table{TextAt(json, "endpoint"), TextAt(json, "name"), {}, static_cast<std::uint16_t>(NumberAt(json, "control"))};
  for (const Json& region : MemberAt(json, "regions")) {
    if (region.is_string()) table.regions.push_back(region.get<std::string>());
  }
  if (table.regions.empty()) return std::nullopt;
  return table;
}

std::optional<LabNetwork> NetworkFromJson(const Json& json) {
  if (!json.is_object()) return std::nullopt;
  return LabNetwork{TextAt(json, "id"), TextAt(json, "subnet"), TextAt(json, "bridge"), TextAt(json, "host_link"),
                    TextAt(json, "host_address")};
}

}  // namespace

const LabRegion* LabInfo::Find(const std::string& region) const {
  for (const LabRegion& candidate : regions) {
    if (candidate.name.text == region) return &candidate;
  }
  return nullptr;
}

const LabRegion& LabInfo::Witness() const {
  for (const LabRegion& candidate : regions) {
    if (candidate.kind == RegionKind::kWitness) return candidate;
  }
  LIFEBOAT_CHECK(false, "a lab without a witness region");
  return regions.front();
}

const LabRegion& LabInfo::FirstPrimary() const {
  for (const LabRegion& candidate : regions) {
    if (candidate.kind == RegionKind::kData) return candidate;
  }
  LIFEBOAT_CHECK(false, "a lab without a data region");
  return regions.front();
}

std::string LabInfo::GateFilePrefix(const fs::path& folder) {
  std::string name = folder.string();
  std::replace(name.begin(), name.end(), '/', '-');
  return "/dev/shm/lifeboat-gate" + name + "@";
}

std::string LabInfo::Conninfo(const std::string& region, const std::string& user) const {
  const LabRegion* found = Find(region);
  LIFEBOAT_CHECK(found != nullptr, "a region that the lab does not have");
  return "hostaddr=" + found->address + " port=" + std::to_string(postgres_port) + " dbname=" + kDatabase + " user=" + user +
         " passfile=" + QuoteConninfo(PasswordFile().string()) + " sslmode=disable gssencmode=disable connect_timeout=2" +
         " tcp_user_timeout=2000 application_name=lifeboat_lab";
}

fs::path DefaultFolder() {
  if (const char* set = std::getenv("LIFEBOAT_LAB"); set != nullptr && *set != '\0') return fs::absolute(set);
  return "/tmp/lifeboat-lab-" + std::to_string(::getuid());
}

bool IsLab(const fs::path& folder) {
  std::error_code ignored;
  return fs::exists(folder / kMarker, ignored);
}

Result<LabInfo> ReadLab(const fs::path& folder) {
  if (!IsLab(folder)) return NotFound("there is no lab in '" + folder.string() + "'", "start one with 'lifeboat lab up'");
  const auto text = ReadSmallFile((folder / "lab.json").string());
  if (!text) {
    return Fail("the lab in '" + folder.string() + "' is half-built: " + text.error().message,
                "remove it with 'lifeboat lab down'");
  }
  const auto json = ParseJson(*text, "lab.json");
  if (!json) return json.error();
  if (TextAt(*json, "format") != "lifeboat-lab/1") return Fail("'" + (folder / "lab.json").string() + "' is of another version");
  LabInfo info;
  info.folder = folder;
  info.version = TextAt(*json, "version");
  info.owner = TextAt(*json, "owner");
  info.slot = static_cast<int>(NumberAt(*json, "slot"));
  info.postgres_port = static_cast<std::uint16_t>(NumberAt(*json, "postgres_port"));
  info.dns = {TextAt(*json, "dns_address"), static_cast<std::uint16_t>(NumberAt(*json, "dns_port"))};
  info.etcd_port = static_cast<std::uint16_t>(NumberAt(*json, "etcd_port"));
  info.etcd_peer_port = static_cast<std::uint16_t>(NumberAt(*json, "etcd_peer_port"));
  info.table = TableFromJson(MemberAt(*json, "table"));
  info.knobs.store = info.table ? StoreKind::kDynamoDb : info.etcd_port != 0 ? StoreKind::kEtcd : StoreKind::kEmbedded;
  info.bin_directory = TextAt(*json, "bin_directory");
  for (const Json& region : MemberAt(*json, "regions")) info.regions.push_back(RegionFromJson(region));
  info.network = NetworkFromJson(MemberAt(*json, "network"));
  info.knobs.lease = std::chrono::milliseconds(NumberAt(*json, "lease_ms"));
  info.knobs.margin = std::chrono::milliseconds(NumberAt(*json, "margin_ms"));
  info.knobs.rto = std::chrono::milliseconds(NumberAt(*json, "rto_ms"));
  info.knobs.rpo = std::chrono::milliseconds(NumberAt(*json, "rpo_ms"));
  info.knobs.cool_down = std::chrono::milliseconds(NumberAt(*json, "cool_down_ms"));
  info.knobs.automation = TextAt(*json, "automation");
  info.knobs.gate = FlagAt(*json, "gate");
  info.knobs.database_failure = TextAt(*json, "database_failure") == ToString(DatabaseFailure::kFailover)
                                    ? DatabaseFailure::kFailover
                                    : DatabaseFailure::kRestart;
  if (info.regions.empty()) return Fail("'" + (folder / "lab.json").string() + "' names no region");
  return info;
}

std::string MarkerText(const LabInfo* info) {
  std::string text = "this folder belongs to 'lifeboat lab'; 'lifeboat lab down' removes it\n";
  if (info == nullptr || !info->network) return text;
  Json namespaces = Json::array({info->network->bridge});
  for (const LabRegion& region : info->regions) namespaces.push_back(region.netns);
  return text + Json{{"network", NetworkJson(info->network)}, {"namespaces", namespaces}}.dump() + "\n";
}

std::optional<LabNetwork> ReadNetwork(const fs::path& folder, std::vector<std::string>& namespaces) {
  const auto text = ReadSmallFile((folder / kMarker).string());
  const std::size_t second = text ? text->find('\n') : std::string::npos;
  if (second == std::string::npos) return std::nullopt;
  const auto json = ParseJson(text->substr(second + 1), "marker");
  if (!json) return std::nullopt;  // a lab on loopback; or cut off while it was written: nothing that it names was made yet
  for (const Json& netns : MemberAt(*json, "namespaces")) namespaces.push_back(netns.get<std::string>());
  return NetworkFromJson(MemberAt(*json, "network"));
}

std::string LabJson(const LabInfo& info) {
  Json regions = Json::array();
  for (const LabRegion& region : info.regions) regions.push_back(RegionJson(region));
  const Json json = {{"format", "lifeboat-lab/1"},
                     {"version", info.version},
                     {"owner", info.owner},
                     {"slot", info.slot},
                     {"postgres_port", info.postgres_port},
                     {"dns_address", info.dns.host},
                     {"dns_port", info.dns.port},
                     {"etcd_port", info.etcd_port},
                     {"etcd_peer_port", info.etcd_peer_port},
                     {"table", TableJson(info.table)},
                     {"bin_directory", info.bin_directory},
                     {"regions", regions},
                     {"network", NetworkJson(info.network)},
                     {"lease_ms", Millis(info.knobs.lease)},
                     {"margin_ms", Millis(info.knobs.margin)},
                     {"rto_ms", Millis(info.knobs.rto)},
                     {"rpo_ms", Millis(info.knobs.rpo)},
                     {"cool_down_ms", Millis(info.knobs.cool_down)},
                     {"automation", info.knobs.automation},
                     {"gate", info.knobs.gate},
                     {"database_failure", ToString(info.knobs.database_failure)}};
  return json.dump(2) + "\n";
}

namespace {
std::string StoreConfig(const LabInfo& info) {
  if (info.knobs.store == StoreKind::kEtcd) return StoreClusterConfig(info);
  if (info.table) return StoreTableConfig(info);
  return "store:\n  kind: embedded\n  host: " + info.Witness().name.text + "\n";
}
}  // namespace

std::string LabConfig(const LabInfo& info) {
  std::ostringstream out;
  out << "# Written by 'lifeboat lab up': three regions on this machine.\n"
      << "service: orders\n\n"
      << "objectives:\n  rto: " << Milliseconds(info.knobs.rto) << "\n  rpo: " << Milliseconds(info.knobs.rpo) << "\n\n"
      << "policy:\n  automation: " << info.knobs.automation << "\n  loss_limit:\n    time: 10s\n    bytes: 64MiB\n"
      << "  cool_down: " << Milliseconds(info.knobs.cool_down)
      << "\n  failover_after: 0s\n  database_failure: " << ToString(info.knobs.database_failure) << "\n  restart_budget: 10s\n\n"
      << "lease:\n  length: " << Milliseconds(info.knobs.lease) << "\n  margin: " << Milliseconds(info.knobs.margin) << "\n\n"
      << StoreConfig(info) << "\nregions:\n";
  for (const LabRegion& region : info.regions) {
    const fs::path folder = info.FolderOf(region.name.text);
    out << "  - name: " << region.name.text << "\n    kind: " << ToString(region.kind) << "\n";
    out << "    agent: " << region.address << ":" << region.agent_port << "\n    state_directory: " << (folder / "state").string()
        << "\n";
    if (region.kind == RegionKind::kData) {
      out << "    database:\n      address: " << region.address << ":" << info.postgres_port
          << "\n      data_directory: " << (folder / "data").string() << "\n      bin_directory: " << info.bin_directory
          << "\n      socket_directory: " << (folder / "socket").string()
          << "\n      log_file: " << (folder / "log" / "postgresql.log").string() << "\n";
      if (info.knobs.gate) out << "      gate_file: " << info.GateFile(region.name.text).string() << "\n";
    }
  }
  // SAFETY: the token travels readable, on a bridge that exists on this machine only.
  if (info.network) out << "\npeers:\n  allow_plaintext: true\n";
  out << "\nfirst_primary: " << info.FirstPrimary().name.text << "\n\nlogin:\n  database: " << kDatabase
      << "\n  superuser: postgres\n  replication_user: lifeboat_replication\n"
      << "  canary_user: lifeboat_canary\n  password_file: " << info.PasswordFile().string() << "\n\n"
      << "dns:\n  name: " << kDnsName << "\n  zone: " << kDnsZone << "\n  server: " << info.dns.Text() << "\n  ttl: 1s\n"
      << "  key_name: lifeboat.\n  key_algorithm: hmac-sha256\n  key_file: " << info.KeyFile().string() << "\n\n"
      << "token_file: " << info.TokenFile().string() << "\n";
  return out.str();
}

Result<std::optional<RunAs>> OwnerFor() {
  if (::geteuid() != 0) return std::optional<RunAs>();
  Result<RunAs> user = FindUser("postgres");
  if (!user) {
    return Fail("PostgreSQL does not run as root, and there is no user 'postgres'", "install PostgreSQL with 'make setup'");
  }
  return std::optional<RunAs>(std::move(user).value());
}

Result<Unit> WriteOwned(const fs::path& path, std::string_view content, unsigned mode, const std::optional<RunAs>& owner) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
  if (file < 0) return Fail("'" + path.string() + "': " + std::strerror(errno));
  const bool whole = ::write(file, content.data(), content.size()) == static_cast<ssize_t>(content.size());
  const bool owned = ::fchmod(file, mode) == 0 && (!owner || ::fchown(file, owner->uid, owner->gid) == 0);
  const int problem = errno;
  ::close(file);
  if (!whole || !owned) return Fail("'" + path.string() + "' cannot be written: " + std::strerror(problem));
  return Done();
}

Result<Unit> MakeOwnedFolder(const fs::path& path, unsigned mode, const std::optional<RunAs>& owner) {
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) return Fail("'" + path.string() + "': " + std::strerror(errno));
  if (::chmod(path.c_str(), mode) != 0 || (owner && ::chown(path.c_str(), owner->uid, owner->gid) != 0)) {
    return Fail("'" + path.string() + "' cannot be given to its owner: " + std::strerror(errno));
  }
  return Done();
}

}  // namespace lifeboat::lab
