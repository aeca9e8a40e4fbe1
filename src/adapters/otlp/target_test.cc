#include "adapters/otlp/target.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace lifeboat {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

using Variables = std::map<std::string, std::string>;

Environment Of(const Variables& variables) {
  return [variables](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
}

OtlpChoice By(const Variables& variables) { return ChooseTarget(std::nullopt, "", Of(variables)); }

TEST(OtlpTarget, WithoutFileAndEnvironmentNobodyIsTold) {
  EXPECT_FALSE(By({}).target);
  EXPECT_FALSE(By({{"OTEL_EXPORTER_OTLP_ENDPOINT", ""}}).target) << "an empty variable is as good as none";
  EXPECT_FALSE(By({{"OTEL_EXPORTER_OTLP_HEADERS", "a=b"}}).target);
}

TEST(OtlpTarget, TheFileCountsWhereItIsThere) {
  const TraceSettings settings{"https://a:4318/", std::nullopt, "/ca.pem", 2s};
  const OtlpChoice choice = ChooseTarget(settings, "# a comment\n\nAuthorization: Bearer x y\r\n X-Scope :\n",
                                         Of({{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://b"}}));
  EXPECT_FALSE(choice.target) << "a name with a space before its colon is no name";
  const OtlpChoice good = ChooseTarget(settings, "# a comment\n\nAuthorization: Bearer x y\r\nX-Scope: 1\n",
                                       Of({{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://b"}}));
  ASSERT_TRUE(good.target);
  EXPECT_EQ(good.target->url, "https://a:4318/v1/traces");
  EXPECT_THAT(good.target->headers, ElementsAre("Authorization: Bearer x y", "X-Scope: 1"));
  EXPECT_EQ(good.target->ca_file, "/ca.pem");
  EXPECT_EQ(good.target->timeout, 2s);
}

TEST(OtlpTarget, TheEnvironmentIsReadAsItsSpecificationSays) {
  EXPECT_EQ(By({{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318"}}).target->url, "http://localhost:4318/v1/traces");
  EXPECT_EQ(By({{"OTEL_EXPORTER_OTLP_ENDPOINT", "https://a/otlp/"}}).target->url, "https://a/otlp/v1/traces");
  const OtlpChoice both = By({{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:1"},
                              {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://b:2/as/it/stands"},
                              {"OTEL_EXPORTER_OTLP_HEADERS", "x=1"},
                              {"OTEL_EXPORTER_OTLP_TRACES_HEADERS", " api-key = a%20b%2Cc , tenant=7,"},
                              {"OTEL_EXPORTER_OTLP_TIMEOUT", "2500"},
                              {"OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"}});
  ASSERT_TRUE(both.target);
  EXPECT_EQ(both.target->url, "http://b:2/as/it/stands");
  EXPECT_THAT(both.target->headers, ElementsAre("api-key: a b,c", "tenant: 7"));
  EXPECT_EQ(both.target->timeout, 2500ms);
  EXPECT_EQ(both.target->ca_file, "/ca.pem");
  EXPECT_THAT(both.warnings, IsEmpty());
}

TEST(OtlpTarget, TheEnvironmentSwitchesItOff) {
  EXPECT_FALSE(By({{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://a"}, {"OTEL_SDK_DISABLED", "True"}}).target);
  EXPECT_FALSE(By({{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://a"}, {"OTEL_TRACES_EXPORTER", "none"}}).target);
  EXPECT_TRUE(
      By({{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://a"}, {"OTEL_SDK_DISABLED", "false"}, {"OTEL_TRACES_EXPORTER", "otlp"}}).target);
}

TEST(OtlpTarget, WhatIsWrongInTheEnvironmentIsSaidAndTheAgentBeginsAllTheSame) {
  const OtlpChoice url = By({{"OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"}});
  EXPECT_FALSE(url.target);
  EXPECT_THAT(url.warnings, ElementsAre(HasSubstr("'OTEL_EXPORTER_OTLP_ENDPOINT' is no URL")));
  const OtlpChoice timeout = By({{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://a"}, {"OTEL_EXPORTER_OTLP_TIMEOUT", "10s"}});
  ASSERT_TRUE(timeout.target);
  EXPECT_EQ(timeout.target->timeout, 10s);
  EXPECT_EQ(timeout.warnings.size(), 1u);
  const OtlpChoice grpc = By({{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4317"}, {"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"}});
  EXPECT_TRUE(grpc.target);
  EXPECT_THAT(grpc.warnings, ElementsAre(HasSubstr("http/json")));
}

TEST(OtlpTarget, HeadersThatAreNoneAreRefusedAndNeverSaid) {
  for (const char* bad : {"hunter2", "=hunter2", "a b=hunter2", "a=hunter2%0d%0aX: y", "a=%zzhunter2", "a=hunter2%4"}) {
    const auto parsed = ParseHeaderList(bad);
    ASSERT_FALSE(parsed.ok()) << bad;
    EXPECT_THAT(parsed.error().Text(), Not(HasSubstr("hunter2")));
  }
  for (const char* bad : {"hunter2", ": hunter2", "a b: hunter2", "a: hunter2\x01"}) {
    const auto parsed = ParseHeaderLines(std::string("Good: one\n") + bad);
    ASSERT_FALSE(parsed.ok()) << bad;
    EXPECT_THAT(parsed.error().Text(), ::testing::AllOf(HasSubstr("line 2"), Not(HasSubstr("hunter2"))));
  }
}

}  // namespace
}  // namespace lifeboat
