// SIGKILL to any one process at any time, during a switchover and during a failover, on one kept lab: afterwards the execution has
// ended and the status is true. Five seeds by default; LIFEBOAT_SEEDS=N asks for N, LIFEBOAT_FIRST_SEED for where they begin.

#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <random>
#include <thread>

#include "adapters/system/processes.h"
#include "support/lab_fixture.h"

namespace lifeboat::testing_support {
namespace {

constexpr int kSeeds = 5;

int NumberFrom(const char* variable, int otherwise) {
  const char* text = std::getenv(variable);
  return text != nullptr && *text != '\0' ? std::atoi(text) : otherwise;
}

struct Victim {
  const char* region;
  const char* part;
};

// Those that run while east and west are both there, and those that are left when the primary's region is lost.
constexpr Victim kAll[] = {{kEast, "agent"}, {kEast, "guard"},      {kEast, "postmaster"}, {kWest, "agent"},
                           {kWest, "guard"}, {kWest, "postmaster"}, {kWitness, "agent"},   {kWitness, "knot"}};

class AnyProcessKilled : public LabFixture {
 protected:
  using Random = std::mt19937_64;

  static Duration Between(Random& random, int from_ms, int to_ms) {
    return std::chrono::milliseconds(std::uniform_int_distribution<int>(from_ms, to_ms)(random));
  }
  static const Victim& Pick(Random& random) {
    return kAll[std::uniform_int_distribution<std::size_t>(0, std::size(kAll) - 1)(random)];
  }

  /// Nothing to kill there at this moment is as well: the story goes on.
  void KillIfThere(const Victim& victim) {
    const auto process = IdentifyProcess(PidOf(victim.region, victim.part));
    if (process) (void)SignalProcess(*process, SIGKILL).ok();
  }

  void DuringSwitchover(Random& random) {
    const std::string target = Other(Holder());
    const Victim& victim = Pick(random);
    const Duration after = Between(random, 0, 400);
    SCOPED_TRACE("switchover to " + target + ", " + victim.part + " of " + victim.region + " killed after " +
                 FormatDuration(after));
    const ExecutionId id = OrderSwitchover(target);
    ASSERT_FALSE(id.text.empty());
    std::this_thread::sleep_for(after);  // not to wait for something: the moment itself is what is tried
    KillIfThere(victim);
    const auto ended = AwaitEnded(id);
    ASSERT_TRUE(ended) << "it did not end";
    ASSERT_NO_FATAL_FAILURE(Mend());
    ASSERT_NO_FATAL_FAILURE(AwaitRowsOn(Holder()));
  }

  void DuringFailover(Random& random) {
    const std::string lost = Holder();
    const std::string heir = Other(lost);
    Victim victim = Pick(random);
    if (victim.region == lost) victim.region = kWitness;
    if (victim.region == std::string(kWitness)) victim.part = random() % 2 == 0 ? "agent" : "knot";
    const Duration after = Between(random, 0, 1600);
    SCOPED_TRACE("failover to " + heir + ", " + victim.part + " of " + victim.region + " killed after " + FormatDuration(after));
    const WallTime since = ReadWallClock();
    KillRegion(lost);
    std::this_thread::sleep_for(after);
    KillIfThere(victim);
    std::optional<Execution> failover;
    ASSERT_TRUE(Eventually([&] {
      failover = NewestExecution(PlanKind::kFailover, since, heir);
      return failover.has_value() || RuleAt(heir) == 360;
    })) << "no failover began";
    if (!failover) {
      // An heir whose agent begins after the primary was lost has never seen its position: the loss is unknown, so it asks.
      const CliAnswer ordered = Cli({"failover", "--to", heir, "--accept-loss"});
      EXPECT_EQ(ordered.exit_code, 0) << ordered.out << ordered.err;
      failover = NewestExecution(PlanKind::kFailover, since, heir);
      ASSERT_TRUE(failover) << "ordered, and no failover began";
    }
    const auto ended = AwaitEnded(failover->id);
    ASSERT_TRUE(ended) << "it did not end";
    ASSERT_NO_FATAL_FAILURE(AwaitRowsOn(heir));
    StartRegion(lost);
    ASSERT_TRUE(Eventually([&] { return RuleAt(lost) != 0; }));
    ASSERT_NO_FATAL_FAILURE(Mend());
  }
};

TEST_F(AnyProcessKilled, AtAnyTimeTheExecutionEndsAndTheStatusIsTrue) {
  const int first = NumberFrom("LIFEBOAT_FIRST_SEED", 1);
  ASSERT_NO_FATAL_FAILURE(BringUp());
  for (int seed = first; seed < first + NumberFrom("LIFEBOAT_SEEDS", kSeeds); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(static_cast<std::uint64_t>(seed));
    ASSERT_NO_FATAL_FAILURE(StartClients());
    ASSERT_NO_FATAL_FAILURE(DuringSwitchover(random));
    ASSERT_NO_FATAL_FAILURE(DuringFailover(random));
    ASSERT_NO_FATAL_FAILURE(Conclude());
  }
}

}  // namespace
}  // namespace lifeboat::testing_support
