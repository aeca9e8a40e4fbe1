#pragma once

// The judge of a chaos run, in the manner of Jepsen's set test. Pure: it knows a history and nothing else, so that bad histories
// can be written down and shown to be caught.
//
// Promises:  never two writable regions (commits of two servers do not overlap in time)
//            nothing is committed by a region outside a lease of its own
//            an acknowledged row is there in the end, or the loss ledger names its very transaction
//            a row that was refused or never sent is not there
//            the ledger counts what it holds

#include <string>
#include <vector>

#include "integration/chaos/history.h"

namespace lifeboat::chaos {

/// Commits of one server on one timeline.
struct Reign {
  std::string region;
  std::uint32_t timeline = 0;
  std::int64_t begun_by_ns = 0;     ///< its first acknowledged commit had happened by then (CLOCK_MONOTONIC)
  std::int64_t not_over_at_ns = 0;  ///< its last one had not happened before then
  std::uint64_t commits = 0;
};

struct Verdict {
  std::vector<std::string> violations;  ///< empty: every promise was kept
  std::uint64_t acknowledged = 0;
  std::uint64_t in_doubt = 0;
  std::uint64_t refused = 0;
  std::uint64_t lost = 0;           ///< acknowledged, not there, named by the ledger
  std::uint64_t late_arrivals = 0;  ///< committed under lease, acknowledged after its end: allowed, reported
  std::uint64_t judged_by_lease = 0;
  std::vector<Reign> reigns;  ///< in the order of their beginnings
};

[[nodiscard]] Verdict Judge(const History& history);

}  // namespace lifeboat::chaos
