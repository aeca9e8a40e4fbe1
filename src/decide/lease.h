#pragma once

// The write lease as a pure state machine (docs/lease.md): no clock, no I/O. Whoever drives it hands in what happened
// and when, and carries out what it answers. The same class serves a holder and a candidate: which one an agent is
// stands in the store's item, not in its program.
//
// Versions of the store are compared on every change of the item: a version stands for the whole item (epoch, holder,
// counter, candidates, released) and never comes back, so comparing it compares them all.
//
// Two paths carry the lease: the store's item (Renewal, OnChange) and the promises of all candidates (BeginRound, OnPromise).
// Either is enough; each extends the deadline from before its own question.
//
// Thread rule: one owner.

#include <deque>
#include <map>
#include <optional>
#include <string>

#include "decide/promise.h"
#include "model/agent_record.h"
#include "model/lease_item.h"
#include "model/policy.h"

namespace lifeboat {

/// A change of the item on its way to the store: what it expects there and what it writes.
struct LeaseChange {
  Instant asked;              ///< t0: every deadline is counted from before the question
  std::uint64_t version = 0;  ///< of the item that it replaces; 0: there must be none
  Incarnation incarnation;
  LeaseItem item;
  bool durable = false;  ///< renewals need not reach the disk, everything else must
};

enum class ChangeFate {
  kCommitted,
  kRefused,  ///< something else stands there: read it
  kUnknown,  ///< no answer: read before anything else
};

/// Why a candidate may not take over now.
enum class TakeoverBar {
  kNone,             ///< it may
  kNoItem,           ///< the store's item was never read
  kHolder,           ///< it holds the lease itself
  kNotCandidate,     ///< the item does not name it
  kCounterFresh,     ///< the holder renewed less than the lease's length ago
  kHeirFirst,        ///< released to another, who goes first
  kStartup,          ///< this run started too recently: an earlier run may have given its word
  kPromise,          ///< its own promise to the holder still binds it
  kClaimUnresolved,  ///< its last claim's fate is not known yet
};
[[nodiscard]] const char* ToString(TakeoverBar bar);

struct TakeoverAnswer {
  TakeoverBar bar = TakeoverBar::kNoItem;
  Duration left{};  ///< until the bar falls by itself, where it does
};

class Lease {
 public:
  /// @param record     the durable record as it was read; absent: this region never had one
  /// @param started    when this run of the agent began
  Lease(RegionName self, AgentId agent, LeaseSettings settings, std::optional<AgentRecord> record, Instant started);

  // ---- what the store said ----

  /// An item was read (or there was none). `arrived` is when the answer came: counters are timed from it.
  /// @error kRefused: the store's epoch or incarnation is older than this region's record: a restored copy
  Result<Unit> OnItem(std::optional<LeaseItem> item, std::uint64_t version, Incarnation incarnation, Instant arrived);

  // ---- the durable record: written before anything is done that rests on it ----

  [[nodiscard]] const AgentRecord& record() const { return record_; }
  /// The record as it must stand on disk before the next change may be sent or acted on; nothing: it stands.
  [[nodiscard]] std::optional<AgentRecord> UnsavedRecord() const;
  void OnRecordSaved(const AgentRecord& saved);
  /// Notes that the copy here follows the primary of `epoch`, proven by a row written after the rejoin.
  void NoteJoined(Epoch epoch);
  /// A store that was lost is about to be begun anew with this epoch and incarnation: everything lower is refused from now on.
  void NoteReseed(Epoch epoch, Incarnation incarnation);
  /// Notes that the database is about to be writable under `epoch`.
  void NoteHeld(Epoch epoch);

  /// What this region knows of its own fence: whether guard or gate stop its writes at the deadline. The next renewal, claim or
  /// founding says so in the item (LeaseItem::observed), and durably where that changes. Never called: what stands there goes on.
  void NoteFenced(bool fenced) { observed_ = !fenced; }

  // ---- holding ----

