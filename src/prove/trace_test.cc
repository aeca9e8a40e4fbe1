#include "prove/trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace lifeboat {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kNoon = 1'800'000'000 * kSecond;
const Objectives kObjectives{5s, 4s};

WallTime At(double seconds) { return {kNoon + static_cast<std::int64_t>(seconds * 1e9)}; }

StepRecord Step(const char* name, double began, double ended, const char* agent) {
  StepRecord step;
  step.name = name;
  step.state = StepState::kDone;
  step.attempts = 1;
  step.began = At(began);
  step.ended = At(ended);
  step.outcome = "done";
  step.tries = {{At(began), 1, "act", "", AgentId(agent), RegionName("us-west-2")},
                {At(ended), 1, "verified", "", AgentId(agent), RegionName("us-west-2")}};
  return step;
}

/// A failover of which every moment is known: fault at 0, client served again at 3.5 s.
Execution Failover() {
  Execution e;
  e.id = ExecutionId("x-20270115-120003000-ab12");
  e.kind = PlanKind::kFailover;
  e.state = ExecutionState::kDone;
  e.source = RegionName("us-east-1");
  e.target = RegionName("us-west-2");
  e.epoch = {2};
  e.owner = RegionName("us-west-2");
  e.owner_agent = AgentId("run-1");
  e.requested_by = "rule 380";
  e.reason = "the holder is lost";
  e.began = At(3);
  e.ended = At(3.6);
  e.facts = {{"fault_ns", At(0).ns},
             {"suspected_ns", At(1).ns},
             {"decided_ns", At(1).ns},
             {"claimed_ns", At(3).ns},
             {"promoted_ns", At(3.2).ns},
             {"routed_ns", At(3.3).ns},
             {"first_good_write_ns", At(3.5).ns},
             {"loss_estimate", {{"state", "bounded"}, {"seconds", 0.25}, {"bytes", 4096}}}};
  e.steps = {Step("claim", 3, 3, "run-1"), Step("promote", 3.1, 3.2, "run-1"), Step("route", 3.2, 3.3, "run-1"),
             Step("verify", 3.3, 3.5, "run-1")};
  return e;
}

const Span& Find(const Trace& trace, const std::string& name) {
  for (const Span& span : trace.spans) {
    if (span.name == name) return span;
  }
  throw std::runtime_error("no span '" + name + "'");
}

std::vector<std::string> Names(const Trace& trace) {
  std::vector<std::string> names;
  for (const Span& span : trace.spans) names.push_back(span.name);
  return names;
}

/// What every trace must be, whatever it is of.
void ExpectWellFormed(const Trace& trace) {
  ASSERT_FALSE(trace.spans.empty());
  EXPECT_EQ(trace.id.text.size(), 32u);
  const Span& root = trace.spans.front();
  EXPECT_TRUE(root.parent.empty());
  std::set<SpanId> ids;
  for (const Span& span : trace.spans) {
    EXPECT_EQ(span.id.text.size(), 16u);
    EXPECT_TRUE(ids.insert(span.id).second) << "two spans have one id: " << span.name;
    EXPECT_LE(span.began, span.ended) << span.name;
    EXPECT_GE(span.began, root.began) << span.name;
    EXPECT_LE(span.ended, root.ended) << span.name;
    if (&span == &root) continue;
    EXPECT_TRUE(ids.contains(span.parent)) << span.name << ": its parent comes before it";
  }
}

TEST(ExecutionTrace, HasThePhasesOfTheOutageAndTheStepsThatWereTaken) {
  const Trace trace = TraceOf(Failover(), "orders", kObjectives);
  ExpectWellFormed(trace);
  EXPECT_THAT(Names(trace), ElementsAre("failover", "outage", "detect", "decide", "fence", "promote", "route", "first good write",
                                        "step claim", "step promote", "step route", "step verify"));
  const Span& root = trace.spans.front();
  EXPECT_EQ(root.began, At(0)) << "it begins with the fault, which was before anybody acted";
  EXPECT_EQ(root.ended, At(3.6));
  EXPECT_EQ(root.status, SpanStatus::kOk);
  EXPECT_EQ(root.attributes["lifeboat.rule"], 380);
  EXPECT_EQ(root.attributes["lifeboat.epoch"], 2);
  EXPECT_EQ(root.attributes["lifeboat.loss.bytes"], 4096);
  const Span& outage = Find(trace, "outage");
  EXPECT_EQ(outage.attributes["lifeboat.rto.seconds"], 3.5);
  EXPECT_EQ(outage.attributes["lifeboat.rto.met"], true);
  EXPECT_EQ(Find(trace, "detect").parent, outage.id);
  EXPECT_EQ(Find(trace, "promote").began, At(3));
  EXPECT_EQ(Find(trace, "step promote").began, At(3.1));
  EXPECT_EQ(Find(trace, "step promote").parent, root.id);
  ASSERT_EQ(Find(trace, "step promote").events.size(), 2u);
  EXPECT_EQ(Find(trace, "step promote").events[1].name, "verified");
}

