#pragma once

// The token that agents and the command line share, from its file. Thread rule: any; blocks on the disk.

#include <string>

#include "base/result.h"
#include "base/types.h"

namespace lifeboat {

inline constexpr std::size_t kShortestToken = 16;

/// Reads the token, without the newline at its end.
/// @error kNotFound: no such file; kFail: it may be read by group or others, is empty, shorter than kShortestToken,
///        or holds anything but printable characters without spaces
[[nodiscard]] Result<Secret> ReadToken(const std::string& file);

}  // namespace lifeboat
