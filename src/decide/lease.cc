#include "decide/lease.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "base/seeded_bug.h"

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
      earlier_promise_(record ? record->longest_promise : Duration{}),
      earlier_epoch_(record ? record->highest : Epoch{}),
      record_(SEEDED_BUG(kEpochNotDurable) ? AgentRecord{} : record.value_or(AgentRecord{})),
      saved_(record_) {}

// The holder counts on the lesser length, whoever waits on the greater: two values of L in two files cannot overlap.
Duration Lease::Length() const {
  if (SEEDED_BUG(kLengthsDiffer)) return settings_.length;
  return item_ ? std::min(item_->length, settings_.length) : settings_.length;
}
Duration Lease::WaitLength() const {
  if (SEEDED_BUG(kLengthsDiffer)) return Scale(settings_.length, 1 + LeaseSettings::kRho);
  const Duration longest = item_ ? std::max(item_->length, settings_.length) : settings_.length;
  return Scale(longest, 1 + LeaseSettings::kRho);
}

// SAFETY: a run that has just begun does not know what an earlier one promised. Without a record nothing was ever promised
// under it, but the record may have been lost.
Instant Lease::StartupEnd() const {
  if (SEEDED_BUG(kNoStartupWait)) return started_;
  if (earlier_promises_ended_) return started_;
  return started_ + (had_record_ ? Scale(earlier_promise_, 1 + LeaseSettings::kRho) : WaitLength());
}

Result<Unit> Lease::OnItem(std::optional<LeaseItem> item, std::uint64_t version, Incarnation incarnation, Instant arrived) {
  // SAFETY: a store restored from an old copy would hand out an epoch twice. (LeaseRefusesStore…)
  if (incarnation < record_.incarnation && !SEEDED_BUG(kStoreRegressAccepted)) {
    return Refused("the store's incarnation " + std::to_string(incarnation.number) + " is older than " +
                       std::to_string(record_.incarnation.number) + ", which this region has seen",
                   "the store was restored from an old copy: bring the newest one back, or: lifeboat store reseed");
  }
  const Epoch epoch = item ? item->epoch : Epoch{0};
  if (epoch < record_.highest && !SEEDED_BUG(kStoreRegressAccepted)) {
    return Refused(
        "the store's epoch " + std::to_string(epoch.number) + " is below " + std::to_string(record_.highest.number) +
            ", which this region has seen",
        "the store lost its content or was restored from an old copy: bring the newest one back, or: lifeboat store reseed");
  }
  store_heard_ = arrived;
  if (!item) {
    store_read_ = true;
    incarnation_ = incarnation;
    version_ = version;
    record_.incarnation = incarnation;
    return Done();
  }
  // An answer that was overtaken by a newer one says nothing new. Where no newer one comes any more, the store itself has gone
  // back: a copy that was made one life ago gives its next life the number of this one.
  if (incarnation == incarnation_ && version < version_) {
    if (!older_since_) older_since_ = arrived;
    if (!HasPassed(*older_since_ + WaitLength(), arrived)) return Done();
    return Refused("the store's version " + std::to_string(version) + " is below " + std::to_string(version_) +
                       ", which this region has seen in incarnation " + std::to_string(incarnation.number),
                   "the store was restored from an old copy: bring the newest one back, or: lifeboat store reseed");
  }
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
  store_heard_ = arrived;
  older_since_.reset();
  record_.highest = std::max(record_.highest, item_->epoch);
  record_.incarnation = incarnation;
  // SAFETY: the store's word ends the epoch for good, and with it the promises for it, but none for a later one.
  if (item_->released && promised_epoch_ <= item_->epoch) promised_until_.reset();
  // An earlier run promised for no epoch above the one on its disk: where that is ended, nothing of it binds any more.
  if (item_->released && had_record_ && earlier_epoch_ <= item_->epoch) earlier_promises_ended_ = true;
  if (version > joining_version_) joining_.clear();  // applied, or something else stands where it expected the old item

  if (unanswered_ && *item_ == unanswered_->item && IsHolderRun()) ExtendByStore(*unanswered_);  // its answer alone was lost
  if (unanswered_ && version > unanswered_->version) unanswered_.reset();
  if (claim_ && item_->holder_agent == agent_ && item_->epoch == claim_->item.epoch) {
    ExtendByStore(*claim_);  // the claim whose answer was lost had been ours
    claim_.reset();
  } else if (claim_ && (version > claim_->version || incarnation != claim_->incarnation)) {
    claim_.reset();  // another item stands where the claim expected the old one: it can no longer be applied
  } else if (claim_ && claim_unknown_) {
    claim_again_ = true;  // not applied so far: a second try is safe, since at most one of the two can be
  }
  if (!IsHolderRun() || other_reign) rounds_.clear();
  if (!IsHolderRun()) EndReign();
}

