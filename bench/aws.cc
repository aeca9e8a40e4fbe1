// lifeboat_bench_aws [--clusters 200] [--seconds 120] [--runs 5]: what watching global clusters costs one process: processor,
// memory, and calls to AWS, at the intervals that an agent has by default; and, with three agents of one service, how long it takes
// from the moment at which the writer's region falls silent to the first call that fails over. Prints one JSON line a figure.
//
// Against a small server on this machine (aws_server.h), in a process of its own, which answers at once: what is measured is ours,
// signing, connections and reading included, TLS not. The clusters are looked at from their secondary's region, evenly spread over
// the interval.

#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <thread>

#include "adapters/aws/aurora_global.h"
#include "adapters/system/clock.h"
#include "agent/managed_world.h"
#include "aws_server.h"
#include "base/json.h"
#include "base/spawn.h"
#include "lab/aws_agents.h"

namespace {

using namespace lifeboat;

double ProcessorSeconds() {
  rusage used{};
  (void)getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

double ResidentMib() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    double kib = 0;
    if (word == "VmRSS:" && status >> kib) return kib / 1024;
  }
  return 0;
}

struct Failures {
  std::uint64_t count = 0;
  std::string first;
  template <typename T>
  void Note(const Result<T>& result) {
    if (result.ok()) return;
    if (++count == 1) first = result.error().message;
  }
};

/// One global cluster, looked at as an agent of its secondary's region does (ManagedTimes).
class Watched {
 public:
  Watched(aws::Client& client, Clock& clock, std::size_t number, Failures& failures)
      : clock_(clock), failures_(failures), aurora_(client, DatabaseOf(number), clock, Log()) {}

  static Task<> Look(Watched* self, ManagedTimes times, Duration first) {
    co_await self->clock_.Sleep(first);
    while (true) {
      const RegionName here(bench::kOtherRegion);
      self->failures_.Note(co_await self->aurora_.Look(here, times.call));
      self->failures_.Note(co_await self->aurora_.LookAtCluster(here, times.call));
      co_await self->clock_.Sleep(times.look);
    }
  }
  static Task<> Lag(Watched* self, ManagedTimes times, Duration first) {
    co_await self->clock_.Sleep(first);
    while (true) {
      self->failures_.Note(co_await self->aurora_.Lag(RegionName(bench::kOtherRegion), times.call));
      co_await self->clock_.Sleep(times.lag);
    }
  }

 private:
  static aws::GlobalDatabase DatabaseOf(std::size_t number) {
    aws::GlobalDatabase database;
    database.id = "orders-" + std::to_string(number);
    for (const char* region : {bench::kWriterRegion, bench::kOtherRegion})
      database.clusters[RegionName(region)] = bench::ArnOf(database.id, region);
    return database;
  }
  Clock& clock_;
  Failures& failures_;
  aws::AuroraGlobal aurora_;
};

std::shared_ptr<aws::Client> OpenClient(boost::asio::io_context& io, Clock& clock, const std::string& url) {
  aws::Credentials keys;
  keys.access_key_id = "AKIALIFEBOATBENCH000";
  keys.secret_key = Secret("a secret of the measurement/0123456789abcdef");
  aws::ClientOptions options;
  options.endpoints.set["*"] = url;
  aws::ClientDoors doors{clock, aws::OpenTransport(io.get_executor(), {}), aws::DiceOfTheSystem(), Log()};
  return std::make_shared<aws::Client>(std::make_shared<aws::FixedCredentials>(std::move(keys)), std::move(options),
                                       std::move(doors));
}

void Print(const char* name, const char* unit, double value, const Json& more) {
  Json line = {{"name", name}, {"unit", unit}, {"value", value}};
  line.update(more);
  std::printf("%s\n", line.dump().c_str());
}

Json PerMinute(const std::map<std::string, std::uint64_t>& before, const std::map<std::string, std::uint64_t>& after,
               double minutes) {
  Json rates = Json::object();
  for (const auto& [operation, count] : after) {
    const auto earlier = before.find(operation);
    rates[operation] = static_cast<double>(count - (earlier == before.end() ? 0 : earlier->second)) / minutes;
  }
  return rates;
}

