#include "config/load_aws.h"

#include <algorithm>
#include <set>
#include <sstream>

#include "config/text.h"

namespace lifeboat {

namespace {

constexpr Duration kLeastLossLimit = 1min;  // a datum of CloudWatch is of a whole minute
constexpr Duration kLeastBySql = 10s;       // a heartbeat is of a second; a silent region is told of by its API after 5 s
constexpr Duration kLeastSilence = 10s;
constexpr std::size_t kControlEndpoints = 5;
constexpr Duration kLeastBackupAge = 10min;
constexpr const char* kReplicaKeys[] = {
    "aws.database.backup_days",     "aws.database.kms_keys",       "aws.database.subnet_groups", "aws.database.parameter_groups",
    "aws.database.security_groups", "aws.database.backup_regions", "aws.database.backup_age"};

using Texts = std::map<RegionName, std::string>;

/// "name:5432", "10.0.1.5:5432", "[2001:db8::5]:5432".
std::optional<SqlEndpoint> ParseSqlEndpoint(const std::string& text) {
  const auto colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) return std::nullopt;
  SqlEndpoint endpoint;
  endpoint.host = text.substr(0, colon);
  const auto port = ParseNumber(text.substr(colon + 1));
  if (!port || *port < 1 || *port > 65535) return std::nullopt;
  endpoint.port = static_cast<std::uint16_t>(*port);
  if (endpoint.host.front() == '[') {
    if (!ParseEndpoint(text)) return std::nullopt;
    endpoint.host = endpoint.host.substr(1, endpoint.host.size() - 2);
    return endpoint;
  }
  const bool name =
      endpoint.host.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") == std::string::npos;
  if (!name || endpoint.host.size() > 253 || endpoint.host.front() == '.' || endpoint.host.front() == '-') return std::nullopt;
  return endpoint;
}

std::string Item(const char* list, std::size_t item) { return "aws." + std::string(list) + "[" + std::to_string(item) + "]."; }

/// Reads the values of the section.
class AwsBuilder {
 public:
  explicit AwsBuilder(const Document& document) : document_(document) {}

  AwsSettings Build() const {
    AwsSettings aws;
    if (document_.Given("aws.database")) aws.database = Database();
    if (document_.Given("aws.sql")) aws.sql = Sql();
    if (document_.Given("aws.traffic")) aws.traffic = Traffic();
    for (std::size_t item = 0; item < document_.Count("aws.compute"); ++item) aws.compute.push_back(Compute(Item("compute", item)));
    for (std::size_t item = 0; item < document_.Count("aws.objects"); ++item) aws.objects.push_back(Objects(Item("objects", item)));
    for (std::size_t item = 0; item < document_.Count("aws.notify"); ++item) {
      const std::string at = Item("notify", item);
      aws.notify.push_back({Text(at + "kind") == "event-bridge" ? AwsNoticeKind::kEventBridge : AwsNoticeKind::kSns,
                            RegionName(Text(at + "region")), Text(at + "target")});
    }
    for (std::size_t item = 0; item < document_.Count("aws.alarms"); ++item) {
      const std::string at = Item("alarms", item);
      aws.alarms.push_back({RegionName(Text(at + "region")), RegionName(Text(at + "about")), Text(at + "alarm")});
    }
    for (std::size_t item = 0; item < document_.Count("aws.hooks"); ++item) {
      const std::string at = Item("hooks", item);
      aws.hooks.push_back(
          {Text(at + "name"), Text(at + "when"), Map(at + "functions"), Text(at + "required") == "true", Time(at + "timeout")});
    }
    for (std::size_t item = 0; item < document_.Count("aws.secrets"); ++item)
      aws.secrets.push_back({Text(Item("secrets", item) + "name")});
    return aws;
  }

 private:
  [[nodiscard]] std::string Text(const std::string& path) const { return document_.Valid(path).value_or(""); }
  [[nodiscard]] Duration Time(const std::string& path) const { return ParseDuration(Text(path)).value_or(Duration{0}); }
  [[nodiscard]] std::uint32_t Number(const std::string& path) const { return ParseNumber(Text(path)).value_or(0); }
  [[nodiscard]] Texts Map(const std::string& path) const {
    Texts map;
    std::istringstream lines(Text(path));
    for (std::string line; std::getline(lines, line);)
      map[RegionName(line.substr(0, line.find('\t')))] = line.substr(line.find('\t') + 1);
    return map;
  }

