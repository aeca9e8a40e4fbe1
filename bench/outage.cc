// lifeboat_bench [NAME] [--runs N]: measures the figures whose name begins with NAME and prints one JSON line a figure.

#include <CLI/CLI.hpp>

#include "lab/bench.h"

int main(int count, char** words) {
  lifeboat::lab::BenchOptions options;
  CLI::App app("Measures Lifeboat on labs of its own; prints one JSON line a figure.");
  app.add_option("name", options.name, "figures whose name begins so; none: all");
  app.add_option("--runs", options.runs, "runs of each outage")->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_option("--lab", options.folder, "folder of the lab");
  app.add_option("--program", options.program, "the lifeboat to measure; default: the one beside this program");
  double lease = 3;
  std::string place = "auto";
  app.add_option("--lease", lease, "length of the lease in seconds; the tuned profile is 1")
      ->check(CLI::Range(0.5, 60.0))
      ->capture_default_str();
  app.add_option("--network", place, "namespaces (needs root), loopback, or auto")
      ->check(CLI::IsMember({"auto", "namespaces", "loopback"}))
      ->capture_default_str();
  app.add_option("--minutes", options.minutes, "of outage.false_fences")->check(CLI::Range(1, 600))->capture_default_str();
  app.add_flag("--keep", options.keep, "leave the last lab running");
  std::string figures = "Figures:\n";
  for (const auto& figure : lifeboat::lab::BenchFigures()) figures += std::string("  ") + figure.name + ": " + figure.what + "\n";
  app.footer(figures);
  try {
    app.parse(count, words);
  } catch (const CLI::ParseError& problem) {
    return app.exit(problem) == 0 ? 0 : 2;
  }
  options.knobs.lease = std::chrono::milliseconds(static_cast<std::int64_t>(lease * 1000));
  using lifeboat::lab::LabPlace;
  options.place = place == "auto" ? LabPlace::kAuto : place == "loopback" ? LabPlace::kLoopback : LabPlace::kNamespaces;
  return lifeboat::lab::RunBench(options, stdout);
}
