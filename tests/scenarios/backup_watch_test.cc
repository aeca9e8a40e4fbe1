// Backups as a standing thing in a real lab: the agent of a source's region verifies them by itself, in a child, and everybody can
// say how it stands; the command line keeps the promises of the configuration.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "support/lab_fixture.h"
#include "support/real_postgres.h"

namespace lifeboat::testing_support {
namespace {

namespace fs = std::filesystem;

/// A base backup of a small server, made once.
fs::path TheBackups() {
  static PostgresLab lab;
  static const fs::path backups = [] {
    const DatabaseSettings server = lab.Initialise("source");
    lab.StartByAnyone(server);
    const fs::path folder = lab.MakeFolder("backups");
    const CommandOutput made =
        lab.Run({server.bin_directory + "/pg_basebackup", "-h", server.socket_directory, "-p", std::to_string(server.address.port),
                 "-U", "postgres", "-c", "fast", "-D", (folder / "monday").string()});
    EXPECT_EQ(made.exit_code, 0) << made.err;
    return folder;
  }();
  return backups;
}

std::string Section(const std::string& region, const std::string& more) {
  return "backups:\n  - name: nightly\n    region: " + region + "\n    path: " + TheBackups().string() + "\n" + more;
}

class BackupWatchLab : public LabFixture {
 protected:
  /// What `region` keeps of its only source.
  [[nodiscard]] Json ResultOf(const std::string& region) const {
    const Json answer = Ask(region, "backups.results");
    const Json& results = MemberAt(answer, "results");
    return results.empty() ? Json() : results.at(0);
  }
  /// The line of `check` about backups, as `region` says it.
  [[nodiscard]] Json CheckLineAt(const std::string& region) const {
    const Json answer = Ask(region, "check");
    for (const Json& finding : MemberAt(answer, "findings")) {
      if (TextAt(finding, "what").starts_with("backups 'nightly'")) return finding;
    }
    return nullptr;
  }
};

TEST_F(BackupWatchLab, TheAgentOfTheRegionVerifiesByItselfAndEverybodyCanSay) {
  // given a source of the witness, whose agent looks once a day, and which is a gate
  const std::string section = Section(
      kWitness, "    gate: true\n    schedule: {every: 1d, level: 3}\n    objectives: {backup_age: 1d, verified_age: 2d}\n");
  const Edit edit = [&](const lab::LabInfo&, std::string& config) { config += section; };
  ASSERT_NO_FATAL_FAILURE(BringUp(Quick(), edit));

  // then it has looked soon after it began, and passed what it read
  ASSERT_TRUE(Eventually([&] { return SignedAt(MemberAt(ResultOf(kWitness), "verify"), "reported") != 0; }, 60s))
      << ResultOf(kWitness).dump(1);
  const Json report = MemberAt(MemberAt(ResultOf(kWitness), "verify"), "report");
  ASSERT_EQ(MemberAt(report, "sets").size(), 1u) << report.dump(1);
  for (const Json& level : MemberAt(report["sets"][0], "levels")) {
    if (NumberAt(level, "level") <= 3) {
      EXPECT_EQ(TextAt(level, "verdict"), "pass") << level.dump();
    } else {
      EXPECT_EQ(TextAt(level, "verdict"), "not checked") << level.dump();
    }
  }

  // and another region says so too, once it has heard of it
  EXPECT_TRUE(Eventually([&] { return TextAt(CheckLineAt(kEast), "level") == "ok"; })) << CheckLineAt(kEast).dump();
  EXPECT_NE(TextAt(CheckLineAt(kEast), "what").find("the last verified backup, 'monday', is "), std::string::npos)
      << CheckLineAt(kEast).dump();

  // and it is evidence, and stands in the report
  EXPECT_TRUE(Eventually([&] {
    return Cli({"evidence", "list", "--region", kWitness, "--json"}).out.find("\"backup\"") != std::string::npos;
  }));
  const fs::path folder = fs::path(lab().folder) / "report";
  const CliAnswer made = Cli({"report", "--out", folder.string()});
  EXPECT_NE(made.out.find("Backups: nightly"), std::string::npos) << made.out << made.err;

  // and a run by hand reads only what is due, from the same memory
  const CliAnswer by_hand = Cli({"backup", "verify", "--source", "nightly", "--json"});
  EXPECT_EQ(by_hand.exit_code, 0) << by_hand.out << by_hand.err;
  const Json again = by_hand.Parsed();
  EXPECT_GT(NumberAt(MemberAt(again["sets"][0], "counts"), "standing_files"), 100u) << by_hand.out;
}

TEST_F(BackupWatchLab, APromiseThatIsNotKeptIsExitCodeFourAndAClosedGate) {
  // given a source that nobody looks at by itself, whose backup is older than a promise of a second
  const std::string section = Section(kWitness, "    gate: true\n    objectives: {backup_age: 1s, verified_age: 365d}\n");
  const Edit edit = [&](const lab::LabInfo&, std::string& config) { config += section; };
  ASSERT_NO_FATAL_FAILURE(BringUp(Quick(), edit));

  // then the gate is closed, since nothing is known
  EXPECT_EQ(TextAt(CheckLineAt(kEast), "level"), "fault") << CheckLineAt(kEast).dump();
  EXPECT_NE(TextAt(CheckLineAt(kEast), "what").find("unknown"), std::string::npos);
  EXPECT_EQ(Cli({"check"}).exit_code, 4);

  // and list and verify tell F01 and end with 4, though nothing is wrong with the bytes
  const CliAnswer listed = Cli({"backup", "list", "--source", "nightly"});
  EXPECT_EQ(listed.exit_code, 4) << listed.out << listed.err;
  EXPECT_NE(listed.out.find("F01"), std::string::npos) << listed.out;
  const CliAnswer verified = Cli({"backup", "verify", "--source", "nightly", "--json"});
  EXPECT_EQ(verified.exit_code, 4) << verified.out << verified.err;
  const Json findings = MemberAt(verified.Parsed(), "findings");
  ASSERT_EQ(findings.size(), 1u) << findings.dump(1);
  EXPECT_EQ(TextAt(findings[0], "fault"), "F01");

  // and a source that is not described is named
  const CliAnswer unknown = Cli({"backup", "list", "--source", "nigthly"});
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_NE(unknown.err.find("did you mean 'nightly'?"), std::string::npos) << unknown.err;
}

}  // namespace
}  // namespace lifeboat::testing_support
