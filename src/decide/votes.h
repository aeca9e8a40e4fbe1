#pragma once

// Gray failure: a primary that renews its lease while its clients fail. Two pure parts:
//
//   canary rows ─→ CanaryJudge ─→ this agent's Vote ─→ gossip ─┐
//                                  the other agents' votes ────┴─→ VoteTally ─→ VoteCount in the snapshot ─→ rules
//
// Slow is not dead: a slow row is a sign of trouble like a failed one, and neither ever makes a region "lost".
// No clock: times come in. Thread rule: one owner.

#include <optional>
#include <span>
#include <string>

#include "model/vote.h"

namespace lifeboat {

/// One row that the canary wrote, or tried to.
struct CanaryRow {
  Instant began;
  Duration took{};
  bool committed = false;
  /// False: it says nothing of the primary, since the name could not be resolved or leads elsewhere.
  bool telling = true;
  std::string problem;  ///< why it was not committed, or says nothing
};

/// Makes an agent's vote from its canary's rows. Bad is what failed or took longer than `latency`; one bad row is no vote, two
/// in a row are; the vote turns back only after a good stretch, so that a primary that fails now and then is steadily degraded.
class CanaryJudge {
 public:
  CanaryJudge(Duration latency, Duration good_stretch) : latency_(latency), good_stretch_(good_stretch) {}

  /// The primaryship that rows are about from here on. Another than before: nothing is known of it yet.
  void About(const RegionName& region, Epoch epoch);
  void OnRow(const CanaryRow& row);
  [[nodiscard]] Vote VoteAt(Instant now) const;

 private:
  Duration latency_;
  Duration good_stretch_;
  RegionName about_;
  Epoch epoch_;
  std::optional<Instant> heard_;           // end of the last row
  bool telling_ = false;                   // of that row
  std::string silence_;                    // why it says nothing
  std::optional<Instant> bad_since_;       // beginning of the run of bad rows that goes on now
  int bad_rows_ = 0;                       // in that run
  std::optional<Instant> degraded_since_;  // the vote
  std::optional<Instant> good_since_;      // beginning of the stretch without two bad rows in a row
  std::string why_;
};

/// How long a stretch without trouble ends a vote: a third of what is needed for a verdict, within bounds.
[[nodiscard]] Duration GoodStretchOf(Duration degraded_after);

struct Ballot {
  RegionName voter;
  Vote vote;
};

/// Counts the votes, and for how long a majority has stood without a break.
class VoteTally {
 public:
  /// @param agents   all agents of the service, also those that do not answer
  /// @param ballots  the votes that are fresh; one about another region or epoch is no vote
  /// @param about    empty: nothing is to be counted now, and a count that was under way has ended
  [[nodiscard]] VoteCount Count(Instant now, const RegionName& about, Epoch epoch, std::size_t agents,
                                std::span<const Ballot> ballots);

 private:
  RegionName about_;
  Epoch epoch_;
  std::optional<Instant> since_;
  std::optional<Instant> counted_;
};

}  // namespace lifeboat
