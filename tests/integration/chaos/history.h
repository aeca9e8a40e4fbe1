#pragma once

// What a chaos run leaves behind, as plain values: everything that was written and what became of it, what is in the table in the
// end, what the loss ledger holds, and when each region's gate or guard let commits through. The checker judges it; nothing else
// does. Thread rule: plain values.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace lifeboat::chaos {

enum class Fate {
  kAcknowledged,  ///< the server said that it is committed
  kInDoubt,       ///< sent, and no answer came: it may be there or not
  kRefused,       ///< the server said no before the commit: it must not be there
};

/// One row that a writer sent. Numbers never repeat.
struct Row {
  int writer = 0;
  std::uint64_t n = 0;
  Fate fate = Fate::kInDoubt;
  std::int64_t sent_ns = 0;   ///< CLOCK_MONOTONIC
  std::int64_t ended_ns = 0;  ///< CLOCK_MONOTONIC: answer, or given up
  std::int64_t ended_wall_ns = 0;
  std::string region;          ///< whose server was asked
  std::uint32_t timeline = 0;  ///< acknowledged: the server's at that moment
  std::uint32_t xid = 0;       ///< acknowledged
};

/// A row that is in the table of the last primary.
struct PresentRow {
  int writer = 0;
  std::uint64_t n = 0;
  std::int64_t committed_wall_ns = 0;  ///< the commit record's own time; 0: unknown
};

/// What a rejoin saved from a region that had diverged: every commit after the fork, by its transaction's number.
struct LedgerEntry {
  std::string folder;
  std::string region;
  std::uint32_t timeline = 0;
  std::uint64_t commits = 0;                   ///< as the ledger counts them
  std::map<std::uint32_t, std::int64_t> xids;  ///< as pg_waldump reads them → wall time of the commit, ns
};

/// A time in which a region could commit, by its guard's log.
struct Permission {
  std::string region;
  std::uint64_t epoch = 0;
  std::int64_t opened_wall_ns = 0;             ///< of the log line
  std::optional<std::int64_t> closed_wall_ns;  ///< the deadline itself; nothing: it is open, or its end was never logged
};

struct History {
  std::vector<Row> rows;
  std::vector<PresentRow> present;
  std::vector<LedgerEntry> ledger;
  std::vector<Permission> permissions;
};

}  // namespace lifeboat::chaos
