#include "adapters/system/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>
#include <utility>

#include "adapters/system/descriptor.h"

namespace lifeboat {

namespace {

std::string Why(int error) {
  char text[128];
  return strerror_r(error, text, sizeof text);
}

Error FileError(const char* verb, const std::string& path, int error) {
  const std::string message = std::string("cannot ") + verb + " '" + path + "': " + Why(error);
  if (error == ENOENT) return NotFound(message);
  if (error == ENOSPC || error == EDQUOT) return Fail(message, "free space on its file system");
  if (error == EACCES || error == EPERM) return Fail(message, "check the owner and the mode of it and of its folder");
  return Fail(message);
}

std::string FolderOf(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

/// 0 or the errno.
int WriteAll(int descriptor, std::string_view content) {
  while (!content.empty()) {
    const ssize_t written = write(descriptor, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    content.remove_prefix(static_cast<std::size_t>(written));
  }
  return 0;
}

/// Reads to the end, or until there is one byte more than `most`. 0 or the errno.
int ReadAll(int descriptor, std::size_t most, std::string& into) {
  char part[4096];
  while (into.size() <= most) {
    const ssize_t got = read(descriptor, part, sizeof part);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    if (got == 0) return 0;
    into.append(part, static_cast<std::size_t>(got));
  }
  return 0;
}

/// Optional since Asio makes an empty one for the case of an exception.
Task<std::optional<Result<Unit>>> WriteHere(std::string path, std::string content) { co_return WriteFileDurably(path, content); }

}  // namespace

Result<Unit> SyncFolder(const std::string& folder) {
  const Descriptor handle(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!handle.ok()) return FileError("open folder", folder, errno);
  if (fsync(handle.number()) != 0) return FileError("sync folder", folder, errno);
  return Done();
}

Result<Unit> WriteFileDurably(const std::string& path, std::string_view content) {
  // A name of its own for each writer: two at once cannot mix their halves.
  std::string beside = path + ".XXXXXX";
  Descriptor file(mkostemp(beside.data(), O_CLOEXEC));
  if (!file.ok()) return FileError("create", beside, errno);
  int error = WriteAll(file.number(), content);
  // SAFETY: the content reaches the disk before its name does, or a crash could leave an empty file under the name
  // (Files.AWrittenFileIsWholeAndPrivate shows the visible half of it).
  if (error == 0 && fsync(file.number()) != 0) error = errno;
  file.Close();
  if (error == 0 && rename(beside.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) {
    unlink(beside.c_str());
    return FileError("write", path, error);
  }
  if (Result<Unit> synced = SyncFolder(FolderOf(path)); !synced) {
    return UnknownOutcome("'" + path + "' was written, but " + synced.error().message, synced.error().hint);
  }
  return Done();
}

Task<Result<Unit>> WriteFileDurablyAsync(boost::asio::thread_pool& pool, std::string path, std::string content) {
  Task<std::optional<Result<Unit>>> write = WriteHere(std::move(path), std::move(content));
  const std::optional<Result<Unit>> result = co_await boost::asio::co_spawn(pool, std::move(write), boost::asio::use_awaitable);
  LIFEBOAT_CHECK(result.has_value(), "the pool ended while it wrote");
  co_return *result;
}

Result<std::string> ReadSmallFile(const std::string& path, std::size_t most) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.ok()) return FileError("open", path, errno);
  std::string content;
  if (const int error = ReadAll(file.number(), most, content); error != 0) return FileError("read", path, error);
  if (content.size() > most) return Fail("'" + path + "' is larger than " + std::to_string(most) + " bytes");
  return content;
}

Result<Unit> RemoveFileDurably(const std::string& path) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return FileError("remove", path, errno);
  if (Result<Unit> synced = SyncFolder(FolderOf(path)); !synced) {
    return UnknownOutcome("'" + path + "' was removed, but " + synced.error().message, synced.error().hint);
  }
  return Done();
}

Result<Unit> EnsureDirectory(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) return Done();
    return Fail("'" + path + "' is no folder", "move it away, or name another path");
  }
  if (errno != ENOENT) return FileError("look at", path, errno);
  const std::string parent = FolderOf(path);
  if (Result<Unit> made = EnsureDirectory(parent); !made) return made;
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return FileError("make folder", path, errno);
  return SyncFolder(parent);
}

Result<FileLock> FileLock::Take(const std::string& folder, const std::string& name) {
  const std::string path = folder + "/" + name;
  Descriptor file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!file.ok()) return FileError("open lock file", path, errno);
  if (flock(file.number(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return FileError("lock", path, errno);
    std::string holder;
    ReadAll(file.number(), 64, holder);
    while (!holder.empty() && holder.back() == '\n') holder.pop_back();
    return Refused("'" + path + "' is held by process " + (holder.empty() ? "(unknown)" : holder),
                   "only one may run here; end that process first");
  }
  const std::string pid = std::to_string(getpid()) + "\n";
  // The text is for people; the lock is what counts. A full disk must not keep us from it.
  if (ftruncate(file.number(), 0) == 0) WriteAll(file.number(), pid);
  return FileLock(file.Release());
}

FileLock::FileLock(FileLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  if (this != &other) {
    if (descriptor_ >= 0) close(descriptor_);
    descriptor_ = std::exchange(other.descriptor_, -1);
  }
  return *this;
}

FileLock::~FileLock() {
  if (descriptor_ >= 0) close(descriptor_);
}

}  // namespace lifeboat
