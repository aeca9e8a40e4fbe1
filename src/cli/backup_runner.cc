#include "cli/backup_runner.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <filesystem>
#include <optional>

#include "adapters/system/command.h"
#include "cli/ask.h"

namespace lifeboat {

namespace {

constexpr const char* kFormat = "lifeboat-backup-verify/1";

/// The last words of a child that gave no report.
std::string LastWords(const CommandOutput& output) {
  std::string words = output.err.substr(0, output.err.find_last_not_of(" \n") + 1);
  if (words.size() > 500) words = "…" + words.substr(words.size() - 500);
  if (words.empty()) words = "it ended with code " + std::to_string(output.exit_code) + " and said nothing";
  return words;
}

Result<BackupAnswer> Parse(const CommandOutput& output) {
  auto report = ParseJson(output.out, "the report");
  if (report.ok() && TextAt(*report, "format") == kFormat) {
    BackupAnswer answer;
    answer.exit_code = output.exit_code;
    answer.report = *std::move(report);
    return answer;
  }
  std::string words = LastWords(output);
  // With --json an error is told as JSON as well.
  if (report.ok() && MemberAt(*report, "error").is_object()) words = TextAt(MemberAt(*report, "error"), "message");
  if (output.exit_code == static_cast<int>(Exit::kRefused)) return Refused(words);
  return Fail(words);
}

// Optional: what crosses co_spawn must have a default value.
Task<std::optional<Result<BackupAnswer>>> ParseOnPool(CommandOutput output) { co_return Parse(output); }

}  // namespace

ChildBackupRunner::ChildBackupRunner(boost::asio::any_io_executor io, std::string program, std::string config, Duration grace)
    : io_(std::move(io)), program_(std::move(program)), config_(std::filesystem::absolute(config).string()), grace_(grace) {}

Task<Result<BackupAnswer>> ChildBackupRunner::Run(BackupTask task) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(task.deadline).count();
  std::vector<std::string> argv = {"nice",
                                   "-n",
                                   "19",
                                   program_,
                                   "backup",
                                   "verify",
                                   "--json",
                                   "--source",
                                   task.source,
                                   "--config",
                                   config_,
                                   "--level",
                                   std::to_string(task.level),
                                   "--deadline",
                                   std::to_string(seconds)};
  if (task.level > 3) {
    argv.push_back("--set");
    argv.push_back("latest");
  }
  const Duration timeout = task.deadline + grace_;
  auto output = co_await RunCommand(io_, std::move(argv), CommandOptions(), timeout);
  if (!output.ok()) co_return output.error();
  const auto answer = co_await boost::asio::co_spawn(pool_, ParseOnPool(*std::move(output)), boost::asio::use_awaitable);
  co_return *answer;
}

std::string OwnProgram() {
  std::error_code problem;
  std::string program = std::filesystem::read_symlink("/proc/self/exe", problem).string();
  constexpr std::string_view kReplaced = " (deleted)";
  if (program.ends_with(kReplaced)) program.resize(program.size() - kReplaced.size());
  return program;
}

}  // namespace lifeboat
