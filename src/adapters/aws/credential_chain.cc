#include "adapters/aws/credential_chain.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <list>
#include <utility>

#include "base/spawn.h"

namespace lifeboat::aws {

namespace {

namespace asio = boost::asio;

constexpr Duration kEarly = std::chrono::minutes(10);  // before the end; a role's session lasts 15 minutes at least
constexpr Duration kPauseBetween = 10s;                // between two tries of renewing what still holds
constexpr Duration kRenewTimeout = 20s;
constexpr const char* kSessionName = "lifeboat";

class Memory final : public CredentialSource, public std::enable_shared_from_this<Memory> {
 public:
  Memory(std::shared_ptr<CredentialSource> source, Clock& clock, Log log)
      : source_(std::move(source)), clock_(clock), log_(std::move(log)) {}

  Task<Result<SharedCredentials>> Get(Duration timeout) override {
    const auto self = shared_from_this();
    if (kept_ && !IsDue()) co_return kept_;
    const bool holds = kept_ && !rejected_ && !HasEnded();
    const auto executor = co_await asio::this_coro::executor;
    // While they hold, a source that has nothing newer yet is not asked with every call: an instance's role changes five minutes
    // before its end.
    if (!renewing_ && (!holds || AgeAt(asked_at_, clock_.Now()) >= kPauseBetween)) {
      renewing_ = true;
      Spawn(executor, Renew(self));
    }
    if (holds) co_return kept_;
    if (renewing_) {
      auto waiter = waiters_.emplace(waiters_.end(), executor, std::chrono::steady_clock::now() + timeout);
      co_await waiter->async_wait(asio::as_tuple(asio::use_awaitable));
      waiters_.erase(waiter);
    }
    if (kept_ && !rejected_) co_return kept_;  // ended perhaps, and nothing newer was to be had: AWS is the judge
    if (failed_) co_return *failed_;
    co_return RetryLater("no credentials were answered within " + FormatDuration(timeout));
  }

  void Reject(const SharedCredentials& rejected) override {
    if (rejected == kept_) rejected_ = true;
  }

 private:
  [[nodiscard]] bool HasEnded() const { return kept_->expires && clock_.Wall() >= *kept_->expires; }
  [[nodiscard]] bool IsDue() const {
    return rejected_ || (kept_->expires && clock_.Wall().ns + Duration(kEarly).count() >= kept_->expires->ns);
  }

  static Task<> Renew(std::shared_ptr<Memory> self) {
    if (self->rejected_ && self->kept_) self->source_->Reject(self->kept_);
    Result<SharedCredentials> answer = co_await self->source_->Get(kRenewTimeout);
    self->renewing_ = false;
    self->asked_at_ = self->clock_.Now();
    if (answer.ok()) {
      self->failed_.reset();
      self->rejected_ = false;
      self->kept_ = *answer;
    } else {
      self->failed_ = answer.error();
      if (self->kept_) {
        self->log_.Warn("credentials could not be renewed; the old ones serve on",
                        {{"source", self->kept_->source}, {"problem", answer.error().message}});
      }
    }
    for (asio::steady_timer& waiter : self->waiters_) waiter.cancel();
  }

  std::shared_ptr<CredentialSource> source_;
  Clock& clock_;
  Log log_;
  SharedCredentials kept_;
  bool rejected_ = false;
  bool renewing_ = false;
  std::optional<Error> failed_;
  Instant asked_at_;
  std::list<asio::steady_timer> waiters_;
};

class FromRole final : public CredentialSource {
 public:
  FromRole(std::shared_ptr<CredentialSource> base, sts::Role role, std::string region, CredentialDoors doors)
      : base_(std::move(base)),
        client_(base_, doors.client_options, doors.client),
        role_(std::move(role)),
        region_(std::move(region)) {
    if (role_.session_name.empty()) role_.session_name = kSessionName;
  }
  Task<Result<SharedCredentials>> Get(Duration timeout) override {
    if (region_.empty()) {
      co_return Fail("no region is known whose token service could be asked for role '" + role_.arn + "'", "set AWS_REGION");
    }
    co_return co_await sts::AssumeRole(client_, region_, role_, timeout);
  }

