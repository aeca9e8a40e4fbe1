#include "config/load.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>

#include "base/address_reach.h"
#include "config/document.h"
#include "config/load_aws.h"
#include "config/load_backups.h"
#include "config/load_fence.h"
#include "config/load_telemetry.h"

namespace lifeboat {

namespace {

constexpr Duration kSmallestMargin = std::chrono::milliseconds(20);  // a kill and its proof take about 10 ms on an idle machine
constexpr std::size_t kLongestSocketDirectory = 92;  // sun_path holds 107 bytes, "/.s.PGSQL.65535" takes 15. @source unix(7)
constexpr std::size_t kLongestStateDirectory = 90;   // the guard's socket lies in it

std::string At(std::size_t region, const char* key) { return "regions[" + std::to_string(region) + "]." + key; }

/// Second half of loading: typed Settings from a Document. A value that was refused before is left at its default here:
/// the problem is on record and the Settings are never handed out.
class Builder {
 public:
  Builder(const Document& document, Problems& problems) : document_(document), problems_(problems) {}

  Settings Build() {
    Settings s;
    s.service = Text("service");
    s.objectives = {Time("objectives.rto"), Time("objectives.rpo")};
    BuildPolicy(s.policy);
    s.lease.length = Time("lease.length");
    s.lease.margin = Time("lease.margin");
    for (std::size_t region = 0; region < document_.RegionCount(); ++region) s.regions.push_back(BuildRegion(region));
    s.first_primary = RegionName(Text("first_primary"));
    BuildStore(s);
    s.login.database = Text("login.database");
    s.login.superuser = Text("login.superuser");
    s.login.replication_user = Text("login.replication_user");
    s.login.canary_user = Text("login.canary_user");
    s.login.password_file = document_.Valid("login.password_file");
    BuildDns(s.dns);
    s.backups = BuildBackups(document_, s);
    s.aws = BuildAws(document_);
    s.telemetry = BuildTelemetry(document_);
    s.token_file = Text("token_file");
    return s;
  }

  /// Rules across keys. Each judges only values that were themselves good.
  void Check(const Settings& s) {
    CheckObjectives(s);
    CheckLease(s);
    CheckPolicy(s);
    CheckRegions(s);
    for (std::size_t region = 0; region < s.regions.size(); ++region) CheckReach(s.regions[region].agent, At(region, "agent"));
    for (std::size_t region = 0; region < s.regions.size(); ++region) CheckFolders(s, region);
    CheckPlaces(s);
    CheckStore(s);
    CheckDns(s);
    CheckNeeded();
    CheckFences(document_, s, problems_);
    CheckBackups(document_, s, problems_);
    CheckAws(document_, s, problems_);
    CheckTelemetry(document_, s, problems_);
  }

 private:
  [[nodiscard]] std::string Text(const std::string& path) const { return document_.Valid(path).value_or(""); }
  [[nodiscard]] Duration Time(const std::string& path) const { return ParseDuration(Text(path)).value_or(Duration{0}); }
  [[nodiscard]] Endpoint Address(const std::string& path) const { return ParseEndpoint(Text(path)).value_or(Endpoint{}); }
  [[nodiscard]] bool Good(const std::string& path) const { return document_.Valid(path).has_value(); }
  /// AWS runs the database.
  [[nodiscard]] bool Managed() const { return document_.Given("aws"); }
  void Complain(const std::string& path, const std::string& what, std::string hint = {}) {
    problems_.Add(document_.Line(path), document_.Label(path) + " " + what, std::move(hint));
  }

