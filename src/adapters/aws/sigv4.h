#pragma once

// AWS Signature Version 4, header form. Pure: the time and the keys are given.
// Proven by AWS's own test vectors (tests/fixtures/aws_sigv4).
// Thread rule: pure functions.
// @source IAM User Guide, "Create a signed AWS API request"

#include <string>

#include "adapters/aws/credentials.h"
#include "adapters/aws/encoding.h"
#include "base/time.h"

namespace lifeboat::aws {

/// How the path enters the canonical request. Every service but S3 has both; S3 has neither, since an object's name may hold
/// anything, dots and slashes included.
struct PathRule {
  bool normalise = true;     ///< ".", ".." and "//" are taken out
  bool encode_again = true;  ///< what is percent-encoded is encoded once more
};
inline constexpr PathRule kPathAsSent{false, false};

struct Signable {
  std::string method;
  std::string path;          ///< as it is sent, percent-encoded
  Pairs query;               ///< plain
  Pairs headers;             ///< all that are to be signed, "host" among them; any case
  std::string payload_hash;  ///< Sha256Hex of the body
};

struct SigningScope {
  WallTime at;  ///< whole seconds count
  std::string region;
  std::string service;
  PathRule path_rule;
};

/// "20150830T123600Z".
[[nodiscard]] std::string AmzDate(WallTime at);

/// "host;x-amz-date".
[[nodiscard]] std::string SignedHeaders(const Pairs& headers);
[[nodiscard]] std::string CanonicalRequest(const Signable& request, PathRule rule);
[[nodiscard]] std::string StringToSign(const std::string& canonical_request, const SigningScope& scope);
/// Lower-case hex.
[[nodiscard]] std::string Signature(const std::string& secret_key, const std::string& string_to_sign, const SigningScope& scope);

/// Adds X-Amz-Date, X-Amz-Security-Token where there is one, and Authorization. Without a key: adds nothing.
void Sign(Signable& request, const Credentials& credentials, const SigningScope& scope);

}  // namespace lifeboat::aws