 private:
  std::shared_ptr<CredentialSource> base_;
  Client client_;
  sts::Role role_;
  std::string region_;
};

class FromWebIdentity final : public CredentialSource {
 public:
  FromWebIdentity(std::string token_file, sts::Role role, std::string region, CredentialDoors doors)
      : token_file_(std::move(token_file)),
        role_(std::move(role)),
        region_(std::move(region)),
        files_(doors.files),
        client_(std::make_shared<FixedCredentials>(Credentials{}), doors.client_options, doors.client) {
    if (role_.session_name.empty()) role_.session_name = kSessionName;
  }
  Task<Result<SharedCredentials>> Get(Duration timeout) override {
    if (region_.empty()) {
      co_return Fail("no region is known whose token service could be asked for role '" + role_.arn + "'", "set AWS_REGION");
    }
    Result<std::string> text = co_await files_.Read(token_file_);
    if (!text) co_return RetryLater("the web identity token: " + text.error().message, text.error().hint);
    Secret token(text->substr(0, text->find_last_not_of(" \r\n\t") + 1));
    co_return co_await sts::AssumeRoleWithWebIdentity(client_, region_, role_, std::move(token), timeout);
  }

 private:
  std::string token_file_;
  sts::Role role_;
  std::string region_;
  Files& files_;
  Client client_;
};

/// What a profile says, found out when it is first asked: the files are read then.
class Chain final : public CredentialSource {
 public:
  Chain(CredentialOptions options, CredentialDoors doors) : options_(std::move(options)), doors_(std::move(doors)) {}

  Task<Result<SharedCredentials>> Get(Duration timeout) override {
    if (const auto chosen = chosen_; chosen) co_return co_await chosen->Get(timeout);
    Result<std::vector<Named>> sources = co_await Sources();
    if (!sources) co_return sources.error();
    if (!kind_.empty()) {
      // SAFETY: who was once found is not replaced by somebody else because a file is being written at this moment.
      std::erase_if(*sources, [this](const Named& one) { return one.kind != kind_; });
    }
    Error last = kind_.empty() ? NoneFound()
                               : RetryLater("the credentials of the " + kind_ + " are not there any more",
                                            "bring them back, or start the agent anew");
    for (const auto& [kind, source] : *sources) {
      Result<SharedCredentials> answer = co_await source->Get(timeout);
      if (answer.ok()) {
        chosen_ = source;
        kind_ = kind;
        co_return answer;
      }
      // What is configured and fails is not passed over: the next one would be somebody else.
      if (answer.error().retry != Retry::kNotFound) co_return answer.error();
    }
    co_return last;
  }
  /// The shared files are read anew: whoever renews what stands in them has perhaps done so.
  void Reject(const SharedCredentials& rejected) override {
    if (chosen_) chosen_->Reject(rejected);
    chosen_.reset();
  }

 private:
  struct Named {
    std::string kind;  ///< "environment", "profile", …
    std::shared_ptr<CredentialSource> source;
  };
  static Error NoneFound() {
    return NotFound("no credentials for AWS were found",
                    "give the machine a role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write a profile");
  }
  Task<Result<std::vector<Named>>> Sources();
  [[nodiscard]] std::string RegionOr(const std::string& fallback) const;
  [[nodiscard]] std::shared_ptr<CredentialSource> OfProfile(const ProfileCredentials& profile);
  [[nodiscard]] std::shared_ptr<CredentialSource> WithRoles(std::shared_ptr<CredentialSource> source, std::vector<sts::Role> roles,
                                                            const std::string& region) {
    for (sts::Role& role : roles) {
      source =
          RoleCredentials(Remembered(std::move(source), doors_.client.clock, doors_.client.log), std::move(role), region, doors_);
    }
    return source;
  }