TEST(ExecutionTrace, TheSameExecutionGivesTheSameIdsWhoeverMakesIt) {
  Execution e = Failover();
  const Trace first = TraceOf(e, "orders", kObjectives);
  e.owner_agent = AgentId("run-2");
  e.owner = RegionName("us-east-1");
  e.steps[1].outcome = "done by another";
  const Trace second = TraceOf(e, "orders", kObjectives);
  EXPECT_EQ(first.id, second.id);
  EXPECT_EQ(first.id, TraceIdOf("orders", e.id));
  for (std::size_t at = 0; at < first.spans.size(); ++at) EXPECT_EQ(first.spans[at].id, second.spans[at].id) << at;
  EXPECT_NE(TraceIdOf("invoices", e.id), first.id) << "another service's is another";
  EXPECT_NE(TraceIdOf("orders", ExecutionId("x-2")), first.id);
}

TEST(ExecutionTrace, WhatWasNotMeasuredIsMissingAndNeverZero) {
  Execution e = Failover();
  e.facts.erase("fault_ns");
  e.facts.erase("promoted_ns");
  e.facts["loss_estimate"] = {{"state", "unknown"}, {"seconds", nullptr}, {"bytes", nullptr}};
  const Trace trace = TraceOf(e, "orders", kObjectives);
  ExpectWellFormed(trace);
  EXPECT_THAT(Names(trace), ElementsAre("failover", "decide", "fence", "first good write", "step claim", "step promote",
                                        "step route", "step verify"));
  EXPECT_EQ(trace.spans.front().attributes["lifeboat.loss.state"], "unknown");
  EXPECT_FALSE(trace.spans.front().attributes.contains("lifeboat.loss.seconds"));
  EXPECT_FALSE(trace.spans.front().attributes.contains("lifeboat.loss.bytes"));
}

TEST(ExecutionTrace, AFailedOneSaysWhereAndWhy) {
  Execution e = Failover();
  e.kind = PlanKind::kSwitchover;
  e.state = ExecutionState::kFailed;
  e.facts = Json::object();
  e.requested_by = "operator jane";
  e.reason = "asked; aborted: step 'promote': no";
  e.steps.resize(2);
  e.steps[1].state = StepState::kFailed;
  e.steps[1].ended = {};
  e.steps[1].outcome = "no";
  e.steps[1].tries = {{At(3.1), 1, "act", "", AgentId("run-1"), e.owner},
                      {At(3.15), 1, "act failed", "no", AgentId("run-1"), e.owner}};
  e.steps[1].tries_left_out = 7;
  e.steps.push_back({"route"});  // never begun
  const Trace trace = TraceOf(e, "orders", kObjectives);
  ExpectWellFormed(trace);
  EXPECT_THAT(Names(trace), ElementsAre("switchover", "step claim", "step promote"));
  EXPECT_EQ(trace.spans.front().status, SpanStatus::kError);
  EXPECT_THAT(trace.spans.front().status_text, HasSubstr("step 'promote'"));
  EXPECT_FALSE(trace.spans.front().attributes.contains("lifeboat.rule")) << "a person asked";
  const Span& promote = Find(trace, "step promote");
  EXPECT_EQ(promote.status, SpanStatus::kError);
  EXPECT_EQ(promote.ended, At(3.15)) << "with the last that is known of it";
  EXPECT_EQ(promote.events[1].attributes["lifeboat.said"], "no");
  EXPECT_EQ(promote.events_left_out, 7u);
}

TEST(ExecutionTrace, AStepOfAnOlderRecordThatSaysNoEndHasNoLengthAndSaysSo) {
  Execution e = Failover();
  e.state = ExecutionState::kAborted;
  e.steps[1].state = StepState::kIntended;
  e.steps[1].ended = {};
  e.steps[1].tries.clear();
  const Trace trace = TraceOf(e, "orders", kObjectives);
  const Span& promote = Find(trace, "step promote");
  EXPECT_EQ(promote.ended, promote.began);
  EXPECT_EQ(promote.attributes["lifeboat.end_unknown"], true);
  EXPECT_EQ(trace.spans.front().status, SpanStatus::kUnset);
}

// ---- two clocks ----

TEST(ExecutionTrace, ARunWhoseClockIsBehindIsShiftedBehindTheOneThatItFollows) {
  // Given: run 1 got as far as the promotion, run 2 went on with it on a machine whose clock is 10 s behind.
  Execution e = Failover();
  e.steps[2] = Step("route", 3.4 - 10, 3.5 - 10, "run-2");
  e.steps[3] = Step("verify", 3.5 - 10, 3.7 - 10, "run-2");
  e.owner_agent = AgentId("run-2");
  e.ended = At(3.8 - 10);
  // When
  const Trace trace = TraceOf(e, "orders", kObjectives);
  // Then: by the least that puts them in order, and all of them by the same
  ExpectWellFormed(trace);
  const std::int64_t shift = At(3.2).ns - At(3.4 - 10).ns;
  EXPECT_EQ(Find(trace, "step route").began, At(3.2));
  EXPECT_EQ(Find(trace, "step verify").began.ns, At(3.5 - 10).ns + shift);
  EXPECT_EQ(SignedAt(Find(trace, "step verify").attributes, "lifeboat.clock_shift_ns"), shift);
  EXPECT_FALSE(Find(trace, "step promote").attributes.contains("lifeboat.clock_shift_ns"));
  EXPECT_GE(trace.spans.front().ended.ns, e.ended.ns + shift);
}

