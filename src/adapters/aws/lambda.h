#pragma once

// Lambda: a function that is called and waited for.
// Thread rule: as Client.
// @source Lambda API reference, 2015-03-31
// @iam lambda:InvokeFunction
// @iam lambda:GetFunctionConfiguration

#include <cstdint>
#include <string>

#include "adapters/aws/client.h"

namespace lifeboat::aws::lambda {

struct Function {
  std::string arn;
  std::string state;            ///< "Active", "Inactive" (asleep: the first call wakes it), "Pending", "Failed", …
  std::string reason;           ///< of that state, in AWS's words
  std::string last_update;      ///< "Successful", "InProgress", "Failed"
  std::uint64_t timeout_s = 0;  ///< after which AWS ends it
};
/// @param function  name or ARN @error kNotFound: there is no such function in that region
Task<Result<Function>> GetFunction(Client& client, std::string region, std::string function, Duration timeout);

struct Answer {
  std::string error;    ///< "Unhandled", "Handled"; empty: the function came to its end
  std::string payload;  ///< what it answered; of an error: {"errorType", "errorMessage", …}
};
/// Calls it and waits until it has ended, with `timeout` for all of it. Sent once: a second call would run it twice.
/// @error kUnknownOutcome: no answer came: it may have run, or run still; kRetry: it was not called
Task<Result<Answer>> Invoke(Client& client, std::string region, std::string function, std::string payload, Duration timeout);

}  // namespace lifeboat::aws::lambda
