#include "adapters/system/process_scan.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>

#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace lifeboat {

namespace {

/// What stands before each name as the kernel writes it. @source getdents64(2)
struct KernelEntry {
  std::uint64_t inode;
  std::int64_t offset;
  std::uint16_t length;
  std::uint8_t type;
};
constexpr std::size_t kNameOffset = offsetof(KernelEntry, type) + 1;

constexpr std::string_view kDeleted = " (deleted)";

bool IsZombie(int proc, const char* pid_text) {
  char path[48];
  std::strcpy(path, pid_text);
  std::strcat(path, "/stat");
  const Descriptor file(openat(proc, path, O_RDONLY | O_CLOEXEC));
  if (!file.ok()) return true;
  char text[512];
  const ssize_t size = read(file.number(), text, sizeof text - 1);
  if (size <= 0) return true;
  text[size] = 0;
  // The name stands in brackets and may itself hold brackets: the last one counts.
  const char* bracket = std::strrchr(text, ')');
  return bracket == nullptr || bracket[1] == 0 || bracket[2] == 'Z' || bracket[2] == 'X';
}

}  // namespace

Result<ProcessScan> ProcessScan::Make(const std::string& folder) {
  std::string given = folder;
  while (given.size() > 1 && given.back() == '/') given.pop_back();
  if (given.empty() || given.front() != '/') return Fail("folder '" + folder + "' is no absolute path");
  if (given.size() >= PATH_MAX) return Fail("the path of folder '" + folder + "' is too long");
  Descriptor proc(open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!proc.ok()) return Fail("cannot open '/proc'", "mount it");
  return ProcessScan(std::move(proc), std::move(given));
}

ProcessScan::ProcessScan(Descriptor proc, std::string folder) : proc_(std::move(proc)), given_(std::move(folder)) {
  std::memcpy(folder_.data(), given_.c_str(), given_.size() + 1);
  Resolve();
}

void ProcessScan::Resolve() {
  char real[PATH_MAX];
  if (realpath(given_.c_str(), real) != nullptr) std::memcpy(folder_.data(), real, std::strlen(real) + 1);
}

bool ProcessScan::IsWithin(const char* pid_text) {
  char path[48];
  std::strcpy(path, pid_text);
  std::strcat(path, "/cwd");
  const ssize_t size = readlinkat(proc_.number(), path, link_.data(), link_.size());
  if (size <= 0) return false;  // it has ended, or it is another user's
  std::string_view cwd(link_.data(), static_cast<std::size_t>(size));
  if (cwd.size() > kDeleted.size() && cwd.ends_with(kDeleted)) cwd.remove_suffix(kDeleted.size());
  const std::string_view folder(folder_.data());
  if (!cwd.starts_with(folder)) return false;
  const bool beneath = cwd.size() == folder.size() || folder == "/" || cwd[folder.size()] == '/';
  return beneath && !IsZombie(proc_.number(), pid_text);
}

template <typename Visit>
ssize_t ProcessScan::ForEach(Visit visit) {
  Resolve();
  if (lseek(proc_.number(), 0, SEEK_SET) < 0) return -errno;
  const pid_t self = getpid();
  ssize_t count = 0;
  for (;;) {
    const long size = syscall(SYS_getdents64, proc_.number(), entries_.data(), entries_.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return -errno;
    if (size == 0) return count;
    for (long at = 0; at < size;) {
      const auto* entry = reinterpret_cast<const KernelEntry*>(entries_.data() + at);
      const char* name = entries_.data() + at + kNameOffset;
      at += entry->length;
      pid_t pid = 0;
      const char* end = name + std::strlen(name);
      const auto [rest, problem] = std::from_chars(name, end, pid);
      if (problem != std::errc() || rest != end || pid <= 0 || pid == self) continue;
      if (!IsWithin(name)) continue;
      visit(pid);
      ++count;
    }
  }
}

ssize_t ProcessScan::Find(std::span<pid_t> found) {
  std::size_t used = 0;
  return ForEach([&](pid_t pid) {
    if (used < found.size()) found[used++] = pid;
  });
}

ssize_t ProcessScan::KillOnce() {
  return ForEach([](pid_t pid) { kill(pid, SIGKILL); });
}

}  // namespace lifeboat
