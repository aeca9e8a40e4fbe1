#include "adapters/aws/sigv4.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "base/json.h"

namespace lifeboat::aws {
namespace {

struct Vector {
  std::string name;
  Json context;
  Signable request;
  PathRule rule;
  Json expected;
};

/// The suite's request files are not always legal HTTP: raw spaces and UTF-8 in the path, values over several lines.
Signable ParseRequest(const std::string& text) {
  Signable request;
  const std::size_t body = text.find("\n\n");
  std::istringstream head(text.substr(0, body));
  std::string line;
  std::getline(head, line);
  const std::size_t space = line.find(' ');
  std::string target = line.substr(space + 1, line.rfind(" HTTP/1.1") - space - 1);
  request.method = line.substr(0, space);
  const std::size_t question = std::min(target.find('?'), target.size());
  request.path = UriEncode(UriDecode(target.substr(0, question)), false);
  if (question < target.size()) request.query = ParseQuery(target.substr(question + 1));
  while (std::getline(head, line)) {
    if (line.starts_with(' ')) {
      request.headers.back().second += "\n" + line;
    } else if (!line.empty()) {
      const std::size_t colon = line.find(':');
      request.headers.emplace_back(line.substr(0, colon), line.substr(colon + 1));
    }
  }
  request.payload_hash = Sha256Hex(body == std::string::npos ? "" : text.substr(body + 2));
  return request;
}

std::vector<Vector> Vectors() {
  std::ifstream file(std::string(LIFEBOAT_FIXTURES) + "/aws_sigv4/vectors.json");
  std::vector<Vector> vectors;
  for (const Json& one : Json::parse(file)) {
    Vector vector{TextAt(one, "name"), MemberAt(one, "context"), ParseRequest(TextAt(one, "request")), {}, one};
    vector.rule.normalise = FlagAt(vector.context, "normalize");
    vector.rule.encode_again = FlagAt(vector.context, "double_encode");
    vectors.push_back(std::move(vector));
  }
  return vectors;
}

TEST(SignatureV4, EveryVectorOfTheVendorIsSignedToTheLetter) {
  int signed_ones = 0;
  for (const Vector& vector : Vectors()) {
    SCOPED_TRACE(vector.name);
    if (!vector.context.contains("credentials")) continue;
    EXPECT_EQ(TextAt(vector.context, "timestamp"), "2015-08-30T12:36:00Z");
    SigningScope scope{WallTime{1'440'938'160'000'000'000}, TextAt(vector.context, "region"), TextAt(vector.context, "service"),
                       vector.rule};
    const Json& keys = MemberAt(vector.context, "credentials");
    Credentials credentials;
    credentials.access_key_id = TextAt(keys, "access_key_id");
    credentials.secret_key = Secret(TextAt(keys, "secret_access_key"));
    if (!FlagAt(vector.context, "omit_session_token")) credentials.session_token = Secret(TextAt(keys, "token"));
    Signable request = vector.request;
    if (FlagAt(vector.context, "sign_body")) request.headers.emplace_back("X-Amz-Content-Sha256", request.payload_hash);

    Signable dated = request;
    dated.headers.emplace_back("X-Amz-Date", AmzDate(scope.at));
    if (!credentials.session_token.empty()) dated.headers.emplace_back("X-Amz-Security-Token", credentials.session_token.Reveal());
    const std::string canonical = CanonicalRequest(dated, scope.path_rule);
    EXPECT_EQ(canonical, TextAt(vector.expected, "canonical_request"));
    const std::string to_sign = StringToSign(canonical, scope);
    EXPECT_EQ(to_sign, TextAt(vector.expected, "string_to_sign"));
    EXPECT_EQ(Signature(credentials.secret_key.Reveal(), to_sign, scope), TextAt(vector.expected, "signature"));

    Sign(request, credentials, scope);
    const std::string whole = TextAt(vector.expected, "signed_request");
    EXPECT_EQ(request.headers.back().first, "Authorization");
    EXPECT_NE(whole.find("Authorization:" + request.headers.back().second + "\n"), std::string::npos)
        << request.headers.back().second;
    ++signed_ones;
  }
  EXPECT_EQ(signed_ones, 38);
}

TEST(SignatureV4, WhatIsEncodedInThePathIsEncodedOnceMore) {
  int seen = 0;
  for (const Vector& vector : Vectors()) {
    if (!vector.rule.encode_again) continue;
    SCOPED_TRACE(vector.name);
    // The path of these two is legal as it stands; their date is another one than in the file of the request.
    const std::string canonical = TextAt(vector.expected, "canonical_request");
    Signable request = vector.request;
    const std::string text = TextAt(vector.expected, "request");
    request.path = text.substr(5, text.find(" HTTP") - 5);
    request.headers.back().second = canonical.substr(canonical.find("x-amz-date:") + 11, 16);
    EXPECT_EQ(CanonicalRequest(request, vector.rule), canonical);
    ++seen;
  }
  EXPECT_EQ(seen, 2);
}

TEST(SignatureV4, AnObjectsNameInS3IsSignedAsItStands) {
  Signable request{"GET", "/a//b/../c%20d", {}, {{"Host", "bucket.s3.eu-west-1.amazonaws.com"}}, Sha256Hex("")};
  EXPECT_NE(CanonicalRequest(request, kPathAsSent).find("GET\n/a//b/../c%20d\n"), std::string::npos);
  EXPECT_NE(CanonicalRequest(request, PathRule{}).find("GET\n/a/c%2520d\n"), std::string::npos);
}

TEST(SignatureV4, WithoutAKeyNothingIsAdded) {
  Signable request{"GET", "/", {}, {{"Host", "sts.eu-west-1.amazonaws.com"}}, Sha256Hex("")};
  Sign(request, Credentials{}, SigningScope{WallTime{}, "eu-west-1", "sts", {}});
  EXPECT_EQ(request.headers.size(), 1u);
}

TEST(AwsEncoding, RoundTrips) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  EXPECT_EQ(UriDecode(UriEncode(all)), all);
  EXPECT_EQ(UriEncode("a/b c", false), "a/b%20c");
  EXPECT_EQ(UriEncode("a/b c"), "a%2Fb%20c");
  EXPECT_EQ(ParseQuery(QueryString({{"a b", "1&2=3"}, {"empty", ""}})), (Pairs{{"a b", "1&2=3"}, {"empty", ""}}));
  for (std::size_t size = 0; size < 8; ++size) {
    const std::string part = all.substr(0, size);
    EXPECT_EQ(FromBase64(Base64(part)).value_or("none"), part);
  }
  EXPECT_FALSE(FromBase64("a").has_value());
  EXPECT_FALSE(FromBase64("!!!!").has_value());
}

}  // namespace
}  // namespace lifeboat::aws
