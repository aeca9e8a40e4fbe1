#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/load.h"
#include "config/load_telemetry.h"

namespace lifeboat {
namespace {

using testing::HasSubstr;

std::string With(const std::string& telemetry) {
  return R"(service: orders
objectives: {rto: 5s, rpo: 4s}
store: {host: eu-west-1}
regions:
  - {name: us-east-1, agent: "127.77.1.1:7400", state_directory: /srv/east, database: {address: "127.77.1.1:5432", data_directory: /pg/east, socket_directory: /run/east}}
  - {name: us-west-2, agent: "127.77.2.1:7400", state_directory: /srv/west, database: {address: "127.77.2.1:5432", data_directory: /pg/west, socket_directory: /run/west}}
  - {name: eu-west-1, kind: witness, agent: "127.77.3.1:7400", state_directory: /srv/witness}
first_primary: us-east-1
dns: {name: orders-db.example.net, zone: example.net., server: "127.77.3.1:53", key_name: lifeboat, key_file: /etc/lifeboat/dns.key}
token_file: /etc/lifeboat/token
)" + telemetry;
}

Result<Settings> Parse(const std::string& telemetry) {
  return ParseSettings(With(telemetry), "lifeboat.yaml", [](const std::string&) { return std::optional<std::string>(); });
}

std::string ErrorOf(const std::string& telemetry) {
  const auto settings = Parse(telemetry);
  return settings.ok() ? "loaded" : settings.error().Text();
}

TEST(TelemetryConfig, WithoutItNothingIsSent) {
  const auto settings = Parse("");
  ASSERT_TRUE(settings.ok()) << settings.error().Text();
  EXPECT_FALSE(settings->telemetry.traces);
}

TEST(TelemetryConfig, EveryKeyArrivesInItsPlace) {
  const auto settings = Parse(
      "telemetry: {traces: {endpoint: \"https://otlp.example.net:4318/otlp\", headers_file: /etc/lifeboat/h, ca_file: /etc/ca.pem, "
      "timeout: 2s}}\n");
  ASSERT_TRUE(settings.ok()) << settings.error().Text();
  ASSERT_TRUE(settings->telemetry.traces);
  const TraceSettings& traces = *settings->telemetry.traces;
  EXPECT_EQ(traces.endpoint, "https://otlp.example.net:4318/otlp");
  EXPECT_EQ(traces.headers_file, "/etc/lifeboat/h");
  EXPECT_EQ(traces.ca_file, "/etc/ca.pem");
  EXPECT_EQ(traces.timeout, 2s);
  const auto few = Parse("telemetry: {traces: {endpoint: \"http://10.0.0.7:4318\"}}\n");
  ASSERT_TRUE(few.ok()) << few.error().Text();
  EXPECT_EQ(few->telemetry.traces->timeout, 10s);
  EXPECT_FALSE(few->telemetry.traces->headers_file);
}

TEST(TelemetryConfig, AnEndpointIsAUrlOfACollector) {
  for (const char* good : {"http://localhost:4318", "https://[::1]:4318", "https://a.b/otlp/x-1", "http://127.0.0.1:4318/"})
    EXPECT_TRUE(IsCollectorUrl(good)) << good;
  for (const char* bad : {"", "localhost:4318", "grpc://a:4317", "https://user:pass@a", "https://a?x=1", "https://a/#f",
                          "https://a b", "https://a:0", "https:///v1", "https://a\r\nX: y"}) {
    EXPECT_FALSE(IsCollectorUrl(bad)) << bad;
  }
  EXPECT_EQ(HostOfCollector("https://[::1]:4318/x"), "::1");
  EXPECT_EQ(HostOfCollector("http://a.b"), "a.b");
  EXPECT_EQ(HostOfCollector("http://127.0.0.1:4318/otlp"), "127.0.0.1");
  EXPECT_THAT(ErrorOf("telemetry: {traces: {endpoint: \"collector:4317\"}}\n"), HasSubstr("is no URL of a collector"));
  EXPECT_THAT(ErrorOf("telemetry: {traces: {endpoint: \"https://a/v1/traces\"}}\n"), HasSubstr("which is appended"));
  EXPECT_THAT(ErrorOf("telemetry: {traces: {timeout: 1s}}\n"), HasSubstr("'telemetry.traces.endpoint' is missing"));
  EXPECT_THAT(ErrorOf("telemetry: {traces: {endpoint: \"https://a\", timeout: 2min}}\n"),
              HasSubstr("must lie between 100ms and 1min"));
}

/// SAFETY: the file lets its bearer in.
TEST(TelemetryConfig, HeadersLeaveThisMachineOnlyEncrypted) {
  EXPECT_THAT(ErrorOf("telemetry: {traces: {endpoint: \"http://10.0.0.7:4318\", headers_file: /h}}\n"),
              HasSubstr("would be sent without encryption to '10.0.0.7'"));
  EXPECT_THAT(ErrorOf("telemetry: {traces: {endpoint: \"http://collector:4318\", headers_file: /h}}\n"),
              HasSubstr("without encryption"));
  EXPECT_EQ(ErrorOf("telemetry: {traces: {endpoint: \"http://localhost:4318\", headers_file: /h}}\n"), "loaded");
  EXPECT_EQ(ErrorOf("telemetry: {traces: {endpoint: \"http://127.0.0.1:4318\", headers_file: /h}}\n"), "loaded");
  EXPECT_EQ(ErrorOf("telemetry: {traces: {endpoint: \"https://10.0.0.7:4318\", headers_file: /h}}\n"), "loaded");
  EXPECT_THAT(ErrorOf("telemetry: {traces: {endpoint: \"http://localhost:4318\", ca_file: /c}}\n"), HasSubstr("does not use TLS"));
}

}  // namespace
}  // namespace lifeboat
