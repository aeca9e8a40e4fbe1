// What runs around a database that AWS runs, in whole agents: compute, hooks, receivers, objects, alarms. A region is lost and
// comes back, functions fail, alarms are raised. Every request is checked against the vendor's models.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/aws_managed_agents.h"
#include "support/aws_things.h"

namespace lifeboat::testing {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Containers are moto's: the other emulator knows no bounds of services. ministack has the rest, and a failover.
class AwsManagedStoryTest : public ::testing::Test {
 protected:
  explicit AwsManagedStoryTest(AwsEmulator emulator = AwsEmulator::kMinistack)
      : agents_(emulator, Containers(emulator)), things_(agents_.world.context, Urls(emulator)) {}
  static std::map<std::string, std::string> Containers(AwsEmulator emulator) {
    if (emulator == AwsEmulator::kMoto) return {};
    const std::string url = SharedAws(AwsEmulator::kMoto).Url();
    return {{"ecs", url}, {"application-autoscaling", url}};
  }
  static std::map<std::string, std::string> Urls(AwsEmulator emulator) {
    std::map<std::string, std::string> urls = Containers(emulator);
    urls["*"] = SharedAws(emulator).Url();
    return urls;
  }
  AwsSettings& aws() { return *agents_.settings.aws; }
  /// A group of machines with a load balancer in the region that takes over, and a service of containers. The source runs more of
  /// both.
  void AddCompute() {
    AwsComputeSettings web;
    web.name = "web";
    AwsComputeSettings jobs;
    jobs.name = "jobs";
    jobs.kind = AwsComputeKind::kEcs;
    jobs.share = 50;
    for (const RegionName& region : {one_, two_}) {
      const bool source = region == one_;
      things_.MakeGroup(region.text, group_, source ? ComputeSizes{2, 4, 8} : ComputeSizes{1, 1, 3});
      things_.MakeService(region.text, cluster_, source ? ComputeSizes{2, 6, 9} : ComputeSizes{1, 1, 2});
      web.groups[region] = group_;
      jobs.groups[region] = cluster_ + "/web";
    }
    targets_ = things_.MakeTargetGroup(two_.text);
    web.target_groups[two_] = targets_;
    aws().compute = {web, jobs};
  }
  void AddHook(const std::string& name, const std::string& when, bool required, bool fails = false) {
    AwsHookSettings hook;
    hook.name = name;
    hook.when = when;
    hook.required = required;
    for (const RegionName& region : {one_, two_}) {
      const std::string function = name + "-" + RandomHex(4);
      things_.MakeFunction(region.text, function, fails);
      hook.functions[region] = function;
    }
    aws().hooks.push_back(hook);
  }
  void AddReceivers() {
    topic_ = things_.MakeTopic(two_.text, "ops-" + RandomHex(4));
    const std::string bus = "ops-" + RandomHex(4);
    things_.MakeBus(two_.text, bus);
    aws().notify = {AwsNoticeSettings{AwsNoticeKind::kSns, two_, topic_.arn},
                    AwsNoticeSettings{AwsNoticeKind::kEventBridge, two_, bus}};
  }
  /// An alarm about the writer's region in each of the others.
  void AddAlarms() {
    for (const RegionName& region : {two_, agents_.witness}) {
      things_.MakeAlarm(region.text, alarm_);
      aws().alarms.push_back({region, one_, alarm_});
    }
  }
  [[nodiscard]] std::size_t Calls() const { return agents_.Arrived("lambda", "/invocations"); }
  /// Whether the agent that takes over knows what the source runs.
  bool KnowsWhatRuns() {
    return agents_.Until([&] { return agents_.Agent(two_).world().RanIn(one_).size() == aws().compute.size(); });
  }
  std::string Outcome(const Execution& e, const char* step) { return e.Find(step)->outcome; }
  void ExpectValid() {
    EXPECT_EQ(agents_.road.Invalid(), "");
    EXPECT_EQ(agents_.others_road.Invalid(), "");
  }

