// The agent that runs an execution is killed with SIGKILL in the middle of it, at every step that matters, and started again by
// its supervisor: the execution goes on and ends in a state that it can name (G6).

#include <gtest/gtest.h>

#include "support/lab_fixture.h"

namespace lifeboat::testing_support {
namespace {

class ExecutingAgentKilled : public LabFixture {
 protected:
  /// Kills the agent of `victim` as soon as `step` of a switchover has begun, and waits for the end of what it was.
  void SwitchOverAndKill(const std::string& step, bool source_is_victim) {
    const std::string source = Holder();
    const std::string target = Other(source);
    const std::string victim = source_is_victim ? source : target;
    SCOPED_TRACE("switchover to " + target + ", agent of " + victim + " killed at step '" + step + "'");
    const ExecutionId id = OrderSwitchover(target);
    ASSERT_FALSE(id.text.empty());
    const auto killed = KillAt(
        target, [&](const Execution& e) { return e.id == id && HasBegun(e, step); }, victim, "agent");
    ASSERT_TRUE(killed) << "step '" << step << "' was not seen";

    // then: it ends, done or taken back, and the service is where it says
    const auto ended = AwaitEnded(id);
    ASSERT_TRUE(ended) << "it did not end";
    ASSERT_NO_FATAL_FAILURE(Mend());
    EXPECT_EQ(Holder(), ended->state == ExecutionState::kDone ? target : source) << ToString(ended->state) << ", " << ended->reason;
    const StepRecord* promote = killed->Find("promote");
    if (promote->state == StepState::kDone) {
      EXPECT_EQ(ended->state, ExecutionState::kDone) << "past the point of no return it only goes forward";
    }
    AwaitRowsOn(Holder());
  }
};

TEST_F(ExecutingAgentKilled, AFailoverGoesOnFromEveryStepAndEndsDone) {
  ASSERT_NO_FATAL_FAILURE(BringUp());
  ASSERT_NO_FATAL_FAILURE(StartClients());
  for (const std::string step : {"claim", "promote", "route", "verify"}) {
    const std::string lost = Holder();
    const std::string heir = Other(lost);
    SCOPED_TRACE("agent of " + heir + " killed at step '" + step + "'");
    const WallTime since = ReadWallClock();

    // when
    KillRegion(lost);
    const auto killed = KillAt(
        heir, [&](const Execution& e) { return e.kind == PlanKind::kFailover && e.began >= since && HasBegun(e, step); }, heir,
        "agent");

    // then
    ASSERT_TRUE(killed) << "step '" << step << "' was not seen";
    const auto ended = AwaitEnded(killed->id);
    ASSERT_TRUE(ended) << "it did not end";
    EXPECT_EQ(ended->state, ExecutionState::kDone) << ended->reason;
    EXPECT_NE(ended->owner_agent, killed->owner_agent) << "the agent was not killed in the middle";
    ASSERT_NO_FATAL_FAILURE(AwaitRowsOn(heir));
    StartRegion(lost);
    Rejoin(lost);
  }
  ASSERT_NO_FATAL_FAILURE(Conclude());
}

TEST_F(ExecutingAgentKilled, ASwitchoverEndsDoneOrTheOldPrimaryServesAgain) {
  ASSERT_NO_FATAL_FAILURE(BringUp());
  ASSERT_NO_FATAL_FAILURE(StartClients());
  for (const char* step : {"preflight", "stop", "caught-up", "release", "claim", "promote", "route", "follow"}) {
    ASSERT_NO_FATAL_FAILURE(SwitchOverAndKill(step, false));
  }
  ASSERT_NO_FATAL_FAILURE(Conclude());
}

TEST_F(ExecutingAgentKilled, ASwitchoverWhoseSourceLosesItsAgentEndsDoneOrTheOldPrimaryServesAgain) {
  ASSERT_NO_FATAL_FAILURE(BringUp());
  ASSERT_NO_FATAL_FAILURE(StartClients());
  for (const char* step : {"checkpoint", "stop", "caught-up", "release", "promote", "follow", "prove"}) {
    ASSERT_NO_FATAL_FAILURE(SwitchOverAndKill(step, true));
  }
  ASSERT_NO_FATAL_FAILURE(Conclude());
}

}  // namespace
}  // namespace lifeboat::testing_support
