#include "adapters/aws/open.h"

namespace lifeboat::aws {

Task<Result<Opened>> OpenWithCredentials(boost::asio::any_io_executor executor, OpenOptions options, Surroundings surroundings) {
  Result<SharedConfig> config = co_await ReadSharedConfig(surroundings.files, surroundings.environment);
  if (!config) co_return config.error();
  std::string profile = options.credentials.profile;
  if (profile.empty()) profile = surroundings.environment("AWS_PROFILE").value_or("default");
  options.client.endpoints.Add(surroundings.environment);
  if (surroundings.environment("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").value_or("") != "true") {
    AddProfileEndpoints(*config, profile, options.client.endpoints);
  }
  Opened opened;
  opened.ca_file = options.ca_file.empty() ? surroundings.environment("AWS_CA_BUNDLE").value_or("") : options.ca_file;
  opened.endpoints = options.client.endpoints;
  HttpOptions http;
  http.tls.ca_file = opened.ca_file;
  const ClientDoors doors{surroundings.clock, OpenTransport(executor, std::move(http)), DiceOfTheSystem(), surroundings.log};
  CredentialDoors credential_doors{doors, surroundings.files, surroundings.environment, options.client};
  opened.credentials = OpenCredentials(std::move(options.credentials), std::move(credential_doors));
  opened.client = std::make_shared<Client>(opened.credentials, std::move(options.client), doors);
  co_return opened;
}

Task<Result<std::shared_ptr<Client>>> Open(boost::asio::any_io_executor executor, OpenOptions options, Surroundings surroundings) {
  Result<Opened> opened = co_await OpenWithCredentials(std::move(executor), std::move(options), std::move(surroundings));
  if (!opened) co_return opened.error();
  co_return opened->client;
}

}  // namespace lifeboat::aws
