#include "adapters/backups/guarded_child.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
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
constexpr int kNetPort = 2;                       // a rule's kind, version 4
constexpr std::uint64_t kBindTcp = 1U << 0U;
constexpr std::uint64_t kConnectTcp = 1U << 1U;

struct RulesetAttributes {
  std::uint64_t access_fs = 0;
  std::uint64_t access_net = 0;
  std::uint64_t scoped = 0;
};
struct PathRule {
  std::uint64_t access = 0;
  std::int32_t folder = -1;
} __attribute__((packed));
struct PortRule {
  std::uint64_t access = 0;
  std::uint64_t port = 0;
};

long LandlockVersion() { return syscall(kCreateRuleset, nullptr, 0UL, kAskVersion); }

/// The rights to write, all of them, given for `writable` and /dev/null alone; the right to connect, for `ports` (seccomp takes it
/// from those who have none).
Result<Descriptor> MakeRuleset(const std::vector<fs::path>& writable, const std::vector<std::uint16_t>& ports) {
  const long version = LandlockVersion();
  if (version < 1) return Fail("this kernel has no Landlock", "it needs Linux 5.13 with landlock among its security modules");
  RulesetAttributes attributes;
  attributes.access_fs = kWriteFile | kMakeAndRemove;
  if (version >= 2) attributes.access_fs |= kRefer;
  if (version >= 3) attributes.access_fs |= kTruncate;
  if (version >= 6) attributes.scoped = kScopeSignal;
  const bool bind_ports = version >= 4 && !ports.empty();
  if (bind_ports) attributes.access_net = kBindTcp | kConnectTcp;
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
  for (const std::uint16_t port : bind_ports ? ports : std::vector<std::uint16_t>()) {
    const PortRule rule{kConnectTcp, port};
    if (syscall(kAddRule, ruleset.number(), kNetPort, &rule, 0U) != 0) {
      return Fail("cannot allow connecting to port " + std::to_string(port) + ": " + Why(errno));
    }
  }
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
/// jobs must reach nobody. Local sockets may be listened on and never connected from, but by a client of the sandbox's own server:
/// each connect() of it is answered by us, with a connection to that server, whatever address it names (LeadToServer).
/// @param program  the one path, by its address, that may be executed where other programs may not be
std::vector<sock_filter> FilterOf(const GuardedLaunch& launch, const char* program) {
  const std::uint32_t no = SECCOMP_RET_ERRNO | EACCES;
  std::vector<sock_filter> filter = {Load(offsetof(seccomp_data, arch)), JumpIf(BPF_JEQ, kArchitecture, 1, 0),
                                     Answer(SECCOMP_RET_KILL_PROCESS), Load(offsetof(seccomp_data, nr))};
  const auto add = [&filter](std::initializer_list<sock_filter> more) { filter.insert(filter.end(), more); };
  add({JumpIf(BPF_JGE, 0x40000000U, 0, 1), Answer(no)});  // another table of numbers (x32)
  const bool internet = !launch.ports.empty();
  const std::uint32_t connects = internet ? SECCOMP_RET_ALLOW : launch.server.empty() ? no : SECCOMP_RET_USER_NOTIF;
  add({JumpIf(BPF_JEQ, SYS_connect, 0, 1), Answer(connects)});
  add({JumpIf(BPF_JEQ, 425 /* io_uring_setup */, 0, 1), Answer(no)});
  if (launch.no_programs) {
    // SAFETY: what a dump's SQL, or a script's shell command, would start never runs. The address is that of our own memory before
    // the execve, which no longer exists after it.
    const auto address = reinterpret_cast<std::uintptr_t>(program);
    constexpr std::size_t kLow = offsetof(seccomp_data, args[0]);  // little-endian
    add({JumpIf(BPF_JEQ, SYS_execveat, 0, 1), Answer(no)});
    add({JumpIf(BPF_JEQ, SYS_execve, 0, 6), Load(kLow), JumpIf(BPF_JEQ, static_cast<std::uint32_t>(address), 0, 3), Load(kLow + 4),
         JumpIf(BPF_JEQ, static_cast<std::uint32_t>(address >> 32U), 0, 1), Answer(SECCOMP_RET_ALLOW), Answer(no)});
  }
  if (internet) {
    // Addresses of the internet alone: no server of this host listens there for it. Netlink tells which kinds of address there are.
    add({JumpIf(BPF_JEQ, SYS_socket, 0, 5), Load(offsetof(seccomp_data, args[0])), JumpIf(BPF_JEQ, AF_INET, 3, 0),
         JumpIf(BPF_JEQ, AF_INET6, 2, 0), JumpIf(BPF_JEQ, AF_NETLINK, 1, 0), Answer(no)});
  } else {
    add({JumpIf(BPF_JEQ, SYS_socket, 0, 3), Load(offsetof(seccomp_data, args[0])), JumpIf(BPF_JEQ, AF_UNIX, 1, 0), Answer(no)});
  }
  add({Answer(SECCOMP_RET_ALLOW)});
  return filter;
}

/// Never waits: a server that takes no connections refuses.
Descriptor ConnectTo(const fs::path& server, pid_t pid) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = server.string();
  if (path.size() >= sizeof address.sun_path) return {};
  std::memcpy(address.sun_path, path.data(), path.size());
  Descriptor socket_to(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));  // as libpq wants it
  if (!socket_to.ok() || connect(socket_to.number(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return {};
  return IsServedBy(socket_to.number(), pid) ? std::move(socket_to) : Descriptor();
}

/// One descriptor over a socket. Async-signal-safe.
bool HandOver(int over, int descriptor) {
  char byte = 0;
  iovec data{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(head), &descriptor, sizeof descriptor);
  return sendmsg(over, &message, MSG_NOSIGNAL) == 1;
}

Descriptor TakeOver(int from) {
  char byte = 0;
  iovec data{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  if (recvmsg(from, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) != 1) return {};
  const cmsghdr* head = CMSG_FIRSTHDR(&message);
  if (head == nullptr || head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) return {};
  int descriptor = -1;
  std::memcpy(&descriptor, CMSG_DATA(head), sizeof descriptor);
  return Descriptor(descriptor);
}

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
  std::vector<sock_filter> filter;
  Descriptor ruleset;
  Descriptor output;
  Descriptor listener_to_us;    ///< ours
  Descriptor listener_from_it;  ///< the child's, to hand the listener over
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
  sock_fprog program{static_cast<unsigned short>(prepared.filter.size()), const_cast<sock_filter*>(prepared.filter.data())};
  if (!prepared.listener_from_it.ok()) {
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) GiveUp(report, Stage::kGuard);
    return;
  }
  const long listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
  if (listener < 0 || !HandOver(prepared.listener_from_it.number(), static_cast<int>(listener))) GiveUp(report, Stage::kGuard);
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
  if (nothing < 0 || dup2(launch.input >= 0 ? launch.input : nothing, 0) < 0 || dup2(prepared.output.number(), 1) < 0 ||
      dup2(prepared.output.number(), 2) < 0) {
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
  prepared.filter = FilterOf(launch, prepared.argv[0]);
  if (!launch.server.empty()) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return Fail("cannot make a pair of sockets: " + Why(errno));
    prepared.listener_to_us = Descriptor(ends[0]);
    prepared.listener_from_it = Descriptor(ends[1]);
  }
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
  Result<Descriptor> ruleset = MakeRuleset(launch.writable, launch.ports);
  if (!ruleset) return ruleset.error();
  prepared.ruleset = std::move(*ruleset);
  return Done();
}

}  // namespace

