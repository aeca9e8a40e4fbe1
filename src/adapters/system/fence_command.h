#pragma once

// The external fence by a command of the operator's own (docs/fencing.md): run without a shell, 0 is the proof, anything else is none.
// What it prints ends up in the journal and in the evidence: it must print no secrets.
// Thread rule: the given executor; looks at files run on a thread of its own.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/thread_pool.hpp>
#include <map>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/time.h"
#include "ports/instance_fence.h"

namespace lifeboat {

class FenceCommand final : public InstanceFence {
 public:
  struct Target {
    std::vector<std::string> command;  ///< program, by its whole path, and arguments
    Duration timeout{};                ///< of one run
  };
  /// @param by  the region whose agent runs them
  FenceCommand(boost::asio::any_io_executor io, std::string service, RegionName by, std::map<RegionName, Target> targets, Log log);

  /// The program also finds LIFEBOAT_SERVICE, LIFEBOAT_REGION (to be stopped), LIFEBOAT_EPOCH, LIFEBOAT_EXECUTION and LIFEBOAT_BY in its
  /// environment. It is killed with all that it started at its timeout, and some seconds later also where this agent is gone by then.
  Task<Result<std::string>> Stop(FenceOrder order) override;
  Task<std::map<RegionName, std::string>> Look() override;

 private:
  boost::asio::any_io_executor io_;
  const std::string service_;
  const RegionName by_;
  const std::map<RegionName, Target> targets_;
  Log log_;
  boost::asio::thread_pool pool_{1};
};

/// The end of what a program printed, on one line: plain characters alone, at most 200.
[[nodiscard]] std::string LastLineOf(const std::string& printed);

}  // namespace lifeboat
