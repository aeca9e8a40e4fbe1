#include "adapters/backups/sandbox.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "adapters/backups/restore.h"
#include "adapters/system/processes.h"
#include "base/json.h"

namespace lifeboat::backup {

namespace {

namespace fs = std::filesystem;

constexpr const char* kName = "lifeboat-sandbox-";
constexpr const char* kMarker = "marker";
constexpr const char* kMarkerFormat = "lifeboat-sandbox/1";
constexpr std::uint64_t kReserve = 16U << 20U;  // the host keeps so much, whatever happens
constexpr Duration kTick = 100ms;
constexpr Duration kServerTick = 10ms;
constexpr Duration kToEnd = 30s;

std::string Why(int error) {
  char text[128];
  return strerror_r(error, text, sizeof text);
}

/// Bytes that files below `folder` take on the disk.
std::uint64_t UsedIn(const fs::path& folder) {
  std::uint64_t used = 0;
  std::error_code problem;
  fs::recursive_directory_iterator at(folder, fs::directory_options::skip_permission_denied, problem);
  for (; !problem && at != fs::recursive_directory_iterator(); at.increment(problem)) {
    struct stat about {};
    if (lstat(at->path().c_str(), &about) == 0 && S_ISREG(about.st_mode)) used += static_cast<std::uint64_t>(about.st_blocks) * 512;
  }
  return used;
}

std::string MarkerText(const fs::path& folder, const struct stat& about) {
  return Json{{"format", kMarkerFormat}, {"folder", folder.filename().string()}, {"device", about.st_dev}, {"inode", about.st_ino}}
             .dump() +
         "\n";
}

/// SAFETY: only what is proven to be the sandbox of a run that is gone is removed: the name, a folder (no link) of our user, the
/// marker within it that names this very folder by device and inode, and its lock, which a living run holds.
bool IsStale(const fs::path& folder, Descriptor& lock) {
  struct stat about {};
  if (lstat(folder.c_str(), &about) != 0 || !S_ISDIR(about.st_mode) || about.st_uid != geteuid()) return false;
  const std::string name = folder.filename().string();
  if (!name.starts_with(kName) || name.size() != std::strlen(kName) + 12) return false;
  lock = Descriptor(open((folder / kMarker).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  struct stat marker {};
  if (!lock.ok() || fstat(lock.number(), &marker) != 0 || !S_ISREG(marker.st_mode) || marker.st_uid != geteuid()) return false;
  if (flock(lock.number(), LOCK_EX | LOCK_NB) != 0) return false;
  char text[512];
  const ssize_t size = pread(lock.number(), text, sizeof text, 0);
  return size > 0 && std::string_view(text, static_cast<std::size_t>(size)) == MarkerText(folder, about);
}

/// Kills what lives there, then removes it. The marker goes last: what cannot be removed now can be proven ours next time.
bool RemoveSandbox(const fs::path& folder) {
  (void)KillWithin(folder.string(), kToEnd);
  std::error_code problem;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, problem)) {
    if (entry.path().filename() == kMarker) continue;
    std::error_code ignored;
    fs::remove_all(entry.path(), ignored);
  }
  fs::remove_all(folder, problem);
  return !fs::exists(folder, problem);
}

Result<std::optional<RunAs>> UserFor(const std::string& name) {
  if (geteuid() != 0) return std::optional<RunAs>();
  Result<RunAs> user = FindUser(name.empty() ? "postgres" : name);
  if (!user)
    return Fail("PostgreSQL does not run as root, and " + user.error().message, "name the user that it is to run as (--run-as)");
  return std::optional<RunAs>(std::move(*user));
}

Result<Unit> RefuseWithoutRoom(const SandboxOptions& options) {
  const std::string need = "the restore needs " + FormatBytes({options.needed});
  if (options.scratch_limit != 0 && options.needed > options.scratch_limit) {
    return Refused(need + ", and may take " + FormatBytes({options.scratch_limit}), "raise the limit (--scratch-limit)");
  }
  const Result<std::uint64_t> room = RoomIn(options.scratch);
  if (!room) return room.error();
  if (options.needed + kReserve <= *room) return Done();
  return Refused(need + ", and '" + options.scratch.string() + "' has room for " + FormatBytes({*room}),
                 "free the space, or name another folder (--scratch)");
}

}  // namespace

fs::path DefaultScratch() {
  const char* given = std::getenv("TMPDIR");
  return given != nullptr && *given != '\0' ? given : "/var/tmp";
}

Result<std::uint64_t> RoomIn(const fs::path& folder) {
  struct statvfs about {};
  if (statvfs(folder.c_str(), &about) != 0) return Fail("cannot ask for the room in '" + folder.string() + "': " + Why(errno));
  return static_cast<std::uint64_t>(about.f_bavail) * about.f_frsize;
}

std::size_t RemoveStaleSandboxes(const fs::path& scratch) {
  std::vector<fs::path> folders;
  std::error_code problem;
  for (const fs::directory_entry& entry : fs::directory_iterator(scratch, problem)) folders.push_back(entry.path());
  std::size_t removed = 0;
  for (const fs::path& folder : folders) {
    Descriptor lock;
    if (IsStale(folder, lock) && RemoveSandbox(folder)) ++removed;
  }
  return removed;
}

Result<std::unique_ptr<Sandbox>> Sandbox::Make(const SandboxOptions& given) {
  SandboxOptions options = given;
  std::error_code problem;
  options.scratch = fs::canonical(given.scratch.empty() ? DefaultScratch() : given.scratch, problem);
  if (problem) return Fail("there is no scratch folder '" + given.scratch.string() + "'", "make it, or name another (--scratch)");
  (void)RemoveStaleSandboxes(options.scratch);
  if (const Result<Unit> room = RefuseWithoutRoom(options); !room) return room.error();
  if (!options.allow_unguarded && !HasLandlock()) {
    return Fail("this kernel cannot keep a restored server from writing elsewhere (it has no Landlock)",
                "restore on a host with Linux 5.13 or newer, or, where no tablespace and no repository of value is in reach, with "
                "--allow-unguarded");
  }
  Result<std::optional<RunAs>> run_as = UserFor(options.run_as);
  if (!run_as) return run_as.error();
  const fs::path folder = options.scratch / (kName + RandomHex(6));
  if ((folder / "s/.s.PGSQL.5432").string().size() >= 107) {
    return Fail("the scratch folder's path is too long for a socket", "name one with a shorter path (--scratch)");
  }
  if (mkdir(folder.c_str(), 0711) != 0) return Fail("cannot make '" + folder.string() + "': " + Why(errno));
  Descriptor marker(open((folder / kMarker).c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  struct stat about {};
  const bool marked = marker.ok() && flock(marker.number(), LOCK_EX | LOCK_NB) == 0 && lstat(folder.c_str(), &about) == 0;
  const std::string text = MarkerText(folder, about);
  if (!marked || write(marker.number(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    const Error error = Fail("cannot mark '" + folder.string() + "': " + Why(errno));
    fs::remove_all(folder, problem);
    return error;
  }
  std::unique_ptr<Sandbox> sandbox(new Sandbox(std::move(options), folder, std::move(*run_as), std::move(marker)));
  if (const Result<Unit> made = sandbox->MakeFolders(); !made) return made.error();
  return sandbox;
}

Result<Unit> Sandbox::MakeFolders() const {
  for (const fs::path& path : {data(), space(), socket(), tool()}) {
    if (mkdir(path.c_str(), 0700) != 0) return Fail("cannot make '" + path.string() + "': " + Why(errno));
    if (const Result<Unit> given = Give(path); !given) return given.error();
  }
  chmod(folder_.c_str(), 0711);  // whatever the umask
  return Write(folder_ / "log", "");
}

Sandbox::~Sandbox() {
  if (server_) {
    server_->Signal(SIGQUIT);
    (void)server_->WaitFor(5s);
    server_.reset();
  }
  (void)RemoveSandbox(folder_);
}

Result<Unit> Sandbox::Give(const fs::path& path) const {
  if (!run_as_ || lchown(path.c_str(), run_as_->uid, run_as_->gid) == 0) return Done();
  return Fail("cannot give '" + path.string() + "' to user '" + run_as_->name + "': " + Why(errno));
}

Result<Unit> Sandbox::Write(const fs::path& path, std::string_view content) const {
  const Descriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.ok() || write(file.number(), content.data(), content.size()) != static_cast<ssize_t>(content.size())) {
    return Fail("cannot write '" + path.string() + "': " + Why(errno));
  }
  return Give(path);
}

GuardedLaunch Sandbox::LaunchOf(std::vector<std::string> argv, const fs::path& cwd) const {
  GuardedLaunch launch;
  launch.argv = std::move(argv);
  launch.environment = {{"PATH", "/usr/local/bin:/usr/bin:/bin"}, {"HOME", tool().string()}, {"LC_ALL", "C"}, {"TZ", "UTC"}};
  launch.cwd = cwd;
  launch.output = folder_ / "log";
  launch.run_as = run_as_;
  launch.writable = {data(), space(), socket(), tool()};
  launch.cpus = options_.cpus;
  launch.unguarded = options_.allow_unguarded;
  return launch;
}

std::string Sandbox::NewWords() {
  std::ifstream log(folder_ / "log", std::ios::binary);
  log.seekg(static_cast<std::streamoff>(log_read_));
  std::string text((std::istreambuf_iterator<char>(log)), std::istreambuf_iterator<char>());
  log_read_ += text.size();
  return text;
}

Result<Unit> Sandbox::MayGoOn() {
  if (Cancelled()) return RetryLater("cancelled");
  const auto now = std::chrono::steady_clock::now();
  if (now - looked_ < 1s) return Done();
  looked_ = now;
  const Result<std::uint64_t> room = RoomIn(folder_);
  if (room && *room < kReserve) return Refused("the room in '" + options_.scratch.string() + "' ran out");
  if (options_.scratch_limit == 0) return Done();
  const std::uint64_t used = UsedIn(folder_);
  if (used <= options_.scratch_limit) return Done();
  return Refused("the restore takes " + FormatBytes({used}) + ", and may take " + FormatBytes({options_.scratch_limit}));
}

Result<ToolEnd> Sandbox::Run(std::vector<std::string> argv, Duration timeout, const std::function<void()>& tick,
                             const ToolRights& rights) {
  const std::string name = fs::path(argv[0]).filename().string();
  GuardedLaunch launch = LaunchOf(std::move(argv), tool());
  for (const auto& [variable, value] : rights.environment) launch.environment[variable] = value;
  launch.ports = rights.ports;
  Result<GuardedChild> child = GuardedChild::Start(launch);
  if (!child) return child.error();
  constexpr std::size_t kMostWords = 65536;
  ToolEnd ended;
  const auto keep = [&ended](std::string_view words) {
    ended.words += words;
    if (ended.words.size() > kMostWords) ended.words.erase(0, ended.words.size() - kMostWords);
  };
  const Result<int> code = WaitForTool(*child, name, timeout, keep, tick);
  if (!code) return code.error();
  ended.exit_code = *code;
  return ended;
}

Result<int> Sandbox::RunClient(std::vector<std::string> argv, Descriptor input, Duration timeout,
                               const std::function<void(std::string_view)>& on_words, const std::function<void()>& tick) {
  const std::string name = fs::path(argv[0]).filename().string();
  GuardedLaunch launch = LaunchOf(std::move(argv), tool());
  launch.server = socket() / ".s.PGSQL.5432";
  launch.server_pid = server_pid();
  launch.no_programs = true;
  launch.input = input.number();
  Result<GuardedChild> child = GuardedChild::Start(launch);
  input.Close();  // ours would keep whoever writes to it waiting after its end
  if (!child) return child.error();
  Result<int> code = WaitForTool(*child, name, timeout, on_words, tick);
  // What loads a backup and takes too long says something of the backup.
  if (!code && code.error().retry == Retry::kFail) return RetryLater(code.error().message);
  return code;
}

Result<int> Sandbox::WaitForTool(GuardedChild& child, const std::string& name, Duration timeout,
                                 const std::function<void(std::string_view)>& on_words, const std::function<void()>& tick) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (true) {
    const std::optional<int> code = child.WaitFor(kTick);
    on_words(NewWords());
    if (code) return *code;
    if (const Result<Unit> may = MayGoOn(); !may) return may.error();
    if (std::chrono::steady_clock::now() > end) return Fail("'" + name + "' took longer than " + FormatDuration(timeout));
    if (tick) tick();
  }
}

Result<bool> Sandbox::StartServer(const fs::path& program, const fs::path& config, Duration timeout, ServerWords& words,
                                  const std::function<void()>& tick) {
  GuardedLaunch launch = LaunchOf({program.string(), "-D", data().string(), "-c", "config_file=" + config.string()}, data());
  launch.signal_at_our_end = SIGQUIT;
  launch.no_programs = options_.no_programs;
  (void)NewWords();
  Result<GuardedChild> started = GuardedChild::Start(launch);
  if (!started) return started.error();
  server_.emplace(std::move(*started));
  const auto end = std::chrono::steady_clock::now() + timeout;
  auto ticked = std::chrono::steady_clock::now();
  while (true) {
    const bool ended = server_->WaitFor(kServerTick).has_value();
    words.Add(NewWords());
    if (words.ready() && !ended) return true;
    if (ended) return false;
    if (const Result<Unit> may = MayGoOn(); !may) return may.error();
    const auto now = std::chrono::steady_clock::now();
    if (now > end) return RetryLater("the server did not reach its target within " + FormatDuration(timeout));
    if (tick && now - ticked > kTick) {
      ticked = now;
      tick();
    }
  }
}

bool Sandbox::ServerLives() { return server_ && !server_->WaitFor(0ns); }

Result<Unit> Sandbox::StopServer(Duration timeout) {
  if (!server_) return Done();
  server_->Signal(SIGINT);  // fast: sessions end, a checkpoint is made
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (true) {
    if (const std::optional<int> code = server_->WaitFor(kServerTick)) {
      if (*code == 0) return Done();
      return Fail("the server did not shut down cleanly: exit code " + std::to_string(*code));
    }
    if (const Result<Unit> may = MayGoOn(); !may) return may.error();
    if (std::chrono::steady_clock::now() > end) return Fail("the server did not shut down within " + FormatDuration(timeout));
  }
}

}  // namespace lifeboat::backup
