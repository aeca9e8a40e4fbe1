#include "lab/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <thread>
#include <vector>

#include "adapters/system/files.h"
#include "adapters/system/processes.h"
#include "lab/client.h"
#include "lab/layout.h"
#include "lab/store_cluster.h"
#include "lab/store_table.h"

namespace lifeboat::lab {

namespace fs = std::filesystem;

namespace {

constexpr Duration kFirstPause = 200ms;  // before a process that ended is started again
constexpr Duration kLongestPause = 2s;
constexpr Duration kSteadyAfter = 10s;  // one that lived as long begins again with the first pause
constexpr Duration kPatience = 3s;      // for an orderly end after SIGTERM

struct Child {
  std::string name;
  std::vector<std::string> argv;
  fs::path cwd;
  fs::path log;
  ProcessIdentity process;  ///< pid 0: it does not run
  int pidfd = -1;
  std::int64_t started_ns = 0;   ///< CLOCK_MONOTONIC
  std::int64_t start_at_ns = 0;  ///< when to start it again
  Duration pause = kFirstPause;
};

class Supervisor {
 public:
  Supervisor(const LabInfo& lab, const LabRegion& region) : lab_(lab), folder_(lab.FolderOf(region.name.text)) {
    const std::string name = region.name.text;
    const std::string program = lab.Program().string();
    const std::string config = lab.Config().string();
    const auto environment = StoreTableEnvironment(lab);
    for (const char* variable : {"AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE"}) {
      if (!environment.empty()) ::unsetenv(variable);  // of whoever made the lab: what it is to use stands in `environment`
    }
    for (const auto& [variable, value] : environment) ::setenv(variable.c_str(), value.c_str(), 1);
    if (region.kind == RegionKind::kData) Add("guard", {program, "guard", "--region", name, "--config", config}, folder_ / "run");
    if (region.kind == RegionKind::kWitness) {
      Add("knot", {"/usr/sbin/knotd", "-c", (folder_ / "knot" / "knot.conf").string()}, folder_ / "knot");
    }
    if (lab.knobs.store == StoreKind::kEtcd) Add("etcd", StoreMemberCommand(lab, name), folder_ / "etcd");
    Add("agent", {program, "agent", "--region", name, "--config", config}, folder_ / "run");
  }

  int Run() {
    sigset_t ours;
    ::sigemptyset(&ours);
    for (const int signal : {SIGTERM, SIGINT, SIGCHLD}) ::sigaddset(&ours, signal);
    ::sigprocmask(SIG_BLOCK, &ours, nullptr);
    // Orphans of the region (a postmaster, whose starter has gone) become our children, so that their ends are collected at
    // once: PostgreSQL refuses to start while the pid in its lock file exists, be it as a zombie.
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    signals_ = ::signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
    for (Child& child : children_) {
      if (!Adopt(child)) Start(child);
    }
    while (!WaitForEvent()) {
      for (Child& child : children_) LookAfter(child);
    }
    return EndAll();
  }

 private:
  void Add(std::string name, std::vector<std::string> argv, fs::path cwd) {
    Child child;
    child.log = folder_ / "log" / (name + ".log");
    child.name = std::move(name);
    child.argv = std::move(argv);
    child.cwd = std::move(cwd);
    children_.push_back(std::move(child));
  }

  static void Say(const std::string& text) {
    std::fprintf(stderr, "%s supervisor: %s\n", FormatWallTime(ReadWallClock()).c_str(), text.c_str());
  }

  [[nodiscard]] fs::path PidFile(const Child& child) const { return folder_ / "run" / (child.name + ".pid"); }

  // Takes over the process that an earlier supervisor started, if it still lives: the file holds pid and start time.
  bool Adopt(Child& child) {
    const auto text = ReadSmallFile(PidFile(child).string());
    if (!text) return false;
    ProcessIdentity before;
    std::istringstream words(*text);
    words >> before.pid >> before.start_ticks;
    if (before.pid <= 0 || !IsAlive(before)) return false;
    Say("takes over " + child.name + ", pid " + std::to_string(before.pid));
    Watch(child, before);
    return true;
  }

  void Watch(Child& child, ProcessIdentity process) {
    child.process = process;
    child.started_ns = MonotonicNs();
    child.pidfd = static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0));
  }

