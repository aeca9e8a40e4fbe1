#include "adapters/system/fence_command.h"

#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <cstring>

#include "adapters/system/command.h"

namespace lifeboat {

namespace {

constexpr std::size_t kMostSaid = 200;
constexpr Duration kGrace = std::chrono::seconds(2);  // so that we see its timeout before the one that outlives us does

/// What is in the way of running `program`. Empty: nothing.
std::string WhyNotRunnable(const std::string& program) {
  struct stat status {};
  if (stat(program.c_str(), &status) != 0) return "'" + program + "': " + std::strerror(errno);
  if (!S_ISREG(status.st_mode)) return "'" + program + "' is no file";
  // SAFETY: whoever may write it decides what is run here, and when a takeover goes on.
  if ((status.st_mode & S_IWOTH) != 0) return "'" + program + "' may be written by everybody";
  if (access(program.c_str(), X_OK) != 0) return "'" + program + "' cannot be executed by the agent: " + std::strerror(errno);
  return {};
}

Task<std::map<RegionName, std::string>> LookOnPool(std::map<RegionName, std::string> programs) {
  for (auto& [region, program] : programs) program = WhyNotRunnable(program);
  co_return programs;
}

}  // namespace

std::string LastLineOf(const std::string& printed) {
  const std::size_t end = printed.find_last_not_of(" \t\r\n");
  if (end == std::string::npos) return {};
  const std::size_t begin = printed.find_last_of('\n', end);
  std::string line =
      printed.substr(begin == std::string::npos ? 0 : begin + 1, end - (begin == std::string::npos ? 0 : begin + 1) + 1);
  if (line.size() > kMostSaid) line.resize(kMostSaid);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e) c = '?';
  }
  return line;
}

FenceCommand::FenceCommand(boost::asio::any_io_executor io, std::string service, RegionName by,
                           std::map<RegionName, Target> targets, Log log)
    : io_(std::move(io)), service_(std::move(service)), by_(std::move(by)), targets_(std::move(targets)), log_(std::move(log)) {}

Task<Result<std::string>> FenceCommand::Stop(FenceOrder order) {
  const auto found = targets_.find(order.region);
  if (found == targets_.end()) co_return RetryLater("no fence command is configured for '" + order.region.text + "'");
  const Target& target = found->second;
  const auto problems = co_await Look();
  if (const std::string& problem = problems.at(order.region); !problem.empty())
    co_return RetryLater("its fence command cannot be run: " + problem);
  // SAFETY: a run that this agent left behind must not stop an instance long after the takeover that wanted it: it has an end of
  // its own.
  const auto limit = std::chrono::ceil<std::chrono::seconds>(target.timeout + kGrace).count();
  std::vector<std::string> argv = {"timeout", "--signal=KILL", std::to_string(limit)};
  argv.insert(argv.end(), target.command.begin(), target.command.end());
  CommandOptions options;
  options.cwd = "/";
  options.environment = {{"LIFEBOAT_SERVICE", service_},
                         {"LIFEBOAT_REGION", order.region.text},
                         {"LIFEBOAT_EPOCH", std::to_string(order.epoch.number)},
                         {"LIFEBOAT_EXECUTION", order.execution.text},
                         {"LIFEBOAT_BY", by_.text}};
  log_.Warn("the external fence of a region is run", {{"of", order.region.text}, {"execution", order.execution.text}});
  auto ran = co_await RunCommand(io_, std::move(argv), std::move(options), target.timeout);
  if (!ran.ok()) {
    const std::string what = "its fence command gave no answer: " + ran.error().message;
    log_.Error("an external fence gave no proof", {{"of", order.region.text}, {"problem", what}});
    co_return ran.error().retry == Retry::kUnknownOutcome ? UnknownOutcome(what) : RetryLater(what);
  }
  std::string said = LastLineOf(ran->exit_code == 0 || LastLineOf(ran->err).empty() ? ran->out : ran->err);
  if (ran->exit_code != 0) {
    const std::string what = "its fence command ended with " + std::to_string(ran->exit_code) + (said.empty() ? "" : ": " + said);
    log_.Error("an external fence gave no proof", {{"of", order.region.text}, {"problem", what}});
    co_return RetryLater(what);
  }
  log_.Info("an external fence gave proof", {{"of", order.region.text}, {"said", said}});
  co_return said.empty() ? "its fence command ended with 0" : said;
}

Task<std::map<RegionName, std::string>> FenceCommand::Look() {
  std::map<RegionName, std::string> programs;
  for (const auto& [region, target] : targets_) programs[region] = target.command.empty() ? std::string() : target.command.front();
  co_return co_await boost::asio::co_spawn(pool_, LookOnPool(std::move(programs)), boost::asio::use_awaitable);
}

}  // namespace lifeboat
