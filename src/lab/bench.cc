#include "lab/bench.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <random>
#include <sstream>
#include <thread>

#include "lab/accounting.h"
#include "lab/client_group.h"
#include "lab/demo_report.h"
#include "lab/heavy_load.h"
#include "lab/interrupt.h"
#include "lab/narrator.h"
#include "lab/old_side.h"
#include "prove/phases.h"

namespace lifeboat::lab {

namespace fs = std::filesystem;

namespace {

constexpr Duration kMoveTimeout = 60s;
constexpr Duration kLocalRestart = 6s;  // longer than a failover of a dead database, after which it must have been restarted
constexpr Duration kRejoinTimeout = 90s;
constexpr std::uint64_t kSteadyRows = 200;  // per client before each fault
constexpr Duration kSettle = 10s;           // before an agent is called idle
constexpr Duration kIdle = 30s;
constexpr ClientMode kModes[] = {ClientMode::kFresh, ClientMode::kTtl, ClientMode::kMultihost};

constexpr Duration kWatchOldSide = 3s;  // after the failover has ended

enum class Fault { kRegion, kRegionCut, kDatabase, kAgentFrozen, kSwitchover };

struct OutageFigure {
  const char* name;
  Fault fault;
};
constexpr OutageFigure kOutages[] = {{"outage.region_killed", Fault::kRegion},
                                     {"outage.region_cut", Fault::kRegionCut},
                                     {"outage.database_killed", Fault::kDatabase},
                                     {"outage.agent_frozen", Fault::kAgentFrozen},
                                     {"outage.switchover", Fault::kSwitchover}};
constexpr const char* kStaleAcks = "outage.stale_acks";

// What the runs of one fault have given so far.
struct Samples {
  std::map<std::string, std::vector<double>> outages;  // by client mode, seconds
  std::map<std::string, std::vector<double>> phases;   // by phase, seconds
  int restarted_locally = 0;             // the loss was not proven zero: the policy restarts, and the run does not count
  std::vector<std::uint64_t> lost;       // acknowledged rows that the new primary lacks, all clients, by run
  std::vector<OldSideReport> old_sides;  // of the client beside a primary that was cut off, by run
};

bool IsSelected(const std::string& figure, const std::string& prefix) {
  return figure.starts_with(prefix) || prefix.starts_with(figure + ".");
}

class Bench {
 public:
  Bench(const BenchOptions& options, std::FILE* out) : options_(options), out_(out), narrator_(stderr) {
    folder_ = options.folder.empty() ? fs::path(DefaultFolder().string() + "-bench") : fs::absolute(options.folder);
    std::error_code problem;
    program_ = options.program.empty() ? fs::read_symlink("/proc/self/exe", problem).parent_path() / "lifeboat" : options.program;
  }

  int Run() {
    bool any = false;
    bool good = true;
    // One lab serves the figures that agree on its settings.
    for (const DatabaseFailure policy : {DatabaseFailure::kRestart, DatabaseFailure::kFailover}) {
      std::vector<std::string> figures;
      for (const BenchFigure& figure : BenchFigures()) {
        const bool is_database = std::string(figure.name) == "outage.database_killed";
        if (IsSelected(figure.name, options_.name) && is_database == (policy == DatabaseFailure::kFailover))
          figures.emplace_back(figure.name);
      }
      if (figures.empty() || !good) continue;
      any = true;
      const Result<Unit> measured = MeasureInLab(policy, figures);
      if (!measured) std::fprintf(stderr, "lifeboat_bench: %s\n", measured.error().Text().c_str());
      good = measured.ok();
      if (!options_.keep || !good) TakeDown();
    }
    if (!any) {
      std::fprintf(stderr, "lifeboat_bench: no figure begins with '%s'\n", options_.name.c_str());
      for (const BenchFigure& figure : BenchFigures()) std::fprintf(stderr, "  %-24s %s\n", figure.name, figure.what);
      return 2;
    }
    return good ? 0 : 1;
  }

 private:
  Result<Unit> MeasureInLab(DatabaseFailure policy, const std::vector<std::string>& figures) {
    LabOptions lab;
    lab.folder = folder_;
    lab.program = program_;
    lab.knobs = options_.knobs;
    lab.knobs.database_failure = policy;
    lab.place = options_.place;
    auto up = Up(
        lab, [this](const std::string& text) { narrator_.Say(text); }, [] { return !Interrupt::Came(); });
    if (!up) {
      is_ours_ = up.error().retry != Retry::kRefused;
      return up.error();
    }
    is_ours_ = true;
    lab_ = std::move(up).value();
    for (const std::string& figure : figures) {
      if (auto measured = Measure(figure, figures); !measured) return measured.error().Within(figure);
    }
    return Done();
  }

