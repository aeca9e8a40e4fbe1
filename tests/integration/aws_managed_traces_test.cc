// Traces of agents of a service whose database AWS runs, to a collector that the environment names. The agent that acts is killed
// (SIGKILL) in the midst of a switchover, its next run ends what it began, and all of it is one trace.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

// Before the others: it speaks of GoogleTest as "testing", which they make a namespace of ours.
#include "support/otlp_receiver.h"

#include <cstdlib>

#include "lab/agents.h"
#include "lab/aws_agents.h"
#include "support/aws_aurora_world.h"

namespace lifeboat::testing {
namespace {

using ::testing::IsSupersetOf;
using testing_support::Eventually;
using testing_support::OtlpReceiver;

constexpr const char* kWitness = "eu-central-1";

class AwsManagedTracesTest : public ::testing::Test {
 protected:
  AwsManagedTracesTest() {
    ::setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver_.Url().c_str(), 1);  // what the agents inherit
    world_.ReportLag(two_, 850);
    lab::AwsAgentsOptions options;
    options.folder = folder_.path();
    options.program = LIFEBOAT_PROGRAM;
    options.url = road_.Url();
    options.access_key = kAwsAccessKey;
    options.secret_key = kAwsSecretKey;
    options.global_cluster = world_.name;
    for (const auto& [region, arn] : world_.database.clusters) options.members[region.text] = arn;
    options.witness = kWitness;
    agents_ = std::make_unique<lab::AwsAgents>(std::move(options));
  }
  ~AwsManagedTracesTest() override { ::unsetenv("OTEL_EXPORTER_OTLP_ENDPOINT"); }

  std::optional<Execution> Newest() {
    const auto list = lab::AskAgent(agents_->lab(), RegionName(kWitness).text, "executions.list", Json::object(), 20s);
    if (!list.ok() || MemberAt(*list, "executions").empty()) return std::nullopt;
    return *ExecutionFromJson(MemberAt(*list, "executions").front());
  }

  OtlpReceiver receiver_;
  AuroraWorld world_{AwsEmulator::kMinistack};
  const std::string one_ = world_.one;
  const std::string two_ = world_.two;
  AwsRoad road_{SharedAws(AwsEmulator::kMinistack)};
  testing_support::ScratchFolder folder_;
  std::unique_ptr<lab::AwsAgents> agents_;
};

TEST_F(AwsManagedTracesTest, ASwitchoverThatTwoRunsCarriedOutIsOneTrace) {
  // given
  ASSERT_TRUE(agents_->Prepare().ok());
  for (const std::string& region : {std::string(kWitness), one_, two_}) ASSERT_TRUE(agents_->Start(region).ok());
  const auto healthy = agents_->AwaitHealthy(one_, 60s, [](const std::string&) { return true; });
  ASSERT_TRUE(healthy.ok()) << healthy.error().Text();

  // when the agent that acts dies with its request on the road
  road_.Faults({{{"do", "silent_after"}, {"operation", "SwitchoverGlobalCluster"}}});
  Result<Json> begun = RetryLater("not asked");
  ASSERT_TRUE(Eventually(
      [&] {
        begun = lab::AskAgent(agents_->lab(), two_, "switchover", {{"to", two_}, {"by", "ann"}}, 20s);
        return begun.ok();
      },
      60s))
      << begun.error().Text();
  ASSERT_TRUE(Eventually([&] { return road_.CountOf("rds", "SwitchoverGlobalCluster") == 1; }, 60s));
  agents_->Stop(two_);
  road_.Clear();
  EXPECT_TRUE(receiver_.Requests().empty()) << "nothing has ended yet";
  ASSERT_TRUE(agents_->Start(two_).ok());
  ASSERT_TRUE(Eventually(
      [&] {
        const auto e = Newest();
        return e && IsEnded(e->state);
      },
      60s))
      << (Newest() ? ToJson(*Newest()).dump(1) : "none");

  // then
  const Execution e = *Newest();
  ASSERT_EQ(e.state, ExecutionState::kDone) << ToJson(e).dump(1);
  const TraceId trace = TraceIdOf("orders", e.id);
  ASSERT_TRUE(Eventually([&] { return receiver_.Find(trace).has_value(); })) << Json(receiver_.Requests()).dump(1);
  const Json spans = *receiver_.Find(trace);
  std::vector<std::string> names;
  std::set<std::string> runs;
  for (const Json& span : spans) {
    names.push_back(TextAt(span, "name"));
    for (const Json& event : span["events"]) runs.insert(TextAt(event["attributes"], "lifeboat.agent"));
  }
  EXPECT_THAT(names, IsSupersetOf({"switchover", "step switch-over", "step await", "step verify"}));
  EXPECT_EQ(runs.size(), 2u) << spans.dump(1);
  EXPECT_EQ(TextAt(spans.front()["attributes"], "lifeboat.requested_by"), "operator ann");
  EXPECT_FALSE(spans.front()["attributes"].contains("lifeboat.rule"));
  EXPECT_EQ(receiver_.Requests().size(), 1u) << "and it came once";
  std::size_t steps = 0;
  for (const StepRecord& step : e.steps) steps += step.began.ns > 0 ? 1U : 0U;
  EXPECT_EQ(static_cast<std::size_t>(
                std::count_if(names.begin(), names.end(), [](const std::string& name) { return name.starts_with("step "); })),
            steps);
}

}  // namespace
}  // namespace lifeboat::testing
