#include "integration/chaos/chaos.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <mutex>
#include <thread>

#include "adapters/system/processes.h"
#include "base/json.h"
#include "integration/chaos/evidence.h"
#include "integration/chaos/schedule.h"
#include "integration/chaos/writer.h"
#include "lab/agents.h"
#include "lab/client.h"

namespace lifeboat::chaos {

namespace fs = std::filesystem;

namespace {

constexpr Duration kAskTimeout = 1s;
constexpr Duration kMendTimeout = 90s;
constexpr int kFollowers = 2;  // writers that follow the public name
constexpr std::uint64_t kNeedsRejoin[] = {310, 312};

// What happened, from several threads, each line with its time.
class Story {
 public:
  explicit Story(std::function<void(const std::string&)> say) : say_(std::move(say)) {}
  void Tell(const std::string& text) {
    const std::lock_guard lock(mutex_);
    lines_.push_back(FormatWallTime(ReadWallClock()) + " " + text);
    if (say_) say_(lines_.back());
  }
  [[nodiscard]] std::vector<std::string> Lines() const {
    const std::lock_guard lock(mutex_);
    return lines_;
  }

 private:
  std::function<void(const std::string&)> say_;
  mutable std::mutex mutex_;  // protects lines_
  std::vector<std::string> lines_;
};

template <typename T>
std::string Said(const Result<T>& done) {
  return done ? "" : " (" + done.error().message + ")";
}

std::uint64_t RuleAt(const lab::LabInfo& lab, const std::string& region) {
  const auto status = lab::AskAgent(lab, region, "status", Json::object(), kAskTimeout);
  return status ? NumberAt(MemberAt(*status, "decision"), "rule") : 0;
}

// Does what a person does who looks at the status now and then: a region that says that it must be rejoined is.
class Operator {
 public:
  Operator(const lab::LabInfo& lab, Story& story) : lab_(lab), story_(story) {}
  void Look() {
    for (const lab::LabRegion& region : lab_.regions) {
      if (region.kind != RegionKind::kData) continue;
      const std::uint64_t rule = RuleAt(lab_, region.name.text);
      if (std::find(std::begin(kNeedsRejoin), std::end(kNeedsRejoin), rule) == std::end(kNeedsRejoin)) continue;
      const auto ordered = lab::AskAgent(lab_, region.name.text, "rejoin", {{"region", region.name.text}}, 3s);
      if (ordered) story_.Tell("operator: rejoins " + region.name.text);
    }
  }

 private:
  const lab::LabInfo& lab_;
  Story& story_;
};

class ChaosRun {
 public:
  explicit ChaosRun(const Options& options) : options_(options), story_(options.say) {}
  ~ChaosRun() {
    if (built_) (void)lab::Down(folder_).ok();
  }
  ChaosRun(const ChaosRun&) = delete;
  ChaosRun& operator=(const ChaosRun&) = delete;

  Outcome Go() {
    const Result<Unit> done = Whole();
    if (!done) outcome_.problems.push_back(done.error().Text());
    outcome_.story = story_.Lines();
    if (!outcome_.problems.empty()) KeepFolder();
    return outcome_;
  }

 private:
  Result<Unit> Whole() {
    if (auto begun = Begin(); !begun) return begun.error().Within("before any fault");
    Torment();
    HealAll();
    const Result<Unit> mended = Mend();
    if (!mended) {
      outcome_.problems.push_back("the service did not become whole: " + mended.error().message);
      KeepStatus();
    }
    for (const auto& writer : writers_) writer->Stop();
    story_.Tell("writers stopped");
    return JudgeAll();
  }

