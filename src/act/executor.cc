#include "act/executor.h"

#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <set>

#include "act/fence_step.h"
#include "base/seeded_bug.h"
#include "base/spawn.h"
#include "ports/bell.h"

namespace lifeboat {

namespace asio = boost::asio;

namespace {

/// What a trace shows of a try: enough to tell, little enough to be written with each step.
constexpr std::size_t kMostSaid = 240;

std::string Cut(const std::string& text) {
  std::size_t end = std::min(text.size(), kMostSaid);
  while (end < text.size() && end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U)
    --end;  // never within a character
  return text.substr(0, end);
}

template <typename T>
std::string WhyNot(const Result<T>& result) {
  return result.ok() ? std::string() : result.error().message;
}

}  // namespace

struct Executor::RunState {
  RunState(asio::any_io_executor io, Execution e, const Plan& (*plans)(PlanKind))
      : execution(std::move(e)), plan(plans(execution.kind)), changed(io), nudged(io), writing(io) {
    changed.expires_at(asio::steady_timer::time_point::max());
    writing.expires_at(asio::steady_timer::time_point::max());
  }
  Execution execution;
  const Plan& plan;
  std::set<std::string> running;
  std::set<std::string> failed;
  std::set<std::string> given_up;
  std::string failure;
  bool abort_requested = false;
  bool lost = false;  // another owner, or a higher epoch
  bool write_busy = false;
  asio::steady_timer changed;  // cancelled when a step ends
  Bell nudged;                 // rung when a person says try again, or stop
  asio::steady_timer writing;  // cancelled when a journal write ends

