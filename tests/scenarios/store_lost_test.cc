// The store is away: alone, and in the middle of a failover.

#include <gtest/gtest.h>
#include <signal.h>

#include "lab/resolve.h"
#include "support/lab_fixture.h"

namespace lifeboat::testing_support {
namespace {

class StoreLost : public LabFixture {
 protected:
  /// Waits for a failover that began at `since` as the agent of `region` itself has it, without the store.
  std::optional<Execution> RunningAt(const std::string& region) const {
    const Json running = MemberAt(StatusOf(region), "execution");
    if (!running.is_object()) return std::nullopt;
    const auto execution = ExecutionFromJson(running);
    return execution ? std::optional(*execution) : std::nullopt;
  }
};

TEST_F(StoreLost, AloneFencesNobodySinceTheCandidatesPromisesCarryTheLease) {
  ASSERT_NO_FATAL_FAILURE(BringUp());
  ASSERT_NO_FATAL_FAILURE(StartClients());
  const int postmaster = PidOf(kEast, "postmaster");

  // when: the store is away for longer than the lease
  KillPart(kWitness, "supervisor");
  KillPart(kWitness, "agent");

  // then: the primary says what carries it now, and its database is the same one
  ASSERT_TRUE(Eventually([&] { return TextAt(MemberAt(StatusOf(kEast), "lease"), "path") == "promises"; }, 10s));
  EXPECT_FALSE(Eventually([&] { return !TakesWrites(kEast); }, 4s)) << "a healthy primary was fenced";
  EXPECT_EQ(PidOf(kEast, "postmaster"), postmaster);

  // when: it is back
  StartRegion(kWitness);

  // then: both carry it again
  ASSERT_TRUE(Eventually([&] { return TextAt(MemberAt(StatusOf(kEast), "lease"), "path") == "store and promises"; }, 10s));
  ASSERT_NO_FATAL_FAILURE(Conclude());
}

TEST_F(StoreLost, TogetherWithTheCandidateFencesThePrimaryWhichOpensAgainUnderTheSameEpoch) {
  ASSERT_NO_FATAL_FAILURE(BringUp());
  ASSERT_NO_FATAL_FAILURE(StartClients());
  const WallTime since = ReadWallClock();

  // when: nobody is left who could say that the primary is not the one that is cut off
  KillPart(kWitness, "supervisor");
  KillPart(kWitness, "agent");
  KillPart(kWest, "supervisor");
  KillPart(kWest, "agent");

  // then: the primary falls, and nobody takes its place
  ASSERT_TRUE(Eventually([&] { return !TakesWrites(kEast); }, 10s)) << "it goes on without a lease";
  ASSERT_TRUE(Eventually([&] { return RuleAt(kEast) == 210; }));
  EXPECT_FALSE(Eventually([&] { return TakesWrites(kWest) || TakesWrites(kEast); }, 2s));

  // when: they are back
  StartRegion(kWitness);
  StartRegion(kWest);

  // then: open again by itself, and no execution was needed
  ASSERT_NO_FATAL_FAILURE(AwaitRowsOn(kEast));
  EXPECT_EQ(EpochSeenBy(kEast), 1U);
  ASSERT_NO_FATAL_FAILURE(Conclude());
  EXPECT_FALSE(NewestExecution(PlanKind::kFailover, since, kWest));
}

TEST_F(StoreLost, BetweenPromoteAndRouteTheExecutionGoesOnInItsOwnFileAndIsMerged) {
  // given: a failover that is promoted and cannot be routed, since the name server is down
  ASSERT_NO_FATAL_FAILURE(BringUp());
  ASSERT_NO_FATAL_FAILURE(StartClients());
  KillPart(kWitness, "supervisor");
  KillPart(kWitness, "knot");
  KillRegion(kEast);
  std::optional<Execution> waits;
  ASSERT_TRUE(Eventually([&] {
    waits = RunningAt(kWest);
    return waits && waits->state == ExecutionState::kWaiting;
  })) << "it does not say that it waits";
  EXPECT_EQ(waits->Find("promote")->state, StepState::kDone);
  EXPECT_NE(waits->waiting_for.find("step 'route'"), std::string::npos) << waits->waiting_for;
  EXPECT_NE(waits->waiting_for.find("to unblock: "), std::string::npos) << waits->waiting_for;
  const std::filesystem::path own = lab().FolderOf(kWest) / "state" / "journal" / (waits->id.text + ".json");
  EXPECT_FALSE(std::filesystem::exists(own));

  // when: the store goes too
  const std::uint64_t before = waits->revision;
  KillPart(kWitness, "agent");

  // then: it goes on trying, and its journal stands in the own file
  ASSERT_TRUE(Eventually([&] { return std::filesystem::exists(own); })) << own;
  EXPECT_TRUE(Eventually([&] {
    const auto running = RunningAt(kWest);
    return running && running->revision > before + 1;
  })) << "it stopped for want of a store";

  // when: both are back
  StartRegion(kWitness);

  // then: routed and done, and the store has the last word
  const auto ended = AwaitEnded(waits->id);
  ASSERT_TRUE(ended) << "it did not end";
  EXPECT_EQ(ended->state, ExecutionState::kDone) << ended->reason;
  EXPECT_TRUE(Eventually([&] { return !std::filesystem::exists(own); })) << "the own file was not merged";
  const auto stored = Show(waits->id, kWitness);
  ASSERT_TRUE(stored);
  EXPECT_EQ(stored->state, ExecutionState::kDone);
  ASSERT_NO_FATAL_FAILURE(AwaitRowsOn(kWest));
  StartRegion(kEast);
  Rejoin(kEast);
  ASSERT_NO_FATAL_FAILURE(Conclude());
}

TEST_F(StoreLost, AndTheNameServerAliveTheServiceIsRoutedWithoutTheStore) {
  // given: the store's process is stopped the moment the promotion stands in the heir's log
  ASSERT_NO_FATAL_FAILURE(BringUp());
  ASSERT_NO_FATAL_FAILURE(StartClients());
  KillPart(kWitness, "supervisor");
  const WallTime since = ReadWallClock();
  KillRegion(kEast);
  const auto killed = KillAt(
      kWest, [&](const Execution& e) { return e.began >= since && HasBegun(e, "promote"); }, kWitness, "agent");
  ASSERT_TRUE(killed);

  // then: the name follows all the same
  const auto routed = [&] { return lab::ResolveAt(lab().dns, lab::kDnsName, 300ms); };
  EXPECT_TRUE(Eventually([&] {
    const auto answer = routed();
    return answer && answer->address == AddressOf(kWest);
  })) << "promoted and not routed: the worst place to stop";

  // when: the store is back
  StartRegion(kWitness);
  const auto ended = AwaitEnded(killed->id);
  ASSERT_TRUE(ended) << "it did not end";
  EXPECT_EQ(ended->state, ExecutionState::kDone) << ended->reason;
  // and: its last word is merged into the store, which until then names it as running and refuses another
  EXPECT_TRUE(Eventually([&] {
    const auto list = lab::AskAgent(lab(), kWitness, "executions.list", Json::object(), 2s);
    if (!list) return false;
    for (const Json& execution : MemberAt(*list, "executions")) {
      if (TextAt(execution, "id") == killed->id.text) return TextAt(execution, "state") == "done";
    }
    return false;
  })) << "the own file was never merged";
  ASSERT_NO_FATAL_FAILURE(AwaitRowsOn(kWest));
  StartRegion(kEast);
  Rejoin(kEast);
  ASSERT_NO_FATAL_FAILURE(Conclude());
}

}  // namespace
}  // namespace lifeboat::testing_support
