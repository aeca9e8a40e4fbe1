// The door to PostgreSQL against real servers: what ports/database.h promises, seen from outside.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <thread>

#include "adapters/postgres/postgres_database.h"
#include "adapters/system/processes.h"
#include "model/control_state.h"
#include "support/real_postgres.h"

namespace lifeboat::postgres {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing_support::AskServer;
using testing_support::CreateRoles;
using testing_support::PostgresLab;
using testing_support::PostmasterPid;
using testing_support::ServerOptions;

constexpr WalGeometry kSmall{1U << 20U, 8192};  // the lab's servers

constexpr Duration kTime = std::chrono::seconds(20);

/// One region: a server and the door to it.
struct Region {
  RegionName name;
  DatabaseSettings server;
  std::unique_ptr<PostgresDatabase> door;

  [[nodiscard]] Upstream AsUpstream() const { return {server.address, name}; }
  std::string Ask(const std::string& sql) const { return AskServer(server, sql).value_or("<no answer>"); }
};

class PostgresTest : public testing::Test {
 protected:
  template <typename T>
  T Await(Task<T> task) {
    std::optional<T> answer;
    auto keep = [](Task<T> inner, std::optional<T>* into) -> Task<> { into->emplace(co_await std::move(inner)); };
    boost::asio::co_spawn(io_, keep(std::move(task), &answer), [](const std::exception_ptr& error) {
      if (error) std::rethrow_exception(error);
    });
    io_.restart();
    io_.run();
    return std::move(*answer);
  }
  void Await(Task<> task) {
    boost::asio::co_spawn(io_, std::move(task), [](const std::exception_ptr& error) {
      if (error) std::rethrow_exception(error);
    });
    io_.restart();
    io_.run();
  }
  /// Awaits and demands success.
  template <typename T>
  T Must(Task<Result<T>> task) {
    Result<T> result = Await(std::move(task));
    if (!result) throw std::runtime_error(result.error().Text());
    return std::move(result).value();
  }

  Region MakeRegion(const std::string& name, DatabaseSettings server) {
    Region region{RegionName(name), server, nullptr};
    region.door = std::make_unique<PostgresDatabase>(io_.get_executor(), region.name, server, PostgresLab::Login(), Log());
    return region;
  }
  /// A running primary with roles and a table.
  Region StartedPrimary(const std::string& name = "us-east-1", const ServerOptions& options = {}) {
    Region region = MakeRegion(name, lab_.Initialise(name, options));
    Must(region.door->StartPrimary(kTime));
    CreateRoles(region.server, PostgresLab::Login());
    region.Ask("CREATE TABLE t (id bigserial PRIMARY KEY, body text)");
    return region;
  }
  /// A streaming standby of `primary`, made by a base backup.
  Region StartedStandby(const Region& primary, const std::string& name = "us-west-2") {
    Region region = MakeRegion(name, lab_.Reserve(name));
    Must(primary.door->EnsureSlots(SlotsWith(name), kTime));
    Must(region.door->CopyFrom(primary.AsUpstream(), kTime));
    Must(region.door->StartStandby(primary.AsUpstream(), kTime));
    EXPECT_TRUE(Eventually([&] { return Await(region.door->Observe(kTime)).upstream == primary.server.address.host; }));
    return region;
  }
  std::vector<RegionName> SlotsWith(const std::string& name) {
    wanted_slots_.emplace_back(name);
    return wanted_slots_;
  }
  static void Insert(const Region& primary, int rows) {
    for (int row = 0; row < rows; ++row) ASSERT_EQ(AskServer(primary.server, "INSERT INTO t (body) VALUES ('x')"), "");
  }
  static bool Eventually(const std::function<bool()>& condition) {
    const Deadline deadline(kTime);
    while (!condition()) {
      if (deadline.HasPassed()) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return true;
  }
  /// Every process of the server ends at one instant, as in a loss of the region.
  void Kill(const Region& region) { Must(region.door->KillAll(kTime)); }
  static bool HasCaughtUp(const Region& standby, const Region& primary) {
    const auto flushed = Lsn::Parse(primary.Ask("SELECT pg_current_wal_flush_lsn()"));
    const auto replayed = Lsn::Parse(standby.Ask("SELECT pg_last_wal_replay_lsn()"));
    return flushed && replayed && *replayed >= *flushed;
  }
  static double MillisSince(std::chrono::steady_clock::time_point began) {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count();
  }
  static void Report(const std::string& what, double ms) {
    RecordProperty(what, std::to_string(ms));
    std::printf("measured: %s %.2f ms\n", what.c_str(), ms);
  }

  PostgresLab lab_;
  boost::asio::io_context io_;
  std::vector<RegionName> wanted_slots_;
};

// ---- the fence ----

TEST_F(PostgresTest, ARestartByAnyoneAfterACrashComesUpAsAStandby) {
  const Region primary = StartedPrimary();
  EXPECT_TRUE(*Await(primary.door->HasFence()));
  Kill(primary);
  lab_.StartByAnyone(primary.server);
  EXPECT_EQ(primary.Ask("SELECT pg_is_in_recovery()"), "t");
  EXPECT_TRUE(Await(primary.door->Observe(kTime)).IsStandby());
}

TEST_F(PostgresTest, TheLeaseHolderStartsItAsAPrimaryAgain) {
  const Region primary = StartedPrimary();
  Insert(primary, 3);
  Kill(primary);
  Must(primary.door->StartPrimary(kTime));
  EXPECT_EQ(primary.Ask("SELECT count(*) FROM t"), "3");
  EXPECT_TRUE(*Await(primary.door->HasFence()));
  // Again on the running server: nothing happens.
  const pid_t before = PostmasterPid(primary.server);
  Must(primary.door->StartPrimary(kTime));
  EXPECT_EQ(PostmasterPid(primary.server), before);
}

TEST_F(PostgresTest, AServerThatIsFencedWhileItIsStartedIsSaidToBeAStandbyAndCanBePromoted) {
  // Given a guard whose deadline passes in the midst of the start: the fence is back before the server looks for it.
  const Region primary = StartedPrimary();
  Insert(primary, 3);
  Kill(primary);
  std::jthread guard([signal = primary.server.data_directory + "/standby.signal"](const std::stop_token& stop) {
    while (!stop.stop_requested()) std::ofstream(signal, std::ios::app).flush();
  });
  // When
  const Result<Unit> started = Await(primary.door->StartPrimary(kTime));
  guard.request_stop();
  guard.join();
  // Then it is not waited for as if it were starting up: nothing would ever open it.
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().retry, Retry::kRetry) << started.error().Text();
  EXPECT_TRUE(Await(primary.door->Observe(kTime)).IsStandby());
  Must(primary.door->Promote(kTime));
  EXPECT_EQ(primary.Ask("SELECT count(*) FROM t"), "3");
  EXPECT_TRUE(*Await(primary.door->HasFence()));
}

TEST_F(PostgresTest, AFailedStartSaysWhyAndLeavesTheFence) {
  const Region primary = MakeRegion("us-east-1", lab_.Initialise("us-east-1", {true, 1, "no_such_setting = 1\n"}));
  const Result<Unit> started = Await(primary.door->StartPrimary(kTime));
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message, HasSubstr("no_such_setting"));
  EXPECT_TRUE(*Await(primary.door->HasFence()));
}

