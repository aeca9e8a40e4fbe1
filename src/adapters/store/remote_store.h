#pragma once

// A store that another region's agent hosts, reached through the door to the agents, and the answering side of it.
// docs/formats/store.md has the methods. Volatile changes (renewals) go as datagrams when they fit, so that none stands behind the
// lost packets of another; everything else goes on the lane of the lease.
// Thread rule: one executor, as everything that an agent does; plain forwarding. The handler remembers the latest renewals.

#include <string>

#include "ports/peers.h"
#include "ports/store.h"

namespace lifeboat {

class RemoteStore : public Store {
 public:
  /// `peers` outlives this; `host` is the region whose agent hosts the store.
  RemoteStore(Peers& peers, RegionName host) : peers_(peers), host_(std::move(host)) {}

  Task<Result<Reading>> Read(std::string prefix, Duration timeout) override;
  Task<Result<TransactionResult>> Commit(Transaction transaction, Duration timeout) override;
  Task<Result<Reading>> Watch(std::string prefix, Version after, Incarnation incarnation, Duration timeout) override;

 private:
  Task<Result<Reading>> Ask(std::string method, Json question, Duration timeout);

  Peers& peers_;
  RegionName host_;
  bool datagram_lost_ = false;  ///< the last one had no answer
};

/// The method that may be asked twice: a volatile change that compares every key that it writes.
inline constexpr const char* kStoreRenew = "store.renew";

/// True for the methods that MakeStoreHandler answers.
[[nodiscard]] bool IsStoreMethod(const std::string& method);

/// Answers "store.read", "store.commit", "store.renew" and "store.watch" from `store`, which outlives the handler.
/// @error kNotFound: another method; kFail: the question is not understood
[[nodiscard]] CallHandler MakeStoreHandler(Store& store);

}  // namespace lifeboat
