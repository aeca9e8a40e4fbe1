#pragma once

// Texts as AWS wants them: percent-encoding, base64, hashes. Nothing here sends anything.
// Thread rule: pure functions.
// @source Signature Version 4 "UriEncode()"; RFC 3986 section 2.3; RFC 4648

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lifeboat::aws {

/// Names with their values, in an order that may matter: headers, queries, parameters.
using Pairs = std::vector<std::pair<std::string, std::string>>;

/// Everything but A-Z a-z 0-9 - . _ ~ becomes %XX of its bytes; a slash only when `slash_too`.
[[nodiscard]] std::string UriEncode(std::string_view text, bool slash_too = true);
/// The bytes behind %XX; what is no such triple stays as it is. A plus stays a plus.
[[nodiscard]] std::string UriDecode(std::string_view text);
/// "a=1&b=x%20y" of plain pairs, in their order.
[[nodiscard]] std::string QueryString(const Pairs& pairs);
/// The plain pairs of a query string; a name without '=' has an empty value.
[[nodiscard]] Pairs ParseQuery(std::string_view text);

[[nodiscard]] std::string Base64(std::string_view bytes);
/// Nothing when the text is not base64.
[[nodiscard]] std::optional<std::string> FromBase64(std::string_view text);

/// Lower-case hex.
[[nodiscard]] std::string Hex(std::string_view bytes);
/// SHA-256 as lower-case hex.
[[nodiscard]] std::string Sha256Hex(std::string_view bytes);
/// HMAC-SHA-256, 32 raw bytes.
[[nodiscard]] std::string HmacSha256(std::string_view key, std::string_view bytes);

[[nodiscard]] std::string Lower(std::string_view text);
/// Without spaces and tabs at both ends.
[[nodiscard]] std::string_view Trim(std::string_view text);

/// The value of `name` (in lower case, as the names in `headers`); empty: there is none.
[[nodiscard]] std::string HeaderOf(const Pairs& headers, std::string_view name);

}  // namespace lifeboat::aws
