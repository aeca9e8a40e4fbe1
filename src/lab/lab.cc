#include "lab/lab.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <future>
#include <thread>

#include "adapters/system/files.h"
#include "adapters/system/processes.h"
#include "lab/addresses.h"
#include "lab/agents.h"
#include "lab/client.h"
#include "lab/databases.h"
#include "lab/name_server.h"
#include "lab/store_cluster.h"
#include "lab/store_table.h"
#include "lab/tools.h"

namespace lifeboat::lab {

namespace fs = std::filesystem;

namespace {

constexpr const char* kBinDirectory = "/usr/lib/postgresql/15/bin";
constexpr const char* kVersion = "0.1.0";
constexpr Duration kKillTimeout = 10s;
constexpr Duration kObserveTimeout = 15s;
constexpr std::size_t kLongestFolder = 60;  // a Unix socket's path holds 107 bytes, and ours adds region, folder and name

Result<Unit> CheckFolder(const fs::path& folder) {
  std::error_code problem;
  if (folder.string().size() > kLongestFolder) {
    return Refused("the lab's folder '" + folder.string() + "' has more than " + std::to_string(kLongestFolder) + " bytes",
                   "choose a shorter one: Unix sockets lie in it");
  }
  if (folder.string().find_first_of(" '\"\\$\n:") != std::string::npos) {
    return Refused("the lab's folder '" + folder.string() + "' holds a blank, quote, colon, dollar or backslash",
                   "choose another one");
  }
  if (IsLab(folder)) {
    return Refused("a lab stands in '" + folder.string() + "' already", "end it with 'lifeboat lab down', or give another folder");
  }
  if (fs::exists(folder, problem) && (!fs::is_directory(folder, problem) || !fs::is_empty(folder, problem))) {
    return Refused("'" + folder.string() + "' exists and is no lab", "give a folder that is empty or does not exist");
  }
  return Done();
}

constexpr const char* kSubnets = "10.177.";  // one a lab, by its slot
constexpr std::uint16_t kAgentPort = 7400;   // the same in every namespace
constexpr std::uint16_t kPostgresPort = 5432;
constexpr std::uint16_t kDnsPort = 5353;  // 53 is for root
constexpr std::uint16_t kEtcdPort = 2379;
constexpr std::uint16_t kEtcdPeerPort = 2380;

constexpr const char* kStoreTablePart = "dynamodb";

/// An address of this machine's loopback, which no namespace has.
bool IsLocal(const std::string& url) {
  const std::size_t host = url.find("://");
  const std::string rest = host == std::string::npos ? url : url.substr(host + 3);
  return rest.starts_with("127.") || rest.starts_with("localhost") || rest.starts_with("[::1]");
}

bool HasLocalTable(const LabKnobs& knobs) {
  return knobs.store == StoreKind::kDynamoDb && (knobs.store_endpoint.empty() || IsLocal(knobs.store_endpoint));
}

// Before anything is made: what cannot be.
Result<Unit> CheckStore(const LabOptions& options) {
  if (options.knobs.store != StoreKind::kDynamoDb && !options.knobs.store_endpoint.empty())
    return Refused("an endpoint is given, and the store is no DynamoDB", "add --store dynamodb");
  if (HasLocalTable(options.knobs) && options.place == LabPlace::kNamespaces)
    return Refused("what answers for DynamoDB listens on this machine's loopback, which no network namespace has",
                   "--network loopback");
  return Done();
}

// Nothing: the regions share the loopback network.
Result<std::optional<LabNetwork>> ChooseNetwork(const LabOptions& options, const std::string& subnet, const Progress& progress) {
  if (options.place == LabPlace::kLoopback) return std::optional<LabNetwork>();
  if (HasLocalTable(options.knobs)) {
    progress("the regions share the loopback network, as what answers for DynamoDB does: cuts between them cannot be shown");
    return std::optional<LabNetwork>();
  }
  const auto possible = CanMakeNetworks();
  if (possible) return std::optional<LabNetwork>(NameNetwork(subnet));
  if (options.place == LabPlace::kNamespaces) return possible.error();
  progress("the regions share the loopback network (" + possible.error().message + "): cuts between them cannot be shown");
  return std::optional<LabNetwork>();
}

// Named on the disk before it is made: Down finds it whatever happens next.
Result<Unit> BuildNetwork(const LabInfo& lab, const std::optional<RunAs>& owner) {
  if (auto written = WriteOwned(lab.folder / kMarker, MarkerText(&lab), 0644, owner); !written) return written;
  return MakeNetwork(lab);
}

std::string SubnetOf(int slot) { return kSubnets + std::to_string(slot); }

Result<Slot> TakeSlot(LabPlace place) {
  if (place == LabPlace::kLoopback || ::geteuid() != 0) return Slot::Take();
  return Slot::Take(std::nullopt, [](int number) { return SubnetIsFree(SubnetOf(number)); });
}

// Addresses and ports in namespaces of their own: nobody else is there.
void DescribeNetwork(LabInfo& info) {
  int host = 0;
  for (LabRegion& region : info.regions) {
    region.address = info.network->subnet + "." + std::to_string(++host);
    region.agent_port = kAgentPort;
    region.netns = NamespaceOf(*info.network, region.name.text);
  }
  info.postgres_port = kPostgresPort;
  info.dns = {info.Witness().address, kDnsPort};
  if (info.knobs.store == StoreKind::kEtcd) {
    info.etcd_port = kEtcdPort;
    info.etcd_peer_port = kEtcdPeerPort;
  }
}

/// The module as the build makes it: beside the program's folder, in lib.
fs::path ModuleOf(const LabOptions& options) {
  std::error_code problem;
  const fs::path program = fs::canonical(options.program.empty() ? fs::path("/proc/self/exe") : options.program, problem);
  return program.parent_path().parent_path() / "lib" / "lifeboat_gate.so";
}

Result<LabInfo> Describe(const LabOptions& options, const fs::path& folder, const std::optional<RunAs>& owner, Slot& slot) {
  LabInfo info;
  info.folder = folder;
  info.version = kVersion;
  info.owner = owner ? owner->name : std::to_string(::getuid());
  info.slot = slot.number();
  info.bin_directory = kBinDirectory;
  info.knobs = options.knobs;
  info.knobs.gate = options.knobs.gate && fs::exists(ModuleOf(options));
  std::vector<std::pair<const char*, RegionKind>> regions = {
      {"us-east-1", RegionKind::kData}, {"us-west-2", RegionKind::kData}, {"eu-west-1", RegionKind::kWitness}};
  if (info.knobs.data_regions > 2) regions.emplace_back("ap-south-1", RegionKind::kData);
  int host = 0;
  for (const auto& [name, kind] : regions) {
    const auto port = slot.FreePort();
    if (!port) return port.error();
    info.regions.push_back({RegionName(name), kind, slot.Address(++host), *port});
  }
  const auto postgres = slot.FreePort();
  const auto dns = slot.FreePort();
  if (!postgres || !dns) return (postgres ? dns : postgres).error();
  if (info.knobs.store == StoreKind::kEtcd) {
    const auto clients = slot.FreePort();
    const auto peers = slot.FreePort();
    if (!clients || !peers) return (clients ? peers : clients).error();
    info.etcd_port = *clients;
    info.etcd_peer_port = *peers;
  }
  info.postgres_port = *postgres;
  info.dns = {info.Witness().address, *dns};
  return info;
}

Result<Unit> MakeFolders(const LabInfo& lab, const std::optional<RunAs>& owner) {
  std::vector<std::pair<fs::path, unsigned>> folders = {
      {lab.folder / "bin", 0755}, {lab.folder / "secrets", 0700}, {lab.folder / "clients", 0755}};
  for (const LabRegion& region : lab.regions) {
    const fs::path folder = lab.FolderOf(region.name.text);
    folders.push_back({folder, 0755});
    for (const char* part : {"state", "run"}) folders.push_back({folder / part, 0700});
    folders.push_back({folder / "log", 0755});
    if (region.kind == RegionKind::kData) {
      for (const char* part : {"data", "socket"}) folders.push_back({folder / part, 0700});
    } else {
      folders.push_back({folder / "knot", 0700});
    }
  }
  for (const auto& [folder, mode] : folders) {
    if (auto made = MakeOwnedFolder(folder, mode, owner); !made) return made;
  }
  return Done();
}

Result<Unit> CopyProgram(const LabOptions& options, const LabInfo& lab, const std::optional<RunAs>& owner) {
  std::error_code problem;
  const fs::path from = options.program.empty() ? fs::path("/proc/self/exe") : options.program;
  fs::copy_file(from, lab.Program(), fs::copy_options::overwrite_existing, problem);
  if (problem) return Fail("cannot copy the program '" + from.string() + "' into the lab: " + problem.message());
  if (::chmod(lab.Program().c_str(), 0755) != 0 || (owner && ::chown(lab.Program().c_str(), owner->uid, owner->gid) != 0)) {
    return Fail("cannot set the mode of '" + lab.Program().string() + "': " + std::strerror(errno));
  }
  return Done();
}

Result<Unit> CopyModule(const LabOptions& options, const LabInfo& lab, const std::optional<RunAs>& owner) {
  std::error_code problem;
  if (auto made = MakeOwnedFolder(lab.GateModule().parent_path(), 0755, owner); !made) return made;
  fs::copy_file(ModuleOf(options), lab.GateModule(), fs::copy_options::overwrite_existing, problem);
  if (problem || ::chmod(lab.GateModule().c_str(), 0755) != 0)
    return Fail("cannot copy the module '" + ModuleOf(options).string() + "' into the lab");
  return Done();
}

/// The lab's own files in /dev/shm, named after its folder.
void RemoveGateFiles(const fs::path& folder) {
  std::error_code problem;
  const std::string prefix = LabInfo::GateFilePrefix(folder);
  for (const auto& entry : fs::directory_iterator("/dev/shm", problem)) {
    if (entry.path().string().starts_with(prefix)) fs::remove(entry.path(), problem);
  }
}

LabInfo Acting(LabInfo lab) {
  lab.knobs.automation = "act";
  return lab;
}

// Everything but the databases: small files.
Result<Unit> WriteFiles(const LabInfo& lab, const Passwords& passwords, const std::optional<RunAs>& owner) {
  const std::tuple<fs::path, std::string, unsigned> files[] = {
      {lab.PasswordFile(), PasswordFileText(passwords), 0600},
      {lab.TokenFile(), RandomHex(32) + "\n", 0600},
      {lab.Config(), LabConfig(Acting(lab)), 0644},
  };
  for (const auto& [path, content, mode] : files) {
    if (auto written = WriteOwned(path, content, mode, owner); !written) return written;
  }
  if (auto written = WriteStoreCluster(lab, owner); !written) return written;
  return WriteNameServer(lab, owner);
}

Result<Unit> StartSupervisor(const LabInfo& lab, const std::string& region, const std::optional<RunAs>& owner) {
  const fs::path folder = lab.FolderOf(region);
  SpawnOptions options;
  options.cwd = (folder / "run").string();
  options.log_file = (folder / "log" / "supervisor.log").string();
  options.run_as = owner;
  options.environment = {{kPlaceVariable, folder.string()}};
  return InNamespace(lab.Find(region)->netns, [&]() -> Result<Unit> {
    const auto spawned =
        SpawnDetached({lab.Program().string(), "lab", "supervise", "--region", region, "--lab", lab.folder.string()}, options);
    return spawned ? Done() : Result<Unit>(spawned.error());
  });
}

// Marker first, so that whatever happens next can be undone by Down.
Result<Unit> MakeRoot(const fs::path& folder, const std::optional<RunAs>& owner) {
  if (auto free = CheckFolder(folder); !free) return free;
  std::error_code problem;
  fs::create_directories(folder.parent_path(), problem);
  if (auto made = MakeOwnedFolder(folder, 0755, owner); !made) return made;
  return WriteOwned(folder / kMarker, MarkerText(nullptr), 0644, owner);
}

std::optional<pid_t> PidIn(const fs::path& file) {
  std::ifstream stream(file);
  pid_t pid = 0;
  if (!(stream >> pid) || pid <= 0) return std::nullopt;
  return pid;
}

// The parts that a supervisor watches, and itself, by their pid files.
std::optional<pid_t> PidOf(const LabInfo& lab, const std::string& region, const std::string& part) {
  const fs::path folder = lab.FolderOf(region);
  return PidIn(part == "postmaster" ? folder / "data" / "postmaster.pid" : folder / "run" / (part + ".pid"));
}

bool LivesIn(const fs::path& folder, pid_t pid) {
  const std::vector<pid_t> within = ProcessesWithin(folder.string());
  return std::find(within.begin(), within.end(), pid) != within.end();
}

std::vector<const char*> PartsOf(const LabInfo& lab, const LabRegion& region) {
  std::vector<const char*> parts = {"supervisor", "agent"};
  if (region.kind == RegionKind::kWitness)
    parts.push_back("knot");
  else
    parts.insert(parts.end(), {"guard", "postmaster"});
  if (lab.knobs.store == StoreKind::kEtcd) parts.push_back("etcd");
  return parts;
}

// PostgreSQL refuses to start while the pid in its lock file exists, also as a zombie that init has not collected yet. A
// region that comes back has no such trace of its former life. Bounded: whoever still has it then gets PostgreSQL's words.
void AwaitNoTrace(std::optional<pid_t> pid) {
  const Instant deadline = ReadClocks() + 5s;
  while (pid && ::kill(*pid, 0) == 0 && !IsAlive(*pid) && !HasPassed(deadline, ReadClocks())) std::this_thread::sleep_for(5ms);
}

Result<LabRegion> FindRegion(const LabInfo& lab, const std::string& region) {
  if (const LabRegion* found = lab.Find(region)) return *found;
  std::string known;
  for (const LabRegion& candidate : lab.regions) known += (known.empty() ? "'" : ", '") + candidate.name.text + "'";
  return Refused("the lab has no region '" + region + "'", "its regions are " + known);
}

Result<Unit> HasDatabase(const LabInfo& lab, const std::string& region) {
  const auto found = FindRegion(lab, region);
  if (!found) return found.error();
  if (found->kind == RegionKind::kData) return Done();
  return Refused("region '" + region + "' holds no database", "it is the witness");
}

// The pid of a part that is watched by the supervisor, or of itself.
Result<pid_t> RunningPart(const LabInfo& lab, const std::string& region, const std::string& part) {
  const auto found = FindRegion(lab, region);
  if (!found) return found.error();
  const std::vector<const char*> parts = PartsOf(lab, *found);
  if (std::find(parts.begin(), parts.end(), part) == parts.end()) {
    std::string known = found->kind == RegionKind::kData ? "'database'" : "";
    for (const char* each : parts) known += (known.empty() ? "'" : ", '") + std::string(each) + "'";
    return Refused("region '" + region + "' has no part '" + part + "'", "its parts are " + known);
  }
  const auto pid = PidOf(lab, region, part);
  if (pid && LivesIn(lab.FolderOf(region), *pid)) return *pid;
  return NotFound("'" + part + "' does not run in region '" + region + "'", "'lifeboat lab status' shows what runs");
}

// The region's DynamoDB keeps silence from now on, or answers again.
Result<Unit> Silence(const LabInfo& lab, const std::string& region, bool silent) {
  if (!HasStoreTableIn(lab, region)) return Done();
  std::vector<std::string> regions = SilentStoreTables(lab);
  std::erase(regions, region);
  if (silent) regions.push_back(region);
  return SilenceStoreTables(lab, regions);
}

Result<Unit> HasOwnTable(const LabInfo& lab, const std::string& region) {
  if (const auto found = FindRegion(lab, region); !found) return found.error();
  if (HasStoreTableIn(lab, region)) return Done();
  return Refused("region '" + region + "' has no DynamoDB of the lab's own",
                 "it is there with '--store dynamodb', without '--store-endpoint', in the data regions");
}

KillReport JustNow() {
  KillReport report;
  report.monotonic_ns = MonotonicNs();
  report.wall_ns = ReadWallClock().ns;
  return report;
}

// Agents that observe start nothing: the lab is built by agents that act, which then read another configuration. Guards
// first, so that none that still acts is left by its agent.
Result<Unit> BeginToObserve(const LabInfo& lab, const std::optional<RunAs>& owner) {
  if (auto written = WriteOwned(lab.Config(), LabConfig(lab), 0644, owner); !written) return written;
  for (const char* part : {"guard", "agent"}) {
    for (const LabRegion& region : lab.regions) {
      const std::vector<const char*> parts = PartsOf(lab, region);
      if (std::none_of(parts.begin(), parts.end(), [&](const char* each) { return std::string_view(each) == part; })) continue;
      if (auto killed = Kill(lab.folder, region.name.text, part); !killed) return killed.error();
    }
  }
  const Instant end = ReadClocks() + kObserveTimeout;
  const auto whole = AwaitWhole(lab, kObserveTimeout, [](const std::string&) { return true; });
  if (!whole) return whole.error();
  // Until the store says that the lease fences nothing the primary's guard goes on fencing.
  for (;;) {
    const auto answer = AskAny(lab, "status", Json::object(), 2s);
    const Json status = answer.ok() ? *answer : Json::object();
    bool held = false;
    for (const Json& region : MemberAt(status, "regions")) {
      if (TextAt(region, "role") == "primary") held = FlagAt(MemberAt(region, "guard"), "held");
    }
    if (held) return Done();
    if (HasPassed(end, ReadClocks()))
      return RetryLater("the primary's guard has not let go after " + FormatDuration(kObserveTimeout));
    std::this_thread::sleep_for(50ms);
  }
}

}  // namespace

Result<LabInfo> Up(const LabOptions& options, const Progress& progress, const GoOn& go_on) {
  const fs::path folder = options.folder.empty() ? DefaultFolder() : fs::absolute(options.folder).lexically_normal();
  if (auto may = CheckStore(options); !may) return may.error();
  const auto owner = OwnerFor();
  if (!owner) return owner.error();
  if (auto made = MakeRoot(folder, *owner); !made) return made.error();
  auto slot = TakeSlot(options.place);
  if (!slot) return slot.error();
  auto network = ChooseNetwork(options, SubnetOf(slot->number()), progress);
  if (!network) return network.error();
  auto lab = Describe(options, folder, *owner, *slot);
  if (!lab) return lab.error();
  lab->network = std::move(network).value();
  if (lab->network) DescribeNetwork(*lab);
  if (auto made = MakeFolders(*lab, *owner); !made) return made.error();
  if (lab->knobs.store == StoreKind::kDynamoDb) {
    progress(lab->knobs.store_endpoint.empty() ? "starts an emulator of DynamoDB, and makes a table in two regions"
                                               : "makes a table in DynamoDB");
    const auto patience = [&go_on](const std::string&) { return go_on(); };
    if (auto made = MakeStoreTable(*lab, *owner, patience); !made) return made.error();
  }
  if (auto written = WriteOwned(folder / "lab.json", LabJson(*lab), 0644, *owner); !written) return written.error();

  if (auto made = lab->network ? BuildNetwork(*lab, *owner) : Done(); !made) return made.error();
  const Passwords passwords = MakePasswords();
  progress("creates two PostgreSQL servers, one the copy of the other");
  auto copied = std::async(std::launch::async, [&] { return CopyProgram(options, *lab, *owner); });
  auto written = WriteFiles(*lab, passwords, *owner);
  if (written && lab->knobs.gate) written = CopyModule(options, *lab, *owner);
  auto built = written ? BuildDatabases(*lab, passwords, *owner) : written;
  if (auto done = copied.get(); !done) return done.error();
  if (!built) return built.error();
  if (!options.start_processes) return *lab;
  if (!go_on()) return Fail("ended before the agents were started");

  const bool etcd = lab->knobs.store == StoreKind::kEtcd;
  progress(etcd ? "starts guard, agent, name server and etcd of each region"
                : "starts guard, agent and name server of each region");
  for (const LabRegion& region : lab->regions) {
    if (auto started = StartSupervisor(*lab, region.name.text, *owner); !started) return started.error();
  }
  if (auto opened = etcd ? OpenStoreCluster(*lab, options.patience) : Done(); !opened) return opened.error();
  std::string last;
  const auto whole = AwaitWhole(*lab, options.patience, [&](const std::string& waiting_for) {
    if (waiting_for != last) progress("waits: " + waiting_for);
    last = waiting_for;
    return go_on();
  });
  if (!whole) return whole.error();
  if (options.knobs.automation == "observe") {
    progress("tells agents and guards to observe only");
    if (auto told = BeginToObserve(*lab, *owner); !told) return told.error();
  }
  return *lab;
}

Result<Json> Status(const fs::path& folder) {
  const auto lab = ReadLab(folder);
  if (!lab) return lab.error();
  Json regions = Json::array();
  for (const LabRegion& region : lab->regions) {
    Json processes = Json::array();
    for (const char* part : PartsOf(*lab, region)) {
      const auto pid = PidOf(*lab, region.name.text, part);
      const bool alive = pid && LivesIn(lab->FolderOf(region.name.text), *pid);
      processes.push_back(
          {{"name", part}, {"pid", alive ? Json(*pid) : Json()}, {"alive", alive}, {"frozen", alive && IsFrozen(*pid)}});
    }
    regions.push_back(
        {{"name", region.name.text}, {"kind", ToString(region.kind)}, {"address", region.address}, {"processes", processes}});
  }
  const auto links = ReadCuts(*lab);
  Json cuts = links ? Json::array() : Json();
  for (const CutLink& link : links ? *links : std::vector<CutLink>()) cuts.push_back({{"from", link.from}, {"to", link.to}});
  const auto service = AskAny(*lab, "status", Json::object(), 2s);
  Json table;
  if (lab->table) {
    table = {{"endpoint", lab->table->endpoint},
             {"name", lab->table->name},
             {"regions", lab->table->regions},
             {"silent", SilentStoreTables(*lab)}};
  }
  return Json{{"folder", lab->folder.string()},
              {"config", lab->Config().string()},
              {"owner", lab->owner},
              {"postgres_port", lab->postgres_port},
              {"dns", lab->dns.Text()},
              {"regions", regions},
              {"network", lab->network ? "namespaces" : "loopback"},
              {"cuts", cuts},
              {"table", table},
              {"service", service ? *service : Json()}};
}

Result<KillReport> Kill(const fs::path& folder, const std::string& region) {
  const auto lab = ReadLab(folder);
  if (!lab) return lab.error();
  if (const auto found = FindRegion(*lab, region); !found) return found.error();
  auto killed = KillAtOneInstant(lab->FolderOf(region), kKillTimeout);
  // What AWS runs there is gone with the rest.
  if (auto silent = Silence(*lab, region, true); killed && !silent) return silent.error();
  return killed;
}

Result<KillReport> Kill(const fs::path& folder, const std::string& region, const std::string& part) {
  const auto lab = ReadLab(folder);
  if (!lab) return lab.error();
  if (part == "database") {
    if (auto has = HasDatabase(*lab, region); !has) return has.error();
    auto killed = KillAtOneInstant(lab->FolderOf(region) / "data", kKillTimeout);
    if (killed && killed->killed.empty()) return NotFound("no database runs in region '" + region + "'");
    return killed;
  }
  const auto pid = RunningPart(*lab, region, part);
  if (!pid) return pid.error();
  return KillOne(lab->FolderOf(region), *pid, kKillTimeout);
}

Result<CutReport> Cut(const fs::path& folder, const std::string& a, const std::string& b, bool one_way) {
  const auto lab = ReadLab(folder);
  if (!lab) return lab.error();
  const auto links = LinksBetween(*lab, a, b, one_way);
  if (!links) return links.error();
  return AddCuts(*lab, *links);
}

Result<CutReport> Heal(const fs::path& folder, const std::string& a, const std::string& b) {
  const auto lab = ReadLab(folder);
  if (!lab) return lab.error();
  return RemoveCuts(*lab, a, b);
}

Result<KillReport> Freeze(const fs::path& folder, const std::string& region, const std::string& part) {
  const auto lab = ReadLab(folder);
  if (!lab) return lab.error();
  if (const auto found = FindRegion(*lab, region); !found) return found.error();
  if (part == kStoreTablePart) {
    if (auto has = HasOwnTable(*lab, region); !has) return has.error();
    if (auto silent = Silence(*lab, region, true); !silent) return silent.error();
    return JustNow();
  }
  if (part.empty() || part == "database") {
    if (auto has = part.empty() ? Done() : HasDatabase(*lab, region); !has) return has.error();
    KillReport frozen = FreezeAtOneInstant(part.empty() ? lab->FolderOf(region) : lab->FolderOf(region) / "data");
    if (frozen.killed.empty()) return NotFound("nothing of it runs in region '" + region + "'");
    return frozen;
  }
  const auto pid = RunningPart(*lab, region, part);
  if (!pid) return pid.error();
  return FreezeOne(lab->FolderOf(region), *pid);
}

Result<KillReport> Thaw(const fs::path& folder, const std::string& region, const std::string& part) {
  const auto lab = ReadLab(folder);
  if (!lab) return lab.error();
  if (region.empty()) {
    if (auto silent = SilenceStoreTables(*lab, {}); !silent) return silent.error();
    return ThawAll(lab->folder);
  }
  if (const auto found = FindRegion(*lab, region); !found) return found.error();
  if (part == kStoreTablePart) {
    if (auto has = HasOwnTable(*lab, region); !has) return has.error();
    if (auto silent = Silence(*lab, region, false); !silent) return silent.error();
    return JustNow();
  }
  if (part.empty()) return ThawAll(lab->FolderOf(region));
  if (part == "database") {
    if (auto has = HasDatabase(*lab, region); !has) return has.error();
    return ThawAll(lab->FolderOf(region) / "data");
  }
  const auto pid = RunningPart(*lab, region, part);
  if (!pid) return pid.error();
  return ThawOne(lab->FolderOf(region), *pid);
}

Result<Unit> Start(const fs::path& folder, const std::string& region) {
  const auto lab = ReadLab(folder);
  if (!lab) return lab.error();
  if (const auto found = FindRegion(*lab, region); !found) return found.error();
  const auto running = PidOf(*lab, region, "supervisor");
  if (running && LivesIn(lab->FolderOf(region), *running)) {
    return Refused("region '" + region + "' runs already", "'lifeboat lab status' shows its processes");
  }
  const auto owner = OwnerFor();
  if (!owner) return owner.error();
  if (auto heard = Silence(*lab, region, false); !heard) return heard.error();
  AwaitNoTrace(PidOf(*lab, region, "postmaster"));
  return StartSupervisor(*lab, region, *owner);
}

Result<Unit> Down(const fs::path& folder) {
  std::error_code problem;
  if (!fs::exists(folder, problem)) return Done();
  // SAFETY: only a folder that Up has marked is ever emptied.
  if (!IsLab(folder)) {
    return Refused("'" + folder.string() + "' is not a lab: it has no '" + kMarker + "'", "give the folder of a lab");
  }
  const fs::path real = fs::canonical(folder, problem);
  if (problem) return Fail("'" + folder.string() + "': " + problem.message());
  if (const auto lab = ReadLab(real)) RemoveStoreTable(*lab);
  if (auto killed = KillAtOneInstant(real, kKillTimeout); !killed) return killed.error();
  RemoveGateFiles(fs::absolute(folder).lexically_normal());
  RemoveGateFiles(real);
  std::vector<std::string> namespaces;
  if (const auto network = ReadNetwork(real, namespaces)) {
    if (auto removed = RemoveNetwork(*network, namespaces); !removed) return removed.error();
  }
  for (const auto& entry : fs::directory_iterator(real, problem)) {  // the marker goes last: a second Down can end the work
    if (entry.path().filename() != kMarker) fs::remove_all(entry.path(), problem);
    if (problem)
      return Fail("cannot remove '" + entry.path().string() + "': " + problem.message(), "run it as the lab's owner or as root");
  }
  fs::remove_all(real, problem);
  if (problem) return Fail("cannot remove '" + real.string() + "': " + problem.message(), "run it as the lab's owner or as root");
  return Done();
}

}  // namespace lifeboat::lab