TEST_F(PostgresTest, AnOrphanedBackendThatStillCommitsCountsAsAliveUntilItIsKilled) {
  const Region primary = StartedPrimary();
  primary.Ask(
      "CREATE PROCEDURE loop() LANGUAGE plpgsql AS $$ BEGIN LOOP INSERT INTO t (body) VALUES ('orphan'); COMMIT;"
      " PERFORM pg_sleep(0); END LOOP; END $$");
  std::jthread client([server = primary.server] { AskServer(server, "CALL loop()"); });
  ASSERT_TRUE(Eventually([&] { return primary.Ask("SELECT count(*) > 10 FROM t WHERE body = 'orphan'") == "t"; }));

  const pid_t postmaster = PostmasterPid(primary.server);
  ASSERT_EQ(kill(postmaster, SIGKILL), 0);
  ASSERT_TRUE(Eventually([&] { return !IsAlive(postmaster); }));

  const DatabaseState orphaned = Await(primary.door->Observe(kTime));
  EXPECT_TRUE(orphaned.process_alive);
  EXPECT_FALSE(orphaned.accepting);
  EXPECT_EQ(Await(primary.door->StartPrimary(kTime)).error().retry, Retry::kRefused);
  EXPECT_EQ(Await(primary.door->EndOfWal(1, Lsn{0x1000028}, kTime)).error().retry, Retry::kRefused);
  EXPECT_TRUE(*Await(primary.door->HasFence()));

  Must(primary.door->KillAll(kTime));
  EXPECT_FALSE(Await(primary.door->Observe(kTime)).process_alive);
}

// ---- looking ----

TEST_F(PostgresTest, WhatCannotBeSeenIsUnknownAndNeverZero) {
  const Region primary = StartedPrimary();
  Kill(primary);
  const DatabaseState state = Await(primary.door->Observe(kTime));
  EXPECT_FALSE(state.process_alive);
  EXPECT_FALSE(state.accepting);
  EXPECT_EQ(state.in_recovery, std::nullopt);
  EXPECT_EQ(state.timeline, std::nullopt);
  EXPECT_EQ(state.flushed, std::nullopt);
  EXPECT_EQ(state.replayed, std::nullopt);
  EXPECT_TRUE(state.system_id.empty());
  EXPECT_NE(state.problem, "");
  EXPECT_EQ(Await(primary.door->FlushedPosition(kTime)).error().retry, Retry::kRetry);
}

TEST_F(PostgresTest, PrimaryAndStandbySeeEachOther) {
  const Region primary = StartedPrimary();
  const Region standby = StartedStandby(primary);
  Insert(primary, 1);
  ASSERT_TRUE(Eventually([&] { return HasCaughtUp(standby, primary); }));
  ASSERT_TRUE(Eventually([&] { return Await(primary.door->Observe(kTime)).standbys.size() == 1; }));
  const DatabaseState seen = Await(primary.door->Observe(kTime));
  EXPECT_TRUE(seen.IsWritable());
  EXPECT_EQ(seen.timeline, 1U);
  EXPECT_EQ(seen.standbys[0].name, "us-west-2");
  EXPECT_EQ(seen.standbys[0].state, "streaming");
  EXPECT_EQ(seen.system_id, Await(primary.door->ReadControl())->system_id);
  EXPECT_EQ(*seen.flushed, Must(primary.door->FlushedPosition(kTime)));

  const DatabaseState other = Await(standby.door->Observe(kTime));
  EXPECT_TRUE(other.IsStandby());
  EXPECT_EQ(other.timeline, 1U);
  EXPECT_EQ(other.flushed, seen.flushed);
  EXPECT_EQ(other.replayed, seen.flushed);
  EXPECT_EQ(other.upstream, "127.0.0.1");
  EXPECT_EQ(other.system_id, seen.system_id);
  EXPECT_EQ(other.wal_retrieve_retry_interval, "100ms");
  EXPECT_EQ(other.wal_level, "replica");

  constexpr int kLooks = 200;
  const auto began = std::chrono::steady_clock::now();
  for (int look = 0; look < kLooks; ++look) ASSERT_TRUE(Await(standby.door->Observe(kTime)).accepting);
  Report("observe", MillisSince(began) / kLooks);
}

