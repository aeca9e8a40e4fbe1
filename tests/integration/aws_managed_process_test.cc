// The program itself: three agents of a service whose database AWS runs, with compute, hooks, receivers and alarms in
// lifeboat.yaml, against an emulator. A region is lost, the agent that acts is killed (SIGKILL) with its request on the road, and
// its next run ends what it began.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>

// Before the others: it speaks of GoogleTest as "testing", which they make a namespace of ours.
#include "support/operator_lab.h"

#include "lab/agents.h"
#include "lab/aws_agents.h"
#include "support/aws_aurora_world.h"
#include "support/aws_things.h"

namespace lifeboat::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing_support::Eventually;

constexpr const char* kWitness = "eu-central-1";

class AwsManagedProcessTest : public ::testing::Test {
 protected:
  AwsManagedProcessTest() {
    topic_ = things_.MakeTopic(two_, name_);
    things_.MakeBus(two_, name_);
    for (const std::string& region : {one_, two_}) {
      things_.MakeGroup(region, name_, region == one_ ? ComputeSizes{2, 4, 8} : ComputeSizes{1, 1, 3});
      things_.MakeFunction(region, name_);
    }
    things_.MakeAlarm(two_, name_);
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
    options.failover_after = 10s;  // the least that lifeboat.yaml may say
    const std::string both = "{" + one_ + ": " + name_ + ", " + two_ + ": " + name_ + "}";
    options.more = "  compute:\n    - {name: web, kind: auto-scaling, groups: " + both +
                   ", share: 50}\n  hooks:\n    - {name: freeze, when: before-promote, functions: " + both +
                   "}\n    - {name: warm, when: after-route, required: false, functions: " + both +
                   "}\n  notify:\n    - {kind: sns, region: " + two_ + ", target: \"" + topic_.arn +
                   "\"}\n    - {kind: event-bridge, region: " + two_ + ", target: " + name_ +
                   "}\n  alarms:\n    - {region: " + two_ + ", about: " + one_ + ", alarm: " + name_ + "}\n";
    agents_ = std::make_unique<lab::AwsAgents>(std::move(options));
  }
  void Faults(Json faults) {
    // Neither emulator has quotas, and one of them needs seconds to say so.
    faults.push_back({{"do", "error"}, {"service", "servicequotas"}, {"status", 400}, {"code", "NoSuchResourceException"}});
    road_.Faults(faults);
  }
  Result<Json> Ask(const std::string& region, const char* method) {
    return lab::AskAgent(agents_->lab(), region, method, Json::object(), 20s);
  }
  /// What that region's agent wrote where nobody looks.
  std::string Said(const std::string& region) {
    std::ifstream in(folder_.path() / (region + ".out"));
    return "\nits agent said: " + std::string(std::istreambuf_iterator<char>(in), {});
  }
  std::size_t Arrived(const std::string& service, const std::string& operation) {
    std::size_t count = 0;
    for (const Json& request : road_.Requests()) {
      const bool same = TextAt(request, "service") == service && TextAt(request, "operation").ends_with(operation);
      count += same && FlagAt(request, "forwarded") ? 1U : 0U;
    }
    return count;
  }
  std::optional<Execution> Newest() {
    const auto list = Ask(kWitness, "executions.list");
    if (!list.ok() || MemberAt(*list, "executions").empty()) return std::nullopt;
    return *ExecutionFromJson(MemberAt(*list, "executions").front());
  }

  AuroraWorld world_{AwsEmulator::kMinistack};
  const std::string one_ = world_.one;
  const std::string two_ = world_.two;
  const std::string name_ = "web-" + RandomHex(4);
  AwsThings things_{world_.context, {{"*", SharedAws(AwsEmulator::kMinistack).Url()}}};
  AwsRoad road_{SharedAws(AwsEmulator::kMinistack)};
  testing_support::ScratchFolder folder_;
  AwsThings::Topic topic_;
  std::unique_ptr<lab::AwsAgents> agents_;
};

TEST_F(AwsManagedProcessTest, AFailoverIsEndedByTheNextRunOfTheAgentThatWasKilledInTheMidstOfIt) {
  Faults(Json::array());
  ASSERT_TRUE(agents_->Prepare().ok());
  for (const std::string& region : {std::string(kWitness), one_, two_}) ASSERT_TRUE(agents_->Start(region).ok());
  const auto healthy = agents_->AwaitHealthy(one_, 60s, [](const std::string&) { return true; });
  ASSERT_TRUE(healthy.ok()) << healthy.error().Text() << Said(two_);
  // What runs around the database is looked at, and what would be wanted of it is known.
  std::string said;
  EXPECT_TRUE(Eventually(
      [&] {
        return (said = Ask(two_, "check").ok() ? Ask(two_, "check")->dump() : "").find("a failover would want 2 (50 % of the 4") !=
               std::string::npos;
      },
      60s))
      << said;
  EXPECT_THAT(said, AllOf(HasSubstr("function '" + name_ + "' of hook 'freeze' in '" + two_ + "' is there"),
                          HasSubstr("has 1 confirmed subscriptions"), HasSubstr("alarm '" + name_ + "' in '" + two_ + "'")));

  agents_->Stop(one_);
  Faults({{{"do", "silent_after"}, {"operation", "FailoverGlobalCluster"}}, {{"do", "silent"}, {"region", one_}}});
  ASSERT_TRUE(Eventually([&] { return Arrived("rds", "FailoverGlobalCluster") == 1; }, 60s));
  agents_->Stop(two_);
  ASSERT_TRUE(agents_->Start(two_).ok());
  ASSERT_TRUE(Eventually(
      [&] {
        const auto e = Newest();
        return e && IsEnded(e->state);
      },
      60s))
      << (Newest() ? ToJson(*Newest()).dump(1) : "none");
  const Execution e = *Newest();
  EXPECT_EQ(e.state, ExecutionState::kDone) << ToJson(e).dump(1);
  EXPECT_EQ(e.requested_by, "rule 650");
  EXPECT_EQ(world_.Writer(), two_);
  EXPECT_EQ(Arrived("rds", "FailoverGlobalCluster"), 1u);
  EXPECT_EQ(road_.CountOf("rds", "FailoverGlobalCluster"), 1u);
  EXPECT_EQ(Arrived("lambda", "/invocations"), 2u);
  EXPECT_EQ(things_.SizesOfGroup(two_, name_), (ComputeSizes{2, 2, 3}));
  std::set<std::string> ids;
  for (const Json& notice : things_.Heard(topic_)) ids.insert(TextAt(notice, "id"));
  EXPECT_EQ(ids, (std::set<std::string>{e.id.text + "/begins", e.id.text + "/serves"}));
  EXPECT_EQ(road_.Invalid(), "");
}

}  // namespace
}  // namespace lifeboat::testing