  Result<Unit> Measure(const std::string& figure, const std::vector<std::string>& figures) {
    if (figure == "agent.rss") return MeasureMemory();
    if (figure == "agent.cpu_idle") return MeasureProcessor();
    if (figure == "outage.false_fences") return MeasureFalseFences();
    const bool of_cuts = figure == kStaleAcks || figure == "outage.region_cut";
    if (of_cuts && !lab_.network) return Fail("packets can only be dropped in a lab on the network", "run it as root");
    // Counted in the runs of the cut region, unless these are not asked for.
    if (figure == kStaleAcks && std::find(figures.begin(), figures.end(), "outage.region_cut") != figures.end()) return Done();
    if (figure == kStaleAcks) return MeasureOutage(figure, Fault::kRegionCut);
    for (const OutageFigure& outage : kOutages) {
      if (figure == outage.name) return MeasureOutage(figure, outage.fault);
    }
    return Fail("nobody measures it");
  }

  void TakeDown() {
    if (!is_ours_) return;
    if (const auto down = Down(folder_); !down) std::fprintf(stderr, "lifeboat_bench: %s\n", down.error().Text().c_str());
    is_ours_ = false;
  }

  Result<Unit> Sleep(Duration d) {
    const Instant until = ReadClocks() + d;
    while (!HasPassed(until, ReadClocks())) {
      if (Interrupt::Came()) return Fail("interrupted");
      std::this_thread::sleep_for(50ms);
    }
    return Done();
  }

  // ---- outages ----

  Result<Unit> MeasureOutage(const std::string& figure, Fault fault) {
    Samples samples;
    for (int run = 1; run <= options_.runs;) {
      narrator_.Say(figure + ": run " + std::to_string(run) + " of " + std::to_string(options_.runs));
      const int passed_over = samples.restarted_locally;
      if (auto done = RunOnce(fault, samples); !done) return done.error().Within("run " + std::to_string(run));
      if (samples.restarted_locally == passed_over) ++run;
      if (samples.restarted_locally > 10 * options_.runs)
        return Fail("the standby lacked something of the dead database nearly every time");
    }
    for (const ClientMode mode : kModes) {
      const std::string name = figure + "." + ToString(mode);
      if (IsSelected(name, options_.name)) PrintOutage(name, samples.outages[ToString(mode)], samples);
    }
    if (!samples.old_sides.empty()) PrintOldSides(samples.old_sides);
    return Done();
  }

  void PrintOldSides(const std::vector<OldSideReport>& reports) {
    std::vector<double> stale;
    std::vector<double> last;
    std::vector<double> watched;
    std::vector<double> rows;
    for (const OldSideReport& report : reports) {
      stale.push_back(static_cast<double>(report.stale));
      last.push_back(report.last_acknowledged_s);
      watched.push_back(report.watched_s);
      rows.push_back(static_cast<double>(report.acknowledged));
    }
    Print(kStaleAcks, "rows", stale,
          Json{{"old_primary_last_ack_s", Summary(last)},
               {"watched_s", Summary(watched)},
               {"rows_on_the_cut_off_side", Summary(rows)}});
  }

  void PrintOutage(const std::string& name, const std::vector<double>& outages, const Samples& samples) {
    Json phases = Json::object();
    for (const auto& [phase, seconds] : samples.phases) phases[phase] = Summary(seconds);
    Json lost = Json::array();
    for (const std::uint64_t rows : samples.lost) lost.push_back(rows);
    Json more = {{"phases", phases}, {"lost_rows", lost}};
    if (samples.restarted_locally > 0) more["runs_restarted_locally_not_counted"] = samples.restarted_locally;
    Print(name, "seconds", outages, more);
  }

