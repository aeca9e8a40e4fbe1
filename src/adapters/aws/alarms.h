#pragma once

// The door to alarms (ports/alarms.h) over CloudWatch: read in the region that they stand in.
// Thread rule: as Client.

#include <map>
#include <string>
#include <vector>

#include "adapters/aws/client.h"
#include "ports/alarms.h"

namespace lifeboat::aws {

class AwsAlarms final : public Alarms {
 public:
  /// `client` outlives it.
  explicit AwsAlarms(Client& client) : client_(client) {}
  Task<Result<std::map<std::string, AlarmState>>> States(RegionName region, std::vector<std::string> names,
                                                         Duration timeout) override;
  Task<Result<AlarmState>> State(RegionName region, std::string name, Duration timeout) override;
  Task<Result<std::vector<Readiness>>> Check(RegionName region, std::vector<std::string> names, Duration timeout) override;

 private:
  Client& client_;
};

}  // namespace lifeboat::aws