  void Start(Child& child) {
    const int log = ::open(child.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    std::vector<char*> argv;
    for (std::string& word : child.argv) argv.push_back(word.data());
    argv.push_back(nullptr);
    const pid_t pid = ::fork();
    if (pid == 0) {
      sigset_t none;
      ::sigemptyset(&none);
      ::sigprocmask(SIG_SETMASK, &none, nullptr);
      ::setsid();
      const int null = ::open("/dev/null", O_RDONLY);
      ::dup2(null, 0);
      ::dup2(log, 1);
      ::dup2(log, 2);
      if (::chdir(child.cwd.c_str()) == 0) ::execv(argv[0], argv.data());
      std::fprintf(stderr, "cannot start %s: %s\n", argv[0], std::strerror(errno));
      ::_exit(127);
    }
    if (log >= 0) ::close(log);
    const auto identity = pid > 0 ? IdentifyProcess(pid) : std::nullopt;
    if (!identity) {
      Say("cannot start " + child.name);
      ScheduleStart(child);
      return;
    }
    Watch(child, *identity);
    const std::string content = std::to_string(identity->pid) + " " + std::to_string(identity->start_ticks) + "\n";
    if (const auto written = WriteOwned(PidFile(child), content, 0644, std::nullopt); !written) Say(written.error().message);
    Say("started " + child.name + ", pid " + std::to_string(pid));
  }

  void ScheduleStart(Child& child) {
    const std::int64_t now_ns = MonotonicNs();
    if (child.started_ns != 0 && now_ns - child.started_ns > kSteadyAfter.count()) child.pause = kFirstPause;
    child.start_at_ns = now_ns + child.pause.count();
    child.pause = std::min(child.pause * 2, kLongestPause);
  }

  // Waits until something ends, is due or signals. True: we are to end.
  bool WaitForEvent() {
    std::vector<pollfd> waits{{signals_, POLLIN, 0}};
    std::int64_t wake_ns = MonotonicNs() + Duration(60s).count();
    for (const Child& child : children_) {
      if (child.pidfd >= 0) waits.push_back({child.pidfd, POLLIN, 0});
      if (child.process.pid == 0) wake_ns = std::min(wake_ns, child.start_at_ns);
    }
    const std::int64_t left_ns = std::max<std::int64_t>(wake_ns - MonotonicNs(), 0);
    ::poll(waits.data(), waits.size(), static_cast<int>((left_ns + 999'999) / 1'000'000));
    bool end = false;
    signalfd_siginfo signal{};
    while (::read(signals_, &signal, sizeof signal) == static_cast<ssize_t>(sizeof signal)) {
      end = end || signal.ssi_signo == SIGTERM || signal.ssi_signo == SIGINT;
    }
    CollectEnded();
    return end;
  }

  static void CollectEnded() {
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
  }

  void LookAfter(Child& child) {
    if (child.process.pid != 0) {
      if (IsAlive(child.process)) return;
      Say(child.name + " ended, pid " + std::to_string(child.process.pid));
      if (child.pidfd >= 0) ::close(child.pidfd);
      child.pidfd = -1;
      child.process = {};
      ScheduleStart(child);
    }
    if (MonotonicNs() >= child.start_at_ns) Start(child);
  }

  int EndAll() {
    Say("ends");
    const std::int64_t deadline_ns = MonotonicNs() + kPatience.count();
    for (const Child& child : children_) {
      if (child.process.pid == 0) continue;
      if (const auto sent = SignalProcess(child.process, SIGTERM); !sent) Say(child.name + " has ended already");
    }
    for (const Child& child : children_) {
      while (child.process.pid != 0 && IsAlive(child.process) && MonotonicNs() < deadline_ns) {
        pollfd wait{child.pidfd, POLLIN, 0};
        ::poll(&wait, child.pidfd >= 0 ? 1 : 0, 50);
        CollectEnded();
      }
    }
    return 0;
  }

  const LabInfo& lab_;
  const fs::path folder_;
  std::vector<Child> children_;
  int signals_ = -1;
};

}  // namespace

int RunSupervisor(const fs::path& lab_folder, const std::string& region_name) {
  const auto lab = ReadLab(lab_folder);
  const LabRegion* region = lab ? lab->Find(region_name) : nullptr;
  if (region == nullptr) {
    std::fprintf(stderr, "%s\n", lab ? ("the lab has no region '" + region_name + "'").c_str() : lab.error().Text().c_str());
    return 1;
  }
  const fs::path run = lab->FolderOf(region_name) / "run";
  if (::chdir(run.c_str()) != 0) {
    std::fprintf(stderr, "'%s': %s\n", run.c_str(), std::strerror(errno));
    return 1;
  }
  auto lock = FileLock::Take(run.string(), "supervisor.pid");  // our pid stands in it
  // What a killed supervisor was just starting holds its lock from the fork to the exec: a moment, longer on a busy machine.
  for (int tries = 0; !lock && tries < 100; ++tries) {
    std::this_thread::sleep_for(10ms);
    lock = FileLock::Take(run.string(), "supervisor.pid");
  }
  if (!lock) {
    std::fprintf(stderr, "%s\n", lock.error().Text().c_str());
    return 3;
  }
  return Supervisor(*lab, *region).Run();
}

}  // namespace lifeboat::lab