  void BuildPolicy(Policy& policy) {
    policy.automation = Text("policy.automation") == "act" ? Automation::kAct : Automation::kObserve;
    if (Good("policy.loss_limit.time") && (Good("policy.loss_limit.bytes") || Managed())) {
      // AWS tells a lag as time alone: its bytes are not limited.
      const ByteCount bytes =
          Managed() ? ByteCount{UINT64_MAX} : ParseByteCount(Text("policy.loss_limit.bytes")).value_or(ByteCount{});
      policy.loss_limit = LossLimit{Time("policy.loss_limit.time"), bytes};
    }
    policy.cool_down = Time("policy.cool_down");
    policy.failover_after = Time("policy.failover_after");
    policy.database_failure =
        Text("policy.database_failure") == "failover" ? DatabaseFailure::kFailover : DatabaseFailure::kRestart;
    policy.restart_budget = Time("policy.restart_budget");
    const std::string degraded = Text("policy.degraded_action");
    policy.degraded_action = degraded == "switchover" ? DegradedAction::kSwitchover
                             : degraded == "ask"      ? DegradedAction::kAsk
                                                      : DegradedAction::kTell;
    policy.degraded_after = Time("policy.degraded_after");
    policy.degraded_latency = Time("policy.degraded_latency");
    policy.degraded_patience = Time("policy.degraded_patience");
  }

  RegionSettings BuildRegion(std::size_t region) {
    RegionSettings r;
    r.name = RegionName(Text(At(region, "name")));
    r.kind = Text(At(region, "kind")) == "witness" ? RegionKind::kWitness : RegionKind::kData;
    r.agent = Address(At(region, "agent"));
    r.state_directory = Text(At(region, "state_directory"));
    if (document_.Given(At(region, "database"))) {
      DatabaseSettings database;
      database.address = Address(At(region, "database.address"));
      database.data_directory = Text(At(region, "database.data_directory"));
      database.bin_directory = Text(At(region, "database.bin_directory"));
      database.socket_directory = Text(At(region, "database.socket_directory"));
      database.log_file = Text(At(region, "database.log_file"));
      if (database.log_file.empty()) database.log_file = r.state_directory + "/postgresql.log";
      database.gate_file = Text(At(region, "database.gate_file"));
      r.database = database;
    }
    r.fence = BuildFence(document_, region);
    return r;
  }

  void BuildStore(Settings& s) {
    StoreSettings& store = s.store;
    const std::string kind = Text("store.kind");
    store.kind = kind == "etcd" ? StoreKind::kEtcd : kind == "dynamodb" ? StoreKind::kDynamoDb : StoreKind::kEmbedded;
    store.host = RegionName(Text("store.host"));
    store.file = Text("store.file");
    if (const RegionSettings* host = s.Find(store.host); host != nullptr && store.file.empty()) {
      store.file = host->state_directory + "/store.sqlite";
    }
    std::istringstream urls(Text("store.endpoints"));
    for (std::string url; std::getline(urls, url);) store.endpoints.push_back(url);
    store.user = Text("store.user");
    store.password_file = document_.Valid("store.password_file");
    store.ca_file = Text("store.ca_file");
    store.certificate_file = Text("store.certificate_file");
    store.key_file = Text("store.key_file");
    store.table = Text("store.table");
    std::istringstream aws_regions(Text("store.aws_regions"));
    for (std::string region; std::getline(aws_regions, region);) store.aws_regions.push_back(region);
  }

  void BuildDns(DnsSettings& dns) {
    dns.name = FullyQualified(Text("dns.name"));
    dns.zone = FullyQualified(Text("dns.zone"));
    dns.server = Address("dns.server");
    dns.ttl = std::chrono::duration_cast<std::chrono::seconds>(Time("dns.ttl"));
    dns.key_name = Text("dns.key_name");
    dns.key_algorithm = Text("dns.key_algorithm");
    dns.key_file = Text("dns.key_file");
  }