  Result<Unit> RunOnce(Fault fault, Samples& samples) {
    const auto status = AwaitWhole(lab_, kMoveTimeout, narrator_.Waiting());
    if (!status) return status.error();
    const std::string from = HolderOf(*status);
    const std::string to = Other(from);
    ClientGroup clients(lab_);
    for (const ClientMode mode : kModes) {
      if (auto added = clients.Add(mode, ++client_number_, false); !added) return added;
    }
    if (auto writes = clients.AwaitMore(kSteadyRows, kMoveTimeout, narrator_.Waiting()); !writes) return writes;
    // A fault falls anywhere between two lease renewals, two canaries and two ends of a TTL.
    if (auto slept = Sleep(std::chrono::milliseconds(random_() % 1000)); !slept) return slept;

    std::unique_ptr<Client> inside;
    std::optional<PromotionWatch> promotion;
    if (fault == Fault::kRegionCut) {
      auto started = StartOldSide(lab_, from, ++client_number_);
      if (!started) return started.error();
      inside = std::move(started).value();
      promotion.emplace(lab_, to);
      // It must write before the cut, or it would show nothing.
      for (int wait = 0; inside->Acknowledged() < 5; ++wait) {
        if (wait > 200) return Fail("the client beside the primary does not write: " + inside->LastProblem());
        if (auto slept = Sleep(50ms); !slept) return slept;
      }
    }
    KillReport at;
    const auto execution = Strike(fault, from, to, at);
    if (!execution) return execution.error();
    const Duration patience = fault == Fault::kDatabase ? kLocalRestart : kMoveTimeout;
    if (auto moved = clients.AwaitOn(to, at.monotonic_ns, patience, narrator_.Waiting()); !moved) {
      if (fault != Fault::kDatabase) return moved;
      // Where the standby lacks the last of the WAL the loss is not zero, and the database is restarted where it was.
      if (auto stayed = clients.AwaitOn(from, at.monotonic_ns, kMoveTimeout, narrator_.Waiting()); !stayed) return stayed;
      clients.Stop();
      ++samples.restarted_locally;
      return Done();
    }
    const auto ended =
        fault == Fault::kSwitchover ? execution : AwaitFailover(lab_, WallTime{at.wall_ns}, kMoveTimeout, narrator_.Waiting());
    if (!ended) return ended.error();
    if (inside) {
      if (auto slept = Sleep(kWatchOldSide); !slept) return slept;
      inside->Stop();
      if (!promotion->SeenNs()) return Fail("nobody saw '" + to + "' leave recovery");
      samples.old_sides.push_back(JudgeOldSide(inside->Record(), at.monotonic_ns, *promotion->SeenNs(), MonotonicNs()));
    }
    clients.Stop();
    if (auto judged = Judge(fault, from, to, at, *ended, clients.Records(), samples); !judged) return judged;
    return Recover(fault, from);
  }

  // Does what the figure is named after. A switchover answers with its execution, which has ended.
  Result<Execution> Strike(Fault fault, const std::string& from, const std::string& to, KillReport& at) {
    at.monotonic_ns = MonotonicNs();
    at.wall_ns = ReadWallClock().ns;
    if (fault == Fault::kSwitchover) return SwitchTo(lab_, to, kMoveTimeout, narrator_.Waiting());
    if (fault == Fault::kRegionCut) {
      const auto cut = Cut(lab_.folder, from);
      if (!cut) return cut.error();
      at.monotonic_ns = cut->in_force_ns;
      at.wall_ns = cut->in_force_wall_ns;
      return Execution{};
    }
    auto done = fault == Fault::kAgentFrozen ? Freeze(lab_.folder, from, "agent")
                : fault == Fault::kRegion    ? Kill(lab_.folder, from)
                                             : Kill(lab_.folder, from, "database");
    if (!done) return done.error();
    at = std::move(done).value();
    return Execution{};
  }

  Result<Unit> Judge(Fault fault, const std::string& from, const std::string& to, const KillReport& at, Execution execution,
                     const std::vector<ClientRecord>& records, Samples& samples) {
    const std::string from_address = lab_.Find(from)->address;
    const std::string to_address = lab_.Find(to)->address;
    std::uint64_t lost = 0;
    for (const ClientRecord& record : records) {
      const auto move = record.FirstMove(at.monotonic_ns);
      if (!move) return Fail("client '" + record.name + "' shows no move to '" + to + "'");
      samples.outages[ToString(record.mode)].push_back(Seconds(move->Length()));
      const auto check = CheckRecord(record, lab_.Conninfo(to, kClientUser));
      if (!check) return check.error();
      lost += check->missing.size();
    }
    samples.lost.push_back(lost);
    if (fault == Fault::kSwitchover && lost > 0)
      return Fail(std::to_string(lost) + " acknowledged rows were lost in a planned switchover");
    const std::uint64_t by_two = WritesByTwo(records, from_address, to_address, at.monotonic_ns, MonotonicNs());
    if (by_two > 0) return Fail("two regions acknowledged writes at the same time: " + std::to_string(by_two) + " rows");

    if (const auto outage = ServiceOutage(records, ClientMode::kFresh, to_address, at.monotonic_ns)) {
      execution.facts["fault_ns"] = fault == Fault::kSwitchover ? outage->from_wall_ns : at.wall_ns;
      execution.facts["first_good_write_ns"] = outage->to_wall_ns;
    }
    for (const Phase& phase : ComputePhases(execution).phases) {
      if (const auto length = phase.Length()) samples.phases[phase.name].push_back(Seconds(*length));
    }
    return Done();
  }