  AwsDatabaseSettings Database() const {
    AwsDatabaseSettings s;
    s.kind = Text("aws.database.kind") == "rds-replica" ? AwsDatabaseKind::kRdsReplica : AwsDatabaseKind::kAuroraGlobal;
    s.global_cluster = Text("aws.database.global_cluster");
    s.members = Map("aws.database.members");
    s.detach_when_needed = Text("aws.database.detach_when_needed") == "true";
    s.backup_days = Number("aws.database.backup_days");
    s.kms_keys = Map("aws.database.kms_keys");
    s.subnet_groups = Map("aws.database.subnet_groups");
    s.parameter_groups = Map("aws.database.parameter_groups");
    s.security_groups = Map("aws.database.security_groups");
    std::istringstream regions(Text("aws.database.backup_regions"));
    for (std::string region; std::getline(regions, region);) s.backup_regions.push_back(region);
    s.backup_age = Time("aws.database.backup_age");
    return s;
  }

  [[nodiscard]] std::map<RegionName, SqlEndpoint> Endpoints(const std::string& path) const {
    std::map<RegionName, SqlEndpoint> all;
    for (const auto& [region, text] : Map(path)) {
      if (const auto endpoint = ParseSqlEndpoint(text)) all[region] = *endpoint;
    }
    return all;
  }

  AwsSqlSettings Sql() const {
    AwsSqlSettings s;
    s.user = Text("aws.sql.user");
    s.database = Text("aws.sql.database");
    s.password_file = document_.Valid("aws.sql.password_file");
    const std::string mode = Text("aws.sql.sslmode");
    s.tls = mode == "verify-ca" ? SqlTls::kVerifyCa
            : mode == "require" ? SqlTls::kRequire
            : mode == "disable" ? SqlTls::kDisable
                                : SqlTls::kVerifyFull;
    s.root_cert = Text("aws.sql.root_cert");
    s.writers = Endpoints("aws.sql.writers");
    s.readers = Endpoints("aws.sql.readers");
    for (const auto& [region, endpoint] : s.writers) s.readers.try_emplace(region, endpoint);
    if (document_.Given("aws.sql.port")) s.port = static_cast<std::uint16_t>(Number("aws.sql.port"));
    s.global_endpoint = ParseSqlEndpoint(Text("aws.sql.global_endpoint"));
    return s;
  }

  AwsTrafficSettings Traffic() const {
    AwsTrafficSettings s;
    const std::string kind = Text("aws.traffic.kind");
    s.kind = kind == "records"           ? AwsTrafficKind::kRecords
             : kind == "routing-control" ? AwsTrafficKind::kRoutingControl
                                         : AwsTrafficKind::kStandbyTakesOver;
    s.zone = Text("aws.traffic.zone");
    s.name = FullyQualified(Text("aws.traffic.name"));
    s.type = Text("aws.traffic.type");
    s.targets = Map("aws.traffic.targets");
    std::istringstream servers(Text("aws.traffic.name_servers"));
    for (std::string server; std::getline(servers, server);) {
      if (const auto endpoint = ParseEndpoint(server)) s.name_servers.push_back(*endpoint);
    }
    s.markers = Map("aws.traffic.markers");
    for (const auto& [region, url] : Map("aws.traffic.control_endpoints")) s.control_endpoints.push_back(region.text + "=" + url);
    s.controls = Map("aws.traffic.controls");
    return s;
  }

  AwsComputeSettings Compute(const std::string& at) const {
    AwsComputeSettings s;
    s.name = Text(at + "name");
    const std::string kind = Text(at + "kind");
    s.kind = kind == "ecs" ? AwsComputeKind::kEcs : kind == "eks" ? AwsComputeKind::kEks : AwsComputeKind::kAutoScaling;
    s.groups = Map(at + "groups");
    s.target_groups = Map(at + "target_groups");
    s.share = Number(at + "share");
    s.timeout = Time(at + "timeout");
    return s;
  }

  AwsObjectsSettings Objects(const std::string& at) const {
    return {Text(at + "name"), Map(at + "buckets"), Text(at + "prefix"), Text(at + "access_point"), Time(at + "canary_every")};
  }

  const Document& document_;
};

/// Rules across the keys of the section, and with the rest of the file.
class AwsRules {
 public:
  AwsRules(const Document& document, const Settings& settings, Problems& problems)
      : document_(document), settings_(settings), aws_(*settings.aws), problems_(problems) {}

