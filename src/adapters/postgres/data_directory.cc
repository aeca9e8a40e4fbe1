#include "adapters/postgres/data_directory.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "adapters/system/descriptor.h"
#include "adapters/system/files.h"
#include "adapters/system/processes.h"

namespace lifeboat::postgres {

namespace {

namespace fs = std::filesystem;

constexpr const char* kFence = "/standby.signal";
constexpr const char* kManagedFile = "lifeboat.conf";
constexpr std::array<std::string_view, 5> kManaged = {"primary_conninfo", "primary_slot_name", "wal_retrieve_retry_interval",
                                                      "recovery_target_timeline", "hot_standby"};
// Files that tell of one server's life; everything else at the top of the directory is its configuration.
constexpr std::array<std::string_view, 9> kNotSettings = {"PG_VERSION",     "backup_label",    "backup_label.old",
                                                          "tablespace_map", "postmaster.pid",  "postmaster.opts",
                                                          "standby.signal", "recovery.signal", "backup_manifest"};

std::string Why(int error) { return std::generic_category().message(error); }

Error FileError(const char* verb, const std::string& path, int error) {
  std::string message = std::string("cannot ") + verb + " '" + path + "': " + Why(error);
  if (error == ENOENT) return NotFound(std::move(message));
  if (error == ENOSPC) return Fail(std::move(message), "free space on its file system");
  return Fail(std::move(message));
}

std::string ParentOf(const std::string& path) { return fs::path(path).parent_path().string(); }

bool Exists(const std::string& path) {
  std::error_code error;
  return fs::exists(fs::symlink_status(path, error));
}

/// The setting's name at the start of a configuration line, lower case; empty for a comment.
std::string NameIn(std::string_view line) {
  const std::size_t first = line.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  line.remove_prefix(first);
  std::string name(line.substr(0, line.find_first_of(" \t=#\r")));
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name;
}

/// Calls `visit` with each line, without its end.
template <typename Visit>
void ForEachLine(std::string_view text, Visit visit) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    visit(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

/// The text without the lines whose setting `drops` names.
template <typename Drops>
std::string WithoutLines(std::string_view text, Drops drops) {
  std::string kept;
  ForEachLine(text, [&](std::string_view line) {
    if (!drops(NameIn(line))) kept += std::string(line) + "\n";
  });
  return kept;
}

Result<Unit> Rename(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) != 0) {
    const int error = errno;
    if (error == EBUSY)
      return Fail("'" + from + "' is a mount point and cannot be renamed", "put the data directory one level deeper");
    return FileError("rename", from, error);
  }
  return SyncFolder(ParentOf(to));
}

Result<Unit> RemoveTree(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) return FileError("remove", path, error.value());
  return SyncFolder(ParentOf(path));
}

}  // namespace

bool IsManagedSetting(std::string_view name) { return std::find(kManaged.begin(), kManaged.end(), name) != kManaged.end(); }

std::string SettingsText(const ServerSettings& settings) {
  std::string text;
  for (const auto& [name, value] : settings) {
    text += name + " = '";
    for (const char c : value) {
      if (c == '\'' || c == '\\') text += c;  // a configuration file knows backslash escapes, too
      text += c;
    }
    text += "'\n";
  }
  return text;
}

std::string WithoutManagedSettings(std::string_view text) {
  return WithoutLines(text, [](const std::string& name) { return IsManagedSetting(name); });
}

DataDirectory::DataDirectory(std::string path) : path_(std::move(path)) {
  while (path_.size() > 1 && path_.back() == '/') path_.pop_back();
}

bool DataDirectory::IsThere() const { return Exists(path_ + "/PG_VERSION") && Exists(path_ + "/global"); }

Result<std::optional<RunAs>> DataDirectory::Owner() const {
  if (geteuid() != 0) return std::optional<RunAs>();
  struct stat folder {};
  const std::string looked_at = Exists(path_) ? path_ : ParentOf(path_);
  if (stat(looked_at.c_str(), &folder) != 0) return FileError("look at", looked_at, errno);
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 4096> text{};
  if (getpwuid_r(folder.st_uid, &entry, text.data(), text.size(), &found) != 0 || found == nullptr || folder.st_uid == 0) {
    return Fail("'" + looked_at + "' does not belong to a user that postgresql can run as", "give it to user 'postgres'");
  }
  return std::optional<RunAs>(RunAs{entry.pw_uid, entry.pw_gid, entry.pw_name});
}

