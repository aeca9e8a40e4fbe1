#pragma once

// A folder of its own in which a backup is restored and started, with all that runs in it. It is gone when this object is: its
// processes are killed by their pids, then its files are removed.
//   <scratch>/lifeboat-sandbox-<12 hex>/   ours, mode 0711
//     marker    ours, locked as long as we live; says which folder it belongs to
//     log       what PostgreSQL and tools say
//     data/ space/<oid>/ s/ tool/   PostgreSQL's user's: data directory, tablespaces, socket, configuration and files of tools
// Thread rule: one thread, which must live as long as the object (guarded_child.h).

#include <atomic>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "adapters/backups/guarded_child.h"
#include "backup/server_words.h"
#include "base/result.h"

namespace lifeboat::backup {

struct SandboxOptions {
  std::filesystem::path scratch;
  std::uint64_t scratch_limit = 0;  ///< bytes; 0: what is free
  std::uint64_t needed = 0;         ///< bytes that must be there before anything is made
  std::string run_as;               ///< as root
  unsigned cpus = 0;
  bool allow_unguarded = false;
  bool no_programs = false;  ///< its server may start no program: it runs SQL that somebody else wrote
  const std::atomic<bool>* cancel = nullptr;
};

/// How a tool ended.
struct ToolEnd {
  int exit_code = 0;
  std::string words;  ///< the last that it said
};

/// What a tool gets beyond what all get.
struct ToolRights {
  std::map<std::string, std::string> environment;  ///< secrets stand here, never in argv; gone when the tool is
  std::vector<std::uint16_t> ports;                ///< TCP ports that it may connect to; empty: no network
};

class Sandbox {
 public:
  /// @error kRefused: there is no room, and how much is missing; nothing was made. kFail: the folder or the guard cannot be made
  [[nodiscard]] static Result<std::unique_ptr<Sandbox>> Make(const SandboxOptions& options);
  ~Sandbox();
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  [[nodiscard]] std::filesystem::path data() const { return folder_ / "data"; }
  [[nodiscard]] std::filesystem::path space() const { return folder_ / "space"; }
  [[nodiscard]] std::filesystem::path socket() const { return folder_ / "s"; }
  [[nodiscard]] std::filesystem::path tool() const { return folder_ / "tool"; }
  /// PostgreSQL's user, where it is another than ours.
  [[nodiscard]] const std::optional<RunAs>& run_as() const { return run_as_; }

  /// Gives a file or folder that we made to PostgreSQL's user.
  [[nodiscard]] Result<Unit> Give(const std::filesystem::path& path) const;
  /// Writes a file of PostgreSQL's user, mode 0600.
  [[nodiscard]] Result<Unit> Write(const std::filesystem::path& path, std::string_view content) const;

  /// Runs a program, tied up, to its end. `tick` is called about ten times a second.
  /// @error kRetry: cancelled; kRefused: the room ran out; kFail: it could not be started, or took too long
  [[nodiscard]] Result<ToolEnd> Run(std::vector<std::string> argv, Duration timeout, const std::function<void()>& tick = {},
                                    const ToolRights& rights = {});

  /// Runs a client of the sandbox's own server, tied up, to its end: it reaches that server alone, and starts no program.
  /// @param input  becomes its standard input, and is closed here; -1: there is none
  /// @param on_words  is given what it and the server say, as it comes
  /// @return its exit code. @error as Run, but kRetry too where it took too long
  [[nodiscard]] Result<int> RunClient(std::vector<std::string> argv, Descriptor input, Duration timeout,
                                      const std::function<void(std::string_view)>& on_words,
                                      const std::function<void()>& tick = {});

  /// Starts PostgreSQL on data(), tied up, and waits until it takes connections. What it says meanwhile goes to `words`.
  /// @return false: it ended, and `words` says why
  /// @error as Run, but kRetry too where it took too long
  [[nodiscard]] Result<bool> StartServer(const std::filesystem::path& program, const std::filesystem::path& config,
                                         Duration timeout, ServerWords& words, const std::function<void()>& tick = {});
  [[nodiscard]] bool ServerLives();
  /// The server's process, by which its connections are known (SessionPlace::server); -1: none was started.
  [[nodiscard]] pid_t server_pid() const { return server_ ? server_->pid() : -1; }
  /// Shuts the server down as its own tools do, with a checkpoint: then its files are of one moment.
  /// @error kRetry: cancelled; kFail: it did not end, or not cleanly
  [[nodiscard]] Result<Unit> StopServer(Duration timeout);

  [[nodiscard]] bool Cancelled() const { return options_.cancel != nullptr && options_.cancel->load(std::memory_order_relaxed); }
  /// @error kRetry: cancelled; kRefused: the room ran out. Looks at the disk at most once a second
  [[nodiscard]] Result<Unit> MayGoOn();

 private:
  Sandbox(SandboxOptions options, std::filesystem::path folder, std::optional<RunAs> run_as, Descriptor marker)
      : options_(std::move(options)), folder_(std::move(folder)), run_as_(std::move(run_as)), marker_(std::move(marker)) {}
  [[nodiscard]] Result<Unit> MakeFolders() const;
  [[nodiscard]] GuardedLaunch LaunchOf(std::vector<std::string> argv, const std::filesystem::path& cwd) const;
  [[nodiscard]] std::string NewWords();
  [[nodiscard]] Result<int> WaitForTool(GuardedChild& child, const std::string& name, Duration timeout,
                                        const std::function<void(std::string_view)>& on_words, const std::function<void()>& tick);

  SandboxOptions options_;
  std::filesystem::path folder_;
  std::optional<RunAs> run_as_;
  Descriptor marker_;
  std::optional<GuardedChild> server_;
  std::uint64_t log_read_ = 0;
  std::chrono::steady_clock::time_point looked_;
};

/// Bytes that may still be written beneath `folder` by an ordinary user. @error kFail: it cannot be asked
[[nodiscard]] Result<std::uint64_t> RoomIn(const std::filesystem::path& folder);

/// $TMPDIR, else /var/tmp.
[[nodiscard]] std::filesystem::path DefaultScratch();

}  // namespace lifeboat::backup
