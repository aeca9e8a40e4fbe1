#pragma once

// A client as the process's surroundings say it should be: credentials by the chain, endpoints from settings, environment and
// profile, certificates from AWS_CA_BUNDLE where it is set.
// Thread rule: as Client.

#include <boost/asio/any_io_executor.hpp>
#include <memory>

#include "adapters/aws/credential_chain.h"

namespace lifeboat::aws {

struct Surroundings {
  Clock& clock;
  Files& files;
  Environment environment;
  Log log;
};

struct OpenOptions {
  CredentialOptions credentials;
  ClientOptions client;  ///< endpoints that stand in it beat the environment's and the profile's
  std::string ca_file;   ///< empty: AWS_CA_BUNDLE, else the system's certificates
};

/// Asks nobody yet: credentials are looked for with the first call. What `surroundings` names outlives the client.
/// @error kFail: a shared file cannot be read
Task<Result<std::shared_ptr<Client>>> Open(boost::asio::any_io_executor executor, OpenOptions options, Surroundings surroundings);

/// A client, and what it was made of: for whoever must let another program ask AWS in its place.
struct Opened {
  std::shared_ptr<Client> client;
  std::shared_ptr<CredentialSource> credentials;
  Endpoints endpoints;
  std::string ca_file;  ///< empty: the system's certificates
};
/// As Open.
Task<Result<Opened>> OpenWithCredentials(boost::asio::any_io_executor executor, OpenOptions options, Surroundings surroundings);

}  // namespace lifeboat::aws