  /// What every service needs whose database Lifeboat runs itself.
  void CheckNeeded() {
    const bool read = Good("store.kind") || document_.Given("store");  // defaults stand where there are sections at all
    if (Managed() || !read) return;
    if (!document_.Given("first_primary")) Complain("first_primary", "is missing", "for example 'first_primary: us-east-1'");
    if (!document_.Given("dns")) Complain("dns", "is missing", std::string(FindKey("dns")->help));
    if (document_.Given("policy.loss_limit") && !document_.Given("policy.loss_limit.bytes"))
      Complain("policy.loss_limit.bytes", "is missing", "for example 'bytes: 64MiB'");
  }

  void CheckObjectives(const Settings& s) {
    if (Good("objectives.rto") && s.objectives.rto <= 0ns)
      Complain("objectives.rto", "must be more than 0s", "no failover takes no time");
    if (Good("objectives.rpo") && s.objectives.rpo <= 0ns) {
      Complain("objectives.rpo", "must be more than 0s",
               "asynchronous replication always may lose the newest writes: state how much");
    }
  }

  void CheckLease(const Settings& s) {
    if (!Good("lease.length")) return;
    if (s.lease.length < LeaseSettings::kShortest || s.lease.length > LeaseSettings::kLongest) {
      Complain("lease.length",
               "must lie between " + FormatDuration(LeaseSettings::kShortest) + " and " + FormatDuration(LeaseSettings::kLongest) +
                   ", not '" + Text("lease.length") + "'",
               "the default, 3s, suits most networks");
      return;
    }
    // SAFETY: the margin covers the guard's worst time to kill; without it a late kill overlaps the next primary.
    if (Good("lease.margin") && s.lease.margin < kSmallestMargin) {
      Complain("lease.margin", "must be at least 20ms, not '" + Text("lease.margin") + "'", "the default is 150ms");
    }
    if (Good("lease.margin") && s.lease.margin * 3 >= s.lease.length) {
      Complain("lease.margin",
               "must be less than a third of 'lease.length' ('" + Text("lease.length") + "'), not '" + Text("lease.margin") + "'",
               "lengthen the lease or shorten the margin");
    }
  }

  void CheckPolicy(const Settings& s) {
    // SAFETY: an automatic failover without a stated limit could lose anything (promise G5).
    if (s.policy.automation == Automation::kAct && !document_.Given("policy.loss_limit")) {
      Complain("policy.loss_limit", "is missing, and 'automation: act' needs it",
               Managed() ? "state the most that an automatic failover may lose: 'loss_limit: {time: 3min}'"
                         : "state the most that an automatic failover may lose: 'loss_limit: {time: 10s, bytes: 64MiB}'");
    }
    if (!Managed() && s.policy.loss_limit && Good("lease.length") && s.policy.loss_limit->time < s.lease.length) {
      Complain("policy.loss_limit.time",
               "('" + Text("policy.loss_limit.time") + "') is shorter than 'lease.length' ('" + Text("lease.length") + "')",
               "a region that is cut off can write unseen until its lease ends, so no automatic failover could ever happen: "
               "raise the limit or shorten the lease");
    }
    const auto within = [&](const std::string& path, Duration value, Duration least, Duration most, const char* why) {
      if (Good(path) && (value < least || value > most))
        Complain(path, "must lie between " + FormatDuration(least) + " and " + FormatDuration(most) + ", not '" + Text(path) + "'",
                 why);
    };
    within("policy.degraded_after", s.policy.degraded_after, 5s, 24h,
           "a shorter trouble passes by itself, and a move is an outage");
    within("policy.degraded_latency", s.policy.degraded_latency, 10ms, 10s, "it is the time that one committed row takes");
    within("policy.degraded_patience", s.policy.degraded_patience, 1s, 10min, "it is what a graceful stop may take");
  }