  /// True when the item names this region, and this region has not ended that epoch.
  [[nodiscard]] bool IsHolder() const;
  /// True when the item names this very run of the agent.
  [[nodiscard]] bool IsHolderRun() const;
  /// The moment until which the database may be writable: the later of the two paths'. Nothing: no lease.
  [[nodiscard]] std::optional<Instant> Deadline() const { return deadline_; }
  /// How far each path alone has carried it.
  [[nodiscard]] std::optional<Instant> StoreDeadline() const { return store_deadline_; }
  [[nodiscard]] std::optional<Instant> PromiseDeadline() const { return promise_deadline_; }
  [[nodiscard]] bool HoldsAt(Instant now) const;

  /// The next renewal in the store (also the adoption by a new run in the same region). Nothing: not the holder, released, or the
  /// deadline has passed and the store has not been heard within one length: read it first, which binds nobody.
  [[nodiscard]] std::optional<LeaseChange> Renewal(Instant now) const;
  /// A renewal that also changes the candidates. From here until its fate is known "all candidates" means those before and after.
  [[nodiscard]] std::optional<LeaseChange> BeginMembership(Instant now, std::vector<RegionName> candidates);
  /// The first item of a service: epoch 1. Only when the store has none and this region has never seen one.
  [[nodiscard]] std::optional<LeaseChange> Founding(Instant now);
  /// What became of a renewal, membership change or founding.
  void OnChange(const LeaseChange& change, ChangeFate fate, std::uint64_t version, Incarnation incarnation, Instant arrived);

  // ---- holding: the promise path ----

  /// Begins a round: the question for every region of Asked(). Nothing: not the holder, or nobody is to be asked. After the
  /// deadline it is a probe, which binds nobody, until all have answered one within a length of the lease.
  [[nodiscard]] std::optional<PromiseQuestion> BeginRound(Instant now);
  /// Whose promises are needed: the candidates, and those that are being made one.
  [[nodiscard]] std::vector<RegionName> Asked() const;
  enum class Heard {
    kNothing,   ///< nothing that changes the deadline
    kExtended,  ///< all have promised in that round, and the deadline was counted from its beginning
    kJump,      ///< more time has passed elsewhere than here: this machine's clocks stood still, and the lease is void
  };
  Heard OnPromise(const RegionName& from, const PromiseAnswer& answer, Instant arrived);

  // ---- promising ----

  /// Takes from the question what must be on disk before the word is given: save UnsavedRecord() before Promise().
  void NoteQuestion(const PromiseQuestion& question);
  /// @param in_recovery  this region's database runs as a standby, as it was last seen
  [[nodiscard]] PromiseAnswer Promise(const PromiseQuestion& question, bool in_recovery, Instant now);
  /// Until when this region's own word binds it. Nothing: it gave none.
  [[nodiscard]] std::optional<Instant> PromisedUntil() const { return promised_until_; }

  // ---- releasing ----

  /// Ends the epoch by this region's word. From here on it is never renewed, whatever answers arrive: save the record,
  /// then send Released(). Not the holder: no effect.
  void BeginRelease();
  [[nodiscard]] std::optional<LeaseChange> Released(Instant now, Release release) const;

  // ---- taking over ----

  /// @param extra  policy failover_after: lengthens the wait for a silent holder and nothing else
  [[nodiscard]] TakeoverAnswer MayTakeOver(Instant now, Duration extra) const;
  /// When the holder's lease has surely ended by this agent's own clock: the loss is bounded by it.
  [[nodiscard]] std::optional<Instant> HolderSurelyEnded() const;
  /// The claim of the next epoch. Call only when MayTakeOver says kNone; from here until its fate is known nothing is promised.
  /// @param attested  who says that the old primary is off; it stands in for the waits, its own promise's among them. Empty: nobody
  [[nodiscard]] LeaseChange BeginClaim(Instant now, std::string attested = {});
  /// The claim by a holder that released and whose heir did not come: the aborted switchover goes on under the next epoch.
  [[nodiscard]] std::optional<LeaseChange> BeginReclaim(Instant now);
  void OnClaim(ChangeFate fate, std::uint64_t version, Incarnation incarnation, Instant arrived);
  /// The second look, at the very moment of the promotion.
  [[nodiscard]] bool MayPromote(Instant now, Epoch epoch) const;
  /// True while a promise of an earlier run may bind this region, whose lease of `epoch` another run claimed and nobody opened
  /// here.
  [[nodiscard]] bool EarlierRunBinds(Instant now, Epoch epoch) const;

