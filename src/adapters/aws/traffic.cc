#include "adapters/aws/traffic.h"

#include <algorithm>
#include <boost/asio/ip/address.hpp>

#include "adapters/aws/traffic_doors.h"

namespace lifeboat::aws {

namespace {

Result<Unit> CheckTargets(const AwsTrafficSettings& settings) {
  if (settings.type != "CNAME" && settings.type != "A" && settings.type != "AAAA") {
    return Fail("traffic of type '" + settings.type + "' is not known", "one of CNAME, A and AAAA");
  }
  if (!settings.name.ends_with('.'))
    return Fail("the name '" + settings.name + "' has no dot at its end", "write it fully qualified");
  for (const auto& [region, target] : settings.targets) {
    boost::system::error_code problem;
    const auto address = boost::asio::ip::make_address(target, problem);
    const bool is_address = !problem;
    const bool fits = settings.type == "CNAME" ? !is_address : is_address && (settings.type == "A") == address.is_v4();
    if (target.empty() || !fits) {
      return Fail("the target '" + target + "' of '" + region.text + "' is no value of a record of type '" + settings.type + "'");
    }
    if (*RegionOfTarget(settings, target) != region) {
      return Fail("'" + region.text + "' and '" + RegionOfTarget(settings, target)->text + "' have the same target");
    }
  }
  if (settings.targets.size() < 2) return Fail("traffic has fewer than two targets", "name the target of each region");
  return Done();
}

Result<std::map<RegionName, MarkerPlace>> Places(const AwsTrafficSettings& settings) {
  std::map<RegionName, MarkerPlace> places;
  for (const auto& [region, target] : settings.targets) {
    const auto text = settings.markers.find(region);
    if (text == settings.markers.end()) return Fail("'" + region.text + "' has no marker", "write s3://bucket/key, in that region");
    Result<MarkerPlace> place = ParseMarkerPlace(text->second);
    if (!place) return place.error();
    places[region] = *place;
  }
  // A failover pair has two records; a third region would need its own name.
  if (places.size() != 2) return Fail("'standby takes over' is between two regions, not " + std::to_string(places.size()));
  return places;
}

}  // namespace

ZoneTraffic::ZoneTraffic(TrafficDoors doors) : doors_(std::move(doors)), zone_(doors_.names, doors_.settings, doors_.clock) {}

Duration ZoneTraffic::Left(Instant end) const { return std::max<Duration>(TimeLeft(end, doors_.clock.Now()), 1ms); }

Result<RegionName> ZoneTraffic::RegionOf(const std::string& address) const {
  const std::optional<RegionName> region = RegionOfTarget(doors_.settings, address);
  if (!region) return Fail("'" + address + "' is the target of no region", "look at 'targets' of traffic in lifeboat.yaml");
  return *region;
}

Task<Result<TrafficRecord>> ZoneTraffic::Read(Duration timeout) {
  const Instant end = doors_.clock.Now() + timeout;
  Result<std::vector<ServerAnswer>> answers = co_await zone_.AskAll(doors_.settings.name, doors_.settings.type, timeout * 3 / 4);
  if (!answers) co_return answers.error();
  Result<TrafficRecord> record = Agreed(doors_.settings, *answers);
  if (!record) co_return record.error();
  const std::optional<RegionName> region = RegionOfTarget(doors_.settings, record->address);
  if (!region) co_return record;
  Result<std::optional<Epoch>> epoch = co_await EpochOf(*region, record->address, Left(end));
  if (!epoch) co_return epoch.error();
  record->epoch = *epoch;
  co_return record;
}

Task<Result<std::string>> ZoneTraffic::Settle(Duration /*timeout*/) { co_return std::string(); }

Task<Result<Unit>> ZoneTraffic::Prove(std::string address, std::string acted, Instant end) {
  doors_.log.Info("traffic acted", Json{{"name", doors_.settings.name}, {"target", address}, {"act", acted}});
  Result<Unit> proven = co_await zone_.AwaitAnswer(address, doors_.options.look_every, Left(end));
  if (!proven) co_return proven.error().Within(acted);
  doors_.log.Info("every name server answers the target", Json{{"name", doors_.settings.name}, {"target", address}});
  co_return Done();
}

Result<std::unique_ptr<AwsTraffic>> OpenAwsTraffic(std::shared_ptr<Client> client, std::shared_ptr<NameServers> names,
                                                   AwsTrafficSettings settings, AwsTrafficOptions options, Clock& clock, Log log) {
  if (const Result<Unit> sound = CheckTargets(settings); !sound) return sound.error();
  TrafficDoors doors{std::move(client), std::move(names), std::move(settings), std::move(options), clock, std::move(log)};
  if (doors.settings.kind == AwsTrafficKind::kRecords) return std::unique_ptr<AwsTraffic>(new RecordTraffic(std::move(doors)));
  if (doors.settings.kind == AwsTrafficKind::kRoutingControl) {
    Result<routing_control::Cluster> cluster = ParseCluster(doors.settings.control_endpoints);
    if (!cluster) return cluster.error();
    for (const auto& [region, target] : doors.settings.targets) {
      if (!doors.settings.controls.contains(region)) return Fail("'" + region.text + "' has no routing control", "write its ARN");
    }
    return std::unique_ptr<AwsTraffic>(new ControlTraffic(std::move(doors), std::move(*cluster)));
  }
  Result<std::map<RegionName, MarkerPlace>> places = Places(doors.settings);
  if (!places) return places.error();
  return std::unique_ptr<AwsTraffic>(new StandbyTraffic(std::move(doors), std::move(*places)));
}

}  // namespace lifeboat::aws
