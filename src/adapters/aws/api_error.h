#pragma once

// What AWS said when it did not do what was asked, in any of its three dialects, and what a caller can do about it.
// Thread rule: pure functions.
// @source the error shapes of botocore 1.43; AWS SDKs, "Retry behavior"; "Error responses" of RDS, S3, Route 53 and DynamoDB

#include <string>
#include <string_view>

#include "adapters/aws/encoding.h"
#include "base/result.h"

namespace lifeboat::aws {

struct ApiError {
  int status = 0;
  std::string code;     ///< "InvalidGlobalClusterStateFault"; a bare status becomes "HTTP 503"
  std::string message;  ///< in AWS's words; may hold what was signed: ForPeople() before it is shown
  std::string request_id;
};

enum class Verdict {
  kThrottled,  ///< not done, later it may be
  kClock,      ///< not done: the time in the signature is not AWS's
  kExpired,    ///< not done: the credentials have ended
  kNotFound,   ///< not done: there is no such thing
  kRefused,    ///< not done: its state or a condition forbids it
  kFail,       ///< not done: it cannot work as it is
  kUnknown,    ///< AWS failed: done or not
};

/// The request id of an answer, from its headers.
[[nodiscard]] std::string RequestIdOf(const Pairs& headers);

/// Reads an answer whose status is 300 or more: JSON, XML of the query protocol, of S3, of Route 53, or no body at all.
[[nodiscard]] ApiError ParseApiError(int status, const Pairs& headers, const std::string& body);

/// @param clock_off: AWS's Date is minutes away from the time that was signed
[[nodiscard]] Verdict Judge(const ApiError& error, bool clock_off);

/// AWS's message without what was signed: a refused signature is answered with the whole request, session token included.
[[nodiscard]] std::string ForPeople(const ApiError& error);

/// The error for the caller; throttled, clock and expired are `not_weighed`. `what` is the call ("'FailoverGlobalCluster' of 'rds'
/// in 'eu-west-1'").
[[nodiscard]] Error ToError(const ApiError& error, Verdict verdict, const std::string& what);

}  // namespace lifeboat::aws
