#pragma once

// The store of an agent, as lifeboat.yaml says: embedded here, embedded at another agent, etcd, or DynamoDB.
// Thread rule: the main thread; Open drives `context`, in which nothing else runs yet.

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>

#include "adapters/aws/endpoint.h"
#include "base/log.h"
#include "config/settings.h"
#include "ports/clock.h"
#include "ports/files.h"
#include "ports/peers.h"
#include "ports/store.h"

namespace lifeboat {

struct AgentStore {
  std::unique_ptr<Store> store;
  CallHandler answer;                    ///< embedded here: answers the other agents' questions to it; else empty
  std::function<Task<Json>()> describe;  ///< of a cluster: its members, for `check`; else empty
};

/// Whose STS renews the role by which the table is asked. SAFETY: never that of the table's first region because it is the first:
/// with it lost, an agent elsewhere could not renew its role, and within the hour the store would be silent to it.
[[nodiscard]] std::string StsRegionOfTable(const StoreSettings& store, const RegionName& self, const aws::Environment& environment);

/// @error kFail: a file cannot be read or is not what it should be
[[nodiscard]] Result<AgentStore> OpenAgentStore(boost::asio::io_context& context, const Settings& settings, const RegionName& self,
                                                Peers& peers, Clock& clock, Files& files, const Log& log);

}  // namespace lifeboat
