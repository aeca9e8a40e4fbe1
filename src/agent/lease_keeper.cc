#include "agent/lease_keeper.h"

#include <algorithm>

#include "base/seeded_bug.h"
#include "base/spawn.h"

namespace lifeboat {

namespace {
constexpr Duration kReadTimeout = 700ms;
constexpr Duration kShortestRenewalTimeout = 100ms;
constexpr Duration kWatchTimeout = 1s;
constexpr Duration kGuardTimeout = 200ms;
constexpr Duration kLongestPromiseWait = 1s;
constexpr Duration kForbidTimeout = 5s;
constexpr int kRenewalsPerLease = 6;

ChangeFate FateOf(const Result<TransactionResult>& result) {
  if (result.ok()) return result->committed ? ChangeFate::kCommitted : ChangeFate::kRefused;
  return result.error().retry == Retry::kUnknownOutcome ? ChangeFate::kUnknown : ChangeFate::kRefused;
}
}  // namespace

LeaseKeeper::LeaseKeeper(boost::asio::any_io_executor io, Options options, std::optional<AgentRecord> record, Doors doors, Log log)
    : io_(std::move(io)),
      options_(std::move(options)),
      clock_(doors.clock),
      store_(doors.store),
      files_(doors.files),
      peers_(doors.peers),
      guard_(doors.guard),
      in_recovery_(std::move(doors.in_recovery)),
      changed_(std::move(doors.changed)),
      log_(std::move(log)),
      lease_(options_.self, options_.agent, options_.lease, record, clock_.Now()),
      saved_(io_),
      feed_(io_) {
  if (options_.automation != Automation::kAct) lease_.NoteFenced(false);
}

Task<Result<Unit>> LeaseKeeper::SaveRecord() {
  // SAFETY: one at a time: an older record must not be the last that reaches the disk.
  while (lease_.UnsavedRecord() && saving_) co_await saved_.Wait();
  const auto unsaved = lease_.UnsavedRecord();
  if (!unsaved) co_return Done();
  saving_ = true;
  const std::string text = ToJson(*unsaved).dump(2) + "\n";
  auto written = co_await files_.Write(options_.record_file, text);
  saving_ = false;
  saved_.Ring();
  if (!written.ok()) {
    log_.Error("the agent's record cannot be written", {{"problem", written.error().message}});
    co_return written.error();
  }
  lease_.OnRecordSaved(*unsaved);
  co_return Done();
}

Result<Unit> LeaseKeeper::TakeIn(const Reading& reading, Instant arrived) {
  std::optional<LeaseItem> item;
  Version version = reading.version;
  for (const Record& record : reading.records) {
    if (record.key != ItemKey()) continue;
    const auto json = ParseJson(record.value, record.key);
    if (!json.ok()) return json.error();
    auto parsed = LeaseItemFromJson(*json);
    if (!parsed.ok()) return parsed.error();
    item = *std::move(parsed);
    version = record.version;
  }
  const Epoch before = lease_.record().highest;
  auto taken = lease_.OnItem(item, item ? version.number : 0, reading.incarnation, arrived);
  if (!taken.ok()) return taken;
  seen_ = std::max(version, reading.version);
  store_read_ = true;
  if (!store_problem_.empty()) log_.Info("the store answers", {{"incarnation", reading.incarnation.number}});
  store_problem_.clear();
  if (lease_.record().highest > before) {
    log_.SetContext("epoch", lease_.record().highest.number);
    log_.Info("a new epoch is known", {{"holder", lease_.item()->holder.text}});
  }
  return Done();
}

Task<Result<Unit>> LeaseKeeper::Read(Duration timeout) {
  auto reading = co_await store_.Read(ItemKey(), timeout);
  const Instant arrived = clock_.Now();
  if (!reading.ok()) {
    store_problem_ = reading.error().message;
    co_return reading.error();
  }
  auto taken = TakeIn(*reading, arrived);
  if (!taken.ok()) {
    store_problem_ = taken.error().Text();
    co_return taken.error();
  }
  co_return co_await SaveRecord();
}

Task<> LeaseKeeper::WatchLoop() {
  while (true) {
    Result<Unit> good = Done();
    if (!store_read_ || !store_problem_.empty()) {
      good = co_await Read(kReadTimeout);
    } else {
      const Instant asked = clock_.Now();
      auto reading = co_await store_.Watch(ItemKey(), seen_, lease_.incarnation(), kWatchTimeout);
      const Instant arrived = SEEDED_BUG(kCounterFromQuestion) ? asked : clock_.Now();
      if (reading.ok()) {
        good = TakeIn(*reading, arrived);
        if (good.ok()) good = co_await SaveRecord();
      } else {
        good = reading.error();
      }
      if (!good.ok()) store_problem_ = good.error().Text();
    }
    changed_();
    if (!good.ok()) co_await clock_.Sleep(50ms);
  }
}

Transaction LeaseKeeper::TransactionOf(const LeaseChange& change) const {
  Transaction transaction;
  transaction.compares.push_back({ItemKey(), Version{change.version}});
  transaction.puts.push_back({ItemKey(), ToJson(change.item).dump()});
  transaction.durability = change.durable ? Durability::kDurable : Durability::kVolatile;
  transaction.incarnation = change.incarnation;
  return transaction;
}

Task<Result<Unit>> LeaseKeeper::Send(LeaseChange change) {
  // A renewal that hangs must leave time for the next ones: several of them fit into one lease.
  const Duration timeout =
      change.durable ? kReadTimeout : std::clamp<Duration>(lease_.Length() / 4, kShortestRenewalTimeout, kReadTimeout);
  auto result = co_await store_.Commit(TransactionOf(change), timeout);
  const Instant arrived = clock_.Now();
  const ChangeFate fate = FateOf(result);
  const Version version = result.ok() ? result->version : Version{};
  const Incarnation incarnation = result.ok() ? result->incarnation : change.incarnation;
  lease_.OnChange(change, fate, version.number, incarnation, arrived);
  if (fate != ChangeFate::kCommitted) {
    ++renewals_bad_;
    const Error error = result.ok() ? Refused("something else stands in the store") : result.error();
    if (!result.ok()) store_problem_ = error.message;
    // What stands there now is needed before the next try. Without an answer the watch reads it, as soon as it can be read.
    if (result.ok() || change.durable) (void)co_await Read(kReadTimeout);
    co_return error;
  }
  ++renewals_good_;
  store_problem_.clear();
  renewal_took_ = AgeAt(change.asked, arrived);
  if (change.durable) co_return co_await FeedGuard();
  Feed();
  co_return Done();
}

Task<Result<Unit>> LeaseKeeper::FeedGuard() {
  const auto deadline = lease_.Deadline();
  if (!guard_ || !deadline) co_return Done();
  const Epoch epoch = lease_.item()->epoch;
  // SAFETY: let go only where the store says already that this lease fences nothing: until then others may take over on its end.
  const bool let_go = lease_.item()->observed;
  if (options_.automation != Automation::kAct && let_go) {
    auto held = co_await guard_->Hold(epoch, kGuardTimeout);
    if (held.ok()) co_return Done();
  }
  // A guard that still acts, since it was not restarted with 'observe' yet, is fed: it would end a database that serves.
  auto fed = co_await guard_->Permit(epoch, *deadline, lease_.Length(), kGuardTimeout);
  if (options_.automation != Automation::kAct) co_return Done();
  if (fed.ok()) {
    lease_.NoteFenced(true);
    co_return Done();
  }
  log_.Warn("the guard was not fed", {{"problem", fed.error().message}});
  const GuardState guard = co_await guard_->Look(kGuardTimeout);
  if (guard.reachable && guard.observes) {
    // It was not restarted with 'act' yet: nobody may take over on the end of this lease, and what serves is not refused.
    lease_.NoteFenced(false);
    if (let_go) (void)co_await guard_->Hold(epoch, kGuardTimeout);
  }
  co_return fed;
}

void LeaseKeeper::Feed() {
  feed_wanted_ = true;
  feed_.Ring();
}

Task<> LeaseKeeper::FeedLoop() {
  while (true) {
    if (!feed_wanted_) co_await feed_.Wait();
    feed_wanted_ = false;
    (void)co_await FeedGuard();
  }
}

Task<> LeaseKeeper::RenewLoop() {
  while (true) {
    const Instant began = clock_.Now();
    // Adoption of an earlier run's lease is decide's to propose; a renewal is for the run that holds it.
    if (lease_.IsHolderRun()) {
      // Rounds overlap: each is questions of its own, and a lost one delays no other.
      if (const auto question = lease_.BeginRound(began)) {
        for (const RegionName& region : lease_.Asked()) Spawn(io_, AskPromise(region, *question));
      }
      if (!changing_ && !renewing_) Spawn(io_, RenewInStore());
    }
    const Duration period = lease_.Length() / kRenewalsPerLease;
    const Duration spent = AgeAt(began, clock_.Now());
    co_await clock_.Sleep(std::max<Duration>(5ms, period - spent));
  }
}

Task<> LeaseKeeper::RenewInStore() {
  renewing_ = true;
  const bool held = lease_.HoldsAt(clock_.Now());
  auto renewal = lease_.Renewal(clock_.Now());
  if (!renewal) {
    // After the deadline: the store is heard first.
    auto heard = co_await Read(kReadTimeout);
    if (heard.ok() && lease_.IsHolderRun() && !changing_) renewal = lease_.Renewal(clock_.Now());
  }
  bool sent = false;
  if (renewal) {
    auto answer = co_await Send(*renewal);
    sent = answer.ok();
  }
  renewing_ = false;
  if (sent != held || !sent) changed_();
}

Task<> LeaseKeeper::AskPromise(RegionName region, PromiseQuestion question) {
  const Duration timeout = std::min<Duration>(question.length, kLongestPromiseWait);
  Json parameters = ToJson(question);
  auto answered = co_await peers_.Call(region, "lease.promise", std::move(parameters), timeout, Lane::kDatagram);
  if (!answered.ok()) {
    refusals_[region] = answered.error().message;
    co_return;
  }
  const auto answer = PromiseAnswerFromJson(*answered);
  if (!answer.ok()) {
    refusals_[region] = answer.error().message;
    co_return;
  }
  refusals_[region] = answer->refusal;
  const bool held = lease_.HoldsAt(clock_.Now());
  const Lease::Heard heard = lease_.OnPromise(region, *answer, clock_.Now());
  if (heard == Lease::Heard::kExtended) Feed();
  if (heard == Lease::Heard::kJump) co_await OnJump(region);
  if (held != lease_.HoldsAt(clock_.Now())) changed_();
  (void)co_await SaveRecord();  // only where a higher epoch was heard of
}

/// SAFETY: the deadlines that the gate and the guard were given are on clocks that stood still: only ending the server is sure.
Task<> LeaseKeeper::OnJump(RegionName region) {
  log_.Error("this machine's clocks stood still: it was paused from outside; the database is stopped", {{"seen_by", region.text}});
  if (guard_ && options_.automation == Automation::kAct) (void)co_await guard_->Forbid(lease_.item()->epoch, kForbidTimeout);
}

Task<Result<Json>> LeaseKeeper::OnQuestion(Json parameters) {
  const auto question = PromiseQuestionFromJson(parameters);
  if (!question.ok()) co_return question.error();
  lease_.NoteQuestion(*question);
  // Once per epoch and length; a question after that touches no disk.
  (void)co_await SaveRecord();
  co_return ToJson(lease_.Promise(*question, in_recovery_(), clock_.Now()));
}

Task<Result<Unit>> LeaseKeeper::RenewNow() {
  auto renewal = lease_.Renewal(clock_.Now());
  if (!renewal && lease_.IsHolder()) {
    auto heard = co_await Read(kReadTimeout);
    if (!heard.ok()) co_return heard;
    renewal = lease_.Renewal(clock_.Now());
  }
  if (!renewal) co_return Refused("this region does not hold the lease");
  auto sent = co_await Send(*renewal);
  changed_();
  co_return sent;
}

Task<Result<Unit>> LeaseKeeper::Found() {
  auto founding = lease_.Founding(clock_.Now());
  if (!founding) co_return Refused("the store holds a lease item already");
  auto sent = co_await Send(*founding);
  if (!sent.ok()) co_return sent.error();
  auto saved = co_await SaveRecord();
  changed_();
  co_return saved;
}

bool LeaseKeeper::Holds(Epoch epoch) const {
  return lease_.item() && lease_.item()->epoch == epoch && lease_.HoldsAt(clock_.Now());
}

bool LeaseKeeper::MayPromote(Epoch epoch) const { return lease_.MayPromote(clock_.Now(), epoch); }

Task<Result<Epoch>> LeaseKeeper::SendClaim(LeaseChange claim, Transaction extra) {
  Transaction transaction = TransactionOf(claim);
  for (auto& compare : extra.compares) transaction.compares.push_back(std::move(compare));
  for (auto& put : extra.puts) transaction.puts.push_back(std::move(put));
  for (auto& key : extra.deletes) transaction.deletes.push_back(std::move(key));
  const Epoch wanted = claim.item.epoch;
  auto result = co_await store_.Commit(std::move(transaction), kReadTimeout);
  const ChangeFate fate = FateOf(result);
  const Version version = result.ok() ? result->version : Version{};
  const Incarnation incarnation = result.ok() ? result->incarnation : claim.incarnation;
  lease_.OnClaim(fate, version.number, incarnation, clock_.Now());
  if (fate == ChangeFate::kCommitted) claim_version_ = version;
  if (fate != ChangeFate::kCommitted && !SEEDED_BUG(kTakeoverNotLookedUp)) (void)co_await Read(kReadTimeout);
  const bool ours = lease_.item() && lease_.item()->epoch == wanted && lease_.item()->holder_agent == options_.agent;
  if (!ours) {
    changed_();
    if (!result.ok()) co_return result.error();
    co_return Refused("somebody else moved the lease at the same moment", "look at 'lifeboat status'");
  }
  auto saved = co_await SaveRecord();
  if (!saved.ok()) co_return saved.error();
  log_.SetContext("epoch", wanted.number);
  log_.Info("the lease is held",
            {{"deadline_left_ms", lease_.Deadline() ? Millis(TimeLeft(*lease_.Deadline(), clock_.Now())) : 0}});
  changed_();
  co_return wanted;
}

Task<Result<Epoch>> LeaseKeeper::Claim(Transaction extra, std::string attested) {
  const TakeoverAnswer may = lease_.MayTakeOver(clock_.Now(), options_.failover_after);
  const bool wait = may.bar == TakeoverBar::kCounterFresh || may.bar == TakeoverBar::kPromise || may.bar == TakeoverBar::kStartup;
  const bool waived = !attested.empty() && wait;
  // SAFETY: where nothing stops the old primary's writes, the end of its lease says nothing: only a person's word does.
  if (attested.empty() && lease_.item() && !lease_.item()->Fences())
    co_return Refused("the lease of '" + lease_.item()->holder.text + "' fences nothing: policy.automation is 'observe' there",
                      "make sure that it is off, then: --attest \"who and how\"");
  if (may.bar != TakeoverBar::kNone && !waived) {
    const std::string left = may.left > 0s ? ", " + FormatDuration(may.left) + " left" : "";
    co_return Refused("this region may not take over: " + std::string(ToString(may.bar)) + left);
  }
  LeaseChange claim = lease_.BeginClaim(clock_.Now(), std::move(attested));
  co_return co_await SendClaim(std::move(claim), std::move(extra));
}

Task<Result<Epoch>> LeaseKeeper::Reclaim() {
  auto claim = lease_.BeginReclaim(clock_.Now());
  if (!claim) {
    // Never released: the epoch is still ours, and a renewal is enough.
    auto renewed = co_await RenewNow();
    if (!renewed.ok()) co_return renewed.error();
    co_return lease_.item()->epoch;
  }
  Transaction nothing;
  co_return co_await SendClaim(*std::move(claim), std::move(nothing));
}

Task<Result<Unit>> LeaseKeeper::Release(Epoch epoch, RegionName heir, std::string token) {
  const auto item = lease_.item();
  if (item && item->released && item->released->heir == heir && item->epoch == epoch) co_return Done();
  if (!item || item->epoch != epoch || item->holder != options_.self) {
    co_return Refused("this region does not hold epoch " + std::to_string(epoch.number));
  }
  // Tried before, perhaps by an earlier run: the guard may know the next epoch by now and refuses this one's; below it is asked
  // again.
  const bool again = lease_.record().released >= epoch;
  if (guard_ && options_.automation == Automation::kAct && !again) {
    auto forbidden = co_await guard_->Forbid(epoch, kForbidTimeout);
    if (!forbidden.ok()) co_return forbidden.error();
  }
  lease_.BeginRelease();
  auto saved = co_await SaveRecord();
  if (!saved.ok()) co_return saved.error();
  if (guard_ && options_.automation == Automation::kAct) {
    // SAFETY: a permission of this epoch that was on its way may have armed the guard again since, and another may still arrive. By
    // the next epoch's number none of this one is granted any more, whenever it arrives; whoever goes on here does so under that
    // one (LeaseKeeperRelease.APermissionThatWasOnItsWayOpensNothingOfAReleasedEpoch).
    auto ended = co_await guard_->Forbid(Next(epoch), kForbidTimeout);
    if (!ended.ok()) co_return ended.error();
  }
  changing_ = true;
  Result<Unit> answer = RetryLater("the release was not sent");
  for (int attempt = 0; attempt < 3; ++attempt) {
    lifeboat::Release word{heir, token};
    const auto change = lease_.Released(clock_.Now(), std::move(word));
    if (!change) break;
    answer = co_await Send(*change);
    if (answer.ok()) break;
  }
  changing_ = false;
  const bool stands = lease_.item() && lease_.item()->released && lease_.item()->epoch == epoch;
  changed_();
  if (stands) co_return Done();
  co_return answer;
}

Task<Result<Unit>> LeaseKeeper::ChangeCandidate(RegionName region, bool is_candidate) {
  if (!lease_.item()) co_return RetryLater("the store has not been read yet");
  std::vector<RegionName> candidates = lease_.item()->candidates;
  const bool is = lease_.item()->IsCandidate(region);
  if (is == is_candidate) co_return Done();
  if (is_candidate) {
    candidates.push_back(region);
  } else {
    candidates.erase(std::remove(candidates.begin(), candidates.end(), region), candidates.end());
  }
  changing_ = true;
  const auto change = lease_.BeginMembership(clock_.Now(), std::move(candidates));
  Result<Unit> sent = Refused("this region does not hold the lease, so it cannot name candidates");
  if (change) sent = co_await Send(*change);
  changing_ = false;
  if (sent.ok()) log_.Info("candidates changed", {{"region", region.text}, {"is_candidate", is_candidate}});
  changed_();
  co_return sent;
}

Task<Result<Unit>> LeaseKeeper::PrepareToWrite(Epoch epoch) {
  if (!Holds(epoch)) {
    // Held, but the deadline has passed or was never set by this run: one renewal decides.
    if (lease_.item() && lease_.item()->epoch == epoch && lease_.IsHolder()) (void)co_await RenewNow();
    if (!Holds(epoch)) co_return RetryLater("the lease of epoch " + std::to_string(epoch.number) + " is not valid at this moment");
  }
  // SAFETY: opening by a start is a takeover as well as opening by a promotion: an own promise bars both.
  const auto promised = lease_.PromisedUntil();
  const bool binds = promised && !IsOver(*promised, clock_.Now()) && !SEEDED_BUG(kPromotionNotLookedAtAgain);
  if (binds) co_return RetryLater("this region's own promise to an earlier holder still binds it");
  if (lease_.EarlierRunBinds(clock_.Now(), epoch))
    co_return RetryLater(
        "an earlier run of this agent may have promised to an earlier holder, and that word still binds this region");
  lease_.NoteHeld(epoch);
  auto saved = co_await SaveRecord();
  if (!saved.ok()) co_return saved.error();
  // SAFETY: nothing becomes writable that no guard would stop.
  auto fed = co_await FeedGuard();
  if (!fed.ok()) co_return fed;
  // SAFETY: disk and guard may have taken their time, and the lease may have gone to somebody else meanwhile.
  if (!Holds(epoch))
    co_return RetryLater("the lease of epoch " + std::to_string(epoch.number) + " has ended while it was prepared for");
  co_return Done();
}

Task<Result<Json>> LeaseKeeper::OnReseed(Epoch epoch, Incarnation incarnation, RegionName holder) {
  if (holder == options_.self) {
    auto read = co_await Read(kReadTimeout);
    if (!read.ok()) co_return read.error();
    if (lease_.record().highest < epoch || lease_.record().incarnation < incarnation)
      co_return RetryLater("epoch " + std::to_string(epoch.number) + " does not stand in the store that this region reads");
  } else {
    // SAFETY: on the disk before the new item can be written anywhere: from here on this region gives no word for an epoch below.
    lease_.NoteReseed(epoch, incarnation);
    auto saved = co_await SaveRecord();
    if (!saved.ok()) co_return saved.error();
    log_.Warn("the store is reseeded: every lower epoch is refused from now on",
              {{"epoch", epoch.number}, {"holder", holder.text}});
  }
  changed_();
  co_return ToJson(lease_.record());
}

Task<Result<Unit>> LeaseKeeper::NoteJoined(Epoch epoch) {
  lease_.NoteJoined(epoch);
  co_return co_await SaveRecord();
}

}  // namespace lifeboat
