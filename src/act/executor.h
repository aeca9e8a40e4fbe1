#pragma once

// The durable executor: runs plans step by step, journaling the intent before the act and the outcome after it.
// One execution at a time (the journal's pointer sees to that, across agents).
//
//  - An answer that did not come is unknown: the step's check looks again before anything is tried again.
//  - Before the point of no return a step that does not get on aborts the execution: what was done is undone, last first.
//  - After it the execution only goes forward, for as long as it takes; it says what it waits for.
//  - A higher epoch, or another owner in the journal, ends this run of it at once.
//
// Thread rule: the agent's executor.

#include <boost/asio/any_io_executor.hpp>

#include "act/journal.h"
#include "act/plan.h"

namespace lifeboat {

class Executor {
 public:
  /// `on_change` is called after each journal write (and once at the end) with the execution as it stands.
  /// `plans`: the plan of a kind; another table for a database that a cloud runs (act/managed_plans.h).
  Executor(boost::asio::any_io_executor io, ActDoors& doors, LeaseDoor& lease, Journal& journal, Log log,
           std::function<void(const Execution&)> on_change, const Plan& (*plans)(PlanKind) = PlanOf);

  /// Runs an execution that was begun or adopted by this run of the agent, until it has ended or is lost to another.
  Task<> Run(Execution execution);

  /// The one that runs here now, if any.
  [[nodiscard]] const std::optional<Execution>& current() const { return current_; }
  /// The execution that runs here is about to end without its goal: steps that only wait need not wait on.
  [[nodiscard]] bool Stopping() const;
  /// Asks the running execution to end. @error kRefused: past the point of no return, or it waits for an external fence;
  /// kNotFound: it does not run here
  Result<Unit> RequestAbort(const ExecutionId& id);
  /// The execution that runs here was ended by a transaction of this agent's own (a takeover): its run stops at once.
  void Abandon();
  /// A person's word in place of an external fence's proof (act/fence_step.h). @error kNotFound: it does not run here; kRefused: it
  /// waits for none
  Result<Unit> Attest(const ExecutionId& id, const std::string& who);
  /// Makes a waiting execution try again now. @error kNotFound: it does not run here
  Result<Unit> Nudge(const ExecutionId& id);

 private:
  struct RunState;
  Task<> RunStep(std::shared_ptr<RunState> run, const Step& step);
  Task<bool> TryStep(std::shared_ptr<RunState> run, const Step& step);
  Task<> Abort(std::shared_ptr<RunState> run);
  Task<bool> Write(std::shared_ptr<RunState> run);
  Task<> Pause(std::shared_ptr<RunState> run, Duration d);
  void Publish(const RunState& run);

  boost::asio::any_io_executor io_;
  ActDoors& doors_;
  LeaseDoor& lease_;
  Journal& journal_;
  Log log_;
  std::function<void(const Execution&)> on_change_;
  const Plan& (*plans_)(PlanKind);
  std::optional<Execution> current_;
  std::shared_ptr<RunState> run_;
};

}  // namespace lifeboat
