// lifeboat_simulation: runs seeds, and says of one that breaks a promise what it broke, how to repeat it, and what happened last.
//
//   lifeboat_simulation --seeds 200 --from 1 --jobs 2         the storm, 200 seeds
//   lifeboat_simulation --mode storm --seed 17                one seed, told
//   lifeboat_simulation --minutes 30 --jobs 2                 as many as fit (make soak)
//   lifeboat_simulation --bench                               simulation.failovers_per_minute
//   lifeboat_simulation_seeded --bug NAME --seeds 50 --expect-red
//
// Exit codes: 0 nothing was broken (with --expect-red: something was), 1 otherwise, 2 usage.

#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "base/seeded_bug.h"
#include "simulation/scenarios.h"

namespace lifeboat::simulation {
namespace {

using Timer = std::chrono::steady_clock;

struct Request {
  std::string mode = "storm";
  std::uint64_t from = 1;
  std::uint64_t seeds = 100;
  std::optional<std::uint64_t> seed;
  double minutes = 0;
  int jobs = 1;
  int data_regions = 0;
  std::string gate;
  std::string faults;
  std::string bug;
  bool expect_red = false;
  bool bench = false;
  bool tell = false;
  bool same = false;
  int lines = 70;
};

struct Total {
  std::uint64_t seeds = 0;
  std::uint64_t failovers = 0;
  std::uint64_t switchovers = 0;
  std::uint64_t promotions = 0;
  std::uint64_t acknowledged = 0;
  std::uint64_t lost = 0;
  std::uint64_t steps = 0;
  double virtual_seconds = 0;
  std::uint64_t broken = 0;
  std::uint64_t first_broken = 0;
  double seconds_to_broken = 0;

