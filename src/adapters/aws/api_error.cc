#include "adapters/aws/api_error.h"

#include <algorithm>
#include <array>

#include "adapters/aws/xml.h"
#include "base/json.h"

namespace lifeboat::aws {

namespace {

constexpr std::size_t kLongestMessage = 600;

constexpr const char* kThrottledHint = "AWS limits how often this may be asked: look at the account's quotas";
constexpr const char* kClockHint = "the clock of this machine is minutes off: look at its time service";
constexpr const char* kExpiredHint = "the credentials have expired, and no newer ones were found";

// @source botocore 1.43, retries/standard.py and data/_retry.json
constexpr std::array<std::string_view, 17> kThrottles{"Throttling",
                                                      "ThrottlingException",
                                                      "ThrottledException",
                                                      "RequestThrottledException",
                                                      "RequestThrottled",
                                                      "RequestLimitExceeded",
                                                      "TooManyRequestsException",
                                                      "ProvisionedThroughputExceededException",
                                                      "SlowDown",
                                                      "BandwidthLimitExceeded",
                                                      "LimitExceededException",
                                                      "TransactionInProgressException",
                                                      "EC2ThrottledException",
                                                      "PriorRequestNotComplete",
                                                      "ThrottlingError",
                                                      "RequestTimeout",
                                                      "ReplicatedWriteConflictException"};

constexpr std::array<std::string_view, 6> kClocks{"RequestTimeTooSkewed",      "RequestExpired",        "RequestInTheFuture",
                                                  "InvalidSignatureException", "SignatureDoesNotMatch", "AuthFailure"};
constexpr std::array<std::string_view, 3> kCertainlyClocks{"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"};

constexpr std::array<std::string_view, 3> kExpiries{"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"};

constexpr std::array<std::string_view, 6> kSignatures{"SignatureDoesNotMatch",        "InvalidSignatureException",
                                                      "IncompleteSignature",          "IncompleteSignatureException",
                                                      "AuthorizationHeaderMalformed", "AuthorizationQueryParametersError"};

// Codes that no pattern below would find.
constexpr std::array<std::string_view, 9> kRefusals{"ConditionalCheckFailedException",
                                                    "TransactionCanceledException",
                                                    "PreconditionFailed",
                                                    "ConditionalRequestConflict",
                                                    "ConflictException",
                                                    "InvalidChangeBatch",
                                                    "ResourceInUseException",
                                                    "OperationAborted",
                                                    "TransactionConflictException"};

template <std::size_t size>
bool IsOneOf(const std::array<std::string_view, size>& list, std::string_view code) {
  return std::find(list.begin(), list.end(), code) != list.end();
}

bool Contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

/// "InvalidGlobalClusterStateFault", "InvalidDBClusterStateFault", "InvalidDBInstanceState", "DBClusterSnapshotAlreadyExistsFault":
/// what is there forbids it.
bool IsStateRefusal(std::string_view code) { return code.starts_with("Invalid") && Contains(code, "State"); }

bool IsNotFound(std::string_view code) {
  return Contains(code, "NotFound") || code.starts_with("NoSuch") || code == "ResourceNotFoundException";
}

/// "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException", "InternalFailure:http://internal.amazon.com/…".
std::string BareCode(std::string_view code) {
  code = code.substr(0, code.find(':'));
  const std::size_t hash = code.rfind('#');
  return std::string(hash == std::string_view::npos ? code : code.substr(hash + 1));
}

void FromJson(ApiError& error, const Pairs& headers, const std::string& body) {
  const Result<Json> json = ParseJson(body, "an error of AWS");
  const Json& object = json.ok() ? *json : Json::object();
  error.code = BareCode(HeaderOf(headers, "x-amzn-errortype"));
  if (error.code.empty()) error.code = BareCode(TextAt(object, "__type", TextAt(object, "code")));
  error.message = TextAt(object, "message", TextAt(object, "Message", TextAt(object, "errorMessage")));
}

void FromXml(ApiError& error, const std::string& body) {
  const Result<XmlNode> root = ParseXml(body, "an error of AWS");
  if (!root) return;
  // <ErrorResponse><Error>… (query, Route 53), <Response><Errors><Error>… (EC2), <Error>… (S3), <InvalidChangeBatch> (Route 53)
  const XmlNode* inner = &*root;
  if (root->name == "ErrorResponse") inner = &(*root)["Error"];
  if (root->name == "Response") inner = &(*root)["Errors"]["Error"];
  error.code = (*inner)["Code"].text;
  error.message = (*inner)["Message"].text;
  if (root->name == "InvalidChangeBatch") {
    error.code = root->name;
    for (const XmlNode* message : (*root)["Messages"].All("Message")) {
      error.message += (error.message.empty() ? "" : "; ") + message->text;
    }
  }
  for (const char* name : {"RequestId", "RequestID"}) {
    if (error.request_id.empty()) error.request_id = (*root)[name].text;
  }
}

}  // namespace

std::string RequestIdOf(const Pairs& headers) {
  for (const char* name : {"x-amzn-requestid", "x-amz-request-id", "x-amzn-request-id"}) {
    std::string id = HeaderOf(headers, name);
    if (!id.empty()) return id;
  }
  return {};
}

ApiError ParseApiError(int status, const Pairs& headers, const std::string& body) {
  ApiError error;
  error.status = status;
  error.request_id = RequestIdOf(headers);
  const std::size_t first = body.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && body[first] == '<') {
    FromXml(error, body);
  } else {
    FromJson(error, headers, body);
  }
  if (!error.code.empty()) return error;
  switch (status) {  // HEAD has no body
    case 404: error.code = "NotFound"; break;
    case 412: error.code = "PreconditionFailed"; break;
    default: error.code = "HTTP " + std::to_string(status);
  }
  return error;
}