TEST(ExecutionTrace, ARunWhoseClockIsAheadCannotBeToldFromOneThatCameLaterAndStays) {
  Execution e = Failover();
  e.steps[3] = Step("verify", 3.3 + 10, 3.5 + 10, "run-2");
  e.owner_agent = AgentId("run-2");
  e.ended = At(3.6 + 10);
  const Trace trace = TraceOf(e, "orders", kObjectives);
  ExpectWellFormed(trace);
  EXPECT_EQ(Find(trace, "step verify").began, At(13.3));
  EXPECT_FALSE(Find(trace, "step verify").attributes.contains("lifeboat.clock_shift_ns"));
}

TEST(ExecutionTrace, OfOneThatRunsThereIsNoRootAndWhatLiesBehindItIsTheSameAsLater) {
  Execution e = Failover();
  const Trace later = TraceOf(e, "orders", kObjectives);
  e.state = ExecutionState::kRunning;
  e.ended = {};
  e.steps[2].state = StepState::kIntended;
  e.steps.resize(3);
  const Trace now = TraceOf(e, "orders", kObjectives);
  for (const Span& span : now.spans) EXPECT_NE(span.name, "failover");
  EXPECT_EQ(Find(now, "step promote").id, Find(later, "step promote").id);
  EXPECT_THROW(Find(now, "step route"), std::runtime_error);
}

// ---- backups ----

BackupWorkDone Restored() {
  BackupWorkDone done;
  done.service = "orders";
  done.region = RegionName("us-west-2");
  done.source = "nightly";
  done.work = "restore";
  done.level = 6;
  done.began = At(0);
  done.ended = At(20);
  done.report = {{"sets",
                  {{{"label", "monday"},
                    {"levels",
                     {{{"name", "exists"}, {"verdict", "pass"}, {"reason", ""}},
                      {{"name", "content"}, {"verdict", "not checked"}, {"reason", "not asked for"}}}},
                    {"restore",
                     {{"began", "2027-01-15T08:00:02.500Z"},
                      {"seconds", 15.0},
                      {"fault", false},
                      {"rto", {{"measured_seconds", 12.5}}},
                      {"phases",
                       {{{"name", "copy"}, {"seconds", 4.0}},
                        {{"name", "replay"}, {"seconds", 8.5}},
                        {{"name", "query"}, {"seconds", 1.0}}}}}}}}},
                 {"findings", Json::array()}};
  return done;
}

TEST(BackupTrace, ARestoreIsItsPhasesOneAfterAnother) {
  const Trace trace = TraceOf(Restored());
  ExpectWellFormed(trace);
  EXPECT_THAT(Names(trace), ElementsAre("backup restore", "restore set", "copy", "replay", "query"));
  EXPECT_EQ(Find(trace, "restore set").began, At(2.5)) << FormatWallTime(Find(trace, "restore set").began);
  EXPECT_EQ(Find(trace, "replay").began, At(6.5));
  EXPECT_EQ(Find(trace, "query").ended, At(16));
  EXPECT_EQ(trace.spans.front().status, SpanStatus::kOk);
  ASSERT_EQ(trace.spans.front().events.size(), 1u) << "what was not asked for is no event";
  EXPECT_EQ(trace.spans.front().events[0].attributes["lifeboat.backup.verdict"], "pass");
}

TEST(BackupTrace, FaultsAndRunsWithoutAReportAreErrors) {
  BackupWorkDone done = Restored();
  done.report["findings"] = {{{"fault", "F12"}, {"severity", "fault"}},
                             {{"fault", "F12"}, {"severity", "fault"}},
                             {{"fault", "F30"}, {"severity", "note"}}};
  const Trace faulty = TraceOf(done);
  EXPECT_EQ(faulty.spans.front().status, SpanStatus::kError);
  EXPECT_EQ(faulty.spans.front().attributes["lifeboat.backup.faults"], Json::array({"F12"}));
  done.report = Json();
  done.problem = "it was ended at its deadline";
  const Trace none = TraceOf(done);
  ExpectWellFormed(none);
  EXPECT_EQ(none.spans.size(), 1u);
  EXPECT_EQ(none.spans.front().status_text, "it was ended at its deadline");
  EXPECT_EQ(none.id, faulty.id);
}

TEST(BackupTrace, AReportOfVeryManySetsIsCutAndSaysSo) {
  BackupWorkDone done = Restored();
  const Json set = done.report["sets"][0];
  for (int at = 0; at < 300; ++at)
    done.report["sets"].push_back({{"label", "set " + std::to_string(at)}, {"levels", set["levels"]}});
  const Trace trace = TraceOf(done);
  EXPECT_EQ(trace.spans.front().events.size(), 200u);
  EXPECT_EQ(trace.spans.front().events_left_out, 101u);
}

}  // namespace
}  // namespace lifeboat
