#pragma once

// The guard as a process: it stops the database at the deadline, also when the agent cannot (docs/lease.md section 7).
// One thread waits for questions and deadlines and never touches the disk nor allocates; a second one writes the record,
// the fence and the log, which may block. Memory is locked and the priority raised where that is allowed.

#include <string>

#include "base/log.h"

namespace lifeboat {

struct GuardOptions {
  std::string data_directory;  ///< whose processes are killed; it need not exist yet
  std::string socket;          ///< unix socket, at most 107 bytes
  std::string record;          ///< highest epoch, JSON
  std::string permission;      ///< the kept permission, mapped
  std::string lock_folder;     ///< one guard a folder
  std::string gate_file;       ///< in tmpfs, the same as the server's setting lifeboat.gate_file; empty: no gate
  bool observe = false;        ///< policy.automation 'observe': once Hold has been heard, or from the start, it fences nothing
  Log log;
};

/// The files' names within a region's state directory. The socket's is what GuardClient wants.
[[nodiscard]] std::string GuardSocketPath(const std::string& state_directory);
[[nodiscard]] GuardOptions GuardOptionsFor(const std::string& state_directory, const std::string& data_directory, Log log);

/// Runs until SIGTERM or SIGINT. While something is permitted these two fence first: stopping the guard never leaves a
/// writable database unguarded. To replace a guard without an outage, SIGKILL it and start the new one before the
/// deadline: the permission is kept.
/// @return the exit status: 0 ended by a signal, 1 it could not start (said in the log and on standard error)
/// @thread to be called from a process with no other thread
int RunGuard(const GuardOptions& options);

}  // namespace lifeboat
