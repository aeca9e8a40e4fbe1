// The name server is down during a failover.

#include <gtest/gtest.h>

#include "support/lab_fixture.h"

namespace lifeboat::testing_support {
namespace {

class NameServerLost : public LabFixture {};

TEST_F(NameServerLost, APromotedFailoverWaitsForItAndSaysSoAndIsDoneOnceItIsBack) {
  ASSERT_NO_FATAL_FAILURE(BringUp());
  ASSERT_NO_FATAL_FAILURE(StartClients());
  const WallTime since = ReadWallClock();

  // when
  KillPart(kWitness, "supervisor");
  KillPart(kWitness, "knot");
  KillRegion(kEast);

  // then: promoted, and it waits for the name server in as many words
  std::optional<Execution> waits;
  ASSERT_TRUE(Eventually([&] {
    waits = NewestExecution(PlanKind::kFailover, since, kWest);
    return waits && waits->state == ExecutionState::kWaiting;
  }));
  EXPECT_NE(waits->waiting_for.find("step 'route'"), std::string::npos) << waits->waiting_for;
  EXPECT_NE(waits->waiting_for.find("to unblock: bring the name server back"), std::string::npos) << waits->waiting_for;
  const Json status = StatusOf(kWitness);
  EXPECT_EQ(TextAt(status, "verdict"), "moving");
  EXPECT_NE(TextAt(status, "sentence").find("step 'route'"), std::string::npos) << TextAt(status, "sentence");

  // and: the promotion stands for as long as that takes, under its lease, and cannot be aborted
  const CliAnswer aborted = Cli({"executions", "abort", waits->id.text});
  EXPECT_EQ(aborted.exit_code, 3) << aborted.err;
  EXPECT_FALSE(Eventually([&] { return !TakesWrites(kWest); }, 4s, 200ms)) << "several leases long";
  EXPECT_EQ(waits->Find("promote")->state, StepState::kDone);

  // when: it is back
  StartRegion(kWitness);

  // then
  const auto ended = AwaitEnded(waits->id);
  ASSERT_TRUE(ended) << "it did not end";
  EXPECT_EQ(ended->state, ExecutionState::kDone) << ended->reason;
  EXPECT_TRUE(ended->waiting_for.empty()) << ended->waiting_for;
  ASSERT_NO_FATAL_FAILURE(AwaitRowsOn(kWest));
  StartRegion(kEast);
  Rejoin(kEast);
  ASSERT_NO_FATAL_FAILURE(Conclude());
}

}  // namespace
}  // namespace lifeboat::testing_support
