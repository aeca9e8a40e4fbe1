#pragma once

// Security Token Service, always at the endpoint of a region: the global one is us-east-1's.
// Thread rule: as Client.
// @source STS API reference, 2011-06-15

#include <string>

#include "adapters/aws/client.h"

namespace lifeboat::aws::sts {

struct Role {
  std::string arn;
  std::string session_name;
  std::string external_id;  ///< what a role of another account asks for; empty: nothing
  int seconds = 3600;
};

/// @error kFail: the role may not be taken
Task<Result<SharedCredentials>> AssumeRole(Client& client, std::string region, Role role, Duration timeout);
/// `client` signs nothing: the token is the proof.
Task<Result<SharedCredentials>> AssumeRoleWithWebIdentity(Client& client, std::string region, Role role, Secret token,
                                                          Duration timeout);

struct Identity {
  std::string account;
  std::string arn;
};
/// Who the credentials are. Needs no permission.
Task<Result<Identity>> GetCallerIdentity(Client& client, std::string region, Duration timeout);

}  // namespace lifeboat::aws::sts
