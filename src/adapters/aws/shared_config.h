#pragma once

// The files ~/.aws/config and ~/.aws/credentials: profiles and their properties. Pure: the texts are given.
// Thread rule: pure functions.
// @source AWS SDKs and Tools Reference Guide, "Shared config and credentials files"

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/aws/endpoint.h"
#include "base/result.h"
#include "base/types.h"

namespace lifeboat::aws {

/// The properties of a section, names in lower case. One of a nested block is "parent.child".
using Properties = std::map<std::string, std::string>;

struct SharedConfig {
  std::map<std::string, Properties> profiles;  ///< both files' properties, those of the credentials file over the others
  std::map<std::string, Properties> services;  ///< [services NAME] of the config file
};

/// Texts of files that are not there: empty. Lines that are no property are read over, as the vendor's tools do.
[[nodiscard]] SharedConfig ParseSharedConfig(std::string_view config, std::string_view credentials);

/// How a profile says that credentials are to be had.
struct ProfileCredentials {
  enum class Kind {
    kKeys,         ///< the keys in the profile
    kEnvironment,  ///< credential_source
    kContainer,
    kInstance,
    kWebIdentity,  ///< a token file, for the first role
  };
  struct Role {
    std::string arn;
    std::string external_id;
    std::string session_name;
    int seconds = 3600;
  };
  Kind kind = Kind::kKeys;
  std::string access_key_id;
  std::string secret_key;
  std::string session_token;
  std::string token_file;
  std::vector<Role> roles;  ///< taken one after the other, the first with what `kind` gives
  std::string region;       ///< of the profile that was asked for; empty: none
};

/// Follows `source_profile` from one profile to the next.
/// @error kNotFound: no such profile, or it says nothing about credentials
/// @error kFail: it says something that cannot be followed (a circle, a half key, credential_process, single sign-on)
[[nodiscard]] Result<ProfileCredentials> CredentialsOfProfile(const SharedConfig& config, const std::string& profile);

/// `endpoint_url` of the profile and of its services section, where nothing stands yet.
void AddProfileEndpoints(const SharedConfig& config, const std::string& profile, Endpoints& endpoints);

}  // namespace lifeboat::aws