std::vector<pid_t> DataDirectory::Processes() const {
  // SAFETY: only a folder that is a data directory is ever searched, so that a mistyped setting ends no one else's processes.
  if (!IsThere()) return {};
  return ProcessesWithin(path_);
}

std::optional<pid_t> DataDirectory::Postmaster() const {
  const Result<std::string> lock = ReadSmallFile(path_ + "/postmaster.pid");
  if (!lock) return std::nullopt;
  pid_t pid = 0;
  if (std::from_chars(lock->data(), lock->data() + lock->size(), pid).ec != std::errc{} || pid <= 0) return std::nullopt;
  // The file outlives a crash, and its pid may be another program's by now.
  std::error_code error;
  const fs::path working = fs::read_symlink("/proc/" + std::to_string(pid) + "/cwd", error);
  if (error || working != fs::canonical(path_, error) || error || !IsAlive(pid)) return std::nullopt;
  return pid;
}

bool DataDirectory::IsReady(pid_t pid) const {
  const Result<std::string> lock = ReadSmallFile(path_ + "/postmaster.pid");
  if (!lock) return false;
  constexpr int kStatusLine = 8;  // LOCK_FILE_LINE_PM_STATUS
  int number = 0;
  bool ours = false;
  bool ready = false;
  ForEachLine(*lock, [&](std::string_view line) {
    ++number;
    if (number == 1) ours = line == std::to_string(pid);
    if (number == kStatusLine) ready = line.starts_with("ready");
  });
  return ours && ready;
}

Result<bool> DataDirectory::HasFence() const {
  if (!IsThere()) return NotFound("'" + path_ + "' is not a data directory");
  return Exists(path_ + kFence);
}

