#pragma once

// Where credentials come from, in the usual order; the first source that has any is kept:
//
//   environment → profile (keys, roles by source_profile or credential_source, web identity) → web identity of the environment
//   → container endpoint → instance (IMDSv2 alone)
//
// What expires is renewed minutes before, in the background, by one request for all who wait; while renewing fails the old ones
// serve on, expired or not: AWS is the judge of that, and the failure of a token service in a disaster is no reason to stop.
// Roles are taken through the endpoint of a region that is named, never through the global one.
// Thread rule: one executor that runs one thing at a time.
// @source AWS SDKs and Tools Reference Guide, "Standardized credential providers"

#include <memory>
#include <string>
#include <vector>

#include "adapters/aws/client.h"
#include "adapters/aws/credentials.h"
#include "adapters/aws/shared_config.h"
#include "adapters/aws/sts.h"
#include "ports/files.h"

namespace lifeboat::aws {

struct CredentialDoors {
  ClientDoors client;  ///< its log too
  Files& files;
  Environment environment;
  ClientOptions client_options;  ///< of the calls to STS
};

struct CredentialOptions {
  std::string profile;           ///< empty: AWS_PROFILE, then "default". When it is given the environment's keys are not looked at
  std::string region;            ///< whose STS is asked; empty: AWS_REGION, AWS_DEFAULT_REGION, the profile's
  std::vector<sts::Role> roles;  ///< taken with what was found, one after the other: another account's
};

/// The chain above, kept fresh.
[[nodiscard]] std::shared_ptr<CredentialSource> OpenCredentials(CredentialOptions options, CredentialDoors doors);

/// `source` with a memory: asked when there is nothing, minutes before the end, and after a Reject.
[[nodiscard]] std::shared_ptr<CredentialSource> Remembered(std::shared_ptr<CredentialSource> source, Clock& clock, Log log);

// ---- the single sources; kNotFound: not configured here ----

[[nodiscard]] std::shared_ptr<CredentialSource> EnvironmentCredentials(Environment environment);
[[nodiscard]] std::shared_ptr<CredentialSource> ContainerCredentials(CredentialDoors doors);
[[nodiscard]] std::shared_ptr<CredentialSource> InstanceCredentials(CredentialDoors doors);
/// `base` is asked for the keys that the role is taken with.
[[nodiscard]] std::shared_ptr<CredentialSource> RoleCredentials(std::shared_ptr<CredentialSource> base, sts::Role role,
                                                                std::string region, CredentialDoors doors);
/// The token is read anew each time: it is renewed in its file.
[[nodiscard]] std::shared_ptr<CredentialSource> WebIdentityCredentials(std::string token_file, sts::Role role, std::string region,
                                                                       CredentialDoors doors);

/// The texts of both shared files as the environment names them; absent ones are empty.
Task<Result<SharedConfig>> ReadSharedConfig(Files& files, Environment environment);

}  // namespace lifeboat::aws
