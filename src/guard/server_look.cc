#include "guard/server_look.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "adapters/system/descriptor.h"
#include "adapters/system/files.h"

namespace lifeboat {

namespace {

/// @return the bytes read; negative: not readable
ssize_t ReadInto(const char* path, char* into, std::size_t size) {
  const Descriptor file(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.ok()) return -1;
  ssize_t got = 0;
  do got = read(file.number(), into, size);
  while (got < 0 && errno == EINTR);
  return got;
}

bool Join(std::array<char, PATH_MAX>& into, const std::string& folder, std::string_view name) {
  if (folder.size() + name.size() >= into.size()) return false;
  std::memcpy(into.data(), folder.data(), folder.size());
  std::memcpy(into.data() + folder.size(), name.data(), name.size());
  into[folder.size() + name.size()] = 0;
  return true;
}

/// Line `number`, counted from 1; empty when there are fewer.
std::string_view Line(std::string_view text, int number) {
  for (int line = 1; line < number; ++line) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  return text.substr(0, text.find('\n'));
}

}  // namespace

ServerVerdict Judge(const ServerLook& look) {
  const ClusterState cluster = look.cluster.value_or(ClusterState::kInProduction);  // unknown is never good
  // A standby that replays, or a server whose sessions are all gone: it commits nothing. SAFETY: a promotion shows here
  // first, before the first session can write (GuardProcess.AServerInArchiveRecoveryIsLeftAloneUntilItIsPromoted).
  if (cluster == ClusterState::kArchiveRecovery || cluster == ClusterState::kShuttingDown) return ServerVerdict::kHarmless;
  const bool was_stopped_cleanly =
      cluster == ClusterState::kShutDown || cluster == ClusterState::kShutDownInRecovery || cluster == ClusterState::kStartup;
  if (!look.postmaster_alive) return was_stopped_cleanly ? ServerVerdict::kHarmless : ServerVerdict::kStrays;
  if (look.single_user) return ServerVerdict::kHarmless;
  if (look.status == PostmasterStatus::kStarting) {
    // The state is still the one before the start; the fence decides what becomes of it.
    return look.fence ? ServerVerdict::kHarmless : ServerVerdict::kWritable;
  }
  return was_stopped_cleanly ? ServerVerdict::kHarmless : ServerVerdict::kWritable;
}

Result<ServerFiles> ServerFiles::Make(const std::string& data_directory) {
  ServerFiles files;
  const bool fits = Join(files.folder_, data_directory, "") && Join(files.lock_file_, data_directory, "/postmaster.pid") &&
                    Join(files.control_, data_directory, "/global/pg_control") &&
                    Join(files.fence_, data_directory, "/standby.signal");
  if (!fits) return Fail("the path of data directory '" + data_directory + "' is too long");
  return files;
}

ServerLook ServerFiles::Look() {
  ServerLook look;
  ReadLockFile(look);
  ReadControl(look);
  look.fence = access(fence_.data(), F_OK) == 0;
  return look;
}

void ServerFiles::ReadLockFile(ServerLook& look) const {
  char text[PATH_MAX * 2 + 512];
  const ssize_t size = ReadInto(lock_file_.data(), text, sizeof text - 1);
  if (size <= 0) return;
  text[size] = 0;
  const long pid = std::strtol(text, nullptr, 10);
  look.single_user = pid < 0;  // @source PostgreSQL src/backend/utils/init/miscinit.c, CreateLockFile
  look.postmaster = static_cast<pid_t>(std::labs(pid));
  look.postmaster_alive = pid != 0 && IsOurPostmaster(look.postmaster);
  const std::string_view status = Line(std::string_view(text, static_cast<std::size_t>(size)), 8);
  if (status.starts_with("stopping")) {
    look.status = PostmasterStatus::kStopping;
  } else if (status.starts_with("ready") || status.starts_with("standby")) {
    look.status = PostmasterStatus::kUp;
  }
}

/// The pid of a lock file that a crash left may be another process's by now: its folder tells.
bool ServerFiles::IsOurPostmaster(pid_t pid) const {
  char path[48];
  std::snprintf(path, sizeof path, "/proc/%d/cwd", static_cast<int>(pid));
  struct stat theirs {};
  struct stat ours {};
  return stat(path, &theirs) == 0 && stat(folder_.data(), &ours) == 0 && theirs.st_dev == ours.st_dev &&
         theirs.st_ino == ours.st_ino;
}

void ServerFiles::ReadControl(ServerLook& look) const {
  // system_identifier 8 bytes, pg_control_version 4, catalog_version_no 4, state 4: the same in every release since 8.
  struct Head {
    std::uint64_t system_id;
    std::uint32_t version;
    std::uint32_t catalog;
    std::uint32_t state;
  } head{};
  if (ReadInto(control_.data(), reinterpret_cast<char*>(&head), sizeof head) < 20) return;
  constexpr std::uint32_t kMostVersion = 10000;  // larger: bytes of another order, or no such file at all
  if (head.version == 0 || head.version > kMostVersion || head.state > 6) return;
  look.cluster = static_cast<ClusterState>(head.state);
  look.system_id = head.system_id;
}

Result<Unit> PlaceFence(const std::string& data_directory) {
  struct stat status {};
  if (stat(data_directory.c_str(), &status) != 0 && errno == ENOENT) return Done();
  const std::string path = data_directory + "/standby.signal";
  const Descriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (!file.ok())
    return Fail("cannot place fence '" + path + "': " + std::strerror(errno), "place it by hand before anything starts the server");
  // The server must be able to remove it: it belongs to the owner of the folder, also when the guard runs as root.
  if (geteuid() == 0 && stat(data_directory.c_str(), &status) == 0 && fchown(file.number(), status.st_uid, status.st_gid) != 0) {
    return Fail("cannot give fence '" + path + "' to the owner of its folder: " + std::strerror(errno));
  }
  if (fsync(file.number()) != 0) return Fail("cannot sync fence '" + path + "': " + std::strerror(errno));
  return SyncFolder(data_directory);
}

}  // namespace lifeboat
