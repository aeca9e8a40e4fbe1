#include "base/result.h"

#include <cstdio>
#include <cstdlib>

namespace lifeboat {

namespace internal {
void CheckFailed(const char* expression, const char* what, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: check failed: %s (%s)\n", file, line, expression, what);
  std::abort();
}
}  // namespace internal

const char* ToString(Retry retry) {
  switch (retry) {
    case Retry::kRetry: return "retry";
    case Retry::kFail: return "fail";
    case Retry::kNotFound: return "not_found";
    case Retry::kRefused: return "refused";
    case Retry::kUnknownOutcome: return "unknown_outcome";
  }
  return "fail";
}

std::string Error::Text() const { return hint.empty() ? message : message + "\n  hint: " + hint; }

Error Error::Within(const std::string& context) const { return Error{retry, context + ": " + message, hint, not_weighed}; }

Error RetryLater(std::string message, std::string hint) { return {Retry::kRetry, std::move(message), std::move(hint)}; }
Error Fail(std::string message, std::string hint) { return {Retry::kFail, std::move(message), std::move(hint)}; }
Error NotFound(std::string message, std::string hint) { return {Retry::kNotFound, std::move(message), std::move(hint)}; }
Error Refused(std::string message, std::string hint) { return {Retry::kRefused, std::move(message), std::move(hint)}; }
Error UnknownOutcome(std::string message, std::string hint) {
  return {Retry::kUnknownOutcome, std::move(message), std::move(hint)};
}

}  // namespace lifeboat