void Lease::EndReign() {
  deadline_.reset();
  store_deadline_.reset();
  promise_deadline_.reset();
  unanswered_.reset();
  rounds_.clear();
  probed_.reset();
}

std::optional<AgentRecord> Lease::UnsavedRecord() const { return record_ == saved_ ? std::nullopt : std::optional(record_); }

void Lease::OnRecordSaved(const AgentRecord& saved) { saved_ = saved; }
void Lease::NoteJoined(Epoch epoch) { record_.joined = std::max(record_.joined, epoch); }
void Lease::NoteReseed(Epoch epoch, Incarnation incarnation) {
  record_.highest = std::max(record_.highest, epoch);
  record_.incarnation = std::max(record_.incarnation, incarnation);
  if (!IsHolderRun()) EndReign();
}
void Lease::NoteHeld(Epoch epoch) { record_.held = std::max(record_.held, epoch); }

bool Lease::IsHolder() const {
  // SAFETY: release is terminal: a late answer to an earlier renewal must not bring the epoch back. (LeaseReleaseIsTerminal)
  // SAFETY: a higher epoch that another region told of ends this one at once, before the store says so.
  const bool ended = item_ && item_->epoch <= record_.released && !SEEDED_BUG(kReleaseNotTerminal);
  const bool highest = item_ && (item_->epoch == record_.highest || SEEDED_BUG(kStoreRegressAccepted));
  return item_ && item_->holder == self_ && !item_->released && !ended && highest;
}

bool Lease::IsHolderRun() const { return IsHolder() && item_->holder_agent == agent_; }

bool Lease::HoldsAt(Instant now) const { return IsHolderRun() && deadline_ && !HasPassed(*deadline_, now); }

std::optional<LeaseChange> Lease::Change(Instant now) const {
  if (!IsHolder() || claim_) return std::nullopt;
  LeaseChange change{now, version_, incarnation_, *item_, false};
  change.item.counter += 1;
  change.item.holder_agent = agent_;
  change.item.observed = observed_.value_or(item_->observed);
  // SAFETY: whether the lease fences must outlive the store: others take over on its word.
  change.durable = change.item.observed != item_->observed;
  return change;
}

std::optional<LeaseChange> Lease::Renewal(Instant now) const {
  // SAFETY: a question whose answers are lost would bind the candidates for ever: after the deadline the store must be heard first.
  if (!HoldsAt(now) && (!store_heard_ || AgeAt(*store_heard_, now) > Length())) return std::nullopt;
  return Change(now);
}

std::optional<LeaseChange> Lease::BeginMembership(Instant now, std::vector<RegionName> candidates) {
  std::optional<LeaseChange> change = Change(now);
  if (!change) return std::nullopt;
  // SAFETY: whoever may be a candidate already must have promised, and whoever may still be one too: also by an earlier change
  // whose answer never came, since it can still be the one that is applied.
  for (const RegionName& region : candidates) {
    if (std::find(joining_.begin(), joining_.end(), region) == joining_.end()) joining_.push_back(region);
  }
  joining_version_ = version_;
  std::sort(candidates.begin(), candidates.end());
  candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
  change->item.candidates = std::move(candidates);
  change->durable = true;
  if (SEEDED_BUG(kRemovalBeforeTransaction)) item_->candidates = joining_ = change->item.candidates;
  return change;
}

