#pragma once

// The store in an etcd cluster, over its v3 JSON gateway. docs/formats/store.md has the keys, and how versions, durability and
// incarnations map: an incarnation ends when the cluster shows an older copy of its data, not when a member restarts.
// etcd's own leases and time-to-live are not used.
// Thread rule: one executor that runs one thing at a time. Life cycle: destroying it ends its watches; calls under way answer.

#include <boost/asio/any_io_executor.hpp>
#include <memory>
#include <string>
#include <vector>

#include "adapters/http/http_client.h"
#include "base/json.h"
#include "base/log.h"
#include "ports/store.h"

namespace lifeboat {

struct EtcdOptions {
  std::string service;                 ///< all keys lie under "lifeboat/<service>/"
  std::vector<std::string> endpoints;  ///< "https://10.0.0.1:2379", one a member; the first is asked first
  std::string user;                    ///< empty: no login
  Secret password;
  HttpTls tls;
};

class EtcdStore : public Store {
 public:
  EtcdStore(boost::asio::any_io_executor executor, EtcdOptions options, Log log);
  ~EtcdStore() override;
  EtcdStore(const EtcdStore&) = delete;
  EtcdStore& operator=(const EtcdStore&) = delete;

  Task<Result<Reading>> Read(std::string prefix, Duration timeout) override;
  /// @error kUnknownOutcome: no answer, a leader that went, an older copy of the cluster that took it
  /// @error kFail: etcd refused it (login, permission, size, quota), nothing changed
  Task<Result<TransactionResult>> Commit(Transaction transaction, Duration timeout) override;
  Task<Result<Reading>> Watch(std::string prefix, Version after, Incarnation incarnation, Duration timeout) override;

  /// One transaction, as large as etcd allows (128 operations).
  Task<Result<Incarnation>> Reseed(Incarnation seen, Incarnation least, std::vector<Transaction::Put> puts,
                                   Duration timeout) override;

  /// The members as they answer now, for `lifeboat check`: a list of
  /// {endpoint, answers, problem | version, leader, has_leader, cluster_id, db_bytes, alarms}.
  Task<Json> Members(Duration timeout);

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared: calls and the watch outlive this object until they have ended
};

}  // namespace lifeboat
