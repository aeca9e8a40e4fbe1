#pragma once

// What a running source says of its archiver and its replication slots, judged; and held against what lies in the archive: every
// segment that the archiver was told to be kept is a canary, without anything being written. Thread rule: plain values; the judges
// are pure.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backup/finding.h"

namespace lifeboat::backup {

/// A row of pg_replication_slots.
struct SlotFacts {
  std::string name;
  bool active = false;
  std::string wal_status;                  ///< reserved, extended, unreserved, lost; "": it holds no WAL yet
  std::optional<std::int64_t> safe_bytes;  ///< WAL that may still be written before it is in danger; nothing: no limit
};

/// Times in seconds since 1970 by the server's clock; 0: never.
struct LiveFacts {
  std::int64_t now = 0;
  std::uint64_t system_id = 0;
  bool in_recovery = false;
  std::string archive_mode;   ///< off, on, always
  std::string last_archived;  ///< a file's name; "": none was since statistics began
  std::int64_t last_archived_at = 0;
  std::string last_failed;
  std::int64_t last_failed_at = 0;
  bool failing = false;            ///< its last try failed
  std::uint64_t waiting = 0;       ///< files that are to be archived
  std::int64_t waiting_since = 0;  ///< the oldest of them
  std::uint64_t segment_bytes = 16U << 20U;
  std::vector<SlotFacts> slots;
};

/// F46 (the archiver fails, or files wait longer than a few minutes; as a note: it is off), F47 (a slot lost WAL or is about to).
[[nodiscard]] std::vector<Finding> JudgeLive(const LiveFacts& facts);

/// F48: the archiver was told that a segment is kept, and no archive of this cluster holds it.
/// @param names  of all files of the archives, listed after the facts were asked
[[nodiscard]] std::vector<Finding> JudgeKept(const LiveFacts& facts, std::span<const std::string> names);

}  // namespace lifeboat::backup
