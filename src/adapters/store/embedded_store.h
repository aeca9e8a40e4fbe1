#pragma once

// The embedded store: the store itself, in the process of a witness's agent. All records are in memory and are served from
// there; a durable change is on the disk (store_file.h) before it becomes visible and is answered; a volatile change never
// touches the disk and does not wait for it, not even while a slow write is under way, unless both concern the same keys.
// Thread rule: every call on `executor`, which runs one thing at a time; SQLite runs on one thread of the store's own.
// Life cycle: destroy it before the executor's context. Destroying waits for a write that is under way.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <string>

#include "adapters/store/store_file.h"
#include "ports/store.h"

namespace lifeboat {

class EmbeddedStore : public Store {
 public:
  /// Opens or makes the store in `file` and begins a new incarnation. Blocks: call it at start-up only.
  /// @error kFail: another process has it open; it is no store, a newer one, or corrupt (then it is left untouched)
  [[nodiscard]] static Result<std::unique_ptr<EmbeddedStore>> Open(boost::asio::any_io_executor executor, const std::string& file);

  /// The same over any disk.
  EmbeddedStore(boost::asio::any_io_executor executor, StoreContents contents, std::unique_ptr<StoreDisk> disk);
  ~EmbeddedStore() override;
  EmbeddedStore(const EmbeddedStore&) = delete;
  EmbeddedStore& operator=(const EmbeddedStore&) = delete;

  [[nodiscard]] Incarnation incarnation() const;

  Task<Result<Reading>> Read(std::string prefix, Duration timeout) override;
  /// @error kRetry: it still waited for its turn, nothing changed; kUnknownOutcome: the disk was still writing it
  Task<Result<TransactionResult>> Commit(Transaction transaction, Duration timeout) override;
  Task<Result<Reading>> Watch(std::string prefix, Version after, Incarnation incarnation, Duration timeout) override;
  /// @error kRetry: changes are under way
  Task<Result<Incarnation>> Reseed(Incarnation seen, Incarnation least, std::vector<Transaction::Put> puts,
                                   Duration timeout) override;

 private:
  struct State;
  // Shared: calls and writes that are under way outlive this object until they have been answered.
  std::shared_ptr<State> state_;
};

}  // namespace lifeboat
