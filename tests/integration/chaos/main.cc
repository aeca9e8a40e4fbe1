// lifeboat_chaos: one seed, or many for some minutes (make soak). Exit code 1: a promise was broken, or the service did not come
// back.

#include <CLI/CLI.hpp>
#include <cstdio>

#include "integration/chaos/chaos.h"

namespace {

using lifeboat::chaos::Options;
using lifeboat::chaos::Outcome;

struct Total {
  std::uint64_t runs = 0;
  std::uint64_t bad = 0;
  std::uint64_t faults = 0;
  std::uint64_t epochs = 0;
  std::uint64_t rejoins = 0;
  std::uint64_t acknowledged = 0;
  std::uint64_t lost = 0;
  std::uint64_t late = 0;
  void Add(const Outcome& outcome) {
    ++runs;
    bad += outcome.problems.empty() ? 0 : 1;
    faults += outcome.faults;
    epochs += outcome.epochs;
    rejoins += outcome.rejoins;
    acknowledged += outcome.verdict.acknowledged;
    lost += outcome.verdict.lost;
    late += outcome.verdict.late_arrivals;
  }
};

void Tell(const Options& options, const Outcome& outcome) {
  std::printf("seed %llu%s: %s%s%s\n", static_cast<unsigned long long>(options.seed),
              options.store == lifeboat::StoreKind::kEtcd ? " (etcd)" : "", outcome.Summary().c_str(),
              outcome.network ? "" : "; NO CUTS: the regions share the loopback network", outcome.gate ? "" : "; NO GATE");
  if (!outcome.problems.empty()) {
    for (const std::string& line : outcome.story) std::printf("  %s\n", line.c_str());
    for (const std::string& problem : outcome.problems) std::printf("  PROBLEM %s\n", problem.c_str());
    std::printf("  again:  %s\n  folder: %s\n", lifeboat::chaos::Repeat(options).c_str(), outcome.folder.c_str());
  }
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("chaos on a lab of real processes");
  Options options;
  std::uint64_t minutes = 0;
  std::uint64_t seconds = 12;
  std::string network = "auto";
  std::string store = "both";
  bool verbose = false;
  app.add_option("--seed", options.seed, "the schedule; with --minutes the first of them")->capture_default_str();
  app.add_option("--seconds", seconds, "how long faults are made")->capture_default_str();
  app.add_option("--minutes", minutes, "run one seed after another for as long");
  app.add_option("--network", network, "auto, namespaces or loopback")->check(CLI::IsMember({"auto", "namespaces", "loopback"}));
  app.add_option("--store", store, "embedded, etcd, or both: etcd for every third seed")
      ->check(CLI::IsMember({"embedded", "etcd", "both"}));
  std::string program = LIFEBOAT_PROGRAM;
  app.add_option("--program", program, "the lifeboat that is tested")->capture_default_str();
  app.add_flag("--verbose", verbose, "tell what is done while it is done");
  CLI11_PARSE(app, argc, argv);
  options.program = program;
  options.length = std::chrono::seconds(seconds);
  options.place = network == "auto"         ? lifeboat::lab::LabPlace::kAuto
                  : network == "namespaces" ? lifeboat::lab::LabPlace::kNamespaces
                                            : lifeboat::lab::LabPlace::kLoopback;
  if (verbose) options.say = [](const std::string& line) { std::printf("  %s\n", line.c_str()), std::fflush(stdout); };

  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(minutes);
  Total total;
  do {
    const bool etcd = store == "etcd" || (store == "both" && options.seed % 3 == 0);
    options.store = etcd ? lifeboat::StoreKind::kEtcd : lifeboat::StoreKind::kEmbedded;
    const Outcome outcome = lifeboat::chaos::Run(options);
    Tell(options, outcome);
    total.Add(outcome);
    ++options.seed;
  } while (std::chrono::steady_clock::now() < end);
  if (minutes > 0) {
    std::printf(
        "soak: %llu runs (seeds %llu to %llu), %llu faults, %llu changes of the lease, %llu rejoins, %llu rows acknowledged, "
        "%llu lost and each named by the ledger, %llu late arrivals, %llu runs with problems\n",
        static_cast<unsigned long long>(total.runs), static_cast<unsigned long long>(options.seed - total.runs),
        static_cast<unsigned long long>(options.seed - 1), static_cast<unsigned long long>(total.faults),
        static_cast<unsigned long long>(total.epochs - total.runs), static_cast<unsigned long long>(total.rejoins),
        static_cast<unsigned long long>(total.acknowledged), static_cast<unsigned long long>(total.lost),
        static_cast<unsigned long long>(total.late), static_cast<unsigned long long>(total.bad));
  }
  return total.bad == 0 ? 0 : 1;
}