  // ---- for people ----

  [[nodiscard]] const std::optional<LeaseItem>& item() const { return item_; }
  [[nodiscard]] Incarnation incarnation() const { return incarnation_; }
  /// When the counter was last seen to move, by arrival.
  [[nodiscard]] std::optional<Instant> CounterSeen() const { return counter_seen_; }
  [[nodiscard]] Duration Length() const;

 private:
  void Accept(LeaseItem item, std::uint64_t version, Incarnation incarnation, Instant arrived);
  void Extend(Instant asked, Duration length, std::optional<Instant>& path);
  void ExtendByStore(const LeaseChange& change);
  void EndReign();
  [[nodiscard]] std::optional<LeaseChange> Change(Instant now) const;
  [[nodiscard]] Duration WaitLength() const;
  [[nodiscard]] Instant StartupEnd() const;
  [[nodiscard]] std::string PromiseRefusal(const PromiseQuestion& question, bool in_recovery, Instant now) const;

  /// One round of questions: a deadline comes from one round, never from a mixture.
  struct Round {
    Instant asked;
    Epoch epoch;
    bool binding = true;
    std::map<RegionName, Duration> granted;
  };
  static constexpr std::size_t kMostRounds = 16;

  /// A reading of another region's clock, with the own time before which it was surely not taken.
  struct ClockSample {
    AgentId run;
    Instant theirs;
    Instant asked;
  };
  [[nodiscard]] bool BetraysJump(const RegionName& from, const PromiseAnswer& answer, Instant arrived);

  const RegionName self_;
  const AgentId agent_;
  const LeaseSettings settings_;
  const bool had_record_;
  const Instant started_;
  const Duration earlier_promise_;  // the longest that an earlier run may have given
  const Epoch earlier_epoch_;       // and the highest epoch for which it may have given one

  AgentRecord record_;
  AgentRecord saved_;
  std::optional<LeaseItem> item_;
  std::uint64_t version_ = 0;
  Incarnation incarnation_;
  bool store_read_ = false;
  std::optional<Instant> counter_seen_;
  std::optional<Instant> released_seen_;
  std::optional<Instant> deadline_;
  std::optional<Instant> store_deadline_;
  std::optional<Instant> promise_deadline_;
  std::optional<Instant> store_heard_;     // when its last answer arrived
  std::optional<LeaseChange> unanswered_;  // the last renewal whose answer was lost: a reading may show that it was applied
  std::deque<Round> rounds_;               // the newest last
  std::optional<Instant> probed_;          // the newest round of probes that all have answered, by its beginning
  std::vector<RegionName> joining_;        // of a membership change whose fate is not known
  std::uint64_t joining_version_ = 0;      // the version that it replaces
  std::map<RegionName, ClockSample> clocks_;
  std::optional<Instant> promised_until_;
  bool earlier_promises_ended_ = false;  // the store showed the release of every epoch that an earlier run may have promised for
  Epoch promised_epoch_;                 // for which the last promise was given
  std::optional<Instant> older_since_;   // since when nothing but versions below the own one has been read
  Epoch claimed_;                        // the highest epoch that this run itself asked for
  bool waits_waived_ = false;            // by a person's word, for the claim of this run
  std::optional<LeaseChange> claim_;     // sent; while it is here nothing is promised
  bool claim_unknown_ = false;           // no answer came
  bool claim_again_ = false;             // and a later reading showed it not applied
  std::optional<bool> observed_;         // nothing fences this region; empty: not known yet
};

}  // namespace lifeboat
