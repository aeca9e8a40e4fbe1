#include "lab/faults.h"

#include <signal.h>
#include <sys/shm.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <string>
#include <thread>

#include "adapters/system/processes.h"
#include "lab/client.h"

namespace lifeboat::lab {

namespace {

// @source proc_pid_stat(5): the parent is the second field after the name, which itself may hold blanks and parentheses
pid_t ParentOf(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(stat, text);
  const std::size_t after_name = text.rfind(')');
  if (after_name == std::string::npos || after_name + 4 >= text.size()) return 0;
  return static_cast<pid_t>(std::strtol(text.c_str() + after_name + 4, nullptr, 10));
}

// Those whose end would end us: a shell that was left standing in the lab and started this command.
std::set<pid_t> OurAncestors() {
  std::set<pid_t> ancestors;
  for (pid_t at = ::getpid(); at > 1 && ancestors.insert(at).second;) at = ParentOf(at);
  return ancestors;
}

bool LiesWithin(const std::filesystem::path& path, const std::filesystem::path& folder) {
  const auto [end, rest] = std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
  return end == folder.end();
}

// Processes whose environment says that they belong to `folder`: a tool that an agent runs may stand elsewhere.
std::vector<pid_t> MarkedWith(const std::filesystem::path& folder) {
  const std::string key = std::string(kPlaceVariable) + "=";
  std::vector<pid_t> marked;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream file(entry.path() / "environ", std::ios::binary);
    for (std::string variable; std::getline(file, variable, '\0');) {
      if (!variable.starts_with(key)) continue;
      const std::filesystem::path place = std::filesystem::weakly_canonical(variable.substr(key.size()), ignored);
      if (LiesWithin(place, folder)) marked.push_back(static_cast<pid_t>(std::strtol(name.c_str(), nullptr, 10)));
      break;
    }
  }
  return marked;
}

std::vector<ProcessIdentity> Beneath(const std::filesystem::path& folder, const std::set<pid_t>& spared) {
  std::set<pid_t> pids;
  for (const pid_t pid : ProcessesWithin(folder.string())) pids.insert(pid);
  std::error_code ignored;
  for (const pid_t pid : MarkedWith(std::filesystem::weakly_canonical(folder, ignored))) pids.insert(pid);
  std::vector<ProcessIdentity> found;
  for (const pid_t pid : pids) {
    if (spared.contains(pid)) continue;
    // SAFETY: a pid that is given to another process from here on fails the comparison of start times when it is signalled.
    if (const auto identity = IdentifyProcess(pid)) found.push_back(*identity);
  }
  return found;
}

// The System V segment of a PostgreSQL server, as its postmaster.pid names it: line 7 is "key id".
// @source PostgreSQL source, src/include/utils/pidfile.h, LOCK_FILE_LINE_SHMEM_KEY
std::vector<int> SharedMemoryOf(const std::filesystem::path& folder) {
  std::vector<int> segments;
  std::error_code ignored;
  for (std::filesystem::recursive_directory_iterator
           at(folder, std::filesystem::directory_options::skip_permission_denied, ignored),
       end;
       at != end; at.increment(ignored)) {
    if (at.depth() >= 2) at.disable_recursion_pending();  // <lab>/<region>/data/postmaster.pid is the deepest
    if (at->path().filename() != "postmaster.pid") continue;
    std::ifstream file(at->path());
    std::string line;
    for (int number = 1; number <= 7 && std::getline(file, line);) ++number;
    unsigned long key = 0;
    int id = -1;
    if (std::sscanf(line.c_str(), "%lu %d", &key, &id) == 2 && id >= 0) segments.push_back(id);
  }
  return segments;
}

void RemoveSharedMemory(const std::vector<int>& segments) {
  for (const int id : segments) {
    shmid_ds state{};
    if (::shmctl(id, IPC_STAT, &state) == 0 && state.shm_nattch == 0) ::shmctl(id, IPC_RMID, nullptr);
  }
}

void SignalAll(const std::vector<ProcessIdentity>& processes, int signal) {
  for (const ProcessIdentity& process : processes) {
    if (const auto sent = SignalProcess(process, signal); !sent) continue;  // it has ended by itself: as well
  }
}

Result<Unit> AwaitEnd(const std::vector<ProcessIdentity>& processes, Instant deadline) {
  for (const ProcessIdentity& process : processes) {
    while (IsAlive(process)) {
      if (HasPassed(deadline, ReadClocks())) return RetryLater("process " + std::to_string(process.pid) + " does not end");
      std::this_thread::sleep_for(1ms);
    }
  }
  return Done();
}

}  // namespace

