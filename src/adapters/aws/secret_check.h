#pragma once

// Lines of `lifeboat check` about the secrets that a service needs wherever it runs: there in every data region, current, and under
// a key that works there. Their contents are never asked for. Thread rule: as Client.

#include <map>
#include <string>
#include <vector>

#include "adapters/aws/client.h"
#include "adapters/aws/secretsmanager.h"
#include "config/aws_settings.h"
#include "ports/clock.h"
#include "ports/readiness.h"

namespace lifeboat::aws {

/// A secret as one region shows it.
struct SecretLook {
  std::optional<secretsmanager::Secret> secret;
  bool missing = false;
  bool denied = false;
  std::string problem;    ///< why it could not be looked at; empty: it could, or is not there
  std::string key_state;  ///< of its own KMS key; empty: it has none, or it was not looked at
  std::string key_problem;
};

/// @param looks  by data region
[[nodiscard]] std::vector<Readiness> SecretLines(const std::string& name, const std::map<RegionName, SecretLook>& looks);

/// @param regions  data regions; all are asked at once
Task<std::vector<Readiness>> CheckSecrets(Client& client, std::vector<AwsSecretSettings> secrets, std::vector<RegionName> regions,
                                          Clock& clock, Duration timeout);

}  // namespace lifeboat::aws
