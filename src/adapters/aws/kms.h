#pragma once

// KMS: whether a key could be used. Nothing is encrypted or decrypted here.
// Thread rule: as Client.
// @source KMS API reference, 2014-11-01, DescribeKey; "Key states of AWS KMS keys"

#include <string>

#include "adapters/aws/client.h"

namespace lifeboat::aws::kms {

struct Key {
  std::string arn;
  std::string state;  ///< "Enabled", "Disabled", "PendingDeletion", "Unavailable", …
  bool multi_region = false;
  [[nodiscard]] bool Usable() const { return state == "Enabled"; }
};

/// @param key  an id or an ARN of that region @error kNotFound; kFail: not allowed
Task<Result<Key>> DescribeKey(Client& client, std::string region, std::string key, Duration timeout);

}  // namespace lifeboat::aws::kms
