// `lifeboat backup` as scripts and terminals meet it: exit codes that nobody can take for a success, signals at each level, and
// that nothing is left behind by them.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <functional>
#include <thread>

#include "adapters/system/processes.h"
#include "backup/crc32c.h"
#include "support/backup_files.h"
#include "support/backup_world.h"

namespace lifeboat {
namespace {

namespace fs = std::filesystem;
using testing_support::BackupCopy;
using testing_support::BackupWorld;
using testing_support::PostgresLab;
using testing_support::ReplaceFile;
using testing_support::SignManifest;
using testing_support::Slurp;

const BackupWorld& TheWorld() {
  static const BackupWorld world;
  return world;
}

/// One run of the program, in a session of its own, with its output in files.
class Command {
 public:
  Command(const fs::path& folder, std::vector<std::string> words) : out_(folder / "out"), err_(folder / "err") {
    words.insert(words.begin(), {LIFEBOAT_PROGRAM, "backup"});
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    pid_ = fork();
    if (pid_ != 0) return;
    for (const auto& [file, number] : {std::pair(&out_, STDOUT_FILENO), std::pair(&err_, STDERR_FILENO)}) {
      dup2(open(file->c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), number);
    }
    setsid();
    execv(argv[0], argv.data());
    _exit(127);
  }
  ~Command() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  void Signal(int signal) const { kill(pid_, signal); }
  /// @return its exit code; -signal where one ended it
  int Wait() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  [[nodiscard]] std::string out() const { return Slurp(out_); }
  [[nodiscard]] std::string err() const { return Slurp(err_); }

 private:
  fs::path out_;
  fs::path err_;
  pid_t pid_ = 0;
};

/// A folder for output, and one for sandboxes that PostgreSQL's user may enter.
struct Places {
  PostgresLab lab;
  fs::path folder = lab.MakeFolder("run");
  fs::path scratch = lab.MakeFolder("scratch");
};

::testing::AssertionResult Becomes(const std::function<bool()>& true_now) {
  const auto began = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - began < std::chrono::seconds(60)) {
    if (true_now()) return ::testing::AssertionSuccess();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return ::testing::AssertionFailure() << "not within a minute";
}

std::vector<std::string> OnMonday(const std::string& verb, std::vector<std::string> more) {
  more.insert(more.begin(), {verb, "--repo", TheWorld().monday.string(), "--wal", TheWorld().archive.string()});
  return more;
}

int CodeOf(const Places& at, std::vector<std::string> words) { return Command(at.folder, std::move(words)).Wait(); }

TEST(BackupCommand, AWholeBackupIsExitCodeZeroAndAFaultOne) {
  const Places at;
  EXPECT_EQ(CodeOf(at, OnMonday("verify", {})), 0);
  const BackupCopy copy(TheWorld().monday);
  fs::remove(copy.folder() / "monday/global/1262");
  EXPECT_EQ(CodeOf(at, {"verify", "--repo", copy.folder().string(), "--wal", TheWorld().archive.string()}), 1);
  EXPECT_EQ(CodeOf(at, {"list", "--repo", copy.folder().string()}), 0) << "nobody looked into it";
}

TEST(BackupCommand, WhatCouldNotBeToldIsNoSuccess) {
  const Places at;
  const BackupCopy copy(TheWorld().monday / "monday");
  // A release that nobody knows here: no fault of the backup, and its pages cannot be judged.
  std::string control = Slurp(copy.folder() / "global/pg_control");
  control[8] = '\x7f';
  ReplaceFile(copy.folder() / "global/pg_control", control);
  SignManifest(copy.folder());
  const std::vector<std::string> verify = {
      "verify", "--json", "--repo", copy.folder().string(), "--wal", TheWorld().archive.string()};
  Command command(at.folder, verify);
  EXPECT_EQ(command.Wait(), 4);
  EXPECT_NE(command.out().find("\"unknown\""), std::string::npos) << command.out();
  std::vector<std::string> lower = verify;
  lower.insert(lower.end(), {"--level", "2"});
  EXPECT_EQ(CodeOf(at, lower), 0) << "bytes are bytes";
}

TEST(BackupCommand, AnErrorTextThatIsTheNewestDumpIsNoFreshBackup) {
  const Places at;
  const fs::path dumps = at.folder / "dumps";
  fs::create_directory(dumps);
  ReplaceFile(dumps / "old.sql", "--\n-- PostgreSQL database dump\n--\n\n--\n-- PostgreSQL database dump complete\n--\n\n");
  fs::last_write_time(dumps / "old.sql", fs::file_time_type::clock::now() - std::chrono::hours(100));
  ReplaceFile(dumps / "new.sql", "pg_dump: error: connection to server failed\n");
  Command command(at.folder, {"list", "--json", "--repo", dumps.string()});
  EXPECT_EQ(command.Wait(), 1);
  const auto json = ParseJson(command.out(), "list");
  ASSERT_TRUE(json.ok()) << command.out();
  EXPECT_EQ(TextAt(MemberAt(MemberAt(*json, "freshness"), "newest"), "label"), "old.sql");
}

TEST(BackupCommand, AFlagThatIsNoneIsToldBeforeAnythingIsRead) {
  const Places at;
  Command command(at.folder, OnMonday("verify", {"--level", "4", "--rto", "soon"}));
  EXPECT_EQ(command.Wait(), 1);
  EXPECT_NE(command.err().find("--rto"), std::string::npos) << command.err();
  EXPECT_EQ(command.out(), "");
}

TEST(BackupCommand, ASignalWhileItReadsEndsItWithAReportOfWhatItReached) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    SCOPED_TRACE(signal);
    const Places at;
    Command command(at.folder, OnMonday("verify", {"--json", "--read-rate", "300K", "--threads", "1", "--memory",
                                                   (at.folder / "memory.sqlite").string()}));
    ASSERT_TRUE(Becomes([&] { return fs::exists(at.folder / "memory.sqlite"); }));
    command.Signal(signal);
    EXPECT_EQ(command.Wait(), 1) << command.err();
    const auto json = ParseJson(command.out(), "report");
    ASSERT_TRUE(json.ok()) << command.out();
    EXPECT_TRUE(FlagAt(*json, "cancelled"));
    EXPECT_TRUE(MemberAt(*json, "findings").empty()) << command.out();
    for (const Json& set : MemberAt(*json, "sets")) EXPECT_NE(TextAt(MemberAt(set, "levels")[3], "verdict"), "pass");
  }
}

TEST(BackupCommand, ASignalWhileItRestoresLeavesNoProcessAndNoFile) {
  for (const auto& [verb, signal] : {std::pair("verify", SIGHUP), std::pair("verify", SIGINT), std::pair("drill", SIGTERM)}) {
    SCOPED_TRACE(std::string(verb) + " " + std::to_string(signal));
    const Places at;
    std::vector<std::string> more = {"--json", "--level", "6", "--scratch", at.scratch.string()};
    Command command(at.folder, OnMonday(verb, more));
    // Its server is there: of all moments the one with most to remove.
    ASSERT_TRUE(Becomes([&] {
      std::error_code problem;
      for (const auto& entry : fs::directory_iterator(at.scratch, problem)) {
        if (fs::exists(entry.path() / "s/.s.PGSQL.5432", problem)) return true;
      }
      return false;
    })) << command.err();
    command.Signal(signal);
    EXPECT_EQ(command.Wait(), 1) << command.err();
    EXPECT_TRUE(fs::is_empty(at.scratch));
    EXPECT_TRUE(ProcessesWithin(at.scratch.string()).empty());
  }
}

}  // namespace
}  // namespace lifeboat
