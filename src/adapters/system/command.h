#pragma once

// Programs as children: RunCommand awaits one and hands back what it said; SpawnDetached starts one that outlives us.
// Nothing here installs a SIGCHLD handler: the end of a child is seen by its pidfd, so that each child belongs to its
// caller alone. Programs are started by execve in a child of fork that calls only async-signal-safe functions.
// Thread rule: RunCommand on the executor that it is given; SpawnDetached from any thread, it blocks for milliseconds.

#include <sys/types.h>

#include <boost/asio/any_io_executor.hpp>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "base/time.h"

namespace lifeboat {

/// The user that a child runs as. Only root may ask for one.
struct RunAs {
  uid_t uid = 0;
  gid_t gid = 0;
  std::string name;  ///< for the supplementary groups
};

/// Looks a user up. Blocks (name service). @error kNotFound: no such user
[[nodiscard]] Result<RunAs> FindUser(const std::string& name);

struct CommandOutput {
  int exit_code = 0;  ///< 128 + the signal's number where a signal ended it, as a shell says it
  std::string out;
  std::string err;
};

struct CommandOptions {
  std::string cwd;                                 ///< empty: ours
  std::map<std::string, std::string> environment;  ///< added to ours
  std::optional<RunAs> run_as;                     ///< nothing: as ourselves
};

/// The most that one command may say on each of its two streams; more ends it.
inline constexpr std::size_t kMostCommandOutput = 64U << 20U;

/// Runs `argv` (argv[0] is looked up in PATH) and waits for its end. Standard input is /dev/null. The child has a
/// process group of its own; that whole group is killed at `timeout`, on cancellation and on too much output, and
/// whatever of it is left when the program itself has ended.
/// A program that ran is a value, whatever its exit code.
/// @error kNotFound: there is no such program; kUnknownOutcome: the timeout ended it, so it may have acted;
///        kFail: it could not be started, or said more than kMostCommandOutput
/// @thread `executor`, the one of the awaiting coroutine
Task<Result<CommandOutput>> RunCommand(boost::asio::any_io_executor executor, std::vector<std::string> argv, CommandOptions options,
                                       Duration timeout);

struct SpawnOptions {
  std::string cwd = "/";
  std::map<std::string, std::string> environment;  ///< added to ours
  std::string log_file = "/dev/null";              ///< standard output and error are appended to it
  std::optional<RunAs> run_as;
};

/// Starts `argv` (argv[0] looked up in PATH) in a session of its own; it survives us and is never a zombie: its parent is a
/// small process ("lifeboat-wait", in a session of its own too) that waits for its end and ends with it. Standard input
/// is /dev/null; no descriptor of ours is passed on. Answers after the execve.
/// @return the pid of the program
/// @error kNotFound: no such program, folder or log folder; kFail: it could not be started
[[nodiscard]] Result<pid_t> SpawnDetached(std::vector<std::string> argv, SpawnOptions options);

/// The same with its parts in a row.
[[nodiscard]] Result<pid_t> SpawnDetached(std::vector<std::string> argv, std::string cwd,
                                          std::map<std::string, std::string> environment, std::string log_file);

}  // namespace lifeboat
