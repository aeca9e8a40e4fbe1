#pragma once

// The store as the journal may see it: only in the life that the lease was read from. A store that was restored from an old copy
// shows executions that ended long ago as running; the lease refuses it (docs/lease.md section 1), and nothing of it is gone on
// with. Thread rule: the agent's executor.

#include "agent/lease_keeper.h"
#include "ports/store.h"

namespace lifeboat {

class BelievedStore final : public Store {
 public:
  BelievedStore(Store& store, const LeaseKeeper& keeper) : store_(store), keeper_(keeper) {}

  Task<Result<Reading>> Read(std::string prefix, Duration timeout) override {
    auto reading = co_await store_.Read(std::move(prefix), timeout);
    co_return Believe(std::move(reading));
  }
  /// Compares versions of what was read; it is passed on as it is.
  Task<Result<TransactionResult>> Commit(Transaction transaction, Duration timeout) override {
    co_return co_await store_.Commit(std::move(transaction), timeout);
  }
  Task<Result<Reading>> Watch(std::string prefix, Version after, Incarnation incarnation, Duration timeout) override {
    auto reading = co_await store_.Watch(std::move(prefix), after, incarnation, timeout);
    co_return Believe(std::move(reading));
  }

 private:
  [[nodiscard]] Result<Reading> Believe(Result<Reading> reading) const {
    const Incarnation lease = keeper_.lease().incarnation();
    if (!reading.ok() || reading->incarnation == lease) return reading;
    // SAFETY: what an old copy says of executions is not acted on.
    return RetryLater("the store is in incarnation " + std::to_string(reading->incarnation.number) +
                      ", and the lease was read in " + std::to_string(lease.number));
  }

  Store& store_;
  const LeaseKeeper& keeper_;
};

}  // namespace lifeboat
