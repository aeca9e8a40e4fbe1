#pragma once

// SNS: a message to a topic, and whether anybody hears it.
// Thread rule: as Client.
// @source SNS API reference, 2010-03-31
// @iam sns:Publish
// @iam sns:GetTopicAttributes

#include <cstdint>
#include <optional>
#include <string>

#include "adapters/aws/client.h"

namespace lifeboat::aws::sns {

struct Message {
  std::string topic;    ///< ARN
  std::string subject;  ///< at most 100 printable ASCII characters, a letter, digit or punctuation first
  std::string body;     ///< at most 256 KiB
  std::string id;       ///< of the message: topics with an order drop a second one of the same id for five minutes
};
/// Sent again where no answer came: SNS itself delivers at least once, and receivers tell by what stands in the body.
/// @return its id at SNS @error kNotFound: there is no such topic
Task<Result<std::string>> Publish(Client& client, std::string region, Message message, Duration timeout);

struct Topic {
  std::optional<std::uint64_t> subscribers;  ///< confirmed; nothing: SNS does not say
  std::uint64_t pending = 0;                 ///< not confirmed by whom they are for
  std::string kms_key;
};
/// @error kNotFound: there is no such topic
Task<Result<Topic>> GetTopic(Client& client, std::string region, std::string topic, Duration timeout);

}  // namespace lifeboat::aws::sns
