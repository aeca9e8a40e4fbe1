#pragma once

// The guard as a process of its own: the real decisions (guard/guard_core.h) on a fake server and virtual time. It goes
// on when the agent dies. Die() ends the guard itself; Live() starts the next run, as its supervisor would.

#include "fakes/fake_database.h"
#include "guard/guard_core.h"
#include "ports/guard.h"

namespace lifeboat::testing {

class FakeGuardProcess {
 public:
  FakeGuardProcess(Clock& clock, FakeServer& server) : clock_(clock), server_(server) { Live(); }
  ~FakeGuardProcess() { Die(); }

  void Live() {
    if (context_) return;
    context_ = std::make_unique<boost::asio::io_context>();
    bell_ = std::make_unique<Bell>(context_->get_executor());
    core_ = std::make_unique<GuardCore>(recorded_, kept_, 1ms, clock_.Now(), GuardStart{observe, held_});
    core_->ExpectGate();  // where there is none, the answer is that it is not proven
    core_->KeepClosed(closed_);
    WriteGate();
    server_.world().time().Attach(*context_);
    boost::asio::co_spawn(*context_, Loop(), boost::asio::detached);
  }
  void Die() {
    if (!context_) return;
    kept_ = core_->permission();
    held_ = core_->IsHeld();
    server_.world().time().Detach(*context_);
    bell_.reset();
    context_.reset();
    core_.reset();
  }
  [[nodiscard]] bool alive() const { return context_ != nullptr; }
  GuardCore& core() { return *core_; }
  /// The module is loaded in the server and enforces: the region's deployment, to be set before the first Live().
  bool gate = false;
  /// policy.automation 'observe', from the next Live() on.
  bool observe = false;
  /// What the gate's file says to the server; it outlives the guard. Nothing: closed.
  [[nodiscard]] const std::optional<Permission>& gate_file() const { return gate_file_; }
  /// Whether a commit passes at `now`: by the file's own deadline, whoever is dead.
  [[nodiscard]] bool GateIsOpen(Instant now) const { return !gate || (gate_file_ && !HasPassed(gate_file_->deadline, now)); }
  void WriteGate() {
    gate_file_ = core_->GateIsOpen() ? core_->permission() : std::nullopt;
    if (core_->GateIsOpen() && core_->IsHeld()) gate_file_ = Permission{core_->highest(), {Duration::max(), Duration::max()}, 0ns};
    closed_ = core_->closed();
  }
  /// Wakes the guard's own loop: a question changed something.
  void Wake() { bell_->Ring(); }
  void Record(Epoch epoch) {
    recorded_ = std::max(recorded_, epoch);
    core_->Recorded(epoch);
  }
  FakeServer& server() { return server_; }

 private:
  Task<> Loop() {
    while (true) {
      const auto action = core_->Tick(clock_.Now());
      if (action == GuardCore::Action::kLook) {
        core_->SawServer(Verdict(), clock_.Now());
      } else if (action == GuardCore::Action::kKill) {
        const std::int64_t found = server_.ProcessesLive() ? 1 : 0;
        if (found > 0) server_.Kill();
        core_->SawProcesses(found, clock_.Now());
      } else if (action == GuardCore::Action::kProve) {
        core_->SawGate(gate, clock_.Now());
      } else if (action == GuardCore::Action::kFence) {
        server_.fence = true;
        core_->FencePlaced(true, clock_.Now());
      }
      WriteGate();
      const Duration pause = core_->NextTick(clock_.Now());
      if (action != GuardCore::Action::kSleep && pause <= 0ns) continue;
      co_await bell_->WaitFor(clock_, pause);
    }
  }
  [[nodiscard]] ServerVerdict Verdict() const {
    if (server_.strays) return ServerVerdict::kStrays;
    if (server_.mode == ServerMode::kPrimary || (server_.mode == ServerMode::kStarting && server_.writable_start))
      return ServerVerdict::kWritable;
    return ServerVerdict::kHarmless;
  }

  Clock& clock_;
  FakeServer& server_;
  Epoch recorded_;
  std::optional<Permission> kept_;
  bool held_ = false;
  std::optional<Permission> gate_file_;
  Epoch closed_;
  std::unique_ptr<boost::asio::io_context> context_;
  std::unique_ptr<Bell> bell_;
  std::unique_ptr<GuardCore> core_;
};

/// An agent's door to it.
class FakeGuard final : public Guard {
 public:
  FakeGuard(Clock& clock, FakeGuardProcess& process) : clock_(clock), process_(process) {}

  Task<Result<Unit>> Permit(Epoch epoch, Instant deadline, Duration length, Duration) override {
    if (!process_.alive()) co_return RetryLater("the guard does not answer");
    const Instant now = clock_.Now();
    const Permission permission{epoch, deadline, length};
    GuardAnswer answer = process_.core().Consider(permission, now);
    if (answer == GuardAnswer::kDone) {
      process_.Record(epoch);
      answer = process_.core().Permit(permission, now);
    }
    process_.WriteGate();
    process_.Wake();
    if (answer == GuardAnswer::kDone) co_return Done();
    if (answer == GuardAnswer::kStillKilling) co_return RetryLater("the guard is still killing");
    co_return Refused("the guard refuses: " + std::to_string(static_cast<unsigned>(answer)));
  }
  Task<Result<Unit>> Forbid(Epoch epoch, Duration timeout) override {
    if (!process_.alive()) co_return RetryLater("the guard does not answer");
    const GuardAnswer answer = process_.core().Forbid(epoch, clock_.Now());
    process_.WriteGate();
    process_.Wake();
    if (answer != GuardAnswer::kDone) co_return Refused("the guard refuses: " + std::to_string(static_cast<unsigned>(answer)));
    const Instant until = clock_.Now() + timeout;
    while (true) {
      if (!process_.alive()) co_return UnknownOutcome("the guard ended");
      if (process_.core().IsQuiet()) co_return Done();
      if (TimeLeft(until, clock_.Now()) <= 0ns) co_return UnknownOutcome("the guard has not finished in time");
      co_await clock_.Sleep(1ms);
    }
  }
  Task<Result<Unit>> Close(Epoch epoch, Duration) override {
    if (!process_.alive()) co_return RetryLater("the guard does not answer");
    const GuardAnswer answer = process_.core().Close(epoch, process_.gate);
    process_.WriteGate();
    if (answer == GuardAnswer::kDone) co_return Done();
    co_return Refused("the guard refuses: " + std::to_string(static_cast<unsigned>(answer)));
  }
  Task<Result<Unit>> Hold(Epoch epoch, Duration) override {
    if (!process_.alive()) co_return RetryLater("the guard does not answer");
    const GuardAnswer answer = process_.core().Hold(epoch);
    process_.WriteGate();
    process_.Wake();
    if (answer == GuardAnswer::kDone) co_return Done();
    co_return Refused("the guard refuses: " + std::to_string(static_cast<unsigned>(answer)));
  }
  Task<GuardState> Look(Duration) override {
    if (!process_.alive()) co_return GuardState{};
    GuardState state = process_.core().State(clock_.Now());
    state.gate = process_.gate && !state.held;
    co_return state;
  }

 private:
  Clock& clock_;
  FakeGuardProcess& process_;
};

}  // namespace lifeboat::testing
