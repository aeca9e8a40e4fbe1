#pragma once

// What the agent shows to Prometheus. The loop sets it after each round; GET /metrics reads it.
// A gauge that is set to nothing (unknown) disappears: what was not measured is never shown as 0.
// Thread rule: setters on the agent's executor; Text from any thread.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/time.h"
#include "base/types.h"
#include "model/region.h"

namespace lifeboat {

/// What is known of a source of backups. Nothing: unknown, and not shown.
struct BackupFigures {
  std::optional<Duration> newest_age;
  std::optional<Duration> verified_age;
  std::map<std::string, std::string> verdicts;  ///< by level's name: "pass", "fail", "not checked", "unknown"
  std::optional<double> restore_seconds;        ///< from the start to the first verified query
  std::optional<std::uint64_t> window_from;     ///< positions in bytes: what can be reached from the backup that reaches furthest
  std::optional<std::uint64_t> window_to;
  std::optional<std::int64_t> window_commit;  ///< Unix time of the last commit in it
  std::optional<std::uint64_t> window_holes;
  std::optional<std::uint64_t> read_bytes;      ///< by the last run, as stored
  std::optional<std::uint64_t> standing_bytes;  ///< not read, as they stand from earlier runs
  std::optional<Duration> oldest_reading;       ///< age of the oldest of those
  std::optional<bool> report;                   ///< the last run gave a report
};

/// What became of the traces that were made (docs/formats/traces.md). All but `waiting` only grow.
struct TraceFigures {
  std::uint64_t sent = 0;
  std::uint64_t pushed_out = 0;  ///< dropped unsent: newer ones needed their room
  std::uint64_t refused = 0;     ///< dropped: the collector will not have them, whenever they come
  std::uint64_t failed_tries = 0;
  std::uint64_t waiting = 0;
};

class Metrics {
 public:
  explicit Metrics(const std::string& version);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  void SetLeaseEpoch(std::optional<Epoch> epoch);
  void SetLeaseLeft(std::optional<Duration> left);  ///< shown in seconds; negative once it has passed
  void SetLeaseHeld(std::optional<bool> held);

  /// One series a region, of value 1, with the role or verdict as label; the one before it disappears.
  void SetRole(const RegionName& region, std::optional<Role> role);
  void SetVerdict(const RegionName& region, std::optional<Verdict> verdict);

  void SetReplicationLag(const RegionName& region, std::optional<Duration> lag);
  void SetReplicationLagBytes(const RegionName& region, std::optional<ByteCount> lag);
  /// Of a database that a cloud runs: how old the newest heartbeat row is that the region shows, and from where its lag is known.
  void SetHeartbeatAge(const RegionName& region, std::optional<Duration> age);
  void SetLagSource(const RegionName& region, std::optional<std::string> source);

  void SetStoreReachable(std::optional<bool> reachable);
  void SetCanaryOk(std::optional<bool> ok);
  void SetCanaryLastSuccess(std::optional<WallTime> at);
  /// How many agents call the primary degraded, and how many there are; whether a majority has for long enough.
  void SetVotes(std::size_t degraded, std::size_t agents, bool verdict);
  void SetCoolDownLatched(std::optional<bool> latched);
  void SetBackups(const std::string& source, const BackupFigures& figures);
  void SetTraces(const TraceFigures& figures);
  /// "healthy", "exposed", "moving", …: the word of `lifeboat status`; empty: nothing.
  void SetService(const std::string& verdict);
  void SetAgentAnswers(const RegionName& region, std::optional<bool> answers);
  /// Whether the region could take over; nothing: it serves, or holds no data.
  void SetCouldTakeOver(const RegionName& region, std::optional<bool> could);
  void SetGuardAnswers(const RegionName& region, std::optional<bool> answers);
  /// "gate and guard", "guard", "none"; nothing: unknown.
  void SetFence(const RegionName& region, std::optional<std::string> level);
  void SetObjectives(Duration rto, Duration rpo);
  /// The execution that is not ended; nothing: there is none.
  void SetExecution(std::optional<std::pair<std::string, std::string>> plan_and_state);
  /// The rule that holds an action back until a person says more; nothing: none does.
  void SetWithheld(std::optional<int> rule);
  /// Faults that `lifeboat check` finds, and when it looked.
  void SetCheck(std::size_t faults, WallTime at);
  /// Whether this region's evidence chain is whole, and when that was looked at; nothing: it could not be read.
  void SetEvidence(std::optional<bool> intact, WallTime at);
  /// Of the newest execution of `plan` in this region's evidence. Nothing: unknown.
  void SetLastRun(const std::string& plan, std::optional<WallTime> ended, std::optional<double> rto_seconds,
                  std::optional<double> loss_seconds);

  void SetGuardWorstKill(std::optional<Duration> worst);
  /// The guard's own count; a lower one than before means a new guard, and starts the counter anew.
  void SetGuardKills(std::optional<std::uint64_t> kills);

  /// Renewals in the store that this run of the agent has counted, and how long the last good one took.
  void SetLeaseRenewals(std::uint64_t good, std::uint64_t failed, std::optional<Duration> took);
  /// A datagram that arrived: "taken", or why it was dropped; "not_answered": its answer could not be sent.
  void CountDatagram(const char* outcome);
  void CountDecision(int rule);

  /// Every family there is, also those without a series now, by name. What docs/metrics.md lists.
  struct Entry {
    std::string name;
    std::string type;  ///< "gauge" or "counter"
    std::string help;
  };
  [[nodiscard]] const std::vector<Entry>& Entries() const;

  /// All of it in Prometheus' text format. @source Prometheus, "Exposition formats", version 0.0.4
  [[nodiscard]] std::string Text() const;

 private:
  struct Series;
  std::unique_ptr<Series> series_;
};

}  // namespace lifeboat