  void Check() {
    Others();
    Policy();
    if (aws_.database) Database(*aws_.database);
    if (aws_.sql) Sql(*aws_.sql);
    if (aws_.traffic) Traffic(*aws_.traffic);
    Compute();
    Objects();
    Notices();
    Alarms();
    Hooks();
    Secrets();
  }

 private:
  [[nodiscard]] bool Good(const std::string& path) const { return document_.Valid(path).has_value(); }
  [[nodiscard]] bool Given(const std::string& path) const { return document_.Given(path); }
  void Complain(const std::string& path, const std::string& what, std::string hint = {}) {
    problems_.Add(document_.Line(path), document_.Label(path) + " " + what, std::move(hint));
  }

  [[nodiscard]] bool IsData(const RegionName& region) const {
    const RegionSettings* known = settings_.Find(region);
    return known != nullptr && known->kind == RegionKind::kData;
  }
  [[nodiscard]] std::string DataRegions() const {
    std::string all;
    for (const RegionSettings& region : settings_.regions) {
      if (region.kind == RegionKind::kData) all += (all.empty() ? "'" : ", '") + region.name.text + "'";
    }
    return all;
  }

  /// A text for each data region, or for some of them.
  void ByRegion(const std::string& path, const Texts& map, bool every) {
    if (!Good(path)) return;
    for (const auto& [region, text] : map) {
      if (!IsData(region))
        Complain(path, "names '" + region.text + "', which is no data region", "the data regions are " + DataRegions());
    }
    for (const RegionSettings& region : settings_.regions) {
      if (every && region.kind == RegionKind::kData && !region.name.empty() && !map.contains(region.name))
        Complain(path, "lacks the data region '" + region.name.text + "'", "any of them may have to take over");
    }
  }

  /// What belongs to databases that Lifeboat runs itself says nothing here, and must not seem to.
  void Others() {
    for (const char* key : {"lease", "login", "dns", "first_primary", "policy.loss_limit.bytes", "policy.database_failure",
                            "policy.restart_budget"}) {
      if (Given(key)) Complain(key, "says nothing where AWS runs the database ('aws.database')", "remove it");
    }
    for (std::size_t region = 0; region < settings_.regions.size(); ++region) {
      const std::string path = "regions[" + std::to_string(region) + "].database";
      if (Given(path) && settings_.regions[region].kind == RegionKind::kData)
        Complain(path, "stands beside 'aws.database'", "AWS runs the database: remove it, or remove 'aws'");
    }
  }

  void Policy() {
    // SAFETY: less could never be proven, and would be taken for a limit that holds.
    const Duration least = aws_.sql ? kLeastBySql : kLeastLossLimit;
    if (settings_.policy.loss_limit && Good("policy.loss_limit.time") && settings_.policy.loss_limit->time < least) {
      Complain("policy.loss_limit.time", aws_.sql ? "is shorter than 10s" : "is shorter than 1min",
               aws_.sql
                   ? "a silent region is told of by its API after some seconds, and what it may have written until then counts: "
                     "20s suits most"
                   : "AWS tells the lag once a minute, so that no automatic failover could ever happen: 3min suits most; heartbeat "
                     "rows tell it every second ('aws.sql')");
    }
    // SAFETY: no lease fences this writer: a short silence is no loss, and a failover that was not needed loses writes.
    if (settings_.policy.automation == Automation::kAct && Good("policy.failover_after") &&
        settings_.policy.failover_after < kLeastSilence) {
      Complain("policy.failover_after", "must be at least 10s where AWS runs the database and 'automation' is 'act'",
               "nothing fences the old writer but AWS, as best it can: 'failover_after: 30s' suits most");
    }
  }

