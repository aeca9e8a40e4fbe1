#include "adapters/backups/guarded_child.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

namespace lifeboat::backup {

namespace {

namespace fs = std::filesystem;

std::string Why(int error) {
  char text[128];
  return strerror_r(error, text, sizeof text);
}

// ---- Landlock. Its numbers stand here since headers may be older than the kernel. @source landlock(7), linux/landlock.h ----

constexpr long kCreateRuleset = 444;
constexpr long kAddRule = 445;
constexpr long kRestrictSelf = 446;
constexpr std::uint32_t kAskVersion = 1;
constexpr int kPathBeneath = 1;
constexpr std::uint64_t kWriteFile = 1U << 1U;
constexpr std::uint64_t kMakeAndRemove = 0x1FF0;  // REMOVE_DIR … MAKE_SYM
constexpr std::uint64_t kRefer = 1U << 13U;       // version 2
constexpr std::uint64_t kTruncate = 1U << 14U;    // version 3
constexpr std::uint64_t kScopeSignal = 1U << 1U;  // version 6

struct RulesetAttributes {
  std::uint64_t access_fs = 0;
  std::uint64_t access_net = 0;
  std::uint64_t scoped = 0;
};
struct PathRule {
  std::uint64_t access = 0;
  std::int32_t folder = -1;
} __attribute__((packed));

long LandlockVersion() { return syscall(kCreateRuleset, nullptr, 0UL, kAskVersion); }

/// The rights to write, all of them, given for `writable` and /dev/null alone.
Result<Descriptor> MakeRuleset(const std::vector<fs::path>& writable) {
  const long version = LandlockVersion();
  if (version < 1) return Fail("this kernel has no Landlock", "it needs Linux 5.13 with landlock among its security modules");
  RulesetAttributes attributes;
  attributes.access_fs = kWriteFile | kMakeAndRemove;
  if (version >= 2) attributes.access_fs |= kRefer;
  if (version >= 3) attributes.access_fs |= kTruncate;
  if (version >= 6) attributes.scoped = kScopeSignal;
  const std::size_t size = version >= 6 ? 24 : version >= 4 ? 16 : 8;
  Descriptor ruleset(static_cast<int>(syscall(kCreateRuleset, &attributes, size, 0U)));
  if (!ruleset.ok()) return Fail("cannot make a Landlock ruleset: " + Why(errno));
  const auto allow = [&](const fs::path& path, std::uint64_t access) -> Result<Unit> {
    const Descriptor at(open(path.c_str(), O_PATH | O_CLOEXEC));
    PathRule rule{access, at.number()};
    if (!at.ok() || syscall(kAddRule, ruleset.number(), kPathBeneath, &rule, 0U) != 0) {
      return Fail("cannot allow writing to '" + path.string() + "': " + Why(errno));
    }
    return Done();
  };
  for (const fs::path& path : writable) {
    if (const Result<Unit> allowed = allow(path, attributes.access_fs); !allowed) return allowed.error();
  }
  if (const Result<Unit> allowed = allow("/dev/null", kWriteFile | (version >= 3 ? kTruncate : 0)); !allowed)
    return allowed.error();
  return ruleset;
}

// ---- seccomp ----

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "the numbers of system calls are known for x86-64 and arm64 alone"
#endif

constexpr sock_filter Load(std::size_t offset) { return {BPF_LD | BPF_W | BPF_ABS, 0, 0, static_cast<std::uint32_t>(offset)}; }
constexpr sock_filter JumpIf(std::uint16_t how, std::uint32_t value, std::uint8_t yes, std::uint8_t no) {
  return {static_cast<std::uint16_t>(BPF_JMP | how | BPF_K), yes, no, value};
}
constexpr sock_filter Answer(std::uint32_t what) { return {BPF_RET | BPF_K, 0, 0, what}; }

/// SAFETY: a restored server is a copy of the primary with the primary's addresses in it: its subscriptions, foreign servers and
/// jobs must reach nobody. Local sockets may be listened on and never connected from.
const std::array<sock_filter, 12> kNoNetwork = {
    Load(offsetof(seccomp_data, arch)), JumpIf(BPF_JEQ, kArchitecture, 1, 0),
    Answer(SECCOMP_RET_KILL_PROCESS),   Load(offsetof(seccomp_data, nr)),
    JumpIf(BPF_JGE, 0x40000000U, 5, 0),  // another table of numbers (x32)
    JumpIf(BPF_JEQ, SYS_connect, 4, 0), JumpIf(BPF_JEQ, 425 /* io_uring_setup */, 3, 0),
    JumpIf(BPF_JEQ, SYS_socket, 0, 3),  Load(offsetof(seccomp_data, args[0])),
    JumpIf(BPF_JEQ, AF_UNIX, 1, 0),     Answer(SECCOMP_RET_ERRNO | EACCES),
    Answer(SECCOMP_RET_ALLOW),
};

// ---- the child ----

enum class Stage : int { kIdentity, kGuard, kFolder, kProgram };
struct StartReport {
  Stage stage = Stage::kProgram;
  int error = 0;
};

/// All that the child needs, made before the fork.
struct Prepared {
  std::vector<char*> argv;
  std::vector<char*> envp;
  std::vector<std::string> environment;
  std::vector<gid_t> groups;
  cpu_set_t cpus;
  Descriptor ruleset;
  Descriptor output;
};

// From here to the end of BecomeProgram: async-signal-safe calls only, since other threads may hold any lock at the fork.

[[noreturn]] void GiveUp(int report, Stage stage) {
  const StartReport text{stage, errno};
  if (write(report, &text, sizeof text) < 0) _exit(127);
  _exit(127);
}

void BecomeUser(const GuardedLaunch& launch, const Prepared& prepared, int report) {
  if (!launch.run_as) return;
  const gid_t gid = launch.run_as->gid;
  const uid_t uid = launch.run_as->uid;
  if (syscall(SYS_setgroups, prepared.groups.size(), prepared.groups.data()) != 0) GiveUp(report, Stage::kIdentity);
  if (syscall(SYS_setresgid, gid, gid, gid) != 0 || syscall(SYS_setresuid, uid, uid, uid) != 0) GiveUp(report, Stage::kIdentity);
}

void TieUp(const Prepared& prepared, int report) {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) GiveUp(report, Stage::kGuard);
  if (prepared.ruleset.ok() && syscall(kRestrictSelf, prepared.ruleset.number(), 0U) != 0) GiveUp(report, Stage::kGuard);
  sock_fprog program{static_cast<unsigned short>(kNoNetwork.size()), const_cast<sock_filter*>(kNoNetwork.data())};
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) GiveUp(report, Stage::kGuard);
}

