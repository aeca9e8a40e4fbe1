// lifeboat_bench_gate: what the gate costs a primary. Two equal servers, one with and one without lifeboat_gate, run side by side
// under pgbench, together at about half of the rate that the machine can do, and change roles after each pair of runs. Counted is
// the processor time of a server and all of its sessions, as the kernel tells at its end. Wall time plays no part, and what else
// the machine does meets both alike. Prints one JSON line: {"name":"gate.cost","unit":"percent …",…}.

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/time.h"
#include "guard/gate_file.h"
#include "lab/bench.h"
#include "lab/layout.h"
#include "lab/tools.h"

namespace lifeboat {
namespace {

namespace fs = std::filesystem;

struct Options {
  int pairs = 10;
  int seconds = 8;
  bool placebo = false;
  std::string bin = "/usr/lib/postgresql/15/bin";
  fs::path module;
};

/// Of a session that does nothing but commit.
constexpr int kCommits = 100000;

struct Run {
  double commit_ns = 0;  ///< of a session that does nothing but commit
  double cpu = 0;
  double transactions = 0;
  [[nodiscard]] double PerTenThousand() const { return cpu / transactions * 10000; }
};

[[noreturn]] void End(const std::string& problem) {
  std::fprintf(stderr, "lifeboat_bench_gate: %s\n", problem.c_str());
  std::exit(1);
}

/// One server in a folder of its own, started anew for each run.
class Server {
 public:
  Server(fs::path folder, const Options& options, std::optional<RunAs> owner)
      : folder_(std::move(folder)), options_(options), owner_(std::move(owner)) {}
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server() {
    if (server_ > 0) Stop();
  }

  [[nodiscard]] std::string Data() const { return (folder_ / "data").string(); }
  [[nodiscard]] const fs::path& folder() const { return folder_; }
  std::string Tool(std::vector<std::string> argv) const {
    const auto ran = lab::RunTool(std::move(argv), folder_.string(), owner_, std::chrono::minutes(5));
    if (!ran) End(ran.error().Text());
    return *ran;
  }

  void Start(bool gate) {
    std::vector<std::string> argv = {options_.bin + "/postgres", "-D", Data(), "-c", "unix_socket_directories=" + folder_.string()};
    if (gate) {
      for (const std::string& setting :
           {"shared_preload_libraries=" + options_.module.string(), "lifeboat.gate_file=" + (folder_ / "gate").string()}) {
        argv.emplace_back("-c");
        argv.push_back(setting);
      }
    }
    Spawn(argv);
    const Instant end = ReadClocks() + 30s;
    while (!lab::RunTool({options_.bin + "/pg_isready", "-q", "-h", folder_}, folder_.string(), owner_, 10s)) {
      if (HasPassed(end, ReadClocks())) End("the server does not start; its log is in '" + folder_.string() + "'");
      std::this_thread::sleep_for(20ms);
    }
    if (gate) KeepOpen();
  }
  /// Kills it as a crash would, without a checkpoint. @return the processor time of all its processes
  double Stop() {
    kill(server_, SIGQUIT);
    int status = 0;
    rusage used{};
    wait4(std::exchange(server_, 0), &status, 0, &used);
    stop_guard_ = true;
    if (guard_.joinable()) guard_.join();
    const auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; };
    return seconds(used.ru_utime) + seconds(used.ru_stime);
  }
  /// @param rate  0: as fast as it can @return transactions done
  [[nodiscard]] double Load(int seconds, int rate) const {
    std::vector<std::string> argv = {
        options_.bin + "/pgbench", "-h", folder_, "-U", "postgres", "-n", "-M", "prepared", "-c", "4", "-T",
        std::to_string(seconds)};
    if (rate > 0) argv.insert(argv.end(), {"-R", std::to_string(rate)});
    argv.emplace_back("postgres");
    const std::string out = Tool(argv);
    const std::string label = "number of transactions actually processed: ";
    const std::size_t at = out.find(label);
    if (at == std::string::npos) End("pgbench said: " + out);
    return std::stod(out.substr(at + label.size()));
  }

