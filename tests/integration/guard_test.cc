// The guard as a real process, against real processes: dummies whose working directory is the data directory and, at
// the end, a real PostgreSQL server.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/generic/seq_packet_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "adapters/system/command.h"
#include "adapters/system/files.h"
#include "adapters/system/processes.h"
#include "guard/guard_client.h"
#include "guard/guard_memory.h"
#include "guard/guard_process.h"

namespace lifeboat {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr Epoch kSeven{7};

bool Eventually(const std::function<bool()>& condition, Duration timeout = 10s) {
  const Instant end = ReadClocks() + timeout;
  while (!condition()) {
    if (HasPassed(end, ReadClocks())) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return true;
}

template <typename T>
Task<> Store(Task<T> task, std::optional<T>& into) {
  into.emplace(co_await std::move(task));
}

template <typename T>
T Await(Task<T> task) {
  boost::asio::io_context context;
  std::optional<T> answer;
  boost::asio::co_spawn(context, Store(std::move(task), answer), [](std::exception_ptr) {});
  context.run();
  return std::move(answer).value();
}

/// A region's folders, its guard in a child process, and whatever runs in its data directory. Everything is gone at the end.
class GuardProcess : public testing::Test {
 protected:
  GuardProcess() {
    std::string pattern = (std::filesystem::temp_directory_path() / "lifeboat_guard_XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    data_ = folder_ + "/data";
    state_ = folder_ + "/state";
    std::filesystem::create_directories(data_ + "/global");
    std::filesystem::create_directories(state_);
    client_.emplace(GuardSocketPath(state_));
  }
  ~GuardProcess() override {
    KillGuard();
    EXPECT_TRUE(KillWithin(folder_, 10s).ok());
    std::filesystem::remove_all(folder_);
  }

  void StartGuard(bool observe = false) {
    std::remove(GuardSocketPath(state_).c_str());
    guard_ = fork();
    if (guard_ == 0) {
      Result<Log> log = Log::Open(folder_ + "/guard.log", Json::object());
      GuardOptions options = GuardOptionsFor(state_, data_, log.ok() ? *log : Log());
      options.observe = observe;
      _exit(RunGuard(options));
    }
    ASSERT_TRUE(Eventually([&] { return Look().reachable; })) << "the guard did not come up";
  }
  void KillGuard() {
    if (guard_ <= 0) return;
    kill(guard_, SIGKILL);
    waitpid(std::exchange(guard_, 0), nullptr, 0);
  }

  /// SIGTERM. @return its exit status
  int EndGuard() {
    kill(guard_, SIGTERM);
    int status = 0;
    EXPECT_EQ(waitpid(guard_, &status, 0), guard_);
    guard_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  Result<Unit> Permit(Epoch epoch, Instant deadline) { return Await(client_->Permit(epoch, deadline, 0s, 5s)); }
  Result<Unit> Forbid(Epoch epoch) { return Await(client_->Forbid(epoch, 10s)); }
  GuardState Look() { return Await(client_->Look(2s)); }

  pid_t StartInData(const std::string& script) {
    const Result<pid_t> pid = SpawnDetached({"sh", "-c", script}, data_, {}, "/dev/null");
    EXPECT_TRUE(pid.ok());
    return pid.ok() ? *pid : -1;
  }
  /// Makes the data directory look like that of a server in `state`, whose postmaster is `pid`.
  void PretendServer(std::uint32_t state, pid_t pid, const std::string& status) {
    const std::uint64_t system_id = 42;
    const std::array<std::uint32_t, 3> rest = {1300, 202209061, state};
    std::string control(reinterpret_cast<const char*>(&system_id), 8);
    control.append(reinterpret_cast<const char*>(rest.data()), 12);
    control.resize(8192);
    ASSERT_TRUE(WriteFileDurably(data_ + "/global/pg_control", control).ok());
    if (pid == 0) return;
    ASSERT_TRUE(
        WriteFileDurably(data_ + "/postmaster.pid", std::to_string(pid) + "\n" + data_ + "\n1\n1\n\n\n\n" + status + "\n").ok());
  }
  [[nodiscard]] bool HasFence() const { return std::filesystem::exists(data_ + "/standby.signal"); }

  std::string folder_;
  std::string data_;
  std::string state_;
  std::optional<GuardClient> client_;
  pid_t guard_ = 0;
};

constexpr const char* kStubborn = "trap '' TERM INT HUP; while :; do sleep 0.05; done";

TEST_F(GuardProcess, AtTheDeadlineAllProcessesAreKilledAndNoneBefore) {
  StartGuard();
  const Instant deadline = ReadClocks() + 400ms;
  ASSERT_TRUE(Permit(kSeven, deadline).ok());
  PretendServer(6, StartInData(kStubborn), "ready   ");
  StartInData("while :; do (sleep 0.02; sleep 0.02) & sleep 0.01; done");
  const pid_t witness = StartInData("exec sleep 100");
  EXPECT_FALSE(HasFence());
  // When the agent says nothing more, then it holds until the deadline and no longer.
  ASSERT_TRUE(Eventually([&] { return !IsAlive(witness) || HasPassed(deadline - 5ms, ReadClocks()); }));
  EXPECT_TRUE(IsAlive(witness)) << "killed before the deadline";
  ASSERT_TRUE(Eventually([&] { return ProcessesWithin(data_).empty() && ProcessesWithin(data_).empty(); }));
  const Duration late = AgeAt(deadline, ReadClocks());
  ASSERT_TRUE(Eventually([&] { return Look().fired; }));
  const GuardState state = Look();
  EXPECT_EQ(state.kills, 1U);
  EXPECT_FALSE(state.armed);
  EXPECT_TRUE(Eventually([&] { return HasFence(); }));
  std::printf("killed %.2f ms after the deadline as seen from outside; worst kill %.2f ms as the guard measured it\n",
              late.count() / 1e6, state.worst_kill.count() / 1e6);
  EXPECT_LT(state.worst_kill, 1s);
}

TEST_F(GuardProcess, AnAgentThatGoesOnPermittingKeepsItAlive) {
  StartGuard();
  ASSERT_TRUE(Permit(kSeven, ReadClocks() + 400ms).ok());
  const pid_t pid = StartInData(kStubborn);
  PretendServer(6, pid, "ready   ");
  const Instant end = ReadClocks() + 1500ms;
  while (!HasPassed(end, ReadClocks())) {
    ASSERT_TRUE(Permit(kSeven, ReadClocks() + 400ms).ok());
    std::this_thread::sleep_for(50ms);  // an agent's renewals; nothing waits for it
  }
  EXPECT_TRUE(IsAlive(pid));
  EXPECT_EQ(Look().kills, 0U);
  // When the agent goes away, then it falls.
  client_.emplace(GuardSocketPath(state_));
  EXPECT_TRUE(Eventually([&] { return !IsAlive(pid); }, 3s));
}

TEST_F(GuardProcess, ARestartedGuardGoesOnFromThePermissionThatItKept) {
  StartGuard();
  const Instant deadline = ReadClocks() + 900ms;
  ASSERT_TRUE(Permit(kSeven, deadline).ok());
  const pid_t pid = StartInData(kStubborn);
  PretendServer(6, pid, "ready   ");
  KillGuard();
  StartGuard();
  EXPECT_TRUE(Look().armed);
  EXPECT_LE(Look().left, 900ms);
  ASSERT_TRUE(Eventually([&] { return !IsAlive(pid) || HasPassed(deadline - 5ms, ReadClocks()); }));
  EXPECT_TRUE(IsAlive(pid)) << "a healthy primary was killed by an upgrade of the guard";
  EXPECT_TRUE(Eventually([&] { return !IsAlive(pid); }, 3s));
  EXPECT_GE(AgeAt(deadline, ReadClocks()), 0ns);
}

TEST_F(GuardProcess, AGuardThatComesBackTooLateKillsAtOnce) {
  StartGuard();
  const Instant deadline = ReadClocks() + 200ms;
  ASSERT_TRUE(Permit(kSeven, deadline).ok());
  const pid_t pid = StartInData(kStubborn);
  PretendServer(6, pid, "ready   ");
  KillGuard();
  ASSERT_TRUE(Eventually([&] { return HasPassed(deadline, ReadClocks()); }));
  EXPECT_TRUE(IsAlive(pid));
  StartGuard();
  EXPECT_TRUE(Eventually([&] { return !IsAlive(pid); }, 3s));
}

TEST_F(GuardProcess, ALowerEpochIsRefusedAlsoAfterARestart) {
  StartGuard();
  ASSERT_TRUE(Permit(Epoch{8}, ReadClocks() + 1s).ok());
  KillGuard();
  StartGuard();
  const Result<Unit> refused = Permit(kSeven, ReadClocks() + 1s);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().retry, Retry::kRefused);
  EXPECT_THAT(refused.error().message, HasSubstr("heard of epoch 8"));
  EXPECT_EQ(Forbid(kSeven).error().retry, Retry::kRefused);
  EXPECT_TRUE(Permit(Epoch{8}, ReadClocks() + 1s).ok());
}

TEST_F(GuardProcess, AForbiddenEpochIsRecordedToo) {
  StartGuard();
  ASSERT_TRUE(Forbid(Epoch{9}).ok());
  EXPECT_EQ(*ReadGuardRecord(state_ + "/guard.json"), Epoch{9});
}

TEST_F(GuardProcess, ForbidAnswersWhenNothingIsLeftAndTheFenceStands) {
  StartGuard();
  ASSERT_TRUE(Permit(kSeven, ReadClocks() + 20s).ok());
  for (int number = 0; number < 30; ++number) StartInData(kStubborn);
  ASSERT_TRUE(Forbid(kSeven).ok());
  EXPECT_THAT(ProcessesWithin(data_), IsEmpty());
  EXPECT_TRUE(HasFence());
  std::printf("worst kill of 30 stubborn processes with their children: %.2f ms\n", Look().worst_kill.count() / 1e6);
}

TEST_F(GuardProcess, AWritableServerThatASupervisorRestartsAfterTheFiringIsKilled) {
  StartGuard();
  ASSERT_TRUE(Permit(kSeven, ReadClocks() + 100ms).ok());
  ASSERT_TRUE(Eventually([&] { return Look().fired; }));
  PretendServer(5, 0, "");
  const pid_t pid = StartInData(kStubborn);
  PretendServer(5, pid, "ready   ");
  const Instant writable = ReadClocks();
  PretendServer(6, pid, "ready   ");
  EXPECT_TRUE(Eventually([&] { return !IsAlive(pid); }, 3s));
  std::printf("a writable server without permission lived %.1f ms\n", AgeAt(writable, ReadClocks()).count() / 1e6);
  EXPECT_TRUE(Eventually([&] { return Look().kills == 2; }));
}

TEST_F(GuardProcess, AServerInArchiveRecoveryIsLeftAloneUntilItIsPromoted) {
  StartGuard();
  const pid_t pid = StartInData(kStubborn);
  PretendServer(5, pid, "ready   ");
  ASSERT_TRUE(Forbid(kSeven).ok()) << "nothing writable is there";
  for (int look = 0; look < 3; ++look) EXPECT_TRUE(Forbid(kSeven).ok());  // each answers after a look of its own
  EXPECT_TRUE(IsAlive(pid));
  EXPECT_EQ(Look().kills, 0U);
  PretendServer(6, pid, "ready   ");  // somebody ran pg_ctl promote
  EXPECT_TRUE(Eventually([&] { return !IsAlive(pid); }, 3s));
}

TEST_F(GuardProcess, SessionsThatOutlivedTheirPostmasterAreKilled) {
  StartGuard();
  PretendServer(6, 0, "");
  const pid_t session = StartInData(kStubborn);
  EXPECT_TRUE(Eventually([&] { return !IsAlive(session); }, 5s));
}

TEST_F(GuardProcess, AskedToEndWhilePermittedItFencesFirst) {
  StartGuard();
  ASSERT_TRUE(Permit(kSeven, ReadClocks() + 20s).ok());
  StartInData(kStubborn);
  EXPECT_EQ(EndGuard(), 0);
  EXPECT_THAT(ProcessesWithin(data_), IsEmpty());
  EXPECT_TRUE(HasFence());
  EXPECT_FALSE(Look().reachable);
  StartGuard();
  EXPECT_FALSE(Look().armed) << "the permission ended with the fence";
}

TEST_F(GuardProcess, AskedToEndWhileNothingIsPermittedItLeavesAStandbyAlone) {
  StartGuard();
  const pid_t pid = StartInData(kStubborn);
  PretendServer(5, pid, "ready   ");
  EXPECT_EQ(EndGuard(), 0);
  EXPECT_TRUE(IsAlive(pid));
}

TEST_F(GuardProcess, OneThatObservesEndsNothingAndOneThatActsAfterItWaitsForThePermission) {
  const pid_t pid = StartInData(kStubborn);
  PretendServer(6, pid, "ready   ");
  StartGuard(true);
  EXPECT_FALSE(Permit(kSeven, ReadClocks() + 20s).ok());
  EXPECT_EQ(EndGuard(), 0) << "asked to end, it does, and leaves the server alone";
  StartGuard(true);
  KillGuard();
  StartGuard();
  EXPECT_TRUE(Look().held);
  const Instant deadline = ReadClocks() + 900ms;
  ASSERT_TRUE(Permit(kSeven, deadline).ok());
  ASSERT_TRUE(Eventually([&] { return !IsAlive(pid) || HasPassed(deadline - 5ms, ReadClocks()); }));
  EXPECT_TRUE(IsAlive(pid)) << "a healthy primary was killed by a change of the configuration";
  EXPECT_TRUE(Eventually([&] { return !IsAlive(pid); }, 3s)) << "from then on it is fenced";
}

TEST_F(GuardProcess, ASecondGuardOfTheSameDataDirectoryIsRefused) {
  StartGuard();
  for (const std::string& state : {state_, folder_ + "/other"}) {
    std::filesystem::create_directories(state);
    const pid_t second = fork();
    if (second == 0) {
      dup2(open("/dev/null", O_WRONLY), 2);
      _exit(RunGuard(GuardOptionsFor(state, data_, Log())));
    }
    int status = 0;
    ASSERT_EQ(waitpid(second, &status, 0), second);
    EXPECT_EQ(WEXITSTATUS(status), 1);
  }
  EXPECT_TRUE(Look().reachable);
}

TEST_F(GuardProcess, ASocketPathThatIsTooLongIsSaid) {
  const pid_t child = fork();
  if (child == 0) {
    GuardOptions options = GuardOptionsFor(state_, data_, Log());
    options.socket = state_ + "/" + std::string(108 - state_.size() - 1, 's');
    dup2(open((folder_ + "/said").c_str(), O_WRONLY | O_CREAT, 0600), 2);
    _exit(RunGuard(options));
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 1);
  EXPECT_THAT(*ReadSmallFile(folder_ + "/said"), HasSubstr("has 108 bytes, 107 is the most"));
}

TEST_F(GuardProcess, WithoutAGuardTheClientSaysSoAndLooksUnreachable) {
  const Result<Unit> permitted = Permit(kSeven, ReadClocks() + 1s);
  ASSERT_FALSE(permitted.ok());
  EXPECT_EQ(permitted.error().retry, Retry::kRetry);
  EXPECT_FALSE(Look().reachable);
}

TEST_F(GuardProcess, AGuardThatHangsIsATimeoutAndNotAWait) {
  StartGuard();
  kill(guard_, SIGSTOP);
  const Instant begin = ReadClocks();
  const Result<Unit> permitted = Await(client_->Permit(kSeven, ReadClocks() + 1s, 0s, 100ms));
  ASSERT_FALSE(permitted.ok());
  EXPECT_EQ(permitted.error().retry, Retry::kRetry);
  EXPECT_LT(AgeAt(begin, ReadClocks()), 5s);
  kill(guard_, SIGCONT);
}

TEST_F(GuardProcess, ClientsThatForgetToHangUpDoNotLockTheAgentOut) {
  StartGuard();
  boost::asio::io_context context;
  using boost::asio::generic::seq_packet_protocol;
  using boost::asio::local::stream_protocol;
  std::vector<seq_packet_protocol::socket> idle;
  const seq_packet_protocol protocol(AF_UNIX, 0);
  for (int number = 0; number < 40; ++number) {
    idle.emplace_back(context, protocol);
    idle.back().connect(seq_packet_protocol::endpoint(stream_protocol::endpoint{GuardSocketPath(state_)}));
  }
  EXPECT_TRUE(Permit(kSeven, ReadClocks() + 1s).ok());
}

TEST_F(GuardProcess, AMessageThatIsNotUnderstoodIsAnsweredSo) {
  StartGuard();
  boost::asio::io_context context;
  using boost::asio::generic::seq_packet_protocol;
  using boost::asio::local::stream_protocol;
  for (const std::size_t size : {1U, 79U, 80U, 81U, 4096U}) {
    seq_packet_protocol::socket socket(context, seq_packet_protocol(AF_UNIX, 0));
    socket.connect(seq_packet_protocol::endpoint(stream_protocol::endpoint{GuardSocketPath(state_)}));
    socket.send(boost::asio::buffer(std::string(size, 'x')), 0);
    guard_protocol::Answer answer;
    boost::asio::socket_base::message_flags flags = 0;
    ASSERT_EQ(socket.receive(boost::asio::buffer(&answer, sizeof answer), flags), sizeof answer);
    EXPECT_EQ(answer.answer, static_cast<std::uint32_t>(GuardAnswer::kNotUnderstood)) << size;
  }
}

TEST_F(GuardProcess, ItsOwnMemoryStaysSmall) {
  StartGuard();
  EXPECT_GT(Look().worst_kill, 0ns) << "before the first kill: its measured floor";
  std::printf("two looks through /proc: %.2f ms\n", Look().worst_kill.count() / 1e6);
  ASSERT_TRUE(Permit(kSeven, ReadClocks() + 1s).ok());
  ASSERT_TRUE(Eventually([&] { return Look().fired; }));
  std::ifstream status("/proc/" + std::to_string(guard_) + "/status");
  std::size_t anonymous = 0;
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon") || line.starts_with("RssFile") || line.starts_with("VmLck")) std::printf("%s\n", line.c_str());
    if (line.starts_with("RssAnon")) anonymous = std::stoul(line.substr(line.find_first_of("0123456789")));
  }
  EXPECT_GT(anonymous, 0U);
  EXPECT_LT(anonymous, 6U * 1024U) << "KiB";
}

// ---- a real server ----

constexpr const char* kBin = "/usr/lib/postgresql/15/bin";

class GuardPostgres : public GuardProcess {
 protected:
  GuardPostgres() {
    if (geteuid() == 0) user_ = *FindUser("postgres");
    std::filesystem::remove_all(data_);
    if (user_) {
      EXPECT_EQ(chown(folder_.c_str(), user_->uid, user_->gid), 0);
    }
    const CommandOutput made =
        Run({std::string(kBin) + "/initdb", "-D", data_, "-A", "trust", "-U", "postgres", "--no-sync", "--no-instructions"});
    EXPECT_EQ(made.exit_code, 0) << made.err;
    std::ofstream(data_ + "/postgresql.conf", std::ios::app)
        << "listen_addresses = ''\nunix_socket_directories = '" << folder_ << "'\nfsync = off\nshared_buffers = 16MB\n";
  }

  CommandOutput Run(std::vector<std::string> argv) {
    boost::asio::io_context context;
    std::optional<Result<CommandOutput>> output;
    CommandOptions options;
    options.cwd = folder_;
    options.run_as = user_;
    boost::asio::co_spawn(context, Store(RunCommand(context.get_executor(), std::move(argv), options, 60s), output),
                          [](std::exception_ptr) {});
    context.run();
    if (!output->ok()) return CommandOutput{-1, "", output->error().Text()};
    return **output;
  }
  pid_t StartServer() {
    SpawnOptions options;
    options.cwd = folder_;
    options.log_file = folder_ + "/postgresql.log";
    options.run_as = user_;
    const Result<pid_t> pid = SpawnDetached({std::string(kBin) + "/postgres", "-D", data_}, options);
    EXPECT_TRUE(pid.ok());
    return pid.ok() ? *pid : -1;
  }
  CommandOutput Sql(const std::string& text) {
    return Run({std::string(kBin) + "/psql", "-h", folder_, "-U", "postgres", "-AtX", "-c", text, "postgres"});
  }

  std::optional<RunAs> user_;
};

TEST_F(GuardPostgres, APrimaryLivesWhilePermittedFallsAtTheDeadlineAndComesBackAsAStandby) {
  // Given a guard, and a primary that is started under a permission.
  StartGuard();
  ASSERT_TRUE(Permit(kSeven, ReadClocks() + 25s).ok());
  StartServer();
  ASSERT_TRUE(Eventually([&] { return Sql("select pg_is_in_recovery()").out == "f\n"; }, 20s))
      << *ReadSmallFile(folder_ + "/postgresql.log");
  ASSERT_EQ(Sql("create table t (n int); insert into t values (1)").exit_code, 0);
  EXPECT_EQ(Look().kills, 0U);
  EXPECT_GE(ProcessesWithin(data_).size(), 5U) << "postmaster and its children have the data directory as their own";

  // When it is forbidden, then nothing is left, and the fence stands.
  ASSERT_TRUE(Forbid(kSeven).ok());
  EXPECT_THAT(ProcessesWithin(data_), IsEmpty());
  EXPECT_TRUE(HasFence());
  std::printf("worst kill of a real server: %.2f ms\n", Look().worst_kill.count() / 1e6);

  // When a supervisor starts it again, then it comes up as a standby and is left alone, from its first instant on.
  const pid_t standby = StartServer();
  ASSERT_TRUE(Eventually([&] { return Sql("select pg_is_in_recovery()").out == "t\n"; }, 20s))
      << *ReadSmallFile(folder_ + "/postgresql.log");
  EXPECT_TRUE(IsAlive(standby));
  EXPECT_EQ(Look().kills, 1U);

  // When somebody promotes it without a permission, then it is killed.
  Sql("select pg_promote(false)");
  EXPECT_TRUE(Eventually([&] { return !IsAlive(standby); }, 10s));
  EXPECT_TRUE(Eventually([&] { return Look().kills == 2; }));
  ASSERT_TRUE(Eventually([&] { return HasFence(); })) << "the promotion took it away, and the guard puts it back";

  // When somebody removes the fence and starts it, then it is killed before it serves anybody.
  ASSERT_TRUE(RemoveFileDurably(data_ + "/standby.signal").ok());
  const pid_t rogue = StartServer();
  EXPECT_TRUE(Eventually([&] { return !IsAlive(rogue); }, 10s));
  EXPECT_TRUE(Eventually([&] { return HasFence(); }));

  // When it is permitted again, then an agent may start it as a primary.
  ASSERT_TRUE(Eventually([&] { return Permit(Epoch{8}, ReadClocks() + 25s).ok(); }));
  ASSERT_TRUE(RemoveFileDurably(data_ + "/standby.signal").ok());
  StartServer();
  EXPECT_TRUE(Eventually([&] { return Sql("select n from t").out == "1\n"; }, 20s));
  EXPECT_EQ(Sql("insert into t values (2)").exit_code, 0);
}

TEST_F(GuardPostgres, CrashRecoveryInSingleUserModeIsLeftAloneWhileNothingIsPermitted) {
  // Given a server that was killed, as pg_rewind finds an old primary, and a guard that permits nothing.
  const pid_t primary = StartServer();
  ASSERT_TRUE(Eventually([&] { return Sql("select 1").out == "1\n"; }, 20s));
  kill(primary, SIGKILL);
  ASSERT_TRUE(KillWithin(data_, 10s).ok());
  StartGuard();
  // When it is recovered in single-user mode, then that goes through.
  const CommandOutput single = Run(
      {"sh", "-c", "(sleep 0.5; echo 'select 1') | " + std::string(kBin) + "/postgres --single -F -D '" + data_ + "' template1"});
  EXPECT_EQ(single.exit_code, 0) << single.err;
  EXPECT_EQ(Look().kills, 0U);
}

}  // namespace
}  // namespace lifeboat
