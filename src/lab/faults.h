#pragma once

// The loss of a region, as the lab plays it: every process that lives beneath a folder ends, or stands still, at one instant.
// Processes are found by their working directory and by a variable that they inherit, never by a name, which a server that is not
// ours may share. Thread rule: any thread; blocks.

#include <sys/types.h>

#include <filesystem>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace lifeboat::lab {

/// Environment variable that all processes of a lab region inherit: the region's folder.
inline constexpr const char* kPlaceVariable = "LIFEBOAT_LAB_PLACE";

struct KillReport {
  std::int64_t monotonic_ns = 0;  ///< CLOCK_MONOTONIC of the first signal: from here on nothing of it answers
  std::int64_t wall_ns = 0;
  std::vector<pid_t> killed;
};

/// Stops (SIGSTOP) all processes beneath `folder`, so that none sees another die or starts a new one, then kills them;
/// again until none is left. Neither we nor a process that started us is touched. Shared memory that killed PostgreSQL
/// servers leave in the kernel is removed, as the loss of a machine would.
/// @error kRetry: some are still there after `timeout`, and which
[[nodiscard]] Result<KillReport> KillAtOneInstant(const std::filesystem::path& folder, Duration timeout);

/// The same for one process of known pid, which must live beneath `folder`. @error kNotFound: it does not
[[nodiscard]] Result<KillReport> KillOne(const std::filesystem::path& folder, pid_t pid, Duration timeout);

/// Stops (SIGSTOP) all processes beneath `folder`, those that are started meanwhile among them; they stay as they are until they
/// are told to go on. `killed` names them.
[[nodiscard]] KillReport FreezeAtOneInstant(const std::filesystem::path& folder);
/// Lets all processes beneath `folder` go on (SIGCONT) that stand still.
[[nodiscard]] KillReport ThawAll(const std::filesystem::path& folder);
/// The same for one process, which must live beneath `folder`. @error kNotFound: it does not
[[nodiscard]] Result<KillReport> FreezeOne(const std::filesystem::path& folder, pid_t pid);
[[nodiscard]] Result<KillReport> ThawOne(const std::filesystem::path& folder, pid_t pid);
/// True while the process stands still.
[[nodiscard]] bool IsFrozen(pid_t pid);

}  // namespace lifeboat::lab
