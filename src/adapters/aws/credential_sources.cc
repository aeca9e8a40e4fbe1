// The sources that stand on the machine itself: environment, container endpoint, instance.

#include <array>

#include "adapters/aws/credential_chain.h"
#include "adapters/aws/http_date.h"

namespace lifeboat::aws {

namespace {

constexpr Duration kNearbyTimeout = 2s;  // of one question to a link-local address
constexpr int kNearbyAttempts = 3;
constexpr const char* kInstanceEndpoint = "http://169.254.169.254";
constexpr const char* kContainerEndpoint = "http://169.254.170.2";

/// The answer of the container's and the instance's endpoint.
Result<SharedCredentials> ParseKeys(const std::string& body, const std::string& source) {
  const Result<Json> json = ParseJson(body, source);
  if (!json) return json.error();
  auto credentials = std::make_shared<Credentials>();
  credentials->access_key_id = TextAt(*json, "AccessKeyId");
  credentials->secret_key = Secret(TextAt(*json, "SecretAccessKey"));
  credentials->session_token = Secret(TextAt(*json, "Token"));
  credentials->expires = ParseTimestamp(TextAt(*json, "Expiration"));
  credentials->source = source;
  if (credentials->access_key_id.empty() || credentials->secret_key.empty()) {
    return RetryLater("the credentials of the " + source + " are not whole: '" + TextAt(*json, "Code", "no code") + "'");
  }
  return SharedCredentials(std::move(credentials));
}

/// A question to a service beside this machine, asked again when it does not answer or fails.
Task<Result<HttpResponse>> AskNearby(CredentialDoors& doors, HttpRequest request, Duration timeout) {
  const Instant began = doors.client.clock.Now();
  const RetryLimits limits;
  for (int attempt = 1;; ++attempt) {
    const Duration left = timeout - AgeAt(began, doors.client.clock.Now());
    if (left <= 0ns) co_return RetryLater("'" + request.url + "' did not answer in time");
    HttpRequest one = request;
    Result<HttpResponse> response = co_await doors.client.transport(std::move(one), std::min(left, kNearbyTimeout));
    if (response.ok() && response->status < 500) co_return response;
    if (attempt == kNearbyAttempts) {
      if (!response) co_return RetryLater(response.error().message, response.error().hint);
      co_return RetryLater("'" + request.url + "' answered " + std::to_string(response->status));
    }
    co_await doors.client.clock.Sleep(BackOff(limits, attempt + 1, doors.client.dice()));
  }
}

class FromEnvironment final : public CredentialSource {
 public:
  explicit FromEnvironment(Environment environment) : environment_(std::move(environment)) {}

  Task<Result<SharedCredentials>> Get(Duration /*timeout*/) override {
    const auto key = environment_("AWS_ACCESS_KEY_ID");
    const auto secret = environment_("AWS_SECRET_ACCESS_KEY");
    if (!key && !secret) co_return NotFound("the environment has no keys");
    if (!key || !secret) {
      co_return Fail("the environment has one half of a key", "set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or none");
    }
    auto credentials = std::make_shared<Credentials>();
    credentials->access_key_id = *key;
    credentials->secret_key = Secret(*secret);
    credentials->session_token = Secret(environment_("AWS_SESSION_TOKEN").value_or(""));
    credentials->source = "environment";
    co_return SharedCredentials(std::move(credentials));
  }

 private:
  Environment environment_;
};

class FromContainer final : public CredentialSource {
 public:
  explicit FromContainer(CredentialDoors doors) : doors_(std::move(doors)) {}

  Task<Result<SharedCredentials>> Get(Duration timeout) override {
    HttpRequest request;
    const auto relative = doors_.environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const auto full = doors_.environment("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    if (relative) {
      request.url = kContainerEndpoint + *relative;
    } else if (full) {
      if (!MayBeAsked(*full)) {
        co_return Fail("AWS_CONTAINER_CREDENTIALS_FULL_URI names a host that credentials are not taken from",
                       "https, or http at a loopback or link-local address of ECS or EKS");
      }
      request.url = *full;
    } else {
      co_return NotFound("the environment names no container endpoint");
    }
    std::string token = doors_.environment("AWS_CONTAINER_AUTHORIZATION_TOKEN").value_or("");
    if (const auto file = doors_.environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")) {
      Result<std::string> text = co_await doors_.files.Read(*file);
      if (!text) co_return RetryLater(text.error().message, text.error().hint);
      token = text->substr(0, text->find_last_not_of(" \r\n\t") + 1);
    }
    // A line break would let the environment write headers of its own.
    if (token.find_first_of("\r\n") != std::string::npos) co_return Fail("the token of the container endpoint has line breaks");
    if (!token.empty()) request.headers.push_back("Authorization: " + token);
    request.headers.emplace_back("Accept: application/json");
    Result<HttpResponse> response = co_await AskNearby(doors_, std::move(request), timeout);
    if (!response) co_return response.error();
    if (response->status != 200) {
      co_return RetryLater("the container endpoint answered " + std::to_string(response->status) + " instead of credentials");
    }
    co_return ParseKeys(response->body, "container endpoint");
  }

