#include "adapters/aws/traffic_check.h"

#include <algorithm>

#include "adapters/aws/route53.h"
#include "adapters/aws/s3.h"
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

Task<> ReadChecks(TrafficCheckDoors doors, const AwsTrafficSettings& settings, ZoneView& view, Lines& lines) {
  for (const route53::RecordSet& record : view.records) {
    if (!SameValue("CNAME", record.name, settings.name) || record.health_check.empty()) continue;
    Result<route53::HealthCheck> check = co_await route53::GetHealthCheck(*doors.client, kGlobal, record.health_check, kOneLook);
    if (!check) {
      lines.push_back({"unknown", "health check '" + record.health_check + "': " + check.error().message, check.error().hint});
      continue;
    }
    view.checks[record.health_check] = *check;
    if (settings.kind != AwsTrafficKind::kStandbyTakesOver) continue;  // what the others follow is not seen by checkers
    Result<std::vector<route53::Observation>> seen =
        co_await route53::GetHealthCheckStatus(*doors.client, kGlobal, record.health_check, kOneLook);
    if (seen.ok() && !seen->empty()) view.healthy[record.health_check] = route53::IsHealthy(*check, *seen);
  }
}

Task<std::map<RegionName, MarkerLook>> LookAtMarkers(TrafficCheckDoors doors, const AwsTrafficSettings& settings) {
  std::map<RegionName, MarkerLook> looks;
  for (const auto& [region, text] : settings.markers) {
    MarkerLook& look = looks[region];
    const Result<MarkerPlace> place = ParseMarkerPlace(text);
    if (!place) {
      look.problem = place.error().message;
      continue;
    }
    look.public_url = PublicUrl(*place, region);
    s3::Bucket bucket{region.text, place->bucket};
    Result<s3::Object> object = co_await s3::GetObject(*doors.client, std::move(bucket), place->key, kOneLook);
    if (!object) {
      const bool no_object =
          object.error().retry == Retry::kNotFound && object.error().message.find("NoSuchBucket") == std::string::npos;
      if (!no_object) look.problem = object.error().message;
      continue;
    }
    Result<Marker> marker = ParseMarker(object->body, settings.name, region);
    if (!marker) {
      look.problem = marker.error().message;
      continue;
    }
    look.marker = *marker;
    Result<int> status = co_await doors.look(look.public_url, kOneLook);
    if (status.ok()) look.public_status = *status;
  }
  co_return looks;
}

/// Each endpoint by itself: two of five may be silent in a disaster, and none before it.
Task<Lines> LookAtEndpoints(TrafficCheckDoors doors, const AwsTrafficSettings& settings) {
  Lines lines;
  if (settings.control_endpoints.size() < kEndpoints) {
    lines.push_back(
        {"fault", "only " + std::to_string(settings.control_endpoints.size()) + " of 5 routing control endpoints are written down",
         "write all five: which of them answer in a disaster is not known before"});
  }
  std::map<RegionName, bool> on;
  std::size_t answered = 0;
  for (const std::string& text : settings.control_endpoints) {
    Result<routing_control::Cluster> one = ParseCluster({text});
    if (!one) {
      lines.push_back({"fault", one.error().message, one.error().hint});
      continue;
    }
    bool all = true;
    for (const auto& [region, arn] : settings.controls) {
      Result<routing_control::State> state = co_await routing_control::GetState(*doors.client, *one, arn, kOneEndpoint);
      if (!state) {
        lines.push_back({"fault", "routing control endpoint '" + text + "': " + state.error().message,
                         "is the URL that of DescribeCluster, and may the agent call GetRoutingControlState?"});
        all = false;
        break;
      }
      on[region] = state->on;
    }
    answered += all ? 1U : 0U;
  }
  if (answered == settings.control_endpoints.size() && answered >= kEndpoints) {
    lines.push_back({"ok", "all " + std::to_string(answered) + " routing control endpoints answer", ""});
  }
  const auto count = std::count_if(on.begin(), on.end(), [](const auto& each) { return each.second; });
  if (answered > 0 && count != 1) {
    lines.push_back({"fault", std::to_string(count) + " routing controls are on; exactly one region serves",
                     "with none on Route 53 fails open: turn on the one that serves"});
  }
  co_return lines;
}

Task<Lines> LookAtNames(TrafficCheckDoors doors, const AwsTrafficSettings& settings) {
  Lines lines;
  ZoneNames zone(doors.names, settings, doors.clock);
  Result<std::vector<ServerAnswer>> answers = co_await zone.AskAll(settings.name, settings.type, kOneLook);
  if (!answers) {
    lines.push_back(
        {"fault", "the name servers of '" + settings.name + "' cannot be asked: " + answers.error().message, answers.error().hint});
    co_return lines;
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
  co_return lines;
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
  Lines lines = co_await LookAtNames(doors, settings);
  ZoneView view;
  Result<std::vector<route53::RecordSet>> records =
      co_await route53::ListRecordSets(*doors.client, kGlobal, settings.zone, "", timeout);
  if (records.ok()) {
    view.records = std::move(*records);
    co_await ReadChecks(doors, settings, view, lines);
  } else {
    lines.push_back({"unknown", "the records of zone '" + settings.zone + "' cannot be read: " + records.error().message,
                     records.error().hint});
  }
  switch (settings.kind) {
    case AwsTrafficKind::kStandbyTakesOver: {
      if (records.ok()) Add(lines, JudgePair(settings, view));
      const std::map<RegionName, MarkerLook> markers = co_await LookAtMarkers(doors, settings);
      Add(lines, JudgeMarkers(settings, view, markers));
      break;
    }
    case AwsTrafficKind::kRoutingControl: {
      if (records.ok()) Add(lines, JudgeControls(settings, view));
      Lines endpoints = co_await LookAtEndpoints(doors, settings);
      Add(lines, std::move(endpoints));
      break;
    }
    case AwsTrafficKind::kRecords: Add(lines, JudgeRecord(settings, view)); break;
  }
  if (records.ok()) {
    Add(lines, JudgeTime(settings, view, rto));
    Add(lines, JudgeOthers(settings, view));
  }
  co_return lines;
}

}  // namespace lifeboat::aws
