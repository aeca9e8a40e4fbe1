#pragma once

// What a verification says: verdicts as words, findings with their fault's number, place, meaning and remedy, a report.
// Thread rule: plain values.

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/time.h"

namespace lifeboat::backup {

/// Begins at "not checked" and stays there until something was looked at: never a pass by default.
enum class Verdict { kNotChecked, kUnknown, kPass, kFail };
[[nodiscard]] const char* ToString(Verdict verdict);  ///< "not checked", "unknown", "pass", "fail"
/// The verdict on both: a fail outweighs all, then unknown; a pass and a "not checked" are "not checked".
[[nodiscard]] Verdict Both(Verdict one, Verdict other);

/// The ladder (docs/backups.md).
enum class Level { kExists = 0, kStructure, kBytes, kPages, kRestores, kLogic, kContent };
inline constexpr int kLevels = 7;
[[nodiscard]] const char* ToString(Level level);

/// A fault that can be told. Numbers are permanent; those not listed have no check yet.
struct Fault {
  int number;
  Level level;
  const char* name;
  const char* means;  ///< for a restore
  const char* todo;
};
[[nodiscard]] std::span<const Fault> AllFaults();
[[nodiscard]] const Fault& FaultOf(int number);

enum class Severity {
  kNote,   ///< nothing fails by it
  kFault,  ///< the level fails
};

struct Finding {
  int fault = 0;
  Level level = Level::kExists;
  Severity severity = Severity::kFault;
  std::string set;       ///< the backup; "": the source as a whole
  std::string object;    ///< file, segment, timeline
  std::string position;  ///< "block 7", "0/3000148"; may be empty
  std::string what;      ///< one sentence
  std::string means;
  std::string todo;
  std::uint64_t count = 1;  ///< how many of the same kind this stands for

  [[nodiscard]] std::string Number() const;  ///< "F12"
};
/// With the fault's own meaning and remedy.
[[nodiscard]] Finding MakeFinding(int fault, std::string set, std::string object, std::string position, std::string what);

struct LevelResult {
  Verdict verdict = Verdict::kNotChecked;
  std::string reason;  ///< "not asked for", "the key cannot be read"; may be empty
};
using Levels = std::array<LevelResult, kLevels>;

/// What was gone through.
struct Counts {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;  ///< of content, after decompression
  std::uint64_t stored_bytes = 0;
  std::uint64_t pages = 0;
  std::uint64_t hot_pages = 0;  ///< written while the backup ran, and replaced by WAL replay
  std::uint64_t new_pages = 0;
  std::uint64_t wal_segments = 0;
  std::uint64_t wal_records = 0;
  std::uint64_t unread_files = 0;    ///< that could not be looked into; each has a reason
  std::uint64_t standing_files = 0;  ///< not read now: they are as they were when an earlier run read them, and found them good
  std::uint64_t standing_bytes = 0;  ///< as stored
  std::int64_t oldest_reading = 0;   ///< of those, seconds since 1970; 0: there is none
  void Add(const Counts& other);
};
[[nodiscard]] Json ToJson(const Counts& counts);

struct SetReport {
  std::string label;
  std::string kind;  ///< "pgbackrest full", "pg_basebackup tar"
  Levels levels;
  Counts counts;
  Json restore;  ///< what restoring it showed (RestoreOutcome); null: it was not restored
};

struct Report {
  std::string source;
  std::vector<SetReport> sets;
  Levels wal_levels;  ///< of the archive as a whole
  Counts wal_counts;
  std::vector<Finding> findings;
  Duration took{0};
  bool cancelled = false;

  [[nodiscard]] bool HasFault() const;
};
[[nodiscard]] Json ToJson(const Finding& finding);
[[nodiscard]] Json ToJson(const Levels& levels);
[[nodiscard]] Json ToJson(const Report& report);

}  // namespace lifeboat::backup
