#include "decide/votes.h"

#include <algorithm>

namespace lifeboat {

namespace {
constexpr int kBadRows = 2;
/// A vote that no row has borne out for so long is none.
constexpr Duration kRowStale = 5s;
/// Counted less often than this, nobody knows whether the majority stood in between.
constexpr Duration kLongestGap = 2s;
}  // namespace

Duration GoodStretchOf(Duration degraded_after) { return std::clamp<Duration>(degraded_after / 3, 2s, 30s); }

void CanaryJudge::About(const RegionName& region, Epoch epoch) {
  if (region == about_ && epoch == epoch_) return;
  *this = CanaryJudge(latency_, good_stretch_);
  about_ = region;
  epoch_ = epoch;
}

void CanaryJudge::OnRow(const CanaryRow& row) {
  if (about_.empty()) return;
  const Instant end = row.began + row.took;
  heard_ = end;
  telling_ = row.telling;
  if (!row.telling) {
    silence_ = row.problem;
    bad_since_.reset();
    bad_rows_ = 0;
    good_since_.reset();
    degraded_since_.reset();  // what failed just before may have been the name as well
    return;
  }
  const bool slow = row.committed && row.took > latency_;
  if (row.committed && !slow) {
    bad_since_.reset();
    bad_rows_ = 0;
    if (!good_since_) good_since_ = row.began;
    if (degraded_since_ && AgeAt(*good_since_, end) >= good_stretch_) {
      degraded_since_.reset();
      why_.clear();
    }
    return;
  }
  if (bad_rows_++ == 0) bad_since_ = row.began;
  if (bad_rows_ < kBadRows) return;
  if (!degraded_since_) degraded_since_ = bad_since_;
  good_since_.reset();
  why_ =
      slow ? "a row took " + FormatDuration(row.took) + " to be committed, the bound is " + FormatDuration(latency_) : row.problem;
}

Vote CanaryJudge::VoteAt(Instant now) const {
  Vote vote;
  vote.about = about_;
  vote.epoch = epoch_;
  if (about_.empty()) {
    vote.why = "nobody holds the lease";
    return vote;
  }
  // SAFETY: unknown is no vote for either (G8): neither a primary that was not asked, nor one that the name does not lead to.
  if (!heard_ || AgeAt(*heard_, now) > kRowStale) {
    vote.why = "the canary has not written lately";
    return vote;
  }
  if (!telling_) {
    vote.why = silence_;
    return vote;
  }
  if (degraded_since_) {
    vote.opinion = Opinion::kDegraded;
    vote.why = why_;
    vote.lasted = AgeAt(*degraded_since_, now);
    return vote;
  }
  if (!good_since_) {
    vote.why = "the canary has not committed a row yet";
    return vote;
  }
  vote.opinion = Opinion::kOk;
  vote.lasted = AgeAt(*good_since_, now);
  return vote;
}

VoteCount VoteTally::Count(Instant now, const RegionName& about, Epoch epoch, std::size_t agents, std::span<const Ballot> ballots) {
  VoteCount count;
  count.agents = agents;
  for (const Ballot& ballot : ballots) {
    if (about.empty() || ballot.vote.about != about || ballot.vote.epoch != epoch) continue;
    if (ballot.vote.opinion == Opinion::kOk) ++count.ok;
    if (ballot.vote.opinion != Opinion::kDegraded) continue;
    ++count.degraded;
    count.why += (count.why.empty() ? "" : "; ") + ballot.voter.text + ": " + ballot.vote.why;
  }
  // SAFETY: of ALL agents: where one is cut off from the others it must not become a majority of those that it still hears.
  const bool majority = count.degraded * 2 > agents;
  const bool same = about == about_ && epoch == epoch_;
  const bool watched = counted_ && AgeAt(*counted_, now) <= kLongestGap;
  if (!majority || !same || !watched) since_.reset();
  if (majority && !since_) since_ = now;
  about_ = about;
  epoch_ = epoch;
  counted_ = now;
  if (since_) count.majority_for = AgeAt(*since_, now);
  return count;
}

}  // namespace lifeboat