  CredentialOptions options_;
  CredentialDoors doors_;
  std::shared_ptr<CredentialSource> chosen_;
  std::string kind_;  ///< of the one that was chosen first; empty: none was yet
};

std::string Chain::RegionOr(const std::string& fallback) const {
  if (!options_.region.empty()) return options_.region;
  return doors_.environment("AWS_REGION").value_or(doors_.environment("AWS_DEFAULT_REGION").value_or(fallback));
}

std::shared_ptr<CredentialSource> Chain::OfProfile(const ProfileCredentials& profile) {
  const std::string region = RegionOr(profile.region);
  std::vector<sts::Role> roles;
  for (const ProfileCredentials::Role& role : profile.roles) {
    roles.push_back(sts::Role{role.arn, role.session_name, role.external_id, role.seconds});
  }
  std::shared_ptr<CredentialSource> source;
  switch (profile.kind) {
    case ProfileCredentials::Kind::kEnvironment: source = EnvironmentCredentials(doors_.environment); break;
    case ProfileCredentials::Kind::kContainer: source = ContainerCredentials(doors_); break;
    case ProfileCredentials::Kind::kInstance: source = InstanceCredentials(doors_); break;
    case ProfileCredentials::Kind::kWebIdentity:
      source = WebIdentityCredentials(profile.token_file, roles.front(), region, doors_);
      roles.erase(roles.begin());
      break;
    case ProfileCredentials::Kind::kKeys: {
      Credentials keys;
      keys.access_key_id = profile.access_key_id;
      keys.secret_key = Secret(profile.secret_key);
      keys.session_token = Secret(profile.session_token);
      keys.source = "profile";
      source = std::make_shared<FixedCredentials>(std::move(keys));
      break;
    }
  }
  return WithRoles(std::move(source), std::move(roles), region);
}

Task<Result<std::vector<Chain::Named>>> Chain::Sources() {
  Result<SharedConfig> config = co_await ReadSharedConfig(doors_.files, doors_.environment);
  if (!config) co_return config.error();
  const auto asked = options_.profile.empty() ? doors_.environment("AWS_PROFILE") : std::optional<std::string>(options_.profile);
  std::vector<Named> sources;
  if (options_.profile.empty()) sources.push_back({"environment", EnvironmentCredentials(doors_.environment)});
  const Result<ProfileCredentials> profile = CredentialsOfProfile(*config, asked.value_or("default"));
  std::string region = RegionOr(profile.ok() ? profile->region : "");
  if (profile.ok()) {
    sources.push_back({"profile", OfProfile(*profile)});
  } else {
    if (profile.error().retry != Retry::kNotFound) co_return profile.error();
    if (asked && !config->profiles.contains(*asked)) {
      co_return Fail("there is no profile '" + *asked + "' in the shared files", "look at AWS_PROFILE and at ~/.aws/config");
    }
    const auto found = config->profiles.find(asked.value_or("default"));
    if (region.empty() && found != config->profiles.end() && found->second.contains("region")) region = found->second.at("region");
  }
  const auto token_file = doors_.environment("AWS_WEB_IDENTITY_TOKEN_FILE");
  const auto role = doors_.environment("AWS_ROLE_ARN");
  if (token_file && role) {
    const sts::Role taken{*role, doors_.environment("AWS_ROLE_SESSION_NAME").value_or(""), "", 3600};
    sources.push_back({"web identity", WebIdentityCredentials(*token_file, taken, region, doors_)});
  }
  sources.push_back({"container endpoint", ContainerCredentials(doors_)});
  sources.push_back({"instance", InstanceCredentials(doors_)});
  for (Named& one : sources) one.source = WithRoles(std::move(one.source), options_.roles, region);
  co_return sources;
}

}  // namespace

Task<Result<SharedConfig>> ReadSharedConfig(Files& files, Environment environment) {
  const std::string home = environment("HOME").value_or("");
  const auto path = [&](const char* variable, const char* name) {
    return environment(variable).value_or(home.empty() ? std::string() : home + "/.aws/" + name);
  };
  std::string texts[2];
  const std::string paths[2] = {path("AWS_CONFIG_FILE", "config"), path("AWS_SHARED_CREDENTIALS_FILE", "credentials")};
  for (std::size_t at = 0; at < 2; ++at) {
    if (paths[at].empty()) continue;
    Result<std::string> text = co_await files.Read(paths[at]);
    if (!text && text.error().retry != Retry::kNotFound) co_return text.error();
    if (text.ok()) texts[at] = std::move(*text);
  }
  co_return ParseSharedConfig(texts[0], texts[1]);
}

std::shared_ptr<CredentialSource> Remembered(std::shared_ptr<CredentialSource> source, Clock& clock, Log log) {
  return std::make_shared<Memory>(std::move(source), clock, std::move(log));
}
std::shared_ptr<CredentialSource> RoleCredentials(std::shared_ptr<CredentialSource> base, sts::Role role, std::string region,
                                                  CredentialDoors doors) {
  return std::make_shared<FromRole>(std::move(base), std::move(role), std::move(region), std::move(doors));
}
std::shared_ptr<CredentialSource> WebIdentityCredentials(std::string token_file, sts::Role role, std::string region,
                                                         CredentialDoors doors) {
  return std::make_shared<FromWebIdentity>(std::move(token_file), std::move(role), std::move(region), std::move(doors));
}
std::shared_ptr<CredentialSource> OpenCredentials(CredentialOptions options, CredentialDoors doors) {
  Clock& clock = doors.client.clock;
  Log log = doors.client.log;
  return Remembered(std::make_shared<Chain>(std::move(options), std::move(doors)), clock, std::move(log));
}

}  // namespace lifeboat::aws
