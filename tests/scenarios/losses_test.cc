// What an automatic failover may lose, and what a person may accept: the loss limit, the cool-down, observing only, and the record
// of it.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "support/operator_lab.h"

namespace lifeboat::testing_support {
namespace {

namespace fs = std::filesystem;

bool Holds(const std::string& text, const std::string& word) { return text.find(word) != std::string::npos; }

void ExpectRefused(const ProgramEnd& end, const std::vector<std::string>& words) {
  EXPECT_EQ(end.exit_code, 3) << end.Said();
  for (const std::string& word : words) EXPECT_TRUE(Holds(end.err, word)) << "'" << word << "' is missing in:\n" << end.Said();
}

/// True as soon as what `command` says holds all the words: each agent has its own view of the others, half a second old.
bool Says(const OperatorLab& lab, const std::vector<std::string>& command, const std::vector<std::string>& words) {
  return Eventually(
      [&] {
        const std::string said = lab.Lifeboat(command).Said();
        return std::all_of(words.begin(), words.end(), [&](const std::string& word) { return Holds(said, word); });
      },
      5s);
}

/// The newest execution of a kind, as the journal has it.
Json Newest(const OperatorLab& lab, const std::string& kind) {
  const Json all = lab.Ask({"executions", "list"});
  for (const Json& execution : MemberAt(all, "executions")) {
    if (TextAt(execution, "kind") == kind) return execution;
  }
  return nullptr;
}

std::string StepOutcome(const Json& execution, const std::string& name) {
  for (const Json& step : MemberAt(execution, "steps")) {
    if (TextAt(step, "name") == name) return TextAt(step, "outcome");
  }
  return "no such step";
}

/// The region's own tools, with a pg_rewind that cannot work.
void BreakRewind(const OperatorLab& lab, const std::string& region) {
  const fs::path tools = lab.info().folder / "bin" / "without-rewind";
  fs::create_directories(tools);
  for (const auto& tool : fs::directory_iterator(lab.info().bin_directory)) {
    if (tool.path().filename() != "pg_rewind") fs::create_symlink(tool.path(), tools / tool.path().filename());
  }
  std::ofstream(tools / "pg_rewind") << "#!/bin/sh\necho 'pg_rewind: error: could not find common ancestor of the source and "
                                        "target cluster'\"'s timelines\" >&2\nexit 1\n";
  ASSERT_EQ(::chmod((tools / "pg_rewind").c_str(), 0755), 0);
  std::ifstream in(lab.info().Config());
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const std::string key = "bin_directory: ";
  const std::size_t at = text.find(key, text.find("name: " + region));
  ASSERT_NE(at, std::string::npos);
  text.replace(at + key.size(), lab.info().bin_directory.size(), tools.string());
  std::ofstream(lab.info().Config()) << text;
}

// One lab, one story: above the limit, accepted, on record; then the divergent rows are saved although pg_rewind cannot work; then
// somebody changes the record.
TEST(LossLimit, AboveItAPersonDecidesOnRecordAndTheLostRowsAreSavedBeforeAFreshCopy) {
  const OperatorLab lab(LIFEBOAT_PROGRAM);
  {
    StoppedProcess link(lab.ServerProcess(kEast, "walsender"));
    lab.Fill(kEast, 80);  // the limit is 64 MiB
    // Known to the standby's agent: how far the primary had come.
    ASSERT_TRUE(Eventually([&] {
      const Json status = lab.Status();
      for (const Json& region : MemberAt(status, "regions")) {
        if (TextAt(region, "name") == kWest && NumberAt(region, "backlog_bytes") > 70'000'000) return true;
      }
      return false;
    })) << lab.Lifeboat({"status"}).Said();
    lab.Kill(kEast);
    link.GoOn();
  }

  // when the lease has run out, nothing is done, and everybody says why and what the one command is
  ASSERT_TRUE(Eventually([&] { return lab.RuleOf(kWest) == 360; })) << lab.Lifeboat({"explain"}).Said();
  const std::string command = "lifeboat failover --to us-west-2 --accept-loss";
  for (const std::vector<std::string>& asked : {std::vector<std::string>{"explain"}, {"explain", "--region", kWest}, {"status"}}) {
    EXPECT_TRUE(Says(lab, asked, {"MiB of writes would be lost, loss_limit.bytes is 64.0 MiB", command}))
        << lab.Lifeboat(asked).Said();
  }
  ExpectRefused(lab.Lifeboat({"failover", "--to", kWest}), {"MiB of writes would be lost, loss_limit.bytes is 64.0 MiB", command});
  EXPECT_TRUE(Holds(lab.Lifeboat({"rejoin", kWest}).err, "rejoined to a primary that serves"));
  EXPECT_TRUE(Newest(lab, "failover").is_null()) << "a failover began above the limit";

  // when a person accepts it
  const ProgramEnd accepted = lab.Lifeboat({"failover", "--to", kWest, "--accept-loss"});
  EXPECT_EQ(accepted.exit_code, 0) << accepted.Said();
  EXPECT_TRUE(lab.AwaitServes(kWest)) << lab.Lifeboat({"status"}).Said();

  // then the acceptance is on record, with the number and the name
  const Json execution = Newest(lab, "failover");
  EXPECT_TRUE(FlagAt(execution, "accept_loss")) << execution.dump(2);
  EXPECT_TRUE(Holds(TextAt(execution, "reason"), "accepted: up to ")) << execution.dump(2);
  EXPECT_TRUE(Holds(TextAt(execution, "requested_by"), "operator "));
  ASSERT_TRUE(Eventually([&] { return !MemberAt(lab.Ask({"evidence", "list", "--region", kWest}), "records").empty(); }));
  EXPECT_TRUE(Holds(lab.Ask({"evidence", "list", "--region", kWest}).dump(), "accepted: up to "));

  // when the old primary comes back, and pg_rewind cannot work
  ASSERT_NO_FATAL_FAILURE(BreakRewind(lab, kEast));
  lab.BringBack(kEast, kWest);

  // then what it held is saved first, and a fresh copy follows
  const Json rejoin = Newest(lab, "rejoin");
  EXPECT_TRUE(Holds(StepOutcome(rejoin, "salvage"), " commits after ")) << rejoin.dump(2);
  EXPECT_TRUE(Holds(StepOutcome(rejoin, "rebuild"), "fresh base backup (") &&
              Holds(StepOutcome(rejoin, "rebuild"), "could not find common ancestor"))
      << rejoin.dump(2);
  const fs::path ledger = lab.Folder(kEast) / "state" / "ledger" / TextAt(rejoin, "id");
  std::uintmax_t saved = 0;
  for (const auto& entry : fs::recursive_directory_iterator(ledger)) saved += entry.is_regular_file() ? entry.file_size() : 0;
  EXPECT_GT(saved, 80U << 20U) << "the divergent WAL of " << ledger;
  lab.Fill(kWest, 1);
  EXPECT_TRUE(Eventually([&] { return lab.Sql(kEast, "SELECT count(*) FROM filler") == "1"; }))
      << "a row written after the rejoin has not arrived";
}

TEST(LossLimit, AnUnknownLossIsRefusedLikewiseAndATakeoverSoonAfterAnotherWaitsForAPerson) {
  lab::LabKnobs knobs = OperatorLab::ShortLease();
  knobs.cool_down = std::chrono::hours(1);
  const OperatorLab lab(LIFEBOAT_PROGRAM, knobs);

  // given one takeover
  lab.Kill(kEast);
  ASSERT_TRUE(Eventually([&] { return TextAt(Newest(lab, "failover"), "state") == "done"; })) << lab.Lifeboat({"explain"}).Said();

  // A region that comes back with another cluster in its data directory is refused before anything of it is touched.
  const fs::path data = lab.Data(kEast);
  fs::rename(data, data.string() + ".own");
  const ProgramEnd made =
      lab.Tool({lab.info().bin_directory + "/initdb", "-D", data.string(), "-U", "postgres", "-A", "trust", "--no-sync"});
  ASSERT_EQ(made.exit_code, 0) << made.Said();
  const std::string before = ChecksumOf(data);
  lab.Start(kEast);
  ASSERT_TRUE(Eventually([&] { return lab.RuleOf(kEast) == 310; })) << lab.Lifeboat({"explain"}).Said();
  ExpectRefused(lab.Lifeboat({"rejoin", kEast}), {"has system id", "nothing was touched"});
  EXPECT_EQ(ChecksumOf(data), before);
  lab.Kill(kEast);
  fs::remove_all(data);
  fs::rename(data.string() + ".own", data);
  lab.BringBack(kEast, kWest);

  // when the next primary is lost too
  lab.Kill(kWest);
  ASSERT_TRUE(Eventually([&] { return lab.RuleOf(kEast) == 350; })) << lab.Lifeboat({"explain"}).Said();
  EXPECT_TRUE(Says(lab, {"explain"}, {"cool_down is 1 h", "lifeboat failover --to us-east-1"})) << lab.Lifeboat({"explain"}).Said();
  const ProgramEnd moved = lab.Lifeboat({"failover", "--to", kEast});
  EXPECT_EQ(moved.exit_code, 0) << moved.Said();
  EXPECT_TRUE(lab.AwaitServes(kEast)) << lab.Lifeboat({"status"}).Said();
  lab.BringBack(kWest, kEast);

  // when the standby's agent is new and never saw the primary that is lost, the loss is unknown
  {
    StoppedProcess supervisor(lab.PidOf(kWest, "supervisor"));
    lab.Kill(kWest, "agent");
    lab.Kill(kEast);
  }
  ASSERT_TRUE(Eventually([&] { return lab.RuleOf(kWest) == 350; })) << lab.Lifeboat({"explain"}).Said();
  ExpectRefused(lab.Lifeboat({"failover", "--to", kWest}),
                {"the loss is unknown", "lifeboat failover --to us-west-2 --accept-loss"});
  const ProgramEnd accepted = lab.Lifeboat({"failover", "--to", kWest, "--accept-loss"});
  EXPECT_EQ(accepted.exit_code, 0) << accepted.Said();
  EXPECT_TRUE(Holds(TextAt(Newest(lab, "failover"), "reason"), "accepted: the loss is unknown"));
}

TEST(Observe, NothingIsStartedStoppedOrMovedAndAPersonWhoAttestsMayFailOver) {
  lab::LabKnobs knobs = OperatorLab::ShortLease();
  knobs.automation = "observe";
  const OperatorLab lab(LIFEBOAT_PROGRAM, knobs);
  ASSERT_TRUE(lab.AwaitWhole(kEast));
  const auto started = lab.Sql(kEast, "SELECT pg_postmaster_start_time()");
  // given: the gate is loaded, refuses nothing, and that is said
  EXPECT_TRUE(Says(lab, {"check"}, {"fence level in force: none; the gates are held open"})) << lab.Lifeboat({"check"}).Said();
  EXPECT_TRUE(Says(lab, {"status"}, {"fence     none: policy.automation is 'observe', gates are held open"}));
  EXPECT_TRUE(Holds(lab.Sql(kEast, "SHOW lifeboat.gate_state").value_or("none"), "held open"));
  ExpectRefused(lab.Lifeboat({"switchover", "--to", kWest}), {"policy.automation is 'observe'"});

  // when agent and store are gone for longer than the lease, the guard ends nothing
  {
    StoppedProcess store(lab.PidOf(kWitness, "agent"));
    StoppedProcess supervisor(lab.PidOf(kEast, "supervisor"));
    lab.Kill(kEast, "agent");
    ASSERT_TRUE(Eventually([&] { return lab.PidOf(kEast, "agent") == 0; }));
    EXPECT_FALSE(Eventually([&] { return lab.Sql(kEast, "SELECT pg_postmaster_start_time()") != started; }, 2500ms))
        << "the guard fenced while observing";
  }
  ASSERT_TRUE(lab.AwaitWhole(kEast)) << lab.Lifeboat({"status"}).Said();
  EXPECT_EQ(lab.Sql(kEast, "SELECT pg_postmaster_start_time()"), started);

  // when a standby's server is gone, no agent starts it
  lab.Kill(kWest, "database");
  EXPECT_FALSE(Eventually([&] { return lab.ServerProcess(kWest, "postgres") != 0; }, 1500ms))
      << "an observing agent started a server";
  const ProgramEnd tool = lab.Tool({lab.info().bin_directory + "/pg_ctl", "start", "-w", "-D", lab.Data(kWest).string(), "-l",
                                    (lab.Folder(kWest) / "log" / "postgresql.log").string()});
  ASSERT_EQ(tool.exit_code, 0) << tool.Said();
  ASSERT_TRUE(lab.AwaitWhole(kEast));

  // when the primary's region is lost
  lab.Kill(kEast);
  ASSERT_TRUE(Eventually([&] { return lab.RuleOf(kWest) == 340; })) << lab.Lifeboat({"explain"}).Said();
  EXPECT_TRUE(Says(lab, {"explain"}, {"with 'act' this region would take over now", "lifeboat failover --to us-west-2 --attest"}))
      << lab.Lifeboat({"explain"}).Said();
  EXPECT_TRUE(Newest(lab, "failover").is_null());
  ExpectRefused(lab.Lifeboat({"failover", "--to", kWest}), {"policy.automation is 'observe'", "--attest"});

  // then a person's word stands in for the fence, on record
  const ProgramEnd moved = lab.Lifeboat({"failover", "--to", kWest, "--attest", "J. Doe: power cut, ticket 4711"});
  EXPECT_EQ(moved.exit_code, 0) << moved.Said();
  EXPECT_TRUE(Holds(Newest(lab, "failover").dump(), "attested by J. Doe: power cut, ticket 4711"));
  EXPECT_TRUE(lab.AwaitServes(kWest)) << lab.Lifeboat({"status"}).Said();
  EXPECT_EQ(TextAt(MemberAt(lab.Status(), "lease"), "attested"), "J. Doe: power cut, ticket 4711");
  EXPECT_TRUE(Says(lab, {"status"}, {"begun on a person's word: J. Doe: power cut, ticket 4711"}));
}

}  // namespace
}  // namespace lifeboat::testing_support
