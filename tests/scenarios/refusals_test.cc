// What Lifeboat refuses on a running service, each with the number that decided, and with nothing changed.

#include <gtest/gtest.h>

#include <filesystem>

#include "support/operator_lab.h"

namespace lifeboat::testing_support {
namespace {

namespace fs = std::filesystem;

bool Holds(const std::string& text, const std::string& word) { return text.find(word) != std::string::npos; }

/// Refused by a rule, in these words.
void ExpectRefused(const ProgramEnd& end, const std::vector<std::string>& words) {
  EXPECT_EQ(end.exit_code, 3) << end.Said();
  for (const std::string& word : words) EXPECT_TRUE(Holds(end.err, word)) << "'" << word << "' is missing in:\n" << end.Said();
}

TEST(Refusals, OrdersThatMakeNoSenseAreRefusedAndNothingHappens) {
  const OperatorLab lab(LIFEBOAT_PROGRAM);

  for (const std::vector<std::string>& order : {std::vector<std::string>{"switchover", "--to", "mars"},
                                                {"failover", "--to", "mars"},
                                                {"rejoin", "mars"},
                                                {"switchover", "--to", kWitness},
                                                {"failover", "--to", kWitness},
                                                {"rejoin", kWitness}}) {
    ExpectRefused(lab.Lifeboat(order), {"'" + order.back() + "' is no data region", "'us-east-1', 'us-west-2'"});
  }
  ExpectRefused(lab.Lifeboat({"lab", "kill", "mars"}), {"no region 'mars'", "'us-east-1', 'us-west-2', 'eu-west-1'"});
  ExpectRefused(lab.Lifeboat({"lab", "kill", kEast, "knot"}), {"no part 'knot'", "'guard'"});
  ExpectRefused(lab.Lifeboat({"lab", "start", "mars"}), {"no region 'mars'"});
  ExpectRefused(lab.Lifeboat({"lab", "start", kEast}), {"runs already"});
  ExpectRefused(lab.Lifeboat({"lab", "up"}), {"a lab stands in", "lab down"});
  ExpectRefused(lab.Lifeboat({"status", "--region", "mars"}), {"'mars' is no region", "'eu-west-1'"});

  ExpectRefused(lab.Lifeboat({"switchover", "--to", kEast}), {"is the primary already"});
  ExpectRefused(lab.Lifeboat({"failover", "--to", kEast}), {"is the primary already"});
  ExpectRefused(lab.Lifeboat({"failover", "--to", kWest}), {"serves", "lifeboat switchover --to us-west-2"});
  ExpectRefused(lab.Lifeboat({"failover", "--to", kWest, "--accept-loss"}), {"serves"});
  ExpectRefused(lab.Lifeboat({"rejoin", kEast}), {"holds the lease"});

  EXPECT_TRUE(MemberAt(lab.Ask({"executions", "list"}), "executions").empty()) << "a refused order leaves no execution";
  EXPECT_TRUE(lab.IsWhole(kEast)) << lab.Lifeboat({"status"}).Said();

  // A healthy standby is rejoined at once: proven, and its server goes on.
  const auto started = lab.Sql(kWest, "SELECT pg_postmaster_start_time()");
  ASSERT_TRUE(started);
  const ProgramEnd rejoined = lab.Lifeboat({"rejoin", kWest});
  EXPECT_EQ(rejoined.exit_code, 0) << rejoined.Said();
  EXPECT_TRUE(Holds(rejoined.out, "it follows the primary already")) << rejoined.Said();
  EXPECT_EQ(lab.Sql(kWest, "SELECT pg_postmaster_start_time()"), started);
  EXPECT_TRUE(lab.AwaitWhole(kEast));
}

TEST(Refusals, SwitchoverToAStandbyThatHangsLagsOrDoesNotStreamChangesNothing) {
  const OperatorLab lab(LIFEBOAT_PROGRAM);
  const auto started = lab.Sql(kEast, "SELECT pg_postmaster_start_time()");
  ASSERT_TRUE(started);
  {
    // given a link that hangs with next to no lag
    StoppedProcess link(lab.ServerProcess(kEast, "walsender"));
    ExpectRefused(lab.Lifeboat({"switchover", "--to", kWest}), {"'us-west-2' holds WAL up to 0/", "has not arrived", "hangs"});
    // and then one that lags by more than would be waited for
    lab.Fill(kEast, 20);
    ExpectRefused(lab.Lifeboat({"switchover", "--to", kWest}), {"'us-west-2' lags by ", "MiB", "at most 16.0 MiB", "caught up"});
  }
  ASSERT_TRUE(lab.AwaitWhole(kEast));

  // given a standby that has received all and replays nothing
  ASSERT_TRUE(lab.Sql(kWest, "SELECT pg_wal_replay_pause()"));
  lab.Fill(kEast, 20);
  ASSERT_TRUE(
      Eventually([&] { return lab.Sql(kWest, "SELECT pg_last_wal_receive_lsn() - pg_last_wal_replay_lsn() > 20000000") == "t"; }));
  ExpectRefused(lab.Lifeboat({"switchover", "--to", kWest}), {"'us-west-2' has replayed up to 0/", "paused replay"});
  ASSERT_TRUE(lab.Sql(kWest, "SELECT pg_wal_replay_resume()"));

  // given a standby that is pointed elsewhere
  ASSERT_TRUE(lab.Sql(kWest, "ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=1'"));
  ASSERT_TRUE(lab.Sql(kWest, "SELECT pg_reload_conf()"));
  ASSERT_TRUE(Eventually([&] { return lab.Sql(kWest, "SELECT count(*) FROM pg_stat_wal_receiver") == "0"; }));
  ExpectRefused(lab.Lifeboat({"switchover", "--to", kWest}),
                {"'us-west-2' does not stream from 'us-east-1'", "lifeboat rejoin us-west-2"});

  // then the primary was never stopped, and what the hint says helps
  EXPECT_EQ(lab.Sql(kEast, "SELECT pg_postmaster_start_time()"), started);
  EXPECT_TRUE(MemberAt(lab.Ask({"executions", "list"}), "executions").empty());
  const ProgramEnd rejoined = lab.Lifeboat({"rejoin", kWest});
  EXPECT_EQ(rejoined.exit_code, 0) << rejoined.Said();
  ASSERT_TRUE(lab.AwaitWhole(kEast));
  const ProgramEnd moved = lab.Lifeboat({"switchover", "--to", kWest});
  EXPECT_EQ(moved.exit_code, 0) << moved.Said();
}

TEST(Refusals, AnotherClusterInTheDataDirectoryIsNeitherStartedNorChangedNorRejoined) {
  const OperatorLab lab(LIFEBOAT_PROGRAM);
  // given a standby's region that comes back with another cluster in its data directory
  lab.Kill(kWest);
  const fs::path data = lab.Data(kWest);
  fs::rename(data, data.string() + ".own");
  const ProgramEnd made =
      lab.Tool({lab.info().bin_directory + "/initdb", "-D", data.string(), "-U", "postgres", "-A", "trust", "--no-sync"});
  ASSERT_EQ(made.exit_code, 0) << made.Said();
  const std::string before = ChecksumOf(data);
  const ProgramEnd control = lab.Tool({lab.info().bin_directory + "/pg_controldata", data.string()});
  const std::size_t at = control.out.find("system identifier:");
  const std::string foreign = control.out.substr(control.out.find_first_of("0123456789", at), 19);
  const std::string own = lab.Sql(kEast, "SELECT system_identifier FROM pg_control_system()").value_or("none");

  lab.Start(kWest);

  // then its agent says what it found, and leaves it alone
  ASSERT_TRUE(Eventually([&] {
    return Holds(lab.Lifeboat({"status"}).out, "has system id " + foreign + ", the primary 'us-east-1' has " + own);
  })) << lab.Lifeboat({"status"}).Said();
  ExpectRefused(lab.Lifeboat({"switchover", "--to", kWest}), {foreign, own, "data_directory"});
  ExpectRefused(lab.Lifeboat({"rejoin", kWest}), {foreign, own, "nothing was touched"});
  EXPECT_EQ(lab.ServerProcess(kWest, "postgres"), 0) << "a foreign cluster was started";
  EXPECT_EQ(ChecksumOf(data), before);
  EXPECT_TRUE(lab.AwaitServes(kEast));

  // and with its own data back it is a standby again, without a command
  lab.Kill(kWest);
  fs::remove_all(data);
  fs::rename(data.string() + ".own", data);
  lab.Start(kWest);
  EXPECT_TRUE(lab.AwaitWhole(kEast)) << lab.Lifeboat({"status"}).Said();
}

}  // namespace
}  // namespace lifeboat::testing_support
