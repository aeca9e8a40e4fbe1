#pragma once

// Lines of `lifeboat check` about what clients follow: records, health checks, markers, routing controls and name servers, looked
// at now, with numbers, while nothing is lost. Reads only; the zone is read through us-east-1. Thread rule: as Client.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "adapters/aws/client.h"
#include "config/aws_settings.h"
#include "ports/clock.h"
#include "ports/name_servers.h"
#include "ports/readiness.h"

namespace lifeboat::aws {

/// A look as health checks look, without a signature. @return the status @error kRetry: no answer
using PublicGet = std::function<Task<Result<int>>(std::string url, Duration timeout)>;
[[nodiscard]] PublicGet OpenPublicGet(Transport transport);

struct TrafficCheckDoors {
  std::shared_ptr<Client> client;
  std::shared_ptr<NameServers> names;
  Clock& clock;
  PublicGet look;
};

/// @param rto  of the service  @error never for what it finds: what cannot be looked at is a line of level "unknown" or "fault"
Task<Result<std::vector<Readiness>>> CheckAwsTraffic(TrafficCheckDoors doors, AwsTrafficSettings settings, Duration rto,
                                                     Duration timeout);

}  // namespace lifeboat::aws
