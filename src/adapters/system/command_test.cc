#include "adapters/system/command.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fstream>

#include "adapters/system/files.h"
#include "adapters/system/processes.h"
#include "adapters/system/test_folder_internal.h"

namespace lifeboat {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

Result<CommandOutput> Execute(std::vector<std::string> argv, CommandOptions options = {}, Duration timeout = 10s) {
  boost::asio::io_context context;
  return RunTask(context, RunCommand(context.get_executor(), std::move(argv), std::move(options), timeout));
}

/// In the background: a Result cannot be the value of a spawned coroutine, which must be able to be empty.
Task<> Keep(boost::asio::io_context& context, std::vector<std::string> argv, CommandOptions options,
            std::optional<Result<CommandOutput>>& into) {
  into.emplace(co_await RunCommand(context.get_executor(), std::move(argv), std::move(options), 60s));
}

bool HasChildren() {
  siginfo_t info{};
  return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

TEST(RunCommand, HandsBackBothStreamsAndTheExitCode) {
  const Result<CommandOutput> output = Execute({"sh", "-c", "echo out; echo err >&2; exit 3"});
  ASSERT_TRUE(output.ok()) << output.error().Text();
  EXPECT_EQ(output->exit_code, 3);
  EXPECT_EQ(output->out, "out\n");
  EXPECT_EQ(output->err, "err\n");
  EXPECT_FALSE(HasChildren());
}

TEST(RunCommand, SaysASignalAsAShellDoes) {
  const Result<CommandOutput> output = Execute({"sh", "-c", "kill -TERM $$"});
  ASSERT_TRUE(output.ok());
  EXPECT_EQ(output->exit_code, 128 + SIGTERM);
}

TEST(RunCommand, CollectsMoreThanAPipeHolds) {
  const Result<CommandOutput> output = Execute({"sh", "-c", "head -c 3000000 /dev/zero; head -c 2000000 /dev/zero >&2"});
  ASSERT_TRUE(output.ok());
  EXPECT_EQ(output->out.size(), 3'000'000U);
  EXPECT_EQ(output->err.size(), 2'000'000U);
}

TEST(RunCommand, EndsAProgramThatSaysTooMuch) {
  const Result<CommandOutput> output = Execute({"head", "-c", std::to_string(kMostCommandOutput + 1), "/dev/zero"}, {}, 60s);
  ASSERT_FALSE(output.ok());
  EXPECT_THAT(output.error().message, HasSubstr("said more than 64 MiB"));
  EXPECT_FALSE(HasChildren());
}

TEST(RunCommand, NamesAProgramThatIsMissing) {
  const Result<CommandOutput> by_name = Execute({"no_such_program_here"});
  ASSERT_FALSE(by_name.ok());
  EXPECT_EQ(by_name.error().retry, Retry::kNotFound);
  EXPECT_EQ(by_name.error().message, "program 'no_such_program_here' was not found");
  const Result<CommandOutput> by_path = Execute({"/no/such/program"});
  ASSERT_FALSE(by_path.ok());
  EXPECT_EQ(by_path.error().retry, Retry::kNotFound);
}

TEST(RunCommand, NamesAFolderThatIsMissing) {
  CommandOptions options;
  options.cwd = "/no/such/folder";
  const Result<CommandOutput> output = Execute({"true"}, options);
  ASSERT_FALSE(output.ok());
  EXPECT_THAT(output.error().message, HasSubstr("'/no/such/folder'"));
  EXPECT_FALSE(HasChildren());
}

TEST(RunCommand, GivesFolderAndEnvironmentAndNoDescriptorOfOurs) {
  const TestFolder folder;
  const int kept = open("/dev/null", O_RDONLY);  // without O_CLOEXEC, as a careless library would
  CommandOptions options;
  options.cwd = folder.path();
  options.environment = {{"LIFEBOAT_WORD", "a b"}};
  const Result<CommandOutput> output = Execute(
      {"sh", "-c", "pwd; echo $LIFEBOAT_WORD; test -e /proc/self/fd/" + std::to_string(kept) + " && echo leaked; cat"}, options);
  close(kept);
  ASSERT_TRUE(output.ok());
  EXPECT_EQ(output->out, folder.path() + "\na b\n");
}

TEST(RunCommand, KillsTheWholeGroupAtTheTimeout) {
  const TestFolder folder;
  CommandOptions options;
  options.cwd = folder.path();
  const Instant begin = ReadClocks();
  const Result<CommandOutput> output = Execute({"sh", "-c", "trap '' TERM; sleep 100 & sleep 100"}, options, 200ms);
  ASSERT_FALSE(output.ok());
  EXPECT_EQ(output.error().retry, Retry::kUnknownOutcome);
  EXPECT_LT(AgeAt(begin, ReadClocks()), 5s);
  EXPECT_FALSE(HasChildren());
  EXPECT_TRUE(Eventually([&] { return ProcessesWithin(folder.path()).empty(); }));
}

TEST(RunCommand, DoesNotWaitForWhoeverInheritedItsOutput) {
  const TestFolder folder;
  CommandOptions options;
  options.cwd = folder.path();
  const Instant begin = ReadClocks();
  const Result<CommandOutput> output = Execute({"sh", "-c", "setsid sleep 100 & echo started"}, options);
  ASSERT_TRUE(output.ok());
  EXPECT_EQ(output->out, "started\n");
  EXPECT_LT(AgeAt(begin, ReadClocks()), 5s);
  EXPECT_TRUE(KillWithin(folder.path(), 5s).ok());
}

TEST(RunCommand, ACancellationKillsTheGroupAndLeavesNoZombie) {
  const TestFolder folder;
  boost::asio::io_context context;
  boost::asio::cancellation_signal cancel;
  CommandOptions options;
  options.cwd = folder.path();
  std::exception_ptr problem;
  std::optional<Result<CommandOutput>> output;
  boost::asio::co_spawn(context, Keep(context, {"sh", "-c", "sleep 100 & sleep 100"}, options, output),
                        boost::asio::bind_cancellation_slot(cancel.slot(), [&](std::exception_ptr thrown) { problem = thrown; }));
  boost::asio::steady_timer timer(context, 100ms);
  timer.async_wait([&](auto) { cancel.emit(boost::asio::cancellation_type::terminal); });
  context.run();
  EXPECT_TRUE(problem != nullptr);
  EXPECT_FALSE(output.has_value());
  EXPECT_FALSE(HasChildren());
  EXPECT_TRUE(Eventually([&] { return ProcessesWithin(folder.path()).empty(); }));
}

TEST(RunCommand, AFrameThatIsDestroyedTakesItsChildAlong) {
  const TestFolder folder;
  std::optional<Result<CommandOutput>> output;
  {
    boost::asio::io_context context;
    CommandOptions options;
    options.cwd = folder.path();
    boost::asio::co_spawn(context, Keep(context, {"sleep", "100"}, options, output), [](std::exception_ptr) {});
    context.run_for(50ms);
    EXPECT_FALSE(ProcessesWithin(folder.path()).empty());
  }
  EXPECT_THAT(ProcessesWithin(folder.path()), IsEmpty());
  EXPECT_FALSE(HasChildren());
}

TEST(RunCommand, ManyAtOnceMixNothingUp) {
  boost::asio::io_context context;
  std::vector<std::optional<Result<CommandOutput>>> outputs(40);
  for (std::size_t number = 0; number < outputs.size(); ++number) {
    const std::string text = std::to_string(number);
    boost::asio::co_spawn(context, Keep(context, {"sh", "-c", "echo " + text + "; exit " + text}, {}, outputs[number]),
                          [](std::exception_ptr) {});
  }
  context.run();
  for (std::size_t number = 0; number < outputs.size(); ++number) {
    ASSERT_TRUE(outputs[number].has_value() && outputs[number]->ok());
    EXPECT_EQ(outputs[number]->value().exit_code, static_cast<int>(number));
    EXPECT_EQ(outputs[number]->value().out, std::to_string(number) + "\n");
  }
  EXPECT_FALSE(HasChildren());
}

TEST(RunCommand, RunsAsAnotherUserWithNothingOfRootLeft) {
  if (geteuid() != 0) {
    CommandOptions options;
    options.run_as = RunAs{0, 0, "root"};
    const Result<CommandOutput> refused = Execute({"true"}, options);
    ASSERT_FALSE(refused.ok());
    EXPECT_THAT(refused.error().message, HasSubstr("becoming user 'root'"));
    return;
  }
  const Result<RunAs> user = FindUser("nobody");
  ASSERT_TRUE(user.ok());
  CommandOptions options;
  options.cwd = "/";
  options.run_as = *user;
  const Result<CommandOutput> output =
      Execute({"sh", "-c", "id -u; id -g; id -G; echo $USER; grep ^CapEff /proc/self/status"}, options);
  ASSERT_TRUE(output.ok()) << output.error().Text();
  const std::string gid = std::to_string(user->gid);
  EXPECT_EQ(output->out, std::to_string(user->uid) + "\n" + gid + "\n" + gid + "\nnobody\nCapEff:\t0000000000000000\n");
}

TEST(FindUser, NamesAUserThatIsMissing) {
  const Result<RunAs> user = FindUser("no_such_user_here");
  ASSERT_FALSE(user.ok());
  EXPECT_EQ(user.error().retry, Retry::kNotFound);
}

TEST(SpawnDetached, StartsAProgramOfItsOwnSessionWhoseOutputIsAppended) {
  const TestFolder folder;
  const std::string log = folder.path() + "/log";
  std::ofstream(log) << "before\n";
  const Result<pid_t> pid = SpawnDetached({"sh", "-c", "echo out; echo err >&2; ps -o sid= -p $$; exec sleep 100"}, folder.path(),
                                          {{"PS_PERSONALITY", "linux"}}, log);
  ASSERT_TRUE(pid.ok()) << pid.error().Text();
  EXPECT_EQ(getsid(*pid), *pid);
  EXPECT_FALSE(HasChildren());
  EXPECT_TRUE(Eventually([&] { return ReadSmallFile(log)->starts_with("before\nout\nerr\n"); }));
  EXPECT_TRUE(IsAlive(*pid));
  kill(*pid, SIGKILL);
  EXPECT_TRUE(Eventually([&] { return !IsAlive(*pid); }));
}

TEST(SpawnDetached, LeavesNoZombieHoweverSlowInitIs) {
  const TestFolder folder;
  const Result<pid_t> pid = SpawnDetached({"sleep", "100"}, folder.path(), {}, "/dev/null");
  ASSERT_TRUE(pid.ok());
  kill(*pid, SIGKILL);
  EXPECT_TRUE(Eventually([&] { return kill(*pid, 0) != 0; }, 200ms)) << "as PostgreSQL asks whether a lock file's owner lives";
}

TEST(SpawnDetached, HoldsNoLockOfOurs) {
  const TestFolder folder;
  std::optional<Result<FileLock>> lock = FileLock::Take(folder.path());
  const Result<pid_t> pid = SpawnDetached({"sleep", "100"}, folder.path(), {}, "/dev/null");
  lock.reset();
  EXPECT_TRUE(FileLock::Take(folder.path()).ok());
  EXPECT_TRUE(KillWithin(folder.path(), 5s).ok());
}

TEST(SpawnDetached, SaysWhatKeptItFromStarting) {
  const Result<pid_t> program = SpawnDetached({"/no/such/program"}, "/", {}, "/dev/null");
  ASSERT_FALSE(program.ok());
  EXPECT_EQ(program.error().retry, Retry::kNotFound);
  const Result<pid_t> log = SpawnDetached({"true"}, "/", {}, "/no/such/folder/log");
  ASSERT_FALSE(log.ok());
  EXPECT_THAT(log.error().message, HasSubstr("log file '/no/such/folder/log'"));
  const TestFolder folder;
  std::ofstream(folder.path() + "/text") << "no program";
  const Result<pid_t> text = SpawnDetached({folder.path() + "/text"}, "/", {}, "/dev/null");
  ASSERT_FALSE(text.ok());
  EXPECT_EQ(text.error().retry, Retry::kFail);
}

}  // namespace
}  // namespace lifeboat
