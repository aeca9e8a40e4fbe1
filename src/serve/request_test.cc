#include "serve/request.h"

#include <gtest/gtest.h>

namespace lifeboat::serve {
namespace {

TEST(Authorization, AcceptsTheTokenAndNothingElse) {
  const Secret token("0123456789abcdef");
  EXPECT_TRUE(IsAuthorized("Bearer 0123456789abcdef", token));
  EXPECT_TRUE(IsAuthorized("bearer 0123456789abcdef", token));
  EXPECT_FALSE(IsAuthorized("", token));
  EXPECT_FALSE(IsAuthorized("Bearer ", token));
  EXPECT_FALSE(IsAuthorized("Bearer 0123456789abcde", token));
  EXPECT_FALSE(IsAuthorized("Bearer 0123456789abcdeF", token));
  EXPECT_FALSE(IsAuthorized("Bearer 0123456789abcdef ", token));
  EXPECT_FALSE(IsAuthorized("Basic 0123456789abcdef", token));
}

TEST(Authorization, AnEmptyTokenLetsNobodyIn) {
  EXPECT_FALSE(IsAuthorized("Bearer ", Secret()));
  EXPECT_FALSE(IsAuthorized("Bearer x", Secret()));
}

TEST(MethodOfPath, TakesOneOrTwoParts) {
  EXPECT_EQ(MethodOfPath("/v1/lease/look"), "lease.look");
  EXPECT_EQ(MethodOfPath("/v1/a/b-c_9"), "a.b-c_9");
  EXPECT_EQ(MethodOfPath("/v1/status"), "status");
  for (const char* path : {"/v1/", "/v1/a/b/c", "/v1//b", "/v1/a/", "/v2/a/b", "/v1/a/B", "/v1/a/..", "/", ""}) {
    EXPECT_EQ(MethodOfPath(path), std::nullopt) << path;
  }
}

TEST(ParseQuery, ReadsEscapesAndRejectsWhatIsBroken) {
  const Result<Json> good = ParseQuery("region=us-east-1&note=a%20b+c&flag");
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(good->dump(), R"({"flag":"","note":"a b c","region":"us-east-1"})");
  EXPECT_EQ(ParseQuery("")->dump(), "{}");
  for (const char* query : {"a=%", "a=%4", "a=%zz", "a=%ff", "=1", "a=1&a=2"}) EXPECT_FALSE(ParseQuery(query).ok()) << query;
}

TEST(ParseBody, TakesAnObjectOrNothing) {
  EXPECT_EQ(ParseBody("")->dump(), "{}");
  EXPECT_EQ(ParseBody(R"({"a":1})")->dump(), R"({"a":1})");
  for (const char* body : {"[1]", "1", "{", "{\"a\":\"\xff\"}"}) EXPECT_FALSE(ParseBody(body).ok()) << body;
  EXPECT_FALSE(ParseBody("{\"a\":" + std::string(100000, '[') + std::string(100000, ']') + "}").ok());
}

}  // namespace
}  // namespace lifeboat::serve
