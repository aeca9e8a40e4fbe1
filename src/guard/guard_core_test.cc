#include "guard/guard_core.h"

#include <gtest/gtest.h>

namespace lifeboat {
namespace {

using Action = GuardCore::Action;

constexpr Instant kStart{1000s, 900s};  // the clocks of one boot differ by the time suspended
constexpr Epoch kSeven{7};

GuardCore Fresh(Epoch recorded = kSeven) { return GuardCore(recorded, std::nullopt, 2ms, kStart); }

GuardCore Armed(Instant deadline) {
  GuardCore core = Fresh();
  EXPECT_EQ(core.Permit({kSeven, deadline}, kStart), GuardAnswer::kDone);
  return core;
}

/// Plays a kill that finds one process, then none; answers the time at its end.
Instant PlayKill(GuardCore& core, Instant now) {
  EXPECT_EQ(core.Tick(now), Action::kKill);
  core.SawProcesses(1, now);
  now = now + 1ms;
  EXPECT_EQ(core.Tick(now), Action::kKill);
  core.SawProcesses(0, now);
  EXPECT_EQ(core.Tick(now), Action::kKill) << "one empty look is not enough";
  core.SawProcesses(0, now);
  return now;
}

/// Plays the fence and the look after it.
void PlayFence(GuardCore& core, Instant now) {
  EXPECT_EQ(core.Tick(now), Action::kFence);
  core.FencePlaced(true, now);
  EXPECT_EQ(core.Tick(now), Action::kKill);
  core.SawProcesses(0, now);
  EXPECT_EQ(core.Tick(now), Action::kKill);
  core.SawProcesses(0, now);
}

TEST(GuardCore, NothingIsPermittedAtTheStart) {
  GuardCore core = Fresh();
  EXPECT_FALSE(core.State(kStart).armed);
  EXPECT_FALSE(core.State(kStart).fired);
  EXPECT_EQ(core.Tick(kStart), Action::kLook);
}

TEST(GuardCore, TheDeadlinePassesByEitherClock) {
  const Instant deadline = kStart + 3s;
  struct Case {
    Duration boot, raw;
    Action expected;
  };
  for (const Case& c : {Case{-1ns, -1ns, Action::kSleep}, Case{0ns, -1ns, Action::kKill}, Case{-1ns, 0ns, Action::kKill},
                        Case{1ns, -1s, Action::kKill}, Case{-1s, 1ns, Action::kKill}, Case{0ns, 0ns, Action::kKill}}) {
    GuardCore core = Armed(deadline);
    EXPECT_EQ(core.Tick({deadline.boot + c.boot, deadline.raw + c.raw}), c.expected) << c.boot.count() << " " << c.raw.count();
  }
}

TEST(GuardCore, ADeadlineThatHasPassedByEitherClockIsRefused) {
  struct Case {
    Duration boot, raw;
    GuardAnswer expected;
  };
  for (const Case& c : {Case{1ns, 1ns, GuardAnswer::kDone}, Case{0ns, 1s, GuardAnswer::kDeadlinePassed},
                        Case{1s, 0ns, GuardAnswer::kDeadlinePassed}, Case{-1ns, 1s, GuardAnswer::kDeadlinePassed},
                        Case{1s, -1ns, GuardAnswer::kDeadlinePassed}}) {
    GuardCore core = Fresh();
    EXPECT_EQ(core.Permit({kSeven, {kStart.boot + c.boot, kStart.raw + c.raw}}, kStart), c.expected);
  }
}

TEST(GuardCore, ADeadlineBeyondAnyLeaseIsRefused) {
  for (const auto& [left, expected] : {std::pair(30s - 1ns, GuardAnswer::kDone), std::pair(Duration(30s), GuardAnswer::kDone),
                                       std::pair(30s + 1ns, GuardAnswer::kDeadlineTooFar)}) {
    GuardCore core = Fresh();
    EXPECT_EQ(core.Permit({kSeven, kStart + left}, kStart), expected);
    GuardCore one_clock = Fresh();
    EXPECT_EQ(one_clock.Permit({kSeven, {kStart.boot + 3s, kStart.raw + left}}, kStart), expected);
  }
}

TEST(GuardCore, ALowerEpochIsRefused) {
  GuardCore core = Fresh();
  EXPECT_EQ(core.Permit({Epoch{6}, kStart + 3s}, kStart), GuardAnswer::kLowerEpoch);
  EXPECT_EQ(core.Forbid(Epoch{6}, kStart), GuardAnswer::kLowerEpoch);
  EXPECT_EQ(core.Permit({Epoch{7}, kStart + 3s}, kStart), GuardAnswer::kDone);
  EXPECT_EQ(GuardCore(Epoch{0}, std::nullopt, 0ns, kStart).Permit({Epoch{0}, kStart + 3s}, kStart), GuardAnswer::kLowerEpoch);
}

TEST(GuardCore, AHigherEpochIsPermittedOnlyOnceItIsOnDisk) {
  GuardCore core = Fresh();
  EXPECT_EQ(core.Consider({Epoch{8}, kStart + 3s}, kStart), GuardAnswer::kDone);
  EXPECT_EQ(core.Permit({Epoch{8}, kStart + 3s}, kStart), GuardAnswer::kNotRecorded);
  EXPECT_FALSE(core.State(kStart).armed);
  EXPECT_EQ(core.Permit({Epoch{7}, kStart + 3s}, kStart), GuardAnswer::kLowerEpoch) << "heeded from the question on";
  core.Recorded(Epoch{8});
  EXPECT_EQ(core.Permit({Epoch{8}, kStart + 3s}, kStart), GuardAnswer::kDone);
}

TEST(GuardCore, ALaterDeadlineExtendsAndAnEarlierOneOfTheSameEpochChangesNothing) {
  GuardCore core = Armed(kStart + 3s);
  EXPECT_EQ(core.Permit({kSeven, kStart + 5s}, kStart), GuardAnswer::kDone);
  EXPECT_EQ(core.Permit({kSeven, kStart + 4s}, kStart), GuardAnswer::kDone);
  EXPECT_EQ(core.State(kStart).left, 5s);
  EXPECT_EQ(core.Permit({kSeven, {kStart.boot + 6s, kStart.raw + 4s}}, kStart), GuardAnswer::kDone);
  EXPECT_EQ(core.permission()->deadline, kStart + 5s) << "two messages are never mixed";
}

TEST(GuardCore, AHigherEpochReplacesTheDeadlineAlsoByAnEarlierOne) {
  GuardCore core = Armed(kStart + 5s);
  core.Recorded(Epoch{8});
  EXPECT_EQ(core.Permit({Epoch{8}, kStart + 1s}, kStart), GuardAnswer::kDone);
  EXPECT_EQ(core.State(kStart).left, 1s);
}

TEST(GuardCore, AQuestionThatComesWithThePassedDeadlineIsTooLate) {
  GuardCore core = Armed(kStart + 3s);
  EXPECT_EQ(core.Permit({kSeven, kStart + 6s}, kStart + 3s), GuardAnswer::kStillKilling);
  EXPECT_EQ(core.Tick(kStart + 3s), Action::kKill);
}

TEST(GuardCore, AKillIsFollowedByTheFenceAndAnotherLook) {
  GuardCore core = Armed(kStart + 3s);
  const Instant end = PlayKill(core, kStart + 3s);
  EXPECT_FALSE(core.IsQuiet());
  EXPECT_EQ(core.Permit({kSeven, end + 3s}, end), GuardAnswer::kStillKilling);
  PlayFence(core, end);
  EXPECT_TRUE(core.IsQuiet());
  EXPECT_TRUE(core.State(end).fired);
  EXPECT_EQ(core.State(end).kills, 1U);
  EXPECT_EQ(core.State(end).worst_kill, 2ms) << "the measured floor, until a kill takes longer";
}

TEST(GuardCore, TheWorstKillCountsFromTheDeadline) {
  GuardCore core = Armed(kStart + 3s);
  PlayKill(core, kStart + 3s + 40ms);
  EXPECT_EQ(core.State(kStart + 4s).worst_kill, 41ms);
}

TEST(GuardCore, WhoComesBackBeforeTheFenceIsKilledAgain) {
  GuardCore core = Armed(kStart + 3s);
  Instant now = PlayKill(core, kStart + 3s);
  EXPECT_EQ(core.Tick(now), Action::kFence);
  core.SawProcesses(0, now);
  EXPECT_EQ(core.Tick(now + 50ms), Action::kKill) << "the disk is slow";
  core.SawProcesses(1, now + 50ms);
  core.FencePlaced(true, now + 60ms);
  now = now + 60ms;
  EXPECT_EQ(core.Tick(now), Action::kKill);
  core.SawProcesses(2, now);
  now = PlayKill(core, now + 1ms);
  PlayFence(core, now);
  EXPECT_TRUE(core.IsQuiet());
}

TEST(GuardCore, AFenceThatCannotBePlacedIsTriedAgain) {
  GuardCore core = Armed(kStart + 3s);
  Instant now = PlayKill(core, kStart + 3s);
  EXPECT_EQ(core.Tick(now), Action::kFence);
  core.FencePlaced(false, now);
  core.SawProcesses(0, now);
  core.SawProcesses(0, now);
  EXPECT_TRUE(core.IsQuiet());
  EXPECT_TRUE(core.IsFenceMissing());
  EXPECT_EQ(core.Tick(now), Action::kLook);
  core.SawServer(ServerVerdict::kHarmless, now);
  EXPECT_EQ(core.Tick(now + 1s - 1ns), Action::kLook);
  core.SawServer(ServerVerdict::kHarmless, now + 1s - 1ns);
  EXPECT_EQ(core.Tick(now + 1s), Action::kFence);
  core.FencePlaced(true, now + 1s);
  EXPECT_FALSE(core.IsFenceMissing());
}

TEST(GuardCore, AfterFiringTheSameEpochMayBePermittedAgain) {
  GuardCore core = Armed(kStart + 3s);
  const Instant end = PlayKill(core, kStart + 3s);
  PlayFence(core, end);
  EXPECT_EQ(core.Permit({kSeven, end + 3s}, end), GuardAnswer::kDone);
  EXPECT_TRUE(core.State(end).armed);
  EXPECT_FALSE(core.State(end).fired);
}

TEST(GuardCore, AWritableServerWithoutPermissionIsKilled) {
  GuardCore core = Fresh();
  EXPECT_EQ(core.Tick(kStart), Action::kLook);
  core.SawServer(ServerVerdict::kHarmless, kStart);
  EXPECT_EQ(core.Tick(kStart + 50ms - 1ns), Action::kSleep);
  EXPECT_EQ(core.Tick(kStart + 50ms), Action::kLook);
  core.SawServer(ServerVerdict::kWritable, kStart + 50ms);
  PlayKill(core, kStart + 50ms);
  EXPECT_TRUE(core.State(kStart + 51ms).fired);
}

TEST(GuardCore, StraysAreKilledAtTheSecondLookOnly) {
  GuardCore core = Fresh();
  core.SawServer(ServerVerdict::kStrays, kStart);
  core.SawServer(ServerVerdict::kHarmless, kStart);
  core.SawServer(ServerVerdict::kStrays, kStart);
  EXPECT_FALSE(core.IsKilling());
  core.SawServer(ServerVerdict::kStrays, kStart);
  EXPECT_TRUE(core.IsKilling());
}

TEST(GuardCore, ForbidKillsWhatWasPermittedAtOnce) {
  GuardCore core = Armed(kStart + 3s);
  EXPECT_EQ(core.Forbid(kSeven, kStart), GuardAnswer::kDone);
  EXPECT_FALSE(core.IsQuiet());
  PlayFence(core, PlayKill(core, kStart));
  EXPECT_TRUE(core.IsQuiet());
}

TEST(GuardCore, ForbidWhereNothingWasPermittedIsDoneAfterAHarmlessLook) {
  GuardCore core = Fresh();
  core.SawServer(ServerVerdict::kHarmless, kStart);
  ASSERT_TRUE(core.IsQuiet());
  EXPECT_EQ(core.Forbid(Epoch{8}, kStart), GuardAnswer::kDone);
  EXPECT_FALSE(core.IsQuiet());
  EXPECT_EQ(core.Tick(kStart), Action::kLook) << "at once";
  core.SawServer(ServerVerdict::kHarmless, kStart);
  EXPECT_TRUE(core.IsQuiet());
  EXPECT_EQ(core.State(kStart).kills, 0U);
}

TEST(GuardCore, AKeptPermissionGoesOnUntilItsDeadline) {
  const Permission kept{kSeven, kStart + 1s};
  GuardCore core(kSeven, kept, 0ns, kStart);
  EXPECT_TRUE(core.State(kStart).armed);
  EXPECT_EQ(core.Tick(kStart + 1s - 1ns), Action::kSleep);
  EXPECT_EQ(core.Tick(kStart + 1s), Action::kKill);
  GuardCore late(kSeven, kept, 0ns, kStart + 1s);
  EXPECT_FALSE(late.State(kStart + 1s).armed);
  EXPECT_EQ(late.Tick(kStart + 1s), Action::kLook);
}

TEST(GuardCore, AKeptPermissionOfALowerEpochIsNone) {
  GuardCore core(Epoch{8}, Permission{kSeven, kStart + 1s}, 0ns, kStart);
  EXPECT_FALSE(core.State(kStart).armed);
}

// ---- with a gate ----

constexpr Duration kLength = 3s;

GuardCore ArmedWithGate(Instant deadline) {
  GuardCore core = Fresh();
  core.ExpectGate();
  EXPECT_EQ(core.Permit({kSeven, deadline, kLength}, kStart), GuardAnswer::kDone);
  return core;
}

/// The deadline passes, and the gate is proven to be in force.
GuardCore Closed(Instant deadline) {
  GuardCore core = ArmedWithGate(deadline);
  EXPECT_EQ(core.Tick(deadline), Action::kProve);
  core.SawGate(true, deadline);
  return core;
}

TEST(GuardCore, AProvenGateDelaysTheKillByAFurtherLengthOfTheLeaseByEitherClock) {
  const Instant deadline = kStart + 1s;
  struct Case {
    Duration boot, raw;
    Action expected;
  };
  for (const Case& c : {Case{-1ns, -1ns, Action::kProve}, Case{0ns, -1ns, Action::kKill}, Case{-1ns, 0ns, Action::kKill}}) {
    GuardCore core = Closed(deadline);
    EXPECT_TRUE(core.IsClosed());
    EXPECT_FALSE(core.GateIsOpen());
    EXPECT_FALSE(core.IsQuiet());
    EXPECT_EQ(core.Tick(deadline), Action::kSleep);
    EXPECT_EQ(core.Tick({deadline.boot + kLength + c.boot, deadline.raw + kLength + c.raw}), c.expected);
  }
}

TEST(GuardCore, AGateThatIsNotProvenDelaysNoKill) {
  const Instant deadline = kStart + 1s;
  GuardCore core = ArmedWithGate(deadline);
  EXPECT_EQ(core.Tick(deadline), Action::kProve);
  core.SawGate(false, deadline);
  EXPECT_TRUE(core.IsKilling());
  EXPECT_EQ(core.Tick(deadline), Action::kKill);
}

TEST(GuardCore, AGateThatIsLostWhileItIsClosedEndsTheDelay) {
  const Instant deadline = kStart + 1s;
  GuardCore core = Closed(deadline);
  const Instant later = deadline + GuardCore::kProvePause;
  EXPECT_EQ(core.NextTick(deadline), GuardCore::kProvePause);
  EXPECT_EQ(core.Tick(later), Action::kProve);
  core.SawGate(true, later);
  EXPECT_EQ(core.Tick(later), Action::kSleep);
  EXPECT_EQ(core.Tick(later + GuardCore::kProvePause), Action::kProve);
  core.SawGate(false, later + GuardCore::kProvePause);
  EXPECT_TRUE(core.IsKilling());
}

TEST(GuardCore, APermissionOfTheSameEpochOpensAClosedGateAgainWithoutAKill) {
  const Instant deadline = kStart + 1s;
  GuardCore core = Closed(deadline);
  const Instant later = deadline + 500ms;
  EXPECT_EQ(core.Permit({kSeven, later + 3s, kLength}, later), GuardAnswer::kDone);
  EXPECT_TRUE(core.GateIsOpen());
  EXPECT_EQ(core.Tick(deadline + kLength), Action::kSleep);
  EXPECT_EQ(core.Tick(later + 3s), Action::kProve);
  EXPECT_EQ(core.State(later).kills, 0U);
  // But not once its kill is due.
  GuardCore late = Closed(deadline);
  EXPECT_EQ(late.Permit({kSeven, deadline + 9s, kLength}, deadline + kLength), GuardAnswer::kStillKilling);
}

TEST(GuardCore, ForbidKillsBehindAClosedGateAtOnce) {
  GuardCore core = Closed(kStart + 1s);
  EXPECT_EQ(core.Forbid(Epoch{8}, kStart + 1s), GuardAnswer::kDone) << "a higher epoch is heard of";
  EXPECT_EQ(core.Tick(kStart + 1s), Action::kKill);
}

TEST(GuardCore, AClosedEpochIsNeverOpenedAgain) {
  GuardCore core = ArmedWithGate(kStart + 3s);
  EXPECT_TRUE(core.GateIsOpen());
  EXPECT_EQ(core.Close(Epoch{6}, true), GuardAnswer::kLowerEpoch);
  EXPECT_EQ(core.Close(kSeven, false), GuardAnswer::kNoGate);
  EXPECT_TRUE(core.GateIsOpen()) << "refused is unchanged";
  EXPECT_EQ(core.Close(kSeven, true), GuardAnswer::kDone);
  EXPECT_FALSE(core.GateIsOpen());
  // The server lives on as permitted, but the answer to an earlier renewal opens nothing.
  EXPECT_EQ(core.Permit({kSeven, kStart + 5s, kLength}, kStart), GuardAnswer::kDone);
  EXPECT_FALSE(core.GateIsOpen());
  EXPECT_EQ(core.Tick(kStart + 4s), Action::kSleep);
  core.Recorded(Epoch{8});
  EXPECT_EQ(core.Permit({Epoch{8}, kStart + 5s, kLength}, kStart), GuardAnswer::kDone);
  EXPECT_TRUE(core.GateIsOpen());
}

TEST(GuardCore, WhatWasClosedStaysClosedForTheNextRun) {
  GuardCore core(kSeven, Permission{kSeven, kStart + 1s, kLength}, 0ns, kStart);
  core.ExpectGate();
  core.KeepClosed(kSeven);
  EXPECT_FALSE(core.GateIsOpen());
}

TEST(GuardCore, ALengthThatNoLeaseHasIsRefused) {
  for (const auto& [length, expected] :
       {std::pair(Duration(30s), GuardAnswer::kDone), std::pair(30s + 1ns, GuardAnswer::kDeadlineTooFar),
        std::pair(Duration(-1ns), GuardAnswer::kDeadlineTooFar)}) {
    GuardCore core = Fresh();
    EXPECT_EQ(core.Permit({kSeven, kStart + 3s, length}, kStart), expected);
  }
}

TEST(GuardCore, ItSleepsShortOfAFarDeadlineAndNotBeyondIt) {
  GuardCore core = Armed(kStart + 500ms);
  EXPECT_EQ(core.NextTick(kStart), 495ms);
  EXPECT_EQ(core.NextTick(kStart + 490ms), 10ms);
  EXPECT_EQ(core.NextTick({kStart.boot, kStart.raw + 499ms}), 1ms) << "the clock that is ahead counts";
  EXPECT_EQ(core.NextTick(kStart + 1s), 0ns);
}

// ---- automation: observe ----

constexpr GuardStart kObserve{true, false};

GuardCore Observing(std::optional<Permission> kept = std::nullopt) {
  return GuardCore(kSeven, std::move(kept), 2ms, kStart, kObserve);
}

TEST(GuardCore, AnObservingGuardHoldsTheServerOpenKillsNothingAndPermitsNothing) {
  GuardCore core = Observing();
  EXPECT_TRUE(core.IsHeld());
  EXPECT_TRUE(core.GateIsOpen());
  EXPECT_TRUE(core.State(kStart).held);
  EXPECT_TRUE(core.State(kStart).observes);
  for (const Duration after : {0s, 1s, 3600s}) EXPECT_EQ(core.Tick(kStart + after), Action::kSleep);
  core.SawServer(ServerVerdict::kWritable, kStart);
  EXPECT_FALSE(core.IsKilling());
  EXPECT_EQ(core.Permit({kSeven, kStart + 3s}, kStart), GuardAnswer::kObserves);
  EXPECT_EQ(core.Forbid(kSeven, kStart), GuardAnswer::kObserves) << "done would say that nothing of it is left";
  EXPECT_TRUE(core.GateIsOpen());
}

TEST(GuardCore, WhatAnActingGuardPermittedIsFencedOnByOneThatObservesUntilItIsToldToLetGo) {
  GuardCore core = Observing(Permission{kSeven, kStart + 3s, 1s});
  EXPECT_FALSE(core.IsHeld());
  EXPECT_TRUE(core.State(kStart).armed);
  EXPECT_EQ(core.Permit({kSeven, kStart + 5s}, kStart), GuardAnswer::kDone) << "renewals go on";
  EXPECT_EQ(core.Tick(kStart + 4s), Action::kSleep);
  GuardCore silent = core;
  EXPECT_EQ(silent.Tick(kStart + 5s), Action::kKill) << "others may take over by the word that was given";
  ASSERT_EQ(core.Hold(kSeven), GuardAnswer::kDone);
  EXPECT_TRUE(core.IsHeld());
  EXPECT_EQ(core.Tick(kStart + 1h), Action::kSleep);
}

TEST(GuardCore, AnObservingGuardThatComesBackAfterTheDeadlineOpensNothingByItself) {
  GuardCore core = Observing(Permission{kSeven, kStart - 1ns, 1s});
  EXPECT_FALSE(core.GateIsOpen());
  EXPECT_FALSE(core.IsHeld());
  EXPECT_EQ(core.Tick(kStart), Action::kSleep) << "and ends nothing either";
  EXPECT_EQ(core.Permit({kSeven, kStart + 3s}, kStart), GuardAnswer::kObserves);
  ASSERT_EQ(core.Hold(kSeven), GuardAnswer::kDone);
  EXPECT_TRUE(core.GateIsOpen());
}

TEST(GuardCore, ALetGoBehindAClosedGateOpensItAndCallsTheKillOff) {
  GuardCore core = Observing(Permission{kSeven, kStart + 1s, 5s});
  core.ExpectGate();
  ASSERT_EQ(core.Tick(kStart + 1s), Action::kProve);
  core.SawGate(true, kStart + 1s);
  ASSERT_TRUE(core.IsClosed());
  ASSERT_EQ(core.Hold(kSeven), GuardAnswer::kDone);
  EXPECT_TRUE(core.GateIsOpen());
  EXPECT_EQ(core.Tick(kStart + 10s), Action::kSleep);
}

TEST(GuardCore, AGuardThatActsHoldsNothingOpen) {
  GuardCore core = Armed(kStart + 3s);
  EXPECT_EQ(core.Hold(kSeven), GuardAnswer::kActs);
  EXPECT_EQ(core.Tick(kStart + 3s), Action::kKill);
}

TEST(GuardCore, NothingIsLetGoOfForALowerEpochForAReleasedOneOrInTheMidstOfAKill) {
  GuardCore core = Observing(Permission{kSeven, kStart + 3s, 1s});
  EXPECT_EQ(core.Hold(Epoch{6}), GuardAnswer::kLowerEpoch);
  core.KeepClosed(kSeven);
  EXPECT_EQ(core.Hold(kSeven), GuardAnswer::kLowerEpoch);
  EXPECT_FALSE(core.GateIsOpen());
  ASSERT_EQ(core.Tick(kStart + 3s), Action::kKill);
  EXPECT_EQ(core.Hold(Epoch{8}), GuardAnswer::kStillKilling);
}

TEST(GuardCore, AGuardThatBeginsToActKillsNoServerThatWasHeldAndFollowsTheLeaseOnceItIsFed) {
  GuardCore core(kSeven, std::nullopt, 2ms, kStart, {false, true});
  EXPECT_TRUE(core.IsHeld());
  EXPECT_TRUE(core.GateIsOpen());
  EXPECT_EQ(core.Tick(kStart), Action::kLook);
  core.SawServer(ServerVerdict::kWritable, kStart);
  EXPECT_FALSE(core.IsKilling());
  EXPECT_TRUE(core.GateIsOpen());
  ASSERT_EQ(core.Permit({kSeven, kStart + 3s, 1s}, kStart + 1s), GuardAnswer::kDone);
  EXPECT_FALSE(core.State(kStart).held);
  EXPECT_EQ(core.Tick(kStart + 3s), Action::kKill);
}

TEST(GuardCore, AHeldStandbyIsFencedAgainOnceTheGuardActs) {
  GuardCore core(kSeven, std::nullopt, 2ms, kStart, {false, true});
  core.SawServer(ServerVerdict::kHarmless, kStart);
  EXPECT_FALSE(core.IsHeld());
  EXPECT_FALSE(core.GateIsOpen());
  core.SawServer(ServerVerdict::kWritable, kStart + 50ms);
  EXPECT_TRUE(core.IsKilling()) << "promoted without a permission";
}

TEST(GuardCore, ForbidEndsAHoldOfAGuardThatActs) {
  GuardCore core(kSeven, std::nullopt, 2ms, kStart, {false, true});
  ASSERT_EQ(core.Forbid(Epoch{8}, kStart), GuardAnswer::kDone);
  EXPECT_FALSE(core.GateIsOpen());
  EXPECT_EQ(core.Tick(kStart), Action::kKill);
}

}  // namespace
}  // namespace lifeboat
