#include "adapters/system/command.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

#include "adapters/system/descriptor.h"

extern char** environ;

namespace lifeboat {

namespace {

namespace asio = boost::asio;
using asio::posix::stream_descriptor;

std::string Why(int error) {
  char text[128];
  return strerror_r(error, text, sizeof text);
}

// ---- starting ----

/// What the child was at when it failed; sent through a pipe that a successful execve closes.
enum class Stage : int { kIdentity, kFolder, kLog, kProgram };

struct StartReport {
  Stage stage = Stage::kProgram;
  int error = 0;
};

/// Everything that the child needs, made before the fork: after it nothing may allocate or lock.
struct Launch {
  std::string program;
  std::vector<std::string> arguments;
  std::vector<std::string> environment;
  std::vector<char*> argv;
  std::vector<char*> envp;
  std::string cwd;
  std::string log_file;
  std::optional<RunAs> run_as;
  std::vector<gid_t> groups;

  Launch() = default;
  Launch(const Launch&) = delete;
  Launch& operator=(const Launch&) = delete;
};

std::string FindInPath(const std::string& name, const std::map<std::string, std::string>& environment) {
  if (name.find('/') != std::string::npos) return name;
  const auto given = environment.find("PATH");
  const char* ours = getenv("PATH");
  std::string path = given != environment.end() ? given->second : ours != nullptr ? ours : "/usr/local/bin:/usr/bin:/bin";
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t colon = std::min(path.find(':', at), path.size());
    const std::string candidate = path.substr(at, colon - at) + "/" + name;
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
    at = colon + 1;
  }
  return {};
}

std::vector<std::string> MergeEnvironment(std::map<std::string, std::string> added, const std::optional<RunAs>& run_as) {
  if (run_as) {
    added.emplace("USER", run_as->name);
    added.emplace("LOGNAME", run_as->name);
    passwd entry{};
    passwd* found = nullptr;
    char buffer[4096];
    if (getpwuid_r(run_as->uid, &entry, buffer, sizeof buffer, &found) == 0 && found != nullptr)
      added.emplace("HOME", found->pw_dir);
  }
  std::vector<std::string> merged;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string text = *variable;
    if (!added.contains(text.substr(0, text.find('=')))) merged.push_back(text);
  }
  for (const auto& [name, value] : added) merged.push_back(name + "=" + value);
  return merged;
}

Result<Unit> Prepare(Launch& launch, std::vector<std::string> argv, const std::map<std::string, std::string>& environment) {
  LIFEBOAT_CHECK(!argv.empty(), "a command without a program");
  launch.program = FindInPath(argv[0], environment);
  if (launch.program.empty() || access(launch.program.c_str(), F_OK) != 0) {
    return NotFound("program '" + argv[0] + "' was not found", "install it, or correct its path in the settings");
  }
  launch.arguments = std::move(argv);
  launch.environment = MergeEnvironment(environment, launch.run_as);
  for (std::string& argument : launch.arguments) launch.argv.push_back(argument.data());
  for (std::string& variable : launch.environment) launch.envp.push_back(variable.data());
  launch.argv.push_back(nullptr);
  launch.envp.push_back(nullptr);
  if (launch.run_as) {
    int count = 256;
    launch.groups.resize(static_cast<std::size_t>(count));
    if (getgrouplist(launch.run_as->name.c_str(), launch.run_as->gid, launch.groups.data(), &count) < 0) {
      return Fail("user '" + launch.run_as->name + "' is in more groups than are supported");
    }
    launch.groups.resize(static_cast<std::size_t>(count));
  }
  return Done();
}

// From here to the end of BecomeProgram: async-signal-safe calls only, since other threads may hold any lock at the fork.

[[noreturn]] void GiveUp(int report, Stage stage) {
  const StartReport text{stage, errno};
  // A pipe takes this little at once or not at all; with nobody left to tell, nothing is lost.
  if (write(report, &text, sizeof text) < 0) _exit(127);
  _exit(127);
}

/// SAFETY: no privilege of ours is left to the program: groups, then group, then user, all three ids of each. Raw calls, since
/// the library's would look for other threads that the child does not have. @source setuid(2), credentials(7)
void BecomeUser(const Launch& launch, int report) {
  if (syscall(SYS_setgroups, launch.groups.size(), launch.groups.data()) != 0) GiveUp(report, Stage::kIdentity);
  const gid_t gid = launch.run_as->gid;
  const uid_t uid = launch.run_as->uid;
  if (syscall(SYS_setresgid, gid, gid, gid) != 0) GiveUp(report, Stage::kIdentity);
  if (syscall(SYS_setresuid, uid, uid, uid) != 0) GiveUp(report, Stage::kIdentity);
}

