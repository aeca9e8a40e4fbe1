// lifeboat_bench_backups: the measured halves of bench/backup_verify.py, each a run of its own so that its time, processor time and
// memory are those of that work alone. Each prints one JSON object.
//   pass FOLDER --threads N       levels 1 to 3 over what lies there, as `lifeboat backup verify --full` does it, self-test
//   included plain FOLDER --threads N      reads the same files and does nothing with them coverage DATA --indexes FILE
//   index-to-heap coverage; FILE: one JSON array a line, the fields of IndexOfHeap kernels                       rates of the
//   hashes on one core, from the processor's cache: what bounds the pass

#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <thread>

#include "adapters/backups/coverage_check.h"
#include "adapters/backups/known_bad.h"
#include "adapters/backups/verify.h"
#include "backup/page.h"
#include "base/json.h"

namespace lifeboat {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kBlock = 256U << 10;  // what the pass reads at once

struct Options {
  std::string folder;
  std::string indexes;
  unsigned threads = 2;
};

[[noreturn]] void End(const std::string& problem) {
  std::fprintf(stderr, "lifeboat_bench_backups: %s\n", problem.c_str());
  std::exit(1);
}

double SecondsSince(Clock::time_point began) { return std::chrono::duration<double>(Clock::now() - began).count(); }

/// The most memory that this process had. Its parent's own would be in what the parent is told of its end.
std::uint64_t MostMemory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) << 10U;
  }
  return 0;
}

int Print(Json line) {
  line["rss"] = MostMemory();
  std::printf("%s\n", line.dump().c_str());
  return 0;
}

int Pass(const Options& options) {
  const auto began = Clock::now();
  if (const Result<Unit> proven = backup::ProveThatChecksCanFail(); !proven) End(proven.error().Text());
  const double self_test = SecondsSince(began);
  const auto source = backup::OpenSource({options.folder, {}, "", nullptr});
  if (!source) End(source.error().Text());
  backup::VerifyOptions verify;
  verify.threads = options.threads;
  const auto verified = backup::Verify(**source, verify);
  if (!verified) End(verified.error().Text());
  const double seconds = SecondsSince(began);
  backup::Counts counts = verified->report.wal_counts;
  for (const auto& set : verified->report.sets) {
    counts.Add(set.counts);
    for (std::size_t level = 0; level <= 3; ++level) {
      if (set.levels[level].verdict != backup::Verdict::kPass)
        End("'" + set.label + "' does not pass: " + set.levels[level].reason);
    }
  }
  if (!verified->report.findings.empty()) End("a finding where there is none: " + verified->report.findings.front().what);
  return Print({{"seconds", seconds},
                {"self_test_seconds", self_test},
                {"bytes", counts.bytes},
                {"stored_bytes", counts.stored_bytes},
                {"pages", counts.pages}});
}

std::vector<std::pair<std::uint64_t, fs::path>> FilesBelow(const fs::path& folder) {
  std::vector<std::pair<std::uint64_t, fs::path>> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder, fs::directory_options::follow_directory_symlink)) {
    if (entry.is_regular_file()) files.emplace_back(entry.file_size(), entry.path());
  }
  std::sort(files.begin(), files.end(), std::greater<>());
  return files;
}

std::uint64_t ReadThrough(const fs::path& file) {
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) End("'" + file.string() + "' cannot be read");
  (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
  static thread_local std::vector<char> buffer(kBlock);
  std::uint64_t bytes = 0;
  while (true) {
    const ssize_t got = read(fd, buffer.data(), buffer.size());
    if (got <= 0) break;
    bytes += static_cast<std::uint64_t>(got);
  }
  close(fd);
  return bytes;
}

int Plain(const Options& options) {
  const auto began = Clock::now();
  const auto files = FilesBelow(options.folder);
  std::atomic<std::size_t> next = 0;
  std::atomic<std::uint64_t> bytes = 0;
  const auto take = [&] {
    for (std::size_t at = next++; at < files.size(); at = next++) bytes += ReadThrough(files[at].second);
  };
  {
    std::vector<std::jthread> threads;
    for (unsigned thread = 0; thread < options.threads; ++thread) threads.emplace_back(take);
  }
  return Print({{"seconds", SecondsSince(began)}, {"bytes", bytes.load()}});
}

