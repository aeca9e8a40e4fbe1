#include "guard/guard_core.h"

#include <algorithm>

#include "model/policy.h"

namespace lifeboat {

namespace {

/// Due by either clock: looking too often costs little, too late a lot.
bool IsDue(Instant at, Instant now) { return HasPassed(at, now); }

/// By both clocks, so that no mixture of two messages is ever made.
bool IsLater(Instant one, Instant other) { return one != other && one.boot >= other.boot && one.raw >= other.raw; }

}  // namespace

GuardCore::GuardCore(Epoch recorded, std::optional<Permission> kept, Duration floor, Instant now, GuardStart start)
    : recorded_(recorded), highest_(recorded), next_look_(now), next_kill_(now), next_fence_(now), worst_kill_(floor) {
  // SAFETY: what was kept is taken up only as it would be granted now (GuardCore.AKeptPermissionGoesOnUntilItsDeadline,
  // GuardCore.AKeptPermissionOfALowerEpochIsNone).
  if (kept && kept->epoch == recorded && Consider(*kept, now) == GuardAnswer::kDone) {
    permission_ = kept;
    phase_ = Phase::kArmed;
    must_look_ = false;
  } else if (start.held || (start.observe && !kept)) {
    // A guard that acts goes on from here until it is fed: a healthy primary is not killed over a change of the configuration.
    // SAFETY: where a permission was kept and has passed, another region may have taken over: nothing is opened then but by Hold
    // (GuardCore.AnObservingGuardThatComesBackAfterTheDeadlineOpensNothingByItself).
    phase_ = Phase::kHeld;
    must_look_ = false;
  }
  observe_ = start.observe;
  if (observe_) must_look_ = false;
}

GuardAnswer GuardCore::Consider(const Permission& permission, Instant now) {
  const auto& [epoch, deadline, length] = permission;
  // SAFETY: an old primary's agent that wakes up late is refused (GuardCore.ALowerEpochIsRefused).
  if (epoch < highest_ || epoch.number == 0) return GuardAnswer::kLowerEpoch;
  if (HasPassed(deadline, now)) return GuardAnswer::kDeadlinePassed;
  // SAFETY: a wrong unit, or clocks of another machine, must not switch the guard off (GuardCore.ADeadlineBeyondAnyLeaseIsRefused).
  if (deadline.boot - now.boot > LeaseSettings::kLongest || deadline.raw - now.raw > LeaseSettings::kLongest) {
    return GuardAnswer::kDeadlineTooFar;
  }
  if (length < Duration(0) || length > LeaseSettings::kLongest) return GuardAnswer::kDeadlineTooFar;
  // A deadline that passed before this very question is one that was missed by the timers so far: kill first.
  if (phase_ == Phase::kArmed && HasPassed(permission_->deadline, now)) return GuardAnswer::kStillKilling;
  if (phase_ == Phase::kClosed && HasPassed(kill_at_, now)) return GuardAnswer::kStillKilling;
  if (phase_ == Phase::kKilling || phase_ == Phase::kAfterFence || phase_ == Phase::kFencing) return GuardAnswer::kStillKilling;
  // SAFETY: whoever acts must know that nothing would stop its database. What an acting guard permitted is fenced until Hold.
  if (observe_ && phase_ != Phase::kArmed && phase_ != Phase::kClosed) return GuardAnswer::kObserves;
  highest_ = epoch;
  return GuardAnswer::kDone;
}

GuardAnswer GuardCore::Permit(const Permission& permission, Instant now) {
  const auto& [epoch, deadline, length] = permission;
  if (const GuardAnswer answer = Consider(permission, now); answer != GuardAnswer::kDone) return answer;
  // SAFETY: only an epoch that is on disk is permitted, so that a restarted guard refuses lower ones.
  if (epoch > recorded_) return GuardAnswer::kNotRecorded;
  if (permission_ && permission_->epoch == epoch && !IsLater(deadline, permission_->deadline)) return GuardAnswer::kDone;
  permission_ = permission;
  phase_ = Phase::kArmed;
  must_look_ = false;
  fired_ = false;
  fence_missing_ = false;
  stray_looks_ = 0;
  return GuardAnswer::kDone;
}

GuardAnswer GuardCore::Forbid(Epoch epoch, Instant now) {
  if (epoch < highest_) return GuardAnswer::kLowerEpoch;
  // SAFETY: "done" would say that nothing of the server is left.
  if (observe_ && (phase_ == Phase::kHeld || phase_ == Phase::kIdle)) return GuardAnswer::kObserves;
  highest_ = epoch;
  Abandon(now);
  return GuardAnswer::kDone;
}

GuardAnswer GuardCore::Close(Epoch epoch, bool gate) {
  if (epoch < highest_) return GuardAnswer::kLowerEpoch;
  if (!gate) return GuardAnswer::kNoGate;
  // SAFETY: for good: a late answer to an earlier renewal must not open it again (GuardCore.AClosedEpochIsNeverOpenedAgain).
  closed_ = epoch;
  return GuardAnswer::kDone;
}

GuardAnswer GuardCore::Hold(Epoch epoch) {
  // SAFETY: a guard that acts lets go of nothing (GuardCore.AGuardThatActsHoldsNothingOpen).
  if (!observe_) return GuardAnswer::kActs;
  if (epoch < highest_ || (closed_ != Epoch{} && epoch <= closed_)) return GuardAnswer::kLowerEpoch;
  if (phase_ == Phase::kKilling || phase_ == Phase::kAfterFence || phase_ == Phase::kFencing) return GuardAnswer::kStillKilling;
  highest_ = epoch;
  permission_.reset();
  phase_ = Phase::kHeld;
  must_look_ = false;
  fired_ = false;
  fence_missing_ = false;
  return GuardAnswer::kDone;
}

void GuardCore::Abandon(Instant now) {
  if (phase_ == Phase::kArmed || phase_ == Phase::kClosed || phase_ == Phase::kHeld) {
    BeginKill(now, now);
  } else if (phase_ == Phase::kIdle) {
    must_look_ = true;
    next_look_ = now;
  }
}

void GuardCore::BeginKill(Instant since, Instant now) {
  permission_.reset();
  phase_ = Phase::kKilling;
  must_look_ = false;
  kill_since_ = since;
  next_kill_ = now;
  kill_pause_ = kFirstKillPause;
  empty_looks_ = 0;
  stray_looks_ = 0;
}

GuardCore::Action GuardCore::Tick(Instant now) {
  switch (phase_) {
    case Phase::kIdle:
      if (fence_missing_ && !fence_asked_ && IsDue(next_fence_, now)) {
        fence_asked_ = true;
        return Action::kFence;
      }
      return !observe_ && IsDue(next_look_, now) ? Action::kLook : Action::kSleep;
    case Phase::kHeld: return !observe_ && IsDue(next_look_, now) ? Action::kLook : Action::kSleep;
    case Phase::kArmed:
      // SAFETY: either clock ends it (GuardCore.TheDeadlinePassesByEitherClock).
      if (!HasPassed(permission_->deadline, now)) return Action::kSleep;
      if (gate_expected_) return Action::kProve;
      BeginKill(permission_->deadline, now);
      return Action::kKill;
    case Phase::kClosed:
      if (!HasPassed(kill_at_, now)) return IsDue(next_prove_, now) ? Action::kProve : Action::kSleep;
      BeginKill(kill_at_, now);
      return Action::kKill;
    case Phase::kKilling:
    case Phase::kAfterFence: return IsDue(next_kill_, now) ? Action::kKill : Action::kSleep;
    case Phase::kFencing:
      // SAFETY: the disk may be slow to place the fence; until it stands, whoever comes back is killed.
      if (fence_asked_) return IsDue(next_kill_, now) ? Action::kKill : Action::kSleep;
      fence_asked_ = true;
      return Action::kFence;
  }
  return Action::kSleep;
}

Duration GuardCore::NextTick(Instant now) const {
  const auto until = [&](Instant at) { return std::clamp(TimeLeft(at, now), Duration(0), kLongestSleep); };
  switch (phase_) {
    case Phase::kIdle: return observe_ ? (fence_missing_ ? until(next_fence_) : Duration(kLongestSleep)) : until(next_look_);
    case Phase::kHeld: return observe_ ? Duration(kLongestSleep) : until(next_look_);
    case Phase::kArmed: {
      // Timers run on one clock only: a far deadline is approached in steps, so that their rates cannot add up.
      const Duration left = until(permission_->deadline);
      return left < 20ms ? left : left - left / 100;
    }
    case Phase::kClosed: return std::min(until(kill_at_), until(next_prove_));
    case Phase::kKilling:
    case Phase::kFencing:
    case Phase::kAfterFence: return until(next_kill_);
  }
  return kLookPause;
}

void GuardCore::SawServer(ServerVerdict verdict, Instant now) {
  if (observe_ || (phase_ != Phase::kIdle && phase_ != Phase::kHeld)) return;
  next_look_ = now + kLookPause;
  if (phase_ == Phase::kHeld) {
    // SAFETY: only what was writable when this guard began to act waits for its lease: a standby is let go of at once, and never
    // becomes writable without a permission (GuardCore.AHeldStandbyIsFencedAgainOnceTheGuardActs).
    if (verdict == ServerVerdict::kHarmless) phase_ = Phase::kIdle;
    return;
  }
  // Strays are looked at twice: a server that is just starting has no lock file for a moment.
  stray_looks_ = verdict == ServerVerdict::kStrays ? stray_looks_ + 1 : 0;
  if (verdict == ServerVerdict::kHarmless) must_look_ = false;
  // SAFETY: a supervisor or a person restarted it without a permission (GuardCore.AWritableServerWithoutPermissionIsKilled).
  if (verdict == ServerVerdict::kWritable || stray_looks_ == 2) BeginKill(now, now);
}

void GuardCore::SawProcesses(std::int64_t count, Instant now) {
  if (phase_ == Phase::kFencing) next_kill_ = now + kLookPause;
  if (phase_ != Phase::kKilling && phase_ != Phase::kAfterFence) return;
  if (count == 0) {
    // SAFETY: one empty look may have missed a process that was forked into a pid already passed.
    ++empty_looks_;
    next_kill_ = now;
    if (empty_looks_ == 2) EndKill(now);
    return;
  }
  // After the fence, whoever came back meanwhile started before it: the same again.
  phase_ = Phase::kKilling;
  empty_looks_ = 0;
  next_kill_ = now + kill_pause_;
  kill_pause_ = std::min(kill_pause_ * 2, kLongestKillPause);
}

void GuardCore::EndKill(Instant now) {
  empty_looks_ = 0;
  if (phase_ == Phase::kAfterFence) {
    phase_ = Phase::kIdle;
    next_look_ = now;
    next_fence_ = now + kFencePause;
    return;
  }
  worst_kill_ = std::max(worst_kill_, AgeAt(kill_since_, now));
  ++kills_;
  fired_ = true;
  phase_ = Phase::kFencing;
}

void GuardCore::FencePlaced(bool placed, Instant now) {
  fence_asked_ = false;
  fence_missing_ = !placed;
  next_fence_ = now + kFencePause;
  if (phase_ != Phase::kFencing) return;
  phase_ = Phase::kAfterFence;
  next_kill_ = now;
  kill_pause_ = kFirstKillPause;
  kill_since_ = now;
}

void GuardCore::SawGate(bool in_force, Instant now) {
  const bool ran_out = phase_ == Phase::kArmed && HasPassed(permission_->deadline, now);
  if (!ran_out && phase_ != Phase::kClosed) return;
  // SAFETY: only a gate that is proven stands in for the kill (GuardCore.AGateThatIsNotProvenDelaysNoKill).
  if (!in_force) return BeginKill(ran_out ? permission_->deadline : now, now);
  if (ran_out) kill_at_ = permission_->deadline + permission_->length;
  phase_ = Phase::kClosed;
  next_prove_ = now + kProvePause;
}

GuardState GuardCore::State(Instant now) const {
  GuardState state;
  state.reachable = true;
  state.observes = observe_;
  state.held = IsHeld();
  state.armed = phase_ == Phase::kArmed;
  state.fired = fired_;
  if (state.armed) state.left = TimeLeft(permission_->deadline, now);
  state.worst_kill = worst_kill_;
  state.kills = kills_;
  return state;
}

}  // namespace lifeboat
