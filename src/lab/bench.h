#pragma once

// The figures of a lab: outages as three kinds of clients feel them, and what agents take of the machine. Programs under bench/
// print them; nothing here is a test. Each figure is printed as soon as it is whole, one JSON line:
// {"name","unit","n","min","median","max","settings",…}.
// Thread rule: the main thread; takes over SIGINT and SIGTERM for as long as it runs.

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "lab/lab.h"

namespace lifeboat::lab {

/// All figures, each with a sentence. "outage" and "outage.switchover" select by prefix.
struct BenchFigure {
  const char* name;
  const char* what;
};
[[nodiscard]] const std::vector<BenchFigure>& BenchFigures();

struct BenchOptions {
  std::string name;  ///< figures whose name begins with it; empty: all
  int runs = 5;
  std::filesystem::path folder;   ///< of the lab; empty: DefaultFolder() with "-bench"
  std::filesystem::path program;  ///< of lifeboat; empty: "lifeboat" beside this executable
  LabKnobs knobs;                 ///< database_failure is set by the figure
  LabPlace place = LabPlace::kAuto;
  int minutes = 5;    ///< of outage.false_fences
  bool keep = false;  ///< leave the last lab running
};

/// Runs the figures that `options` selects; figures to `out`, progress to standard error.
/// @return 0; 1: a figure could not be measured; 2: no figure has that name
[[nodiscard]] int RunBench(const BenchOptions& options, std::FILE* out);

/// {"n","min","median","max"} of at least one value. The median of an even number is the mean of the middle two.
[[nodiscard]] Json Summary(std::vector<double> values);

/// Seconds of processor time that a process has used. @source proc_pid_stat(5), utime and stime
[[nodiscard]] Result<double> ProcessorSeconds(pid_t pid);
/// Resident memory in bytes. @source proc_pid_status(5), VmRSS
[[nodiscard]] Result<ByteCount> ResidentMemory(pid_t pid);

}  // namespace lifeboat::lab
