#pragma once

// Whether the zone's records and health checks are such that a failover moves the name, and how long that takes. It judges what was
// read and reads nothing. The lines say what was seen, with the numbers, and what to do.
// Thread rule: pure functions and plain values.
// @source Route 53 Developer Guide, "How Route 53 chooses records when health checking is configured", "Disabling health checks"

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "adapters/aws/route53.h"
#include "adapters/aws/traffic_marker.h"
#include "config/aws_settings.h"
#include "ports/readiness.h"

namespace lifeboat::aws {

struct ZoneView {
  std::vector<route53::RecordSet> records;             ///< all of the zone
  std::map<std::string, route53::HealthCheck> checks;  ///< by id: those of the name's records; lacks those that are not there
  std::map<std::string, bool> healthy;                 ///< as the checkers see them; lacks those whose status could not be read
};

/// A region's marker as it stands, and as the internet sees it.
struct MarkerLook {
  std::optional<Marker> marker;
  std::string problem;     ///< why it could not be read; empty: it was, or is not there
  std::string public_url;  ///< where checkers look
  int public_status = 0;   ///< of an unsigned look; 0: no answer
};

/// Standby takes over: two failover records, each with an inverted check that searches the other region's marker.
[[nodiscard]] std::vector<Readiness> JudgePair(const AwsTrafficSettings& settings, const ZoneView& view);
/// Markers: readable, public, and at rest as the next failover needs them. The primary record's region is told from `view`.
[[nodiscard]] std::vector<Readiness> JudgeMarkers(const AwsTrafficSettings& settings, const ZoneView& view,
                                                  const std::map<RegionName, MarkerLook>& markers);
/// Routing control: each region's record has a check on that region's control.
[[nodiscard]] std::vector<Readiness> JudgeControls(const AwsTrafficSettings& settings, const ZoneView& view);
/// Records: one simple record, and what the kind depends on.
[[nodiscard]] std::vector<Readiness> JudgeRecord(const AwsTrafficSettings& settings, const ZoneView& view);
/// From the act until no client is sent to the old region any more: detection, way to the name servers, TTL; against the RTO.
[[nodiscard]] std::vector<Readiness> JudgeTime(const AwsTrafficSettings& settings, const ZoneView& view, Duration rto);
/// Other records of the zone that lead to a region's target and that no kind moves.
[[nodiscard]] std::vector<Readiness> JudgeOthers(const AwsTrafficSettings& settings, const ZoneView& view);

/// Where the checkers find a marker: "https://bucket.s3.region.amazonaws.com/key".
[[nodiscard]] std::string PublicUrl(const MarkerPlace& place, const RegionName& region);

}  // namespace lifeboat::aws
