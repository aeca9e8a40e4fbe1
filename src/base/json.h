#pragma once

// JSON as everything that leaves the process speaks it. Parsing never throws past ParseJson.

#include <nlohmann/json.hpp>

#include "base/result.h"
#include "base/types.h"

namespace lifeboat {

using Json = nlohmann::json;

/// Parses `text` completely or fails, naming `what` it was.
[[nodiscard]] Result<Json> ParseJson(std::string_view text, std::string_view what);

/// Field access that never throws: the value at `key`, or `fallback` where it is absent or of another type.
[[nodiscard]] std::string TextAt(const Json& object, const char* key, std::string fallback = {});
[[nodiscard]] std::uint64_t NumberAt(const Json& object, const char* key, std::uint64_t fallback = 0);
[[nodiscard]] std::int64_t SignedAt(const Json& object, const char* key, std::int64_t fallback = 0);
[[nodiscard]] bool FlagAt(const Json& object, const char* key, bool fallback = false);
/// The member at `key`, or a null value.
[[nodiscard]] const Json& MemberAt(const Json& object, const char* key);

}  // namespace lifeboat
