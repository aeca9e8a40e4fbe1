#pragma once

// Result<T>: the answer of everything that can fail, and Error: what happened, then what to do.
// Exceptions stop at the edges of the adapters; past them only Results travel.
// Thread rule: plain values.

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/check.h"

namespace lifeboat {

/// What a caller can do about an error. Nothing else about an error may steer code, but for `not_weighed` below.
enum class Retry {
  kRetry,           ///< nothing changed; the same call may work later
  kFail,            ///< the call cannot work as it is
  kNotFound,        ///< what was asked for is not there
  kRefused,         ///< a rule or a precondition said no; nothing was changed
  kUnknownOutcome,  ///< the change may or may not have happened: look again before any second attempt
};

[[nodiscard]] const char* ToString(Retry retry);

struct Error {
  Retry retry = Retry::kFail;
  std::string message;  ///< lower case, names and values quoted, no full stop
  std::string hint;     ///< the operator's next move; may be empty
  /// True: whoever was asked did not weigh it: asked too often, by a clock or credentials that do not hold, or, for want of those,
  /// not at all. That says nothing of whether what was asked about is well. Beside `retry`, which says what to do about it.
  bool not_weighed = false;

  /// "message" or "message\n  hint: ...".
  [[nodiscard]] std::string Text() const;

  /// The same error with `context` before its message.
  [[nodiscard]] Error Within(const std::string& context) const;
};

[[nodiscard]] Error RetryLater(std::string message, std::string hint = {});
[[nodiscard]] Error Fail(std::string message, std::string hint = {});
[[nodiscard]] Error NotFound(std::string message, std::string hint = {});
[[nodiscard]] Error Refused(std::string message, std::string hint = {});
[[nodiscard]] Error UnknownOutcome(std::string message, std::string hint = {});

struct Unit {
  friend bool operator==(const Unit&, const Unit&) = default;
};

template <typename T = Unit>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(google-explicit-constructor): reads as a value
  Result(Error error)
      : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor): reads as an error

  [[nodiscard]] bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  [[nodiscard]] T& value() & {
    LIFEBOAT_CHECK(ok(), "value() of an error");
    return std::get<0>(state_);
  }
  [[nodiscard]] const T& value() const& {
    LIFEBOAT_CHECK(ok(), "value() of an error");
    return std::get<0>(state_);
  }
  [[nodiscard]] T&& value() && {
    LIFEBOAT_CHECK(ok(), "value() of an error");
    return std::get<0>(std::move(state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  [[nodiscard]] const Error& error() const {
    LIFEBOAT_CHECK(!ok(), "error() of a value");
    return std::get<1>(state_);
  }

 private:
  std::variant<T, Error> state_;
};

/// Success of a call that has nothing to say.
[[nodiscard]] inline Result<Unit> Done() { return Unit{}; }

}  // namespace lifeboat