std::optional<LeaseChange> Lease::Founding(Instant now) {
  if (!store_read_ || item_ || claim_) return std::nullopt;
  LeaseItem item;
  item.epoch = claimed_ = Next(record_.highest);  // a region with a record never comes here: OnItem refuses an emptied store
  item.holder = self_;
  item.holder_agent = agent_;
  item.length = settings_.length;
  item.observed = observed_.value_or(false);
  return LeaseChange{now, 0, incarnation_, item, true};
}

void Lease::Extend(Instant asked, Duration length, std::optional<Instant>& path) {
  // SAFETY: counted from before the question, shortened by the clocks' drift and by the guard's time to kill.
  Instant until = asked + Scale(length, 1 - LeaseSettings::kRho) - settings_.margin;
  if (SEEDED_BUG(kNoMargin)) until = asked + length;
  if (!path || until.boot > path->boot) path = until;
  if (!deadline_ || until.boot > deadline_->boot) deadline_ = until;
}

void Lease::ExtendByStore(const LeaseChange& change) {
  Extend(change.asked, SEEDED_BUG(kLengthsDiffer) ? settings_.length : std::min(change.item.length, settings_.length),
         store_deadline_);
}

std::vector<RegionName> Lease::Asked() const {
  if (!item_) return {};
  std::vector<RegionName> asked = item_->candidates;
  for (const RegionName& region : joining_) {
    if (std::find(asked.begin(), asked.end(), region) == asked.end()) asked.push_back(region);
  }
  if (SEEDED_BUG(kMembershipFromFiles) && asked.size() > 1) asked.resize(1);
  return asked;
}

std::optional<PromiseQuestion> Lease::BeginRound(Instant now) {
  if (!IsHolderRun() || claim_ || Asked().empty()) return std::nullopt;
  // SAFETY: after the deadline only probes, until they come back: questions whose answers are lost would bind for ever.
  const bool binding = HoldsAt(now) || (probed_ && AgeAt(*probed_, now) <= Length());
  rounds_.push_back({now, item_->epoch, binding, {}});
  if (rounds_.size() > kMostRounds) rounds_.pop_front();
  return PromiseQuestion{self_, agent_, item_->epoch, now, Length(), binding};
}

// Between two readings of their clock at most the time from the first question to the second arrival has passed here. If more has
// passed there, this machine was paused together with its clocks, and every deadline on them lies too late.
bool Lease::BetraysJump(const RegionName& from, const PromiseAnswer& answer, Instant arrived) {
  if (answer.region != from || answer.agent != agent_ || answer.run.text.empty()) return false;
  const auto known = clocks_.find(from);
  bool jump = false;
  if (known != clocks_.end() && known->second.run == answer.run) {
    const Duration there = TimeLeft(answer.clock, known->second.theirs);  // the lesser of both clocks
    const Duration here = AgeAt(known->second.asked, arrived);
    jump = there > Scale(here, 1 + 2 * LeaseSettings::kRho) + std::chrono::milliseconds(20);
  }
  const bool newer = known == clocks_.end() || known->second.run != answer.run || answer.clock.boot > known->second.theirs.boot;
  if (newer) clocks_[from] = {answer.run, answer.clock, answer.asked};
  return jump;
}

