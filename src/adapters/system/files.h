#pragma once

// Small files that must be whole or absent, and the lock that keeps a second process out.
// Thread rule: any thread; everything blocks on the disk, so it is called at start-up or on a pool. The Async form moves
// itself to a pool and back.

#include <boost/asio/thread_pool.hpp>
#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/task.h"

namespace lifeboat {

/// Makes `content` the whole of file `path`, mode 0600, synced together with its folder. After a crash at any instant
/// the file holds the old content or the new one.
/// @error kFail: the disk is full and the like; the old content stands
/// @error kUnknownOutcome: renamed, but the folder could not be synced
[[nodiscard]] Result<Unit> WriteFileDurably(const std::string& path, std::string_view content);

/// The same on a thread of `pool`; resumes on the executor of the awaiting coroutine. `pool` must outlive the call.
Task<Result<Unit>> WriteFileDurablyAsync(boost::asio::thread_pool& pool, std::string path, std::string content);

/// The whole of a file of at most `most` bytes. @error kNotFound; kFail: too large, or not readable
[[nodiscard]] Result<std::string> ReadSmallFile(const std::string& path, std::size_t most = 1U << 20U);

/// Removes a file durably; done when it is not there.
[[nodiscard]] Result<Unit> RemoveFileDurably(const std::string& path);

/// Syncs the names within `folder`. @source fsync(2), "Calling fsync() does not necessarily ensure that the entry in
/// the directory containing the file has also reached disk"
[[nodiscard]] Result<Unit> SyncFolder(const std::string& folder);

/// Makes `path` and its parents where missing, mode 0700, synced. @error kFail: something else stands there
[[nodiscard]] Result<Unit> EnsureDirectory(const std::string& path);

/// The sole right to a folder for as long as this object, or the process, lives. @source flock(2)
class FileLock {
 public:
  /// Takes the lock file `name` within `folder` at once or not at all; our pid is written into it.
  /// @error kRefused: another process holds it, and which
  [[nodiscard]] static Result<FileLock> Take(const std::string& folder, const std::string& name = "lock");

  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) noexcept;
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;
  ~FileLock();

 private:
  explicit FileLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_ = -1;
};

}  // namespace lifeboat