Result<Unit> DataDirectory::PlaceFence() const {
  if (!IsThere()) return NotFound("'" + path_ + "' is not a data directory");
  const std::string fence = path_ + kFence;
  const Descriptor file(open(fence.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (!file.ok()) return FileError("place the fence", fence, errno);
  const Result<std::optional<RunAs>> owner = Owner();
  if (!owner) return owner.error();
  if (*owner && fchown(file.number(), (*owner)->uid, (*owner)->gid) != 0) return FileError("give away", fence, errno);
  // SAFETY: synced also when it was there already: whoever wrote it may have crashed before the sync.
  if (fsync(file.number()) != 0) return FileError("sync", fence, errno);
  return SyncFolder(path_);
}

Result<Unit> DataDirectory::RemoveFence() const { return RemoveFileDurably(path_ + kFence); }

Result<Unit> DataDirectory::WriteOwned(const std::string& file, const std::string& content) const {
  std::error_code error;
  const fs::path real = fs::weakly_canonical(file, error);
  const std::string target = error ? file : real.string();
  if (Result<Unit> written = WriteFileDurably(target, content); !written) return written;
  const Result<std::optional<RunAs>> owner = Owner();
  if (!owner) return owner.error();
  if (*owner && chown(target.c_str(), (*owner)->uid, (*owner)->gid) != 0) return FileError("give away", target, errno);
  return Done();
}

Result<Unit> DataDirectory::WriteManagedSettings(const ServerSettings& settings) const {
  const std::string main = path_ + "/postgresql.conf";
  const Result<std::string> main_text = ReadSmallFile(main);
  if (!main_text) {
    return main_text.error().Within("the settings of the standby cannot be written");
  }
  const std::string ours = "# Written by Lifeboat; changes here are lost.\n" + SettingsText(settings);
  const std::string managed = path_ + "/" + kManagedFile;
  if (const Result<std::string> before = ReadSmallFile(managed); !before || *before != ours) {
    if (Result<Unit> written = WriteOwned(managed, ours); !written) return written;
  }
  bool included = false;
  ForEachLine(*main_text, [&included](std::string_view line) {
    const std::string name = NameIn(line);
    included =
        included || ((name == "include_if_exists" || name == "include") && line.find(kManagedFile) != std::string_view::npos);
  });
  if (!included) {
    std::string text = *main_text;
    text += "\n# Lifeboat's settings of this region; keep this the last line.\ninclude_if_exists = '";
    text += kManagedFile;
    text += "'\n";
    if (Result<Unit> written = WriteOwned(main, text); !written) return written;
  }
  const std::string automatic = path_ + "/postgresql.auto.conf";
  const Result<std::string> automatic_text = ReadSmallFile(automatic);
  if (!automatic_text) return Done();
  const std::string kept = WithoutManagedSettings(*automatic_text);
  return kept == *automatic_text ? Done() : WriteOwned(automatic, kept);
}

bool DataDirectory::IsHalfRewound() const { return Exists(path_ + ".settings"); }

Result<Unit> DataDirectory::CopySettings(const std::string& from, const std::string& to) const {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(from, error)) {
    const std::string name = entry.path().filename().string();
    if (std::find(kNotSettings.begin(), kNotSettings.end(), name) != kNotSettings.end()) continue;
    std::error_code status_error;
    const std::string target = to + "/" + name;
    if (entry.is_directory(status_error) && name == "conf.d") {
      if (Result<Unit> made = EnsureDirectory(target); !made) return made;
      if (Result<Unit> copied = CopySettings(entry.path().string(), target); !copied) return copied;
      continue;
    }
    if (!entry.is_regular_file(status_error)) continue;
    const Result<std::string> text = ReadSmallFile(entry.path().string(), 16U << 20U);
    if (!text) return text.error();
    if (Result<Unit> written = WriteOwned(target, *text); !written) return written;
  }
  if (error) return FileError("list", from, error.value());
  return SyncFolder(to);
}

Result<Unit> DataDirectory::SetSettingsAside() const {
  const std::string aside = path_ + ".settings";
  const std::string partial = aside + ".partial";
  if (Result<Unit> removed = RemoveTree(partial); !removed) return removed;
  if (Result<Unit> made = EnsureDirectory(partial); !made) return made;
  if (Result<Unit> copied = CopySettings(path_, partial); !copied) return copied;
  return Rename(partial, aside);
}

Result<Unit> DataDirectory::BringSettingsBack() const { return CopySettings(path_ + ".settings", path_); }

Result<Unit> DataDirectory::ForgetSettingsAside() const {
  if (Result<Unit> removed = RemoveTree(path_ + ".settings"); !removed) return removed;
  return RemoveTree(SalvagedPath());
}

Result<bool> DataDirectory::HasContent() const {
  std::error_code error;
  const bool empty = fs::is_empty(path_, error);
  if (!error) return !empty;
  if (error == std::errc::no_such_file_or_directory) return false;
  return FileError("look at", path_, error.value());
}

Result<Unit> DataDirectory::RemoveUnfinishedCopy() const { return RemoveTree(CopyingPath()); }

Result<Unit> DataDirectory::SwapInCopy(const ServerSettings& first_settings) const {
  const DataDirectory copy(CopyingPath());
  const std::string local = IsHalfRewound() ? path_ + ".settings" : path_;
  if (Exists(local + "/postgresql.conf")) {
    if (Result<Unit> copied = CopySettings(local, copy.path()); !copied) return copied;
  } else {
    const Result<std::string> text = ReadSmallFile(copy.path() + "/postgresql.conf");
    if (!text) return text.error();
    if (Result<Unit> written = copy.WriteOwned(copy.path() + "/postgresql.conf", *text + "\n" + SettingsText(first_settings));
        !written) {
      return written;
    }
    // What ALTER SYSTEM set on the source would win over them.
    const std::string automatic = copy.path() + "/postgresql.auto.conf";
    const Result<std::string> automatic_text = ReadSmallFile(automatic);
    if (!automatic_text) return automatic_text.error();
    const std::string kept = WithoutLines(*automatic_text, [&first_settings](const std::string& name) {
      return std::any_of(first_settings.begin(), first_settings.end(),
                         [&name](const auto& setting) { return setting.first == name; });
    });
    if (Result<Unit> written = copy.WriteOwned(automatic, kept); !written) return written;
  }
  // SAFETY: the copy carries the fence before it can be started at all.
  if (Result<Unit> fenced = copy.PlaceFence(); !fenced) return fenced;
  if (Result<Unit> renamed = Rename(copy.path(), path_ + ".new"); !renamed) return renamed;
  return FinishSwap();
}

Result<Unit> DataDirectory::FinishSwap() const {
  const std::string fresh = path_ + ".new";
  const std::string old = path_ + ".old";
  if (Exists(fresh)) {
    // SAFETY: the old directory is only ever out of its place while a whole copy stands beside it.
    if (Exists(path_)) {
      if (Exists(old)) {
        if (Result<Unit> removed = RemoveTree(old); !removed) return removed;
      }
      if (Result<Unit> renamed = Rename(path_, old); !renamed) return renamed;
    }
    if (Result<Unit> renamed = Rename(fresh, path_); !renamed) return renamed;
    if (IsHalfRewound()) {
      if (Result<Unit> removed = ForgetSettingsAside(); !removed) return removed;
    }
  }
  return Exists(old) && Exists(path_) ? RemoveTree(old) : Done();
}

}  // namespace lifeboat::postgres
