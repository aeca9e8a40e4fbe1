#include "decide/lease.h"

#include <algorithm>
#include <cmath>

namespace lifeboat {

namespace {
Duration Scale(Duration d, double factor) {
  return Duration(static_cast<std::int64_t>(std::llround(static_cast<double>(d.count()) * factor)));
}
}  // namespace

const char* ToString(TakeoverBar bar) {
  switch (bar) {
    case TakeoverBar::kNone: return "none";
    case TakeoverBar::kNoItem: return "store not read";
    case TakeoverBar::kHolder: return "holds the lease itself";
    case TakeoverBar::kNotCandidate: return "not a candidate";
    case TakeoverBar::kCounterFresh: return "lease not yet run out";
    case TakeoverBar::kHeirFirst: return "another heir goes first";
    case TakeoverBar::kStartup: return "start-up wait";
    case TakeoverBar::kPromise: return "own promise binds";
    case TakeoverBar::kClaimUnresolved: return "last claim's fate unknown";
  }
  return "none";
}

Lease::Lease(RegionName self, AgentId agent, LeaseSettings settings, std::optional<AgentRecord> record, Instant started)
    : self_(std::move(self)),
      agent_(std::move(agent)),
      settings_(settings),
      had_record_(record.has_value()),
      started_(started),
      record_(record.value_or(AgentRecord{})),
      saved_(record_) {}

// The holder counts on the lesser length, whoever waits on the greater: two values of L in two files cannot overlap.
Duration Lease::Length() const { return item_ ? std::min(item_->length, settings_.length) : settings_.length; }
Duration Lease::WaitLength() const {
  const Duration longest = item_ ? std::max(item_->length, settings_.length) : settings_.length;
  return Scale(longest, 1 + LeaseSettings::kRho);
}

Result<Unit> Lease::OnItem(std::optional<LeaseItem> item, std::uint64_t version, Incarnation incarnation, Instant arrived) {
  // SAFETY: a store restored from an old copy would hand out an epoch twice. (LeaseRefusesStore…)
  if (incarnation < record_.incarnation) {
    return Refused("the store's incarnation " + std::to_string(incarnation.number) + " is older than " +
                       std::to_string(record_.incarnation.number) + ", which this region has seen",
                   "the store was restored from an old copy: bring the newest one back, or reseed the store");
  }
  const Epoch epoch = item ? item->epoch : Epoch{0};
  if (epoch < record_.highest) {
    return Refused("the store's epoch " + std::to_string(epoch.number) + " is below " + std::to_string(record_.highest.number) +
                       ", which this region has seen",
                   "the store lost its content or was restored from an old copy: bring the newest one back, or reseed the store");
  }
  if (!item) {
    store_read_ = true;
    incarnation_ = incarnation;
    version_ = version;
    record_.incarnation = incarnation;
    return Done();
  }
  // An answer that was overtaken by a newer one says nothing new.
  if (incarnation == incarnation_ && version < version_) return Done();
  Accept(*std::move(item), version, incarnation, arrived);
  return Done();
}

void Lease::Accept(LeaseItem item, std::uint64_t version, Incarnation incarnation, Instant arrived) {
  const bool moved = !item_ || !store_read_ || incarnation != incarnation_ || version != version_;
  // SAFETY: timed from the arrival of the answer, never from the question: the holder may have renewed in between.
  if (moved) counter_seen_ = arrived;
  const bool other_reign = !item_ || item.epoch != item_->epoch || item.holder_agent != item_->holder_agent;
  if (!item.released) {
    released_seen_.reset();
  } else if (!released_seen_ || other_reign) {
    released_seen_ = arrived;
  }
  item_ = std::move(item);
  version_ = version;
  incarnation_ = incarnation;
  store_read_ = true;
  record_.highest = std::max(record_.highest, item_->epoch);
  record_.incarnation = incarnation;

  if (claim_ && item_->holder_agent == agent_ && item_->epoch == claim_->item.epoch) {
    Extend(*claim_);  // the claim whose answer was lost had been ours
    claim_.reset();
  } else if (claim_ && (version > claim_->version || incarnation != claim_->incarnation)) {
    claim_.reset();  // another item stands where the claim expected the old one: it can no longer be applied
  } else if (claim_ && claim_unknown_) {
    claim_again_ = true;  // not applied so far: a second try is safe, since at most one of the two can be
  }
  if (!IsHolderRun()) deadline_.reset();
}

std::optional<AgentRecord> Lease::UnsavedRecord() const { return record_ == saved_ ? std::nullopt : std::optional(record_); }

void Lease::OnRecordSaved(const AgentRecord& saved) { saved_ = saved; }
void Lease::NoteJoined(Epoch epoch) { record_.joined = std::max(record_.joined, epoch); }
void Lease::NoteHeld(Epoch epoch) { record_.held = std::max(record_.held, epoch); }

bool Lease::IsHolder() const {
  // SAFETY: release is terminal: a late answer to an earlier renewal must not bring the epoch back. (LeaseReleaseIsTerminal)
  return item_ && item_->holder == self_ && !item_->released && item_->epoch > record_.released;
}

bool Lease::IsHolderRun() const { return IsHolder() && item_->holder_agent == agent_; }

bool Lease::HoldsAt(Instant now) const { return IsHolderRun() && deadline_ && !HasPassed(*deadline_, now); }

std::optional<LeaseChange> Lease::Change(Instant now) const {
  if (!IsHolder() || claim_) return std::nullopt;
  LeaseChange change{now, version_, incarnation_, *item_, false};
  change.item.counter += 1;
  change.item.holder_agent = agent_;
  return change;
}

std::optional<LeaseChange> Lease::Renewal(Instant now) const { return Change(now); }

std::optional<LeaseChange> Lease::Membership(Instant now, std::vector<RegionName> candidates) const {
  std::optional<LeaseChange> change = Change(now);
  if (!change) return std::nullopt;
  std::sort(candidates.begin(), candidates.end());
  candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
  change->item.candidates = std::move(candidates);
  change->durable = true;
  return change;
}

std::optional<LeaseChange> Lease::Founding(Instant now) const {
  if (!store_read_ || item_ || claim_) return std::nullopt;
  LeaseItem item;
  item.epoch = Next(record_.highest);  // a region with a record never comes here: OnItem refuses an emptied store
  item.holder = self_;
  item.holder_agent = agent_;
  item.length = settings_.length;
  return LeaseChange{now, 0, incarnation_, item, true};
}

void Lease::Extend(const LeaseChange& change) {
  const Duration length = std::min(change.item.length, settings_.length);
  // SAFETY: counted from before the question, shortened by the clocks' drift and by the guard's time to kill.
  const Instant until = change.asked + Scale(length, 1 - LeaseSettings::kRho) - settings_.margin;
  if (!deadline_ || until.boot > deadline_->boot) deadline_ = until;
}

void Lease::OnChange(const LeaseChange& change, ChangeFate fate, std::uint64_t version, Incarnation incarnation, Instant arrived) {
  if (fate != ChangeFate::kCommitted) return;  // refused or unknown: the watch shows what stands there
  if (change.item.epoch < record_.highest || incarnation < record_.incarnation) return;
  if (incarnation == incarnation_ && version < version_) return;
  // SAFETY: an answer to a question of an epoch that was released since says nothing any more.
  if (change.item.epoch <= record_.released && !change.item.released) return;
  Accept(change.item, version, incarnation, arrived);
  if (IsHolderRun()) Extend(change);
}

void Lease::BeginRelease() {
  if (!IsHolder()) return;
  record_.released = std::max(record_.released, item_->epoch);
  deadline_.reset();
}

std::optional<LeaseChange> Lease::Released(Instant now, Release release) const {
  if (!item_ || item_->holder != self_ || item_->released || item_->epoch > record_.released) return std::nullopt;
  // SAFETY: the word is on this region's own disk before anyone else can act on it.
  if (saved_.released < item_->epoch) return std::nullopt;
  LeaseChange change{now, version_, incarnation_, *item_, true};
  change.item.counter += 1;
  change.item.released = std::move(release);
  return change;
}

TakeoverAnswer Lease::MayTakeOver(Instant now, Duration extra) const {
  if (!store_read_ || !item_ || !counter_seen_) return {TakeoverBar::kNoItem, {}};
  if (item_->holder == self_) return {TakeoverBar::kHolder, {}};
  if (!item_->IsCandidate(self_)) return {TakeoverBar::kNotCandidate, {}};
  if (claim_ && !claim_again_) return {TakeoverBar::kClaimUnresolved, {}};
  // SAFETY: a run that has just begun does not know what an earlier one promised.
  if (!had_record_) {
    const Instant end = started_ + WaitLength();
    if (!IsOver(end, now)) return {TakeoverBar::kStartup, TimeLeft(end, now)};
  }
  if (promised_until_ && !IsOver(*promised_until_, now)) return {TakeoverBar::kPromise, TimeLeft(*promised_until_, now)};
  if (item_->released) {
    if (item_->released->heir == self_) return {TakeoverBar::kNone, {}};
    const Instant end = *released_seen_ + WaitLength();
    if (!IsOver(end, now)) return {TakeoverBar::kHeirFirst, TimeLeft(end, now)};
    return {TakeoverBar::kNone, {}};
  }
  const Instant end = *counter_seen_ + WaitLength() + extra;
  if (!IsOver(end, now)) return {TakeoverBar::kCounterFresh, TimeLeft(end, now)};
  return {TakeoverBar::kNone, {}};
}

std::optional<Instant> Lease::HolderSurelyEnded() const {
  if (!item_ || !counter_seen_) return std::nullopt;
  if (item_->released) return released_seen_;
  return *counter_seen_ + WaitLength();
}

LeaseChange Lease::BeginClaim(Instant now) {
  LeaseChange claim{now, version_, incarnation_, *item_, true};
  claim.item.epoch = Next(item_->epoch);
  claim.item.holder = self_;
  claim.item.holder_agent = agent_;
  claim.item.counter = 0;
  claim.item.released.reset();
  // The old primary's region is no candidate until it has rejoined, and neither is the new holder.
  auto& candidates = claim.item.candidates;
  candidates.erase(
      std::remove_if(candidates.begin(), candidates.end(), [&](const RegionName& r) { return r == self_ || r == item_->holder; }),
      candidates.end());
  claim_ = claim;
  claim_unknown_ = claim_again_ = false;
  return claim;
}

std::optional<LeaseChange> Lease::BeginReclaim(Instant now) {
  if (!item_ || item_->holder != self_ || (claim_ && !claim_again_)) return std::nullopt;
  if (item_->epoch > record_.released) return std::nullopt;  // never released: renewing is enough
  const std::vector<RegionName> candidates = item_->candidates;
  LeaseChange claim = BeginClaim(now);
  claim.item.candidates = candidates;
  claim_ = claim;
  return claim;
}

void Lease::OnClaim(ChangeFate fate, std::uint64_t version, Incarnation incarnation, Instant arrived) {
  if (!claim_) return;
  switch (fate) {
    case ChangeFate::kUnknown: claim_unknown_ = true; return;  // SAFETY: it may have been applied; only a reading resolves it
    case ChangeFate::kRefused: claim_.reset(); return;
    case ChangeFate::kCommitted: break;
  }
  const LeaseChange claim = *claim_;
  claim_.reset();
  if (incarnation == incarnation_ && version < version_) return;
  Accept(claim.item, version, incarnation, arrived);
  if (IsHolderRun()) Extend(claim);
}

bool Lease::MayPromote(Instant now, Epoch epoch) const {
  // SAFETY: looked at again at this very moment: promises given, or time lost, while the claim travelled count.
  if (promised_until_ && !IsOver(*promised_until_, now)) return false;
  return item_ && item_->epoch == epoch && HoldsAt(now) && !UnsavedRecord();
}

}  // namespace lifeboat
