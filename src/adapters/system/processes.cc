#include "adapters/system/processes.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "adapters/system/process_scan.h"

namespace lifeboat {

namespace {

/// Looks again this soon after a kill: a killed process takes about a millisecond to go.
constexpr Duration kFirstPause = std::chrono::microseconds(500);
constexpr Duration kLongestPause = std::chrono::milliseconds(20);

Descriptor OpenPid(pid_t pid) { return Descriptor(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))); }

Error StillThere(const std::string& folder) {
  std::string pids;
  for (const pid_t pid : ProcessesWithin(folder)) pids += (pids.empty() ? "" : ", ") + std::to_string(pid);
  return RetryLater("processes within '" + folder + "' outlived SIGKILL: " + (pids.empty() ? "(gone by now)" : pids),
                    "a process that cannot be killed waits in the kernel: look for a hanging disk or mount");
}

/// One look of a kill. SAFETY: over only after two empty looks in a row: within one, a process may fork into a pid
/// that was already passed and end before its own turn (Processes.KillWithinLeavesNothingOfAForkingProcess).
class KillRound {
 public:
  explicit KillRound(ProcessScan scan) : scan_(std::move(scan)) {}

  [[nodiscard]] bool Look() {
    const ssize_t found = scan_.KillOnce();
    empty_looks_ = found == 0 ? empty_looks_ + 1 : 0;
    return empty_looks_ == 2;
  }
  [[nodiscard]] Duration NextPause() {
    if (empty_looks_ > 0) return 0ns;
    pause_ = std::min(pause_ * 2, kLongestPause);
    return pause_ / 2;
  }

 private:
  ProcessScan scan_;
  int empty_looks_ = 0;
  Duration pause_ = kFirstPause;
};

}  // namespace

std::vector<pid_t> ProcessesWithin(const std::string& folder) {
  Result<ProcessScan> scan = ProcessScan::Make(folder);
  if (!scan) return {};
  std::vector<pid_t> found(64);
  for (;;) {
    const ssize_t count = scan->Find(found);
    if (count < 0) return {};
    const auto wanted = static_cast<std::size_t>(count);
    if (wanted <= found.size()) {
      found.resize(wanted);
      return found;
    }
    found.resize(wanted * 2);
  }
}

Result<Unit> KillWithin(const std::string& folder, Duration timeout) {
  Result<ProcessScan> scan = ProcessScan::Make(folder);
  if (!scan) return scan.error();
  KillRound round(std::move(scan).value());
  const Instant end = ReadClocks() + timeout;
  while (!round.Look()) {
    if (HasPassed(end, ReadClocks())) return StillThere(folder);
    std::this_thread::sleep_for(round.NextPause());
  }
  return Done();
}

Task<Result<Unit>> KillWithinAsync(boost::asio::any_io_executor executor, std::string folder, Duration timeout) {
  Result<ProcessScan> scan = ProcessScan::Make(folder);
  if (!scan) co_return scan.error();
  KillRound round(std::move(scan).value());
  const Instant end = ReadClocks() + timeout;
  boost::asio::steady_timer timer(executor);
  while (!round.Look()) {
    if (HasPassed(end, ReadClocks())) co_return StillThere(folder);
    timer.expires_after(round.NextPause());
    co_await timer.async_wait(boost::asio::use_awaitable);
  }
  co_return Done();
}

Task<> WaitForProcessExit(boost::asio::any_io_executor executor, pid_t pid) {
  Descriptor handle = OpenPid(pid);
  if (!handle.ok()) {
    if (errno == ESRCH || errno == EINVAL) co_return;  // EINVAL: no positive pid, or a thread's
    throw boost::system::system_error(errno, boost::system::system_category(), "pidfd_open");
  }
  boost::asio::posix::stream_descriptor waiter(executor, handle.Release());
  co_await waiter.async_wait(boost::asio::posix::stream_descriptor::wait_read, boost::asio::use_awaitable);
}

std::optional<ProcessIdentity> IdentifyProcess(pid_t pid) {
  if (pid <= 0) return std::nullopt;
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.ok()) return std::nullopt;
  char text[1024];
  const ssize_t size = read(file.number(), text, sizeof text - 1);
  if (size <= 0) return std::nullopt;
  text[size] = 0;
  const char* bracket = std::strrchr(text, ')');  // the name before it may hold anything
  if (bracket == nullptr) return std::nullopt;
  char state = 0;
  unsigned long long start = 0;
  // Field 3 is the state and field 22 the start time. @source proc_pid_stat(5)
  const int fields =
      std::sscanf(bracket + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &state, &start);
  if (fields != 2 || state == 'Z' || state == 'X') return std::nullopt;
  return ProcessIdentity{pid, start};
}

bool IsAlive(pid_t pid) { return IdentifyProcess(pid).has_value(); }

bool IsAlive(const ProcessIdentity& process) { return IdentifyProcess(process.pid) == process; }

Result<Unit> SignalProcess(const ProcessIdentity& process, int signal) {
  const std::string name = "process " + std::to_string(process.pid);
  // The pidfd is opened first and the identity compared after: from then on it cannot become another process.
  const Descriptor handle = OpenPid(process.pid);
  if (!handle.ok() || !IsAlive(process)) return NotFound(name + " has ended");
  if (syscall(SYS_pidfd_send_signal, handle.number(), signal, nullptr, 0) == 0) return Done();
  if (errno == ESRCH) return NotFound(name + " has ended");
  return Fail("cannot send signal " + std::to_string(signal) + " to " + name + ": " + std::strerror(errno));
}

}  // namespace lifeboat