void ResetSignals() {
  for (int number = 1; number < NSIG; ++number) {
    struct sigaction action {};
    action.sa_handler = SIG_DFL;
    sigaction(number, &action, nullptr);  // fails for SIGKILL and the like: as it should
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

/// `out` and `err` below zero: the launch's log file. Everything else of ours is closed at the execve.
[[noreturn]] void BecomeProgram(const Launch& launch, int out, int err, int report) {
  ResetSignals();
  if (launch.run_as) BecomeUser(launch, report);
  const int nothing = open("/dev/null", O_RDWR);
  if (nothing < 0) GiveUp(report, Stage::kLog);
  if (out < 0) {
    out = err = open(launch.log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (out < 0) GiveUp(report, Stage::kLog);
  }
  if (!launch.cwd.empty() && chdir(launch.cwd.c_str()) != 0) GiveUp(report, Stage::kFolder);
  if (dup2(nothing, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0) GiveUp(report, Stage::kLog);
  syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */);
  execve(launch.program.c_str(), launch.argv.data(), launch.envp.data());
  GiveUp(report, Stage::kProgram);
}

/// Starts the program as its child, waits for its end, and ends too. A slow or missing init would leave the program a zombie, and
/// PostgreSQL takes the zombie of a lock file's pid for a running server and refuses to start (seen: a second and more).
[[noreturn]] void BecomeWaiter(const Launch& launch, int pids, int report) {
  setsid();
  const pid_t pid = fork();
  if (pid == 0) {
    setsid();
    BecomeProgram(launch, -1, -1, report);
  }
  if (pid < 0) GiveUp(report, Stage::kProgram);
  ResetSignals();
  prctl(PR_SET_NAME, "lifeboat-wait");
  if (write(pids, &pid, sizeof pid) != sizeof pid || chdir("/") != 0) _exit(1);
  syscall(SYS_close_range, 0U, ~0U, 0U);  // locks and sockets of ours end with us, not with the program
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) continue;
  _exit(0);
}

struct Pipe {
  Descriptor read;
  Descriptor write;
};

/// Both ends above the standard streams, so that the child's dup2 never overwrites one that it still needs.
Result<Pipe> MakePipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Fail("cannot make a pipe: " + Why(errno));
  Pipe made{Descriptor(ends[0]), Descriptor(ends[1])};
  for (Descriptor* end : {&made.read, &made.write}) {
    if (end->number() > 2) continue;
    Descriptor higher(fcntl(end->number(), F_DUPFD_CLOEXEC, 3));
    if (!higher.ok()) return Fail("cannot make a pipe: " + Why(errno));
    *end = std::move(higher);
  }
  return made;
}

/// Reads `size` bytes; fewer at the end of the pipe.
std::size_t ReadFully(int descriptor, void* into, std::size_t size) {
  std::size_t have = 0;
  while (have < size) {
    const ssize_t got = read(descriptor, static_cast<char*>(into) + have, size - have);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    have += static_cast<std::size_t>(got);
  }
  return have;
}

Error StartError(const Launch& launch, StartReport report) {
  const std::string name = "cannot start '" + launch.arguments[0] + "': ";
  const std::string why = Why(report.error);
  const bool missing = report.error == ENOENT || report.error == ENOTDIR;
  switch (report.stage) {
    case Stage::kIdentity:
      return Fail(name + "becoming user '" + launch.run_as->name + "': " + why, "only root may start a program as another user");
    case Stage::kFolder: {
      const std::string text = name + "folder '" + launch.cwd + "': " + why;
      return missing ? NotFound(text) : Fail(text);
    }
    case Stage::kLog: {
      const std::string text = name + "log file '" + launch.log_file + "': " + why;
      return missing ? NotFound(text) : Fail(text);
    }
    case Stage::kProgram: return missing ? NotFound(name + why) : Fail(name + why);
  }
  return Fail(name + why);
}

// ---- running ----

/// A child that we have not reaped yet, and its process group. Until it is reaped its pid belongs to nobody else.
class Child {
 public:
  Child(pid_t pid, Descriptor handle) : pid_(pid), handle_(std::move(handle)) {}
  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, 0)), handle_(std::move(other.handle_)) {}
  Child& operator=(Child&&) = delete;
  /// The frame of a coroutine that will never resume: block for the moment that a killed process takes.
  ~Child() {
    if (pid_ == 0) return;
    KillGroup();
    siginfo_t info{};
    while (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED) != 0 && errno == EINTR) continue;
  }

  [[nodiscard]] int handle() const { return handle_.number(); }
  void KillGroup() const { kill(-pid_, SIGKILL); }

  /// The exit code as a shell says it, once it has ended.
  [[nodiscard]] std::optional<int> Reap() {
    siginfo_t info{};
    if (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 && errno == EINTR) return std::nullopt;
    if (info.si_pid == 0) return std::nullopt;
    // What is left of the group goes while the pid is still ours: afterwards the number could be another group's.
    KillGroup();
    waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG);
    pid_ = 0;
    return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
  }

 private:
  pid_t pid_;
  Descriptor handle_;
};

