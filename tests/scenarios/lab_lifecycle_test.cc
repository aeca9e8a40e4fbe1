// 'lifeboat lab' as somebody who tries the program meets it: up, status, kill, start, down; after a crash of all of it; as root and
// as an ordinary user. Nothing of it is left afterwards.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "adapters/system/processes.h"
#include "support/operator_lab.h"

namespace lifeboat::testing_support {
namespace {

namespace fs = std::filesystem;

bool Holds(const std::string& text, const std::string& word) { return text.find(word) != std::string::npos; }

/// A lab by its commands alone.
class LabCommands : public testing::Test {
 protected:
  void TearDown() override { (void)Run({"lab", "down"}); }

  ProgramEnd Run(const std::vector<std::string>& arguments) const {
    return RunProgram(program_, arguments,
                      {{"LIFEBOAT_LAB", Folder().string()}, {"LIFEBOAT_CONFIG", ""}, {"TMPDIR", home_.string()}}, user_);
  }
  [[nodiscard]] fs::path Folder() const { return home_ / "lab"; }
  void ExpectNothingIsLeft() const {
    EXPECT_FALSE(fs::exists(Folder()));
    EXPECT_TRUE(ProcessesWithin(Folder().string()).empty());
  }

  ScratchFolder scratch_;
  fs::path home_ = scratch_.path();
  fs::path program_ = LIFEBOAT_PROGRAM;
  std::optional<RunAs> user_;
};

TEST_F(LabCommands, TellWhatTheyDoAndLeaveNothingBehind) {
  const ProgramEnd up = Run({"lab", "up", "--lease", "1", "--network", "loopback"});
  ASSERT_EQ(up.exit_code, 0) << up.Said();
  EXPECT_TRUE(Holds(up.out, "the lab is up in " + Folder().string()) && Holds(up.out, "end: lifeboat lab down")) << up.Said();
  EXPECT_EQ(Run({"status"}).exit_code, 0) << "the running lab's configuration is found by itself";

  // A second agent of a region is kept out, whoever starts it. The lab's own copy: the checkout may be unreadable to its user.
  const ProgramEnd second =
      RunProgram(Folder() / "bin" / "lifeboat", {"agent", "--region", kWitness, "--config", (Folder() / "lifeboat.yaml").string()},
                 {}, lab::OwnerFor().value());
  EXPECT_EQ(second.exit_code, 3) << second.Said();
  EXPECT_TRUE(Holds(second.err, "agent.lock' is held by process") && Holds(second.err, "only one may run here")) << second.Said();

  const ProgramEnd killed = Run({"lab", "kill", kWest});
  EXPECT_EQ(killed.exit_code, 0);
  EXPECT_TRUE(Holds(killed.out, "processes of us-west-2")) << killed.Said();
  EXPECT_TRUE(Holds(Run({"lab", "status"}).out, "not running"));
  const ProgramEnd again = Run({"lab", "kill", kWest, "agent"});
  EXPECT_NE(again.exit_code, 0);
  EXPECT_TRUE(Holds(again.err, "'agent'")) << again.Said();
  EXPECT_EQ(Run({"lab", "start", kWest}).exit_code, 0);
  EXPECT_TRUE(Eventually([&] {
    return TextAt(Run({"status", "--json"}).AsJson(), "verdict") == "healthy";
  })) << Run({"status"}).Said();

  const ProgramEnd down = Run({"lab", "down"});
  EXPECT_EQ(down.exit_code, 0) << down.Said();
  ExpectNothingIsLeft();
  EXPECT_EQ(Run({"lab", "down"}).exit_code, 0) << "twice is fine";
}

TEST_F(LabCommands, DownWorksAfterEveryProcessWasKilledAndForAnOrdinaryUser) {
  if (::geteuid() == 0) {
    // Not root's folder, not root's program: all that an ordinary user has.
    const auto user = FindUser("postgres");
    ASSERT_TRUE(user) << "as root this test needs an ordinary user";
    user_ = *user;
    home_ = scratch_.path() / "home";
    fs::create_directories(home_);
    program_ = scratch_.path() / "lifeboat";
    fs::copy_file(LIFEBOAT_PROGRAM, program_);
    ASSERT_EQ(::chmod(program_.c_str(), 0755), 0);
    ASSERT_EQ(::chown(home_.c_str(), user_->uid, user_->gid), 0);
  }
  const ProgramEnd up = Run({"lab", "up", "--lease", "1", "--network", "loopback"});
  ASSERT_EQ(up.exit_code, 0) << up.Said();
  for (const pid_t pid : ProcessesWithin(Folder().string())) {
    struct stat status {};
    if (user_ && ::stat(("/proc/" + std::to_string(pid)).c_str(), &status) == 0) {
      EXPECT_EQ(status.st_uid, user_->uid);
    }
  }

  // when all of it is killed at once, and its description is gone too
  for (const pid_t pid : ProcessesWithin(Folder().string())) (void)::kill(pid, SIGKILL);
  ASSERT_TRUE(Eventually([&] {
    for (const pid_t pid : ProcessesWithin(Folder().string())) (void)::kill(pid, SIGKILL);
    return ProcessesWithin(Folder().string()).empty();
  }));
  EXPECT_NE(Run({"status"}).exit_code, 0);
  fs::remove(Folder() / "lab.json");

  const ProgramEnd down = Run({"lab", "down"});
  EXPECT_EQ(down.exit_code, 0) << down.Said();
  ExpectNothingIsLeft();
}

TEST_F(LabCommands, AFolderThatIsNoLabIsNeverTouched) {
  fs::create_directories(Folder());
  std::FILE* file = std::fopen((Folder() / "precious").c_str(), "w");
  ASSERT_NE(file, nullptr);
  std::fclose(file);
  const ProgramEnd up = Run({"lab", "up"});
  EXPECT_EQ(up.exit_code, 3);
  EXPECT_TRUE(Holds(up.err, "exists and is no lab")) << up.Said();
  EXPECT_FALSE(Holds(up.err, "what was built")) << up.Said();
  const ProgramEnd down = Run({"lab", "down"});
  EXPECT_EQ(down.exit_code, 3) << down.Said();
  EXPECT_TRUE(fs::exists(Folder() / "precious"));
}

}  // namespace
}  // namespace lifeboat::testing_support
