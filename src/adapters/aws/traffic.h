#pragma once

// What clients follow where Route 53 answers the name. Three kinds (config/aws_settings.h), one door:
//
//   standby takes over   an object in the region that takes over, under inverted health checks: one conditional S3 put there
//   routing control      ARC's five endpoints: the target on and all others off, in one change that happens wholly or not at all
//   records              a change of the record itself, through us-east-1: the last resort
//
// Act, then prove: a change is done when every name server of the zone answers the target. Nothing is ever asked of a region that
// the service leaves. How records, checks and markers must stand: docs/aws.md, "Traffic".
// Thread rule: as Client. What is named by reference outlives the door.

#include <memory>
#include <string>
#include <vector>

#include "adapters/aws/client.h"
#include "config/aws_settings.h"
#include "ports/clock.h"
#include "ports/name_servers.h"
#include "ports/traffic.h"

namespace lifeboat::aws {

class AwsTraffic : public Traffic {
 public:
  /// What the name servers that answer agree on; `address` is the text of AwsTrafficSettings::targets where it is one of them. The
  /// epoch: standby takes over: of the marker in the own region, if it is about the region that is answered; routing control: of
  /// what this object last made so; records: of the TXT record.
  /// @error kRetry: no name server answers, or they do not agree (yet); kNotFound: the name does not exist; kFail: more than one
  /// value
  Task<Result<TrafficRecord>> Read(Duration timeout) override = 0;
  /// Done: every name server of the zone answers `address`. So `timeout` has to have room for health checks and for the change
  /// to reach them all; not for the TTL, which is counted from then on.
  /// @error kRefused: also a safety rule of routing control, in its words
  /// @error kUnknownOutcome: it was or may have been acted, and not all name servers answer the target yet
  /// @error kFail: `address` is no region's target, or what stands there cannot be understood
  Task<Result<Unit>> Point(std::string address, Epoch epoch, Duration timeout) override = 0;
  /// Standby takes over: brings the markers of the other regions up to the epoch of the own region's, and, in the primary record's
  /// region, puts the own marker back to rest afterwards, so that the next failover finds both at rest. Never part of a failover:
  /// it is called by the region that serves, at leisure, and only ever changes markers of older epochs. The other kinds: nothing.
  /// @return what it changed; empty: nothing
  /// @error kRefused: a marker of a newer epoch stands; kRetry: a region does not answer
  virtual Task<Result<std::string>> Settle(Duration timeout) = 0;
};

struct AwsTrafficOptions {
  RegionName own;              ///< of this agent
  Duration look_every = 1s;    ///< between two looks at the name servers
  Duration rest_after = 6min;  ///< no health check takes longer to notice a marker: 30 s × 10, and the way to the name servers
};

/// @error kFail: the settings cannot work: a marker that is no s3://bucket/key, an endpoint that is no region=https://…
[[nodiscard]] Result<std::unique_ptr<AwsTraffic>> OpenAwsTraffic(std::shared_ptr<Client> client, std::shared_ptr<NameServers> names,
                                                                 AwsTrafficSettings settings, AwsTrafficOptions options,
                                                                 Clock& clock, Log log);

}  // namespace lifeboat::aws