  void CheckRegions(const Settings& s) {
    std::map<std::string, std::size_t> names;
    std::map<Endpoint, std::string> agents;
    std::map<Endpoint, std::string> databases;
    std::size_t data_regions = 0;
    for (std::size_t region = 0; region < s.regions.size(); ++region) {
      const RegionSettings& r = s.regions[region];
      const std::string name = At(region, "name");
      if (Good(name) && !names.emplace(r.name.text, region).second) {
        problems_.Add(document_.Line(name), "region '" + r.name.text + "' is given twice", "give each region a name of its own");
      }
      Unique(agents, r.agent, At(region, "agent"));
      if (r.database) Unique(databases, r.database->address, At(region, "database.address"));
      if (!Good(At(region, "kind"))) continue;
      data_regions += r.kind == RegionKind::kData ? 1 : 0;
      if (r.kind == RegionKind::kData && !r.database && !Managed())
        Complain(At(region, "database"), "is missing, and a data region needs it",
                 "a region without a database is 'kind: witness'");
      if (r.kind == RegionKind::kWitness && r.database)
        Complain(At(region, "database"), "stands in a witness region",
                 "a witness holds no database: remove it, or write 'kind: data'");
    }
    if (document_.Given("regions") && document_.RegionCount() > 0 && data_regions < 2) {
      Complain("regions", "must hold at least two data regions, not " + std::to_string(data_regions),
               "with one copy there is nowhere to move to");
    }
  }

  /// SAFETY: agents do not encrypt, and whoever reads their token gives orders: it leaves the machine only by a word of its own.
  void CheckReach(const Endpoint& agent, const std::string& path) {
    if (!Good(path)) return;
    const AddressReach reach = ReachOf(agent.host).value_or(AddressReach::kPublic);
    const bool allowed = Text("peers.allow_plaintext") == "true";
    if (reach == AddressReach::kLoopback || (reach == AddressReach::kPrivate && allowed)) return;
    Complain(
        path, "lies beyond loopback ('" + agent.Text() + "'), and agents do not speak TLS",
        reach == AddressReach::kPrivate
            ? "use an address within 127.0.0.0/8 and an encrypted tunnel between the regions; on a private network that nobody "
              "else can read, 'peers: {allow_plaintext: true}' allows it"
            : "use an address within 127.0.0.0/8 and an encrypted tunnel between the regions");
  }

  void Unique(std::map<Endpoint, std::string>& seen, const Endpoint& address, const std::string& path) {
    if (!Good(path)) return;
    const auto [earlier, is_new] = seen.emplace(address, path);
    if (!is_new)
      Complain(path, "is the same as " + document_.Label(earlier->second) + " ('" + address.Text() + "')",
               "give each its own address or port");
  }

  /// SAFETY: whatever lies inside a data directory is moved, rewound or replaced with it: no record of ours may.
  void CheckFolders(const Settings& s, std::size_t region) {
    const RegionSettings& r = s.regions[region];
    const std::string state = At(region, "state_directory");
    if (Good(state) && r.state_directory.size() > kLongestStateDirectory) {
      Complain(state, "is longer than " + std::to_string(kLongestStateDirectory) + " bytes",
               "a Unix socket lies in it, whose path the system limits");
    }
    if (!r.database) return;
    const std::string data = At(region, "database.data_directory");
    const std::string socket = At(region, "database.socket_directory");
    const std::string log = At(region, "database.log_file");
    if (Good(socket) && r.database->socket_directory.size() > kLongestSocketDirectory) {
      Complain(socket, "is longer than " + std::to_string(kLongestSocketDirectory) + " bytes",
               "the system limits the path of a Unix socket to 107 bytes");
    }
    if (!Good(data)) return;
    const auto outside = [&](const std::string& path, const std::string& value) {
      if (Good(path) && LiesInside(value, r.database->data_directory)) {
        Complain(path, "lies inside the data directory ('" + value + "')",
                 "a rewind or a base backup replaces that folder: choose one outside '" + r.database->data_directory + "'");
      }
    };
    outside(state, r.state_directory);
    outside(socket, r.database->socket_directory);
    outside(log, r.database->log_file);
    outside(At(region, "database.gate_file"), r.database->gate_file);
    if (s.store.host == r.name) outside("store.file", s.store.file);
  }

