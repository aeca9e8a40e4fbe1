#pragma once

// What both makers of traces share (trace.cc, trace_backup.cc).
// Thread rule: pure functions.

#include "prove/trace.h"

namespace lifeboat::trace_internal {

/// The first `bytes` bytes of SHA-256 over `text`, in lower-case hexadecimal. @source FIPS 180-4
[[nodiscard]] std::string HashPrefix(std::string_view text, std::size_t bytes);
/// A span's id is a hash of its trace and its key: made anew, it is the same.
[[nodiscard]] SpanId SpanIdOf(const TraceId& trace, std::string_view key);

}  // namespace lifeboat::trace_internal