  void Add(const Total& other) {
    if (other.broken > 0 && (broken == 0 || other.first_broken < first_broken)) {
      first_broken = other.first_broken;
      seconds_to_broken = other.seconds_to_broken;
    }
    seeds += other.seeds;
    failovers += other.failovers;
    switchovers += other.switchovers;
    promotions += other.promotions;
    acknowledged += other.acknowledged;
    lost += other.lost;
    steps += other.steps;
    virtual_seconds += other.virtual_seconds;
    broken += other.broken;
  }
};

double SecondsSince(Timer::time_point began) { return std::chrono::duration<double>(Timer::now() - began).count(); }

Wishes WishesOf(const Request& request, std::uint64_t seed) {
  Wishes wishes;
  wishes.seed = seed;
  if (request.data_regions > 0) wishes.data_regions = request.data_regions;
  if (!request.gate.empty()) wishes.gate = request.gate == "on";
  wishes.faults = request.faults;
  wishes.bug = request.bug;
  return wishes;
}

std::string CommandOf(const Request& request, std::uint64_t seed) {
  std::string command = std::string("build/release/bin/") +
                        (request.bug.empty() ? "lifeboat_simulation" : "lifeboat_simulation_seeded --bug " + request.bug) +
                        " --mode " + request.mode + " --seed " + std::to_string(seed);
  if (request.data_regions > 0) command += " --data-regions " + std::to_string(request.data_regions);
  if (!request.gate.empty()) command += " --gate " + request.gate;
  if (!request.faults.empty()) command += " --faults " + request.faults;
  return command;
}

void Tell(const Request& request, Mode mode, std::uint64_t seed) {
  Wishes wishes = WishesOf(request, seed);
  wishes.trace = true;
  const Outcome outcome = Run(mode, wishes);
  std::size_t begin = 0;
  int lines = static_cast<int>(std::count(outcome.told.begin(), outcome.told.end(), '\n'));
  for (; lines > request.lines; --lines) begin = outcome.told.find('\n', begin) + 1;
  std::printf("%s", outcome.told.c_str() + begin);
  if (outcome.violation) {
    std::printf("seed %llu breaks %s at %s s: %s\n", static_cast<unsigned long long>(seed), outcome.violation->promise.c_str(),
                FormatSeconds(outcome.violation->at).c_str(), outcome.violation->text.c_str());
  } else {
    std::printf("seed %llu breaks nothing\n", static_cast<unsigned long long>(seed));
  }
  std::printf("to repeat it: %s\n", CommandOf(request, seed).c_str());
}

/// Every `stride`-th seed from `first` on.
Total RunSeeds(const Request& request, Mode mode, std::uint64_t first, std::uint64_t stride) {
  Total total;
  const auto began = Timer::now();
  for (std::uint64_t seed = first; request.minutes > 0 || seed < request.from + request.seeds; seed += stride) {
    if (request.minutes > 0 && SecondsSince(began) > request.minutes * 60) break;
    const Outcome outcome = Run(mode, WishesOf(request, seed));
    if (request.same && Run(mode, WishesOf(request, seed)).fingerprint != outcome.fingerprint) {
      std::printf("seed %llu does not repeat itself: %s\n", static_cast<unsigned long long>(seed),
                  CommandOf(request, seed).c_str());
      ++total.broken;
      total.first_broken = seed;
      break;
    }
    ++total.seeds;
    total.failovers += outcome.failovers;
    total.switchovers += outcome.switchovers;
    total.promotions += outcome.promotions;
    total.acknowledged += outcome.acknowledged;
    total.lost += outcome.lost;
    total.steps += outcome.steps;
    total.virtual_seconds += Seconds(outcome.virtual_time);
    if (!outcome.violation) continue;
    if (total.broken++ == 0) {
      total.first_broken = seed;
      total.seconds_to_broken = SecondsSince(began);
    }
    std::printf("seed %llu breaks %s at %s s: %s\n  to repeat it: %s\n", static_cast<unsigned long long>(seed),
                outcome.violation->promise.c_str(), FormatSeconds(outcome.violation->at).c_str(), outcome.violation->text.c_str(),
                CommandOf(request, seed).c_str());
    std::fflush(stdout);
    if (request.expect_red || !request.tell) break;
  }
  return total;
}

/// Side by side, a process a share of the seeds.
Total RunJobs(const Request& request, Mode mode) {
  if (request.jobs <= 1) return RunSeeds(request, mode, request.from, 1);
  std::vector<std::pair<pid_t, int>> children;
  for (int job = 0; job < request.jobs; ++job) {
    int ends[2];
    if (pipe(ends) != 0) return Total();
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
      close(ends[0]);
      const Total total =
          RunSeeds(request, mode, request.from + static_cast<std::uint64_t>(job), static_cast<std::uint64_t>(request.jobs));
      std::fflush(stdout);
      const bool told = write(ends[1], &total, sizeof total) == static_cast<ssize_t>(sizeof total);
      _exit(told ? 0 : 1);
    }
    close(ends[1]);
    children.emplace_back(child, ends[0]);
  }
  Total all;
  for (const auto& [child, end] : children) {
    Total part;
    if (read(end, &part, sizeof part) == static_cast<ssize_t>(sizeof part))
      all.Add(part);
    else
      ++all.broken;  // it ended without a word
    close(end);
    waitpid(child, nullptr, 0);
  }
  return all;
}

int Bench(Request request) {
  request.mode = "mill";
  if (request.minutes == 0) request.minutes = 0.5;
  const auto began = Timer::now();
  const Total total = RunJobs(request, Mode::kMill);
  const double seconds = SecondsSince(began);
  std::printf(
      "simulation.failovers_per_minute  %.0f   (%llu failovers done in %.1f s by %d processes; %.0f s of virtual time, %.1f M "
      "steps)\n",
      static_cast<double>(total.failovers) / seconds * 60, static_cast<unsigned long long>(total.failovers), seconds, request.jobs,
      total.virtual_seconds, static_cast<double>(total.steps) / 1e6);
  return total.broken == 0 ? 0 : 1;
}

int Main(int argc, char** argv) {
  Request request;
  CLI::App app{"Whole agents on virtual time, faults from a seed, every promise judged after every step", "lifeboat_simulation"};
  app.add_option("--mode", request.mode, "storm, mill or outage")->capture_default_str();
  app.add_option("--seed", request.seed, "one seed, told; also LIFEBOAT_SEED")->envname("LIFEBOAT_SEED");
  app.add_option("--seeds", request.seeds, "how many seeds")->capture_default_str();
  app.add_option("--from", request.from, "the first seed")->capture_default_str();
  app.add_option("--minutes", request.minutes, "as many seeds as fit");
  app.add_option("--jobs", request.jobs, "processes side by side")->capture_default_str();
  app.add_option("--data-regions", request.data_regions, "2 or 3; else the seed says")->check(CLI::Range(2, 3));
  app.add_option("--gate", request.gate, "on or off; else the seed says")->check(CLI::IsMember({"on", "off"}));
  app.add_option("--faults", request.faults, "only the storm's faults whose name begins so");
  app.add_option("--bug", request.bug, "compiled in on purpose (lifeboat_simulation_seeded)");
  app.add_option("--lines", request.lines, "of the trace")->capture_default_str();
  app.add_flag("--expect-red", request.expect_red, "succeed when a promise is broken");
  app.add_flag("--keep-going", request.tell, "do not stop at the first broken seed");
  app.add_flag("--same", request.same, "run each seed twice and compare");
  app.add_flag("--bench", request.bench, "measure failovers a minute");
  bool list_faults = false;
  bool list_bugs = false;
  app.add_flag("--list-faults", list_faults, "names of the storm's faults");
  app.add_flag("--list-bugs", list_bugs, "names of the seeded bugs");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  if (list_faults) {
    for (const std::string& name : FaultNames()) std::printf("%s\n", name.c_str());
    return 0;
  }
  if (list_bugs) {
    for (const SeededBugName& bug : kSeededBugs) std::printf("%-36s %s\n", bug.name, bug.says);
    return 0;
  }
  if (!request.bug.empty() && !SelectSeededBug(request.bug)) {
    std::fprintf(
        stderr,
        "lifeboat_simulation: there is no seeded bug '%s' in this program\n  hint: lifeboat_simulation_seeded --list-bugs\n",
        request.bug.c_str());
    return 2;
  }
  const auto mode = ParseMode(request.mode);
  if (!mode) {
    std::fprintf(stderr, "lifeboat_simulation: no mode '%s'\n  hint: storm, mill or outage\n", request.mode.c_str());
    return 2;
  }
  if (request.bench) return Bench(std::move(request));
  if (request.seed) {
    Tell(request, *mode, *request.seed);
    request.from = *request.seed;
    request.seeds = 1;
    return RunSeeds(request, *mode, request.from, 1).broken == 0 ? 0 : 1;
  }
  const auto began = Timer::now();
  const Total total = RunJobs(request, *mode);
  std::printf(
      "%s: %llu seeds, %llu failovers, %llu switchovers, %llu promotions, %llu rows acknowledged, %llu lost as stated, %.0f s of "
      "virtual time in %.1f s\n",
      ToString(*mode), static_cast<unsigned long long>(total.seeds), static_cast<unsigned long long>(total.failovers),
      static_cast<unsigned long long>(total.switchovers), static_cast<unsigned long long>(total.promotions),
      static_cast<unsigned long long>(total.acknowledged), static_cast<unsigned long long>(total.lost), total.virtual_seconds,
      SecondsSince(began));
  if (request.expect_red) {
    if (total.broken > 0)
      std::printf("'%s' is caught by seed %llu after %.2f s\n", request.bug.c_str(),
                  static_cast<unsigned long long>(total.first_broken), total.seconds_to_broken);
    return total.broken > 0 ? 0 : 1;
  }
  if (total.broken > 0) Tell(request, *mode, total.first_broken);
  return total.broken == 0 ? 0 : 1;
}

}  // namespace
}  // namespace lifeboat::simulation

int main(int argc, char** argv) { return lifeboat::simulation::Main(argc, argv); }