int Coverage(const Options& options) {
  std::vector<backup::IndexOfHeap> indexes;
  std::ifstream file(options.indexes);
  for (std::string line; std::getline(file, line);) {
    const Json row = Json::parse(line);
    indexes.push_back({row[0], row[1], row[2], row[3], row[4], row[5], row[6]});
  }
  backup::CoverageOptions check;
  check.threads = options.threads;
  const auto began = Clock::now();
  const auto report = backup::CheckCoverage(options.folder, indexes, check);
  if (!report) End(report.error().Text());
  if (report->verdict != backup::Verdict::kPass)
    End(std::string("coverage: ") + backup::ToString(report->verdict) + ": " + report->reason);
  Json line = backup::ToJson(*report);
  line["seconds"] = SecondsSince(began);
  line["bytes"] = report->table_bytes + report->index_bytes;
  return Print(line);
}

/// Bytes a second of `work`, on one core, over a buffer that fits its cache.
template <typename Work>
double Rate(Work&& work) {
  std::vector<std::uint64_t> words(kBlock / 8);
  std::uint64_t seed = 88172645463325252U;
  for (std::uint64_t& word : words) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    word = seed;
  }
  const auto* bytes = reinterpret_cast<const char*>(words.data());
  work(bytes);
  double best = 0;
  for (int round = 0; round < 5; ++round) {
    const auto began = Clock::now();
    std::uint64_t done = 0;
    while (SecondsSince(began) < 0.1) {
      work(bytes);
      done += kBlock;
    }
    best = std::max(best, static_cast<double>(done) / SecondsSince(began));
  }
  return best / 1e9;
}

int Kernels() {
  Json line = Json::object();
  volatile std::uint32_t keep = 0;
  using backup::DigestKind;
  for (const DigestKind kind : {DigestKind::kCrc32c, DigestKind::kSha1, DigestKind::kSha256, DigestKind::kSha512}) {
    backup::Digest digest(kind);
    line[backup::ToString(kind)] = Rate([&](const char* bytes) { digest.Add(bytes, kBlock); });
  }
  line["page"] = Rate([&](const char* bytes) {
    for (std::size_t at = 0; at < kBlock; at += 8192)
      keep = keep + backup::PageChecksum(bytes + at, 8192, static_cast<std::uint32_t>(at));
  });
  backup::Digest crc(DigestKind::kCrc32c);
  line["CRC32C_and_page"] = Rate([&](const char* bytes) {
    crc.Add(bytes, kBlock);
    for (std::size_t at = 0; at < kBlock; at += 8192)
      keep = keep + backup::PageChecksum(bytes + at, 8192, static_cast<std::uint32_t>(at));
  });
  return Print(line);
}

}  // namespace
}  // namespace lifeboat

int main(int count, char** words) {
  lifeboat::Options options;
  CLI::App app("Parts of bench/backup_verify.py; each prints one JSON object.");
  app.require_subcommand(1);
  const auto add = [&](const char* name, const char* what) {
    CLI::App* command = app.add_subcommand(name, what);
    command->add_option("folder", options.folder)->required();
    command->add_option("--threads", options.threads)->check(CLI::Range(1, 256))->capture_default_str();
    return command;
  };
  CLI::App* pass = add("pass", "levels 1 to 3 over a source of backups");
  CLI::App* plain = add("plain", "reads all files and does nothing with them");
  CLI::App* coverage = add("coverage", "index-to-heap coverage of a data directory");
  coverage->add_option("--indexes", options.indexes, "the fields of IndexOfHeap, one JSON array a line")->required();
  app.add_subcommand("sql", "prints the question whose rows --indexes takes")->callback([] {
    std::printf("%s\n", lifeboat::backup::kIndexesOfHeapsSql);
  });
  CLI::App* kernels = app.add_subcommand("kernels", "rates of the hashes, GB/s of one core");
  CLI11_PARSE(app, count, words);
  if (pass->parsed()) return lifeboat::Pass(options);
  if (plain->parsed()) return lifeboat::Plain(options);
  if (coverage->parsed()) return lifeboat::Coverage(options);
  if (kernels->parsed()) return lifeboat::Kernels();
  return 0;
}
