// Standby takes over. Of a pair of failover records, each has an inverted check on the marker of the OTHER region: a region's
// record is healthy while the other has not taken over. So the region that takes over acts alone, in its own region, in both
// directions:
//
//   marker of the primary record's region   of the secondary's   answered
//   rests or is not there                   rests or is not there   primary
//   rests or is not there                   takes over              secondary
//   takes over                              rests or is not there   primary
//   takes over                              takes over              primary: all unhealthy, which Route 53 answers so

#include <algorithm>

#include "adapters/aws/traffic_doors.h"

namespace lifeboat::aws {

namespace {

constexpr int kMostTries = 5;  // each lost to another writer; more is not a race but a quarrel
constexpr Duration kOneCall = 10s;
constexpr Duration kFirstLook = 2s;  // before the act, which does not depend on it

}  // namespace

StandbyTraffic::StandbyTraffic(TrafficDoors doors, std::map<RegionName, MarkerPlace> places)
    : ZoneTraffic(std::move(doors)), places_(std::move(places)) {}

Task<Result<StandbyTraffic::Standing>> StandbyTraffic::ReadMarker(RegionName region, Duration timeout) {
  const MarkerPlace& place = places_.at(region);
  s3::Bucket bucket{region.text, place.bucket};
  Result<s3::Object> object = co_await s3::GetObject(*doors_.client, std::move(bucket), place.key, std::min(timeout, kOneCall));
  Standing standing;
  if (!object && object.error().retry == Retry::kNotFound && object.error().message.find("NoSuchBucket") == std::string::npos) {
    co_return standing;
  }
  if (!object) co_return object.error().Within("the marker of '" + region.text + "'");
  Result<Marker> marker = ParseMarker(object->body, doors_.settings.name, region);
  if (!marker) co_return marker.error();
  standing.marker = *marker;
  standing.etag = object->etag;
  co_return standing;
}

Task<Result<Unit>> StandbyTraffic::WriteMarker(Marker marker, Standing over, Duration timeout) {
  const MarkerPlace& place = places_.at(marker.region);
  s3::Bucket bucket{marker.region.text, place.bucket};
  // SAFETY: whoever wrote after our look makes this fail (StandbyTest.OfTwoWritersFromOneReadingOneIsTaken).
  s3::OnlyIf only_if;
  only_if.absent = !over.marker.has_value();
  only_if.etag = over.etag;
  Result<s3::Object> put = co_await s3::PutObject(*doors_.client, std::move(bucket), place.key, MarkerText(marker),
                                                  "application/json", std::move(only_if), std::min(timeout, kOneCall));
  if (!put) co_return put.error().Within("the marker of '" + marker.region.text + "'");
  doors_.log.Info("marker written", Json{{"region", marker.region.text},
                                         {"takes_over", marker.takes_over},
                                         {"serves", marker.serves.text},
                                         {"epoch", marker.epoch.number}});
  co_return Done();
}

/// Until the target's marker is as it must be. Nobody but the target's region is asked.
Task<Result<Unit>> StandbyTraffic::Claim(RegionName target, bool leads_there, Epoch epoch, Instant end) {
  std::optional<Error> doubt;
  for (int tries = 0; tries < kMostTries; ++tries) {
    Result<Standing> standing = co_await ReadMarker(target, Left(end));
    if (!standing && doubt) co_return UnknownOutcome(doubt->message + "; then: " + standing.error().message, standing.error().hint);
    if (!standing) co_return standing.error();
    Result<std::optional<Marker>> wanted = MarkerFor(standing->marker, leads_there, doors_.settings.name, target, epoch);
    if (!wanted) co_return wanted.error();
    if (!*wanted) co_return Done();
    Result<Unit> written = co_await WriteMarker(**wanted, std::move(*standing), Left(end));
    if (written.ok()) co_return written;
    const Retry retry = written.error().retry;
    if (retry == Retry::kFail) co_return written;
    // Overtaken, or not known: what stands there now says which.
    doubt = written.error();
    if (TimeLeft(end, doors_.clock.Now()) <= Duration::zero()) break;
  }
  co_return UnknownOutcome(
      "the marker of '" + target.text + "' could not be written: " + (doubt ? doubt->message : "no time was left"),
      "look at who else writes it, and at S3 in '" + target.text + "'");
}

Task<Result<Unit>> StandbyTraffic::Point(std::string address, Epoch epoch, Duration timeout) {
  const Instant end = doors_.clock.Now() + timeout;
  const Result<RegionName> target = RegionOf(address);
  if (!target) co_return target.error();
  Result<std::vector<ServerAnswer>> seen =
      co_await zone_.AskAll(doors_.settings.name, doors_.settings.type, std::min<Duration>(kFirstLook, timeout / 4));
  const bool leads_there = seen.ok() && AllAnswer(*seen, doors_.settings.type, address);
  Result<Unit> claimed = co_await Claim(*target, leads_there, epoch, end);
  if (!claimed) co_return claimed;
  std::string acted = "the marker of '" + target->text + "' stands under epoch '" + std::to_string(epoch.number) + "'";
  co_return co_await Prove(std::move(address), std::move(acted), end);
}

Task<Result<std::optional<Epoch>>> StandbyTraffic::EpochOf(RegionName region, std::string /*address*/, Duration timeout) {
  // The own region's marker alone: a look at the name must not wait for a region that is lost.
  if (!places_.contains(doors_.options.own)) co_return std::optional<Epoch>();
  Result<Standing> own = co_await ReadMarker(doors_.options.own, timeout);
  if (!own) co_return own.error();
  if (!own->marker || own->marker->serves != region) co_return std::optional<Epoch>();
  co_return std::optional<Epoch>(own->marker->epoch);
}

/// Another region's marker is put to rest under our epoch. @return what was done; empty: it stood so
Task<Result<std::string>> StandbyTraffic::PutToRest(RegionName region, Marker own, Instant end) {
  Result<Standing> theirs = co_await ReadMarker(region, Left(end));
  if (!theirs) co_return theirs.error();
  const Marker rest{false, doors_.settings.name, region, own.region, own.epoch};
  if (theirs->marker && theirs->marker->epoch > own.epoch) {
    co_return Refused(
        "the marker of '" + region.text + "' is of the newer epoch '" + std::to_string(theirs->marker->epoch.number) + "'",
        "another region has taken over since; run 'lifeboat status'");
  }
  if (theirs->marker == rest) {
    at_rest_.try_emplace(region, doors_.clock.Now());
    co_return std::string();
  }
  at_rest_.erase(region);
  Result<Unit> written = co_await WriteMarker(rest, std::move(*theirs), Left(end));
  if (!written) co_return written.error();
  at_rest_[region] = doors_.clock.Now();
  co_return "the marker of '" + region.text + "' rests under epoch '" + std::to_string(own.epoch.number) + "'";
}

Task<Result<bool>> StandbyTraffic::OwnIsPrimary(Duration timeout) {
  Result<std::vector<route53::RecordSet>> records = co_await route53::ListRecordSets(
      *doors_.client, doors_.options.own.text, doors_.settings.zone, doors_.settings.name, std::min(timeout, kOneCall));
  if (!records) co_return records.error();
  const std::string& target = doors_.settings.targets.at(doors_.options.own);
  for (const route53::RecordSet& record : *records) {
    if (record.type != doors_.settings.type || record.failover != "PRIMARY" || record.values.size() != 1) continue;
    if (SameValue(record.type, record.values.front(), target)) co_return true;
  }
  co_return false;
}

Task<Result<std::string>> StandbyTraffic::Settle(Duration timeout) {
  const Instant end = doors_.clock.Now() + timeout;
  const RegionName own_region = doors_.options.own;
  if (!places_.contains(own_region)) co_return std::string();
  Result<Standing> own = co_await ReadMarker(own_region, Left(end));
  if (!own) co_return own.error();
  if (!own->marker || own->marker->serves != own_region) co_return std::string();
  const Marker marker = *own->marker;
  std::string did;
  bool all_rest = true;
  for (const auto& [region, place] : places_) {
    if (region == own_region) continue;
    Result<std::string> rested = co_await PutToRest(region, marker, end);
    if (!rested) co_return rested.error();
    did += *rested;
    // SAFETY: the health checks must have seen the others rest before ours does, or the name would go to one of them for a moment
    // (AwsTrafficTest.OneObjectMovesTheName…).
    const Instant since = at_rest_.at(region);
    all_rest = all_rest && IsOver(since + doors_.options.rest_after, doors_.clock.Now());
  }
  if (!marker.takes_over || !all_rest) co_return did;
  Result<bool> primary = co_await OwnIsPrimary(Left(end));
  if (!primary) co_return primary.error();
  if (!*primary) co_return did;  // a secondary is answered only while it has taken over
  const Marker rest{false, marker.name, own_region, own_region, marker.epoch};
  Result<Unit> written = co_await WriteMarker(rest, std::move(*own), Left(end));
  if (!written) co_return written.error();
  did += (did.empty() ? "" : "; ") + std::string("the marker of '") + own_region.text + "' rests again";
  co_return did;
}

}  // namespace lifeboat::aws
