#pragma once

// The parts of an HTTP request that say what is asked, taken apart without a socket.
// Thread rule: plain functions.

#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"
#include "base/types.h"

namespace lifeboat::serve {

/// True when `authorization` is "Bearer <token>". Constant-time in the token. @source RFC 6750, section 2.1
[[nodiscard]] bool IsAuthorized(std::string_view authorization, const Secret& token);

/// What the request line asks for.
struct Target {
  std::string path;   ///< as it stands: our pages have no escaped characters
  std::string query;  ///< after the '?'
};
[[nodiscard]] Target SplitTarget(std::string_view target);

/// "/v1/<a>/<b>" to "a.b"; nothing for other paths.
[[nodiscard]] std::optional<std::string> MethodOfPath(std::string_view path);

/// "k=v&…" to an object of strings. @error kFail: a bad escape, not UTF-8, no name, or one given twice
[[nodiscard]] Result<Json> ParseQuery(std::string_view query);

/// A body: a JSON object, or nothing at all for an empty one. @error kFail
[[nodiscard]] Result<Json> ParseBody(std::string_view body);

/// The HTTP status that stands for a class of error (docs/formats/peer.md).
[[nodiscard]] unsigned StatusOf(Retry retry);

/// {"error": {…}}.
[[nodiscard]] std::string ErrorBody(const Error& error);

}  // namespace lifeboat::serve