Verdict Judge(const ApiError& error, bool clock_off) {
  const std::string& code = error.code;
  if (IsOneOf(kThrottles, code) || error.status == 429) return Verdict::kThrottled;
  if (IsOneOf(kCertainlyClocks, code) || (clock_off && IsOneOf(kClocks, code))) return Verdict::kClock;
  if (IsOneOf(kExpiries, code)) return Verdict::kExpired;
  // SAFETY: an error of the server itself says nothing about the change, whatever its code promises.
  if (error.status >= 500) return Verdict::kUnknown;
  if (IsOneOf(kRefusals, code) || IsStateRefusal(code) || error.status == 412 || error.status == 409) return Verdict::kRefused;
  if (IsNotFound(code) || error.status == 404) return Verdict::kNotFound;
  return Verdict::kFail;
}

std::string ForPeople(const ApiError& error) {
  std::string text = error.message;
  if (IsOneOf(kSignatures, error.code)) text = text.substr(0, text.find_first_of(".\n"));
  text = text.substr(0, text.find('\n'));
  if (text.size() > kLongestMessage) {
    text.erase(kLongestMessage);
    text += "…";
  }
  while (text.ends_with('.')) text.pop_back();
  return text;
}

namespace {
Error NotWeighed(Error error) {
  error.not_weighed = true;
  return error;
}
}  // namespace

Error ToError(const ApiError& error, Verdict verdict, const std::string& what) {
  std::string text = what + ": '" + error.code + "'";
  const std::string words = ForPeople(error);
  if (!words.empty()) text += ": " + words;
  if (!error.request_id.empty()) text += " (request '" + error.request_id + "')";
  switch (verdict) {
    case Verdict::kThrottled: return NotWeighed(RetryLater(text, kThrottledHint));
    case Verdict::kClock: return NotWeighed(RetryLater(text, kClockHint));
    case Verdict::kExpired: return NotWeighed(RetryLater(text, kExpiredHint));
    case Verdict::kNotFound: return NotFound(text);
    case Verdict::kRefused: return Refused(text);
    case Verdict::kUnknown: return UnknownOutcome(text);
    case Verdict::kFail: break;
  }
  const bool denied = Contains(error.code, "AccessDenied") || Contains(error.code, "UnauthorizedOperation") ||
                      error.code == "NotAuthorized" || error.status == 403;
  return Fail(text, denied ? "compare the role's policy with docs/aws.md, table of permissions" : "");
}

}  // namespace lifeboat::aws
