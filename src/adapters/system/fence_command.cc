#include "adapters/system/fence_command.h"

#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

#include "adapters/system/command.h"

namespace lifeboat {

namespace {

constexpr std::size_t kMostSaid = 200;
constexpr Duration kGrace = std::chrono::seconds(2);  // so that we see its timeout before the one that outlives us does
constexpr Duration kLookBeforeRun = std::chrono::seconds(2);
constexpr Duration kLookAtAll = std::chrono::milliseconds(700);  // who asks for it from another region waits one second

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

}  // namespace

/// One look at a program. Shared: its thread may outlive whoever asked, where a file system hangs.
struct FenceCommand::Looked {
  std::string program;

  [[nodiscard]] std::optional<std::string> problem() const {
    const std::lock_guard<std::mutex> lock(mutex);
    return found;
  }
  void Found(std::string what) {
    const std::lock_guard<std::mutex> lock(mutex);
    found = std::move(what);
  }
  mutable std::mutex mutex;
  std::optional<std::string> found;
};

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
                           std::map<RegionName, Target> targets, Log log, Looker look)
    : io_(std::move(io)),
      service_(std::move(service)),
      by_(std::move(by)),
      targets_(std::move(targets)),
      log_(std::move(log)),
      look_(look ? std::move(look) : Looker(WhyNotRunnable)) {}

std::shared_ptr<const FenceCommand::Looked> FenceCommand::BeginLook(const RegionName& region) {
  std::shared_ptr<Looked>& looked = looks_[region];
  if (looked && !looked->problem()) return looked;  // it hangs: another one would as well
  looked = std::make_shared<Looked>();
  const Target& target = targets_.at(region);
  if (!target.command.empty()) looked->program = target.command.front();
  try {
    std::thread([looked = looked, look = look_] { looked->Found(look(looked->program)); }).detach();
  } catch (const std::system_error& error) {
    looked->Found(std::string("there is no thread to look at it: ") + error.what());
  }
  return looked;
}

Task<std::string> FenceCommand::Outcome(boost::asio::any_io_executor io, std::shared_ptr<const Looked> looked, Duration patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  boost::asio::steady_timer timer(io);
  while (true) {
    const std::optional<std::string> problem = looked->problem();
    if (problem) co_return *problem;
    if (std::chrono::steady_clock::now() >= end) co_return "'" + looked->program + "': its file system does not answer";
    timer.expires_after(std::chrono::milliseconds(2));
    co_await timer.async_wait(boost::asio::use_awaitable);
  }
}

Task<Result<std::string>> FenceCommand::Stop(FenceOrder order) {
  const auto found = targets_.find(order.region);
  if (found == targets_.end()) co_return RetryLater("no fence command is configured for '" + order.region.text + "'");
  const Target& target = found->second;
  // SAFETY: a takeover waits neither for a file system that hangs, nor for another region's program.
  std::shared_ptr<const Looked> looked = BeginLook(order.region);
  const std::string problem = co_await Outcome(io_, std::move(looked), kLookBeforeRun);
  if (!problem.empty()) {
    const std::string what = "its fence command cannot be run: " + problem;
    log_.Error("an external fence gave no proof", {{"of", order.region.text}, {"problem", what}});
    co_return RetryLater(what);
  }
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
  std::map<RegionName, std::shared_ptr<const Looked>> looks;
  for (const auto& [region, target] : targets_) looks[region] = BeginLook(region);
  const auto end = std::chrono::steady_clock::now() + kLookAtAll;
  std::map<RegionName, std::string> problems;
  for (const auto& [region, looked] : looks) {
    const Duration left = std::chrono::duration_cast<Duration>(end - std::chrono::steady_clock::now());
    std::string problem = co_await Outcome(io_, looked, left);
    problems[region] = std::move(problem);
  }
  co_return problems;
}

}  // namespace lifeboat
