// Traces of real executions, as a collector that nobody here wrote understands them; and a collector that never answers.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <sstream>

#include "adapters/http/http_client.h"
#include "support/lab_fixture.h"
#include "support/otlp_receiver.h"
#include "support/run_task.h"

namespace lifeboat::testing_support {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;

class Traces : public LabFixture {
 protected:
  static Edit SendTo(const OtlpReceiver& receiver) {
    const std::string section = "telemetry: {traces: {endpoint: \"" + receiver.Url() + "\", timeout: 1min}}\n";
    return [section](const lab::LabInfo&, std::string& config) { config += section; };
  }
  [[nodiscard]] TraceId TraceOfId(const ExecutionId& id) const { return TraceIdOf(TextAt(StatusOf(kWest), "service"), id); }
  [[nodiscard]] std::string MetricsOf(const std::string& region) const {
    boost::asio::io_context context(1);
    HttpClient http(context.get_executor(), {});
    HttpRequest request;
    request.url = "http://" + AddressOf(region) + ":" + std::to_string(lab().Find(region)->agent_port) + "/metrics";
    const auto response = testing::Await(context, http.Send(std::move(request), 10s));
    return response.ok() ? response->body : response.error().Text();
  }
};

std::vector<std::string> NamesOf(const Json& spans) {
  std::vector<std::string> names;
  for (const Json& span : spans) names.push_back(TextAt(span, "name"));
  return names;
}

TEST_F(Traces, AFailoverAndTheRejoinAfterItArriveWholeAndAreUnderstood) {
  // given
  const OtlpReceiver receiver;
  ASSERT_NO_FATAL_FAILURE(BringUp(Quick(), SendTo(receiver)));
  const WallTime since = ReadWallClock();

  // when
  KillRegion(kEast);
  const auto failover = lab::AwaitFailover(lab(), since, 30s, [](const std::string&) { return true; });
  ASSERT_TRUE(failover) << failover.error().Text();
  const TraceId trace = TraceOfId(failover->id);

  // then: phases and steps, each as the journal has it
  ASSERT_TRUE(Eventually([&] { return receiver.Find(trace).has_value(); })) << Json(receiver.Requests()).dump(1);
  const Json spans = *receiver.Find(trace);
  EXPECT_THAT(NamesOf(spans), IsSupersetOf({"failover", "outage", "detect", "fence", "promote", "route", "first good write",
                                            "step freeze", "step promote", "step route", "step verify"}));
  const Json& root = spans.front();
  EXPECT_EQ(TextAt(root, "name"), "failover");
  EXPECT_EQ(TextAt(root["attributes"], "lifeboat.execution"), failover->id.text);
  EXPECT_EQ(TextAt(root["attributes"], "lifeboat.target"), kWest);
  EXPECT_EQ(NumberAt(root["attributes"], "lifeboat.rule"), 380u);
  EXPECT_EQ(NumberAt(root["attributes"], "lifeboat.epoch"), failover->epoch.number);
  EXPECT_EQ(TextAt(root["resource"], "service.name"), "lifeboat");
  EXPECT_EQ(TextAt(root["resource"], "lifeboat.region"), kWest);
  for (const StepRecord& step : failover->steps) {
    for (const Json& span : spans) {
      if (TextAt(span, "name") != "step " + step.name) continue;
      EXPECT_EQ(SignedAt(span, "began"), step.began.ns) << step.name;
      EXPECT_EQ(SignedAt(span, "ended"), step.ended.ns) << step.name;
      EXPECT_FALSE(span["events"].empty()) << step.name;
    }
  }
  // the log meets it
  EXPECT_TRUE(LogHas(kWest, "agent", "\"trace_id\":\"" + trace.text + "\""));

  // and the command line prints the same of the journal's record
  const CliAnswer printed = Cli({"executions", "show", failover->id.text, "--otlp"});
  ASSERT_EQ(printed.exit_code, 0) << printed.err;
  const Json parsed = printed.Parsed();
  const Json again = parsed["resourceSpans"][0]["scopeSpans"][0]["spans"];
  ASSERT_EQ(again.size(), spans.size());
  for (std::size_t at = 0; at < again.size(); ++at) {
    EXPECT_EQ(TextAt(again[at], "spanId"), TextAt(spans[at], "span")) << at;
    EXPECT_EQ(TextAt(again[at], "endTimeUnixNano"), std::to_string(SignedAt(spans[at], "ended"))) << at;
  }

  // when the old primary comes back and is rejoined, which its own agent does
  StartRegion(kEast);
  ASSERT_TRUE(Eventually([&] { return RuleAt(kEast) == 310; })) << StatusOf(kEast).dump();
  const Execution rejoin = Rejoin(kEast);
  const TraceId second = TraceOfId(rejoin.id);
  ASSERT_TRUE(Eventually([&] { return receiver.Find(second).has_value(); }));
  EXPECT_THAT(NamesOf(*receiver.Find(second)), IsSupersetOf({"rejoin", "step salvage", "step rebuild", "step admit"}));
  EXPECT_EQ(TextAt(receiver.Find(second)->front()["resource"], "lifeboat.region"), kEast);

  // and nothing of all that came was anything that the definitions do not know
  for (const Json& request : receiver.Requests()) {
    EXPECT_FALSE(request.contains("wrong")) << request.dump(1);
    EXPECT_THAT(TextAt(request, "user_agent"), HasSubstr("lifeboat/"));
  }
  EXPECT_TRUE(Eventually([&] { return MetricsOf(kWest).find("lifeboat_traces_total{outcome=\"sent\"} 1") != std::string::npos; }))
      << MetricsOf(kWest);
}

TEST_F(Traces, ACollectorThatNeverAnswersDelaysNothing) {
  // given a collector that takes the first trace and never says a word
  const OtlpReceiver receiver(OtlpReceiver::Manner::kSilent);
  ASSERT_NO_FATAL_FAILURE(BringUp(Quick(), SendTo(receiver)));
  ASSERT_EQ(SwitchOver(kWest).state, ExecutionState::kDone);
  ASSERT_TRUE(Eventually([&] { return !receiver.Requests().empty(); }));

  // when the region that waits for it loses the other one, and takes over again and again
  ASSERT_EQ(SwitchOver(kEast).state, ExecutionState::kDone);
  ASSERT_EQ(SwitchOver(kWest).state, ExecutionState::kDone);

  // then all was carried out while the first is still waited for, and that is on show
  ASSERT_TRUE(Eventually([&] { return MetricsOf(kWest).find("lifeboat_traces_waiting 2") != std::string::npos; }))
      << MetricsOf(kWest);
  EXPECT_THAT(MetricsOf(kWest), HasSubstr("lifeboat_traces_total{outcome=\"sent\"} 0"));
  EXPECT_THAT(receiver.Requests(), Contains(Json{{"held", true}}));
}

}  // namespace
}  // namespace lifeboat::testing_support