  // Back to a whole service. Roles stay exchanged: the next run starts from the other region.
  Result<Unit> Recover(Fault fault, const std::string& from) {
    if (fault == Fault::kRegion) {
      if (auto started = Start(lab_.folder, from); !started) return started;
    }
    if (fault == Fault::kRegionCut) {
      if (auto healed = Heal(lab_.folder); !healed) return healed.error();
    }
    if (fault == Fault::kAgentFrozen) {
      if (auto thawed = Thaw(lab_.folder); !thawed) return thawed.error();
    }
    if (fault != Fault::kSwitchover) {
      if (auto knows = AwaitKnowsOfIt(from); !knows) return knows;
      if (auto rejoined = RejoinRegion(lab_, from, kRejoinTimeout, narrator_.Waiting()); !rejoined) return rejoined.error();
    }
    const auto whole = AwaitWhole(lab_, kMoveTimeout, narrator_.Waiting());
    return whole ? Done() : Result<Unit>(whole.error());
  }

  // A region that was cut off, or stood still, believes at first what it knew last.
  Result<Unit> AwaitKnowsOfIt(const std::string& from) {
    const Instant until = ReadClocks() + kMoveTimeout;
    while (!HasPassed(until, ReadClocks())) {
      const auto status = AskAgent(lab_, from, "status", Json::object(), 1s);
      if (status && !HolderOf(*status).empty() && HolderOf(*status) != from) return Done();
      if (auto slept = Sleep(50ms); !slept) return slept;
    }
    return RetryLater("the agent of '" + from + "' does not learn that another region is the primary");
  }

  [[nodiscard]] std::string Other(const std::string& region) const {
    for (const LabRegion& candidate : lab_.regions) {
      if (candidate.kind == RegionKind::kData && candidate.name.text != region) return candidate.name.text;
    }
    return "";
  }

  // ---- a busy machine ----

  Result<Unit> MeasureFalseFences() {
    const auto status = AwaitWhole(lab_, kMoveTimeout, narrator_.Waiting());
    if (!status) return status.error();
    narrator_.Say("outage.false_fences: pgbench, every core and the disk busy for " + std::to_string(options_.minutes) +
                  " minutes");
    const auto count = CountFencesUnderLoad(lab_, std::chrono::minutes(options_.minutes), [] { return !Interrupt::Came(); });
    if (!count) return count.error();
    Print("outage.false_fences", "fences", {static_cast<double>(count->Fences())},
          Json{{"minutes", options_.minutes},
               {"epochs", count->epochs},
               {"guard_kills", count->kills},
               {"gate_closings", count->closings},
               {"longest_gap_s", count->longest_gap_s},
               {"pgbench_tps", count->pgbench_tps},
               {"load_average", count->load}});
    const auto whole = AwaitWhole(lab_, kMoveTimeout, narrator_.Waiting());
    return whole ? Done() : Result<Unit>(whole.error());
  }

  // ---- what agents take ----

  Result<std::vector<pid_t>> Agents() {
    std::vector<pid_t> agents;
    for (const LabRegion& region : lab_.regions) {
      std::ifstream file(lab_.FolderOf(region.name.text) / "run" / "agent.pid");
      pid_t pid = 0;
      if (!(file >> pid)) return Fail("region '" + region.name.text + "' has no agent");
      agents.push_back(pid);
    }
    return agents;
  }

  Result<Unit> MeasureMemory() {
    narrator_.Say("agent.rss: the agents idle for " + FormatDuration(kSettle));
    if (auto slept = Sleep(kSettle); !slept) return slept;
    const auto agents = Agents();
    if (!agents) return agents.error();
    std::vector<double> values;
    for (const pid_t agent : *agents) {
      const auto memory = ResidentMemory(agent);
      if (!memory) return memory.error();
      values.push_back(static_cast<double>(memory->bytes) / (1 << 20));
    }
    Print("agent.rss", "MiB", values, Json::object());
    return Done();
  }