  /// Processor time of one commit with an xid, in a session that does nothing else: what pgbench's own work would hide.
  [[nodiscard]] double CommitNs() const {
    const std::string spent = "select split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)";
    const std::string out =
        Tool({options_.bin + "/psql", "-h", folder_, "-U", "postgres", "-AtqX", "-c", "call commits(1000)", "-c", spent, "-c",
              "call commits(" + std::to_string(kCommits) + ")", "-c", spent, "dbname=postgres options=-csynchronous_commit=off"});
    const std::size_t second = out.find('\n');
    if (second == std::string::npos) End("psql said: " + out);
    return (std::stod(out.substr(second)) - std::stod(out)) / kCommits;
  }

 private:
  void Spawn(std::vector<std::string>& argv) {
    std::vector<char*> words;
    for (std::string& word : argv) words.push_back(word.data());
    words.push_back(nullptr);
    const std::string log_file = (folder_ / "log").string();
    server_ = fork();
    if (server_ != 0) return;
    const int log = open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
    dup2(log, 1);
    dup2(log, 2);
    const bool became =
        !owner_ || (setresgid(owner_->gid, owner_->gid, owner_->gid) == 0 && setresuid(owner_->uid, owner_->uid, owner_->uid) == 0);
    if (became) execv(words[0], words.data());
    _exit(127);
  }
  /// As the guard does: a new word twice a second.
  void KeepOpen() {
    struct stat owner {};
    stat(folder_.c_str(), &owner);
    Result<GateFile> file = GateFile::Open((folder_ / "gate").string(), ReadBootId(), owner.st_uid, owner.st_gid);
    if (!file) End(file.error().Text());
    const auto attached = file->Attached();
    if (!attached || !attached->enforce) End("the server has not loaded lifeboat_gate");
    stop_guard_ = false;
    guard_ = std::thread([this, file = std::make_shared<GateFile>(std::move(file).value()), postmaster = attached->postmaster] {
      while (!stop_guard_) {
        file->Write(GateWord{true, Epoch{1}, ReadClocks() + 3s, postmaster, true});
        std::this_thread::sleep_for(500ms);
      }
    });
  }