  void Database(const AwsDatabaseSettings& s) {
    const bool aurora = s.kind == AwsDatabaseKind::kAuroraGlobal;
    if (aurora && !Given("aws.database.global_cluster")) {
      Complain("aws.database.global_cluster", "is missing, and 'kind: aurora-global' needs it", "name the global database");
    }
    for (const char* key : {"aws.database.global_cluster", "aws.database.detach_when_needed"}) {
      if (!aurora && Given(key)) Complain(key, "is a key of 'kind: aurora-global'", "remove it, or change 'kind'");
    }
    for (const char* key : kReplicaKeys) {
      if (aurora && Given(key)) Complain(key, "is a key of 'kind: rds-replica'", "remove it, or change 'kind'");
    }
    if (Good("aws.database.backup_days") && (s.backup_days < 1 || s.backup_days > 35)) {
      Complain("aws.database.backup_days", "must lie between 1 and 35", "a primary without backups is refused");
    }
    for (const auto& [path, map] :
         {std::pair{"kms_keys", &s.kms_keys}, std::pair{"subnet_groups", &s.subnet_groups},
          std::pair{"parameter_groups", &s.parameter_groups}, std::pair{"security_groups", &s.security_groups}}) {
      ByRegion("aws.database." + std::string(path), *map, false);
    }
    if (Good("aws.database.backup_age") && s.backup_age < kLeastBackupAge)
      Complain("aws.database.backup_age", "must be at least 10min", "RDS copies logs of transactions every few minutes");
    if (Given("aws.database.backup_age") && !Given("aws.database.backup_regions"))
      Complain("aws.database.backup_age", "says nothing without 'backup_regions'",
               "name the regions that hold a copy of the automated backups");
    if (!aurora && !aws_.traffic) {
      Complain("aws.traffic", "is missing, and 'kind: rds-replica' needs it",
               "a promoted replica keeps an endpoint of its own: clients must be sent to it");
    }
    ByRegion("aws.database.members", s.members, true);
    for (const auto& [region, id] : s.members) {
      if (aurora && IsData(region)) ClusterArn(region, id);
      if (!aurora && id.find(':') != std::string::npos)
        Complain("aws.database.members", "names '" + id + "', which is no identifier of an instance",
                 "give the identifier, not the ARN");
    }
  }

  void ClusterArn(const RegionName& region, const std::string& arn) {
    std::vector<std::string> parts;
    std::istringstream text(arn);
    for (std::string part; std::getline(text, part, ':');) parts.push_back(part);
    if (parts.size() != 7 || parts[0] != "arn" || parts[2] != "rds" || parts[5] != "cluster" || parts[6].empty()) {
      Complain("aws.database.members", "names '" + arn + "', which is no ARN of a cluster",
               "for example arn:aws:rds:us-east-1:123456789012:cluster:orders-1");
    } else if (parts[3] != region.text) {
      // SAFETY: requests go to the region of this name: a failover that is asked of the wrong region is refused when it is needed.
      Complain("aws.database.members", "names a cluster of '" + parts[3] + "' for region '" + region.text + "'",
               "call the region as AWS does, and give it its own cluster");
    }
  }

  void SqlEndpoints(const std::string& path, const std::map<RegionName, SqlEndpoint>& known, bool every) {
    if (!Given(path) && !every) return;
    Texts texts;
    std::istringstream lines(document_.Valid(path).value_or(""));
    for (std::string line; std::getline(lines, line);)
      texts[RegionName(line.substr(0, line.find('\t')))] = line.substr(line.find('\t') + 1);
    ByRegion(path, texts, true);
    for (const auto& [region, text] : texts) {
      if (!ParseSqlEndpoint(text)) {
        Complain(path, "names '" + text + "', which is no endpoint", "write 'host:port'");
      } else if (aws_.sql->tls == SqlTls::kDisable && !IsLoopback(known.at(region).host)) {
        // SAFETY: whoever reads the password could write, and whoever changes what travels could hide a loss.
        Complain("aws.sql.sslmode", "is 'disable', and '" + text + "' is no loopback address", "encrypt: 'sslmode: verify-full'");
      }
    }
  }
  [[nodiscard]] static bool IsLoopback(const std::string& host) {
    return host.starts_with("127.") || host == "::1" || host == "localhost";
  }

