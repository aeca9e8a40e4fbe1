// Gray failure on real servers: a primary that renews its lease while its clients' commits hang is moved by the votes of a majority
// (docs/failure-detection.md), once, until a person has looked.

#include <gtest/gtest.h>

#include "support/lab_fixture.h"

namespace lifeboat::testing_support {
namespace {

class Votes : public LabFixture {
 protected:
  static void MoveByVotes(const lab::LabInfo&, std::string& config) {
    const std::string section = "policy:\n";
    const std::size_t at = config.find(section);
    ASSERT_NE(at, std::string::npos);
    config.insert(at + section.size(),
                  "  degraded_action: switchover\n  degraded_after: 5s\n  degraded_latency: 500ms\n  degraded_patience: 2s\n");
  }
};

TEST_F(Votes, APrimaryWhoseCommitsHangIsMovedOnceAndACoolDownWaitsForAPerson) {
  // given
  ASSERT_NO_FATAL_FAILURE(BringUp(Quick(), MoveByVotes));
  ASSERT_NO_FATAL_FAILURE(StartClients());
  const WallTime since = ReadWallClock();

  // when: every commit waits for a standby that does not exist; server, agent, guard and lease are well
  NoteFault(kEast);
  ASSERT_TRUE(Sql(kEast, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'").ok());
  ASSERT_TRUE(Sql(kEast, "SELECT pg_reload_conf()").ok());

  // then: it is called degraded, never lost; since it takes no row any more, the graceful move gives way to its own word: it ends
  // its server and releases the lease, and its clients are served elsewhere
  std::optional<Execution> moved;
  ASSERT_TRUE(Eventually([&] { return (moved = NewestExecution(PlanKind::kSwitchover, since, kWest)).has_value(); }))
      << StatusOf(kWest).dump();
  EXPECT_TRUE(FlagAt(moved->facts, "by_votes")) << ToJson(*moved).dump();
  EXPECT_EQ(moved->target.text, kWest);
  ASSERT_NO_FATAL_FAILURE(AwaitRowsOn(kWest));
  const auto ended = AwaitEnded(moved->id);
  ASSERT_TRUE(ended);
  EXPECT_NE(ended->reason.find("it went on ungracefully"), std::string::npos) << ended->reason;
  const auto taken = NewestExecution(PlanKind::kFailover, since, kWest);
  ASSERT_TRUE(taken);
  EXPECT_EQ(TextAt(taken->facts, "fence"), "released by the old primary's own word");
  EXPECT_TRUE(AwaitEnded(taken->id));

  // and: nothing moves by votes again before a person says so
  const CliAnswer status = Cli({"status"});
  EXPECT_NE(status.out.find("votes moved the service from us-east-1 to us-west-2"), std::string::npos) << status.out << status.err;
  const CliAnswer cleared = Cli({"cool-down", "clear", "--reason", "a standby's name that nobody has"});
  EXPECT_EQ(cleared.exit_code, 0) << cleared.out << cleared.err;
  EXPECT_TRUE(Eventually([&] { return MemberAt(StatusOf(kWest), "cool_down").is_null(); }));
  Rejoin(kEast);
  ASSERT_NO_FATAL_FAILURE(Conclude());
}

}  // namespace
}  // namespace lifeboat::testing_support
