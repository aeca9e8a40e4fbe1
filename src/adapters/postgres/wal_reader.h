#pragma once

// The WAL of a stopped server, read by pg_waldump. pg_waldump verifies each record's checksum and back link as crash
// recovery does, so what it calls the end is where recovery would end.
// Thread rule: awaited on the executor it was given.

#include <boost/asio/any_io_executor.hpp>
#include <string>
#include <vector>

#include "adapters/postgres/deadline.h"
#include "adapters/postgres/wal.h"
#include "adapters/system/command.h"
#include "base/result.h"
#include "base/task.h"

namespace lifeboat::postgres {

/// How many transactions were committed in a stretch of WAL, and when.
struct CommitCount {
  std::uint64_t commits = 0;
  std::string first;  ///< wall time of the first, UTC; empty: none
  std::string last;
};

/// Where the valid WAL ends.
struct WalEnd {
  Lsn at;
  bool files_ended = false;  ///< no segment follows: what ended is what is left of the files, perhaps not the WAL
};

class WalReader {
 public:
  WalReader(boost::asio::any_io_executor executor, std::string bin_directory, std::string wal_folder, WalGeometry geometry)
      : executor_(std::move(executor)), bin_(std::move(bin_directory)), folder_(std::move(wal_folder)), geometry_(geometry) {}

  /// First byte after the last valid record of `timeline`. `from` may lie anywhere at or before it, also within a record.
  /// @error kNotFound: no segment with `from`; kFail: pg_waldump cannot read it
  Task<Result<WalEnd>> FindEnd(Timeline timeline, Lsn from, Deadline deadline) const;

  /// The record that begins exactly at `begin`. @error kNotFound: none does
  Task<Result<WalRecord>> ReadRecord(Timeline timeline, Lsn begin, Deadline deadline) const;

  /// Writes every transaction record of [from, end) to `file` as pg_waldump prints it.
  Task<Result<Unit>> ListTransactions(Timeline timeline, Lsn from, Lsn end, std::string file, Deadline deadline) const;

  [[nodiscard]] bool HasSegment(Timeline timeline, std::uint64_t segment) const;
  [[nodiscard]] const WalGeometry& geometry() const { return geometry_; }
  [[nodiscard]] const std::string& folder() const { return folder_; }

 private:
  [[nodiscard]] std::vector<std::string> Range(Timeline timeline, Lsn start, Lsn limit) const;
  Task<Result<CommandOutput>> Dump(Timeline timeline, Lsn start, Lsn limit, std::vector<std::string> options,
                                   Deadline deadline) const;
  Task<Result<Lsn>> LastRecordBefore(Timeline timeline, std::uint64_t first_byte, std::uint64_t limit, Deadline deadline) const;

  boost::asio::any_io_executor executor_;
  std::string bin_;
  std::string folder_;
  WalGeometry geometry_;
};

/// How the WAL of `timeline` begins at its fork, in hexadecimal: the record that ends recovery, which holds the microsecond of the
/// promotion and a checksum. Two servers that show the same hold one timeline. Blocks on the disk.
/// @error kNotFound: the segment is not in `folder`, or nothing was written after the fork
[[nodiscard]] Result<std::string> ReadBeginning(const std::string& folder, Timeline timeline, Lsn fork,
                                                const WalGeometry& geometry);

/// Counts the commits in a file that ListTransactions wrote. Blocks on the disk.
[[nodiscard]] Result<CommitCount> CountCommits(const std::string& file);

}  // namespace lifeboat::postgres