  Result<Unit> Begin() {
    std::string name = (fs::temp_directory_path() / ("lifeboat-chaos-" + std::to_string(options_.seed) + "-XXXXXX")).string();
    if (::mkdtemp(name.data()) == nullptr || ::chmod(name.c_str(), 0755) != 0) return Fail("no temporary folder");
    folder_ = outcome_.folder = fs::canonical(name);
    built_ = true;
    lab::LabOptions up;
    up.folder = folder_;
    up.program = options_.program;
    up.place = options_.place;
    up.knobs.lease = options_.lease;
    up.knobs.store = options_.store;
    up.knobs.gate = options_.gate;
    up.knobs.cool_down = 0s;  // a person who clears it is not what is tested here
    auto lab = lab::Up(
        up, [](const std::string&) {}, [] { return true; });
    if (!lab) return lab.error();
    lab_ = std::move(lab).value();
    outcome_.network = lab_.network.has_value();
    outcome_.gate = lab_.knobs.gate;
    const std::string first = lab_.FirstPrimary().name.text;
    const auto connection = lab::ConnectTo(lab_.Conninfo(first, "postgres"));
    if (!connection) return connection.error();
    if (const auto made = lab::Query(*connection, kTable); !made) return made.error();
    int number = 0;
    for (int follower = 0; follower < kFollowers; ++follower) AddWriter(++number, "", 10ms);
    for (const lab::LabRegion& region : lab_.regions) {
      if (region.kind == RegionKind::kData) AddWriter(++number, region.name.text, 20ms);
    }
    return AwaitWrites(10, 15s);
  }

  void AddWriter(int number, const std::string& beside, Duration interval) {
    writers_.push_back(std::make_unique<Writer>(lab_, number, beside, interval));
    writers_.back()->Start();
  }

  // Until each writer that follows the name has `more` further rows.
  Result<Unit> AwaitWrites(std::uint64_t more, Duration timeout) {
    const Instant deadline = ReadClocks() + timeout;
    for (int at = 0; at < kFollowers; ++at) {
      const std::uint64_t wanted = writers_[static_cast<std::size_t>(at)]->Acknowledged() + more;
      while (writers_[static_cast<std::size_t>(at)]->Acknowledged() < wanted) {
        if (HasPassed(deadline, ReadClocks())) return Fail("writer " + std::to_string(at + 1) + " writes nothing");
        std::this_thread::sleep_for(10ms);
      }
    }
    return Done();
  }

  // ---- faults ----

  struct Act {
    Duration at;
    const Fault* fault;
    bool begins;
  };

  void Torment() {
    Places places;
    for (const lab::LabRegion& region : lab_.regions) {
      if (region.kind == RegionKind::kData) places.data.push_back(region.name.text);
    }
    places.witness = lab_.Witness().name.text;
    places.network = outcome_.network;
    places.etcd = options_.store == StoreKind::kEtcd;
    const std::vector<Fault> faults =
        options_.schedule.empty() ? MakeSchedule(options_.seed, options_.length, places) : options_.schedule;
    outcome_.faults = faults.size();
    std::vector<Act> acts;
    for (const Fault& fault : faults) {
      acts.push_back({fault.at, &fault, true});
      acts.push_back({fault.at + fault.length, &fault, false});
    }
    std::stable_sort(acts.begin(), acts.end(), [](const Act& a, const Act& b) { return a.at < b.at; });
    std::jthread looks([this](const std::stop_token& stop) {
      Operator person(lab_, story_);
      while (!stop.stop_requested()) {
        person.Look();
        std::this_thread::sleep_for(500ms);
      }
    });
    const std::int64_t begun_ns = lab::MonotonicNs();
    for (const Act& act : acts) {
      std::this_thread::sleep_for(Duration(std::max<std::int64_t>(begun_ns + act.at.count() - lab::MonotonicNs(), 0)));
      if (act.begins)
        BeginFault(*act.fault);
      else
        EndFault(*act.fault);
    }
  }

  void BeginFault(const Fault& fault) {
    std::string said;
    switch (fault.kind) {
      case FaultKind::kKillRegion: said = Said(lab::Kill(folder_, fault.region)); break;
      case FaultKind::kKillPart: said = Said(lab::Kill(folder_, fault.region, fault.other)); break;
      case FaultKind::kRestartAgent: Terminate(fault.region); break;
      case FaultKind::kFreeze: said = Said(lab::Freeze(folder_, fault.region, fault.other)); break;
      case FaultKind::kCut: said = Said(lab::Cut(folder_, fault.region, fault.other)); break;
      case FaultKind::kCutOneWay: said = Said(lab::Cut(folder_, fault.region, fault.other, true)); break;
      case FaultKind::kDiskFull: LimitFiles(fault.region, fault.other, 1U << 14U); break;
      case FaultKind::kSwitchover: said = Said(lab::AskAny(lab_, "switchover", {{"to", fault.region}}, kAskTimeout)); break;
    }
    story_.Tell(Describe(fault) + said);
  }

