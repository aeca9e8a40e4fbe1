#include "adapters/aws/route53.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "adapters/aws/http_date.h"
#include "adapters/aws/xml.h"

namespace lifeboat::aws::route53 {

namespace {

constexpr const char* kRoot = "/2013-04-01/";
constexpr const char* kNamespace = "https://route53.amazonaws.com/doc/2013-04-01/";
constexpr int kMostPages = 1000;
constexpr std::array<std::string_view, 10> kKnownMembers{"Name",   "Type", "SetIdentifier",   "Failover",      "Weight",
                                                         "Region", "TTL",  "ResourceRecords", "HealthCheckId", "AliasTarget"};

std::optional<std::uint64_t> NumberIn(const XmlNode& node) {
  std::uint64_t value = 0;
  const auto [end, problem] = std::from_chars(node.text.data(), node.text.data() + node.text.size(), value);
  if (problem != std::errc() || node.text.empty() || end != node.text.data() + node.text.size()) return std::nullopt;
  return value;
}

/// "/hostedzone/Z123" → "Z123".
std::string BareId(const std::string& id) {
  const std::size_t slash = id.rfind('/');
  return slash == std::string::npos ? id : id.substr(slash + 1);
}

Call CallOf(const std::string& operation, std::string region, const std::string& method, const std::string& path, Effect effect) {
  Call call;
  call.service = "route53";
  call.region = std::move(region);
  call.operation = operation;
  call.method = method;
  call.path = kRoot + path;
  call.effect = effect;
  return call;
}

RecordSet RecordSetFrom(const XmlNode& node) {
  RecordSet record;
  record.name = node["Name"].text;
  record.type = node["Type"].text;
  record.set_id = node["SetIdentifier"].text;
  record.failover = node["Failover"].text;
  record.weight = NumberIn(node["Weight"]);
  record.region = node["Region"].text;
  record.ttl = NumberIn(node["TTL"]);
  record.health_check = node["HealthCheckId"].text;
  for (const XmlNode& value : node["ResourceRecords"].children) record.values.push_back(value["Value"].text);
  const XmlNode& alias = node["AliasTarget"];
  record.alias_zone = alias["HostedZoneId"].text;
  record.alias_name = alias["DNSName"].text;
  record.alias_evaluates_health = alias["EvaluateTargetHealth"].text == "true";
  for (const XmlNode& member : node.children) {
    if (std::find(kKnownMembers.begin(), kKnownMembers.end(), member.name) == kKnownMembers.end()) record.unknown = member.name;
  }
  return record;
}

HealthCheck HealthCheckFrom(const XmlNode& node) {
  const XmlNode& config = node["HealthCheckConfig"];
  HealthCheck check;
  check.id = node["Id"].text;
  check.type = config["Type"].text;
  check.host = config["FullyQualifiedDomainName"].text;
  check.address = config["IPAddress"].text;
  check.port = NumberIn(config["Port"]).value_or(0);
  check.path = config["ResourcePath"].text;
  check.search = config["SearchString"].text;
  check.interval_s = NumberIn(config["RequestInterval"]).value_or(30);
  check.threshold = NumberIn(config["FailureThreshold"]).value_or(3);
  check.inverted = config["Inverted"].text == "true";
  check.disabled = config["Disabled"].text == "true";
  check.routing_control = config["RoutingControlArn"].text;
  return check;
}

ChangeInfo ChangeInfoFrom(const XmlNode& node) { return ChangeInfo{BareId(node["Id"].text), node["Status"].text == "INSYNC"}; }

Task<Result<XmlNode>> Ask(Client& client, Call call, Duration timeout) {
  const std::string operation = call.operation;
  const Effect effect = call.effect;
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  Result<XmlNode> root = ParseXml(reply->body, operation);
  if (root.ok() && root->name != operation + "Response") root = Fail("'" + operation + "' was answered by '" + root->name + "'");
  if (!root && effect != Effect::kReads) co_return UnknownOutcome(root.error().message);
  co_return root;
}

/// The elements of `list` through all pages of a list that goes on by markers.
Task<Result<std::vector<XmlNode>>> Collect(Client& client, std::string region, std::string operation, std::string path,
                                           std::string list, Duration timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  std::vector<XmlNode> found;
  std::string marker;
  for (int page = 0; page < kMostPages; ++page) {
    Call call = CallOf(operation, region, "GET", path, Effect::kReads);
    if (!marker.empty()) call.query.emplace_back("marker", marker);
    const Duration left = std::max<Duration>(end - std::chrono::steady_clock::now(), 1ms);
    Result<XmlNode> root = co_await Ask(client, std::move(call), left);
    if (!root) co_return root.error();
    const XmlNode& elements = (*root)[list];
    found.insert(found.end(), elements.children.begin(), elements.children.end());
    marker = (*root)["NextMarker"].text;
    if ((*root)["IsTruncated"].text != "true" || marker.empty()) co_return found;
  }
  co_return Fail("'" + operation + "' has more pages than can be");
}

/// The members in the order of the schema, which Route 53 insists on.
std::string RecordSetXml(const RecordSet& record) {
  std::string xml = XmlElement("Name", record.name) + XmlElement("Type", record.type);
  if (!record.set_id.empty()) xml += XmlElement("SetIdentifier", record.set_id);
  if (record.weight) xml += XmlElement("Weight", std::to_string(*record.weight));
  if (!record.region.empty()) xml += XmlElement("Region", record.region);
  if (!record.failover.empty()) xml += XmlElement("Failover", record.failover);
  if (record.ttl) xml += XmlElement("TTL", std::to_string(*record.ttl));
  if (!record.values.empty()) {
    xml += "<ResourceRecords>";
    for (const std::string& value : record.values) xml += "<ResourceRecord>" + XmlElement("Value", value) + "</ResourceRecord>";
    xml += "</ResourceRecords>";
  }
  if (!record.alias_name.empty()) {
    xml += "<AliasTarget>" + XmlElement("HostedZoneId", record.alias_zone) + XmlElement("DNSName", record.alias_name) +
           XmlElement("EvaluateTargetHealth", record.alias_evaluates_health ? "true" : "false") + "</AliasTarget>";
  }
  if (!record.health_check.empty()) xml += XmlElement("HealthCheckId", record.health_check);
  return "<ResourceRecordSet>" + xml + "</ResourceRecordSet>";
}

}  // namespace

Result<std::string> ChangeBatchXml(const std::vector<Change>& changes, const std::string& comment) {
  std::string list;
  for (const Change& change : changes) {
    const std::string which = "record '" + change.record.name + "' of type '" + change.record.type + "'";
    // SAFETY: an empty set takes the service off the net; the October 2025 outage of us-east-1 was one.
    if (change.record.values.empty() && change.record.alias_name.empty()) return Fail(which + " would be empty");
    if (!change.record.unknown.empty()) {
      return Fail(which + " has '" + change.record.unknown + "', which would be lost", "change it by hand");
    }
    list += "<Change>" + XmlElement("Action", change.action) + RecordSetXml(change.record) + "</Change>";
  }
  if (list.empty()) return Fail("there is nothing to change");
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ChangeResourceRecordSetsRequest xmlns=\"" + std::string(kNamespace) +
         "\"><ChangeBatch>" + (comment.empty() ? "" : XmlElement("Comment", comment)) + "<Changes>" + list +
         "</Changes></ChangeBatch></ChangeResourceRecordSetsRequest>";
}

Task<Result<std::vector<Zone>>> ListHostedZones(Client& client, std::string region, Duration timeout) {
  Result<std::vector<XmlNode>> nodes =
      co_await Collect(client, std::move(region), "ListHostedZones", "hostedzone", "HostedZones", timeout);
  if (!nodes) co_return nodes.error();
  std::vector<Zone> zones;
  for (const XmlNode& node : *nodes) {
    zones.push_back(Zone{BareId(node["Id"].text), node["Name"].text, node["Config"]["PrivateZone"].text == "true"});
  }
  co_return zones;
}

Task<Result<std::vector<RecordSet>>> ListRecordSets(Client& client, std::string region, std::string zone, std::string name,
                                                    Duration timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  const std::string wanted = name.empty() || name.ends_with('.') ? name : name + ".";
  std::vector<RecordSet> records;
  Pairs from;
  if (!wanted.empty()) from = {{"name", wanted}};
  for (int page = 0; page < kMostPages; ++page) {
    Call call = CallOf("ListResourceRecordSets", region, "GET", "hostedzone/" + UriEncode(BareId(zone)) + "/rrset", Effect::kReads);
    call.query = from;
    const Duration left = std::max<Duration>(end - std::chrono::steady_clock::now(), 1ms);
    Result<XmlNode> root = co_await Ask(client, std::move(call), left);
    if (!root) co_return root.error();
    for (const XmlNode& node : (*root)["ResourceRecordSets"].children) {
      RecordSet record = RecordSetFrom(node);
      // They come in the order of their names, beginning at the one that was asked for.
      if (!wanted.empty() && record.name != wanted) co_return records;
      records.push_back(std::move(record));
    }
    if ((*root)["IsTruncated"].text != "true") co_return records;
    from = {{"name", (*root)["NextRecordName"].text}, {"type", (*root)["NextRecordType"].text}};
    const std::string next = (*root)["NextRecordIdentifier"].text;
    if (!next.empty()) from.emplace_back("identifier", next);
  }
  co_return Fail("zone '" + zone + "' has more pages than can be");
}

Task<Result<ChangeInfo>> ChangeRecordSets(Client& client, std::string region, std::string zone, std::vector<Change> changes,
                                          std::string comment, Duration timeout) {
  const Result<std::string> body = ChangeBatchXml(changes, comment);
  if (!body) co_return body.error();
  Call call = CallOf("ChangeResourceRecordSets", std::move(region), "POST", "hostedzone/" + UriEncode(BareId(zone)) + "/rrset/",
                     Effect::kOnce);
  call.headers = {{"Content-Type", "application/xml"}};
  call.body = *body;
  Result<XmlNode> root = co_await Ask(client, std::move(call), timeout);
  if (!root) co_return root.error();
  co_return ChangeInfoFrom((*root)["ChangeInfo"]);
}

Task<Result<ChangeInfo>> GetChange(Client& client, std::string region, std::string id, Duration timeout) {
  Call call = CallOf("GetChange", std::move(region), "GET", "change/" + UriEncode(BareId(id)), Effect::kReads);
  Result<XmlNode> root = co_await Ask(client, std::move(call), timeout);
  if (!root) co_return root.error();
  co_return ChangeInfoFrom((*root)["ChangeInfo"]);
}

Task<Result<HealthCheck>> GetHealthCheck(Client& client, std::string region, std::string id, Duration timeout) {
  Call call = CallOf("GetHealthCheck", std::move(region), "GET", "healthcheck/" + UriEncode(id), Effect::kReads);
  Result<XmlNode> root = co_await Ask(client, std::move(call), timeout);
  if (!root) co_return root.error();
  co_return HealthCheckFrom((*root)["HealthCheck"]);
}

Task<Result<std::vector<Observation>>> GetHealthCheckStatus(Client& client, std::string region, std::string id, Duration timeout) {
  Call call = CallOf("GetHealthCheckStatus", std::move(region), "GET", "healthcheck/" + UriEncode(id) + "/status", Effect::kReads);
  Result<XmlNode> root = co_await Ask(client, std::move(call), timeout);
  if (!root) co_return root.error();
  std::vector<Observation> observations;
  for (const XmlNode& node : (*root)["HealthCheckObservations"].children) {
    const XmlNode& report = node["StatusReport"];
    observations.push_back(Observation{node["Region"].text, report["Status"].text, ParseTimestamp(report["CheckedTime"].text)});
  }
  co_return observations;
}

Task<Result<std::vector<HealthCheck>>> ListHealthChecks(Client& client, std::string region, Duration timeout) {
  Result<std::vector<XmlNode>> nodes =
      co_await Collect(client, std::move(region), "ListHealthChecks", "healthcheck", "HealthChecks", timeout);
  if (!nodes) co_return nodes.error();
  std::vector<HealthCheck> checks;
  for (const XmlNode& node : *nodes) checks.push_back(HealthCheckFrom(node));
  co_return checks;
}

bool IsHealthy(const HealthCheck& check, const std::vector<Observation>& observations) {
  // A disabled check counts as healthy, and inversion turns that round too. @source CreateHealthCheck, "Disabled"
  if (check.disabled) return !check.inverted;
  std::size_t good = 0;
  for (const Observation& one : observations) good += one.status.starts_with("Success") ? 1U : 0U;
  const bool healthy = good * 100 > observations.size() * 18;
  return healthy != check.inverted;
}

}  // namespace lifeboat::aws::route53
