#include "adapters/backups/restore_copy.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <thread>

#include "adapters/backups/tar.h"

namespace lifeboat::backup {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kBlock = 256U << 10;

std::string Why(int error) {
  char text[128];
  return strerror_r(error, text, sizeof text);
}

/// What no restore takes over: the run of the source's server, and its WAL, which is handed out (wal_server.h).
bool IsLeftOut(const std::string& path) {
  for (const char* folder : {"pg_wal/", "pg_replslot/", "pg_dynshmem/", "pg_stat_tmp/", "pg_notify/", "log/", "pg_log/"}) {
    if (path.starts_with(folder)) return true;
  }
  return path == "postmaster.pid" || path == "postmaster.opts" || path == "backup_manifest" || path == "tablespace_map" ||
         path == "recovery.signal";
}

/// SAFETY: a name out of a backup leads nowhere but into the sandbox.
bool StaysWithin(const std::string& name) {
  if (name.empty() || name.front() == '/') return false;
  for (const fs::path& part : fs::path(name)) {
    if (part == "..") return false;
  }
  return true;
}

/// One file of the sandbox, while it is written.
class NewFile {
 public:
  NewFile(const Sandbox& sandbox, fs::path path)
      : sandbox_(sandbox),
        path_(std::move(path)),
        file_(open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600)) {}
  [[nodiscard]] Result<Unit> Write(std::span<const char> bytes) {
    while (!bytes.empty()) {
      const ssize_t written = file_.ok() ? write(file_.number(), bytes.data(), bytes.size()) : -1;
      if (written < 0 && errno == EINTR && file_.ok()) continue;
      if (written < 0 && errno == ENOSPC) return Refused("the room for '" + path_.string() + "' ran out");
      if (written < 0) return Fail("cannot write '" + path_.string() + "': " + Why(errno));
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
    return Done();
  }
  [[nodiscard]] Result<Unit> End() {
    if (!file_.ok()) return Fail("cannot write '" + path_.string() + "': " + Why(errno));
    return sandbox_.Give(path_);
  }

 private:
  const Sandbox& sandbox_;
  fs::path path_;
  Descriptor file_;
};

/// Makes a folder and those above it, up to one that is there.
Result<Unit> MakeFolder(const Sandbox& sandbox, const fs::path& path) {
  if (mkdir(path.c_str(), 0700) == 0) return sandbox.Give(path);
  if (errno == EEXIST) return Done();
  if (errno != ENOENT || !path.has_parent_path()) return Fail("cannot make '" + path.string() + "': " + Why(errno));
  if (Result<Unit> above = MakeFolder(sandbox, path.parent_path()); !above) return above;
  return MakeFolder(sandbox, path);
}

/// A tablespace's folder, and the link to it.
Result<fs::path> MakeSpace(const Sandbox& sandbox, const std::string& oid) {
  if (oid.empty() || oid.find_first_not_of("0123456789") != std::string::npos) return Fail("'" + oid + "' is no tablespace");
  const fs::path at = sandbox.space() / oid;
  for (const fs::path& folder : {sandbox.data() / "pg_tblspc", at}) {
    if (const Result<Unit> made = MakeFolder(sandbox, folder); !made) return made.error();
  }
  const fs::path link = sandbox.data() / "pg_tblspc" / oid;
  std::error_code problem;
  if (fs::is_symlink(link, problem)) return at;
  fs::create_symlink(at, link, problem);
  if (problem) return Fail("cannot link '" + link.string() + "': " + problem.message());
  if (const Result<Unit> given = sandbox.Give(link); !given) return given.error();
  return at;
}

struct CopyJob {
  fs::path from;
  fs::path to;
};

/// @param after  what was written: may it go on
Result<Unit> CopyOne(Sandbox& sandbox, const Folder& in, const CopyJob& job, std::vector<char>& block,
                     const std::function<Result<Unit>(std::uint64_t)>& after) {
  const StreamPtr stream = in.Open(job.from);
  NewFile file(sandbox, job.to);
  while (true) {
    const std::optional<std::size_t> got = stream->Read(block);
    if (!got) return Fail("cannot read '" + job.from.string() + "': " + stream->error().message);
    if (*got == 0) return file.End();
    if (const Result<Unit> written = file.Write({block.data(), *got}); !written) return written;
    if (const Result<Unit> may = after(*got); !may) return may;
  }
}

class FolderCopy {
 public:
  FolderCopy(Sandbox& sandbox, const Folder& in, const std::function<void(std::uint64_t)>& on_bytes)
      : sandbox_(sandbox), in_(in), on_bytes_(on_bytes) {}

