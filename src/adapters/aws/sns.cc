#include "adapters/aws/sns.h"

#include <charconv>

#include "adapters/aws/protocol.h"

namespace lifeboat::aws::sns {

namespace {

constexpr QueryService kService{"sns", "2010-03-31"};

std::optional<std::uint64_t> NumberIn(const std::string& text) {
  std::uint64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || text.empty() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

Task<Result<std::string>> Publish(Client& client, std::string region, Message message, Duration timeout) {
  QueryParameters parameters;
  parameters.Text("TopicArn", message.topic).Text("Subject", message.subject).Text("Message", message.body);
  if (message.topic.ends_with(".fifo")) {
    parameters.Text("MessageGroupId", "lifeboat").Text("MessageDeduplicationId", message.id);
  }
  Call call = QueryCall(kService, std::move(region), "Publish", parameters, Effect::kRepeatable);
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  const Result<XmlNode> result = QueryResult(*reply, "Publish");
  if (!result) co_return Unreadable(Effect::kRepeatable, result.error());
  co_return (*result)["MessageId"].text;
}

Task<Result<Topic>> GetTopic(Client& client, std::string region, std::string topic, Duration timeout) {
  QueryParameters parameters;
  parameters.Text("TopicArn", topic);
  Call call = QueryCall(kService, std::move(region), "GetTopicAttributes", parameters, Effect::kReads);
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  const Result<XmlNode> result = QueryResult(*reply, "GetTopicAttributes");
  if (!result) co_return result.error();
  Topic found;
  for (const XmlNode& entry : (*result)["Attributes"].children) {
    const std::string& name = entry["key"].text;
    const std::string& value = entry["value"].text;
    if (name == "SubscriptionsConfirmed") found.subscribers = NumberIn(value);
    if (name == "SubscriptionsPending") found.pending = NumberIn(value).value_or(0);
    if (name == "KmsMasterKeyId") found.kms_key = value;
  }
  co_return found;
}

}  // namespace lifeboat::aws::sns
