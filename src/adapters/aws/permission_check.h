#pragma once

// Lines of `lifeboat check`: who the agent is to AWS, and whether it may do what its plans need. Asked without doing any of it.
// Thread rule: as Client.

#include <string>
#include <vector>

#include "adapters/aws/client.h"
#include "adapters/aws/permissions.h"
#include "ports/readiness.h"

namespace lifeboat::aws {

/// The role of "arn:aws:sts::1:assumed-role/agent/session" as IAM knows it, "arn:aws:iam::1:role/agent"; a user's ARN as it is.
/// Empty: no policy can be asked of it (the account's root, a federated user). A role's path is not in the session's ARN.
[[nodiscard]] std::string PrincipalOf(const std::string& caller_arn);

/// One line on who it is; then "ok" for all actions of a part together, "fault" for each that is denied, "unknown" where IAM may
/// not be asked or its answer depends on what only the real request has. Never an error: what cannot be asked is unknown.
/// @param region  whose STS is asked
Task<std::vector<Readiness>> CheckPermissions(Client& client, std::string region, const Settings& settings, Duration timeout);

}  // namespace lifeboat::aws
