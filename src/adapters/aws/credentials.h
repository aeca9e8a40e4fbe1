#pragma once

// Who a request to AWS is signed as. A source answers the credentials that hold now; the sources themselves (environment,
// files, roles, container, instance) are put together in credential_chain.h.
// Thread rule: one executor that runs one thing at a time.

#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/task.h"
#include "base/time.h"
#include "base/types.h"

namespace lifeboat::aws {

struct Credentials {
  std::string access_key_id;  ///< empty: the request is sent without a signature
  Secret secret_key;
  Secret session_token;             ///< empty: long-lived keys
  std::optional<WallTime> expires;  ///< nothing: never
  std::string source;               ///< for people: "environment", "profile 'dr'", "instance role 'db'"
};

using SharedCredentials = std::shared_ptr<const Credentials>;

class CredentialSource {
 public:
  virtual ~CredentialSource() = default;
  /// The credentials that hold now.
  /// @error kNotFound: this source has none here (the next one of a chain is asked); kRetry: it did not answer;
  ///        kFail: what was found cannot be used
  virtual Task<Result<SharedCredentials>> Get(Duration timeout) = 0;
  /// AWS said that these have expired or are unknown: the next Get does not answer them from memory.
  virtual void Reject(const SharedCredentials& /*rejected*/) {}
};

/// Answers the same for ever: fixed keys, or none for calls without a signature.
class FixedCredentials final : public CredentialSource {
 public:
  explicit FixedCredentials(Credentials credentials) : credentials_(std::make_shared<const Credentials>(std::move(credentials))) {}
  Task<Result<SharedCredentials>> Get(Duration /*timeout*/) override { co_return credentials_; }

 private:
  SharedCredentials credentials_;
};

}  // namespace lifeboat::aws