TEST_F(PostgresTest, AFrozenServerIsGivenUpAtTheDeadlineAndAskedAgainLater) {
  const Region primary = StartedPrimary();
  ASSERT_TRUE(Await(primary.door->Observe(kTime)).accepting);
  const std::vector<pid_t> processes = ProcessesWithin(primary.server.data_directory);
  for (const pid_t pid : processes) kill(pid, SIGSTOP);
  for (int look = 0; look < 2; ++look) {  // on the kept connection, then on a new one
    const auto began = std::chrono::steady_clock::now();
    const DatabaseState state = Await(primary.door->Observe(std::chrono::milliseconds(200)));
    EXPECT_FALSE(state.accepting);
    EXPECT_TRUE(state.process_alive);
    EXPECT_THAT(state.problem, HasSubstr("in time"));
    EXPECT_LT(MillisSince(began), 2000);
  }
  for (const pid_t pid : processes) kill(pid, SIGCONT);
  EXPECT_TRUE(Eventually([&] { return Await(primary.door->Observe(kTime)).accepting; }));
}

TEST_F(PostgresTest, AnotherServerAtOurSocketIsNotTakenForOurs) {
  const Region primary = StartedPrimary();
  DatabaseSettings mistyped = primary.server;
  mistyped.data_directory = lab_.Initialise("elsewhere").data_directory;
  const Region wrong = MakeRegion("us-west-2", mistyped);
  const DatabaseState state = Await(wrong.door->Observe(kTime));
  EXPECT_FALSE(state.accepting);
  EXPECT_THAT(state.problem, HasSubstr("is not that of"));
}

TEST_F(PostgresTest, WaitForExitEndsWithThePostmasterAndAtOnceWithoutOne) {
  const Region primary = StartedPrimary();
  const pid_t postmaster = PostmasterPid(primary.server);
  std::jthread killer([postmaster] { kill(postmaster, SIGKILL); });
  Await(primary.door->WaitForExit());
  EXPECT_FALSE(IsAlive(postmaster));
  // The lock file is still there and names a process that is gone.
  EXPECT_EQ(PostmasterPid(primary.server), postmaster);
  Await(primary.door->WaitForExit());
}

// ---- stopping and the end of the WAL ----

TEST_F(PostgresTest, ACleanStopsTokenIsExactlyWhatTheStandbyReceived) {
  const Region primary = StartedPrimary();
  const Region standby = StartedStandby(primary);
  Insert(primary, 5);
  Must(primary.door->Checkpoint(kTime));
  const auto began = std::chrono::steady_clock::now();
  const ShutdownToken token = Must(primary.door->StopCleanly(kTime));
  Report("stop_cleanly", MillisSince(began));
  EXPECT_EQ(token.timeline, 1U);
  EXPECT_EQ(Await(standby.door->Observe(kTime)).flushed, token.end);
  EXPECT_EQ(Must(primary.door->EndOfWal(1, token.checkpoint, kTime)), token.end);
  EXPECT_EQ(Must(primary.door->EndOfWal(1, token.end, kTime)), token.end);
  EXPECT_TRUE(*Await(primary.door->HasFence()));
  EXPECT_EQ(Must(primary.door->StopCleanly(kTime)), token);
}

TEST_F(PostgresTest, AStopThatWasNotCleanGivesNoToken) {
  const Region primary = StartedPrimary();
  Kill(primary);
  const Result<ShutdownToken> token = Await(primary.door->StopCleanly(kTime));
  ASSERT_FALSE(token);
  EXPECT_EQ(token.error().retry, Retry::kUnknownOutcome);
  EXPECT_THAT(token.error().message, HasSubstr("in production"));
}

TEST_F(PostgresTest, AStandbysStopProvesNothing) {
  const Region primary = StartedPrimary();
  const Region standby = StartedStandby(primary);
  const Result<ShutdownToken> token = Await(standby.door->StopCleanly(kTime));
  ASSERT_FALSE(token);
  EXPECT_EQ(token.error().retry, Retry::kFail);
  EXPECT_FALSE(Await(standby.door->Observe(kTime)).process_alive);
}

class WalSizeTest : public PostgresTest, public testing::WithParamInterface<int> {};
INSTANTIATE_TEST_SUITE_P(Mebibytes, WalSizeTest, testing::Values(1, 16));