/// Forks and waits for the execve (milliseconds).
Result<Child> StartChild(const Launch& launch, Descriptor out, Descriptor err) {
  Result<Pipe> report = MakePipe();
  if (!report) return report.error();
  const pid_t pid = fork();
  if (pid < 0)
    return Fail("cannot start '" + launch.arguments[0] + "': " + Why(errno), "look at the limit of processes and at free memory");
  if (pid == 0) {
    setpgid(0, 0);
    BecomeProgram(launch, out.number(), err.number(), report->write.number());
  }
  report->write.Close();
  Descriptor handle(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  Child child(pid, std::move(handle));
  StartReport failure;
  if (ReadFully(report->read.number(), &failure, sizeof failure) == sizeof failure) return StartError(launch, failure);
  if (child.handle() < 0) return Fail("cannot watch '" + launch.arguments[0] + "': " + Why(errno));
  return child;
}

enum class Ending { kExited, kTimedOut, kTooMuch, kCancelled };

Task<Ending> UntilExit(stream_descriptor& handle) {
  const auto [error] = co_await handle.async_wait(stream_descriptor::wait_read, asio::as_tuple(asio::use_awaitable));
  co_return error ? Ending::kCancelled : Ending::kExited;
}

Task<Ending> UntilTime(asio::steady_timer& timer) {
  const auto [error] = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
  co_return error ? Ending::kCancelled : Ending::kTimedOut;
}

/// Collects one stream. Its end says nothing about the program's, so it then waits to be cancelled.
Task<Ending> Collect(stream_descriptor& stream, asio::steady_timer& never, std::string& into) {
  std::vector<char> part(65536);
  for (;;) {
    const auto [error, size] = co_await stream.async_read_some(asio::buffer(part), asio::as_tuple(asio::use_awaitable));
    into.append(part.data(), size);
    if (into.size() > kMostCommandOutput) co_return Ending::kTooMuch;
    if (error == asio::error::operation_aborted) co_return Ending::kCancelled;
    if (error) break;
  }
  const auto [cancelled] = co_await never.async_wait(asio::as_tuple(asio::use_awaitable));
  co_return cancelled ? Ending::kCancelled : Ending::kTimedOut;
}

/// What already lies in the pipe, without waiting for whoever else still holds its other end.
void Drain(stream_descriptor& stream, std::string& into) {
  boost::system::error_code error;
  stream.non_blocking(true, error);
  std::vector<char> part(65536);
  while (!error && into.size() <= kMostCommandOutput) {
    const std::size_t size = stream.read_some(asio::buffer(part), error);
    into.append(part.data(), size);
  }
}

template <typename Variant>
Ending FirstOf(const Variant& endings) {
  return std::visit([](Ending ending) { return ending; }, endings);
}

/// Waits for the first of: the end, the time, too much output, a cancellation.
Task<Ending> Watch(asio::any_io_executor executor, stream_descriptor& handle, stream_descriptor& out, stream_descriptor& err,
                   CommandOutput& output, Duration timeout) {
  using namespace asio::experimental::awaitable_operators;  // NOLINT(google-build-using-namespace): the operators
  asio::steady_timer timer(executor, timeout);
  asio::steady_timer never_out(executor, asio::steady_timer::time_point::max());
  asio::steady_timer never_err(executor, asio::steady_timer::time_point::max());
  Task<Ending> exit = UntilExit(handle);
  Task<Ending> time = UntilTime(timer);
  Task<Ending> read_out = Collect(out, never_out, output.out);
  Task<Ending> read_err = Collect(err, never_err, output.err);
  auto first = co_await (std::move(exit) || std::move(time) || std::move(read_out) || std::move(read_err));
  co_return FirstOf(first);
}

/// A killed child takes about a millisecond to go; one that hangs in the kernel is left to the destructor of Child.
Task<std::optional<int>> ReapSoon(asio::any_io_executor executor, Child& child) {
  asio::steady_timer timer(executor);
  const Instant end = ReadClocks() + 10s;
  for (Duration pause = 200us;; pause = std::min<Duration>(pause * 2, 20ms)) {
    const std::optional<int> code = child.Reap();
    if (code || HasPassed(end, ReadClocks())) co_return code;
    timer.expires_after(pause);
    co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
  }
}

Task<Result<CommandOutput>> WatchToTheEnd(asio::any_io_executor executor, Child child, stream_descriptor out, stream_descriptor err,
                                          std::string name, Duration timeout) {
  CommandOutput output;
  stream_descriptor handle(executor, dup(child.handle()));
  const Ending ending = co_await Watch(executor, handle, out, err, output, timeout);
  if (ending != Ending::kExited) child.KillGroup();
  const std::optional<int> code = co_await ReapSoon(executor, child);
  Drain(out, output.out);
  Drain(err, output.err);
  const bool too_much = output.out.size() > kMostCommandOutput || output.err.size() > kMostCommandOutput;
  if (ending == Ending::kTimedOut) {
    co_return UnknownOutcome("'" + name + "' did not end within " + FormatDuration(timeout) + " and was killed");
  }
  if (too_much) co_return Fail("'" + name + "' said more than " + std::to_string(kMostCommandOutput >> 20U) + " MiB");
  if (ending == Ending::kCancelled) co_return UnknownOutcome("'" + name + "' was cancelled and killed");
  if (!code) co_return UnknownOutcome("the end of '" + name + "' could not be read");
  output.exit_code = *code;
  co_return output;
}

}  // namespace

