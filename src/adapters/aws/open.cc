#include "adapters/aws/open.h"

namespace lifeboat::aws {

Task<Result<std::shared_ptr<Client>>> Open(boost::asio::any_io_executor executor, OpenOptions options, Surroundings surroundings) {
  Result<SharedConfig> config = co_await ReadSharedConfig(surroundings.files, surroundings.environment);
  if (!config) co_return config.error();
  std::string profile = options.credentials.profile;
  if (profile.empty()) profile = surroundings.environment("AWS_PROFILE").value_or("default");
  options.client.endpoints.Add(surroundings.environment);
  if (surroundings.environment("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").value_or("") != "true") {
    AddProfileEndpoints(*config, profile, options.client.endpoints);
  }
  HttpOptions http;
  http.tls.ca_file = surroundings.environment("AWS_CA_BUNDLE").value_or("");
  const ClientDoors doors{surroundings.clock, OpenTransport(executor, std::move(http)), DiceOfTheSystem(), surroundings.log};
  CredentialDoors credential_doors{doors, surroundings.files, surroundings.environment, options.client};
  auto credentials = OpenCredentials(std::move(options.credentials), std::move(credential_doors));
  co_return std::make_shared<Client>(std::move(credentials), std::move(options.client), doors);
}

}  // namespace lifeboat::aws