[[noreturn]] void BecomeProgram(const GuardedLaunch& launch, const Prepared& prepared, pid_t parent, int report) {
  for (int number = 1; number < NSIG; ++number) {
    struct sigaction action {};
    action.sa_handler = SIG_DFL;
    sigaction(number, &action, nullptr);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  setsid();
  if (launch.cpus != 0) sched_setaffinity(0, sizeof prepared.cpus, &prepared.cpus);
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  BecomeUser(launch, prepared, report);
  // After the change of user, which clears it. SAFETY: nothing of a sandbox outlives a run that was killed.
  if (prctl(PR_SET_PDEATHSIG, launch.signal_at_our_end) != 0 || getppid() != parent) GiveUp(report, Stage::kGuard);
  if (chdir(launch.cwd.c_str()) != 0) GiveUp(report, Stage::kFolder);
  const int nothing = open("/dev/null", O_RDWR);
  if (nothing < 0 || dup2(nothing, 0) < 0 || dup2(prepared.output.number(), 1) < 0 || dup2(prepared.output.number(), 2) < 0) {
    GiveUp(report, Stage::kFolder);
  }
  TieUp(prepared, report);
  syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */);
  execve(prepared.argv[0], prepared.argv.data(), prepared.envp.data());
  GiveUp(report, Stage::kProgram);
}

