#include "adapters/aws/traffic_marker.h"

#include "base/json.h"

namespace lifeboat::aws {

std::string MarkerText(const Marker& marker) {
  const Json json = {{"marker", marker.takes_over ? kTakesOverWord : kStandsBackWord},
                     {"name", marker.name},
                     {"region", marker.region.text},
                     {"serves", marker.serves.text},
                     {"epoch", marker.epoch.number},
                     {"note", "health checks of Route 53 search this for a word; a service follows it: do not edit"}};
  return json.dump() + "\n";
}

Result<Marker> ParseMarker(const std::string& text, const std::string& name, const RegionName& region) {
  const std::string what = "the marker of '" + name + "' in '" + region.text + "'";
  // SAFETY: a marker that cannot be read may be of a higher epoch: it is never overwritten
  // (AwsTrafficMarker.WhatIsNoMarkerOfThisNameAndRegionIsNeverWrittenOver).
  const char* const hint = "look at the object, and remove it by hand once you know which region serves";
  const Result<Json> json = ParseJson(text, what);
  if (!json) return Fail(json.error().message, hint);
  Marker marker;
  const std::string word = TextAt(*json, "marker");
  marker.takes_over = word == kTakesOverWord;
  marker.name = TextAt(*json, "name");
  marker.region = RegionName(TextAt(*json, "region"));
  marker.serves = RegionName(TextAt(*json, "serves"));
  marker.epoch = Epoch{NumberAt(*json, "epoch")};
  if ((!marker.takes_over && word != kStandsBackWord) || marker.epoch.number == 0 || marker.serves.empty()) {
    return Fail(what + " is no marker of Lifeboat's", hint);
  }
  if (marker.name != name || marker.region != region) {
    return Fail(what + " is that of '" + marker.name + "' in '" + marker.region.text + "'",
                "give each name and region a key of its own");
  }
  return marker;
}

Result<MarkerPlace> ParseMarkerPlace(const std::string& text) {
  constexpr std::string_view kScheme = "s3://";
  const std::size_t slash = text.find('/', kScheme.size());
  if (!text.starts_with(kScheme) || slash == std::string::npos || slash == kScheme.size() || slash + 1 == text.size()) {
    return Fail("marker '" + text + "' is not a place in S3", "write s3://bucket/key");
  }
  return MarkerPlace{text.substr(kScheme.size(), slash - kScheme.size()), text.substr(slash + 1)};
}

Result<std::optional<Marker>> MarkerFor(const std::optional<Marker>& stands, bool leads_there, const std::string& name,
                                        const RegionName& target, Epoch epoch) {
  // SAFETY: a late writer never undoes a newer primaryship (AwsTrafficMarker.ALateWriterIsRefused).
  if (stands && stands->epoch > epoch) {
    return Refused("the marker of '" + name + "' in '" + target.text + "' stands under epoch '" +
                       std::to_string(stands->epoch.number) + "' of '" + stands->serves.text + "', ours is '" +
                       std::to_string(epoch.number) + "'",
                   "another region has taken over since; run 'lifeboat status'");
  }
  const bool same_epoch = stands && stands->epoch == epoch;
  if (same_epoch && stands->serves != target) {
    return Refused(
        "epoch '" + std::to_string(epoch.number) + "' is that of '" + stands->serves.text + "', not of '" + target.text + "'",
        "run 'lifeboat status'");
  }
  if (same_epoch && (stands->takes_over || leads_there)) return std::optional<Marker>();
  Marker marker{true, name, target, target, epoch};
  // A region that already serves only writes down its epoch. Where another one may have served in between, its marker may still be
  // unseen by the health checks, and what the name servers answer is then not what they will answer.
  const bool nobody_between = !stands || (stands->serves == target && stands->epoch.number + 1 == epoch.number);
  if (leads_there && nobody_between) marker.takes_over = stands && stands->takes_over;
  return std::optional<Marker>(marker);
}

}  // namespace lifeboat::aws