  /// Notes a try of this run's in the step's record; it is written with the next write that there is.
  void Note(StepRecord& record, WallTime at, const char* what, const std::string& said = {}) const {
    record.Note({at, record.attempts, what, Cut(said), execution.owner_agent, execution.owner});
  }
  [[nodiscard]] bool PastNoReturn() const {
    for (const Step& step : plan.steps) {
      if (!step.point_of_no_return) continue;
      const StepRecord* record = execution.Find(step.name);
      // Intended counts: the promotion may have happened.
      if (record && (record->state == StepState::kIntended || record->state == StepState::kDone)) return true;
    }
    return false;
  }
  [[nodiscard]] bool Ready(const Step& step) const {
    const StepRecord* record = execution.Find(step.name);
    if (!record || record->state == StepState::kDone || running.contains(step.name) || failed.contains(step.name) ||
        given_up.contains(step.name)) {
      return false;
    }
    for (const std::string& before : step.after) {
      const StepRecord* other = execution.Find(before);
      // An optional step that this execution was not drafted with, or one that an older program did not know.
      if (!other) continue;
      if (other->state != StepState::kDone) return false;
    }
    return true;
  }
  /// Steps that were given up, and those that rest on them, do not keep the execution from ending.
  void GiveUp(const std::string& name) {
    given_up.insert(name);
    for (const Step& step : plan.steps) {
      for (const std::string& before : step.after) {
        if (before != name || given_up.contains(step.name)) continue;
        StepRecord* record = execution.Find(step.name);
        if (!record) continue;
        record->state = StepState::kFailed;
        record->outcome = "not tried: step '" + name + "' did not get on";
        GiveUp(step.name);
      }
    }
  }
  [[nodiscard]] bool AllDone() const {
    for (const StepRecord& record : execution.steps) {
      if (record.state != StepState::kDone && !given_up.contains(record.name)) return false;
    }
    return true;
  }
};

Executor::Executor(asio::any_io_executor io, ActDoors& doors, LeaseDoor& lease, Journal& journal, Log log,
                   std::function<void(const Execution&)> on_change, const Plan& (*plans)(PlanKind))
    : io_(std::move(io)),
      doors_(doors),
      lease_(lease),
      journal_(journal),
      log_(std::move(log)),
      on_change_(std::move(on_change)),
      plans_(plans) {}

void Executor::Publish(const RunState& run) {
  current_ = run.execution;
  on_change_(run.execution);
}

Task<> Executor::Pause(std::shared_ptr<RunState> run, Duration d) { co_await run->nudged.WaitFor(doors_.clock, d); }

/// One write at a time: steps that run side by side share the record. False: it stands nowhere, or is lost.
Task<bool> Executor::Write(std::shared_ptr<RunState> run) {
  while (run->write_busy) {
    boost::system::error_code ignored;
    co_await run->writing.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  if (run->lost) co_return false;
  run->write_busy = true;
  const Journal::Written written = co_await journal_.Write(run->execution, run->PastNoReturn());
  run->write_busy = false;
  run->writing.cancel();
  if (written == Journal::Written::kLost) run->lost = true;
  if (!run->lost) Publish(*run);
  co_return written == Journal::Written::kInStore || written == Journal::Written::kInFile;
}

Task<> Executor::Run(Execution execution) {
  auto run = std::make_shared<RunState>(io_, std::move(execution), plans_);
  run_ = run;
  const Log log = log_.With({{"execution", run->execution.id.text}});
  log.Info("execution runs", {{"plan", ToString(run->execution.kind)}, {"reason", run->execution.reason}});
  Publish(*run);
  if (run->execution.state == ExecutionState::kAborting) run->abort_requested = true;
  while (!run->lost) {
    const bool stop = (run->abort_requested || !run->failed.empty()) && !run->PastNoReturn();
    if (stop && run->running.empty()) {
      co_await Abort(run);
      break;
    }
    if (!stop) {
      for (const Step& step : run->plan.steps) {
        if (!run->Ready(step)) continue;
        run->running.insert(step.name);
        Spawn(io_, RunStep(run, step));
      }
    }
    if (run->running.empty()) {
      if (run->AllDone()) {
        run->execution.state = ExecutionState::kDone;
        run->execution.ended = doors_.clock.Wall();
        run->execution.waiting_for.clear();
        while (!co_await Write(run) && !run->lost) co_await Pause(run, 500ms);
        log.Info("execution done", {{"plan", ToString(run->execution.kind)}});
      }
      break;
    }
    boost::system::error_code ignored;
    co_await run->changed.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  // Steps that were under way when the execution was lost must not outlive it.
  while (!run->running.empty()) {
    boost::system::error_code ignored;
    co_await run->changed.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  if (run->lost) log.Warn("execution left to its new owner");
  // Where the last word stands only in the own file, it is merged as soon as the store answers.
  if (run_ != run) co_return;  // abandoned: another runs here by now
  current_.reset();
  run_.reset();
}

Task<> Executor::RunStep(std::shared_ptr<RunState> run, const Step& step) {
  // Never within the call that spawned it: a step that ends at once would wake nobody, and its failure would go unseen.
  co_await asio::post(io_, asio::use_awaitable);
  StepRecord& record = *run->execution.Find(step.name);
  const Log log = log_.With({{"execution", run->execution.id.text}, {"step", step.name}});
  if (record.began.ns == 0) record.began = doors_.clock.Wall();
  const Instant began = doors_.clock.Now();
  Duration pause = 50ms;
  for (int attempt = 1; !run->lost; ++attempt) {
    if (co_await TryStep(run, step)) break;
    if (run->lost) break;
    const bool forward_only = run->PastNoReturn();
    const bool refused = record.state == StepState::kFailed;
    if (!forward_only && (refused || attempt >= step.attempts || run->abort_requested)) {
      run->failed.insert(step.name);
      run->failure = "step '" + step.name + "': " + record.outcome;
      log.Error("step failed", {{"problem", record.outcome}});
      break;
    }
    const Duration tried = AgeAt(began, doors_.clock.Now());
    if (forward_only && step.give_up_after > 0s && tried > step.give_up_after) {
      record.state = StepState::kFailed;
      record.outcome += "; given up after " + FormatDuration(tried) + (step.unblock.empty() ? "" : "; to do: " + step.unblock);
      run->GiveUp(step.name);
      co_await Write(run);
      break;
    }
    if (tried > 2s) {
      run->execution.state = ExecutionState::kWaiting;
      run->execution.waiting_for =
          "step '" + step.name + "': " + record.outcome + (step.unblock.empty() ? "" : "; to unblock: " + step.unblock);
      co_await Write(run);
    }
    co_await Pause(run, pause);
    pause = std::min<Duration>(pause * 2, step.longest_pause);
  }
  run->running.erase(step.name);
  run->changed.cancel();
}

/// One attempt. True: done. A step that was refused before the point of no return is marked failed.
Task<bool> Executor::TryStep(std::shared_ptr<RunState> run, const Step& step) {
  StepRecord& record = *run->execution.Find(step.name);
  // SAFETY: each step looks at the epoch again before it acts.
  if (const auto item = lease_.Item(); item && !EpochAllows(run->execution, *item) && !SEEDED_BUG(kStepWithoutEpoch)) {
    record.outcome = "epoch " + std::to_string(item->epoch.number) + " has begun, this execution is of epoch " +
                     std::to_string(run->execution.epoch.number);
    if (run->PastNoReturn()) {
      run->execution.state = ExecutionState::kFailed;
      run->execution.ended = doors_.clock.Wall();
      run->execution.waiting_for.clear();
      run->execution.reason += "; superseded: " + record.outcome;
      co_await Write(run);
      run->lost = true;
    } else {
      record.state = StepState::kFailed;
    }
    co_return false;
  }
  StepContext context{doors_, run->execution, record, step.timeout};
  bool already = false;
  if (step.check) {
    auto checked = co_await step.check(context);
    if (checked.ok()) already = *checked;
    if (!checked.ok()) run->Note(record, doors_.clock.Wall(), "check failed", checked.error().message);
    if (already) run->Note(record, doors_.clock.Wall(), "already so");
    if (!checked.ok() && checked.error().retry == Retry::kRefused && !run->PastNoReturn()) {
      record.outcome = checked.error().Text();
      record.state = StepState::kFailed;
      co_return false;
    }
  }
  if (!already) {
    record.state = StepState::kIntended;
    record.attempts += 1;
    run->Note(record, doors_.clock.Wall(), "act");
    if (!SEEDED_BUG(kIntentAfterAct) && !co_await Write(run)) {
      record.outcome = "the journal did not take the intent";
      record.state = record.attempts > 1 ? StepState::kIntended : StepState::kPending;
      co_return false;
    }
    auto acted = co_await step.act(context);
    run->Note(record, doors_.clock.Wall(), acted.ok() ? "acted" : "act failed", WhyNot(acted));
    if (!acted.ok()) {
      record.outcome = acted.error().Text();
      const bool hopeless = acted.error().retry == Retry::kRefused || acted.error().retry == Retry::kFail;
      if (hopeless && !step.point_of_no_return && !run->PastNoReturn()) record.state = StepState::kFailed;
      // A refused promotion did not happen: the switchover can still be taken back.
      if (acted.error().retry == Retry::kRefused && step.point_of_no_return) record.state = StepState::kFailed;
      co_return false;
    }
  }
  if (step.verify) {
    auto verified = co_await step.verify(context);
    run->Note(record, doors_.clock.Wall(), verified.ok() ? "verified" : "verify failed", WhyNot(verified));
    if (!verified.ok()) {
      record.outcome = verified.error().Text();
      co_return false;
    }
  }
  record.state = StepState::kDone;
  record.ended = doors_.clock.Wall();
  record.outcome = TextAt(record.result, "outcome", already ? "already so" : "done");
  if (run->execution.state == ExecutionState::kWaiting) {
    run->execution.state = ExecutionState::kRunning;
    run->execution.waiting_for.clear();
  }
  co_await Write(run);  // an outcome that stands nowhere is found again by the check
  log_.Info("step done", {{"execution", run->execution.id.text}, {"step", step.name}, {"outcome", record.outcome}});
  co_return true;
}

Task<> Executor::Abort(std::shared_ptr<RunState> run) {
  Execution& execution = run->execution;
  const Log log = log_.With({{"execution", execution.id.text}});
  const std::string why = run->failure.empty() ? "asked to" : run->failure;
  log.Warn("execution aborts", {{"why", why}});
  execution.state = ExecutionState::kAborting;
  execution.reason += "; aborted: " + why;
  co_await Write(run);
  for (auto step = run->plan.steps.rbegin(); step != run->plan.steps.rend() && !run->lost; ++step) {
    if (!execution.Find(step->name)) continue;  // an optional step that it was not drafted with
    StepRecord& record = *execution.Find(step->name);
    const bool touched = record.state == StepState::kDone || record.state == StepState::kIntended ||
                         (record.state == StepState::kFailed && record.attempts > 0);
    if (!touched || !step->undo) continue;
    Duration pause = 50ms;
    while (!run->lost) {
      StepContext context{doors_, execution, record, step->timeout};
      auto undone = co_await step->undo(context);
      run->Note(record, doors_.clock.Wall(), undone.ok() ? "undone" : "undo failed", WhyNot(undone));
      if (undone.ok()) {
        record.state = StepState::kUndone;
        record.ended = doors_.clock.Wall();
        break;
      }
      // Whoever refuses says that the world has moved on: the rules look after it from here.
      if (undone.error().retry == Retry::kRefused) {
        record.outcome += "; not undone: " + undone.error().Text();
        break;
      }
      execution.waiting_for = "undo of step '" + step->name + "': " + undone.error().Text();
      co_await Write(run);
      co_await Pause(run, pause);
      pause = std::min<Duration>(pause * 2, 1s);
    }
  }
  // One that gave the lease to another region has not failed: it ends in favour of that region's takeover.
  const bool yielded = !TextAt(execution.facts, "yielded").empty();
  execution.state = run->abort_requested || yielded ? ExecutionState::kAborted : ExecutionState::kFailed;
  execution.ended = doors_.clock.Wall();
  execution.waiting_for.clear();
  while (!run->lost && !co_await Write(run)) co_await Pause(run, 500ms);
}

bool Executor::Stopping() const { return run_ && (run_->abort_requested || !run_->failed.empty()) && !run_->PastNoReturn(); }

Result<Unit> Executor::RequestAbort(const ExecutionId& id) {
  if (!run_ || run_->execution.id != id) return NotFound("execution '" + id.text + "' does not run here");
  if (run_->PastNoReturn()) {
    return Refused("execution '" + id.text + "' is past its point of no return: it can only go forward",
                   run_->execution.waiting_for.empty() ? "lifeboat executions show " + id.text : run_->execution.waiting_for);
  }
  // SAFETY: the lease is held here already, so a failover that ends now is followed by a start of the database here (rule 250).
  if (WaitsForFence(run_->execution)) {
    return Refused("execution '" + id.text +
                       "' waits for proof that the old primary's instance is stopped: aborted, the database here "
                       "would be opened without it",
                   "stop that instance yourself and say so: lifeboat executions resume " + id.text + " --attest \"who and how\"");
  }
  run_->abort_requested = true;
  run_->nudged.Ring();
  run_->changed.cancel();
  return Done();
}

Result<Unit> Executor::Attest(const ExecutionId& id, const std::string& who) {
  if (!run_ || run_->execution.id != id) return NotFound("execution '" + id.text + "' does not run here");
  auto attested = AttestFence(run_->execution, who);
  if (!attested.ok()) return attested;
  log_.Warn("a person's word stands in for the external fence", {{"execution", id.text}, {"who", who}});
  run_->nudged.Ring();
  return Done();
}

void Executor::Abandon() {
  if (!run_) return;
  run_->lost = true;
  run_->nudged.Ring();
  run_->changed.cancel();
  current_.reset();
  run_.reset();
}

Result<Unit> Executor::Nudge(const ExecutionId& id) {
  if (!run_ || run_->execution.id != id) return NotFound("execution '" + id.text + "' does not run here");
  run_->nudged.Ring();
  return Done();
}

}  // namespace lifeboat