Result<Unit> Prepare(const GuardedLaunch& launch, Prepared& prepared) {
  LIFEBOAT_CHECK(!launch.argv.empty(), "a command without a program");
  if (access(launch.argv[0].c_str(), X_OK) != 0) {
    return NotFound("program '" + launch.argv[0] + "' was not found", "install it on the host that restores");
  }
  for (const std::string& word : launch.argv) prepared.argv.push_back(const_cast<char*>(word.c_str()));
  for (const auto& [name, value] : launch.environment) prepared.environment.push_back(name + "=" + value);
  for (std::string& variable : prepared.environment) prepared.envp.push_back(variable.data());
  prepared.argv.push_back(nullptr);
  prepared.envp.push_back(nullptr);
  if (launch.run_as) {
    int count = 256;
    prepared.groups.resize(static_cast<std::size_t>(count));
    if (getgrouplist(launch.run_as->name.c_str(), launch.run_as->gid, prepared.groups.data(), &count) < 0) {
      return Fail("user '" + launch.run_as->name + "' is in more groups than are supported");
    }
    prepared.groups.resize(static_cast<std::size_t>(count));
  }
  cpu_set_t ours;
  CPU_ZERO(&ours);
  CPU_ZERO(&prepared.cpus);
  sched_getaffinity(0, sizeof ours, &ours);
  unsigned taken = 0;
  // The last ones: whatever is pinned on this host is pinned to the first.
  for (int cpu = CPU_SETSIZE - 1; cpu >= 0 && taken < launch.cpus; --cpu) {
    if (!CPU_ISSET(cpu, &ours)) continue;
    CPU_SET(cpu, &prepared.cpus);
    ++taken;
  }
  prepared.output = Descriptor(open(launch.output.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW));
  if (!prepared.output.ok()) return Fail("cannot write '" + launch.output.string() + "': " + Why(errno));
  if (launch.unguarded && !HasLandlock()) return Done();
  Result<Descriptor> ruleset = MakeRuleset(launch.writable);
  if (!ruleset) return ruleset.error();
  prepared.ruleset = std::move(*ruleset);
  return Done();
}

}  // namespace

bool HasLandlock() { return LandlockVersion() >= 1; }

Result<GuardedChild> GuardedChild::Start(const GuardedLaunch& launch) {
  Prepared prepared;
  if (const Result<Unit> ready = Prepare(launch, prepared); !ready) return ready.error();
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Fail("cannot make a pipe: " + Why(errno));
  const Descriptor read_end(ends[0]);
  Descriptor write_end(ends[1]);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) BecomeProgram(launch, prepared, parent, write_end.number());
  if (pid < 0) return Fail("cannot start a process: " + Why(errno));
  GuardedChild child(pid, Descriptor(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))));
  write_end.Close();
  StartReport report;
  ssize_t got = 0;
  do {
    got = read(read_end.number(), &report, sizeof report);
  } while (got < 0 && errno == EINTR);
  if (got != static_cast<ssize_t>(sizeof report)) return child;
  const char* doing = report.stage == Stage::kIdentity ? "becoming its user"
                      : report.stage == Stage::kGuard  ? "tying it up"
                      : report.stage == Stage::kFolder ? "its folder or output"
                                                       : "executing it";
  return Fail("cannot start '" + launch.argv[0] + "': " + doing + ": " + Why(report.error));
}

GuardedChild::GuardedChild(GuardedChild&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)), handle_(std::move(other.handle_)), code_(other.code_) {}

GuardedChild::~GuardedChild() {
  if (pid_ == 0 || code_) return;
  kill(-pid_, SIGKILL);
  kill(pid_, SIGKILL);
  siginfo_t info{};
  while (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED) != 0 && errno == EINTR) continue;
}

void GuardedChild::Signal(int number) const {
  if (!code_) kill(pid_, number);  // not reaped yet: the pid is its own
}

std::optional<int> GuardedChild::WaitFor(Duration timeout) {
  if (code_) return code_;
  pollfd at{handle_.number(), POLLIN, 0};
  (void)poll(&at, 1, static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(timeout).count()));
  siginfo_t info{};
  if (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return std::nullopt;
  kill(-pid_, SIGKILL);  // what it started and left behind; not reaped yet, so the number is still its own
  code_ = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
  while (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED) != 0 && errno == EINTR) continue;
  return code_;
}

}  // namespace lifeboat::backup
