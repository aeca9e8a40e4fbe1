#pragma once

// The three dialects in which AWS is asked: calls put together, answers taken apart. Nothing here sends anything.
// Thread rule: pure functions.
// @source Smithy, "AWS Protocols": awsQuery, restXml, awsJson 1.0 and 1.1

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "adapters/aws/client.h"
#include "adapters/aws/xml.h"
#include "base/json.h"

namespace lifeboat::aws {

/// The parameters of a call in the query protocol: "Filters.Filter.1.Name=…".
class QueryParameters {
 public:
  QueryParameters() = default;
  QueryParameters(std::initializer_list<std::pair<std::string, std::string>> pairs) : pairs_(pairs) {}

  /// An empty text is left out: AWS tells "not given" from "empty", and means the first.
  QueryParameters& Text(const std::string& name, const std::string& value);
  QueryParameters& Number(const std::string& name, std::int64_t value);
  QueryParameters& Flag(const std::string& name, bool value);
  /// "prefix.1", "prefix.2", … ("Metrics.member", "TagKeys.member", "SourceIds.SourceId")
  QueryParameters& List(const std::string& prefix, const std::vector<std::string>& values);
  [[nodiscard]] const Pairs& pairs() const { return pairs_; }

 private:
  Pairs pairs_;
};

/// A service that is asked in the query protocol.
struct QueryService {
  const char* name;     ///< in its endpoint: "rds"
  const char* version;  ///< "2014-10-31"
};

[[nodiscard]] Call QueryCall(const QueryService& service, std::string region, std::string action, const QueryParameters& parameters,
                             Effect effect);
/// What stands in <ActionResponse><ActionResult> of an answer; an action without a result: empty.
/// @error kFail: it is no answer to `action`. For a change the caller must take it as an unknown outcome (see ChangeAnswer)
[[nodiscard]] Result<XmlNode> QueryResult(const Reply& reply, const std::string& action);

/// A service that is asked in JSON.
struct JsonService {
  const char* name;           ///< in its endpoint: "dynamodb"
  const char* target_prefix;  ///< "DynamoDB_20120810"
  const char* version;        ///< "1.0"
};

[[nodiscard]] Call JsonCall(const JsonService& service, std::string region, const std::string& operation, const Json& body,
                            Effect effect);
/// The body of an answer, an object. @error kFail: it is none
[[nodiscard]] Result<Json> JsonResult(const Reply& reply, const std::string& operation);

/// SAFETY: AWS said 2xx and then something that cannot be read: whatever it was, the change may have been made.
[[nodiscard]] Error Unreadable(Effect effect, const Error& problem);

}  // namespace lifeboat::aws
