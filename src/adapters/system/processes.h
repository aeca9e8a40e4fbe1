#pragma once

// Processes of this machine as /proc shows them: which of them live within a folder, waiting for the end of one that
// is not our child, and killing all of a folder's. A PostgreSQL server's processes all have the data directory as their
// working directory, from the postmaster's start to the last backend's end, also after the postmaster was killed.
// Thread rule: any thread.

#include <sys/types.h>

#include <boost/asio/any_io_executor.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "base/time.h"

namespace lifeboat {

/// All live processes (no zombies) whose working directory is `folder` or lies beneath it, also one that was deleted
/// since. Never ourselves. Symbolic links in `folder` are followed.
/// A process whose working directory we may not read (another user's, without root) does not appear.
/// @source proc(5), /proc/pid/cwd and /proc/pid/stat
[[nodiscard]] std::vector<pid_t> ProcessesWithin(const std::string& folder);

/// SIGKILL to all processes within `folder`, again and again until none is left. Blocks, at most `timeout`.
/// @error kRetry: some are still there, and which
[[nodiscard]] Result<Unit> KillWithin(const std::string& folder, Duration timeout);

/// The same without blocking between the looks.
/// @thread `executor`, the one of the awaiting coroutine
Task<Result<Unit>> KillWithinAsync(boost::asio::any_io_executor executor, std::string folder, Duration timeout);

/// Resumes when process `pid` has ended; at once when there is none. Cancellable (operation_aborted is thrown).
/// @source pidfd_open(2)
Task<> WaitForProcessExit(boost::asio::any_io_executor executor, pid_t pid);

/// True for a process that exists and is no zombie.
[[nodiscard]] bool IsAlive(pid_t pid);

/// A process told apart from a later one that was given the same pid.
struct ProcessIdentity {
  pid_t pid = 0;
  std::uint64_t start_ticks = 0;  ///< clock ticks since boot at its start; @source proc_pid_stat(5), starttime
  friend bool operator==(const ProcessIdentity&, const ProcessIdentity&) = default;
};

/// Nothing when there is no live process `pid`.
[[nodiscard]] std::optional<ProcessIdentity> IdentifyProcess(pid_t pid);
/// True while this very process lives.
[[nodiscard]] bool IsAlive(const ProcessIdentity& process);
/// Sends `signal` to this very process and to none that took over its pid. @error kNotFound: it has ended
[[nodiscard]] Result<Unit> SignalProcess(const ProcessIdentity& process, int signal);

}  // namespace lifeboat
