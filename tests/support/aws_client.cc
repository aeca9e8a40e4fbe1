#include "support/aws_client.h"

#include <stdexcept>

#include "adapters/system/clock.h"
#include "support/run_task.h"

namespace lifeboat::testing {

std::shared_ptr<aws::Client> MakeAwsClient(boost::asio::io_context& context, std::map<std::string, std::string> endpoints,
                                           aws::RetryLimits retry) {
  static SystemClock clock;
  aws::Credentials keys;
  keys.access_key_id = kAwsAccessKey;
  keys.secret_key = Secret(kAwsSecretKey);
  aws::ClientOptions options;
  options.endpoints.set = std::move(endpoints);
  options.retry = retry;
  aws::ClientDoors doors{clock, aws::OpenTransport(context.get_executor(), {}), aws::DiceOfTheSystem(), Log()};
  return std::make_shared<aws::Client>(std::make_shared<aws::FixedCredentials>(std::move(keys)), std::move(options),
                                       std::move(doors));
}

Json AwsJson(boost::asio::io_context& context, aws::Client& client, const std::string& service, const std::string& target,
             const std::string& region, const Json& body) {
  aws::Call call;
  call.service = service;
  call.region = region;
  call.operation = target.substr(target.find('.') + 1);
  call.headers = {{"Content-Type", "application/x-amz-json-1.0"}, {"X-Amz-Target", target}};
  call.body = body.dump();
  const Result<aws::Reply> reply = Await(context, client.Send(std::move(call), std::chrono::seconds(30)));
  if (!reply) throw std::runtime_error(reply.error().Text());
  const Result<Json> json = ParseJson(reply->body.empty() ? "{}" : reply->body, target);
  if (!json) throw std::runtime_error(json.error().Text());
  return *json;
}

void MakeStoreTable(const std::string& url, const std::string& region, const std::string& table) {
  boost::asio::io_context context(1);
  const auto client = MakeAwsClient(context, {{"*", url}});
  const auto attribute = [](const char* name, const char* key, const char* value) {
    return Json{{"AttributeName", name}, {key, value}};
  };
  AwsJson(context, *client, "dynamodb", "DynamoDB_20120810.CreateTable", region,
          {{"TableName", table},
           {"BillingMode", "PAY_PER_REQUEST"},
           {"KeySchema", {attribute("service", "KeyType", "HASH"), attribute("item", "KeyType", "RANGE")}},
           {"AttributeDefinitions", {attribute("service", "AttributeType", "S"), attribute("item", "AttributeType", "S")}}});
}

}  // namespace lifeboat::testing