  ManagedAgents agents_;
  AwsThings things_;
  const RegionName one_ = agents_.one;
  const RegionName two_ = agents_.two;
  const std::string group_ = "web-" + RandomHex(4);
  const std::string cluster_ = "jobs-" + RandomHex(4);
  const std::string alarm_ = "errors of orders " + RandomHex(4);
  std::string targets_;
  AwsThings::Topic topic_;
};

TEST_F(AwsManagedStoryTest, ALostRegionIsLeftWithAllThatRunsAroundItAndWhatWasScaledUpIsPutBackAfterTheWayBack) {
  AddCompute();
  AddReceivers();
  for (const char* when : {"before-promote", "after-promote", "after-route"}) AddHook(std::string(when) + "-hook", when, true);
  agents_.StartAll();
  ASSERT_TRUE(agents_.Ready());
  ASSERT_TRUE(KnowsWhatRuns());

  // The region is lost. The writer moves while machines start; clients are sent there when the load balancer would send them on.
  agents_.Lose(one_);
  ASSERT_TRUE(agents_.Until([&] { return agents_.Agent(two_).snapshot().execution.has_value(); }))
      << agents_.Agent(two_).decision().reason;
  const auto step = [&](const char* name) {
    const auto& running = agents_.Agent(two_).snapshot().execution;
    return running ? running->Find(name)->state : StepState::kDone;
  };
  ASSERT_TRUE(
      agents_.UntilSeen([&] { return step("after") == StepState::kDone && things_.SizesOfGroup(two_.text, group_).desired == 4; }));
  EXPECT_EQ(agents_.world.Writer(), two_.text);
  EXPECT_EQ(step("scale-up"), StepState::kIntended);
  EXPECT_EQ(step("route"), StepState::kPending);
  things_.Register(two_.text, targets_, group_);
  ASSERT_TRUE(agents_.Ended(1));
  const Execution failover = agents_.Newest();
  ASSERT_EQ(failover.state, ExecutionState::kDone) << ToJson(failover).dump(1);
  EXPECT_EQ(failover.requested_by, "rule 650");
  EXPECT_THAT(Outcome(failover, "scale-up"),
              AllOf(HasSubstr("'web': 4 serve, 4 were wanted"), HasSubstr("'jobs': 3 serve, 3 were wanted")));
  EXPECT_EQ(things_.SizesOfGroup(two_.text, group_), (ComputeSizes{4, 4, 4}));
  EXPECT_EQ(things_.SizesOfService(two_.text, cluster_), (ComputeSizes{3, 3, 3}));
  EXPECT_EQ(agents_.Arrived("autoscaling", "UpdateAutoScalingGroup"), 1u);
  EXPECT_EQ(agents_.Arrived("ecs", "UpdateService"), 1u);
  EXPECT_EQ(agents_.Arrived("rds", "FailoverGlobalCluster"), 1u);
  EXPECT_EQ(Calls(), 3u);
  std::vector<std::string> heard;
  for (const Json& notice : things_.Heard(topic_)) heard.push_back(TextAt(notice, "subject") + " " + TextAt(notice, "id"));
  EXPECT_THAT(heard,
              ElementsAre("lifeboat: failover from " + one_.text + " to " + two_.text + " begins " + failover.id.text + "/begins",
                          "lifeboat: " + two_.text + " serves after failover " + failover.id.text + "/serves"));
  EXPECT_EQ(agents_.Arrived("events", "PutEvents"), 2u);

  // It comes back: nothing was scaled up there.
  agents_.BringBack(one_);
  ASSERT_TRUE(agents_.Order(agents_.witness, "rejoin", {{"region", one_.text}, {"by", "ann"}}));
  ASSERT_TRUE(agents_.Ended(2));
  EXPECT_EQ(agents_.Newest().state, ExecutionState::kDone) << ToJson(agents_.Newest()).dump(1);
  EXPECT_EQ(Outcome(agents_.Newest(), "put-back"), "nothing was scaled up there");
  ASSERT_TRUE(agents_.Order(agents_.witness, "switchover", {{"to", one_.text}, {"by", "ann"}}));
  ASSERT_TRUE(agents_.Ended(3));
  EXPECT_EQ(agents_.Newest().state, ExecutionState::kDone) << ToJson(agents_.Newest()).dump(1);
  // It carries it already, and keeps what it has until clients come: its lower bound alone is raised.
  EXPECT_EQ(things_.SizesOfGroup(one_.text, group_), (ComputeSizes{4, 4, 8}));
  EXPECT_EQ(Calls(), 6u);

  // Somebody has given the containers other bounds since; the machines are as they were left.
  things_.BoundService(two_.text, cluster_, 3, 10);
  ASSERT_TRUE(agents_.Order(agents_.witness, "rejoin", {{"region", two_.text}, {"by", "ann"}}));
  ASSERT_TRUE(agents_.Ended(4));
  const Execution back = agents_.Newest();
  EXPECT_EQ(back.state, ExecutionState::kDone) << ToJson(back).dump(1);
  EXPECT_THAT(Outcome(back, "put-back"),
              AllOf(HasSubstr("'web' is as it was"), HasSubstr("'jobs' stays"), HasSubstr("changed by somebody else")));
  EXPECT_EQ(things_.SizesOfGroup(two_.text, group_), (ComputeSizes{1, 1, 3}));
  EXPECT_EQ(things_.SizesOfService(two_.text, cluster_), (ComputeSizes{3, 3, 10}));
  ExpectValid();
}

TEST_F(AwsManagedStoryTest, ARequiredHookThatFailsStopsTheFailoverBeforeAnythingIsAskedOfTheDatabaseAndSaysSo) {
  agents_.settings.policy.cool_down = 1h;
  AddReceivers();
  AddHook("freeze", "before-promote", true, true);
  agents_.StartAll();
  ASSERT_TRUE(agents_.Ready());
  agents_.Lose(one_);
  ASSERT_TRUE(agents_.Ended(1));
  const Execution e = agents_.Newest();
  EXPECT_EQ(e.state, ExecutionState::kFailed);
  EXPECT_THAT(e.reason, AllOf(HasSubstr("aborted: step 'before': hook 'freeze'"), HasSubstr("no such tenant")));
  EXPECT_EQ(e.Find("fail-over")->state, StepState::kPending);
  EXPECT_EQ(Calls(), 1u);
  EXPECT_EQ(agents_.CountOf("rds", "FailoverGlobalCluster"), 0u);
  EXPECT_EQ(agents_.world.Writer(), one_.text);
  EXPECT_EQ(agents_.Agent(two_).keeper().item()->writer, one_);
  ASSERT_TRUE(agents_.Until([&] { return agents_.Agent(two_).decision().rule == 638; })) << agents_.Agent(two_).decision().rule;
  EXPECT_EQ(agents_.Agent(two_).decision().unblock, "lifeboat failover --to " + two_.text);
  // A person is told that it begins, that it failed, and of the one command.
  std::vector<std::string> heard;
  ASSERT_TRUE(agents_.UntilSeen([&] {
    for (const Json& notice : things_.Heard(topic_)) heard.push_back(TextAt(notice, "id") + " " + TextAt(notice, "unblock"));
    return heard.size() >= 3;
  }));
  EXPECT_THAT(heard, Contains(e.id.text + "/failed "));
  EXPECT_THAT(heard, Contains(AllOf(HasSubstr("orders/rule-638/"), HasSubstr("lifeboat failover --to " + two_.text))));
  ExpectValid();
}

TEST_F(AwsManagedStoryTest, AnOptionalHookThatFailsIsWrittenDownAndTheServiceMoves) {
  AddHook("freeze", "before-promote", false, true);
  AddHook("warm", "after-promote", false, true);
  agents_.StartAll();
  ASSERT_TRUE(agents_.Ready());
  agents_.Lose(one_);
  ASSERT_TRUE(agents_.Ended(1));
  const Execution e = agents_.Newest();
  EXPECT_EQ(e.state, ExecutionState::kDone) << ToJson(e).dump(1);
  for (const auto& [step, hook] : {std::pair{"before", "'freeze'"}, std::pair{"after", "'warm'"}})
    EXPECT_THAT(Outcome(e, step), AllOf(HasSubstr(hook), HasSubstr("is not required"), HasSubstr("no such tenant")));
  EXPECT_EQ(Calls(), 2u);
  EXPECT_EQ(agents_.world.Writer(), two_.text);
  ExpectValid();
}

TEST_F(AwsManagedStoryTest, CanariesArePutWhereTheWriterIsAndTellHowFarTheCopyingHadCome) {
  AwsObjectsSettings files;
  files.name = "files";
  files.canary_every = 300ms;
  const std::string name = "files-" + RandomHex(6);
  for (const RegionName& region : {one_, two_}) {
    files.buckets[region] = name + "-" + region.text;
    things_.MakeBucket(region.text, files.buckets[region]);
  }
  things_.CopyBucket(one_.text, files.buckets[one_], files.buckets[two_]);
  aws().objects = {files};
  agents_.StartAll();
  ASSERT_TRUE(agents_.Ready());
  const auto puts = [&](AwsRoad& road, const RegionName& region) {
    std::size_t count = 0;
    for (const Json& request : road.Requests())
      count += TextAt(request, "service") == "s3" && TextAt(request, "operation").starts_with("PUT") &&
                       TextAt(request, "region") == region.text
                   ? 1U
                   : 0U;
    return count;
  };
  ASSERT_TRUE(agents_.UntilSeen([&] { return puts(agents_.others_road, one_) >= 2; }));
  agents_.Lose(one_);
  ASSERT_TRUE(agents_.Ended(1));
  EXPECT_EQ(agents_.Newest().state, ExecutionState::kDone) << ToJson(agents_.Newest()).dump(1);
  // The last one that arrived is read in the target, which now puts its own.
  const auto newest = agents_.Wait(agents_.Running(two_)->io, agents_.Running(two_)->objects[0]->NewestArrival(one_, two_, 10s));
  ASSERT_TRUE(newest.ok()) << newest.error().Text();
  EXPECT_TRUE(newest->has_value());
  ASSERT_TRUE(agents_.UntilSeen([&] { return puts(agents_.road, two_) >= 2; }));
  ExpectValid();
}

TEST_F(AwsManagedStoryTest, TheAccessPointLeadsToTheRegionThatServesAndTheLostOneIsNotAskedForIt) {
  AwsObjectsSettings files;
  files.name = "files";
  files.access_point = "arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap";
  files.buckets = {{one_, "files-one"}, {two_, "files-two"}};
  aws().objects = {files};
  AwsProgram point({AwsScript("access_point.py"), one_.text + "=files-one", two_.text + "=files-two"});
  AwsRoad road(SharedAws(AwsEmulator::kMinistack), {}, {{"s3", "http://127.0.0.1:" + std::to_string(point.port())}});
  agents_.endpoints = {{"s3-control", road.Url()}};
  agents_.StartAll();
  ASSERT_TRUE(agents_.Ready());
  road.Faults({{{"do", "silent"}, {"region", one_.text}}});
  agents_.Lose(one_);
  ASSERT_TRUE(agents_.Ended(1));
  const Execution e = agents_.Newest();
  EXPECT_EQ(e.state, ExecutionState::kDone) << ToJson(e).dump(1);
  EXPECT_THAT(Outcome(e, "finish"), HasSubstr("access point of 'files' leads to '" + two_.text + "'"));
  const Json state = AwsControl(point, 0, "GET", "/state", "");
  EXPECT_EQ(state.at("routes"), (Json{{one_.text, 0}, {two_.text, 100}}));
  EXPECT_EQ(NumberAt(state, "changes"), 1u);
  EXPECT_EQ(road.HeldIn(one_.text), 0u);
  EXPECT_EQ(road.Invalid(), "");
  ExpectValid();
}

TEST_F(AwsManagedStoryTest, AlarmsOfTwoAgentsMoveTheServiceOnceWherePolicySaysSo) {
  AddAlarms();
  agents_.settings.policy.degraded_action = DegradedAction::kSwitchover;
  agents_.settings.policy.degraded_after = 500ms;
  agents_.StartAll();
  ASSERT_TRUE(agents_.Ready());
  // One has no data, which is no vote, and one is no majority.
  things_.SetAlarm(two_.text, alarm_, "ALARM", "too many errors");
  ASSERT_TRUE(agents_.Until([&] {
    return agents_.Agent(two_).snapshot().votes.degraded == 1 && agents_.Agent(agents_.witness).snapshot().votes.degraded == 1;
  }));
  EXPECT_FALSE(agents_.Agent(two_).snapshot().votes.majority_for);
  EXPECT_EQ(agents_.Agent(two_).decision().rule, 680);
  things_.SetAlarm(agents_.witness.text, alarm_, "ALARM", "too many errors");
  ASSERT_TRUE(agents_.Ended(1));
  const Execution e = agents_.Newest();
  EXPECT_EQ(e.state, ExecutionState::kDone) << ToJson(e).dump(1);
  EXPECT_EQ(e.kind, PlanKind::kSwitchover);
  EXPECT_EQ(e.requested_by, "rule 662");
  EXPECT_THAT(e.reason, HasSubstr("alarm '" + alarm_ + "': too many errors"));
  EXPECT_EQ(agents_.world.Writer(), two_.text);
  EXPECT_EQ(agents_.CountOf("rds", "FailoverGlobalCluster"), 0u);
  EXPECT_EQ(agents_.Arrived("rds", "SwitchoverGlobalCluster"), 1u);
  ExpectValid();
}

TEST_F(AwsManagedStoryTest, AnAlarmIsToldOfWherePolicySaysNoMoreAndThePersonGetsTheCommand) {
  AddAlarms();
  AddReceivers();
  agents_.settings.policy.degraded_action = DegradedAction::kAsk;
  agents_.settings.policy.degraded_after = 1s;
  agents_.StartAll();
  ASSERT_TRUE(agents_.Ready());
  for (const RegionName& region : {two_, agents_.witness}) things_.SetAlarm(region.text, alarm_, "ALARM", "too many errors");
  ASSERT_TRUE(agents_.Until([&] { return agents_.Agent(two_).decision().rule == 664; })) << agents_.Agent(two_).decision().reason;
  std::vector<std::string> heard;
  ASSERT_TRUE(agents_.UntilSeen([&] {
    for (const Json& notice : things_.Heard(topic_)) heard.push_back(TextAt(notice, "subject") + ": " + TextAt(notice, "unblock"));
    return heard.size() >= 2;
  }));
  EXPECT_THAT(heard,
              ElementsAre("lifeboat: orders: a degraded writer is told of: ",
                          "lifeboat: orders: a degraded writer is a person's matter: lifeboat switchover --to " + two_.text));
  // It ends as it began.
  for (const RegionName& region : {two_, agents_.witness}) things_.SetAlarm(region.text, alarm_, "OK", "none");
  EXPECT_TRUE(agents_.Until([&] { return agents_.Agent(two_).decision().rule == 680; })) << agents_.Agent(two_).decision().rule;
  EXPECT_TRUE(agents_.Executions().empty());
  ExpectValid();
}

/// moto has no failover of global clusters, calls no member the writer and runs no functions: a person cuts the copy loose there.
class AwsManagedDetachStoryTest : public AwsManagedStoryTest {
 protected:
  AwsManagedDetachStoryTest() : AwsManagedStoryTest(AwsEmulator::kMoto) {}
};

TEST_F(AwsManagedDetachStoryTest, ACopyThatIsCutLooseGetsItsComputeAndThoseWhoWantToAreTold) {
  AddCompute();
  AddReceivers();
  AddAlarms();
  Transaction note;
  note.puts.push_back({"orders/writer", ToJson(WriterItem{{1}, one_, {}, {}, {}}).dump()});
  ASSERT_TRUE(agents_.Wait(agents_.world.context, agents_.store->Commit(note, 5s)).ok());
  agents_.StartAll();
  ASSERT_TRUE(KnowsWhatRuns());
  ASSERT_TRUE(agents_.Until([&] {
    const auto& regions = agents_.Agent(two_).snapshot().regions;
    return regions.contains(two_) && TakeoverObjection(regions.at(two_)).empty();
  })) << agents_.Agent(two_).decision().reason;
  things_.SetAlarm(two_.text, alarm_, "ALARM", "too many errors");
  ASSERT_TRUE(agents_.Until([&] { return agents_.Agent(two_).snapshot().votes.degraded == 1; }));
  agents_.Lose(one_);
  ASSERT_TRUE(agents_.Order(two_, "failover", {{"to", two_.text}, {"by", "ann"}, {"detach", true}, {"accept_loss", true}}));
  ASSERT_TRUE(agents_.UntilSeen([&] { return things_.SizesOfGroup(two_.text, group_).desired == 4; }));
  things_.Register(two_.text, targets_, group_);
  ASSERT_TRUE(agents_.Ended(1));
  const Execution e = agents_.Newest();
  EXPECT_EQ(e.state, ExecutionState::kDone) << ToJson(e).dump(1);
  EXPECT_EQ(TextAt(e.facts, "way"), "detach");
  EXPECT_EQ(things_.SizesOfGroup(two_.text, group_), (ComputeSizes{4, 4, 4}));
  EXPECT_EQ(things_.SizesOfService(two_.text, cluster_), (ComputeSizes{3, 3, 3}));
  EXPECT_EQ(agents_.Arrived("rds", "RemoveFromGlobalCluster"), 1u);
  std::vector<std::string> heard;
  for (const Json& notice : things_.Heard(topic_)) heard.push_back(TextAt(notice, "id"));
  EXPECT_THAT(heard, AllOf(Contains(e.id.text + "/begins"), Contains(e.id.text + "/serves")));
  EXPECT_EQ(agents_.Arrived("events", "PutEvents"), agents_.Arrived("sns", "Publish"));
  ExpectValid();
}

}  // namespace
}  // namespace lifeboat::testing
