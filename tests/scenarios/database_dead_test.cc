// The primary's database dies under a living agent, in the ways that fooled others: backends that outlive their postmaster, and a
// service manager that starts it again at once.

#include <gtest/gtest.h>
#include <libpq-fe.h>
#include <signal.h>

#include <atomic>
#include <thread>

#include "adapters/system/command.h"
#include "support/lab_fixture.h"

namespace lifeboat::testing_support {
namespace {

constexpr const char* kCommitLoop =
    "CREATE TABLE IF NOT EXISTS loop_rows(n bigint PRIMARY KEY);"
    "CREATE OR REPLACE PROCEDURE commit_loop(first bigint) LANGUAGE plpgsql AS $$"
    "DECLARE n bigint := first; BEGIN LOOP INSERT INTO loop_rows VALUES (n); COMMIT; RAISE NOTICE '%', n; n := n + 1; END LOOP; "
    "END $$";

/// A backend that commits row after row in one call, and says so after each.
class CommitLoop {
 public:
  CommitLoop(const lab::LabInfo& lab, const std::string& region, long first) {
    auto connection = lab::ConnectTo(lab.Conninfo(region, "postgres"));
    EXPECT_TRUE(connection) << connection.error().Text();
    if (!connection) return;
    connection_ = std::move(connection).value();
    PQsetNoticeProcessor(connection_.get(), &CommitLoop::OnNotice, this);
    thread_ = std::jthread([this, first] {
      (void)lab::Query(connection_, "CALL commit_loop(" + std::to_string(first) + ")").ok();  // ends with its server
    });
  }
  ~CommitLoop() { Join(); }
  void Join() {
    if (thread_.joinable()) thread_.join();
  }
  /// The newest row whose commit was answered. Rows are committed in order.
  [[nodiscard]] long Answered() const { return answered_.load(); }

 private:
  // "NOTICE:  17"
  static void OnNotice(void* self, const char* message) {
    const char* digits = message;
    while (*digits != '\0' && (*digits < '0' || *digits > '9')) ++digits;
    if (*digits != '\0') static_cast<CommitLoop*>(self)->answered_ = std::strtol(digits, nullptr, 10);
  }
  lab::Connection connection_;
  std::atomic<long> answered_{0};
  std::jthread thread_;
};

/// A service manager that knows nothing of leases: starts the server whenever there is no postmaster.
class ForeignManager {
 public:
  ForeignManager(const lab::LabInfo& lab, const std::string& region) {
    const auto owner = lab::OwnerFor();
    EXPECT_TRUE(owner);
    thread_ = std::jthread([data = (lab.FolderOf(region) / "data").string(), folder = lab.FolderOf(region).string(),
                            program = lab.bin_directory + "/postgres", owner = owner ? *owner : std::nullopt,
                            this](const std::stop_token& stop) {
      SpawnOptions options;
      options.cwd = data;
      options.run_as = owner;
      options.environment = {{lab::kPlaceVariable, folder}};
      options.log_file = folder + "/log/foreign.log";
      while (!stop.stop_requested()) {
        const auto postmaster = SpawnDetached({program, "-D", data}, options);  // refused at once while another one runs
        if (postmaster) ++starts_;
        for (int looks = 0; postmaster && !stop.stop_requested() && ::kill(*postmaster, 0) == 0; ++looks) {
          std::this_thread::sleep_for(10ms);
        }
        std::this_thread::sleep_for(50ms);
      }
    });
  }
  [[nodiscard]] int Starts() const { return starts_.load(); }
  void Stop() {
    thread_.request_stop();
    if (thread_.joinable()) thread_.join();
  }

