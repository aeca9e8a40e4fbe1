#pragma once

// Route 53's records and health checks. Reading and changing records goes to us-east-1, whichever region is named: a plan that
// needs a change of records says so. Answering names and checking health do not.
// Thread rule: as Client.
// @source Route 53 API reference, 2013-04-01

#include <optional>
#include <string>
#include <vector>

#include "adapters/aws/client.h"

namespace lifeboat::aws::route53 {

struct Zone {
  std::string id;    ///< "Z123", without "/hostedzone/"
  std::string name;  ///< "example.com."
  bool is_private = false;
};

struct RecordSet {
  std::string name;
  std::string type;
  std::string set_id;
  std::string failover;  ///< "PRIMARY", "SECONDARY"; empty: no failover record
  std::optional<std::uint64_t> weight;
  std::string region;                ///< of a latency record
  std::optional<std::uint64_t> ttl;  ///< seconds; none: an alias
  std::vector<std::string> values;
  std::string health_check;
  std::string alias_zone;  ///< of an alias
  std::string alias_name;
  bool alias_evaluates_health = false;
  std::string unknown;  ///< a member of the record that is not kept here ("GeoLocation"): it must not be written back
};

struct Change {
  std::string action;  ///< "CREATE", "UPSERT", "DELETE"
  RecordSet record;
};

struct ChangeInfo {
  std::string id;
  bool in_sync = false;  ///< on all name servers
};

struct HealthCheck {
  std::string id;
  std::string type;  ///< "HTTPS", "CALCULATED", "RECOVERY_CONTROL", …
  std::string host;
  std::string address;
  std::uint64_t port = 0;
  std::string path;
  std::string search;  ///< HTTPS_STR_MATCH: what must be in the body
  std::uint64_t interval_s = 30;
  std::uint64_t threshold = 3;
  bool inverted = false;
  bool disabled = false;
  std::string routing_control;
};

/// What one of the checkers saw last.
struct Observation {
  std::string region;
  std::string status;  ///< "Success: HTTP Status Code 200, OK", "Failure: …"
  std::optional<WallTime> at;
};

Task<Result<std::vector<Zone>>> ListHostedZones(Client& client, std::string region, Duration timeout);
/// All record sets of a zone, or those of one name. Values stand as Route 53 keeps them ("\052.example.com.").
Task<Result<std::vector<RecordSet>>> ListRecordSets(Client& client, std::string region, std::string zone, std::string name,
                                                    Duration timeout);
/// All or nothing. @error kRefused: the records do not fit what stands there (InvalidChangeBatch) @error kFail: a change would
/// write an empty set, or a record of which a part is not understood
Task<Result<ChangeInfo>> ChangeRecordSets(Client& client, std::string region, std::string zone, std::vector<Change> changes,
                                          std::string comment, Duration timeout);
Task<Result<ChangeInfo>> GetChange(Client& client, std::string region, std::string id, Duration timeout);
Task<Result<HealthCheck>> GetHealthCheck(Client& client, std::string region, std::string id, Duration timeout);
Task<Result<std::vector<Observation>>> GetHealthCheckStatus(Client& client, std::string region, std::string id, Duration timeout);
Task<Result<std::vector<HealthCheck>>> ListHealthChecks(Client& client, std::string region, Duration timeout);

/// Healthy as the checkers see it: more than 18 % of them say so; inverted and disabled are counted in.
/// @source Route 53 Developer Guide, "How Route 53 determines whether a health check is healthy"
[[nodiscard]] bool IsHealthy(const HealthCheck& check, const std::vector<Observation>& observations);

/// The body of ChangeResourceRecordSets. @error kFail: see ChangeRecordSets
[[nodiscard]] Result<std::string> ChangeBatchXml(const std::vector<Change>& changes, const std::string& comment);

}  // namespace lifeboat::aws::route53