/// What watching costs. @return whether every call was answered
bool Watch(std::size_t clusters, unsigned seconds) {
  const bench::AwsServer server;
  boost::asio::io_context io(1);
  SystemClock clock;
  const auto client = OpenClient(io, clock, server.Url());
  const ManagedTimes times;
  Failures failures;
  std::vector<std::unique_ptr<Watched>> watched;
  for (std::size_t at = 0; at < clusters; ++at) {
    watched.push_back(std::make_unique<Watched>(*client, clock, at, failures));
    const auto share = [&](Duration whole) {
      return Duration(whole.count() / static_cast<Duration::rep>(clusters) * static_cast<Duration::rep>(at));
    };
    Spawn(io.get_executor(), Watched::Look(watched.back().get(), times, share(times.look)));
    Spawn(io.get_executor(), Watched::Lag(watched.back().get(), times, share(times.lag)));
  }
  io.run_for(std::max(times.look, times.lag));
  const auto calls_before = server.Calls();
  const double processor_before = ProcessorSeconds();
  const auto began = std::chrono::steady_clock::now();
  io.run_for(std::chrono::seconds(seconds));
  const double took = Seconds(std::chrono::steady_clock::now() - began);
  const double processor = ProcessorSeconds() - processor_before;
  const Json rates = PerMinute(calls_before, server.Calls(), took / 60);
  double all = 0;
  for (const auto& [operation, rate] : rates.items()) all += rate.get<double>();
  const Json about = {{"clusters", clusters}, {"seconds", took}, {"look_s", Seconds(times.look)}, {"lag_s", Seconds(times.lag)}};
  Print("aws.cpu", "percent of one processor", 100 * processor / took, about);
  Print("aws.rss", "MiB", ResidentMib(), about);
  Print("aws.calls", "calls a minute", all,
        Json{{"clusters", clusters}, {"by_operation", rates}, {"failed", failures.count}, {"first_failure", failures.first}});
  io.stop();
  return failures.count == 0;
}

std::int64_t MonotonicNs() {
  timespec now{};
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

/// Three agents, one region lost. @return seconds until the first call that fails over
Result<double> LoseOne(const std::filesystem::path& program, Duration failover_after) {
  bench::AwsServer server;
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / ("lifeboat-bench-aws-" + RandomHex(4));
  std::filesystem::create_directory(folder);
  lab::AwsAgentsOptions options;
  options.folder = folder;
  options.program = program;
  options.url = server.Url();
  options.access_key = "AKIALIFEBOATBENCH000";
  options.secret_key = "a secret of the measurement/0123456789abcdef";
  options.global_cluster = "orders-0";
  options.witness = "eu-west-2";
  options.failover_after = failover_after;
  for (const char* region : {bench::kWriterRegion, bench::kOtherRegion})
    options.members[region] = bench::ArnOf(options.global_cluster, region);
  const auto measure = [&]() -> Result<double> {
    lab::AwsAgents agents(options);
    if (const Result<Unit> prepared = agents.Prepare(); !prepared) return prepared.error();
    for (const std::string& region : {options.witness, std::string(bench::kWriterRegion), std::string(bench::kOtherRegion)}) {
      if (const Result<Unit> started = agents.Start(region); !started) return started.error();
    }
    const auto status = agents.AwaitHealthy(bench::kWriterRegion, 120s, [](const std::string&) { return true; });
    if (!status) return status.error();
    server.Silence(bench::kWriterRegion);
    agents.Stop(bench::kWriterRegion);
    const std::int64_t silent = MonotonicNs();
    while (server.FirstFailoverNs() == 0) {
      if (MonotonicNs() - silent > 180'000'000'000)
        return RetryLater("no failover was asked for within 3 minutes; the logs are in '" + folder.string() + "'");
      std::this_thread::sleep_for(5ms);
    }
    return static_cast<double>(server.FirstFailoverNs() - silent) / 1e9;
  };
  Result<double> measured = measure();
  std::error_code ignored;
  if (measured.ok()) std::filesystem::remove_all(folder, ignored);
  return measured;
}

bool MeasureFailovers(unsigned runs, Duration failover_after) {
  std::error_code problem;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", problem).parent_path() / "lifeboat";
  std::vector<double> seconds;
  for (unsigned run = 0; run < runs; ++run) {
    const Result<double> one = LoseOne(program, failover_after);
    if (!one) {
      std::fprintf(stderr, "aws.failover_call: %s\n", one.error().Text().c_str());
      return false;
    }
    seconds.push_back(*one);
  }
  std::sort(seconds.begin(), seconds.end());
  if (!seconds.empty())
    Print("aws.failover_call", "seconds", seconds[seconds.size() / 2],
          Json{{"runs", runs}, {"all", seconds}, {"failover_after_s", Seconds(failover_after)}});
  return true;
}

}  // namespace

int main(int count, char** words) {
  std::size_t clusters = 200;
  unsigned seconds = 120;
  unsigned runs = 5;
  unsigned patience = 30;
  CLI::App app("What watching global clusters costs, and how fast a lost region is left.");
  app.add_option("--clusters", clusters, "how many are watched")->check(CLI::Range(1, 5000))->capture_default_str();
  app.add_option("--seconds", seconds, "how long, after a warm-up; 0: not at all")
      ->check(CLI::Range(0, 3600))
      ->capture_default_str();
  app.add_option("--runs", runs, "regions lost for aws.failover_call; 0: none")->check(CLI::Range(0, 100))->capture_default_str();
  app.add_option("--failover-after", patience, "policy.failover_after in those runs, seconds")
      ->check(CLI::Range(10, 600))
      ->capture_default_str();
  CLI11_PARSE(app, count, words);
  const bool lost = runs == 0 || MeasureFailovers(runs, std::chrono::seconds(patience));
  const bool watched = seconds == 0 || Watch(clusters, seconds);
  std::fflush(nullptr);
  _exit(lost && watched ? 0 : 1);  // the loops are suspended in their sleeps
}
