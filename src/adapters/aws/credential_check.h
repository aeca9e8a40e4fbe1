#pragma once

// Lines of `lifeboat check` about the credentials of this agent: where they come from, when they end, and whether renewing them
// would need a region that may be lost, or us-east-1. Thread rule: pure, but for CheckCredentials: as Client.

#include <string>
#include <vector>

#include "adapters/aws/credentials.h"
#include "adapters/aws/endpoint.h"
#include "ports/clock.h"
#include "ports/readiness.h"

namespace lifeboat::aws {

/// What renewing them depends on.
struct CredentialView {
  std::string own;                        ///< AWS region of the agent; empty: it is in none
  std::vector<std::string> data_regions;  ///< of the service: any of them may be lost
  std::string sts_region;                 ///< whose STS is asked for roles; empty: none is known
  std::string sts_url;                    ///< its endpoint, as it would be asked
};

/// True where a region bears a name as AWS gives them ("eu-west-1"): a witness may be elsewhere.
[[nodiscard]] bool IsAwsRegion(const std::string& region);
/// Whose STS an agent asks: its own region's; one that is in none: as the environment says; empty: none is known.
[[nodiscard]] std::string StsRegionFor(const std::string& agent_region, const Environment& environment);

[[nodiscard]] std::vector<Readiness> CredentialLines(const Credentials& credentials, const CredentialView& view, WallTime now);

Task<std::vector<Readiness>> CheckCredentials(std::shared_ptr<CredentialSource> source, CredentialView view, Clock& clock,
                                              Duration timeout);

}  // namespace lifeboat::aws
