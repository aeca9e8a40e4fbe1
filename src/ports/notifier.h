#pragma once

// The door to those who want to be told: a topic, an event bus. Telling is never a condition of acting: who calls goes on whatever
// comes back, and writes it down. A receiver may get the same word twice: `body` carries an id that tells.
// Thread rule: one executor that runs one thing at a time.

#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "base/task.h"
#include "base/time.h"
#include "ports/readiness.h"

namespace lifeboat {

class Notifier {
 public:
  virtual ~Notifier() = default;
  /// Who is told: "topic 'arn:…'", for messages.
  [[nodiscard]] virtual std::string name() const = 0;
  /// @param subject  one line of at most 100 characters; what is not printable ASCII is replaced, what is longer is cut
  /// @param body     an object; at most 200 KiB as text
  /// @error kRetry: not taken; kUnknownOutcome: perhaps taken; kNotFound: nobody there; kFail: it will never be taken
  virtual Task<Result<Unit>> Tell(std::string subject, Json body, Duration timeout) = 0;
  /// Lines for `lifeboat check`: whether it exists and leads to anybody.
  virtual Task<Result<std::vector<Readiness>>> Check(Duration timeout) = 0;
};

}  // namespace lifeboat