  Result<std::uint64_t> Do(const fs::path& folder, unsigned threads) {
    if (const Result<Unit> listed = List(folder, sandbox_.data(), ""); !listed) return listed.error();
    std::vector<std::jthread> helpers;
    for (unsigned helper = 1; helper < std::max(threads, 1U); ++helper) helpers.emplace_back([this] { Work(); });
    // Ours looks at the room and at Ctrl-C for all of them.
    Work();
    helpers.clear();
    if (failure_) return *failure_;
    return bytes_.load();
  }

 private:
  /// @param within  path below the data directory, "" or ending in '/'
  Result<Unit> List(const fs::path& from, const fs::path& to, const std::string& within) {
    const Result<std::vector<FolderEntry>> entries = in_.EntriesIn(from);
    if (!entries) return entries.error();
    for (const FolderEntry& entry : *entries) {
      const std::string path = within + entry.name;
      // SAFETY: a name out of a backup leads nowhere but into the sandbox; objects may be called anything.
      if (!StaysWithin(entry.name)) return Fail("'" + from.string() + "' holds '" + entry.name + "', which leads out of it");
      if (within == "pg_tblspc/" && entry.folder) {  // a link, in most backups: what it leads to counts
        const Result<fs::path> space = MakeSpace(sandbox_, entry.name);
        if (!space) return space.error();
        if (const Result<Unit> listed = List(from / entry.name, *space, path + "/"); !listed) return listed;
        continue;
      }
      if (entry.folder) {
        if (const Result<Unit> made = MakeFolder(sandbox_, to / entry.name); !made) return made;
        if (IsLeftOut(path + "/")) continue;
        if (const Result<Unit> listed = List(from / entry.name, to / entry.name, path + "/"); !listed) return listed;
      } else if (entry.file && !IsLeftOut(path)) {
        jobs_.push_back({from / entry.name, to / entry.name});
      }
    }
    return Done();
  }

  void Work() {
    std::vector<char> block(kBlock);
    for (std::size_t at = next_++; at < jobs_.size() && !stop_; at = next_++) {
      const Result<Unit> copied = Copy(jobs_[at], block);
      if (copied) continue;
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = copied.error();
      stop_ = true;
    }
  }

  Result<Unit> Copy(const CopyJob& job, std::vector<char>& block) {
    return CopyOne(sandbox_, in_, job, block, [this](std::uint64_t bytes) {
      bytes_ += bytes;
      on_bytes_(bytes);
      const std::lock_guard lock(mutex_);
      return sandbox_.MayGoOn();
    });
  }

  Sandbox& sandbox_;
  const Folder& in_;
  const std::function<void(std::uint64_t)>& on_bytes_;
  std::vector<CopyJob> jobs_;
  std::atomic<std::size_t> next_ = 0;
  std::atomic<bool> stop_ = false;
  std::atomic<std::uint64_t> bytes_ = 0;
  std::mutex mutex_;
  std::optional<Error> failure_;
};

/// One tar file's entries to `root`; links of tablespaces are made by the tablespaces' own tar files.
Result<std::uint64_t> Unpack(Sandbox& sandbox, const Folder& in, const fs::path& tar, Compression compression, const fs::path& root,
                             bool is_base, const std::function<void(std::uint64_t)>& on_bytes) {
  TarReader reader(Decompress(in.Open(tar), compression));
  std::vector<char> block(kBlock);
  std::uint64_t bytes = 0;
  while (const std::optional<TarEntry> entry = reader.Next()) {
    if (!StaysWithin(entry->name)) return Fail("'" + tar.string() + "' names '" + entry->name + "', which leads out of it");
    if (is_base && (IsLeftOut(entry->name) || entry->name.starts_with("pg_tblspc/"))) continue;
    if (entry->type == '5') {
      if (const Result<Unit> made = MakeFolder(sandbox, root / entry->name); !made) return made.error();
    }
    if (entry->type != '0') continue;
    if (const Result<Unit> made = MakeFolder(sandbox, (root / entry->name).parent_path()); !made) return made.error();
    NewFile file(sandbox, root / entry->name);
    while (true) {
      const std::optional<std::size_t> got = reader.Read(block);
      if (!got) return Fail("cannot read '" + entry->name + "' in '" + tar.string() + "': " + reader.error().message);
      if (*got == 0) break;
      if (const Result<Unit> written = file.Write({block.data(), *got}); !written) return written.error();
      bytes += *got;
      on_bytes(*got);
      if (const Result<Unit> may = sandbox.MayGoOn(); !may) return may.error();
    }
    if (const Result<Unit> ended = file.End(); !ended) return ended.error();
  }
  if (reader.failed()) return Fail("cannot read '" + tar.string() + "': " + reader.error().message);
  return bytes;
}

Result<std::uint64_t> UnpackAll(Sandbox& sandbox, const Folder& in, const fs::path& folder,
                                const std::function<void(std::uint64_t)>& on_bytes) {
  const Result<std::vector<FolderEntry>> entries = in.EntriesIn(folder);
  if (!entries) return entries.error();
  std::uint64_t bytes = 0;
  for (const FolderEntry& entry : *entries) {
    std::string_view stem = entry.name;
    const Compression compression = TakeCompression(stem);
    if (!stem.ends_with(".tar") || stem == "pg_wal.tar") continue;
    stem.remove_suffix(4);
    const bool is_base = stem == "base";
    const Result<fs::path> root = is_base ? Result<fs::path>(sandbox.data()) : MakeSpace(sandbox, std::string(stem));
    if (!root) return root.error();
    const Result<std::uint64_t> unpacked = Unpack(sandbox, in, folder / entry.name, compression, *root, is_base, on_bytes);
    if (!unpacked) return unpacked.error();
    bytes += *unpacked;
  }
  return bytes;
}

}  // namespace

