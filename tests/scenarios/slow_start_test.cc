// A PostgreSQL that takes long to start: slow is not dead.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "support/lab_fixture.h"

namespace lifeboat::testing_support {
namespace {

namespace fs = std::filesystem;

class SlowStart : public LabFixture {
 protected:
  /// PostgreSQL's programs, of which `postgres` sleeps before it becomes the server, for as long as the file 'slow' says.
  static void Slow(const lab::LabInfo& lab, std::string& config) {
    const fs::path folder = lab.folder / "slow-bin";
    fs::create_directory(folder);
    for (const auto& entry : fs::directory_iterator(lab.bin_directory)) {
      if (entry.path().filename() != "postgres") fs::create_symlink(entry.path(), folder / entry.path().filename());
    }
    // In the data directory, as the server itself: so it is one of the server's processes from its first moment on.
    std::ofstream(folder / "postgres") << "#!/bin/sh\ncd \"$2\" 2>/dev/null || true\n[ -e '" << (folder / "slow").string()
                                       << "' ] && sleep 4\nexec '" << lab.bin_directory << "/postgres' \"$@\"\n";
    ::chmod((folder / "postgres").c_str(), 0755);
    const std::string key = "bin_directory: ";
    for (std::size_t at = config.find(key); at != std::string::npos; at = config.find(key, at + 1)) {
      const std::size_t from = at + key.size();
      config.replace(from, config.find('\n', from) - from, folder.string());
    }
  }
};

TEST_F(SlowStart, TheAgentWaitsForASlowStartUnderItsLeaseAndKillsNothing) {
  // given: starts of 4 s, which is four leases
  ASSERT_NO_FATAL_FAILURE(BringUp(Quick(), &SlowStart::Slow));
  ASSERT_NO_FATAL_FAILURE(StartClients());
  std::ofstream(lab().folder / "slow-bin" / "slow") << "4\n";
  const WallTime since = ReadWallClock();
  const std::size_t log = LogOf(kEast, "agent").size();

  // when
  KillPart(kEast, "database");

  // then: the lease goes on all the while, and the one start that was begun is the one that serves
  ASSERT_TRUE(Eventually([&] { return LogHas(kEast, "agent", "server started", log); }));
  bool always_valid = true;
  ASSERT_TRUE(Eventually(
      [&] {
        const Json lease = MemberAt(StatusOf(kEast), "lease");
        always_valid = always_valid && (lease.is_null() || FlagAt(lease, "valid_here"));
        return TakesWrites(kEast);
      },
      20s, 50ms));
  EXPECT_TRUE(always_valid) << "the lease was let go while the server started";
  ASSERT_NO_FATAL_FAILURE(AwaitRowsOn(kEast));
  const std::string said = LogOf(kEast, "agent").substr(log);
  const std::size_t started = said.find("server started");
  EXPECT_EQ(said.find("what is left of the database is ended", started), std::string::npos)
      << "a slow start was taken for a dead server";
  EXPECT_EQ(said.rfind("server started"), started) << "it was started more than once";
  EXPECT_EQ(EpochSeenBy(kEast), 1U);
  EXPECT_FALSE(NewestExecution(PlanKind::kFailover, since, kWest));

  // when: the region is lost after such a start
  const WallTime lost = ReadWallClock();
  ASSERT_NO_FATAL_FAILURE(AwaitWhole());
  fs::remove(lab().folder / "slow-bin" / "slow");
  KillRegion(kEast);
  const auto failover = lab::AwaitFailover(lab(), lost, 30s, [](const std::string&) { return true; });
  ASSERT_TRUE(failover) << failover.error().Text();
  StartRegion(kEast);
  Rejoin(kEast);
  ASSERT_NO_FATAL_FAILURE(Conclude());
}

}  // namespace
}  // namespace lifeboat::testing_support
