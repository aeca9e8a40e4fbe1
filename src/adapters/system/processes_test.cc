#include "adapters/system/processes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <array>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/post.hpp>

#include "adapters/system/command.h"
#include "adapters/system/process_scan.h"
#include "adapters/system/test_folder_internal.h"

namespace lifeboat {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

pid_t Start(const std::string& script, const std::string& folder) {
  Result<pid_t> pid = SpawnDetached({"sh", "-c", script}, folder, {}, "/dev/null");
  EXPECT_TRUE(pid.ok());
  return pid.ok() ? *pid : -1;
}

TEST(Processes, OnesOfTheFolderAndBeneathItAreFoundAndNoOthers) {
  const TestFolder folder;
  const std::string data = folder.path() + "/data";
  std::filesystem::create_directories(data + "/base");
  std::filesystem::create_directories(folder.path() + "/data_other");
  const pid_t within = Start("exec sleep 100", data);
  const pid_t beneath = Start("exec sleep 100", data + "/base");
  const pid_t beside = Start("exec sleep 100", folder.path() + "/data_other");
  EXPECT_THAT(ProcessesWithin(data), testing::UnorderedElementsAre(within, beneath));
  EXPECT_THAT(ProcessesWithin(data + "/"), testing::UnorderedElementsAre(within, beneath));
  kill(beside, SIGKILL);
  EXPECT_TRUE(KillWithin(data, 5s).ok());
  EXPECT_THAT(ProcessesWithin(data), IsEmpty());
}

TEST(Processes, OneWhoseFolderWasDeletedIsFoundStill) {
  const TestFolder folder;
  const std::string data = folder.path() + "/data";
  std::filesystem::create_directories(data);
  const pid_t pid = Start("exec sleep 100", data);
  std::filesystem::remove_all(data);
  EXPECT_THAT(ProcessesWithin(data), ElementsAre(pid));
  EXPECT_TRUE(KillWithin(data, 5s).ok());
}

TEST(Processes, ASymbolicLinkToTheFolderIsFollowed) {
  const TestFolder folder;
  std::filesystem::create_directories(folder.path() + "/data");
  std::filesystem::create_symlink(folder.path() + "/data", folder.path() + "/link");
  const pid_t pid = Start("exec sleep 100", folder.path() + "/data");
  EXPECT_THAT(ProcessesWithin(folder.path() + "/link"), ElementsAre(pid));
  EXPECT_TRUE(KillWithin(folder.path() + "/link", 5s).ok());
}

TEST(ProcessScan, AFolderThatIsMadeOrReplacedLaterIsFollowed) {
  const TestFolder folder;
  const std::string link = folder.path() + "/link";
  Result<ProcessScan> scan = ProcessScan::Make(link + "/");
  ASSERT_TRUE(scan.ok());
  std::array<pid_t, 4> found{};
  EXPECT_EQ(scan->Find(found), 0);
  for (const char* name : {"/one", "/two"}) {
    std::filesystem::create_directories(folder.path() + name);
    std::filesystem::remove(link);
    std::filesystem::create_symlink(folder.path() + name, link);
    const pid_t pid = Start("exec sleep 100", folder.path() + name);
    EXPECT_EQ(scan->Find(found), 1);
    EXPECT_EQ(found[0], pid);
  }
  EXPECT_TRUE(KillWithin(folder.path(), 5s).ok());
}

TEST(ProcessScan, MoreProcessesThanRoomAreCountedAndKilled) {
  const TestFolder folder;
  for (int number = 0; number < 6; ++number) Start("exec sleep 100", folder.path());
  Result<ProcessScan> scan = ProcessScan::Make(folder.path());
  ASSERT_TRUE(scan.ok());
  std::array<pid_t, 2> found{};
  EXPECT_EQ(scan->Find(found), 6);
  EXPECT_EQ(scan->KillOnce(), 6);
  EXPECT_TRUE(Eventually([&] { return scan->Find(found) == 0; }));
}

TEST(ProcessScan, ARelativePathIsRefused) { EXPECT_FALSE(ProcessScan::Make("data").ok()); }

TEST(Processes, ZombiesDoNotCount) {
  const TestFolder folder;
  const pid_t pid = fork();
  if (pid == 0) {
    if (chdir(folder.path().c_str()) != 0) _exit(1);
    pause();
    _exit(0);
  }
  EXPECT_TRUE(Eventually([&] { return !ProcessesWithin(folder.path()).empty(); }));
  kill(pid, SIGKILL);
  EXPECT_TRUE(KillWithin(folder.path(), 5s).ok());
  EXPECT_FALSE(IsAlive(pid));
  EXPECT_EQ(waitpid(pid, nullptr, 0), pid) << "it was our zombie all the while";
}

TEST(Processes, KillWithinLeavesNothingOfAForkingProcess) {
  const TestFolder folder;
  for (int round = 0; round < 5; ++round) {
    // Three generations at a time, each ending soon after it has forked the next.
    Start("trap '' TERM; while :; do (sleep 0.01; (sleep 0.01; sleep 0.01) & ) & sleep 0.005; done", folder.path());
    EXPECT_TRUE(Eventually([&] { return ProcessesWithin(folder.path()).size() > 4; }));
    EXPECT_TRUE(KillWithin(folder.path(), 5s).ok());
    EXPECT_THAT(ProcessesWithin(folder.path()), IsEmpty());
  }
}

TEST(Processes, KillWithinAsyncDoesTheSame) {
  const TestFolder folder;
  Start("trap '' TERM; sleep 100 & sleep 100", folder.path());
  boost::asio::io_context context;
  EXPECT_TRUE(RunTask(context, KillWithinAsync(context.get_executor(), folder.path(), 5s)).ok());
  EXPECT_THAT(ProcessesWithin(folder.path()), IsEmpty());
}

TEST(Processes, TheEndOfAProcessThatIsNoChildIsAwaited) {
  const TestFolder folder;
  const pid_t pid = Start("exec sleep 100", folder.path());
  boost::asio::io_context context;
  bool ended = false;
  boost::asio::co_spawn(context, WaitForProcessExit(context.get_executor(), pid),
                        [&](std::exception_ptr thrown) { ended = !thrown; });
  context.run_for(50ms);
  EXPECT_FALSE(ended);
  kill(pid, SIGKILL);
  context.run_for(5s);
  EXPECT_TRUE(ended);
}

TEST(Processes, WaitingForOneThatIsGoneEndsAtOnce) {
  const pid_t pid = fork();
  if (pid == 0) _exit(0);
  waitpid(pid, nullptr, 0);
  boost::asio::io_context context;
  bool ended = false;
  boost::asio::co_spawn(context, WaitForProcessExit(context.get_executor(), pid),
                        [&](std::exception_ptr thrown) { ended = !thrown; });
  context.run_for(5s);
  EXPECT_TRUE(ended);
}

TEST(Processes, WaitingCanBeCancelled) {
  boost::asio::io_context context;
  boost::asio::cancellation_signal cancel;
  bool cancelled = false;
  boost::asio::co_spawn(
      context, WaitForProcessExit(context.get_executor(), getpid()),
      boost::asio::bind_cancellation_slot(cancel.slot(), [&](std::exception_ptr thrown) { cancelled = thrown != nullptr; }));
  context.run_for(20ms);
  cancel.emit(boost::asio::cancellation_type::terminal);
  context.run_for(5s);
  EXPECT_TRUE(cancelled);
}

TEST(Processes, AnIdentityIsNotAnotherProcessOfTheSamePid) {
  const std::optional<ProcessIdentity> self = IdentifyProcess(getpid());
  ASSERT_TRUE(self.has_value());
  EXPECT_TRUE(IsAlive(*self));
  EXPECT_TRUE(SignalProcess(*self, 0).ok());
  const ProcessIdentity earlier{self->pid, self->start_ticks - 1};
  EXPECT_FALSE(IsAlive(earlier));
  const Result<Unit> refused = SignalProcess(earlier, SIGKILL);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().retry, Retry::kNotFound);
  EXPECT_FALSE(IsAlive(0));
  EXPECT_FALSE(IsAlive(-1));
}

}  // namespace
}  // namespace lifeboat
