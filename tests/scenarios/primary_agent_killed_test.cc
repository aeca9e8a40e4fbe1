// The primary region loses its agent, its guard, or both: what stops the database, and what does not disturb it.

#include <gtest/gtest.h>
#include <signal.h>

#include "support/lab_fixture.h"

namespace lifeboat::testing_support {
namespace {

class PrimaryAgentKilled : public LabFixture {};

TEST_F(PrimaryAgentKilled, ANewAgentOrGuardThatIsBackInTimeIsNoOutageAtAll) {
  lab::LabKnobs knobs;
  knobs.lease = 3s;  // in time for a supervisor that waits 200 ms before it starts something again
  ASSERT_NO_FATAL_FAILURE(BringUp(knobs));
  ASSERT_NO_FATAL_FAILURE(StartClients());
  const pid_t postmaster = PidOf(kEast, "postmaster");
  for (const std::string part : {"agent", "guard"}) {
    SCOPED_TRACE(part);
    const pid_t before = PidOf(kEast, part);
    const std::int64_t since_ns = lab::MonotonicNs();

    // when
    KillPart(kEast, part);

    // then: started again, with the database untouched under the same epoch
    ASSERT_TRUE(Eventually([&] { return PidOf(kEast, part) != 0 && PidOf(kEast, part) != before; }));
    ASSERT_TRUE(Eventually([&] { return RuleAt(kEast) == 290 && NumberAt(MemberAt(StatusOf(kEast), "lease"), "left_ms") > 1500; }));
    ASSERT_NO_FATAL_FAILURE(AwaitRows(600));  // beyond every deadline that the old one had given
    EXPECT_EQ(PidOf(kEast, "postmaster"), postmaster);
    EXPECT_EQ(EpochSeenBy(kEast), 1U);
    EXPECT_LT(LongestGap(since_ns), 1s);
    EXPECT_TRUE(FlagAt(MemberAt(MemberAt(StatusOf(kEast), "regions").at(0), "guard"), "answers"));
  }
  ASSERT_NO_FATAL_FAILURE(Conclude());
}

TEST_F(PrimaryAgentKilled, WithoutANewAgentTheGuardFellsTheDatabaseAndTheStandbyTakesOver) {
  ASSERT_NO_FATAL_FAILURE(BringUp());
  ASSERT_NO_FATAL_FAILURE(StartClients());
  const WallTime since = ReadWallClock();

  // when: nobody starts an agent again
  KillPart(kEast, "supervisor");
  NoteFault(kEast);
  KillPart(kEast, "agent");

  // then
  ASSERT_TRUE(Eventually([&] { return PidOf(kEast, "postmaster") == 0; }, 10s)) << "nothing stopped the database at the deadline";
  EXPECT_NE(PidOf(kEast, "guard"), 0);
  const auto failover = lab::AwaitFailover(lab(), since, 30s, [](const std::string&) { return true; });
  ASSERT_TRUE(failover) << failover.error().Text();
  ASSERT_NO_FATAL_FAILURE(AwaitRowsOn(kWest));
  EXPECT_FALSE(TakesWrites(kEast));

  // and: a supervisor that comes back finds it fenced
  StartRegion(kEast);
  ASSERT_TRUE(Eventually([&] { return RuleAt(kEast) == 310; }));
  Rejoin(kEast);
  ASSERT_NO_FATAL_FAILURE(Conclude());
}

TEST_F(PrimaryAgentKilled, WithoutAGuardNothingIsPromotedAndThePrimaryGoesOn) {
  // given: no gate, which only the guard can hold open
  lab::LabKnobs knobs = Quick();
  knobs.gate = false;
  ASSERT_NO_FATAL_FAILURE(BringUp(knobs));
  ASSERT_NO_FATAL_FAILURE(StartClients());

  // when: the primary's guard stays away, the agent lives
  KillPart(kEast, "supervisor");
  KillPart(kEast, "guard");

  // then: it serves on, and the check says what is missing
  ASSERT_TRUE(
      Eventually([&] { return Ask(kEast, "check").dump().find("the guard of 'us-east-1' does not answer") != std::string::npos; }));
  ASSERT_NO_FATAL_FAILURE(AwaitRows(400));
  EXPECT_EQ(RuleAt(kEast), 290);
  StartRegion(kEast);
  ASSERT_TRUE(
      Eventually([&] { return Ask(kEast, "check").dump().find("the guard of 'us-east-1' does not answer") == std::string::npos; }));

  // when: the candidate's guard stays away, and the primary is lost
  KillPart(kWest, "supervisor");
  KillPart(kWest, "guard");
  ASSERT_TRUE(
      Eventually([&] { return Ask(kWest, "check").dump().find("the guard of 'us-west-2' does not answer") != std::string::npos; }));
  const WallTime since = ReadWallClock();
  KillRegion(kEast);

  // then: no promotion there until its guard is back
  ASSERT_TRUE(Eventually([&] { return RuleAt(kWest) == 347; })) << StatusOf(kWest).dump();
  EXPECT_FALSE(Eventually([&] { return TakesWrites(kWest); }, 2s));
  StartRegion(kWest);
  const auto failover = lab::AwaitFailover(lab(), since, 30s, [](const std::string&) { return true; });
  ASSERT_TRUE(failover) << failover.error().Text();
  ASSERT_NO_FATAL_FAILURE(AwaitRowsOn(kWest));
  StartRegion(kEast);
  Rejoin(kEast);
  ASSERT_NO_FATAL_FAILURE(Conclude());
}

}  // namespace
}  // namespace lifeboat::testing_support
