#pragma once

// Programs that may do harm, tied up by the kernel before they start: they write beneath given folders alone (Landlock) and have no
// network and no way to connect to a server (seccomp). One that must read from a store of objects reaches TCP ports that are named,
// and name servers; which addresses it reaches there no filter can see, nor what it asks of them. The ties hold for all that they
// start, and cannot be undone. Thread rule: a child belongs to the thread that started it: it is killed when that thread ends
// (prctl(2), PR_SET_PDEATHSIG).

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "adapters/system/command.h"
#include "adapters/system/descriptor.h"
#include "base/result.h"
#include "base/time.h"

namespace lifeboat::backup {

/// True where this kernel can bind writes. @source landlock(7)
[[nodiscard]] bool HasLandlock();
/// True where it can bind connections to ports too (Linux 6.7).
[[nodiscard]] bool LandlockBindsPorts();

/// True where process `pid` listens at the other end of a connected local socket.
/// SAFETY: a sandbox's server can put another socket, or a link to one, in the place of its own, and we are not tied up as it is:
/// whom a path leads to is asked of the kernel, which noted it when that server began to listen. @source unix(7), SO_PEERCRED
[[nodiscard]] bool IsServedBy(int connection, pid_t pid);

struct GuardedLaunch {
  std::vector<std::string> argv;                   ///< argv[0] is a path
  std::map<std::string, std::string> environment;  ///< all of it: nothing of ours is handed on
  std::filesystem::path cwd;
  std::filesystem::path output;  ///< what it says on both streams is appended to this file, which exists
  std::optional<RunAs> run_as;
  std::vector<std::filesystem::path> writable;  ///< folders beneath which it may write
  std::vector<std::uint16_t> ports;             ///< TCP ports that it may connect to; empty: no network at all
  /// Socket of the one server that it may talk to: wherever it connects, it is led there. "": it may connect to nobody.
  std::filesystem::path server;
  pid_t server_pid = -1;      ///< who listens there: nobody else is connected to
  bool no_programs = false;   ///< it may start no other program
  int input = -1;             ///< becomes its standard input; -1: there is none
  unsigned cpus = 0;          ///< processors that it may use; 0: all
  int signal_at_our_end = 9;  ///< that it gets when our thread ends
  bool unguarded = false;     ///< start it also where the kernel has no Landlock
};

class GuardedChild {
 public:
  /// Answers after the execve. @error kNotFound: no such program; kFail: it could not be started or tied up
  [[nodiscard]] static Result<GuardedChild> Start(const GuardedLaunch& launch);

  GuardedChild(GuardedChild&& other) noexcept;
  GuardedChild& operator=(GuardedChild&&) = delete;
  GuardedChild(const GuardedChild&) = delete;
  GuardedChild& operator=(const GuardedChild&) = delete;
  /// Kills its process group and waits for the moment that this takes.
  ~GuardedChild();

  [[nodiscard]] pid_t pid() const { return pid_; }
  /// Waits at most so long; meanwhile it is led to its server where it connects. @return its exit code once it has ended (128 + the
  /// signal's number, as a shell says it)
  [[nodiscard]] std::optional<int> WaitFor(Duration timeout);
  /// To it alone.
  void Signal(int number) const;

 private:
  GuardedChild(pid_t pid, Descriptor handle, std::filesystem::path server, pid_t server_pid)
      : pid_(pid), handle_(std::move(handle)), server_(std::move(server)), server_pid_(server_pid) {}
  void LeadToServer();
  [[nodiscard]] std::optional<int> Reap();
  pid_t pid_ = 0;
  Descriptor handle_;
  Descriptor connects_;  ///< where the kernel asks about each connect() of it
  std::filesystem::path server_;
  pid_t server_pid_ = -1;
  std::optional<int> code_;
};

}  // namespace lifeboat::backup