Result<RunAs> FindUser(const std::string& name) {
  passwd entry{};
  passwd* found = nullptr;
  char buffer[4096];
  if (getpwnam_r(name.c_str(), &entry, buffer, sizeof buffer, &found) != 0 || found == nullptr) {
    return NotFound("there is no user '" + name + "'", "create it, or name another one");
  }
  return RunAs{found->pw_uid, found->pw_gid, name};
}

Task<Result<CommandOutput>> RunCommand(asio::any_io_executor executor, std::vector<std::string> argv, CommandOptions options,
                                       Duration timeout) {
  Launch launch;
  launch.cwd = options.cwd;
  launch.run_as = options.run_as;
  if (Result<Unit> prepared = Prepare(launch, std::move(argv), options.environment); !prepared) co_return prepared.error();
  Result<Pipe> out = MakePipe();
  if (!out) co_return out.error();
  Result<Pipe> err = MakePipe();
  if (!err) co_return err.error();
  Result<Child> child = StartChild(launch, std::move(out->write), std::move(err->write));
  if (!child) co_return child.error();
  stream_descriptor out_stream(executor, out->read.Release());
  stream_descriptor err_stream(executor, err->read.Release());

  // A cancellation must not leave here before the child is gone: it is held back, and thrown at the end.
  const bool throws = co_await asio::this_coro::throw_if_cancelled();
  co_await asio::this_coro::throw_if_cancelled(false);
  Task<Result<CommandOutput>> watch =
      WatchToTheEnd(executor, std::move(child).value(), std::move(out_stream), std::move(err_stream), launch.arguments[0], timeout);
  Result<CommandOutput> result = co_await std::move(watch);
  const asio::cancellation_state state = co_await asio::this_coro::cancellation_state;
  co_await asio::this_coro::throw_if_cancelled(throws);
  if (throws && state.cancelled() != asio::cancellation_type::none) {
    throw boost::system::system_error(asio::error::operation_aborted);
  }
  co_return result;
}

Result<pid_t> SpawnDetached(std::vector<std::string> argv, SpawnOptions options) {
  Launch launch;
  launch.cwd = options.cwd;
  launch.log_file = options.log_file;
  launch.run_as = options.run_as;
  if (Result<Unit> prepared = Prepare(launch, std::move(argv), options.environment); !prepared) return prepared.error();
  Result<Pipe> pids = MakePipe();
  if (!pids) return pids.error();
  Result<Pipe> report = MakePipe();
  if (!report) return report.error();

  const pid_t between = fork();
  if (between < 0) return Fail("cannot start '" + launch.arguments[0] + "': " + Why(errno));
  if (between == 0) {
    if (fork() == 0) BecomeWaiter(launch, pids->write.number(), report->write.number());
    _exit(0);
  }
  pids->write.Close();
  report->write.Close();
  pid_t pid = 0;
  const bool have_pid = ReadFully(pids->read.number(), &pid, sizeof pid) == sizeof pid;
  while (waitpid(between, nullptr, 0) < 0 && errno == EINTR) continue;
  StartReport failure;
  if (ReadFully(report->read.number(), &failure, sizeof failure) == sizeof failure) return StartError(launch, failure);
  if (!have_pid) return UnknownOutcome("'" + launch.arguments[0] + "' may have been started: its pid was not told");
  return pid;
}

Result<pid_t> SpawnDetached(std::vector<std::string> argv, std::string cwd, std::map<std::string, std::string> environment,
                            std::string log_file) {
  SpawnOptions options;
  options.cwd = std::move(cwd);
  options.environment = std::move(environment);
  options.log_file = std::move(log_file);
  return SpawnDetached(std::move(argv), std::move(options));
}

}  // namespace lifeboat
