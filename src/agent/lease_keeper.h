#pragma once

// Drives the pure lease (decide/lease.h): watches the item in the store, renews by both paths while this region holds it,
// answers the holder's questions for promises, feeds the guard, and keeps the durable record in step. The only writer of the item.
//
// The renewal path touches no disk: the record is written when an epoch or an incarnation changes, never for a renewal.
// Thread rule: the agent's executor.

#include <functional>

#include "act/lease_door.h"
#include "base/log.h"
#include "decide/lease.h"
#include "ports/bell.h"
#include "ports/clock.h"
#include "ports/files.h"
#include "ports/guard.h"
#include "ports/peers.h"

namespace lifeboat {

class LeaseKeeper : public LeaseDoor {
 public:
  struct Options {
    RegionName self;
    AgentId agent;
    std::string service;
    LeaseSettings lease;
    Automation automation = Automation::kObserve;
    Duration failover_after{};
    std::string record_file;
  };
  struct Doors {
    Clock& clock;
    Store& store;
    Files& files;
    Peers& peers;
    Guard* guard = nullptr;             ///< nothing in a witness region
    std::function<bool()> in_recovery;  ///< this region's database was last seen running as a standby
    std::function<void()> changed;      ///< called after every change that decide should look at
  };
  LeaseKeeper(boost::asio::any_io_executor io, Options options, std::optional<AgentRecord> record, Doors doors, Log log);

  /// The loops; they end when the executor's context does.
  Task<> WatchLoop();
  Task<> RenewLoop();
  Task<> FeedLoop();

  /// A holder's question for a promise ("lease.promise").
  Task<Result<Json>> OnQuestion(Json parameters);

  /// Before a lost store is begun anew ("lease.reseed"): the epoch and the incarnation that it will have are on the disk here when
  /// this answers. Asked for the holder: its item has been read from the new store. @return the record
  Task<Result<Json>> OnReseed(Epoch epoch, Incarnation incarnation, RegionName holder);

  /// One attempt to write the first item. @error kRefused: there is one already
  Task<Result<Unit>> Found();
  /// One renewal at once (also the adoption by a new run).
  Task<Result<Unit>> RenewNow();

  // ---- for observe and status ----
  [[nodiscard]] const Lease& lease() const { return lease_; }
  [[nodiscard]] bool StoreAnswers() const { return store_problem_.empty() && store_read_; }
  [[nodiscard]] bool StoreEmpty() const { return store_read_ && !lease_.item(); }
  [[nodiscard]] const std::string& StoreProblem() const { return store_problem_; }
  [[nodiscard]] std::optional<Duration> LastRenewalTook() const { return renewal_took_; }
  [[nodiscard]] std::uint64_t Renewals(bool good) const { return good ? renewals_good_ : renewals_bad_; }
  /// Why a candidate did not promise when it was last asked; empty: it did. Regions that were not asked are absent.
  [[nodiscard]] const std::map<RegionName, std::string>& Refusals() const { return refusals_; }
  [[nodiscard]] std::string ItemKey() const { return options_.service + "/lease"; }

  // ---- LeaseDoor ----
  [[nodiscard]] std::optional<LeaseItem> Item() const override { return lease_.item(); }
  [[nodiscard]] bool Holds(Epoch epoch) const override;
  [[nodiscard]] bool MayPromote(Epoch epoch) const override;
  [[nodiscard]] bool Detached() const override { return lease_.record().Detached(); }
  [[nodiscard]] Epoch Held() const override { return lease_.record().held; }
  Task<Result<Epoch>> Claim(Transaction extra, std::string attested) override;
  Task<Result<Unit>> Release(Epoch epoch, RegionName heir, std::string token) override;
  Task<Result<Epoch>> Reclaim() override;
  Task<Result<Unit>> ChangeCandidate(RegionName region, bool is_candidate) override;
  Task<Result<Unit>> PrepareToWrite(Epoch epoch) override;
  Task<Result<Unit>> NoteJoined(Epoch epoch) override;
  /// Of the transaction that carried the last claim: the version of the records put with it.
  [[nodiscard]] Version LastClaimVersion() const { return claim_version_; }

 private:
  Task<Result<Unit>> SaveRecord();
  Task<Result<Unit>> Read(Duration timeout);
  Result<Unit> TakeIn(const Reading& reading, Instant arrived);
  Task<Result<Unit>> Send(LeaseChange change);
  Task<Result<Epoch>> SendClaim(LeaseChange claim, Transaction extra);
  Task<> RenewInStore();
  Task<> AskPromise(RegionName region, PromiseQuestion question);
  Task<> OnJump(RegionName region);
  void Feed();
  Task<Result<Unit>> FeedGuard();
  [[nodiscard]] Transaction TransactionOf(const LeaseChange& change) const;

  boost::asio::any_io_executor io_;
  const Options options_;
  Clock& clock_;
  Store& store_;
  Files& files_;
  Peers& peers_;
  Guard* guard_;
  std::function<bool()> in_recovery_;
  std::function<void()> changed_;
  Log log_;
  Lease lease_;
  bool store_read_ = false;
  std::string store_problem_ = "no answer from the store since this agent began";
  Version seen_;
  Version claim_version_;
  bool saving_ = false;
  Bell saved_;  ///< rung when a record has reached the disk, or could not
  Bell feed_;
  bool feed_wanted_ = false;
  bool renewing_ = false;  ///< a renewal is on its way to the store: one at a time, each expects the item that the last one left
  std::map<RegionName, std::string> refusals_;
  bool changing_ = false;  ///< a durable change of the item is on its way: a renewal beside it would only make it fail
  std::optional<Duration> renewal_took_;
  std::uint64_t renewals_good_ = 0;
  std::uint64_t renewals_bad_ = 0;
};

}  // namespace lifeboat
