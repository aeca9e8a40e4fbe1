#pragma once

// The lease of several regions, without a store: for tests of what acts under it.

#include <functional>
#include <memory>

#include "act/lease_door.h"

namespace lifeboat::testing {

/// What all regions see.
struct SharedLease {
  LeaseItem item;
  bool valid = true;              ///< the holder's deadline lies ahead
  bool lapsed = false;            ///< a candidate may take over
  Store* store = nullptr;         ///< where an execution's record goes with a claim
  std::function<void()> claimed;  ///< a claim on its way: whoever applies its transaction calls this in the same moment
};

class FakeLease final : public LeaseDoor {
 public:
  FakeLease(RegionName self, SharedLease& shared) : self_(std::move(self)), shared_(shared) {}

  bool known = true;  ///< the store has been read
  bool guard_feeds = true;
  bool detached = false;
  Epoch joined;
  Epoch held;
  std::vector<Epoch> prepared;

  [[nodiscard]] std::optional<LeaseItem> Item() const override { return known ? std::optional(shared_.item) : std::nullopt; }
  [[nodiscard]] bool Holds(Epoch epoch) const override {
    return known && shared_.item.holder == self_ && shared_.item.epoch == epoch && !shared_.item.released && shared_.valid;
  }
  [[nodiscard]] bool MayPromote(Epoch epoch) const override { return Holds(epoch); }
  [[nodiscard]] bool Detached() const override { return detached; }
  [[nodiscard]] Epoch Held() const override { return held; }

  Task<Result<Epoch>> Claim(Transaction extra, std::string attested) override {
    const bool heir = shared_.item.released && shared_.item.released->heir == self_;
    if (!heir && !shared_.lapsed && attested.empty()) co_return Refused("this region may not take over: lease not yet run out");
    if (shared_.store && !extra.puts.empty()) {
      shared_.claimed = [&shared = shared_, self = self_] { Take(shared, self); };
      auto result = co_await shared_.store->Commit(std::move(extra), 1s);
      shared_.claimed = nullptr;
      if (!result.ok()) co_return result.error();
      if (!result->committed) co_return Refused("somebody else moved");
      claim_version = result->version;
      if (shared_.item.holder != self_) Take(shared_, self_);
    } else {
      Take(shared_, self_);
    }
    co_return shared_.item.epoch;
  }
  Task<Result<Unit>> Release(Epoch epoch, RegionName heir, std::string token) override {
    if (shared_.item.released && shared_.item.released->heir == heir && shared_.item.epoch == epoch) co_return Done();
    if (shared_.item.holder != self_ || shared_.item.epoch != epoch) co_return Refused("this region does not hold the epoch");
    shared_.item.released = lifeboat::Release{std::move(heir), std::move(token)};
    co_return Done();
  }
  Task<Result<Epoch>> Reclaim() override {
    if (shared_.item.holder != self_) co_return Refused("not the holder");
    if (shared_.item.released) Take(shared_, self_);
    co_return shared_.item.epoch;
  }
  Task<Result<Unit>> ChangeCandidate(RegionName region, bool is_candidate) override {
    if (shared_.item.holder != self_) co_return Refused("this region does not hold the lease, so it cannot name candidates");
    std::erase(shared_.item.candidates, region);
    if (is_candidate) shared_.item.candidates.push_back(std::move(region));
    co_return Done();
  }
  Task<Result<Unit>> PrepareToWrite(Epoch epoch) override {
    if (!Holds(epoch)) co_return RetryLater("the lease of epoch " + std::to_string(epoch.number) + " is not valid at this moment");
    if (!guard_feeds) co_return RetryLater("the guard does not answer");
    prepared.push_back(epoch);
    co_return Done();
  }
  Task<Result<Unit>> NoteJoined(Epoch epoch) override {
    joined = epoch;
    co_return Done();
  }

  Version claim_version;

 private:
  static void Take(SharedLease& shared, const RegionName& self) {
    std::erase(shared.item.candidates, self);
    if (shared.item.holder != self) std::erase(shared.item.candidates, shared.item.holder);
    shared.item.epoch = Next(shared.item.epoch);
    shared.item.holder = self;
    shared.item.released.reset();
    shared.valid = true;
    shared.lapsed = false;
  }
  const RegionName self_;
  SharedLease& shared_;
};

}  // namespace lifeboat::testing
