// The command line as an operator meets it without a lab: bad files and bad usage are named, change nothing, and start nothing.

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "support/operator_lab.h"

namespace lifeboat::testing_support {
namespace {

namespace fs = std::filesystem;

bool Holds(const std::string& text, const std::string& word) { return text.find(word) != std::string::npos; }

/// A good configuration whose files lie beneath `folder`; nothing of it is there yet.
std::string Configuration(const fs::path& folder) {
  lab::LabInfo info;
  info.folder = folder;
  info.bin_directory = "/usr/lib/postgresql/15/bin";
  info.postgres_port = 5432;
  info.dns = {"127.0.0.3", 53};
  int host = 0;
  for (const auto& [name, kind] :
       {std::pair(kEast, RegionKind::kData), std::pair(kWest, RegionKind::kData), std::pair(kWitness, RegionKind::kWitness)}) {
    info.regions.push_back({RegionName(name), kind, "127.0.0." + std::to_string(++host), 7461});
  }
  return lab::LabConfig(info);
}

class Cli : public testing::Test {
 protected:
  fs::path Write(const std::string& text) {
    const fs::path file = scratch_.path() / "lifeboat.yaml";
    std::ofstream(file) << text;
    return file;
  }
  static std::string Replaced(std::string text, const std::string& what, const std::string& with) {
    const std::size_t at = text.find(what);
    EXPECT_NE(at, std::string::npos) << what;
    return at == std::string::npos ? text : text.replace(at, what.size(), with);
  }
  /// ":19: ", as errors write the line that `what` stands in.
  static std::string LineOf(const std::string& text, const std::string& what) {
    return ":" + std::to_string(1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(text.find(what)), '\n')) +
           ": ";
  }
  ProgramEnd Run(const std::vector<std::string>& arguments, const Environment& environment = {}) const {
    Environment own = {{"LIFEBOAT_LAB", (scratch_.path() / "no-lab").string()}, {"LIFEBOAT_CONFIG", ""}};
    for (const auto& [key, value] : environment) own[key] = value;
    return RunProgram(LIFEBOAT_PROGRAM, arguments, own);
  }
  /// Exit 2, these words, and nothing of what the file names has been made.
  void ExpectBadFile(const fs::path& file, const std::vector<std::string>& words) const {
    for (const std::vector<std::string>& command : {std::vector<std::string>{"agent", "--region", kEast},
                                                    {"agent", "--region", kWitness},
                                                    {"guard", "--region", kEast},
                                                    {"status"},
                                                    {"switchover", "--to", kWest},
                                                    {"check"}}) {
      std::vector<std::string> arguments = command;
      arguments.insert(arguments.end(), {"--config", file.string()});
      const ProgramEnd end = Run(arguments);
      EXPECT_EQ(end.exit_code, 2) << command.front() << ": " << end.Said();
      for (const std::string& word : words)
        EXPECT_TRUE(Holds(end.err, word)) << command.front() << ": '" << word << "' is missing in:\n" << end.Said();
    }
    for (const char* region : {kEast, kWest, kWitness})
      EXPECT_FALSE(fs::exists(scratch_.path() / region)) << "a state directory was made";
  }

