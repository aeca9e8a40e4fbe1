#include "adapters/aws/traffic_check.h"

#include <algorithm>

#include "adapters/aws/route53.h"
#include "adapters/aws/s3.h"
#include "adapters/aws/together.h"
#include "adapters/aws/traffic_doors.h"
#include "adapters/aws/traffic_rules.h"

namespace lifeboat::aws {

namespace {

using Lines = std::vector<Readiness>;

constexpr Duration kOneLook = 10s;
constexpr Duration kOneEndpoint = 5s;
constexpr std::size_t kEndpoints = 5;  // of a cluster: two may be down and three agree
constexpr const char* kGlobal = "us-east-1";

void Add(Lines& to, Lines from) {
  for (Readiness& line : from) to.push_back(std::move(line));
}

/// What one of the name's records says of its check.
struct CheckLook {
  std::optional<route53::HealthCheck> check;
  std::optional<bool> healthy;
  std::optional<Readiness> problem;
};

Task<> ReadCheck(TrafficCheckDoors doors, AwsTrafficKind kind, std::string id, std::shared_ptr<CheckLook> look, Duration timeout) {
  Result<route53::HealthCheck> check = co_await route53::GetHealthCheck(*doors.client, kGlobal, id, timeout);
  if (!check) {
    look->problem = Readiness{"unknown", "health check '" + id + "': " + check.error().message, check.error().hint};
    co_return;
  }
  look->check = *check;
  if (kind != AwsTrafficKind::kStandbyTakesOver) co_return;  // what the others follow is not seen by checkers
  Result<std::vector<route53::Observation>> seen = co_await route53::GetHealthCheckStatus(*doors.client, kGlobal, id, timeout);
  if (seen.ok() && !seen->empty()) look->healthy = route53::IsHealthy(*check, *seen);
}

/// The zone's records, and the checks of the name's.
struct ZoneLook {
  bool read = false;
  ZoneView view;
  Lines lines;
};

Task<> LookAtZone(TrafficCheckDoors doors, AwsTrafficSettings settings, std::shared_ptr<ZoneLook> look, Duration timeout) {
  Result<std::vector<route53::RecordSet>> records =
      co_await route53::ListRecordSets(*doors.client, kGlobal, settings.zone, "", timeout / 2);
  if (!records) {
    look->lines.push_back({"unknown", "the records of zone '" + settings.zone + "' cannot be read: " + records.error().message,
                           records.error().hint});
    co_return;
  }
  look->read = true;
  look->view.records = std::move(*records);
  std::map<std::string, std::shared_ptr<CheckLook>> checks;
  std::vector<Task<>> questions;
  for (const route53::RecordSet& record : look->view.records) {
    if (!SameValue("CNAME", record.name, settings.name) || record.health_check.empty() || checks.contains(record.health_check))
      continue;
    auto one = std::make_shared<CheckLook>();
    checks[record.health_check] = one;
    questions.push_back(ReadCheck(doors, settings.kind, record.health_check, one, timeout / 4));
  }
  co_await Together(std::move(questions));
  for (const auto& [id, one] : checks) {
    if (one->problem) look->lines.push_back(*one->problem);
    if (one->check) look->view.checks[id] = *one->check;
    if (one->healthy) look->view.healthy[id] = *one->healthy;
  }
}

Task<> LookAtMarker(TrafficCheckDoors doors, std::string name, RegionName region, std::string text,
                    std::shared_ptr<MarkerLook> look, Duration timeout) {
  const Result<MarkerPlace> place = ParseMarkerPlace(text);
  if (!place) {
    look->problem = place.error().message;
    co_return;
  }
  look->public_url = PublicUrl(*place, region);
  s3::Bucket bucket{region.text, place->bucket};
  Result<s3::Object> object = co_await s3::GetObject(*doors.client, std::move(bucket), place->key, timeout / 2);
  if (!object) {
    const bool no_object =
        object.error().retry == Retry::kNotFound && object.error().message.find("NoSuchBucket") == std::string::npos;
    if (!no_object) look->problem = object.error().message;
    co_return;
  }
  Result<Marker> marker = ParseMarker(object->body, name, region);
  if (!marker) {
    look->problem = marker.error().message;
    co_return;
  }
  look->marker = *marker;
  Result<int> status = co_await doors.look(look->public_url, timeout / 2);
  if (status.ok()) look->public_status = *status;
}

using MarkerLooks = std::map<RegionName, std::shared_ptr<MarkerLook>>;

Task<> LookAtMarkers(TrafficCheckDoors doors, AwsTrafficSettings settings, std::shared_ptr<MarkerLooks> looks, Duration timeout) {
  std::vector<Task<>> questions;
  for (const auto& [region, text] : settings.markers) {
    auto look = std::make_shared<MarkerLook>();
    (*looks)[region] = look;
    questions.push_back(LookAtMarker(doors, settings.name, region, text, look, timeout));
  }
  co_await Together(std::move(questions));
}

/// All controls as one endpoint shows them.
struct EndpointLook {
  std::map<RegionName, bool> on;
  std::optional<Readiness> problem;
};

Task<> LookAtEndpoint(TrafficCheckDoors doors, AwsTrafficSettings settings, std::string text, std::shared_ptr<EndpointLook> look,
                      Duration timeout) {
  const Instant began = doors.clock.Now();
  Result<routing_control::Cluster> one = ParseCluster({text});
  if (!one) {
    look->problem = Readiness{"fault", one.error().message, one.error().hint};
    co_return;
  }
  for (const auto& [region, arn] : settings.controls) {
    const Duration left = std::max<Duration>(timeout - AgeAt(began, doors.clock.Now()), 1ms);
    Result<routing_control::State> state = co_await routing_control::GetState(*doors.client, *one, arn, left);
    if (!state) {
      look->problem = Readiness{"fault", "routing control endpoint '" + text + "': " + state.error().message,
                                "is the URL that of DescribeCluster, and may the agent call GetRoutingControlState?"};
      co_return;
    }
    look->on[region] = state->on;
  }
}

/// Each endpoint by itself: two of five may be silent in a disaster, and none before it.
Task<> LookAtEndpoints(TrafficCheckDoors doors, AwsTrafficSettings settings, std::shared_ptr<Lines> lines, Duration timeout) {
  if (settings.control_endpoints.size() < kEndpoints) {
    lines->push_back(
        {"fault", "only " + std::to_string(settings.control_endpoints.size()) + " of 5 routing control endpoints are written down",
         "write all five: which of them answer in a disaster is not known before"});
  }
  std::vector<std::shared_ptr<EndpointLook>> looks;
  std::vector<Task<>> questions;
  for (const std::string& text : settings.control_endpoints) {
    looks.push_back(std::make_shared<EndpointLook>());
    questions.push_back(LookAtEndpoint(doors, settings, text, looks.back(), timeout));
  }
  co_await Together(std::move(questions));
  std::map<RegionName, bool> on;
  std::size_t answered = 0;
  for (const auto& look : looks) {
    for (const auto& [region, state] : look->on) on[region] = state;
    if (look->problem) lines->push_back(*look->problem);
    answered += look->problem ? 0U : 1U;
  }
  if (answered == settings.control_endpoints.size() && answered >= kEndpoints) {
    lines->push_back({"ok", "all " + std::to_string(answered) + " routing control endpoints answer", ""});
  }
  const auto count = std::count_if(on.begin(), on.end(), [](const auto& each) { return each.second; });
  if (answered > 0 && count != 1) {
    lines->push_back({"fault", std::to_string(count) + " routing controls are on; exactly one region serves",
                      "with none on Route 53 fails open: turn on the one that serves"});
  }
}

Task<> LookAtNames(TrafficCheckDoors doors, AwsTrafficSettings settings, std::shared_ptr<Lines> into, Duration timeout) {
  Lines& lines = *into;
  ZoneNames zone(doors.names, settings, doors.clock);
  Result<std::vector<ServerAnswer>> answers = co_await zone.AskAll(settings.name, settings.type, timeout);
  if (!answers) {
    lines.push_back(
        {"fault", "the name servers of '" + settings.name + "' cannot be asked: " + answers.error().message, answers.error().hint});
    co_return;
  }
  for (const ServerAnswer& each : *answers) {
    if (each.answer.ok()) continue;
    lines.push_back({"fault", "name server '" + each.server.Text() + "': " + each.answer.error().message,
                     "a move counts as done when all of them answer the target: let UDP and TCP port 53 out"});
  }
  const Result<TrafficRecord> record = Agreed(settings, *answers);
  if (!record) {
    lines.push_back({"fault", record.error().message, record.error().hint});
  } else if (const std::optional<RegionName> region = RegionOfTarget(settings, record->address)) {
    lines.push_back(
        {"ok", "'" + settings.name + "' leads to '" + region->text + "' at " + std::to_string(answers->size()) + " name servers",
         ""});
  } else {
    lines.push_back({"fault", "'" + settings.name + "' answers '" + record->address + "', which is the target of no region",
                     "look at the zone, and at 'targets' in lifeboat.yaml"});
  }
}

}  // namespace

PublicGet OpenPublicGet(Transport transport) {
  return [transport = std::move(transport)](std::string url, Duration timeout) -> Task<Result<int>> {
    HttpRequest request;
    request.url = std::move(url);
    Result<HttpResponse> response = co_await transport(std::move(request), timeout);
    if (!response) co_return RetryLater(response.error().message, response.error().hint);
    co_return response->status;
  };
}

Task<Result<std::vector<Readiness>>> CheckAwsTraffic(TrafficCheckDoors doors, AwsTrafficSettings settings, Duration rto,
                                                     Duration timeout) {
  // Side by side, so that a region that is silent costs its own lines alone.
  auto names = std::make_shared<Lines>();
  auto zone = std::make_shared<ZoneLook>();
  auto markers = std::make_shared<MarkerLooks>();
  auto endpoints = std::make_shared<Lines>();
  std::vector<Task<>> questions;
  questions.push_back(LookAtNames(doors, settings, names, std::min(timeout, kOneLook)));
  questions.push_back(LookAtZone(doors, settings, zone, timeout));
  if (settings.kind == AwsTrafficKind::kStandbyTakesOver) questions.push_back(LookAtMarkers(doors, settings, markers, timeout));
  if (settings.kind == AwsTrafficKind::kRoutingControl)
    questions.push_back(LookAtEndpoints(doors, settings, endpoints, std::min(timeout, kOneEndpoint)));
  co_await Together(std::move(questions));
  Lines lines = std::move(*names);
  Add(lines, std::move(zone->lines));
  switch (settings.kind) {
    case AwsTrafficKind::kStandbyTakesOver: {
      if (zone->read) Add(lines, JudgePair(settings, zone->view));
      std::map<RegionName, MarkerLook> looks;
      for (const auto& [region, look] : *markers) looks[region] = *look;
      Add(lines, JudgeMarkers(settings, zone->view, looks));
      break;
    }
    case AwsTrafficKind::kRoutingControl:
      if (zone->read) Add(lines, JudgeControls(settings, zone->view));
      Add(lines, std::move(*endpoints));
      break;
    case AwsTrafficKind::kRecords:
      if (zone->read) Add(lines, JudgeRecord(settings, zone->view));
      break;
  }
  if (zone->read) {
    Add(lines, JudgeTime(settings, zone->view, rto));
    Add(lines, JudgeOthers(settings, zone->view));
  }
  co_return lines;
}

}  // namespace lifeboat::aws