  Result<Unit> MeasureProcessor() {
    narrator_.Say("agent.cpu_idle: looks at the idle agents for " + FormatDuration(kIdle));
    if (auto slept = Sleep(kSettle); !slept) return slept;
    const auto agents = Agents();
    if (!agents) return agents.error();
    std::vector<double> used;
    const Instant began = ReadClocks();
    for (const pid_t agent : *agents) {
      const auto before = ProcessorSeconds(agent);
      if (!before) return before.error();
      used.push_back(*before);
    }
    if (auto slept = Sleep(kIdle); !slept) return slept;
    const double elapsed = Seconds(AgeAt(began, ReadClocks()));
    for (std::size_t at = 0; at < used.size(); ++at) {
      const auto after = ProcessorSeconds((*agents)[at]);
      if (!after) return after.error();
      used[at] = (*after - used[at]) / elapsed;
    }
    Print("agent.cpu_idle", "ratio", used, Json::object());
    return Done();
  }

  void Print(const std::string& name, const char* unit, const std::vector<double>& values, const Json& more) {
    Json line = {{"name", name}, {"unit", unit}};
    line.update(Summary(values));
    line["settings"] = {{"lease_ms", Millis(lab_.knobs.lease)},
                        {"margin_ms", Millis(lab_.knobs.margin)},
                        {"dns_ttl_s", 1},
                        {"database_failure", ToString(lab_.knobs.database_failure)},
                        {"network", lab_.network ? "namespaces" : "loopback"},
                        {"gate", lab_.knobs.gate},
                        {"write_every_ms", Millis(ClientOptions().interval)},
                        {"machine", DescribeMachine()}};
    line.update(more);
    std::fprintf(out_, "%s\n", line.dump().c_str());
    std::fflush(out_);
  }

  const BenchOptions& options_;
  std::FILE* out_;
  Narrator narrator_;
  fs::path folder_;
  fs::path program_;
  LabInfo lab_;
  bool is_ours_ = false;
  int client_number_ = 0;
  std::mt19937 random_{std::random_device()()};
};

}  // namespace

const std::vector<BenchFigure>& BenchFigures() {
  static const std::vector<BenchFigure> figures = {
      {"outage.region_killed", "every process of the primary region killed at one instant"},
      {"outage.region_cut", "every packet from and to the primary's region dropped, without a word (needs root)"},
      {"outage.stale_acks", "rows that the cut-off primary acknowledged after the new one took writes (needs root)"},
      {"outage.agent_frozen", "the primary's agent stopped (SIGSTOP), its database untouched"},
      {"outage.database_killed", "every process of the primary's database killed, its agent alive, policy 'failover'"},
      {"outage.switchover", "a planned switchover"},
      {"outage.false_fences", "times that a healthy primary was fenced under full load, in --minutes"},
      {"agent.rss", "resident memory of each agent after 10 s without work"},
      {"agent.cpu_idle", "share of a core that each agent takes, over 30 s without work"},
  };
  return figures;
}

int RunBench(const BenchOptions& options, std::FILE* out) {
  const Interrupt interrupt;
  return Bench(options, out).Run();
}

Json Summary(std::vector<double> values) {
  LIFEBOAT_CHECK(!values.empty(), "a summary of nothing");
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  const double median = values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return {{"n", values.size()}, {"min", values.front()}, {"median", median}, {"max", values.back()}};
}

Result<double> ProcessorSeconds(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(file, text);
  const std::size_t after_name = text.rfind(')');
  if (after_name == std::string::npos) return NotFound("there is no process " + std::to_string(pid));
  std::istringstream words(text.substr(after_name + 1));
  std::string word;
  double ticks = 0;
  for (int field = 3; words >> word; ++field) {  // utime is field 14, stime 15
    if (field == 14 || field == 15) ticks += std::strtod(word.c_str(), nullptr);
  }
  return ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

Result<ByteCount> ResidentMemory(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  std::string line;
  while (std::getline(file, line)) {
    if (line.starts_with("VmRSS:"))
      return ByteCount{std::strtoull(line.c_str() + 6, nullptr, 10) * 1024};  // it says "kB" and means KiB
  }
  return NotFound("there is no process " + std::to_string(pid));
}

}  // namespace lifeboat::lab
