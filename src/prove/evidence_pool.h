#pragma once

// The evidence chain behind the door ports/evidence.h: every call on a thread of its own, since the disk blocks.
// Thread rule: any executor.

#include <boost/asio/thread_pool.hpp>

#include "ports/evidence.h"
#include "prove/evidence.h"

namespace lifeboat {

class EvidencePool final : public Evidence {
 public:
  EvidencePool(EvidenceLog log, RegionName region) : log_(std::move(log)), region_(std::move(region)) {}

  Task<Result<Json>> Append(std::string kind, ExecutionId execution, Json body, WallTime at) override;
  Task<Result<Json>> Head() override;
  Task<Result<Json>> List(std::uint64_t limit) override;
  Task<Result<Unit>> NoteForeignHead(RegionName region, std::uint64_t sequence, std::string hash, WallTime at) override;
  Task<Result<Json>> ForeignHeads(RegionName region) override;
  Task<Result<Json>> Verify(Json held_by_others) override;

 private:
  EvidenceLog log_;
  const RegionName region_;
  boost::asio::thread_pool pool_{1};  // declared last: it ends before the log does
};

}  // namespace lifeboat
