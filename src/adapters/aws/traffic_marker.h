#pragma once

// The marker: a small object in each region's bucket that says whether the region has taken over, and under which epoch. Health
// checks search it for one word. It is never deleted: what stands keeps its epoch, so that every change can be conditional.
// Thread rule: pure functions and plain values.

#include <optional>
#include <string>

#include "base/result.h"
#include "base/types.h"

namespace lifeboat::aws {

/// What a health check on a marker searches it for. Nothing else in a marker may contain it.
inline constexpr const char* kTakesOverWord = "lifeboat-takes-over";
inline constexpr const char* kStandsBackWord = "lifeboat-stands-back";

struct Marker {
  bool takes_over = false;
  std::string name;   ///< the service's name in DNS
  RegionName region;  ///< whose marker it is
  RegionName serves;  ///< who has the primaryship of `epoch`
  Epoch epoch;
  friend bool operator==(const Marker&, const Marker&) = default;
};

[[nodiscard]] std::string MarkerText(const Marker& marker);
/// @error kFail: it is no marker, or that of another name or region
[[nodiscard]] Result<Marker> ParseMarker(const std::string& text, const std::string& name, const RegionName& region);

struct MarkerPlace {
  std::string bucket;
  std::string key;
};
/// "s3://bucket/key". @error kFail
[[nodiscard]] Result<MarkerPlace> ParseMarkerPlace(const std::string& text);

/// The marker that `target` must have to serve under `epoch`; nothing: what stands is right.
/// @param stands      in the target's region; nothing: none
/// @param leads_there every name server answers the target already
/// @error kRefused: a newer epoch stands there, or this epoch is another region's
[[nodiscard]] Result<std::optional<Marker>> MarkerFor(const std::optional<Marker>& stands, bool leads_there,
                                                      const std::string& name, const RegionName& target, Epoch epoch);

}  // namespace lifeboat::aws
