// `lifeboat demo --aws` as a person runs it: the story is told to its end, what the clients lost is within what the agents stated,
// and nothing of it is left.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>

// Before the others: it speaks of GoogleTest as "testing", which they make a namespace of ours.
#include "support/operator_lab.h"

#include "adapters/system/processes.h"
#include "lab/tools.h"
#include "prove/report.h"

namespace lifeboat::lab {
namespace {

using ::testing::HasSubstr;

Json ReadJson(const std::filesystem::path& file) {
  std::ifstream in(file);
  const auto json = ParseJson(std::string(std::istreambuf_iterator<char>(in), {}), file.string());
  EXPECT_TRUE(json) << json.error().Text();
  return json.ok() ? *json : Json();
}

/// What the processes of a story that failed said last.
std::string LastWords(const std::filesystem::path& logs) {
  std::string words;
  std::error_code problem;
  for (const auto& file : std::filesystem::directory_iterator(logs, problem)) {
    std::ifstream in(file.path());
    const std::string text(std::istreambuf_iterator<char>(in), {});
    words += "\n--- " + file.path().filename().string() + "\n" + text.substr(text.size() > 1500 ? text.size() - 1500 : 0);
  }
  return words;
}

TEST(AwsDemo, TellsItsStoryWithinWhatTheAgentsStatedAndLeavesNothingBehind) {
  const testing_support::ScratchFolder scratch;
  const std::filesystem::path temporary = scratch.path() / "tmp";
  std::filesystem::create_directory(temporary);
  std::filesystem::permissions(temporary, std::filesystem::perms(0755));
  ASSERT_EQ(::setenv("TMPDIR", temporary.c_str(), 1), 0);

  const Result<std::string> told = RunTool({LIFEBOAT_PROGRAM, "demo", "--aws", "--report", (scratch.path() / "report").string()},
                                           scratch.path().string(), std::nullopt, 5min);

  ASSERT_TRUE(told) << told.error().Text() << LastWords(scratch.path() / "report" / "logs");  // exit code 0
  for (const char* line :
       {"4 clients write numbered rows through the name", "all clients write again, to eu-west-1", "the agents state at most",
        "written afterwards, has arrived on it", "all clients write to us-east-1 again", "0 beyond what the agents stated"}) {
    EXPECT_THAT(*told, HasSubstr(line));
  }
  const Json report = ReadJson(scratch.path() / "report" / "report.json");
  const auto valid = ValidateReport(report);
  EXPECT_TRUE(valid) << valid.error().Text();
  EXPECT_EQ(TextAt(report, "verdict"), "met");
  const Json& failover = report["runs"][0];
  EXPECT_TRUE(failover["rto_s"].is_number()) << failover.dump(1);
  EXPECT_TRUE(failover["stated"]["loss_bound_s"].is_number()) << failover.dump(1);
  // What was on its way to the other region is lost with a region, so the story shows a loss and not luck.
  EXPECT_GT(NumberAt(failover["loss"], "rows"), 0U);
  EXPECT_LE(failover["loss"]["seconds"].get<double>(), failover["stated"]["loss_bound_s"].get<double>());
  EXPECT_EQ(NumberAt(report["runs"][1]["loss"], "rows"), 0U) << "a planned switchover loses nothing";
  for (const Json& client : report["clients"]) EXPECT_EQ(NumberAt(client, "unaccounted"), 0U);

  EXPECT_TRUE(std::filesystem::is_empty(temporary)) << "a folder is left";
  EXPECT_TRUE(ProcessesWithin(temporary.string()).empty()) << "a process is left";
}

}  // namespace
}  // namespace lifeboat::lab
