#pragma once

// What a restored server says in its log, understood: how far recovery came, when, and if it ended, why. Its language is fixed (C).
// Thread rule: plain values.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "base/types.h"

namespace lifeboat::backup {

/// The line prefix that ServerWords understands: log_line_prefix = '%n ' (seconds since 1970 with milliseconds).
inline constexpr const char* kServerLinePrefix = "%n ";

/// A server's start, gathered from its log. Feed it the text as it grows.
class ServerWords {
 public:
  void Add(std::string_view text);

  /// When a line came, by the server's clock; nothing: not yet.
  [[nodiscard]] std::optional<WallTime> redo_began() const { return redo_began_; }
  [[nodiscard]] std::optional<WallTime> consistent() const { return consistent_; }
  [[nodiscard]] std::optional<WallTime> replayed() const { return replayed_; }  ///< the last record was replayed
  [[nodiscard]] std::optional<WallTime> ready() const { return ready_; }        ///< it takes connections
  [[nodiscard]] std::optional<Lsn> redo_done() const { return redo_done_; }     ///< start of the last record replayed
  /// Lines of FATAL and PANIC, with their hints, in order.
  [[nodiscard]] const std::vector<std::string>& deaths() const { return deaths_; }
  /// The last line that says something of a WAL record that cannot be used; may be empty.
  [[nodiscard]] const std::string& last_bad_record() const { return bad_record_; }
  /// The last WARNING, for a start that ends in silence.
  [[nodiscard]] const std::string& last_line() const { return last_line_; }

 private:
  void Line(std::string_view line);

  std::string rest_;
  std::optional<WallTime> redo_began_;
  std::optional<WallTime> consistent_;
  std::optional<WallTime> replayed_;
  std::optional<WallTime> ready_;
  std::optional<Lsn> redo_done_;
  std::vector<std::string> deaths_;
  std::string bad_record_;
  std::string last_line_;
};

/// Why a start or a recovery ended.
struct DeathCause {
  int fault = 31;    ///< 31: this host cannot start it; 32: the target was not reached; 12, 15, 16, 18, 22: what lower levels know
  std::string what;  ///< one sentence with the server's own words
  std::string todo;  ///< "": the fault's own
};
[[nodiscard]] DeathCause CauseOf(const ServerWords& words);

/// What an error of a query in a restored database means: F23 (page damaged), F26 (file shorter than it was, or gone), F21
/// (tablespace gone), F28 (rows without their index entries), F29 (index incoherent), 0: none of them.
/// @param sqlstate  five characters
[[nodiscard]] int FaultOfQueryError(std::string_view sqlstate, std::string_view message);

}  // namespace lifeboat::backup
