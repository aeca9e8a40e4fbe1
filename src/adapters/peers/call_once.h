#pragma once

// One question to an agent over plain HTTP, for the command line: connects, asks, closes.
// Thread rule: CallOnce on `executor`; CallOnceBlocking on any thread, with an io_context of its own.

#include <boost/asio/any_io_executor.hpp>
#include <string>

#include "base/json.h"
#include "base/result.h"
#include "base/task.h"
#include "base/time.h"
#include "base/types.h"

namespace lifeboat {

/// POST /v1/<group>/<name> for method "group.name", /v1/<name> for "name". `token` must outlive the call.
/// @param timeout of the whole call; connecting takes at most 1 s of it
/// @error kRetry: no agent there, nothing was sent; kUnknownOutcome: sent, and no (whole) answer came;
///        kFail: the token is refused, the address lies beyond loopback and private networks, no method's name; else the agent's
///        own error
Task<Result<Json>> CallOnce(boost::asio::any_io_executor executor, Endpoint endpoint, const Secret& token, std::string method,
                            Json parameters, Duration timeout);

/// The same for callers without an event loop; blocks until the answer or `timeout`.
[[nodiscard]] Result<Json> CallOnceBlocking(const Endpoint& endpoint, const Secret& token, const std::string& method,
                                            const Json& parameters, Duration timeout);

}  // namespace lifeboat
