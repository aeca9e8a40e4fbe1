#include "adapters/aws/traffic_names.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cctype>

namespace lifeboat::aws {

namespace {

namespace asio = boost::asio;

constexpr Duration kServersKeep = 1h;
constexpr Duration kOneQuestion = 3s;
constexpr Duration kShortestLook = 500ms;  // a shorter one would call a server silent that is only not next door

/// What one question of several runs on: nothing of it may die before the question ends.
struct Question {
  std::shared_ptr<NameServers> names;
  std::string name;
  std::string type;
  Duration timeout{0};
  std::shared_ptr<std::vector<ServerAnswer>> answers;
};

Task<> AskOne(Question question, std::size_t at) {
  Result<NameAnswer> answer =
      co_await question.names->Ask((*question.answers)[at].server, question.name, question.type, question.timeout);
  (*question.answers)[at].answer = std::move(answer);
}

std::string Bare(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (name.ends_with('.')) name.pop_back();
  return name;
}

}  // namespace

bool SameValue(const std::string& type, const std::string& one, const std::string& two) {
  if (type != "A" && type != "AAAA") return Bare(one) == Bare(two);
  boost::system::error_code first;
  boost::system::error_code second;
  const auto here = asio::ip::make_address(one, first);
  const auto there = asio::ip::make_address(two, second);
  return !first && !second && here == there;
}

std::optional<RegionName> RegionOfTarget(const AwsTrafficSettings& settings, const std::string& value) {
  for (const auto& [region, target] : settings.targets) {
    if (SameValue(settings.type, target, value)) return region;
  }
  return std::nullopt;
}

bool AllAnswer(const std::vector<ServerAnswer>& answers, const std::string& type, const std::string& address) {
  for (const ServerAnswer& each : answers) {
    if (!each.answer || each.answer->values.size() != 1 || !SameValue(type, each.answer->values.front(), address)) return false;
  }
  return !answers.empty();
}

std::string Describe(const std::vector<ServerAnswer>& answers) {
  std::string text;
  for (const ServerAnswer& each : answers) {
    text += (text.empty() ? "'" : ", '") + each.server.Text();
    if (!each.answer) {
      text += "' does not answer";
    } else if (each.answer->values.empty()) {
      text += "' answers nothing";
    } else {
      std::string values;
      for (const std::string& value : each.answer->values) values += (values.empty() ? "" : " ") + value;
      text += "' answers '" + values + "'";
    }
  }
  return text;
}

Result<TrafficRecord> Agreed(const AwsTrafficSettings& settings, const std::vector<ServerAnswer>& answers) {
  TrafficRecord record;
  std::optional<std::string> value;
  std::optional<Error> problem;
  bool exists = false;
  for (const ServerAnswer& each : answers) {
    if (!each.answer) {
      problem = each.answer.error();
      continue;
    }
    exists = exists || each.answer->exists;
    if (each.answer->values.size() > 1) {
      return Fail("'" + settings.name + "' has more than one value: " + Describe(answers), "leave one value for each region");
    }
    const std::string said = each.answer->values.empty() ? std::string() : each.answer->values.front();
    if (value && *value != said && !SameValue(settings.type, *value, said)) {
      return RetryLater("the name servers of '" + settings.name + "' do not agree: " + Describe(answers),
                        "a change is under way; if it stays so, look at the zone");
    }
    value = said;
    record.ttl = std::max(record.ttl, each.answer->ttl);
  }
  if (!value) return problem ? problem->Within("'" + settings.name + "'") : RetryLater("no name server could be asked");
  if (!exists) return NotFound("'" + settings.name + "' does not exist: " + Describe(answers));
  const std::optional<RegionName> region = RegionOfTarget(settings, *value);
  record.address = region ? settings.targets.at(*region) : *value;
  return record;
}

ZoneNames::ZoneNames(std::shared_ptr<NameServers> names, AwsTrafficSettings settings, Clock& clock)
    : names_(std::move(names)), settings_(std::move(settings)), clock_(clock) {}

Task<Result<std::vector<Endpoint>>> ZoneNames::Servers(Duration timeout) {
  if (!settings_.name_servers.empty()) co_return settings_.name_servers;
  if (found_at_ && AgeAt(*found_at_, clock_.Now()) < kServersKeep) co_return found_;
  Result<std::vector<Endpoint>> found = co_await names_->ServersOf(settings_.name, timeout);
  // Resolvers fail on the same days as regions do; the zone's name servers stay what they were.
  if (!found && !found_.empty()) co_return found_;
  if (!found) co_return found.error();
  found_ = *found;
  found_at_ = clock_.Now();
  co_return found_;
}

Task<Result<std::vector<ServerAnswer>>> ZoneNames::AskAll(std::string name, std::string type, Duration timeout) {
  const Instant end = clock_.Now() + timeout;
  Result<std::vector<Endpoint>> servers = co_await Servers(timeout);
  if (!servers) co_return servers.error();
  if (servers->empty()) co_return RetryLater("no name server of '" + name + "' is known");
  Question question{names_, std::move(name), std::move(type), std::max<Duration>(TimeLeft(end, clock_.Now()), 1ms), nullptr};
  question.answers = std::make_shared<std::vector<ServerAnswer>>();
  for (const Endpoint& server : *servers) {
    ServerAnswer asked;
    asked.server = server;
    question.answers->push_back(std::move(asked));
  }
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  using Asked = decltype(asio::co_spawn(executor, AskOne(question, 0), asio::deferred));
  std::vector<Asked> asked;
  for (std::size_t at = 0; at < servers->size(); ++at)
    asked.push_back(asio::co_spawn(executor, AskOne(question, at), asio::deferred));
  auto group = asio::experimental::make_parallel_group(std::move(asked));
  co_await group.async_wait(asio::experimental::wait_for_all(), asio::use_awaitable);
  co_return *question.answers;
}

Task<Result<Unit>> ZoneNames::AwaitAnswer(std::string address, Duration look_every, Duration timeout) {
  const Instant end = clock_.Now() + timeout;
  for (;;) {
    const Duration patience = std::clamp<Duration>(TimeLeft(end, clock_.Now()), 1ms, kOneQuestion);
    Result<std::vector<ServerAnswer>> answers = co_await AskAll(settings_.name, settings_.type, patience);
    // SAFETY: one server that still sends clients to the old region is not "moved" (AwsTrafficNames.OneOfFourThatAnswersTheOld…).
    if (answers.ok() && AllAnswer(*answers, settings_.type, address)) co_return Done();
    const Duration left = TimeLeft(end, clock_.Now());
    if (left <= look_every + kShortestLook) {
      const std::string seen = answers.ok() ? Describe(*answers) : answers.error().message;
      co_return UnknownOutcome("not every name server of '" + settings_.name + "' answers '" + address + "' yet: " + seen,
                               "health checks take interval × threshold to notice; 'lifeboat check' shows the numbers");
    }
    co_await clock_.Sleep(look_every);
  }
}

}  // namespace lifeboat::aws