Lease::Heard Lease::OnPromise(const RegionName& from, const PromiseAnswer& answer, Instant arrived) {
  record_.highest = std::max(record_.highest, answer.highest);
  if (!IsHolderRun()) EndReign();
  if (BetraysJump(from, answer, arrived)) {
    const bool held = deadline_.has_value();
    EndReign();
    store_heard_.reset();
    return held ? Heard::kJump : Heard::kNothing;
  }
  // SAFETY: an answer counts for the run, the epoch and the round that asked for it, and for no other.
  const bool ours = answer.agent == agent_ || SEEDED_BUG(kAnswersNotMatched);
  if (!answer.promised || answer.region != from || !ours || !IsHolderRun() || answer.epoch != item_->epoch) return Heard::kNothing;
  auto round = std::find_if(rounds_.begin(), rounds_.end(), [&](const Round& r) {
    return r.asked == answer.asked && r.epoch == answer.epoch && r.binding == answer.binding;
  });
  if ((SEEDED_BUG(kRoundsMixed) || SEEDED_BUG(kAnswersNotMatched)) && !rounds_.empty()) round = std::prev(rounds_.end());
  if (round == rounds_.end()) return Heard::kNothing;
  round->granted[from] = answer.granted;
  // SAFETY: all candidates, in this one round; an empty set is nobody's word.
  Duration least = Length();
  const std::vector<RegionName> asked = Asked();
  for (const RegionName& region : asked) {
    const auto granted = round->granted.find(region);
    if (granted == round->granted.end()) return Heard::kNothing;
    least = SEEDED_BUG(kLengthsDiffer) ? least : std::min(least, granted->second);
  }
  if (asked.empty()) return Heard::kNothing;
  if (!round->binding) {
    if (!probed_ || round->asked.boot > probed_->boot) probed_ = round->asked;
    return Heard::kNothing;
  }
  Extend(SEEDED_BUG(kDeadlineFromAnswer) ? arrived : round->asked, least, promise_deadline_);
  return Heard::kExtended;
}

void Lease::NoteQuestion(const PromiseQuestion& question) {
  record_.highest = std::max(record_.highest, question.epoch);
  record_.longest_promise = std::max(record_.longest_promise, std::min(question.length, settings_.length));
}

std::string Lease::PromiseRefusal(const PromiseQuestion& q, bool in_recovery, Instant now) const {
  if (q.holder == self_) return "it asks itself";
  if (q.epoch < record_.highest) return "epoch " + std::to_string(record_.highest.number) + " is known";
  // SAFETY: a restarted agent must still know to whom, and for how long at most, it gave its word.
  if (saved_.highest < q.epoch || saved_.longest_promise < std::min(q.length, settings_.length)) return "not on disk yet";
  if (!had_record_ && !store_read_) return "this region has no record of earlier epochs and has not read the store";
  if (!IsOver(StartupEnd(), now)) return "this run began too recently";
  if (claim_) return "a takeover of its own is under way";
  if (item_ && item_->epoch == q.epoch && item_->holder != q.holder) return "'" + item_->holder.text + "' holds that epoch";
  if (item_ && item_->epoch == q.epoch && item_->released) return "that epoch was released";
  // SAFETY: a writable database's agent promises nothing: it is, or may be, a primary itself.
  if (!in_recovery && !SEEDED_BUG(kWritableAgentPromises)) return "the database here does not run as a standby";
  return {};
}

PromiseAnswer Lease::Promise(const PromiseQuestion& question, bool in_recovery, Instant now) {
  PromiseAnswer answer;
  answer.region = self_;
  answer.agent = question.agent;
  answer.epoch = question.epoch;
  answer.asked = question.asked;
  answer.binding = question.binding;
  answer.run = agent_;
  answer.clock = now;
  answer.refusal = PromiseRefusal(question, in_recovery, now);
  answer.highest = saved_.highest;
  answer.promised = answer.refusal.empty();
  if (!answer.promised) return answer;
  answer.granted = std::min(question.length, settings_.length);
  if (!question.binding) return answer;
  promised_epoch_ = question.epoch;
  const Instant until = now + Scale(answer.granted, 1 + LeaseSettings::kRho);
  if (!promised_until_) promised_until_ = until;
  promised_until_->boot = std::max(promised_until_->boot, until.boot);
  promised_until_->raw = std::max(promised_until_->raw, until.raw);
  return answer;
}

