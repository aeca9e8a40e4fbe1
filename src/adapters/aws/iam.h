#pragma once

// IAM: only what tells whether actions are allowed. Nothing here changes anything, and nothing on the way of a failover asks it.
// Thread rule: as Client.
// @source IAM API reference, 2010-05-08, SimulatePrincipalPolicy

#include <string>
#include <vector>

#include "adapters/aws/client.h"

namespace lifeboat::aws::iam {

struct Simulated {
  std::string action;
  std::string resource;
  std::string decision;                      ///< "allowed", "explicitDeny", "implicitDeny"
  std::vector<std::string> missing_context;  ///< condition keys that the simulation knows no value of: its word is none
};
/// @param principal  ARN of a user or a role @error kFail: not allowed to ask
Task<Result<std::vector<Simulated>>> SimulatePrincipalPolicy(Client& client, std::string region, std::string principal,
                                                             std::vector<std::string> actions, std::vector<std::string> resources,
                                                             Duration timeout);

}  // namespace lifeboat::aws::iam
