#include "observe/position_ring.h"

#include <algorithm>

namespace lifeboat {

void PositionRing::Add(Epoch epoch, Instant asked, Lsn position) {
  if (epoch != epoch_) {
    entries_.clear();
    epoch_ = epoch;
  }
  if (!entries_.empty() && position < entries_.back().position) return;  // overtaken answer
  entries_.push_back({asked, position});
  if (entries_.size() > kEntries) entries_.pop_front();
}

const PositionRing::Entry* PositionRing::Covered(Lsn flushed) const {
  for (auto it = entries_.rbegin(); it != entries_.rend(); ++it) {
    if (it->position <= flushed) return &*it;
  }
  return nullptr;
}

std::optional<PositionRing::Lag> PositionRing::LagOf(Lsn flushed, Instant now, Duration stale) const {
  if (entries_.empty() || AgeAt(entries_.back().asked, now) > stale) return std::nullopt;
  const Entry* covered = Covered(flushed);
  if (!covered) return std::nullopt;
  const Lsn newest = entries_.back().position;
  return Lag{AgeAt(covered->asked, now), {newest > flushed ? newest.bytes - flushed.bytes : 0}};
}

double PositionRing::HighestRate() const {
  double highest = 0;
  constexpr std::size_t kWindow = 4;  // about a second: a single pair would count jitter as a burst
  for (std::size_t at = kWindow; at < entries_.size(); ++at) {
    const double seconds = Seconds(AgeAt(entries_[at - kWindow].asked, entries_[at].asked));
    if (seconds <= 0) continue;
    highest = std::max(highest, static_cast<double>(entries_[at].position.bytes - entries_[at - kWindow].position.bytes) / seconds);
  }
  return highest;
}

LossEstimate PositionRing::LossAt(Lsn flushed, Instant surely_ended) const {
  LossEstimate loss;
  const Entry* covered = Covered(flushed);
  if (!covered) {
    loss.basis = entries_.empty() ? "the primary's position was never seen under this epoch"
                                  : "this standby holds none of the positions that were seen of the primary";
    return loss;
  }
  const Lsn newest = entries_.back().position;
  const double unseen = std::max(0.0, Seconds(AgeAt(entries_.back().asked, surely_ended)));
  loss.kind = LossEstimate::Kind::kBounded;
  loss.time = std::max(Duration(0), AgeAt(covered->asked, surely_ended));
  loss.bytes = {(newest > flushed ? newest.bytes - flushed.bytes : 0) + static_cast<std::uint64_t>(HighestRate() * unseen)};
  loss.basis = "this standby holds everything up to " + flushed.Text() + "; the primary was last seen at " + newest.Text() +
               ", and its lease ended at most " +
               FormatDuration(std::max(Duration(0), AgeAt(entries_.back().asked, surely_ended))) + " after that";
  return loss;
}

std::optional<Lsn> PositionRing::Newest() const {
  return entries_.empty() ? std::nullopt : std::optional(entries_.back().position);
}

}  // namespace lifeboat
