#pragma once

// What psql, pg_restore and the server say while a dump is loaded, understood: every error counted, with its place and SQLSTATE.
// Their language is fixed (C). Values of rows are left out: a report is read by more people than a database.
// Thread rule: plain values.

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace lifeboat::backup {

struct DumpError {
  std::string where;     ///< "line 12", "TABLE DATA orders alice", "COPY orders, line 3"; may be empty
  std::string sqlstate;  ///< five characters; "": the tool's own error
  std::string message;   ///< without values
};

/// Feed it the common log of the server (log_error_verbosity = verbose, kServerLinePrefix) and of the tool, as it grows.
class DumpWords {
 public:
  static constexpr std::size_t kMostKept = 50;

  void Add(std::string_view text);
  /// No more comes: a last line without its end is a line.
  void End();

  /// Errors, without those that name absent roles and tablespaces.
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] const std::vector<DumpError>& first() const { return first_; }  ///< at most kMostKept of them
  /// Statements that name a role or a tablespace that the cluster has not, which a dump of one database cannot hold.
  [[nodiscard]] std::uint64_t absent_count() const { return absent_count_; }
  [[nodiscard]] const std::set<std::string>& absent() const { return absent_; }  ///< "role \"alice\""
  /// Statements that want more rights than their role has.
  [[nodiscard]] std::uint64_t refused_count() const { return refused_; }
  [[nodiscard]] const std::string& last_line() const { return last_line_; }

 private:
  void Line(std::string_view line);
  void ServerLine(std::string_view words);
  void Take(std::string where, std::string_view message);

  std::string rest_;
  std::string entry_;                          ///< of pg_restore's table of contents, that it is at
  std::map<std::string, std::string> states_;  ///< SQLSTATE by the message that the server gave last
  std::uint64_t count_ = 0;
  std::uint64_t absent_count_ = 0;
  std::uint64_t refused_ = 0;
  std::set<std::string> absent_;
  std::vector<DumpError> first_;
  bool open_ = false;  ///< the last error may still be told its context
  std::string last_line_;
};

/// What a failed load means: 31 (this host lacks something), 8 (the dump ends too early), 9 (it cannot be decompressed), 49 (no
/// room), 51.
[[nodiscard]] int FaultOfDumpError(const DumpError& error);

}  // namespace lifeboat::backup