Result<KillReport> KillAtOneInstant(const std::filesystem::path& folder, Duration timeout) {
  const Instant deadline = ReadClocks() + timeout;
  const std::set<pid_t> spared = OurAncestors();
  const std::vector<int> segments = SharedMemoryOf(folder);
  KillReport report;
  for (;;) {
    std::vector<ProcessIdentity> all = Beneath(folder, spared);
    if (all.empty()) break;
    if (report.monotonic_ns == 0) {
      report.monotonic_ns = MonotonicNs();
      report.wall_ns = ReadWallClock().ns;
    }
    for (std::size_t known = 0; known != all.size();) {  // until a look finds no process that was started meanwhile
      known = all.size();
      SignalAll(all, SIGSTOP);
      for (const ProcessIdentity& process : Beneath(folder, spared)) {
        if (std::find(all.begin(), all.end(), process) == all.end()) all.push_back(process);
      }
    }
    SignalAll(all, SIGKILL);
    for (const ProcessIdentity& process : all) report.killed.push_back(process.pid);
    if (const auto ended = AwaitEnd(all, deadline); !ended) return ended.error().Within("'" + folder.string() + "'");
  }
  RemoveSharedMemory(segments);
  return report;
}

namespace {

KillReport ReportNow() {
  KillReport report;
  report.monotonic_ns = MonotonicNs();
  report.wall_ns = ReadWallClock().ns;
  return report;
}

Result<ProcessIdentity> FindOne(const std::filesystem::path& folder, pid_t pid) {
  const auto identity = IdentifyProcess(pid);
  const std::vector<pid_t> within = ProcessesWithin(folder.string());
  if (identity && std::find(within.begin(), within.end(), pid) != within.end()) return *identity;
  return NotFound("no process " + std::to_string(pid) + " lives beneath '" + folder.string() + "'");
}

}  // namespace

KillReport FreezeAtOneInstant(const std::filesystem::path& folder) {
  const std::set<pid_t> spared = OurAncestors();
  KillReport report = ReportNow();
  std::vector<ProcessIdentity> all;
  for (std::size_t known = 1; known != all.size();) {  // until a look finds no process that was started meanwhile
    known = all.size();
    for (const ProcessIdentity& process : Beneath(folder, spared)) {
      if (std::find(all.begin(), all.end(), process) == all.end()) all.push_back(process);
    }
    SignalAll(all, SIGSTOP);
    if (all.empty()) break;
  }
  for (const ProcessIdentity& process : all) report.killed.push_back(process.pid);
  return report;
}

KillReport ThawAll(const std::filesystem::path& folder) {
  KillReport report = ReportNow();
  std::vector<ProcessIdentity> frozen;
  for (const ProcessIdentity& process : Beneath(folder, {})) {
    if (IsFrozen(process.pid)) frozen.push_back(process);
  }
  SignalAll(frozen, SIGCONT);
  for (const ProcessIdentity& process : frozen) report.killed.push_back(process.pid);
  return report;
}

Result<KillReport> FreezeOne(const std::filesystem::path& folder, pid_t pid) {
  const auto process = FindOne(folder, pid);
  if (!process) return process.error();
  KillReport report = ReportNow();
  if (auto sent = SignalProcess(*process, SIGSTOP); !sent) return sent.error();
  report.killed.push_back(pid);
  return report;
}

Result<KillReport> ThawOne(const std::filesystem::path& folder, pid_t pid) {
  const auto process = FindOne(folder, pid);
  if (!process) return process.error();
  KillReport report = ReportNow();
  if (!IsFrozen(pid)) return report;
  if (auto sent = SignalProcess(*process, SIGCONT); !sent) return sent.error();
  report.killed.push_back(pid);
  return report;
}

// @source proc_pid_stat(5): T stopped by a signal
bool IsFrozen(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(stat, text);
  const std::size_t after_name = text.rfind(')');
  return after_name != std::string::npos && after_name + 2 < text.size() && text[after_name + 2] == 'T';
}

Result<KillReport> KillOne(const std::filesystem::path& folder, pid_t pid, Duration timeout) {
  const auto identity = IdentifyProcess(pid);
  const std::vector<pid_t> within = ProcessesWithin(folder.string());
  if (!identity || std::find(within.begin(), within.end(), pid) == within.end()) {
    return NotFound("no process " + std::to_string(pid) + " lives beneath '" + folder.string() + "'");
  }
  KillReport report;
  report.monotonic_ns = MonotonicNs();
  report.wall_ns = ReadWallClock().ns;
  SignalAll({*identity}, SIGKILL);
  report.killed.push_back(pid);
  if (const auto ended = AwaitEnd({*identity}, ReadClocks() + timeout); !ended) return ended.error();
  return report;
}

}  // namespace lifeboat::lab
