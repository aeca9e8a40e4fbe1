#pragma once

// The small languages inside lifeboat.yaml: durations, sizes, addresses, names, ${ENV}, and "did you mean". Pure.
// Thread rule: plain functions.

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "base/types.h"

namespace lifeboat {

/// "250ms", "3s", "1.5s", "10min", "1h", "7d": digits (up to three after a point) and a unit, nothing else. At most 365d.
[[nodiscard]] std::optional<Duration> ParseDuration(std::string_view text);

/// "64MiB", "1GB", "512B": digits (up to three after a point) and a unit; KiB MiB GiB TiB are powers of 1024, kB MB GB TB
/// powers of 1000.
[[nodiscard]] std::optional<ByteCount> ParseByteCount(std::string_view text);

/// Decimal digits, up to nine.
[[nodiscard]] std::optional<std::uint32_t> ParseNumber(std::string_view text);

/// "1/7": a part and a whole, 1 to 1000, the part at most the whole.
struct Share {
  std::uint32_t part = 1;
  std::uint32_t whole = 1;
};
[[nodiscard]] std::optional<Share> ParseShare(std::string_view text);

/// "10.0.1.5:5432" or "[2001:db8::5]:5432": an address that others can reach (never 0.0.0.0) and a port of 1 to 65535.
[[nodiscard]] std::optional<Endpoint> ParseEndpoint(std::string_view text);

/// "https://" or "http://" and what ParseEndpoint reads, nothing after it.
[[nodiscard]] bool IsMemberUrl(std::string_view text);

/// "s3://bucket/folder/folder": the bucket of 3 to 63 lower-case letters, digits, dots and hyphens; no folder without a name.
/// @source S3 user guide, "General purpose bucket naming rules"
[[nodiscard]] bool IsS3Folder(std::string_view text);
/// "rds:NAME": an RDS instance or an Aurora cluster by its identifier.
[[nodiscard]] bool IsRdsName(std::string_view text);

/// "https://" or "http://", a DNS name or an address, and perhaps a port; nothing after it.
[[nodiscard]] bool IsHostUrl(std::string_view text);

/// Lower-case letters, digits and hyphens, 1 to 63, no hyphen at either end. @source RFC 1123, section 2.1
[[nodiscard]] bool IsLabel(std::string_view text);

/// Labels (underscores allowed too) joined by dots, at most 253 bytes, with or without the final dot.
[[nodiscard]] bool IsDnsName(std::string_view text);
/// The same name in lower case with its final dot.
[[nodiscard]] std::string FullyQualified(std::string_view name);

/// A role or database name that needs no quoting tricks: letters, digits, '_' and '-', at most 63, not led by a digit or '-'.
[[nodiscard]] bool IsIdentifier(std::string_view text);

/// True when `path` is `folder` or lies inside it, by the words of both (nothing on the disk is asked).
[[nodiscard]] bool LiesInside(const std::string& path, const std::string& folder);

/// The value of an environment variable, or nothing where it is not set.
using Environment = std::function<std::optional<std::string>(const std::string&)>;

/// Replaces every ${NAME}; "$${" stands for a literal "${".
/// @error kFail: the variable is not set, or the braces do not close. The message never holds a value.
[[nodiscard]] Result<std::string> ExpandEnvironment(std::string_view text, const Environment& environment);

/// The candidate that `word` was most likely meant to be, or nothing where none is near.
[[nodiscard]] std::optional<std::string> NearestTo(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace lifeboat
