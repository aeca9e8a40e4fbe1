#include "lab/tools.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include "lab/sql.h"

namespace lifeboat::lab {

namespace {
Task<> RunInto(std::optional<Result<CommandOutput>>* outcome, boost::asio::any_io_executor executor, std::vector<std::string> argv,
               CommandOptions options, Duration timeout) {
  outcome->emplace(co_await RunCommand(std::move(executor), std::move(argv), std::move(options), timeout));
}
}  // namespace

Result<std::string> RunTool(std::vector<std::string> argv, const std::string& cwd, const std::optional<RunAs>& as,
                            Duration timeout) {
  const std::string program = argv.front();
  CommandOptions options;
  options.cwd = cwd;
  options.run_as = as;
  options.environment = {{"LC_ALL", "C"}};
  std::optional<Result<CommandOutput>> outcome;
  boost::asio::io_context context(1);
  boost::asio::co_spawn(context, RunInto(&outcome, context.get_executor(), std::move(argv), std::move(options), timeout),
                        boost::asio::detached);
  context.run();
  if (!outcome) return Fail("'" + program + "' did not run");
  if (!*outcome) return outcome->error().Within("'" + program + "'");
  const CommandOutput& output = **outcome;
  if (output.exit_code != 0) {
    const std::string& words = output.err.empty() ? output.out : output.err;
    return Fail("'" + program + "' failed with exit code " + std::to_string(output.exit_code) + ": " +
                OneLine(words.substr(words.size() > 500 ? words.size() - 500 : 0).c_str()));
  }
  return output.out;
}

}  // namespace lifeboat::lab
