// The child that verifies backups for an agent: what it says becomes an answer, and one that says nothing, something else, or never
// ends becomes a problem; nothing of it is left.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <fstream>

#include "adapters/system/processes.h"
#include "cli/backup_runner.h"
#include "support/run_task.h"

namespace lifeboat {
namespace {

namespace fs = std::filesystem;

/// A program that stands in for ours: it does what its text says.
class VerificationChild : public ::testing::Test {
 protected:
  VerificationChild() {
    char name[] = "/tmp/lifeboat-child-XXXXXX";
    folder_ = mkdtemp(name);
  }
  ~VerificationChild() override { fs::remove_all(folder_); }

  Result<BackupAnswer> Run(const std::string& script, BackupTask task = {"nightly", 3, 1h}, Duration grace = 1min) {
    const fs::path program = folder_ / "program";
    { std::ofstream(program) << "#!/bin/sh\n" << script << "\n"; }
    chmod(program.c_str(), 0700);
    ChildBackupRunner runner(context_.get_executor(), program.string(), (folder_ / "lifeboat.yaml").string(), grace);
    return Await(runner.Run(std::move(task)));
  }
  Result<BackupAnswer> Await(Task<Result<BackupAnswer>> task) {
    auto outcome = lifeboat::testing::Start(context_, Wrap(std::move(task)));
    return *lifeboat::testing::Finish(context_, outcome);
  }
  static Task<std::optional<Result<BackupAnswer>>> Wrap(Task<Result<BackupAnswer>> task) { co_return co_await std::move(task); }

  boost::asio::io_context context_;
  fs::path folder_;
};

constexpr const char* kReport = R"(printf '{"format":"lifeboat-backup-verify/1","words":"%s"}\n' "$*")";

TEST_F(VerificationChild, ItsReportAndItsCodeAreTheAnswer) {
  const auto answer = Run(std::string(kReport) + "\nexit 4");
  ASSERT_TRUE(answer.ok()) << answer.error().Text();
  EXPECT_EQ(answer->exit_code, 4);
  EXPECT_EQ(TextAt(answer->report, "words"), "backup verify --json --source nightly --config " +
                                                 (folder_ / "lifeboat.yaml").string() + " --level 3 --deadline 3600");
}

TEST_F(VerificationChild, ARestoreIsOfTheNewest) {
  const auto answer = Run(kReport, {"nightly", 6, 1h});
  ASSERT_TRUE(answer.ok());
  EXPECT_TRUE(TextAt(answer->report, "words").ends_with("--level 6 --deadline 3600 --set latest"))
      << TextAt(answer->report, "words");
}

TEST_F(VerificationChild, ItRunsAtTheLowestPriority) {
  const auto answer = Run(R"sh(printf '{"format":"lifeboat-backup-verify/1","nice":"%s"}\n' "$(nice)")sh");
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(TextAt(answer->report, "nice"), "19");
}

TEST_F(VerificationChild, WithoutAReportItsLastWordsAreTheProblem) {
  auto answer = Run("echo 'lifeboat: the disk is away' >&2; exit 1");
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().message, "lifeboat: the disk is away");
  answer = Run(R"(printf '{"error":{"retry":"refused","message":"backups are being verified here already","hint":""}}\n'; exit 3)");
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().message, "backups are being verified here already");
  EXPECT_EQ(answer.error().retry, Retry::kRefused);
  answer = Run("kill -9 $$");
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().message, "it ended with code 137 and said nothing");
}

TEST_F(VerificationChild, OneThatHangsIsEndedWithAllThatItBegan) {
  const fs::path pid_file = folder_ / "pid";
  const auto answer = Run("trap '' TERM INT; sleep 1000 & echo $! > " + pid_file.string() + "; wait; wait", {"nightly", 3, 0s}, 1s);
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().retry, Retry::kUnknownOutcome);
  pid_t pid = 0;
  std::ifstream(pid_file) >> pid;
  ASSERT_NE(pid, 0);
  EXPECT_TRUE(lifeboat::testing::RunUntil(context_, [&] { return !IsAlive(pid); })) << "its own child is left";
}

}  // namespace
}  // namespace lifeboat
