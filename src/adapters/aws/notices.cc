#include "adapters/aws/notices.h"

#include <set>

#include "adapters/aws/check_lines.h"
#include "adapters/aws/eventbridge.h"
#include "adapters/aws/sns.h"

namespace lifeboat::aws {

namespace {

constexpr const char* kSource = "lifeboat";
constexpr std::size_t kLongestSubject = 100;     // @source SNS Publish
constexpr std::size_t kLongestBody = 200 << 10;  // both services: 256 KiB with everything around it

}  // namespace

std::string SubjectOf(const std::string& subject) {
  std::string line;
  for (const char c : subject) {
    if (line.size() == kLongestSubject) break;
    const bool printable = c >= ' ' && c <= '~';
    if (line.empty() && (!printable || c == ' ')) continue;
    line += printable ? c : '?';
  }
  return line.empty() ? "Lifeboat" : line;
}

std::string AwsNotifier::name() const {
  const char* kind = settings_.kind == AwsNoticeKind::kSns ? "topic '" : "event bus '";
  return kind + settings_.target + "' in '" + settings_.region.text + "'";
}

Task<Result<Unit>> AwsNotifier::Tell(std::string subject, Json body, Duration timeout) {
  if (!body.is_object()) co_return Fail("what is told is no JSON object");
  if (!body.contains("id")) body["id"] = RandomUuid();
  const std::string text = body.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > kLongestBody) {
    co_return Fail("what is told has " + std::to_string(text.size()) + " bytes, and " + std::to_string(kLongestBody) +
                   " are taken");
  }
  Result<std::string> told = std::string();
  if (settings_.kind == AwsNoticeKind::kSns) {
    sns::Message message{settings_.target, SubjectOf(subject), text, TextAt(body, "id")};
    if (message.id.empty() || message.id.size() > 128) message.id = RandomUuid();
    told = co_await sns::Publish(client_, settings_.region.text, std::move(message), timeout);
  } else {
    eventbridge::Event event{settings_.target, kSource, SubjectOf(subject), std::move(body)};
    told = co_await eventbridge::PutEvent(client_, settings_.region.text, std::move(event), timeout);
  }
  if (!told) co_return told.error().Within(name());
  co_return Done();
}

Task<Result<std::vector<Readiness>>> AwsNotifier::Check(Duration timeout) {
  std::vector<Readiness> lines;
  const bool topic = settings_.kind == AwsNoticeKind::kSns;
  std::optional<Error> problem;
  std::optional<std::uint64_t> listeners;
  std::uint64_t pending = 0;
  if (topic) {
    Result<sns::Topic> found = co_await sns::GetTopic(client_, settings_.region.text, settings_.target, timeout);
    if (found.ok()) {
      listeners = found->subscribers;
      pending = found->pending;
    } else {
      problem = found.error();
    }
  } else {
    Result<std::uint64_t> rules = co_await eventbridge::RulesOf(client_, settings_.region.text, settings_.target, kSource, timeout);
    if (rules.ok()) {
      listeners = *rules;
    } else {
      problem = rules.error();
    }
  }
  const std::string kind = topic ? " confirmed subscriptions" : " rules that are on and take events of 'lifeboat'";
  if (problem && problem->retry == Retry::kNotFound) {
    lines.push_back(Fault(name() + " does not exist", "create it, or write its name right"));
  } else if (problem) {
    lines.push_back(Unseen(name() + " cannot be looked at", *problem));
  } else if (!listeners) {
    lines.push_back(Unknown(name() + " does not say who listens", "look at its subscriptions"));
  } else if (*listeners == 0) {
    const std::string waiting = pending > 0 ? " (" + std::to_string(pending) + " wait to be confirmed)" : "";
    lines.push_back(Fault(name() + " has no" + kind + waiting + ": nobody hears what it is told",
                          topic ? "subscribe to it, and confirm" : "put a rule on it that matches the source 'lifeboat'"));
  } else {
    lines.push_back(Ok(name() + " has " + std::to_string(*listeners) + kind));
  }
  co_return lines;
}

std::vector<std::unique_ptr<Notifier>> OpenAwsNotifiers(Client& client, const std::vector<AwsNoticeSettings>& settings) {
  std::vector<std::unique_ptr<Notifier>> doors;
  for (const AwsNoticeSettings& one : settings) doors.push_back(std::make_unique<AwsNotifier>(client, one));
  return doors;
}

std::vector<Readiness> CheckNoticeRegions(const std::vector<AwsNoticeSettings>& settings) {
  std::set<RegionName> regions;
  for (const AwsNoticeSettings& one : settings) regions.insert(one.region);
  if (regions.size() == 1) {
    return {Fault("all who are told are in '" + regions.begin()->text + "': nobody is told when that region is lost",
                  "add a topic or a bus in another region")};
  }
  if (regions.size() > 1) return {Ok("those who are told are in " + std::to_string(regions.size()) + " regions")};
  return {};
}

}  // namespace lifeboat::aws
