#pragma once

// What the acting code needs of the region's lease. The agent's lease keeper stands behind it; tests use a fake.
// Thread rule: the agent's executor.

#include "model/lease_item.h"
#include "ports/store.h"

namespace lifeboat {

class LeaseDoor {
 public:
  virtual ~LeaseDoor() = default;

  [[nodiscard]] virtual std::optional<LeaseItem> Item() const = 0;
  /// True while this region's lease of `epoch` is valid at this very moment.
  [[nodiscard]] virtual bool Holds(Epoch epoch) const = 0;
  /// The second look at the moment of a promotion (docs/lease.md section 4.3).
  [[nodiscard]] virtual bool MayPromote(Epoch epoch) const = 0;
  [[nodiscard]] virtual bool Detached() const = 0;
  /// The highest epoch under which this region's database may have been writable; 0: none.
  [[nodiscard]] virtual Epoch Held() const = 0;

  /// Takes the next epoch, together with `extra` (compares and puts of an execution) in one transaction.
  /// `attested`: the person who vouches that the old primary is off, which stands in for waiting its lease out. Empty: nobody.
  /// @return the new epoch @error kRefused: the lease has not run out, or somebody else moved; kUnknownOutcome
  virtual Task<Result<Epoch>> Claim(Transaction extra, std::string attested) = 0;
  /// Ends `epoch` in favour of `heir`: the word is on disk first. The database must be stopped.
  virtual Task<Result<Unit>> Release(Epoch epoch, RegionName heir, std::string token) = 0;
  /// Goes on under the next epoch after a release whose heir did not come. @return the new epoch
  virtual Task<Result<Epoch>> Reclaim() = 0;
  /// Names or removes a candidate; only the holder can.
  virtual Task<Result<Unit>> ChangeCandidate(RegionName region, bool is_candidate) = 0;

  /// Before the database becomes writable under `epoch`: the durable record says so, and the guard permits it.
  virtual Task<Result<Unit>> PrepareToWrite(Epoch epoch) = 0;
  /// After the copy here was proven to follow the primary of `epoch`.
  virtual Task<Result<Unit>> NoteJoined(Epoch epoch) = 0;
};

}  // namespace lifeboat