  ScratchFolder scratch_;
};

TEST_F(Cli, ABadConfigurationIsNamedByFileLineAndKeyAndNothingIsStarted) {
  const std::string good = Configuration(scratch_.path());
  const std::string file = (scratch_.path() / "lifeboat.yaml").string();

  ExpectBadFile(Write(Replaced(good, "length: 3000ms", "length: soon")),
                {file + LineOf(good, "length: 3000ms"), "lease.length", "'soon'", "250ms, 3s"});
  ExpectBadFile(Write(Replaced(good, "cool_down:", "cooldown:")), {file + LineOf(good, "cool_down:"), "cooldown", "cool_down"});
  ExpectBadFile(Write(Replaced(good, "first_primary: us-east-1", "first_primary: us-east-11")),
                {file, "first_primary", "'us-east-11'", "did you mean 'us-east-1'?"});
  ExpectBadFile(Write(Replaced(good, "  host: eu-west-1", "  host: us-west-2")), {file, "store.host", "witness"});
  ExpectBadFile(Write(good.substr(0, good.find("login:"))),
                {file, "'dns' is missing", "'token_file' is missing"});    // half-written, yet good YAML
  ExpectBadFile(Write(good.substr(0, good.find("hmac")) + "\""), {file});  // half-written in the middle of a word
  ExpectBadFile(Write(good + "\nservice: twice\n"), {file, "service"});
  ExpectBadFile(Write(""), {file});
  ExpectBadFile(scratch_.path() / "nowhere.yaml", {"nowhere.yaml", "No such file", "--config"});
  ExpectBadFile(scratch_.path(), {"is a folder"});
}

TEST_F(Cli, EveryProblemOfAFileIsToldAtOnceAndAsJson) {
  const fs::path file =
      Write(Replaced(Replaced(Configuration(scratch_.path()), "length: 3000ms", "length: soon"), "ttl: 1s", "ttl: 1h"));
  const ProgramEnd end = Run({"status", "--json", "--config", file.string()});
  EXPECT_EQ(end.exit_code, 2);
  const std::string message = TextAt(MemberAt(end.AsJson(), "error"), "message");
  EXPECT_TRUE(Holds(message, "lease.length") && Holds(message, "dns.ttl")) << end.Said();
}

TEST_F(Cli, BadUsageEndsWithTwoAndSaysWhatIsMissing) {
  for (const auto& [arguments, word] : {std::pair(std::vector<std::string>{}, "subcommand is required"),
                                        std::pair(std::vector<std::string>{"frobnicate"}, "frobnicate"),
                                        std::pair(std::vector<std::string>{"switchover"}, "--to is required"),
                                        std::pair(std::vector<std::string>{"rejoin"}, "region is required"),
                                        std::pair(std::vector<std::string>{"executions", "show"}, "id is required"),
                                        std::pair(std::vector<std::string>{"lab", "up", "--lease", "99"}, "--lease"),
                                        std::pair(std::vector<std::string>{"status", "--frob"}, "--frob")}) {
    const ProgramEnd end = Run(arguments);
    EXPECT_EQ(end.exit_code, 2) << end.Said();
    EXPECT_TRUE(Holds(end.Said(), word)) << end.Said();
  }
}

TEST_F(Cli, EveryCommandHelpsWithAnExampleAndTheExitCodes) {
  const ProgramEnd all = Run({"--help"});
  EXPECT_EQ(all.exit_code, 0);
  for (const char* path : {"status",
                           "explain",
                           "check",
                           "switchover",
                           "failover",
                           "rejoin",
                           "executions",
                           "executions list",
                           "executions show",
                           "executions resume",
                           "executions abort",
                           "evidence",
                           "evidence verify",
                           "evidence list",
                           "report",
                           "agent",
                           "guard",
                           "lab",
                           "lab up",
                           "lab status",
                           "lab kill",
                           "lab start",
                           "lab down",
                           "demo",
                           "version"}) {
    std::vector<std::string> arguments;
    std::string example = "lifeboat";
    std::istringstream words(path);
    for (std::string word; words >> word;) {
      arguments.push_back(word);
      example += " " + word;
    }
    EXPECT_TRUE(arguments.size() > 1 || Holds(all.out, "  " + arguments.front())) << path << " is not in the overview";
    arguments.emplace_back("--help");
    const ProgramEnd help = Run(arguments);
    EXPECT_EQ(help.exit_code, 0) << path;
    EXPECT_TRUE(Holds(help.out, "Example:\n  " + example)) << help.out;
    EXPECT_TRUE(Holds(help.out, "Exit codes: 0 done")) << help.out;
  }
}

TEST_F(Cli, WhereNothingRunsEveryQuestionSaysSo) {
  const fs::path file = Write(Configuration(scratch_.path()));
  fs::create_directories(scratch_.path() / "secrets");
  const fs::path token = scratch_.path() / "secrets" / "token";
  std::ofstream(token) << std::string(64, 'a') << "\n";
  ASSERT_EQ(::chmod(token.c_str(), 0600), 0);

  const ProgramEnd status = Run({"status", "--config", file.string()});
  EXPECT_EQ(status.exit_code, 1);
  EXPECT_TRUE(Holds(status.err, "no agent could answer") && Holds(status.err, "look whether the agents run")) << status.Said();

  ASSERT_EQ(::chmod(token.c_str(), 0644), 0);
  const ProgramEnd open = Run({"status", "--config", file.string()});
  EXPECT_EQ(open.exit_code, 1);
  EXPECT_TRUE(Holds(open.err, "may be used by its group or by others") && Holds(open.err, "chmod 600")) << open.Said();

  const ProgramEnd down = Run({"lab", "down"});
  EXPECT_EQ(down.exit_code, 0) << "no lab is what was wanted: " << down.Said();
  const ProgramEnd lab = Run({"lab", "status"});
  EXPECT_NE(lab.exit_code, 0);
  EXPECT_TRUE(Holds(lab.err, "there is no lab in") && Holds(lab.err, "lifeboat lab up")) << lab.Said();

  const ProgramEnd version = Run({"version", "--json"});
  EXPECT_FALSE(TextAt(version.AsJson(), "version").empty());
  EXPECT_TRUE(Holds(Run({"explain", "--rules"}).out, "| 360 | "));
  EXPECT_TRUE(Run({"explain", "--rules", "--json"}).AsJson().is_array());
}

TEST_F(Cli, AnAgentRefusesAnUnknownRegionAnOpenTokenAndToListenBeyondLoopback) {
  const std::string good = Configuration(scratch_.path());
  const fs::path token = scratch_.path() / "secrets" / "token";
  fs::create_directories(scratch_.path() / "secrets");
  std::ofstream(token) << std::string(64, 'a') << "\n";

  for (const char* what : {"agent", "guard"}) {
    const ProgramEnd unknown = Run({what, "--region", "mars", "--config", Write(good).string()});
    EXPECT_EQ(unknown.exit_code, 2);
    EXPECT_TRUE(Holds(unknown.err, "'mars'") && Holds(unknown.err, "'us-east-1', 'us-west-2'")) << unknown.Said();
  }
  EXPECT_FALSE(fs::exists(scratch_.path() / kEast));

  ASSERT_EQ(::chmod(token.c_str(), 0640), 0);
  const ProgramEnd open = Run({"agent", "--region", kWitness, "--config", Write(good).string()});
  EXPECT_EQ(open.exit_code, 1);
  EXPECT_TRUE(Holds(open.err, "may be used by its group or by others")) << open.Said();

  ASSERT_EQ(::chmod(token.c_str(), 0600), 0);
  const ProgramEnd beyond = Run({"agent", "--region", kWitness, "--config",
                                 Write(Replaced(good, "agent: 127.0.0.3:7461", "agent: 192.0.2.3:7461")).string()});
  EXPECT_EQ(beyond.exit_code, 2);  // the file itself is bad: no agent of it could talk to this one
  EXPECT_TRUE(Holds(beyond.err, "192.0.2.3:7461") && Holds(beyond.err, "beyond loopback")) << beyond.Said();
}

}  // namespace
}  // namespace lifeboat::testing_support