TEST_P(WalSizeTest, TheEndOfTheWalIsTheLastCommitAfterACrash) {
  const Region primary = StartedPrimary("us-east-1", {true, GetParam(), ""});
  const Lsn from = Must(primary.door->FlushedPosition(kTime));
  for (int round = 0; round < 3; ++round) {
    // Records of some hundred kilobytes, so that `from` may lie within one that spans pages.
    const std::string last = primary.Ask(
        "INSERT INTO t (body) SELECT repeat('x', 3000) FROM generate_series(1, 300);"
        "SELECT pg_logical_emit_message(true, 'p', repeat('y', 100000))");
    ASSERT_NE(last, "<no answer>");
    const auto flushed = Lsn::Parse(primary.Ask("SELECT pg_current_wal_insert_lsn()"));
    Kill(primary);
    const auto began = std::chrono::steady_clock::now();
    EXPECT_EQ(Must(primary.door->EndOfWal(1, *flushed, kTime)), *flushed);
    Report("end_of_wal_near", MillisSince(began));
    EXPECT_EQ(Must(primary.door->EndOfWal(1, from, kTime)), *flushed);
    EXPECT_EQ(Must(primary.door->EndOfWal(1, Lsn{flushed->bytes - 50'000}, kTime)), *flushed);
    EXPECT_EQ(Must(primary.door->EndOfWal(1, Lsn{flushed->bytes - 8}, kTime)), *flushed);
    Must(primary.door->StartPrimary(kTime));
  }
}

TEST_F(PostgresTest, TheEndOfTheWalMayBeASegmentBorderWithNothingBehindIt) {
  const Region primary = StartedPrimary();
  Insert(primary, 2);
  const Lsn from = Must(primary.door->FlushedPosition(kTime));
  const auto switched = Lsn::Parse(primary.Ask("SELECT pg_switch_wal()"));
  ASSERT_TRUE(switched);
  Kill(primary);
  const WalGeometry geometry = kSmall;
  const Lsn border{(SegmentOf(*switched, geometry) + 1) * geometry.segment_bytes};
  const Lsn end = Must(primary.door->EndOfWal(1, from, kTime));
  EXPECT_GE(end, border);
  // Without the next segment: as the disk is when the crash comes before that file was made.
  fs::remove(primary.server.data_directory + "/pg_wal/" + SegmentName(1, SegmentOf(border, geometry), geometry));
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(Must(primary.door->EndOfWal(1, from, kTime)), border);
  EXPECT_EQ(Must(primary.door->EndOfWal(1, border, kTime)), border);
  EXPECT_LT(MillisSince(began), 2000);
  EXPECT_EQ(Await(primary.door->EndOfWal(1, Lsn{border.bytes + 4 * geometry.segment_bytes}, kTime)).error().retry,
            Retry::kNotFound);
}

TEST_F(PostgresTest, ATornLastRecordIsNotCounted) {
  const Region primary = StartedPrimary();
  Insert(primary, 2);
  const auto before = Lsn::Parse(primary.Ask("SELECT pg_current_wal_insert_lsn()"));
  primary.Ask("SELECT pg_logical_emit_message(false, 'p', repeat('y', 20000)); SELECT pg_switch_wal()");
  Kill(primary);
  const WalGeometry geometry = kSmall;
  const std::string file = primary.server.data_directory + "/pg_wal/" + SegmentName(1, SegmentOf(*before, geometry), geometry);
  std::fstream segment(file, std::ios::in | std::ios::out | std::ios::binary);
  segment.seekp(static_cast<std::streamoff>(before->bytes % geometry.segment_bytes + 10'000));
  segment.write("torn", 4);
  segment.close();
  EXPECT_EQ(Must(primary.door->EndOfWal(1, *before, kTime)), *before);
}

// ---- promotion ----

TEST_F(PostgresTest, APromotedStandbyHoldsAllThatItReceived) {
  const Region primary = StartedPrimary();
  const Region standby = StartedStandby(primary);
  const Lsn from = Must(primary.door->FlushedPosition(kTime));
  Insert(primary, 20);
  ASSERT_TRUE(Eventually([&] { return HasCaughtUp(standby, primary); }));
  Kill(primary);
  const Lsn end = Must(primary.door->EndOfWal(1, from, kTime));

  auto began = std::chrono::steady_clock::now();
  const Lsn received = Must(standby.door->StopReceiving(kTime));
  Report("stop_receiving", MillisSince(began));
  EXPECT_EQ(received, end);
  began = std::chrono::steady_clock::now();
  const Lsn fork = Must(standby.door->Promote(kTime));
  Report("promote", MillisSince(began));

  EXPECT_EQ(fork, end);
  EXPECT_EQ(standby.Ask("SELECT count(*) FROM t"), "20");
  EXPECT_EQ(standby.Ask("INSERT INTO t (body) VALUES ('new')"), "");
  const DatabaseState state = Await(standby.door->Observe(kTime));
  EXPECT_TRUE(state.IsWritable());
  EXPECT_EQ(state.timeline, 2U);
  EXPECT_TRUE(*Await(standby.door->HasFence()));
  EXPECT_EQ(Must(standby.door->Promote(kTime)), fork);
  EXPECT_EQ(Must(standby.door->ForkOf(2, kTime)), fork);
  EXPECT_EQ(Await(standby.door->ForkOf(1, kTime)).error().retry, Retry::kNotFound);
  // Killed before the first checkpoint of its new life: pg_control still knows the timeline, the history the fork.
  Kill(standby);
  EXPECT_EQ(Must(standby.door->ReadControl()).timeline, 2U);
  EXPECT_EQ(Must(standby.door->ForkOf(2, kTime)), fork);
  lab_.StartByAnyone(standby.server);
  EXPECT_EQ(standby.Ask("SELECT pg_is_in_recovery()"), "t");
}

TEST_F(PostgresTest, TwoPromotionsAtOnePositionAreToldApartByHowTheirTimelinesBegin) {
  const Region primary = StartedPrimary();
  const Region standby = StartedStandby(primary);
  const Region other = StartedStandby(primary, "ap-south-1");
  const Region follower = StartedStandby(primary, "eu-north-1");
  Insert(primary, 5);
  ASSERT_TRUE(
      Eventually([&] { return HasCaughtUp(standby, primary) && HasCaughtUp(other, primary) && HasCaughtUp(follower, primary); }));
  EXPECT_EQ(Await(standby.door->SignOf(2, kTime)).error().retry, Retry::kNotFound);
  Kill(primary);
  // Given: both are promoted where the WAL of their primary ended, so that number and fork are the same.
  const Lsn fork = Must(standby.door->Promote(kTime));
  ASSERT_EQ(Must(other.door->Promote(kTime)), fork);
  const std::string sign = Must(standby.door->SignOf(2, kTime));
  EXPECT_GT(sign.size(), 40U);
  EXPECT_NE(Must(other.door->SignOf(2, kTime)), sign);
  EXPECT_EQ(Await(standby.door->SignOf(1, kTime)).error().retry, Retry::kNotFound);
  // And: whoever received that timeline shows the same, also when it is stopped.
  std::vector<RegionName> followers = {follower.name};
  Must(standby.door->EnsureSlots(std::move(followers), kTime));
  Must(follower.door->StartStandby(standby.AsUpstream(), kTime));
  ASSERT_TRUE(Eventually([&] { return HasCaughtUp(follower, standby); }));
  EXPECT_EQ(Must(follower.door->SignOf(2, kTime)), sign);
  Kill(follower);
  EXPECT_EQ(Must(follower.door->SignOf(2, kTime)), sign);
}

TEST_F(PostgresTest, ThePromotionOfAnEpochIsFoundByItsNumber) {
  const Region primary = StartedPrimary();
  Must(primary.door->EnsureSchema(kTime));
  Must(primary.door->WritePromotionMark({Epoch{3}, "uuid-of-three", RegionName("us-east-1")}, kTime));
  Must(primary.door->WritePromotionMark({Epoch{5}, "uuid-of-five", RegionName("us-west-2")}, kTime));
  const PromotionMark three = Must(primary.door->ReadPromotionMarkOf(Epoch{3}, kTime));
  EXPECT_EQ(three.uuid, "uuid-of-three");
  EXPECT_EQ(three.region, RegionName("us-east-1"));
  EXPECT_EQ(Must(primary.door->ReadPromotionMark(kTime)).epoch, Epoch{5});
  EXPECT_EQ(Await(primary.door->ReadPromotionMarkOf(Epoch{4}, kTime)).error().retry, Retry::kNotFound);
}

TEST_F(PostgresTest, PromotionRightAfterTheUpstreamWasLostDoesNotStall) {
  const Region primary = StartedPrimary();
  const Region standby = StartedStandby(primary);
  Kill(primary);
  const auto began = std::chrono::steady_clock::now();
  Must(standby.door->Promote(kTime));
  const double took = MillisSince(began);
  Report("promote_upstream_lost", took);
  EXPECT_LT(took, 1000);
}

TEST_F(PostgresTest, AfterStopReceivingNothingMoreArrives) {
  const Region primary = StartedPrimary();
  const Region standby = StartedStandby(primary);
  Insert(primary, 1);
  ASSERT_TRUE(Eventually([&] { return HasCaughtUp(standby, primary); }));
  const Lsn received = Must(standby.door->StopReceiving(kTime));
  Insert(primary, 10);
  ASSERT_TRUE(Eventually([&] { return Await(primary.door->Observe(kTime)).standbys.empty(); }));
  const DatabaseState state = Await(standby.door->Observe(kTime));
  EXPECT_EQ(state.flushed, received);
  EXPECT_EQ(state.timeline, 1U);
  EXPECT_EQ(state.upstream, "");
  EXPECT_EQ(Must(standby.door->StopReceiving(kTime)), received);
  // Pointed to its upstream again it catches up.
  Must(standby.door->StartStandby(primary.AsUpstream(), kTime));
  EXPECT_TRUE(Eventually([&] { return standby.Ask("SELECT count(*) FROM t") == "11"; }));
}

TEST_F(PostgresTest, ARunningStandbyFollowsANewPrimaryWithoutARestart) {
  const Region primary = StartedPrimary();
  const Region heir = StartedStandby(primary, "us-west-2");
  const Region other = StartedStandby(primary, "ap-south-1");
  Insert(primary, 3);
  ASSERT_TRUE(Eventually([&] { return HasCaughtUp(heir, primary) && HasCaughtUp(other, primary); }));
  Must(primary.door->StopCleanly(kTime));
  Must(heir.door->Promote(kTime));
  Must(heir.door->EnsureSlots({other.name}, kTime));
  const pid_t before = PostmasterPid(other.server);
  const auto began = std::chrono::steady_clock::now();
  Must(other.door->StartStandby(heir.AsUpstream(), kTime));
  Report("repoint", MillisSince(began));
  EXPECT_EQ(PostmasterPid(other.server), before);
  Insert(heir, 1);
  EXPECT_TRUE(Eventually([&] { return other.Ask("SELECT count(*) FROM t") == "4"; }));
  EXPECT_EQ(Await(other.door->Observe(kTime)).timeline, 2U);
  // What it knows does not go when its upstream does.
  Kill(heir);
  ASSERT_TRUE(Eventually([&] { return Await(other.door->Observe(kTime)).upstream.empty(); }));
  EXPECT_EQ(Await(other.door->Observe(kTime)).timeline, 2U);
}

// ---- as primary ----

TEST_F(PostgresTest, SchemaMarksAndHeartbeats) {
  const Region primary = StartedPrimary();
  EXPECT_EQ(Await(primary.door->ReadPromotionMark(kTime)).error().retry, Retry::kNotFound);
  Must(primary.door->EnsureSchema(kTime));
  Must(primary.door->EnsureSchema(kTime));
  EXPECT_EQ(Await(primary.door->ReadPromotionMark(kTime)).error().retry, Retry::kNotFound);
  EXPECT_EQ(Await(primary.door->ReadHeartbeat(kTime)).error().retry, Retry::kNotFound);

  const PromotionMark mark{Epoch{7}, "5a1c", RegionName("us-east-1")};
  Must(primary.door->WritePromotionMark(mark, kTime));
  Must(primary.door->WritePromotionMark(mark, kTime));
  const PromotionMark rival{Epoch{7}, "ffff", RegionName("us-east-1")};
  EXPECT_EQ(Await(primary.door->WritePromotionMark(rival, kTime)).error().retry, Retry::kRefused);
  const PromotionMark seen = Must(primary.door->ReadPromotionMark(kTime));
  EXPECT_EQ(seen.uuid, "5a1c");
  EXPECT_EQ(seen.epoch, Epoch{7});

  EXPECT_EQ(Must(primary.door->WriteHeartbeat(Epoch{7}, RegionName("us-east-1"), kTime)), 7UL << 32U);
  EXPECT_EQ(Must(primary.door->WriteHeartbeat(Epoch{7}, RegionName("us-east-1"), kTime)), (7UL << 32U) + 1);
  EXPECT_EQ(Must(primary.door->WriteHeartbeat(Epoch{8}, RegionName("us-west-2"), kTime)), 8UL << 32U)
      << "above every row that a copy of epoch 7 can have";
  EXPECT_EQ(Must(primary.door->ReadHeartbeat(kTime)), 8UL << 32U);

  const std::string canary = PostgresLab::Login().canary_user;
  const std::string upsert =
      "INSERT INTO lifeboat.canary VALUES ('c', 1, 7, now()) ON CONFLICT (region) DO UPDATE SET sequence = "
      "lifeboat.canary.sequence + 1";
  EXPECT_EQ(AskServer(primary.server, upsert, canary), "");
  EXPECT_EQ(AskServer(primary.server, upsert, canary), "");
  EXPECT_EQ(primary.Ask("SELECT sequence FROM lifeboat.canary"), "2");
  EXPECT_EQ(AskServer(primary.server, "DELETE FROM lifeboat.canary", canary), std::nullopt);
  EXPECT_EQ(AskServer(primary.server, "SELECT 1 FROM lifeboat.promotion", canary), std::nullopt);
}

TEST_F(PostgresTest, AStandbyRefusesChanges) {
  const Region primary = StartedPrimary();
  Must(primary.door->EnsureSchema(kTime));
  const Region standby = StartedStandby(primary);
  EXPECT_EQ(Await(standby.door->WriteHeartbeat(Epoch{1}, standby.name, kTime)).error().retry, Retry::kRefused);
  EXPECT_EQ(Await(standby.door->StartPrimary(kTime)).error().retry, Retry::kRefused);
  EXPECT_EQ(Await(primary.door->StartStandby(standby.AsUpstream(), kTime)).error().retry, Retry::kRefused);
  EXPECT_EQ(Await(primary.door->StopReceiving(kTime)).error().retry, Retry::kRefused);
}

TEST_F(PostgresTest, SlotsAreExactlyTheWantedOnes) {
  const Region primary = StartedPrimary();
  primary.Ask("SELECT pg_create_physical_replication_slot('operators_own')");
  Must(primary.door->EnsureSlots({RegionName("us-west-2"), RegionName("ap-south-1")}, kTime));
  Must(primary.door->EnsureSlots({RegionName("us-west-2"), RegionName("eu-west-1")}, kTime));
  EXPECT_EQ(primary.Ask("SELECT string_agg(slot_name, ' ' ORDER BY slot_name) FROM pg_replication_slots"),
            "lifeboat_eu_west_1 lifeboat_us_west_2 operators_own");
  EXPECT_EQ(primary.Ask("SELECT count(*) FROM pg_replication_slots WHERE restart_lsn IS NOT NULL"), "2");
  Must(primary.door->EnsureSlots({}, kTime));
  EXPECT_EQ(primary.Ask("SELECT string_agg(slot_name, ' ') FROM pg_replication_slots"), "operators_own");
}

// ---- rejoining ----

/// A region that was lost with `lost` commits that its heir never received.
class RejoinTest : public PostgresTest {
 protected:
  void Diverge(int lost, const ServerOptions& options = {}) {
    old_ = StartedPrimary("us-east-1", options);
    heir_ = StartedStandby(old_, "us-west-2");
    Insert(old_, 10);
    ASSERT_TRUE(Eventually([&] { return HasCaughtUp(heir_, old_); }));
    Must(heir_.door->StopReceiving(kTime));
    Insert(old_, lost);
    Kill(old_);
    fork_ = Must(heir_.door->Promote(kTime));
    Insert(heir_, 5);
    Must(heir_.door->EnsureSlots({old_.name}, kTime));
    ledger_ = (lab_.MakeFolder("ledger") / "x-1").string();
  }
  void MustFollowHeir() {
    Must(old_.door->StartStandby(heir_.AsUpstream(), kTime));
    heir_.Ask("INSERT INTO t (body) VALUES ('after the rejoin')");
    EXPECT_TRUE(Eventually([&] { return old_.Ask("SELECT count(*) FROM t WHERE body = 'after the rejoin'") == "1"; }));
    EXPECT_EQ(old_.Ask("SELECT count(*) FROM t"), heir_.Ask("SELECT count(*) FROM t"));
    EXPECT_EQ(old_.Ask("SHOW port"), std::to_string(old_.server.address.port));
    EXPECT_TRUE(Await(old_.door->Observe(kTime)).IsStandby());
  }

  Region old_;
  Region heir_;
  Lsn fork_;
  std::string ledger_;
};

TEST_F(RejoinTest, LostCommitsAreCountedExactlyAndTheirWalIsSaved) {
  Diverge(37);
  const auto began = std::chrono::steady_clock::now();
  const Divergence saved = Must(old_.door->SaveDivergence(1, fork_, ledger_, kTime));
  Report("save_divergence", MillisSince(began));
  EXPECT_EQ(saved.commits, 37U);
  EXPECT_EQ(saved.fork, fork_);
  EXPECT_TRUE(saved.Diverged());
  EXPECT_EQ(saved.end, Must(old_.door->EndOfWal(1, fork_, kTime)));
  EXPECT_NE(saved.first_commit, "");
  EXPECT_LE(saved.first_commit, saved.last_commit);
  EXPECT_EQ(saved.saved_in, ledger_);
  const std::string segment = SegmentName(1, SegmentOf(fork_, kSmall), kSmall);
  EXPECT_THAT(saved.files, testing::Contains(segment));
  const std::string theirs = old_.server.data_directory + "/pg_wal/" + segment;
  EXPECT_EQ(lab_.Run({"cmp", theirs, ledger_ + "/" + segment}).exit_code, geteuid() == 0 ? 2 : 0);  // ours alone, mode 0600
  std::ifstream manifest(ledger_ + "/manifest.json");
  const Json json = Json::parse(manifest);
  for (const Json& file : json["files"]) {
    const std::string sum = "sha256sum '" + ledger_ + "/" + file["name"].get<std::string>() + "' | cut -c1-64";
    FILE* pipe = popen(sum.c_str(), "r");
    char text[65] = {};
    ASSERT_EQ(fread(text, 1, 64, pipe), 64U);
    pclose(pipe);
    EXPECT_EQ(file["sha256"], text);
  }
  // Again: the same answer, nothing is copied.
  const auto written = fs::last_write_time(ledger_ + "/manifest.json");
  EXPECT_EQ(Must(old_.door->SaveDivergence(1, fork_, ledger_, kTime)).commits, 37U);
  EXPECT_EQ(fs::last_write_time(ledger_ + "/manifest.json"), written);
  EXPECT_FALSE(fs::exists(ledger_ + ".saving"));
}

TEST_F(RejoinTest, WithoutDivergenceNothingIsSaved) {
  const Region primary = StartedPrimary();
  const Region standby = StartedStandby(primary);
  const ShutdownToken token = Must(primary.door->StopCleanly(kTime));
  const Lsn fork = Must(standby.door->Promote(kTime));
  EXPECT_EQ(fork, token.end);
  const std::string ledger = (lab_.MakeFolder("ledger") / "x-1").string();
  const Divergence saved = Must(primary.door->SaveDivergence(1, fork, ledger, kTime));
  EXPECT_FALSE(saved.Diverged());
  EXPECT_EQ(saved.saved_in, "");
  EXPECT_FALSE(fs::exists(ledger));
}

TEST_F(RejoinTest, ALedgerThatCannotBeWrittenIsAnErrorAndLeavesNothing) {
  Diverge(3);
  std::ofstream(lab_.folder() / "file") << "in the way";
  const Result<Divergence> saved = Await(old_.door->SaveDivergence(1, fork_, (lab_.folder() / "file" / "x").string(), kTime));
  ASSERT_FALSE(saved);
  // A gap in the WAL is never skipped, nor taken for the end.
  fs::remove(old_.server.data_directory + "/pg_wal/" + SegmentName(1, SegmentOf(fork_, kSmall), kSmall));
  EXPECT_FALSE(Await(old_.door->SaveDivergence(1, fork_, ledger_, kTime)));
  EXPECT_FALSE(fs::exists(ledger_));
}

TEST_F(RejoinTest, ARewoundPrimaryFollowsItsHeir) {
  Diverge(7);
  const Divergence saved = Must(old_.door->SaveDivergence(1, fork_, ledger_, kTime));
  EXPECT_EQ(saved.commits, 7U);
  Must(heir_.door->Checkpoint(kTime));
  const auto began = std::chrono::steady_clock::now();
  Must(old_.door->Rewind(heir_.AsUpstream(), kTime));
  Report("rewind", MillisSince(began));
  EXPECT_TRUE(*Await(old_.door->HasFence()));
  EXPECT_FALSE(fs::exists(old_.server.data_directory + ".settings"));
  MustFollowHeir();
}

TEST_F(RejoinTest, ACleanlyStoppedPrimaryFollowsItsHeirWithoutARewind) {
  old_ = StartedPrimary();
  heir_ = StartedStandby(old_);
  Insert(old_, 4);
  Must(old_.door->StopCleanly(kTime));
  Must(heir_.door->Promote(kTime));
  Must(heir_.door->EnsureSlots({old_.name}, kTime));
  MustFollowHeir();
}

TEST_F(RejoinTest, ARewindThatCannotWorkSaysWhyAndLeavesTheFenceAndTheSettings) {
  Diverge(2, {false, 1, "wal_log_hints = off\n"});
  const Result<Unit> rewound = Await(old_.door->Rewind(heir_.AsUpstream(), kTime));
  ASSERT_FALSE(rewound);
  EXPECT_EQ(rewound.error().retry, Retry::kFail);
  EXPECT_THAT(rewound.error().hint, HasSubstr("wal_log_hints"));
  EXPECT_TRUE(*Await(old_.door->HasFence()));
  EXPECT_FALSE(fs::exists(old_.server.data_directory + ".settings"));
  // The way that always works.
  Must(old_.door->CopyFrom(heir_.AsUpstream(), kTime));
  MustFollowHeir();
}

TEST_F(RejoinTest, ASourceThatIsNotThereChangesNothing) {
  Diverge(1);
  Kill(heir_);
  EXPECT_EQ(Await(old_.door->Rewind(heir_.AsUpstream(), kTime)).error().retry, Retry::kRetry);
  EXPECT_EQ(Await(old_.door->CopyFrom(heir_.AsUpstream(), kTime)).error().retry, Retry::kRetry);
  EXPECT_TRUE(*Await(old_.door->HasFence()));
  EXPECT_EQ(Must(old_.door->EndOfWal(1, fork_, kTime)) > fork_, true);
}

TEST_F(RejoinTest, AnotherSystemIsNeverRewoundToNorCopied) {
  const Region ours = StartedPrimary("us-east-1");
  const Region stranger = StartedPrimary("us-west-2");
  EXPECT_EQ(Await(ours.door->Rewind(stranger.AsUpstream(), kTime)).error().retry, Retry::kRefused);  // it runs
  EXPECT_EQ(Await(ours.door->CopyFrom(stranger.AsUpstream(), kTime)).error().retry, Retry::kRefused);
  Must(ours.door->StopCleanly(kTime));
  const SystemId before = Must(ours.door->ReadControl()).system_id;
  EXPECT_EQ(Await(ours.door->Rewind(stranger.AsUpstream(), kTime)).error().retry, Retry::kRefused);
  EXPECT_EQ(Await(ours.door->CopyFrom(stranger.AsUpstream(), kTime)).error().retry, Retry::kRefused);
  EXPECT_EQ(Must(ours.door->ReadControl()).system_id, before);
  EXPECT_TRUE(*Await(ours.door->HasFence()));
  EXPECT_FALSE(fs::exists(ours.server.data_directory + ".copying"));
}

TEST_F(RejoinTest, WhatWasSavedBeforeARewindThatWasCutShortIsFoundByTheNextRejoin) {
  Diverge(7);
  const Divergence saved = Must(old_.door->SaveDivergence(1, fork_, ledger_, kTime));
  // Given what a pg_rewind that was cut short leaves: empty files of the primary's timeline, and none of its own.
  ASSERT_TRUE(DataDirectory(old_.server.data_directory).SetSettingsAside());
  const fs::path wal = fs::path(old_.server.data_directory) / "pg_wal";
  std::ofstream(wal / "00000002.history").flush();
  for (const fs::directory_entry& entry : fs::directory_iterator(wal)) {
    if (entry.is_regular_file()) fs::resize_file(entry.path(), 0);
  }
  EXPECT_EQ(Must(old_.door->ReadControl()).cluster_state, kHalfRewound);
  // When the next rejoin asks, under an execution of its own
  const std::string next = (fs::path(ledger_).parent_path() / "x-2").string();
  const Divergence found = Must(old_.door->SaveDivergence(2, Lsn{}, next, kTime));
  EXPECT_EQ(found.saved_in, saved.saved_in);
  EXPECT_EQ(found.commits, 7U);
  // And where that folder is gone, nobody goes on, whatever else the ledger holds.
  fs::rename(ledger_, next);
  EXPECT_FALSE(Await(old_.door->SaveDivergence(2, Lsn{}, next, kTime)));
}

TEST_F(RejoinTest, ADirectoryThatCannotBeReadIsNotSaidToBeAbsent) {
  Diverge(1);
  const fs::path control = fs::path(old_.server.data_directory) / "global" / "pg_control";
  fs::rename(control, control.string() + ".away");
  EXPECT_EQ(Await(old_.door->ReadControl()).error().retry, Retry::kFail);
  const Region nothing = MakeRegion("eu-west-1", lab_.Reserve("eu-west-1"));
  EXPECT_EQ(Await(nothing.door->ReadControl()).error().retry, Retry::kNotFound);
}

TEST_F(RejoinTest, AHalfRewoundDirectoryIsNotStartedAndACopyReplacesIt) {
  Diverge(1);
  ASSERT_TRUE(DataDirectory(old_.server.data_directory).SetSettingsAside());  // as a crash within pg_rewind leaves it
  EXPECT_EQ(Await(old_.door->StartPrimary(kTime)).error().retry, Retry::kRefused);
  EXPECT_EQ(Await(old_.door->StartStandby(heir_.AsUpstream(), kTime)).error().retry, Retry::kRefused);
  EXPECT_EQ(Await(old_.door->Rewind(heir_.AsUpstream(), kTime)).error().retry, Retry::kFail);
  EXPECT_TRUE(*Await(old_.door->HasFence()));
  Must(old_.door->CopyFrom(heir_.AsUpstream(), kTime));
  EXPECT_FALSE(fs::exists(old_.server.data_directory + ".settings"));
  EXPECT_FALSE(fs::exists(old_.server.data_directory + ".old"));
  MustFollowHeir();
}

}  // namespace
}  // namespace lifeboat::postgres
