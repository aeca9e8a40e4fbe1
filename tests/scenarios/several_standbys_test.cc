// Three data regions: the standby that holds the most takes over, the others follow it, and what one of them alone holds is saved.

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>

#include "model/database_state.h"
#include "support/lab_fixture.h"

namespace lifeboat::testing_support {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSouth = "ap-south-1";

class SeveralStandbys : public LabFixture {
 protected:
  void BringUpThree() {
    lab::LabKnobs knobs = Quick();
    knobs.data_regions = 3;
    ASSERT_NO_FATAL_FAILURE(BringUp(knobs));
    ASSERT_TRUE(Sql(kEast, "CREATE TABLE story (line text PRIMARY KEY)"));
    ASSERT_TRUE(Eventually(
        [&] { return Sql(kWest, "SELECT count(*) FROM story").ok() && Sql(kSouth, "SELECT count(*) FROM story").ok(); }));
  }
  [[nodiscard]] bool Holds(const std::string& region, const std::string& line) const {
    const auto rows = Sql(region, "SELECT line FROM story WHERE line = '" + line + "'");
    return rows.ok() && !rows->empty();
  }
  /// Its WAL receiver stands still: nothing arrives any more.
  pid_t StopReceiver(const std::string& region) {
    const auto rows = Sql(region, "SELECT pid FROM pg_stat_wal_receiver");
    if (!rows.ok() || rows->empty()) return 0;
    const pid_t pid = static_cast<pid_t>(std::stol(rows->front().front()));
    return ::kill(pid, SIGSTOP) == 0 ? pid : 0;
  }
  /// A row that was acknowledged and that `region` has.
  void WriteUntil(const std::string& line, const std::string& region) {
    ASSERT_TRUE(Sql(kEast, "INSERT INTO story VALUES ('" + line + "')"));
    ASSERT_TRUE(Eventually([&] { return Holds(region, line); }));
  }
  [[nodiscard]] bool Follows(const std::string& region, const std::string& primary) const {
    const auto rows = Sql(region, "SELECT sender_host FROM pg_stat_wal_receiver WHERE status = 'streaming'");
    return rows.ok() && !rows->empty() && rows->front().front() == AddressOf(primary);
  }
};

TEST_F(SeveralStandbys, TheOneThatHoldsMoreTakesOverTheOtherFollowsAndTheOldPrimaryComesBack) {
  // given: one standby is behind
  ASSERT_NO_FATAL_FAILURE(BringUpThree());
  const pid_t receiver = StopReceiver(kWest);
  ASSERT_GT(receiver, 0);
  ASSERT_NO_FATAL_FAILURE(WriteUntil("acknowledged", kSouth));
  ASSERT_FALSE(Holds(kWest, "acknowledged"));

  // when: the primary's region is lost
  const WallTime since = ReadWallClock();
  (void)KillRegion(kEast);
  const auto failover = lab::AwaitFailover(lab(), since, 30s, [](const std::string&) { return true; });

  // then: the more advanced one serves, with the row
  ASSERT_TRUE(failover) << failover.error().Text();
  EXPECT_EQ(failover->target.text, kSouth);
  EXPECT_TRUE(Holds(kSouth, "acknowledged"));

  // then: the other follows once it can, and was never promoted
  ASSERT_EQ(::kill(receiver, SIGCONT), 0);
  ASSERT_TRUE(Eventually([&] { return Follows(kWest, kSouth) && Holds(kWest, "acknowledged"); })) << StatusOf(kWest).dump();
  ASSERT_TRUE(Sql(kSouth, "INSERT INTO story VALUES ('since')"));
  ASSERT_TRUE(Eventually([&] { return Holds(kWest, "since"); }));
  EXPECT_FALSE(LogHas(kWest, "postgresql", "archive recovery complete"));

  // then: the old primary is made a standby again, and all three are whole
  StartRegion(kEast);
  ASSERT_TRUE(Eventually([&] { return RuleAt(kEast) == 310; })) << StatusOf(kEast).dump();
  const CliAnswer rejoined = Cli({"rejoin", kEast});
  EXPECT_EQ(rejoined.exit_code, 0) << rejoined.out << rejoined.err;
  ASSERT_NO_FATAL_FAILURE(AwaitWhole());
  EXPECT_TRUE(Follows(kEast, kSouth));

  // when: a planned move. then: the third region is taken along, and nothing is lost
  const CliAnswer moved = Cli({"switchover", "--to", kEast});
  EXPECT_EQ(moved.exit_code, 0) << moved.out << moved.err;
  ASSERT_NO_FATAL_FAILURE(AwaitWhole());
  EXPECT_TRUE(Follows(kWest, kEast));
  EXPECT_TRUE(Follows(kSouth, kEast));
  EXPECT_TRUE(Holds(kEast, "since"));
}

TEST_F(SeveralStandbys, WhatAStandbyAloneHoldsBeyondTheForkIsSavedBeforeItIsRewound) {
  // given: one standby holds a row that the other does not, and its agent stands still just when the primary is lost
  ASSERT_NO_FATAL_FAILURE(BringUpThree());
  const pid_t receiver = StopReceiver(kWest);
  ASSERT_GT(receiver, 0);
  ASSERT_NO_FATAL_FAILURE(WriteUntil("surplus", kSouth));
  SignalPart(kSouth, "agent", SIGSTOP);
  const WallTime since = ReadWallClock();
  (void)KillRegion(kEast);
  ASSERT_EQ(::kill(receiver, SIGKILL), 0);  // what its socket still holds goes with it

  // when: the one that is behind takes over, since nobody else can be asked
  const auto failover = lab::AwaitFailover(lab(), since, 30s, [](const std::string&) { return true; });
  ASSERT_TRUE(failover) << failover.error().Text();
  ASSERT_EQ(failover->target.text, kWest);
  ASSERT_FALSE(Holds(kWest, "surplus"));
  SignalPart(kSouth, "agent", SIGCONT);

  // then: the other does not follow, is no candidate, and says what is to be done
  ASSERT_TRUE(Eventually([&] { return RuleAt(kSouth) == 312; })) << StatusOf(kSouth).dump();
  ASSERT_TRUE(Eventually([&] { return MemberAt(MemberAt(StatusOf(kWest), "lease"), "candidates").empty(); }));
  EXPECT_TRUE(Holds(kSouth, "surplus"));
  EXPECT_FALSE(Follows(kSouth, kWest));

  // when
  const WallTime before = ReadWallClock();
  const CliAnswer rejoined = Cli({"rejoin", kSouth});

  // then: saved, and only then rewound
  ASSERT_EQ(rejoined.exit_code, 0) << rejoined.out << rejoined.err;
  const auto execution = NewestExecution(PlanKind::kRejoin, before, kSouth);
  ASSERT_TRUE(execution);
  const Divergence divergence = DivergenceFromJson(MemberAt(execution->facts, "divergence"));
  EXPECT_TRUE(divergence.Diverged());
  EXPECT_GE(divergence.commits, 1U);
  ASSERT_FALSE(divergence.saved_in.empty());
  EXPECT_FALSE(fs::is_empty(divergence.saved_in));
  EXPECT_LE(execution->Find("salvage")->ended.ns, execution->Find("rebuild")->began.ns);
  EXPECT_EQ(TextAt(execution->Find("rebuild")->result, "method"), "rewind") << execution->Find("rebuild")->outcome;
  ASSERT_TRUE(Eventually([&] { return Follows(kSouth, kWest); }));
  EXPECT_FALSE(Holds(kSouth, "surplus"));
  ASSERT_TRUE(Eventually([&] { return !MemberAt(MemberAt(StatusOf(kWest), "lease"), "candidates").empty(); }));
}

}  // namespace
}  // namespace lifeboat::testing_support
