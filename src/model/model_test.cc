// What is stored or sent is read back as it was, and input that is not it is an error or "unknown", never a guess.

#include <gtest/gtest.h>

#include "model/agent_record.h"
#include "model/database_state.h"
#include "model/execution.h"
#include "model/lease_item.h"
#include "model/snapshot.h"

namespace lifeboat {
namespace {

LeaseItem Item() {
  LeaseItem item;
  item.epoch = {7};
  item.holder = RegionName("us-east-1");
  item.holder_agent = AgentId("run");
  item.counter = 12;
  item.candidates = {RegionName("eu-central-1"), RegionName("us-west-2")};
  item.length = 3s;
  return item;
}

Json Again(const Json& json) { return *ParseJson(json.dump(), "text"); }

TEST(LeaseItem, IsReadAsItWasWritten) {
  EXPECT_EQ(*LeaseItemFromJson(Again(ToJson(Item()))), Item());
  LeaseItem released = Item();
  released.released = Release{RegionName("us-west-2"), R"({"end": "0/3000148"})"};
  EXPECT_EQ(*LeaseItemFromJson(Again(ToJson(released))), released);
}

TEST(LeaseItem, AnythingElseIsAnError) {
  for (const char* member : {"epoch", "holder", "candidates", "length_ms"}) {
    for (const Json& wrong : {Json(nullptr), Json(true), Json(-1), Json("seven"), Json::object()}) {
      if (std::string(member) == "holder" && wrong.is_string()) continue;
      Json json = ToJson(Item());
      json[member] = wrong;
      EXPECT_FALSE(LeaseItemFromJson(json).ok()) << json.dump();
    }
    Json json = ToJson(Item());
    json.erase(member);
    EXPECT_FALSE(LeaseItemFromJson(json).ok()) << member;
  }
  Json json = ToJson(Item());
  json["candidates"] = {"us-west-2", 7};
  EXPECT_FALSE(LeaseItemFromJson(json).ok());
  EXPECT_FALSE(LeaseItemFromJson(Json::array()).ok());
  EXPECT_FALSE(LeaseItemFromJson(Json()).ok());
}

TEST(AgentRecord, IsReadAsItWasWrittenAndNothingElseIs) {
  const AgentRecord record{{7}, {3}, {6}, {5}, {4}};
  EXPECT_EQ(*AgentRecordFromJson(Again(ToJson(record))), record);
  EXPECT_TRUE(record.Detached());
  for (const char* text : {"{}", "[]", "null", "\"x\"", R"({"format": "lifeboat-agent-record/2", "highest": 1, "held": 1})",
                           R"({"format": "lifeboat-agent-record/1", "highest": "7", "held": 1})",
                           R"({"format": "lifeboat-agent-record/1", "highest": -1, "held": 1})",
                           R"({"format": "lifeboat-agent-record/1", "highest": 1})"}) {
    EXPECT_FALSE(AgentRecordFromJson(*ParseJson(text, "record")).ok()) << text;
  }
}

TEST(DatabaseState, IsReadAsItWasWritten) {
  DatabaseState state;
  state.process_alive = state.accepting = true;
  state.in_recovery = false;
  state.system_id = SystemId("7001");
  state.timeline = 3;
  state.flushed = Lsn{0x3000148};
  state.standbys = {{"us-west-2", "streaming", {0x3000148}, {0x3000100}}};
  state.wal_retrieve_retry_interval = "100ms";
  state.wal_level = "logical";
  EXPECT_EQ(DatabaseStateFromJson(Again(ToJson(state))), state);
}

TEST(DatabaseState, WhatWasNotSeenStaysUnknown) {
  const DatabaseState nothing;
  EXPECT_EQ(DatabaseStateFromJson(Again(ToJson(nothing))), nothing);
  EXPECT_FALSE(nothing.IsWritable() || nothing.IsStandby());
  for (const char* text :
       {"{}", "null", "[]", R"({"accepting": "yes", "in_recovery": "no", "flushed": 7, "timeline": "1", "standbys": 3})"}) {
    const DatabaseState state = DatabaseStateFromJson(*ParseJson(text, "state"));
    EXPECT_FALSE(state.IsWritable() || state.IsStandby() || state.flushed || state.timeline || state.in_recovery) << text;
  }
}

TEST(ShutdownToken, IsReadAsItWasWrittenAndNothingElseIs) {
  const ShutdownToken token{SystemId("7001"), 2, {0x3000100}, {0x3000178}};
  EXPECT_EQ(*ShutdownTokenFromJson(Again(ToJson(token))), token);
  for (const char* member : {"system_id", "timeline", "checkpoint", "end"}) {
    Json json = ToJson(token);
    json.erase(member);
    EXPECT_FALSE(ShutdownTokenFromJson(json).ok()) << member;
  }
  Json json = ToJson(token);
  json["end"] = "nowhere";
  EXPECT_FALSE(ShutdownTokenFromJson(json).ok());
}

TEST(Divergence, IsReadAsItWasWritten) {
  Divergence d;
  d.fork = {0x100};
  d.end = {0x900};
  d.saved_in = "/ledger/x-1";
  d.files = {"a", "b.partial"};
  d.saved = {16};
  d.commits = 3;
  const Divergence read = DivergenceFromJson(Again(ToJson(d)));
  EXPECT_EQ(ToJson(read), ToJson(d));
  EXPECT_TRUE(read.Diverged());
  EXPECT_FALSE(DivergenceFromJson(Json::object()).Diverged());
}

Execution Some() {
  Execution e;
  e.id = ExecutionId("x-1");
  e.kind = PlanKind::kSwitchover;
  e.state = ExecutionState::kWaiting;
  e.source = RegionName("us-east-1");
  e.target = RegionName("us-west-2");
  e.epoch = {7};
  e.owner = RegionName("us-west-2");
  e.owner_agent = AgentId("run");
  e.revision = 9;
  e.accept_loss = true;
  e.requested_by = "operator test";
  e.reason = "planned";
  e.began = {1};
  e.ended = {2};
  e.waiting_for = "a name server";
  StepRecord step;
  step.name = "route";
  step.state = StepState::kIntended;
  step.attempts = 3;
  step.began = {5};
  step.outcome = "no answer";
  step.result = {{"a", 1}};
  e.steps = {step};
  e.facts = {{"fork", "0/100"}};
  return e;
}

TEST(Execution, IsReadAsItWasWritten) {
  EXPECT_EQ(ToJson(*ExecutionFromJson(Again(ToJson(Some())))), ToJson(Some()));
  for (const ExecutionState state : {ExecutionState::kRunning, ExecutionState::kAborting, ExecutionState::kDone,
                                     ExecutionState::kFailed, ExecutionState::kAborted}) {
    Execution e = Some();
    e.state = state;
    EXPECT_EQ(ExecutionFromJson(ToJson(e))->state, state);
  }
  for (const StepState state : {StepState::kPending, StepState::kDone, StepState::kFailed, StepState::kUndone}) {
    Execution e = Some();
    e.steps[0].state = state;
    EXPECT_EQ(ExecutionFromJson(ToJson(e))->steps[0].state, state);
  }
}

TEST(Execution, TriesAreReadAsTheyWereWrittenAndWhoTriedStandsWhereItChanges) {
  Execution e = Some();
  const AgentId one("run-1");
  const AgentId other("run-2");
  const RegionName west("us-west-2");
  const RegionName east("us-east-1");
  e.steps[0].tries = {{{5}, 1, "act", "", one, west},
                      {{6}, 1, "act failed", "no answer", one, west},
                      {{7}, 2, "act", "", other, east},
                      {{8}, 2, "verified", "", other, east}};
  e.steps[0].tries_left_out = 3;
  const Json json = Again(ToJson(e));
  const auto read = ExecutionFromJson(json);
  ASSERT_TRUE(read.ok());
  ASSERT_EQ(read->steps[0].tries.size(), 4u);
  EXPECT_EQ(read->steps[0].tries_left_out, 3u);
  for (std::size_t at = 0; at < 4; ++at) {
    const StepTry& was = e.steps[0].tries[at];
    const StepTry& is = read->steps[0].tries[at];
    EXPECT_EQ(is.at, was.at) << at;
    EXPECT_EQ(is.attempt, was.attempt) << at;
    EXPECT_EQ(is.what, was.what) << at;
    EXPECT_EQ(is.said, was.said) << at;
    EXPECT_EQ(is.agent, was.agent) << at;
    EXPECT_EQ(is.region, was.region) << at;
  }
  EXPECT_FALSE(json["steps"][0]["tries"][1].contains("agent")) << "the same as before it";
  EXPECT_TRUE(json["steps"][0]["tries"][2].contains("agent"));
  EXPECT_FALSE(ToJson(Some())["steps"][0].contains("tries")) << "of an older record there are none";
}

TEST(Execution, OfVeryManyTriesTheFirstAndTheNewestAreKept) {
  StepRecord step;
  const auto tries = static_cast<std::int64_t>(StepRecord::kMostTries);
  for (std::int64_t number = 1; number <= tries; ++number) step.Note({{number}, 1, "act"});
  EXPECT_EQ(step.tries_left_out, 0u);
  for (std::int64_t number = tries + 1; number <= tries + 100; ++number) step.Note({{number}, 1, "act"});
  ASSERT_EQ(step.tries.size(), StepRecord::kMostTries);
  EXPECT_EQ(step.tries_left_out, 100u);
  EXPECT_EQ(step.tries.front().at.ns, 1);
  EXPECT_EQ(step.tries[1].at.ns, 102);
  EXPECT_EQ(step.tries.back().at.ns, tries + 100);
}

TEST(Execution, AnythingElseIsAnErrorAndNeverAFreshOne) {
  for (const char* member : {"id", "kind", "state", "steps"}) {
    Json json = ToJson(Some());
    json.erase(member);
    EXPECT_FALSE(ExecutionFromJson(json).ok()) << member;
    json[member] = "no such thing";
    EXPECT_EQ(ExecutionFromJson(json).ok(), std::string(member) == "id") << member;
  }
  Json json = ToJson(Some());
  json["steps"][0]["state"] = "half done";
  EXPECT_FALSE(ExecutionFromJson(json).ok());
  json["steps"] = {7};
  EXPECT_FALSE(ExecutionFromJson(json).ok());
  EXPECT_FALSE(ExecutionFromJson(Json()).ok());
}

TEST(LossEstimate, UnknownHasNoNumbers) {
  const Json json = ToJson(LossEstimate{});
  EXPECT_EQ(json["state"], "unknown");
  EXPECT_TRUE(json["seconds"].is_null());
  EXPECT_TRUE(json["bytes"].is_null());
}

}  // namespace
}  // namespace lifeboat
