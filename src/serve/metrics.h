#pragma once

// What the agent shows to Prometheus. The loop sets it after each round; GET /metrics reads it.
// A gauge that is set to nothing (unknown) disappears: what was not measured is never shown as 0.
// Thread rule: setters on the agent's executor; Text from any thread.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/time.h"
#include "base/types.h"
#include "model/execution.h"
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
  std::optional<std::int64_t> window_commit;    ///< Unix time of the last commit in it
  std::optional<std::uint64_t> window_holes;
  std::optional<std::uint64_t> read_bytes;      ///< by the last run, as stored
  std::optional<std::uint64_t> standing_bytes;  ///< not read, as they stand from earlier runs
  std::optional<Duration> oldest_reading;       ///< age of the oldest of those
  std::optional<bool> report;                   ///< the last run gave a report
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

  void SetStoreReachable(std::optional<bool> reachable);
  void SetCanaryOk(std::optional<bool> ok);
  void SetCanaryLastSuccess(std::optional<WallTime> at);
  /// How many agents call the primary degraded, and how many there are; whether a majority has for long enough.
  void SetVotes(std::size_t degraded, std::size_t agents, bool verdict);
  void SetCoolDownLatched(std::optional<bool> latched);
  void SetBackups(const std::string& source, const BackupFigures& figures);
  void SetGuardWorstKill(std::optional<Duration> worst);
  /// The guard's own count; a lower one than before means a new guard, and starts the counter anew.
  void SetGuardKills(std::optional<std::uint64_t> kills);

  /// `outcome`: few and fixed words ("store", "promises", "refused", "unknown"): each makes a series.
  void CountLeaseRenewal(const std::string& outcome, Duration took);
  /// A datagram that arrived: "taken", or why it was dropped; "not_answered": its answer could not be sent.
  void CountDatagram(const char* outcome);
  void CountExecution(PlanKind plan, ExecutionState state);
  void CountDecision(int rule);

  /// All of it in Prometheus' text format. @source Prometheus, "Exposition formats", version 0.0.4
  [[nodiscard]] std::string Text() const;

 private:
  struct Series;
  std::unique_ptr<Series> series_;
};

}  // namespace lifeboat