  /// The region that `path` names, which must exist.
  const RegionSettings* Named(const Settings& s, const std::string& path) {
    if (!Good(path)) return nullptr;
    const std::string name = Text(path);
    if (const RegionSettings* region = s.Find(RegionName(name))) return region;
    std::vector<std::string> known;
    for (std::size_t region = 0; region < s.regions.size(); ++region) {
      if (!Good(At(region, "name"))) return nullptr;  // the name that is meant may be the one that was refused
      known.push_back(s.regions[region].name.text);
    }
    if (known.empty()) return nullptr;
    const auto near = NearestTo(name, known);
    std::string hint = near ? "did you mean '" + *near + "'?" : "known:";
    for (const std::string& region : known) hint += near ? "" : " '" + region + "'";
    Complain(path, "names the unknown region '" + name + "'", hint);
    return nullptr;
  }

  void CheckPlaces(const Settings& s) {
    const RegionSettings* first = Named(s, "first_primary");
    if (first != nullptr && first->kind == RegionKind::kWitness) {
      Complain("first_primary", "names the witness '" + first->name.text + "'", "name a region of 'kind: data'");
    }
    const RegionSettings* host = s.store.kind == StoreKind::kEmbedded ? Named(s, "store.host") : nullptr;
    // SAFETY: on a data region one loss takes the store and a promise together, and a healthy primary fences itself.
    if (host != nullptr && host->kind != RegionKind::kWitness && s.policy.automation == Automation::kAct) {
      Complain("store.host", "names the data region '" + host->name.text + "', and 'automation: act' needs a witness there",
               "add a region of 'kind: witness' and name it, or use 'automation: observe'");
    }
  }

  void CheckStore(const Settings& s) {
    if (!Good("store.kind") || !document_.Given("store")) return;
    const bool etcd = s.store.kind == StoreKind::kEtcd;
    const bool dynamodb = s.store.kind == StoreKind::kDynamoDb;
    for (const char* key : {"store.host", "store.file"}) {
      if ((etcd || dynamodb) && document_.Given(key))
        Complain(key, "is a key of 'kind: embedded'", "remove it, or change 'store.kind'");
    }
    for (const char* key :
         {"store.endpoints", "store.user", "store.password_file", "store.ca_file", "store.certificate_file", "store.key_file"}) {
      if (!etcd && document_.Given(key)) Complain(key, "is a key of 'kind: etcd'", "remove it, or write 'kind: etcd'");
    }
    for (const char* key : {"store.table", "store.aws_regions"}) {
      if (!dynamodb && document_.Given(key)) Complain(key, "is a key of 'kind: dynamodb'", "remove it, or write 'kind: dynamodb'");
      if (dynamodb && !document_.Given(key)) {
        Complain(key, "is missing, and 'kind: dynamodb' needs it", "name the table, and the AWS regions that hold a replica of it");
      }
    }
    if (!etcd && !dynamodb && !document_.Given("store.host")) {
      Complain("store.host", "is missing", "for example 'host: eu-west-1'");
    }
    if (etcd) CheckEtcd(s.store);
    if (dynamodb) CheckDynamoDb(s.store);
  }

  void CheckDynamoDb(const StoreSettings& store) {
    const auto plain = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.'; };
    const bool named =
        store.table.size() >= 3 && store.table.size() <= 255 && std::all_of(store.table.begin(), store.table.end(), plain);
    if (Good("store.table") && document_.Given("store.table") && !named) {
      Complain("store.table", "is no name of a table", "use 3 to 255 letters, digits, '_', '-' and '.'");
    }
    std::set<std::string> seen;
    for (const std::string& region : store.aws_regions) {
      if (!seen.insert(region).second) Complain("store.aws_regions", "names '" + region + "' twice", "name each region once");
    }
  }