  void Sql(const AwsSqlSettings& s) {
    const bool aurora = aws_.database && aws_.database->kind == AwsDatabaseKind::kAuroraGlobal;
    SqlEndpoints("aws.sql.writers", s.writers, true);
    SqlEndpoints("aws.sql.readers", s.readers, false);
    if (aurora && !Given("aws.sql.readers")) {
      Complain("aws.sql.readers", "is missing, and 'kind: aurora-global' needs it",
               "the cluster endpoint of a secondary does not answer: name each cluster's reader endpoint");
    }
    const bool verifies = s.tls == SqlTls::kVerifyFull || s.tls == SqlTls::kVerifyCa;
    if (verifies && !Given("aws.sql.root_cert")) {
      Complain("aws.sql.root_cert", "is missing, and 'sslmode' verifies",
               "name AWS's bundle of certificates; without verifying: 'sslmode: require'");
    }
    if (!verifies && Given("aws.sql.root_cert"))
      Complain("aws.sql.root_cert", "says nothing where 'sslmode' does not verify", "remove it, or verify");
    if (Given("aws.sql.port") && Good("aws.sql.port")) {
      const auto port = ParseNumber(document_.Valid("aws.sql.port").value_or(""));
      if (!port || *port < 1 || *port > 65535) Complain("aws.sql.port", "must lie between 1 and 65535");
      if (!aws_.traffic)
        Complain("aws.sql.port", "is the public name's, and there is no 'aws.traffic'", "write it into 'global_endpoint'");
    }
    if (!Given("aws.sql.global_endpoint") || !Good("aws.sql.global_endpoint")) return;
    const std::string global = document_.Valid("aws.sql.global_endpoint").value_or("");
    if (aws_.traffic)
      Complain("aws.sql.global_endpoint", "stands beside 'aws.traffic'",
               "the canary writes through the name that clients follow: remove it");
    if (!ParseSqlEndpoint(global))
      Complain("aws.sql.global_endpoint", "names '" + global + "', which is no endpoint", "write 'host:port'");
    if (s.global_endpoint && s.tls == SqlTls::kDisable && !IsLoopback(s.global_endpoint->host))
      Complain("aws.sql.sslmode", "is 'disable', and '" + global + "' is no loopback address", "encrypt: 'sslmode: verify-full'");
  }

  void Traffic(const AwsTrafficSettings& s) {
    ByRegion("aws.traffic.targets", s.targets, true);
    std::set<std::string> targets;
    for (const auto& [region, target] : s.targets) {
      if (!targets.insert(target).second) {
        Complain("aws.traffic.targets", "sends two regions to '" + target + "'", "where clients are would not be known");
      }
    }
    OfKind("aws.traffic.markers", s.kind == AwsTrafficKind::kStandbyTakesOver, "standby-takes-over");
    OfKind("aws.traffic.controls", s.kind == AwsTrafficKind::kRoutingControl, "routing-control");
    OfKind("aws.traffic.control_endpoints", s.kind == AwsTrafficKind::kRoutingControl, "routing-control");
    ByRegion("aws.traffic.markers", s.markers, s.kind == AwsTrafficKind::kStandbyTakesOver);
    ByRegion("aws.traffic.controls", s.controls, s.kind == AwsTrafficKind::kRoutingControl);
    for (const auto& [region, marker] : s.markers) {
      const auto slash = marker.find('/', 5);
      if (!marker.starts_with("s3://") || slash == std::string::npos || slash == 5 || slash + 1 == marker.size())
        Complain("aws.traffic.markers", "names '" + marker + "', which is no object", "write 's3://bucket/key'");
    }
    if (Good("aws.traffic.control_endpoints") && s.control_endpoints.size() != kControlEndpoints) {
      Complain("aws.traffic.control_endpoints", "names " + std::to_string(s.control_endpoints.size()) + " endpoints, not five",
               "all five are tried in turn: two regions may be lost at once");
    }
    for (const std::string& endpoint : s.control_endpoints) {
      const std::string url = endpoint.substr(endpoint.find('=') + 1);
      if (!url.starts_with("https://") && !url.starts_with("http://127."))
        Complain("aws.traffic.control_endpoints", "names '" + url + "', which is no 'https://' URL");
    }
    std::istringstream servers(document_.Valid("aws.traffic.name_servers").value_or(""));
    for (std::string server; std::getline(servers, server);) {
      if (!ParseEndpoint(server)) Complain("aws.traffic.name_servers", "names '" + server + "'", HowToWrite(KeyType::kEndpoint));
    }
  }

  void OfKind(const std::string& path, bool wanted, const std::string& kind) {
    if (!wanted && Given(path)) Complain(path, "is a key of 'kind: " + kind + "'", "remove it, or change 'kind'");
    if (wanted && !Given(path)) Complain(path, "is missing, and 'kind: " + kind + "' needs it");
  }

  /// Names within a list are unique.
  void Named(std::set<std::string>& seen, const std::string& path, const std::string& name) {
    if (Good(path) && !seen.insert(name).second) Complain(path, "is given twice", "give each a name of its own");
  }

