#pragma once

// The verbs that an execution can use on a region, carried out by that region's own agent on its own database, under
// its own lease. Every verb is idempotent: where its goal already holds it says so. A verb that changes something names
// the epoch under which it was asked and is refused where this region has seen a higher one.
//
//   look        {}                          → {database, control, fence, lease, detached, held}
//   ready       {through, system_id, timeline, fork, sign} → {flushed}  can it take over at once, with WAL up to `through`, and is
//   it
//                                                            a copy of the history that has `timeline`, begun at `fork`?
//   checkpoint  {epoch}                     → {}
//   stop        {epoch}                     → ShutdownToken  clean stop of the primary, under its lease
//   reopen      {epoch}                     → {epoch}        undo of stop and release: serve again
//   release     {epoch, heir, token}        → {}
//   freeze      {epoch}                     → {flushed}      drop the link to the old primary
//   cut         {epoch, target}             → {flushed, system_id, timeline, detached, guard}  the same on another standby than the
//   target cede        {epoch, heir, token}        → {}             give away an epoch that was claimed and never opened mark {of}
//   → {epoch, uuid, region}  the first row of the newest timeline (or of epoch `of`), as it stands here claim       {epoch} →
//   {epoch}        take the epoch that was released to this region promote     {epoch, through, primary}   → {fork, uuid}   a
//   server that has died is started again first slots       {epoch, region}             → {}             slots for the candidates
//   and `region` (primary only) heartbeat   {epoch}                     → {sequence}     write one row heartbeat_seen {} →
//   {sequence}     the newest row visible here fork        {timeline}                  → {fork}         where that timeline left
//   the one before it sign        {timeline}                  → {sign}         what tells that timeline from another of its number
//   end_of_wal  {timeline}                  → {end}          of a stopped server
//   fence       {epoch}                     → {}             nothing of the database lives, and no start is writable
//   salvage     {epoch, timeline, fork, execution} → Divergence
//   rewind      {epoch, primary}            → {}
//   copy        {epoch, primary}            → {}
//   follow      {epoch, primary}            → {}
//   joined      {epoch}                     → {}             remember that this copy follows that epoch
//   admit       {epoch, region}             → {}             name a candidate (holder only)
//
// Thread rule: the agent's executor.

#include "act/lease_door.h"
#include "base/log.h"
#include "ports/clock.h"
#include "ports/database.h"
#include "ports/guard.h"

namespace lifeboat {

class RegionHand {
 public:
  struct Doors {
    Clock& clock;
    LeaseDoor& lease;
    Database* database = nullptr;  ///< none in a witness region
    Guard* guard = nullptr;
    std::string ledger_folder;                 ///< where divergent WAL is saved
    std::map<RegionName, Endpoint> databases;  ///< of all data regions
    Log log;
  };
  RegionHand(RegionName self, Doors doors);

  /// @error kNotFound: no such verb; else the verb's own
  Task<Result<Json>> Do(std::string verb, Json parameters, Duration timeout);

 private:
  using Verb = Task<Result<Json>> (RegionHand::*)(Json, Duration);
  Task<Result<Json>> Look(Json parameters, Duration timeout);
  Task<Result<Json>> Ready(Json parameters, Duration timeout);
  Task<Result<Json>> Checkpoint(Json parameters, Duration timeout);
  Task<Result<Json>> Stop(Json parameters, Duration timeout);
  Task<Result<Json>> Reopen(Json parameters, Duration timeout);
  Task<Result<Json>> ReleaseLease(Json parameters, Duration timeout);
  Task<Result<Json>> Freeze(Json parameters, Duration timeout);
  Task<Result<Json>> Cut(Json parameters, Duration timeout);
  Task<Result<Json>> Cede(Json parameters, Duration timeout);
  Task<Result<Json>> Mark(Json parameters, Duration timeout);
  Task<Result<Json>> ClaimLease(Json parameters, Duration timeout);
  Task<Result<Json>> Promote(Json parameters, Duration timeout);
  Task<Result<Json>> Slots(Json parameters, Duration timeout);
  Task<Result<Json>> WriteHeartbeat(Json parameters, Duration timeout);
  Task<Result<Json>> SeenHeartbeat(Json parameters, Duration timeout);
  Task<Result<Json>> Fork(Json parameters, Duration timeout);
  Task<Result<Json>> Sign(Json parameters, Duration timeout);
  Task<Result<Json>> EndOfWal(Json parameters, Duration timeout);
  Task<Result<Json>> FenceDatabase(Json parameters, Duration timeout);
  Task<Result<Json>> Salvage(Json parameters, Duration timeout);
  Task<Result<Json>> Rewind(Json parameters, Duration timeout);
  Task<Result<Json>> Copy(Json parameters, Duration timeout);
  Task<Result<Json>> Follow(Json parameters, Duration timeout);
  Task<Result<Json>> Joined(Json parameters, Duration timeout);
  Task<Result<Json>> Admit(Json parameters, Duration timeout);

  /// Refuses an epoch below the one that this region knows.
  [[nodiscard]] Result<Epoch> CheckEpoch(const Json& parameters) const;
  [[nodiscard]] Result<Upstream> PrimaryOf(const Json& parameters) const;
  /// Refuses where this region may hold the service itself: nothing that rewinds or replaces may touch a primary.
  [[nodiscard]] Result<Unit> CheckNotHolder() const;
  /// Refuses where the copy here is of another history than the asker's: its position says nothing then.
  [[nodiscard]] Task<Result<Unit>> SeeHistory(Json parameters, DatabaseState state, Duration timeout);
  [[nodiscard]] Task<Result<Unit>> Revive(Json parameters, Duration timeout);
  [[nodiscard]] Task<Result<Unit>> OpenUnder(Epoch epoch, Duration timeout);

  const RegionName self_;
  Doors doors_;
  std::map<RegionName, Instant> slots_asked_;  ///< for whom a slot was asked for, and when
};

}  // namespace lifeboat
