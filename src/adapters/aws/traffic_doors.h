#pragma once

// The three kinds of traffic.h, one class each. Included by the factory and by nothing else.
// Thread rule: as Client.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "adapters/aws/route53.h"
#include "adapters/aws/routing_control.h"
#include "adapters/aws/s3.h"
#include "adapters/aws/traffic.h"
#include "adapters/aws/traffic_marker.h"
#include "adapters/aws/traffic_names.h"

namespace lifeboat::aws {

struct TrafficDoors {
  std::shared_ptr<Client> client;
  std::shared_ptr<NameServers> names;
  AwsTrafficSettings settings;
  AwsTrafficOptions options;
  Clock& clock;
  Log log;
};

/// What all kinds have: the name as its servers answer it.
class ZoneTraffic : public AwsTraffic {
 public:
  explicit ZoneTraffic(TrafficDoors doors);
  Task<Result<TrafficRecord>> Read(Duration timeout) override;
  Task<Result<std::string>> Settle(Duration timeout) override;

 protected:
  /// The epoch beside an answer that leads to `region`.
  virtual Task<Result<std::optional<Epoch>>> EpochOf(RegionName region, std::string address, Duration timeout) = 0;
  /// @error kFail: no region has this target
  [[nodiscard]] Result<RegionName> RegionOf(const std::string& address) const;
  /// The rest of Point, once acted: until all servers answer. `acted` begins the message of what is not yet so.
  Task<Result<Unit>> Prove(std::string address, std::string acted, Instant end);
  [[nodiscard]] Duration Left(Instant end) const;

  TrafficDoors doors_;
  ZoneNames zone_;
};

class StandbyTraffic final : public ZoneTraffic {
 public:
  StandbyTraffic(TrafficDoors doors, std::map<RegionName, MarkerPlace> places);
  Task<Result<Unit>> Point(std::string address, Epoch epoch, Duration timeout) override;
  Task<Result<std::string>> Settle(Duration timeout) override;

 private:
  struct Standing {
    std::optional<Marker> marker;  ///< none: there is no object
    std::string etag;
  };
  Task<Result<std::optional<Epoch>>> EpochOf(RegionName region, std::string address, Duration timeout) override;
  Task<Result<Standing>> ReadMarker(RegionName region, Duration timeout);
  /// Only over what was read. @error kRefused: something else stands there by now; else as s3::PutObject
  Task<Result<Unit>> WriteMarker(Marker marker, Standing over, Duration timeout);
  Task<Result<Unit>> Claim(RegionName target, bool leads_there, Epoch epoch, Instant end);
  Task<Result<std::string>> PutToRest(RegionName region, Marker own, Instant end);
  Task<Result<bool>> OwnIsPrimary(Duration timeout);

  std::map<RegionName, MarkerPlace> places_;
  std::map<RegionName, Instant> at_rest_;  ///< since when, as this object has seen it
};

class ControlTraffic final : public ZoneTraffic {
 public:
  ControlTraffic(TrafficDoors doors, routing_control::Cluster cluster);
  Task<Result<Unit>> Point(std::string address, Epoch epoch, Duration timeout) override;

 private:
  Task<Result<std::optional<Epoch>>> EpochOf(RegionName region, std::string address, Duration timeout) override;
  Task<Result<bool>> StandsFor(RegionName target, Duration timeout);
  Task<Result<Unit>> Switch(RegionName target, Instant end);

  routing_control::Cluster cluster_;
  std::optional<std::pair<RegionName, Epoch>> made_;  ///< routing controls keep no epoch: what this object made so
};

class RecordTraffic final : public ZoneTraffic {
 public:
  explicit RecordTraffic(TrafficDoors doors);
  Task<Result<Unit>> Point(std::string address, Epoch epoch, Duration timeout) override;

 private:
  Task<Result<std::optional<Epoch>>> EpochOf(RegionName region, std::string address, Duration timeout) override;
  Task<Result<std::vector<route53::RecordSet>>> Standing(Duration timeout);
};

/// "region=https://…", one each. @error kFail
[[nodiscard]] Result<routing_control::Cluster> ParseCluster(const std::vector<std::string>& endpoints);

/// Beside a record stands its epoch, as TXT "epoch=7" at this name: as where we keep the name ourselves (docs/architecture.md).
[[nodiscard]] std::string EpochRecordOf(const std::string& name);
/// @error kFail: the values are no epoch
[[nodiscard]] Result<std::optional<Epoch>> EpochInTexts(const std::vector<std::string>& values);
/// The batch that points the name to `target`: what stands is deleted by its exact values and made anew, so that it fails as a
/// whole where anything else stands there by now. Empty: it stands so already.
/// @param standing  the record sets of the name and of its epoch
/// @error kRefused: a newer epoch; kFail: the name has no record, several, or one of a routing policy
[[nodiscard]] Result<std::vector<route53::Change>> RecordBatch(const AwsTrafficSettings& settings,
                                                               const std::vector<route53::RecordSet>& standing,
                                                               const std::string& target, Epoch epoch);

}  // namespace lifeboat::aws