void Lease::OnChange(const LeaseChange& change, ChangeFate fate, std::uint64_t version, Incarnation incarnation, Instant arrived) {
  // SAFETY: of several that expect the same item the first may be the one that was applied: its beginning counts.
  if (fate == ChangeFate::kUnknown && (!unanswered_ || change.version > unanswered_->version)) unanswered_ = change;
  if (fate != ChangeFate::kCommitted) return;  // refused or unknown: the watch shows what stands there
  if (change.item.epoch < record_.highest || incarnation < record_.incarnation) return;
  if (incarnation == incarnation_ && version < version_) return;
  // SAFETY: an answer to a question of an epoch that was released since says nothing any more.
  if (change.item.epoch <= record_.released && !change.item.released && !SEEDED_BUG(kReleaseNotTerminal)) return;
  Accept(change.item, version, incarnation, arrived);
  if (IsHolderRun()) ExtendByStore(change);
  if (SEEDED_BUG(kDeadlineFromAnswer) && IsHolderRun()) Extend(arrived, Length(), store_deadline_);
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
  if (!IsOver(StartupEnd(), now)) return {TakeoverBar::kStartup, TimeLeft(StartupEnd(), now)};
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
  Instant end = *counter_seen_ + WaitLength();
  // SAFETY: this region's own promise may have carried the holder beyond what the store's counter shows: what it wrote then counts.
  if (promised_until_ && promised_epoch_ == item_->epoch) {
    end.boot = std::max(end.boot, promised_until_->boot);
    end.raw = std::max(end.raw, promised_until_->raw);
  }
  return end;
}

LeaseChange Lease::BeginClaim(Instant now, std::string attested) {
  if (!attested.empty()) {
    promised_until_.reset();
    waits_waived_ = true;
  }
  LeaseChange claim{now, version_, incarnation_, *item_, true};
  claim.item.epoch = claimed_ = Next(item_->epoch);
  claim.item.holder = self_;
  claim.item.holder_agent = agent_;
  claim.item.counter = 0;
  claim.item.released.reset();
  claim.item.attested = std::move(attested);
  claim.item.observed = observed_.value_or(false);
  // SAFETY: of two tries that expect the same item the first may be the one that was applied: its beginning counts.
  if (claim_ && claim_->version == claim.version && claim_->incarnation == claim.incarnation) claim.asked = claim_->asked;
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
  if (SEEDED_BUG(kTakeoverNotLookedUp) && fate == ChangeFate::kUnknown) fate = ChangeFate::kRefused;
  switch (fate) {
    case ChangeFate::kUnknown: claim_unknown_ = true; return;  // SAFETY: it may have been applied; only a reading resolves it
    case ChangeFate::kRefused: claim_.reset(); return;
    case ChangeFate::kCommitted: break;
  }
  const LeaseChange claim = *claim_;
  claim_.reset();
  if (incarnation == incarnation_ && version < version_) return;
  Accept(claim.item, version, incarnation, arrived);
  if (IsHolderRun()) ExtendByStore(claim);
}

bool Lease::EarlierRunBinds(Instant now, Epoch epoch) const {
  if (SEEDED_BUG(kPromotionNotLookedAtAgain)) return false;
  // SAFETY: what was claimed is opened as if it were taken over now: a run between the claim and this one may have promised to the
  // old primary, not knowing of the claim. A region that has opened the epoch before knew of it ever since.
  return record_.held < epoch && claimed_ < epoch && !waits_waived_ && !IsOver(StartupEnd(), now);
}

bool Lease::MayPromote(Instant now, Epoch epoch) const {
  if (SEEDED_BUG(kPromotionNotLookedAtAgain)) return item_ && item_->epoch == epoch;
  // SAFETY: looked at again at this very moment: promises given, or time lost, while the claim travelled count.
  if (promised_until_ && !IsOver(*promised_until_, now)) return false;
  if (!waits_waived_ && !IsOver(StartupEnd(), now)) return false;
  return item_ && item_->epoch == epoch && HoldsAt(now) && !UnsavedRecord();
}

}  // namespace lifeboat
