#pragma once

// What the name servers of the zone answer, all of them asked at once, and what follows from their answers.
// Thread rule: as Client; the free functions are pure.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/aws_settings.h"
#include "ports/clock.h"
#include "ports/name_servers.h"
#include "ports/traffic.h"

namespace lifeboat::aws {

/// One name server, and its answer or why there is none.
struct ServerAnswer {
  Endpoint server;
  Result<NameAnswer> answer = RetryLater("not asked");
};

/// The same name or address, however it is written ("Db.example.com" and "db.example.com.").
[[nodiscard]] bool SameValue(const std::string& type, const std::string& one, const std::string& two);
/// The region whose target this is.
[[nodiscard]] std::optional<RegionName> RegionOfTarget(const AwsTrafficSettings& settings, const std::string& value);

/// Every server answers exactly `address`. False without servers.
[[nodiscard]] bool AllAnswer(const std::vector<ServerAnswer>& answers, const std::string& type, const std::string& address);
/// "'192.0.2.1:53' answers 'db.eu', '192.0.2.2:53' does not answer".
[[nodiscard]] std::string Describe(const std::vector<ServerAnswer>& answers);
/// What those that answer agree on, without an epoch. @error as AwsTraffic::Read
[[nodiscard]] Result<TrafficRecord> Agreed(const AwsTrafficSettings& settings, const std::vector<ServerAnswer>& answers);

class ZoneNames {
 public:
  ZoneNames(std::shared_ptr<NameServers> names, AwsTrafficSettings settings, Clock& clock);

  /// The servers that are named in the settings, else the zone's own, looked up again every hour; old ones serve on.
  Task<Result<std::vector<Endpoint>>> Servers(Duration timeout);
  /// All servers at once, each until `timeout`. @error kRetry: there is none to ask
  Task<Result<std::vector<ServerAnswer>>> AskAll(std::string name, std::string type, Duration timeout);
  /// Until all servers answer `address`. @error kUnknownOutcome: not within `timeout`; the message says who answers what
  Task<Result<Unit>> AwaitAnswer(std::string address, Duration look_every, Duration timeout);

 private:
  std::shared_ptr<NameServers> names_;
  AwsTrafficSettings settings_;
  Clock& clock_;
  std::vector<Endpoint> found_;
  std::optional<Instant> found_at_;
};

}  // namespace lifeboat::aws
