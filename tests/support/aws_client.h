#pragma once

// An AWS client of ours for tests, signed with the tests' keys, and the store's table in an emulator.

#include <boost/asio/io_context.hpp>
#include <map>
#include <memory>
#include <string>

#include "adapters/aws/client.h"
#include "support/real_aws.h"

namespace lifeboat::testing {

/// @param endpoints  as aws::Endpoints::set: {"*", url} sends everything there
[[nodiscard]] std::shared_ptr<aws::Client> MakeAwsClient(boost::asio::io_context& context,
                                                         std::map<std::string, std::string> endpoints, aws::RetryLimits retry = {});

/// One call that must succeed. Throws else.
Json AwsJson(boost::asio::io_context& context, aws::Client& client, const std::string& service, const std::string& target,
             const std::string& region, const Json& body);

/// Makes a table as docs/aws.md says.
void MakeStoreTable(const std::string& url, const std::string& region, const std::string& table);

}  // namespace lifeboat::testing
