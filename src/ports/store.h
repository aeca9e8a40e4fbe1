#pragma once

// The door to the linearizable key-value store that the agents share. `embedded` (SQLite, hosted by a witness's agent)
// is the first implementation; etcd and DynamoDB pass the same contract tests (tests/contract/store_contract.h).

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "model/lease_item.h"

namespace lifeboat {

/// Grows with every change of the store and never comes back, not even after a restart or for a key that was deleted.
/// 0: the key does not exist.
struct Version {
  std::uint64_t number = 0;
  friend auto operator<=>(const Version&, const Version&) = default;
};

struct Record {
  std::string key;
  std::string value;
  Version version;
  friend bool operator==(const Record&, const Record&) = default;
};

/// Whether a change must reach the disk before it is answered. A volatile change may be forgotten by a restart of the
/// store, which then has a new incarnation (lease renewals: docs/lease.md section 1).
enum class Durability { kDurable, kVolatile };

struct Transaction {
  struct Compare {
    std::string key;
    Version version;  ///< 0: the key must not exist
  };
  struct Put {
    std::string key;
    std::string value;
  };
  std::vector<Compare> compares;
  std::vector<Put> puts;
  std::vector<std::string> deletes;
  Durability durability = Durability::kDurable;
  std::optional<Incarnation> incarnation;  ///< compared too, when given
};

struct TransactionResult {
  bool committed = false;
  Version version;  ///< committed: the version that every put key now has
  Incarnation incarnation;
  std::vector<Record> current;  ///< not committed: the compared keys that exist, as they are now
};

struct Reading {
  std::vector<Record> records;  ///< sorted by key
  Version version;              ///< of the whole store at the moment of reading
  Incarnation incarnation;
};

class Store {
 public:
  virtual ~Store() = default;

  /// All records whose key begins with `prefix` (a whole key is its own prefix). Linearizable.
  /// @error kRetry: the store did not answer in time
  virtual Task<Result<Reading>> Read(std::string prefix, Duration timeout) = 0;

  /// All or nothing: applies puts and deletes if every compare holds.
  /// @error kUnknownOutcome: sent, and no answer came: it may have been applied; read before trying again
  /// @error kRetry: it was not sent, nothing changed; kFail: the store cannot write (disk full), nothing changed
  virtual Task<Result<TransactionResult>> Commit(Transaction transaction, Duration timeout) = 0;

  /// Waits until a record under `prefix` has changed or been deleted since `after` (in the same incarnation), or the
  /// timeout; answers the records as they are then. A new incarnation answers at once. A time-out is not an error.
  virtual Task<Result<Reading>> Watch(std::string prefix, Version after, Incarnation incarnation, Duration timeout) = 0;

  /// Begins a new life of a store that was lost (docs/lease.md section 5), if its incarnation is still `seen`: nothing stands in it
  /// but `puts`, under an incarnation of at least `least` and above `seen`. Durable when answered. Watchers wake up.
  /// @error kRefused: the incarnation is another one, or it cannot be done through this door; else as Commit
  virtual Task<Result<Incarnation>> Reseed(Incarnation /*seen*/, Incarnation /*least*/, std::vector<Transaction::Put> /*puts*/,
                                           Duration /*timeout*/) {
    co_return Refused("the store cannot be reseeded from here", "ask the agent that hosts it");
  }
};

}  // namespace lifeboat
