#pragma once

// The external fence by a command of the operator's own (docs/fencing.md): run without a shell, 0 is the proof, anything else is
// none. What it prints ends up in the journal and in the evidence: it must print no secrets. Thread rule: the given executor; each
// look at a program runs on a thread of its own, which nobody waits for beyond a bound.

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <map>
#include <memory>
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
  /// What is in the way of running a program; empty: nothing. It may block, and then outlive the FenceCommand.
  using Looker = std::function<std::string(const std::string& program)>;
  /// @param by    the region whose agent runs them
  /// @param look  none: a look at the file itself
  FenceCommand(boost::asio::any_io_executor io, std::string service, RegionName by, std::map<RegionName, Target> targets, Log log,
               Looker look = nullptr);

  /// The program also finds LIFEBOAT_SERVICE, LIFEBOAT_REGION (to be stopped), LIFEBOAT_EPOCH, LIFEBOAT_EXECUTION and LIFEBOAT_BY
  /// in its environment. It is killed with all that it started at its timeout, and some seconds later also where this agent is gone
  /// by then.
  Task<Result<std::string>> Stop(FenceOrder order) override;
  Task<std::map<RegionName, std::string>> Look() override;

 private:
  struct Looked;
  /// Begins a look at a region's program, or joins the one that has not come back yet.
  std::shared_ptr<const Looked> BeginLook(const RegionName& region);
  /// Its outcome, or that there was none within `patience`.
  static Task<std::string> Outcome(boost::asio::any_io_executor io, std::shared_ptr<const Looked> looked, Duration patience);

  boost::asio::any_io_executor io_;
  const std::string service_;
  const RegionName by_;
  const std::map<RegionName, Target> targets_;
  Log log_;
  const Looker look_;
  std::map<RegionName, std::shared_ptr<Looked>> looks_;  ///< the newest of each
};

/// The end of what a program printed, on one line: plain characters alone, at most 200.
[[nodiscard]] std::string LastLineOf(const std::string& printed);

}  // namespace lifeboat