  void EndFault(const Fault& fault) {
    std::string said;
    switch (fault.kind) {
      case FaultKind::kKillRegion: said = "start " + fault.region + Said(lab::Start(folder_, fault.region)); break;
      case FaultKind::kKillPart:
        if (fault.other != "supervisor") return;
        said = "start " + fault.region + Said(lab::Start(folder_, fault.region));
        break;
      case FaultKind::kFreeze:
        said = "thaw " + fault.region + " " + fault.other + Said(lab::Thaw(folder_, fault.region, fault.other));
        break;
      case FaultKind::kCut:
      case FaultKind::kCutOneWay:
        said = "heal " + fault.region + " " + fault.other + Said(lab::Heal(folder_, fault.region, fault.other));
        break;
      case FaultKind::kDiskFull:
        LimitFiles(fault.region, "", RLIM_INFINITY);
        said = "room on the disk of " + fault.region;
        break;
      case FaultKind::kRestartAgent:
      case FaultKind::kSwitchover: return;
    }
    story_.Tell(said);
  }

  void Terminate(const std::string& region) {
    std::ifstream file(lab_.FolderOf(region) / "run" / "agent.pid");
    pid_t pid = 0;
    const auto process = file >> pid ? IdentifyProcess(pid) : std::nullopt;
    if (process) (void)SignalProcess(*process, SIGTERM).ok();
  }

  // A full disk as processes see it: no file of theirs grows beyond `bytes`. @source getrlimit(2) RLIMIT_FSIZE
  void LimitFiles(const std::string& region, const std::string& part, rlim_t bytes) {
    std::vector<pid_t> pids;
    if (part == "agent") {
      std::ifstream file(lab_.FolderOf(region) / "run" / "agent.pid");
      pid_t pid = 0;
      if (file >> pid && IsAlive(pid)) pids.push_back(pid);
    } else {
      const fs::path folder = part == "database" ? lab_.FolderOf(region) / "data" : lab_.FolderOf(region);
      pids = ProcessesWithin(folder.string());
    }
    for (const pid_t pid : pids) {
      rlimit limit{};
      if (::prlimit(pid, RLIMIT_FSIZE, nullptr, &limit) != 0) continue;  // it has just ended
      limit.rlim_cur = std::min(bytes, limit.rlim_max);
      ::prlimit(pid, RLIMIT_FSIZE, &limit, nullptr);
    }
  }

  void HealAll() {
    if (outcome_.network) (void)lab::Heal(folder_).ok();
    (void)lab::Thaw(folder_).ok();
    for (const lab::LabRegion& region : lab_.regions) {
      LimitFiles(region.name.text, "", RLIM_INFINITY);
      (void)lab::Start(folder_, region.name.text).ok();  // refused where it runs
    }
    story_.Tell("everything is healed");
  }

  // ---- afterwards ----

  Result<Unit> Mend() {
    const Instant deadline = ReadClocks() + kMendTimeout;
    Operator person(lab_, story_);
    std::string why_not;
    std::string told;
    for (;;) {
      const auto status = lab::AskAny(lab_, "status", Json::object(), kAskTimeout);
      why_not = status ? "" : status.error().message;
      if (status && lab::IsWhole(*status, lab_, why_not) && MemberAt(*status, "execution").is_null()) break;
      if (why_not.empty()) why_not = "an execution runs";
      if (why_not != told) story_.Tell("waits: " + why_not);
      told = why_not;
      if (HasPassed(deadline, ReadClocks())) return Fail(why_not);
      person.Look();
      std::this_thread::sleep_for(200ms);
    }
    story_.Tell("whole again");
    return AwaitWrites(10, 20s);
  }

