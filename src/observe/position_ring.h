#pragma once

// The ring of (time, WAL position) of the primary, kept by every other agent: what makes the recovery point a
// measurement instead of a wish. Times are this agent's own, taken before it asked: a position in the answer was
// reached no earlier, so an age is never understated and no common clock is needed.
// Pure: times come in. Thread rule: one owner.
// @source docs/guarantees.md, "How the recovery point is measured"

#include <deque>
#include <optional>

#include "base/time.h"
#include "base/types.h"
#include "model/snapshot.h"

namespace lifeboat {

class PositionRing {
 public:
  /// The primary of `epoch` had flushed up to `position` at some moment not before `asked`. A new epoch empties the ring.
  void Add(Epoch epoch, Instant asked, Lsn position);

  struct Lag {
    Duration time{};    ///< how old the newest position is that `flushed` covers
    ByteCount backlog;  ///< newest known position minus `flushed`
  };
  /// Nothing: the ring is empty, its newest entry is older than `stale`, or no entry is covered by `flushed`.
  [[nodiscard]] std::optional<Lag> LagOf(Lsn flushed, Instant now, Duration stale) const;

  /// The loss of a takeover: from the newest covered entry to `surely_ended`, the last moment at which the primary can
  /// have written; bytes by the known backlog and the highest write rate seen over the unseen time.
  [[nodiscard]] LossEstimate LossAt(Lsn flushed, Instant surely_ended) const;

  [[nodiscard]] std::optional<Lsn> Newest() const;
  /// Whose primaryship the positions are of.
  [[nodiscard]] Epoch epoch() const { return epoch_; }

 private:
  struct Entry {
    Instant asked;
    Lsn position;
  };
  [[nodiscard]] const Entry* Covered(Lsn flushed) const;
  [[nodiscard]] double HighestRate() const;  // bytes a second

  static constexpr std::size_t kEntries = 4800;  // 20 minutes at 4 Hz
  Epoch epoch_;
  std::deque<Entry> entries_;
};

}  // namespace lifeboat