  const fs::path folder_;
  const Options& options_;
  const std::optional<RunAs> owner_;
  pid_t server_ = 0;
  std::thread guard_;
  std::atomic<bool> stop_guard_ = false;
};

class Bench {
 public:
  explicit Bench(Options options) : options_(std::move(options)) {
    const auto owner = lab::OwnerFor();
    if (!owner) End(owner.error().Text());
    std::string pattern = "/dev/shm/lifeboat-gate-cost-XXXXXX";
    folder_ = mkdtemp(pattern.data());
    fs::permissions(folder_, fs::perms(0755));
    const fs::path module = folder_ / "lifeboat_gate.so";
    fs::copy_file(options_.module, module);
    options_.module = module;
    for (const char* name : {"one", "other"}) {
      if (auto made = lab::MakeOwnedFolder(folder_ / name, 0700, *owner); !made) End(made.error().Text());
      servers_.push_back(std::make_unique<Server>(folder_ / name, options_, *owner));
    }
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;
  ~Bench() {
    servers_.clear();
    fs::remove_all(folder_);
  }

  int Measure() {
    for (const auto& server : servers_) Fill(*server);
    Server& one = *servers_[0];
    one.Start(false);
    const double most = one.Load(3, 0) / 3;
    one.Stop();
    const int rate = std::max(50, static_cast<int>(most / 4));
    std::fprintf(stderr, "a server can do %.0f transactions a second here; measured at %d on each of two\n", most, rate);
    std::vector<double> on;
    std::vector<double> off;
    std::vector<double> percent;
    std::vector<double> commit_on;
    std::vector<double> commit_off;
    for (int pair = 0; pair < options_.pairs; ++pair) {
      const auto [with, without] = Pair(pair % 2 == 0, rate);
      on.push_back(with.PerTenThousand());
      off.push_back(without.PerTenThousand());
      percent.push_back((with.PerTenThousand() / without.PerTenThousand() - 1) * 100);
      commit_on.push_back(with.commit_ns);
      commit_off.push_back(without.commit_ns);
      std::fprintf(stderr, "pair %d: on %.4f s, off %.4f s per 10 000 transactions: %+.2f %%\n", pair + 1, on.back(), off.back(),
                   percent.back());
    }
    Json line = {{"name", options_.placebo ? "gate.cost.placebo" : "gate.cost"},
                 {"unit", "percent of the primary's processor time"}};
    line.update(lab::Summary(percent));
    std::sort(percent.begin(), percent.end());
    line["quartiles"] = {percent[percent.size() / 4], percent[percent.size() * 3 / 4]};
    line["on_cpu_s_per_10000"] = lab::Summary(on);
    line["off_cpu_s_per_10000"] = lab::Summary(off);
    line["commit_ns_on"] = lab::Summary(commit_on);
    line["commit_ns_off"] = lab::Summary(commit_off);
    line["settings"] = {{"rate", rate}, {"seconds", options_.seconds}, {"clients", 4}, {"fsync", "off"}, {"side_by_side", true}};
    std::printf("%s\n", line.dump().c_str());
    return 0;
  }

 private:
  void Fill(Server& server) const {
    server.Tool({options_.bin + "/initdb", "-D", server.Data(), "-U", "postgres", "-A", "trust", "--no-sync", "-k"});
    std::ofstream(server.Data() + "/postgresql.conf", std::ios::app)
        << "listen_addresses = ''\nfsync = off\nautovacuum = off\nshared_buffers = 128MB\nmax_wal_size = 4GB\n"
           "checkpoint_timeout = 1h\n";
    server.Start(false);
    server.Tool({options_.bin + "/pgbench", "-h", server.folder(), "-U", "postgres", "-i", "-q", "-s", "5", "postgres"});
    server.Tool({options_.bin + "/psql", "-h", server.folder(), "-U", "postgres", "-qX", "-c",
                 "create procedure commits(n int) language plpgsql as $$ begin for i in 1..n loop "
                 "perform txid_current(); commit; end loop; end $$",
                 "postgres"});
    server.Stop();
  }
  /// @return with and without the gate
  std::pair<Run, Run> Pair(bool gate_on_one, int rate) {
    std::array<Run, 2> runs;
    for (std::size_t at : {0U, 1U}) servers_[at]->Start((at == 0) == gate_on_one && !options_.placebo);
    const std::size_t first = gate_on_one ? 0 : 1;
    for (std::size_t at : {first, 1 - first}) runs[at].commit_ns = servers_[at]->CommitNs();
    std::thread beside([&] { runs[1].transactions = servers_[1]->Load(options_.seconds, rate); });
    runs[0].transactions = servers_[0]->Load(options_.seconds, rate);
    beside.join();
    for (std::size_t at : {0U, 1U}) runs[at].cpu = servers_[at]->Stop() - runs[at].commit_ns * kCommits / 1e9;
    return gate_on_one ? std::pair(runs[0], runs[1]) : std::pair(runs[1], runs[0]);
  }

  Options options_;
  fs::path folder_;
  std::vector<std::unique_ptr<Server>> servers_;
};

}  // namespace
}  // namespace lifeboat

int main(int count, char** words) {
  lifeboat::Options options;
  options.module = std::filesystem::canonical("/proc/self/exe").parent_path().parent_path() / "lib" / "lifeboat_gate.so";
  CLI::App app("Measures what the gate costs a primary, as processor time per transaction at a fixed rate; prints one JSON line.");
  app.add_option("--pairs", options.pairs, "pairs of runs, with and without the gate side by side")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--seconds", options.seconds, "length of a run")->check(CLI::Range(2, 600))->capture_default_str();
  app.add_flag("--placebo", options.placebo, "both servers without the gate: what this measurement says of nothing");
  app.add_option("--bin", options.bin, "PostgreSQL's programs")->capture_default_str();
  app.add_option("--module", options.module, "lifeboat_gate.so; default: of this build");
  CLI11_PARSE(app, count, words);
  return lifeboat::Bench(std::move(options)).Measure();
}