  Result<Unit> JudgeAll() {
    const auto status = lab::AskAny(lab_, "status", Json::object(), 3s);
    if (!status) return status.error();
    const std::string primary = lab::HolderOf(*status);
    if (primary.empty()) return Fail("nobody holds the lease");
    outcome_.epochs = NumberAt(MemberAt(*status, "lease"), "epoch");
    CountRejoins();
    for (const auto& writer : writers_) {
      for (const Row& row : writer->Rows()) history_.rows.push_back(row);
    }
    auto present = ReadTable(lab_, primary);
    if (!present) return present.error();
    history_.present = std::move(present).value();
    auto ledger = ReadLedgers(lab_);
    if (!ledger) return ledger.error();
    history_.ledger = std::move(ledger).value();
    history_.permissions = ReadPermissions(lab_);
    outcome_.verdict = Judge(history_);
    if (outcome_.gate && outcome_.verdict.judged_by_lease == 0)
      outcome_.problems.push_back("no commit could be judged by its lease");
    if (options_.gate && !outcome_.gate) outcome_.problems.push_back("the servers have no gate: is the module built?");
    for (const std::string& violation : outcome_.verdict.violations) outcome_.problems.push_back(violation);
    return Done();
  }

  void CountRejoins() {
    const auto answer = lab::AskAny(lab_, "executions.list", Json::object(), 3s);
    if (!answer) return;
    for (const Json& json : MemberAt(*answer, "executions")) {
      const auto execution = ExecutionFromJson(json);
      if (execution && execution->kind == PlanKind::kRejoin && execution->state == ExecutionState::kDone) ++outcome_.rejoins;
    }
  }

  // What each agent says while it still can: the step that an execution hangs in stands nowhere else.
  void KeepStatus() {
    for (const lab::LabRegion& region : lab_.regions) {
      const auto status = lab::AskAgent(lab_, region.name.text, "status", Json::object(), 3s);
      std::ofstream(folder_ / ("status-" + region.name.text + ".json"))
          << (status ? status->dump(2) : status.error().Text()) << "\n";
      const Json execution = status ? MemberAt(*status, "execution") : Json();
      if (!execution.is_null()) story_.Tell(region.name.text + " says of its execution: " + execution.dump());
    }
  }

  // The processes end and the network goes; what they wrote stays to be looked at.
  void KeepFolder() {
    (void)lab::KillAtOneInstant(folder_, 10s).ok();
    std::vector<std::string> namespaces;
    if (const auto network = lab::ReadNetwork(folder_, namespaces)) (void)lab::RemoveNetwork(*network, namespaces).ok();
    built_ = false;
    std::ofstream story(folder_ / "chaos.txt");
    story << Repeat(options_) << "\n";
    for (const std::string& line : outcome_.story) story << line << "\n";
    for (const std::string& problem : outcome_.problems) story << "PROBLEM " << problem << "\n";
    std::ofstream rows(folder_ / "rows.tsv");
    for (const Row& row : history_.rows) {
      rows << row.writer << '\t' << row.n << '\t' << "ADR"[static_cast<int>(row.fate)] << '\t' << row.sent_ns << '\t'
           << row.ended_ns << '\t' << FormatWallTime({row.ended_wall_ns}) << '\t' << row.region << '\t' << row.timeline << '\t'
           << row.xid << '\n';
    }
  }

  const Options options_;
  Outcome outcome_;
  Story story_;
  History history_;
  fs::path folder_;
  lab::LabInfo lab_;
  bool built_ = false;
  std::vector<std::unique_ptr<Writer>> writers_;
};

}  // namespace

Outcome Run(const Options& options) { return ChaosRun(options).Go(); }

std::string Repeat(const Options& options) {
  std::string command = "build/release/bin/lifeboat_chaos --seed " + std::to_string(options.seed) + " --seconds " +
                        std::to_string(std::chrono::duration_cast<std::chrono::seconds>(options.length).count());
  if (options.store == StoreKind::kEtcd) command += " --store etcd";
  if (options.place == lab::LabPlace::kLoopback) command += " --network loopback";
  return command;
}

std::string Outcome::Summary() const {
  return std::to_string(faults) + " faults, " + std::to_string(epochs) + " epochs, " + std::to_string(rejoins) + " rejoins; " +
         std::to_string(verdict.acknowledged) + " rows acknowledged, " + std::to_string(verdict.in_doubt) + " in doubt, " +
         std::to_string(verdict.refused) + " refused, " + std::to_string(verdict.lost) + " lost and named, " +
         std::to_string(verdict.late_arrivals) + " late arrivals, " + std::to_string(verdict.judged_by_lease) +
         " judged by lease; " + std::to_string(verdict.reigns.size()) + " reigns; " + std::to_string(problems.size()) + " problems";
}

}  // namespace lifeboat::chaos