  void Compute() {
    std::set<std::string> names;
    for (std::size_t item = 0; item < aws_.compute.size(); ++item) {
      const AwsComputeSettings& s = aws_.compute[item];
      const std::string at = Item("compute", item);
      Named(names, at + "name", s.name);
      ByRegion(at + "groups", s.groups, true);
      ByRegion(at + "target_groups", s.target_groups, false);
      for (const auto& [region, group] : s.groups) {
        const auto slash = group.find('/');
        const bool two = slash != std::string::npos && slash > 0 && slash + 1 < group.size();
        if (s.kind != AwsComputeKind::kAutoScaling && !two)
          Complain(at + "groups", "names '" + group + "'", "write 'cluster/service' or 'cluster/nodegroup'");
      }
      if (Good(at + "share") && (s.share < 1 || s.share > 1000)) Complain(at + "share", "must lie between 1 and 1000");
      if (Good(at + "timeout") && s.timeout < 10s)
        Complain(at + "timeout", "must be at least 10s", "machines take minutes to start");
    }
  }

  void Objects() {
    std::set<std::string> names;
    for (std::size_t item = 0; item < aws_.objects.size(); ++item) {
      const AwsObjectsSettings& s = aws_.objects[item];
      const std::string at = Item("objects", item);
      Named(names, at + "name", s.name);
      ByRegion(at + "buckets", s.buckets, true);
      if (!s.access_point.empty() &&
          (!s.access_point.starts_with("arn:") || s.access_point.find(":accesspoint/") == std::string::npos))
        Complain(at + "access_point", "is no ARN of a multi-region access point");
      if (Given(at + "canary_every") && Good(at + "canary_every") && s.canary_every < 10s)
        Complain(at + "canary_every", "must be at least 10s", "each is a request that costs money");
    }
  }

  void Notices() {
    for (std::size_t item = 0; item < aws_.notify.size(); ++item) {
      const std::string at = Item("notify", item);
      if (aws_.notify[item].kind == AwsNoticeKind::kSns && Good(at + "target") && !aws_.notify[item].target.starts_with("arn:"))
        Complain(at + "target", "is no ARN of a topic", "for example arn:aws:sns:eu-west-1:123456789012:orders");
    }
  }

  void Alarms() {
    for (std::size_t item = 0; item < aws_.alarms.size(); ++item) {
      const std::string at = Item("alarms", item);
      if (Good(at + "region") && settings_.Find(aws_.alarms[item].region) == nullptr)
        Complain(at + "region", "names the unknown region '" + aws_.alarms[item].region.text + "'");
      if (Good(at + "about") && !IsData(aws_.alarms[item].about))
        Complain(at + "about", "names '" + aws_.alarms[item].about.text + "', which is no data region",
                 "the data regions are " + DataRegions());
    }
  }

  void Hooks() {
    std::set<std::string> names;
    for (std::size_t item = 0; item < aws_.hooks.size(); ++item) {
      const std::string at = Item("hooks", item);
      Named(names, at + "name", aws_.hooks[item].name);
      ByRegion(at + "functions", aws_.hooks[item].functions, true);
      const Duration timeout = aws_.hooks[item].timeout;
      if (Good(at + "timeout") && (timeout < 1s || timeout > 15min))
        Complain(at + "timeout", "must lie between 1s and 15min", "no function runs longer than 15min");
    }
  }

  void Secrets() {
    std::set<std::string> names;
    for (std::size_t item = 0; item < aws_.secrets.size(); ++item) {
      const std::string path = Item("secrets", item) + "name";
      Named(names, path, aws_.secrets[item].name);
      if (Good(path) && aws_.secrets[item].name.starts_with("arn:"))
        Complain(path, "is an ARN, which names one region's copy", "write the name: it is the same in every region");
    }
  }

  const Document& document_;
  const Settings& settings_;
  const AwsSettings& aws_;
  Problems& problems_;
};

}  // namespace

std::optional<AwsSettings> BuildAws(const Document& document) {
  if (!document.Given("aws")) return std::nullopt;
  return AwsBuilder(document).Build();
}

void CheckAws(const Document& document, const Settings& settings, Problems& problems) {
  if (settings.aws) AwsRules(document, settings, problems).Check();
}

}  // namespace lifeboat