 private:
  /// @source AWS SDKs and Tools Reference Guide, "Container credential provider"
  static bool MayBeAsked(const std::string& url) {
    if (url.starts_with("https://")) return true;
    constexpr std::array kHosts{"http://127.",          "http://localhost",      "http://[::1]",
                                "http://169.254.170.2", "http://169.254.170.23", "http://[fd00:ec2::23]"};
    for (const std::string_view host : kHosts) {
      if (!url.starts_with(host)) continue;
      const std::string_view rest = std::string_view(url).substr(host.size());
      const bool whole = rest.empty() || rest.front() == '/' || rest.front() == ':';
      if (whole || (host.ends_with("127.") &&
                    rest.substr(0, rest.find_first_of("/:")).find_first_not_of("0123456789.") == std::string_view::npos)) {
        return true;
      }
    }
    return false;
  }
  CredentialDoors doors_;
};

class FromInstance final : public CredentialSource {
 public:
  explicit FromInstance(CredentialDoors doors) : doors_(std::move(doors)) {}

  Task<Result<SharedCredentials>> Get(Duration timeout) override {
    if (Lower(doors_.environment("AWS_EC2_METADATA_DISABLED").value_or("")) == "true") {
      co_return NotFound("AWS_EC2_METADATA_DISABLED is set");
    }
    const std::string base = doors_.environment("AWS_EC2_METADATA_SERVICE_ENDPOINT").value_or(kInstanceEndpoint);
    const std::string roles = base + (base.ends_with('/') ? "" : "/") + "latest/meta-data/iam/security-credentials/";
    HttpRequest ask;
    ask.method = "PUT";
    ask.url = base + (base.ends_with('/') ? "" : "/") + "latest/api/token";
    ask.headers = {"X-aws-ec2-metadata-token-ttl-seconds: 21600", "Content-Type:"};
    Result<HttpResponse> token = co_await AskNearby(doors_, std::move(ask), timeout);
    // From a container behind the instance the answer does not come back where the hop limit is 1: that looks as silence.
    if (!token)
      co_return RetryLater(token.error().message,
                           "where this machine is no instance of EC2, give it keys or a profile; in a container on one the hop "
                           "limit of the instance's metadata options must be 2");
    // Version 1, which answers without a token, is not asked: a server that can be made to fetch URLs would give the keys away.
    if (token->status != 200 || token->body.find_first_of("\r\n") != std::string::npos) {
      co_return RetryLater("the instance metadata service gave no token, but " + std::to_string(token->status),
                           "in a container the hop limit of the instance's metadata options must be 2");
    }
    Result<HttpResponse> name = co_await Get(roles, token->body, timeout);
    if (!name) co_return name.error();
    if (name->status == 404) co_return NotFound("the instance has no role");
    const std::string role = name->body.substr(0, name->body.find_first_of("\r\n"));
    Result<HttpResponse> keys = co_await Get(roles + UriEncode(role), token->body, timeout);
    if (!keys) co_return keys.error();
    if (keys->status != 200) co_return RetryLater("the instance metadata service answered " + std::to_string(keys->status));
    co_return ParseKeys(keys->body, "instance role '" + role + "'");
  }

 private:
  Task<Result<HttpResponse>> Get(std::string url, std::string token, Duration timeout) {
    HttpRequest request;
    request.url = std::move(url);
    request.headers.push_back("X-aws-ec2-metadata-token: " + token);
    co_return co_await AskNearby(doors_, std::move(request), timeout);
  }
  CredentialDoors doors_;
};

}  // namespace

std::shared_ptr<CredentialSource> EnvironmentCredentials(Environment environment) {
  return std::make_shared<FromEnvironment>(std::move(environment));
}
std::shared_ptr<CredentialSource> ContainerCredentials(CredentialDoors doors) {
  return std::make_shared<FromContainer>(std::move(doors));
}
std::shared_ptr<CredentialSource> InstanceCredentials(CredentialDoors doors) {
  return std::make_shared<FromInstance>(std::move(doors));
}

}  // namespace lifeboat::aws
