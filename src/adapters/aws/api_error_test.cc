#include "adapters/aws/api_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/aws/xml.h"

namespace lifeboat::aws {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Answers as the services give them. @source RDS, S3, Route 53 and DynamoDB API references, "Error responses"
constexpr const char* kRdsError = R"(<ErrorResponse xmlns="http://rds.amazonaws.com/doc/2014-10-31/">
  <Error><Type>Sender</Type><Code>InvalidGlobalClusterStateFault</Code>
  <Message>Global cluster orders is not in the available state.</Message></Error>
  <RequestId>c1f5f0a4-6a2e-4c05-9a4f-1f2f6a2b1c11</RequestId></ErrorResponse>)";
constexpr const char* kS3Error = R"(<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message><Key>a</Key><RequestId>4442587FB7D0A2F9</RequestId></Error>)";
constexpr const char* kRoute53Batch = R"(<?xml version="1.0"?>
<InvalidChangeBatch xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><Messages><Message>one is wrong</Message><Message>two is too</Message>
</Messages><RequestId>b25f48e8</RequestId></InvalidChangeBatch>)";

TEST(ApiError, TheQueryProtocolsErrorsAreRead) {
  const ApiError error = ParseApiError(400, {}, kRdsError);
  EXPECT_EQ(error.code, "InvalidGlobalClusterStateFault");
  EXPECT_EQ(error.request_id, "c1f5f0a4-6a2e-4c05-9a4f-1f2f6a2b1c11");
  EXPECT_EQ(Judge(error, false), Verdict::kRefused);
  const Error told = ToError(error, Verdict::kRefused, "'SwitchoverGlobalCluster' of 'rds' in 'eu-west-1'");
  EXPECT_EQ(told.retry, Retry::kRefused);
  EXPECT_EQ(
      told.message,
      "'SwitchoverGlobalCluster' of 'rds' in 'eu-west-1': 'InvalidGlobalClusterStateFault': Global cluster orders is not in the "
      "available state (request 'c1f5f0a4-6a2e-4c05-9a4f-1f2f6a2b1c11')");
}

TEST(ApiError, TheXmlOfS3AndRoute53IsRead) {
  const ApiError missing = ParseApiError(404, {{"x-amz-request-id", "head"}}, kS3Error);
  EXPECT_EQ(missing.code, "NoSuchKey");
  EXPECT_EQ(missing.request_id, "head");
  EXPECT_EQ(Judge(missing, false), Verdict::kNotFound);
  const ApiError batch = ParseApiError(400, {}, kRoute53Batch);
  EXPECT_EQ(batch.message, "one is wrong; two is too");
  EXPECT_EQ(Judge(batch, false), Verdict::kRefused);
}

TEST(ApiError, TheJsonOfDynamoDbIsRead) {
  const ApiError error = ParseApiError(
      400, {{"x-amzn-requestid", "R1"}},
      R"({"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"The conditional request failed"})");
  EXPECT_EQ(error.code, "ConditionalCheckFailedException");
  EXPECT_EQ(error.message, "The conditional request failed");
  EXPECT_EQ(error.request_id, "R1");
  EXPECT_EQ(Judge(error, false), Verdict::kRefused);
  EXPECT_EQ(ParseApiError(400, {{"x-amzn-errortype", "ConflictException:http://internal.amazon.com/x"}}, "{}").code,
            "ConflictException");
}

TEST(ApiError, AnAnswerWithoutWordsIsJudgedByItsStatus) {
  EXPECT_EQ(Judge(ParseApiError(404, {}, ""), false), Verdict::kNotFound);
  EXPECT_EQ(Judge(ParseApiError(412, {}, ""), false), Verdict::kRefused);
  EXPECT_EQ(Judge(ParseApiError(403, {}, ""), false), Verdict::kFail);
  EXPECT_EQ(Judge(ParseApiError(429, {}, "<html>"), false), Verdict::kThrottled);
  EXPECT_EQ(Judge(ParseApiError(502, {}, "<html><body>bad gateway"), false), Verdict::kUnknown);
  EXPECT_EQ(ParseApiError(502, {}, "not json").code, "HTTP 502");
}

struct Case {
  int status;
  const char* code;
  Verdict verdict;
};

