#include "config/text.h"

#include <gtest/gtest.h>

namespace lifeboat {
namespace {

TEST(ParseDuration, ReadsANumberAndAUnit) {
  EXPECT_EQ(ParseDuration("250ms"), Duration(250ms));
  EXPECT_EQ(ParseDuration("3s"), Duration(3s));
  EXPECT_EQ(ParseDuration("1.5s"), Duration(1500ms));
  EXPECT_EQ(ParseDuration("10min"), Duration(10min));
  EXPECT_EQ(ParseDuration("1h"), Duration(1h));
  EXPECT_EQ(ParseDuration("7d"), Duration(168h));
  EXPECT_EQ(ParseDuration("0s"), Duration(0));
}

TEST(ParseDuration, RefusesWhatIsNotExactlyThat) {
  for (const char* text : {"", "3", "s", "-3s", "+3s", "3 s", " 3s", "3s ", "3m", "3sec", "1h30min", "1.s", ".5s", "1.2345s", "3S",
                           "1e3s", "366d", "99999999999999999999s", "999999999999999999d"}) {
    EXPECT_EQ(ParseDuration(text), std::nullopt) << text;
  }
  EXPECT_EQ(ParseDuration("365d"), Duration(std::chrono::hours(24 * 365)));
}

TEST(ParseByteCount, KnowsBothKindsOfUnits) {
  EXPECT_EQ(ParseByteCount("64MiB")->bytes, 64u << 20);
  EXPECT_EQ(ParseByteCount("1GB")->bytes, 1'000'000'000u);
  EXPECT_EQ(ParseByteCount("1.5KiB")->bytes, 1536u);
  EXPECT_EQ(ParseByteCount("0B")->bytes, 0u);
  for (const char* text : {"64", "64M", "64mib", "-1B", "1.5B", "64 MiB", "99999999999TiB", "18446744073709551616B"}) {
    EXPECT_EQ(ParseByteCount(text), std::nullopt) << text;
  }
}

TEST(ParseNumber, ReadsDigitsAlone) {
  EXPECT_EQ(ParseNumber("0"), 0u);
  EXPECT_EQ(ParseNumber("999999999"), 999999999u);
  for (const char* text : {"", "-1", "+1", "1.0", " 1", "0x1", "1000000000"}) EXPECT_EQ(ParseNumber(text), std::nullopt) << text;
}

TEST(ParseShare, IsAPartOfAWhole) {
  ASSERT_TRUE(ParseShare("2/7"));
  EXPECT_EQ(ParseShare("2/7")->part, 2u);
  EXPECT_EQ(ParseShare("2/7")->whole, 7u);
  EXPECT_TRUE(ParseShare("1/1"));
  for (const char* text : {"", "/", "1", "1/", "/7", "0/7", "8/7", "1/1001", "1/7/2", "1 / 7", "-1/7"})
    EXPECT_FALSE(ParseShare(text)) << text;
}

TEST(ParseEndpoint, TakesAddressesOnly) {
  EXPECT_EQ(ParseEndpoint("127.77.1.1:7400"), (Endpoint{"127.77.1.1", 7400}));
  EXPECT_EQ(ParseEndpoint("[2001:db8::5]:5432"), (Endpoint{"2001:db8::5", 5432}));
  for (const char* text :
       {"", "7400", "db.example.net:5432", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:54x", "127.0.0.1:+5",
        "0.0.0.0:7400", "[::]:7400", "::1:7400", "127.1:80", "300.1.1.1:80", "[127.0.0.1]:80", "127.0.0.1: 80"}) {
    EXPECT_EQ(ParseEndpoint(text), std::nullopt) << text;
  }
}

TEST(IsLabel, FollowsTheHostNameRules) {
  EXPECT_TRUE(IsLabel("us-east-1"));
  EXPECT_TRUE(IsLabel(std::string(63, 'a')));
  for (const std::string& text : {std::string(), std::string(64, 'a'), std::string("US"), std::string("a_b"), std::string("-a"),
                                  std::string("a-"), std::string("a.b")}) {
    EXPECT_FALSE(IsLabel(text)) << text;
  }
}

TEST(IsDnsName, TakesNamesWithAndWithoutTheFinalDot) {
  EXPECT_TRUE(IsDnsName("orders-db.example.net."));
  EXPECT_TRUE(IsDnsName("Orders-DB.example.net"));
  EXPECT_EQ(FullyQualified("Orders-DB.example.net"), "orders-db.example.net.");
  for (const std::string& text : {std::string(), std::string("."), std::string("a..b"), std::string(".a"), std::string("a b."),
                                  "a." + std::string(64, 'b')}) {
    EXPECT_FALSE(IsDnsName(text)) << text;
  }
}

TEST(LiesInside, JudgesByWholeNames) {
  EXPECT_TRUE(LiesInside("/data/x", "/data"));
  EXPECT_TRUE(LiesInside("/data", "/data/"));
  EXPECT_TRUE(LiesInside("/data/", "/data"));
  EXPECT_TRUE(LiesInside("/a/../data/x", "/data"));
  EXPECT_TRUE(LiesInside("/anything", "/"));
  EXPECT_FALSE(LiesInside("/data2", "/data"));
  EXPECT_FALSE(LiesInside("/data/../other", "/data"));
}

TEST(ExpandEnvironment, ReplacesNamesAndSaysWhichIsMissing) {
  const Environment environment = [](const std::string& name) -> std::optional<std::string> {
    if (name == "HOME_OF_IT") return "/srv";
    return std::nullopt;
  };
  EXPECT_EQ(*ExpandEnvironment("${HOME_OF_IT}/token", environment), "/srv/token");
  EXPECT_EQ(*ExpandEnvironment("$${HOME_OF_IT}", environment), "${HOME_OF_IT}");
  EXPECT_EQ(*ExpandEnvironment("a$b$", environment), "a$b$");
  EXPECT_EQ(ExpandEnvironment("${NOPE}", environment).error().message, "environment variable 'NOPE' is not set");
  for (const char* text : {"${", "${}", "${NO PE}", "${1A}", "x${HOME_OF_IT"}) {
    EXPECT_FALSE(ExpandEnvironment(text, environment).ok()) << text;
  }
}

TEST(NearestTo, FindsSlipsOfTheHandOnly) {
  const std::vector<std::string> known = {"loss_limit", "cool_down", "automation"};
  EXPECT_EQ(NearestTo("loss_limt", known), "loss_limit");
  EXPECT_EQ(NearestTo("loss_limti", known), "loss_limit");
  EXPECT_EQ(NearestTo("cooldown", known), "cool_down");
  EXPECT_EQ(NearestTo("colour", known), std::nullopt);
  EXPECT_EQ(NearestTo(std::string(5000, 'x'), known), std::nullopt);
}

}  // namespace
}  // namespace lifeboat