 private:
  std::atomic<int> starts_{0};
  std::jthread thread_;
};

class DatabaseDead : public LabFixture {
 protected:
  /// Every row of the loop that was answered is there.
  void ExpectLoopRows(const std::string& region, long first, long answered) {
    ASSERT_GE(answered, first);
    const auto rows =
        Sql(region, "SELECT count(*) FROM loop_rows WHERE n BETWEEN " + std::to_string(first) + " AND " + std::to_string(answered));
    ASSERT_TRUE(rows) << rows.error().Text();
    EXPECT_EQ(rows->front().front(), std::to_string(answered - first + 1));
  }
};

TEST_F(DatabaseDead, IsRestartedWithAllThatABackendCommittedAfterItsPostmasterDied) {
  ASSERT_NO_FATAL_FAILURE(BringUp());
  ASSERT_TRUE(Sql(kEast, kCommitLoop));
  ASSERT_NO_FATAL_FAILURE(StartClients());

  // when: by the agent alone
  {
    CommitLoop loop(lab(), kEast, 1);
    ASSERT_TRUE(Eventually([&] { return loop.Answered() > 50; }));
    KillPart(kEast, "postmaster");
    loop.Join();
    ASSERT_NO_FATAL_FAILURE(AwaitRowsOn(kEast));
    ExpectLoopRows(kEast, 1, loop.Answered());
  }
  EXPECT_EQ(EpochSeenBy(kEast), 1U);
  ASSERT_NO_FATAL_FAILURE(AwaitWhole());

  // when: a service manager starts it again at once, whatever the agent does
  ForeignManager manager(lab(), kEast);
  {
    CommitLoop loop(lab(), kEast, 1'000'000);
    ASSERT_TRUE(Eventually([&] { return loop.Answered() > 1'000'050; }));
    KillPart(kEast, "postmaster");
    loop.Join();
    ASSERT_NO_FATAL_FAILURE(AwaitRowsOn(kEast));
    ExpectLoopRows(kEast, 1'000'000, loop.Answered());
  }
  EXPECT_GT(manager.Starts(), 0);
  ASSERT_NO_FATAL_FAILURE(AwaitWhole());

  // when: the region loses its lease as well, since agent and supervisor are gone
  KillPart(kEast, "supervisor");
  NoteFault(kEast);
  const WallTime since = ReadWallClock();
  KillPart(kEast, "agent");

  // then: what the manager starts is never writable
  const auto failover = lab::AwaitFailover(lab(), since, 30s, [](const std::string&) { return true; });
  ASSERT_TRUE(failover) << failover.error().Text();
  ASSERT_NO_FATAL_FAILURE(AwaitRowsOn(kWest));
  EXPECT_FALSE(Eventually([&] { return TakesWrites(kEast); }, 2s));
  manager.Stop();
  StartRegion(kEast);
  Rejoin(kEast);
  ASSERT_NO_FATAL_FAILURE(Conclude());
}

TEST_F(DatabaseDead, IsFailedOverAtOnceWhereThePolicySaysSoAndTheLossIsProvenZero) {
  lab::LabKnobs knobs;  // a lease of 3 s: the takeover waits for none of it
  knobs.database_failure = DatabaseFailure::kFailover;
  ASSERT_NO_FATAL_FAILURE(BringUp(knobs));
  ASSERT_TRUE(Sql(kEast, kCommitLoop));
  ASSERT_NO_FATAL_FAILURE(StartClients());
  const WallTime since = ReadWallClock();

  // when: only the postmaster dies, and a backend commits on, which nobody sends to the standby any more
  CommitLoop loop(lab(), kEast, 1);
  ASSERT_TRUE(Eventually([&] { return loop.Answered() > 50; }));
  KillPart(kEast, "postmaster");
  loop.Join();

  // then: every answered row is there. Where the standby lacks one, the server is restarted here.
  AwaitRows();
  ExpectLoopRows(Holder(), 1, loop.Answered());

  // when: all of it dies at one instant, until the standby happens to hold all of its WAL
  std::optional<Execution> failover = NewestExecution(PlanKind::kFailover, since, kWest);
  for (int attempt = 0; attempt < 10 && !failover; ++attempt) {
    ASSERT_NO_FATAL_FAILURE(AwaitWhole());
    KillPart(kEast, "database");
    AwaitRows();
    failover = NewestExecution(PlanKind::kFailover, since, kWest);
  }

  // then: released with a proof, and taken over by the heir
  ASSERT_TRUE(failover) << "it was restarted each time";
  const auto ended = AwaitEnded(failover->id);
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->state, ExecutionState::kDone) << ended->reason;
  ASSERT_NO_FATAL_FAILURE(AwaitRowsOn(kWest));
  EXPECT_EQ(ended->requested_by, "rule 370");
  EXPECT_EQ(TextAt(MemberAt(ended->facts, "loss_estimate"), "state"), "proven zero")
      << MemberAt(ended->facts, "loss_estimate").dump();
  EXPECT_EQ(TextAt(ended->facts, "fence"), "released by the old primary's own word");
  EXPECT_TRUE(LogHas(kEast, "agent", "a dead database is failed over at once where the policy says so"))
      << "rule 230 did not decide";
  EXPECT_TRUE(LogHas(kEast, "agent", "the database is dead: the lease was released"));
  ExpectLoopRows(kWest, 1, loop.Answered());
  ASSERT_NO_FATAL_FAILURE(Mend());
  ASSERT_NO_FATAL_FAILURE(Conclude());
}

}  // namespace
}  // namespace lifeboat::testing_support
