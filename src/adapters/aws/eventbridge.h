#pragma once

// EventBridge: an event on a bus, and whether any rule would take it.
// Thread rule: as Client.
// @source EventBridge API reference, 2015-10-07
// @iam events:PutEvents
// @iam events:DescribeEventBus
// @iam events:ListRules

#include <cstdint>
#include <string>

#include "adapters/aws/client.h"
#include "base/json.h"

namespace lifeboat::aws::eventbridge {

struct Event {
  std::string bus;          ///< its name or ARN
  std::string source;       ///< "lifeboat"
  std::string detail_type;  ///< what rules match on
  Json detail;              ///< an object
};
/// Sent again where no answer came: EventBridge itself delivers at least once, and receivers tell by what stands in the detail.
/// @return its id at EventBridge @error kRetry: it could not take the event now; kFail: it will never take it
Task<Result<std::string>> PutEvent(Client& client, std::string region, Event event, Duration timeout);

/// @return how many rules on it are on and would take an event of `source` @error kNotFound: there is no such bus
Task<Result<std::uint64_t>> RulesOf(Client& client, std::string region, std::string bus, std::string source, Duration timeout);
/// Whether a rule's pattern takes events of `source`, as far as its list of sources says. The other fields are not judged.
[[nodiscard]] bool WouldTake(const std::string& pattern, const std::string& source);

}  // namespace lifeboat::aws::eventbridge
