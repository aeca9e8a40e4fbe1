#pragma once

// DynamoDB, as far as the shared store needs it. Items and keys are JSON in DynamoDB's own form: {"key": {"S": "a"}}.
// Reads are strongly consistent, always.
// Thread rule: as Client.
// @source DynamoDB API reference, 2012-08-10

#include <optional>
#include <string>
#include <vector>

#include "adapters/aws/client.h"
#include "base/json.h"

namespace lifeboat::aws::dynamodb {

struct Table {
  std::string region;
  std::string name;  ///< or its ARN
};

/// Values of an attribute in DynamoDB's form.
[[nodiscard]] Json Text(const std::string& value);
[[nodiscard]] Json Number(std::uint64_t value);
[[nodiscard]] Json Bytes(std::string_view value);
/// And back: nothing where the attribute is absent or of another type. Numbers: whole ones from 0 to 2^64-1.
[[nodiscard]] std::optional<std::string> TextOf(const Json& item, const char* attribute);
[[nodiscard]] std::optional<std::uint64_t> NumberOf(const Json& item, const char* attribute);
[[nodiscard]] std::optional<std::string> BytesOf(const Json& item, const char* attribute);

/// A condition on the item that stands there. @source "Condition expressions"
struct Condition {
  std::string expression;        ///< "attribute_not_exists(#k) OR #v = :seen"; empty: none
  Json names = Json::object();   ///< {"#k": "key"}
  Json values = Json::object();  ///< {":seen": {"N": "7"}}
};

struct Written {
  bool done = false;           ///< false: the condition did not hold, nothing was changed
  std::optional<Json> stands;  ///< not done: the item that stands there; nothing: none
};

/// @return nothing: no such item
Task<Result<std::optional<Json>>> GetItem(Client& client, Table table, Json key, Duration timeout);

/// @param effect kRepeatable only where the same item under the same condition may be put twice
/// @error kUnknownOutcome: read it before anything else is written
Task<Result<Written>> PutItem(Client& client, Table table, Json item, Condition condition, Effect effect, Duration timeout);
Task<Result<Written>> DeleteItem(Client& client, Table table, Json key, Condition condition, Effect effect, Duration timeout);

/// All items that the key condition finds, through all pages, in the order of the sort key.
/// Pages are each consistent, but not with one another: another's write may fall between two.
/// @param condition its expression is the KeyConditionExpression
Task<Result<std::vector<Json>>> Query(Client& client, Table table, Condition condition, Duration timeout);

struct TransactionAnswer {
  bool done = false;
  std::vector<Json>
      reasons;  ///< not done: {"Code", "Message", "Item"}, one an item of the request, in its order; Code "None": it held
};
/// All or nothing. @param items TransactWriteItem objects, at most 100
/// @param token the same for the same request: AWS carries it out once within 10 minutes
/// Not for tables with multi-region strong consistency, which refuse transactions.
Task<Result<TransactionAnswer>> TransactWriteItems(Client& client, std::string region, Json items, std::string token,
                                                   Duration timeout);

/// DynamoDB's description, member "Table". @error kNotFound: no such table
Task<Result<Json>> DescribeTable(Client& client, Table table, Duration timeout);

}  // namespace lifeboat::aws::dynamodb
