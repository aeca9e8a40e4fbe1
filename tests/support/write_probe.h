#pragma once

// The witness of "never two writers" (promise G1) at the servers themselves: for each data region a thread that tries a real write
// every 20 ms through the server's Unix socket, whatever the network does, and remembers every one that was committed. Commits of
// one server on one timeline are a reign; two reigns that overlap are two writers.
// Thread rule: Start and Stop from one thread; Commits and Reigns after Stop. FindOverlaps is pure.

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "lab/layout.h"

namespace lifeboat::testing_support {

/// One write that a server said was committed: it happened between the two moments (CLOCK_MONOTONIC).
struct ProbeCommit {
  std::int64_t sent_ns = 0;
  std::int64_t ended_ns = 0;
  std::uint32_t timeline = 0;
};

/// A time in which one region's server committed on one timeline.
struct Reign {
  std::string region;
  std::uint32_t timeline = 0;
  std::int64_t begun_by_ns = 0;     ///< its first commit had happened by then
  std::int64_t not_over_at_ns = 0;  ///< its last commit had not happened before then
  std::size_t commits = 0;
};

/// In the order of their first commits.
[[nodiscard]] std::vector<Reign> ReignsOf(const std::string& region, const std::vector<ProbeCommit>& commits);
[[nodiscard]] std::vector<Reign> Merge(std::vector<std::vector<Reign>> reigns);

/// Pairs of reigns that certainly overlap, in words: one committed something that was sent after a later one's first commit had
/// been acknowledged. Empty: none.
[[nodiscard]] std::vector<std::string> FindOverlaps(const std::vector<Reign>& reigns);

class WriteProbe {
 public:
  WriteProbe();
  ~WriteProbe();
  WriteProbe(const WriteProbe&) = delete;
  WriteProbe& operator=(const WriteProbe&) = delete;

  /// Makes the probe's table at `primary` and begins.
  [[nodiscard]] Result<Unit> Start(const lab::LabInfo& lab, const std::string& primary);
  void Stop();

  [[nodiscard]] std::vector<Reign> Reigns() const;
  /// CLOCK_MONOTONIC of the end of the newest commit at `region`; 0: none.
  [[nodiscard]] std::int64_t LastCommitNs(const std::string& region) const;
  /// CLOCK_MONOTONIC of the end of the first commit at `region` that was sent after `since_ns`; 0: none.
  [[nodiscard]] std::int64_t FirstCommitNs(const std::string& region, std::int64_t since_ns) const;

 private:
  struct Server;
  static void Run(Server& server, const std::stop_token& stop);
  std::vector<std::unique_ptr<Server>> servers_;
};

}  // namespace lifeboat::testing_support
