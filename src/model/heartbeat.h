#pragma once

// Heartbeat rows of a database that a cloud runs, and what follows from them. The agent of the writer's region updates one row
// about every second; every copy shows how far it has come by the row that it shows. How old a row is, and with it what a failover
// would lose, is reckoned by this agent's own clocks, from when it heard of the row being written; the database's clock serves only
// where that is not known. Pure: no clock, no I/O. Between agent (which asks and hears) and decide, act and the reports. Thread
// rule: plain values; a HeartbeatBook has one owner.

#include <deque>
#include <map>
#include <optional>
#include <string>

#include "base/json.h"
#include "base/time.h"
#include "base/types.h"

namespace lifeboat {

/// One row of lifeboat.heartbeat: the newest beat of the writer in `region`.
struct Heartbeat {
  RegionName region;
  std::uint64_t sequence = 0;  ///< one more with each beat
  Epoch epoch;                 ///< that its agent knew
  WallTime at;                 ///< by the clock of the database that took it, before it was committed
  std::string position;        ///< of that database's log then, in its own words; may be empty
  friend bool operator==(const Heartbeat&, const Heartbeat&) = default;
};
[[nodiscard]] Json ToJson(const Heartbeat& beat);
/// @error kFail: a member is missing or of the wrong type
[[nodiscard]] Result<Heartbeat> HeartbeatFromJson(const Json& json);

/// True when `a` was written after `b`. Both of one region.
[[nodiscard]] bool IsNewer(const Heartbeat& a, const Heartbeat& b);

/// What is known of beats: which were written, and since when by this agent's clocks.
class HeartbeatBook {
 public:
  /// So many of the newest beats of each region are kept: a quarter of an hour's.
  static constexpr std::size_t kMost = 900;

  struct Known {
    Heartbeat beat;
    Instant not_before;  ///< by this agent's clocks it was written at this moment or later
  };

  /// `beat` was committed, as the database said to this agent or to another one that told.
  /// SAFETY: `not_before` must not lie after the moment of `beat.at`: an age that is understated understates a loss.
  void Note(const Heartbeat& beat, Instant not_before);

  /// The newest beat of `region` that is known to have been committed; nothing: none is.
  [[nodiscard]] std::optional<Known> Newest(const RegionName& region) const;

  /// A moment at which a copy that shows `seen` had everything: not later than when it was written. From the beats that were heard
  /// of, else by the distance on the database's clock to the newest one. Nothing: neither is known.
  [[nodiscard]] std::optional<Instant> WholeAt(const Heartbeat& seen) const;

 private:
  std::map<RegionName, std::deque<Known>> beats_;  // by sequence, of one epoch each
};

/// What is known of the old writer's beats when a failover begins: fact "heartbeat" of the execution.
struct LastBeats {
  HeartbeatBook::Known newest;
  /// From newest.not_before to when the writer's region was found silent: writes of that time count as lost. Empty: it was not
  /// found silent, and may have written until the cloud stopped it.
  std::optional<Duration> unseen;
};

/// What a failover lost, found on the new writer.
struct MeasuredLoss {
  std::optional<Duration> time;        ///< at most; empty: unknown
  std::optional<std::uint64_t> beats;  ///< of those known to be committed, how many are missing
  std::string basis;                   ///< in words
};
/// @param known     of the old writer, when the failover began; empty: nobody heard any
/// @param survivor  the old writer's row as the new writer holds it; empty: it holds none
/// SAFETY: the time from the last known beat to the silence counts in full, as writes of that time were seen by nobody. Of a writer
/// that wrote on after it, nobody knows for how long: no figure, and never zero.
[[nodiscard]] MeasuredLoss MeasureLoss(const std::optional<LastBeats>& known, const std::optional<Heartbeat>& survivor);
/// As a loss in the report: "state" is "bounded" or "unknown".
[[nodiscard]] Json ToJson(const MeasuredLoss& loss);

}  // namespace lifeboat