TEST(ApiError, EveryKindOfErrorHasItsVerdict) {
  const Case cases[] = {
      {400, "Throttling", Verdict::kThrottled},
      {503, "SlowDown", Verdict::kThrottled},
      {400, "ProvisionedThroughputExceededException", Verdict::kThrottled},
      {500, "InternalFailure", Verdict::kUnknown},
      {500, "InternalServerError", Verdict::kUnknown},
      {503, "ServiceUnavailable", Verdict::kUnknown},
      {400, "RequestExpired", Verdict::kClock},
      {403, "RequestTimeTooSkewed", Verdict::kClock},
      {403, "SignatureDoesNotMatch", Verdict::kFail},
      {403, "ExpiredToken", Verdict::kExpired},
      {400, "ExpiredTokenException", Verdict::kExpired},
      {404, "GlobalClusterNotFoundFault", Verdict::kNotFound},
      {404, "DBInstanceNotFound", Verdict::kNotFound},
      {404, "NoSuchHostedZone", Verdict::kNotFound},
      {400, "ResourceNotFoundException", Verdict::kNotFound},
      {400, "InvalidDBClusterStateFault", Verdict::kRefused},
      {400, "InvalidDBInstanceState", Verdict::kRefused},
      {409, "ConditionalRequestConflict", Verdict::kRefused},
      {409, "ConflictException", Verdict::kRefused},
      {400, "TransactionCanceledException", Verdict::kRefused},
      {400, "PriorRequestNotComplete", Verdict::kThrottled},
      {403, "AccessDenied", Verdict::kFail},
      {400, "InvalidParameterValue", Verdict::kFail},
      {400, "ValidationException", Verdict::kFail},
  };
  for (const Case& one : cases) {
    EXPECT_EQ(Judge(ApiError{one.status, one.code, "", ""}, false), one.verdict) << one.code;
  }
  EXPECT_EQ(Judge(ApiError{403, "SignatureDoesNotMatch", "", ""}, true), Verdict::kClock);
  EXPECT_EQ(Judge(ApiError{403, "AccessDenied", "", ""}, true), Verdict::kFail);
}

TEST(ApiError, WhatWasSignedIsNotShown) {
  // AWS answers a refused signature with the request that it saw, and the token of the session stands in that.
  const ApiError error = ParseApiError(
      403, {},
      R"({"__type":"InvalidSignatureException","message":"The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key.\n\nThe Canonical String for this request should have been\n'POST\n/\n\nx-amz-security-token:TOKEN'"})");
  const std::string text = ToError(error, Judge(error, false), "'GetItem'").Text();
  EXPECT_THAT(text, Not(HasSubstr("TOKEN")));
  EXPECT_THAT(text, HasSubstr("The request signature we calculated does not match"));
}

TEST(Xml, ElementsAndTheirTextAreReadAndNothingElse) {
  const auto root =
      ParseXml("<?xml version='1.0'?><a xmlns='urn:x'><!-- no --><b> 1 &amp; 2 </b><b><![CDATA[<3>]]></b><x:c/></a>", "test");
  ASSERT_TRUE(root.ok());
  EXPECT_EQ(root->name, "a");
  ASSERT_EQ(root->All("b").size(), 2u);
  EXPECT_EQ((*root)["b"].text, "1 & 2");
  EXPECT_EQ(root->All("b")[1]->text, "<3>");
  EXPECT_TRUE(root->Has("c"));
  EXPECT_EQ((*root)["none"]["deeper"].text, "");
}

TEST(Xml, WhatIsNotWholeOrTooDeepOrDeclaresEntitiesIsRefused) {
  EXPECT_FALSE(ParseXml("<a><b></a>", "test").ok());
  EXPECT_FALSE(ParseXml("<a>", "test").ok());
  EXPECT_FALSE(ParseXml("", "test").ok());
  EXPECT_FALSE(ParseXml("<!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>", "test").ok());
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "<a>";
  EXPECT_FALSE(ParseXml(deep, "test").ok());
}

TEST(Xml, TextIsEscapedOnTheWayOut) {
  const std::string nasty = "a<b>&\"c\r\n";
  const auto root = ParseXml("<r>" + XmlElement("v", nasty) + "</r>", "test");
  ASSERT_TRUE(root.ok());
  EXPECT_EQ((*root)["v"].text, "a<b>&\"c");  // the white space around a text is not kept
  EXPECT_EQ(XmlText("\r"), "&#xD;");
}

}  // namespace
}  // namespace lifeboat::aws