Result<std::uint64_t> CopyBaseBackup(Sandbox& sandbox, const Folder& from, const SetInfo& set, unsigned threads,
                                     const std::function<void(std::uint64_t)>& on_bytes) {
  if (set.kind == "pg_basebackup tar") return UnpackAll(sandbox, from, set.folder, on_bytes);
  return FolderCopy(sandbox, from, on_bytes).Do(set.folder, threads);
}

Result<fs::path> FetchInto(Sandbox& sandbox, const Folder& from, const fs::path& path,
                           const std::function<void(std::uint64_t)>& on_bytes) {
  const fs::path root = sandbox.tool() / "fetched";
  const fs::path to = root / path.filename();
  if (!StaysWithin(path.filename().string())) return Fail("'" + path.string() + "' leads out of its folder");
  if (const Result<Unit> made = MakeFolder(sandbox, root); !made) return made.error();
  std::vector<CopyJob> jobs;
  if (from.IsFolder(path)) {
    for (const StoredFile& file : from.ListTree(path)) {
      if (!StaysWithin(file.path)) return Fail("'" + path.string() + "' holds '" + file.path + "', which leads out of it");
      jobs.push_back({path / file.path, to / file.path});
    }
  } else {
    jobs.push_back({path, to});
  }
  std::vector<char> block(kBlock);
  for (const CopyJob& job : jobs) {
    if (const Result<Unit> made = MakeFolder(sandbox, job.to.parent_path()); !made) return made.error();
    const Result<Unit> copied = CopyOne(sandbox, from, job, block, [&](std::uint64_t bytes) {
      on_bytes(bytes);
      return sandbox.MayGoOn();
    });
    if (!copied) return copied.error();
  }
  return to;
}

Result<Unit> CompleteDataDirectory(const Sandbox& sandbox) {
  for (const char* folder :
       {"pg_wal", "pg_wal/archive_status", "pg_commit_ts", "pg_dynshmem", "pg_notify", "pg_replslot", "pg_serial", "pg_snapshots",
        "pg_stat", "pg_stat_tmp", "pg_subtrans", "pg_tblspc", "pg_twophase", "pg_multixact/members", "pg_multixact/offsets",
        "pg_logical/snapshots", "pg_logical/mappings", "pg_xact"}) {
    if (const Result<Unit> made = MakeFolder(sandbox, sandbox.data() / folder); !made) return made;
  }
  std::error_code problem;
  // SAFETY: slots hold WAL back, and say of a publisher or standby what is true of the source alone.
  for (const fs::directory_entry& entry : fs::directory_iterator(sandbox.data() / "pg_replslot", problem))
    fs::remove_all(entry.path(), problem);
  for (const char* file : {"standby.signal", "recovery.signal", "postmaster.pid", "tablespace_map"})
    fs::remove(sandbox.data() / file, problem);
  return Done();
}

}  // namespace lifeboat::backup
