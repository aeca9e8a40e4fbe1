#include "cli/self_look.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/execution.h"

namespace lifeboat {
namespace {

using testing::HasSubstr;
using testing::Not;

Json Region(const std::string& name, const std::string& role, bool answers, const std::string& why, Json guard) {
  return {{"name", name},
          {"kind", role == "witness" ? "witness" : "data"},
          {"role", role},
          {"agent_reachable", answers},
          {"why_not_promotable", why},
          {"guard", std::move(guard)}};
}

Json Status() {
  return {{"verdict", "exposed"},
          {"regions",
           {Region("us-east-1", "primary", true, "", {{"answers", true}, {"fence", "gate and guard"}}),
            Region("us-west-2", "none", false, "its agent does not answer", nullptr),
            Region("eu-west-1", "witness", true, "", {{"answers", false}, {"fence", "none"}})}},
          {"objectives", {{"rto_ms", 5000}, {"rpo_ms", 2500}}},
          {"execution", {{"kind", "failover"}, {"state", "waiting"}}},
          {"decision", {{"rule", 350}, {"withheld", true}}}};
}

TEST(SelfLook, ShowsWhoAnswersWhoCouldTakeOverAndWhatWouldFence) {
  Metrics metrics("0");
  ShowStatus(Status(), metrics);
  const std::string text = metrics.Text();
  EXPECT_THAT(text, HasSubstr("lifeboat_service_verdict{verdict=\"exposed\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("lifeboat_agent_answers{region=\"us-west-2\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("lifeboat_region_could_take_over{region=\"us-west-2\"} 0\n"));
  EXPECT_THAT(text, Not(HasSubstr("lifeboat_region_could_take_over{region=\"us-east-1\"}"))) << "it serves";
  EXPECT_THAT(text, Not(HasSubstr("lifeboat_region_could_take_over{region=\"eu-west-1\"}"))) << "it holds no data";
  EXPECT_THAT(text, HasSubstr("lifeboat_fence_level{level=\"gate and guard\",region=\"us-east-1\"} 1\n"));
  EXPECT_THAT(text, Not(HasSubstr("lifeboat_guard_answers{region=\"us-west-2\"}"))) << "unknown is not 'no'";
  EXPECT_THAT(text, Not(HasSubstr("lifeboat_guard_answers{region=\"eu-west-1\"}"))) << "a witness has none";
  EXPECT_THAT(text, Not(HasSubstr("level=\"none\"")));
  EXPECT_THAT(text, HasSubstr("lifeboat_objective_seconds{objective=\"rpo\"} 2.5\n"));
  EXPECT_THAT(text, HasSubstr("lifeboat_execution_state{plan=\"failover\",state=\"waiting\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("lifeboat_decision_withheld{rule=\"350\"} 1\n"));
}

TEST(SelfLook, WhatIsOverDisappears) {
  Metrics metrics("0");
  Json status = Status();
  ShowStatus(status, metrics);
  status["verdict"] = "healthy";
  status["execution"] = nullptr;
  status["decision"]["withheld"] = false;
  ShowStatus(status, metrics);
  EXPECT_THAT(metrics.Text(), HasSubstr("lifeboat_service_verdict{verdict=\"healthy\"} 1\n"));
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("exposed")));
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("lifeboat_execution_state")));
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("lifeboat_decision_withheld")));
}

TEST(SelfLook, AChainThatCouldNotBeReadIsNeitherWholeNorBroken) {
  Metrics metrics("0");
  ShowEvidence(Json{{"intact", false}}, WallTime{5'000'000'000}, metrics);
  EXPECT_THAT(metrics.Text(), HasSubstr("lifeboat_evidence_intact 0\n"));
  ShowEvidence(RetryLater("the file is busy"), WallTime{65'000'000'000}, metrics);
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("lifeboat_evidence_intact")));
  EXPECT_THAT(metrics.Text(), HasSubstr("lifeboat_evidence_timestamp_seconds 65\n"));
}

Json Record(Execution execution) { return {{"kind", ToString(execution.kind)}, {"body", ToJson(execution)}}; }

TEST(SelfLook, OfEveryPlanTheNewestRunIsShownAndWhatWasNotMeasuredIsNot) {
  Execution failover;
  failover.id = ExecutionId("a");
  failover.state = ExecutionState::kDone;
  failover.began = WallTime{100'000'000'000};
  failover.ended = WallTime{110'000'000'000};
  failover.facts = {{"fault_ns", 100'000'000'000},
                    {"first_good_write_ns", 103'500'000'000},
                    {"loss_estimate", {{"state", "bounded"}, {"seconds", 1.25}}}};
  Execution again = failover;
  again.ended = WallTime{210'000'000'000};
  again.facts = {{"loss_estimate", {{"state", "unknown"}, {"seconds", nullptr}}}};
  Metrics metrics("0");
  Json records = Json::array({Record(failover), {{"kind", "canary"}, {"body", Json::object()}}});
  ShowRuns({{"records", records}}, metrics);
  EXPECT_THAT(metrics.Text(), HasSubstr("lifeboat_last_run_rto_seconds{plan=\"failover\"} 3.5\n"));
  EXPECT_THAT(metrics.Text(), HasSubstr("lifeboat_last_run_loss_seconds{plan=\"failover\"} 1.25\n"));
  records.push_back(Record(again));
  ShowRuns({{"records", records}}, metrics);
  EXPECT_THAT(metrics.Text(), HasSubstr("lifeboat_last_run_end_timestamp_seconds{plan=\"failover\"} 210\n"));
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("lifeboat_last_run_rto_seconds")));
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("lifeboat_last_run_loss_seconds")));
}

}  // namespace
}  // namespace lifeboat