  void CheckEtcd(const StoreSettings& store) {
    if (!document_.Given("store.endpoints")) {
      Complain("store.endpoints", "is missing, and 'kind: etcd' needs it", "list the client URL of every member of the cluster");
    }
    std::set<std::string> seen;
    bool any_tls = false;
    bool any_plain = false;
    for (const std::string& url : store.endpoints) {
      if (!seen.insert(url).second) Complain("store.endpoints", "names '" + url + "' twice", "list each member once");
      const bool tls = url.starts_with("https://");
      (tls ? any_tls : any_plain) = true;
      // SAFETY: whoever reads or changes what travels could take the lease, or the login.
      const bool loopback = url.starts_with("http://127.") || url.starts_with("http://[::1]");
      if (!tls && !loopback) {
        Complain("store.endpoints", "reaches '" + url + "' without encryption",
                 "use 'https://'; 'http://' is for loopback addresses alone");
      }
    }
    if (any_tls && any_plain)
      Complain("store.endpoints", "mixes 'http://' and 'https://'", "the members of one cluster are reached alike");
    const auto together = [this](const char* one, const char* other) {
      if (document_.Given(one) && !document_.Given(other)) {
        Complain(other, "is missing, and '" + std::string(one) + "' needs it", "give both, or neither");
      }
    };
    together("store.user", "store.password_file");
    together("store.password_file", "store.user");
    together("store.certificate_file", "store.key_file");
    together("store.key_file", "store.certificate_file");
    for (const char* key : {"store.ca_file", "store.certificate_file"}) {
      if (document_.Given(key) && any_plain && !any_tls) Complain(key, "is given, and no endpoint uses TLS", "write 'https://'");
    }
  }

  void CheckDns(const Settings& s) {
    if (Good("dns.name") && Good("dns.zone") && s.dns.name != s.dns.zone && !s.dns.name.ends_with("." + s.dns.zone)) {
      Complain("dns.name", "('" + s.dns.name + "') does not end in the zone '" + s.dns.zone + "'",
               "only names of the zone can be updated in it");
    }
    if (Good("dns.ttl") && (s.dns.ttl < 1s || s.dns.ttl > 300s)) {
      Complain("dns.ttl", "must lie between 1s and 300s, not '" + Text("dns.ttl") + "'",
               "clients that keep an answer for so long are out for so long");
    }
  }

  const Document& document_;
  Problems& problems_;
};

}  // namespace

const RegionSettings* Settings::Find(const RegionName& region) const {
  for (const RegionSettings& r : regions) {
    if (r.name == region) return &r;
  }
  return nullptr;
}

const BackupSourceSettings* Settings::FindBackups(const std::string& source) const {
  for (const BackupSourceSettings& each : backups) {
    if (each.name == source) return &each;
  }
  return nullptr;
}

Result<Settings> ParseSettings(std::string_view text, const std::filesystem::path& file, const Environment& environment) {
  Problems problems(file.string());
  const Document document = Document::Read(text, environment, problems);
  Builder builder(document, problems);
  Settings settings = builder.Build();
  builder.Check(settings);
  if (!problems.empty()) return problems.ToError();
  settings.file = file;
  return settings;
}

Result<Settings> LoadSettings(const std::filesystem::path& file) {
  static constexpr const char* kHint = "give the file with '--config', or start from 'examples/lifeboat.yaml'";
  std::error_code problem;
  if (std::filesystem::is_directory(file, problem))
    return Fail("'" + file.string() + "' is a folder, not a configuration file", kHint);
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return Fail("cannot read '" + file.string() + "': " + std::strerror(errno), kHint);
  std::ostringstream text;
  text << stream.rdbuf();
  if (stream.bad()) return Fail("cannot read '" + file.string() + "': " + std::strerror(errno), kHint);
  return ParseSettings(text.str(), file, [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return std::string(value);
  });
}

}  // namespace lifeboat