bool HasLandlock() { return LandlockVersion() >= 1; }

bool LandlockBindsPorts() { return LandlockVersion() >= 4; }

bool IsServedBy(int connection, pid_t pid) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid > 0 && peer.pid == pid;
}

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
  GuardedChild child(pid, Descriptor(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))), launch.server, launch.server_pid);
  write_end.Close();
  StartReport report;
  ssize_t got = 0;
  do {
    got = read(read_end.number(), &report, sizeof report);
  } while (got < 0 && errno == EINTR);
  if (got != static_cast<ssize_t>(sizeof report)) {
    if (launch.server.empty()) return child;
    child.connects_ = TakeOver(prepared.listener_to_us.number());
    if (child.connects_.ok()) return child;
    return Fail("cannot start '" + launch.argv[0] + "': nobody would lead it to its server");
  }
  const char* doing = report.stage == Stage::kIdentity ? "becoming its user"
                      : report.stage == Stage::kGuard  ? "tying it up"
                      : report.stage == Stage::kFolder ? "its folder or output"
                                                       : "executing it";
  return Fail("cannot start '" + launch.argv[0] + "': " + doing + ": " + Why(report.error));
}

GuardedChild::GuardedChild(GuardedChild&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)),
      handle_(std::move(other.handle_)),
      connects_(std::move(other.connects_)),
      server_(std::move(other.server_)),
      server_pid_(other.server_pid_),
      code_(other.code_) {}

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
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (!code_) {
    const Duration left = std::max(Duration{0}, std::chrono::duration_cast<Duration>(end - std::chrono::steady_clock::now()));
    pollfd at[2] = {{handle_.number(), POLLIN, 0}, {connects_.number(), POLLIN, 0}};
    (void)poll(at, 2, static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(left).count()));
    if ((at[1].revents & POLLIN) != 0) {
      LeadToServer();
    } else if (at[1].revents != 0) {
      connects_.Close();  // nobody is left who could ask
    }
    if (Reap() || left.count() == 0) break;
  }
  return code_;
}

std::optional<int> GuardedChild::Reap() {
  siginfo_t info{};
  if (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return std::nullopt;
  kill(-pid_, SIGKILL);  // what it started and left behind; not reaped yet, so the number is still its own
  code_ = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
  while (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED) != 0 && errno == EINTR) continue;
  return code_;
}

/// SAFETY: the address that the program names is not even read: its socket is replaced by one that we connected to the sandbox's
/// server, and to no other that stands in its place. Nothing that it does meanwhile can lead it elsewhere. @source
/// seccomp_unotify(2)
void GuardedChild::LeadToServer() {
  // The kernel's structs may be longer than those of our headers, and it wants the rest to be zero.
  alignas(seccomp_notif) char asked[512] = {};
  alignas(seccomp_notif_resp) char answered[512] = {};
  auto* request = reinterpret_cast<seccomp_notif*>(asked);
  auto* response = reinterpret_cast<seccomp_notif_resp*>(answered);
  if (ioctl(connects_.number(), SECCOMP_IOCTL_NOTIF_RECV, request) != 0) return;
  response->id = request->id;
  const Descriptor connection = ConnectTo(server_, server_pid_);
  seccomp_notif_addfd add{};
  add.id = request->id;
  add.flags = SECCOMP_ADDFD_FLAG_SETFD;
  add.srcfd = static_cast<std::uint32_t>(connection.number());
  add.newfd = static_cast<std::uint32_t>(request->data.args[0]);
  add.newfd_flags = O_CLOEXEC;
  if (!connection.ok() || ioctl(connects_.number(), SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0) response->error = -ECONNREFUSED;
  (void)ioctl(connects_.number(), SECCOMP_IOCTL_NOTIF_SEND, response);  // it may have died meanwhile
}

}  // namespace lifeboat::backup
