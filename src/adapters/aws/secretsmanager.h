#pragma once

// Secrets Manager: whether a secret stands in a region, and which version of it is the current one. What is in it is never asked
// for. Thread rule: as Client.
// @source Secrets Manager API reference, 2017-10-17, DescribeSecret
// @iam secretsmanager:DescribeSecret

#include <map>
#include <string>
#include <vector>

#include "adapters/aws/client.h"

namespace lifeboat::aws::secretsmanager {

struct Secret {
  std::string arn;
  std::string kms_key;                          ///< empty: the account's own key of that region
  std::string primary_region;                   ///< empty: it is replicated nowhere
  std::string current_version;                  ///< the version that is staged AWSCURRENT; empty: none is
  bool deleted = false;                         ///< its deletion is under way
  std::map<std::string, std::string> replicas;  ///< region → "InSync", "Failed", "InProgress", …: as the primary knows them
};

/// @error kNotFound: there is none of that name there
Task<Result<Secret>> DescribeSecret(Client& client, std::string region, std::string name, Duration timeout);

}  // namespace lifeboat::aws::secretsmanager
